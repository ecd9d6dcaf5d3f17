// Which services are there, who calls whom, and how well does it go? A map to click on, and the same as tables.
import { type ReactNode, useMemo } from 'react'
import { type Call, type Counted, type MapService, type Rates, type ServiceMap as Answer, serviceMap } from '../api'
import { count, milliseconds, plural, rate, share } from '../format'
import { KINDS, KindIcon, ServiceMap } from '../map/ServiceMap'
import { NODES_MAX, callName, failedShare, isBad } from '../map/shown'
import { Failed, Panel, Skeleton, knownByCounts } from '../parts/Panel'
import { Link } from '../shell/Shell'
import { rfc3339 } from '../time'
import { setParams, urlTo, usePlace } from '../url'
import { refresh, useAsk, useEvery, useRange, useSeen } from '../use'
import { OneCall, OneService } from './ServiceSide'

/** Series get a sample as often. */
const REFRESH_MS = 15_000

export function Services() {
  const { params } = usePlace()
  const range = useRange()
  const [node, call, failed] = [params.get('node'), params.get('call'), params.get('failed') === '1']
  const asked = { start: rfc3339(range.start), end: rfc3339(range.end), failed }
  const { data, error, busy } = useAsk(JSON.stringify(asked), (signal) => serviceMap(asked, signal))
  useEvery(REFRESH_MS, refresh, range.relative && !busy)
  const seen = useSeen('spans', range) ?? range
  const seconds = Math.max(1, (seen.end - seen.start) / 1000)
  const chosenService = data?.services.find(({ name }) => name === node)
  const chosenCall = data?.calls.find((line) => callName(line) === call)
  const pick = (chosen: { node: string | null; call: string | null }) => setParams(chosen)
  const toggle = <label className="check soft"><input type="checkbox" checked={failed} onChange={(event) => setParams({ failed: event.target.checked ? '1' : null })} />Failed only</label>
  const others = data && data.services.length > NODES_MAX ? `the busiest ${NODES_MAX} of ${count(data.services.length)}` : ''
  return (
    <div className={node || call ? 'map-and-side' : ''}>
      <div className="stack">
        <Panel title="Map" actions={<>{toggle}<span className="dim">{[data && plural(data.services.length, 'node'), data && plural(data.calls.length, 'call'), others, data && data.left_out > 0 && `${count(data.left_out)} left out`].filter(Boolean).join(', ')}</span></>} known={knownByCounts(data)} busy={busy} flush>
          {error ? <Failed error={error} /> : !data ? <div className="notice"><Skeleton rows={8} height={34} /></div> : data.services.length === 0 ? <None failed={failed} /> : (
            <>
              <ServiceMap services={data.services} calls={data.calls} seconds={seconds} node={node} call={call} pick={pick} />
              <Legend />
            </>
          )}
        </Panel>
        {data && data.services.length > 0 && <Tables answer={data} seconds={seconds} />}
      </div>
      {node && data && <OneService key={node} name={node} service={chosenService ?? null} range={range} seconds={seconds} close={() => pick({ node: null, call: null })} />}
      {call && data && <OneCall call={chosenCall ?? null} services={data.services} range={range} seconds={seconds} answer={data} close={() => pick({ node: null, call: null })} />}
    </div>
  )
}

function None({ failed }: { failed: boolean }) {
  if (failed) return <p className="notice">Nothing failed in this window.</p>
  return <p className="notice">No request was counted in this window. Services are counted from their spans as these arrive; what was imported later is on <Link to={urlTo('/traces')}>Traces</Link> only.</p>
}

function Legend() {
  return (
    <div className="legend inset">
      {Object.entries(KINDS).map(([kind, { label }]) => <span key={kind} className="row"><KindIcon kind={kind as MapService['kind']} />{label}</span>)}
      <span>on a line: calls a second, share that failed, 95th percentile; wider: more calls; red: failures</span>
    </div>
  )
}

/** The numbers of a row, the same in every table of rates; where there is little room, of the durations one. */
export function RateCells({ rates, seconds, few }: { rates: Rates; seconds: number; few?: boolean }) {
  return (
    <>
      <td className="num fit" title={`${count(rates.requests)}, in as long a time before ${count(rates.requests_before)}`}>{rate(rates.requests / seconds)}</td>
      <td className={isBad(rates) ? 'num fit error' : rates.failed ? 'num fit' : 'num fit dim'} title={`${count(rates.failed)}, in as long a time before ${count(rates.failed_before)}`}>{share(rates.requests > 0 ? failedShare(rates) : null)}</td>
      {(few ? [rates.p95_ms] : [rates.p50_ms, rates.p95_ms, rates.p99_ms]).map((ms, index) => <td key={index} className="num fit">{milliseconds(ms)}</td>)}
    </>
  )
}

export function RateHeads({ first, few }: { first: ReactNode; few?: boolean }) {
  return <thead><tr>{first}{['Requests', 'Failed', ...(few ? ['p95'] : ['p50', 'p95', 'p99'])].map((head) => <th key={head} className="num fit">{head}</th>)}</tr></thead>
}

function Tables({ answer, seconds }: { answer: Counted<Answer>; seconds: number }) {
  const worst = useMemo(() => answer.services.filter(({ kind }) => kind !== 'user').toSorted((one, other) => other.failed - one.failed || other.requests - one.requests), [answer])
  return (
    <div className="halves">
      <Panel title="Services" actions={<span className="dim">most failures first</span>} known={knownByCounts(answer)} flush>
        <table className="table">
          <RateHeads first={<th>Service</th>} />
          <tbody>{worst.map((service) => <ServiceRow key={service.name} service={service} seconds={seconds} />)}</tbody>
        </table>
      </Panel>
      <Panel title="Calls" actions={<span className="dim">busiest first</span>} known={knownByCounts(answer)} flush>
        <table className="table">
          <RateHeads first={<th>From and to</th>} />
          <tbody>{answer.calls.map((call) => <CallRow key={callName(call)} call={call} seconds={seconds} />)}</tbody>
        </table>
      </Panel>
    </div>
  )
}

function ServiceRow({ service, seconds }: { service: MapService; seconds: number }) {
  return (
    <tr>
      <td><Link className="cover cut" to={urlTo('/services', { node: service.name })}><KindIcon kind={service.kind} /> {service.name} {service.kind !== 'service' && <span className="tag">{KINDS[service.kind]?.label ?? service.kind}</span>}</Link></td>
      <RateCells rates={service} seconds={seconds} />
    </tr>
  )
}

function CallRow({ call, seconds }: { call: Call; seconds: number }) {
  return (
    <tr>
      <td><Link className="cover cut" to={urlTo('/services', { call: callName(call) })}>{call.client} <span className="dim">→</span> {call.server}</Link></td>
      <RateCells rates={call} seconds={seconds} />
    </tr>
  )
}
