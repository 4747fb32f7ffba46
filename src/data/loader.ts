// DataLoader: batches of a data set as tensors, in order or shuffled by a seed. PyTorch's DataLoader, without
// worker processes: a batch is gathered in one copy on the host while the device is at work on the last one.
import { fail } from '../base/errors.js'
import { Random } from '../base/random.js'
import { context } from '../tensor/context.js'
import type { Tensor } from '../tensor/tensor.js'
import { collateItems, toTensor } from './convert.js'
import type { Dataset } from './dataset.js'

export interface LoaderOptions<Item> {
  /** 1 by default, as in PyTorch. */
  readonly batchSize?: number
  /** A new order every epoch, decided by `seed` and the number of the epoch. */
  readonly shuffle?: boolean
  /** By default the seed of `manualSeed`. */
  readonly seed?: number
  /** Leaves out a last batch that is not full. */
  readonly dropLast?: boolean
  /** Makes the columns of a batch from its items; by default tensors, arrays and whole numbers are stacked. */
  readonly collate?: (items: Item[]) => readonly Tensor[]
  /** Aborting ends the iteration with the signal's reason, before the next batch. */
  readonly signal?: AbortSignal
}

/**
 * Batches of `dataset`, one tensor a column: `for await (const [images, labels] of loader)`.
 * Every iteration is one epoch. Throws for a batch size below 1, and while iterating for items that do not stack.
 */
export class DataLoader<Item = readonly Tensor[]> implements AsyncIterable<readonly Tensor[]> {
  readonly dataset: Dataset<Item>
  readonly batchSize: number
  readonly dropLast: boolean
  /** The number of the next epoch, from 0; it decides the order when shuffling. */
  epoch = 0
  readonly #options: LoaderOptions<Item>

  constructor(dataset: Dataset<Item>, options: LoaderOptions<Item> = {}) {
    const { batchSize = 1, dropLast = false } = options
    if (!Number.isInteger(batchSize) || batchSize < 1)
      fail(`DataLoader: batchSize ${batchSize} is not a whole number of 1 or more`)
    this.dataset = dataset
    this.batchSize = batchSize
    this.dropLast = dropLast
    this.#options = options
  }

  /** Batches an epoch. */
  get length(): number {
    const full = this.dataset.length / this.batchSize
    return this.dropLast ? Math.floor(full) : Math.ceil(full)
  }

  /** Items an epoch. */
  get samples(): number {
    return this.dropLast ? this.length * this.batchSize : this.dataset.length
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Tensor[], void, undefined> {
    const { shuffle = false, seed = context.generator.seed, signal } = this.#options
    const epoch = this.epoch++
    const order = shuffle
      ? new Random(seed, epoch).permutation(this.dataset.length)
      : Int32Array.from({ length: this.dataset.length }, (_, i) => i)
    for (let b = 0; b < this.length; b++) {
      signal?.throwIfAborted()
      yield await this.#batch(order.subarray(b * this.batchSize, (b + 1) * this.batchSize))
    }
  }

  async #batch(indices: Int32Array): Promise<readonly Tensor[]> {
    const { collate } = this.#options
    if (collate === undefined && this.dataset.batch !== undefined)
      return (await this.dataset.batch(indices)).map(toTensor)
    const items = Array.from(indices, (index) => this.dataset.get(index))
    return collate === undefined ? collateItems(items) : collate(items)
  }
}
