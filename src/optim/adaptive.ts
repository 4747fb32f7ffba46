// Optimizers that scale each element by its gradients so far, as torch.optim has them: RMSprop (Hinton 2012),
// Adagrad (Duchi, Hazan and Singer 2011), Adadelta (Zeiler 2012).
import { map, type Node } from '../graph/node.js'
import { add, div, mul, square, sub } from '../nn/nodes/math.js'
import { type Given, Optimizer } from './optimizer.js'
import {
  average,
  type Current,
  checkRange,
  type DecayOptions,
  descend,
  type Next,
  type Numbers,
  penalized,
  type StateStart,
  withDefaults,
} from './rule.js'

/** Options of RMSprop. */
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
  }

  protected check(options: RMSpropOptions): void {
    checkRange('RMSprop: alpha', options.alpha)
    checkRange('RMSprop: eps', options.eps)
    checkRange('RMSprop: momentum', options.momentum)
    checkRange('RMSprop: weightDecay', options.weightDecay)
  }

  protected numbers({ alpha, eps, momentum, weightDecay }: RMSpropOptions): Numbers {
    return { alpha, rest: 1 - alpha, eps, momentum, weightDecay }
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
    const { value, lr, numbers, state } = current
    const { momentum, centered } = options
    const g = penalized(current, options)
    const { alpha, rest } = numbers
    const squareAvg = average(state.squareAvg, square(g), alpha, rest)
    const gradAvg = centered ? average(state.gradAvg, g, alpha, rest) : undefined
    const variance = gradAvg ? sub(squareAvg, square(gradAvg)) : squareAvg
    const scaled = div(g, add(map('sqrt', variance), numbers.eps))
    const kept: { readonly [name: string]: Node } = gradAvg ? { squareAvg, gradAvg } : { squareAvg }
    if (momentum === 0) return { value: descend(value, lr, scaled), state: kept }
    const momentumBuffer = add(mul(state.momentumBuffer, numbers.momentum), scaled)
    return { value: descend(value, lr, momentumBuffer), state: { ...kept, momentumBuffer } }
  }
}

/** Options of Adagrad. */
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
  }

  protected check(options: AdagradOptions): void {
    checkRange('Adagrad: lrDecay', options.lrDecay)
    checkRange('Adagrad: eps', options.eps)
    checkRange('Adagrad: weightDecay', options.weightDecay)
    checkRange('Adagrad: initialAccumulatorValue', options.initialAccumulatorValue)
  }

  protected numbers({ lrDecay, eps, weightDecay }: AdagradOptions): Numbers {
    return { lrDecay, eps, weightDecay }
  }

  protected stateOf({ initialAccumulatorValue }: AdagradOptions) {
    return { sum: { value: initialAccumulatorValue } }
  }

  protected counts({ lrDecay }: AdagradOptions): boolean {
    return lrDecay !== 0
  }

  protected next(current: Current, options: AdagradOptions): Next {
    const { value, lr, numbers, state, count } = current
    const { eps, lrDecay } = numbers
    const g = penalized(current, options)
    const sum = add(state.sum, square(g))
    const rate = options.lrDecay === 0 ? lr : div(lr, add(mul(sub(count, 1), lrDecay), 1))
    return { value: descend(value, rate, div(g, add(map('sqrt', sum), eps))), state: { sum } }
  }
}

/** Options of Adadelta. */
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
  }

  protected check(options: AdadeltaOptions): void {
    checkRange('Adadelta: rho', options.rho, 1)
    checkRange('Adadelta: eps', options.eps)
    checkRange('Adadelta: weightDecay', options.weightDecay)
  }

  protected numbers({ rho, eps, weightDecay }: AdadeltaOptions): Numbers {
    return { rho, rest: 1 - rho, eps, weightDecay }
  }

  protected stateOf(): { readonly [name: string]: StateStart } {
    return { squareAvg: {}, accDelta: {} }
  }

  protected counts(): boolean {
    return false
  }

  protected next(current: Current, options: AdadeltaOptions): Next {
    const { value, lr, numbers, state } = current
    const { rho, rest, eps } = numbers
    const g = penalized(current, options)
    const squareAvg = average(state.squareAvg, square(g), rho, rest)
    const past = map('sqrt', add(state.accDelta, eps))
    const delta = mul(div(past, map('sqrt', add(squareAvg, eps))), g)
    const accDelta = average(state.accDelta, square(delta), rho, rest)
    return { value: descend(value, lr, delta), state: { squareAvg, accDelta } }
  }
}
