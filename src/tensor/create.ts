// Creation: from host data, constants, sequences and random numbers.
import { allocate, type DType, isHalf, storedNumber, type TypedArray } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { type Shape, sameShape, showShape, sizeOf } from '../base/shape.js'
import { broadcastTo, constant, input, iota, map, type Node } from '../graph/node.js'
import { arithmeticType, binary, cast, number } from './arithmetic.js'
import { countHost } from './pressure.js'
import { fromNode, Tensor } from './tensor.js'
import { Scalar, Value } from './value.js'

/** Numbers or booleans nested in arrays, or a typed array of one dimension (or of `shape`). */
export type HostData =
  | number
  | boolean
  | TypedArray
  | Float64Array
  | BigInt64Array
  | readonly HostData[]

export interface TensorOptions {
  readonly dtype?: DType
  /** For flat data; default: the nesting of the arrays. */
  readonly shape?: Shape
}

function nesting(data: HostData): Shape {
  if (typeof data === 'number' || typeof data === 'boolean') return []
  if (ArrayBuffer.isView(data)) return [data.length]
  if (data.length === 0) return [0]
  const inner = nesting(data[0])
  for (const item of data)
    if (!sameShape(nesting(item), inner))
      fail(
        `tensor: rows differ: ${showShape(inner)} and ${showShape(nesting(item))}; all rows must have one shape`,
      )
  return [data.length, ...inner]
}

function naturalType(data: HostData): DType {
  if (typeof data === 'boolean') return 'bool'
  if (typeof data === 'number') return 'float32'
  if (data instanceof Int32Array || data instanceof BigInt64Array) return 'int32'
  if (data instanceof Uint8Array) return 'uint8'
  if (ArrayBuffer.isView(data) || data.length === 0) return 'float32'
  return naturalType(data[0])
}

const LIMITS = { int32: [-(2 ** 31), 2 ** 31 - 1], uint8: [0, 255] } as const

function fill(target: TypedArray, dtype: DType, data: HostData, offset: number): number {
  if (typeof data === 'object' && !ArrayBuffer.isView(data)) {
    let at = offset
    for (const item of data) at = fill(target, dtype, item, at)
    return at
  }
  const list = typeof data === 'object' ? data : [data]
  for (let i = 0; i < list.length; i++) {
    const value = Number(list[i])
    if (dtype === 'bool') target[offset + i] = value ? 1 : 0
    else {
      if (dtype === 'int32' || dtype === 'uint8') {
        const [least, most] = LIMITS[dtype]
        if (!(value >= least && value <= most))
          fail(
            `tensor: ${list[i]} at ${offset + i} is out of range for ${dtype} (${least} to ${most})`,
          )
      }
      target[offset + i] = storedNumber(dtype, value)
    }
  }
  return offset + list.length
}

const matches = (data: HostData, dtype: DType): data is TypedArray =>
  (data instanceof Float32Array && dtype === 'float32') ||
  (data instanceof Int32Array && dtype === 'int32') ||
  (data instanceof Uint8Array && dtype === 'uint8')

/**
 * A tensor of host data, which is copied. Numbers give float32; Int32Array, and BigInt64Array range-checked, int32;
 * Uint8Array uint8; booleans bool. After `torch.tensor`.
 */
export function tensor(data: HostData, options: TensorOptions = {}): Tensor {
  const dtype = options.dtype ?? naturalType(data)
  const natural = nesting(data)
  const shape = options.shape ?? natural
  if (typeof data === 'number' && options.shape !== undefined) return full(shape, data, { dtype })
  if (sizeOf(shape) !== sizeOf(natural))
    fail(
      `tensor: ${sizeOf(natural)} values do not fill ${showShape(shape)}, which has ${sizeOf(shape)}`,
    )
  if (matches(data, dtype)) return adopt(data.slice(), shape, dtype)
  const host = allocate(dtype, sizeOf(shape))
  fill(host, dtype, data, 0)
  return adopt(host, shape, dtype)
}

/** A tensor over a typed array that nobody writes to any more; nothing is copied. */
export function adopt(host: TypedArray, shape: Shape, dtype: DType): Tensor {
  countHost(host.byteLength)
  return new Tensor(shape, dtype, undefined, new Value(shape, dtype, host))
}

interface Typed {
  readonly dtype?: DType
}

export function checkedShape(shape: Shape, where: string): Shape {
  if (!shape.every((n) => Number.isInteger(n) && n >= 0))
    fail(`${where}(${showShape(shape)}): sizes are whole numbers from 0`)
  return shape
}

export function full(shape: Shape, value: number, { dtype = 'float32' }: Typed = {}): Tensor {
  const wide = checkedShape(shape, 'full')
  if (dtype === 'float32' || dtype === 'int32')
    return fromNode(broadcastTo(number(value, dtype), wide))
  if (isHalf(dtype)) return fromNode(broadcastTo(cast(number(value, 'float32'), dtype), wide))
  return fromNode(constant(dtype === 'bool' ? Number(value !== 0) : value, dtype, wide))
}

export function zeros(shape: Shape, { dtype = 'float32' }: Typed = {}): Tensor {
  return fromNode(constant(0, dtype, checkedShape(shape, 'zeros')))
}

export function ones(shape: Shape, { dtype = 'float32' }: Typed = {}): Tensor {
  return fromNode(constant(1, dtype, checkedShape(shape, 'ones')))
}

/** Of another tensor's shape and, unless given, dtype. */
export function zerosLike(input: Tensor, { dtype = input.dtype }: Typed = {}): Tensor {
  return zeros(input.shape, { dtype })
}
export function onesLike(input: Tensor, { dtype = input.dtype }: Typed = {}): Tensor {
  return ones(input.shape, { dtype })
}
export function fullLike(
  input: Tensor,
  value: number,
  { dtype = input.dtype }: Typed = {},
): Tensor {
  return full(input.shape, value, { dtype })
}

/** start, start + step, … before end: int32 when all three are whole numbers. `arange(n)` begins at 0. */
export function arange(start: number, end?: number, step = 1, options: Typed = {}): Tensor {
  const [from, to] = end === undefined ? [0, start] : [start, end]
  if (step === 0) fail('arange: the step must not be 0')
  const count = Math.max(Math.ceil((to - from) / step), 0)
  const whole = [from, to, step].every(Number.isInteger)
  const { dtype = whole ? 'int32' : 'float32' } = options
  const within = arithmeticType(dtype)
  const at = cast(iota([count], 0), within)
  const values = binary('add', binary('mul', at, step, 'arange', within), from, 'arange', within)
  return fromNode(cast(values, dtype))
}

/** float32: `steps` numbers from start to end, both included. */
export function linspace(start: number, end: number, steps: number): Tensor {
  return fromNode(evenly(start, end, steps, 'linspace'))
}

/** float32: base to the powers of `linspace(start, end, steps)`. */
export function logspace(
  start: number,
  end: number,
  steps: number,
  { base = 10 }: { readonly base?: number } = {},
): Tensor {
  if (!(base > 0)) fail(`logspace: the base ${base} is above 0`)
  const exponents = evenly(start, end, steps, 'logspace')
  return fromNode(map('exp', binary('mul', exponents, Math.log(base), 'logspace')))
}

/** From both ends to the middle, so that both are met exactly. */
function evenly(start: number, end: number, steps: number, where: string): Node {
  if (!Number.isInteger(steps) || steps < 0) fail(`${where}: ${steps} steps; a whole number from 0`)
  const step = steps > 1 ? (end - start) / (steps - 1) : 0
  const at = cast(iota([steps], 0), 'float32')
  const up = binary('add', binary('mul', at, step, where), start, where)
  const left = binary('sub', steps - 1, at, where)
  const down = binary('sub', end, binary('mul', left, step, where), where)
  if (steps < 2) return up
  return map('where', binary('lt', at, steps / 2, where), up, down)
}

/** The identity matrix, or [n, m] with ones on its diagonal. */
export function eye(n: number, m = n): Tensor {
  const shape = checkedShape([n, m], 'eye')
  return fromNode(cast(binary('eq', iota(shape, 0), iota(shape, 1), 'eye'), 'float32'))
}

/** Each vector spread over the grid of all: with `ij` (the default) axis k varies in the k-th result. */
export function meshgrid(
  vectors: readonly Tensor[],
  { indexing = 'ij' }: { readonly indexing?: 'ij' | 'xy' } = {},
): Tensor[] {
  for (const v of vectors)
    if (v.shape.length > 1) fail(`meshgrid of ${showShape(v.shape)}: vectors are needed`)
  if (indexing === 'xy' && vectors.length > 1) {
    const [x, y, ...rest] = vectors
    const [b, a, ...others] = meshgrid([y, x, ...rest])
    return [a, b, ...others]
  }
  const shape = vectors.map((v) => v.shape[0] ?? 1)
  return vectors.map((v, k) =>
    v.reshape(...shape.map((n, i) => (i === k ? n : 1))).expand(...shape),
  )
}

/**
 * A float32 scalar. A function is read anew at every submission, in compiled functions at every call: what a learning
 * rate is, so that a schedule never recompiles. A number stays as it is.
 * @throws BurnishError when given anything else.
 */
export function scalar(value: number | (() => number)): Tensor {
  if (typeof value !== 'number' && typeof value !== 'function')
    fail(`scalar(${value}): a number, or a function that returns one, such as () => rate`)
  const read = typeof value === 'number' ? () => value : value
  return fromNode(input(new Scalar(read), [], 'float32'))
}
