// Which conditions hold, and which attributes has a record? Chips that go away, pairs that become conditions.
import { type Filter, fieldLabel, filterParam, filtersOf, withFilter } from '../sql'
import { setParams, usePlace } from '../url'
import { Copy } from './Panel'

export function useFilters(): { filters: Filter[]; add: (filter: Filter) => void; drop: (filter: Filter) => void } {
  const { params } = usePlace()
  const filters = filtersOf(params)
  return {
    filters,
    add: (filter) => setParams({ f: withFilter(filters, filter) }),
    drop: (filter) => setParams({ f: filters.map(filterParam).filter((text) => text !== filterParam(filter)) }),
  }
}

export function Chips() {
  const { filters, drop } = useFilters()
  if (filters.length === 0) return null
  return (
    <ul className="row wrap" aria-label="Conditions">
      {filters.map((filter) => (
        <li key={filterParam(filter)} className={filter.op === '=' ? 'chip' : 'chip not'}>
          <span className="cut">{fieldLabel(filter.field)} {filter.op === '=' ? '=' : '≠'} {filter.value ?? '(none)'}</span>
          <button onClick={() => drop(filter)} aria-label="Remove this condition">✕</button>
        </li>
      ))}
    </ul>
  )
}

interface PairsProps {
  pairs: [string, string | null][]
  family: 'attr' | 'resource' | 'scope'
  /** What a click on = or ≠ does; without it pairs are only shown. */
  filter?: (filter: Filter) => void
}

/** Attributes as a table. The values are strangers' text and stay text. */
export function Pairs({ pairs, family, filter }: PairsProps) {
  const sorted = pairs.toSorted(([left], [right]) => (left < right ? -1 : 1))
  return (
    <div className="kv">
      {sorted.map(([key, value]) => (
        <div className="line" key={key}>
          <span className="k">{key}</span>
          <span className="mono">{value}</span>
          <span className="acts">
            {filter && <button className="iconic" title="Only with this value" onClick={() => filter({ field: `${family}:${key}`, op: '=', value })}>=</button>}
            {filter && <button className="iconic" title="Only without this value" onClick={() => filter({ field: `${family}:${key}`, op: '!=', value })}>≠</button>}
            <Copy text={value ?? ''} icon title="Copy the value" />
          </span>
        </div>
      ))}
    </div>
  )
}

/** Two shares, one above the other. */
export function SharePair({ selection, baseline, label }: { selection: number; baseline: number; label: string }) {
  const width = (share: number) => `${Math.min(100, Math.max(0, share * 100))}%`
  return (
    <div className="pair" role="img" aria-label={label} title={label}>
      <svg><rect className="s" width={width(selection)} height="5" /></svg>
      <svg><rect className="b" width={width(baseline)} height="5" /></svg>
    </div>
  )
}
