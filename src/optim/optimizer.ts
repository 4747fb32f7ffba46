// Optimizer: parameter groups with their options, state a parameter, and a step that is one program.
//
// A rule says, over nodes, what a parameter and its state become (rule.ts). State lives on the device. The number
// of steps, where a rule needs it, is state too, so that a compiled step counts by itself; parameters that have
// always been stepped together share one count. After torch.optim.
import { fail } from '../base/errors.js'
import type { Shape } from '../base/shape.js'
import { building, constant, input, type Node } from '../graph/node.js'
import { add } from '../nn/nodes/math.js'
import { cast } from '../tensor/arithmetic.js'
import { context } from '../tensor/context.js'
import { Parameter } from '../tensor/parameter.js'
import { type StepOptions, step } from '../tensor/submit.js'
import { fromNode, type Tensor } from '../tensor/tensor.js'
import { Scalar } from '../tensor/value.js'
import type { BaseOptions, Current, Next, Nodes, Numbers, StateStart } from './rule.js'
import {
  COUNT,
  checkState,
  type LoadableState,
  type OptimizerState,
  type SavedOption,
  stateTensor,
} from './state.js'

/** Parameters with options that differ from the optimizer's. */
export type GroupOptions<Options> = Partial<Options> & { readonly parameters: Iterable<Parameter> }

/** What an optimizer is made of: parameters, or groups of them. */
export type Given<Options> = Iterable<Parameter> | readonly GroupOptions<Options>[]

/** Parameters that share their options. */
export interface Group<Options> {
  readonly parameters: readonly Parameter[]
  /** May be changed between steps; numbers compile nothing, unless they become 0 or cease to be. */
  readonly options: Options
  /** The rate a schedule has set, and that from which it is computed. */
  scheduled?: { readonly base: number; readonly lr: number }
}

interface Kept {
  readonly state: Map<string, Parameter>
  count: Parameter | undefined
}

const start = (shape: Shape, value: number) =>
  new Parameter(fromNode(constant(value, 'float32', shape)), { role: 'state' })

/** The base of optimizers: a subclass has defaults, checks, and one rule for a parameter. */
export abstract class Optimizer<Options extends BaseOptions = BaseOptions> {
  readonly groups: readonly Group<Options>[] = []
  readonly #defaults: Options
  readonly #kept = new Map<Parameter, Kept>()
  #loads = 0

  /**
   * @throws BurnishError when there are no parameters, one is given twice, or an option is out of its range.
   */
  constructor(parameters: Given<Options>, defaults: Options) {
    this.#defaults = defaults
    const name = this.constructor.name
    const given = [...parameters]
    const plain = given.filter((item): item is Parameter => item instanceof Parameter)
    const grouped = given.filter(
      (item): item is GroupOptions<Options> => !(item instanceof Parameter),
    )
    if (plain.length > 0 && grouped.length > 0)
      fail(`${name}: give parameters, or groups of parameters, not both`)
    if (grouped.length > 0) for (const group of grouped) this.addGroup(group)
    else this.addGroup({ parameters: plain } as unknown as GroupOptions<Options>)
    if (this.groups.every((group) => group.parameters.length === 0))
      fail(`${name}: there are no parameters to train`)
  }

  /**
   * Trains more parameters from the next step on, with options of their own: layers unfrozen, a new head.
   * @throws BurnishError when one belongs to a group already, or an option is out of its range.
   */
  addGroup({ parameters, ...own }: GroupOptions<Options>): void {
    const name = this.constructor.name
    const options = { ...this.#defaults, ...own } as Options
    if (!(options.lr >= 0)) fail(`${name}: lr is ${options.lr}, but must be a number from 0`)
    this.check(options)
    const seen = new Set(this.groups.flatMap((group) => group.parameters))
    const added = [...parameters]
    for (const parameter of added) {
      if (seen.has(parameter))
        fail(
          `${name}: ${parameter.name || 'a parameter'} is given twice; model.parameters() lists shared ones once`,
        )
      seen.add(parameter)
    }
    ;(this.groups as Group<Options>[]).push({ parameters: added, options })
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
    const stepped = this.#stepped()
    const counts = this.#counts(stepped)
    const label = building.label
    context.watch(() => this.groups.length)
    context.watch(() => this.#loads)
    for (const { options, parameters } of this.groups) {
      context.watch(() => parameters.length)
      context.watch(() => structure(options))
      const numbers = this.#numbers(options)
      for (const parameter of parameters) {
        const at = stepped.get(parameter)
        if (at === undefined) continue
        building.label = parameter.name.split('.').slice(0, -1).join('.')
        const { kept, gradient } = at
        const state = Object.fromEntries([...kept.state].map(([name, p]) => [name, p.node]))
        const current: Current = {
          value: cast(parameter.node, 'float32'),
          gradient: gradient.node,
          lr: numbers.lr,
          numbers,
          state,
          count: (kept.count && counts.get(kept.count)) ?? numbers.lr,
        }
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
    for (const [count, number] of counts) updates.push([count, fromNode(number)])
    return step(updates, options)
  }

  /** What this step moves, with its gradient and state. */
  #stepped(): Map<Parameter, { readonly kept: Kept; readonly gradient: Tensor }> {
    const stepped = new Map<Parameter, { readonly kept: Kept; readonly gradient: Tensor }>()
    let fresh: Parameter | undefined
    for (const { options, parameters } of this.groups)
      for (const parameter of parameters) {
        const gradient = parameter.trainable ? parameter.grad : undefined
        if (gradient === undefined) continue
        const kept = this.#kept.get(parameter) ?? { state: new Map(), count: undefined }
        this.#kept.set(parameter, kept)
        for (const [name, { scalar = false, value = 0 }] of Object.entries(this.stateOf(options))) {
          if (kept.state.has(name)) continue
          const begun = start(scalar ? [] : parameter.shape, value)
          begun.name = `${parameter.name}.${name}`
          kept.state.set(name, begun)
        }
        if (this.counts(options) && kept.count === undefined) {
          fresh ??= start([], 0)
          kept.count = fresh
        }
        stepped.set(parameter, { kept, gradient })
      }
    return stepped
  }

  /**
   * The number of this step for each count. Where some of the parameters that share a count have no gradient now,
   * the others go on with one of their own. (A compiled function reads the old count once, then is traced again.)
   */
  #counts(stepped: ReadonlyMap<Parameter, { readonly kept: Kept }>): Map<Parameter, Node> {
    const numbers = new Map<Parameter, Node>()
    const present = new Set([...stepped.values()].map(({ kept }) => kept))
    const left = new Set<Parameter>()
    for (const kept of this.#kept.values())
      if (kept.count && !present.has(kept)) left.add(kept.count)
    const own = new Map<Parameter, Parameter>()
    for (const kept of present) {
      const { count } = kept
      if (count === undefined) continue
      context.watch(() => kept.count)
      let counted = count
      if (left.has(count)) {
        counted = own.get(count) ?? start([], 0)
        own.set(count, counted)
        kept.count = counted
      }
      if (!numbers.has(counted)) numbers.set(counted, add(count.node, 1))
    }
    return numbers
  }

  /** A group's numbers as arguments of the program, read when it runs. */
  #numbers(options: Options): Nodes {
    const read = (name: string) => () => this.#values(options)[name]
    return Object.fromEntries(
      Object.keys(this.#values(options)).map((name) => [
        name,
        input(new Scalar(read(name)), [], 'float32'),
      ]),
    )
  }

  #values(options: Options): Numbers {
    return { lr: options.lr, ...this.numbers(options) }
  }

  // ---- checkpoints ----

  /**
   * Everything a resumed run needs: `tensors` (handles; read them with `data()`) named `INDEX.NAME` by the position
   * of their parameter over all groups, and `count.K`; `values` is plain JSON: options, and who counts where.
   * A parameter that was never stepped has no tensors.
   */
  stateDict(): OptimizerState {
    const tensors: { [name: string]: Parameter } = Object.create(null)
    const counts: Parameter[] = []
    const countOf: number[] = []
    this.#parameters().forEach((parameter, i) => {
      const kept = this.#kept.get(parameter)
      for (const [name, p] of kept?.state ?? []) tensors[`${i}.${name}`] = p
      const count = kept?.count
      if (count && !counts.includes(count)) {
        tensors[`${COUNT}.${counts.length}`] = count
        counts.push(count)
      }
      countOf.push(count ? counts.indexOf(count) : -1)
    })
    return {
      tensors,
      values: {
        kind: this.constructor.name,
        groups: this.groups.map(({ options, parameters }) => ({
          options: { ...(options as unknown as { readonly [name: string]: SavedOption }) },
          parameters: parameters.length,
        })),
        counts: countOf,
      },
    }
  }

  /**
   * Goes on from what `stateDict()` gave, its tensors as such or as host values from a file. Options are taken over;
   * parameters stay as they are.
   * @throws BurnishError when it belongs to another kind of optimizer, or to other groups or shapes; then nothing
   * was changed.
   */
  loadStateDict(saved: LoadableState): void {
    const parameters = this.#parameters()
    checkState(saved, this, parameters)
    const { tensors, values } = saved
    this.#kept.clear()
    this.#loads++
    this.groups.forEach(({ options }, i) => {
      Object.assign(options, structuredClone(values.groups[i].options))
    })
    const counts = new Map<number, Parameter>()
    parameters.forEach((parameter, i) => {
      const state = new Map<string, Parameter>()
      for (const name of Object.keys(tensors)) {
        if (!name.startsWith(`${i}.`)) continue
        const p = new Parameter(stateTensor(tensors[name]), { role: 'state' })
        const own = name.slice(`${i}.`.length)
        p.name = `${parameter.name}.${own}`
        state.set(own, p)
      }
      const at = values.counts[i]
      if (at >= 0 && !counts.has(at))
        counts.set(at, new Parameter(stateTensor(tensors[`${COUNT}.${at}`]), { role: 'state' }))
      if (state.size > 0 || at >= 0) this.#kept.set(parameter, { state, count: counts.get(at) })
    })
  }

  #parameters(): Parameter[] {
    return this.groups.flatMap((group) => group.parameters)
  }

  // ---- the rule ----

  /** Throws when an option is out of its range. */
  protected abstract check(options: Options): void

  /** The numbers the rule uses besides `lr`, from the options as they are now. */
  protected abstract numbers(options: Options): Numbers

  /** The state each parameter has, and where it begins. */
  protected abstract stateOf(options: Options): { readonly [name: string]: StateStart }

  /** Whether the rule uses the number of the step. */
  protected abstract counts(options: Options): boolean

  /** The rule. It may branch on flags, and on whether a number is 0. */
  protected abstract next(current: Current, options: Options): Next
}

/** What a program depends on: flags, and which numbers are 0; a compiled step is recorded again when it changes. */
function structure(options: BaseOptions): string {
  return JSON.stringify({ ...options, lr: 1 }, (_, value: unknown) =>
    typeof value === 'number' ? value !== 0 : value,
  )
}
