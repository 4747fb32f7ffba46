// Adam and its family, as torch.optim has them: Adam (Kingma and Ba 2015, amsgrad after Reddi et al. 2018),
// AdamW (Loshchilov and Hutter 2019), Adamax, NAdam (Dozat 2016), RAdam (Liu et al. 2020).
import { map, type Node } from '../graph/node.js'
import { add, div, exp, lt, mul, square, sub, where } from '../nn/nodes/math.js'
import { type Given, Optimizer } from './optimizer.js'
import {
  average,
  type Current,
  checkRange,
  correction,
  type DecayOptions,
  descend,
  directed,
  halfLog,
  type Next,
  type Nodes,
  type Numbers,
  penalized,
  type StateStart,
  shrink,
  shrunk,
  withDefaults,
} from './rule.js'

/** Options of optimizers with two moments. */
export interface MomentOptions extends DecayOptions {
  /** Decay of the mean and of the mean square of gradients. */
  betas: readonly [number, number]
  eps: number
}

/** Options of Adam and AdamW. */
export interface AdamOptions extends MomentOptions {
  /** Divides by the greatest mean square so far. */
  amsgrad: boolean
}

/** Options of optimizers whose weight decay may be decoupled. */
export interface DecoupledOptions extends MomentOptions {
  /** Weight decay shrinks the parameter itself, as in AdamW, instead of joining the gradient. */
  decoupledWeightDecay: boolean
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
  }

  protected check(options: Options): void {
    const name = this.constructor.name
    checkRange(`${name}: betas[0]`, options.betas[0], 1)
    checkRange(`${name}: betas[1]`, options.betas[1], 1)
    checkRange(`${name}: eps`, options.eps)
    checkRange(`${name}: weightDecay`, options.weightDecay)
  }

  protected numbers(options: Options): Numbers {
    const { betas, eps, weightDecay } = options
    const [beta1, beta2] = betas
    return {
      beta1,
      beta2,
      rest1: 1 - beta1,
      rest2: 1 - beta2,
      halfLog1: halfLog(beta1),
      halfLog2: halfLog(beta2),
      eps,
      weightDecay,
      shrink: shrink(options),
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
function decayed({ state, numbers }: Current, g: Node) {
  return {
    expAvg: average(state.expAvg, g, numbers.beta1, numbers.rest1),
    expAvgSq: average(state.expAvgSq, square(g), numbers.beta2, numbers.rest2),
  }
}

/** Adam's step from `value` for the gradient g. */
function adamStep(current: Current, value: Node, g: Node, { amsgrad }: AdamOptions): Next {
  const { lr, state, numbers, count } = current
  const next = decayed(current, g)
  const most = amsgrad ? map('max', state.maxExpAvgSq, next.expAvgSq) : next.expAvgSq
  const root = map('sqrt', correction(count, numbers.halfLog2))
  const denominator = add(div(map('sqrt', most), root), numbers.eps)
  const rate = div(lr, correction(count, numbers.halfLog1))
  return {
    value: sub(value, mul(div(next.expAvg, denominator), rate)),
    state: amsgrad ? { ...next, maxExpAvgSq: most } : next,
  }
}

const adamState = ({ amsgrad }: AdamOptions): { readonly [name: string]: StateStart } => ({
  expAvg: {},
  expAvgSq: {},
  ...(amsgrad ? { maxExpAvgSq: {} } : {}),
})

/** m ← mean of gradients, v ← mean of squares; parameter ← parameter − lr·m̂ / (√v̂ + ε). */
export class Adam extends MomentOptimizer<AdamOptions> {
  constructor(parameters: Given<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(parameters, { ...moments, amsgrad: false }, options)
  }

  protected override stateOf(options: AdamOptions): { readonly [name: string]: StateStart } {
    return adamState(options)
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

  protected override stateOf(options: AdamOptions): { readonly [name: string]: StateStart } {
    return adamState(options)
  }

  protected next(current: Current, options: AdamOptions): Next {
    return adamStep(current, shrunk(current, options), directed(current, options), options)
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
    const { value, lr, numbers, state, count } = current
    const g = penalized(current, options)
    const expAvg = average(state.expAvg, g, numbers.beta1, numbers.rest1)
    const expInf = map('max', mul(state.expInf, numbers.beta2), add(map('abs', g), numbers.eps))
    const rate = div(lr, correction(count, numbers.halfLog1))
    return { value: descend(value, rate, div(expAvg, expInf)), state: { expAvg, expInf } }
  }
}

/** Options of NAdam. */
export interface NAdamOptions extends DecoupledOptions {
  momentumDecay: number
}

/** Where a decoupled decay begins from, and the gradient without or with a penalty. */
function decoupled(current: Current, options: DecoupledOptions): { value: Node; g: Node } {
  return options.decoupledWeightDecay
    ? { value: shrunk(current, options), g: directed(current, options) }
    : { value: current.value, g: penalized(current, options) }
}

/** Adam with Nesterov's momentum, whose strength grows as 1 − 0.96^(count·momentumDecay)/2. */
export class NAdam extends MomentOptimizer<NAdamOptions> {
  constructor(parameters: Given<NAdamOptions>, options: Partial<NAdamOptions> = {}) {
    super(
      parameters,
      { ...moments, lr: 2e-3, momentumDecay: 4e-3, decoupledWeightDecay: false },
      options,
    )
  }

  protected override check(options: NAdamOptions): void {
    super.check(options)
    checkRange('NAdam: momentumDecay', options.momentumDecay)
  }

  protected override numbers(options: NAdamOptions): Numbers {
    return { ...super.numbers(options), fade: options.momentumDecay * Math.log(0.96) }
  }

  protected override stateOf(): { readonly [name: string]: StateStart } {
    return { expAvg: {}, expAvgSq: {}, muProduct: { scalar: true, value: 1 } }
  }

  protected next(current: Current, options: NAdamOptions): Next {
    const { lr, numbers, state, count } = current
    const strength = (n: Node) => mul(sub(1, mul(exp(mul(n, numbers.fade)), 0.5)), numbers.beta1)
    const now = strength(count)
    const later = strength(add(count, 1))
    const muProduct = mul(state.muProduct, now)
    const { value, g } = decoupled(current, options)
    const next = decayed(current, g)
    const root = map('sqrt', div(next.expAvgSq, correction(count, numbers.halfLog2)))
    const ofGradient = div(sub(1, now), sub(1, muProduct))
    // The documentation has Π μ up to the next step here; PyTorch 1.13 computes with one μ more.
    const ofMean = div(later, sub(1, mul(mul(muProduct, now), later)))
    const direction = add(mul(g, ofGradient), mul(next.expAvg, ofMean))
    return {
      value: descend(value, lr, div(direction, add(root, numbers.eps))),
      state: { ...next, muProduct },
    }
  }
}

/** Adam that uses the mean square only once its variance is tractable, about from the sixth step. */
export class RAdam extends MomentOptimizer<DecoupledOptions> {
  constructor(parameters: Given<DecoupledOptions>, options: Partial<DecoupledOptions> = {}) {
    super(parameters, { ...moments, decoupledWeightDecay: false }, options)
  }

  protected override numbers(options: DecoupledOptions): Numbers {
    const longest = 2 / (1 - options.betas[1]) - 1
    const scale = longest / ((longest - 4) * (longest - 2))
    return { ...super.numbers(options), longest, scale }
  }

  protected next(current: Current, options: DecoupledOptions): Next {
    const { lr, numbers, count } = current
    const { value, g } = decoupled(current, options)
    const next = decayed(current, g)
    const rest = correction(count, numbers.halfLog2)
    // Length of the approximated simple moving average; above 5 the rectification is defined.
    const length = sub(numbers.longest, div(mul(mul(count, 2), sub(1, rest)), rest))
    const tractable = lt(5, length)
    const safe = where(tractable, length, 6)
    const rectified = map('sqrt', div(mul(mul(sub(safe, 4), sub(safe, 2)), numbers.scale), safe))
    const mean = div(next.expAvg, correction(count, numbers.halfLog1))
    const adaptive = div(
      mul(rectified, map('sqrt', rest)),
      add(map('sqrt', next.expAvgSq), numbers.eps),
    )
    return { value: descend(value, lr, mul(mean, where(tractable, adaptive, 1))), state: next }
  }
}

/** Options of Lion. */
export interface LionOptions extends DecayOptions {
  /** The share of the mean in the direction, and the decay of the mean. */
  betas: readonly [number, number]
}

/**
 * Steps of equal size for every element: parameter ← parameter·(1 − lr·weightDecay) − lr·sign(β₁·m + (1 − β₁)·g),
 * then m ← β₂·m + (1 − β₂)·g (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms").
 */
export class Lion extends Optimizer<LionOptions> {
  constructor(parameters: Given<LionOptions>, options: Partial<LionOptions> = {}) {
    const defaults: LionOptions = { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0, maximize: false }
    super(parameters, withDefaults(defaults, options))
  }

  protected check(options: LionOptions): void {
    checkRange('Lion: betas[0]', options.betas[0], 1)
    checkRange('Lion: betas[1]', options.betas[1], 1)
    checkRange('Lion: weightDecay', options.weightDecay)
  }

  protected numbers(options: LionOptions): Numbers {
    const [beta1, beta2] = options.betas
    return { beta1, beta2, rest1: 1 - beta1, rest2: 1 - beta2, shrink: shrink(options) }
  }

  protected stateOf(): { readonly [name: string]: StateStart } {
    return { expAvg: {} }
  }

  protected counts(): boolean {
    return false
  }

  protected next(current: Current, options: LionOptions): Next {
    const { lr, state } = current
    const { beta1, beta2, rest1, rest2 }: Nodes = current.numbers
    const g = directed(current, options)
    const direction = map('sign', average(state.expAvg, g, beta1, rest1))
    return {
      value: descend(shrunk(current, options), lr, direction),
      state: { expAvg: average(state.expAvg, g, beta2, rest2) },
    }
  }
}
