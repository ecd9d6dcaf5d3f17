// What frames a panel? Its title, how it knows what it says, and what to show while nothing is known or nothing is there.
import { type ReactNode, useState } from 'react'
import type { Answer, How } from '../api'
import { count } from '../format'
import { Link } from '../shell/Shell'
import { urlTo } from '../url'

const COPY_ICON = 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z'

export function Copy({ text, label = 'Copy', title, icon }: { text: string; label?: string; title?: string; icon?: boolean }) {
  const [done, setDone] = useState(false)
  const copy = () => navigator.clipboard.writeText(text).then(() => setDone(true), () => setDone(false))
  const idle = icon ? <svg viewBox="0 0 16 16" width="12" height="12" fill="none" stroke="currentColor" strokeWidth="1.4" aria-hidden><path d={COPY_ICON} /></svg> : label
  return <button className={icon ? 'iconic' : 'button quiet small'} onClick={copy} onBlur={() => setDone(false)} title={title ?? text} aria-label={icon ? title : undefined}>{done ? (icon ? '✓' : 'Copied') : idle}</button>
}

/** The questions behind what a panel says, with what they cost. */
export interface Known {
  /** In SQL, or the line that asks again where no row was read. */
  sql: string
  /** null: series that were counted as telemetry came, so that no row was read. */
  rows: number | null
  ms: number
  partial: boolean
  coverage?: number
  note?: string
}

export const knownBy = (answer: Answer | null): Known[] =>
  answer ? [{ sql: answer.sql, rows: answer.stats.rows_scanned, ms: answer.stats.elapsed_ms, partial: answer.stats.partial, coverage: answer.stats.coverage?.fraction }] : []

export const knownByHow = (how: How | undefined): Known[] =>
  (how?.queries ?? []).map((query) => ({ sql: query.sql, rows: query.rows_scanned, ms: query.elapsed_ms, partial: query.partial || how?.exact === false, note: how?.notes?.join('; ') }))

/** A line that asks the same again, for a terminal. */
const askedAgain = (path: string) => `curl '${window.location.origin}${path.replaceAll("'", '%27')}'`

export const knownByCounts = (answer: { asked: { path: string; ms: number } } | null | undefined): Known[] =>
  answer ? [{ sql: askedAgain(answer.asked.path), rows: null, ms: answer.asked.ms, partial: false }] : []

/** Rows looked at, time taken, exact or not, and the query to run again. */
export function HowKnown({ known }: { known: Known[] }) {
  const first = known[0]
  if (!first) return <span className="how" />
  const rows = known.every(({ rows }) => rows === null) ? null : known.reduce((sum, { rows }) => sum + (rows ?? 0), 0)
  const ms = known.reduce((sum, { ms }) => sum + ms, 0)
  const partial = known.find(({ partial }) => partial)
  const text = known.map(({ sql }) => sql).join(';\n\n')
  return (
    <span className="how">
      {rows === null ? <span title="Series that are counted from spans and logs as they come: what came more than five minutes late is not in them. A quantile is off by 4.5% at most.">counted as it came</span> : `${count(rows)} rows`} · {ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms · {partial ? <span className="warn" title={partial.note}>{partial.coverage === undefined ? 'sampled' : `${Math.round(partial.coverage * 100)}% covered`}</span> : 'exact'}
      <Copy text={text} icon title={known.length > 1 ? `Copy the ${known.length} queries` : 'Copy the query'} />
      {first.rows !== null && <Link className="button quiet small" to={urlTo('/sql', { q: first.sql })} title="Open the query on the SQL page">SQL</Link>}
    </span>
  )
}

interface PanelProps {
  title: ReactNode
  children: ReactNode
  actions?: ReactNode
  known?: Known[]
  busy?: boolean
  flush?: boolean
  className?: string
}

export function Panel({ title, children, actions, known, busy, flush, className = '' }: PanelProps) {
  return (
    <section className={`panel ${className} ${busy ? 'busy' : ''}`} aria-busy={busy}>
      <header><h2>{title}</h2>{actions}{known && <HowKnown known={known} />}</header>
      <div className={flush ? 'body flush' : 'body'}>{children}</div>
    </section>
  )
}

export function Failed({ error }: { error: Error }) {
  return <p className="notice bad" role="alert">{error.message}</p>
}

/** Grey bars of about the height that the answer will have, so that nothing jumps. */
export function Skeleton({ rows = 4, height = 16 }: { rows?: number; height?: number }) {
  return (
    <div className="stack tight" aria-label="Loading">
      {Array.from({ length: rows }, (_, row) => <div key={row} className="skeleton" style={{ height }} />)}
    </div>
  )
}
