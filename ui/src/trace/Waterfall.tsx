// When did each span run? One row a span on a canvas; only what is in view is drawn, however many there are.
import { type KeyboardEvent, type PointerEvent, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { duration } from '../format'
import { Marks } from '../parts/Marks'
import type { Mark } from '../parts/marking'
import { token, useTheme } from '../theme'
import { setParams, usePlace } from '../url'
import { useSize } from '../use'
import type { Node, Tree } from './layout'
import { rowsOf } from './layout'

const ROW = 22
const RULER = 30
const INDENT = 12
/** Deeper spans are drawn no further to the right, so that their names stay in view. */
const INDENTS_MAX = 14
/** Canvas coordinates and scroll heights end here in browsers; beyond it rows are reached with the keys. */
const SCROLL_MAX = 16_000_000

interface View {
  from: number
  to: number
}

interface Drawing {
  tree: Tree
  rows: number[]
  closed: ReadonlySet<number>
  selected: number
  view: View
  width: number
  height: number
  scroll: number
}

const nameWidth = (width: number) => Math.round(Math.min(420, Math.max(180, width * 0.38)))

function prepare(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const scale = window.devicePixelRatio
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale)
    canvas.height = Math.round(height * scale)
    canvas.style.width = `${width}px`
    canvas.style.height = `${height}px`
  }
  const context = canvas.getContext('2d')
  context?.setTransform(scale, 0, 0, scale, 0, 0)
  context?.clearRect(0, 0, width, height)
  return context
}

function colors() {
  const names = ['ink', 'ink-2', 'ink-3', 'line', 'hover', 'accent', 'accent-soft', 'error', 'error-soft', 'bar', 'bar-2', 'paper'] as const
  return Object.fromEntries(names.map((name) => [name, token(name)])) as Record<(typeof names)[number], string>
}

type Colors = ReturnType<typeof colors>

/** The text cut so that it fits; measured by characters, since measuring each row would be slow. */
function fit(text: string, pixels: number): string {
  const room = Math.floor(pixels / 6.6)
  return text.length <= room ? text : `${text.slice(0, Math.max(0, room - 1))}…`
}

function drawRows(canvas: HTMLCanvasElement, drawing: Drawing) {
  const context = prepare(canvas, drawing.width, drawing.height)
  if (!context) return
  const palette = colors()
  const left = nameWidth(drawing.width)
  context.font = '12px system-ui, sans-serif'
  context.textBaseline = 'middle'
  const first = Math.floor(drawing.scroll / ROW)
  const last = Math.min(drawing.rows.length, first + Math.ceil(drawing.height / ROW) + 1)
  const seen = drawing.rows.slice(first, last).map((index, place) => ({ index, node: drawing.tree.nodes[index]!, y: (first + place) * ROW - drawing.scroll }))
  for (const { index, y } of seen) {
    if (index !== drawing.selected) continue
    context.fillStyle = palette['accent-soft']
    context.fillRect(0, y, drawing.width, ROW)
  }
  const within = (from: number, to: number, paint: () => void) => {
    context.save()
    context.beginPath()
    context.rect(from, 0, to - from, drawing.height)
    context.clip()
    paint()
    context.restore()
  }
  within(0, left - 2, () => seen.forEach(({ index, node, y }) => drawName(context, palette, drawing, node, index, y, left)))
  within(left + 1, drawing.width, () => seen.forEach(({ node, y }) => drawSpan(context, palette, drawing, node, y, left)))
  context.fillStyle = palette.line
  context.fillRect(left, 0, 1, drawing.height)
}

function drawName(context: CanvasRenderingContext2D, palette: Colors, { closed }: Drawing, node: Node, index: number, y: number, left: number) {
  const x = 8 + Math.min(node.depth, INDENTS_MAX) * INDENT
  const middle = y + ROW / 2
  if (node.children.length > 0) {
    context.fillStyle = palette['ink-3']
    context.beginPath()
    if (closed.has(index)) {
      context.moveTo(x, middle - 4)
      context.lineTo(x + 6, middle)
      context.lineTo(x, middle + 4)
    } else {
      context.moveTo(x - 1, middle - 3)
      context.lineTo(x + 7, middle - 3)
      context.lineTo(x + 3, middle + 3)
    }
    context.fill()
  }
  let room = left - x - 16
  let at = x + 12
  if (node.failed) {
    // Filled: it began here. A ring: it was passed on.
    context.beginPath()
    context.arc(at + 4, middle, 4, 0, Math.PI * 2)
    context.fillStyle = context.strokeStyle = palette.error
    context.lineWidth = 1.5
    if (node.origin) context.fill()
    else context.stroke()
    at += 14
    room -= 14
  }
  const above = node.orphan ? '⤷ ' : ''
  const service = fit(above + (node.service || '(no service)'), room * 0.6)
  context.fillStyle = palette.ink
  context.fillText(service, at, middle)
  const used = context.measureText(service).width + 7
  context.fillStyle = palette['ink-2']
  if (room - used > 20) context.fillText(fit(node.name, room - used), at + used, middle)
}

function drawSpan(context: CanvasRenderingContext2D, palette: Colors, { view, width }: Drawing, node: Node, y: number, left: number) {
  const room = width - left - 8
  const x = (ns: number) => left + 4 + ((ns - view.from) / (view.to - view.from)) * room
  if (node.end < view.from || node.start > view.to) return
  const from = x(Math.max(node.start, view.from))
  const size = Math.max(2, x(Math.min(node.end, view.to)) - from)
  context.fillStyle = node.origin ? palette.error : node.failed ? palette['error-soft'] : palette['bar-2']
  context.fillRect(from, y + 6, size, 10)
  if (node.failed && !node.origin) {
    context.strokeStyle = palette.error
    context.lineWidth = 1
    context.strokeRect(from + 0.5, y + 6.5, Math.max(1, size - 1), 9)
  }
  context.fillStyle = palette.accent
  for (const [start, end] of node.segments) context.fillRect(x(start), y + 15, Math.max(1, x(end) - x(start)), 3)
  const text = node.open ? `${duration(node.end - node.start)} (no end)` : duration(node.end - node.start)
  const wide = text.length * 6.6
  context.fillStyle = palette['ink-2']
  const after = from + size + 6
  if (after + wide < width) context.fillText(text, after, y + ROW / 2)
  else if (from - wide - 6 > left) context.fillText(text, from - wide - 2, y + ROW / 2)
  else if (wide + 8 < size) {
    context.font = '10px system-ui, sans-serif'
    context.fillStyle = node.origin ? palette.paper : palette.ink
    context.fillText(text, from + 6, y + 11)
    context.font = '12px system-ui, sans-serif'
  }
}

function drawRuler(canvas: HTMLCanvasElement, view: View, width: number, drag: View | null) {
  const context = prepare(canvas, width, RULER)
  if (!context) return
  const palette = colors()
  const left = nameWidth(width)
  const room = width - left - 8
  context.font = '11px system-ui, sans-serif'
  context.textBaseline = 'middle'
  context.fillStyle = palette['ink-3']
  context.fillText(`Service and operation`, 12, RULER / 2)
  const steps = Math.max(2, Math.floor(room / 110))
  for (let step = 0; step <= steps; step += 1) {
    const x = left + 4 + (room * step) / steps
    context.fillStyle = palette.line
    context.fillRect(x, RULER - 6, 1, 6)
    context.fillStyle = palette['ink-3']
    context.textAlign = step === 0 ? 'left' : step === steps ? 'right' : 'center'
    context.fillText(duration(view.from + ((view.to - view.from) * step) / steps), x, RULER / 2 - 2)
  }
  if (drag) {
    const x = (ns: number) => left + 4 + ((ns - view.from) / (view.to - view.from)) * room
    context.globalAlpha = 0.25
    context.fillStyle = palette.accent
    context.fillRect(x(drag.from), 0, x(drag.to) - x(drag.from), RULER)
  }
}

/** Whether a press hits the arrow that closes and opens a span. */
function onArrow(node: Node, x: number): boolean {
  const arrow = 8 + Math.min(node.depth, INDENTS_MAX) * INDENT
  return node.children.length > 0 && x >= arrow - 4 && x <= arrow + 11
}

/** The row that a key leads to; null where the key is for something else. */
function rowAfter(key: string, row: number, rows: number, page: number): number | null {
  const moves: Record<string, number> = { ArrowDown: row + 1, ArrowUp: row - 1, PageDown: row + page, PageUp: row - page, Home: 0, End: rows - 1 }
  const to = moves[key]
  return to === undefined ? null : Math.min(Math.max(to, 0), rows - 1)
}

/** Which spans are closed and which stretch is seen: in the URL as `closed=ID…` and `zoom=FROM,TO`, in ns from the trace's start. */
function useShown(tree: Tree) {
  const { params } = usePlace()
  const ids = params.getAll('closed').join()
  const closed = useMemo<ReadonlySet<number>>(() => {
    const wanted = new Set(ids.split(','))
    return new Set(ids === '' ? [] : tree.nodes.flatMap(({ id }, index) => (wanted.has(id) ? [index] : [])))
  }, [tree, ids])
  const zoomed = params.get('zoom')
  const view = useMemo((): View => {
    const [from, to] = (zoomed ?? '').split(',').map(Number)
    return from !== undefined && to !== undefined && from < to ? { from, to } : { from: 0, to: Math.max(1, tree.duration) }
  }, [tree, zoomed])
  const fold = (index: number, close: boolean) => {
    const next = new Set(closed)
    if (close) next.add(index)
    else next.delete(index)
    setParams({ closed: [...next].map((index) => tree.nodes[index]!.id) }, { replace: true })
  }
  const zoom = (view: View | null) => setParams({ zoom: view && `${Math.floor(view.from)},${Math.ceil(view.to)}` }, { replace: true })
  return { closed, fold, view, zoom }
}

interface WaterfallProps {
  tree: Tree
  /** Index of the selected node, or -1. */
  selected: number
  select: (index: number) => void
  /** What changed while it ran. */
  marks: Mark[]
  to: (time: number) => string
}

export function Waterfall({ tree, selected, select, marks, to }: WaterfallProps) {
  const [box, { width, height }] = useSize<HTMLDivElement>()
  const canvas = useRef<HTMLCanvasElement>(null)
  const ruler = useRef<HTMLCanvasElement>(null)
  const { closed, fold, view, zoom } = useShown(tree)
  const [drag, setDrag] = useState<View | null>(null)
  const theme = useTheme()
  const rows = useMemo(() => rowsOf(tree, closed), [tree, closed])
  const draw = useCallback(() => {
    if (!canvas.current || !box.current || width === 0) return
    drawRows(canvas.current, { tree, rows, closed, selected, view, width, height, scroll: box.current.scrollTop })
  }, [box, tree, rows, closed, selected, view, width, height])
  useEffect(draw, [draw, theme.shown])
  useEffect(() => {
    if (ruler.current && width > 0) drawRuler(ruler.current, view, width, drag)
  }, [view, width, drag, theme.shown])
  useEffect(() => {
    const row = rows.indexOf(selected)
    if (row < 0 || !box.current) return
    const { scrollTop, clientHeight } = box.current
    if (row * ROW < scrollTop || (row + 1) * ROW > scrollTop + clientHeight) box.current.scrollTop = row * ROW - clientHeight / 2
  }, [selected, rows, box, height])

  const press = (event: PointerEvent) => {
    const bounds = event.currentTarget.getBoundingClientRect()
    const index = rows[Math.floor((event.clientY - bounds.top + (box.current?.scrollTop ?? 0)) / ROW)]
    if (index === undefined) return
    if (onArrow(tree.nodes[index]!, event.clientX - bounds.left)) fold(index, !closed.has(index))
    else select(index)
  }
  const key = (event: KeyboardEvent) => {
    const to = rowAfter(event.key, rows.indexOf(selected), rows.length, Math.max(1, Math.floor(height / ROW) - 1))
    const node = tree.nodes[selected]
    if (to !== null) select(rows[to] ?? -1)
    else if (event.key === 'ArrowLeft' && node) node.children.length > 0 && !closed.has(selected) ? fold(selected, true) : node.parent >= 0 && select(node.parent)
    else if (event.key === 'ArrowRight' && node) fold(selected, false)
    else return
    event.preventDefault()
  }
  const chosen = tree.nodes[selected]
  return (
    <div className="waterfall">
      <div className="ruled">
        <Ruler canvas={ruler} width={width} view={view} setDrag={setDrag} zoom={zoom} />
        <Marks marks={marks} range={{ start: tree.began.ms + view.from / 1e6, end: tree.began.ms + view.to / 1e6 }} left={nameWidth(width) + 4} right={4} top={RULER - 12} to={to} />
      </div>
      <div ref={box} className="scroller" tabIndex={0} role="group" aria-label="Spans. Up and down choose, left and right close and open." onScroll={draw} onKeyDown={key}>
        <div style={{ height: Math.min(SCROLL_MAX, rows.length * ROW) }}>
          <canvas ref={canvas} onPointerDown={press} />
        </div>
      </div>
      <p className="visually-hidden" aria-live="polite">{chosen ? `${chosen.service} ${chosen.name}, ${duration(chosen.end - chosen.start)}${chosen.failed ? ', failed' : ''}` : ''}</p>
    </div>
  )
}

interface RulerProps {
  canvas: React.RefObject<HTMLCanvasElement | null>
  width: number
  view: View
  setDrag: (drag: View | null) => void
  /** null: all of it. */
  zoom: (view: View | null) => void
}

/** The scale of time; dragging over it zooms in, a double click out. */
function Ruler({ canvas, width, view, setDrag, zoom }: RulerProps) {
  const origin = useRef<number | null>(null)
  const at = (event: PointerEvent) => {
    const left = nameWidth(width)
    const share = (event.clientX - event.currentTarget.getBoundingClientRect().left - left - 4) / (width - left - 8)
    return view.from + Math.min(1, Math.max(0, share)) * (view.to - view.from)
  }
  const to = (event: PointerEvent): View | null => {
    const here = at(event)
    return origin.current === null ? null : { from: Math.min(origin.current, here), to: Math.max(origin.current, here) }
  }
  return (
    <canvas
      ref={canvas} className="ruler" role="img" aria-label="Scale of time" title="Drag to zoom in, double click to zoom out"
      onPointerDown={(event) => { origin.current = at(event); event.currentTarget.setPointerCapture(event.pointerId) }}
      onPointerMove={(event) => setDrag(to(event))}
      onPointerUp={(event) => {
        // What the last movement set may not be drawn yet.
        const chosen = to(event)
        origin.current = null
        if (chosen && chosen.to - chosen.from > (view.to - view.from) / 200) zoom(chosen)
        setDrag(null)
      }}
      onDoubleClick={() => zoom(null)}
    />
  )
}
