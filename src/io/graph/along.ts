// What operators of ONNX and TensorFlow both do along one dimension: cuts by a step of either sign, running sums and
// products from either end.
import { full } from '../../tensor/create.js'
import { concat, type Tensor } from '../../tensor/tensor.js'
import type { Call } from './call.js'

/** Positions a step apart from `begin` up to but without `end`; of a step below 0 `end` may be −1. */
export function cut(x: Tensor, dim: number, begin: number, end: number, step: number): Tensor {
  const size = x.shape[dim]
  if (step > 0) return x.slice(begin, Math.max(end, begin), { dim, step })
  // Backwards: begin is the last of the flipped.
  const [from, to] = [size - 1 - begin, size - 1 - end]
  return x.flip(dim).slice(from, Math.max(to, from), { dim, step: -step })
}

/** Running sums or products of input 0 along the axis of input 1, by the attributes `reverse` and `exclusive`. */
export function cumulative(call: Call, fn: 'cumsum' | 'cumprod'): Tensor {
  const x = call.tensor(0)
  const axis = call.axis(call.number(1, 'its axis'), x.shape.length)
  const reverse = call.flag('reverse', false)
  const forward = reverse ? x.flip(axis) : x
  let y = forward[fn](axis)
  // Those before, by their places: a difference would lose what is not finite.
  if (call.flag('exclusive', false)) {
    const first = full(
      x.shape.map((n, i) => (i === axis ? Math.min(n, 1) : n)),
      fn === 'cumsum' ? 0 : 1,
      { dtype: y.dtype },
    )
    y = concat([first, y.slice(0, Math.max(x.shape[axis] - 1, 0), { dim: axis })], axis)
  }
  return reverse ? y.flip(axis) : y
}
