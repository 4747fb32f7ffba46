// Losses of margins and of distributions: what embeddings, rankings and counts are trained with.
import { fail } from '../../base/errors.js'
import { broadcastShapes, sameShape, showShape, sizeOf } from '../../base/shape.js'
import { map, type Node, reduce, reshape } from '../../graph/node.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import {
  add,
  along,
  atLeast,
  div,
  eq,
  exp,
  log,
  lt,
  mul,
  neg,
  positions,
  square,
  sub,
  sum,
  where,
} from '../nodes/math.js'
import { softplusNode } from './activation.js'
import { floatNode, indexNode, named } from './checks.js'
import { cosineSimilarity, pairwiseDistance } from './distance.js'
import { pairwise, type ReductionOptions, reduced, weightFor } from './reduction.js'

/** Targets of ±1 in any dtype, of the given shape. */
function signs(name: string, target: Tensor, shape: readonly number[]): Node {
  if (!sameShape(target.shape, shape))
    fail(
      `${name}: the target has shape ${showShape(target.shape)}, but must have ${showShape(shape)}`,
    )
  return target.float().node
}

/** 1 − cos for pairs [N, D] (or [D]) with target 1, max(0, cos − margin) for those with −1. */
export function cosineEmbeddingLoss(
  x1: Tensor,
  x2: Tensor,
  target: Tensor,
  { reduction = 'mean', margin = 0 }: ReductionOptions & { readonly margin?: number } = {},
): Tensor {
  const name = 'cosineEmbeddingLoss'
  if (!sameShape(x1.shape, x2.shape) || x1.shape.length === 0 || x1.shape.length > 2)
    fail(
      `${name}: x1 ${showShape(x1.shape)} and x2 ${showShape(x2.shape)} must both be [N, D] or [D]`,
    )
  const cos = cosineSimilarity(x1, x2, { dim: -1 })
  const y = signs(name, target, cos.shape)
  const loss = where(eq(y, 1), sub(1, cos.node), map('relu', sub(cos.node, margin)))
  return fromNode(reduced(name, loss, reduction), cos)
}

/** max(0, −target·(x1 − x2) + margin): target 1 ranks x1 higher, −1 lower; shapes broadcast. */
export function marginRankingLoss(
  x1: Tensor,
  x2: Tensor,
  target: Tensor,
  { reduction = 'mean', margin = 0 }: ReductionOptions & { readonly margin?: number } = {},
): Tensor {
  const name = 'marginRankingLoss'
  const gap = sub(floatNode(x1, name, 'x1'), floatNode(x2, name, 'x2'))
  broadcastShapes(gap.shape, target.shape, name)
  const loss = map('relu', sub(margin, mul(target.float().node, gap)))
  return fromNode(reduced(name, loss, reduction), x1, x2, target)
}

/** x where the target is 1, max(0, margin − x) where it is −1: x is a distance. */
export function hingeEmbeddingLoss(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean', margin = 1 }: ReductionOptions & { readonly margin?: number } = {},
): Tensor {
  const x = floatNode(input, 'hingeEmbeddingLoss')
  const y = signs('hingeEmbeddingLoss', target, x.shape)
  const loss = where(eq(y, 1), x, map('relu', sub(margin, x)))
  return fromNode(reduced('hingeEmbeddingLoss', loss, reduction), input)
}

/** Options of tripletMarginLoss. */
export interface TripletOptions extends ReductionOptions {
  /** Default 1. */
  readonly margin?: number
  /** The order of the norm; default 2. */
  readonly p?: number
  /** Default 1e-6. */
  readonly eps?: number
  /** Takes the distance of positive and negative where it is the smaller one (Balntas et al. 2016). */
  readonly swap?: boolean
}

/** max(0, ‖a − p‖ − ‖a − n‖ + margin) over the last dimension. */
export function tripletMarginLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  { reduction = 'mean', margin = 1, p = 2, eps = 1e-6, swap = false }: TripletOptions = {},
): Tensor {
  const name = 'tripletMarginLoss'
  if (!sameShape(anchor.shape, positive.shape) || !sameShape(anchor.shape, negative.shape))
    fail(
      `${name}: anchor ${showShape(anchor.shape)}, positive ${showShape(positive.shape)} and negative ${showShape(negative.shape)} must have one shape`,
    )
  const distance = (x: Tensor, y: Tensor) => pairwiseDistance(x, y, { p, eps })
  const near = distance(anchor, positive)
  let far = distance(anchor, negative)
  if (swap) far = far.minimum(distance(positive, negative))
  const loss = map('relu', add(sub(near.node, far.node), margin))
  return fromNode(reduced(name, loss, reduction), near, far)
}

/** Options of poissonNllLoss. */
export interface PoissonOptions extends ReductionOptions {
  /** Whether the input is the logarithm of the rate; default true. */
  readonly logInput?: boolean
  /** Adds Stirling's approximation of log(target!) for targets above 1. */
  readonly full?: boolean
  /** Added to the rate under the logarithm; default 1e-8. */
  readonly eps?: number
}

/** The negative log-likelihood of Poisson counts: e^x − target·x, or rate − target·log(rate + ε). */
export function poissonNllLoss(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean', logInput = true, full = false, eps = 1e-8 }: PoissonOptions = {},
): Tensor {
  return pairwise('poissonNllLoss', input, target, reduction, (x, t) => {
    const loss = logInput ? sub(exp(x), mul(t, x)) : sub(x, mul(t, log(add(x, eps))))
    if (!full) return loss
    const safe = where(lt(1, t), t, 1)
    const stirling = add(sub(mul(safe, log(safe)), safe), mul(log(mul(safe, 2 * Math.PI)), 0.5))
    return add(loss, where(lt(1, t), stirling, 0))
  })
}

/** Options of gaussianNllLoss. */
export interface GaussianOptions extends ReductionOptions {
  /** Adds the constant log(2π)/2. */
  readonly full?: boolean
  /** The least variance; default 1e-6. */
  readonly eps?: number
}

/**
 * The negative log-likelihood of normal values: (log σ² + (input − target)²/σ²)/2. The variance has the input's
 * shape, or one without or with a last dimension of 1. No gradient flows through the bound ε.
 */
export function gaussianNllLoss(
  input: Tensor,
  target: Tensor,
  variance: Tensor,
  { reduction = 'mean', full = false, eps = 1e-6 }: GaussianOptions = {},
): Tensor {
  const name = 'gaussianNllLoss'
  let v = floatNode(variance, name, 'variance')
  if (sameShape(v.shape, input.shape.slice(0, -1)) && !sameShape(v.shape, input.shape))
    v = reshape(v, [...v.shape, 1])
  if (!sameShape(broadcastShapes(input.shape, v.shape, name), input.shape))
    fail(
      `${name}: the variance ${showShape(variance.shape)} does not fit the input ${showShape(input.shape)}`,
    )
  const loss = pairwise(name, input, target, 'none', (x, t) => {
    const bound = atLeast(v, eps)
    const each = mul(add(log(bound), div(square(sub(x, t)), bound)), 0.5)
    return full ? add(each, Math.log(2 * Math.PI) / 2) : each
  })
  return fromNode(reduced(name, loss.node, reduction), loss, variance)
}

/** log(1 + e^(−target·x)) for targets ±1. */
export function softMarginLoss(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean' }: ReductionOptions = {},
): Tensor {
  const x = floatNode(input, 'softMarginLoss')
  const y = signs('softMarginLoss', target, x.shape)
  const loss = named('softMarginLoss', () =>
    reduced('softMarginLoss', softplusNode(neg(mul(y, x))), reduction),
  )
  return fromNode(loss, input)
}

/**
 * The mean over classes of binary cross entropies: input logits [N, C], target 0 or 1 of the same shape, `weight` of
 * each class [C].
 */
export function multiLabelSoftMarginLoss(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean', weight }: ReductionOptions & { readonly weight?: Tensor } = {},
): Tensor {
  const name = 'multiLabelSoftMarginLoss'
  const x = floatNode(input, name)
  const y = signs(name, target, x.shape)
  const last = x.shape.length - 1
  if (last < 0) fail(`${name}: the input is a scalar; it is [N, C] or [C]`)
  // t·log(1 + e^−x) + (1 − t)·log(1 + e^x) = log(1 + e^x) − t·x
  let each: Node = sub(softplusNode(x), mul(y, x))
  if (weight) each = mul(each, weightFor(name, weight, x, 'weight'))
  const row = div(reduce('sum', [last], each), x.shape[last])
  return fromNode(reduced(name, row, reduction), input, target, weight)
}

/** Options of multiMarginLoss. */
export interface MultiMarginOptions extends ReductionOptions {
  /** The power of each violation, 1 or 2; default 1. */
  readonly p?: 1 | 2
  /** Default 1. */
  readonly margin?: number
  /** Weight of each class, [C]. */
  readonly weight?: Tensor
}

/** Σ_c≠y max(0, margin − x[y] + x[c])^p / C: input [N, C] (or [C]), int32 labels [N] (or a scalar). */
export function multiMarginLoss(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean', p = 1, margin = 1, weight }: MultiMarginOptions = {},
): Tensor {
  const name = 'multiMarginLoss'
  const x = floatNode(input, name)
  const last = x.shape.length - 1
  if (last < 0 || last > 1) fail(`${name}: the input ${showShape(x.shape)} must be [N, C] or [C]`)
  if (p !== 1 && p !== 2) fail(`${name}: p is ${p}, but must be 1 or 2`)
  const labels = indexNode(target, name, 'target')
  const lead = x.shape.slice(0, last)
  if (sizeOf(labels.shape) !== sizeOf(lead))
    fail(
      `${name}: labels of shape ${showShape(target.shape)} for an input ${showShape(x.shape)}: give one for each row`,
    )
  const classes = x.shape[last]
  const column = reshape(labels, [...lead, 1])
  const own = fromNode(column).expand(...lead, 1)
  const right = input.gather(last, own).node // [.., 1]
  const here = eq(positions(classes, last, last + 1), column)
  let miss: Node = map('relu', add(sub(x, right), margin))
  if (p === 2) miss = square(miss)
  if (weight) {
    if (!sameShape(weight.shape, [classes]))
      fail(`${name}: the weight has shape ${showShape(weight.shape)}, but must be [${classes}]`)
    const wide = along(floatNode(weight, name, 'weight'), last, last + 1)
    miss = mul(miss, sum(where(here, wide, 0), [last]))
  }
  const rows = div(reduce('sum', [last], where(here, 0, miss)), classes)
  return fromNode(reduced(name, rows, reduction), input, target, weight)
}
