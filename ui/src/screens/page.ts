// Where does a page of lines end? Lines are asked for by time, and many may share an instant.
import { literal } from '../sql'

/**
 * Lines of one instant may be cut apart by a page's end, so a full page gives back its last instant and the next page begins
 * with it; only where a whole page is one instant does the next begin below it.
 */
export function pageEnd<L extends { time: string }>(page: L[], size: number): { kept: L[]; before: string | null } {
  const last = page.at(-1)?.time
  if (page.length < size || last === undefined) return { kept: page, before: null }
  const kept = page.filter(({ time }) => time !== last)
  return kept.length > 0 ? { kept, before: `time <= ${literal(last)}` } : { kept: page, before: `time < ${literal(last)}` }
}
