// Metrics: means over samples, weighted by the true size of each batch, so that a short last batch counts for
// what it holds. (The sum of batch means divided by the number of batches, often seen, is another number.)
import type { Tensor } from '../tensor/tensor.js'

/** The mean over a batch's samples of something that output and targets tell; a scalar. */
export type Metric = (output: Tensor, target: Tensor) => Tensor

/** The share of samples whose greatest logit is at the target: output [N, C], target int32 [N]. */
export const accuracy: Metric = (output, target) => output.argmax(1).eq(target).float().mean()

export type Values = { readonly [name: string]: number }

/** Sums of batch means, weighted. */
export class WeightedMeans {
  readonly #sums = new Map<string, number>()
  samples = 0

  add(values: Values, samples: number): void {
    for (const name in values)
      this.#sums.set(name, (this.#sums.get(name) ?? 0) + values[name] * samples)
    this.samples += samples
  }

  get means(): Values {
    return Object.fromEntries([...this.#sums].map(([name, sum]) => [name, sum / this.samples]))
  }
}
