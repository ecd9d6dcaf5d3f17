// Does paging show each line once, whatever shares an instant?
import { expect, test } from 'vitest'
import { pageEnd } from './page'

const lines = (...times: string[]) => times.map((time) => ({ time }))

test('a short page is the last', () => {
  expect(pageEnd(lines('3', '2'), 3)).toEqual({ kept: lines('3', '2'), before: null })
  expect(pageEnd([], 3).before).toBeNull()
})

test('the last instant of a full page is asked for again, whole', () => {
  expect(pageEnd(lines('3', '2', '2'), 3)).toEqual({ kept: lines('3'), before: "time <= '2'" })
})

test('a page of one instant does not ask for itself forever', () => {
  expect(pageEnd(lines('2', '2', '2'), 3)).toEqual({ kept: lines('2', '2', '2'), before: "time < '2'" })
})
