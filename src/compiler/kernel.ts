// The loop IR, level 2: HOW one kernel computes. Typed loops, locals, loads and stores with affine
// indices; every decision (lanes, tiles, clipping) is already made, a target only prints.
//
// A kernel is a function (thread range, buffer addresses) → nothing. Values are scalars or vectors of
// `machine.lanes` 32-bit elements; `lanes` is 1 or that number, never anything else.
import type { DType } from '../base/dtype.js'

export type Type = 'f32' | 'i32' | 'bool'

/** A loop variable; its value counts elements of the axis it walks. */
export interface Variable {
  readonly id: number
  readonly name: string
}

/** Σ coefficient·variable + offset, an integer; terms ascending in variable id, no zero coefficients. */
export interface Affine {
  readonly terms: readonly (readonly [variable: Variable, coefficient: number])[]
  readonly offset: number
}

/** floor(affine / divide), divide ≥ 1. A `from` is the greatest of its list, a `to` (exclusive) the least. */
export interface Quotient {
  readonly affine: Affine
  readonly divide: number
}
export type Bound = readonly Quotient[]

/** Holds where 0 ≤ affine < extent. */
export interface Inside {
  readonly affine: Affine
  readonly extent: number
}

/** A register: assigned by `set` before every use on each path. */
export interface Local {
  readonly id: number
  readonly type: Type
  readonly lanes: number
}

/** What every printer must cover. max and min give NaN when either is NaN. `fma` is a·b+c, rounded once or twice. */
export type KernelFn =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'neg'
  | 'abs'
  | 'max'
  | 'min' // f32 and i32 (div of i32 truncates; no abs, neg, max, min problems: two's complement)
  | 'fma'
  | 'sqrt'
  | 'floor'
  | 'ceil'
  | 'nearest'
  | 'trunc' // f32
  | 'rem' // i32, sign of the dividend
  | 'lt'
  | 'le'
  | 'eq'
  | 'ne' // f32 or i32 → bool
  | 'and'
  | 'or'
  | 'xor'
  | 'not' // bool, and bitwise on i32 (`not` on bool only)
  | 'shl'
  | 'shr'
  | 'sar' // i32 by a constant or scalar i32 amount (second operand has lanes 1); shr unsigned, sar signed
  | 'select' // select(bool, x, y)
  | 'toF32' // of i32 or bool
  | 'toI32' // of f32 (truncates, saturates, NaN to 0) or bool
  | 'bitsToF32'
  | 'bitsToI32' // reinterpret

export type Expr =
  | { readonly op: 'number'; readonly type: Type; readonly lanes: number; readonly value: number }
  | { readonly op: 'local'; readonly type: Type; readonly lanes: number; readonly local: Local }
  /** The integer `value + lane·step`, a scalar i32 (lanes 1) or a vector. */
  | {
      readonly op: 'index'
      readonly type: 'i32'
      readonly lanes: number
      readonly value: Affine
      readonly step: number
    }
  /** buffer[index + dynamic + lane·stride] in elements: stride 1 is one vector load, 0 a splat, else lane by lane.
   *  `dynamic` is a scalar i32. The register type follows the dtype: float32 f32, int32 and uint8 i32, bool bool; float16 and bfloat16 are
   *  16-bit integers here, i32 zero-extended (half.ts makes float32 of them): a printer prints `uint16_t`. */
  | {
      readonly op: 'load'
      readonly type: Type
      readonly lanes: number
      readonly buffer: number
      readonly index: Affine
      readonly stride: number
      readonly dynamic?: Expr
    }
  | {
      readonly op: 'call'
      readonly type: Type
      readonly lanes: number
      readonly fn: KernelFn
      readonly args: readonly Expr[]
    }
  | { readonly op: 'splat'; readonly type: Type; readonly lanes: number; readonly value: Expr }
  /** One scalar from a vector's lanes, in a fixed order: ((l0∘l2)∘(l1∘l3)) for four, halving each time. */
  | {
      readonly op: 'across'
      readonly type: Type
      readonly lanes: 1
      readonly fn: 'add' | 'mul' | 'max' | 'min'
      readonly value: Expr
    }
  /** One lane of a vector. */
  | {
      readonly op: 'lane'
      readonly type: Type
      readonly lanes: 1
      readonly lane: number
      readonly value: Expr
    }

export type Statement =
  | {
      readonly op: 'loop'
      readonly variable: Variable
      readonly from: Bound
      readonly to: Bound
      /** The variable grows by `step` > 0; the loop ends when it is ≥ to. */
      readonly step: number
      readonly body: readonly Statement[]
    }
  | { readonly op: 'set'; readonly local: Local; readonly value: Expr }
  /** As `load` (of an i32 to a half, the low 16 bits); a vector of lanes > 1 with stride 1 or any other ≠ 0. */
  | {
      readonly op: 'store'
      readonly buffer: number
      readonly index: Affine
      readonly stride: number
      readonly dynamic?: Expr
      readonly value: Expr
    }
  | {
      readonly op: 'if'
      readonly when: readonly Inside[]
      readonly body: readonly Statement[]
      readonly otherwise: readonly Statement[]
    }
  /** Where `when` (a scalar bool) holds, writes `code` and `value` (scalar i32) to the program's status words. */
  | { readonly op: 'report'; readonly when: Expr; readonly code: number; readonly value: Expr }

export interface KernelBuffer {
  readonly name: string
  readonly dtype: DType
  readonly access: 'read' | 'write' | 'update'
}

/** for (variable = begin; variable < end; variable++) body — each thread gets its own begin and end. */
export interface Kernel {
  readonly name: string
  readonly buffers: readonly KernelBuffer[]
  readonly parallel: { readonly variable: Variable; readonly extent: number }
  readonly body: readonly Statement[]
}
