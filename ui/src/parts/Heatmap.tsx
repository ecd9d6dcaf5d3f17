// Where do durations lie over time? Time across, log duration up, the count as colour; dragging selects a rectangle, and so do
// arrows with Shift.
import { type KeyboardEvent, type PointerEvent, type RefObject, useEffect, useMemo, useRef, useState } from 'react'
import { count, duration } from '../format'
import { token, useTheme } from '../theme'
import { type Range, clock } from '../time'
import { useSize } from '../use'
import { type Cursor, moved } from './cells'
import { Marks } from './Marks'
import type { Mark } from './marking'

/** Rows of the map in one factor of ten. */
export const ROWS_PER_DECADE = 8

export interface Cell {
  /** Unix ms of the bucket's start. */
  time: number
  /** floor(log10(ns) * ROWS_PER_DECADE) */
  level: number
  count: number
  errors: number
}

/** A rectangle of the map: Unix ms across, ns up. */
export interface Selection {
  start: number
  end: number
  low: number
  high: number
}

interface HeatmapProps {
  cells: Cell[]
  range: Range
  bucketMs: number
  selection: Selection | null
  select: (selection: Selection | null) => void
  marks: Mark[]
  /** Where the mark of an instant leads to. */
  to: (time: number) => string
}

const HEIGHT = 220
const LEFT = 54
const FOOT = 22
const TOP = 10
const RIGHT = 6

interface Frame {
  width: number
  low: number
  high: number
  range: Range
}

export const levelNs = (level: number) => 10 ** (level / ROWS_PER_DECADE)
const inner = (frame: Frame) => ({ width: frame.width - LEFT - RIGHT, height: HEIGHT - FOOT - TOP })
const xOf = (frame: Frame, ms: number) => LEFT + ((ms - frame.range.start) / (frame.range.end - frame.range.start)) * inner(frame).width
const yOf = (frame: Frame, level: number) => TOP + (1 - (level - frame.low) / (frame.high - frame.low)) * inner(frame).height
const msAt = (frame: Frame, x: number) => frame.range.start + (Math.min(Math.max(x - LEFT, 0), inner(frame).width) / inner(frame).width) * (frame.range.end - frame.range.start)
const levelAt = (frame: Frame, y: number) => frame.low + (1 - Math.min(Math.max((y - TOP) / inner(frame).height, 0), 1)) * (frame.high - frame.low)

function frameOf(cells: Cell[], range: Range, width: number): Frame {
  const levels = cells.map(({ level }) => level)
  const low = levels.reduce((least, level) => Math.min(least, level), Infinity)
  const high = levels.reduce((most, level) => Math.max(most, level), -Infinity)
  if (!Number.isFinite(low)) return { width, range, low: 6 * ROWS_PER_DECADE, high: 10 * ROWS_PER_DECADE }
  // Few levels stand in the middle of two decades, rather than as a line at the foot of many.
  const beside = Math.max(0, Math.ceil((2 * ROWS_PER_DECADE - (high - low)) / 2))
  return { width, range, low: low - 1 - beside, high: high + 2 + beside }
}

function paint(canvas: HTMLCanvasElement, frame: Frame, props: HeatmapProps, drawn: Selection | null) {
  const scale = window.devicePixelRatio
  canvas.width = frame.width * scale
  canvas.height = HEIGHT * scale
  canvas.style.width = `${frame.width}px`
  canvas.style.height = `${HEIGHT}px`
  const context = canvas.getContext('2d')
  if (!context) return
  context.scale(scale, scale)
  paintAxes(context, frame)
  const most = Math.max(1, ...props.cells.map((cell) => cell.count))
  const [calm, bad] = [token('accent'), token('error')]
  for (const cell of props.cells) {
    const left = Math.max(LEFT, xOf(frame, cell.time))
    const right = Math.min(LEFT + inner(frame).width, xOf(frame, cell.time + props.bucketMs))
    const [top, bottom] = [yOf(frame, cell.level + 1), yOf(frame, cell.level)]
    // A square root keeps single slow requests visible beside thousands of fast ones.
    context.globalAlpha = 0.18 + 0.82 * Math.sqrt(cell.count / most)
    context.fillStyle = cell.errors * 2 > cell.count ? bad : calm
    context.fillRect(left, top, Math.max(1, right - left - 0.5), Math.max(1, bottom - top - 0.5))
    if (cell.errors > 0 && cell.errors * 2 <= cell.count) {
      context.globalAlpha = 1
      context.fillStyle = bad
      context.fillRect(left, bottom - 2, Math.max(1, right - left - 0.5), 1.5)
    }
  }
  context.globalAlpha = 1
  if (drawn) paintSelection(context, frame, drawn)
}

function paintAxes(context: CanvasRenderingContext2D, frame: Frame) {
  context.font = '11px system-ui, sans-serif'
  context.fillStyle = token('ink-3')
  context.strokeStyle = token('line')
  context.textBaseline = 'middle'
  context.textAlign = 'right'
  for (let level = Math.ceil(frame.low / ROWS_PER_DECADE) * ROWS_PER_DECADE; level <= frame.high; level += ROWS_PER_DECADE) {
    const y = Math.round(yOf(frame, level)) + 0.5
    context.beginPath()
    context.moveTo(LEFT, y)
    context.lineTo(frame.width - RIGHT, y)
    context.stroke()
    context.fillText(duration(levelNs(level)), LEFT - 6, y)
  }
  context.textAlign = 'center'
  const steps = Math.max(2, Math.floor(inner(frame).width / 130))
  for (let step = 0; step <= steps; step += 1) {
    const ms = frame.range.start + ((frame.range.end - frame.range.start) * step) / steps
    context.textAlign = step === 0 ? 'left' : step === steps ? 'right' : 'center'
    context.fillText(clock(ms, { beside: ms }), xOf(frame, ms), HEIGHT - FOOT / 2 + 2)
  }
}

function paintSelection(context: CanvasRenderingContext2D, frame: Frame, { start, end, low, high }: Selection) {
  const level = (ns: number) => Math.log10(Math.max(1, ns)) * ROWS_PER_DECADE
  const [x, y] = [xOf(frame, start), yOf(frame, level(high))]
  const [width, height] = [xOf(frame, end) - x, yOf(frame, level(low)) - y]
  context.fillStyle = token('ink')
  context.globalAlpha = 0.08
  context.fillRect(x, y, width, height)
  context.globalAlpha = 1
  context.strokeStyle = token('ink')
  context.lineWidth = 1.5
  context.strokeRect(x, y, width, height)
}

/** The rectangle from one corner to the other, both cells included. */
function rectangle({ column, level, from }: Cursor, { range, bucketMs }: HeatmapProps): Selection {
  const first = Math.floor(range.start / bucketMs) * bucketMs
  return {
    start: first + Math.min(column, from.column) * bucketMs,
    end: first + (Math.max(column, from.column) + 1) * bucketMs,
    low: levelNs(Math.min(level, from.level)),
    high: levelNs(Math.max(level, from.level) + 1),
  }
}

/** What a rectangle holds, for who can't see it. */
function inWords({ start, end, low, high }: Selection, cells: Cell[]): string {
  const level = (ns: number) => Math.round(Math.log10(ns) * ROWS_PER_DECADE)
  const held = cells.filter((cell) => cell.time >= start && cell.time < end && cell.level >= level(low) && cell.level < level(high))
  const [total, failed] = [held.reduce((sum, cell) => sum + cell.count, 0), held.reduce((sum, cell) => sum + cell.errors, 0)]
  return `${clock(start)} to ${clock(end)}, ${duration(low)} to ${duration(high)}: ${count(total)}, ${count(failed)} failed. Enter selects.`
}

export function Heatmap(props: HeatmapProps) {
  const [box, { width }] = useSize<HTMLDivElement>()
  const canvas = useRef<HTMLCanvasElement>(null)
  const [drawing, setDrawing] = useState<Selection | null>(null)
  const [cursor, setCursor] = useState<Cursor | null>(null)
  const theme = useTheme()
  const frame = frameOf(props.cells, props.range, width)
  const walked = useMemo(() => cursor && rectangle(cursor, props), [cursor, props.range.start, props.range.end, props.bucketMs])
  const shown = drawing ?? walked ?? props.selection
  useEffect(() => {
    if (canvas.current && width > 0) paint(canvas.current, frame, props, shown)
  }, [props.cells, props.range.start, props.range.end, width, theme.shown, shown])

  const choose = (selection: Selection | null) => {
    setCursor(null)
    props.select(selection)
  }
  const key = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget) return
    const columns = Math.ceil((props.range.end - props.range.start) / props.bucketMs)
    const next = moved(cursor, event.key, event.shiftKey, { columns, low: Math.floor(frame.low), high: Math.ceil(frame.high) - 1 })
    if (next) setCursor(next)
    else if (event.key === 'Enter' && walked) choose(walked)
    else if (event.key === 'Escape') choose(null)
    else return
    event.preventDefault()
  }
  return (
    <div ref={box} className="canvas-box map" style={{ height: HEIGHT }} tabIndex={0} role="group" aria-label="Map of durations. Arrows move, with Shift they select, Enter takes the selection, Escape forgets it." onKeyDown={key} onBlur={() => setCursor(null)}>
      <Surface canvas={canvas} frame={frame} props={props} draw={setDrawing} choose={choose} />
      <Marks marks={props.marks} range={props.range} left={LEFT} right={RIGHT} top={TOP} bottom={FOOT} to={props.to} />
      <p className="visually-hidden" aria-live="polite">{walked && inWords(walked, props.cells)}</p>
    </div>
  )
}

interface SurfaceProps {
  canvas: RefObject<HTMLCanvasElement | null>
  frame: Frame
  props: HeatmapProps
  /** What is being dragged over. */
  draw: (selection: Selection | null) => void
  choose: (selection: Selection | null) => void
}

/** The map as the pointer has it: words for what it stands on, a rectangle while it drags. */
function Surface({ canvas, frame, props, draw, choose }: SurfaceProps) {
  const drag = useRef<{ x: number; y: number } | null>(null)
  const [tip, setTip] = useState<{ x: number; y: number; text: string } | null>(null)
  const at = (event: PointerEvent) => {
    const bounds = event.currentTarget.getBoundingClientRect()
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top }
  }
  const between = (from: { x: number; y: number }, to: { x: number; y: number }): Selection => ({
    start: msAt(frame, Math.min(from.x, to.x)),
    end: msAt(frame, Math.max(from.x, to.x)),
    low: levelNs(levelAt(frame, Math.max(from.y, to.y))),
    high: levelNs(levelAt(frame, Math.min(from.y, to.y))),
  })
  const move = (event: PointerEvent) => {
    const here = at(event)
    if (drag.current) {
      setTip(null)
      draw(between(drag.current, here))
      return
    }
    const [ms, level] = [msAt(frame, here.x), Math.floor(levelAt(frame, here.y))]
    const cell = props.cells.find((cell) => cell.level === level && ms >= cell.time && ms < cell.time + props.bucketMs)
    const text = cell && `${count(cell.count)} × ${duration(levelNs(level))}–${duration(levelNs(level + 1))}${cell.errors ? `, ${count(cell.errors)} failed` : ''} · ${clock(cell.time)}`
    setTip(text ? { ...here, text } : null)
  }
  const up = (event: PointerEvent) => {
    const from = drag.current
    drag.current = null
    draw(null)
    if (!from) return
    const here = at(event)
    const large = Math.abs(here.x - from.x) > 4 && Math.abs(here.y - from.y) > 4
    choose(large ? between(from, here) : null)
  }
  const far = tip && tip.x > frame.width / 2
  return (
    <>
      <canvas
        ref={canvas} role="img" aria-label="Durations over time. Drag to select."
        onPointerDown={(event) => { drag.current = at(event); event.currentTarget.setPointerCapture(event.pointerId) }}
        onPointerMove={move} onPointerUp={up} onPointerLeave={() => setTip(null)}
      />
      {tip && <div className="tip" style={{ left: far ? undefined : tip.x + 12, right: far ? frame.width - tip.x + 12 : undefined, top: Math.max(0, tip.y - 30) }}>{tip.text}</div>}
    </>
  )
}
