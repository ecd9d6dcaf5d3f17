// Which requests were slow or failed? A search, a map of durations to drag over, and the traces behind what was selected.
import { type ReactNode, useMemo, useState } from 'react'
import { count, duration, parseDuration, plural } from '../format'
import { compareAround, useChanges } from '../parts/changes'
import { Chips, useFilters } from '../parts/Fields'
import { type Cell, Heatmap, ROWS_PER_DECADE, type Selection } from '../parts/Heatmap'
import { Failed, Panel, Skeleton, knownBy } from '../parts/Panel'
import { Link } from '../shell/Shell'
import { ENTRY, all, filterSql, literal, timeSql } from '../sql'
import { type Range, bucketSeconds, clock, exact, rfc3339 } from '../time'
import { go, setParams, urlTo, usePlace } from '../url'
import { useRange, useRows, useSeen } from '../use'
import { OWN } from './own'

/** Columns of the map: about one for each 8 pixels. */
const MAP_BUCKETS = 120
/** Traces in the list: more are for a narrower search. */
const LISTED_MAX = 200

export interface Search {
  service: string
  operation: string
  min: string
  errors: boolean
  every: boolean
  own: boolean
  predicate: string
}

function searchOf(params: URLSearchParams): Search {
  const get = (name: string) => params.get(name) ?? ''
  return { service: get('service'), operation: get('operation'), min: get('min'), errors: get('errors') === '1', every: get('spans') === 'all', own: get('own') === '1', predicate: get('q') }
}

/** What a search is among: the requests of a service and an operation, or of all. A predicate over spans, without the window. */
const amongPredicate = (search: Search) => all(
  search.service && `service_name = ${literal(search.service)}`,
  search.operation && `name = ${literal(search.operation)}`,
  !search.every && ENTRY,
  !search.own && !search.service && OWN,
)

/** What it picks out of them. */
function pickedPredicate(search: Search, filters: string[]): string {
  const least = parseDuration(search.min)
  return all(least !== null && `duration_ns >= ${least}`, search.errors && 'status_code = 2', ...filters, search.predicate && `(${search.predicate})`)
}

function selectionOf(params: URLSearchParams): Selection | null {
  const [start, end, low, high] = (params.get('sel') ?? '').split(',').map(Number)
  const given = [start, end, low, high].every((number) => number !== undefined && Number.isFinite(number)) && params.has('sel')
  return given ? { start: start!, end: end!, low: low!, high: high! } : null
}

const selectionSql = ({ start, end, low, high }: Selection) =>
  `time >= ${literal(rfc3339(start))} AND time < ${literal(rfc3339(end))} AND duration_ns >= ${Math.floor(low)} AND duration_ns < ${Math.ceil(high)}`

export function Traces() {
  const { params } = usePlace()
  const range = useRange()
  const { filters } = useFilters()
  const search = searchOf(params)
  const [among, picked] = [amongPredicate(search), pickedPredicate(search, filters.map(filterSql))]
  const predicate = picked === 'TRUE' ? among : all(among, picked)
  const selection = selectionOf(params)
  const seen = useSeen('spans', range)
  return (
    <div className="stack">
      <SearchBar search={search} range={range} />
      <Chips />
      {seen ? <DurationMap among={among} predicate={predicate} range={seen} selection={selection} service={search.service} operation={search.operation} every={search.every} /> : <Panel title="Durations" busy><Skeleton rows={1} height={220} /></Panel>}
      <Found predicate={selection ? all(predicate, selectionSql(selection)) : predicate} range={range} selected={selection !== null} />
    </div>
  )
}

function SearchBar({ search, range }: { search: Search; range: Range }) {
  const services = useRows<{ service: string }>(`SELECT service_name AS service, count(*) AS n FROM spans WHERE ${timeSql(range)} AND service_name IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 500`)
  const operations = useRows<{ name: string }>(
    search.service ? `SELECT name, count(*) AS n FROM spans WHERE ${timeSql(range)} AND service_name = ${literal(search.service)} GROUP BY 1 ORDER BY 2 DESC LIMIT 500` : null,
  )
  const named = (list: string[], chosen: string) => (chosen && !list.includes(chosen) ? [chosen, ...list] : list)
  return (
    <form className="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <label className="field">
        Service
        <select className="input" value={search.service} onChange={(event) => setParams({ service: event.target.value, operation: null })}>
          <option value="">All services</option>
          {named((services.rows ?? []).map(({ service }) => service), search.service).map((service) => <option key={service} value={service}>{service}</option>)}
        </select>
      </label>
      <label className="field">
        Operation
        <select className="input" disabled={!search.service} value={search.operation} onChange={(event) => setParams({ operation: event.target.value })}>
          <option value="">{search.service ? 'All operations' : 'Choose a service first'}</option>
          {named((operations.rows ?? []).map(({ name }) => name), search.operation).map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      </label>
      <Typed label="At least" value={search.min} param="min" placeholder="200ms" valid={(text) => text === '' || parseDuration(text) !== null} size={7} />
      <AttributeField />
      <Typed label="SQL predicate" value={search.predicate} param="q" placeholder="attr('http.route') = '/cart'" grow searchKey />
      <div className="row">
        <label className="check"><input type="checkbox" checked={search.errors} onChange={(event) => setParams({ errors: event.target.checked ? '1' : null })} />Errors only</label>
        {!search.service && <label className="check"><input type="checkbox" checked={search.own} onChange={(event) => setParams({ own: event.target.checked ? '1' : null })} />Causeway’s own</label>}
        <div className="segments" role="group" aria-label="Which spans">
          <button type="button" aria-pressed={!search.every} onClick={() => setParams({ spans: null })} title="Spans at which a request enters a service">Requests</button>
          <button type="button" aria-pressed={search.every} onClick={() => setParams({ spans: 'all' })}>All spans</button>
        </div>
      </div>
    </form>
  )
}

interface TypedProps {
  label: string
  value: string
  param: string
  placeholder: string
  valid?: (text: string) => boolean
  size?: number
  grow?: boolean
  searchKey?: boolean
}

/** A field that takes effect with Enter or when it is left. */
export function Typed({ label, value, param, placeholder, valid, size, grow, searchKey }: TypedProps) {
  const [draft, setDraft] = useState<string | null>(null)
  const text = draft ?? value
  const bad = valid ? !valid(text) : false
  const commit = () => {
    setDraft(null)
    if (draft !== null && draft !== value && !bad) setParams({ [param]: draft })
  }
  return (
    <label className={grow ? 'field grow' : 'field'}>
      {label}
      <input
        className="input mono" value={text} placeholder={placeholder} aria-invalid={bad} size={size} spellCheck={false} data-key={searchKey ? 'search' : undefined}
        onChange={(event) => setDraft(event.target.value)} onBlur={commit} onKeyDown={(event) => event.key === 'Enter' && commit()}
      />
    </label>
  )
}

/** `key = value`, with the keys that the store knows offered. */
function AttributeField() {
  const { add } = useFilters()
  const [text, setText] = useState('')
  const keys = useRows<{ family: string; key: string }>(`SELECT family, key, sum(rows) AS n FROM attribute_keys('spans') GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 300`)
  const commit = () => {
    const pair = /^\s*(.+?)\s*(!?=)\s*(.*?)\s*$/.exec(text)
    if (!pair) return
    const key = pair[1]!
    const known = keys.rows?.find((row) => row.key === key)
    add({ field: key === 'service' ? 'service_name' : `${known?.family ?? 'attr'}:${key}`, op: pair[2] as '=' | '!=', value: pair[3]! })
    setText('')
  }
  return (
    <label className="field">
      Attribute
      <input className="input mono" list="attribute-keys" value={text} placeholder="key = value" spellCheck={false} onChange={(event) => setText(event.target.value)} onKeyDown={(event) => event.key === 'Enter' && commit()} />
      <datalist id="attribute-keys">{(keys.rows ?? []).map(({ family, key }) => <option key={`${family}:${key}`} value={`${key} = `} />)}</datalist>
    </label>
  )
}

interface MapProps {
  among: string
  predicate: string
  range: Range
  selection: Selection | null
  service: string
  operation: string
  every: boolean
}

function DurationMap({ among, predicate, range, selection, service, operation, every }: MapProps) {
  const seconds = bucketSeconds(range, MAP_BUCKETS)
  const { data, rows, error, busy } = useRows<{ bucket: string; level: number; n: number; errors: number }>(
    `SELECT date_bin(INTERVAL '${seconds} seconds', time) AS bucket, CAST(floor(log10(greatest(duration_ns, 1)) * ${ROWS_PER_DECADE}) AS INT) AS level,
  count(*) AS n, count(*) FILTER (WHERE status_code = 2) AS errors
FROM spans WHERE ${all(timeSql(range), 'duration_ns IS NOT NULL', predicate)} GROUP BY 1, 2`,
    { partial: true },
  )
  const { marks } = useChanges(range, service)
  const cells = useMemo(() => (rows ?? []).map((row): Cell => ({ time: exact(row.bucket).ms, level: row.level, count: row.n, errors: row.errors })), [rows])
  const total = cells.reduce((sum, cell) => sum + cell.count, 0)
  const inside = useRows<{ n: number }>(selection ? `SELECT count(*) AS n FROM spans WHERE ${all(timeSql(range), predicate, selectionSql(selection))}` : null)
  const selected = inside.rows?.[0]?.n
  const select = (chosen: Selection | null) => setParams({ sel: chosen ? [chosen.start, chosen.end, chosen.low, chosen.high].map(Math.round).join(',') : null })
  const what = every ? 'span' : 'request'
  const investigate = <Link className="button small" to={urlTo('/investigate', { service, operation })}>Investigate</Link>
  const compare = predicate !== among && (
    <button className="button small" disabled={total === 0} title="What sets these apart from those that the conditions leave out?" onClick={() => go(urlTo('/compare', { table: 'spans', selection: predicate, baseline: among }))}>Compare with the others</button>
  )
  let actions: ReactNode = <><span className="dim">{total > 0 ? `${plural(total, what)} · drag to select` : ''}</span>{compare}{service && investigate}</>
  if (selection) {
    const [chosen, rest] = [selectionSql(selection), `NOT (${selectionSql(selection)})`]
    actions = (
      <>
        <span className="soft">{count(selected)} of {plural(total, what)} selected, {duration(selection.low)} – {duration(selection.high)}</span>
        <button className="button primary small" disabled={!selected || selected === total} title={selected === total ? 'Nothing is left to compare with' : undefined}
          onClick={() => go(urlTo('/compare', { table: 'spans', selection: all(predicate, chosen), baseline: all(predicate, rest) }))}>
          Compare with the other {selected === undefined ? '' : count(total - selected)}
        </button>
        <button className="button quiet small" onClick={() => setParams({ from: rfc3339(selection.start), to: rfc3339(selection.end), sel: null })}>Zoom to it</button>
        <button className="button quiet small" onClick={() => select(null)}>Clear</button>
      </>
    )
  }
  return (
    <Panel title="Durations" actions={actions} known={knownBy(data)} busy={busy}>
      {error ? <Failed error={error} /> : <Heatmap cells={cells} range={range} bucketMs={seconds * 1000} selection={selection} select={select} marks={marks} to={(time) => compareAround('spans', predicate, range, time)} />}
      <div className="legend">
        <span><span className="swatch accent" />stronger: more {what}s</span>
        <span><span className="swatch error" />mostly failed; underlined: some failed</span>
        {marks.length > 0 && <span>▾ {plural(marks.length, 'change')}</span>}
      </div>
    </Panel>
  )
}

interface Row {
  trace_id: string
  span_id: string
  time: string
  service: string | null
  name: string
  duration_ns: number | null
  status_code: number
  status_message: string | null
}

function Found({ predicate, range, selected }: { predicate: string; range: Range; selected: boolean }) {
  const { params } = usePlace()
  const order = params.get('sort') === 'slow' ? 'duration_ns DESC NULLS LAST' : 'time DESC'
  const { data, rows, error, busy } = useRows<Row>(
    `SELECT hex(trace_id) AS trace_id, hex(span_id) AS span_id, time, service_name AS service, name, duration_ns, status_code, status_message
FROM spans WHERE ${all(timeSql(range), predicate)} ORDER BY ${order} LIMIT ${LISTED_MAX}`,
    { partial: true },
  )
  const ids = [...new Set((rows ?? []).map(({ trace_id }) => trace_id))]
  const sizes = useRows<{ trace_id: string; spans: number; errors: number; services: number }>(
    ids.length ? `SELECT hex(trace_id) AS trace_id, count(*) AS spans, count(*) FILTER (WHERE status_code = 2) AS errors, count(DISTINCT service_name) AS services FROM spans WHERE trace_id IN (${ids.map(literal).join(', ')}) GROUP BY 1` : null,
  )
  const sizeOf = useMemo(() => new Map((sizes.rows ?? []).map((size) => [size.trace_id, size])), [sizes.rows])
  const longest = Math.max(1, ...(rows ?? []).map((row) => row.duration_ns ?? 0))
  const sorts = (
    <div className="segments" role="group" aria-label="Order">
      <button aria-pressed={order.startsWith('time')} onClick={() => setParams({ sort: null })}>Newest</button>
      <button aria-pressed={order.startsWith('duration')} onClick={() => setParams({ sort: 'slow' })}>Slowest</button>
    </div>
  )
  return (
    <Panel title={selected ? 'Traces of the selection' : 'Traces'} actions={<>{sorts}<span className="dim">{rows?.length === LISTED_MAX ? `the first ${LISTED_MAX}` : rows ? plural(rows.length, 'span') : ''}</span></>} known={knownBy(data)} busy={busy} flush>
      {error ? <Failed error={error} /> : !rows ? <div className="notice"><Skeleton rows={8} /></div> : rows.length === 0 ? <p className="notice">No span fits in this window. Widen the window or take a condition away.</p> : (
        <div className="scroll">
          <table className="table">
            <thead><tr><th className="fit">Start</th><th>Service and operation</th><th className="num fit">Duration</th><th className="fit">&nbsp;</th><th className="num fit">Spans</th><th className="num fit">Errors</th><th className="num fit">Services</th></tr></thead>
            <tbody>{rows.map((row) => <FoundRow key={`${row.trace_id}${row.span_id}`} row={row} longest={longest} size={sizeOf.get(row.trace_id)} />)}</tbody>
          </table>
        </div>
      )}
    </Panel>
  )
}

function FoundRow({ row, longest, size }: { row: Row; longest: number; size: { spans: number; errors: number; services: number } | undefined }) {
  const url = urlTo(`/traces/${row.trace_id}`, { span: row.span_id })
  const failed = row.status_code === 2
  return (
    <tr className="link" onClick={(event) => (event.target as Element).closest('a') || go(url)}>
      <td className="fit mono soft">{clock(exact(row.time).ms, { millis: true })}</td>
      <td><div className="row"><Link className="cover cut" to={url}>{row.service ?? '(no service)'} <span className="soft">{row.name}</span></Link>{failed && <span className="tag error cut" title={row.status_message ?? ''}>{row.status_message || 'error'}</span>}</div></td>
      <td className="num fit">{duration(row.duration_ns)}</td>
      <td className="fit"><svg width="90" height="6" aria-hidden><rect width={Math.max(1, ((row.duration_ns ?? 0) / longest) * 90)} height="6" rx="1" fill={failed ? 'var(--error)' : 'var(--bar)'} /></svg></td>
      <td className="num fit">{count(size?.spans)}</td>
      <td className={size?.errors ? 'num fit error' : 'num fit dim'}>{count(size?.errors)}</td>
      <td className="num fit">{count(size?.services)}</td>
    </tr>
  )
}
