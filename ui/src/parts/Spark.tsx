// Which way does a number go? A line without axes, as wide as its cell, with the changes of its window.
import type { Range } from '../time'
import { Marks } from './Marks'
import type { Mark } from './marking'

interface SparkProps {
  /** Unix ms of each bucket's start. */
  times: number[]
  values: (number | null)[]
  range: Range
  /** Unix ms from which on the numbers beside it are counted; nothing where that is the whole line. */
  since?: number
  marks: Mark[]
  to: (time: number) => string
  bad?: boolean
  /** Every one counts: what came just now is shown although its bucket has only begun. */
  counts?: boolean
  label: string
}

type Point = readonly [string, string]

/** What is known, in stretches: where nothing was measured there is no line. */
function stretches(points: (Point | null)[]): Point[][] {
  const found: Point[][] = []
  points.forEach((point, index) => {
    if (!point) return
    if (points[index - 1]) found.at(-1)!.push(point)
    else found.push([point])
  })
  return found
}

export function Spark({ times, values: all, range, since, marks, to, bad, counts, label }: SparkProps) {
  // The last bucket has only begun: drawn, it would look like a fall.
  const values = all.length > 2 && !counts ? all.slice(0, -1) : all
  const top = Math.max(...values.map((value) => value ?? 0), 1e-9)
  const step = (times[1] ?? range.end) - (times[0] ?? range.start)
  const x = (ms: number) => Math.min(100, Math.max(0, ((ms - range.start) / (range.end - range.start)) * 100)).toFixed(2)
  const points = values.map((value, index) => (value === null ? null : ([x((times[index] ?? range.start) + step / 2), (25 - (value / top) * 22).toFixed(2)] as const)))
  const lines = stretches(points)
  return (
    <div className={bad ? 'spark bad' : 'spark'}>
      <svg viewBox="0 0 100 26" preserveAspectRatio="none" role="img" aria-label={label}>
        <path className="area" d={lines.map((line) => `M${line[0]![0]},26 L${line.map((point) => point.join()).join(' ')} L${line.at(-1)![0]},26 Z`).join(' ')} />
        <path className="line" d={lines.map((line) => `M${line.map((point) => point.join()).join(' L')}`).join(' ')} />
        {since !== undefined && <line className="at" x1={x(since)} x2={x(since)} y1="0" y2="26" />}
      </svg>
      <Marks marks={marks} range={range} to={to} small />
    </div>
  )
}
