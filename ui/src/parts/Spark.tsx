// Which way does a number go? A line without axes, as wide as its cell, with the changes of its window.
import type { Range } from '../time'
import { Marks } from './Marks'
import type { Mark } from './marks'

interface SparkProps {
  /** Unix ms of each bucket's start. */
  times: number[]
  values: (number | null)[]
  range: Range
  /** Unix ms from which on the numbers beside it are counted. */
  since: number
  marks: Mark[]
  to: (time: number) => string
  bad?: boolean
  label: string
}

export function Spark({ times, values: all, range, since, marks, to, bad, label }: SparkProps) {
  // The last bucket has only begun: drawn, it would look like a fall.
  const values = all.length > 2 ? all.slice(0, -1) : all
  const top = Math.max(...values.map((value) => value ?? 0), 1e-9)
  const step = (times[1] ?? range.end) - (times[0] ?? range.start)
  const x = (ms: number) => Math.min(100, Math.max(0, ((ms - range.start) / (range.end - range.start)) * 100)).toFixed(2)
  const points = values.map((value, index) => `${x((times[index] ?? range.start) + step / 2)},${(25 - ((value ?? 0) / top) * 22).toFixed(2)}`)
  const ends = [points[0], points.at(-1)].map((point) => point?.split(',')[0] ?? 0)
  return (
    <div className={bad ? 'spark bad' : 'spark'}>
      <svg viewBox="0 0 100 26" preserveAspectRatio="none" role="img" aria-label={label}>
        <polygon className="area" points={`${ends[0]},26 ${points.join(' ')} ${ends[1]},26`} />
        <polyline className="line" points={points.join(' ')} />
        <line className="at" x1={x(since)} x2={x(since)} y1="0" y2="26" />
      </svg>
      <Marks marks={marks} range={range} to={to} small />
    </div>
  )
}
