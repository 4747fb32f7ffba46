// Adam and its family, as torch.optim has them: Adam (Kingma and Ba 2015, amsgrad after Reddi et al. 2018),
// AdamW (Loshchilov and Hutter 2019), Adamax, NAdam (Dozat 2016), RAdam (Liu et al. 2020).
import { map, type Node } from '../graph/node.js'
import { add, div, exp, lt, mul, square, sub, where } from '../nn/nodes/math.js'
import type { Parameter } from '../tensor/parameter.js'
import {
  average,
  type Current,
  checkRange,
  correction,
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

export interface MomentOptions extends DecayOptions {
  /** Decay of the mean and of the mean square of gradients. */
  betas: readonly [number, number]
  eps: number
}

export interface AdamOptions extends MomentOptions {
  /** Divides by the greatest mean square so far. */
  amsgrad: boolean
}

const moments: MomentOptions = {
  lr: 1e-3,
  betas: [0.9, 0.999],
  eps: 1e-8,
  weightDecay: 0,
  maximize: false,
}

abstract class MomentOptimizer<Options extends MomentOptions> extends Optimizer<Options> {
  constructor(parameters: Given<Options>, defaults: Options, options: Partial<Options>) {
    super(parameters, withDefaults(defaults, options))
    const name = this.constructor.name
    for (const { options } of this.groups) {
      checkRange(`${name}: betas[0]`, options.betas[0], 1)
      checkRange(`${name}: betas[1]`, options.betas[1], 1)
      checkRange(`${name}: eps`, options.eps)
      checkRange(`${name}: weightDecay`, options.weightDecay)
    }
  }

  protected stateOf(_: Options): { readonly [name: string]: StateStart } {
    return { expAvg: {}, expAvgSq: {} }
  }

  protected counts(): boolean {
    return true
  }
}

/** Mean and mean square of the gradient g, decayed. */
function decayed({ state }: Current, g: Node, [beta1, beta2]: readonly [number, number]) {
  return {
    expAvg: average(state.expAvg, g, beta1),
    expAvgSq: average(state.expAvgSq, square(g), beta2),
  }
}

/** Adam's step from `value` for the gradient g. */
function adamStep(current: Current, value: Node, g: Node, options: AdamOptions): Next {
  const { lr, state, count } = current
  const { betas, eps, amsgrad } = options
  const next = decayed(current, g, betas)
  const most = amsgrad ? map('max', state.maxExpAvgSq, next.expAvgSq) : next.expAvgSq
  const root = map('sqrt', correction(count, betas[1]))
  const denominator = add(div(map('sqrt', most), root), eps)
  const rate = div(lr, correction(count, betas[0]))
  return {
    value: sub(value, mul(div(next.expAvg, denominator), rate)),
    state: amsgrad ? { ...next, maxExpAvgSq: most } : next,
  }
}

/** m ← mean of gradients, v ← mean of squares; parameter ← parameter − lr·m̂ / (√v̂ + ε). */
export class Adam extends MomentOptimizer<AdamOptions> {
  constructor(parameters: Given<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(parameters, { ...moments, amsgrad: false }, options)
  }

  protected override stateOf({ amsgrad }: AdamOptions): { readonly [name: string]: StateStart } {
    return { expAvg: {}, expAvgSq: {}, ...(amsgrad ? { maxExpAvgSq: {} } : {}) }
  }

  protected next(current: Current, options: AdamOptions): Next {
    return adamStep(current, current.value, penalized(current, options), options)
  }
}

/** Adam with weight decay applied to the parameter itself: parameter ← parameter·(1 − lr·weightDecay) first. */
export class AdamW extends MomentOptimizer<AdamOptions> {
  constructor(parameters: Given<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(parameters, { ...moments, weightDecay: 0.01, amsgrad: false }, options)
  }

  protected override stateOf({ amsgrad }: AdamOptions): { readonly [name: string]: StateStart } {
    return { expAvg: {}, expAvgSq: {}, ...(amsgrad ? { maxExpAvgSq: {} } : {}) }
  }

  protected next(current: Current, options: AdamOptions): Next {
    const { value, lr } = current
    const { weightDecay } = options
    const smaller = weightDecay === 0 ? value : mul(value, sub(1, mul(lr, weightDecay)))
    const g = penalized(current, { ...options, weightDecay: 0 })
    return adamStep(current, smaller, g, options)
  }
}

/** Adam with the infinity norm: u ← max(β₂·u, |g| + ε); parameter ← parameter − lr·m̂ / u. */
export class Adamax extends MomentOptimizer<MomentOptions> {
  constructor(parameters: Given<MomentOptions>, options: Partial<MomentOptions> = {}) {
    super(parameters, { ...moments, lr: 2e-3 }, options)
  }

  protected override stateOf(): { readonly [name: string]: StateStart } {
    return { expAvg: {}, expInf: {} }
  }

  protected next(current: Current, options: MomentOptions): Next {
    const { value, lr, state, count } = current
    const [beta1, beta2] = options.betas
    const g = penalized(current, options)
    const expAvg = average(state.expAvg, g, beta1)
    const expInf = map('max', mul(state.expInf, beta2), add(map('abs', g), options.eps))
    const rate = div(lr, correction(count, beta1))
    return { value: descend(value, rate, div(expAvg, expInf)), state: { expAvg, expInf } }
  }
}

export interface NAdamOptions extends MomentOptions {
  momentumDecay: number
}

/** Adam with Nesterov's momentum, whose strength grows as 1 − 0.96^(count·momentumDecay)/2. */
export class NAdam extends MomentOptimizer<NAdamOptions> {
  constructor(parameters: Given<NAdamOptions>, options: Partial<NAdamOptions> = {}) {
    super(parameters, { ...moments, lr: 2e-3, momentumDecay: 4e-3 }, options)
  }

  protected override stateOf(): { readonly [name: string]: StateStart } {
    return { expAvg: {}, expAvgSq: {}, muProduct: { scalar: true, value: 1 } }
  }

  protected next(current: Current, options: NAdamOptions): Next {
    const { value, lr, state, count } = current
    const { betas, eps, momentumDecay } = options
    const strength = (n: Node) => {
      const fading = exp(mul(n, momentumDecay * Math.log(0.96)))
      return mul(sub(1, mul(fading, 0.5)), betas[0])
    }
    const now = strength(count)
    const later = strength(add(count, 1))
    const muProduct = mul(state.muProduct, now)
    const g = penalized(current, options)
    const next = decayed(current, g, betas)
    const root = map('sqrt', div(next.expAvgSq, correction(count, betas[1])))
    const ofGradient = div(sub(1, now), sub(1, muProduct))
    // The documentation has Π μ up to the next step here; PyTorch 1.13 computes with one μ more.
    const ofMean = div(later, sub(1, mul(mul(muProduct, now), later)))
    const direction = add(mul(g, ofGradient), mul(next.expAvg, ofMean))
    return {
      value: descend(value, lr, div(direction, add(root, eps))),
      state: { ...next, muProduct },
    }
  }
}

/** Adam that uses the mean square only once its variance is tractable, about from the sixth step. */
export class RAdam extends MomentOptimizer<MomentOptions> {
  constructor(parameters: Given<MomentOptions>, options: Partial<MomentOptions> = {}) {
    super(parameters, moments, options)
  }

  protected next(current: Current, options: MomentOptions): Next {
    const { value, lr, count } = current
    const { betas, eps } = options
    const next = decayed(current, penalized(current, options), betas)
    const rest = correction(count, betas[1])
    const longest = 2 / (1 - betas[1]) - 1
    // Length of the approximated simple moving average; above 5 the rectification is defined.
    const length = sub(longest, div(mul(mul(count, 2), sub(1, rest)), rest))
    const tractable = lt(5, length)
    const safe = where(tractable, length, 6)
    const scale = longest / ((longest - 4) * (longest - 2))
    const rectified = map('sqrt', div(mul(mul(sub(safe, 4), sub(safe, 2)), scale), safe))
    const mean = div(next.expAvg, correction(count, betas[0]))
    const adaptive = div(mul(rectified, map('sqrt', rest)), add(map('sqrt', next.expAvgSq), eps))
    return { value: descend(value, lr, mul(mean, where(tractable, adaptive, 1))), state: next }
  }
}
