// Slices of host data: what reading `x.slice(i, i + 1)` of an evaluated tensor does (rule 16).
import { allocate, type TypedArray } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import { type Shape, sizeOf, stridesOf } from '../base/shape.js'
import type { Node } from '../graph/node.js'

/** The elements a slice view takes of `data`, row-major. */
export function sliceHost(data: TypedArray, shape: Shape, view: Node): TypedArray {
  invariant(view.kind === 'view' && view.op.type === 'slice', () => 'not a slice')
  const { starts, steps, shape: to } = view.op
  const strides = stridesOf(shape)
  const size = sizeOf(to)
  const result = allocate(view.dtype, size)
  const position = new Array<number>(to.length).fill(0)
  let from = starts.reduce((sum, start, i) => sum + start * strides[i], 0)
  for (let n = 0; n < size; n++) {
    result[n] = data[from]
    for (let axis = to.length - 1; axis >= 0; axis--) {
      from += steps[axis] * strides[axis]
      if (++position[axis] < to[axis]) break
      from -= to[axis] * steps[axis] * strides[axis]
      position[axis] = 0
    }
  }
  return result
}
