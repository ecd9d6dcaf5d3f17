// Can what people click and type break out of its literal, and does it mean what it should?
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CALL_NAMES, callSql, fieldSql, filterParam, filterSql, filtersOf, searchSql } from './sql'

test('text stays inside its literal', () => {
  expect(filterSql({ field: "attr:x') OR (1=1", op: '=', value: "'; DROP" })).toBe("attr('x'') OR (1=1') = '''; DROP'")
  expect(fieldSql("weird'name")).toBe("attr('weird''name')")
  expect(searchSql("it's")).toBe("body LIKE '%it''s%'")
})

test('conditions hold for missing values too', () => {
  expect(filterSql({ field: 'service_name', op: '!=', value: 'web' })).toBe("(service_name IS DISTINCT FROM 'web')")
  expect(filterSql({ field: 'attr:region', op: '=', value: null })).toBe("attr('region') IS NULL")
  expect(filterSql({ field: 'severity_number', op: '=', value: '17' })).toBe('severity_number = 17')
})

test('the search box reads words, phrases, expressions and pairs', () => {
  expect(searchSql('  ')).toBeNull()
  expect(searchSql('timeout payment')).toBe("has_token(body, 'timeout') AND has_token(body, 'payment')")
  expect(searchSql('"50% off" 10.0.0.1')).toBe("body LIKE '%50\\% off%' AND body LIKE '%10.0.0.1%'")
  expect(searchSql('/time(d)? out\\/in/i')).toBe("body ~* 'time(d)? out\\/in'")
  expect(searchSql('service=cart event!=x')).toBe("service_name = 'cart' AND (attr('event') IS DISTINCT FROM 'x')")
  expect(searchSql('-debug')).toBe("NOT coalesce(has_token(body, 'debug'), FALSE)")
})

test('filters survive the URL, nonsense there does not', () => {
  const filter = { field: 'attr:a=b', op: '!=' as const, value: 'c&d=é' }
  const params = new URLSearchParams([['f', filterParam(filter)], ['f', 'nonsense'], ['f', '["a","<","b"]'], ['f', '{}']])
  expect(filtersOf(new URLSearchParams(params.toString()))).toEqual([filter])
})

test('a call is found by the span below it, or by what its attributes name, as the program counts it', () => {
  const range = { start: 0, end: 1000 }
  expect(callSql({ client: 'a', server: "b'", kind: 'service' }, true, range)).toBe(
    "span_id IN (SELECT parent_span_id FROM spans WHERE time >= '1970-01-01T00:00:00.000Z' AND time < '1970-01-01T00:00:01.000Z' AND service_name = 'b''' AND kind IN (2, 5))",
  )
  expect(callSql({ client: 'a', server: 'redis', kind: 'database' }, false, range)).toMatch(/^kind IN \(3, 4\) AND coalesce\(attr\('peer\.service'\), .*\) = 'redis'$/)
  const known = readFileSync(new URL('../../crates/model/src/calls.rs', import.meta.url), 'utf8')
  expect(CALL_NAMES).toEqual([...known.matchAll(/"([\w.]+)"/g)].map((match) => match[1]))
})
