// What is remarkable about something that came? New, back, or far more often than before, as tags.
import type { Came, Regression } from '../api'
import { signs } from './came'

export function Signs({ came }: { came: Came & { regression?: Regression | null } }) {
  return <>{signs(came).map(({ label, title, tone }) => <span key={label} className={`tag ${tone}`} title={title}>{label}</span>)}</>
}
