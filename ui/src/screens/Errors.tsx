// Which errors are there, since when, in which versions, and which are back? Groups of what is the same, the remarkable first.
import { type Change, type Counted, type ErrorGroup, errorGroups } from '../api'
import { count, plural } from '../format'
import { steps } from '../parts/came'
import { compareAround, useChanges } from '../parts/changes'
import { changeMarks } from '../parts/marking'
import { Copy, Failed, Panel, Skeleton, knownByCounts } from '../parts/Panel'
import { Signs } from '../parts/Signs'
import { Spark } from '../parts/Spark'
import { Link } from '../shell/Shell'
import { ENTRY, all, literal } from '../sql'
import { type Range, clock, rfc3339 } from '../time'
import { setParams, urlTo, usePlace } from '../url'
import { refresh, useAsk, useEvery, useRange, useSeen } from '../use'

/** Series get a sample as often. */
const REFRESH_MS = 15_000

type Answer = Counted<{ errors: ErrorGroup[]; others: number }>

export function Errors() {
  const { params } = usePlace()
  const range = useRange()
  const service = params.get('service')
  const group = params.get('group')
  // Errors come from both, and lines of a minute in an hour would be a stripe at the edge.
  const [spans, logs] = [useSeen('spans', range), useSeen('logs', range)]
  const seen = spans && logs && { start: Math.min(spans.start, logs.start), end: range.end }
  const window = seen && { start: rfc3339(seen.start), end: rfc3339(seen.end) }
  // Of all services, so that the list of services does not lose those that are not chosen.
  const { data, error, busy } = useAsk(window && JSON.stringify(window), (signal) => errorGroups(window!, signal))
  useEvery(REFRESH_MS, refresh, range.relative && !busy)
  const changes = useChanges(range)
  const services = [...new Set([...(data?.errors ?? []).map((it) => it.service), ...(service ? [service] : [])])].sort()
  const shown = (data?.errors ?? []).filter((it) => !service || it.service === service)
  const total = shown.reduce((sum, it) => sum + it.count, 0)
  const others = data && [data.others > 0 && `${count(data.others)} of groups beyond the limits`, data.left_out > 0 && `${plural(data.left_out, 'group')} left out`].filter(Boolean).join(', ')
  return (
    <div className="stack">
      <form className="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <label className="field">
          Service
          <select className="input" data-key="search" value={service ?? ''} onChange={(event) => setParams({ service: event.target.value, group: null })}>
            <option value="">All services</option>
            {services.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
      </form>
      <Panel title={data ? plural(shown.length, 'group') : 'Groups'} actions={<span className="dim">{data && shown.length > 0 ? `of ${plural(Math.round(total), 'error')}; new ones and regressions first` : ''}{others && `; ${others}`}</span>} known={knownByCounts(data)} busy={busy} flush>
        {error ? <Failed error={error} /> : !data || !seen ? <div className="notice"><Skeleton rows={6} height={30} /></div> : shown.length === 0 ? (
          <p className="notice">No exception was counted in this window. They are grouped as they come, from the events of spans and from logs; <Link to={urlTo('/traces', { errors: '1' })}>requests that failed</Link> without one are on Traces.</p>
        ) : (
          <div className="scroll">
            <table className="table errors">
              <thead><tr><th>Error</th><th className="fit">Service</th><th className="num fit">Count</th><th>&nbsp;</th><th className="fit">Last seen</th><th className="fit">Traces</th></tr></thead>
              <tbody>{shown.map((it) => <Group key={`${it.service} ${it.fingerprint}`} group={it} answer={data} range={seen} changes={changes.rows} open={it.fingerprint === group} />)}</tbody>
            </table>
          </div>
        )}
      </Panel>
    </div>
  )
}

interface GroupProps {
  group: ErrorGroup
  answer: Answer
  range: Range
  changes: Change[] | null
  open: boolean
}

function Group({ group, answer, range, changes, open }: GroupProps) {
  const { times, values } = steps(answer, group.counts)
  const name = group.error_type || 'error'
  const ofService = all(`service_name = ${literal(group.service)}`, ENTRY)
  return (
    <>
      <tr>
        <td className="words">
          <button className="unfold" aria-expanded={open} onClick={() => setParams({ group: open ? null : group.fingerprint }, { replace: true })}>
            <span className="row wrap"><b className="wrap-any">{name}</b><Signs came={group} /></span>
            <span className={open ? 'wrap-any' : 'cut'}>{group.message || <span className="dim">(no message)</span>}</span>
            {group.culprit && <span className="cut dim mono" title={group.culprit}>{group.culprit}</span>}
          </button>
        </td>
        <td className="fit"><Link className="cover" to={urlTo('/services', { node: group.service })}>{group.service}</Link></td>
        <td className="num fit" title={`In as long a time before: ${count(group.before)}`}>{count(group.count)}</td>
        <td className="bars"><Spark counts times={times} values={values} range={range} marks={changeMarks(changes, group.service)} to={(time) => compareAround('spans', ofService, range, time)} bad label={`${name} over time`} /></td>
        <td className="fit mono">{at(group.last_seen_ms, range)}</td>
        <td className="fit">{group.traces.slice(0, 3).map((id, index) => <Link key={id} className="button quiet small" to={urlTo(`/traces/${id}`)} title={`Trace ${id}`} aria-label={`Trace ${index + 1} of ${name}`}>{index + 1}</Link>)}</td>
      </tr>
      {open && <tr><td colSpan={6} className="words"><Opened group={group} range={range} /></td></tr>}
    </>
  )
}

const at = (ms: number | null, range: Range) => (ms === null ? '–' : clock(ms, { beside: range.end }))

function Opened({ group, range }: { group: ErrorGroup; range: Range }) {
  const word = /[\w]+$/.exec(group.error_type)?.[0]
  return (
    <div className="stack">
      <div className="row wrap">
        <span className="soft">First seen {at(group.first_seen_ms, range)}, last {at(group.last_seen_ms, range)}; {count(group.count)} in this window, {count(group.before)} in as long a time before</span>
        <span className="grow" />
        <Link className="button small" to={urlTo('/traces', { service: group.service, errors: '1', spans: 'all' })}>Failed spans of {group.service}</Link>
        <Link className="button small" to={urlTo('/logs', { service: group.service, level: '17' })}>Errors in its logs</Link>
        {group.traces.length > 0 && <Link className="button small" to={urlTo('/logs', { service: group.service, where: `trace_id IN (${group.traces.map(literal).join(', ')})` })}>Logs of {plural(group.traces.length, 'trace')}</Link>}
        {word && <Link className="button small quiet" to={urlTo('/logs', { service: group.service, q: word })}>Logs that say {word}</Link>}
      </div>
      {group.versions.length > 0 && (
        <table className="table narrow">
          <thead><tr><th>Version</th><th className="num fit">Count</th><th className="fit">First seen</th><th className="fit">Last seen</th></tr></thead>
          <tbody>{group.versions.map((version) => <tr key={version.version}><td className="cut mono">{version.version || <span className="dim">(none)</span>}</td><td className="num fit">{count(version.count)}</td><td className="fit mono">{at(version.first_seen_ms, range)}</td><td className="fit mono">{at(version.last_seen_ms, range)}</td></tr>)}</tbody>
        </table>
      )}
      <div className="row wrap"><span className="dim">Traces</span>{group.traces.map((id) => <Link key={id} className="mono" to={urlTo(`/traces/${id}`)}>{id}</Link>)}{group.traces.length === 0 && <span className="dim">none is known of these errors</span>}</div>
      <div className="code">{group.query}<Copy text={group.query} title="Copy the query" /></div>
    </div>
  )
}
