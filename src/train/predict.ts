// What a model says about data: outputs, and the confusion matrix of a classifier.
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { inEvaluation } from '../nn/evaluation.js'
import type { Module } from '../nn/module.js'
import { compile } from '../tensor/compile.js'
import { tensor } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'
import { greatest, sum } from './classification.js'
import { eachBatch } from './evaluate.js'

interface PredictOptions {
  /** Acts between batches: rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/** Batches whose first column is the input. */
type Inputs = AsyncIterable<readonly Tensor[]>

/** Runs `use` with each batch and the model's output for its first column, in evaluation mode. */
async function eachOutput(
  model: Module,
  batches: Inputs,
  signal: AbortSignal | undefined,
  use: (output: Tensor, batch: readonly Tensor[]) => Promise<void>,
): Promise<void> {
  await inEvaluation(model, () => {
    const forward = compile((input: Tensor) => model.forward(input))
    return eachBatch(batches, signal, (batch) => use(forward(batch[0]), batch))
  })
}

/**
 * The model's outputs for all inputs, in evaluation mode: [N, …], in host memory. Further columns of the batches, such
 * as labels, are not looked at. The model's mode is restored.
 * @throws BurnishError when there are no batches, and what loader and model throw.
 */
export async function predict(
  model: Module,
  batches: Inputs,
  options: PredictOptions = {},
): Promise<Tensor> {
  const parts: { readonly data: Float32Array; readonly shape: readonly number[] }[] = []
  await eachOutput(model, batches, options.signal, async (output) => {
    const data = await output.data()
    parts.push({ data: Float32Array.from(data), shape: output.shape })
  })
  if (parts.length === 0) throw fail('predict: there are no batches')
  const rows = parts.reduce((sum, { shape }) => sum + shape[0], 0)
  const rest = parts[0].shape.slice(1)
  const all = new Float32Array(rows * sizeOf(rest))
  let at = 0
  for (const { data } of parts) {
    all.set(data, at)
    at += data.length
  }
  return tensor(all, { shape: [rows, ...rest] })
}

/** How often a classifier said what. */
export interface Confusion {
  /** counts[target][said]. */
  readonly counts: readonly (readonly number[])[]
  readonly accuracy: number
  /**
   * For each class: the share of those said to be it that are, and of those that are it that were found; NaN of none.
   */
  readonly precision: readonly number[]
  readonly recall: readonly number[]
}

/**
 * The confusion matrix over batches [input, target] of a model whose output is [N, classes] and target int32 [N], in
 * evaluation mode.
 * @throws BurnishError when a target is none of the classes.
 */
export async function confusion(
  model: Module,
  batches: Inputs,
  options: PredictOptions = {},
): Promise<Confusion> {
  let counts: number[][] = []
  await eachOutput(model, batches, options.signal, async (output, [, target]) => {
    const [logits, truth] = await Promise.all([output.data(), target.data()])
    const classes = output.shape[1]
    if (counts.length === 0)
      counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0))
    truth.forEach((label, i) => {
      if (!Number.isInteger(label) || label < 0 || label >= classes)
        fail(`confusion: target ${label} is not in 0 … ${classes - 1}, the model's classes`)
      counts[label][greatest(logits.subarray(i * classes, (i + 1) * classes))]++
    })
  })
  const diagonal = counts.map((row, i) => row[i])
  const said = counts.map((_, i) => sum(counts.map((row) => row[i])))
  return {
    counts,
    accuracy: sum(diagonal) / sum(counts.flat()),
    precision: diagonal.map((right, i) => right / said[i]),
    recall: diagonal.map((right, i) => right / sum(counts[i])),
  }
}
