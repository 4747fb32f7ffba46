// What an update rule is: what a parameter and its state become in one step, as nodes; and what rules share.
//
// A rule's numbers are arguments of the program, read when it runs: a learning rate, a momentum or a decay that
// changes between two steps compiles nothing. They are computed on the host in float64, so that 1 − β₂ keeps its
// digits. Only what shapes the program (a flag, whether a momentum is 0) is part of it.
import { fail } from '../base/errors.js'
import { map, type Node } from '../graph/node.js'
import { add, div, mul, neg, sub } from '../nn/nodes/math.js'

/** What all optimizers have. */
export interface BaseOptions {
  /** The learning rate. */
  lr: number
}

/** Numbers and nodes by name. */
export interface Numbers {
  readonly [name: string]: number
}
export interface Nodes {
  readonly [name: string]: Node
}

/** What a rule computes from, for one parameter. */
export interface Current {
  readonly value: Node
  readonly gradient: Node
  readonly lr: Node
  /** The group's `numbers`, as float32 scalars. */
  readonly numbers: Nodes
  /** State by name, as `stateOf` lists it. */
  readonly state: Nodes
  /** The number of this step for this parameter, from 1; float32 scalar. */
  readonly count: Node
}

/** What the parameter and its state become. */
export interface Next {
  readonly value: Node
  readonly state?: Nodes
}

/** Where a state begins: `zeros` like the parameter, or a value, for a `scalar` or for every element. */
export interface StateStart {
  readonly scalar?: boolean
  readonly value?: number
}

/** What most optimizers have. */
export interface DecayOptions extends BaseOptions {
  /** Adds this times the parameter to its gradient: an L2 penalty. */
  weightDecay: number
  /** Climbs instead of descending. */
  maximize: boolean
}

/** The gradient, of the loss or of its negative. */
export function directed(
  { gradient }: Current,
  { maximize }: { readonly maximize: boolean },
): Node {
  return maximize ? neg(gradient) : gradient
}

/** The gradient with sign and penalty; needs the number `weightDecay`. */
export function penalized(current: Current, options: DecayOptions): Node {
  const g = directed(current, options)
  return options.weightDecay === 0 ? g : add(g, mul(current.value, current.numbers.weightDecay))
}

/** value·(1 − lr·weightDecay): decay that bypasses the gradient; needs the number `shrink`. */
export function shrunk({ value, numbers }: Current, options: DecayOptions): Node {
  return options.weightDecay === 0 ? value : mul(value, numbers.shrink)
}

/** The factor of `shrunk`. */
export const shrink = ({ lr, weightDecay }: DecayOptions): number => 1 - lr * weightDecay

/** old·β + x·(1 − β), given β and 1 − β. */
export function average(old: Node, x: Node, beta: Node, rest: Node): Node {
  return add(mul(old, beta), mul(x, rest))
}

/** 1 − β^count given log(β)/2, accurate in float32 for β near 1: −expm1(count·log β). */
export function correction(count: Node, halfLog: Node): Node {
  const t = map('tanh', mul(count, halfLog))
  return div(mul(t, -2), sub(1, t))
}

/** log(β)/2: what `correction` takes. −∞ for β = 0, whose correction is 1. */
export const halfLog = (beta: number): number => Math.log(beta) / 2

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
