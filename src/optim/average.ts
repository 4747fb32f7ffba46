// The exponential moving average of a model's weights, which often measures better than the weights themselves
// (Polyak and Juditsky 1992). After torch.optim.swa_utils' AveragedModel with get_ema_avg_fn.
//
// The averages are state: `update()` after `step()` leaves their next values pending, and the next program, or the
// compiled one it stands in, computes them along.
import { fail } from '../base/errors.js'
import { input, map, type Node } from '../graph/node.js'
import { add, div, mul, sub } from '../nn/nodes/math.js'
import { tensor } from '../tensor/create.js'
import { Parameter } from '../tensor/parameter.js'
import { fromNode, type Tensor } from '../tensor/tensor.js'
import { Scalar } from '../tensor/value.js'
import { type LoadableState, stateTensor } from './state.js'

/** How fast averages follow. */
export interface AverageOptions {
  /** The part of the average that stays in each update; may be changed later. Default 0.999. */
  readonly decay?: number
  /** Begins with a faster average: in update n the decay is at most (1 + n) / (10 + n). Default false. */
  readonly warmup?: boolean
}

/**
 * average ← average·decay + parameter·(1 − decay), beginning with the parameters as they are.
 *
 *     const ema = new ExponentialMovingAverage(model.parameters(), { decay: 0.99 })
 *     … optimizer.step(); ema.update()
 *     const accuracy = await ema.averaged(() => evaluate(model, batches))
 */
export class ExponentialMovingAverage {
  decay: number
  readonly #averages = new Map<Parameter, Parameter>()
  readonly #count: Parameter | undefined
  #stored: Map<Parameter, Parameter> | undefined

  constructor(
    parameters: Iterable<Parameter>,
    { decay = 0.999, warmup = false }: AverageOptions = {},
  ) {
    if (!(decay >= 0 && decay <= 1))
      fail(`ExponentialMovingAverage: decay is ${decay}, but must be between 0 and 1`)
    this.decay = decay
    for (const parameter of parameters) this.#averages.set(parameter, copy(parameter, 'average'))
    if (this.#averages.size === 0) fail('ExponentialMovingAverage: there are no parameters')
    this.#count = warmup ? new Parameter(tensor([0], { shape: [] }), { role: 'state' }) : undefined
  }

  /** Takes the parameters as they are now into the averages; call it after each step. */
  update(): void {
    if (this.#stored !== undefined)
      fail('ExponentialMovingAverage.update: the averages are applied; call restore() first')
    let rest: Node = input(new Scalar(() => 1 - this.decay), [], 'float32')
    if (this.#count) {
      const count = add(this.#count.node, 1)
      this.#count.set(fromNode(count))
      rest = map('max', rest, div(9, add(count, 10)))
    }
    for (const [parameter, average] of this.#averages) {
      const moved = mul(sub(parameter.node, average.node), rest)
      average.set(fromNode(add(average.node, moved), parameter))
    }
  }

  /** Puts the averages in the parameters' place, until restore(). */
  apply(): void {
    if (this.#stored !== undefined) fail('ExponentialMovingAverage.apply: they are applied already')
    this.#stored = new Map()
    for (const [parameter, average] of this.#averages) {
      this.#stored.set(parameter, copy(parameter, 'stored'))
      parameter.set(average as Tensor)
    }
  }

  /** Puts the parameters back. */
  restore(): void {
    if (this.#stored === undefined) fail('ExponentialMovingAverage.restore: apply() comes first')
    for (const [parameter, own] of this.#stored ?? []) parameter.set(own as Tensor)
    this.#stored = undefined
  }

  /** Runs `body` with the averages applied; the parameters are back afterwards, whatever happens. */
  async averaged<R>(body: () => R | Promise<R>): Promise<R> {
    this.apply()
    try {
      return await body()
    } finally {
      this.restore()
    }
  }

  /** The averages by position (`0`, `1`, …) and, with warm-up, `count`: for checkpoints. */
  stateDict(): { readonly [name: string]: Parameter } {
    const state: { [name: string]: Parameter } = Object.create(null)
    let i = 0
    for (const average of this.#averages.values()) state[`${i++}`] = average
    if (this.#count) state.count = this.#count
    return state
  }

  /** Goes on from what `stateDict()` gave, its tensors as such or as host values from a file. */
  loadStateDict(values: LoadableState['tensors']): void {
    const own = this.stateDict()
    const missing = Object.keys(own).filter((name) => values[name] === undefined)
    const unexpected = Object.keys(values).filter((name) => own[name] === undefined)
    if (missing.length > 0 || unexpected.length > 0)
      fail(
        `ExponentialMovingAverage.loadStateDict: missing are ${missing.join(', ') || 'none'}, unexpected ${unexpected.join(', ') || 'none'}`,
      )
    for (const [name, parameter] of Object.entries(own)) parameter.set(stateTensor(values[name]))
  }
}

function copy(parameter: Parameter, what: string): Parameter {
  const own = new Parameter(parameter, { role: 'state' })
  own.name = `${parameter.name}.${what}`
  return own
}
