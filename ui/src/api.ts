// How does the page talk to the program? Every request is made here, and every answer has its type here.

export type Value = string | number | boolean | null | Value[] | { [key: string]: Value }

export interface Stats {
  rows_scanned: number
  bytes_scanned: number
  elapsed_ms: number
  partial: boolean
  coverage: { limit: string; fraction: number } | null
}

export interface Answer {
  sql: string
  columns: { name: string; type: string }[]
  rows: Value[][]
  stats: Stats
}

export interface Asked {
  sql: string
  params: Value[]
  rows_scanned: number
  bytes_scanned: number
  elapsed_ms: number
  partial: boolean
}

export interface How {
  queries: Asked[]
  exact: boolean
  /** What was sampled or left out. */
  notes?: string[]
  start: string
  end: string
}

export interface Finding {
  statement: string
  effect: number
  support: number
  q_value?: number
  query: string
}

export interface Change {
  time: string
  kind: string
  entity: string
  before: string | null
  after: string | null
  actor: string | null
  source: string
  attributes?: Record<string, string>
}

export interface Symptom {
  signal?: 'latency' | 'errors' | 'traffic' | 'auto'
  service?: string
  operation?: string
  filter?: string
  start: string
  end: string
}

export interface Red {
  requests: number
  requests_per_s: number
  error_rate: number
  p50_ms: number | null
  p95_ms: number | null
  p99_ms: number | null
}

/** What triage took the symptom to be. */
export interface Found {
  signal: 'latency' | 'errors' | 'traffic' | 'auto'
  service: string | null
  operation: string | null
  filter: string | null
  statement: string
}

export interface Radius {
  dimension: string
  values: { value: string; requests: number; affected: number; share: number; before: Red; after: Red; ratio: number }[]
}

/** A change beside an onset: seconds from the onset to it, negative before. */
export interface NearChange extends Change {
  offset_s: number | null
  near: boolean
}

export interface Triage {
  symptom: Found
  onset: { time: string; earliest: string; latest: string; confidence: number } | null
  ongoing: boolean
  baseline: { start: string; end: string }
  before: Red
  after: Red
  series: { time: string; requests: number; errors: number; p50_ms: number | null; p95_ms: number | null }[]
  radius: Radius[]
  changes: NearChange[]
  findings: Finding[]
  how: How
}

export interface Population {
  filter: string
  start: string
  end: string
}

interface KeyValue {
  key: string
  value: string | null
  /** How SQL reads it. */
  expression?: string
}

export interface CompareFinding {
  attributes: KeyValue[]
  synonyms: KeyValue[]
  selection_count: number
  baseline_count: number
  selection_share: number
  baseline_share: number
  effect: number
  q_value: number
  statement: string
  query: string
}

interface Quantiles {
  p5: number | null
  p50: number | null
  p95: number | null
}

export interface Comparison {
  selection: { count: number }
  baseline: { count: number }
  findings: CompareFinding[]
  numbers: { key: string; selection: Quantiles; baseline: Quantiles; effect: number; q_value: number }[]
  keys_compared: number
  how: How
}

interface BeforeAfter {
  before: number | null
  after: number | null
}

export interface Step {
  service: string
  operation: string
  kind: string | number
  dependency: boolean
  target?: string
  self_ms: BeforeAfter
  critical_ms: BeforeAfter
  delta_ms: number
  share_of_delta: number
  calls_per_trace: BeforeAfter
  error_origin: BeforeAfter
  error_passed_on: BeforeAfter
  patterns: string[]
  statement: string
  trace_ids: string[]
}

export interface Where {
  normal_traces: number
  slow_traces: number
  steps: Step[]
  findings: Finding[]
  how: How
}

export type Mitigation =
  | { kind: 'flag'; flag: string; variant?: string; state?: string }
  | { kind: 'rollback'; entity: string; to: string }
  | { kind: 'text'; statement: string }

export interface Suspect {
  rank: number
  kind: string
  entity: string
  title: string
  score: number
  change?: Change
  for: Finding[]
  against: Finding[]
  refute: { statement: string; query: string }
  mitigation?: Mitigation
}

export interface Suspects {
  verdict: 'cause' | 'no_convincing_cause' | 'nothing_broken'
  statement: string
  suspects: Suspect[]
  how: How
}

export interface Validation {
  verdict: 'fixed' | 'improved' | 'no_effect' | 'worse' | 'too_early'
  statement: string
  before: Red
  during: Red
  after: Red
  findings: Finding[]
  how: How
}

export interface Flag {
  key: string
  state: 'ENABLED' | 'DISABLED'
  variants: Record<string, Value>
  defaultVariant: string | null
  targeting?: Value
  description?: string
  version: number
  changed_at: string
  changed_by: string | null
}

export interface FlagEdit {
  time: string
  version: number
  way: string
  actor: string | null
  reason: string | null
  before: Record<string, Value> | null
  after: Record<string, Value> | null
}

export interface FlagPatch {
  state?: 'ENABLED' | 'DISABLED'
  defaultVariant?: string
  actor?: string
  reason?: string
}

/** What the program said against a request, or that it could not be reached. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly kind: string,
    readonly status: number,
  ) {
    super(message)
  }
}

/** Requests at once: the program answers 8 questions at a time, and others ask too. */
const IN_FLIGHT_MAX = 4

let inFlight = 0
const waiting: (() => void)[] = []

async function turn(signal: AbortSignal | undefined): Promise<void> {
  if (inFlight < IN_FLIGHT_MAX) {
    inFlight += 1
    return
  }
  // Whoever leaves hands its turn over, so the count stays as it is.
  await new Promise<void>((resolve) => waiting.push(resolve))
  if (signal?.aborted) {
    leave()
    signal.throwIfAborted()
  }
}

function leave() {
  const next = waiting.shift()
  if (next) next()
  else inFlight -= 1
}

async function request<T>(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  await turn(signal)
  try {
    const headers: HeadersInit = body === undefined ? {} : { 'content-type': 'application/json' }
    const reply = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal })
    const text = await reply.text()
    if (!reply.ok) throw problem(text, reply.status)
    return (text ? JSON.parse(text) : null) as T
  } catch (error) {
    if (error instanceof TypeError) throw new ApiError('Causeway can’t be reached', 'unreachable', 0)
    throw error
  } finally {
    leave()
  }
}

function problem(text: string, status: number): ApiError {
  try {
    const { error } = JSON.parse(text) as { error: { kind: string; message: string } }
    return new ApiError(error.message, error.kind, status)
  } catch {
    return new ApiError(`the program answered with status ${status}`, 'unknown', status)
  }
}

/** Asks in SQL. `partial`: rather a part of the answer in time than none. */
export async function sql(text: string, signal?: AbortSignal, { partial = false, rowsMax = 100_000 } = {}): Promise<Answer> {
  const answer = await request<Omit<Answer, 'sql'>>('POST', '/api/v1/sql', { query: text, partial, rows_max: rowsMax }, signal)
  return { ...answer, sql: text }
}

/** The rows as objects by column. */
export function objects<T>(answer: Answer): T[] {
  const names = answer.columns.map((column) => column.name)
  return answer.rows.map((row) => {
    const object: Record<string, Value | undefined> = {}
    for (let index = 0; index < names.length; index += 1) object[names[index]!] = row[index]
    return object as T
  })
}

const diagnose = <T>(verb: string) => (body: unknown, signal?: AbortSignal) => request<T>('POST', `/api/v1/diagnose/${verb}`, body, signal)

export const triage: (symptom: Symptom, signal?: AbortSignal) => Promise<Triage> = diagnose('triage')
export const where: (symptom: Symptom, signal?: AbortSignal) => Promise<Where> = diagnose('where')
export const suspects: (symptom: Symptom, signal?: AbortSignal) => Promise<Suspects> = diagnose('suspects')
export const validate: (body: { symptom: Symptom; mitigated_at: string }, signal?: AbortSignal) => Promise<Validation> = diagnose('validate')
export const compare: (
  body: { table: string; selection: Population; baseline: Population; limit?: number },
  signal?: AbortSignal,
) => Promise<Comparison> = diagnose('compare')

export const flags = async (signal?: AbortSignal) => (await request<{ flags: Flag[] }>('GET', '/api/v1/flags', undefined, signal)).flags

export const setFlag = (key: string, patch: FlagPatch) => request<Flag>('PATCH', `/api/v1/flags/${encodeURIComponent(key)}`, patch)

/** The edits of a flag as the program keeps them. */
export async function flagAudit(key: string, signal?: AbortSignal): Promise<FlagEdit[]> {
  return (await request<{ edits: FlagEdit[] }>('GET', `/api/v1/flags/${encodeURIComponent(key)}/audit`, undefined, signal)).edits
}

/** An answer from series that were counted as telemetry came, with the question to ask it again. */
export type Counted<T> = T & { start_ms: number; end_ms: number; step_ms: number; left_out: number; asked: { path: string; ms: number } }

/** Requests, failures and durations; `before` is in as long a time before. */
export interface Rates {
  requests: number
  failed: number
  requests_before: number
  failed_before: number
  p50_ms: number | null
  p95_ms: number | null
  p99_ms: number | null
}

export interface ServiceVersion {
  version: string
  requests: number
  failed: number
  instances: string[]
  first_seen_ms: number | null
  last_seen_ms: number | null
}

export type ServiceKind = 'service' | 'database' | 'messaging_system' | 'external' | 'user'

export interface MapService extends Rates {
  name: string
  kind: ServiceKind
  versions: ServiceVersion[]
}

export interface Call extends Rates {
  client: string
  server: string
  kind: ServiceKind
  /** PromQL. */
  query: string
}

export interface Operation extends Rates {
  service: string
  operation: string
  kind: string
}

export interface ServiceMap {
  services: MapService[]
  calls: Call[]
  operations: Operation[]
}

/** How often something came: by step (Unix ms of its begin), in the window, in as long a time before. */
export interface Came {
  count: number
  before: number
  ratio: number | null
  is_new: boolean
  is_surging: boolean
  first_seen_ms: number | null
  last_seen_ms: number | null
  counts: [number, number][]
}

export type Regression =
  | { kind: 'new_in_version' | 'back_in_version'; version: string; clean_version: string }
  | { kind: 'back_after_silence'; silence_ms: number }

export interface ErrorGroup extends Came {
  service: string
  fingerprint: string
  error_type: string
  message: string
  culprit: string
  regression: Regression | null
  versions: { version: string; count: number; first_seen_ms: number | null; last_seen_ms: number | null }[]
  traces: string[]
  /** PromQL. */
  query: string
}

export interface LogPattern extends Came {
  service: string
  level: string
  pattern: string
}

export interface CountedWindow {
  /** RFC 3339. */
  start: string
  end: string
  service?: string | null
  failed?: boolean
}

async function counted<T>(path: string, window: CountedWindow, signal?: AbortSignal): Promise<Counted<T>> {
  const params = new URLSearchParams(Object.entries(window).flatMap(([name, value]) => (value ? [[name, String(value)]] : [])))
  const asked = `${path}?${params}`
  const begun = performance.now()
  const answer = await request<Counted<T>>('GET', asked, undefined, signal)
  return { ...answer, asked: { path: asked, ms: performance.now() - begun } }
}

export const serviceMap = (window: CountedWindow, signal?: AbortSignal) => counted<ServiceMap>('/api/v1/services', window, signal)
export const errorGroups = (window: CountedWindow, signal?: AbortSignal) => counted<{ errors: ErrorGroup[]; others: number }>('/api/v1/errors', window, signal)
export const logPatterns = (window: CountedWindow, signal?: AbortSignal) => counted<{ patterns: LogPattern[]; others: number }>('/api/v1/patterns', window, signal)

/** Follows lines as they come, after the last `limit` ones. It lasts, so it takes no turn from the questions. */
export async function followLogs(query: string, limit: number, signal: AbortSignal): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  const reply = await fetch(`/api/v1/logs/tail?${new URLSearchParams({ query, limit: String(limit) })}`, { signal })
  if (!reply.ok || !reply.body) throw problem(await reply.text(), reply.status)
  return reply.body.getReader()
}

export interface Ready {
  ready: boolean
  problems: string[]
}

/** Whether the store can keep and answer; a 503 is an answer here, not a failure. */
export async function ready(signal?: AbortSignal): Promise<Ready> {
  const reply = await fetch('/readyz', { signal })
  return (await reply.json()) as Ready
}
