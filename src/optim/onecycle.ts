// The one-cycle policy: the rate rises to its maximum and falls far below its beginning, while the momentum does
// the opposite. After torch.optim.lr_scheduler.OneCycleLR (Smith and Topin 2018, "Super-Convergence").
import { fail } from '../base/errors.js'
import type { BaseOptions } from './rule.js'
import { cosine, LRScheduler, type Scheduled } from './schedules.js'

/** The shape of the cycle. */
export interface OneCycleOptions {
  /** Steps of the whole cycle. */
  readonly totalSteps: number
  /** The part of the cycle in which the rate rises. Default 0.3. */
  readonly pctStart?: number
  /** Default `cos`. */
  readonly annealStrategy?: 'cos' | 'linear'
  /** Whether momentum (or betas[0]) moves too, against the rate. Default true. */
  readonly cycleMomentum?: boolean
  /** Default 0.85. */
  readonly baseMomentum?: number
  /** Default 0.95. */
  readonly maxMomentum?: number
  /** The first rate is maxLr / divFactor, the last that / finalDivFactor. Default 25 and 10⁴. */
  readonly divFactor?: number
  readonly finalDivFactor?: number
  /** Falls as fast as it rose before it goes on down. Default false. */
  readonly threePhase?: boolean
}

/** The options of a group that has momentum, in either form. */
interface WithMomentum extends BaseOptions {
  momentum?: number
  betas?: readonly [number, number]
}

interface Phase {
  /** The step at which it ends. */
  readonly end: number
  readonly rate: readonly [from: number, to: number]
  readonly momentum: readonly [from: number, to: number]
}

/** Up to `maxLr` and down again; the rate at construction does not matter. */
export class OneCycleLR extends LRScheduler {
  readonly maxLr: number
  readonly options: Required<OneCycleOptions>
  readonly #phases: readonly Phase[]

  /** @throws BurnishError when momentum is to be cycled and a group has none. */
  constructor(optimizer: Scheduled, maxLr: number, options: OneCycleOptions) {
    super(optimizer)
    this.maxLr = maxLr
    this.options = {
      pctStart: 0.3,
      annealStrategy: 'cos',
      cycleMomentum: true,
      baseMomentum: 0.85,
      maxMomentum: 0.95,
      divFactor: 25,
      finalDivFactor: 1e4,
      threePhase: false,
      ...options,
    }
    const { totalSteps, pctStart, divFactor, finalDivFactor } = this.options
    if (!Number.isInteger(totalSteps) || totalSteps < 1)
      fail(`OneCycleLR: totalSteps is ${totalSteps}, but must be a whole number from 1`)
    if (!(pctStart >= 0 && pctStart <= 1))
      fail(`OneCycleLR: pctStart is ${pctStart}, but must be between 0 and 1`)
    const first = maxLr / divFactor
    const last = first / finalDivFactor
    const { baseMomentum: low, maxMomentum: high } = this.options
    const up: Phase = {
      end: pctStart * totalSteps - 1,
      rate: [first, maxLr],
      momentum: [high, low],
    }
    const end = totalSteps - 1
    this.#phases = this.options.threePhase
      ? [
          up,
          { end: 2 * pctStart * totalSteps - 2, rate: [maxLr, first], momentum: [low, high] },
          { end, rate: [first, last], momentum: [high, high] },
        ]
      : [up, { end, rate: [maxLr, last], momentum: [low, high] }]
    if (this.options.cycleMomentum)
      for (const group of optimizer.groups)
        if (!('momentum' in group.options) && !('betas' in group.options))
          fail('OneCycleLR: this optimizer has no momentum to cycle; use { cycleMomentum: false }')
    this.apply()
  }

  protected override apply(): void {
    super.apply()
    if (!this.options.cycleMomentum) return
    const momentum = this.#at(this.count, 'momentum')
    for (const group of this.optimizer.groups) {
      const options: WithMomentum = group.options
      if (options.betas) options.betas = [momentum, options.betas[1]]
      else options.momentum = momentum
    }
  }

  protected rate(_: number, count: number): number {
    return this.#at(count, 'rate')
  }

  #at(count: number, what: 'rate' | 'momentum'): number {
    const { totalSteps, annealStrategy } = this.options
    if (count > totalSteps)
      fail(`OneCycleLR: step ${count} of a cycle of ${totalSteps}; give a larger totalSteps`)
    let i = 0
    while (i < this.#phases.length - 1 && count > this.#phases[i].end) i++
    const { end, [what]: range } = this.#phases[i]
    const start = this.#phases[i - 1]?.end ?? 0
    const part = end > start ? Math.min((count - start) / (end - start), 1) : 1
    const [from, to] = range
    return annealStrategy === 'cos' ? cosine(from, to, part) : from + (to - from) * part
  }
}
