// What is the cause? The page fills itself: the onset first, then where, who is suspected and why, and whether the fix held.
import { useMemo, useRef } from 'react'
import { type Change, type Symptom, type Triage, suspects, triage, where } from '../api'
import { duration, milliseconds, plural, rate, share, short } from '../format'
import { Chart, type Series } from '../parts/Chart'
import { compareAround, useChanges } from '../parts/changes'
import { Findings } from '../parts/Evidence'
import { type Mark, changeMarks, changeText } from '../parts/marking'
import { Failed, HowKnown, Panel, Skeleton, knownByHow } from '../parts/Panel'
import { ENTRY, all, filterSql, literal, timeSql } from '../sql'
import { type Range, clock, rfc3339, said } from '../time'
import { setParams, usePlace } from '../url'
import { refresh, useAsk, useEvery, useRange, useRows } from '../use'
import { BlastRadius } from './BlastRadius'
import { Suspected } from './Suspected'
import { Typed } from './Traces'
import { Verdict } from './Verdict'
import { WhereTable } from './WhereTable'

/** The evidence about an incident that began just now still grows: it is asked for again until it is this old. */
const YOUNG_MS = 120_000
const AGAIN_MS = 10_000

const SIGNALS = ['auto', 'latency', 'errors', 'traffic'] as const

function symptomOf(params: URLSearchParams, range: Range): Symptom {
  const signal = SIGNALS.find((name) => name === params.get('signal'))
  const get = (name: string) => params.get(name) || undefined
  return { signal: signal ?? 'auto', service: get('service'), operation: get('operation'), filter: get('filter'), start: rfc3339(range.start), end: rfc3339(range.end) }
}

/** What triage found it to be, so that the other questions are about the same. */
function resolved(asked: Symptom, { symptom }: Triage): Symptom {
  return { ...asked, signal: symptom.signal, service: symptom.service ?? asked.service, operation: symptom.operation ?? asked.operation, filter: symptom.filter ?? asked.filter }
}

export function Investigation() {
  const { params } = usePlace()
  const range = useRange()
  const asked = symptomOf(params, range)
  const first = useAsk(JSON.stringify(asked), (signal) => triage(asked, signal))
  const settled = first.data && !first.busy ? resolved(asked, first.data) : null
  // While the same is asked again, what was found before stays on screen.
  const subject = JSON.stringify([asked.signal, asked.service, asked.operation, asked.filter])
  const kept = useRef<{ subject: string; symptom: Symptom } | null>(null)
  if (settled) kept.current = { subject, symptom: settled }
  const symptom = settled ?? (kept.current?.subject === subject && !first.error ? kept.current.symptom : null)
  const key = symptom && JSON.stringify(symptom)
  const steps = useAsk(key, (signal) => where(symptom!, signal))
  const ranked = useAsk(key, (signal) => suspects(symptom!, signal))
  const mitigated = params.get('mitigated')
  const onset = first.data?.onset
  const young = onset ? range.end - Date.parse(onset.time) < YOUNG_MS : false
  useEvery(AGAIN_MS, refresh, range.relative && young && !mitigated && !first.busy && !ranked.busy)
  const mitigate = (at: string) => setParams({ mitigated: at, from: asked.start, to: asked.end })
  return (
    <div className="stack">
      <SymptomBar range={range} />
      {first.error ? <Failed error={first.error} /> : (
        <>
          <Headline data={first.data} busy={first.busy} symptom={symptom ?? asked} range={range} mitigated={mitigated} />
          <div className="inquiry">
            <div className="stack">
              <Suspected asking={ranked} mitigated={mitigated} mitigate={mitigate} />
              <WhereTable asking={steps} />
            </div>
            <div className="stack">
              {mitigated && symptom && <Verdict symptom={symptom} mitigated={mitigated} />}
              <NearChanges data={first.data} />
              <BlastRadius data={first.data} symptom={symptom} />
            </div>
          </div>
        </>
      )}
    </div>
  )
}

function SymptomBar({ range }: { range: Range }) {
  const { params } = usePlace()
  const service = params.get('service') ?? ''
  const services = useRows<{ service: string }>(`SELECT service_name AS service, count(*) AS n FROM spans WHERE ${timeSql(range)} AND service_name IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 500`)
  const operations = useRows<{ name: string }>(service ? `SELECT name, count(*) AS n FROM spans WHERE ${timeSql(range)} AND service_name = ${literal(service)} GROUP BY 1 ORDER BY 2 DESC LIMIT 500` : null)
  const again = { mitigated: null }
  const options = (list: string[], chosen: string) => (chosen && !list.includes(chosen) ? [chosen, ...list] : list).map((name) => <option key={name}>{name}</option>)
  return (
    <form className="filters" onSubmit={(event) => event.preventDefault()} aria-label="Symptom">
      <label className="field">Symptom
        <select className="input" value={params.get('signal') ?? 'auto'} onChange={(event) => setParams({ ...again, signal: event.target.value })}>
          <option value="auto">whatever is worst</option><option value="latency">slow</option><option value="errors">failing</option><option value="traffic">traffic</option>
        </select>
      </label>
      <label className="field">Service
        <select className="input" value={service} onChange={(event) => setParams({ ...again, service: event.target.value, operation: null })}>
          <option value="">the worst entry point</option>{options((services.rows ?? []).map((row) => row.service), service)}
        </select>
      </label>
      <label className="field">Operation
        <select className="input" disabled={!service} value={params.get('operation') ?? ''} onChange={(event) => setParams({ ...again, operation: event.target.value })}>
          <option value="">all</option>{options((operations.rows ?? []).map((row) => row.name), params.get('operation') ?? '')}
        </select>
      </label>
      <Typed label="SQL predicate over spans" value={params.get('filter') ?? ''} param="filter" placeholder="attr('cloud.region') = 'eu-west-1'" grow searchKey />
    </form>
  )
}

function Headline({ data, busy, ...about }: { data: Triage | null; busy: boolean; symptom: Symptom; range: Range; mitigated: string | null }) {
  const { range } = about
  const onset = data?.onset
  const state = !data ? '' : !onset ? 'good' : data.ongoing ? 'bad' : 'unsure'
  const spread = onset ? (Date.parse(onset.latest) - Date.parse(onset.earliest)) / 2 : 0
  return (
    <section className={`panel verdict headline ${state} ${busy ? 'busy' : ''}`} aria-label="Symptom" aria-busy={busy}>
      <div className="stack tight">
        {!data ? <><div className="skeleton big-line" /><div className="skeleton small-line" /></> : (
          <>
            <p className="big">{said(data.symptom.statement)}</p>
            <p className="soft row wrap">
              {onset ? <span>Began at <b>{clock(Date.parse(onset.time))}</b>, give or take {duration(spread * 1e6)} ({share(onset.confidence)} sure)</span> : <span>No moment at which it began stands out in this window.</span>}
              {onset && Date.parse(onset.time) < range.start && <button className="button small" onClick={() => setParams({ from: rfc3339(Date.parse(onset.earliest) - (range.end - range.start) / 2), to: rfc3339(range.end) })}>Widen the window to it</button>}
              {onset && (data.ongoing ? <span className="tag error">still going on</span> : <span className="tag">over by the end of the window</span>)}
            </p>
            <BeforeAfter data={data} />
            <Findings findings={data.findings} />
          </>
        )}
        <div className="foot"><HowKnown known={knownByHow(data?.how)} /></div>
      </div>
      <OnsetCharts data={data} {...about} />
    </section>
  )
}

/** The requests that a symptom is about. */
function requestsOf({ service, operation, filter }: Symptom): string {
  return all(service && filterSql({ field: 'service_name', op: '=', value: service }), operation ? filterSql({ field: 'name', op: '=', value: operation }) : ENTRY, filter && `(${filter})`)
}

/** All changes of the window; those that came near the onset stand out. */
function marksOf(data: Triage | null, changes: Change[] | null, mitigated: string | null): Mark[] {
  const named = ({ time, kind, entity }: Change) => JSON.stringify([Date.parse(time), kind, entity])
  const near = new Set((data?.changes ?? []).filter((change) => change.near).map(named))
  const marks = (changes ?? []).flatMap((change) => changeMarks([change]).map((mark): Mark => (near.has(named(change)) ? mark : { ...mark, tone: 'soft' })))
  return mitigated ? [...marks, { time: Date.parse(mitigated), label: 'mitigated', tone: 'ok' }] : marks
}

function OnsetCharts({ data, symptom, range, mitigated }: { data: Triage | null; symptom: Symptom; range: Range; mitigated: string | null }) {
  const { rows: changes } = useChanges(range)
  const times = useMemo(() => (data?.series ?? []).map(({ time }) => Date.parse(time)), [data])
  // A store younger than the window has nothing to show before its first record.
  const begin = times[0] === undefined ? range.start : Math.max(range.start, times[0])
  const shown = useMemo(() => ({ start: begin, end: range.end }), [begin, range.end])
  const [durations, requests] = useMemo(() => seriesOf(data), [data])
  const marks = useMemo(() => marksOf(data, changes, mitigated), [data, changes, mitigated])
  const to = (time: number) => compareAround('spans', requestsOf(symptom), shown, time)
  const band = useMemo(() => {
    const onset = data?.onset
    return onset ? { from: Date.parse(onset.earliest), to: Date.parse(onset.latest), at: Date.parse(onset.time), label: `onset ${clock(Date.parse(onset.time))}` } : null
  }, [data])
  return (
    <div className="charts">
      {!data ? <Skeleton rows={1} height={202} /> : (
        <>
          <Chart label="Durations over time with the onset and the changes" times={times} series={durations} range={shown} format={milliseconds} height={112} marks={marks} to={to} band={band} />
          <Chart label="Requests and failures over time" times={times} series={requests} range={shown} stacked format={short} height={84} marks={marks} to={to} band={band} />
        </>
      )}
      <div className="legend"><span><span className="swatch accent" />p95</span><span><span className="swatch bar" />p50, requests</span><span><span className="swatch error" />failed; band: when it began</span><span>▾ change</span></div>
    </div>
  )
}

function seriesOf(data: Triage | null): [Series[], Series[]] {
  const series = data?.series ?? []
  return [
    [
      { label: 'p95', color: 'accent', kind: 'line', values: series.map(({ p95_ms }) => p95_ms) },
      { label: 'p50', color: 'bar', kind: 'line', values: series.map(({ p50_ms }) => p50_ms) },
    ],
    [
      { label: 'failed', color: 'error', kind: 'bars', values: series.map(({ errors }) => errors) },
      { label: 'not failed', color: 'bar', kind: 'bars', values: series.map(({ requests, errors }) => requests - errors) },
    ],
  ]
}

/** The numbers that got worse, side by side. */
function BeforeAfter({ data: { before, after, baseline } }: { data: Triage }) {
  const time = (text: string) => clock(Date.parse(text)).slice(0, -3)
  const pairs: [string, string, string][] = [
    ['p95', milliseconds(before.p95_ms), milliseconds(after.p95_ms)],
    ['p50', milliseconds(before.p50_ms), milliseconds(after.p50_ms)],
    ['errors', share(before.error_rate), share(after.error_rate)],
    ['requests', rate(before.requests_per_s), rate(after.requests_per_s)],
  ]
  return (
    <div className="numbers" title={`Before: ${time(baseline.start)}–${time(baseline.end)}, ${plural(before.requests, 'request')}. Since: ${plural(after.requests, 'request')}.`}>
      {pairs.map(([name, was, is]) => <div key={name}><span className="dim">{name}</span><span className="v">{was} <span className="dim">→</span> {is}</span></div>)}
    </div>
  )
}

const offset = (seconds: number) => (Math.abs(seconds) < 1 ? 'at the onset' : `${duration(Math.abs(seconds) * 1e9)} ${seconds < 0 ? 'before' : 'after'}`)

function NearChanges({ data }: { data: Triage | null }) {
  return (
    <Panel title="What changed" actions={<span className="dim">{data ? plural(data.changes.length, 'change') : ''}</span>} flush>
      {!data ? <div className="notice"><Skeleton rows={3} height={20} /></div> : data.changes.length === 0 ? <p className="notice">No change was seen in this window.</p> : (
        <ol className="changes">
          {data.changes.toSorted((left, right) => Math.abs(left.offset_s ?? Infinity) - Math.abs(right.offset_s ?? Infinity)).slice(0, 12).map((change, index) => (
            <li key={index}>
              <span className="mono dim">{clock(Date.parse(change.time))}</span>
              <span className="wrap-any">{change.near ? <b>{changeText(change)}</b> : changeText(change)}<span className="dim">{change.actor && ` by ${change.actor}`}{change.offset_s === null || change.offset_s === undefined ? '' : `, ${offset(change.offset_s)}`}</span></span>
            </li>
          ))}
        </ol>
      )}
    </Panel>
  )
}

