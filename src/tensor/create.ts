// Creation: from host data, constants, sequences and random numbers.
import { allocate, type DType, type TypedArray } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { type Shape, sameShape, showShape, sizeOf } from '../base/shape.js'
import { broadcastTo, constant, input, iota } from '../graph/node.js'
import { binary, cast, number } from './arithmetic.js'
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
      if (dtype !== 'float32') {
        const [least, most] = LIMITS[dtype]
        if (!(value >= least && value <= most))
          fail(
            `tensor: ${list[i]} at ${offset + i} is out of range for ${dtype} (${least} to ${most})`,
          )
      }
      target[offset + i] = value
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
  return new Tensor(shape, dtype, undefined, new Value(shape, dtype, host))
}

interface Typed {
  readonly dtype?: DType
}

export function full(shape: Shape, value: number, { dtype = 'float32' }: Typed = {}): Tensor {
  const stored = dtype === 'uint8' || dtype === 'bool'
  const node = stored ? constant(value, dtype) : number(value, dtype)
  return fromNode(broadcastTo(node, checked(shape, 'full')))
}

export function zeros(shape: Shape, { dtype = 'float32' }: Typed = {}): Tensor {
  return fromNode(constant(0, dtype, checked(shape, 'zeros')))
}

export function ones(shape: Shape, { dtype = 'float32' }: Typed = {}): Tensor {
  return fromNode(constant(1, dtype, checked(shape, 'ones')))
}

function checked(shape: Shape, where: string): Shape {
  if (!shape.every((n) => Number.isInteger(n) && n >= 0))
    fail(`${where}(${showShape(shape)}): sizes are whole numbers from 0`)
  return shape
}

/** start, start + step, … before end: int32 when all three are whole numbers. `arange(n)` begins at 0. */
export function arange(start: number, end?: number, step = 1): Tensor {
  const [from, to] = end === undefined ? [0, start] : [start, end]
  if (step === 0) fail('arange: the step must not be 0')
  const count = Math.max(Math.ceil((to - from) / step), 0)
  const dtype = [from, to, step].every(Number.isInteger) ? 'int32' : 'float32'
  const at = cast(iota([count], 0), dtype)
  return fromNode(binary('add', binary('mul', at, step, 'arange', dtype), from, 'arange', dtype))
}

/** The identity matrix. */
export function eye(n: number): Tensor {
  return fromNode(cast(binary('eq', iota([n, n], 0), iota([n, n], 1), 'eye'), 'float32'))
}

/**
 * A float32 scalar that is read anew at every submission, in compiled functions at every call: what a learning
 * rate is, so that a schedule never recompiles.
 */
export function scalar(read: () => number): Tensor {
  return fromNode(input(new Scalar(read), [], 'float32'))
}
