import { describe, expect, test } from 'vitest'
import { type Edge, NODE_HEIGHT, NODE_WIDTH, curve, layout, wordSpots } from './layout'

const edges = (text: string): Edge[] => text.split(' ').map((pair) => ({ from: pair.split('>')[0]!, to: pair.split('>')[1]! }))
const names = (all: Edge[]) => [...new Set(all.flatMap(({ from, to }) => [from, to]))]

describe('layout', () => {
  test('callers stand left of what they call, and columns are as far as the longest way', () => {
    const all = edges('user>web web>cart web>checkout checkout>payment cart>redis checkout>redis')
    const { nodes, paths, width, height } = layout(names(all), all)
    for (const { from, to } of all) expect(nodes.get(from)!.x).toBeLessThan(nodes.get(to)!.x)
    expect(nodes.get('cart')!.x).toBe(nodes.get('checkout')!.x)
    expect(paths[0]).toEqual([{ x: nodes.get('user')!.x + NODE_WIDTH, y: nodes.get('user')!.y + NODE_HEIGHT / 2 }, { x: nodes.get('web')!.x, y: nodes.get('web')!.y + NODE_HEIGHT / 2 }])
    for (const { x, y } of nodes.values()) {
      expect(x).toBeGreaterThanOrEqual(0)
      expect(y).toBeGreaterThanOrEqual(0)
      expect(x + NODE_WIDTH).toBeLessThanOrEqual(width)
      expect(y + NODE_HEIGHT).toBeLessThanOrEqual(height)
    }
  })

  test('no two nodes overlap, whatever the calls are', () => {
    let seed = 7
    const random = (below: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % below
    const all = Array.from({ length: 120 }, () => ({ from: `s${random(40)}`, to: `s${random(40)}` }))
    const { nodes, paths } = layout(names(all), all)
    const spots = [...nodes.values()]
    spots.forEach((one, index) => spots.slice(index + 1).forEach((other) => {
      expect(Math.abs(one.x - other.x) >= NODE_WIDTH || Math.abs(one.y - other.y) >= NODE_HEIGHT - 1e-6).toBe(true)
    }))
    expect(paths.every((path) => path.length >= 2)).toBe(true)
  })

  test('a call back and a call to itself are drawn too', () => {
    const all = edges('a>b b>a b>b')
    const { nodes, paths } = layout(names(all), all)
    const [a, b] = [nodes.get('a')!, nodes.get('b')!]
    expect(a.x).toBeLessThan(b.x)
    expect([paths[1]![0]!.x, paths[1]!.at(-1)!.x]).toEqual([b.x, a.x + NODE_WIDTH])
    expect(paths[1]![0]!.y).not.toBe(paths[0]!.at(-1)!.y)
    expect(paths[2]!.every(({ x }) => x === b.x + NODE_WIDTH)).toBe(true)
    expect(curve(paths[2]!)).toMatch(/^M[\d.]+,[\d.]+ C/)
  })

  test('lines are put in an order in which they do not cross', () => {
    const all = edges('a>x b>y c>z r>a r>b r>c')
    const { nodes } = layout(['r', 'a', 'b', 'c', 'z', 'y', 'x'], all)
    const y = (name: string) => nodes.get(name)!.y
    expect(Math.sign(y('a') - y('b'))).toBe(Math.sign(y('x') - y('y')))
    expect(Math.sign(y('b') - y('c'))).toBe(Math.sign(y('y') - y('z')))
  })

  test('nothing, one node, and ends that are not there', () => {
    expect(layout([], []).nodes.size).toBe(0)
    expect(layout(['a'], [{ from: 'a', to: 'gone' }]).paths).toEqual([[]])
    expect(curve([])).toBe('')
  })
})

test('words on lines do not cover each other, and stand where fewer lines meet', () => {
  const all = edges('a>x b>x c>x a>y a>a')
  const { paths } = layout(names(all), all)
  const spots = wordSpots(all, paths, 60, 28)
  spots.forEach((one, index) => spots.slice(index + 1).forEach((other) => {
    expect(Math.abs(one.x - other.x) >= 60 || Math.abs(one.y - other.y) >= 28).toBe(true)
  }))
  const middle = (path: { x: number }[]) => (path[0]!.x + path.at(-1)!.x) / 2
  expect(spots[1]!.x).toBeLessThan(middle(paths[1]!))
  expect(spots[3]!.x).toBeGreaterThan(middle(paths[3]!))
  expect(wordSpots([{ from: 'a', to: 'gone' }], [[]], 60, 28)).toEqual([{ x: 0, y: 0 }])
})
