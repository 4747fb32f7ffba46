// The user's Tensor: a lazy handle over a node of the graph. Operations add nodes; nothing runs before a
// read, a step, or a call of a compiled function (see submit.ts). Most methods are inherited, one file a family:
// elementwise.ts, reducing.ts, moving.ts; here are products, casts, reading and differentiating.
import type { DType, TypedArray } from '../base/dtype.js'
import { detach as detachNode } from '../graph/node.js'
import * as arithmetic from './arithmetic.js'
import { backward } from './backward.js'
import { derive, exactly } from './derive.js'
import { readData } from './evaluate.js'
import { matmul } from './matmul.js'
import * as movement from './movement.js'
import { Moving } from './moving.js'

export type { Operand } from './derive.js'
export { derive as fromNode } from './derive.js'
export { where } from './elementwise.js'
export { type Index, slice } from './moving.js'

/**
 * A tensor of `shape` and `dtype`. Arithmetic broadcasts as in NumPy; numbers as operands are arguments of the
 * compiled program, so changing them compiles nothing.
 *
 * Use `tensor`, `zeros`, `randn` … to make one. `data()` and `item()` read it.
 */
export class Tensor extends Moving {
  /** [.., m, k] · [.., k, n] → [.., m, n]; a vector is a row on the left, a column on the right. */
  matmul(other: Tensor): Tensor {
    return derive(matmul(this.node, other.node), this, other)
  }

  // ---- dtype and history ----

  to(dtype: DType): Tensor {
    return dtype === this.dtype ? this : exactly(arithmetic.cast(this.node, dtype), this)
  }
  float(): Tensor {
    return this.to('float32')
  }
  int(): Tensor {
    return this.to('int32')
  }
  bool(): Tensor {
    return this.to('bool')
  }
  /** float16, a type of storage: arithmetic is done in float32. */
  half(): Tensor {
    return this.to('float16')
  }
  bfloat16(): Tensor {
    return this.to('bfloat16')
  }
  /** The same values, with no gradient. */
  detach(): Tensor {
    return derive(detachNode(this.node), this)
  }

  // ---- reading and differentiating ----

  /** A copy of the values, row-major, halves as float32; rejects with the error of the run that computes them. */
  data(): Promise<TypedArray> {
    return readData(this, 'data()')
  }
  /** The only value of a tensor of one element; a bool is 0 or 1. */
  item(): Promise<number> {
    return readData(this, 'item()').then((data) => data[0])
  }
  /**
   * Adds the gradient of this scalar to `grad` of every trainable parameter it was computed from. Call `zeroGrad()` after
   * each step: a gradient that was computed from weights a step has replaced cannot be added to, as it is not kept.
   * @throws BurnishError when this is no float of one value, had its backward(), reaches no trainable parameter, or
   * every gradient it adds to is of replaced weights.
   */
  backward(): void {
    backward(this)
  }
}

/** Tensors one after the other along an existing dimension. */
export function concat(parts: readonly Tensor[], dim = 0): Tensor {
  const node = movement.concat(
    parts.map((part) => part.node),
    dim,
  )
  return derive(node, ...parts)
}

/** Tensors of one shape along a new dimension. */
export function stack(parts: readonly Tensor[], dim = 0): Tensor {
  const node = movement.stack(
    parts.map((part) => part.node),
    dim,
  )
  return derive(node, ...parts)
}
