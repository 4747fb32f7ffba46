// Gradient checkpointing on tensors: what a function returns, its inside computed again in the backward pass.
import { recomputed } from '../autograd/checkpoint.js'
import { isFloat } from '../base/dtype.js'
import { context } from './context.js'
import { exactly } from './derive.js'
import { concat, Tensor } from './tensor.js'

/** Tensors in arguments and results may lie in arrays and plain objects. */
function tensorsOf(value: unknown): Tensor[] {
  if (value instanceof Tensor) return [value]
  if (Array.isArray(value)) return value.flatMap(tensorsOf)
  return isPlain(value) ? Object.values(value).flatMap(tensorsOf) : []
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  )
}

function replaced(value: unknown, by: ReadonlyMap<Tensor, Tensor>): unknown {
  if (value instanceof Tensor) return by.get(value) ?? value
  if (Array.isArray(value)) return value.map((item) => replaced(item, by))
  if (!isPlain(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(item, by)]))
}

/**
 * Calls `run`. Of the float tensors in what it returns, the gradient is computed from the tensors among `inputs` and
 * from parameters: everything between is computed once more for it.
 */
export function recompute<R>(run: () => R, inputs: readonly unknown[]): R {
  if (context.constantsBefore > 0) return run()
  const from = tensorsOf(inputs).map((t) => t.node)
  const result = run()
  const floats = [...new Set(tensorsOf(result))].filter((t) => isFloat(t.dtype))
  const by = new Map<Tensor, Tensor>()
  const again = (t: Tensor) => exactly(recomputed(t.node, from), t)
  if (floats.length > 1 && floats.every((t) => t.dtype === 'float32')) {
    // Several results are one, cut in parts afterwards: else each would have an inside of its own to compute.
    const whole = again(concat(floats.map((t) => t.flatten())))
    let start = 0
    for (const t of floats) {
      const size = t.shape.reduce((a, b) => a * b, 1)
      by.set(t, whole.slice(start, start + size).reshape(...t.shape))
      start += size
    }
  } else for (const t of floats) by.set(t, again(t))
  return replaced(result, by) as R
}
