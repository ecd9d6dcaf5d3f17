// How do spans form a tree, which of them made the trace last as long as it did, and where did errors begin?
import { type Exact, between, exact } from '../time'

/** A span as the server tells it. */
export interface SpanAnswer {
  span_id: string
  parent_span_id: string | null
  time: string
  duration_ns: number | null
  service: string | null
  name: string
  kind: number
  status_code: number
}

export interface Node {
  id: string
  service: string
  name: string
  kind: number
  failed: boolean
  /** It failed and none of its children did: the error began here. */
  origin: boolean
  /** The span above it is not in the store. */
  orphan: boolean
  /** ns after the trace's first span began. */
  start: number
  end: number
  /** The sender gave no end. */
  open: boolean
  parent: number
  depth: number
  /** In order of their start. */
  children: number[]
  /** ns during which nothing but this span made the trace last. */
  critical: number
  /** These stretches, from the last to the first. */
  segments: [number, number][]
}

export interface Tree {
  /** Unix time of the first span. */
  began: Exact
  /** ns from the first span's start to the last one's end. */
  duration: number
  nodes: Node[]
  roots: number[]
}

/** Lays a trace out. Ids that occur twice, loops and missing parents are strangers' mistakes and are survived. */
export function layOut(answers: SpanAnswer[]): Tree {
  const times = answers.map(({ time }) => exact(time))
  const began = times.reduce((first, time) => (between(first, time) < 0 ? time : first), times[0] ?? { ms: 0, ns: 0 })
  const nodes = answers.map((answer, index): Node => {
    const start = between(began, times[index] ?? began)
    return {
      id: answer.span_id, service: answer.service ?? '', name: answer.name, kind: answer.kind, failed: answer.status_code === 2, origin: false,
      orphan: false, start, end: start + Math.max(0, answer.duration_ns ?? 0), open: answer.duration_ns === null, parent: -1, depth: 0,
      children: [], critical: 0, segments: [],
    }
  })
  const roots = connect(nodes, answers)
  for (const node of nodes) {
    if (node.children.length > 1) node.children.sort((left, right) => nodes[left]!.start - nodes[right]!.start)
    node.origin = node.failed && !node.children.some((child) => nodes[child]!.failed)
  }
  roots.sort((left, right) => nodes[left]!.start - nodes[right]!.start)
  const duration = nodes.reduce((last, { end }) => Math.max(last, end), 0)
  const tree = { began, duration, nodes, roots }
  walk(tree, null, (index, depth) => { nodes[index]!.depth = depth })
  markCriticalPath(tree)
  return tree
}

function connect(nodes: Node[], answers: SpanAnswer[]): number[] {
  const byId = new Map<string, number>()
  nodes.forEach(({ id }, index) => byId.has(id) || byId.set(id, index))
  const roots: number[] = []
  answers.forEach(({ parent_span_id: parent }, index) => {
    const above = parent === null ? undefined : byId.get(parent)
    if (above === undefined || above === index) {
      nodes[index]!.orphan = parent !== null
      roots.push(index)
      return
    }
    nodes[index]!.parent = above
    nodes[above]!.children.push(index)
  })
  // Spans that are reached from no root go round in circles: each circle is cut where it was met first.
  const reached = new Uint8Array(nodes.length)
  const reach = (from: number) => {
    const open = [from]
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      if (reached[index]) continue
      reached[index] = 1
      for (const child of nodes[index]!.children) open.push(child)
    }
  }
  roots.forEach(reach)
  nodes.forEach((node, index) => {
    if (reached[index]) return
    const above = nodes[node.parent]
    if (above) above.children = above.children.filter((child) => child !== index)
    Object.assign(node, { parent: -1, orphan: true })
    roots.push(index)
    reach(index)
  })
  return roots
}

/** Visits from above to below, in order of time; what lies below a closed span is left out. */
function walk(tree: Tree, closed: ReadonlySet<number> | null, visit: (index: number, depth: number) => void) {
  const open: [number, number][] = tree.roots.toReversed().map((root) => [root, 0])
  for (let next = open.pop(); next; next = open.pop()) {
    const [index, depth] = next
    visit(index, depth)
    if (closed?.has(index)) continue
    const { children } = tree.nodes[index]!
    for (let position = children.length - 1; position >= 0; position -= 1) open.push([children[position]!, depth + 1])
  }
}

/** The rows of the waterfall, as indexes of nodes. */
export function rowsOf(tree: Tree, closed: ReadonlySet<number>): number[] {
  const rows: number[] = []
  walk(tree, closed, (index) => rows.push(index))
  return rows
}

/**
 * Marks the critical path below the longest root: from its end backwards, always into the child that ended last before the point
 * reached; what no child covers is the span's own. Children are cut to their parent, so clock skew between hosts adds nothing.
 * (Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022.)
 */
function markCriticalPath({ nodes, roots }: Tree) {
  const longest = roots.reduce<number>((best, root) => (best < 0 || length(nodes[root]!) > length(nodes[best]!) ? root : best), -1)
  if (longest < 0) return
  const open: [number, number, number][] = [[longest, nodes[longest]!.start, nodes[longest]!.end]]
  for (let next = open.pop(); next; next = open.pop()) {
    const [index, from, to] = next
    const node = nodes[index]!
    if (node.children.length === 0) {
      own(node, from, to)
      continue
    }
    let reached = to
    const byEnd = node.children
      .map((child) => ({ child, start: Math.max(from, nodes[child]!.start), end: Math.min(to, nodes[child]!.end) }))
      .filter(({ start, end }) => end > start)
      .sort((left, right) => right.end - left.end)
    for (const { child, start, end } of byEnd) {
      if (end > reached) continue
      own(node, end, reached)
      open.push([child, start, end])
      reached = start
    }
    own(node, from, reached)
  }
}

const length = ({ start, end }: Node) => end - start

function own(node: Node, from: number, to: number) {
  if (to <= from) return
  node.segments.push([from, to])
  node.critical += to - from
}

export interface Share {
  service: string
  name: string
  ns: number
  spans: number
}

/** Who the critical path belongs to, the largest first. */
export function criticalShares({ nodes }: Tree): Share[] {
  const shares = new Map<string, Share>()
  for (const { service, name, critical } of nodes) {
    if (critical === 0) continue
    const key = `${service}\u0000${name}`
    const share = shares.get(key) ?? { service, name, ns: 0, spans: 0 }
    share.ns += critical
    share.spans += 1
    shares.set(key, share)
  }
  return [...shares.values()].sort((left, right) => right.ns - left.ns)
}
