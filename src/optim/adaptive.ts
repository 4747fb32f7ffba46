// Optimizers that scale each element by its gradients so far, as torch.optim has them: RMSprop (Hinton 2012),
// Adagrad (Duchi, Hazan and Singer 2011), Adadelta (Zeiler 2012).
import { map, type Node } from '../graph/node.js'
import { add, div, mul, square, sub } from '../nn/nodes/math.js'
import type { Parameter } from '../tensor/parameter.js'
import {
  average,
  type Current,
  checkRange,
  type DecayOptions,
  descend,
  type GroupOptions,
  type Next,
  Optimizer,
  penalized,
  type StateStart,
  withDefaults,
} from './optimizer.js'

type Given<Options> = Iterable<Parameter> | readonly GroupOptions<Options>[]

export interface RMSpropOptions extends DecayOptions {
  /** Decay of the mean square. */
  alpha: number
  eps: number
  momentum: number
  /** Subtracts the squared mean, so that gradients are divided by their deviation. */
  centered: boolean
}

/** v ← α·v + (1 − α)·g²; parameter ← parameter − lr·g / (√v + ε). */
export class RMSprop extends Optimizer<RMSpropOptions> {
  constructor(parameters: Given<RMSpropOptions>, options: Partial<RMSpropOptions> = {}) {
    const defaults: RMSpropOptions = {
      lr: 1e-2,
      alpha: 0.99,
      eps: 1e-8,
      weightDecay: 0,
      momentum: 0,
      centered: false,
      maximize: false,
    }
    super(parameters, withDefaults(defaults, options))
    for (const { options } of this.groups) {
      checkRange('RMSprop: alpha', options.alpha)
      checkRange('RMSprop: eps', options.eps)
      checkRange('RMSprop: momentum', options.momentum)
    }
  }

  protected stateOf({ momentum, centered }: RMSpropOptions): {
    readonly [name: string]: StateStart
  } {
    return {
      squareAvg: {},
      ...(momentum > 0 ? { momentumBuffer: {} } : {}),
      ...(centered ? { gradAvg: {} } : {}),
    }
  }

  protected counts(): boolean {
    return false
  }

  protected next(current: Current, options: RMSpropOptions): Next {
    const { value, lr, state } = current
    const { alpha, eps, momentum, centered } = options
    const g = penalized(current, options)
    const squareAvg = average(state.squareAvg, square(g), alpha)
    const gradAvg = centered ? average(state.gradAvg, g, alpha) : undefined
    const variance = gradAvg ? sub(squareAvg, square(gradAvg)) : squareAvg
    const scaled = div(g, add(map('sqrt', variance), eps))
    const kept: { readonly [name: string]: Node } = gradAvg ? { squareAvg, gradAvg } : { squareAvg }
    if (momentum === 0) return { value: descend(value, lr, scaled), state: kept }
    const momentumBuffer = add(mul(state.momentumBuffer, momentum), scaled)
    return { value: descend(value, lr, momentumBuffer), state: { ...kept, momentumBuffer } }
  }
}

export interface AdagradOptions extends DecayOptions {
  lrDecay: number
  initialAccumulatorValue: number
  eps: number
}

/** s ← s + g²; parameter ← parameter − lr·g / (√s + ε), lr divided by 1 + (count − 1)·lrDecay. */
export class Adagrad extends Optimizer<AdagradOptions> {
  constructor(parameters: Given<AdagradOptions>, options: Partial<AdagradOptions> = {}) {
    const defaults: AdagradOptions = {
      lr: 1e-2,
      lrDecay: 0,
      weightDecay: 0,
      initialAccumulatorValue: 0,
      eps: 1e-10,
      maximize: false,
    }
    super(parameters, withDefaults(defaults, options))
    for (const { options } of this.groups) {
      checkRange('Adagrad: lrDecay', options.lrDecay)
      checkRange('Adagrad: initialAccumulatorValue', options.initialAccumulatorValue)
    }
  }

  protected stateOf({ initialAccumulatorValue }: AdagradOptions) {
    return { sum: { value: initialAccumulatorValue } }
  }

  protected counts({ lrDecay }: AdagradOptions): boolean {
    return lrDecay !== 0
  }

  protected next(current: Current, options: AdagradOptions): Next {
    const { value, lr, state, count } = current
    const g = penalized(current, options)
    const sum = add(state.sum, square(g))
    const { lrDecay, eps } = options
    const rate = lrDecay === 0 ? lr : div(lr, add(mul(sub(count, 1), lrDecay), 1))
    return { value: descend(value, rate, div(g, add(map('sqrt', sum), eps))), state: { sum } }
  }
}

export interface AdadeltaOptions extends DecayOptions {
  /** Decay of both mean squares. */
  rho: number
  eps: number
}

/** Steps of the size of past steps: δ = g·√(u + ε)/√(v + ε), u and v mean squares of steps and gradients. */
export class Adadelta extends Optimizer<AdadeltaOptions> {
  constructor(parameters: Given<AdadeltaOptions>, options: Partial<AdadeltaOptions> = {}) {
    const defaults: AdadeltaOptions = {
      lr: 1,
      rho: 0.9,
      eps: 1e-6,
      weightDecay: 0,
      maximize: false,
    }
    super(parameters, withDefaults(defaults, options))
    for (const { options } of this.groups) checkRange('Adadelta: rho', options.rho, 1)
  }

  protected stateOf(): { readonly [name: string]: StateStart } {
    return { squareAvg: {}, accDelta: {} }
  }

  protected counts(): boolean {
    return false
  }

  protected next(current: Current, options: AdadeltaOptions): Next {
    const { value, lr, state } = current
    const { rho, eps } = options
    const g = penalized(current, options)
    const squareAvg = average(state.squareAvg, square(g), rho)
    const past = map('sqrt', add(state.accDelta, eps))
    const delta = mul(div(past, map('sqrt', add(squareAvg, eps))), g)
    const accDelta = average(state.accDelta, square(delta), rho)
    return { value: descend(value, lr, delta), state: { squareAvg, accDelta } }
  }
}
