// Samplers: the order in which a loader visits a data set. Each is a function of a stream of random numbers, which
// the loader makes from its seed and the epoch, so that an order can be made again: that is how a run resumes in the
// middle of an epoch. After torch.utils.data.sampler.
import { fail } from '../base/errors.js'
import type { Random } from '../base/random.js'

/** An order of items, one index each, repeated or left out as it likes. */
export interface Sampler {
  /** How many indices an epoch has. */
  readonly length: number
  order(random: Random): Int32Array
}

/** Whole batches of indices. */
export interface BatchSampler {
  /** Batches an epoch. */
  readonly length: number
  /** Indices an epoch. */
  readonly samples: number
  batches(random: Random): readonly Int32Array[]
}

interface Sized {
  readonly length: number
}

/** 0, 1, 2, … */
export class SequentialSampler implements Sampler {
  readonly length: number

  constructor(dataset: Sized) {
    this.length = dataset.length
  }

  order(): Int32Array {
    return Int32Array.from({ length: this.length }, (_, i) => i)
  }
}

export interface RandomSamplerOptions {
  /** Draws each index anew, so that items repeat; false by default. */
  readonly replacement?: boolean
  /** Indices an epoch: by default as many as there are items; without replacement at most that. */
  readonly samples?: number
}

/** All items in random order, or some of them, or draws with replacement. */
export class RandomSampler implements Sampler {
  readonly length: number
  readonly #items: number
  readonly #replacement: boolean

  constructor(dataset: Sized, options: RandomSamplerOptions = {}) {
    const { replacement = false, samples = dataset.length } = options
    if (!Number.isInteger(samples) || samples < 0 || (!replacement && samples > dataset.length))
      fail(
        `RandomSampler: samples is ${samples}, but must be a whole number from 0${replacement ? '' : ` to ${dataset.length}, or use replacement`}`,
      )
    if (dataset.length === 0 && samples > 0) fail('RandomSampler: the data set is empty')
    this.length = samples
    this.#items = dataset.length
    this.#replacement = replacement
  }

  order(random: Random): Int32Array {
    if (this.#replacement)
      return Int32Array.from({ length: this.length }, () => random.below(this.#items))
    return random.permutation(this.#items).subarray(0, this.length)
  }
}

/**
 * `samples` indices, each as likely as its weight; weights need not add up to 1. Without replacement
 * (`{ replacement: false }`) none comes twice: Efraimidis and Spirakis, 2006.
 */
export class WeightedRandomSampler implements Sampler {
  readonly length: number
  readonly #weights: Float64Array
  readonly #replacement: boolean

  constructor(
    weights: ArrayLike<number>,
    samples: number,
    { replacement = true }: { readonly replacement?: boolean } = {},
  ) {
    this.#weights = Float64Array.from(weights)
    const wrong = this.#weights.findIndex((weight) => !(weight >= 0 && weight < Infinity))
    if (wrong >= 0)
      fail(
        `WeightedRandomSampler: weight ${wrong} is ${weights[wrong]}, but must be a number from 0`,
      )
    const possible = this.#weights.filter((weight) => weight > 0).length
    const most = replacement ? (possible > 0 ? Infinity : 0) : possible
    if (!Number.isInteger(samples) || samples < 0 || samples > most)
      fail(
        `WeightedRandomSampler: samples is ${samples}, but must be a whole number from 0${most < Infinity ? ` to ${most}, the number of weights above 0` : ''}`,
      )
    this.length = samples
    this.#replacement = replacement
  }

  order(random: Random): Int32Array {
    return this.#replacement ? this.#draws(random) : this.#distinct(random)
  }

  #draws(random: Random): Int32Array {
    let total = 0
    const upTo = this.#weights.map((weight) => {
      total += weight
      return total
    })
    return Int32Array.from({ length: this.length }, () => firstAbove(upTo, unit(random) * total))
  }

  #distinct(random: Random): Int32Array {
    const times = this.#weights.map((weight) => -Math.log(1 - unit(random)) / weight)
    const order = Int32Array.from(times, (_, i) => i).filter((i) => this.#weights[i] > 0)
    return order.sort((a, b) => times[a] - times[b] || a - b).subarray(0, this.length)
  }
}

/** In [0, 1), with 53 random bits. */
function unit(random: Random): number {
  const high = random.word() >>> 5
  return (high * 2 ** 26 + (random.word() >>> 6)) / 2 ** 53
}

/** The first index whose sum is above `value`. */
function firstAbove(sums: Float64Array, value: number): number {
  let low = 0
  let high = sums.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (sums[middle] > value) high = middle
    else low = middle + 1
  }
  return low
}

/** A sampler's indices in groups of `batchSize`. */
export class GroupedSampler implements BatchSampler {
  readonly length: number
  readonly samples: number
  readonly #sampler: Sampler
  readonly #batchSize: number

  constructor(sampler: Sampler, batchSize: number, dropLast: boolean) {
    const groups = sampler.length / batchSize
    this.length = dropLast ? Math.floor(groups) : Math.ceil(groups)
    this.samples = dropLast ? this.length * batchSize : sampler.length
    this.#sampler = sampler
    this.#batchSize = batchSize
  }

  batches(random: Random): readonly Int32Array[] {
    const order = this.#sampler.order(random)
    const size = this.#batchSize
    return Array.from({ length: this.length }, (_, b) => order.subarray(b * size, (b + 1) * size))
  }
}
