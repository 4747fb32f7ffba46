// Prints expressions of the loop IR as WebAssembly: each leaves one value on the stack. Scalars of type bool
// are the i32 0 or 1, vectors of bool are masks of four 32-bit lanes.
import { type DType, itemSize } from '../../base/dtype.js'
import { invariant } from '../../base/errors.js'
import type {
  Affine,
  Expr,
  Kernel,
  KernelFn,
  Local,
  Quotient,
  Type,
} from '../../compiler/kernel.js'
import { type Access, addressOf, laneOffsets, type Pointer, type Scope } from './addresses.js'
import { F32, type FunctionBuilder, I32, op, simd, V128, type ValueType } from './encode.js'

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

type Call = Extract<Expr, { op: 'call' }>

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

// Integers of the loops

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

// Memory

/** Pushes the base address of a memory access, and gives its constant offset. */
function printAddress(
  p: Printing,
  access: Access,
  offset: number,
  dynamic: number | undefined,
): number {
  const address = addressOf(p.scope, access, offset)
  const local = p.pointers.get(address.pointer)
  invariant(local !== undefined, () => 'a pointer is used outside its scope')
  p.builder.get(local)
  if (dynamic !== undefined) p.builder.get(dynamic).op(op.i32Add)
  return address.offset
}

/** The dynamic part of an index in bytes, in a local. */
function dynamicBytes(p: Printing, dynamic: Expr | undefined, size: number): number | undefined {
  if (dynamic === undefined) return undefined
  print(p, dynamic)
  if (size === 4) p.builder.i32(2).op(op.i32Shl)
  const local = p.builder.local(I32)
  p.builder.set(local)
  return local
}

function printLoad(p: Printing, expr: Extract<Expr, { op: 'load' }>): void {
  const { builder } = p
  const { dtype } = p.kernel.buffers[expr.buffer]
  const size = itemSize[dtype]
  const dynamic = dynamicBytes(p, expr.dynamic, size)
  const offsets = laneOffsets(expr, size)
  const immediates = offsets
    .toReversed()
    .map((offset) => printAddress(p, expr, offset, dynamic))
    .toReversed()
  if (expr.lanes === 1) {
    const opcode = size === 1 ? op.i32Load8U : dtype === 'float32' ? op.f32Load : op.i32Load
    builder.op(opcode).memory(size === 1 ? 0 : 2, immediates[0])
    return
  }
  if (size === 4) {
    if (expr.stride === 0) builder.simd(simd.load32Splat).memory(2, immediates[0])
    else if (expr.stride === 1) builder.simd(simd.load).memory(2, immediates[0])
    else {
      builder.simd(simd.load32Zero).memory(2, immediates[0])
      for (let lane = 1; lane < 4; lane++)
        builder.simd(simd.load32Lane).memory(2, immediates[lane]).op(lane)
    }
    return
  }
  if (expr.stride === 0) builder.op(op.i32Load8U).memory(0, immediates[0]).simd(simd.i32Splat)
  else if (expr.stride === 1) {
    builder.simd(simd.load32Zero).memory(0, immediates[0])
    builder.simd(simd.i16ExtendLowU).simd(simd.i32ExtendLowU)
  } else {
    // The addresses lie on the stack below the vector.
    builder.words([0, 0, 0, 0])
    for (let lane = 0; lane < 4; lane++)
      builder
        .simd(simd.load8Lane)
        .memory(0, immediates[lane])
        .op(4 * lane)
  }
  if (dtype === 'bool') builder.words([0, 0, 0, 0]).simd(simd.i32Ne)
}

/** Bytes 0, 4, 8, 12 first: the low bytes of four lanes. */
const LOW_BYTES = [0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12]

const storedType: { readonly [D in DType]: Type } = {
  float32: 'f32',
  int32: 'i32',
  uint8: 'i32',
  bool: 'bool',
}

export function printStore(
  p: Printing,
  store: {
    readonly buffer: number
    readonly index: Affine
    readonly stride: number
    readonly dynamic?: Expr
    readonly value: Expr
  },
): void {
  const { builder } = p
  const { dtype } = p.kernel.buffers[store.buffer]
  const { value } = store
  invariant(value.type === storedType[dtype], () => `a store of ${value.type} in ${dtype}`)
  const size = itemSize[dtype]
  const access = { ...store, lanes: value.lanes }
  const dynamic = dynamicBytes(p, store.dynamic, size)
  const offsets = laneOffsets(access, size)
  if (value.lanes === 1) {
    const immediate = printAddress(p, access, offsets[0], dynamic)
    print(p, value)
    const opcode = size === 1 ? op.i32Store8 : dtype === 'float32' ? op.f32Store : op.i32Store
    builder.op(opcode).memory(size === 1 ? 0 : 2, immediate)
    return
  }
  invariant(store.stride !== 0, () => 'a vector store of stride 0')
  const printValue = () => {
    print(p, value)
    if (dtype === 'bool') builder.words([1, 1, 1, 1]).simd(simd.and)
  }
  if (store.stride === 1) {
    const immediate = printAddress(p, access, offsets[0], dynamic)
    printValue()
    if (size === 4) builder.simd(simd.store).memory(2, immediate)
    else {
      const local = builder.local(V128)
      builder.tee(local).get(local).simd(simd.shuffle)
      builder.op(...LOW_BYTES)
      builder.simd(simd.store32Lane).memory(0, immediate).op(0)
    }
    return
  }
  printValue()
  const local = builder.local(V128)
  builder.set(local)
  for (let lane = 0; lane < 4; lane++) {
    const immediate = printAddress(p, access, offsets[lane], dynamic)
    builder.get(local)
    if (size === 4) builder.simd(simd.store32Lane).memory(2, immediate).op(lane)
    else
      builder
        .simd(simd.store8Lane)
        .memory(0, immediate)
        .op(4 * lane)
  }
}

// Functions

type Table = { readonly [F in KernelFn]?: number }

const scalarF32: Table = {
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

const scalarI32: Table = {
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

const vectorF32: Table = {
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

const vectorI32: Table = {
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

function printCall(p: Printing, expr: Call): void {
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
