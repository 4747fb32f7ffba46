// Dropout of elements and of whole channels, and the kind that keeps mean and variance.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { broadcastTo } from '../../graph/node.js'
import { rand } from '../../tensor/random.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { lt, mul, where } from '../nodes/math.js'
import { floatNode } from './checks.js'

/** What is dropped, and whether. */
export interface DropoutOptions {
  /** The probability of being dropped. Default 0.5. */
  readonly p?: number
  /** Default true; without, the input passes through. */
  readonly training?: boolean
}

/** In training, zeroes each element with probability p and scales the others by 1/(1 − p). */
export function dropout(input: Tensor, options: DropoutOptions = {}): Tensor {
  return dropped('dropout', input, input.shape, options)
}

function dropped(
  name: string,
  input: Tensor,
  mask: readonly number[],
  { p = 0.5, training = true }: DropoutOptions,
): Tensor {
  if (!(p >= 0 && p <= 1)) fail(`${name}: p is ${p}, but must be a probability`)
  const x = floatNode(input, name)
  if (!training || p === 0) return input
  if (p === 1) return input.mul(0)
  const keep = broadcastTo(lt(rand(mask).node, 1 - p), x.shape)
  return fromNode(where(keep, mul(x, 1 / (1 - p)), 0), input)
}

/** Drops whole channels of [N, C, …spatial], or of [C, …spatial] with one dimension less. */
function channels(name: string, rank: number, input: Tensor, options: DropoutOptions): Tensor {
  const lead = input.shape.length - rank
  if (lead !== 1 && lead !== 2)
    fail(
      `${name}: the input ${showShape(input.shape)} must have ${rank + 2} dimensions, [N, C, …], or ${rank + 1} without N`,
    )
  const mask = input.shape.map((n, i) => (i < lead ? n : 1))
  return dropped(name, input, mask, options)
}

/** Zeroes whole channels of [N, C, L] with probability p, and scales the others (Tompson et al. 2015). */
export function dropout1d(input: Tensor, options: DropoutOptions = {}): Tensor {
  return channels('dropout1d', 1, input, options)
}

/** Zeroes whole channels of [N, C, H, W] with probability p, and scales the others. */
export function dropout2d(input: Tensor, options: DropoutOptions = {}): Tensor {
  return channels('dropout2d', 2, input, options)
}

/** Zeroes whole channels of [N, C, D, H, W] with probability p, and scales the others. */
export function dropout3d(input: Tensor, options: DropoutOptions = {}): Tensor {
  return channels('dropout3d', 3, input, options)
}

/** −λ·α of SELU: where its values saturate. */
const SATURATION = -1.7580993408473766

/**
 * Dropout for SELU: dropped elements take its saturation value, and the result is scaled and shifted so that mean 0
 * and variance 1 stay (Klambauer et al. 2017).
 */
export function alphaDropout(
  input: Tensor,
  { p = 0.5, training = true }: DropoutOptions = {},
): Tensor {
  if (!(p >= 0 && p <= 1)) fail(`alphaDropout: p is ${p}, but must be a probability`)
  const x = floatNode(input, 'alphaDropout')
  if (!training || p === 0) return input
  if (p === 1) return input.mul(0)
  const scale = ((1 - p) * (1 + p * SATURATION ** 2)) ** -0.5
  const shift = -scale * p * SATURATION
  const keep = lt(rand(x.shape).node, 1 - p)
  return fromNode(where(keep, x, SATURATION), input)
    .mul(scale)
    .add(shift)
}
