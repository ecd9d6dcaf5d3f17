import { expect, test } from 'vitest'
import type { Call, MapService } from '../api'
import { NODES_MAX, failedShare, isBad, lineWidth, redness, shown } from './shown'

const rates = { requests: 10, failed: 0, requests_before: 0, failed_before: 0, p50_ms: null, p95_ms: null, p99_ms: null }
const service = (name: string, kind: MapService['kind'] = 'service'): MapService => ({ ...rates, name, kind, versions: [] })
const call = (client: string, server: string): Call => ({ ...rates, client, server, kind: 'service', query: '' })

test('of many services the busiest are drawn, with who calls from outside and the calls between them', () => {
  const services = [...Array.from({ length: 100 }, (_, index) => service(`s${index}`)), service('user', 'user')]
  const { nodes, lines } = shown(services, [call('user', 's0'), call('s0', 's99'), call('s0', 's1')])
  expect(nodes).toHaveLength(NODES_MAX)
  expect(nodes[0]!.name).toBe('user')
  expect(lines.map(({ server }) => server)).toEqual(['s0', 's1'])
})

test('lines grow with orders of magnitude and are never gone', () => {
  expect(lineWidth(1000, 1000)).toBeGreaterThan(lineWidth(100, 1000))
  expect(lineWidth(1, 1e9)).toBe(lineWidth(0, 0))
  expect(lineWidth(0, 10)).toBeGreaterThan(1)
})

test('any failure is seen', () => {
  expect(failedShare({ ...rates, requests: 0, failed: 3 })).toBe(0)
  expect(failedShare({ ...rates, failed: 11 })).toBe(1)
  expect(redness(0)).toBe(0)
  expect(redness(0.0001)).toBeGreaterThanOrEqual(40)
  expect(redness(1)).toBe(100)
  expect([isBad(rates), isBad({ ...rates, failed: 1 })]).toEqual([false, true])
})
