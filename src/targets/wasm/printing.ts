// What the printing of a kernel's body carries along, and the integers of its loops: affine values and bounds.
import { invariant } from '../../base/errors.js'
import type { Affine, Kernel, Local, Quotient, Type } from '../../compiler/kernel.js'
import type { Pointer, Scope } from './addresses.js'
import { F32, type FunctionBuilder, I32, op, V128, type ValueType } from './encode.js'

/** What printing a kernel's body needs to know; `scope` follows the walk. */
export interface Printing {
  readonly kernel: Kernel
  readonly builder: FunctionBuilder
  readonly relaxed: boolean
  readonly shared: boolean
  /** The parameter with the address of the run's control block. */
  readonly control: number
  readonly pointers: Map<Pointer, number>
  readonly variables: Map<number, number>
  readonly locals: Map<number, number>
  scope: Scope
}

export function valueTypeOf(type: Type, lanes: number): ValueType {
  invariant(lanes === 1 || lanes === 4, () => `WebAssembly has vectors of 4 lanes, not ${lanes}`)
  return lanes > 1 ? V128 : type === 'f32' ? F32 : I32
}

export function wasmLocal(p: Printing, local: Local): number {
  let index = p.locals.get(local.id)
  if (index === undefined) {
    index = p.builder.local(valueTypeOf(local.type, local.lanes))
    p.locals.set(local.id, index)
  }
  return index
}

export function printAffine(p: Printing, affine: Affine): void {
  const { builder } = p
  let first = true
  for (const [variable, coefficient] of affine.terms) {
    const local = p.variables.get(variable.id)
    invariant(local !== undefined, () => `${variable.name} is used outside its loop`)
    builder.get(local)
    if (coefficient !== 1) builder.i32(coefficient).op(op.i32Mul)
    if (!first) builder.op(op.i32Add)
    first = false
  }
  if (first) builder.i32(affine.offset)
  else if (affine.offset !== 0) builder.i32(affine.offset).op(op.i32Add)
}

/** Added before an unsigned division so that dividends down to −2^30 come out right. */
const DIVISION_BIAS = 1 << 30

export function printQuotient(p: Printing, { affine, divide }: Quotient): void {
  const { builder } = p
  printAffine(p, affine)
  if (divide === 1) return
  if ((divide & (divide - 1)) === 0) {
    builder.i32(Math.log2(divide)).op(op.i32ShrS)
    return
  }
  const bias = Math.ceil(DIVISION_BIAS / divide)
  builder.i32(bias * divide).op(op.i32Add)
  builder.i32(divide).op(op.i32DivU).i32(bias).op(op.i32Sub)
}
