// How is everything? Services with their rates, errors and durations, worst first; what is wrong; what changed.
import { useEffect, useMemo, useState } from 'react'
import { type Change, type Triage, triage } from '../api'
import { count, duration, rate, share } from '../format'
import { buckets } from '../parts/Chart'
import { compareAround, useChanges } from '../parts/changes'
import { changeMarks, changeText } from '../parts/marking'
import { Spark } from '../parts/Spark'
import { Failed, type Known, Panel, Skeleton, knownBy, knownByHow } from '../parts/Panel'
import { Link } from '../shell/Shell'
import { ENTRY, all, filterSql, timeSql } from '../sql'
import { type Range, bucketSeconds, clock, rfc3339, said } from '../time'
import { go, setParams, urlTo, usePlace } from '../url'
import { refresh, useAsk, useEvery, useRange, useRows } from '../use'
import { Empty } from './Empty'
import { OWN } from './own'
import { type Bucket, type History, type Service, type Split, type Wrong, historyOf, isBroken, splitOf, whatIsWrong, worstFirst } from './wrong'

const SPARK_BUCKETS = 40
const REFRESH_MS = 10_000
/** Services in the list of what is wrong; the table below has all. */
const LISTED_MAX = 3
/** More are for a narrower window. */
const CHANGES_SHOWN = 30

export function Home() {
  const ledger = useRows<{ stored: number | null }>(`SELECT sum(stored) AS stored FROM ledger WHERE sender <> 'causeway-self'`)
  const [started, setStarted] = useState(false)
  const stored = ledger.rows?.[0]?.stored ?? 0
  useEffect(() => {
    if (stored > 0) setStarted(true)
  }, [stored])
  if (ledger.error && !started) return <Failed error={ledger.error} />
  if (!ledger.rows && !started) return <Skeleton rows={10} height={24} />
  return started ? <Services /> : <Empty arrived={() => { refresh(); setStarted(true) }} />
}

function Services() {
  const { params } = usePlace()
  const range = useRange()
  const own = params.get('own') === '1'
  const asked = { signal: 'auto' as const, start: rfc3339(range.start), end: rfc3339(range.end) }
  const first = useAsk(JSON.stringify(asked), (signal) => triage(asked, signal))
  const split = useMemo(() => splitOf(range, first.data), [range, first.data])
  const entry = all(ENTRY, !own && OWN)
  const isRecent = `time >= '${rfc3339(split.since)}'`
  const totals = useRows<Service>(
    `SELECT service_name AS service, count(*) AS requests, count(*) FILTER (WHERE status_code = 2) AS errors,
  count(*) FILTER (WHERE ${isRecent}) AS recent_requests, count(*) FILTER (WHERE ${isRecent} AND status_code = 2) AS recent_errors,
  approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY CASE WHEN ${isRecent} THEN duration_ns END) AS recent_p95_ns
FROM spans WHERE ${all(timeSql(range), entry)} GROUP BY 1`,
    { partial: true },
  )
  const seconds = bucketSeconds(split, SPARK_BUCKETS)
  const past = useRows<Bucket>(
    `SELECT service_name AS service, date_bin(INTERVAL '${seconds} seconds', time) AS bucket, count(*) AS requests,
  count(*) FILTER (WHERE status_code = 2) AS errors, approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ns) AS p95_ns
FROM spans WHERE ${all(timeSql(range), entry)} GROUP BY 1, 2`,
    { partial: true },
  )
  // An answer that takes longer than this is waited for, not asked for again.
  useEvery(REFRESH_MS, refresh, range.relative && !first.busy && !totals.busy && !past.busy)
  const times = useMemo(() => buckets(split, seconds), [split, seconds])
  const histories = useMemo(() => historyOf(past.rows ?? [], times), [past.rows, times])
  const known = [...knownByHow(first.data?.how), ...knownBy(totals.data), ...knownBy(past.data)]
  // Without an answer about the onset the services are compared all the same.
  const settled = first.data || first.error
  const wrong = useMemo(() => (settled && totals.rows && past.rows ? worstFirst(first.data, whatIsWrong(totals.rows, histories, times, seconds, split)) : null), [settled, first.data, totals.rows, past.rows, histories, times, seconds, split])
  const shown = { split, younger: split.start > range.start }
  const changes = useChanges(range)
  return (
    <div className="home">
      <div className="stack">
        <WhatIsWrong wrong={wrong} found={first.data} shown={shown} error={totals.error ?? past.error} busy={first.busy || totals.busy || past.busy} known={known} any={(totals.rows?.length ?? 0) > 0} />
        <ServiceTable services={totals.rows} wrong={wrong ?? []} shown={shown} histories={histories} times={times} changes={changes.rows} known={[...knownBy(totals.data), ...knownBy(past.data)]} own={own} />
      </div>
      <WhatChanged changes={changes} range={range} />
    </div>
  )
}

/** What the panels show: the window as it is cut, and whether the store is younger than what was asked for. */
interface Shown {
  split: Split
  younger: boolean
}

interface WhatIsWrongProps {
  /** null while it is not known. */
  wrong: Wrong[] | null
  found: Triage | null
  shown: Shown
  error: Error | null
  busy: boolean
  known: Known[]
  /** Whether any request was seen. */
  any: boolean
}

/** One entry a service, in the order of its worst. */
function byService(wrong: Wrong[]): [string | null, Wrong[]][] {
  const found = new Map<string | null, Wrong[]>()
  for (const item of wrong) found.set(item.service, [...(found.get(item.service) ?? []), item])
  return [...found]
}

const between = ({ split, younger }: Shown) =>
  `since ${clock(split.since)}, against ${younger ? 'all' : `the ${duration((split.until - split.start) * 1e6)}`} before`

function WhatIsWrong({ wrong, found, shown, error, busy, known, any }: WhatIsWrongProps) {
  return (
    <Panel title="What is wrong" actions={<span className="dim">{wrong && any ? between(shown) : ''}</span>} known={known} busy={busy} flush>
      {error ? <Failed error={error} /> : !wrong ? <div className="notice"><Skeleton rows={2} /></div> : wrong.length === 0 ? <Calm found={found} any={any} /> : (
        <ul className="wrong">
          {byService(wrong).slice(0, LISTED_MAX).map(([service, items]) => (
            <li key={service}>
              <span className="row tags">{items.map(({ signal }) => <span key={signal} className={signal === 'traffic' ? 'tag warn' : 'tag error'}>{signal}</span>)}</span>
              <span className="grow wrap-any">{items.map((item, index) => <Said key={item.signal} item={item} again={index > 0} />)}</span>
              <Link className="button small" to={urlTo('/investigate', { service, operation: items[0]?.operation, signal: items[0]?.signal })}>Investigate</Link>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  )
}

/** The name stands out; a statement that begins with it is not given it twice. */
function Said({ item: { service, statement }, again }: { item: Wrong; again: boolean }) {
  const name = service ?? '(no service)'
  const rest = said(statement.startsWith(`${name} `) ? statement.slice(name.length + 1) : statement)
  return again ? <>; {rest}</> : <><b>{name}</b> {rest}</>
}

/** Nothing is wrong now; what was wrong earlier in the window is still worth a line. */
function Calm({ found, any }: { found: Triage | null; any: boolean }) {
  if (!any) return <p className="notice">No request was seen in this window.</p>
  if (!found?.onset) return <p className="notice">Nothing that stands out: rates, errors and durations are as they usually are.</p>
  if (!isBroken(found)) return <p className="notice">{said(found.symptom.statement)}.</p>
  const { service, operation, signal, statement } = found.symptom
  return (
    <ul className="wrong">
      <li>
        <span className="row tags"><span className="tag ok">over</span></span>
        <span className="grow wrap-any">Nothing stands out now. Earlier: {said(statement)}</span>
        <Link className="button small" to={urlTo('/investigate', { service, operation, signal })}>Investigate</Link>
      </li>
    </ul>
  )
}

interface ServiceTableProps {
  services: Service[] | null
  wrong: Wrong[]
  shown: Shown
  histories: Map<string | null, History>
  times: number[]
  changes: Change[] | null
  known: Known[]
  own: boolean
}

function ServiceTable({ services, wrong, shown, histories, times, changes, known, own }: ServiceTableProps) {
  const score = (service: Service) => wrong.filter((item) => item.service === service.service).reduce((most, { score }) => Math.max(most, score), 0)
  const sorted = (services ?? []).toSorted((left, right) => score(right) - score(left) || right.errors / right.requests - left.errors / left.requests || right.requests - left.requests)
  const toggle = <label className="check soft"><input type="checkbox" checked={own} onChange={(event) => setParams({ own: event.target.checked ? '1' : null })} />Causeway’s own</label>
  return (
    <Panel title="Services" actions={<><span className="dim">{services ? `${count(services.length)}, worst first; ${shown.younger ? 'telemetry begins' : 'lines begin'} at ${clock(shown.split.start)}` : ''}</span>{toggle}</>} known={known} flush>
      {!services ? <div className="notice"><Skeleton rows={6} height={26} /></div> : services.length === 0 ? (
        <p className="notice">No spans in this window. <Link to={urlTo('/logs')}>Logs</Link> may be there.</p>
      ) : (
        <table className="table services">
          <thead><tr><th>Service</th><th className="num fit">Requests</th><th>&nbsp;</th><th className="num fit">Errors</th><th>&nbsp;</th><th className="num fit">p95</th><th>&nbsp;</th><th className="fit"><span className="visually-hidden">Go to</span></th></tr></thead>
          <tbody>{sorted.map((service) => <ServiceRow key={service.service ?? ''} service={service} wrong={wrong.filter((item) => item.service === service.service)} split={shown.split} times={times} changes={changes} lines={histories.get(service.service)} />)}</tbody>
        </table>
      )}
    </Panel>
  )
}

interface ServiceRowProps {
  service: Service
  wrong: Wrong[]
  split: Split
  times: number[]
  changes: Change[] | null
  lines: History | undefined
}

function ServiceRow({ service, wrong, split, times, changes, lines }: ServiceRowProps) {
  const url = urlTo('/traces', { service: service.service })
  const bad = (signal: Wrong['signal']) => wrong.some((item) => item.signal === signal)
  const name = service.service ?? '(no service)'
  const marks = useMemo(() => changeMarks(changes, name), [changes, name])
  const requests = all(filterSql({ field: 'service_name', op: '=', value: service.service }), ENTRY)
  const spark = (values: (number | null)[] | undefined, signal: Wrong['signal'], what: string) => (
    <Spark times={times} values={values ?? []} range={split} since={split.since} marks={marks} to={(time) => compareAround('spans', requests, split, time)} bad={bad(signal)} label={`${what} of ${name} over time`} />
  )
  const compare = urlTo('/compare', { table: 'spans', selection: requests, baseline: requests, from: rfc3339(split.since), to: rfc3339(split.end), baseline_from: rfc3339(split.start), baseline_to: rfc3339(split.until) })
  return (
    <tr className="link" onClick={(event) => (event.target as Element).closest('a') || go(url)}>
      <td><Link className="cover cut" to={url}>{name}</Link></td>
      <td className="num fit">{rate((service.recent_requests * 1000) / (split.end - split.since))}</td>
      <td>{spark(lines?.requests, 'traffic', 'Requests')}</td>
      <td className={bad('errors') ? 'num fit error' : service.recent_errors ? 'num fit' : 'num fit dim'}>{share(service.recent_requests ? service.recent_errors / service.recent_requests : null)}</td>
      <td>{spark(lines?.errors, 'errors', 'Errors')}</td>
      <td className={bad('latency') ? 'num fit error' : 'num fit'}>{duration(service.recent_p95_ns)}</td>
      <td>{spark(lines?.p95, 'latency', '95th percentile')}</td>
      <td className="fit">
        <Link className="button quiet small" to={compare} title={`What is different since ${clock(split.since)}, against before`}>Compare</Link>
        <Link className="button quiet small" to={urlTo('/logs', { service: service.service })}>Logs</Link>
      </td>
    </tr>
  )
}

function WhatChanged({ changes: { rows, data, error, busy }, range }: { changes: ReturnType<typeof useChanges>; range: Range }) {
  return (
    <Panel title="What changed" actions={rows && rows.length > CHANGES_SHOWN && <span className="dim">the newest {CHANGES_SHOWN} of {count(rows.length)}</span>} known={knownBy(data)} busy={busy} flush>
      {error ? <Failed error={error} /> : !rows ? <div className="notice"><Skeleton rows={3} /></div> : rows.length === 0 ? (
        <p className="notice">No change was seen in this window. Versions that move in the telemetry, edits of flags and <span className="mono">POST /api/v1/changes</span> appear here.</p>
      ) : (
        <ol className="changes">{rows.slice(0, CHANGES_SHOWN).map((change, index) => <Changed key={index} change={change} range={range} />)}</ol>
      )}
    </Panel>
  )
}

/** A flag leads to its audit, all else to what came after it against what was before. */
function Changed({ change, range }: { change: Change; range: Range }) {
  const to = change.kind === 'flag' ? urlTo('/flags', { flag: change.entity }) : compareAround('spans', ENTRY, range, Date.parse(change.time))
  return (
    <li>
      <span className="mono dim">{clock(Date.parse(change.time))}</span>
      <span className="wrap-any"><Link className="cover" to={to} title={change.kind === 'flag' ? 'The flag and its audit' : 'Compare after with before'}>{changeText(change)}</Link>{change.actor && <span className="dim"> by {change.actor}</span>}</span>
    </li>
  )
}
