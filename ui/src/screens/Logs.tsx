// What was said? A histogram by severity, the fields with their top values, and the lines, newest first.
import { useMemo } from 'react'
import { plural, short } from '../format'
import { Chart, type Series, buckets } from '../parts/Chart'
import { useChanges } from '../parts/changes'
import { Chips, useFilters } from '../parts/Fields'
import { Failed, Panel, knownBy } from '../parts/Panel'
import { all, filterSql, literal, searchSql, timeSql } from '../sql'
import { type Range, bucketSeconds, exact } from '../time'
import { go, setParams, urlTo, usePlace } from '../url'
import { useRange, useRows } from '../use'
import { Facets } from './Facets'
import { Lines } from './Lines'
import { OWN } from './own'
import { Typed } from './Traces'

const HISTOGRAM_BUCKETS = 90

/** From the least to the most urgent; colours are for what is wrong. */
const LEVELS: { label: string; from: number; color: string }[] = [
  { label: 'debug, trace', from: 0, color: 'bar-2' },
  { label: 'info', from: 9, color: 'bar' },
  { label: 'warn', from: 13, color: 'warn-mark' },
  { label: 'error, fatal', from: 17, color: 'error' },
]

export function Logs() {
  const { params } = usePlace()
  const range = useRange()
  const { filters } = useFilters()
  const text = params.get('q') ?? ''
  const service = params.get('service')
  const level = Number(params.get('level') ?? 0)
  const own = params.get('own') === '1' || service !== null || filters.some(({ field }) => field === 'service_name')
  const predicate = all(
    service && `service_name = ${literal(service)}`,
    !own && OWN,
    level > 0 && `severity_number >= ${level}`,
    ...filters.map(filterSql),
    searchSql(text),
    params.get('where') && `(${params.get('where')})`,
  )
  return (
    <>
      <form className="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <Typed label={'Search: word, "phrase", /expression/, key=value, -without'} value={text} param="q" placeholder="timeout payment" grow searchKey />
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
      <Histogram predicate={predicate} range={range} service={service} />
      <div className="logs">
        <Facets predicate={predicate} range={range} />
        <Lines predicate={predicate} range={range} text={text} />
      </div>
    </>
  )
}

interface Bucket {
  bucket: string
  level: number
  n: number
}

function Histogram({ predicate, range, service }: { predicate: string; range: Range; service: string | null }) {
  const seconds = bucketSeconds(range, HISTOGRAM_BUCKETS)
  const { data, rows, error, busy } = useRows<Bucket>(
    `SELECT date_bin(INTERVAL '${seconds} seconds', time) AS bucket,
  CASE WHEN severity_number >= 17 THEN 3 WHEN severity_number >= 13 THEN 2 WHEN severity_number >= 9 THEN 1 ELSE 0 END AS level, count(*) AS n
FROM logs WHERE ${all(timeSql(range), predicate)} GROUP BY 1, 2`,
    { partial: true },
  )
  const { marks } = useChanges(range, service)
  const times = useMemo(() => buckets(range, seconds), [range, seconds])
  const series = useMemo(() => {
    const index = new Map(times.map((time, position) => [time, position]))
    const sums = LEVELS.map(() => times.map(() => 0))
    for (const row of rows ?? []) {
      const position = index.get(exact(row.bucket).ms)
      const counts = sums[row.level]
      if (position !== undefined && counts) counts[position] = row.n
    }
    return LEVELS.map(({ label, color }, level): Series => ({ label, color, kind: 'bars', values: sums[level] ?? [] }))
  }, [rows, times])
  const totals = series.map(({ values }) => values.reduce<number>((sum, value) => sum + (value ?? 0), 0))
  const total = totals.reduce((sum, count) => sum + count, 0)
  const baseline = all(predicate, 'severity_number < 17')
  const actions = (
    <>
      <span className="legend">{LEVELS.map(({ label, color }, level) => <span key={label}><span className={`swatch ${color}`} />{label} {short(totals[level] ?? 0)}</span>).toReversed()}</span>
      <button className="button small" disabled={!totals[3] || totals[3] === total} title="Which attributes set the errors apart from the rest?"
        onClick={() => go(urlTo('/compare', { table: 'logs', selection: all(predicate, 'severity_number >= 17'), baseline }))}>Compare errors with the rest</button>
    </>
  )
  return (
    <Panel title={plural(total, 'log')} actions={actions} known={knownBy(data)} busy={busy}>
      {error ? <Failed error={error} /> : <Chart label="Logs over time by severity. Dragging sets the window." times={times} series={series} range={range} stacked format={short} height={104} marks={marks} />}
    </Panel>
  )
}
