// fit: the training loop around one compiled step, with validation, a schedule, callbacks and a guard against
// losses that are not finite. Leaves out checkpoints and resuming.
import { BurnishError, fail } from '../base/errors.js'
import type { Module } from '../nn/module.js'
import type { Optimizer } from '../optim/optimizer.js'
import type { LRScheduler } from '../optim/schedules.js'
import { compile } from '../tensor/compile.js'
import type { Tensor } from '../tensor/tensor.js'
import {
  type Batches,
  type EvaluateOptions,
  eachBatch,
  evaluator,
  measure,
  sumsOf,
} from './evaluate.js'
import { Means, type Values } from './metrics.js'

export interface StepEvent {
  readonly epoch: number
  readonly epochs: number
  /** Steps of this epoch done, and in it. */
  readonly step: number
  readonly steps: number
  /** Loss and metrics, means over the epoch so far. */
  readonly means: Values
  readonly samplesPerSecond: number
  readonly secondsLeft: number
}

export interface EpochEvent {
  /** From 1. */
  readonly epoch: number
  readonly train: Values
  /** Empty without validation batches. */
  readonly validation: Values
  /** Of the training steps alone. */
  readonly seconds: number
  readonly samplesPerSecond: number
}

export interface FitOptions extends EvaluateOptions {
  readonly epochs: number
  readonly optimizer: Optimizer
  /** Evaluated after each epoch. */
  readonly validation?: Batches
  /** Stepped between two steps, not between epochs. */
  readonly scheduler?: LRScheduler
  /** Stops at a loss that is not finite, with the weights as before that step; true by default. */
  readonly guard?: boolean
  readonly onStep?: (event: StepEvent) => void
  readonly onEpoch?: (event: EpochEvent) => void | Promise<void>
}

export interface History {
  readonly epochs: readonly EpochEvent[]
}

/**
 * Trains `model` on batches [input, target] for a number of epochs, one compiled step a batch.
 *
 * Throws when a loss is not finite (naming the first layer that made such a value), the signal's reason when
 * aborted (between two steps: the weights are whole), and what loader and model throw.
 */
export async function fit(model: Module, batches: Batches, options: FitOptions): Promise<History> {
  const { epochs, optimizer, scheduler, guard = true, signal } = options
  if (!Number.isInteger(epochs) || epochs < 1)
    fail(`fit: epochs ${epochs} is not a whole number of 1 or more`)
  if (batches.length === 0)
    fail('fit: the loader has no batches: the data set is empty, or dropLast leaves nothing of it')
  const step = compile((input: Tensor, target: Tensor) => {
    optimizer.zeroGrad()
    const measured = measure(options, model.forward(input), target)
    measured.loss.backward()
    optimizer.step(guard ? { guard: measured.loss } : {})
    return measured
  })
  const validate = evaluator(model, options)
  const total = epochs * batches.length
  const history: EpochEvent[] = []
  let done = 0
  let trained = 0 // seconds of training steps
  let samples = 0

  model.train()
  for (let epoch = 1; epoch <= epochs; epoch++) {
    const means = new Means()
    let began = performance.now()
    const before = trained
    await eachBatch(batches, signal, async ([input, target]) => {
      if (done > 0) scheduler?.step()
      const count = input.shape[0]
      const sums = await within(`fit, epoch ${epoch}, step ${done + 1}`, () =>
        sumsOf(step(input, target), count),
      )
      means.add(sums, count)
      done++
      samples += count
      const now = performance.now()
      trained += (now - began) / 1000
      began = now
      options.onStep?.({
        epoch,
        epochs,
        step: done - (epoch - 1) * batches.length,
        steps: batches.length,
        means: means.values,
        samplesPerSecond: samples / trained,
        secondsLeft: (trained / done) * (total - done),
      })
    })
    const seconds = trained - before
    const validation = options.validation ? await validate(options.validation) : {}
    const event: EpochEvent = {
      epoch,
      train: means.values,
      validation,
      seconds,
      samplesPerSecond: means.samples / seconds,
    }
    history.push(event)
    await options.onEpoch?.(event)
  }
  return { epochs: history }
}

/** Says where in the run an error came up. */
async function within<T>(where: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof BurnishError) throw new BurnishError(`${where}: ${error.message}`)
    throw error
  }
}
