// Where is the time lost, and where do errors begin? Each step of slow traces against the same step of normal ones.
import type { Step, Where } from '../api'
import { digits, milliseconds, plural, share } from '../format'
import { Findings } from '../parts/Evidence'
import { Failed, Panel, Skeleton, knownByHow } from '../parts/Panel'
import { Link } from '../shell/Shell'
import { said } from '../time'
import { urlTo } from '../url'
import type { Asking } from '../use'

/** Further steps explain nothing that these don't. */
const STEPS_MAX = 15

const PATTERNS: Record<string, string> = { retry: 'retries', timeout: 'times out', pool_wait: 'waits for a pool', n_plus_one: 'N+1', refused: 'not made' }

export function WhereTable({ asking: { data, error, busy } }: { asking: Asking<Where> }) {
  const steps = (data?.steps ?? []).slice(0, STEPS_MAX)
  const widest = Math.max(0.01, ...steps.map(({ share_of_delta }) => Math.abs(share_of_delta)))
  return (
    <Panel title="Where" actions={<span className="dim">{data ? `${plural(data.slow_traces, 'affected trace')} against ${plural(data.normal_traces, 'normal one')}` : ''}</span>} known={knownByHow(data?.how)} busy={busy} flush>
      {error ? <Failed error={error} /> : !data ? <div className="notice"><Skeleton rows={6} height={24} /></div> : steps.length === 0 ? <p className="notice">No step differs: the traces of this window tell of no place.</p> : (
        <>
          {data.findings.length > 0 && <div className="body inset"><Findings findings={data.findings} /></div>}
          <div className="scroll">
            <table className="table">
              <thead><tr><th>Step</th><th className="num fit" title="Time of this step alone on the critical path, normal → affected">Critical path</th><th className="num fit" colSpan={2}>Share of the rise</th><th className="num fit" title="Calls in each trace, normal → affected">Calls</th><th className="num fit" title="Share of traces in which the error begins here, normal → affected">Errors begin</th><th className="fit">Traces</th></tr></thead>
              <tbody>{steps.map((step, index) => <StepRow key={index} step={step} widest={widest} />)}</tbody>
            </table>
          </div>
        </>
      )}
    </Panel>
  )
}

function StepRow({ step, widest }: { step: Step; widest: number }) {
  const number = (value: number | null) => (value === null ? '–' : digits(value))
  return (
    <tr>
      <td className="words" title={said(step.statement)}>
        <span><b>{step.service}</b> {step.operation}</span> {step.dependency && <span className="tag">dependency{step.target ? ` ${step.target}` : ''}</span>} {step.patterns.map((pattern) => <span key={pattern} className="tag warn">{PATTERNS[pattern] ?? pattern} </span>)}
      </td>
      <td className="num fit">{milliseconds(step.critical_ms.before)} → <b>{milliseconds(step.critical_ms.after)}</b></td>
      <td className="num fit">{share(step.share_of_delta)}</td>
      <td className="fit"><svg width="60" height="6" aria-hidden><rect width={(Math.max(0, step.share_of_delta) / widest) * 60} height="6" rx="1" fill="var(--accent)" /></svg></td>
      <td className="num fit">{number(step.calls_per_trace.before)} → {number(step.calls_per_trace.after)}</td>
      <td className={step.error_origin.after ? 'num fit error' : 'num fit dim'}>{share(step.error_origin.before)} → {share(step.error_origin.after)}</td>
      <td className="fit">{step.trace_ids.slice(0, 3).map((id, index) => <Link key={id} className="button quiet small" to={urlTo(`/traces/${id}`)} title={`Trace ${id}`}>{index + 1}</Link>)}</td>
    </tr>
  )
}
