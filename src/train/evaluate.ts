// Evaluation: loss and metrics over a loader, with the model in evaluation mode.
import type { DataLoader } from '../data/loader.js'
import { inEvaluation } from '../nn/evaluation.js'
import { crossEntropy } from '../nn/functional.js'
import type { Module } from '../nn/module.js'
import { compile } from '../tensor/compile.js'
import type { Tensor } from '../tensor/tensor.js'
import { accuracy, Means, type Metric, type Values } from './metrics.js'

/** A scalar, the mean over the batch. */
export type Loss = (output: Tensor, target: Tensor) => Tensor

export interface EvaluateOptions {
  /** crossEntropy by default. */
  readonly loss?: Loss
  /** `{ accuracy }` by default. */
  readonly metrics?: { readonly [name: string]: Metric }
  /** Acts between batches: rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/** Anything whose batches are [input, target]. */
export type Batches = Pick<DataLoader<unknown>, 'length' | 'samples' | 'batchSize'> &
  AsyncIterable<readonly Tensor[]>

/** The loss (a mean) and the metrics (sums) of a batch. */
export interface Measured {
  readonly loss: Tensor
  readonly sums: { readonly [name: string]: Tensor }
}

export function measure(options: EvaluateOptions, output: Tensor, target: Tensor): Measured {
  const { loss = crossEntropy, metrics = { accuracy } } = options
  const sums = Object.entries(metrics).map(([name, metric]) => [name, metric(output, target)])
  return { loss: loss(output, target), sums: Object.fromEntries(sums) }
}

/** Reads a batch's measures; all are sums over its samples. */
export async function sumsOf({ loss, sums }: Measured, samples: number): Promise<Values> {
  const names = Object.keys(sums)
  const [mean, ...values] = await Promise.all(
    [loss, ...names.map((name) => sums[name])].map((t) => t.item()),
  )
  return Object.fromEntries([
    ['loss', mean * samples],
    ...names.map((name, i) => [name, values[i]] as const),
  ])
}

/**
 * Runs `use` on each batch while the next one is being gathered on the host. Rejects with the signal's reason between
 * two, never while one is in use.
 */
export async function eachBatch<T>(
  batches: AsyncIterable<T>,
  signal: AbortSignal | undefined,
  use: (batch: T) => Promise<void>,
): Promise<void> {
  const iterator = batches[Symbol.asyncIterator]()
  try {
    signal?.throwIfAborted()
    let next = await iterator.next()
    while (!next.done) {
      signal?.throwIfAborted()
      const used = use(next.value)
      const gathered = iterator.next()
      gathered.catch(() => {}) // it is reported when its turn comes
      await used
      next = await gathered
    }
    signal?.throwIfAborted()
  } finally {
    await iterator.return?.()
  }
}

/** A compiled evaluation of one model, to run as often as one likes: see `evaluate`. */
export function evaluator(
  model: Module,
  options: EvaluateOptions = {},
): (batches: Batches) => Promise<Values> {
  const step = compile((input: Tensor, target: Tensor) =>
    measure(options, model.forward(input), target),
  )
  return (batches) =>
    inEvaluation(model, async () => {
      const means = new Means()
      await eachBatch(batches, options.signal, async ([input, target]) => {
        const samples = input.shape[0]
        means.add(await sumsOf(step(input, target), samples), samples)
      })
      return means.values
    })
}

/**
 * The means of loss and metrics over a loader's samples, in evaluation mode; the model's mode is restored.
 * Throws what the loader and the model throw, and the signal's reason.
 */
export function evaluate(
  model: Module,
  batches: Batches,
  options: EvaluateOptions = {},
): Promise<Values> {
  return evaluator(model, options)(batches)
}
