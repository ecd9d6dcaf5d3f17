// What was said? A histogram by severity, the fields with their top values, and the lines, newest first; their patterns; what comes now.
import { useMemo } from 'react'
import { count, plural, short } from '../format'
import { Chart, type Series, buckets } from '../parts/Chart'
import { compareAround, useChanges } from '../parts/changes'
import { levelsFrom, searchLogql } from '../logql'
import { Chips, useFilters } from '../parts/Fields'
import { Failed, Panel, Skeleton, knownBy } from '../parts/Panel'
import { all, filterSql, literal, searchSql, timeSql } from '../sql'
import { type Range, bucketSeconds, clock, exact, rfc3339 } from '../time'
import { go, setParams, urlTo, usePlace } from '../url'
import { useRange, useRows, useSeen } from '../use'
import { Facets } from './Facets'
import { Lines } from './Lines'
import { Live } from './Live'
import { Patterns } from './Patterns'
import { OWN, OWN_SERVICE } from './own'
import { Typed } from './Traces'

const HISTOGRAM_BUCKETS = 90

/** What is shown of the lines that are found, by its name in the URL. */
const VIEWS = { lines: 'Lines', patterns: 'Patterns', live: 'Live' }

/** From the least to the most urgent; colours are for what is wrong. */
const LEVELS: { label: string; from: number; color: string }[] = [
  { label: 'debug, trace', from: 0, color: 'bar-2' },
  { label: 'info', from: 9, color: 'bar' },
  { label: 'warn', from: 13, color: 'warn-mark' },
  { label: 'error, fatal', from: 17, color: 'error' },
]

/** The stretch that was dragged over, as `sel=START,END` in Unix ms. */
function selectionOf(params: URLSearchParams): Range | null {
  const [start, end] = (params.get('sel') ?? '').split(',').map(Number)
  return start !== undefined && end !== undefined && start < end ? { start, end } : null
}

export function Logs() {
  const { params } = usePlace()
  const range = useRange()
  const { filters } = useFilters()
  const text = params.get('q') ?? ''
  const service = params.get('service')
  const level = Number(params.get('level') ?? 0)
  const own = params.get('own') === '1' || service !== null || filters.some(({ field }) => field === 'service_name')
  const among = all(service && `service_name = ${literal(service)}`, !own && OWN)
  const picked = all(level > 0 && `severity_number >= ${level}`, ...filters.map(filterSql), searchSql(text), params.get('where') && `(${params.get('where')})`)
  const predicate = picked === 'TRUE' ? among : all(among, picked)
  const selection = selectionOf(params)
  const shown = selection ?? range
  const view = params.get('view') ?? 'lines'
  return (
    <>
      <form className="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <div className="segments" role="group" aria-label="View">
          {Object.entries(VIEWS).map(([name, label]) => <button key={name} type="button" aria-pressed={view === name} onClick={() => setParams({ view: name === 'lines' ? null : name, open: null })}>{label}</button>)}
        </div>
        <Typed label="Search" value={text} param="q" placeholder={'word  "a phrase"  /expression/  key=value  -without'} grow searchKey />
        <Typed label="SQL predicate" value={params.get('where') ?? ''} param="where" placeholder="attr_int('attempt') > 1" />
        <label className="field">
          Severity
          <select className="input" value={level} onChange={(event) => setParams({ level: event.target.value === '0' ? null : event.target.value })}>
            <option value={0}>All</option><option value={9}>Info and above</option><option value={13}>Warn and above</option><option value={17}>Error and above</option>
          </select>
        </label>
        <label className="check"><input type="checkbox" checked={own} onChange={(event) => setParams({ own: event.target.checked ? '1' : null })} />Causeway’s own</label>
      </form>
      {(filters.length > 0 || service) && <Chips />}
      {view === 'live' ? <Live query={searchLogql({ service, level, filters, text, without: own ? null : OWN_SERVICE })} text={text} without={params.get('where')} /> : (
        <>
          <Found among={among} predicate={predicate} range={range} selection={selection} service={service} />
          {view === 'patterns' ? <Patterns service={service ?? filters.find(({ field, op }) => field === 'service_name' && op === '=')?.value ?? null} level={(name) => level === 0 || levelsFrom(level).includes(name)} range={shown} /> : (
            <div className="logs">
              <Facets predicate={predicate} range={shown} />
              <Lines predicate={predicate} range={shown} text={text} />
            </div>
          )}
        </>
      )}
    </>
  )
}

/** The histogram, from the first line on. */
function Found({ among, predicate, range, selection, service }: HistogramProps) {
  const seen = useSeen('logs', range)
  return seen ? <Histogram among={among} predicate={predicate} range={seen} selection={selection} service={service} /> : <Panel title="Logs" busy><Skeleton rows={1} height={104} /></Panel>
}

interface Bucket {
  bucket: string
  level: number
  n: number
}

interface HistogramProps {
  /** What the search is among. */
  among: string
  predicate: string
  range: Range
  selection: Range | null
  service: string | null
}

function Histogram({ among, predicate, range, selection, service }: HistogramProps) {
  const seconds = bucketSeconds(range, HISTOGRAM_BUCKETS)
  const { data, rows, error, busy } = useRows<Bucket>(
    `SELECT date_bin(INTERVAL '${seconds} seconds', time) AS bucket,
  CASE WHEN severity_number >= 17 THEN 3 WHEN severity_number >= 13 THEN 2 WHEN severity_number >= 9 THEN 1 ELSE 0 END AS level, count(*) AS n
FROM logs WHERE ${all(timeSql(range), predicate)} GROUP BY 1, 2`,
    { partial: true },
  )
  const { marks } = useChanges(range, service)
  const times = useMemo(() => buckets(range, seconds), [range, seconds])
  const series = useMemo(() => seriesOf(rows ?? [], times), [rows, times])
  const totals = series.map(({ values }) => values.reduce<number>((sum, value) => sum + (value ?? 0), 0))
  const total = totals.reduce((sum, count) => sum + count, 0)
  const drag = (start: number, end: number) => setParams({ sel: `${Math.floor(start)},${Math.ceil(end)}` })
  const actions = (
    <>
      <span className="legend">{LEVELS.map(({ label, color }, level) => <span key={label}><span className={`swatch ${color}`} />{label} {short(totals[level] ?? 0)}</span>).toReversed()}</span>
      {selection ? <OfSelection predicate={predicate} range={range} selection={selection} total={total} /> : <Comparisons among={among} predicate={predicate} total={total} errors={totals[3] ?? 0} />}
    </>
  )
  return (
    <Panel title={plural(total, 'log')} actions={actions} known={knownBy(data)} busy={busy}>
      {error ? <Failed error={error} /> : <Chart label="Logs over time by severity. Dragging selects a stretch." times={times} series={series} range={range} stacked format={short} height={104} marks={marks} to={(time) => compareAround('logs', predicate, range, time)} drag={drag} selected={selection} />}
    </Panel>
  )
}

function seriesOf(rows: Bucket[], times: number[]): Series[] {
  const index = new Map(times.map((time, position) => [time, position]))
  const sums = LEVELS.map(() => times.map(() => 0))
  for (const row of rows) {
    const position = index.get(exact(row.bucket).ms)
    const counts = sums[row.level]
    if (position !== undefined && counts) counts[position] = row.n
  }
  return LEVELS.map(({ label, color }, level): Series => ({ label, color, kind: 'bars', values: sums[level] ?? [] }))
}

/** What the lines that are found can be compared with. */
function Comparisons({ among, predicate, total, errors }: { among: string; predicate: string; total: number; errors: number }) {
  const compare = (selection: string, baseline: string) => go(urlTo('/compare', { table: 'logs', selection, baseline }))
  return (
    <>
      {predicate !== among && <button className="button small" disabled={total === 0} title="What sets these apart from those that the conditions leave out?" onClick={() => compare(predicate, among)}>Compare with the others</button>}
      <button className="button small" disabled={errors === 0 || errors === total} title="Which attributes set the errors apart from the rest?"
        onClick={() => compare(all(predicate, 'severity_number >= 17'), all(predicate, 'severity_number < 17'))}>Compare errors with the rest</button>
    </>
  )
}

/** What can be done with the stretch that was dragged over. */
function OfSelection({ predicate, range, selection, total }: { predicate: string; range: Range; selection: Range; total: number }) {
  const { rows } = useRows<{ n: number }>(`SELECT count(*) AS n FROM logs WHERE ${all(timeSql(range), timeSql(selection), predicate)}`)
  const selected = rows?.[0]?.n
  const compare = () => go(urlTo('/compare', { table: 'logs', selection: all(predicate, timeSql(selection)), baseline: all(predicate, `NOT (${timeSql(selection)})`) }))
  return (
    <>
      <span className="soft nowrap">{clock(selection.start)} – {clock(selection.end)}</span>
      <button className="button primary small" disabled={!selected || selected >= total} onClick={compare}>Compare {count(selected)} with the other {selected === undefined ? '' : count(total - selected)}</button>
      <button className="button quiet small" onClick={() => setParams({ from: rfc3339(selection.start), to: rfc3339(selection.end), sel: null })}>Zoom to it</button>
      <button className="button quiet small" onClick={() => setParams({ sel: null })}>Clear</button>
    </>
  )
}
