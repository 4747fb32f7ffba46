// What a line of the table of operations is, and the made-up inputs of its lines.
import type { DType, TypedArray } from '../../src/base/dtype.js'
import { type Shape, sizeOf } from '../../src/base/shape.js'
import type { Tensor } from '../../src/index.js'
import { fmix32 } from '../support.js'

export interface Input {
  readonly shape: Shape
  readonly dtype: DType
  /** Numbers, row-major; halves as numbers too. */
  readonly data: readonly number[]
}

type Results = Tensor | readonly Tensor[]

export interface Case {
  /** The operation's name here; what it is called in PyTorch stands in names.ts. */
  readonly op: string
  readonly name: string
  readonly inputs: readonly Input[]
  readonly run: (...tensors: Tensor[]) => Results
  /** What the first result is, computed otherwise or by hand. */
  readonly gives?: readonly number[]
  /** Shape of the first result. */
  readonly shape?: Shape
  readonly dtype?: DType
  /** Of the largest value, for devices of float32; 2e-5 unless given. */
  readonly tolerance?: number
  /** Why differences say nothing here: a kink, or values rounded on the way. */
  readonly rough?: string
}

export interface ErrorCase {
  readonly op: string
  readonly name: string
  readonly run: () => unknown
  readonly error: RegExp
}

/** Operations that wait for the device: their number of results depends on the data. */
export interface ReadCase {
  readonly op: string
  readonly name: string
  readonly run: () => Promise<unknown>
  readonly gives: unknown
}

let made = 0
/** Random float32 between low and high; every call gives others. */
export function floats(shape: Shape, low = -2, high = 2, dtype: DType = 'float32'): Input {
  const start = fmix32(++made)
  const data = Array.from({ length: sizeOf(shape) }, (_, i) =>
    Math.fround(low + ((high - low) * (fmix32((start + i) >>> 0) >>> 8)) / 2 ** 24),
  )
  return { shape, dtype, data }
}

export function ints(shape: Shape, low = -9, high = 9, dtype: DType = 'int32'): Input {
  const { data } = floats(shape, low, high + 1)
  return { shape, dtype, data: data.map(Math.floor) }
}

export const bools = (shape: Shape): Input => ints(shape, 0, 1, 'bool')

export function exact(
  data: readonly number[],
  shape: Shape = [data.length],
  dtype: DType = 'float32',
): Input {
  return { shape, dtype, data }
}
export const exactInts = (data: readonly number[], shape: Shape = [data.length]): Input =>
  exact(data, shape, 'int32')

export type Values = TypedArray | Float64Array
