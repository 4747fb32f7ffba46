// Activations, element by element, with PyTorch's names and defaults; softmax along one dimension.
//
// Written so that float32 keeps its accuracy: softplus and its kin never exponentiate a positive number,
// and e^x − 1 is 2·t/(1 − t) with t = tanh(x/2), which does not cancel near 0.
import { fail } from '../../base/errors.js'
import { axisOf, showShape } from '../../base/shape.js'
import { composite, map, type Node, reshape } from '../../graph/node.js'
import { rand } from '../../tensor/random.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import {
  add,
  along,
  atLeast,
  atMost,
  div,
  eq,
  exp,
  le,
  log1p,
  lt,
  mul,
  neg,
  positions,
  sub,
  where,
} from '../nodes/math.js'
import * as rows from '../nodes/softmax.js'
import { floatNode } from './checks.js'

const elementwise = (input: Tensor, name: string, build: (x: Node) => Node): Tensor =>
  fromNode(build(floatNode(input, name)), input)

/** max(x, 0); the derivative at 0 is 0. */
export function relu(input: Tensor): Tensor {
  return elementwise(input, 'relu', (x) => map('relu', x))
}

/** 1 / (1 + e^−x) */
export function sigmoid(input: Tensor): Tensor {
  return elementwise(input, 'sigmoid', (x) => map('sigmoid', x))
}

/** x·Φ(x), Φ the normal distribution's cumulative function; `tanh` approximates it as GPT-2 does. */
export function gelu(
  input: Tensor,
  { approximate = 'none' }: { readonly approximate?: 'none' | 'tanh' } = {},
): Tensor {
  return elementwise(input, 'gelu', (x) => {
    if (approximate === 'none') return mul(mul(x, 0.5), add(map('erf', mul(x, Math.SQRT1_2)), 1))
    const cubic = mul(x, add(mul(mul(x, x), 0.044715), 1))
    return mul(mul(x, 0.5), add(map('tanh', mul(cubic, Math.sqrt(2 / Math.PI))), 1))
  })
}

/** x·sigmoid(x), also called swish. */
export function silu(input: Tensor): Tensor {
  return elementwise(input, 'silu', (x) => mul(x, map('sigmoid', x)))
}

/** log(1 + e^x) of a node, with the derivative sigmoid(x). */
export function softplusNode(x: Node): Node {
  return composite('softplus', '', [x], x, {
    expand: () => add(map('relu', x), log1p(exp(neg(map('abs', x))))),
    gradient: (_, G) => [mul(G, map('sigmoid', x))],
  })
}

/** log(1 + e^βx)/β, and x itself where βx exceeds the threshold. */
export function softplus(
  input: Tensor,
  { beta = 1, threshold = 20 }: { readonly beta?: number; readonly threshold?: number } = {},
): Tensor {
  return elementwise(input, 'softplus', (x) => {
    const scaled = beta === 1 ? x : mul(x, beta)
    const soft = softplusNode(scaled)
    return where(lt(threshold, scaled), x, beta === 1 ? soft : div(soft, beta))
  })
}

/** log(sigmoid(x)) */
export function logSigmoid(input: Tensor): Tensor {
  return elementwise(input, 'logSigmoid', (x) => neg(softplusNode(neg(x))))
}

/** x·tanh(softplus(x)) */
export function mish(input: Tensor): Tensor {
  return elementwise(input, 'mish', (x) => mul(x, map('tanh', softplusNode(x))))
}

/** e^x − 1 for x ≤ 0. */
function expm1(x: Node): Node {
  const t = map('tanh', mul(x, 0.5))
  return div(mul(t, 2), sub(1, t))
}

/** x, or α(e^x − 1) below 0. */
export function elu(input: Tensor, { alpha = 1 }: { readonly alpha?: number } = {}): Tensor {
  return elementwise(input, 'elu', (x) => where(lt(0, x), x, mul(expm1(atMost(x, 0)), alpha)))
}

/** ELU with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017). */
export function selu(input: Tensor): Tensor {
  const alpha = 1.6732632423543772
  const scale = 1.0507009873554805
  return elementwise(input, 'selu', (x) =>
    mul(where(lt(0, x), x, mul(expm1(atMost(x, 0)), alpha)), scale),
  )
}

/** max(x, 0) + min(α(e^(x/α) − 1), 0): ELU with a continuous derivative (Barron 2017). */
export function celu(input: Tensor, { alpha = 1 }: { readonly alpha?: number } = {}): Tensor {
  if (alpha === 0) fail('celu: alpha must not be 0')
  return elementwise(input, 'celu', (x) =>
    where(lt(0, x), x, mul(expm1(div(atMost(x, 0), alpha)), alpha)),
  )
}

/** a·sigmoid(b) for the halves a, b of the input along `dim` (Dauphin et al. 2017). */
export function glu(input: Tensor, dim = -1): Tensor {
  const x = floatNode(input, 'glu')
  const axis = axisOf(dim, x.shape.length, 'glu')
  const size = x.shape[axis] ?? 0
  if (size % 2 !== 0 || size === 0)
    fail(`glu: dimension ${dim} of ${showShape(x.shape)} has ${size} elements; it must be even`)
  const half = size / 2
  return input.slice(0, half, { dim: axis }).mul(sigmoid(input.slice(half, size, { dim: axis })))
}

/** x, or x·negativeSlope below 0. */
export function leakyRelu(
  input: Tensor,
  { negativeSlope = 0.01 }: { readonly negativeSlope?: number } = {},
): Tensor {
  return elementwise(input, 'leakyRelu', (x) => where(lt(0, x), x, mul(x, negativeSlope)))
}

/** x, or x·weight below 0: one weight, or one for each channel (dimension 1). */
export function prelu(input: Tensor, weight: Tensor): Tensor {
  const x = floatNode(input, 'prelu')
  const w = floatNode(weight, 'prelu', 'weight')
  const channels = input.shape[1] ?? 1
  if (w.shape.length !== 1 || (w.shape[0] !== 1 && w.shape[0] !== channels))
    fail(
      `prelu: the weight has shape ${showShape(w.shape)}, the input ${showShape(x.shape)}; give 1 weight or ${channels}, one a channel`,
    )
  const rank = Math.max(x.shape.length, 1)
  const slope = w.shape[0] === 1 ? reshape(w, []) : along(w, 1, rank)
  return fromNode(where(lt(0, x), x, mul(x, slope)), input, weight)
}

/** min(max(x, 0), 6) */
export function relu6(input: Tensor): Tensor {
  return elementwise(input, 'relu6', (x) => atMost(map('relu', x), 6))
}

/** min(max(x + 3, 0), 6) / 6 */
function hardGate(x: Node): Node {
  return div(atMost(atLeast(add(x, 3), 0), 6), 6)
}

/** min(max(x + 3, 0), 6) / 6: a sigmoid of straight lines. */
export function hardsigmoid(input: Tensor): Tensor {
  return elementwise(input, 'hardsigmoid', hardGate)
}

/** x·hardsigmoid(x) (MobileNetV3) */
export function hardswish(input: Tensor): Tensor {
  return elementwise(input, 'hardswish', (x) => mul(x, hardGate(x)))
}

/** min(max(x, −1), 1) by default. */
export function hardtanh(
  input: Tensor,
  { minVal = -1, maxVal = 1 }: { readonly minVal?: number; readonly maxVal?: number } = {},
): Tensor {
  return elementwise(input, 'hardtanh', (x) => atMost(atLeast(x, minVal), maxVal))
}

/** x / (1 + |x|) */
export function softsign(input: Tensor): Tensor {
  return elementwise(input, 'softsign', (x) => div(x, add(map('abs', x), 1)))
}

/** x − tanh(x) */
export function tanhshrink(input: Tensor): Tensor {
  return elementwise(input, 'tanhshrink', (x) => sub(x, map('tanh', x)))
}

/** x where |x| > λ, else 0. */
export function hardshrink(
  input: Tensor,
  { lambd = 0.5 }: { readonly lambd?: number } = {},
): Tensor {
  return elementwise(input, 'hardshrink', (x) => where(le(map('abs', x), lambd), 0, x))
}

/** x − λ above λ, x + λ below −λ, 0 between. */
export function softshrink(
  input: Tensor,
  { lambd = 0.5 }: { readonly lambd?: number } = {},
): Tensor {
  if (!(lambd >= 0)) fail(`softshrink: lambd is ${lambd}, but must be a number from 0`)
  return elementwise(input, 'softshrink', (x) =>
    where(lt(lambd, x), sub(x, lambd), where(lt(x, -lambd), add(x, lambd), 0)),
  )
}

/** The slopes of rrelu. */
export interface RReLUOptions {
  /** Bounds of the slope. Default 1/8 and 1/3. */
  readonly lower?: number
  readonly upper?: number
  /** Draws a slope for each element; else it is the mean of the bounds. Default false. */
  readonly training?: boolean
}

/** x, or x·a below 0, with a between the bounds: drawn for each element in training (Xu et al. 2015). */
export function rrelu(
  input: Tensor,
  { lower = 1 / 8, upper = 1 / 3, training = false }: RReLUOptions = {},
): Tensor {
  if (!(lower <= upper)) fail(`rrelu: lower ${lower} is above upper ${upper}`)
  if (!training) return leakyRelu(input, { negativeSlope: (lower + upper) / 2 })
  return elementwise(input, 'rrelu', (x) => {
    const slope = add(mul(rand(x.shape).node, upper - lower), lower)
    return where(lt(0, x), x, mul(x, slope))
  })
}

/** x where x > threshold, else `value`. */
export function threshold(input: Tensor, limit: number, value: number): Tensor {
  return elementwise(input, 'threshold', (x) => where(lt(limit, x), x, value))
}

/** e^x / Σ e^x along `dim`; rows are shifted by their maximum, so large values are safe. */
export function softmax(input: Tensor, dim: number): Tensor {
  return elementwise(input, 'softmax', (x) =>
    rows.softmax(x, axisOf(dim, x.shape.length, 'softmax')),
  )
}

/** softmax(−x) */
export function softmin(input: Tensor, dim: number): Tensor {
  return elementwise(input, 'softmin', (x) =>
    rows.softmax(neg(x), axisOf(dim, x.shape.length, 'softmin')),
  )
}

/** log softmax, computed as x − max − log Σ e^(x − max). */
export function logSoftmax(input: Tensor, dim: number): Tensor {
  return elementwise(input, 'logSoftmax', (x) =>
    rows.logSoftmax(x, axisOf(dim, x.shape.length, 'logSoftmax')),
  )
}

/**
 * A sample of the categories along `dim`, differentiable: softmax((logits + g)/τ) with Gumbel noise g. `hard` gives
 * one-hot rows whose gradient is that of the soft ones (Jang, Gu and Poole 2017).
 */
export function gumbelSoftmax(
  logits: Tensor,
  {
    tau = 1,
    hard = false,
    dim = -1,
  }: { readonly tau?: number; readonly hard?: boolean; readonly dim?: number } = {},
): Tensor {
  if (!(tau > 0)) fail(`gumbelSoftmax: tau is ${tau}, but must be above 0`)
  const x = floatNode(logits, 'gumbelSoftmax', 'logits')
  const axis = axisOf(dim, x.shape.length, 'gumbelSoftmax')
  // 1 − u lies in (0, 1]: the exponential −log(1 − u) is 0 at u = 0, where the noise is bounded.
  const exponential = atLeast(neg(map('log', sub(1, rand(x.shape).node))), 2 ** -24)
  const noisy = div(sub(x, map('log', exponential)), tau)
  const soft = fromNode(rows.softmax(noisy, axis), logits)
  if (!hard) return soft
  const first = soft.argmax(axis, { keepdim: true })
  const chosen = eq(positions(x.shape[axis], axis, x.shape.length), first.node)
  return fromNode(where(chosen, 1, 0), soft)
    .sub(soft.detach())
    .add(soft)
}
