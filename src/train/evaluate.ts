// Evaluation: loss and metrics over a loader, with the model in evaluation mode.
import type { DataLoader } from '../data/loader.js'
import { crossEntropy } from '../nn/functional.js'
import type { Module } from '../nn/module.js'
import { compile } from '../tensor/compile.js'
import type { Tensor } from '../tensor/tensor.js'
import { accuracy, type Metric, type Values, WeightedMeans } from './metrics.js'

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

export function measures(options: EvaluateOptions): { [name: string]: Metric } {
  return { loss: options.loss ?? crossEntropy, ...(options.metrics ?? { accuracy }) }
}

export function measureAll(
  metrics: { readonly [name: string]: Metric },
  output: Tensor,
  target: Tensor,
): { [name: string]: Tensor } {
  return Object.fromEntries(
    Object.entries(metrics).map(([name, metric]) => [name, metric(output, target)]),
  )
}

export async function readAll(tensors: { readonly [name: string]: Tensor }): Promise<Values> {
  const names = Object.keys(tensors)
  const values = await Promise.all(names.map((name) => tensors[name].item()))
  return Object.fromEntries(names.map((name, i) => [name, values[i]]))
}

/** Runs `use` on each batch while the next one is being gathered on the host. */
export async function eachBatch(
  batches: AsyncIterable<readonly Tensor[]>,
  signal: AbortSignal | undefined,
  use: (batch: readonly Tensor[]) => Promise<void>,
): Promise<void> {
  const iterator = batches[Symbol.asyncIterator]()
  try {
    let next = await iterator.next()
    while (!next.done) {
      signal?.throwIfAborted()
      const used = use(next.value)
      const gathered = iterator.next()
      ;[, next] = await Promise.all([used, gathered])
    }
  } finally {
    await iterator.return?.()
  }
}

/** A compiled evaluation of one model, to run as often as one likes: see `evaluate`. */
export function evaluator(
  model: Module,
  options: EvaluateOptions = {},
): (batches: Batches) => Promise<Values> {
  const metrics = measures(options)
  const step = compile((input: Tensor, target: Tensor) =>
    measureAll(metrics, model.forward(input), target),
  )
  return async (batches) => {
    const training = model.training
    model.eval()
    try {
      const means = new WeightedMeans()
      await eachBatch(batches, options.signal, async ([input, target]) => {
        means.add(await readAll(step(input, target)), input.shape[0])
      })
      return means.means
    } finally {
      model.train(training)
    }
  }
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
