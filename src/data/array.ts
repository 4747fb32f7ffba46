// Arrays in host memory with a shape: what data sets hold, and batches are gathered in before they become tensors.
import { allocate, type DType, type TypedArray } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { type Shape, showShape, sizeOf } from '../base/shape.js'

/** Row-major values in host memory; booleans are bytes of 0 and 1. */
export interface HostArray {
  readonly data: TypedArray
  readonly shape: Shape
  readonly dtype: DType
}

function dtypeOf(data: TypedArray): DType {
  if (data instanceof Float32Array) return 'float32'
  if (data instanceof Uint16Array)
    fail('hostArray: a Uint16Array holds the bits of halves; give a Float32Array of their values')
  return data instanceof Int32Array ? 'int32' : 'uint8'
}

/** `data` with a shape; by default one dimension. Throws when the two do not fit. */
export function hostArray(data: TypedArray, shape: Shape = [data.length]): HostArray {
  if (sizeOf(shape) !== data.length)
    fail(
      `hostArray: shape ${showShape(shape)} has ${sizeOf(shape)} elements, the data ${data.length}`,
    )
  return { data, shape, dtype: dtypeOf(data) }
}

export function isHostArray(value: unknown): value is HostArray {
  return typeof value === 'object' && value !== null && 'data' in value && 'shape' in value
}

/** The rows `indices` of an array along its first dimension, in one copy. */
export function rows(array: HostArray, indices: Int32Array): HostArray {
  const shape = [indices.length, ...array.shape.slice(1)]
  const size = sizeOf(array.shape.slice(1))
  const data = allocate(array.dtype, indices.length * size)
  for (let i = 0; i < indices.length; i++) {
    const start = indices[i] * size
    data.set(array.data.subarray(start, start + size), i * size)
  }
  return { data, shape, dtype: array.dtype }
}

/** Arrays of one shape and dtype, as the rows of a new first dimension. */
export function stackRows(arrays: readonly HostArray[], where: string): HostArray {
  const first = arrays[0]
  const size = first.data.length
  const data = allocate(first.dtype, arrays.length * size)
  arrays.forEach((array, i) => {
    if (array.dtype !== first.dtype || showShape(array.shape) !== showShape(first.shape))
      fail(
        `${where}: item ${i} of the batch is ${array.dtype} ${showShape(array.shape)}, item 0 is ${first.dtype} ${showShape(first.shape)}; give items one shape and dtype, or pass collate`,
      )
    data.set(array.data, i * size)
  })
  return { data, shape: [arrays.length, ...first.shape], dtype: first.dtype }
}

/** Rows of several arrays of one row shape and dtype, in the order of `places`; all their columns at once. */
export function mergeRows(
  parts: readonly (readonly HostArray[] | undefined)[],
  places: readonly { readonly part: number; readonly row: number }[],
  where: string,
): readonly HostArray[] {
  const first = parts.find((part) => part !== undefined) ?? []
  return first.map((model, column) => {
    const rowShape = showShape(model.shape.slice(1))
    for (const part of parts) {
      const other = part?.[column]
      if (part === undefined) continue
      if (other?.dtype !== model.dtype || showShape(other.shape.slice(1)) !== rowShape)
        fail(
          `${where}: column ${column} of one data set has rows ${model.dtype} ${rowShape}, of another ${other === undefined ? 'none' : `${other.dtype} ${showShape(other.shape.slice(1))}`}`,
        )
    }
    const size = sizeOf(model.shape.slice(1))
    const data = allocate(model.dtype, places.length * size)
    places.forEach(({ part, row }, i) => {
      const from = parts[part]?.[column]
      if (from) data.set(from.data.subarray(row * size, (row + 1) * size), i * size)
    })
    return { data, shape: [places.length, ...model.shape.slice(1)], dtype: model.dtype }
  })
}
