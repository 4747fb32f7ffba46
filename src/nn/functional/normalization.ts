// Normalisations with PyTorch's arguments: batch, layer, root mean square, group, instance, local response.
import { fail } from '../../base/errors.js'
import { type Shape, sameShape, showShape, sizeOf } from '../../base/shape.js'
import { constant, type Node, reduce, reshape, view } from '../../graph/node.js'
import type { Parameter } from '../../tensor/parameter.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { add, along, div, exp, log, mean, mul, square, sub } from '../nodes/math.js'
import {
  batchNormalize,
  channelAxes,
  channelMoments,
  inverseRoot,
  moments,
  normalize,
  rootMeanSquare,
} from '../nodes/normalization.js'
import { floatNode } from './checks.js'

/** What follows a normalisation: weight·y + bias. */
export interface AffineOptions {
  readonly weight?: Tensor
  readonly bias?: Tensor
  /** Added to the variance; default 1e-5. */
  readonly eps?: number
}

/** Options of batchNorm. */
export interface BatchNormOptions extends AffineOptions {
  /** Normalises by the batch's own mean and variance, and moves the running ones towards them. */
  readonly training?: boolean
  /** How far the running statistics move; a tensor for a moving average that changes. Default 0.1. */
  readonly momentum?: number | Tensor
}

/** A vector with one value a channel, checked. */
function perChannel(x: Tensor | undefined, channels: number, name: string, what: string) {
  if (x === undefined) return undefined
  if (x.shape.length !== 1 || x.shape[0] !== channels)
    fail(
      `${name}: the ${what} has shape ${showShape(x.shape)}, but the input has ${channels} channels: use numFeatures ${channels}`,
    )
  return floatNode(x, name, what)
}

/**
 * Batch normalisation of input [N, C, …] over all but the channels. In training the batch's variance is divided
 * by its count to normalise, and by count − 1 to move `runningVar`; both running statistics are set once for
 * each call. Otherwise the running statistics normalise. After torch.nn.functional.batch_norm.
 * @throws BurnishError when training with one value a channel, or without statistics when not.
 */
export function batchNorm(
  input: Tensor,
  runningMean: Parameter | undefined,
  runningVar: Parameter | undefined,
  options: BatchNormOptions = {},
): Tensor {
  const name = 'batchNorm'
  const { eps = 1e-5, training = false, momentum = 0.1 } = options
  const x = floatNode(input, name)
  const rank = x.shape.length
  if (rank < 2) fail(`${name}: the input ${showShape(x.shape)} has no channels; it is [N, C, …]`)
  const channels = x.shape[1]
  const weight = perChannel(options.weight, channels, name, 'weight')
  const bias = perChannel(options.bias, channels, name, 'bias')
  const oldMean = perChannel(runningMean, channels, name, 'runningMean')
  const oldVariance = perChannel(runningVar, channels, name, 'runningVar')
  const from = [input, options.weight, options.bias] as const
  if (!training) {
    if (oldMean === undefined || oldVariance === undefined)
      throw fail(`${name}: without training, runningMean and runningVar are needed`)
    const scale = inverseRoot(oldVariance, eps)
    const centred = sub(x, along(oldMean, 1, rank))
    const scaled = mul(centred, along(weight ? mul(scale, weight) : scale, 1, rank))
    return fromNode(bias ? add(scaled, along(bias, 1, rank)) : scaled, ...from)
  }
  const axes = channelAxes(rank)
  const count = sizeOf(x.shape) / Math.max(channels, 1)
  if (count <= 1)
    fail(
      `${name}: the input ${showShape(x.shape)} has ${count} value a channel, and training needs more: use a larger batch, or eval()`,
    )
  const parts = channelMoments(x)
  const moved = (old: Node, now: Node): Node => {
    const step = sub(reshape(now, [channels]), old)
    return add(old, mul(step, typeof momentum === 'number' ? momentum : momentum.node))
  }
  if (runningMean && oldMean) runningMean.set(fromNode(moved(oldMean, parts.mean), input))
  if (runningVar && oldVariance)
    runningVar.set(fromNode(moved(oldVariance, mul(parts.variance, count / (count - 1))), input))
  if (weight === undefined && bias === undefined) return fromNode(normalize(x, axes, eps), ...from)
  const scale = weight ?? constant(1, 'float32', [channels])
  const shift = bias ?? constant(0, 'float32', [channels])
  return fromNode(batchNormalize(x, scale, shift, eps, parts), ...from)
}

/**
 * Normalises the last dimensions, which must be `normalizedShape`; weight and bias have that shape.
 * After torch.nn.functional.layer_norm (Ba, Kiros and Hinton 2016).
 */
export function layerNorm(
  input: Tensor,
  normalizedShape: number | Shape,
  { weight, bias, eps = 1e-5 }: AffineOptions = {},
): Tensor {
  const x = floatNode(input, 'layerNorm')
  const axes = innerAxes('layerNorm', x, normalizedShape, { weight, bias })
  let y = normalize(x, axes, eps)
  if (weight) y = mul(y, floatNode(weight, 'layerNorm', 'weight'))
  if (bias) y = add(y, floatNode(bias, 'layerNorm', 'bias'))
  return fromNode(y, input, weight, bias)
}

/** The last axes, which must have the normalised shape; so must weight and bias. */
function innerAxes(
  name: string,
  x: Node,
  normalizedShape: number | Shape,
  { weight, bias }: AffineOptions,
): number[] {
  const inner = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape
  const lead = x.shape.length - inner.length
  if (inner.length === 0 || lead < 0 || !sameShape(x.shape.slice(lead), inner))
    fail(
      `${name}: the input ${showShape(x.shape)} must end in normalizedShape ${showShape(inner)}: use normalizedShape ${showShape(x.shape.slice(Math.max(lead, 0)))}`,
    )
  for (const [what, p] of [['weight', weight] as const, ['bias', bias] as const])
    if (p && !sameShape(p.shape, inner))
      fail(`${name}: the ${what} has shape ${showShape(p.shape)}, but must be ${showShape(inner)}`)
  return inner.map((_, i) => lead + i)
}

/** Normalises groups of channels of input [N, C, …]; weight and bias are [C] (Wu and He 2018). */
export function groupNorm(
  input: Tensor,
  numGroups: number,
  { weight, bias, eps = 1e-5 }: AffineOptions = {},
): Tensor {
  return grouped('groupNorm', input, numGroups, { weight, bias, eps })
}

/** Options of instanceNorm. */
export interface InstanceNormOptions extends AffineOptions {
  /** Statistics that stand in for the input's own when `useInputStats` is false, and follow them when it is true. */
  readonly runningMean?: Parameter
  readonly runningVar?: Parameter
  /** Default true. */
  readonly useInputStats?: boolean
  /** How far the running statistics move. Default 0.1. */
  readonly momentum?: number
}

/**
 * Normalises each channel of each example of input [N, C, …] by itself (Ulyanov et al. 2016). Running statistics
 * move towards the mean over the batch of means and unbiased variances. After torch.nn.functional.instance_norm.
 */
export function instanceNorm(input: Tensor, options: InstanceNormOptions = {}): Tensor {
  const name = 'instanceNorm'
  const { weight, bias, eps, useInputStats = true, momentum = 0.1 } = options
  const { runningMean, runningVar } = options
  if (!useInputStats)
    return batchNorm(input, runningMean, runningVar, { weight, bias, eps, training: false })
  const channels = input.shape[1] ?? 0
  const result = grouped(name, input, channels, { weight, bias, eps })
  const axes = input.shape.map((_, i) => i).slice(2)
  const count = sizeOf(input.shape.slice(2))
  if (count <= 1)
    fail(
      `${name}: the input ${showShape(input.shape)} has ${count} value a channel of an example, and normalising needs more`,
    )
  const oldMean = perChannel(runningMean, channels, name, 'runningMean')
  const oldVariance = perChannel(runningVar, channels, name, 'runningVar')
  if (oldMean === undefined && oldVariance === undefined) return result
  const parts = moments(input.node, axes)
  const moved = (old: Node, now: Node): Node => {
    const batch = reshape(mean(now, [0]), [channels])
    return add(old, mul(sub(batch, old), momentum))
  }
  if (runningMean && oldMean) runningMean.set(fromNode(moved(oldMean, parts.mean), input))
  if (runningVar && oldVariance)
    runningVar.set(fromNode(moved(oldVariance, mul(parts.variance, count / (count - 1))), input))
  return result
}

/** The least difference of float32 from 1: PyTorch's ε of rmsNorm. */
const FLOAT32_EPSILON = 2 ** -23

/**
 * x / √(mean(x²) + ε)·weight over the last dimensions, which must be `normalizedShape`. After
 * torch.nn.functional.rms_norm (Zhang and Sennrich 2019).
 */
export function rmsNorm(
  input: Tensor,
  normalizedShape: number | Shape,
  { weight, eps = FLOAT32_EPSILON }: Omit<AffineOptions, 'bias'> = {},
): Tensor {
  const x = floatNode(input, 'rmsNorm')
  const axes = innerAxes('rmsNorm', x, normalizedShape, { weight })
  const y = rootMeanSquare(x, axes, eps)
  return fromNode(weight ? mul(y, floatNode(weight, 'rmsNorm', 'weight')) : y, input, weight)
}

function grouped(name: string, input: Tensor, groups: number, options: AffineOptions): Tensor {
  const { weight, bias, eps = 1e-5 } = options
  const x = floatNode(input, name)
  const [batch, channels] = x.shape
  const rank = x.shape.length
  if (rank < 2) fail(`${name}: the input ${showShape(x.shape)} has no channels; it is [N, C, …]`)
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0)
    fail(
      `${name}: ${groups} groups do not divide the ${channels} channels of ${showShape(x.shape)}`,
    )
  const w = perChannel(weight, channels, name, 'weight')
  const b = perChannel(bias, channels, name, 'bias')
  const split = reshape(x, [batch, groups, channels / groups, ...x.shape.slice(2)])
  const axes = split.shape.map((_, i) => i).slice(2)
  let y: Node = reshape(normalize(split, axes, eps), x.shape)
  if (w) y = mul(y, along(w, 1, rank))
  if (b) y = add(y, along(b, 1, rank))
  return fromNode(y, input, weight, bias)
}

/**
 * x / (k + α·m)^β, where m is the mean of squares over `size` neighbouring channels, zeros beyond the ends.
 * After torch.nn.functional.local_response_norm (Krizhevsky, Sutskever and Hinton 2012).
 */
export function localResponseNorm(
  input: Tensor,
  size: number,
  { alpha = 1e-4, beta = 0.75, k = 1 }: { alpha?: number; beta?: number; k?: number } = {},
): Tensor {
  const x = floatNode(input, 'localResponseNorm')
  if (x.shape.length < 3)
    fail(
      `localResponseNorm: the input ${showShape(x.shape)} must be [N, C, …] with a spatial dimension`,
    )
  const neighbours = view(
    {
      type: 'window',
      axis: 1,
      count: x.shape[1],
      size,
      stride: 1,
      dilation: 1,
      padding: Math.floor(size / 2),
      value: 0,
    },
    square(x),
  )
  const average = div(reduce('sum', [x.shape.length], neighbours), size)
  const base = add(mul(average, alpha), k)
  return fromNode(mul(x, exp(mul(log(base), -beta))), input)
}
