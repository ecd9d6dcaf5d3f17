import { expect, test } from 'vitest'
import { searchLogql } from './logql'

const nothing = { service: null, level: 0, filters: [], text: '', without: null }

test('a search is said in LogQL, term by term', () => {
  expect(searchLogql(nothing)).toBe('{service_name=~".+"}')
  expect(searchLogql({ ...nothing, without: 'causeway' })).toBe('{service_name=~".+", service_name!="causeway"}')
  const text = '"a phrase" -/time(d)? out/i /x y/ -host.name=web-1 attempt!=2 card-42'
  expect(searchLogql({ ...nothing, service: 'pay', text })).toBe(
    '{service_name="pay"} |= "a phrase" !~ "(?i)time(d)? out" |~ "x y" | host_name!="web-1" | attempt!="2" |= "card-42"',
  )
})

test('a word is a whole one', () => {
  const [, quoted] = /\|~ (".*")$/.exec(searchLogql({ ...nothing, text: 'tïme_out' }))!
  expect(JSON.parse(quoted!)).toBe('(?:^|[^0-9A-Za-z_\\x{80}-\\x{10FFFF}])tïme_out(?:$|[^0-9A-Za-z_\\x{80}-\\x{10FFFF}])')
})

test('severities and clicked values become conditions on labels', () => {
  const filters = [{ field: 'resource:k8s.pod.name', op: '=' as const, value: 'a' }, { field: 'attr:1st', op: '!=' as const, value: null }, { field: 'service_name', op: '=' as const, value: null }]
  expect(searchLogql({ ...nothing, level: 17, filters })).toBe('{service_name=~".+"} | detected_level=~"error|fatal" | k8s_pod_name="a" | _1st!="" | service_name="unknown_service"')
})

test('no text ends its literal', () => {
  expect(searchLogql({ ...nothing, service: 'a"} | b="\\', text: '"\\"' })).toBe('{service_name="a\\"} | b=\\"\\\\"} |= "\\\\"')
})
