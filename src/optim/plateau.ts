// The schedule that follows a measurement: smaller steps when it no longer improves. After
// torch.optim.lr_scheduler.ReduceLROnPlateau.
import { fail } from '../base/errors.js'
import type { Scheduled } from './schedules.js'

/** When a measurement counts as better, and what follows when none does. */
export interface PlateauOptions {
  /** Whether less (a loss, the default) or more (an accuracy) is better. */
  readonly mode?: 'min' | 'max'
  /** What the rate is multiplied by. Default 0.1. */
  readonly factor?: number
  /** Steps without improvement that are let pass. Default 10. */
  readonly patience?: number
  /** How much better counts: a share of the best (`rel`) or an amount (`abs`). Default 1e-4. */
  readonly threshold?: number
  readonly thresholdMode?: 'rel' | 'abs'
  /** Steps after a reduction in which nothing is counted. Default 0. */
  readonly cooldown?: number
  /** Rates never fall below; one for all groups. Default 0. */
  readonly minLr?: number
  /** Smaller changes of the rate are not made. Default 1e-8. */
  readonly eps?: number
}

/** Where it is, as plain JSON; `best` is null before the first step. */
export interface PlateauState {
  readonly kind: string
  readonly best: number | null
  readonly badSteps: number
  readonly cooling: number
  readonly lrs: readonly number[]
}

/** Multiplies all rates by `factor` once a measurement has not improved for `patience` steps. */
export class ReduceLROnPlateau {
  readonly optimizer: Scheduled
  readonly options: Required<PlateauOptions>
  #best: number | undefined
  #badSteps = 0
  #cooling = 0

  constructor(optimizer: Scheduled, options: PlateauOptions = {}) {
    this.optimizer = optimizer
    this.options = {
      mode: 'min',
      factor: 0.1,
      patience: 10,
      threshold: 1e-4,
      thresholdMode: 'rel',
      cooldown: 0,
      minLr: 0,
      eps: 1e-8,
      ...options,
    }
    const { factor } = this.options
    if (!(factor > 0 && factor < 1))
      fail(`ReduceLROnPlateau: factor is ${factor}, but must be between 0 and 1`)
  }

  /** Takes the measurement of an epoch. */
  step(metric: number): void {
    const { patience, cooldown } = this.options
    if (this.#improves(metric)) {
      this.#best = metric
      this.#badSteps = 0
    } else this.#badSteps++
    if (this.#cooling > 0) {
      this.#cooling--
      this.#badSteps = 0
    }
    if (this.#badSteps <= patience) return
    this.#reduce()
    this.#cooling = cooldown
    this.#badSteps = 0
  }

  #improves(metric: number): boolean {
    const best = this.#best
    if (best === undefined) return !Number.isNaN(metric)
    const { mode, threshold, thresholdMode } = this.options
    const margin = thresholdMode === 'rel' ? best * threshold : threshold
    return mode === 'min' ? metric < best - margin : metric > best + margin
  }

  #reduce(): void {
    const { factor, minLr, eps } = this.options
    for (const { options } of this.optimizer.groups) {
      const lr = Math.max(options.lr * factor, minLr)
      if (options.lr - lr > eps) options.lr = lr
    }
  }

  stateDict(): PlateauState {
    return {
      kind: this.constructor.name,
      best: this.#best ?? null,
      badSteps: this.#badSteps,
      cooling: this.#cooling,
      lrs: this.optimizer.groups.map((group) => group.options.lr),
    }
  }

  /** Goes on from what `stateDict()` gave. */
  loadStateDict(state: PlateauState): void {
    const name = this.constructor.name
    if (state.kind !== name) fail(`${name}.loadStateDict: the state is that of ${state.kind}`)
    if (state.lrs.length !== this.optimizer.groups.length)
      fail(
        `${name}.loadStateDict: the state has ${state.lrs.length} groups, the optimizer ${this.optimizer.groups.length}`,
      )
    this.#best = state.best ?? undefined
    this.#badSteps = state.badSteps
    this.#cooling = state.cooling
    this.optimizer.groups.forEach(({ options }, i) => {
      options.lr = state.lrs[i]
    })
  }
}
