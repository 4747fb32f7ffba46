// compile(fn): runs a synchronous function once to record its graph, and replays that as one program.
//
// The body is the body of the imperative loop: zeroGrad, forward, backward, step. While it is traced,
// parameters read as whatever their value is when the program runs, and steps and state are recorded.
// It is traced again when something it looked at has changed (rule 14); that compiles only new graphs.
import { fail } from '../base/errors.js'
import { sameShape, showShape } from '../base/shape.js'
import { building, detach, input, type Node } from '../graph/node.js'
import { context, type Trace } from './context.js'
import { evaluateNow, flushReads, submitStates } from './evaluate.js'
import { explainNonFinite } from './guard.js'
import {
  type Captured,
  capture,
  type Request,
  staleError,
  staleInput,
  submit,
  surface,
} from './submission.js'
import { newAccumulator, resetGradient, submitGradients } from './submit.js'
import { fromNode, Tensor } from './tensor.js'
import { type Cell, Placeholder, Value } from './value.js'

const MOST_TRACES = 64
const TRACES_BEFORE_WARNING = 8

interface Watch {
  readonly read: () => unknown
  readonly seen: unknown
}

/** What a call does to a parameter's gradient when the recorded function is done. */
interface GradientExit {
  readonly cell: Cell
  /** The accumulator that keeps it for the next call; undefined: it was cleared, or used by a step. */
  readonly accumulator: Cell | undefined
}

class Recording implements Trace {
  draws = 0
  guard: Node | undefined
  guarded: Node | undefined
  readonly watches: Watch[] = []
  readonly #values = new Map<Cell, Node>()
  readonly #read = new Set<Cell>()
  readonly #gradients = new Map<Cell, Tensor | undefined>()
  /** Cells whose gradient from before the call was looked at. */
  readonly #entered = new Set<Cell>()
  readonly #used = new Set<Cell>()

  read(cell: Cell): Node {
    if (!this.#read.has(cell)) {
      this.#read.add(cell)
      this.watch(() => cell.trainable)
    }
    return this.#values.get(cell) ?? cell.live
  }

  /** A parameter is a leaf after its update, as in the imperative loop: no gradient flows into the step. */
  write(cell: Cell, value: Node): void {
    this.#values.set(cell, detach(value))
  }

  written(): Iterable<readonly [Cell, Node]> {
    return this.#values
  }

  watch(read: () => unknown): void {
    this.watches.push({ read, seen: read() })
  }

  gradient(cell: Cell): Tensor | undefined {
    if (this.#gradients.has(cell)) return this.#gradients.get(cell)
    this.#entered.add(cell)
    this.watch(() => cell.gradient === undefined)
    this.watch(() => cell.accumulator)
    const { accumulator, gradient } = cell
    const entry =
      accumulator !== undefined && gradient?.definition === accumulator.current
        ? fromNode(accumulator.live)
        : gradient
    this.#gradients.set(cell, entry)
    return entry
  }

  setGradient(cell: Cell, gradient: Tensor | undefined): void {
    this.#gradients.set(cell, gradient)
    this.#used.delete(cell)
  }

  stepped(guard: Node | undefined, guarded: Node | undefined): void {
    if (guard !== undefined) {
      this.guard = guard
      this.guarded = guarded
    }
    for (const cell of this.#gradients.keys()) this.#used.add(cell)
  }

  /** Gradients that outlive the call become updates of accumulators. */
  leaveGradients(): { exits: GradientExit[]; updates: (readonly [Cell, Node])[] } {
    const exits: GradientExit[] = []
    const updates: (readonly [Cell, Node])[] = []
    for (const [cell, gradient] of this.#gradients) {
      const kept = gradient !== undefined && (!this.#used.has(cell) || this.#entered.has(cell))
      if (!kept) {
        exits.push({ cell, accumulator: undefined })
        continue
      }
      const accumulator = cell.accumulator ?? newAccumulator(cell)
      exits.push({ cell, accumulator })
      if (gradient.definition !== undefined && gradient.definition !== accumulator.live)
        updates.push([accumulator, gradient.definition])
    }
    return { exits, updates }
  }
}

/** One traced variant of a function. */
interface Entry {
  readonly signature: readonly string[]
  readonly recording: Recording
  readonly outputs: readonly Node[]
  readonly updates: readonly (readonly [Cell, Node])[]
  readonly exits: readonly GradientExit[]
  readonly captured: Captured
  /** The function's result, over the tensors of one call. */
  rebuild(tensors: readonly Tensor[]): unknown
}

/** Tensors in arguments and results may lie in arrays and plain objects. */
function isPlain(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  )
}

/** The same structure with every tensor replaced. */
function replaceTensors(value: unknown, replace: (t: Tensor) => unknown): unknown {
  if (value instanceof Tensor) return replace(value)
  if (Array.isArray(value)) return value.map((item) => replaceTensors(item, replace))
  if (isPlain(value))
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, replaceTensors(item, replace)]),
    )
  return value
}

const identities = new WeakMap<object, number>()
let lastIdentity = 0

/** Tells values that are no tensors apart: by content where they are data, else by identity. */
function signatureOf(value: unknown, tensors: Tensor[]): string {
  if (value instanceof Tensor && !isParameter(value)) {
    tensors.push(value)
    return `${value.dtype}${showShape(value.shape)}`
  }
  if (Array.isArray(value)) return `[${value.map((item) => signatureOf(item, tensors)).join()}]`
  if (isPlain(value))
    return `{${Object.entries(value).map(([key, item]) => `${key}:${signatureOf(item, tensors)}`)}}`
  if ((typeof value === 'object' && value !== null) || typeof value === 'function') {
    let identity = identities.get(value)
    if (identity === undefined) {
      identity = ++lastIdentity
      identities.set(value, identity)
    }
    return `#${identity}`
  }
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

const isParameter = (t: Tensor): boolean => 'cell' in t

/**
 * A function that runs as one program: `fn` is traced once per kind of arguments, then replayed. It must be
 * synchronous; values cannot be read inside. Tensors it returns (alone, in arrays or objects) are ready to be read.
 *
 * A gradient that nobody clears is added to by the next call, as in PyTorch. In the imperative loop its graph read weights
 * that the step has replaced, and backward() throws.
 *
 *     const step = compile((images: Tensor, labels: Tensor) => { …; optimizer.step(); return { loss } })
 *     for await (const [images, labels] of loader) total += await step(images, labels).loss.item()
 */
export function compile<A extends readonly unknown[], R>(fn: (...args: A) => R): (...args: A) => R {
  if (fn.constructor.name === 'AsyncFunction')
    fail(
      'compile takes a synchronous function: return tensors and await their item() or data() after the call',
    )
  const entries: Entry[] = []
  const counts = { traces: 0 }
  return (...args: A): R => {
    if (context.trace !== undefined) return fn(...args)
    flushReads()
    submitGradients()
    if (context.states.size > 0) surface(submitStates(), [])
    const tensors: Tensor[] = []
    const signature = args.map((arg) => signatureOf(arg, tensors))
    let entry = entries.find((e) => matches(e, signature))
    if (entry === undefined) {
      entry = trace(fn, args, signature)
      counts.traces++
      entries.unshift(entry)
      if (entries.length > MOST_TRACES) entries.pop()
      if (counts.traces === TRACES_BEFORE_WARNING) warn(fn, entries)
    }
    // The function's result has the structure recorded with it.
    return replay(entry, tensors) as R
  }
}

function matches(entry: Entry, signature: readonly string[]): boolean {
  return (
    entry.signature.length === signature.length &&
    entry.signature.every((text, i) => text === signature[i]) &&
    entry.recording.watches.every(({ read, seen }) => Object.is(read(), seen))
  )
}

function warn(fn: { readonly name: string }, entries: readonly Entry[]): void {
  const width = Math.max(...entries.map((e) => e.signature.length))
  const variety = Array.from(
    { length: width },
    (_, i) => new Set(entries.map((e) => e.signature[i])).size,
  )
  const most = variety.indexOf(Math.max(...variety))
  const what =
    width > 0 && variety[most] > 1
      ? `argument ${most + 1} keeps changing (now ${entries[0].signature[most]}); pass changing numbers as tensors, and batches of one shape`
      : 'what it reads (training, trainable, a parameter) keeps changing'
  console.warn(
    `burnish: compile(${fn.name || 'function'}) has traced ${TRACES_BEFORE_WARNING} times: ${what}`,
  )
}

function trace<A extends readonly unknown[]>(
  fn: (...args: A) => unknown,
  args: A,
  signature: readonly string[],
): Entry {
  const recording = new Recording()
  let index = 0
  const placeholders = replaceTensors(args, (t) =>
    isParameter(t) ? t : fromNode(input(new Placeholder(index++), t.shape, t.dtype)),
  ) as unknown as A
  const label = building.label
  const { depth } = context
  context.trace = recording
  let result: unknown
  try {
    result = fn(...placeholders)
    if (result instanceof Promise)
      fail(
        'compile takes a synchronous function: this one returned a promise; return tensors and await after the call',
      )
    const outputs: Node[] = []
    replaceTensors(result, (t) => outputs.push(t.node))
    const { exits, updates: gradients } = recording.leaveGradients()
    const updates = [...recording.written(), ...gradients]
    for (const [cell, node] of updates) checkWrite(cell, node)
    const request: Request = {
      outputs: outputs.map((node) => ({
        node,
        value: new Value(node.shape, node.dtype),
        deliver: 'size',
      })),
      updates,
      guard: recording.guard,
      by: 'a compiled step',
      call: { args: [], firstDraw: 0 },
    }
    const rebuild = (tensors: readonly Tensor[]) => {
      let next = 0
      return replaceTensors(result, () => tensors[next++])
    }
    return { signature, recording, outputs, updates, exits, captured: capture(request), rebuild }
  } finally {
    context.trace = undefined
    building.label = label
    context.modules.length = depth
  }
}

function checkWrite(cell: Cell, node: Node): void {
  if (!sameShape(cell.shape, node.shape) || cell.dtype !== node.dtype)
    fail(
      `compile: the new value of ${cell.name || 'a parameter'} is ${node.dtype} ${showShape(node.shape)}, the parameter ${cell.dtype} ${showShape(cell.shape)}`,
    )
}

function replay(entry: Entry, args: readonly Tensor[]): unknown {
  const { recording, captured, updates } = entry
  const stale = staleInput(captured.inputs)
  if (stale !== undefined) throw staleError(stale, 'a tensor that the compiled function captured')
  const values = args.map((t) => {
    evaluateNow(t)
    return t.value ?? fail('internal: an argument without value')
  })
  const { generator } = context
  const call = { args: values, firstDraw: generator.counter }
  generator.counter += recording.draws
  const outputs = entry.outputs.map((node) => ({
    node,
    value: new Value(node.shape, node.dtype),
    deliver: 'size' as const,
  }))
  const { guarded } = recording
  const explain = guarded === undefined ? undefined : () => explainNonFinite(guarded, call)
  const request: Request = {
    outputs,
    updates,
    guard: recording.guard,
    by: 'a compiled step',
    call,
    explain,
  }
  surface(submit(request, captured), outputs)
  leave(entry.exits)
  return entry.rebuild(outputs.map(({ value }) => fromValue(value)))
}

function fromValue(value: Value): Tensor {
  return new Tensor(value.shape, value.dtype, undefined, value)
}

function leave(exits: readonly GradientExit[]): void {
  for (const { cell, accumulator } of exits) {
    if (accumulator === undefined) {
      if (cell.gradient !== undefined) resetGradient(cell)
    } else {
      cell.accumulator = accumulator
      cell.gradient = fromNode(accumulator.current)
    }
  }
}
