// Optimizer: parameter groups with their options, state a parameter, and a step that is one program.
//
// A rule says, over nodes, what a parameter and its state become. The learning rate is an argument of the
// program, read when it runs, so schedules never recompile; other options are constants of the program.
// State lives on the device. The number of steps, where a rule needs it, is state too, shared by the
// parameters that began in the same step, so that a compiled step counts by itself. After torch.optim.
import { fail } from '../base/errors.js'
import { type Shape, sizeOf } from '../base/shape.js'
import { building, input, map, type Node } from '../graph/node.js'
import { add, div, mul, neg, sub } from '../nn/nodes/math.js'
import { context } from '../tensor/context.js'
import { tensor } from '../tensor/create.js'
import { Parameter } from '../tensor/parameter.js'
import { type StepOptions, step } from '../tensor/submit.js'
import { fromNode, type Tensor } from '../tensor/tensor.js'
import { Scalar } from '../tensor/value.js'

export interface BaseOptions {
  /** The learning rate. */
  lr: number
}

/** Parameters with options that differ from the optimizer's. */
export type GroupOptions<Options> = Partial<Options> & { readonly parameters: Iterable<Parameter> }

export interface Group<Options> {
  readonly parameters: readonly Parameter[]
  /** May be changed between steps; anything but `lr` compiles the step anew. */
  readonly options: Options
}

/** What a rule computes from, for one parameter. */
export interface Current {
  readonly value: Node
  readonly gradient: Node
  readonly lr: Node
  /** State by name, as `stateShapes` lists it. */
  readonly state: { readonly [name: string]: Node }
  /** The number of this step for this parameter, from 1; float32 scalar. */
  readonly count: Node
}

/** What the parameter and its state become. */
export interface Next {
  readonly value: Node
  readonly state?: { readonly [name: string]: Node }
}

/** Where a state begins: `zeros` like the parameter, or a value, for a `scalar` or for every element. */
export interface StateStart {
  readonly scalar?: boolean
  readonly value?: number
}

interface Kept {
  readonly state: ReadonlyMap<string, Parameter>
  readonly count: Parameter | undefined
}

const start = (shape: Shape, value: number) =>
  new Parameter(tensor(new Float32Array(sizeOf(shape)).fill(value), { shape }), { role: 'state' })

export abstract class Optimizer<Options extends BaseOptions = BaseOptions> {
  readonly groups: readonly Group<Options>[]
  readonly #kept = new Map<Parameter, Kept>()

  /**
   * @throws BurnishError when there are no parameters, one is given twice, or a learning rate is negative.
   */
  constructor(
    parameters: Iterable<Parameter> | readonly GroupOptions<Options>[],
    defaults: Options,
  ) {
    const name = this.constructor.name
    const given = [...parameters]
    const plain = given.filter((item): item is Parameter => item instanceof Parameter)
    const grouped = given.filter(
      (item): item is GroupOptions<Options> => !(item instanceof Parameter),
    )
    if (plain.length > 0 && grouped.length > 0)
      fail(`${name}: give parameters, or groups of parameters, not both`)
    this.groups =
      grouped.length > 0
        ? grouped.map(({ parameters, ...options }) => ({
            parameters: [...parameters],
            options: { ...defaults, ...options },
          }))
        : [{ parameters: plain, options: { ...defaults } }]
    const seen = new Set<Parameter>()
    for (const group of this.groups) {
      if (!(group.options.lr >= 0))
        fail(`${name}: lr is ${group.options.lr}, but must be a number from 0`)
      for (const parameter of group.parameters) {
        if (seen.has(parameter))
          fail(
            `${name}: ${parameter.name || 'a parameter'} is given twice; model.parameters() lists shared ones once`,
          )
        seen.add(parameter)
      }
    }
    if (seen.size === 0) fail(`${name}: there are no parameters to train`)
  }

  /** The learning rate of the first group; setting it sets that of all groups. */
  get lr(): number {
    return this.groups[0].options.lr
  }
  set lr(value: number) {
    for (const group of this.groups) group.options.lr = value
  }

  /** Forgets all gradients. */
  zeroGrad(): void {
    for (const group of this.groups)
      for (const parameter of group.parameters) parameter.grad = undefined
  }

  /**
   * One program: the losses, their gradients, and every parameter's next value. Awaiting it waits for completion and
   * errors only. With `guard`, nothing is updated when that loss is not finite, and the step rejects.
   * @throws BurnishError when no parameter has a gradient.
   */
  step(options: StepOptions = {}): Promise<void> {
    const updates: (readonly [Parameter, Tensor])[] = []
    const counted = new Map<Parameter | undefined, Node>()
    let fresh: Parameter | undefined
    const label = building.label
    for (const group of this.groups) {
      this.#watch(group)
      const { options } = group
      const lr = input(new Scalar(() => options.lr), [], 'float32')
      for (const parameter of group.parameters) {
        const gradient = parameter.trainable ? parameter.grad : undefined
        if (gradient === undefined) continue
        let kept = this.#kept.get(parameter)
        if (kept === undefined) {
          if (this.counts(options)) fresh ??= start([], 0)
          kept = this.#begin(parameter, options, fresh)
        }
        building.label = parameter.name.split('.').slice(0, -1).join('.')
        const { count } = kept
        let number = counted.get(count)
        if (number === undefined) {
          number = count ? add(count.node, 1) : input(new Scalar(() => 0), [], 'float32')
          counted.set(count, number)
        }
        const state = Object.fromEntries([...kept.state].map(([name, p]) => [name, p.node]))
        const current = { value: parameter.node, gradient: gradient.node, lr, state, count: number }
        const next = this.next(current, options)
        updates.push([parameter, fromNode(next.value, parameter, gradient)])
        for (const [name, value] of Object.entries(next.state ?? {})) {
          const target = kept.state.get(name)
          if (target) updates.push([target, fromNode(value, parameter, gradient)])
        }
      }
    }
    building.label = label
    if (updates.length === 0)
      fail(`${this.constructor.name}.step: no parameter has a gradient; call loss.backward() first`)
    for (const [count, number] of counted) if (count) updates.push([count, fromNode(number)])
    return step(updates, options)
  }

  /** A compiled step is recorded again when options other than the learning rate change. */
  #watch(group: Group<Options>): void {
    context.watch(() => group.parameters.length)
    context.watch(() => JSON.stringify({ ...group.options, lr: 0 }))
  }

  #begin(parameter: Parameter, options: Options, count: Parameter | undefined): Kept {
    const state = new Map<string, Parameter>()
    for (const [name, { scalar = false, value = 0 }] of Object.entries(this.stateOf(options)))
      state.set(name, start(scalar ? [] : parameter.shape, value))
    for (const [name, p] of state) p.name = `${parameter.name}.${name}`
    const kept = { state, count }
    this.#kept.set(parameter, kept)
    return kept
  }

  /** The state each parameter has, and where it begins. */
  protected abstract stateOf(options: Options): { readonly [name: string]: StateStart }

  /** Whether the rule uses the number of the step. */
  protected abstract counts(options: Options): boolean

  /** The rule. */
  protected abstract next(current: Current, options: Options): Next
}

// ---- what several rules share ----

export interface DecayOptions extends BaseOptions {
  /** Adds this times the parameter to its gradient: an L2 penalty. */
  weightDecay: number
  /** Climbs instead of descending. */
  maximize: boolean
}

/** The gradient with sign and penalty. */
export function penalized({ value, gradient }: Current, options: DecayOptions): Node {
  const g = options.maximize ? neg(gradient) : gradient
  return options.weightDecay === 0 ? g : add(g, mul(value, options.weightDecay))
}

/** old·β + x·(1 − β) */
export function average(old: Node, x: Node, beta: number): Node {
  return add(mul(old, beta), mul(x, 1 - beta))
}

/** 1 − β^count, accurate in float32 for β near 1: −expm1(count·log β). */
export function correction(count: Node, beta: number): Node {
  if (beta === 0) return add(mul(count, 0), 1)
  const t = map('tanh', mul(count, Math.log(beta) / 2))
  return div(mul(t, -2), sub(1, t))
}

/** value − lr·direction */
export function descend(value: Node, lr: Node, direction: Node): Node {
  return sub(value, mul(direction, lr))
}

/** Options with their defaults, none overridden by undefined. */
export function withDefaults<Options extends object>(
  defaults: Options,
  options: Partial<Options>,
): Options {
  const result = { ...defaults }
  for (const key of Object.keys(options) as (keyof Options)[]) {
    const value = options[key]
    if (value !== undefined) result[key] = value
  }
  return result
}

/** Throws unless 0 ≤ value (< 1 for a decay rate). */
export function checkRange(name: string, value: number, below = Infinity): void {
  if (!(value >= 0 && value < below))
    fail(
      `${name} is ${value}, but must be a number from 0${below < Infinity ? ` and below ${below}` : ''}`,
    )
}
