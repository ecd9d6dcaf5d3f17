// How is everything? Services with their rates, errors and durations, worst first; what is wrong; what changed.
import { useEffect, useMemo, useState } from 'react'
import { type Triage, triage } from '../api'
import { count, duration, plural, rate, share } from '../format'
import { Spark, buckets, changeText } from '../parts/Chart'
import { useChanges } from '../parts/changes'
import { Failed, type Known, Panel, Skeleton, knownBy, knownByHow } from '../parts/Panel'
import { Link } from '../shell/Shell'
import { ENTRY, all, timeSql } from '../sql'
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
  return (
    <div className="home">
      <div className="stack">
        <WhatIsWrong wrong={wrong} found={first.data} shown={shown} error={totals.error ?? past.error} busy={first.busy || totals.busy || past.busy} known={known} any={(totals.rows?.length ?? 0) > 0} />
        <ServiceTable services={totals.rows} wrong={wrong ?? []} shown={shown} histories={histories} known={[...knownBy(totals.data), ...knownBy(past.data)]} own={own} />
      </div>
      <WhatChanged range={range} />
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
  `since ${clock(split.since)} against the ${duration((split.until - split.start) * 1e6)} before${younger ? `; telemetry begins at ${clock(split.start)}` : ''}`

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
  known: Known[]
  own: boolean
}

function ServiceTable({ services, wrong, shown, histories, known, own }: ServiceTableProps) {
  const score = (service: Service) => wrong.filter((item) => item.service === service.service).reduce((most, { score }) => Math.max(most, score), 0)
  const sorted = (services ?? []).toSorted((left, right) => score(right) - score(left) || right.errors / right.requests - left.errors / left.requests || right.requests - left.requests)
  const toggle = <label className="check soft"><input type="checkbox" checked={own} onChange={(event) => setParams({ own: event.target.checked ? '1' : null })} />Causeway’s own</label>
  return (
    <Panel title="Services" actions={<><span className="dim">{services ? `${count(services.length)}, worst first; numbers since ${clock(shown.split.since)}, lines since ${clock(shown.split.start)}` : ''}</span>{toggle}</>} known={known} flush>
      {!services ? <div className="notice"><Skeleton rows={6} height={26} /></div> : services.length === 0 ? (
        <p className="notice">No spans in this window. <Link to={urlTo('/logs')}>Logs</Link> may be there.</p>
      ) : (
        <table className="table">
          <thead><tr><th>Service</th><th className="num fit">Requests</th><th>&nbsp;</th><th className="num fit">Errors</th><th>&nbsp;</th><th className="num fit">p95</th><th>&nbsp;</th><th className="fit"><span className="visually-hidden">Go to</span></th></tr></thead>
          <tbody>{sorted.map((service) => <ServiceRow key={service.service ?? ''} service={service} wrong={wrong.filter((item) => item.service === service.service)} split={shown.split} lines={histories.get(service.service)} />)}</tbody>
        </table>
      )}
    </Panel>
  )
}

function ServiceRow({ service, wrong, split, lines }: { service: Service; wrong: Wrong[]; split: Split; lines: History | undefined }) {
  const url = urlTo('/traces', { service: service.service })
  const bad = (signal: Wrong['signal']) => wrong.some((item) => item.signal === signal)
  const name = service.service ?? '(no service)'
  const at = (split.since - split.start) / (split.end - split.start)
  return (
    <tr className="link" onClick={(event) => (event.target as Element).closest('a') || go(url)}>
      <td><Link className="cover cut" to={url}>{name}</Link></td>
      <td className="num fit">{rate((service.recent_requests * 1000) / (split.end - split.since))}</td>
      <td><Spark values={lines?.requests ?? []} at={at} bad={bad('traffic')} label={`Requests of ${name} over time`} /></td>
      <td className={bad('errors') ? 'num fit error' : service.recent_errors ? 'num fit' : 'num fit dim'}>{share(service.recent_requests ? service.recent_errors / service.recent_requests : null)}</td>
      <td><Spark values={lines?.errors ?? []} at={at} bad={bad('errors')} label={`Errors of ${name} over time`} /></td>
      <td className={bad('latency') ? 'num fit error' : 'num fit'}>{duration(service.recent_p95_ns)}</td>
      <td><Spark values={lines?.p95 ?? []} at={at} bad={bad('latency')} label={`95th percentile of ${name} over time`} /></td>
      <td className="fit"><Link className="button quiet small" to={urlTo('/logs', { service: service.service })}>Logs</Link></td>
    </tr>
  )
}

function WhatChanged({ range }: { range: Range }) {
  const { rows, data, error, busy } = useChanges(range)
  return (
    <Panel title="What changed" actions={<span className="dim">{rows ? plural(rows.length, 'change') : ''}</span>} known={knownBy(data)} busy={busy} flush>
      {error ? <Failed error={error} /> : !rows ? <div className="notice"><Skeleton rows={3} /></div> : rows.length === 0 ? (
        <p className="notice">No change was seen in this window. Versions that move in the telemetry, edits of flags and <span className="mono">POST /api/v1/changes</span> appear here.</p>
      ) : (
        <ol className="changes">
          {rows.slice(0, 30).map((change, index) => (
            <li key={index}><span className="mono dim">{clock(Date.parse(change.time))}</span><span className="wrap-any">{changeText(change)}{change.actor && <span className="dim"> by {change.actor}</span>}</span></li>
          ))}
        </ol>
      )}
    </Panel>
  )
}
