// How is a change seen on a chart? A line with a triangle over it; pointed at or focused it says what it was, followed it compares
// what came after with what was before.
import { type FocusEvent, type KeyboardEvent, type PointerEvent, useMemo, useState } from 'react'
import { plural } from '../format'
import { Link } from '../shell/Shell'
import type { Range } from '../time'
import { type Mark, clustered, markText } from './marking'

/** Shares of the window within which marks are one: a triangle is this wide on a chart, and on a small one. */
const NEAR = 0.012
const NEAR_SMALL = 0.07
/** Lines in the words of one mark; more are counted. */
const LINES_MAX = 6

interface MarksProps {
  marks: Mark[]
  range: Range
  /** Pixels between the edges of the chart and its plot. */
  left?: number
  right?: number
  top?: number
  bottom?: number
  /** One of many small charts: it is reached by pointer only, since the same changes stand in a list beside it. */
  small?: boolean
  /** Where a mark leads to. */
  to: (time: number) => string
}

interface Words {
  x: number
  y: number
  lines: string[]
}

export function Marks({ marks, range, left = 0, right = 0, top = 0, bottom = 0, small = false, to }: MarksProps) {
  const clusters = useMemo(() => clustered(marks, range, small ? NEAR_SMALL : NEAR), [marks, range.start, range.end, small])
  const [active, setActive] = useState(0)
  const [words, setWords] = useState<Words | null>(null)
  if (clusters.length === 0) return null
  const say = (event: FocusEvent | PointerEvent, lines: string[]) => {
    const { left, bottom } = event.currentTarget.getBoundingClientRect()
    setWords({ x: left, y: bottom, lines })
  }
  const walk = (event: KeyboardEvent<HTMLElement>) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (step === undefined) return
    event.preventDefault()
    event.currentTarget.querySelectorAll('a')[Math.min(Math.max(active + step, 0), clusters.length - 1)]?.focus()
  }
  return (
    <div className={small ? 'marks small' : 'marks'} style={{ left, right, top, bottom }} role="group" aria-label={`${plural(marks.length, 'change')}, left and right go from one to the next`} onKeyDown={walk}>
      {clusters.map((cluster, index) => {
        const lines = cluster.marks.map(markText)
        return (
          <Link
            key={index} to={to(cluster.marks[0]!.time)} className={`mark ${toneOf(cluster.marks)}`} style={{ left: `${cluster.at * 100}%` }}
            tabIndex={!small && index === Math.min(active, clusters.length - 1) ? 0 : -1} aria-label={`${lines.join('; ')}. Compare after with before`}
            onFocus={(event) => { setActive(index); say(event, lines) }} onBlur={() => setWords(null)}
            onPointerEnter={(event) => say(event, lines)} onPointerLeave={() => setWords(null)}
          />
        )
      })}
      {words && <Said words={words} />}
    </div>
  )
}

const toneOf = (marks: Mark[]) => (['ok', 'accent', 'soft'] as const).find((tone) => marks.some((mark) => mark.tone === tone))

/** Stands beside the mark, fixed on screen: cells of tables would cut it off. */
function Said({ words: { x, y, lines } }: { words: Words }) {
  const far = x > window.innerWidth / 2
  return (
    <div className="tip fixed" style={{ top: y + 4, left: far ? undefined : x, right: far ? window.innerWidth - x - 12 : undefined }}>
      {lines.slice(0, LINES_MAX).map((line, index) => <div key={index} className="cut">{line}</div>)}
      {lines.length > LINES_MAX && <div className="dim">and {lines.length - LINES_MAX} more</div>}
      <div className="dim">compare after with before</div>
    </div>
  )
}
