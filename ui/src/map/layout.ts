// Where does each service stand on the map? Callers left of what they call, few crossings, the same picture for the same calls.

export interface Edge {
  from: string
  to: string
}

export interface Spot {
  x: number
  y: number
}

export interface Layout {
  width: number
  height: number
  /** The upper left corner of each node. */
  nodes: Map<string, Spot>
  /** Of each edge, in their order: where it leaves, where it passes other columns, where it arrives. */
  paths: Spot[][]
}

export const NODE_WIDTH = 152
export const NODE_HEIGHT = 44
/** Room for the numbers of a call between two columns. */
const COLUMN_GAP = 128
const ROW_GAP = 26
/** What a line needs that passes a column. */
const PASSING_HEIGHT = 12
const MARGIN = 12
/** There and back are two lines. */
const BACK_OFFSET = 9
/** Orders hardly get better after so many. */
const SWEEPS = 12

/** Nodes and the points where lines pass a column, by number: nodes first. */
interface Grid {
  columns: number[][]
  left: number[][]
  right: number[][]
  nodes: number
}

/** Which edges lead back to a caller: turned around, no cycle is left. */
function turned(names: string[], edges: Edge[]): boolean[] {
  const leaving = new Map<string, number[]>(names.map((name) => [name, []]))
  const called = new Set<string>()
  edges.forEach(({ from, to }, index) => {
    leaving.get(from)?.push(index)
    if (from !== to) called.add(to)
  })
  const result = edges.map(() => false)
  const state = new Map<string, 'open' | 'done'>()
  for (const root of [...names.filter((name) => !called.has(name)), ...names]) {
    if (state.has(root)) continue
    state.set(root, 'open')
    const stack = [{ name: root, next: 0 }]
    while (stack.length > 0) {
      const top = stack.at(-1)!
      const index = leaving.get(top.name)![top.next]
      top.next += 1
      if (index === undefined) {
        state.set(top.name, 'done')
        stack.pop()
        continue
      }
      const { to } = edges[index]!
      if (state.get(to) === 'open') result[index] = true
      else if (!state.has(to)) {
        state.set(to, 'open')
        stack.push({ name: to, next: 0 })
      }
    }
  }
  return result
}

/** The column of each node: one behind the last of its callers; who is not called stands right before what it calls. */
function columnsOf(count: number, arcs: [number, number][]): number[] {
  const column = Array.from({ length: count }, () => 0)
  const callers = Array.from({ length: count }, () => 0)
  const calls: number[][] = Array.from({ length: count }, () => [])
  for (const [from, to] of arcs) {
    callers[to]! += 1
    calls[from]!.push(to)
  }
  const isRoot = callers.map((number) => number === 0)
  const ready = isRoot.flatMap((root, node) => (root ? [node] : []))
  for (let node = ready.pop(); node !== undefined; node = ready.pop()) {
    for (const to of calls[node]!) {
      column[to] = Math.max(column[to]!, column[node]! + 1)
      callers[to]! -= 1
      if (callers[to] === 0) ready.push(to)
    }
  }
  return column.map((own, node) => (isRoot[node] && calls[node]!.length > 0 ? Math.min(...calls[node]!.map((to) => column[to]!)) - 1 : own))
}

function gridOf(column: number[], arcs: [number, number][]): { grid: Grid; chains: number[][] } {
  const columns: number[][] = Array.from({ length: Math.max(0, ...column) + 1 }, () => [])
  column.forEach((at, node) => columns[at]!.push(node))
  const grid: Grid = { columns, left: column.map(() => []), right: column.map(() => []), nodes: column.length }
  const chains = arcs.map(([from, to]) => {
    const chain = [from]
    for (let at = column[from]! + 1; at < column[to]!; at += 1) {
      const passing = grid.left.length
      grid.left.push([])
      grid.right.push([])
      columns[at]!.push(passing)
      chain.push(passing)
    }
    chain.push(to)
    for (let index = 1; index < chain.length; index += 1) {
      grid.right[chain[index - 1]!]!.push(chain[index]!)
      grid.left[chain[index]!]!.push(chain[index - 1]!)
    }
    return chain
  })
  return { grid, chains }
}

const mean = (numbers: number[]) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length

function crossings({ columns, right }: Grid): number {
  let sum = 0
  for (const [index, items] of columns.entries()) {
    const place = new Map((columns[index + 1] ?? []).map((item, at) => [item, at]))
    const lines = items.flatMap((item, at) => right[item]!.map((to) => [at, place.get(to) ?? 0] as const))
    for (let one = 0; one < lines.length; one += 1) {
      for (let other = one + 1; other < lines.length; other += 1) {
        if ((lines[one]![0] - lines[other]![0]) * (lines[one]![1] - lines[other]![1]) < 0) sum += 1
      }
    }
  }
  return sum
}

/** Puts each column in the order of the means of its neighbours, from left to right and back, and keeps what crosses least. */
function order(grid: Grid) {
  let best = grid.columns.map((items) => [...items])
  let least = crossings(grid)
  for (let sweep = 0; sweep < SWEEPS && least > 0; sweep += 1) {
    const forth = sweep % 2 === 0
    const across = grid.columns.map((_, index) => (forth ? index : grid.columns.length - 1 - index))
    for (const [turn, index] of across.entries()) {
      const before = grid.columns[across[turn - 1] ?? -1]
      if (!before) continue
      const place = new Map(before.map((item, at) => [item, at]))
      const beside = forth ? grid.left : grid.right
      const items = grid.columns[index]!
      const wanted = new Map(items.map((item, at) => [item, beside[item]!.length > 0 ? mean(beside[item]!.map((other) => place.get(other) ?? 0)) : at]))
      items.sort((one, other) => wanted.get(one)! - wanted.get(other)!)
    }
    const now = crossings(grid)
    if (now < least) {
      least = now
      best = grid.columns.map((items) => [...items])
    }
  }
  grid.columns = best
}

/** The middle of each item: near its neighbours, never nearer to the next in its column than both are high. */
function heights(grid: Grid): number[] {
  const high = (item: number) => (item < grid.nodes ? NODE_HEIGHT + ROW_GAP : PASSING_HEIGHT)
  const apart = (one: number, other: number) => (high(one) + high(other)) / 2
  const middle = grid.left.map(() => 0)
  const place = (items: number[], wanted: number[]) => {
    items.forEach((item, at) => {
      const above = items[at - 1]
      middle[item] = above === undefined ? wanted[at]! : Math.max(wanted[at]!, middle[above]! + apart(above, item))
    })
    const shift = mean(items.map((item, at) => wanted[at]! - middle[item]!))
    for (const item of items) middle[item]! += shift
  }
  for (const items of grid.columns) place(items, items.map(() => 0))
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    for (const items of sweep % 2 === 0 ? grid.columns : grid.columns.toReversed()) {
      place(items, items.map((item) => {
        const beside = [...grid.left[item]!, ...grid.right[item]!]
        return beside.length > 0 ? mean(beside.map((other) => middle[other]!)) : middle[item]!
      }))
    }
  }
  return middle
}

/** Places nodes and edges. Edges to or from something that is no node have an empty path. */
export function layout(names: string[], edges: Edge[]): Layout {
  const number = new Map(names.map((name, index) => [name, index]))
  const backwards = turned(names, edges.filter(({ from, to }) => number.has(from) && number.has(to)))
  let known = 0
  const arcOf = edges.map(({ from, to }): { arc: [number, number]; back: boolean } | null => {
    const [start, end] = [number.get(from), number.get(to)]
    if (start === undefined || end === undefined) return null
    const back = backwards[known]!
    known += 1
    return { arc: back ? [end, start] : [start, end], back }
  })
  const arcs = arcOf.flatMap((it) => (it && it.arc[0] !== it.arc[1] ? [it.arc] : []))
  const column = columnsOf(names.length, arcs)
  const { grid, chains } = gridOf(column, arcs)
  order(grid)
  const middle = heights(grid)
  const top = Math.min(0, ...middle) - NODE_HEIGHT / 2 - MARGIN
  const y = (item: number) => middle[item]! - top
  const x = (at: number) => MARGIN + at * (NODE_WIDTH + COLUMN_GAP)
  let chain = 0
  const paths = arcOf.map((it): Spot[] => {
    if (!it) return []
    const [start, end] = it.arc
    if (start === end) return [-BACK_OFFSET, BACK_OFFSET].map((offset) => ({ x: x(column[start]!) + NODE_WIDTH, y: y(start) + offset }))
    const items = chains[chain]!
    chain += 1
    const offset = it.back ? BACK_OFFSET : 0
    const spots = items.flatMap((item, index): Spot[] => {
      const left = x(column[start]! + index)
      const leaves = { x: left + NODE_WIDTH, y: y(item) + offset }
      const arrives = { x: left, y: y(item) + offset }
      return index === 0 ? [leaves] : index === items.length - 1 ? [arrives] : [arrives, leaves]
    })
    return it.back ? spots.reverse() : spots
  })
  const bottom = Math.max(0, ...grid.left.map((_, item) => y(item))) + NODE_HEIGHT / 2 + MARGIN
  return {
    width: x(grid.columns.length - 1) + NODE_WIDTH + MARGIN,
    height: bottom,
    nodes: new Map(names.map((name, index) => [name, { x: x(column[index]!), y: y(index) - NODE_HEIGHT / 2 }])),
    paths,
  }
}

/** How far a line that comes back to where it left swings out. */
const LOOP = 40

/** A path through the spots that leaves and arrives level. */
export function curve(spots: Spot[]): string {
  const [first, ...rest] = spots
  if (!first) return ''
  let from = first
  const parts = rest.map((to) => {
    const half = from.x === to.x ? LOOP : (to.x - from.x) / 2
    const part = `C${from.x + half},${from.y} ${from.x === to.x ? to.x + LOOP : to.x - half},${to.y} ${to.x},${to.y}`
    from = to
    return part
  })
  return `M${first.x},${first.y} ${parts.join(' ')}`
}

/** Where on its last or first stretch the words of a line stand: two thirds of the way to the end at which fewer lines meet. */
const ALONG = 0.66

const bezier = (from: number, half: number, to: number, at: number) =>
  (1 - at) ** 3 * from + 3 * (1 - at) ** 2 * at * half + 3 * (1 - at) * at ** 2 * (from + to - half) + at ** 3 * to

/** Where the words of each line stand, of this width and height, so that none covers another. */
export function wordSpots(edges: Edge[], paths: Spot[][], width: number, height: number): Spot[] {
  const leaving = new Map<string, number>()
  const arriving = new Map<string, number>()
  for (const { from, to } of edges) {
    leaving.set(from, (leaving.get(from) ?? 0) + 1)
    arriving.set(to, (arriving.get(to) ?? 0) + 1)
  }
  const spots = edges.map(({ from, to }, index): Spot => {
    const path = paths[index] ?? []
    const nearEnd = (leaving.get(from) ?? 0) >= (arriving.get(to) ?? 0)
    const [one, other] = nearEnd ? path.slice(-2) : path.slice(0, 2)
    if (!one || !other) return { x: 0, y: 0 }
    if (one.x === other.x) return { x: one.x + LOOP, y: (one.y + other.y) / 2 }
    const at = nearEnd ? ALONG : 1 - ALONG
    return { x: bezier(one.x, (one.x + other.x) / 2, other.x, at), y: bezier(one.y, one.y, other.y, at) }
  })
  const placed: Spot[] = []
  for (const spot of spots.toSorted((one, other) => one.y - other.y)) {
    for (const above of placed) if (Math.abs(above.x - spot.x) < width && spot.y < above.y + height) spot.y = above.y + height
    placed.push(spot)
    placed.sort((one, other) => one.y - other.y)
  }
  return spots
}
