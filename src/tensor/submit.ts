// What makes a submission: reads, steps, a second backward, and setting a parameter. Rules 1–9 and 16 of
// SEMANTICS.md; the submission itself is in submission.ts.
import { allocate, type TypedArray, typedView } from '../base/dtype.js'
import { BurnishError, fail } from '../base/errors.js'
import { sameShape, showShape, sizeOf } from '../base/shape.js'
import { detach, type InputNode, map, type Node, topological } from '../graph/node.js'
import { context } from './context.js'
import { currentRunner } from './devices.js'
import { explainNonFinite, guardNode } from './guard.js'
import type { Parameter } from './parameter.js'
import { sliceHost } from './slice.js'
import {
  asError,
  type Captured,
  capture,
  hostCopy,
  type Output,
  type Request,
  staleError,
  staleInput,
  submit,
  surface,
} from './submission.js'
import { fromNode, type Tensor } from './tensor.js'
import { Cell, cellOf, reachesTrainable, Value, type Version } from './value.js'

/** The result of an outermost forward is written out by the step up to this many elements (rule 4). */
const MOST_FORWARD_ELEMENTS = 2 ** 20

// ---- reads ----

interface Read {
  readonly tensor: Tensor
  resolve(data: TypedArray): void
  reject(error: Error): void
}

const reads: { pending: Read[] } = { pending: [] }

export function readData(t: Tensor, what: string): Promise<TypedArray> {
  if (context.trace !== undefined)
    fail(
      `${what} inside of compile: values do not exist while tracing; return the tensor from the function and read it after the call`,
    )
  if (what === 'item()' && sizeOf(t.shape) !== 1)
    fail(`item() of a tensor ${showShape(t.shape)}: it has ${sizeOf(t.shape)} values; use data()`)
  // Not by its node: a state's is the pending value.
  if (t.ownCell !== undefined) return readCell(t.ownCell)
  if (t.value !== undefined) return readValue(t.value)
  const node = t.definition ?? t.node
  const cell = cellOf(node)
  if (cell !== undefined && (t.definition === undefined || node === cell.current))
    return readCell(cell)
  if (t.sliceOf !== undefined && t.definition?.kind === 'view')
    return readSlice(t.sliceOf, t.definition)
  return new Promise((resolve, reject) => {
    if (reads.pending.length === 0) queueMicrotask(flushReads)
    reads.pending.push({ tensor: t, resolve, reject })
  })
}

async function readValue(value: Value): Promise<TypedArray> {
  value.observed = true
  if (value.ready !== undefined) await value.ready
  if (value.error !== undefined) throw value.error
  if (value.disposed) fail(`a tensor ${showShape(value.shape)} was disposed of before it was read`)
  if (value.host !== undefined) return value.host.slice()
  const { held } = value
  if (held === undefined) return fail(`a tensor ${showShape(value.shape)} has no data`)
  return hostCopy(held.device, value, held)
}

async function readSlice(of: Value, view: Node): Promise<TypedArray> {
  of.observed = true
  if (of.ready !== undefined) await of.ready
  if (of.host !== undefined) return sliceHost(of.host, of.shape, view)
  const { held } = of
  if (held === undefined) return sliceHost(await readValue(of), of.shape, view)
  const { buffer, byteOffset } = held.device.peek(held.storage)
  return sliceHost(typedView(of.dtype, buffer, byteOffset, sizeOf(of.shape)), of.shape, view)
}

/** A parameter's value after everything submitted so far. */
function readCell(cell: Cell): Promise<TypedArray> {
  flushReads()
  if (cell.pending !== undefined) surface(submitStates(), [])
  const { value } = cell
  return new Promise((resolve, reject) => {
    currentRunner().submit({
      start: (device) => {
        const { host, held } = value
        if (host !== undefined) resolve(host.slice())
        else if (held !== undefined)
          device.read(held.storage).then((bytes) => resolve(viewOf(bytes, value)), reject)
        else reject(value.error ?? new BurnishError('internal: a parameter without data'))
      },
      fail: reject,
    })
  })
}

function viewOf(bytes: Uint8Array, value: Value): TypedArray {
  const size = sizeOf(value.shape)
  const data = allocate(value.dtype, size)
  new Uint8Array(data.buffer).set(bytes.subarray(0, data.byteLength))
  return data
}

/** Submits the reads of this turn as one program (rule 16); every other submission does it first. */
export function flushReads(): void {
  const { pending } = reads
  if (pending.length === 0) return
  reads.pending = []
  const fresh: Read[] = []
  for (const read of pending)
    if (read.tensor.value === undefined) fresh.push(read)
    else readValue(read.tensor.value).then(read.resolve, read.reject)
  if (fresh.length === 0) return
  try {
    evaluate(fresh.map((read) => read.tensor))
  } catch (error) {
    // One of them may be stale: each alone tells which.
    if (fresh.length > 1) {
      for (const read of fresh) {
        reads.pending = [read]
        flushReads()
      }
    } else fresh[0].reject(asError(error))
    return
  }
  for (const { tensor, resolve, reject } of fresh)
    if (tensor.value === undefined)
      reject(new BurnishError('internal: an evaluated tensor without value'))
    else readValue(tensor.value).then(resolve, reject)
}

/** Computes tensors by one submission; they get their values, and drop their definitions where they may (rule 5). */
function evaluate(tensors: readonly Tensor[], deliver: Output['deliver'] = 'size'): void {
  const outputs = outputsOf(tensors, deliver)
  const request: Request = { outputs: [...outputs.values()], updates: stateUpdates(), by: 'a read' }
  const captured = capture(request)
  const stale = staleInput(captured.inputs)
  if (stale !== undefined) throw staleError(stale, describe(tensors[0]))
  forgetForwards(captured)
  statesSubmitted()
  surface(submit(request, captured), request.outputs)
  const trains = captured.inputs.some((node) => cellOf(node)?.trainable)
  for (const t of tensors) {
    const definition = t.definition
    settle(t, outputs)
    if (definition === undefined) continue
    if (!trains || !reachesTrainable(definition)) t.dropDefinition()
  }
}

/** Evaluates a tensor without anyone waiting for it: rule 12. */
export function evaluateNow(t: Tensor): void {
  flushReads()
  if (t.value === undefined) evaluate([t])
}

/** Forwards that the submitted graph does not reach are evaluated otherwise or never: let them go. */
function forgetForwards({ graph }: Captured): void {
  if (context.forwards.length === 0 || graph.outputs.length === 0) return
  const { mark } = graph.outputs[0]
  context.forwards = context.forwards.filter((t) => t.definition?.mark === mark)
}

function describe(t: Tensor): string {
  const label = t.definition?.label ?? ''
  return label === '' ? `a tensor ${showShape(t.shape)}` : `${label}'s result ${showShape(t.shape)}`
}

function outputsOf(
  tensors: readonly Tensor[],
  deliver: Output['deliver'],
  outputs = new Map<Node, Output>(),
): Map<Node, Output> {
  for (const t of tensors) {
    const node = t.definition
    if (node !== undefined && t.value === undefined && !outputs.has(node))
      outputs.set(node, { node, value: new Value(t.shape, t.dtype), deliver })
  }
  return outputs
}

function settle(t: Tensor, outputs: ReadonlyMap<Node, Output>): void {
  if (t.definition !== undefined) t.value ??= outputs.get(t.definition)?.value
}

// ---- state (rule 9) ----

function stateUpdates(): (readonly [Cell, Node])[] {
  return [...context.states].map((cell) => [cell, cell.pending ?? cell.current] as const)
}

function statesSubmitted(): void {
  for (const cell of context.states) cell.pending = undefined
  context.states.clear()
}

/** Submits pending state alone: before a parameter's value is read, and before a compiled function. */
export function submitStates(): Promise<void> {
  flushReads()
  const request: Request = { outputs: [], updates: stateUpdates(), by: 'a forward pass' }
  const captured = capture(request)
  const stale = staleInput(captured.inputs)
  if (stale !== undefined) throw staleError(stale, 'a running statistic')
  statesSubmitted()
  return submit(request, captured)
}

// ---- steps ----

export interface StepOptions {
  /** Updates apply only where this loss is finite; otherwise the step rejects, naming a layer (rule 18). */
  readonly guard?: Tensor
}

/**
 * Submits one program that computes each value and replaces its parameter by it, and writes out the losses that had
 * `backward()`, the results of outermost forwards and what `keep` marked. Optimizers end with it; while tracing it
 * records. Rejects when an index is out of range or the guard fails: then no update was applied.
 */
export function step(
  updates: readonly (readonly [Parameter, Tensor])[],
  options: StepOptions = {},
): Promise<void> {
  for (const [parameter, value] of updates) checkUpdate(parameter, value)
  const { trace } = context
  const guard = options.guard === undefined ? undefined : guardNode(options.guard.node)
  if (trace !== undefined) {
    const nodes = updates.map(([parameter, value]) => [parameter.cell, value.node] as const)
    for (const [cell, node] of nodes) trace.write(cell, node)
    trace.stepped(guard, options.guard?.node)
    return Promise.resolve()
  }
  flushReads()
  const pairs = updates.map(([parameter, value]) => [parameter.cell, value.node] as const)
  return submitStep({ pairs, by: 'step()', guard, guarded: options.guard?.node })
}

function checkUpdate(parameter: Parameter, value: Tensor): void {
  if (!sameShape(parameter.shape, value.shape) || parameter.dtype !== value.dtype)
    fail(
      `step: the new value of ${parameter.name || 'a parameter'} is ${value.dtype} ${showShape(value.shape)}, the parameter ${parameter.dtype} ${showShape(parameter.shape)}`,
    )
}

interface StepRequest {
  readonly pairs: readonly (readonly [Cell, Node])[]
  readonly by: string
  readonly guard?: Node
  readonly guarded?: Node
  /** Which forwards to write out; undefined: all. */
  readonly reached?: (t: Tensor) => boolean
}

function submitStep(wanted: StepRequest): Promise<void> {
  const { pairs, by, guard, guarded, reached } = wanted
  const explicit = [...context.losses, ...context.kept]
  const forwards = context.forwards.filter(
    (t) => sizeOf(t.shape) <= MOST_FORWARD_ELEMENTS && (reached === undefined || reached(t)),
  )
  const outputs = outputsOf(forwards, 'value', outputsOf(explicit, 'size'))
  const updates = [...pairs, ...stateUpdates()]
  const explain = guarded === undefined ? undefined : () => explainNonFinite(guarded)
  const request: Request = { outputs: [...outputs.values()], updates, guard, by, explain }
  const captured = capture(request)
  const stale = staleInput(captured.inputs)
  if (stale !== undefined) return withoutStale(stale, wanted)
  statesSubmitted()
  const done = submit(request, captured)
  for (const t of [...explicit, ...forwards]) {
    settle(t, outputs)
    t.dropDefinition()
    if (t.backwardBy !== undefined) t.backwardBy = by
  }
  context.losses = []
  context.forwards = reached === undefined ? [] : context.forwards.filter((t) => !reached(t))
  context.kept = []
  context.gradients.clear()
  return done
}

/** A stale forward or kept tensor must not stop a step that does not need it; everything else must. */
function withoutStale(stale: Version, request: StepRequest): Promise<void> {
  const isStale = (node: Node) =>
    staleInput(topological([node]).filter((n): n is InputNode => n.kind === 'input')) !== undefined
  const fresh = (t: Tensor) => t.definition === undefined || !isStale(t.definition)
  const wanted = context.forwards.length + context.kept.length + context.losses.length
  context.forwards = context.forwards.filter(fresh)
  context.kept = context.kept.filter(fresh)
  context.losses = context.losses.filter(fresh)
  for (const [cell, node] of request.pairs)
    if (isStale(node)) throw staleError(stale, `the gradient of ${cell.name || 'a parameter'}`)
  if (wanted === context.forwards.length + context.kept.length + context.losses.length)
    throw staleError(stale, 'a running statistic')
  return submitStep(request)
}

/** Marks a tensor to be written out by the next step, so that it can be read after it. Returns it. */
export function keep<T extends Tensor>(t: T): T {
  if (context.trace === undefined) context.kept.push(t)
  return t
}

// ---- gradients (rule 7) ----

/** A second backward() before a step: the gradients so far are added to their accumulators by one program. */
export function submitGradients(): void {
  if (context.gradients.size === 0) return
  flushReads()
  const pairs: (readonly [Cell, Node])[] = []
  const cells = [...context.gradients]
  for (const cell of cells) {
    const gradient = cell.gradient
    if (gradient === undefined) continue
    let node = gradient.node
    if (cell.accumulator === undefined) {
      cell.accumulator = newAccumulator(cell)
      node = map('add', cell.accumulator.current, node)
    }
    pairs.push([cell.accumulator, node])
  }
  // The forward of the micro-batch to come belongs to the next submission.
  const behind = new Set(topological(pairs.map(([, node]) => node)))
  const reached = (t: Tensor) => t.definition === undefined || behind.has(t.definition)
  surface(submitStep({ pairs, by: 'backward()', reached }), [])
  for (const cell of cells)
    if (cell.accumulator !== undefined) cell.gradient = fromNode(cell.accumulator.current)
}

function zerosOf(cell: Cell): Value {
  return new Value(cell.shape, cell.dtype, allocate(cell.dtype, sizeOf(cell.shape)))
}

/** Where the gradients of several submissions are summed; zeros at first. */
export function newAccumulator(cell: Cell): Cell {
  const accumulator = new Cell(zerosOf(cell), 'state', false)
  accumulator.name = cell.name === '' ? 'grad' : `${cell.name}.grad`
  return accumulator
}

/** Clears a parameter's gradient, and frees what was accumulated. */
export function resetGradient(cell: Cell, gradient: Tensor | undefined): void {
  cell.gradient = gradient
  context.gradients.delete(cell)
  const { accumulator } = cell
  if (accumulator === undefined) return
  accumulator.advance('zeroGrad()')
  accumulator.value.release()
  accumulator.value = zerosOf(cell)
  cell.accumulator = undefined
}

// ---- setting parameters ----

/** Parameter.set: state is pending until the next submission, a parameter is replaced now. */
export function assign(cell: Cell, next: Tensor): void {
  const { trace } = context
  if (trace !== undefined) {
    trace.write(cell, next.node)
    return
  }
  const host = hostOf(next)
  flushReads()
  // Pending state was computed with the values of now.
  if (cell.role === 'parameter' && context.states.size > 0) surface(submitStates(), [])
  if (host !== undefined) {
    cell.pending = undefined
    context.states.delete(cell)
    cell.advance('set()')
    cell.value.release()
    cell.value = new Value(cell.shape, cell.dtype, host)
  } else if (cell.role === 'state') {
    cell.pending = detach(next.node)
    context.states.add(cell)
  } else {
    const request: Request = { outputs: [], updates: [[cell, next.node]], by: 'set()' }
    const captured = capture(request)
    const stale = staleInput(captured.inputs)
    if (stale !== undefined) throw staleError(stale, 'the value given to set()')
    surface(submit(request, captured), [])
  }
}

/** A copy of a tensor's data where the host knows it without a run. */
function hostOf(t: Tensor): TypedArray | undefined {
  if (t.value?.host !== undefined) return t.value.host.slice()
  const node = t.definition
  if (node?.kind === 'const') return allocate(t.dtype, sizeOf(t.shape)).fill(node.value)
  return undefined
}

/** Data for a new parameter that nothing else shares. */
export function ownValue(source: Tensor): Value {
  const host = hostOf(source)
  if (host !== undefined) return new Value(source.shape, source.dtype, host)
  if (context.trace !== undefined)
    fail('new Parameter inside of compile: make parameters before, and use them in the function')
  flushReads()
  const value = new Value(source.shape, source.dtype)
  const request: Request = {
    outputs: [{ node: source.node, value, deliver: 'storage' }],
    updates: [],
    by: 'a parameter',
  }
  const captured = capture(request)
  const stale = staleInput(captured.inputs)
  if (stale !== undefined) throw staleError(stale, 'the value of a new parameter')
  surface(submit(request, captured), request.outputs)
  return value
}
