// Counting functions: how often values occur, and between which boundaries they lie. Not differentiable.
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { constant, reshape, scatterAdd } from '../graph/node.js'
import { adopt } from './create.js'
import { indexNode } from './movement.js'
import { fromNode, type Tensor, where } from './tensor.js'

/**
 * How often each of 0 … length − 1 occurs among whole numbers, int32, or the sum of their weights. The length must be
 * given (it would depend on the data). After `torch.bincount`.
 */
export function bincount(
  input: Tensor,
  length: number,
  { weights }: { readonly weights?: Tensor } = {},
): Tensor {
  if (!Number.isInteger(length) || length < 0) fail(`bincount: length ${length} is a whole number`)
  const size = sizeOf(input.shape)
  const index = reshape(indexNode(input.node, 'bincount'), [size])
  const each =
    weights === undefined ? constant(1, 'int32', [size]) : weights.float().reshape(size).node
  return fromNode(scatterAdd(0, length, index, each), input, weights)
}

/** float32: how many values fall in each of `bins` equal parts of min … max; others are not counted. */
export function histc(input: Tensor, bins: number, min: number, max: number): Tensor {
  if (!Number.isInteger(bins) || bins < 1 || !(max > min))
    fail(`histc(${bins}, ${min}, ${max}): a whole number of bins, and min below max`)
  const x = input.float().flatten()
  const place = x
    .sub(min)
    .div(max - min)
    .mul(bins)
    .floor()
    .clamp(0, bins - 1)
    .int()
  const inside = x.ge(min).logicalAnd(x.le(max))
  // What is outside goes to one more bin, which is dropped.
  return bincount(where(inside, place, bins).int(), bins + 1)
    .slice(0, bins)
    .float()
}

/** int32: how many of ascending boundaries lie below each value (or, `right`, not above it). */
export function bucketize(
  input: Tensor,
  boundaries: Tensor,
  { right = false }: { readonly right?: boolean } = {},
): Tensor {
  if (boundaries.shape.length !== 1) fail('bucketize: the boundaries are one dimension')
  const x = input.unsqueeze(-1)
  return (right ? boundaries.le(x) : boundaries.lt(x)).sum(-1)
}

/** The different values in ascending order, and how often each occurs; must be awaited. */
export async function unique(input: Tensor): Promise<{ values: Tensor; counts: Tensor }> {
  const data = await input.data()
  const counted = new Map<number, number>()
  for (const x of data) counted.set(x, (counted.get(x) ?? 0) + 1)
  const keys = [...counted.keys()].sort((a, b) => a - b)
  const values = Float64Array.from(keys)
  const counts = Int32Array.from(keys, (key) => counted.get(key) ?? 0)
  const found =
    data.subarray(0, 0).constructor === Int32Array
      ? Int32Array.from(values)
      : Float32Array.from(values)
  const dtype = found instanceof Int32Array ? 'int32' : 'float32'
  return {
    values: adopt(found, [keys.length], dtype).to(input.dtype),
    counts: adopt(counts, [keys.length], 'int32'),
  }
}
