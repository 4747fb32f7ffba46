// One rule a kind: the gradients of a node's arguments, given that of its result, as nodes.
// After jax-js's rule tables and tinygrad's gradient table. Linear nodes give their adjoints.
import { affine, gradientOf, type Index, makeContract, plain } from '../graph/contract.js'
import {
  constant,
  contract,
  expand,
  gather,
  type Kind,
  map,
  type Node,
  type NodeOf,
  permute,
  reduce,
  reshape,
  scatterAdd,
  view,
} from '../graph/node.js'
import type { ViewOp } from '../graph/view.js'
import { derivatives } from './scalar.js'

/** What a rule may ask of the walk that calls it. */
export interface Walk {
  /** Whether anybody wants the gradient of this argument. */
  needed(argument: number): boolean
  /** The gradients of `of` for `leaves`, each taken as independent of the others. */
  through(of: Node, leaves: readonly Node[], G: Node): readonly (Node | undefined)[]
  /** The same of several nodes together, each with its gradient. */
  pull(
    of: readonly Node[],
    leaves: readonly Node[],
    G: readonly Node[],
  ): readonly (Node | undefined)[]
}

export type Gradients = readonly (Node | undefined)[]
type Rule<N extends Node> = (node: N, G: Node, walk: Walk) => Gradients

const NONE: Gradients = []

/** Gradients of the node's arguments; a missing or undefined entry means none. */
export function vjp(node: Node, G: Node, walk: Walk): Gradients {
  const rule = rules[node.kind] as Rule<Node>
  return rule(node, G, walk)
}

const rules: { readonly [K in Kind]: Rule<NodeOf<K>> } = {
  input: () => NONE,
  const: () => NONE,
  iota: () => NONE,
  map: (node, G, walk) => {
    const [a, b, c] = node.args
    return derivatives[node.fn].map((rule, i) =>
      rule && walk.needed(i) ? rule(G, node, a, b, c) : undefined,
    )
  },
  view: (node, G) => [viewAdjoint(node.op, node.args[0], G)],
  reduce: (node, G) => {
    const x = node.args[0]
    const kept = x.shape.map((n, i) => (node.axes.includes(i) ? 1 : n))
    const back = (y: Node): Node => expand(reshape(y, kept), x.shape)
    switch (node.fn) {
      case 'sum':
        return [back(G)]
      case 'max': {
        const hit = map('eq', x, back(node))
        const count = reduce('sum', node.axes, map('toFloat32', hit))
        return [map('where', hit, back(map('div', G, count)), constant(0, 'float32', x.shape))]
      }
      case 'prod':
        return [prodGradient(x, node.axes, G, back)]
      case 'argmax':
        return NONE
    }
  },
  contract: (node, G, walk) => {
    const [a, b] = node.args
    const { spec } = node
    return [
      walk.needed(0) ? contract(gradientOf(spec, 'a', a.shape, b.shape), G, b) : undefined,
      walk.needed(1) ? contract(gradientOf(spec, 'b', a.shape, b.shape), G, a) : undefined,
    ]
  },
  concat: (node, G, walk) => {
    let start = 0
    return node.args.map((arg, i) => {
      const from = start
      start += arg.shape[node.axis]
      return walk.needed(i) ? slice(G, node.axis, from, arg.shape[node.axis]) : undefined
    })
  },
  gather: (node, G) => {
    const [table, index] = node.args
    return [scatterAdd(node.axis, table.shape[node.axis], index, G)]
  },
  scatterAdd: (node, G) => [undefined, gather(node.axis, G, node.args[0])],
  detach: () => NONE,
  after: (_node, G) => [G],
  composite: (node, G, walk) =>
    node.gradient ? node.gradient(node, G) : walk.through(node.expand(), node.args, G),
  // The walk brings the gradients of all results of a scan together, and asks scanGradient.
  scan: () => NONE,
  result: () => NONE,
}

/** `length` positions from `start` along one axis. */
function slice(x: Node, axis: number, start: number, length: number): Node {
  if (start === 0 && length === x.shape[axis]) return x
  const shape = x.shape.map((n, i) => (i === axis ? length : n))
  const starts = shape.map((_, i) => (i === axis ? start : 0))
  return view({ type: 'slice', starts, steps: shape.map(() => 1), shape }, x)
}

function pad(x: Node, low: readonly number[], high: readonly number[]): Node {
  if (low.every((n) => n === 0) && high.every((n) => n === 0)) return x
  return view({ type: 'pad', low, high, value: 0 }, x)
}

/** Zeros so that the axis has `length` elements. */
function padTo(x: Node, axis: number, length: number): Node {
  const high = x.shape.map((n, i) => (i === axis ? length - n : 0))
  return pad(
    x,
    x.shape.map(() => 0),
    high,
  )
}

function viewAdjoint(op: ViewOp, x: Node, G: Node): Node {
  switch (op.type) {
    case 'reshape':
      return reshape(G, x.shape)
    case 'permute': {
      const inverse = new Array<number>(op.axes.length)
      op.axes.forEach((axis, i) => {
        inverse[axis] = i
      })
      return permute(G, inverse)
    }
    case 'expand': {
      const axes = op.shape.flatMap((n, i) => (n === x.shape[i] ? [] : [i]))
      return reshape(reduce('sum', axes, G), x.shape)
    }
    case 'slice':
      return sliceAdjoint(op, x, G)
    case 'pad': {
      const steps = op.low.map(() => 1)
      return view({ type: 'slice', starts: op.low, steps, shape: x.shape }, G)
    }
    case 'window':
      return windowAdjoint(op, x, G)
  }
}

/** Zeros between the elements where the step is above 1, a flip where it is negative, zeros around. */
function sliceAdjoint(op: Extract<ViewOp, { type: 'slice' }>, x: Node, G: Node): Node {
  if (G.shape.includes(0)) return constant(0, 'float32', x.shape)
  let g = G
  if (op.steps.some((step, i) => step < 0 && op.shape[i] > 1)) {
    const flipped = op.steps.map((step) => step < 0)
    const starts = op.shape.map((n, i) => (flipped[i] ? n - 1 : 0))
    const steps = flipped.map((flip) => (flip ? -1 : 1))
    g = view({ type: 'slice', starts, steps, shape: op.shape }, g)
  }
  op.steps.forEach((step, axis) => {
    const n = op.shape[axis]
    const gap = Math.abs(step)
    if (gap > 1 && n > 1) g = slice(spread(g, axis, gap), axis, 0, (n - 1) * gap + 1)
  })
  const low = op.starts.map((start, i) => Math.min(start, start + (op.shape[i] - 1) * op.steps[i]))
  const high = x.shape.map((n, i) => n - low[i] - g.shape[i])
  return pad(g, low, high)
}

/** Each element along the axis followed by gap − 1 zeros. */
function spread(x: Node, axis: number, gap: number): Node {
  const before = x.shape.slice(0, axis + 1)
  const after = x.shape.slice(axis + 1)
  const wide = padTo(reshape(x, [...before, 1, ...after]), axis + 1, gap)
  return reshape(
    wide,
    x.shape.map((n, i) => (i === axis ? n * gap : n)),
  )
}

/**
 * Where windows do not overlap, movements alone: [.., y, .., k] → [.., y·stride + k, ..]. Else the sum
 * out[h] = Σ_k G[(h + padding − k·dilation)/stride, k], a contraction with the constant 1.
 */
function windowAdjoint(op: Extract<ViewOp, { type: 'window' }>, x: Node, G: Node): Node {
  const { axis, count, size, stride, dilation, padding } = op
  const rank = x.shape.length
  const extent = x.shape[axis]
  if (stride >= size && (dilation === 1 || size === 1)) {
    const axes = x.shape.map((_, i) => i)
    axes.splice(axis + 1, 0, rank) // [.., y, k, ..]
    const placed = padTo(permute(G, axes), axis + 1, stride)
    const flat = reshape(
      placed,
      x.shape.map((n, i) => (i === axis ? count * stride : n)),
    )
    const there = Math.max(0, Math.min(extent, count * stride - padding))
    if (there === 0) return constant(0, 'float32', x.shape)
    return padTo(slice(flat, axis, padding, there), axis, extent)
  }
  const indices: Index[] = x.shape.map((_, i) => plain(i))
  indices[axis] = affine(
    [
      [axis, 1],
      [rank, -dilation],
    ],
    padding,
    stride,
  )
  const spec = makeContract({
    extents: [...x.shape, size],
    rank,
    a: [...indices, plain(rank)],
    b: [],
  })
  return contract(spec, G, constant(1))
}

/**
 * Each factor's share is the product of the others: the product over it where nothing is 0, the product of
 * the rest at a single 0, and 0 otherwise. (Second derivatives at a 0 take the other zeros as fixed.)
 */
function prodGradient(x: Node, axes: readonly number[], G: Node, back: (y: Node) => Node): Node {
  const zero = constant(0, 'float32', x.shape)
  const one = constant(1, 'float32', x.shape)
  const isZero = map('eq', x, zero)
  const factors = map('where', isZero, one, x)
  const product = map('mul', G, reduce('prod', axes, factors))
  const zeros = reduce('sum', axes, map('toFloat32', isZero))
  const none = constant(0, 'float32', zeros.shape)
  const atZero = map('where', map('eq', zeros, constant(1, 'float32', zeros.shape)), product, none)
  const elsewhere = map('where', map('eq', zeros, none), product, none)
  return map('where', isZero, back(atZero), map('div', back(elsewhere), factors))
}
