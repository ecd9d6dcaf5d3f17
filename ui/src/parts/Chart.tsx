// How does a number move over time? uPlot with the house's colours, changes as marks, an onset as a band, and a drag, or
// arrows with Shift, that select a stretch of it.
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react'
import uPlot from 'uplot'
import { setRange } from '../shell/TimePicker'
import { token, useTheme } from '../theme'
import { type Range, clock } from '../time'
import { useSize } from '../use'
import { type Cursor, moved } from './cells'
import { Marks } from './Marks'
import { type Mark, markText } from './marking'

export interface Series {
  label: string
  values: (number | null)[]
  /** Name of a colour token. */
  color: string
  kind: 'line' | 'bars'
}

export interface Band {
  from: number
  to: number
  at: number
  label: string
}

interface ChartProps {
  /** Unix ms of each bucket's start. */
  times: number[]
  series: Series[]
  range: Range
  /** Bars stand on each other. */
  stacked?: boolean
  format: (value: number) => string
  height?: number
  marks: Mark[]
  /** Where the mark of an instant leads to. */
  to: (time: number) => string
  band?: Band | null
  /** What dragging does, given Unix ms; without it the window is set. */
  drag?: (start: number, end: number) => void
  /** What was dragged over before. */
  selected?: Range | null
  label: string
}

/** Pixels around the plot: room for the marks above, the times below, the numbers to the left. */
const TOP = 10
const RIGHT = 22
const FOOT = 24
const LEFT = 46

/** Sums from below, so that bars drawn back to front stand on each other. */
function stack(series: Series[]): (number | null)[][] {
  const sums: number[] = []
  return series.map(({ values }) => values.map((value, index) => (sums[index] = (sums[index] ?? 0) + (value ?? 0))))
}

function drawBand(plot: uPlot, band: Band) {
  const { ctx, bbox } = plot
  const x = (ms: number) => plot.valToPos(ms / 1000, 'x', true)
  ctx.save()
  ctx.fillStyle = token('error-soft')
  ctx.globalAlpha = 0.75
  ctx.fillRect(x(band.from), bbox.top, Math.max(2, x(band.to) - x(band.from)), bbox.height)
  ctx.globalAlpha = 1
  ctx.fillStyle = token('error')
  ctx.fillRect(x(band.at) - 0.75 * devicePixelRatio, bbox.top, 1.5 * devicePixelRatio, bbox.height)
  ctx.restore()
}

function drawSelected(plot: uPlot, { start, end }: Range) {
  const { ctx, bbox } = plot
  const x = (ms: number) => plot.valToPos(ms / 1000, 'x', true)
  ctx.save()
  ctx.fillStyle = ctx.strokeStyle = token('ink')
  ctx.lineWidth = 1.5 * devicePixelRatio
  ctx.strokeRect(x(start), bbox.top, x(end) - x(start), bbox.height)
  ctx.globalAlpha = 0.08
  ctx.fillRect(x(start), bbox.top, x(end) - x(start), bbox.height)
  ctx.restore()
}

/** What the cursor stands on, in words, as text nodes. */
function showTip(tip: HTMLElement, plot: uPlot, props: ChartProps) {
  const index = plot.cursor.idx
  const left = plot.cursor.left ?? -1
  if (index === null || index === undefined || left < 0) {
    tip.hidden = true
    return
  }
  const at = props.times[index] ?? 0
  const near = plot.posToVal(left, 'x') * 1000
  const reach = (plot.posToVal(left + 5, 'x') - plot.posToVal(left, 'x')) * 1000
  const lines = [clock(at), ...props.series.map(({ label, values }) => `${label}  ${values[index] === null || values[index] === undefined ? '–' : props.format(values[index])}`)]
  for (const mark of props.marks) if (Math.abs(mark.time - near) <= reach) lines.push(`▾ ${markText(mark)}`)
  if (props.band && near >= props.band.from - reach && near <= props.band.to + reach) lines.push(props.band.label)
  tip.replaceChildren(...lines.map((line) => Object.assign(document.createElement('div'), { textContent: line })))
  tip.hidden = false
  const width = plot.bbox.width / devicePixelRatio
  const offset = plot.bbox.left / devicePixelRatio
  tip.style.left = `${left > width / 2 ? left + offset - tip.offsetWidth - 10 : left + offset + 10}px`
  tip.style.top = '4px'
}

function options(props: ChartProps, width: number, tip: HTMLElement): uPlot.Options {
  const axis = { stroke: token('ink-3'), grid: { stroke: token('line'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' }
  const bars = uPlot.paths.bars?.({ size: [0.86, 40], align: 1, gap: 0 })
  const drawn = props.stacked ? props.series.toReversed() : props.series
  return {
    width,
    height: props.height ?? 150,
    padding: [TOP, RIGHT, 0, 0],
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: true, y: false, setScale: false } },
    scales: {
      x: { range: () => [props.range.start / 1000, props.range.end / 1000] },
      y: { range: (_plot, _low, high) => [0, Math.max(high * 1.08, 1e-9)] },
    },
    axes: [
      { ...axis, size: FOOT, space: 80, values: (_plot, splits) => splits.map((split) => axisTime(split * 1000, props.range)) },
      { ...axis, size: LEFT, space: 22, values: (_plot, splits) => splits.map((split) => props.format(split)) },
    ],
    series: [
      {},
      ...drawn.map((series) => ({
        label: series.label,
        stroke: token(series.color),
        fill: series.kind === 'bars' ? token(series.color) : undefined,
        width: series.kind === 'bars' ? 0 : 1.5,
        paths: series.kind === 'bars' ? bars : undefined,
        points: { show: false },
        spanGaps: false,
      })),
    ],
    hooks: {
      drawAxes: [(plot) => props.band && drawBand(plot, props.band)],
      draw: [(plot) => props.selected && drawSelected(plot, props.selected)],
      setCursor: [(plot) => showTip(tip, plot, props)],
      setSelect: [(plot) => {
        const { left, width } = plot.select
        if (width < 4) return
        const choose = props.drag ?? setRange
        choose(plot.posToVal(left, 'x') * 1000, plot.posToVal(left + width, 'x') * 1000)
      }],
    },
  }
}

function axisTime(ms: number, range: Range): string {
  const text = clock(ms, { beside: ms })
  const long = range.end - range.start > 86_400_000
  const at = new Date(ms)
  return long ? `${at.getMonth() + 1}/${at.getDate()} ${text.slice(0, 5)}` : range.end - range.start > 600_000 ? text.slice(0, 5) : text
}

/** A stretch chosen by keyboard, bucket by bucket. */
function useWalk({ times, range, drag }: ChartProps) {
  const [cursor, setCursor] = useState<Cursor | null>(null)
  const step = times.length > 1 ? times[1]! - times[0]! : range.end - range.start
  const walked = useMemo((): Range | null => {
    const ends = cursor && [cursor.column, cursor.from.column].map((column) => times[column] ?? range.start).sort((left, right) => left - right)
    return ends && { start: Math.max(range.start, ends[0]!), end: Math.min(range.end, ends[1]! + step) }
  }, [cursor, times, range.start, range.end, step])
  const key = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget) return
    const next = moved(cursor, event.key, event.shiftKey, { columns: times.length, low: 0, high: 0 })
    if (next) setCursor(next)
    else if (event.key === 'Enter' && walked) {
      setCursor(null)
      const choose = drag ?? setRange
      choose(walked.start, walked.end)
    } else if (event.key === 'Escape' && cursor) setCursor(null)
    else return
    event.preventDefault()
  }
  return { walked, key, leave: () => setCursor(null) }
}

export function Chart(props: ChartProps) {
  const [box, { width }] = useSize<HTMLDivElement>()
  const tip = useRef<HTMLDivElement>(null)
  const theme = useTheme()
  const { walked, key, leave } = useWalk(props)
  const selected = walked ?? props.selected
  const data = useMemo(() => {
    const columns = props.stacked ? stack(props.series).toReversed() : props.series.map(({ values }) => values)
    return [props.times.map((time) => time / 1000), ...columns] as uPlot.AlignedData
  }, [props.times, props.series, props.stacked])
  useEffect(() => {
    if (!box.current || !tip.current || width === 0) return
    const plot = new uPlot(options({ ...props, selected }, width, tip.current), data, box.current)
    return () => plot.destroy()
    // The plot is made anew with its data: at some hundred points that costs about a millisecond.
  }, [box, data, width, theme.shown, props.marks, props.band, props.range.start, props.range.end, selected?.start, selected?.end])
  return (
    <div className="chart" style={{ minHeight: props.height ?? 150 }} tabIndex={0} role="group" aria-label="Chart. Left and right move, with Shift they select, Enter takes the selection." onKeyDown={key} onBlur={leave}>
      <div ref={box} role="img" aria-label={props.label} />
      <div ref={tip} className="tip" hidden />
      <Marks marks={props.marks} range={props.range} left={LEFT} right={RIGHT} top={TOP} bottom={FOOT} to={props.to} />
      <p className="visually-hidden" aria-live="polite">{walked && `${clock(walked.start)} to ${clock(walked.end)}. Enter selects.`}</p>
    </div>
  )
}

/** The starts of all buckets of a window, as the server's date_bin lays them (from 1970 on). */
export function buckets(range: Range, seconds: number): number[] {
  const step = seconds * 1000
  const first = Math.floor(range.start / step) * step
  return Array.from({ length: Math.max(1, Math.ceil((range.end - first) / step)) }, (_, index) => first + index * step)
}
