// Do words and instants mean what they say?
import { expect, test } from 'vitest'
import { bucketSeconds, between, exact, isRelative, parseInstant, parseRange, rangeLabel } from './time'

const NOW = Date.UTC(2026, 0, 31, 12)

test('instants are read in the forms that people and tools write', () => {
  expect(parseInstant('now', NOW)).toBe(NOW)
  expect(parseInstant(' now-15m ', NOW)).toBe(NOW - 900_000)
  expect(parseInstant('now - 1.5h', NOW)).toBe(NOW - 5_400_000)
  expect(parseInstant('now+1d', NOW)).toBe(NOW + 86_400_000)
  expect(parseInstant('2026-01-31T11:00:00.123456789Z', NOW)).toBe(NOW - 3_600_000 + 123)
  expect(parseInstant('1769857200', NOW)).toBe(1_769_857_200_000)
  expect(parseInstant('1769857200123', NOW)).toBe(1_769_857_200_123)
  expect(parseInstant('1769857200123000000', NOW)).toBe(1_769_857_200_123)
  for (const wrong of ['', 'yesterday', 'now-', 'now-5x', '12', '2026-99-99']) expect(parseInstant(wrong, NOW), wrong).toBeNull()
})

test('a window is never empty or backwards', () => {
  expect(parseRange(null, null, NOW)).toEqual({ start: NOW - 3_600_000, end: NOW })
  expect(parseRange('now', 'now-1h', NOW)).toEqual({ start: NOW - 7_200_000, end: NOW - 3_600_000 })
  expect(parseRange('nonsense', 'now', NOW)).toEqual({ start: NOW - 3_600_000, end: NOW })
  expect([isRelative(null, null), isRelative('2026-01-01', '2026-01-02'), isRelative('2026-01-01', 'now')]).toEqual([true, false, true])
})

test('nanoseconds survive', () => {
  expect(between(exact('2026-01-31T12:00:00.999999999Z'), exact('2026-01-31T12:00:01.000000001Z'))).toBe(2)
  expect(exact('2026-01-31T12:00:00Z')).toEqual({ ms: NOW, ns: 0 })
})

test('windows have names and buckets of round length', () => {
  expect(rangeLabel('now-1h', null, NOW)).toBe('Last hour')
  expect(rangeLabel('now-15m', 'now', NOW)).toBe('Last 15 minutes')
  expect(bucketSeconds({ start: 0, end: 3_600_000 }, 100)).toBe(60)
  expect(bucketSeconds({ start: 0, end: 1e13 }, 10)).toBe(604_800)
})
