// Setting parameters, and the data of new ones.
import { allocate, storedNumber, type TypedArray } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { detach } from '../graph/node.js'
import { context } from './context.js'
import { flushReads, submitStates } from './evaluate.js'
import { capture, type Request, staleError, staleInput, submit, surface } from './submission.js'
import type { Tensor } from './tensor.js'
import { type Cell, Value } from './value.js'

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
  if (node?.kind === 'const')
    return allocate(t.dtype, sizeOf(t.shape)).fill(storedNumber(t.dtype, node.value))
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
