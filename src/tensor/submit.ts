// What makes a submission besides reads: steps, and a second backward. Rules 3–9 of SEMANTICS.md.
import { allocate, type DType, isFloat, isHalf } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { sameShape, showShape, sizeOf } from '../base/shape.js'
import { map, type Node, topological } from '../graph/node.js'
import { cast } from './arithmetic.js'
import { context } from './context.js'
import {
  flushReads,
  outputsOf,
  STATISTIC,
  settle,
  statesSubmitted,
  stateUpdates,
} from './evaluate.js'
import { explainNonFinite, guardNode } from './guard.js'
import type { Parameter } from './parameter.js'
import {
  capture,
  type Request,
  staleError,
  staleGradient,
  staleInput,
  submit,
  surface,
} from './submission.js'
import { fromNode, type Tensor } from './tensor.js'
import { forgetStates, isLost, isStale, reading } from './usable.js'
import { Cell, Value, type Version } from './value.js'

/** The result of an outermost forward is written out by the step up to this many elements (rule 4). */
const MOST_FORWARD_ELEMENTS = 2 ** 20

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
  const pairs = updates.map(
    ([parameter, value]) => [parameter.cell, stored(parameter, value)] as const,
  )
  const { trace } = context
  const guard = options.guard === undefined ? undefined : guardNode(options.guard.node)
  if (trace !== undefined) {
    for (const [cell, node] of pairs) trace.write(cell, node)
    trace.stepped(guard, options.guard?.node)
    return Promise.resolve()
  }
  flushReads()
  return submitStep({ pairs, by: 'step()', guard, guarded: options.guard?.node })
}

/** A new value in the parameter's dtype: what was computed in float32 may be stored as a half. */
function stored(parameter: Parameter, value: Tensor): Node {
  return isHalf(parameter.dtype) ? cast(value.node, parameter.dtype) : value.node
}

function checkUpdate(parameter: Parameter, value: Tensor): void {
  if (!sameShape(parameter.shape, value.shape) || !fits(parameter.dtype, value.dtype))
    fail(
      `step: the new value of ${parameter.name || 'a parameter'} is ${value.dtype} ${showShape(value.shape)}, the parameter ${parameter.dtype} ${showShape(parameter.shape)}`,
    )
}

const fits = (dtype: DType, given: DType) => given === dtype || (isHalf(dtype) && isFloat(given))

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
  const forwards = forwardsFor(wanted).filter((t) => sizeOf(t.shape) <= MOST_FORWARD_ELEMENTS)
  const outputs = outputsOf(forwards, 'value', outputsOf(explicit, 'size'))
  const updates = [...pairs, ...stateUpdates()]
  const explain = guarded === undefined ? undefined : () => explainNonFinite(guarded)
  const request: Request = { outputs: [...outputs.values()], updates, guard, by, explain }
  const captured = capture(request)
  if (captured.inputs.some(isLost)) {
    if (forgetLost()) return submitStep(wanted)
    const stale = staleInput(captured.inputs)
    if (stale !== undefined) throw whyStale(stale, pairs)
  }
  const left = reached === undefined ? [] : context.forwards.filter((t) => !reached(t))
  context.takeUnsubmitted()
  statesSubmitted()
  const done = submit(request, captured)
  for (const t of [...explicit, ...forwards]) {
    settle(t, outputs)
    t.dropDefinition()
    if (t.backwardBy !== undefined) t.backwardBy = by
  }
  context.forwards = left
  return done
}

/** The forwards to write out: of those that reads went through, only what losses and updates are computed from. */
function forwardsFor({ pairs, reached }: StepRequest): Tensor[] {
  const { forwards, passed } = context
  if (reached !== undefined) return [...passed, ...forwards].filter(reached)
  if (passed.length === 0) return forwards
  return [...passed.filter(behind(pairs)), ...forwards]
}

/** Whether a tensor's value is computed on the way to a loss or to one of the updates. */
function behind(pairs: StepRequest['pairs']): (t: Tensor) => boolean {
  const losses = context.losses.flatMap(({ definition }) => definition ?? [])
  const nodes = new Set(topological([...losses, ...pairs.map(([, node]) => node)]))
  return (t) => t.definition !== undefined && nodes.has(t.definition)
}

/** What others left must not stop a step that does not need it. Says whether there was anything to let go. */
function forgetLost(): boolean {
  const { forwards, passed, losses, kept } = context
  const all = [...forwards, ...passed, ...losses, ...kept].filter((t) => t.definition !== undefined)
  const found = reading(
    all.flatMap(({ definition }) => definition ?? []),
    isLost,
  )
  const lost = new Set(all.filter((_, i) => found[i]))
  if (lost.size === 0) return false
  const usable = (t: Tensor) => !lost.has(t)
  context.forwards = forwards.filter(usable)
  context.passed = passed.filter(usable)
  context.losses = losses.filter(usable)
  context.kept = kept.filter(usable)
  return true
}

function whyStale(stale: Version, pairs: StepRequest['pairs']): Error {
  const found = reading(
    pairs.map(([, node]) => node),
    isStale,
  )
  const at = pairs[found.indexOf(true)]
  if (at !== undefined) return staleGradient(stale, at[0], 'step')
  forgetStates(isStale)
  return staleError(stale, STATISTIC)
}

/** Marks a tensor to be written out by the next step, so that it can be read after it. Returns it. */
export function keep<T extends Tensor>(t: T): T {
  if (context.trace === undefined) context.kept.push(t)
  return t
}

// ---- gradients (rule 7) ----

/**
 * A second backward() before a step: the gradients so far are added to their accumulators by one program. Those that
 * cannot be computed any more are left out: it is for their own model's step to say so.
 */
export function submitGradients(): void {
  if (context.gradients.size === 0) return
  flushReads()
  const given = [...context.gradients].filter((cell) => cell.gradient !== undefined)
  const lost = reading(
    given.flatMap(({ gradient }) => gradient?.node ?? []),
    isLost,
  )
  const cells = given.filter((_, i) => !lost[i])
  context.gradients.clear()
  if (cells.length === 0) return
  const pairs = cells.flatMap((cell): (readonly [Cell, Node])[] => {
    const { gradient } = cell
    if (gradient === undefined) return []
    if (cell.accumulator !== undefined) return [[cell.accumulator, gradient.node]]
    cell.accumulator = newAccumulator(cell)
    return [[cell.accumulator, map('add', cell.accumulator.current, gradient.node)]]
  })
  // The forward of the micro-batch to come belongs to the next submission.
  const used = behind(pairs)
  const reached = (t: Tensor) => t.definition === undefined || used(t)
  surface(submitStep({ pairs, by: 'backward()', reached }), [])
  for (const cell of cells)
    if (cell.accumulator !== undefined) cell.gradient = fromNode(cell.accumulator.current)
}

function zerosOf(cell: Cell): Value {
  return new Value(cell.shape, 'float32', allocate('float32', sizeOf(cell.shape)))
}

/** Where the gradients, float32 for halves too, of several submissions are summed; zeros at first. */
export function newAccumulator(cell: Cell): Cell {
  const accumulator = new Cell(zerosOf(cell), 'state', false)
  accumulator.name = cell.name === '' ? 'grad' : `${cell.name}.grad`
  return accumulator
}

/** Clears a parameter's gradient, and frees what was accumulated. */
export function resetGradient(cell: Cell): void {
  cell.gradient = undefined
  // A backward() whose gradients were all cleared belongs to no step any more.
  if (context.gradients.delete(cell) && context.gradients.size === 0) context.losses = []
  const { accumulator } = cell
  if (accumulator === undefined) return
  accumulator.advance('zeroGrad()')
  accumulator.value.release()
  accumulator.value = zerosOf(cell)
  cell.accumulator = undefined
}
