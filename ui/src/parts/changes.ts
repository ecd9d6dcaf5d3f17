// What changed? The table `changes` over a window, for lists and for the marks on charts.
import { useMemo } from 'react'
import type { Change } from '../api'
import { timeSql } from '../sql'
import { type Range, rfc3339 } from '../time'
import { urlTo } from '../url'
import { useRows } from '../use'
import { changeMarks } from './marking'

/** More than a screen can mark. */
const CHANGES_MAX = 500

export function useChanges(range: Range, service?: string | null) {
  const asking = useRows<Change>(`SELECT time, kind, entity, before, after, actor, source FROM changes WHERE ${timeSql(range)} ORDER BY time DESC LIMIT ${CHANGES_MAX}`)
  const marks = useMemo(() => changeMarks(asking.rows, service), [asking.rows, service])
  return { ...asking, marks }
}

/** What came after an instant against what was before it, within a window. */
export function compareAround(table: 'spans' | 'logs', predicate: string, range: Range, time: number): string {
  const at = rfc3339(time)
  return urlTo('/compare', { table, selection: predicate, baseline: predicate, from: at, to: rfc3339(range.end), baseline_from: rfc3339(range.start), baseline_to: at })
}
