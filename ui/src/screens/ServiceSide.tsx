// What is known of one service, or of one call? Numbers against the time before, versions, operations, errors, patterns, and the ways on.
import { type Call, type Counted, type MapService, type Rates, type ServiceMap, errorGroups, logPatterns, serviceMap } from '../api'
import { count, milliseconds, plural, rate, share } from '../format'
import { KINDS, KindIcon } from '../map/ServiceMap'
import { failedShare, isBad } from '../map/shown'
import { Copy, Failed, HowKnown, Skeleton, knownByCounts } from '../parts/Panel'
import { constantWords } from '../parts/came'
import { Signs } from '../parts/Signs'
import { Link } from '../shell/Shell'
import { ENTRY, all, callSql, filterParam, literal } from '../sql'
import { type Range, clock, rfc3339 } from '../time'
import { urlTo } from '../url'
import { useAsk } from '../use'
import { RateCells, RateHeads } from './Services'

/** Lines of each list beside the map; all are behind its link. */
const LISTED_MAX = 6
const OPERATIONS_MAX = 12

function Head({ children, close }: { children: React.ReactNode; close: () => void }) {
  return <header><h2 className="row grow cut">{children}</h2><button className="button quiet small" onClick={close} aria-label="Close" title="Close">✕</button></header>
}

function Numbers({ rates, seconds }: { rates: Rates; seconds: number }) {
  const before = rates.requests_before > 0 ? `, before ${share(rates.failed_before / rates.requests_before)}` : ''
  const numbers: [string, string, string][] = [
    ['Requests', rate(rates.requests / seconds), `${count(rates.requests)}, in as long a time before ${count(rates.requests_before)}`],
    ['Failed', share(rates.requests > 0 ? failedShare(rates) : null), `${count(rates.failed)}${before}`],
    ['p50', milliseconds(rates.p50_ms), 'median'], ['p95', milliseconds(rates.p95_ms), '95th percentile'], ['p99', milliseconds(rates.p99_ms), '99th percentile'],
  ]
  return (
    <div className="numbers">
      {numbers.map(([name, value, title]) => <div key={name} title={title}><span className="dim">{name}</span><span className={name === 'Failed' && isBad(rates) ? 'v error' : 'v'}>{value}</span></div>)}
    </div>
  )
}

interface OneServiceProps {
  name: string
  /** null where it is not on the map, as with "failed only". */
  service: MapService | null
  range: Range
  seconds: number
  close: () => void
}

export function OneService({ name, service, range, seconds, close }: OneServiceProps) {
  const window = { start: rfc3339(range.start), end: rfc3339(range.end), service: name }
  const isService = (service?.kind ?? 'service') === 'service'
  const own = useAsk(JSON.stringify(['service', window]), (signal) => serviceMap(window, signal))
  const shown = service ?? own.data?.services.find((it) => it.name === name) ?? null
  return (
    <aside className="panel side" aria-label="Service">
      <Head close={close}><KindIcon kind={shown?.kind ?? 'service'} /><span className="cut" title={name}>{name}</span><span className="tag">{KINDS[shown?.kind ?? 'service']?.label ?? shown?.kind}</span></Head>
      <div className="body stack">
        {shown ? shown.requests > 0 && <Numbers rates={shown} seconds={seconds} /> : own.data && <p className="dim">Nothing was counted of it in this window.</p>}
        {isService && <Ways name={name} rates={shown} range={range} />}
        {shown && shown.versions.length > 0 && <Versions service={shown} />}
        {own.error ? <Failed error={own.error} /> : !own.data ? <Skeleton rows={5} /> : isService ? <Operations answer={own.data} seconds={seconds} /> : <Neighbours answer={own.data} name={name} seconds={seconds} />}
        {isService && <ErrorsOf window={window} />}
        {isService && <PatternsOf window={window} />}
      </div>
    </aside>
  )
}

/** On to the other screens, within the same window, with how much is there. */
function Ways({ name, rates, range }: { name: string; rates: Rates | null; range: Range }) {
  const among = all(`service_name = ${literal(name)}`, ENTRY)
  const length = range.end - range.start
  const before = { baseline_from: rfc3339(range.start - length), baseline_to: rfc3339(range.start) }
  return (
    <div className="row wrap">
      <Link className="button small" to={urlTo('/traces', { service: name })}>Traces{rates ? ` of ${plural(Math.round(rates.requests), 'request')}` : ''}</Link>
      {rates !== null && rates.failed > 0 && <Link className="button small" to={urlTo('/traces', { service: name, errors: '1' })}>of the {count(rates.failed)} failed</Link>}
      <Link className="button small" to={urlTo('/logs', { service: name })}>Logs</Link>
      {rates !== null && rates.failed > 0 && rates.failed < rates.requests && (
        <Link className="button small" to={urlTo('/compare', { table: 'spans', selection: all(among, 'status_code = 2'), baseline: all(among, 'status_code <> 2') })}>Compare the failed with the other {count(rates.requests - rates.failed)}</Link>
      )}
      {rates !== null && rates.requests_before > 0 && <Link className="button small" to={urlTo('/compare', { table: 'spans', selection: among, baseline: among, ...before })} title="With as long a time before this window">Compare with the {count(rates.requests_before)} before</Link>}
      <Link className="button small" to={urlTo('/investigate', { service: name })}>Investigate</Link>
    </div>
  )
}

function Section({ title, answer, more, children }: { title: string; answer?: { asked: { path: string; ms: number } } | null; more?: React.ReactNode; children: React.ReactNode }) {
  return (
    <section className="stack tight">
      <div className="row wrap"><h3>{title}</h3>{more}<HowKnown known={knownByCounts(answer)} /></div>
      {children}
    </section>
  )
}

const at = (ms: number | null) => (ms === null ? '–' : clock(ms))

function Versions({ service }: { service: MapService }) {
  return (
    <Section title="Versions and instances">
      <table className="table">
        <thead><tr><th>Version</th><th className="num fit">Requests</th><th className="num fit">Failed</th><th className="num fit">Instances</th><th className="fit">First seen</th></tr></thead>
        <tbody>
          {service.versions.map(({ version, requests, failed, instances, first_seen_ms }) => (
            <tr key={version}>
              <td className="cut mono">{version || <span className="dim">(none)</span>}</td>
              <td className="num fit">{count(requests)}</td>
              <td className={failed > 0 ? 'num fit error' : 'num fit dim'}>{share(requests > 0 ? failed / requests : null)}</td>
              <td className="num fit" title={instances.join('\n')}>{count(instances.length)}</td>
              <td className="fit mono">{at(first_seen_ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  )
}

function Operations({ answer, seconds }: { answer: Counted<ServiceMap>; seconds: number }) {
  const { operations } = answer
  if (operations.length === 0) return null
  return (
    <Section title={operations.length > OPERATIONS_MAX ? `The busiest ${OPERATIONS_MAX} of ${count(operations.length)} operations` : 'Operations'} answer={answer}>
      <div className="scroll">
        <table className="table">
          <RateHeads few first={<th>Operation</th>} />
          <tbody>
            {operations.slice(0, OPERATIONS_MAX).map((operation) => (
              <tr key={`${operation.kind} ${operation.operation}`}>
                <td className="words"><Link className="cover" to={urlTo('/traces', { service: operation.service, operation: operation.operation, spans: 'all' })}>{operation.operation}</Link> <span className="tag">{operation.kind}</span></td>
                <RateCells rates={operation} seconds={seconds} few />
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  )
}

/** Of what has no spans of its own: who calls it. */
function Neighbours({ answer, name, seconds }: { answer: Counted<ServiceMap>; name: string; seconds: number }) {
  if (answer.calls.length === 0) return null
  return (
    <Section title="Calls" answer={answer}>
      <table className="table">
        <RateHeads few first={<th>With</th>} />
        <tbody>{answer.calls.map((call, index) => <tr key={index}><td className="cut">{call.server === name ? `from ${call.client}` : `to ${call.server}`}</td><RateCells rates={call} seconds={seconds} few /></tr>)}</tbody>
      </table>
    </Section>
  )
}

interface Window {
  start: string
  end: string
  service: string
}

function ErrorsOf({ window }: { window: Window }) {
  const { data, error } = useAsk(JSON.stringify(['errors', window]), (signal) => errorGroups(window, signal))
  const all = data && data.errors.length > LISTED_MAX
  return (
    <Section title="Errors" answer={data} more={data && data.errors.length > 0 && <Link to={urlTo('/errors', { service: window.service })}>{all ? `all ${count(data.errors.length)}` : 'more of them'}</Link>}>
      {error ? <Failed error={error} /> : !data ? <Skeleton rows={2} /> : data.errors.length === 0 ? <p className="dim">No exception was counted.</p> : (
        <ul className="short-list">
          {data.errors.slice(0, LISTED_MAX).map((group) => (
            <li key={group.fingerprint}>
              <Link className="cover cut grow" to={urlTo('/errors', { service: group.service, group: group.fingerprint })} title={group.message}><b>{group.error_type || 'error'}</b> <span className="soft">{group.message}</span></Link>
              <Signs came={group} /><span className="num">{count(group.count)}</span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  )
}

function PatternsOf({ window }: { window: Window }) {
  const { data, error } = useAsk(JSON.stringify(['patterns', window]), (signal) => logPatterns(window, signal))
  const lines = data ? data.patterns.reduce((sum, { count }) => sum + count, data.others) : 0
  return (
    <Section title="Log patterns" answer={data} more={lines > 0 && <Link to={urlTo('/logs', { service: window.service, view: 'patterns' })}>of {plural(Math.round(lines), 'line')}</Link>}>
      {error ? <Failed error={error} /> : !data ? <Skeleton rows={2} /> : data.patterns.length === 0 ? <p className="dim">No line was counted.</p> : (
        <ul className="short-list">
          {data.patterns.slice(0, LISTED_MAX).map((pattern) => (
            <li key={`${pattern.level} ${pattern.pattern}`}>
              <Link className="cover cut grow mono" to={urlTo('/logs', { service: pattern.service, q: constantWords(pattern.pattern) })} title={pattern.pattern}>{pattern.pattern}</Link>
              {(pattern.level === 'error' || pattern.level === 'fatal') && <span className="tag error">{pattern.level}</span>}
              <Signs came={pattern} /><span className="num">{count(pattern.count)}</span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  )
}

interface OneCallProps {
  /** null where there is none of this name now. */
  call: Call | null
  services: MapService[]
  range: Range
  seconds: number
  answer: Counted<ServiceMap>
  close: () => void
}

export function OneCall({ call, services, range, seconds, answer, close }: OneCallProps) {
  if (!call) return <aside className="panel side" aria-label="Call"><Head close={close}>Call</Head><p className="notice">This call was not counted in this window.</p></aside>
  const hasSpans = services.some(({ name, kind }) => name === call.server && kind === 'service')
  const isFirst = services.some(({ name, kind }) => name === call.client && kind === 'user')
  const to = isFirst ? { service: call.server, q: 'parent_span_id IS NULL' } : { service: call.client, spans: 'all', q: callSql(call, hasSpans, range) }
  const end = (name: string) => <Link className="button small" to={urlTo('/services', { node: name })}>{name}</Link>
  return (
    <aside className="panel side" aria-label="Call">
      <Head close={close}><span className="cut">{call.client} <span className="dim">→</span> {call.server}</span><span className="tag">{KINDS[call.kind]?.label ?? call.kind}</span></Head>
      <div className="body stack">
        <Numbers rates={call} seconds={seconds} />
        <div className="row wrap">
          <Link className="button small" to={urlTo('/traces', to)}>Traces of {plural(Math.round(call.requests), 'call')}</Link>
          {call.failed > 0 && <Link className="button small" to={urlTo('/traces', { ...to, errors: '1' })}>of the {count(call.failed)} failed</Link>}
          {!isFirst && end(call.client)}{end(call.server)}
          <Link className="button small" to={urlTo('/logs', { f: [filterParam({ field: 'service_name', op: '=', value: call.client })] })}>Logs of {call.client}</Link>
        </div>
        <p className="dim">Durations are as the caller saw them. A call failed where either end says so; the traces listed are those whose span at this end failed.</p>
        <section className="stack tight">
          <div className="row wrap"><h3>Over time, in PromQL</h3><HowKnown known={knownByCounts(answer)} /></div>
          <div className="code">{call.query}<Copy text={call.query} title="Copy the query" /></div>
        </section>
      </div>
    </aside>
  )
}
