import { expect, test } from 'vitest'
import { LIVE_LINES_MAX, NOTHING, joined, perSecond, split, timeOf } from './live'

const line = (nano: string, text: string, labels = {}) => JSON.stringify({ time_unix_nano: nano, line: text, labels })

test('pieces become lines wherever they are cut', () => {
  const text = '{"a":1}\n{"b":2}\n\n{"c"'
  for (let at = 0; at <= text.length; at += 1) {
    const one = split('', text.slice(0, at))
    const other = split(one.pending, text.slice(at))
    expect([...one.whole, ...other.whole]).toEqual(['{"a":1}', '{"b":2}'])
    expect(other.pending).toBe('{"c"')
  }
})

test('the newest line is first, and what was missed adds up', () => {
  const labels = { service_name: 'pay', detected_level: 'warn', severity_text: 'WARNING', trace_id: 'ab' }
  const first = joined(NOTHING, [line('1764400000000000001', 'one', labels), '{"seen":4,"missed":1}'], 0)
  const { lines, came, missed, seen } = joined(first, [line('1764400000000000002', 'two', { service_name: 'unknown_service' }), '{"seen":1,"missed":2}'], 10)
  expect(lines.map(({ body }) => body)).toEqual(['two', 'one'])
  expect(lines[1]).toEqual({ time: '2025-11-29T07:06:40.000000001Z', severity_number: 13, severity_text: 'WARNING', service: 'pay', body: 'one', trace_id: 'ab', span_id: null })
  expect(lines[0]!.service).toBeNull()
  expect([came, missed, seen]).toEqual([2, 3, 5])
})

test('the list never grows beyond its limit', () => {
  const many = Array.from({ length: LIVE_LINES_MAX }, (_, index) => line(String(index), `n${index}`))
  const live = joined(joined(NOTHING, many, 0), [line('9', 'last')], 1)
  expect(live.lines).toHaveLength(LIVE_LINES_MAX)
  expect(live.lines[0]!.body).toBe('last')
  expect(live.came).toBe(LIVE_LINES_MAX + 1)
})

test('the rate is that of the last seconds', () => {
  const live = joined(joined(NOTHING, [line('1', 'a'), line('2', 'b')], 1000), [line('3', 'c')], 12_000)
  expect(perSecond(live, 0, 12_000)).toBe(0.1)
  expect(perSecond(joined(NOTHING, [line('1', 'a'), line('2', 'b')], 1000), 0, 1000)).toBe(2)
  expect(perSecond(NOTHING, 0, 0)).toBe(0)
})

test('times keep their nanoseconds', () => {
  expect(timeOf('5')).toBe('1970-01-01T00:00:00.000000005Z')
})
