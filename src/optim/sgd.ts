// Stochastic gradient descent, with momentum (Polyak 1964) and Nesterov's variant, as torch.optim.SGD has it.
import { fail } from '../base/errors.js'
import { add, eq, mul, where } from '../nn/nodes/math.js'
import { type Given, Optimizer } from './optimizer.js'
import {
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

/** Options of SGD. */
export interface SGDOptions extends DecayOptions {
  momentum: number
  /** The buffer takes (1 − dampening) of each gradient but the first. */
  dampening: number
  nesterov: boolean
}

const defaults: SGDOptions = {
  lr: 1e-3,
  momentum: 0,
  dampening: 0,
  weightDecay: 0,
  nesterov: false,
  maximize: false,
}

/** buffer ← momentum·buffer + gradient; parameter ← parameter − lr·buffer. */
export class SGD extends Optimizer<SGDOptions> {
  constructor(parameters: Given<SGDOptions>, options: Partial<SGDOptions> = {}) {
    super(parameters, withDefaults(defaults, options))
  }

  protected check(options: SGDOptions): void {
    checkRange('SGD: momentum', options.momentum)
    checkRange('SGD: weightDecay', options.weightDecay)
    if (options.nesterov && (options.momentum === 0 || options.dampening !== 0))
      fail('SGD: nesterov needs a momentum above 0 and dampening 0')
  }

  protected numbers({ momentum, dampening, weightDecay }: SGDOptions): Numbers {
    return { momentum, weightDecay, fresh: 1 - dampening }
  }

  protected stateOf({ momentum }: SGDOptions): { readonly [name: string]: StateStart } {
    return momentum === 0 ? {} : { momentumBuffer: {} }
  }

  protected counts({ momentum, dampening }: SGDOptions): boolean {
    return momentum !== 0 && dampening !== 0
  }

  protected next(current: Current, options: SGDOptions): Next {
    const { value, lr, numbers, state, count } = current
    const { momentum, dampening, nesterov } = options
    const g = penalized(current, options)
    if (momentum === 0) return { value: descend(value, lr, g) }
    const old = mul(state.momentumBuffer, numbers.momentum)
    const buffer =
      dampening === 0 ? add(old, g) : where(eq(count, 1), g, add(old, mul(g, numbers.fresh)))
    const direction = nesterov ? add(g, mul(buffer, numbers.momentum)) : buffer
    return { value: descend(value, lr, direction), state: { momentumBuffer: buffer } }
  }
}
