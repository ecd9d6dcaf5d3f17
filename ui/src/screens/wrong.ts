// Is something wrong? What broke, and each service since then against what was usual before, by what chance alone would not do.
import type { Triage } from '../api'
import { digits, duration, rate, share } from '../format'
import { type Range, exact } from '../time'

/** Totals of a service over the window; `recent` is its part from `Split.since` on. */
export interface Service {
  service: string | null
  requests: number
  errors: number
  recent_requests: number
  recent_errors: number
  recent_p95_ns: number | null
}

/** One bucket of one service. */
export interface Bucket {
  service: string | null
  bucket: string
  requests: number
  errors: number
  p95_ns: number | null
}

/** A service over time, one value a bucket. */
export interface History {
  requests: number[]
  errors: number[]
  p95: (number | null)[]
}

export interface Wrong {
  service: string | null
  operation?: string | null
  signal: 'errors' | 'latency' | 'traffic'
  statement: string
  /** Larger is worse. */
  score: number
}

/** The window cut into what was usual, up to `until`, and what is now, from `since` on. All in Unix ms. */
export interface Split extends Range {
  until: number
  since: number
}

/**
 * Cut at the onset of what is still going on; without one before the last minutes. A store younger than the window has nothing
 * to show before its first record, so the window begins there.
 */
export function splitOf(range: Range, found: Triage | null): Split {
  const first = found ? Date.parse(found.how.start) : range.start
  const start = first < range.end ? Math.max(range.start, first) : range.start
  const onset = found && found.ongoing && isBroken(found) ? found.onset : null
  const since = onset ? Date.parse(onset.time) : recentStart({ start, end: range.end })
  if (since >= range.end) return splitOf(range, null)
  return { start, end: range.end, since: Math.max(start, since), until: onset ? Date.parse(onset.earliest) : since }
}

/** More requests that are answered as well as before are no harm. */
export function isBroken({ onset, symptom, before, after }: Triage): boolean {
  return onset !== null && (symptom.signal !== 'traffic' || after.requests_per_s < before.requests_per_s)
}

/** What broke and still is broken, before all that each service shows by itself. */
export function worstFirst(found: Triage | null, others: Wrong[]): Wrong[] {
  if (!found) return others
  // Triage looks at each operation by itself: where it sees nothing, the services' mixes only moved, as they do when a store is young.
  if (!isBroken(found)) return []
  if (!found.ongoing) return others
  const { service, operation, signal, statement } = found.symptom
  const first: Wrong = { service, operation, signal: signal === 'auto' ? 'latency' : signal, statement, score: Infinity }
  // Who waits longer asks less: traffic that moved since the onset follows from what broke.
  return [first, ...others.filter((other) => other.signal !== 'traffic' && !(other.service === service && other.signal === first.signal))]
}

/** A tenth of the window, but at least a minute and at most ten: what is wrong now, not what was wrong once. */
export function recentStart({ start, end }: Range): number {
  const length = end - start
  return end - Math.min(length / 2, Math.max(60_000, Math.min(600_000, length / 10)))
}

export function historyOf(rows: Bucket[], times: number[]): Map<string | null, History> {
  const position = new Map(times.map((time, index) => [time, index]))
  const histories = new Map<string | null, History>()
  for (const row of rows) {
    const history = histories.get(row.service) ?? { requests: times.map(() => 0), errors: times.map(() => 0), p95: times.map(() => null) }
    histories.set(row.service, history)
    const index = position.get(exact(row.bucket).ms)
    if (index === undefined) continue
    history.requests[index] = row.requests
    history.errors[index] = row.errors
    history.p95[index] = row.p95_ns
  }
  return histories
}

/** Fewer requests say too little. */
const REQUESTS_MIN = 20
/** Fewer buckets have no usual. */
const BUCKETS_MIN = 4
/** Standard errors by which a rate must differ: about one false alarm in 30,000 comparisons. */
const DEVIATIONS = 4
/** By how much it must differ to matter. */
const LATENCY_RATIO = 1.5
const ERROR_SHARE = 0.005
const TRAFFIC_RATIO = 1.6

interface Usual {
  requests_per_s: number
  /** Requests that the share of errors rests on. */
  requests: number
  error_rate: number
  p95_ns: number
}

function median(values: number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Requests and errors of the calmer two quarters: errors are too rare for a median of buckets, which would mostly be 0. */
function calmHalf(history: History, busy: number[]): { requests: number; error_rate: number } {
  const quarters = [0, 1, 2, 3].map((quarter) => {
    const part = busy.slice(Math.floor((quarter * busy.length) / 4), Math.floor(((quarter + 1) * busy.length) / 4))
    const sum = (values: number[]) => part.reduce((total, index) => total + values[index]!, 0)
    return { requests: sum(history.requests), errors: sum(history.errors) }
  })
  const [first, second] = quarters.sort((left, right) => left.errors / left.requests - right.errors / right.requests)
  const requests = first!.requests + second!.requests
  return { requests, error_rate: (first!.errors + second!.errors) / requests }
}

/**
 * What was usual before: medians of the buckets and the calmer half of the errors, so that an incident that began earlier than
 * the last minutes, or one that is over, does not pass for usual until it fills half of the window.
 */
function usual(history: History, times: number[], seconds: number, split: Split): Usual | null {
  const whole = times.flatMap((time, index) => (time >= split.start && time + seconds * 1000 <= split.until ? [index] : []))
  const busy = whole.filter((index) => history.requests[index]! > 0)
  if (busy.length < BUCKETS_MIN) return null
  return {
    requests_per_s: median(whole.map((index) => history.requests[index]!)) / seconds,
    ...calmHalf(history, busy),
    p95_ns: median(busy.map((index) => history.p95[index] ?? 0)),
  }
}

export function whatIsWrong(services: Service[], histories: Map<string | null, History>, times: number[], seconds: number, split: Split): Wrong[] {
  const found = services.flatMap((service) => {
    const history = histories.get(service.service)
    const before = history && usual(history, times, seconds, split)
    if (!before || before.requests < REQUESTS_MIN) return []
    return [errors(service, before), latency(service, before), traffic(service, before, split)].filter((item) => item !== null)
  })
  return found.sort((left, right) => right.score - left.score)
}

/** Two proportions, pooled (the z-test for two binomials). */
function errors({ service, recent_requests, recent_errors }: Service, { error_rate, requests }: Usual): Wrong | null {
  if (recent_requests < REQUESTS_MIN) return null
  const now = recent_errors / recent_requests
  const pooled = (recent_errors + error_rate * requests) / (recent_requests + requests)
  const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / recent_requests + 1 / requests))
  if (deviation === 0 || now - error_rate < ERROR_SHARE || (now - error_rate) / deviation < DEVIATIONS) return null
  return { service, signal: 'errors', statement: `fails ${share(now)} of its requests, usually ${share(error_rate)}`, score: 100 * (now - error_rate) }
}

function latency({ service, recent_requests, recent_p95_ns: now }: Service, { p95_ns }: Usual): Wrong | null {
  if (recent_requests < REQUESTS_MIN || !now || !p95_ns || now / p95_ns < LATENCY_RATIO) return null
  return { service, signal: 'latency', statement: `takes ${duration(now)} at p95, usually ${duration(p95_ns)} (${digits(now / p95_ns)}×)`, score: Math.log2(now / p95_ns) * Math.log10(recent_requests) }
}

/** A count against what a Poisson process of the usual rate gives; twice the deviations, since traffic comes in bursts. */
function traffic({ service, recent_requests }: Service, { requests_per_s }: Usual, { since, end }: Split): Wrong | null {
  const seconds = (end - since) / 1000
  const expected = requests_per_s * seconds
  if (expected < REQUESTS_MIN) return null
  const ratio = recent_requests / expected
  const far = Math.abs(recent_requests - expected) / Math.sqrt(expected) >= 2 * DEVIATIONS
  if (!far || (ratio < TRAFFIC_RATIO && ratio > 1 / TRAFFIC_RATIO)) return null
  const words = recent_requests === 0 ? 'gets no requests any more' : ratio > 1 ? `gets ${digits(ratio)} times the usual requests` : `gets ${share(ratio)} of the usual requests`
  return { service, signal: 'traffic', statement: `${words} (${rate(recent_requests / seconds)}, usually ${rate(requests_per_s)})`, score: Math.abs(Math.log2(Math.max(ratio, 0.01))) }
}
