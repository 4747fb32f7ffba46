// Distances and directions: cosine similarity, p-norm distances, and rows of length 1.
import { fail } from '../../base/errors.js'
import { axisOf, showShape } from '../../base/shape.js'
import { map, type Node } from '../../graph/node.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { add, atLeast, constantLike, div, largest, mul, square, sub, sum } from '../nodes/math.js'
import { floatNode } from './checks.js'

/** The p-norm along one axis, kept with size 1. */
export function normAlong(x: Node, axis: number, p: number): Node {
  if (p === 2) return map('sqrt', sum(square(x), [axis]))
  const size = map('abs', x)
  if (p === 1) return sum(size, [axis])
  if (p === Number.POSITIVE_INFINITY) return largest(size, [axis])
  const total = sum(map('pow', size, constantLike(size, p)), [axis])
  return map('pow', total, constantLike(total, 1 / p))
}

/** x·y / (max(‖x‖, ε)·max(‖y‖, ε)) along `dim`; broadcasts. */
export function cosineSimilarity(
  x1: Tensor,
  x2: Tensor,
  { dim = 1, eps = 1e-8 }: { readonly dim?: number; readonly eps?: number } = {},
): Tensor {
  const a = floatNode(x1, 'cosineSimilarity', 'x1')
  const b = floatNode(x2, 'cosineSimilarity', 'x2')
  const rank = Math.max(a.shape.length, b.shape.length)
  const axis = axisOf(dim, rank, 'cosineSimilarity') - rank
  const unit = (x: Node) => {
    const at = axis + x.shape.length
    if (at < 0)
      fail(`cosineSimilarity: ${showShape(x.shape)} has no dimension ${dim} of ${rank} in common`)
    return div(x, atLeast(normAlong(x, at, 2), eps))
  }
  return fromNode(mul(unit(a), unit(b)), x1, x2).sum(axis)
}

/** The norm of a pairwise distance. */
export interface PairwiseDistanceOptions {
  /** The order of the norm; default 2. */
  readonly p?: number
  /** Added to each difference; default 1e-6. */
  readonly eps?: number
  readonly keepdim?: boolean
}

/** ‖x1 − x2 + ε‖ over the last dimension; broadcasts. */
export function pairwiseDistance(
  x1: Tensor,
  x2: Tensor,
  { p = 2, eps = 1e-6, keepdim = false }: PairwiseDistanceOptions = {},
): Tensor {
  const a = floatNode(x1, 'pairwiseDistance', 'x1')
  const b = floatNode(x2, 'pairwiseDistance', 'x2')
  if (!(p > 0)) fail(`pairwiseDistance: p is ${p}, but must be above 0`)
  const gap = add(sub(a, b), eps)
  const last = gap.shape.length - 1
  if (last < 0) fail('pairwiseDistance: the inputs are scalars; they are [.., D]')
  const distance = fromNode(normAlong(gap, last, p), x1, x2)
  return keepdim ? distance : distance.squeeze(last)
}

/** x / max(‖x‖, ε) along `dim`: rows of length 1. After torch.nn.functional.normalize. */
export function normalize(
  input: Tensor,
  {
    p = 2,
    dim = 1,
    eps = 1e-12,
  }: { readonly p?: number; readonly dim?: number; readonly eps?: number } = {},
): Tensor {
  const x = floatNode(input, 'normalize')
  if (!(p > 0)) fail(`normalize: p is ${p}, but must be above 0`)
  const axis = axisOf(dim, x.shape.length, 'normalize')
  return fromNode(div(x, atLeast(normAlong(x, axis, p), eps)), input)
}
