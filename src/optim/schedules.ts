// Learning-rate schedules with PyTorch's names: each says what a group's rate is after a number of steps, as a
// closed formula of its first rate. They change a number that the compiled step reads; nothing is compiled.
import { fail } from '../base/errors.js'
import type { BaseOptions, Optimizer } from './optimizer.js'

/** Anything with groups that have a learning rate. */
type Scheduled = Pick<Optimizer<BaseOptions>, 'groups'>

export abstract class LRScheduler {
  readonly optimizer: Scheduled
  /** Calls of step() so far. */
  count = 0
  readonly #base: readonly number[]

  constructor(optimizer: Scheduled) {
    this.optimizer = optimizer
    this.#base = optimizer.groups.map((group) => group.options.lr)
  }

  /** Call it after the optimizer's step (or epoch): the next rate. */
  step(): void {
    this.count++
    this.apply()
  }

  protected apply(): void {
    this.optimizer.groups.forEach((group, i) => {
      group.options.lr = this.rate(this.#base[i], this.count)
    })
  }

  /** The rate after `count` steps for a group that began with `base`. */
  protected abstract rate(base: number, count: number): number
}

/** base · factor(count) */
export class LambdaLR extends LRScheduler {
  readonly #factor: (count: number) => number

  constructor(optimizer: Scheduled, factor: (count: number) => number) {
    super(optimizer)
    this.#factor = factor
    this.apply()
  }

  protected rate(base: number, count: number): number {
    return base * this.#factor(count)
  }
}

/** Times gamma every `stepSize` steps. */
export class StepLR extends LRScheduler {
  readonly stepSize: number
  readonly gamma: number

  constructor(optimizer: Scheduled, stepSize: number, { gamma = 0.1 }: { gamma?: number } = {}) {
    super(optimizer)
    if (!Number.isInteger(stepSize) || stepSize < 1)
      fail(`StepLR: stepSize is ${stepSize}, but must be a whole number from 1`)
    this.stepSize = stepSize
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

const cosine = (from: number, to: number, part: number) =>
  to + ((from - to) * (1 + Math.cos(Math.PI * part))) / 2

/** Half a cosine from the first rate to `etaMin` in `tMax` steps, and back (Loshchilov and Hutter 2017). */
export class CosineAnnealingLR extends LRScheduler {
  readonly tMax: number
  readonly etaMin: number

  constructor(optimizer: Scheduled, tMax: number, { etaMin = 0 }: { etaMin?: number } = {}) {
    super(optimizer)
    this.tMax = tMax
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
    this.totalIters = totalIters
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
    this.totalIters = totalIters
    this.power = power
  }

  protected rate(base: number, count: number): number {
    return base * (1 - Math.min(count / this.totalIters, 1)) ** this.power
  }
}

export interface OneCycleOptions {
  /** Steps of the whole cycle. */
  readonly totalSteps: number
  /** The part of the cycle in which the rate rises. */
  readonly pctStart?: number
  /** The first rate is maxLr / divFactor, the last that / finalDivFactor. */
  readonly divFactor?: number
  readonly finalDivFactor?: number
}

/** Up to `maxLr` and down again, each along half a cosine (Smith and Topin 2018). */
export class OneCycleLR extends LRScheduler {
  readonly maxLr: number
  readonly options: Required<OneCycleOptions>

  constructor(optimizer: Scheduled, maxLr: number, options: OneCycleOptions) {
    super(optimizer)
    this.maxLr = maxLr
    this.options = { pctStart: 0.3, divFactor: 25, finalDivFactor: 1e4, ...options }
    this.apply()
  }

  protected rate(_: number, count: number): number {
    const { totalSteps, pctStart, divFactor, finalDivFactor } = this.options
    if (count >= totalSteps)
      fail(`OneCycleLR: step ${count + 1} of a cycle of ${totalSteps}; give a larger totalSteps`)
    const first = this.maxLr / divFactor
    const top = pctStart * totalSteps - 1
    if (count <= top) return cosine(first, this.maxLr, top > 0 ? count / top : 1)
    return cosine(this.maxLr, first / finalDivFactor, (count - top) / (totalSteps - 1 - top))
  }
}
