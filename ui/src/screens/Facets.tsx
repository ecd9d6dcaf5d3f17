// Which values does each field have here? Opened one at a time, since each is a question of its own.
import { useState } from 'react'
import { plural, share, short } from '../format'
import { useFilters } from '../parts/Fields'
import { Failed, Skeleton } from '../parts/Panel'
import { all, fieldLabel, fieldSql, timeSql } from '../sql'
import type { Range } from '../time'
import { setParams, usePlace } from '../url'
import { useRows } from '../use'

const VALUES_MAX = 10
const FIELDS_MAX = 200

interface Props {
  predicate: string
  range: Range
}

export function Facets({ predicate, range }: Props) {
  const keys = useRows<{ family: string; key: string; n: number }>(
    `SELECT family, key, sum(rows) AS n FROM attribute_keys('logs') WHERE NOT (family = 'resource' AND key = 'service.name') GROUP BY 1, 2 ORDER BY 3 DESC LIMIT ${FIELDS_MAX}`,
  )
  const [find, setFind] = useState('')
  const listed = (keys.rows ?? []).filter(({ key }) => key.toLowerCase().includes(find.toLowerCase()))
  return (
    <aside className="panel facets" aria-label="Fields">
      <header><input className="input grow" placeholder={`Find among ${plural(keys.rows?.length ?? 0, 'field')}`} aria-label="Find a field" value={find} onChange={(event) => setFind(event.target.value)} /></header>
      {find === '' && <Facet field="service_name" predicate={predicate} range={range} open />}
      {find === '' && <Facet field="severity_text" predicate={predicate} range={range} open />}
      {listed.map(({ family, key }) => <Facet key={`${family}:${key}`} field={`${family}:${key}`} predicate={predicate} range={range} />)}
      {keys.error && <Failed error={keys.error} />}
    </aside>
  )
}

/** `field` in the URL names the fields that are not as they are at first. */
function Facet({ field, predicate, range, open = false }: Props & { field: string; open?: boolean }) {
  const { params } = usePlace()
  const moved = params.getAll('field')
  const opened = moved.includes(field) !== open
  const toggle = (now: boolean) => now !== opened && setParams({ field: opened === open ? [...moved, field] : moved.filter((other) => other !== field) }, { replace: true })
  return (
    <details open={opened} onToggle={(event) => toggle(event.currentTarget.open)}>
      <summary><span className="cut grow">{fieldLabel(field)}</span>{field.startsWith('resource:') && <span className="dim">resource</span>}</summary>
      {opened && <Values field={field} predicate={predicate} range={range} />}
    </details>
  )
}

function Values({ field, predicate, range }: Props & { field: string }) {
  const { add } = useFilters()
  const { rows, error } = useRows<{ value: string | null; n: number; total: number }>(
    `SELECT value, n, sum(n) OVER () AS total FROM (SELECT ${fieldSql(field)} AS value, count(*) AS n FROM logs WHERE ${all(timeSql(range), predicate)} GROUP BY 1) ORDER BY n DESC, value LIMIT ${VALUES_MAX}`,
    { partial: true },
  )
  if (error) return <Failed error={error} />
  if (!rows) return <div className="notice"><Skeleton rows={3} /></div>
  if (rows.length === 0) return <p className="notice">No logs here</p>
  return (
    <ul>
      {rows.map(({ value, n, total }) => (
        <li className="value" key={JSON.stringify(value)}>
          <svg aria-hidden><rect width={`${(n / total) * 100}%`} height="3" rx="1" /></svg>
          <button className="name cut" title={`Only ${value ?? 'without this field'} (${share(n / total)})`} onClick={() => add({ field, op: '=', value })}>{value ?? <span className="dim">(none)</span>}</button>
          <button className="iconic" title="Leave these out" aria-label="Leave these out" onClick={() => add({ field, op: '!=', value })}>≠</button>
          <span className="dim">{short(n)}</span>
        </li>
      ))}
    </ul>
  )
}
