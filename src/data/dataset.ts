// Data sets: a length, and the item at an index, as in PyTorch. A set that can gather a whole batch at once
// says so with `batch`, and no item of its own is ever made; subsets and splits pass that on.
import { fail } from '../base/errors.js'
import { Random } from '../base/random.js'
import { Tensor } from '../tensor/tensor.js'
import { type HostArray, rows } from './array.js'
import { toHost, toTensor } from './convert.js'

export interface Dataset<Item = readonly Tensor[]> {
  readonly length: number
  get(index: number): Item
  /** Optional fast path: the columns of a batch, each [indices.length, …]. */
  batch?(indices: Int32Array): readonly HostArray[] | Promise<readonly HostArray[]>
}

function checkIndex(index: number, length: number, where: string): void {
  if (!Number.isInteger(index) || index < 0 || index >= length)
    fail(`${where}: index ${index} is not in 0 … ${length - 1}`)
}

/** Columns of one length; item i is row i of each. PyTorch's TensorDataset. */
export class TensorDataset implements Dataset {
  readonly length: number
  readonly columns: readonly (Tensor | HostArray)[]
  #host: Promise<readonly HostArray[]> | undefined

  constructor(...columns: readonly (Tensor | HostArray)[]) {
    if (columns.length === 0) fail('TensorDataset: no columns; pass a tensor or more')
    this.length = columns[0].shape[0] ?? 0
    columns.forEach((column, i) => {
      if (column.shape.length === 0 || column.shape[0] !== this.length)
        fail(
          `TensorDataset: column ${i} has ${column.shape[0] ?? 'no'} rows, column 0 has ${this.length}; they must agree`,
        )
    })
    this.columns = columns
  }

  get(index: number): readonly Tensor[] {
    checkIndex(index, this.length, 'TensorDataset')
    return this.columns.map((column) => {
      if (column instanceof Tensor) return column.slice(index, index + 1).squeeze(0)
      const row = rows(column, Int32Array.of(index))
      return toTensor({ ...row, shape: row.shape.slice(1) })
    })
  }

  async batch(indices: Int32Array): Promise<readonly HostArray[]> {
    this.#host ??= Promise.all(this.columns.map(toHost))
    return (await this.#host).map((column) => rows(column, indices))
  }
}

/** Images kept as bytes [N, C, H, W] with a class each; items are float32 (byte / 255 − mean) / std and an int32. */
export class ImageDataset implements Dataset<readonly [Tensor, number]> {
  readonly images: HostArray
  readonly labels: Int32Array
  readonly #value: Float32Array

  constructor(
    images: HostArray,
    labels: Int32Array,
    options: { readonly mean?: number; readonly std?: number } = {},
  ) {
    const { mean = 0, std = 1 } = options
    if (images.dtype !== 'uint8') fail(`ImageDataset: images are ${images.dtype}, not uint8`)
    if (images.shape[0] !== labels.length)
      fail(`ImageDataset: ${images.shape[0]} images but ${labels.length} labels`)
    this.images = images
    this.labels = labels
    this.#value = Float32Array.from({ length: 256 }, (_, byte) => (byte / 255 - mean) / std)
  }

  get length(): number {
    return this.labels.length
  }

  get(index: number): readonly [Tensor, number] {
    checkIndex(index, this.length, 'ImageDataset')
    const [image] = this.batch(Int32Array.of(index))
    return [toTensor({ ...image, shape: image.shape.slice(1) }), this.labels[index]]
  }

  batch(indices: Int32Array): readonly [HostArray, HostArray] {
    const shape = [indices.length, ...this.images.shape.slice(1)]
    const size = this.images.data.length / Math.max(1, this.length)
    const bytes = this.images.data
    const value = this.#value
    const data = new Float32Array(indices.length * size)
    const labels = new Int32Array(indices.length)
    for (let i = 0; i < indices.length; i++) {
      const from = indices[i] * size
      const to = i * size
      for (let j = 0; j < size; j++) data[to + j] = value[bytes[from + j]]
      labels[i] = this.labels[indices[i]]
    }
    return [
      { data, shape, dtype: 'float32' },
      { data: labels, shape: [indices.length], dtype: 'int32' },
    ]
  }
}

/** Some items of a data set, in the order of `indices`. PyTorch's Subset. */
export function subset<Item>(dataset: Dataset<Item>, indices: ArrayLike<number>): Dataset<Item> {
  const chosen = Int32Array.from(indices)
  for (const index of chosen) checkIndex(index, dataset.length, 'subset')
  const batch = dataset.batch?.bind(dataset)
  return {
    length: chosen.length,
    get(index) {
      checkIndex(index, chosen.length, 'subset')
      return dataset.get(chosen[index])
    },
    ...(batch && { batch: (indices: Int32Array) => batch(indices.map((i) => chosen[i])) }),
  }
}

/** Parts of the given lengths, which must add up to the data set's, chosen at random by `seed`. */
export function randomSplit<Item>(
  dataset: Dataset<Item>,
  lengths: readonly number[],
  seed: number,
): Dataset<Item>[] {
  const total = lengths.reduce((sum, length) => sum + length, 0)
  if (total !== dataset.length)
    fail(
      `randomSplit: lengths ${lengths.join(' + ')} are ${total}, the data set has ${dataset.length}; they must add up to it`,
    )
  const order = new Random(seed).permutation(dataset.length)
  let start = 0
  return lengths.map((length) => {
    start += length
    return subset(dataset, order.subarray(start - length, start))
  })
}
