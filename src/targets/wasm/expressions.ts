// Prints expressions of the loop IR as WebAssembly: each leaves one value on the stack. Scalars of type bool
// are the i32 0 or 1, vectors of bool are masks of four 32-bit lanes.
import { invariant } from '../../base/errors.js'
import type { Expr, Type } from '../../compiler/kernel.js'
import { printLoad } from './accesses.js'
import { op, simd, V128 } from './encode.js'
import { printCall, printExtreme, scalarF32, scalarI32, vectorF32, vectorI32 } from './functions.js'
import { type Printing, printAffine, wasmLocal } from './printing.js'

const HIGH_HALF = [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]

function printAcross(p: Printing, expr: Extract<Expr, { op: 'across' }>): void {
  const { builder } = p
  const float = expr.type === 'f32'
  const vectorOp = (float ? vectorF32 : vectorI32)[expr.fn]
  const scalarOp = (float ? scalarF32 : scalarI32)[expr.fn]
  invariant(vectorOp !== undefined, () => `no WebAssembly for across ${expr.fn}`)
  const extract = float ? simd.f32Extract : simd.i32Extract
  const local = builder.local(V128)
  print(p, expr.value)
  builder.tee(local).get(local).get(local).simd(simd.shuffle)
  builder.op(...HIGH_HALF)
  builder.simd(vectorOp).tee(local)
  builder.simd(extract).op(0).get(local).simd(extract).op(1)
  if (scalarOp !== undefined) builder.op(scalarOp)
  else printExtreme(builder, expr.fn === 'max' ? 'max' : 'min')
}

const floatBits = new DataView(new ArrayBuffer(4))

function numberWord(type: Type, value: number): number {
  if (type === 'bool') return value === 0 ? 0 : -1
  if (type === 'i32') return value | 0
  floatBits.setFloat32(0, value)
  return floatBits.getInt32(0)
}

/** Leaves the expression's value on the stack. */
export function print(p: Printing, expr: Expr): void {
  const { builder } = p
  switch (expr.op) {
    case 'number':
      if (expr.lanes > 1) builder.words(Array(4).fill(numberWord(expr.type, expr.value)))
      else if (expr.type === 'f32') builder.f32(expr.value)
      else builder.i32(expr.type === 'bool' ? Number(expr.value !== 0) : expr.value)
      return
    case 'local':
      builder.get(wasmLocal(p, expr.local))
      return
    case 'index':
      printAffine(p, expr.value)
      if (expr.lanes === 1) return
      builder.simd(simd.i32Splat)
      if (expr.step !== 0)
        builder.words([0, expr.step, 2 * expr.step, 3 * expr.step]).simd(simd.i32Add)
      return
    case 'load':
      printLoad(p, expr)
      return
    case 'call':
      printCall(p, expr)
      return
    case 'splat':
      if (expr.type === 'bool') builder.i32(0)
      print(p, expr.value)
      if (expr.type === 'bool') builder.op(op.i32Sub)
      builder.simd(expr.type === 'f32' ? simd.f32Splat : simd.i32Splat)
      return
    case 'across':
      printAcross(p, expr)
      return
    case 'lane':
      print(p, expr.value)
      builder.simd(expr.type === 'f32' ? simd.f32Extract : simd.i32Extract).op(expr.lane)
      if (expr.type === 'bool') builder.i32(1).op(op.i32And)
  }
}
