// The one object that holds what is current: generator, trace, module stack, and what the next
// submission must take along. `device` lives in runner.ts, its name here.
//
// What `nn` and `optim` use of it:
// - `enter(module, path)` / `leave()` around a module's forward: nodes built between them carry `path` as
//   their label (`building.label`); `depth` is how many forwards are open.
// - `forwarded(t)` with each result of an outermost forward (depth 0 after leaving): the next `step()` writes it
//   out (rule 4), so that it can be read after the step.
// - `watch(read)` while tracing: a compiled function traces again when `read()` gives another value than
//   now. Modules watch `training` and the identity of their fields, optimizers their parameter lists.
//   Outside a trace it does nothing.
import { building, type Node } from '../graph/node.js'
import type { Tensor } from './tensor.js'
import type { Cell } from './value.js'

/** What is recorded while the function of `compile` runs. */
export interface Trace {
  /** What a parameter reads as now: its live input, or the value a recorded step gives it. */
  read(cell: Cell): Node
  write(cell: Cell, value: Node): void
  /** The cells written so far, with what they read as now. */
  written(): Iterable<readonly [Cell, Node]>
  gradient(cell: Cell): Tensor | undefined
  setGradient(cell: Cell, gradient: Tensor | undefined): void
  watch(read: () => unknown): void
  /** The number of random draws so far, counted up by each. */
  draws: number
  /** `step()` was recorded: gradients up to here are used. `guard` is the check of `guarded`, a loss. */
  stepped(guard: Node | undefined, guarded: Node | undefined): void
}

/** What waits for a step. */
export interface Unsubmitted {
  readonly forwards: readonly Tensor[]
  readonly passed: readonly Tensor[]
  readonly losses: readonly Tensor[]
  readonly kept: readonly Tensor[]
  readonly gradients: ReadonlySet<Cell>
}

/** Results of forwards that are never read nor stepped on must not pile up. */
const MOST_FORWARDS = 256

export const context = {
  /** Set by manualSeed; `counter` is the number of draws so far. */
  generator: { seed: 0, counter: 0 },
  trace: undefined as Trace | undefined,
  /** Open forwards, outermost first. */
  modules: [] as { readonly module: object; readonly label: string }[],
  /** The class of the outermost module whose forward ran last, for errors that look back. */
  lastModule: '',
  /** Tensors made before this serial number are constants: see noGrad. */
  constantsBefore: 0,
  serial: 1,
  /** Results of outermost forwards, losses with a backward and kept tensors that the next step writes out. */
  forwards: [] as Tensor[],
  /** Forwards that reads went through since: written out only by a step whose gradients they belong to. */
  passed: [] as Tensor[],
  losses: [] as Tensor[],
  kept: [] as Tensor[],
  /** State cells with a pending value. */
  states: new Set<Cell>(),
  /** Cells whose gradient is lazy and belongs to no submission yet. */
  gradients: new Set<Cell>(),

  get depth(): number {
    return context.modules.length
  },

  enter(module: object, path: string): void {
    context.modules.push({ module, label: building.label })
    building.label = path
  },

  leave(): void {
    const open = context.modules.pop()
    building.label = open === undefined ? '' : open.label
  },

  forwarded(result: Tensor): void {
    if (context.trace !== undefined) return
    context.forwards.push(result)
    if (context.forwards.length > MOST_FORWARDS) context.forwards.shift()
  },

  watch(read: () => unknown): void {
    context.trace?.watch(read)
  },

  /** Nothing is left for the next step to take along. Returns what was. */
  takeUnsubmitted(): Unsubmitted {
    const { forwards, passed, losses, kept, gradients } = context
    context.forwards = []
    context.passed = []
    context.losses = []
    context.kept = []
    context.gradients = new Set()
    return { forwards, passed, losses, kept, gradients }
  },

  /** Puts back what was taken, before what has come since. */
  putBack(taken: Unsubmitted): void {
    const since = context.takeUnsubmitted()
    context.forwards = [...taken.forwards, ...since.forwards]
    context.passed = [...taken.passed, ...since.passed]
    context.losses = [...taken.losses, ...since.losses]
    context.kept = [...taken.kept, ...since.kept]
    context.gradients = new Set([...taken.gradients, ...since.gradients])
  },
}
