// The one node behind convolution and matrix product: a sum over loop axes of a[index]·b[index].
//
// Axes 0 … rank−1 are the output's (their extents are its shape), the rest are summed. Each dimension of
// an operand has an affine index over the axes; where it falls outside of the operand, or is not divisible
// by `divide`, the factor is 0. The family is closed under differentiation: see `gradientOf`.
import type { Shape } from '../base/shape.js'

/** (Σ coefficient·axis + offset) / divide, for one dimension of an operand. */
export interface Index {
  /** [axis, coefficient ≠ 0], ascending in axis, each axis at most once. */
  readonly terms: readonly (readonly [axis: number, coefficient: number])[]
  readonly offset: number
  readonly divide: number
}

export interface Contract {
  readonly extents: readonly number[]
  readonly rank: number
  readonly a: readonly Index[]
  readonly b: readonly Index[]
  /** Hash of the fields above. */
  readonly hash: number
  /** The gradient specs, derived once a spec: for a (over G and b) and for b (over G and a). */
  gradients?: {
    a?: { readonly shape: string; readonly spec: Contract }
    b?: { readonly shape: string; readonly spec: Contract }
  }
}

/** Placeholder for the shapes an operand is read with. */
export type OperandShape = Shape
