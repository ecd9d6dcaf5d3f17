// Which kinds of lines are there, and which are new or surge? What varies is masked; a click searches for the words that do not.
import { Fragment } from 'react'
import { logPatterns } from '../api'
import { count, plural } from '../format'
import { WILDCARD, constantWords, steps } from '../parts/came'
import { Failed, Panel, Skeleton, knownByCounts } from '../parts/Panel'
import { Signs } from '../parts/Signs'
import { Spark } from '../parts/Spark'
import { Link } from '../shell/Shell'
import { type Range, clock, rfc3339 } from '../time'
import { urlTo } from '../url'
import { useAsk, useSeen } from '../use'

const TONES: Record<string, string> = { fatal: 'tag error', error: 'tag error', warn: 'tag warn' }

/** Of a service or of all, and of some levels. */
export function Patterns({ service, level, range }: { service: string | null; level: (name: string) => boolean; range: Range }) {
  const seen = useSeen('logs', range)
  const window = seen && { start: rfc3339(seen.start), end: rfc3339(seen.end), service }
  const { data, error, busy } = useAsk(window && JSON.stringify(window), (signal) => logPatterns(window!, signal))
  const listed = (data?.patterns ?? []).filter((pattern) => level(pattern.level))
  const lines = listed.reduce((sum, { count }) => sum + count, 0)
  const rest = data && [data.others > 0 && `${count(data.others)} lines of kinds beyond the limits`, data.left_out > 0 && `${plural(data.left_out, 'pattern')} left out`].filter(Boolean).join(', ')
  return (
    <Panel title={data ? plural(listed.length, 'pattern') : 'Patterns'} actions={<span className="dim">{data && listed.length > 0 ? `of ${plural(Math.round(lines), 'line')}${service ? ` of ${service}` : ''}, most frequent first` : ''}{rest && `; ${rest}`}</span>} known={knownByCounts(data)} busy={busy} flush className="patterns">
      {error ? <Failed error={error} /> : !data || !seen ? <div className="notice"><Skeleton rows={8} /></div> : listed.length === 0 ? (
        <p className="notice">No pattern was counted here. Lines are clustered as they come; of what was imported later there are only lines.</p>
      ) : (
        <div className="scroll">
          <table className="table">
            <thead><tr><th>Pattern</th><th className="fit">Service</th><th className="fit">Level</th><th className="num fit">Lines</th><th>&nbsp;</th><th className="fit">First seen</th><th className="fit">Last seen</th></tr></thead>
            <tbody>
              {listed.map((pattern) => {
                const { times, values } = steps(data, pattern.counts)
                return (
                  <tr key={`${pattern.service} ${pattern.level} ${pattern.pattern}`}>
                    <td className="words"><Link className="cover mono" to={urlTo('/logs', { service: pattern.service, q: constantWords(pattern.pattern) })} title="Search for its words"><Masked pattern={pattern.pattern} /></Link> <Signs came={pattern} /></td>
                    <td className="fit">{pattern.service}</td>
                    <td className="fit"><span className={TONES[pattern.level] ?? 'tag'}>{pattern.level || '–'}</span></td>
                    <td className="num fit" title={`In as long a time before: ${count(pattern.before)}`}>{count(pattern.count)}</td>
                    <td className="bars"><Spark counts times={times} values={values} range={seen} marks={[]} to={() => ''} bad={pattern.level in TONES && pattern.level !== 'warn'} label="Lines over time" /></td>
                    <td className="fit mono">{pattern.first_seen_ms === null ? '–' : clock(pattern.first_seen_ms, { beside: range.end })}</td>
                    <td className="fit mono">{pattern.last_seen_ms === null ? '–' : clock(pattern.last_seen_ms, { beside: range.end })}</td>
                  </tr>
                )
              })}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  )
}

/** What varies stands back. */
function Masked({ pattern }: { pattern: string }) {
  return pattern.split(WILDCARD).map((part, index) => <Fragment key={index}>{index > 0 && <span className="masked">…</span>}{part}</Fragment>)
}
