// Channels last: around convolutions with many channels, tensors [N, C, spatial…] are kept as
// [N, spatial…, C], so that vectors run along the channels: those of the output in the forward pass and in the
// gradient for the input, those of the input in the gradient for the weights.
//
// Reductions over space and batch, pooling, norms and maps follow; what takes another shape (flatten) is read
// through a view.
import { type Index, isPlain, makeContract } from '../graph/contract.js'
import {
  after,
  concat,
  constant,
  contract,
  expand,
  type Graph,
  iota,
  map,
  type Node,
  type NodeOf,
  permute,
  reduce,
  reshape,
  rootsOf,
  topological,
  view,
  withArgs,
} from '../graph/node.js'
import { isAxis, mentions, windowedOperand } from './batch.js'
import type { Machine } from './program.js'
import { type Layout, Relayout } from './relayout.js'

/** Output channels from which vectors along them are full. */
const LEAST_CHANNELS = 8

/** The graph with channels last, or undefined when no convolution gains by it. */
export function channelsLast(graph: Graph, machine: Machine): Graph | undefined {
  const wide = topological(rootsOf(graph)).some(
    (node) =>
      node.kind === 'contract' &&
      windowedOperand(node.spec) !== undefined &&
      convolution(node, machine) !== undefined,
  )
  return wide ? new Relayout(layoutFor(machine)).run(graph) : undefined
}

/** Axes of a tensor of rank r with axis 1 moved to the end. */
function order(rank: number): number[] {
  return [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1]
}

function back(rank: number): number[] {
  return [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)]
}

/** Where axis `axis` of a rank-r tensor is with channels last. */
function moved(axis: number, rank: number): number {
  return axis === 0 ? 0 : axis === 1 ? rank - 1 : axis - 1
}

const laidShape = (shape: readonly number[]) => order(shape.length).map((axis) => shape[axis])
const reordered = <T>(list: readonly T[]): T[] => order(list.length).map((axis) => list[axis])

interface Convolution {
  /** Which operand is the image; the other one holds the weights. */
  readonly image: 0 | 1
  /** The channels of the output are the image's own: depthwise. */
  readonly depthwise: boolean
}

/** [n, o, spatial…] from an image [n, c, spatial…] and weights that have o. */
function convolution(node: NodeOf<'contract'>, machine: Machine): Convolution | undefined {
  const { spec } = node
  if (spec.rank < 3 || spec.extents[1] < LEAST_CHANNELS || spec.extents[1] % machine.lanes !== 0)
    return undefined
  for (const image of [0, 1] as const) {
    const data = image === 0 ? spec.a : spec.b
    const weights = image === 0 ? spec.b : spec.a
    if (data.length < 3 || !isAxis(data[0], 0) || !isPlain(data[1])) continue
    if (
      data.slice(1).some((index) => mentions(index, 0)) ||
      weights.some((index) => mentions(index, 0))
    )
      continue
    if (!weights.some((index) => isAxis(index, 1))) continue
    if (isAxis(data[1], 1)) return { image, depthwise: true }
    if (data.some((index) => mentions(index, 1))) continue
    if (data[1].terms[0][0] < spec.rank) continue
    return { image, depthwise: false }
  }
  return undefined
}

function layoutFor(machine: Machine): Layout {
  const native = (node: Node, r: Relayout): Node | undefined => {
    if (node.kind === 'contract') return nativeConvolution(node, r, machine)
    const rank = node.shape.length
    const [first] = node.args
    if (rank < 3 || !node.args.some((arg) => r.isNative(arg))) return undefined
    switch (node.kind) {
      case 'map':
        return map(node.fn, ...node.args.map((arg) => r.laid(arg)))
      case 'after':
        return r.isNative(first) ? after(r.laid(first), r.either(node.args[1])) : undefined
      case 'detach':
        return r.laid(first)
      case 'concat':
        return concat(
          moved(node.axis, rank),
          node.args.map((arg) => r.laid(arg)),
        )
      case 'reduce': {
        // The channels stay, so does the batch, and with them the order of what is left.
        if (node.axes.some((axis) => axis < 2)) return undefined
        const axes = node.axes.map((axis) => axis - 1)
        return reduce(node.fn, axes, r.laid(first))
      }
      case 'view':
        return nativeView(node, r)
      default:
        return undefined
    }
  }
  const plain = (node: Node, r: Relayout): Node => {
    const [first] = node.args
    if (node.kind === 'contract') return byImage(withLaidOperands(node, r))
    if (node.kind === 'reduce' && r.isNative(first)) {
      const out = plainReduce(node, r)
      if (out) return out
    }
    // [N, C, 1, 1] → [N, C]: the same order either way.
    if (
      node.kind === 'view' &&
      node.op.type === 'reshape' &&
      r.isNative(first) &&
      node.shape.length === 2
    ) {
      const [n, c, ...rest] = first.shape
      if (node.shape[0] === n && node.shape[1] === c && rest.every((size) => size === 1))
        return reshape(r.laid(first), node.shape)
    }
    return withArgs(
      node,
      node.args.map((arg) => r.plain(arg)),
    )
  }
  const enter = (node: Node, r: Relayout): Node => {
    const shape = laidShape(node.shape)
    if (node.kind === 'const') return constant(node.value, node.dtype, shape)
    if (node.kind === 'map') return map(node.fn, ...node.args.map((arg) => r.laid(arg)))
    if (node.kind === 'iota') return iota(shape, moved(node.axis, node.shape.length))
    if (node.kind === 'view' && node.op.type === 'expand')
      return expand(r.laid(node.args[0]), shape)
    return permute(r.plain(node), order(node.shape.length))
  }
  const leave = (laid: Node, node: Node): Node => permute(laid, back(node.shape.length))
  return { native, plain, enter, leave }
}

function nativeView(node: NodeOf<'view'>, r: Relayout): Node | undefined {
  const { op } = node
  const [arg] = node.args
  const rank = arg.shape.length
  if (rank < 3) return undefined
  const x = r.laid(arg)
  switch (op.type) {
    case 'reshape':
      if (arg.shape[0] !== node.shape[0] || arg.shape[1] !== node.shape[1]) return undefined
      return reshape(x, laidShape(node.shape))
    case 'permute':
      if (op.axes[0] !== 0 || op.axes[1] !== 1) return undefined
      return permute(x, [0, ...op.axes.slice(2).map((axis) => axis - 1), rank - 1])
    case 'expand':
      return expand(x, laidShape(node.shape))
    case 'slice':
      return view(
        {
          type: 'slice',
          starts: reordered(op.starts),
          steps: reordered(op.steps),
          shape: laidShape(op.shape),
        },
        x,
      )
    case 'pad':
      return view(
        { type: 'pad', low: reordered(op.low), high: reordered(op.high), value: op.value },
        x,
      )
    case 'window': {
      if (op.axis < 2) return undefined
      const wide = view({ ...op, axis: op.axis - 1 }, x)
      const axes = Array.from({ length: rank + 1 }, (_, i) => i)
      return permute(wide, [...axes.slice(0, rank - 1), rank, rank - 1])
    }
  }
}

/** A reduction whose kept axes come in the same order with channels last. */
function plainReduce(node: NodeOf<'reduce'>, r: Relayout): Node | undefined {
  const [arg] = node.args
  const rank = arg.shape.length
  const kept = order(rank).filter((axis) => !node.axes.includes(axis))
  if (kept.some((axis, i) => i > 0 && kept[i - 1] > axis)) return undefined
  if (node.fn === 'argmax' && node.axes.includes(1)) return undefined
  const axes = node.axes.map((axis) => moved(axis, rank)).sort((a, b) => a - b)
  return reduce(node.fn, axes, r.laid(arg))
}

/** Native operands are read as they lie: their dimensions and indices in that order. */
function withLaidOperands(node: NodeOf<'contract'>, r: Relayout): Node {
  const { spec } = node
  const laid = node.args.map((arg) => r.isNative(arg) && arg.shape.length >= 3)
  if (!laid.includes(true))
    return withArgs(
      node,
      node.args.map((arg) => r.plain(arg)),
    )
  const operands = node.args.map((arg, i) => (laid[i] ? r.laid(arg) : r.plain(arg)))
  return contract(
    makeContract({
      extents: spec.extents,
      rank: spec.rank,
      a: laid[0] ? reordered(spec.a) : spec.a,
      b: laid[1] ? reordered(spec.b) : spec.b,
    }),
    operands[0],
    operands[1],
  )
}

/** The gradient for depthwise weights: of each image, which threads share out, then summed over the batch. */
function byImage(node: Node): Node {
  if (node.kind !== 'contract') return node
  const { spec } = node
  const { rank } = spec
  const axisOf = (index: Index | undefined) =>
    index && isPlain(index) ? index.terms[0][0] : undefined
  const [batch, other] = [axisOf(spec.a[0]), axisOf(spec.b[0])]
  const channel = axisOf(spec.a.at(-1))
  if (batch === undefined || batch !== other || batch < rank || spec.extents[batch] === 1)
    return node
  if (channel === undefined || channel >= rank || axisOf(spec.b.at(-1)) !== channel) return node
  if (spec.extents[channel] < LEAST_CHANNELS || windowedOperand(spec) === undefined) return node
  const to = (axis: number) => (axis === batch ? 0 : axis < batch ? axis + 1 : axis)
  const moved = (index: Index): Index => ({
    ...index,
    terms: index.terms.map(([axis, by]) => [to(axis), by] as const).sort((x, y) => x[0] - y[0]),
  })
  const extents = [spec.extents[batch], ...spec.extents.filter((_, axis) => axis !== batch)]
  const apart = makeContract({
    extents,
    rank: rank + 1,
    a: spec.a.map(moved),
    b: spec.b.map(moved),
  })
  return reduce('sum', [0], contract(apart, node.args[0], node.args[1]))
}

function nativeConvolution(
  node: NodeOf<'contract'>,
  r: Relayout,
  machine: Machine,
): Node | undefined {
  const found = convolution(node, machine)
  if (!found) return undefined
  const { spec } = node
  const { image, depthwise } = found
  const data = image === 0 ? spec.a : spec.b
  const weights = image === 0 ? spec.b : spec.a
  const windowed = data.some((index) => index.terms.length > 1)
  if (!windowed && !r.isNative(node.args[image])) return undefined
  // Output: batch, space, channels. Sum: taps, then the image's channels, which lie side by side.
  const channel = depthwise ? -1 : data[1].terms[0][0]
  const summed = spec.extents.map((_, i) => i).filter((i) => i >= spec.rank && i !== channel)
  if (!depthwise) summed.push(channel)
  const axes = [...order(spec.rank), ...summed]
  const to = new Map(axes.map((axis, i) => [axis, i]))
  const move = (index: Index): Index => ({
    ...index,
    terms: index.terms
      .map(([axis, c]) => [to.get(axis) ?? -1, c] as const)
      .sort((x, y) => x[0] - y[0]),
  })
  // Weights: taps, image channels, output channels last.
  const last = (index: Index) =>
    isAxis(index, 1) ? 2 : !depthwise && isAxis(index, channel) ? 1 : 0
  const dims = weights.map((_, d) => d).sort((x, y) => last(weights[x]) - last(weights[y]) || x - y)
  const imageIndex = reordered(data).map(move)
  const weightIndex = dims.map((d) => move(weights[d]))
  const imageNode = r.laid(node.args[image])
  const weightNode = permute(r.plain(node.args[1 - image]), dims)
  const a = image === 0 ? imageIndex : weightIndex
  const b = image === 0 ? weightIndex : imageIndex
  return contract(
    makeContract({ extents: axes.map((axis) => spec.extents[axis]), rank: spec.rank, a, b }),
    image === 0 ? imageNode : weightNode,
    image === 0 ? weightNode : imageNode,
  )
}
