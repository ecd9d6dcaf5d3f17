// What sets one population apart from another? Every attribute of both, ranked by how much it differs.
import { useState } from 'react'
import { type CompareFinding, type Comparison, compare } from '../api'
import { count, digits, plural, share } from '../format'
import { QueryLinks } from '../parts/Evidence'
import { SharePair, useFilters } from '../parts/Fields'
import { Copy, Failed, Panel, Skeleton, knownByHow } from '../parts/Panel'
import { Link } from '../shell/Shell'
import { type Filter, all, filterParam, filterSql } from '../sql'
import { type Range, clock, parseRange, rfc3339 } from '../time'
import { setParams, urlTo, usePlace } from '../url'
import { useAsk, useNow, useRange } from '../use'

const FINDINGS_MAX = 50

export function Compare() {
  const { params } = usePlace()
  const range = useRange()
  const now = useNow()
  const { filters } = useFilters()
  const table = params.get('table') === 'logs' ? 'logs' : 'spans'
  const given = params.get('selection')
  const narrowed = filters.map(filterSql)
  // The same window for both, unless the baseline has one of its own; a row in both populations counts as selected.
  const other: Range = params.has('baseline_from') ? parseRange(params.get('baseline_from'), params.get('baseline_to'), now) : range
  const body = given === null ? null : {
    table,
    selection: { filter: all(given, ...narrowed), start: rfc3339(range.start), end: rfc3339(range.end) },
    baseline: { filter: params.get('baseline') || 'TRUE', start: rfc3339(other.start), end: rfc3339(other.end) },
    limit: FINDINGS_MAX,
  }
  const { data, error, busy } = useAsk(body && JSON.stringify(body), (signal) => compare(body!, signal))
  const list = (selection: string) => (table === 'logs' ? urlTo('/logs', { where: selection, own: '1' }) : urlTo('/traces', { q: selection, spans: 'all', own: '1' }))
  return (
    <div className="stack">
      <Populations table={table} selection={given ?? ''} baseline={params.get('baseline') ?? ''} data={data} />
      {given === null ? <HowTo /> : error ? <Failed error={error} /> : (
        <>
          <FindingsTable data={data} busy={busy} list={list} selection={body?.selection.filter ?? ''} baseline={body?.baseline.filter ?? ''} />
          {data && data.numbers.length > 0 && <Numbers data={data} />}
        </>
      )}
    </div>
  )
}

function HowTo() {
  return (
    <section className="panel notice stack">
      <p>Nothing is selected. Drag over the durations on <Link to={urlTo('/traces')}>Traces</Link>, compare the errors on <Link to={urlTo('/logs')}>Logs</Link>, or start with</p>
      <div className="row wrap center">
        <button className="button" onClick={() => setParams({ table: 'spans', selection: 'status_code = 2 AND kind IN (2, 5)', baseline: 'status_code <> 2 AND kind IN (2, 5)' })}>failed requests against the others</button>
        <button className="button" onClick={() => setParams({ table: 'logs', selection: 'severity_number >= 17', baseline: 'severity_number < 17' })}>errors in logs against the other lines</button>
      </div>
    </section>
  )
}

function Populations({ table, selection, baseline, data }: { table: string; selection: string; baseline: string; data: Comparison | null }) {
  const [draft, setDraft] = useState<{ selection: string; baseline: string } | null>(null)
  const { filters, drop } = useFilters()
  const shown = draft ?? { selection, baseline }
  const field = (name: 'selection' | 'baseline', label: string, size: number | undefined, swatch: string, hint: string) => (
    <label className="field grow">
      <span><span className={`swatch ${swatch}`} />{label}{size !== undefined && <b> {plural(size, table === 'logs' ? 'log' : 'span')}</b>}</span>
      <textarea className="input mono area" rows={2} spellCheck={false} value={shown[name]} placeholder={hint} onChange={(event) => setDraft({ ...shown, [name]: event.target.value })} />
    </label>
  )
  return (
    <form className="panel" onSubmit={(event) => { event.preventDefault(); setParams(shown); setDraft(null) }}>
      <div className="body row top wrap padded">
        <label className="field">Table<select className="input" value={table} onChange={(event) => setParams({ table: event.target.value })}><option>spans</option><option>logs</option></select></label>
        {field('selection', 'Selection', data?.selection.count, 'accent', 'SQL predicate')}
        {field('baseline', 'Baseline', data?.baseline.count, 'bar', 'the rest of the window')}
        <button className="button primary compare-go" disabled={draft === null || !shown.selection.trim()}>Compare</button>
      </div>
      <div className="body row wrap"><Baselines selection={selection} /></div>
      {filters.length > 0 && (
        <div className="body row wrap"><span className="dim">Selection narrowed to</span>
          {filters.map((filter) => <span key={filterParam(filter)} className="chip"><span className="cut">{filter.field.replace(/^\w+:/, '')} {filter.op} {filter.value ?? '(none)'}</span><button type="button" aria-label="Remove this condition" onClick={() => drop(filter)}>✕</button></span>)}
        </div>
      )}
    </form>
  )
}

const DAY_MS = 86_400_000

/** What a selection is usually compared with: the rest, or the same at another time. */
function Baselines({ selection }: { selection: string }) {
  const { params } = usePlace()
  const range = useRange()
  const length = range.end - range.start
  const choices: [string, number][] = [['the rest of the window', 0], ['the same, the window before', length], ['the same, a day before', DAY_MS], ['the same, a week before', 7 * DAY_MS]]
  const chosen = (shift: number) => (shift === 0 ? !params.has('baseline_from') : params.get('baseline_from') === rfc3339(range.start - shift))
  const choose = (shift: number) => setParams(shift === 0 ? { baseline: null, baseline_from: null, baseline_to: null } : {
    from: rfc3339(range.start), to: rfc3339(range.end), baseline: selection, baseline_from: rfc3339(range.start - shift), baseline_to: rfc3339(range.end - shift),
  })
  return (
    <>
      <span className="dim">Compared with</span>
      <div className="segments" role="group" aria-label="Baseline">
        {choices.map(([name, shift]) => <button key={name} type="button" disabled={!selection} aria-pressed={selection !== '' && chosen(shift)} onClick={() => choose(shift)}>{name}</button>)}
      </div>
      {params.has('baseline_from') && <span className="dim">{clock(Date.parse(params.get('baseline_from') ?? ''))} – {clock(Date.parse(params.get('baseline_to') ?? ''))}</span>}
    </>
  )
}

/** The field that a key of a comparison names: a column, a family and a key, or an attribute. */
export function fieldOfKey(key: string): string {
  if (/^(attr|resource|scope):/.test(key)) return key
  const call = /^(attr|resource|scope)(?:_\w+)?\('((?:[^']|'')*)'\)$/.exec(key)
  if (call) return `${call[1]}:${call[2]!.replaceAll("''", "'")}`
  const dotted = /^(attr|resource|scope)\.(.+)$/s.exec(key)
  return dotted ? `${dotted[1]}:${dotted[2]}` : key
}

const filtersFrom = (finding: CompareFinding): Filter[] => finding.attributes.map(({ key, value, expression }) => ({ field: fieldOfKey(expression ?? key), op: '=', value }))

interface TableProps {
  data: Comparison | null
  busy: boolean
  list: (predicate: string) => string
  selection: string
  baseline: string
}

function FindingsTable({ data, busy, list, selection, baseline }: TableProps) {
  const { filters } = useFilters()
  const narrow = (finding: CompareFinding) => setParams({ f: [...filters, ...filtersFrom(finding)].map(filterParam) })
  const summary = data ? `${plural(data.findings.length, 'finding')} among ${plural(data.keys_compared, 'attribute')}` : ''
  return (
    <Panel title="What sets them apart" actions={<><span className="dim">{summary}</span><span className="legend"><span><span className="swatch accent" />share of the selection</span><span><span className="swatch bar" />share of the baseline</span></span></>} known={knownByHow(data?.how)} busy={busy} flush>
      {!data ? <div className="notice"><Skeleton rows={10} height={22} /></div> : data.findings.length === 0 ? <p className="notice">No attribute differs by more than chance would. The difference may lie in durations, in time, or in what is not recorded.</p> : (
        <table className="table findings">
          <thead><tr><th>Attribute</th><th className="bars">&nbsp;</th><th className="num fit">Selection</th><th className="num fit">Baseline</th><th className="num fit" title="How much more frequent it is, from −1 to 1 or as the program states it">Effect</th><th className="num fit" title="Rows of the selection that have it">Support</th><th className="fit">&nbsp;</th></tr></thead>
          <tbody>
            {data.findings.map((finding, index) => (
              <tr key={index}>
                <td className="words">
                  <div className="row wrap">{finding.attributes.map(({ key, value }) => <span key={key}><span className="soft">{key}</span> = <b>{value ?? '(none)'}</b></span>)}</div>
                  {finding.synonyms.length > 0 && <div className="dim" title="The same rows, named otherwise">also {finding.synonyms.map(({ key, value }) => `${key} = ${value ?? '(none)'}`).join(', ')}</div>}
                </td>
                <td className="bars"><SharePair selection={finding.selection_share} baseline={finding.baseline_share} label={finding.statement} /></td>
                <td className="num fit">{share(finding.selection_share)}</td>
                <td className="num fit">{share(finding.baseline_share)}</td>
                <td className="num fit" title={`q ${finding.q_value.toExponential(1)}`}>{digits(finding.effect)}</td>
                <td className="num fit">{count(finding.selection_count)}</td>
                <td className="fit acts">
                  <button className="button quiet small" disabled={finding.selection_count === 0} onClick={() => narrow(finding)} title="Narrow the selection to this">Narrow</button>
                  {finding.selection_count > 0
                    ? <Link className="button quiet small" to={list(all(selection, ...filtersFrom(finding).map(filterSql)))} title="List them">Show {count(finding.selection_count)}</Link>
                    : <Link className="button quiet small" to={list(all(baseline, ...filtersFrom(finding).map(filterSql)))} title="None is selected; list those of the baseline">Show {count(finding.baseline_count)} of the baseline</Link>}
                  <QueryLinks query={finding.query} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  )
}

function Numbers({ data }: { data: Comparison }) {
  const value = (number: number | null) => (number === null ? '–' : digits(number))
  return (
    <Panel title="Numbers" actions={<><span className="dim">5th, 50th and 95th percentile</span><Copy text={JSON.stringify(data.numbers, null, 2)} label="Copy JSON" title="Copy as JSON" /></>} known={knownByHow(data.how)} flush>
      <table className="table">
        <thead><tr><th>Attribute</th><th className="num fit" colSpan={3}>Selection</th><th className="num fit" colSpan={3}>Baseline</th><th className="num fit">Effect</th></tr></thead>
        <tbody>
          {data.numbers.map((row) => (
            <tr key={row.key}>
              <td>{row.key}</td>
              {[row.selection, row.baseline].flatMap((side, index) => (['p5', 'p50', 'p95'] as const).map((name) => <td key={`${index}${name}`} className={name === 'p50' ? 'num fit' : 'num fit dim'}>{value(side[name])}</td>))}
              <td className="num fit" title={`q ${row.q_value.toExponential(1)}`}>{digits(row.effect)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  )
}
