// One optimizer step of fit: over one batch, or over several whose gradients are summed so that they are those of one
// batch with all their samples.
import { fail } from '../base/errors.js'
import type { Module } from '../nn/module.js'
import type { ExponentialMovingAverage } from '../optim/average.js'
import { clipGradNorm, clipGradValue } from '../optim/clip.js'
import type { Optimizer } from '../optim/optimizer.js'
import { compile } from '../tensor/compile.js'
import { tensor } from '../tensor/create.js'
import { keep } from '../tensor/submit.js'
import type { Tensor } from '../tensor/tensor.js'
import { type EvaluateOptions, type Measured, measure, sumsOf } from './evaluate.js'
import type { Values } from './metrics.js'

export interface StepSettings extends EvaluateOptions {
  readonly optimizer: Optimizer
  /** Limits on the gradients before each step: of their joint norm, or of every element. */
  readonly clip?: { readonly norm?: number; readonly value?: number }
  /** Averaged weights, updated after each step. */
  readonly average?: ExponentialMovingAverage
  /** Stops at a loss that is not finite, with the weights as before that step; true by default. */
  readonly guard?: boolean
  /**
   * False: the step is not compiled as a whole but built anew each time, so that breakpoints and prints in the model's
   * `forward` work. Slower; the same bits.
   */
  readonly compile?: boolean
}

/** The sums of loss and metrics over a batch's samples, and their number. */
export interface StepSums {
  readonly sums: Values
  readonly samples: number
}

export type Batch = readonly Tensor[]

/** Makes one step from [input, target] batches: `accumulate` of them, or fewer at the end of an epoch. */
export function stepper(
  model: Module,
  settings: StepSettings,
): (batches: readonly Batch[]) => Promise<readonly StepSums[]> {
  const { optimizer, clip = {}, average, guard = true } = settings
  const parameters = optimizer.groups.flatMap((group) => group.parameters)
  let stepped: Promise<void> = Promise.resolve()

  const forward = (input: Tensor, target: Tensor): Measured => {
    const measured = measure(settings, model.forward(input), target)
    keep(measured.loss)
    for (const sum of Object.values(measured.sums)) keep(sum)
    return measured
  }
  const update = (loss: Tensor): void => {
    if (clip.value !== undefined) clipGradValue(parameters, clip.value)
    if (clip.norm !== undefined) clipGradNorm(parameters, clip.norm)
    stepped = optimizer.step(guard ? { guard: loss } : {})
    average?.update()
  }
  const whole = (input: Tensor, target: Tensor): Measured => {
    optimizer.zeroGrad()
    const measured = forward(input, target)
    measured.loss.backward()
    update(measured.loss)
    return measured
  }
  const part = (input: Tensor, target: Tensor, share: Tensor): Measured => {
    const measured = forward(input, target)
    measured.loss.mul(share).backward()
    return measured
  }
  const last = (input: Tensor, target: Tensor, share: Tensor): Measured => {
    const measured = part(input, target, share)
    update(measured.loss)
    optimizer.zeroGrad()
    return measured
  }
  const made = <A extends readonly unknown[], R>(fn: (...args: A) => R) =>
    settings.compile === false ? fn : compile(fn)
  const run = { whole: made(whole), part: made(part), last: made(last) }

  const finish = async (measured: Measured, samples: number): Promise<StepSums> => {
    const [sums] = await Promise.all([sumsOf(measured, samples), stepped])
    return { sums, samples }
  }
  return async (batches) => {
    const sizes = batches.map(([input]) => input.shape[0])
    if (batches.length === 1) {
      const [input, target] = batches[0]
      return [await finish(run.whole(input, target), sizes[0])]
    }
    const total = sizes.reduce((sum, size) => sum + size, 0)
    const done: StepSums[] = []
    optimizer.zeroGrad()
    for (const [i, [input, target]] of batches.entries()) {
      const share = tensor([sizes[i] / total], { shape: [] }) // the batch's part of the mean
      const act = i === batches.length - 1 ? run.last : run.part
      const result = await finish(act(input, target, share), sizes[i])
      if (guard && !Number.isFinite(result.sums.loss)) {
        optimizer.zeroGrad()
        fail(
          `the loss is not finite: ${result.sums.loss / sizes[i]} in batch ${i + 1} of ${batches.length} of this step; no update was applied: a lower learning rate, or gradient clipping, often helps`,
        )
      }
      done.push(result)
    }
    return done
  }
}

/** Batches in groups of `count`; the last may be smaller. */
export async function* grouped(
  batches: AsyncIterable<Batch>,
  count: number,
): AsyncGenerator<Batch[]> {
  let group: Batch[] = []
  for await (const batch of batches) {
    group.push(batch)
    if (group.length < count) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}
