// What happened in one request? Its spans over time or everything in order, and all that is known of a span.
import { type ReactNode, useMemo } from 'react'
import type { Value } from '../api'
import { count, duration, plural, share } from '../format'
import { compareAround, useChanges } from '../parts/changes'
import { Pairs } from '../parts/Fields'
import { Copy, Failed, HowKnown, Skeleton, knownBy } from '../parts/Panel'
import { Link } from '../shell/Shell'
import { ENTRY, type Filter, filterParam, literal } from '../sql'
import { between, clock, exact, rfc3339 } from '../time'
import { Waterfall } from '../trace/Waterfall'
import { type SpanAnswer, type Tree, criticalShares, layOut } from '../trace/layout'
import { go, setParams, urlTo, usePlace } from '../url'
import { useRows } from '../use'
import { InOrder, type TraceLog } from './InOrder'

/** A trace of more spans is shown up to here, and says so. */
const SPANS_MAX = 200_000
const LOGS_MAX = 20_000
/** Around a trace, where others like it are looked for. 30 min: about as much as a person means by "then". */
const NEAR_MS = 1_800_000

export function Trace({ id }: { id: string }) {
  const valid = /^[0-9a-f]{32}$/i.test(id)
  const spans = useRows<SpanAnswer>(
    valid ? `SELECT hex(span_id) AS span_id, hex(parent_span_id) AS parent_span_id, time, duration_ns, service_name AS service, name, kind, status_code FROM spans WHERE trace_id = ${literal(id)} LIMIT ${SPANS_MAX}` : null,
    { rowsMax: SPANS_MAX },
  )
  const logs = useRows<TraceLog>(
    valid ? `SELECT time, severity_number, service_name AS service, body, hex(span_id) AS span_id FROM logs WHERE trace_id = ${literal(id)} ORDER BY time LIMIT ${LOGS_MAX}` : null,
  )
  const tree = useMemo(() => (spans.rows ? layOut(spans.rows) : null), [spans.rows])
  if (!valid) return <p className="notice">A trace id has 32 hexadecimal digits; this is none: {id}</p>
  if (spans.error) return <Failed error={spans.error} />
  if (!tree) return <Skeleton rows={16} />
  if (tree.nodes.length === 0 && (logs.rows?.length ?? 0) === 0) return <p className="notice">The store holds no span and no log of trace {id}. It may not have been sampled, not have arrived, or be past its retention.</p>
  return <Shown id={id} tree={tree} logs={logs.rows ?? []} known={[...knownBy(spans.data), ...knownBy(logs.data)]} />
}

function Shown({ id, tree, logs, known }: { id: string; tree: Tree; logs: TraceLog[]; known: ReturnType<typeof knownBy> }) {
  const { params } = usePlace()
  const chosen = params.get('span')
  const selected = useMemo(() => (chosen ? tree.nodes.findIndex((node) => node.id === chosen) : -1), [tree, chosen])
  const list = params.get('view') === 'list' || tree.nodes.length === 0
  const { began, duration } = tree
  const life = useMemo(() => ({ start: began.ms, end: began.ms + duration / 1e6 }), [began, duration])
  const { marks } = useChanges(life)
  const around = { start: began.ms - NEAR_MS, end: began.ms + NEAR_MS }
  const select = (index: number) => setParams({ span: tree.nodes[index]?.id ?? null }, { replace: true })
  return (
    <>
      <Head id={id} tree={tree} logs={logs} list={list} select={select} known={known} />
      <div className={selected >= 0 ? 'trace' : 'trace alone'}>
        <section className="panel waterfall" aria-label={list ? 'Spans and logs in order' : 'Waterfall'}>
          {list ? <InOrder tree={tree} logs={logs} selected={selected} select={select} /> : <Waterfall tree={tree} selected={selected} select={select} marks={marks} to={(time) => compareAround('spans', ENTRY, around, time)} />}
        </section>
        {selected >= 0 && <Details trace={id} tree={tree} index={selected} />}
      </div>
    </>
  )
}

interface HeadProps {
  id: string
  tree: Tree
  logs: TraceLog[]
  list: boolean
  select: (index: number) => void
  known: ReturnType<typeof knownBy>
}

function Head({ id, tree, logs, list, select, known }: HeadProps) {
  const root = tree.nodes[tree.roots[0] ?? -1]
  const services = useMemo(() => new Set(tree.nodes.map(({ service }) => service)).size, [tree])
  const failed = useMemo(() => tree.nodes.filter(({ failed }) => failed).length, [tree])
  const origins = useMemo(() => tree.nodes.flatMap(({ origin }, index) => (origin ? [index] : [])), [tree])
  const shares = useMemo(() => criticalShares(tree).slice(0, 3), [tree])
  const lost = tree.nodes.filter(({ orphan }) => orphan).length
  return (
    <section className="panel" aria-label="Trace">
      <header>
        <h2 className="cut">{root ? `${root.service || '(no service)'} ${root.name}` : 'Logs without spans'}</h2>
        <span className="mono dim cut">{id}</span><Copy text={id} />
        <HowKnown known={known} />
      </header>
      <div className="body row wrap">
        <span><b>{duration(tree.duration)}</b> <span className="dim">from {clock(tree.began.ms, { millis: true })}</span></span>
        <span className="soft">{plural(tree.nodes.length, 'span')} · {plural(services, 'service')} · {plural(logs.length, 'log')}</span>
        {failed > 0 ? (
          <span className="row"><span className="tag error">{plural(failed, 'failed span')}</span>
            <button className="button small" onClick={() => select(origins[0] ?? -1)} title="To the span where the error began">{origins.length === 1 ? 'Where it began' : `${count(origins.length)} origins, first`}</button></span>
        ) : <span className="tag ok">no failed span</span>}
        {tree.nodes.length >= SPANS_MAX && <span className="tag warn" title="The query above gives the rest">the first {count(SPANS_MAX)} spans only</span>}
        {lost > 0 && <span className="tag warn" title="The span above these is not in the store; they are shown at the top level with ⤷">{plural(lost, 'span')} without the span above</span>}
        {shares.length > 0 && <span className="soft cut">Critical path: {shares.map((item, index) => <span key={index}>{index > 0 && ', '}{item.service} {item.name} <b>{share(item.ns / tree.duration)}</b></span>)}</span>}
        <span className="grow" />
        <div className="segments" role="group" aria-label="View">
          <button aria-pressed={!list} disabled={tree.nodes.length === 0} onClick={() => setParams({ view: null })}>Waterfall</button>
          <button aria-pressed={list} onClick={() => setParams({ view: 'list' })}>In order, with {plural(logs.length, 'log')}</button>
        </div>
      </div>
      {!list && <div className="body legend"><span><span className="swatch accent" />critical path</span><span><span className="swatch error" />the error began here</span><span>○ passed on from below</span></div>}
    </section>
  )
}

interface DetailRow {
  trace_state: string | null
  status_message: string | null
  scope_name: string | null
  attributes: Record<string, string | null>
  resource_attributes: Record<string, string | null>
  events: { time: string; name: string; attributes: string | null }[]
  links: { trace_id: string; span_id: string; attributes: string | null }[]
}

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']

function Details({ trace, tree, index }: { trace: string; tree: Tree; index: number }) {
  const node = tree.nodes[index]!
  const { data, rows, error, busy } = useRows<DetailRow>(
    `SELECT trace_state, status_message, scope_name, attributes, resource_attributes, events, links FROM spans WHERE trace_id = ${literal(trace)} AND span_id = ${literal(node.id)} LIMIT 1`,
  )
  const logs = useRows<{ time: string; severity_text: string | null; severity_number: number; body: string | null }>(
    `SELECT time, severity_text, severity_number, body FROM logs WHERE trace_id = ${literal(trace)} AND span_id = ${literal(node.id)} ORDER BY time LIMIT 100`,
  )
  const detail = rows?.[0]
  const near = { from: rfc3339(tree.began.ms - NEAR_MS), to: rfc3339(tree.began.ms + NEAR_MS) }
  const search = (filter: Filter) => go(urlTo('/traces', { ...near, spans: 'all', f: filterParam(filter) }))
  const close = <button className="button quiet small" onClick={() => setParams({ span: null })} aria-label="Close the span's details">✕</button>
  return (
    <aside className={busy ? 'panel scroll busy' : 'panel scroll'} aria-label="Span">
      <header><h2 className="cut grow">{node.name}</h2>{close}</header>
      <div className="body stack">
        <dl className="facts">
          <dt>Service</dt><dd>{node.service || '(none)'} · <Link to={urlTo('/traces', { ...near, service: node.service, operation: node.name, spans: 'all' })}>others of this operation</Link></dd>
          <dt>Kind</dt><dd>{KINDS[node.kind] ?? node.kind}</dd>
          <dt>Duration</dt><dd>{duration(node.end - node.start)}{node.critical > 0 && <span className="dim">, {duration(node.critical)} of it alone on the critical path</span>}</dd>
          <dt>Start</dt><dd>{duration(node.start)} into the trace</dd>
          <dt>Status</dt><dd>{node.failed ? <span className="error">{node.origin ? 'failed, the error began here' : 'failed, passed on from below'}{detail?.status_message ? `: ${detail.status_message}` : ''}</span> : 'not failed'}</dd>
          <dt>Span id</dt><dd className="mono">{node.id} <Copy text={node.id} icon title="Copy the span id" /></dd>
        </dl>
        {error && <Failed error={error} />}
        {!detail && !error && <Skeleton rows={6} />}
        {detail && <Rest detail={detail} tree={tree} search={search} />}
        <Section title={plural(logs.rows?.length ?? 0, 'log')}>
          {(logs.rows ?? []).map((log, row) => (
            <div key={row} className="row top"><span className="mono dim nowrap">+{duration(between(tree.began, exact(log.time)))}</span><span className={`mono nowrap ${log.severity_number >= 17 ? 'error' : log.severity_number >= 13 ? 'warn' : 'soft'}`}>{log.severity_text ?? log.severity_number}</span><span className="mono grow wrap-any">{log.body}</span></div>
          ))}
        </Section>
        <HowKnown known={[...knownBy(data), ...knownBy(logs.data)]} />
      </div>
    </aside>
  )
}

function Rest({ detail, tree, search }: { detail: DetailRow; tree: Tree; search: (filter: Filter) => void }) {
  return (
    <>
      <Section title={plural(Object.keys(detail.attributes).length, 'attribute')}><Pairs pairs={Object.entries(detail.attributes)} family="attr" filter={search} /></Section>
      {detail.events.length > 0 && (
        <Section title={plural(detail.events.length, 'event')}>
          {detail.events.map((event, row) => (
            <div key={row} className="stack tight"><div className="row"><span className="mono dim">+{duration(between(tree.began, exact(event.time)))}</span><b className="cut">{event.name}</b></div><Pairs pairs={pairsOf(event.attributes)} family="attr" /></div>
          ))}
        </Section>
      )}
      {detail.links.length > 0 && (
        <Section title={plural(detail.links.length, 'link')}>
          {detail.links.map((link, row) => <div key={row}><Link to={urlTo(`/traces/${link.trace_id}`, { span: link.span_id })}><span className="mono">{link.trace_id}</span></Link><Pairs pairs={pairsOf(link.attributes)} family="attr" /></div>)}
        </Section>
      )}
      <Section title="Resource"><Pairs pairs={Object.entries(detail.resource_attributes)} family="resource" filter={search} /></Section>
      {(detail.scope_name || detail.trace_state) && <dl className="facts">{detail.scope_name && <><dt>Scope</dt><dd>{detail.scope_name}</dd></>}{detail.trace_state && <><dt>Trace state</dt><dd className="mono">{detail.trace_state}</dd></>}</dl>}
    </>
  )
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return <section className="stack tight"><h3>{title}</h3>{children}</section>
}

/** The attributes of an event, which come as the text of a JSON object. */
function pairsOf(text: string | null): [string, string][] {
  try {
    const parsed = JSON.parse(text ?? '{}') as Record<string, Value>
    return Object.entries(parsed).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)])
  } catch {
    return [['attributes', text ?? '']]
  }
}

