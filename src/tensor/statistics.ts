// Reductions made of others: norms, log-sum-exp, running sums and products, order statistics of sorted values.
import { fail } from '../base/errors.js'
import { axisOf, showShape } from '../base/shape.js'
import * as graph from '../graph/node.js'
import { constant, map, type Node, reduce } from '../graph/node.js'
import { arithmeticType, binary, cast, select } from './arithmetic.js'
import { slice } from './movement.js'
import * as reduction from './reduction.js'
import { type Dims, sum } from './reduction.js'
import { argsort, takeAlong } from './sorting.js'

const like = (x: Node, value: number): Node => constant(value, x.dtype, x.shape)

/** log Σ eˣ, shifted by the maximum; its gradient is softmax. */
export function logSumExp(x: Node, dims: Dims, keepdim: boolean): Node {
  const float = cast(x, 'float32')
  const most = graph.detach(reduction.amax(float, dims, true))
  const finite = map('where', map('isFinite', most), most, like(most, 0))
  const total = sum(map('exp', binary('sub', float, finite, 'logsumexp')), dims, true)
  const result = map('add', map('log', total), finite)
  return keepdim ? result : graph.reshape(result, sum(float, dims, false).shape)
}

/** bool: some element, or every element, is not 0. */
export function some(x: Node, dims: Dims, keepdim: boolean): Node {
  return binary('ne', sum(cast(x, 'bool'), dims, keepdim), 0, 'any')
}
export function every(x: Node, dims: Dims, keepdim: boolean): Node {
  return binary('eq', sum(map('not', cast(x, 'bool')), dims, keepdim), 0, 'all')
}

/** (Σ |x|ᵖ)^(1/p); the largest for Infinity, the number of others than 0 for 0. The gradient at 0 is 0. */
export function norm(of: Node, p: number, dims: Dims, keepdim: boolean): Node {
  const x = cast(of, 'float32')
  if (Number.isNaN(p)) fail('norm: p is NaN; it is a number such as 1, 2 or Infinity')
  const size = map('abs', x)
  if (p === Infinity) return reduction.amax(size, dims, keepdim)
  if (p === -Infinity) return reduction.amin(size, dims, keepdim)
  if (p === 0) return sum(map('toFloat32', binary('ne', x, 0, 'norm')), dims, keepdim)
  if (p === 1) return sum(size, dims, keepdim)
  if (p === 2) {
    const total = sum(map('mul', x, x), dims, keepdim)
    return atZero(total, (y) => map('sqrt', y))
  }
  const powers = atZero(size, (y) => map('pow', y, like(y, p)))
  return atZero(sum(powers, dims, keepdim), (y) => map('pow', y, like(y, 1 / p)))
}

/** fn(x), but 0 with gradient 0 where x is 0. */
function atZero(x: Node, fn: (x: Node) => Node): Node {
  const zero = map('eq', x, like(x, 0))
  return map('where', zero, like(x, 0), fn(map('where', zero, like(x, 1), x)))
}

const BLOCK = 32

/**
 * Running sums or products along an axis: within blocks, each element over a window of those up to it; then each
 * block combined with the running result of the blocks before it.
 */
export function running(fn: 'sum' | 'prod', of: Node, dim: number, where: string): Node {
  const axis = axisOf(dim, of.shape.length, where)
  const x = cast(of, arithmeticType(of.dtype))
  return x.shape.length === 0 || x.shape[axis] < 2 ? x : runningAlong(fn, x, axis)
}

function runningAlong(fn: 'sum' | 'prod', x: Node, axis: number): Node {
  const value = fn === 'sum' ? 0 : 1
  const size = x.shape[axis]
  if (size <= BLOCK) return reduce(fn, [x.shape.length], upTo(x, axis, value))
  const blocks = Math.ceil(size / BLOCK)
  const around = (low: number, high: number, y: Node) => {
    const along = (n: number) => y.shape.map((_, i) => (i === axis ? n : 0))
    return low + high === 0
      ? y
      : graph.view({ type: 'pad', low: along(low), high: along(high), value }, y)
  }
  const full = around(0, blocks * BLOCK - size, x)
  const [before, after] = [x.shape.slice(0, axis), x.shape.slice(axis + 1)]
  const split = graph.reshape(full, [...before, blocks, BLOCK, ...after])
  const within = runningAlong(fn, split, axis + 1)
  const totals = graph.reshape(slice(within, BLOCK - 1, BLOCK, axis + 1, 1), [
    ...before,
    blocks,
    ...after,
  ])
  const earlier = around(1, 0, slice(runningAlong(fn, totals, axis), 0, blocks - 1, axis, 1))
  const wide = graph.expand(graph.reshape(earlier, [...before, blocks, 1, ...after]), split.shape)
  const joined = map(fn === 'sum' ? 'add' : 'mul', within, wide)
  return slice(graph.reshape(joined, full.shape), 0, size, axis, 1)
}

/** A new last dimension: all elements up to each, `value` before the first. */
function upTo(x: Node, axis: number, value: number): Node {
  const size = x.shape[axis]
  const padding = size - 1
  return graph.view(
    { type: 'window', axis, count: size, size, stride: 1, dilation: 1, padding, value },
    x,
  )
}

/** The greatest (least, negated) so far and where it first is. */
export function runningMax(of: Node, dim: number): { values: Node; indices: Node } {
  const axis = axisOf(dim, of.shape.length, 'cummax')
  const x = cast(of, 'float32')
  if (x.shape.length === 0) return { values: x, indices: constant(0, 'int32') }
  const size = x.shape[axis]
  const padding = Math.max(size - 1, 0)
  const at = reduce('argmax', [x.shape.length], upTo(x, axis, -Infinity))
  const first = map('sub', graph.iota(x.shape, axis), constant(padding, 'int32', x.shape))
  const indices = map('add', at, first)
  return { values: takeAlong(cast(of, arithmeticType(of.dtype)), axis, indices), indices }
}

/** Sorted values at a fractional position q·(n − 1), between neighbours by a line. */
export function quantile(x: Node, q: number, dim: number, keepdim: boolean): Node {
  if (!(q >= 0 && q <= 1)) fail(`quantile(${q}): q is between 0 and 1`)
  const { sorted, axis, size } = sortedAlong(x, dim, 'quantile')
  const at = q * (size - 1)
  const low = slice(sorted, Math.floor(at), Math.floor(at) + 1, axis, 1)
  const high = slice(sorted, Math.ceil(at), Math.ceil(at) + 1, axis, 1)
  const share = like(low, at - Math.floor(at))
  const value = map('add', low, map('mul', map('sub', high, low), share))
  return keepdim ? value : dropped(value, axis)
}

/** The lower of the two in the middle, as PyTorch's median. */
export function median(of: Node, dim: number, keepdim: boolean): { values: Node; indices: Node } {
  const { axis, size, x, order } = sortedAlong(of, dim, 'median')
  const middle = Math.floor((size - 1) / 2)
  const indices = slice(order, middle, middle + 1, axis, 1)
  const values = takeAlong(x, axis, indices)
  return keepdim
    ? { values, indices }
    : { values: dropped(values, axis), indices: dropped(indices, axis) }
}

function sortedAlong(of: Node, dim: number, where: string) {
  const axis = axisOf(dim, of.shape.length, where)
  const x = cast(of, arithmeticType(of.dtype))
  const size = x.shape[axis] ?? 1
  if (size === 0) fail(`${where} of ${showShape(x.shape)} along ${dim}: there is no element`)
  const order = argsort(x, axis, false)
  return { axis, size, x, order, sorted: takeAlong(x, axis, order) }
}

function dropped(x: Node, axis: number): Node {
  return graph.reshape(
    x,
    x.shape.filter((_, i) => i !== axis),
  )
}

/** NaN counts as 0. */
export function nanSum(x: Node, dims: Dims, keepdim: boolean): Node {
  return sum(select(binary('eq', x, x, 'nansum'), x, 0, 'nansum'), dims, keepdim)
}
