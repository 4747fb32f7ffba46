// DataLoader: batches of a data set as tensors, in an order that a seed decides. After PyTorch's DataLoader.
//
// The order of an epoch is a function of (seed, epoch), and what an item draws at random one of (seed, epoch, index).
// So a loader's position is three numbers, and a run that resumes from them in the middle of an epoch sees the same
// batches, whatever the number of workers. Batches are gathered on the host while the device is at work.
import { fail } from '../base/errors.js'
import { Random } from '../base/random.js'
import { context } from '../tensor/context.js'
import type { Tensor } from '../tensor/tensor.js'
import { collateItems, toTensor } from './convert.js'
import { type Dataset, itemRandom } from './dataset.js'
import {
  type BatchSampler,
  GroupedSampler,
  RandomSampler,
  type Sampler,
  SequentialSampler,
} from './sampler.js'
import type { Team, WorkerModule } from './workers.js'

export interface LoaderOptions<Item> {
  /** 1 by default, as in PyTorch. */
  readonly batchSize?: number
  /** A new order every epoch, decided by `seed` and the number of the epoch. */
  readonly shuffle?: boolean
  /** Another order than `shuffle` gives, such as a WeightedRandomSampler's. */
  readonly sampler?: Sampler
  /** Whole batches of indices; then batchSize, shuffle, sampler and dropLast are not given. */
  readonly batchSampler?: BatchSampler
  /** By default the seed of `manualSeed` when the loader is first used. */
  readonly seed?: number
  /** Leaves out a last batch that is not full. */
  readonly dropLast?: boolean
  /** Makes the columns of a batch from its items; by default tensors, arrays and whole numbers are stacked. */
  readonly collate?: (items: Item[]) => readonly Tensor[] | Promise<readonly Tensor[]>
  /** Aborting ends the iteration with the signal's reason, before the next batch. */
  readonly signal?: AbortSignal
  /**
   * Threads that make batches beside the program (0 by default: the program does it itself). They cannot share a data
   * set's objects, so `module` must say where they get theirs. Node only: pages make their batches themselves.
   */
  readonly workers?: number
  /** The module whose default export makes the data set in each worker: see WorkerModule. */
  readonly module?: WorkerModule
  /** Batches made ahead of the one in use: 2 for each worker, without workers 0. */
  readonly prefetch?: number
}

/** Where a loader is: what checkpoints keep. */
export interface LoaderState {
  /** From 0. */
  readonly epoch: number
  /** Batches of the epoch that were handed out. */
  readonly batch: number
  readonly seed: number
  /** What they were batches of: their size, and the lengths of data set and epoch. */
  readonly batchSize: number
  readonly items: number
  readonly batches: number
}

/**
 * Batches of `dataset`, one tensor a column: `for await (const [images, labels] of loader)`.
 * Every iteration is one epoch. Throws for options that are out of range or do not go together, and while iterating
 * for items that do not stack.
 */
export class DataLoader<Item = readonly Tensor[]> implements AsyncIterable<readonly Tensor[]> {
  readonly dataset: Dataset<Item>
  readonly batchSize: number
  readonly dropLast: boolean
  readonly #options: LoaderOptions<Item>
  readonly #batches: BatchSampler
  readonly #prefetch: number
  #seed: number | undefined
  /** Where the next iteration begins. */
  #next = { epoch: 0, batch: 0 }
  /** How far the last iteration came, unless it came to its end. */
  #now: { readonly epoch: number; readonly batch: number } | undefined
  #team: Promise<Team> | undefined

  constructor(dataset: Dataset<Item>, options: LoaderOptions<Item> = {}) {
    const { batchSize = 1, dropLast = false, workers = 0 } = options
    if (!Number.isInteger(batchSize) || batchSize < 1)
      fail(`DataLoader: batchSize ${batchSize} is not a whole number of 1 or more`)
    checkWorkers(options)
    this.dataset = dataset
    this.batchSize = batchSize
    this.dropLast = dropLast
    this.#options = options
    this.#seed = options.seed
    this.#batches = samplerOf(dataset, options, batchSize, dropLast)
    const { prefetch = 2 * workers } = options
    if (!Number.isInteger(prefetch) || prefetch < 0)
      fail(`DataLoader: prefetch is ${prefetch}, but must be a whole number from 0`)
    this.#prefetch = prefetch
  }

  /** Batches an epoch. */
  get length(): number {
    return this.#batches.length
  }

  /** Items an epoch. */
  get samples(): number {
    return this.#batches.samples
  }

  /** The number of the next epoch, from 0; it decides the order when shuffling. */
  get epoch(): number {
    return this.#next.epoch
  }
  set epoch(epoch: number) {
    this.#next = { epoch, batch: 0 }
    this.#now = undefined
  }

  get seed(): number {
    this.#seed ??= context.generator.seed
    return this.#seed
  }

  /**
   * How far the last iteration came; the batch in the body of a loop counts as done. After a `break` it is still there,
   * so that a run which ends there can be resumed there, though the next loop here begins the next epoch.
   */
  stateDict(): LoaderState {
    const { epoch, batch } = this.#now ?? this.#next
    const { batchSize, length: batches } = this
    return { epoch, batch, seed: this.seed, batchSize, items: this.dataset.length, batches }
  }

  /**
   * The next iteration goes on from there; its order is that of the state's seed.
   * @throws BurnishError when the state is of a loader with another number of items or batches, or another batch size.
   */
  loadStateDict(state: LoaderState): void {
    const { epoch, batch, seed, batchSize, items, batches } = state
    const told = (n: number, size: number, of: number) => `${n} batches of ${size} from ${of} items`
    const [theirs, own] = [
      told(batches, batchSize, items),
      told(this.length, this.batchSize, this.dataset.length),
    ]
    if (theirs !== own)
      fail(
        `DataLoader.loadStateDict: the state is of ${theirs}, this loader has ${own}: use the same data, batch size and dropLast`,
      )
    if (![epoch, batch].every((n) => Number.isInteger(n) && n >= 0) || batch > batches)
      fail(`DataLoader.loadStateDict: epoch ${epoch}, batch ${batch} is no position in ${batches}`)
    this.#seed = seed
    this.#next = { epoch, batch }
    this.#now = undefined
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Tensor[], void, undefined> {
    const { epoch, batch: first } = this.#next
    this.#next = { epoch: epoch + 1, batch: 0 }
    const batches = this.#batches.batches(new Random(this.seed, epoch))
    const made: Promise<readonly Tensor[]>[] = []
    let asked = first
    this.#now = { epoch, batch: first }
    for (let b = first; b < batches.length; b++) {
      this.#options.signal?.throwIfAborted()
      for (; asked < batches.length && asked <= b + this.#prefetch; asked++) {
        const batch = this.#make(batches[asked], epoch)
        batch.catch(() => {}) // it is reported when its turn comes
        made.push(batch)
      }
      const batch = await made.shift()
      this.#options.signal?.throwIfAborted()
      this.#now = { epoch, batch: b + 1 }
      if (batch !== undefined) yield batch
    }
    this.#now = undefined
  }

  /** Ends the workers; the next iteration starts new ones. Without workers it does nothing. */
  async close(): Promise<void> {
    const team = this.#team
    this.#team = undefined
    await (await team)?.close()
  }

  async #make(indices: Int32Array, epoch: number): Promise<readonly Tensor[]> {
    const { workers = 0, module, collate } = this.#options
    if (workers > 0 && module !== undefined) {
      this.#team ??= startTeam(workers, module, this.dataset.length)
      return (await (await this.#team).batch(indices, this.seed, epoch)).map(toTensor)
    }
    if (collate === undefined && this.dataset.batch !== undefined)
      return (await this.dataset.batch(indices)).map(toTensor)
    const items = await Promise.all(
      Array.from(indices, (index) => this.dataset.get(index, itemRandom(this.seed, epoch, index))),
    )
    return collate === undefined ? collateItems(items) : collate(items)
  }
}

async function startTeam(workers: number, module: WorkerModule, items: number): Promise<Team> {
  const { openTeam } = await import('./workers.js')
  return openTeam(workers, module, items)
}

function checkWorkers<Item>({ workers = 0, module, collate }: LoaderOptions<Item>): void {
  if (!Number.isInteger(workers) || workers < 0)
    fail(`DataLoader: workers is ${workers}, but must be a whole number from 0`)
  if (workers === 0) return
  if (module === undefined)
    fail(
      'DataLoader: workers need `module`, the URL of a module whose default export makes the data set: threads share no objects',
    )
  if (collate !== undefined)
    fail('DataLoader: with workers, export `collate` from the module: functions cannot be sent')
}

function samplerOf<Item>(
  dataset: Dataset<Item>,
  options: LoaderOptions<Item>,
  batchSize: number,
  dropLast: boolean,
): BatchSampler {
  const { shuffle = false, sampler, batchSampler } = options
  if (batchSampler !== undefined) {
    const given = (['batchSize', 'shuffle', 'sampler', 'dropLast'] as const).filter(
      (name) => options[name] !== undefined,
    )
    if (given.length > 0)
      fail(`DataLoader: ${given.join(', ')} and batchSampler: the batch sampler decides all of it`)
    return batchSampler
  }
  if (sampler !== undefined && shuffle)
    fail('DataLoader: shuffle and sampler: the sampler decides the order')
  const order = sampler ?? (shuffle ? new RandomSampler(dataset) : new SequentialSampler(dataset))
  return new GroupedSampler(order, batchSize, dropLast)
}
