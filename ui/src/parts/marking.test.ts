// Are changes marked where they belong, and said in the same words everywhere?
import { expect, test } from 'vitest'
import type { Change } from '../api'
import { type Mark, changeMarks, changeText, clustered } from './marking'

const WINDOW = { start: 0, end: 1000 }
const mark = (time: number): Mark => ({ time, label: String(time), tone: 'accent' })
const change = (changes: Partial<Change>): Change => ({ time: '1970-01-01T00:00:01Z', kind: 'deploy', entity: 'cart', before: null, after: null, actor: null, source: 'ci', ...changes })

test('marks outside of the window are left out, and those that touch are one', () => {
  const found = clustered([mark(1001), mark(500), mark(-1), mark(505), mark(0), mark(1000)], WINDOW, 0.01)
  expect(found.map(({ at, marks }) => [at, marks.length])).toEqual([[0, 1], [0.5, 2], [1, 1]])
})

test('a long chain of marks is not one', () => {
  const found = clustered(Array.from({ length: 20 }, (_, index) => mark(index * 9)), WINDOW, 0.01)
  expect(found.length).toBe(10)
})

test('releases of other services stand back, flags and settings do not', () => {
  const changes = [change({}), change({ entity: 'pay' }), change({ kind: 'version' }), change({ kind: 'flag', entity: 'fallback' }), change({ kind: 'config' })]
  expect(changeMarks(changes, 'pay').map(({ tone }) => tone)).toEqual(['soft', 'accent', 'soft', 'accent', 'accent'])
  expect(changeMarks(changes).every(({ tone }) => tone === 'accent')).toBe(true)
  expect(changeMarks(null)).toEqual([])
})

test('a change is said with what was before and after, where that is known', () => {
  expect(changeText(change({}))).toBe('deploy cart')
  expect(changeText(change({ after: '2' }))).toBe('deploy cart: 2')
  expect(changeText(change({ before: '1', after: '2' }))).toBe('deploy cart: 1 → 2')
  expect(changeText(change({ before: '1' }))).toBe('deploy cart: 1 → –')
})
