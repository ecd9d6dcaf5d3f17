// Which lines are there? Newest first, a page at a time going back; only what is in view is in the document.
import { useVirtualizer } from '@tanstack/react-virtual'
import { useCallback, useEffect, useRef, useState } from 'react'
import { type Answer, objects, sql } from '../api'
import { plural } from '../format'
import { Pairs, useFilters } from '../parts/Fields'
import { Copy, Failed, HowKnown, Skeleton, knownBy } from '../parts/Panel'
import { Link } from '../shell/Shell'
import { all, literal, timeSql } from '../sql'
import { type Range, clock, exact, rfc3339 } from '../time'
import { setParams, urlTo, usePlace } from '../url'
import { useNow, useRows } from '../use'
import { pageEnd } from './page'

/** Lines of one request: some screens' worth, answered in a fraction of a second. */
const PAGE = 2000
/** Lines that are kept; older ones are for a narrower window. */
const LINES_MAX = 200_000
const ROW = 22

export interface Line {
  time: string
  severity_number: number
  severity_text: string | null
  service: string | null
  body: string | null
  trace_id: string | null
  span_id: string | null
}

interface Loaded {
  lines: Line[]
  /** Where the next page begins; null when there is none. */
  before: string | null
  /** There are older ones, which are not kept here. */
  cut: boolean
  last: Answer | null
  busy: boolean
  error: Error | null
}

const query = (predicate: string, window: string) =>
  `SELECT time, severity_number, severity_text, service_name AS service, body, hex(trace_id) AS trace_id, hex(span_id) AS span_id
FROM logs WHERE ${all(window, predicate)} ORDER BY time DESC LIMIT ${PAGE}`

function usePages(predicate: string, range: Range) {
  const now = useNow()
  const [loaded, setLoaded] = useState<Loaded>({ lines: [], before: null, cut: false, last: null, busy: true, error: null })
  const controller = useRef<AbortController | null>(null)
  const load = useCallback((window: string, lines: Line[]) => {
    const mine = new AbortController()
    controller.current?.abort()
    controller.current = mine
    setLoaded((state) => ({ ...state, busy: true }))
    sql(query(predicate, window), mine.signal).then((answer) => {
      const { kept, before } = pageEnd(objects<Line>(answer), PAGE)
      const all = [...lines, ...kept]
      const cut = before !== null && all.length >= LINES_MAX
      setLoaded({ lines: all, before: cut ? null : before, cut, last: answer, busy: false, error: null })
    }).catch((error: Error) => mine.signal.aborted || setLoaded((state) => ({ ...state, busy: false, before: null, error })))
  }, [predicate])
  const start = rfc3339(range.start)
  useEffect(() => {
    load(timeSql(range), [])
    return () => controller.current?.abort()
  }, [load, now, range.start, range.end])
  const more = useCallback(() => {
    if (loaded.before && !loaded.busy) load(`time >= ${literal(start)} AND ${loaded.before}`, loaded.lines)
  }, [load, loaded, start])
  return { ...loaded, more }
}

const level = (line: Line) => (line.severity_number >= 17 ? 'is-error' : line.severity_number >= 13 ? 'is-warn' : '')

/** What the URL calls a line: its instant, and which of those that share it. */
function nameOf(lines: Line[], index: number): string {
  const { time } = lines[index]!
  let first = index
  while (lines[first - 1]?.time === time) first -= 1
  return first === index ? time : `${time}~${index - first}`
}

/** The words of a search that are looked for in the text itself. */
const wordsOf = (text: string) => [...text.matchAll(/"([^"]+)"|([\p{L}\p{N}_]+)(?![=!/\p{L}])/gu)].map((match) => match[1] ?? match[2]!).filter((word) => word.length > 1)

export function Lines({ predicate, range, text }: { predicate: string; range: Range; text: string }) {
  const { lines, before, cut, last, busy, error, more } = usePages(predicate, range)
  const reached = useCallback((end: number) => {
    if (before && end > lines.length - 200) more()
  }, [before, lines.length, more])
  return (
    <section className={`panel ${busy ? 'busy' : ''}`} aria-label="Lines">
      <header>
        <span className="dim">{lines.length > 0 ? `${plural(lines.length, 'line')} ${before ? 'so far, older ones follow below' : cut ? 'shown; narrow the window for older ones' : 'in all'}` : ''}</span>
        <HowKnown known={knownBy(last)} />
      </header>
      {error ? <Failed error={error} /> : lines.length === 0 ? <div className="notice">{busy ? <Skeleton rows={12} /> : 'No line fits in this window. Widen the window or take a condition away.'}</div> : (
        <LineList lines={lines} beside={range.end} text={text} reached={reached} />
      )}
    </section>
  )
}

interface LineListProps {
  /** Newest first. */
  lines: Line[]
  /** Unix ms of a day whose times need no date. */
  beside: number
  /** What was searched for. */
  text: string
  /** Told the last line that is in view, by its number. */
  reached?: (end: number) => void
}

export function LineList({ lines, beside, text, reached }: LineListProps) {
  const box = useRef<HTMLDivElement>(null)
  const { params } = usePlace()
  const open = params.getAll('open')
  const rows = useVirtualizer({ count: lines.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 30 })
  const items = rows.getVirtualItems()
  const end = items.at(-1)?.index ?? 0
  useEffect(() => {
    reached?.(end)
  }, [reached, end])
  const toggle = (name: string) => setParams({ open: open.includes(name) ? open.filter((other) => other !== name) : [...open, name] }, { replace: true })
  const words = wordsOf(text)
  return (
    <div ref={box} className="lines" tabIndex={0} role="list" aria-label="Logs, newest first">
      <div className="inner" style={{ height: rows.getTotalSize() }}>
        {items.map(({ index, start }) => {
          const line = lines[index]
          if (!line) return null
          const name = nameOf(lines, index)
          const opened = open.includes(name)
          return (
            <div key={index} data-index={index} ref={rows.measureElement} role="listitem" className={`line-row ${level(line)}`} style={{ transform: `translateY(${start}px)` }}>
              <button className="head" aria-expanded={opened} onClick={() => toggle(name)}>
                <span className="edge" />
                <span className="dim nowrap">{clock(exact(line.time).ms, { beside, millis: true }).slice(-12)}</span>
                <span className="level cut">{line.severity_text ?? (line.severity_number || '–')}</span>
                <span className="cut soft">{line.service ?? '–'}</span>
                <span className="cut"><Marked text={line.body ?? ''} words={words} /></span>
              </button>
              {opened && <Opened line={line} />}
            </div>
          )
        })}
      </div>
    </div>
  )
}

/** The words that were searched for stand out. */
function Marked({ text, words }: { text: string; words: string[] }) {
  const shown = text.slice(0, 1000)
  if (words.length === 0) return shown
  const pattern = new RegExp(`(${words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|')})`, 'g')
  return shown.split(pattern).map((part, index) => (index % 2 ? <mark key={index}>{part}</mark> : part))
}

interface Whole {
  attributes: Record<string, string | null>
  resource_attributes: Record<string, string | null>
  event_name: string | null
}

function Opened({ line }: { line: Line }) {
  const { add } = useFilters()
  const same = (column: string, value: string | null) => (value === null ? `${column} IS NULL` : `${column} = ${literal(value)}`)
  const { rows, data, error } = useRows<Whole>(
    `SELECT attributes, resource_attributes, event_name FROM logs WHERE ${all(same('time', line.time), same('service_name', line.service), same('body', line.body), same('span_id', line.span_id))} LIMIT 1`,
  )
  const beside = useRows<{ logs: number; spans: number }>(
    line.trace_id ? `SELECT (SELECT count(*) FROM logs WHERE trace_id = ${literal(line.trace_id)}) AS logs, (SELECT count(*) FROM spans WHERE trace_id = ${literal(line.trace_id)}) AS spans` : null,
  )
  const whole = rows?.[0]
  const at = exact(line.time).ms
  return (
    <div className="open">
      <div className="row wrap">
        <span className="soft mono">{line.time}</span>
        {line.trace_id && (
          <Link className="button small" to={urlTo(`/traces/${line.trace_id}`, { view: 'list', span: line.span_id })}>
            This request: {beside.rows ? `${plural(beside.rows[0]?.logs ?? 0, 'log')}, ${plural(beside.rows[0]?.spans ?? 0, 'span')}` : '…'}
          </Link>
        )}
        {!line.trace_id && <span className="dim">no trace id, so no request to go to</span>}
        <Link className="button small quiet" to={urlTo('/logs', { from: rfc3339(at - 5000), to: rfc3339(at + 5000) })}>5 s around it</Link>
        <Copy text={line.body ?? ''} label="Copy text" title="Copy the message" />
        <HowKnown known={knownBy(data)} />
      </div>
      <pre>{line.body}</pre>
      {error && <Failed error={error} />}
      {!whole && !error && <Skeleton rows={4} />}
      {whole && <Pairs pairs={[...(whole.event_name ? [['event.name', whole.event_name] as [string, string]] : []), ...Object.entries(whole.attributes)]} family="attr" filter={add} />}
      {whole && <Pairs pairs={Object.entries(whole.resource_attributes)} family="resource" filter={add} />}
    </div>
  )
}
