// Are trees, the critical path and the origins of errors right, also for traces that make no sense?
import { describe, expect, test } from 'vitest'
import { type SpanAnswer, criticalShares, layOut, rowsOf } from './layout'

const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms).toISOString().replace('Z', '000000Z')

function span(id: string, parent: string | null, start: number, end: number, failed = false): SpanAnswer {
  return { span_id: id, parent_span_id: parent, time: at(start), duration_ns: (end - start) * 1e6, service: `s-${id}`, name: id, kind: 1, status_code: failed ? 2 : 0 }
}

const named = (answers: SpanAnswer[]) => {
  const tree = layOut(answers)
  return { tree, node: (id: string) => tree.nodes.find((node) => node.id === id)! }
}

describe('the tree', () => {
  test('rows go down in order of time and leave out what is closed', () => {
    const { tree } = named([span('late', 'root', 50, 60), span('root', null, 0, 100), span('leaf', 'early', 12, 15), span('early', 'root', 10, 20)])
    const names = (closed: string[]) => rowsOf(tree, new Set(tree.nodes.flatMap(({ id }, index) => (closed.includes(id) ? [index] : [])))).map((index) => tree.nodes[index]!.id)
    expect(names([])).toEqual(['root', 'early', 'leaf', 'late'])
    expect(names(['early'])).toEqual(['root', 'early', 'late'])
    expect(tree.nodes.map(({ depth }) => depth)).toEqual([1, 0, 2, 1])
    expect(tree.duration).toBe(100e6)
  })

  test('each span is shown once, whatever ids say', () => {
    const answers = [
      span('a', 'b', 0, 1), span('b', 'a', 0, 1), span('self', 'self', 2, 3), span('lost', 'nowhere', 4, 5), span('twin', null, 6, 7), span('twin', null, 8, 9),
      span('below', 'twin', 8, 9),
    ]
    const { tree, node } = named(answers)
    expect(rowsOf(tree, new Set()).toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6])
    expect(node('lost').orphan).toBe(true)
    expect(node('twin').orphan).toBe(false)
    expect(layOut([]).duration).toBe(0)
  })

  test('50,000 spans, one below the other, are laid out', () => {
    const chain = Array.from({ length: 50_000 }, (_, index) => span(String(index), index === 0 ? null : String(index - 1), 0, 100_000 - index))
    const { tree } = named(chain)
    expect(rowsOf(tree, new Set())).toHaveLength(50_000)
    expect(tree.nodes.at(-1)!.depth).toBe(49_999)
  })

  test('nanoseconds between spans are kept', () => {
    const [first, second] = [span('a', null, 0, 1), span('b', 'a', 0, 1)]
    const { node } = named([{ ...first!, time: '2026-01-01T00:00:00.000000001Z' }, { ...second!, time: '2026-01-01T00:00:00.000000123Z' }])
    expect(node('b').start).toBe(122)
  })
})

describe('the critical path', () => {
  test('goes through the child that ends last; what runs beside it does not count', () => {
    const { node, tree } = named([span('root', null, 0, 100), span('slow', 'root', 20, 90), span('beside', 'root', 10, 60), span('first', 'root', 5, 15), span('inner', 'slow', 30, 80)])
    expect(node('root').segments).toEqual([[90e6, 100e6], [15e6, 20e6], [0, 5e6]])
    expect(node('slow').critical).toBe(20e6)
    expect(node('inner').critical).toBe(50e6)
    expect(node('beside').critical).toBe(0)
    expect(node('first').critical).toBe(10e6)
    expect(criticalShares(tree).map(({ name }) => name)).toEqual(['inner', 'root', 'slow', 'first'])
  })

  test('adds up to the root, also where clocks disagree and children outlive it', () => {
    const { tree } = named([span('root', null, 10, 100), span('early', 'root', 0, 40), span('outlives', 'root', 60, 200), span('after', 'root', 150, 180)])
    expect(tree.nodes.reduce((sum, { critical }) => sum + critical, 0)).toBe(90e6)
    expect(tree.nodes.find(({ id }) => id === 'after')!.critical).toBe(0)
  })
})

test('an error begins at the deepest failing span', () => {
  const { node } = named([span('root', null, 0, 9, true), span('caller', 'root', 1, 8, true), span('broken', 'caller', 2, 7, true), span('fine', 'broken', 3, 4), span('other', 'root', 1, 2, true)])
  expect(['root', 'caller', 'broken', 'fine', 'other'].filter((id) => node(id).origin)).toEqual(['broken', 'other'])
})
