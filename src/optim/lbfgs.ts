// L-BFGS: Newton's direction from the last gradients' differences, without a matrix (Liu and Nocedal 1989), with a
// line search for the strong Wolfe conditions (Nocedal and Wright 2006, algorithms 3.5 and 3.6). After torch.optim.LBFGS.
//
// The loss decides how far a step goes, so it is evaluated several times a step and read each time: vectors live on
// the host, in float64. For small models and smooth losses of whole batches; it has no checkpoints.
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import type { Parameter } from '../tensor/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { strongWolfe } from './wolfe.js'

/** Options of LBFGS. */
export interface LBFGSOptions {
  /** The length of the first try along the direction. Default 1. */
  readonly lr?: number
  /** Directions taken in one step. Default 20. */
  readonly maxIter?: number
  /** Evaluations in one step. Default 1.25·maxIter. */
  readonly maxEval?: number
  /** A step ends when no gradient is larger. Default 1e-7. */
  readonly toleranceGrad?: number
  /** A step ends when neither parameters nor loss change by more. Default 1e-9. */
  readonly toleranceChange?: number
  /** How many differences are remembered. Default 100. */
  readonly historySize?: number
  /** Whether the length is searched for along the direction. Default: the first try is taken. */
  readonly lineSearch?: 'strongWolfe'
}

/** A loss and its gradient for all parameters, one after the other. */
export interface Evaluation {
  readonly loss: number
  readonly gradient: Float64Array
}

const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}
const largest = (a: Float64Array) => a.reduce((most, x) => Math.max(most, Math.abs(x)), 0)

interface Difference {
  readonly y: Float64Array
  readonly s: Float64Array
  readonly rho: number
}

/**
 *     const optimizer = new LBFGS(model.parameters(), { lineSearch: 'strongWolfe' })
 *     await optimizer.step(() => {
 *       optimizer.zeroGrad()
 *       const loss = mseLoss(model.forward(x), y)
 *       loss.backward()
 *       return loss
 *     })
 */
export class LBFGS {
  readonly parameters: readonly Parameter[]
  readonly options: Required<Omit<LBFGSOptions, 'lineSearch'>> & Pick<LBFGSOptions, 'lineSearch'>
  readonly #history: Difference[] = []
  #last: { readonly gradient: Float64Array; readonly moved: Float64Array } | undefined
  #scale = 1

  /** @throws BurnishError when there are no parameters. */
  constructor(parameters: Iterable<Parameter>, options: LBFGSOptions = {}) {
    this.parameters = [...parameters]
    if (this.parameters.length === 0) fail('LBFGS: there are no parameters to train')
    const { maxIter = 20 } = options
    this.options = {
      lr: 1,
      maxIter,
      maxEval: Math.floor(maxIter * 1.25),
      toleranceGrad: 1e-7,
      toleranceChange: 1e-9,
      historySize: 100,
      ...options,
    }
    if (!(this.options.lr > 0)) fail(`LBFGS: lr is ${this.options.lr}, but must be above 0`)
  }

  /** Forgets all gradients. */
  zeroGrad(): void {
    for (const parameter of this.parameters) parameter.grad = undefined
  }

  /**
   * Takes up to `maxIter` directions. `closure` clears the gradients, computes the loss, calls backward() and returns
   * the loss; it is called several times. Gives the loss before the step.
   */
  async step(closure: () => Tensor): Promise<number> {
    const { lr, maxIter, maxEval, toleranceGrad, toleranceChange, lineSearch } = this.options
    let now = await this.#evaluate(closure)
    const before = now.loss
    let evaluations = 1
    for (let i = 0; i < maxIter && evaluations < maxEval; i++) {
      if (largest(now.gradient) <= toleranceGrad) break
      const first = this.#last === undefined
      const direction = this.#direction(now.gradient)
      const slope = dot(now.gradient, direction)
      if (slope > -toleranceChange) break
      const sum = now.gradient.reduce((total, g) => total + Math.abs(g), 0)
      let length = first ? Math.min(1, 1 / sum) * lr : lr
      const start = await this.#values()
      const at = async (t: number): Promise<Evaluation> => {
        this.#place(start, direction, t)
        evaluations++
        return this.#evaluate(closure)
      }
      const old = now
      if (lineSearch === 'strongWolfe') {
        const found = await strongWolfe({ at, start: now, direction, length, toleranceChange })
        length = found.length
        now = found.end
        this.#place(start, direction, length)
      } else now = await at(length)
      const moved = direction.map((d) => d * length)
      this.#last = { gradient: old.gradient, moved }
      if (largest(moved) <= toleranceChange) break
      if (Math.abs(now.loss - old.loss) < toleranceChange) break
    }
    return before
  }

  /** −H·g by the two-loop recursion over what is remembered. */
  #direction(gradient: Float64Array): Float64Array {
    if (this.#last !== undefined) this.#remember(gradient, this.#last)
    const direction = gradient.map((g) => -g)
    const shares: number[] = []
    for (let i = this.#history.length - 1; i >= 0; i--) {
      const { y, s, rho } = this.#history[i]
      shares[i] = dot(s, direction) * rho
      for (let k = 0; k < direction.length; k++) direction[k] -= shares[i] * y[k]
    }
    for (let k = 0; k < direction.length; k++) direction[k] *= this.#scale
    this.#history.forEach(({ y, s, rho }, i) => {
      const share = shares[i] - dot(y, direction) * rho
      for (let k = 0; k < direction.length; k++) direction[k] += share * s[k]
    })
    return direction
  }

  #remember(
    gradient: Float64Array,
    last: { readonly gradient: Float64Array; readonly moved: Float64Array },
  ): void {
    const y = gradient.map((g, k) => g - last.gradient[k])
    const curvature = dot(y, last.moved)
    if (curvature <= 1e-10) return
    if (this.#history.length >= this.options.historySize) this.#history.shift()
    this.#history.push({ y, s: last.moved, rho: 1 / curvature })
    this.#scale = curvature / dot(y, y)
  }

  async #evaluate(closure: () => Tensor): Promise<Evaluation> {
    const loss = closure()
    const pending = this.parameters.map(
      ({ grad, shape }) => grad?.data() ?? Promise.resolve(new Float32Array(sizeOf(shape))),
    )
    const [value, ...gradients] = await Promise.all([loss.item(), ...pending])
    this.zeroGrad()
    return { loss: value, gradient: joined(gradients) }
  }

  async #values(): Promise<Float64Array> {
    return joined(await Promise.all(this.parameters.map((p) => p.data())))
  }

  #place(start: Float64Array, direction: Float64Array, length: number): void {
    let from = 0
    for (const parameter of this.parameters) {
      const size = sizeOf(parameter.shape)
      const offset = from
      parameter.set(
        Float32Array.from(
          { length: size },
          (_, k) => start[offset + k] + length * direction[offset + k],
        ),
      )
      from += size
    }
  }
}

function joined(parts: readonly ArrayLike<number>[]): Float64Array {
  const all = new Float64Array(parts.reduce((total, part) => total + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
