// Roots: the nodes that must exist outside of a register. Contractions, reductions, scattered and joined
// tensors and results are; element-wise values are where computing them again would cost more than keeping.
import { isAttention } from '../graph/attention.js'
import { type Graph, type Node, withArgs } from '../graph/node.js'
import { describe } from '../graph/print.js'
import { baseOf } from './access.js'
import { isRead, operandsOf } from './attention.js'

export interface FuseInput {
  readonly graph: Graph
  /** Views that must be copied into memory in their own order. */
  readonly forced: ReadonlySet<Node>
  /** Argument of an input, of the k-th output. */
  readonly argumentOf: (input: Node) => number
  readonly outputArgument: (k: number) => number
}

const EXPENSIVE = new Set(['exp', 'log', 'sin', 'cos', 'tanh', 'sigmoid', 'erf', 'pow'])
const KEEP_COST = 3.5
/** An expression above so many operations is cut: what follows it walks expressions by recursion. */
const MOST_COST = 1000

/** A base that needs no computation: an input, or a constant. */
export function isLeaf(node: Node): boolean {
  return node.kind === 'input'
}

export function findRoots(
  input: FuseInput,
  order: readonly Node[],
  extra: ReadonlySet<Node>,
): Set<Node> {
  const waiting = order.filter((node) => node.kind === 'after')
  if (waiting.length === 0) return chooseRoots(input, order, extra)
  const first = firsts(order)
  const of = (node: Node) => first.get(node) ?? node
  const { graph, forced } = input
  const found = chooseRoots(
    {
      ...input,
      graph: {
        outputs: graph.outputs.map(of),
        updates: graph.updates.map(({ target, value }) => ({ target, value: of(value) })),
        ...(graph.guard ? { guard: of(graph.guard) } : {}),
      },
      forced: new Set([...forced].map(of)),
    },
    [...new Set(first.values())],
    new Set([...extra].map(of)),
  )
  const roots = new Set<Node>([...forced, ...extra])
  for (const node of order) if (node.kind !== 'after' && found.has(of(node))) roots.add(node)
  for (const node of waiting)
    for (const arg of node.args) {
      const base = baseOf(arg)
      if (!isLeaf(base)) roots.add(base)
    }
  return roots
}

// Note: again. What is computed a second time (an `after` is below it) is cut into kernels where it would be were it
// computed once: then the same sums are taken in the same kernels, in the same order, and the bits are the same.

/** Each node as it would be if nothing waited: where two become equal, the first. */
function firsts(order: readonly Node[]): Map<Node, Node> {
  const first = new Map<Node, Node>()
  const of = (node: Node) => first.get(node) ?? node
  const known = new Map<string, Node>()
  const numbers = new Map<Node, number>()
  for (const node of order) {
    if (node.kind === 'after') {
      first.set(node, of(node.args[0]))
      continue
    }
    const same = withArgs(node, node.args.map(of))
    const args = same.args.map((arg) => numbers.get(arg))
    const detail = same.kind === 'composite' ? same.attributes : ''
    const key = `${describe(same)} ${detail} ${same.dtype} ${same.shape} (${args})`
    const before = node.kind === 'input' ? undefined : known.get(key)
    if (before === undefined) {
      numbers.set(same, numbers.size)
      known.set(key, same)
    }
    first.set(node, before ?? same)
  }
  return first
}

function chooseRoots(
  input: FuseInput,
  order: readonly Node[],
  extra: ReadonlySet<Node>,
): Set<Node> {
  const { graph, forced } = input
  const roots = new Set<Node>(forced)
  for (const node of extra) roots.add(node)
  const keep = (node: Node) => {
    const base = baseOf(node)
    if (!isLeaf(base)) roots.add(base)
  }
  for (const node of graph.outputs) keep(node)
  for (const { value } of graph.updates) keep(value)
  const users = new Map<Node, Node[]>()
  for (const node of order)
    for (const arg of node.args) {
      const list = users.get(arg)
      if (list) list.push(node)
      else users.set(arg, [node])
    }
  const scores = atScores(order, users)
  const cost = new Map<Node, number>()
  for (const node of order) {
    switch (node.kind) {
      case 'input':
        break
      case 'contract':
        roots.add(node)
        for (const arg of node.args) keepThroughViews(arg, roots)
        break
      case 'composite':
        roots.add(node)
        if (isAttention(node)) for (const arg of operandsOf(node)) keepThroughViews(arg, roots)
        break
      case 'reduce':
      case 'concat':
      case 'scatterAdd':
        roots.add(node)
        break
      case 'gather':
        keep(node.args[0])
        break
      case 'result':
        roots.add(node)
        break
      case 'scan':
        // What a body reads lies in memory in its own order; first carries are copied.
        for (const arg of node.args.slice(node.loop.carries.length)) keep(arg)
        break
      default:
        break
    }
    const own = ownCost(node, cost, roots)
    cost.set(node, own)
    if ((node.kind === 'map' || node.kind === 'gather') && !roots.has(node) && !scores.has(node)) {
      const list = users.get(node) ?? []
      const spread = list.some((user) => user.kind === 'view' && user.op.type === 'window')
      if ((list.length > 1 && own >= KEEP_COST) || (spread && own >= 2) || own >= MOST_COST) {
        roots.add(node)
        cost.set(node, 1)
      }
    }
    if (roots.has(node)) cost.set(node, 1)
  }
  for (const node of order) if (node.kind === 'gather') keep(node.args[0])
  return roots
}

/** What only masks of attention are computed from, score by score: in memory it would be as large as all scores. */
function atScores(order: readonly Node[], users: ReadonlyMap<Node, readonly Node[]>): Set<Node> {
  const found = new Set<Node>()
  if (!order.some(isAttention)) return found
  for (const node of [...order].reverse()) {
    if (node.kind !== 'map' && node.kind !== 'view' && node.kind !== 'iota') continue
    const list = users.get(node) ?? []
    if (list.length > 0 && list.every((user) => found.has(user) || isRead(user, node)))
      found.add(node)
  }
  return found
}

/** What a contraction reads: the node below the views, or a constant that views leave whole. */
function keepThroughViews(node: Node, roots: Set<Node>): void {
  let at = node
  let whole = true
  while (at.kind === 'view' && !roots.has(at)) {
    if (at.op.type === 'pad' || at.op.type === 'window') whole = false
    at = at.args[0]
  }
  if (at.kind === 'const' && whole) return
  const base = baseOf(at)
  if (!isLeaf(base)) roots.add(base)
}

function ownCost(node: Node, cost: ReadonlyMap<Node, number>, roots: ReadonlySet<Node>): number {
  if (roots.has(node) || node.kind === 'input') return 1
  const args = node.args.reduce((sum, arg) => sum + (cost.get(arg) ?? 1), 0)
  switch (node.kind) {
    case 'const':
      return 0
    case 'iota':
      return 0.5
    case 'map':
      return args + (EXPENSIVE.has(node.fn) ? 10 : 1)
    case 'after':
      return 1
    case 'view':
      return node.op.type === 'expand' ? args / 4 : args
    default:
      return args + 2
  }
}
