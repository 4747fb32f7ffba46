// Views: movements of elements that compute nothing. The compiler folds them into indices.
import { invariant } from '../base/errors.js'
import { type Shape, showShape, sizeOf } from '../base/shape.js'

export type ViewOp =
  | { readonly type: 'reshape'; readonly shape: Shape }
  /** Output axis i is the operand's axis axes[i]. */
  | { readonly type: 'permute'; readonly axes: readonly number[] }
  /** Axes of size 1 repeated to the shape's size; the rank stays. */
  | { readonly type: 'expand'; readonly shape: Shape }
  /** Output position i reads starts + i·steps; steps may be negative. */
  | {
      readonly type: 'slice'
      readonly starts: readonly number[]
      readonly steps: readonly number[]
      readonly shape: Shape
    }
  /** `low` and `high` (never negative) elements of `value` around each axis. */
  | {
      readonly type: 'pad'
      readonly low: readonly number[]
      readonly high: readonly number[]
      readonly value: number
    }
  /** Axis of extent H becomes `count`, and a last axis of extent `size` is added: [.., y, .., k] reads
   *  y·stride + k·dilation − padding along the axis, or `value` where that is outside of 0..H−1. */
  | {
      readonly type: 'window'
      readonly axis: number
      readonly count: number
      readonly size: number
      readonly stride: number
      readonly dilation: number
      readonly padding: number
      readonly value: number
    }

export function viewShape(op: ViewOp, shape: Shape): Shape {
  switch (op.type) {
    case 'reshape':
      invariant(
        sizeOf(op.shape) === sizeOf(shape),
        () => `reshape ${showShape(shape)} to ${showShape(op.shape)}`,
      )
      return op.shape
    case 'permute':
      invariant(
        op.axes.length === shape.length,
        () => `permute ${showShape(shape)} by ${showShape(op.axes)}`,
      )
      return op.axes.map((axis) => shape[axis])
    case 'expand':
      invariant(
        op.shape.length === shape.length &&
          op.shape.every((n, i) => n === shape[i] || shape[i] === 1),
        () => `expand ${showShape(shape)} to ${showShape(op.shape)}`,
      )
      return op.shape
    case 'slice':
      invariant(
        op.shape.every((n, i) => {
          const last = op.starts[i] + (n - 1) * op.steps[i]
          return (
            n === 0 ||
            (op.starts[i] >= 0 && op.starts[i] < shape[i] && last >= 0 && last < shape[i])
          )
        }),
        () =>
          `slice ${showShape(shape)} at ${showShape(op.starts)} by ${showShape(op.steps)} to ${showShape(op.shape)}`,
      )
      return op.shape
    case 'pad':
      return shape.map((n, i) => n + op.low[i] + op.high[i])
    case 'window':
      return [...shape.map((n, i) => (i === op.axis ? op.count : n)), op.size]
  }
}
