// Metrics: means over samples, so that a short last batch counts for what it holds. (The sum of batch means
// divided by the number of batches, often seen, is another number.)
import { fail } from '../base/errors.js'
import type { Tensor } from '../tensor/tensor.js'

/** The sum over a batch's samples of something that output and targets tell; a scalar. */
export type Metric = (output: Tensor, target: Tensor) => Tensor

/** Samples whose greatest logit is at the target: output [N, C], target int32 [N]. Their share, once averaged. */
export const accuracy: Metric = (output, target) => output.argmax(1).eq(target).sum()

/**
 * Samples whose target is among the `k` greatest logits: output [N, C], target int32 [N]. Equal logits count for the
 * target. `metrics: { top5: topK(5) }`.
 */
export function topK(k: number): Metric {
  if (!Number.isInteger(k) || k < 1) fail(`topK(${k}): k is a whole number from 1`)
  return (output, target) => {
    const own = output.gather(1, target.unsqueeze(1)) // [N, 1]
    return output.gt(own).sum(1).lt(k).sum()
  }
}

/**
 * A loss as a metric: `loss` is a mean over the batch, and counts once a sample. `metrics: { mae: meanOf(l1Loss) }`.
 */
export function meanOf(loss: (output: Tensor, target: Tensor) => Tensor): Metric {
  return (output, target) => loss(output, target).mul(output.shape[0])
}

export type Values = { readonly [name: string]: number }

/** Means over all samples, from sums over batches. */
export class Means {
  readonly #sums: Map<string, number>
  samples: number

  /** From where another one was, or nothing. */
  constructor(
    from: { readonly sums: Values; readonly samples: number } = { sums: {}, samples: 0 },
  ) {
    this.#sums = new Map(Object.entries(from.sums))
    this.samples = from.samples
  }

  add(sums: Values, samples: number): void {
    for (const name in sums) this.#sums.set(name, (this.#sums.get(name) ?? 0) + sums[name])
    this.samples += samples
  }

  get sums(): Values {
    return Object.fromEntries(this.#sums)
  }

  get values(): Values {
    return Object.fromEntries([...this.#sums].map(([name, sum]) => [name, sum / this.samples]))
  }
}
