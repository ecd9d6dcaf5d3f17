// Who is affected? Each dimension's values with the share of their requests that are.
import type { Symptom, Triage } from '../api'
import { count, digits, share } from '../format'
import { Panel, Skeleton } from '../parts/Panel'
import { Link } from '../shell/Shell'
import { all, fieldLabel, filterSql } from '../sql'
import { urlTo } from '../url'
import { fieldOfKey } from './Compare'

/** Values of one dimension; the rest is less affected. */
const VALUES_MAX = 6

/** The dimension as a field of spans. */
const fieldOf = (dimension: string) => (dimension === 'service' ? 'service_name' : dimension === 'operation' ? 'name' : fieldOfKey(dimension))

function investigate(symptom: Symptom | null, dimension: string, value: string): string {
  if (dimension === 'service') return urlTo('/investigate', { service: value, signal: symptom?.signal })
  const narrower = filterSql({ field: fieldOf(dimension), op: '=', value })
  return urlTo('/investigate', { service: symptom?.service, operation: symptom?.operation, signal: symptom?.signal, filter: symptom?.filter ? all(symptom.filter, narrower) : narrower })
}

export function BlastRadius({ data, symptom }: { data: Triage | null; symptom: Symptom | null }) {
  return (
    <Panel title="Blast radius" actions={<span className="dim">share of requests affected</span>} flush>
      {!data ? <div className="notice"><Skeleton rows={8} height={18} /></div> : data.radius.length === 0 ? <p className="notice">Nothing tells the affected apart.</p> : (
        <table className="table">
          {data.radius.map(({ dimension, values }) => (
            <tbody key={dimension}>
              <tr><th colSpan={2}>{fieldLabel(fieldOf(dimension))}</th><th className="num fit">affected</th><th className="num fit">×</th></tr>
              {values.slice(0, VALUES_MAX).map((value) => (
                <tr key={value.value}>
                  <td><Link className="cover cut" to={investigate(symptom, dimension, value.value)} title="Investigate this alone">{value.value}</Link></td>
                  <td className="fit"><svg width="60" height="6" role="img" aria-label={`${share(value.share)} affected`}><rect width="60" height="6" rx="1" fill="var(--sunken)" /><rect width={Math.min(1, value.share) * 60} height="6" rx="1" fill="var(--error)" /></svg></td>
                  <td className="num fit" title={`${count(value.affected)} of ${count(value.requests)} requests`}>{share(value.share)}</td>
                  <td className="num fit dim">{digits(value.ratio)}</td>
                </tr>
              ))}
            </tbody>
          ))}
        </table>
      )}
    </Panel>
  )
}
