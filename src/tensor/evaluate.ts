// Reads: what evaluates tensors without a step. Rules 1, 3, 5 and 16 of SEMANTICS.md; the submission itself is
// in submission.ts.
import { allocate, isHalf, numbersOf, type TypedArray, typedView } from '../base/dtype.js'
import { BurnishError, fail } from '../base/errors.js'
import { showShape, sizeOf } from '../base/shape.js'
import type { Node } from '../graph/node.js'
import { context } from './context.js'
import { currentRunner } from './devices.js'
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
import type { Tensor } from './tensor.js'
import { forgetStates, isStale } from './usable.js'
import { type Cell, cellOf, reachesTrainable, Value } from './value.js'

export const STATISTIC = 'a running statistic'

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
  const stored = readStored(t)
  return isHalf(t.dtype) ? stored.then((data) => numbersOf(t.dtype, data)) : stored
}

function readStored(t: Tensor): Promise<TypedArray> {
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
  if (stale !== undefined)
    throw staleError(stale, forgetStates(isStale) ? STATISTIC : describe(tensors[0]))
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

/**
 * A read ends the forwards before it. One that it went through may still be trained on (rule 5): then the step writes it
 * out. After an evaluation nothing does, and no step computes the last batch again.
 */
function forgetForwards({ graph }: Captured): void {
  const before = [...context.passed, ...context.forwards]
  if (before.length === 0 || graph.outputs.length === 0) return
  const { mark } = graph.outputs[0]
  context.passed = before.filter((t) => t.definition?.mark === mark)
  context.forwards = []
}

function describe(t: Tensor): string {
  const label = t.definition?.label ?? ''
  return label === '' ? `a tensor ${showShape(t.shape)}` : `${label}'s result ${showShape(t.shape)}`
}

export function outputsOf(
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

export function settle(t: Tensor, outputs: ReadonlyMap<Node, Output>): void {
  if (t.definition !== undefined) t.value ??= outputs.get(t.definition)?.value
}

// ---- pending state goes with every submission (rule 9) ----

export function stateUpdates(): (readonly [Cell, Node])[] {
  return [...context.states].map((cell) => [cell, cell.pending ?? cell.current] as const)
}

export function statesSubmitted(): void {
  for (const cell of context.states) cell.pending = undefined
  context.states.clear()
}

/** Submits pending state alone: before a parameter's value is read, and before a compiled function. */
export function submitStates(): Promise<void> {
  flushReads()
  const request: Request = { outputs: [], updates: stateUpdates(), by: 'a forward pass' }
  const captured = capture(request)
  const stale = staleInput(captured.inputs)
  if (stale !== undefined) {
    forgetStates(isStale)
    throw staleError(stale, STATISTIC)
  }
  statesSubmitted()
  return submit(request, captured)
}
