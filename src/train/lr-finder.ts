// The learning-rate range test (Smith 2015): one short run with a rate that grows with every step. Where the loss falls
// steadily the rate is useful; where it explodes it is too large. Ranges, smoothing, the stop and the suggestion
// ("valley") after fastai's `lr_find`.
import { fail } from '../base/errors.js'
import type { Module } from '../nn/module.js'
import { context } from '../tensor/context.js'
import { Parameter } from '../tensor/parameter.js'
import type { TrainingBatches } from './fit.js'
import { type Batch, type StepSettings, stepper } from './step.js'

export interface LrFinderOptions extends StepSettings {
  /** The first rate; 1e-7 by default. */
  readonly start?: number
  /** The last rate; 10 by default. */
  readonly end?: number
  /** Steps from one to the other; 100 by default. */
  readonly iterations?: number
  /** Called after each step. */
  readonly onStep?: (step: number, lr: number, loss: number) => void
}

export interface LrCurve {
  /** Rates of the optimizer's first group, and the smoothed losses seen with them. */
  readonly rates: readonly number[]
  readonly losses: readonly number[]
  /** A good maximum for a cycle or the rate to begin with: within the longest fall of the loss. */
  readonly suggestion: number
}

/** How much of the smoothed loss stays in each step. */
const SMOOTHING = 0.98
/** A loss that many times the best one ends the test. */
const EXPLODED = 4

/**
 * Tries growing learning rates on `batches` and says which are useful. Rates of several groups keep their ratios.
 * Model, optimizer and random generator are as before afterwards, whatever happens.
 *
 *     const { suggestion } = await findLearningRate(model, loader, { optimizer })
 *
 * @throws BurnishError when the range is no range, there are no batches, or the loss explodes within the first few steps.
 */
export async function findLearningRate(
  model: Module,
  batches: TrainingBatches,
  options: LrFinderOptions,
): Promise<LrCurve> {
  const { optimizer, start = 1e-7, end = 10, iterations = 100, onStep } = options
  if (!(start > 0 && end > start))
    fail(`findLearningRate: from ${start} to ${end} is no range of rates that grow`)
  if (!Number.isInteger(iterations) || iterations < FEWEST)
    fail(`findLearningRate: ${iterations} iterations, but there must be ${FEWEST} or more`)
  const restore = await snapshot(model, options)
  const first = optimizer.lr
  const ratios = optimizer.groups.map((group) => (first > 0 ? group.options.lr / first : 1))
  const rates: number[] = []
  const losses: number[] = []
  const step = stepper(model, { ...options, guard: false })
  try {
    model.train()
    let mean = 0
    let best = Number.POSITIVE_INFINITY
    for await (const batch of endless(batches)) {
      const i = rates.length
      const lr = start * (end / start) ** (i / (iterations - 1))
      optimizer.groups.forEach((group, g) => {
        group.options.lr = lr * ratios[g]
      })
      const [{ sums, samples }] = await step([batch])
      mean = SMOOTHING * mean + (1 - SMOOTHING) * (sums.loss / samples)
      const smooth = mean / (1 - SMOOTHING ** (i + 1))
      if (!Number.isFinite(smooth) || smooth > EXPLODED * best) break
      best = Math.min(best, smooth)
      rates.push(lr)
      losses.push(smooth)
      onStep?.(rates.length, lr, smooth)
      if (rates.length === iterations) break
    }
  } finally {
    restore()
  }
  if (rates.length < FEWEST)
    fail(
      `findLearningRate: the loss exploded after ${rates.length} steps from a rate of ${start}: begin with a smaller one`,
    )
  return { rates, losses, suggestion: valley(rates, losses) }
}

const FEWEST = 10

/** Batch after batch, from the beginning again at the end. */
async function* endless(batches: AsyncIterable<Batch>): AsyncGenerator<Batch> {
  for (;;) {
    let none = true
    for await (const batch of batches) {
      none = false
      yield batch
    }
    if (none) fail('findLearningRate: there are no batches, or they can be read only once')
  }
}

/** Keeps everything a step changes; the result puts it back. */
async function snapshot(
  model: Module,
  { optimizer, average }: LrFinderOptions,
): Promise<() => void> {
  const copies = (state: { readonly [name: string]: Parameter }) =>
    Object.fromEntries(
      Object.entries(state).map(([name, p]) => [name, new Parameter(p, { role: 'state' })]),
    )
  const weights = copies(model.stateDict())
  const moments = optimizer.stateDict()
  const tensors = copies(moments.tensors)
  const averages = average && copies(average.stateDict())
  const generator = { ...context.generator }
  const modes = model.modules().map((module) => [module, module.training] as const)
  return () => {
    model.loadStateDict(weights)
    optimizer.loadStateDict({ ...moments, tensors })
    if (average && averages) average.loadStateDict(averages)
    optimizer.zeroGrad()
    context.generator.seed = generator.seed
    context.generator.counter = generator.counter
    for (const [module, training] of modes) module.training = training
  }
}

/**
 * The longest run of falling losses (losses between may be larger), without the first tenth and the last five steps; of
 * it the point half-way through its second third.
 */
export function valley(rates: readonly number[], losses: readonly number[]): number {
  const from = Math.floor(rates.length / 10)
  const used = losses.slice(from, Math.max(losses.length - 5, from + 2))
  const falls: number[] = []
  let last = 0
  for (const [i, loss] of used.entries()) {
    let longest = 1
    for (let j = 0; j < i; j++) if (loss < used[j]) longest = Math.max(longest, falls[j] + 1)
    falls.push(longest)
    if (longest > falls[last]) last = i
  }
  const begin = Math.max(last - falls[last], 0)
  const third = (last - begin) / 3
  return rates[from + begin + Math.floor(third) + Math.floor(third / 2)]
}
