// Setting parameters, and the data of new ones.
import { fail } from '../base/errors.js'
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
  const known = knownOf(next)
  flushReads()
  // Pending state was computed with the values of now.
  if (cell.role === 'parameter' && context.states.size > 0) surface(submitStates(), [])
  if (known !== undefined) {
    cell.pending = undefined
    context.states.delete(cell)
    cell.advance('set()')
    cell.value.release()
    cell.value = known
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

/** A value of its own with a tensor's data, where they are known without a run. Host data is shared, not copied. */
function knownOf({ value, definition, shape, dtype }: Tensor): Value | undefined {
  if (value?.fill !== undefined) return Value.filled(shape, dtype, value.fill)
  if (value?.host !== undefined) return new Value(shape, dtype, value.host)
  if (definition?.kind === 'const') return Value.filled(shape, dtype, definition.value)
  return undefined
}

/** Data for a new parameter that nothing else shares. */
export function ownValue(source: Tensor): Value {
  const known = knownOf(source)
  if (known !== undefined) return known
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
