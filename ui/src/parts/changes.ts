// What changed? The table `changes` over a window, for lists and for markers on charts.
import { useMemo } from 'react'
import type { Change } from '../api'
import { literal, timeSql } from '../sql'
import type { Range } from '../time'
import { useRows } from '../use'
import { changeMarks } from './Chart'

/** More than a screen can mark. */
const CHANGES_MAX = 500

export function useChanges(range: Range, service?: string | null) {
  const only = service ? ` AND (entity = ${literal(service)} OR kind <> 'version')` : ''
  const asking = useRows<Change>(`SELECT time, kind, entity, before, after, actor, source FROM changes WHERE ${timeSql(range)}${only} ORDER BY time DESC LIMIT ${CHANGES_MAX}`)
  const marks = useMemo(() => changeMarks(asking.rows), [asking.rows])
  return { ...asking, marks }
}
