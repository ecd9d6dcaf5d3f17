import { expect, test } from 'vitest'
import { constantWords, signs, steps } from './came'
import { termsOf } from '../search'

test('steps in which nothing came are zeros', () => {
  expect(steps({ start_ms: 1000, end_ms: 5500, step_ms: 1000 }, [[2000, 3], [5000, 1]])).toEqual({ times: [1000, 2000, 3000, 4000, 5000], values: [0, 3, 0, 0, 1] })
})

test('a regression says more than that it is new, and what is new surges without saying so', () => {
  const came = { is_new: true, is_surging: true, ratio: null, before: 0 }
  expect(signs(came).map(({ label }) => label)).toEqual(['new'])
  expect(signs({ ...came, regression: { kind: 'new_in_version', version: '1.2', clean_version: '1.1' } }).map(({ label }) => label)).toEqual(['new in 1.2'])
  expect(signs({ is_new: false, is_surging: true, ratio: 4.25, before: 8, regression: { kind: 'back_after_silence', silence_ms: 7_200_000 } }).map(({ label }) => label)).toEqual(['back', 'surges ×4.25'])
  expect(signs({ is_new: false, is_surging: false, ratio: 1, before: 8 })).toEqual([])
})

test('a pattern is searched by the words that never vary', () => {
  expect(constantWords('order <_> placed in <_> ms, card=<_>')).toBe('order placed in ms card')
  expect(constantWords('user<_> came: user <_>_x')).toBe('came user')
  expect(constantWords('<_>')).toBe('')
  const hostile = constantWords('-a "b" /c/ d=e service=x <_>')
  expect(termsOf(hostile).every(({ kind, not }) => kind === 'word' && !not)).toBe(true)
})
