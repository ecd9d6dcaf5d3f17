// Which changes does a chart mark, where, and in which words? The same for every chart; `Marks` draws them.
import type { Change } from '../api'
import { type Range, clock } from '../time'

export interface Mark {
  /** Unix ms. */
  time: number
  label: string
  /** `soft` is a change that is likely to be another's; `ok` what was done against the incident. */
  tone: 'accent' | 'soft' | 'ok'
}

/** Marks too close to be pointed at one by one. */
export interface Cluster {
  /** Where in the window, from 0 to 1. */
  at: number
  marks: Mark[]
}

export const changeText = (change: Change) =>
  `${change.kind} ${change.entity}${change.before !== null && change.before !== undefined ? `: ${change.before} → ${change.after ?? '–'}` : change.after ? `: ${change.after}` : ''}`

/** Releases of other services stand back where one service is looked at; a flag or a setting may be anybody's. */
const isOthers = (change: Change, service: string | null | undefined) => Boolean(service) && change.entity !== service && (change.kind === 'version' || change.kind === 'deploy')

export const changeMarks = (changes: Change[] | null | undefined, service?: string | null): Mark[] =>
  (changes ?? []).map((change) => ({ time: Date.parse(change.time), label: changeText(change), tone: isOthers(change, service) ? 'soft' : 'accent' }))

/** The marks of a window from left to right; those within `near` of the first of a cluster, a share of the window, join it. */
export function clustered(marks: Mark[], range: Range, near: number): Cluster[] {
  const clusters: Cluster[] = []
  const inside = marks.filter(({ time }) => time >= range.start && time <= range.end)
  for (const mark of inside.sort((left, right) => left.time - right.time)) {
    const at = (mark.time - range.start) / (range.end - range.start)
    const last = clusters.at(-1)
    if (last && at - last.at < near) last.marks.push(mark)
    else clusters.push({ at, marks: [mark] })
  }
  return clusters
}

export const markText = ({ time, label }: Mark) => `${clock(time)} ${label}`
