// Batch lanes: around convolutions over few channels, tensors [N, C, …] are kept as [N/B, C, …, B], so that
// vectors run along the batch: no loop over pixels has a tail, padding is clipped by loop bounds alone, and
// pooling and the gradients read whole vectors.
//
// Note: blocked and native. A node is *native* when it is computed in the blocked layout: convolutions over
// the batch, and what follows from native nodes with the batch as axis 0. Every node can be had in both
// layouts: the other one is a view (permute and reshape), which folds into an index or is copied (pack.ts).
//
// Note: split sums. A weight gradient sums over the batch. Its B lanes become L lanes of the output and B/L
// turns of the sum, and the batch's blocks P partial sums, so threads share the work and the order of the sum
// is fixed; a reduction over P and L follows.
import { type Contract, type Index, isPlain, makeContract, plain } from '../graph/contract.js'
import {
  after,
  concat,
  constant,
  contract,
  expand,
  type Graph,
  gather,
  iota,
  map,
  type Node,
  type NodeOf,
  permute,
  reduce,
  reshape,
  rootsOf,
  scatterAdd,
  topological,
  view,
  withArgs,
} from '../graph/node.js'
import type { Machine } from './program.js'
import { type Layout, Relayout } from './relayout.js'

/** Partial sums of a weight gradient: enough for threads, few enough to add up. */
const MOST_PARTS = 8
/** A weight gradient is split where each element sums at least so many products besides the batch. */
const SPLIT_INNER = 16

/** The graph in batch lanes, or undefined when they do not fit it. */
export function blockBatch(graph: Graph, machine: Machine): Graph | undefined {
  const order = topological(rootsOf(graph))
  const block = machine.lanes * machine.tile.vectors
  const batch = batchOf(order, block, machine)
  return batch === undefined
    ? undefined
    : new Relayout(new Blocking(batch, block, machine.lanes)).run(graph)
}

/** The batch of the graph's convolutions, when blocks of lanes fill it and an item fits the cache. */
function batchOf(order: readonly Node[], block: number, machine: Machine): number | undefined {
  let batch: number | undefined
  for (const node of order) {
    if (node.kind !== 'contract') continue
    const data = windowedOperand(node.spec)
    if (data === undefined) continue
    const x = node.args[data === 'a' ? 0 : 1]
    if (!isAxis(node.spec[data][0], 0)) continue
    const n = x.shape[0]
    const item = x.shape.slice(1).reduce((a, b) => a * b, 1)
    if (n % block !== 0 || item * block * 4 > machine.secondLevelCache) return undefined
    if (batch !== undefined && batch !== n) return undefined
    batch = n
  }
  return batch
}

/** The operand read at sums of two axes: a convolution's image. */
export function windowedOperand(spec: Contract): 'a' | 'b' | undefined {
  if (spec.a.some((index) => index.terms.length > 1)) return 'a'
  if (spec.b.some((index) => index.terms.length > 1)) return 'b'
  return undefined
}

export function isAxis(index: Index | undefined, axis: number): boolean {
  return index !== undefined && isPlain(index) && index.terms[0][0] === axis
}

export function mentions(index: Index, axis: number): boolean {
  return index.terms.some(([a]) => a === axis)
}

class Blocking implements Layout {
  private readonly batch: number
  private readonly block: number
  private readonly lanes: number

  constructor(batch: number, block: number, lanes: number) {
    this.batch = batch
    this.block = block
    this.lanes = lanes
  }

  private shapeOf(node: Node): number[] {
    return [this.batch / this.block, ...node.shape.slice(1), this.block]
  }

  leave(blocked: Node, node: Node): Node {
    const rank = node.shape.length
    const axes = [0, rank, ...Array.from({ length: rank - 1 }, (_, i) => i + 1)]
    return reshape(permute(blocked, axes), node.shape)
  }

  enter(node: Node, r: Relayout): Node {
    const shape = this.shapeOf(node)
    const rank = node.shape.length
    if (node.kind === 'const') return constant(node.value, node.dtype, shape)
    if (node.kind === 'map') return map(node.fn, ...node.args.map((arg) => r.laid(arg)))
    if (node.kind === 'iota') {
      if (node.axis !== 0) return iota(shape, node.axis)
      const high = map('mul', iota(shape, 0), constant(this.block, 'int32', shape))
      return map('add', high, iota(shape, rank))
    }
    if (node.kind === 'view' && node.op.type === 'expand' && node.args[0].shape[0] === 1) {
      const arg = r.plain(node.args[0])
      return expand(reshape(arg, [...arg.shape, 1]), shape)
    }
    const split = reshape(r.plain(node), [shape[0], this.block, ...node.shape.slice(1)])
    return permute(split, [0, ...Array.from({ length: rank - 1 }, (_, i) => i + 2), 1])
  }

  /** The node over blocked arguments, if that is how it should be computed. */
  native(node: Node, r: Relayout): Node | undefined {
    const isNative = (arg: Node) => r.isNative(arg)
    if (node.kind === 'contract') return this.contractNative(node, r)
    if (node.shape[0] !== this.batch || !node.args.some(isNative)) return undefined
    const [first] = node.args
    const blocked = () => node.args.map((arg) => r.laid(arg))
    switch (node.kind) {
      case 'map':
        return map(node.fn, ...blocked())
      case 'reduce':
        return node.axes.includes(0) ? undefined : reduce(node.fn, node.axes, r.laid(first))
      case 'concat':
        return node.axis === 0 ? undefined : concat(node.axis, blocked())
      case 'gather': {
        if (node.axis === 0) return undefined
        const [table, index] = blocked()
        return gather(node.axis, table, index)
      }
      case 'scatterAdd': {
        if (node.axis === 0) return undefined
        const [index, source] = blocked()
        return scatterAdd(node.axis, node.shape[node.axis], index, source)
      }
      case 'after':
        return r.isNative(first) ? after(r.laid(first), r.either(node.args[1])) : undefined
      case 'detach':
        return r.laid(first)
      case 'view':
        return this.viewNative(node, r)
      default:
        return undefined
    }
  }

  private viewNative(node: NodeOf<'view'>, r: Relayout): Node | undefined {
    const { op } = node
    const [arg] = node.args
    if (arg.shape[0] !== this.batch) return undefined
    const x = r.laid(arg)
    const last = arg.shape.length
    switch (op.type) {
      case 'reshape':
        return reshape(x, this.shapeOf(node))
      case 'permute':
        return op.axes[0] === 0 ? permute(x, [...op.axes, last]) : undefined
      case 'expand':
        return expand(x, this.shapeOf(node))
      case 'slice':
        if (op.starts[0] !== 0 || op.steps[0] !== 1) return undefined
        return view(
          {
            type: 'slice',
            starts: [...op.starts, 0],
            steps: [...op.steps, 1],
            shape: this.shapeOf(node),
          },
          x,
        )
      case 'pad':
        if (op.low[0] !== 0 || op.high[0] !== 0) return undefined
        return view({ type: 'pad', low: [...op.low, 0], high: [...op.high, 0], value: op.value }, x)
      case 'window': {
        if (op.axis === 0) return undefined
        // The window's axis comes last; the lanes must stay last.
        const wide = view(op, x)
        const rank = wide.shape.length
        const axes = Array.from({ length: rank }, (_, i) => i)
        return permute(wide, [...axes.slice(0, rank - 2), rank - 1, rank - 2])
      }
    }
  }

  private contractNative(node: NodeOf<'contract'>, r: Relayout): Node | undefined {
    const { spec } = node
    if (spec.rank === 0 || spec.extents[0] !== this.batch) return undefined
    const data = windowedOperand(spec)
    const onAxis = (['a', 'b'] as const).filter((name) => isAxis(spec[name][0], 0))
    const elsewhere = [
      ...spec.a.slice(onAxis.includes('a') ? 1 : 0),
      ...spec.b.slice(onAxis.includes('b') ? 1 : 0),
    ]
    if (onAxis.length === 0 || elsewhere.some((index) => mentions(index, 0))) return undefined
    const isNative = onAxis.some(
      (name) => name === data || r.isNative(node.args[name === 'a' ? 0 : 1]),
    )
    if (!isNative) return undefined
    const { rank } = spec
    const moved = (index: Index): Index => ({
      ...index,
      terms: index.terms.map(([axis, c]) => [axis < rank ? axis : axis + 1, c] as const),
    })
    const indices = (name: 'a' | 'b') =>
      onAxis.includes(name) ? [...spec[name].map(moved), plain(rank)] : spec[name].map(moved)
    const operand = (name: 'a' | 'b', i: 0 | 1) =>
      onAxis.includes(name) ? r.laid(node.args[i]) : r.plain(node.args[i])
    const extents = [
      this.batch / this.block,
      ...spec.extents.slice(1, rank),
      this.block,
      ...spec.extents.slice(rank),
    ]
    return contract(
      makeContract({ extents, rank: rank + 1, a: indices('a'), b: indices('b') }),
      operand('a', 0),
      operand('b', 1),
    )
  }

  plain(node: Node, r: Relayout): Node {
    if (node.kind === 'contract') {
      const split = this.splitSum(node, r)
      if (split) return split
    }
    const [arg] = node.args
    if (node.kind === 'reduce' && r.isNative(arg) && node.axes.includes(0) && node.fn !== 'argmax')
      return reduce(node.fn, [...node.axes, arg.shape.length], r.laid(arg))
    return withArgs(
      node,
      node.args.map((a) => r.plain(a)),
    )
  }

  // See Note: split sums.
  private splitSum(node: NodeOf<'contract'>, r: Relayout): Node | undefined {
    const { spec } = node
    const { rank } = spec
    const axis = spec.extents.findIndex(
      (n, i) => i >= rank && n === this.batch && isAxis(spec.a[0], i) && isAxis(spec.b[0], i),
    )
    if (axis < 0 || !node.args.some((arg) => r.isNative(arg))) return undefined
    const rest = [...spec.a.slice(1), ...spec.b.slice(1)]
    if (rest.some((index) => mentions(index, axis))) return undefined
    const others = spec.extents.map((_, i) => i).filter((i) => i >= rank && i !== axis)
    if (others.reduce((n, i) => n * spec.extents[i], 1) < SPLIT_INNER) return undefined
    const blocks = this.batch / this.block
    const parts = largestDivisor(blocks, MOST_PARTS)
    const turns = this.block / this.lanes
    // Output: part, the old output axes, lane; sum: block in the part, the old sum, turn.
    const lane = rank + 1
    const inPart = rank + 2
    const to = new Map<number, number>()
    for (let i = 0; i < rank; i++) to.set(i, i + 1)
    others.forEach((i, k) => {
      to.set(i, inPart + 1 + k)
    })
    const turn = inPart + 1 + others.length
    const extents = [
      parts,
      ...spec.extents.slice(0, rank),
      this.lanes,
      blocks / parts,
      ...others.map((i) => spec.extents[i]),
      turns,
    ]
    const first: Index = {
      terms: [
        [0, blocks / parts],
        [inPart, 1],
      ],
      offset: 0,
      divide: 1,
    }
    const last: Index = {
      terms: [
        [lane, 1],
        [turn, this.lanes],
      ],
      offset: 0,
      divide: 1,
    }
    const moved = (index: Index): Index => ({
      ...index,
      terms: index.terms.map(([i, c]) => [to.get(i) ?? -1, c] as const).sort((x, y) => x[0] - y[0]),
    })
    const indices = (list: readonly Index[]) => [first, ...list.slice(1).map(moved), last]
    const partial = contract(
      makeContract({ extents, rank: rank + 2, a: indices(spec.a), b: indices(spec.b) }),
      r.laid(node.args[0]),
      r.laid(node.args[1]),
    )
    return reduce('sum', [0, rank + 1], partial)
  }
}

export function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, most); d > 1; d--) if (n % d === 0) return d
  return 1
}
