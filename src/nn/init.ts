// Initial values, drawn on the host from the generator that manualSeed sets: the same seed gives the same values.
// After torch.nn.init.
//
// The functions set a parameter in place; layers use the same formulas when they are made.
import { fail } from '../base/errors.js'
import { type Shape, showShape, sizeOf } from '../base/shape.js'
import { erf } from '../graph/scalar.js'
import { adopt } from '../tensor/create.js'
import type { Parameter } from '../tensor/parameter.js'
import { hostRandom } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'

/** Evenly distributed in [low, high). */
export function uniformValues(shape: Shape, low: number, high: number): Tensor {
  const random = hostRandom()
  const values = new Float32Array(sizeOf(shape))
  for (let i = 0; i < values.length; i++) values[i] = low + ((high - low) * random.word()) / 2 ** 32
  return adopt(values, shape, 'float32')
}

/** Normally distributed (Box and Muller). */
export function normalValues(shape: Shape, mean: number, std: number): Tensor {
  const values = new Float32Array(sizeOf(shape))
  const draw = normal01()
  for (let i = 0; i < values.length; i++) values[i] = mean + std * draw()
  return adopt(values, shape, 'float32')
}

function normal01(): () => number {
  const random = hostRandom()
  return () => {
    const radius = Math.sqrt(-2 * Math.log((random.word() + 1) / 2 ** 32))
    return radius * Math.cos((2 * Math.PI * random.word()) / 2 ** 32)
  }
}

const normals = (count: number): Float64Array => Float64Array.from({ length: count }, normal01())

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

/** Evenly distributed in [low, high). */
export function uniform(p: Parameter, low = 0, high = 1): void {
  p.set(uniformValues(p.shape, low, high))
}

/** Normally distributed. */
export function normal(p: Parameter, mean = 0, std = 1): void {
  p.set(normalValues(p.shape, mean, std))
}

/** One value everywhere. */
export function constant(p: Parameter, value: number): void {
  p.set(new Float32Array(sizeOf(p.shape)).fill(value))
}

/** 0 everywhere. */
export function zeros(p: Parameter): void {
  constant(p, 0)
}

/** 1 everywhere. */
export function ones(p: Parameter): void {
  constant(p, 1)
}

/** The identity matrix of a weight [out, in]. */
export function eye(p: Parameter): void {
  if (p.shape.length !== 2) fail(`init.eye: ${showShape(p.shape)} is not a matrix`)
  const [rows, columns] = p.shape
  const values = new Float32Array(rows * columns)
  for (let i = 0; i < Math.min(rows, columns); i++) values[i * columns + i] = 1
  p.set(values)
}

/** A convolution that passes its channels through: 1 at the kernel's centre, in each of `groups`. */
export function dirac(p: Parameter, { groups = 1 }: { readonly groups?: number } = {}): void {
  const [outputs, inputs, ...kernel] = p.shape
  if (kernel.length < 1 || kernel.length > 3)
    fail(`init.dirac: ${showShape(p.shape)} is not the weight of a convolution`)
  if (!Number.isInteger(groups) || groups < 1 || outputs % groups !== 0)
    fail(`init.dirac: ${groups} groups do not divide ${outputs} output channels`)
  const size = sizeOf(kernel)
  const centre = kernel.reduce((at, k) => at * k + Math.floor(k / 2), 0)
  const values = new Float32Array(sizeOf(p.shape))
  const each = outputs / groups
  for (let g = 0; g < groups; g++)
    for (let i = 0; i < Math.min(each, inputs); i++)
      values[((g * each + i) * inputs + i) * size + centre] = 1
  p.set(values)
}

/** What follows a layer, for the gain that keeps the variance. */
export type Nonlinearity = 'linear' | 'conv' | 'sigmoid' | 'tanh' | 'relu' | 'leakyRelu' | 'selu'

/** By how much deviations must grow to survive a nonlinearity; `slope` is that of leakyRelu. */
export function calculateGain(nonlinearity: Nonlinearity, slope = 0.01): number {
  switch (nonlinearity) {
    case 'linear':
    case 'conv':
    case 'sigmoid':
      return 1
    case 'tanh':
      return 5 / 3
    case 'relu':
      return Math.SQRT2
    case 'leakyRelu':
      return Math.sqrt(2 / (1 + slope * slope))
    case 'selu':
      return 3 / 4
    default:
      throw fail(`init.calculateGain: there is no nonlinearity ${String(nonlinearity)}`)
  }
}

/** U(−b, b) with b = gain·√(6 / (fanIn + fanOut)) (Glorot and Bengio 2010). */
export function xavierUniform(p: Parameter, { gain = 1 }: { readonly gain?: number } = {}): void {
  const { fanIn, fanOut } = fans(p.shape)
  const bound = gain * Math.sqrt(6 / (fanIn + fanOut))
  uniform(p, -bound, bound)
}

/** Normal with standard deviation gain·√(2 / (fanIn + fanOut)). */
export function xavierNormal(p: Parameter, { gain = 1 }: { readonly gain?: number } = {}): void {
  const { fanIn, fanOut } = fans(p.shape)
  normal(p, 0, gain * Math.sqrt(2 / (fanIn + fanOut)))
}

/** Which side keeps its variance, and through which nonlinearity. */
export interface KaimingOptions {
  /** Negative slope of the leaky ReLU that follows; default 0. */
  readonly a?: number
  readonly mode?: 'fanIn' | 'fanOut'
  /** Default `leakyRelu`, which with a = 0 is ReLU. */
  readonly nonlinearity?: Nonlinearity
}

function kaimingDeviation(p: Parameter, options: KaimingOptions): number {
  const { a = 0, mode = 'fanIn', nonlinearity = 'leakyRelu' } = options
  return calculateGain(nonlinearity, a) / Math.sqrt(fans(p.shape)[mode])
}

/** U(−b, b) with b = √3·gain/√fan (He et al. 2015). */
export function kaimingUniform(p: Parameter, options: KaimingOptions = {}): void {
  const bound = Math.sqrt(3) * kaimingDeviation(p, options)
  uniform(p, -bound, bound)
}

/** Normal with standard deviation gain/√fan. */
export function kaimingNormal(p: Parameter, options: KaimingOptions = {}): void {
  normal(p, 0, kaimingDeviation(p, options))
}

/** Φ⁻¹ by Newton's method on erf, from Winitzki's approximation. */
function normalQuantile(u: number): number {
  const y = 2 * u - 1
  const l = Math.log(1 - y * y)
  const half = 2 / (Math.PI * 0.147) + l / 2
  let x = Math.sign(y) * Math.sqrt(Math.sqrt(half * half - l / 0.147) - half)
  for (let i = 0; i < 3; i++) x -= (erf(x) - y) / ((2 / Math.sqrt(Math.PI)) * Math.exp(-x * x))
  return x * Math.SQRT2
}

/** Options of truncNormal. */
export interface TruncatedNormalOptions {
  readonly mean?: number
  readonly std?: number
  /** Bounds of the values. Default −2 and 2. */
  readonly a?: number
  readonly b?: number
}

/** Normally distributed between the bounds a and b; nothing lies outside. */
export function truncNormal(p: Parameter, options: TruncatedNormalOptions = {}): void {
  const { mean = 0, std = 1, a = -2, b = 2 } = options
  if (!(a < b) || !(std > 0))
    fail(`init.truncNormal: the bounds ${a} and ${b} must rise, and std ${std} must be above 0`)
  const below = (x: number) => (1 + erf((x - mean) / std / Math.SQRT2)) / 2
  const [low, high] = [below(a), below(b)]
  const random = hostRandom()
  const values = Float32Array.from({ length: sizeOf(p.shape) }, () => {
    const u = low + ((high - low) * (random.word() + 0.5)) / 2 ** 32
    return Math.min(Math.max(mean + std * normalQuantile(u), a), b)
  })
  p.set(values)
}

/**
 * A (semi-)orthogonal matrix times `gain`: the weight [out, …] flattened to [out, rest] has orthonormal rows, or
 * columns where there are fewer of them (Saxe, McClelland and Ganguli 2013).
 */
export function orthogonal(p: Parameter, { gain = 1 }: { readonly gain?: number } = {}): void {
  if (p.shape.length < 2) fail(`init.orthogonal: ${showShape(p.shape)} needs 2 dimensions or more`)
  const rows = p.shape[0]
  const columns = sizeOf(p.shape.slice(1))
  const [count, length] = rows < columns ? [rows, columns] : [columns, rows]
  const drawn = normals(count * length)
  const vectors = Array.from({ length: count }, (_, i) =>
    drawn.subarray(i * length, (i + 1) * length),
  )
  // Gram and Schmidt, each twice: the second pass removes what rounding left.
  vectors.forEach((v, i) => {
    for (let pass = 0; pass < 2; pass++)
      for (const u of vectors.slice(0, i)) {
        let dot = 0
        for (let k = 0; k < length; k++) dot += u[k] * v[k]
        for (let k = 0; k < length; k++) v[k] -= dot * u[k]
      }
    const norm = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0))
    for (let k = 0; k < length; k++) v[k] /= norm
  })
  const values = new Float32Array(rows * columns)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      values[i * columns + j] = gain * (rows < columns ? vectors[i][j] : vectors[j][i])
  p.set(values)
}

/** Normal values in a weight [out, in], of which the share `sparsity` of each column is 0 (Martens 2010). */
export function sparse(
  p: Parameter,
  sparsity: number,
  { std = 0.01 }: { readonly std?: number } = {},
): void {
  if (p.shape.length !== 2) fail(`init.sparse: ${showShape(p.shape)} is not a matrix`)
  if (!(sparsity >= 0 && sparsity <= 1))
    fail(`init.sparse: sparsity is ${sparsity}, but must be between 0 and 1`)
  const [rows, columns] = p.shape
  const zeros = Math.ceil(sparsity * rows)
  const values = Float32Array.from(normals(rows * columns), (z) => std * z)
  const random = hostRandom()
  for (let column = 0; column < columns; column++)
    for (const row of random.permutation(rows).subarray(0, zeros))
      values[row * columns + column] = 0
  p.set(values)
}
