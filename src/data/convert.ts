// Between host arrays, items of data sets and tensors.
import { isHalf } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { adopt } from '../tensor/create.js'
import { Tensor } from '../tensor/tensor.js'
import { type HostArray, hostArray, isHostArray, stackRows } from './array.js'

/** A tensor of an array's values; the array must not be written to any more. */
export function toTensor(array: HostArray): Tensor {
  return adopt(array.data, array.shape, array.dtype)
}

/** The values of a tensor (computed if need be; halves as float32), or an array as it is. */
export async function toHost(column: Tensor | HostArray): Promise<HostArray> {
  if (!(column instanceof Tensor)) return column
  if (isHalf(column.dtype))
    return { data: await column.data(), shape: column.shape, dtype: 'float32' }
  const data = column.value?.host ?? (await column.data())
  return { data, shape: column.shape, dtype: column.dtype }
}

/**
 * Columns of a batch from its items, PyTorch's default_collate: an item is a value or a tuple of values;
 * tensors, arrays and typed arrays are stacked, whole numbers become int32 [batch], booleans bool [batch].
 */
export async function collateItems(items: readonly unknown[]): Promise<readonly Tensor[]> {
  return (await collateHost(items)).map(toTensor)
}

/** The same, on the host. */
export function collateHost(items: readonly unknown[]): Promise<readonly HostArray[]> {
  const tuples = items.map((item) => (Array.isArray(item) ? item : [item]))
  const columns = tuples[0].map((_: unknown, column: number) =>
    collateColumn(
      tuples.map((tuple) => tuple[column]),
      `column ${column}`,
    ),
  )
  return Promise.all(columns)
}

async function collateColumn(values: readonly unknown[], where: string): Promise<HostArray> {
  const first = values[0]
  if (typeof first === 'number') {
    const wrong = values.findIndex((value) => !Number.isInteger(value))
    if (wrong >= 0)
      fail(
        `DataLoader: ${where}: item ${wrong} of the batch is ${String(values[wrong])}; numbers are class labels, whole numbers: give Float32Array.of(x) for other targets`,
      )
    return hostArray(Int32Array.from(values as readonly number[]))
  }
  if (typeof first === 'boolean')
    return {
      data: Uint8Array.from(values, (value) => (value === true ? 1 : 0)),
      shape: [values.length],
      dtype: 'bool',
    }
  const arrays = await Promise.all(values.map((value, i) => asHost(value, `${where}: item ${i}`)))
  return stackRows(arrays, `DataLoader: ${where}`)
}

function asHost(value: unknown, where: string): Promise<HostArray> | HostArray {
  if (value instanceof Tensor || isHostArray(value)) return toHost(value)
  if (value instanceof Float32Array || value instanceof Int32Array || value instanceof Uint8Array)
    return hostArray(value)
  const kind = value === null ? 'null' : typeof value
  return fail(
    `DataLoader: ${where} of the batch is of type ${kind}; items are tensors, typed arrays, whole numbers or booleans, or pass collate`,
  )
}
