// Does the keyboard reach each cell of a map, and no further?
import { expect, test } from 'vitest'
import { type Cursor, moved } from './cells'

const BOUNDS = { columns: 120, low: 40, high: 60 }
const at = (column: number, level: number): Cursor => ({ column, level, from: { column, level } })

test('the first key begins in the newest column, others move by a cell', () => {
  expect(moved(null, 'ArrowLeft', false, BOUNDS)).toEqual(at(119, 50))
  expect(moved(at(5, 50), 'ArrowUp', false, BOUNDS)).toEqual(at(5, 51))
  expect(moved(at(5, 50), 'x', false, BOUNDS)).toBeNull()
})

test('it stops at the edges', () => {
  expect(moved(at(0, 40), 'ArrowLeft', false, BOUNDS)).toEqual(at(0, 40))
  expect(moved(at(3, 58), 'PageUp', false, BOUNDS)).toEqual(at(3, 60))
  expect(moved(at(3, 58), 'End', false, BOUNDS)).toEqual(at(119, 58))
})

test('with Shift the opposite corner stays', () => {
  const first = moved(at(5, 50), 'ArrowRight', true, BOUNDS)
  expect(moved(first, 'ArrowDown', true, BOUNDS)).toEqual({ column: 6, level: 49, from: { column: 5, level: 50 } })
  expect(moved(first, 'ArrowDown', false, BOUNDS)).toEqual(at(6, 49))
})

test('where there is one level, up and down are for something else', () => {
  expect(moved(at(5, 0), 'ArrowUp', false, { columns: 9, low: 0, high: 0 })).toBeNull()
  expect(moved(at(5, 0), 'ArrowLeft', false, { columns: 9, low: 0, high: 0 })).toEqual(at(4, 0))
})
