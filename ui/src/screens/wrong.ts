// Is something wrong? The last minutes against the window before, service by service, by what chance alone would not do.
import { digits, duration, share } from '../format'
import type { Range } from '../time'

/** Totals of a service over the window; `recent` is its last part. */
export interface Service {
  service: string | null
  requests: number
  errors: number
  p95_ns: number | null
  recent_requests: number
  recent_errors: number
  recent_p95_ns: number | null
  before_p95_ns: number | null
}

export interface Wrong {
  service: string | null
  signal: 'errors' | 'latency' | 'traffic'
  statement: string
  /** Larger is worse. */
  score: number
}

/** A tenth of the window, but at least a minute and at most ten: what is wrong now, not what was wrong once. */
export function recentStart({ start, end }: Range): number {
  const length = end - start
  return end - Math.min(length / 2, Math.max(60_000, Math.min(600_000, length / 10)))
}

/** Fewer requests say too little. */
const REQUESTS_MIN = 20
/** Standard errors by which a rate must differ: about one false alarm in 30,000 comparisons. */
const DEVIATIONS = 4
/** By how much it must differ to matter. */
const LATENCY_RATIO = 1.5
const ERROR_SHARE = 0.005
const TRAFFIC_RATIO = 1.6

export function whatIsWrong(services: Service[], range: Range): Wrong[] {
  return services.flatMap((service) => [errors(service), latency(service), traffic(service, range)].filter((item) => item !== null)).sort((left, right) => right.score - left.score)
}

/** Two proportions, pooled (the z-test for two binomials). */
function errors({ service, requests, errors, recent_requests, recent_errors }: Service): Wrong | null {
  const [before, failed] = [requests - recent_requests, errors - recent_errors]
  if (recent_requests < REQUESTS_MIN || before < REQUESTS_MIN) return null
  const [now, then, pooled] = [recent_errors / recent_requests, failed / before, errors / requests]
  const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / recent_requests + 1 / before))
  if (deviation === 0 || now - then < ERROR_SHARE || (now - then) / deviation < DEVIATIONS) return null
  return { service, signal: 'errors', statement: `fails ${share(now)} of its requests, before ${share(then)}`, score: 100 * (now - then) }
}

function latency({ service, requests, recent_requests, recent_p95_ns: now, before_p95_ns: then }: Service): Wrong | null {
  if (recent_requests < REQUESTS_MIN || requests - recent_requests < REQUESTS_MIN || !now || !then || now / then < LATENCY_RATIO) return null
  return { service, signal: 'latency', statement: `takes ${duration(now)} at p95, before ${duration(then)} (${digits(now / then)}×)`, score: Math.log2(now / then) * Math.log10(recent_requests) }
}

/** Two counts of Poisson processes. */
function traffic({ service, requests, recent_requests }: Service, range: Range): Wrong | null {
  const recent = recentStart(range)
  const [long, late] = [(recent - range.start) / 1000, (range.end - recent) / 1000]
  const before = requests - recent_requests
  if (before < REQUESTS_MIN) return null
  const expected = (before / long) * late
  const ratio = recent_requests / expected
  const far = Math.abs(recent_requests - expected) / Math.sqrt(Math.max(1, expected)) >= 2 * DEVIATIONS
  if (!far || (ratio < TRAFFIC_RATIO && ratio > 1 / TRAFFIC_RATIO)) return null
  const words = recent_requests === 0 ? 'gets no requests any more' : ratio > 1 ? `gets ${digits(ratio)} times the requests of before` : `gets ${share(ratio)} of the requests of before`
  return { service, signal: 'traffic', statement: `${words} (${digits(recent_requests / late)}/s, before ${digits(before / long)}/s)`, score: Math.abs(Math.log2(Math.max(ratio, 0.01))) }
}
