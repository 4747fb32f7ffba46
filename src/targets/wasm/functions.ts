// Prints the scalar functions: tables of single instructions, and the few that take more than one.
import { invariant } from '../../base/errors.js'
import type { Expr, KernelFn, Type } from '../../compiler/kernel.js'
import { F32, type FunctionBuilder, I32, op, simd, V128 } from './encode.js'
import { print } from './expressions.js'
import type { Printing } from './printing.js'

type Call = Extract<Expr, { op: 'call' }>

type Table = { readonly [F in KernelFn]?: number }

export const scalarF32: Table = {
  add: op.f32Add,
  sub: op.f32Sub,
  mul: op.f32Mul,
  div: op.f32Div,
  neg: op.f32Neg,
  abs: op.f32Abs,
  max: op.f32Max,
  min: op.f32Min,
  sqrt: op.f32Sqrt,
  floor: op.f32Floor,
  ceil: op.f32Ceil,
  nearest: op.f32Nearest,
  trunc: op.f32Trunc,
  lt: op.f32Lt,
  le: op.f32Le,
  eq: op.f32Eq,
  ne: op.f32Ne,
  bitsToI32: op.i32ReinterpretF32,
}

export const scalarI32: Table = {
  add: op.i32Add,
  sub: op.i32Sub,
  mul: op.i32Mul,
  lt: op.i32LtS,
  le: op.i32LeS,
  eq: op.i32Eq,
  ne: op.i32Ne,
  and: op.i32And,
  or: op.i32Or,
  xor: op.i32Xor,
  not: op.i32Eqz,
  shl: op.i32Shl,
  shr: op.i32ShrU,
  sar: op.i32ShrS,
  toF32: op.f32ConvertI32S,
  bitsToF32: op.f32ReinterpretI32,
}

export const vectorF32: Table = {
  add: simd.f32Add,
  sub: simd.f32Sub,
  mul: simd.f32Mul,
  div: simd.f32Div,
  neg: simd.f32Neg,
  abs: simd.f32Abs,
  max: simd.f32Max,
  min: simd.f32Min,
  sqrt: simd.f32Sqrt,
  floor: simd.f32Floor,
  ceil: simd.f32Ceil,
  nearest: simd.f32Nearest,
  trunc: simd.f32Trunc,
  lt: simd.f32Lt,
  le: simd.f32Le,
  eq: simd.f32Eq,
  ne: simd.f32Ne,
  toI32: simd.i32TruncSat,
}

export const vectorI32: Table = {
  add: simd.i32Add,
  sub: simd.i32Sub,
  mul: simd.i32Mul,
  neg: simd.i32Neg,
  abs: simd.i32Abs,
  max: simd.i32Max,
  min: simd.i32Min,
  lt: simd.i32Lt,
  le: simd.i32Le,
  eq: simd.i32Eq,
  ne: simd.i32Ne,
  and: simd.and,
  or: simd.or,
  xor: simd.xor,
  not: simd.not,
  shl: simd.i32Shl,
  shr: simd.i32ShrU,
  sar: simd.i32ShrS,
  toF32: simd.f32Convert,
}

export function printCall(p: Printing, expr: Call): void {
  const { builder } = p
  const { fn, args } = expr
  const vector = expr.lanes > 1
  const operand = fn === 'select' ? args[1].type : args[0].type
  const special = printSpecial(p, expr, operand, vector)
  if (special) return
  for (const arg of args) print(p, arg)
  if (vector && (fn === 'bitsToF32' || fn === 'bitsToI32')) return
  const float = operand === 'f32'
  const opcode = (vector ? (float ? vectorF32 : vectorI32) : float ? scalarF32 : scalarI32)[fn]
  invariant(opcode !== undefined, () => `no WebAssembly for ${fn} of ${operand}x${expr.lanes}`)
  if (vector) builder.simd(opcode)
  else builder.op(opcode)
}

/** Functions that are more than one instruction; false when it is not one of them. */
function printSpecial(p: Printing, expr: Call, operand: Type, vector: boolean): boolean {
  const { builder } = p
  const { fn, args } = expr
  const [a, b, c] = args
  if (fn === 'fma') {
    print(p, a)
    print(p, b)
    if (vector && p.relaxed) {
      print(p, c)
      builder.simd(simd.relaxedMadd)
    } else if (vector) {
      builder.simd(simd.f32Mul)
      print(p, c)
      builder.simd(simd.f32Add)
    } else {
      builder.op(op.f32Mul)
      print(p, c)
      builder.op(op.f32Add)
    }
    return true
  }
  if (fn === 'select') {
    print(p, b)
    print(p, c)
    print(p, a)
    if (vector) builder.simd(simd.bitselect)
    else builder.op(op.select)
    return true
  }
  if ((fn === 'max' || fn === 'min') && operand === 'f32') return printBounded(p, expr, vector)
  if (operand === 'bool' && vector && (fn === 'toF32' || fn === 'toI32')) {
    print(p, a)
    const one = fn === 'toF32' ? 0x3f800000 : 1
    builder.words([one, one, one, one]).simd(simd.and)
    return true
  }
  if (operand === 'bool' && fn === 'toI32') {
    print(p, a)
    return true
  }
  if (fn === 'toI32' && !vector) {
    print(p, a)
    builder.op(0xfc, 0x00) // i32.trunc_sat_f32_s
    return true
  }
  if (operand !== 'i32') return false
  if (fn === 'div' || fn === 'rem') {
    if (vector) printDivisionByLane(p, expr)
    else {
      print(p, a)
      print(p, b)
      const known = b.op === 'number' && b.value !== 0 && b.value !== -1
      printDivision(builder, fn, known)
    }
    return true
  }
  if (vector) return false
  if (fn === 'neg') {
    builder.i32(0)
    print(p, a)
    builder.op(op.i32Sub)
    return true
  }
  if (fn === 'abs') {
    const x = builder.local(I32)
    print(p, a)
    builder.tee(x).get(x).i32(31).op(op.i32ShrS, op.i32Xor)
    builder.get(x).i32(31).op(op.i32ShrS, op.i32Sub)
    return true
  }
  if (fn === 'max' || fn === 'min') {
    print(p, a)
    print(p, b)
    printExtreme(builder, fn)
    return true
  }
  return false
}

/** The greater or lesser of two i32 on the stack. */
export function printExtreme(builder: FunctionBuilder, fn: 'max' | 'min'): void {
  const x = builder.local(I32)
  const y = builder.local(I32)
  builder.set(y).tee(x).get(y).get(x).get(y)
  builder.op(fn === 'max' ? op.i32GtS : op.i32LtS, op.select)
}

/** max(x, constant) and min: `x < c ? c : x` gives NaN for NaN, in one or two instructions instead of seven. */
function printBounded(p: Printing, expr: Call, vector: boolean): boolean {
  const { builder } = p
  const [a, b] = expr.args
  const [x, c] = a.op === 'number' ? [b, a] : [a, b]
  if (c.op !== 'number' || Number.isNaN(c.value)) return false
  if (vector) {
    print(p, x)
    print(p, c)
    builder.simd(expr.fn === 'max' ? simd.f32PMax : simd.f32PMin)
    return true
  }
  const local = builder.local(F32)
  print(p, x)
  builder.set(local)
  print(p, c)
  builder.get(local)
  if (expr.fn === 'max') {
    builder.get(local)
    print(p, c)
  } else {
    print(p, c)
    builder.get(local)
  }
  builder.op(op.f32Lt, op.select)
  return true
}

/** As JavaScript's `(a / b) | 0` and `(a % b) | 0`: 0 for a divisor of 0, wrapping −2^31 / −1; never a trap. */
function printDivision(builder: FunctionBuilder, fn: 'div' | 'rem', safe: boolean): void {
  const opcode = fn === 'div' ? op.i32DivS : op.i32RemS
  if (safe) {
    builder.op(opcode)
    return
  }
  const a = builder.local(I32)
  const b = builder.local(I32)
  builder.set(b).set(a)
  // Divisors 0 and −1 are handled apart, with 1 in their place.
  builder.get(a).get(b).i32(1).get(b).i32(1).op(op.i32Add).i32(1).op(op.i32GtU, op.select)
  builder.op(opcode)
  builder.i32(0)
  if (fn === 'div') {
    builder.get(a).op(op.i32Sub).i32(0)
    builder.get(b).op(op.select)
  }
  builder.get(b).i32(1).op(op.i32Add).i32(1).op(op.i32GtU, op.select)
}

function printDivisionByLane(p: Printing, expr: Call): void {
  const { builder } = p
  const fn = expr.fn === 'div' ? 'div' : 'rem'
  const a = builder.local(V128)
  const b = builder.local(V128)
  print(p, expr.args[0])
  builder.set(a)
  print(p, expr.args[1])
  builder.set(b)
  builder.words([0, 0, 0, 0])
  for (let lane = 0; lane < 4; lane++) {
    builder.get(a).simd(simd.i32Extract).op(lane).get(b).simd(simd.i32Extract).op(lane)
    printDivision(builder, fn, false)
    builder.simd(simd.i32Replace).op(lane)
  }
}
