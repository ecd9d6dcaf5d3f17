// Who is affected? Each dimension's values with the share of their requests that are, and whether the dimension tells them apart.
import type { Radius, Symptom, Triage } from '../api'
import { count, digits, share } from '../format'
import { Panel, Skeleton } from '../parts/Panel'
import { Link } from '../shell/Shell'
import { all, fieldLabel, filterSql } from '../sql'
import { urlTo } from '../url'
import { fieldOfKey } from './Compare'

/** Values of one dimension; the rest is less affected. */
const VALUES_MAX = 6
/** Where nobody is spared, some examples do. */
const EVERYWHERE_MAX = 3
/** Values with fewer requests say too little about who is spared. */
const REQUESTS_MIN = 20
/** A value whose share is below this part of the largest is spared. */
const SPARED = 0.5

/** How many of the values are affected. */
function spread({ values }: Radius): { hit: number; of: number } {
  const known = values.filter(({ requests }) => requests >= REQUESTS_MIN)
  const most = Math.max(0, ...known.map(({ share }) => share))
  return { hit: known.filter(({ share }) => share >= most * SPARED).length, of: known.length }
}

/** Where a value is investigated alone; null where that can't be said. */
function investigate(data: Triage, symptom: Symptom | null, dimension: string, value: string): string | null {
  const signal = symptom?.signal
  if (dimension === 'service') return urlTo('/investigate', { service: value, signal })
  if (dimension === 'operation') {
    // An operation is named together with its service.
    const services = data.radius.find((radius) => radius.dimension === 'service')?.values ?? []
    const service = services.find((service) => value.startsWith(`${service.value} `))?.value
    return service === undefined ? null : urlTo('/investigate', { service, operation: value.slice(service.length + 1), signal })
  }
  const narrower = filterSql({ field: fieldOfKey(dimension), op: '=', value })
  return urlTo('/investigate', { service: symptom?.service, operation: symptom?.operation, signal, filter: symptom?.filter ? all(symptom.filter, narrower) : narrower })
}

export function BlastRadius({ data, symptom }: { data: Triage | null; symptom: Symptom | null }) {
  return (
    <Panel title="Blast radius" actions={<span className="dim">share of requests affected</span>} flush>
      {!data ? <div className="notice"><Skeleton rows={8} height={18} /></div> : data.radius.length === 0 ? <p className="notice">Nothing tells the affected apart.</p> : (
        <table className="table">{data.radius.map((radius) => <Dimension key={radius.dimension} radius={radius} data={data} symptom={symptom} />)}</table>
      )}
    </Panel>
  )
}

function Dimension({ radius, data, symptom }: { radius: Radius; data: Triage; symptom: Symptom | null }) {
  const { hit, of } = spread(radius)
  const everywhere = hit === of
  return (
    <tbody>
      <tr>
        <th colSpan={2}>{fieldLabel(fieldOfKey(radius.dimension))} {of > 1 && <span className={everywhere ? 'tag' : 'tag warn'}>{everywhere ? 'everywhere' : `${hit} of ${of}`}</span>}</th>
        <th className="num fit">affected</th><th className="num fit" title="How much worse it got">×</th>
      </tr>
      {radius.values.slice(0, everywhere ? EVERYWHERE_MAX : VALUES_MAX).map((value) => {
        const url = investigate(data, symptom, radius.dimension, value.value)
        return (
          <tr key={value.value}>
            <td>{url ? <Link className="cover cut" to={url} title="Investigate this alone">{value.value}</Link> : <span className="cut">{value.value}</span>}</td>
            <td className="fit"><svg width="60" height="6" role="img" aria-label={`${share(value.share)} affected`}><rect width="60" height="6" rx="1" fill="var(--sunken)" /><rect width={Math.min(1, value.share) * 60} height="6" rx="1" fill="var(--error)" /></svg></td>
            <td className="num fit" title={`${count(value.affected)} of ${count(value.requests)} requests`}>{share(value.share)}</td>
            <td className="num fit dim">{digits(value.ratio)}</td>
          </tr>
        )
      })}
    </tbody>
  )
}
