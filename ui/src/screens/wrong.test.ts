// Is what is wrong found, and what chance does left alone?
import { expect, test } from 'vitest'
import type { Triage } from '../api'
import { type History, type Service, historyOf, recentStart, splitOf, whatIsWrong, worstFirst } from './wrong'

const HOUR = { start: 0, end: 3_600_000 }
const SECONDS = 60
const TIMES = Array.from({ length: 60 }, (_, index) => index * 60_000)

/** 100 requests a minute, 0.2 of them failing, 200 ms at p95, unless `change` says otherwise of a minute. */
function history(change: (minute: number) => Partial<{ requests: number; errors: number; p95: number | null }> = () => ({})): History {
  const minutes = TIMES.map((_, minute) => ({ requests: 100, errors: minute % 5 === 0 ? 1 : 0, p95: 2e8, ...change(minute) }))
  return { requests: minutes.map(({ requests }) => requests), errors: minutes.map(({ errors }) => errors), p95: minutes.map(({ p95 }) => p95) }
}

const calm: Service = { service: 'cart', requests: 6000, errors: 12, recent_requests: 600, recent_errors: 2, recent_p95_ns: 2.1e8 }

function found(changes: Partial<Service>, past = history()) {
  const service = { ...calm, ...changes }
  return whatIsWrong([service], new Map([[service.service, past]]), TIMES, SECONDS, splitOf(HOUR, null))
}

test('a calm service is left alone, also where little is known of it', () => {
  expect(found({})).toEqual([])
  expect(found({ recent_errors: 6, recent_requests: 600 }), 'within chance').toEqual([])
  expect(found({ recent_requests: 6, recent_errors: 6, recent_p95_ns: 9e9 }, history(() => ({ requests: 1 }))), 'few requests').toEqual([])
  expect(whatIsWrong([calm], new Map(), TIMES, SECONDS, splitOf(HOUR, null)), 'no history').toEqual([])
})

test('errors, durations and traffic are told apart', () => {
  expect(found({ recent_p95_ns: 4e9 })).toMatchObject([{ signal: 'latency', statement: 'takes 4 s at p95, usually 200 ms (20×)' }])
  expect(found({ recent_errors: 60 })).toMatchObject([{ signal: 'errors', statement: expect.stringMatching(/^fails 10% of its requests, usually 0\.[12]/) }])
  expect(found({ recent_requests: 1200 })).toMatchObject([{ signal: 'traffic', statement: 'gets 2 times the usual requests (3.33/s, usually 1.67/s)' }])
  expect(found({ recent_requests: 0, recent_errors: 0, recent_p95_ns: null })).toMatchObject([{ signal: 'traffic' }])
})

test('an incident of twenty minutes does not pass for usual', () => {
  const past = history((minute) => (minute >= 40 ? { errors: 10, p95: 4e9 } : {}))
  expect(found({ recent_errors: 60, recent_p95_ns: 4e9 }, past).map(({ signal }) => signal).toSorted()).toEqual(['errors', 'latency'])
})

test('telemetry that began ten minutes ago is no rise of traffic', () => {
  expect(found({}, history((minute) => (minute < 50 ? { requests: 0, errors: 0, p95: null } : {})))).toEqual([])
})

test('buckets find their place', () => {
  const rows = [{ service: 'a', bucket: '1970-01-01T00:01:00.000000000Z', requests: 3, errors: 1, p95_ns: 5 }]
  expect(historyOf(rows, TIMES.slice(0, 3)).get('a')).toEqual({ requests: [0, 3, 0], errors: [0, 1, 0], p95: [null, 5, null] })
})

test('what is recent is a tenth of the window, within bounds', () => {
  expect(recentStart(HOUR)).toBe(3_240_000)
  expect(recentStart({ start: 0, end: 86_400_000 })).toBe(85_800_000)
  expect(recentStart({ start: 0, end: 100_000 })).toBe(50_000)
})

/** Of a store that began at minute 58 and broke 50 s later. */
function triaged(changes: Partial<Triage> = {}): Triage {
  const at = (ms: number) => new Date(ms).toISOString()
  const red = { requests: 100, requests_per_s: 5, error_rate: 0, p50_ms: 50, p95_ms: 100, p99_ms: 120 }
  return {
    symptom: { signal: 'latency', service: 'web', operation: 'GET /', filter: null, statement: 'slow' },
    onset: { time: at(3_530_000), earliest: at(3_529_000), latest: at(3_530_000), confidence: 0.95 },
    ongoing: true, baseline: { start: at(3_480_000), end: at(3_529_000) }, before: red, after: red, series: [], radius: [], changes: [], findings: [],
    how: { queries: [], exact: true, start: at(3_480_000), end: at(3_600_000) }, ...changes,
  }
}

test('a young store is looked at from its first record on, cut at the onset', () => {
  expect(splitOf(HOUR, triaged())).toEqual({ start: 3_480_000, end: 3_600_000, until: 3_529_000, since: 3_530_000 })
  expect(splitOf(HOUR, triaged({ ongoing: false }))).toEqual({ start: 3_480_000, end: 3_600_000, until: 3_540_000, since: 3_540_000 })
  expect(splitOf(HOUR, triaged({ how: { queries: [], exact: true, start: '1969-12-31T23:00:00Z', end: '' } })).start, 'an old store').toBe(0)
})

test('what broke comes first, and the traffic that follows from it is left out', () => {
  const others = [{ service: 'cart', signal: 'traffic', statement: '', score: 2 }, { service: 'web', signal: 'latency', statement: '', score: 1 }, { service: 'pay', signal: 'latency', statement: '', score: 1 }] as const
  expect(worstFirst(triaged(), [...others]).map(({ service }) => service)).toEqual(['web', 'pay'])
  expect(worstFirst(triaged({ ongoing: false }), [...others])).toEqual(others)
  const busier = triaged({ after: { ...triaged().after, requests_per_s: 11 } })
  expect(worstFirst({ ...busier, symptom: { ...busier.symptom, signal: 'traffic' } }, [...others]), 'more requests are no harm').toEqual([])
  expect(worstFirst(triaged({ onset: null }), [...others]), 'nothing began').toEqual([])
  expect(worstFirst(null, [...others]), 'triage has not answered').toEqual(others)
})
