// Data sets: a length, and the item at an index, as in PyTorch. A set that can gather a whole batch at once
// says so with `batch`, and no item of its own is ever made; subsets and splits pass that on.
import { fail } from '../base/errors.js'
import { Random } from '../base/random.js'
import { Tensor } from '../tensor/tensor.js'
import { type HostArray, mergeRows, rows } from './array.js'
import { toHost, toTensor } from './convert.js'

export interface Dataset<Item = readonly Tensor[]> {
  readonly length: number
  /**
   * `random`, where a loader asks, is a stream that (seed, epoch, index) decides: what draws from it is the same with
   * any number of workers, and after resuming.
   */
  get(index: number, random?: Random): Item | Promise<Item>
  /** Optional fast path: the columns of a batch, each [indices.length, …]. */
  batch?(indices: Int32Array): readonly HostArray[] | Promise<readonly HostArray[]>
}

/** The stream of random numbers an item gets in an epoch. */
export function itemRandom(seed: number, epoch: number, index: number): Random {
  return new Random(new Random(seed, epoch).word() + 2 ** 32, index)
}

export function checkIndex(index: number, length: number, where: string): void {
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

/** Some items of a data set, in the order of `indices`. */
export class Subset<Item> implements Dataset<Item> {
  readonly dataset: Dataset<Item>
  readonly indices: Int32Array
  readonly batch?: (indices: Int32Array) => readonly HostArray[] | Promise<readonly HostArray[]>

  /** @throws BurnishError when an index is none of the data set. */
  constructor(dataset: Dataset<Item>, indices: ArrayLike<number>) {
    this.dataset = dataset
    this.indices = Int32Array.from(indices)
    for (let i = 0; i < indices.length; i++) checkIndex(indices[i], dataset.length, 'Subset')
    const batch = dataset.batch?.bind(dataset)
    if (batch !== undefined) this.batch = (places) => batch(places.map((i) => this.indices[i]))
  }

  get length(): number {
    return this.indices.length
  }

  get(index: number, random?: Random): Item | Promise<Item> {
    checkIndex(index, this.length, 'Subset')
    return this.dataset.get(this.indices[index], random)
  }
}

/** The items of several data sets, one set after the other. */
export class ConcatDataset<Item> implements Dataset<Item> {
  readonly datasets: readonly Dataset<Item>[]
  readonly length: number
  readonly #ends: readonly number[]
  readonly batch?: (indices: Int32Array) => Promise<readonly HostArray[]>

  constructor(datasets: readonly Dataset<Item>[]) {
    if (datasets.length === 0) fail('ConcatDataset: no data sets; pass one or more')
    this.datasets = datasets
    let length = 0
    this.#ends = datasets.map((dataset) => {
      length += dataset.length
      return length
    })
    this.length = length
    if (datasets.every(({ batch }) => batch !== undefined))
      this.batch = (indices) => this.#gather(indices)
  }

  get(index: number, random?: Random): Item | Promise<Item> {
    checkIndex(index, this.length, 'ConcatDataset')
    const { dataset, own } = this.#find(index)
    return this.datasets[dataset].get(own, random)
  }

  #find(index: number): { readonly dataset: number; readonly own: number } {
    const dataset = this.#ends.findIndex((end) => index < end)
    return { dataset, own: index - (this.#ends[dataset - 1] ?? 0) }
  }

  async #gather(indices: Int32Array): Promise<readonly HostArray[]> {
    const places = Array.from(indices, (index) => this.#find(index))
    const parts = await Promise.all(
      this.datasets.map((dataset, d) => {
        const own = places.filter((place) => place.dataset === d).map((place) => place.own)
        return own.length === 0 ? undefined : dataset.batch?.(Int32Array.from(own))
      }),
    )
    const next = parts.map(() => 0)
    return mergeRows(
      parts,
      places.map(({ dataset }) => ({ part: dataset, row: next[dataset]++ })),
      'ConcatDataset',
    )
  }
}

/** The items, each passed through `fn`, when it is asked for: transforms and augmentation. */
export function mapItems<Item, Result>(
  dataset: Dataset<Item>,
  fn: (item: Item, random: Random) => Result | Promise<Result>,
): Dataset<Result> {
  return {
    get length() {
      return dataset.length
    },
    get(index, random = itemRandom(0, 0, index)) {
      const item = dataset.get(index, random)
      return item instanceof Promise ? item.then((value) => fn(value, random)) : fn(item, random)
    },
  }
}

/** The items that `keep` holds for; every item is looked at once, now. */
export async function filterItems<Item>(
  dataset: Dataset<Item>,
  keep: (item: Item, index: number) => boolean | Promise<boolean>,
): Promise<Subset<Item>> {
  const kept: number[] = []
  for (let i = 0; i < dataset.length; i++) if (await keep(await dataset.get(i), i)) kept.push(i)
  return new Subset(dataset, kept)
}

/**
 * Parts chosen at random by `seed`: of the given lengths, which must add up to the data set's, or of fractions of it,
 * which must add up to 1 (what rounding leaves over goes to the first parts, one item each). After PyTorch.
 */
export function randomSplit<Item>(
  dataset: Dataset<Item>,
  lengths: readonly number[],
  seed: number,
): Subset<Item>[] {
  const counts = partLengths(dataset.length, lengths)
  const order = new Random(seed).permutation(dataset.length)
  let start = 0
  return counts.map((length) => {
    start += length
    return new Subset(dataset, order.subarray(start - length, start))
  })
}

function partLengths(length: number, lengths: readonly number[]): readonly number[] {
  const wrong = lengths.find((part) => !(part >= 0))
  if (wrong !== undefined) fail(`randomSplit: ${wrong} is no length and no fraction`)
  const total = lengths.reduce((sum, part) => sum + part, 0)
  if (lengths.some((part) => !Number.isInteger(part))) {
    if (Math.abs(total - 1) > 1e-6)
      fail(
        `randomSplit: fractions ${lengths.join(' + ')} are ${total}; they must add up to 1, whole lengths to ${length}`,
      )
    const counts = lengths.map((part) => Math.floor(part * length + 1e-9))
    const rest = length - counts.reduce((sum, count) => sum + count, 0)
    return counts.map((count, i) => count + (i < rest ? 1 : 0))
  }
  if (total !== length && !(total === 1 && length > 1))
    fail(
      `randomSplit: lengths ${lengths.join(' + ')} are ${total}, the data set has ${length}; they must add up to it`,
    )
  return total === length ? lengths : lengths.map((part) => part * length)
}
