// Metrics: means over samples, so that a short last batch counts for what it holds. (The sum of batch means
// divided by the number of batches, often seen, is another number.)
import type { Tensor } from '../tensor/tensor.js'

/** The sum over a batch's samples of something that output and targets tell; a scalar. */
export type Metric = (output: Tensor, target: Tensor) => Tensor

/** Samples whose greatest logit is at the target: output [N, C], target int32 [N]. Their share, once averaged. */
export const accuracy: Metric = (output, target) => output.argmax(1).eq(target).sum()

export type Values = { readonly [name: string]: number }

/** Means over all samples, from sums over batches. */
export class Means {
  readonly #sums = new Map<string, number>()
  samples = 0

  add(sums: Values, samples: number): void {
    for (const name in sums) this.#sums.set(name, (this.#sums.get(name) ?? 0) + sums[name])
    this.samples += samples
  }

  get values(): Values {
    return Object.fromEntries([...this.#sums].map(([name, sum]) => [name, sum / this.samples]))
  }
}
