// Initial values, drawn on the host from the generator that manualSeed sets. After torch.nn.init.
//
// The functions set a parameter in place; layers use the same formulas when they are made.
import { fail } from '../base/errors.js'
import { type Shape, showShape, sizeOf } from '../base/shape.js'
import { tensor } from '../tensor/create.js'
import type { Parameter } from '../tensor/parameter.js'
import { hostRandom } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'

/** Evenly distributed in [low, high). */
export function uniformValues(shape: Shape, low: number, high: number): Tensor {
  const random = hostRandom()
  const values = new Float32Array(sizeOf(shape))
  for (let i = 0; i < values.length; i++) values[i] = low + ((high - low) * random.word()) / 2 ** 32
  return tensor(values, { shape })
}

/** Normally distributed (Box and Muller). */
export function normalValues(shape: Shape, mean: number, std: number): Tensor {
  const random = hostRandom()
  const values = new Float32Array(sizeOf(shape))
  for (let i = 0; i < values.length; i++) {
    const radius = Math.sqrt(-2 * Math.log((random.word() + 1) / 2 ** 32))
    values[i] = mean + std * radius * Math.cos((2 * Math.PI * random.word()) / 2 ** 32)
  }
  return tensor(values, { shape })
}

/** Inputs and outputs of one unit: the second and first dimension, times the kernel's size. */
export function fans(shape: Shape): { fanIn: number; fanOut: number } {
  if (shape.length < 2)
    fail(`init: ${showShape(shape)} has no fan-in and fan-out; it needs 2 dimensions or more`)
  const kernel = sizeOf(shape.slice(2))
  return { fanIn: shape[1] * kernel, fanOut: shape[0] * kernel }
}

/** What layers with weight [out, in, …kernel] begin with: U(−1/√fanIn, 1/√fanIn), as PyTorch's do. */
export function layerValues(shape: Shape, fanIn: number): Tensor {
  const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0
  return uniformValues(shape, -bound, bound)
}

export function uniform(p: Parameter, low = 0, high = 1): void {
  p.set(uniformValues(p.shape, low, high))
}

export function normal(p: Parameter, mean = 0, std = 1): void {
  p.set(normalValues(p.shape, mean, std))
}

export function constant(p: Parameter, value: number): void {
  p.set(new Float32Array(sizeOf(p.shape)).fill(value))
}

export function zeros(p: Parameter): void {
  constant(p, 0)
}

export function ones(p: Parameter): void {
  constant(p, 1)
}

/** U(−b, b) with b = gain·√(6 / (fanIn + fanOut)) (Glorot and Bengio 2010). */
export function xavierUniform(p: Parameter, { gain = 1 }: { readonly gain?: number } = {}): void {
  const { fanIn, fanOut } = fans(p.shape)
  const bound = gain * Math.sqrt(6 / (fanIn + fanOut))
  uniform(p, -bound, bound)
}

export function xavierNormal(p: Parameter, { gain = 1 }: { readonly gain?: number } = {}): void {
  const { fanIn, fanOut } = fans(p.shape)
  normal(p, 0, gain * Math.sqrt(2 / (fanIn + fanOut)))
}

export interface KaimingOptions {
  /** Negative slope of the leaky ReLU that follows; default 0. */
  readonly a?: number
  readonly mode?: 'fanIn' | 'fanOut'
  /** Default `leakyRelu`, which with a = 0 is ReLU. */
  readonly nonlinearity?: 'leakyRelu' | 'linear'
}

function kaimingDeviation(p: Parameter, options: KaimingOptions): number {
  const { a = 0, mode = 'fanIn', nonlinearity = 'leakyRelu' } = options
  const gain = nonlinearity === 'linear' ? 1 : Math.sqrt(2 / (1 + a * a))
  return gain / Math.sqrt(fans(p.shape)[mode])
}

/** U(−b, b) with b = √3·gain/√fan (He et al. 2015). */
export function kaimingUniform(p: Parameter, options: KaimingOptions = {}): void {
  const bound = Math.sqrt(3) * kaimingDeviation(p, options)
  uniform(p, -bound, bound)
}

export function kaimingNormal(p: Parameter, options: KaimingOptions = {}): void {
  normal(p, 0, kaimingDeviation(p, options))
}
