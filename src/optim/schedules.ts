// Learning-rate schedules with PyTorch's names: each says what a group's rate is after a number of steps, as a
// closed formula of its first rate. They change numbers that the compiled step reads; nothing is compiled.
// Leaves out schedules of schedules but SequentialLR; plateau.ts has the one that follows a measurement.
import { fail } from '../base/errors.js'
import type { Group } from './optimizer.js'
import type { BaseOptions } from './rule.js'

/** Anything with groups that have a learning rate. */
export interface Scheduled {
  readonly groups: readonly Group<BaseOptions>[]
}

/** Where a schedule is, as plain JSON. */
export interface SchedulerState {
  /** The schedule's class, such as `StepLR`. */
  readonly kind: string
  readonly count: number
  /** The first rate of each group. */
  readonly base: readonly number[]
  /** Those of a sequence. */
  readonly parts?: readonly SchedulerState[]
}

/** The base of schedules: a subclass says the rate after a number of steps. */
export abstract class LRScheduler {
  readonly optimizer: Scheduled
  /** Calls of step() so far. */
  count = 0
  #base: number[]

  constructor(optimizer: Scheduled) {
    this.optimizer = optimizer
    this.#base = optimizer.groups.map(firstRate)
  }

  /** Call it after the optimizer's step (or epoch): the next rate. */
  step(): void {
    this.moveTo(this.count + 1)
  }

  /** The rates as they are after `count` steps. */
  moveTo(count: number): void {
    this.count = count
    this.apply()
  }

  protected apply(): void {
    this.optimizer.groups.forEach((group, i) => {
      this.#base[i] ??= firstRate(group)
      const base = this.#base[i]
      const lr = this.rate(base, this.count, i)
      group.options.lr = lr
      group.scheduled = { base, lr }
    })
  }

  /** The rate after `count` steps for group number `group`, which began with `base`. */
  protected abstract rate(base: number, count: number, group: number): number

  /** Where it is: plain JSON. What it was made with is not part of it. */
  stateDict(): SchedulerState {
    return { kind: this.constructor.name, count: this.count, base: [...this.#base] }
  }

  /**
   * Goes on from what `stateDict()` gave, and sets the rates.
   * @throws BurnishError when it belongs to another kind of schedule, or other groups.
   */
  loadStateDict(state: SchedulerState): void {
    const name = this.constructor.name
    if (state.kind !== name) fail(`${name}.loadStateDict: the state is that of ${state.kind}`)
    if (state.base.length !== this.optimizer.groups.length)
      fail(
        `${name}.loadStateDict: the state has ${state.base.length} groups, the optimizer ${this.optimizer.groups.length}`,
      )
    this.#base = [...state.base]
    this.moveTo(state.count)
  }
}

/** The rate a schedule begins with: not one that another schedule has set. */
function firstRate({ options, scheduled }: Group<BaseOptions>): number {
  return scheduled !== undefined && scheduled.lr === options.lr ? scheduled.base : options.lr
}

type Factor = (count: number) => number

/** base · factor(count), with one factor for all groups or one for each. */
export class LambdaLR extends LRScheduler {
  readonly #factors: readonly Factor[]

  constructor(optimizer: Scheduled, factor: Factor | readonly Factor[]) {
    super(optimizer)
    this.#factors = typeof factor === 'function' ? optimizer.groups.map(() => factor) : [...factor]
    if (this.#factors.length !== optimizer.groups.length)
      fail(
        `LambdaLR: ${this.#factors.length} factors for ${optimizer.groups.length} groups; give one, or one for each`,
      )
    this.apply()
  }

  protected rate(base: number, count: number, group: number): number {
    return base * (this.#factors[group] ?? this.#factors[0])(count)
  }
}

/** Times gamma every `stepSize` steps. */
export class StepLR extends LRScheduler {
  readonly stepSize: number
  readonly gamma: number

  constructor(optimizer: Scheduled, stepSize: number, { gamma = 0.1 }: { gamma?: number } = {}) {
    super(optimizer)
    this.stepSize = steps('StepLR: stepSize', stepSize)
    this.gamma = gamma
  }

  protected rate(base: number, count: number): number {
    return base * this.gamma ** Math.floor(count / this.stepSize)
  }
}

/** Times gamma at each milestone. */
export class MultiStepLR extends LRScheduler {
  readonly milestones: readonly number[]
  readonly gamma: number

  constructor(
    optimizer: Scheduled,
    milestones: readonly number[],
    { gamma = 0.1 }: { gamma?: number } = {},
  ) {
    super(optimizer)
    this.milestones = milestones
    this.gamma = gamma
  }

  protected rate(base: number, count: number): number {
    return base * this.gamma ** this.milestones.filter((milestone) => milestone <= count).length
  }
}

/** base·factor for `totalIters` steps, then base. */
export class ConstantLR extends LRScheduler {
  readonly factor: number
  readonly totalIters: number

  constructor(
    optimizer: Scheduled,
    { factor = 1 / 3, totalIters = 5 }: { factor?: number; totalIters?: number } = {},
  ) {
    super(optimizer)
    this.factor = factor
    this.totalIters = steps('ConstantLR: totalIters', totalIters)
    this.apply()
  }

  protected rate(base: number, count: number): number {
    return count < this.totalIters ? base * this.factor : base
  }
}

/** Times gamma every step. */
export class ExponentialLR extends LRScheduler {
  readonly gamma: number

  constructor(optimizer: Scheduled, gamma: number) {
    super(optimizer)
    this.gamma = gamma
  }

  protected rate(base: number, count: number): number {
    return base * this.gamma ** count
  }
}

/** From `from` to `to` along half a cosine, `part` from 0 to 1. */
export const cosine = (from: number, to: number, part: number): number =>
  to + ((from - to) * (1 + Math.cos(Math.PI * part))) / 2

/** Half a cosine from the first rate to `etaMin` in `tMax` steps, and back (Loshchilov and Hutter 2017). */
export class CosineAnnealingLR extends LRScheduler {
  readonly tMax: number
  readonly etaMin: number

  constructor(optimizer: Scheduled, tMax: number, { etaMin = 0 }: { etaMin?: number } = {}) {
    super(optimizer)
    this.tMax = steps('CosineAnnealingLR: tMax', tMax)
    this.etaMin = etaMin
  }

  protected rate(base: number, count: number): number {
    return cosine(base, this.etaMin, count / this.tMax)
  }
}

/** Cosine annealing that starts again after t0 steps, then after t0·tMult, and so on. */
export class CosineAnnealingWarmRestarts extends LRScheduler {
  readonly t0: number
  readonly tMult: number
  readonly etaMin: number

  constructor(
    optimizer: Scheduled,
    t0: number,
    { tMult = 1, etaMin = 0 }: { tMult?: number; etaMin?: number } = {},
  ) {
    super(optimizer)
    if (!(t0 >= 1) || !(tMult >= 1))
      fail(`CosineAnnealingWarmRestarts: t0 ${t0} and tMult ${tMult} must be at least 1`)
    this.t0 = t0
    this.tMult = tMult
    this.etaMin = etaMin
  }

  protected rate(base: number, count: number): number {
    let length = this.t0
    let position = count
    while (position >= length) {
      position -= length
      length *= this.tMult
    }
    return cosine(base, this.etaMin, position / length)
  }
}

/** From base·startFactor to base·endFactor in `totalIters` steps, in a line. */
export class LinearLR extends LRScheduler {
  readonly startFactor: number
  readonly endFactor: number
  readonly totalIters: number

  constructor(
    optimizer: Scheduled,
    {
      startFactor = 1 / 3,
      endFactor = 1,
      totalIters = 5,
    }: { startFactor?: number; endFactor?: number; totalIters?: number } = {},
  ) {
    super(optimizer)
    this.startFactor = startFactor
    this.endFactor = endFactor
    this.totalIters = steps('LinearLR: totalIters', totalIters)
    this.apply()
  }

  protected rate(base: number, count: number): number {
    const part = Math.min(count / this.totalIters, 1)
    return base * (this.startFactor + (this.endFactor - this.startFactor) * part)
  }
}

/** base·(1 − count/totalIters)^power, then 0. */
export class PolynomialLR extends LRScheduler {
  readonly totalIters: number
  readonly power: number

  constructor(
    optimizer: Scheduled,
    { totalIters = 5, power = 1 }: { totalIters?: number; power?: number } = {},
  ) {
    super(optimizer)
    this.totalIters = steps('PolynomialLR: totalIters', totalIters)
    this.power = power
  }

  protected rate(base: number, count: number): number {
    return base * (1 - Math.min(count / this.totalIters, 1)) ** this.power
  }
}

/**
 * Schedules one after the other: number i + 1 takes over at milestone i, and begins from its own first rate. With
 * LinearLR as the first it warms up.
 */
export class SequentialLR extends LRScheduler {
  readonly schedulers: readonly LRScheduler[]
  readonly milestones: readonly number[]

  constructor(
    optimizer: Scheduled,
    schedulers: readonly LRScheduler[],
    milestones: readonly number[],
  ) {
    super(optimizer)
    if (schedulers.length === 0 || milestones.length !== schedulers.length - 1)
      fail(
        `SequentialLR: ${schedulers.length} schedules need ${Math.max(schedulers.length - 1, 0)} milestones, not ${milestones.length}`,
      )
    if (milestones.some((m, i) => !(m > (milestones[i - 1] ?? 0))))
      fail(`SequentialLR: the milestones ${milestones.join(', ')} must rise from 1`)
    if (schedulers.some((scheduler) => scheduler.optimizer !== optimizer))
      fail('SequentialLR: all schedules must be made for its own optimizer')
    this.schedulers = schedulers
    this.milestones = milestones
    this.apply()
  }

  protected override apply(): void {
    const at = this.milestones.filter((milestone) => milestone <= this.count).length
    this.schedulers[at].moveTo(this.count - (this.milestones[at - 1] ?? 0))
  }

  protected rate(base: number): number {
    return base
  }

  override stateDict(): SchedulerState {
    return {
      ...super.stateDict(),
      parts: this.schedulers.map((scheduler) => scheduler.stateDict()),
    }
  }

  override loadStateDict(state: SchedulerState): void {
    const parts = state.parts ?? []
    if (parts.length !== this.schedulers.length)
      fail(
        `SequentialLR.loadStateDict: the state has ${parts.length} schedules, this ${this.schedulers.length}`,
      )
    this.schedulers.forEach((scheduler, i) => {
      scheduler.loadStateDict(parts[i])
    })
    super.loadStateDict(state)
  }
}

/** Rises from 0 in `warmupSteps` steps, then falls to 0 at `totalSteps` in a line. After Hugging Face's. */
export function linearWithWarmup(
  optimizer: Scheduled,
  warmupSteps: number,
  totalSteps: number,
): LambdaLR {
  const rest = Math.max(totalSteps - warmupSteps, 1)
  return new LambdaLR(optimizer, (count) =>
    count < warmupSteps ? count / warmupSteps : Math.max(0, (totalSteps - count) / rest),
  )
}

/** Rises from 0 in `warmupSteps` steps, then falls to 0 at `totalSteps` along half a cosine. */
export function cosineWithWarmup(
  optimizer: Scheduled,
  warmupSteps: number,
  totalSteps: number,
): LambdaLR {
  const rest = Math.max(totalSteps - warmupSteps, 1)
  return new LambdaLR(optimizer, (count) =>
    count < warmupSteps
      ? count / warmupSteps
      : cosine(1, 0, Math.min((count - warmupSteps) / rest, 1)),
  )
}

function steps(what: string, value: number): number {
  if (!Number.isInteger(value) || value < 1)
    fail(`${what} is ${value}, but must be a whole number from 1`)
  return value
}
