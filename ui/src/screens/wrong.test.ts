// Is what is wrong found, and what chance does left alone?
import { expect, test } from 'vitest'
import { type Service, recentStart, whatIsWrong } from './wrong'

const HOUR = { start: 0, end: 3_600_000 }
const calm: Service = { service: 'cart', requests: 6000, errors: 12, p95_ns: 2e8, recent_requests: 600, recent_errors: 2, recent_p95_ns: 2.1e8, before_p95_ns: 2e8 }

test('a calm service is left alone, also with few requests', () => {
  expect(whatIsWrong([calm, { ...calm, recent_requests: 6, recent_errors: 6, requests: 60, errors: 6 }], HOUR)).toEqual([])
  expect(whatIsWrong([{ ...calm, recent_errors: 4, errors: 14 }], HOUR), 'within chance').toEqual([])
})

test('errors, durations and traffic are told apart, the worst first', () => {
  const services: Service[] = [
    { ...calm, service: 'slow', recent_p95_ns: 4e9 },
    { ...calm, service: 'failing', recent_errors: 60, errors: 70 },
    { ...calm, service: 'loved', requests: 6000 + 1200, recent_requests: 1800 },
    { ...calm, service: 'silent', requests: 5400, recent_requests: 0, recent_errors: 0, recent_p95_ns: null },
  ]
  const found = whatIsWrong(services, HOUR)
  expect(found.map(({ service, signal }) => `${service} ${signal}`).toSorted()).toEqual(['failing errors', 'loved traffic', 'silent traffic', 'slow latency'])
  expect(found.map(({ score }) => score)).toEqual(found.map(({ score }) => score).toSorted((left, right) => right - left))
  expect(found.find(({ service }) => service === 'slow')?.statement).toBe('takes 4 s at p95, before 200 ms (20×)')
  expect(found.find(({ service }) => service === 'silent')?.statement).toContain('no requests any more')
})

test('what is recent is a tenth of the window, within bounds', () => {
  expect(recentStart(HOUR)).toBe(3_240_000)
  expect(recentStart({ start: 0, end: 86_400_000 })).toBe(85_800_000)
  expect(recentStart({ start: 0, end: 100_000 })).toBe(50_000)
})
