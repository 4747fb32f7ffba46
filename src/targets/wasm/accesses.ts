// Prints loads and stores. Vectors of bytes are widened to 32-bit lanes when loaded and narrowed when stored.
import { type DType, itemSize } from '../../base/dtype.js'
import { invariant } from '../../base/errors.js'
import type { Affine, Expr, Type } from '../../compiler/kernel.js'
import { type Access, addressOf, laneOffsets } from './addresses.js'
import { I32, op, simd, V128 } from './encode.js'
import { print } from './expressions.js'
import type { Printing } from './printing.js'

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
  if (size > 1) p.builder.i32(Math.log2(size)).op(op.i32Shl)
  const local = p.builder.local(I32)
  p.builder.set(local)
  return local
}

export function printLoad(p: Printing, expr: Extract<Expr, { op: 'load' }>): void {
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
    const opcode = dtype === 'float32' ? op.f32Load : loadOf(size)
    builder.op(opcode).memory(Math.log2(size), immediates[0])
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
  if (expr.stride === 0)
    builder.op(loadOf(size)).memory(Math.log2(size), immediates[0]).simd(simd.i32Splat)
  else if (expr.stride === 1 && size === 2)
    builder.simd(simd.load64Zero).memory(1, immediates[0]).simd(simd.i32ExtendLowU)
  else if (expr.stride === 1) {
    builder.simd(simd.load32Zero).memory(0, immediates[0])
    builder.simd(simd.i16ExtendLowU).simd(simd.i32ExtendLowU)
  } else {
    // The addresses lie on the stack below the vector.
    builder.words([0, 0, 0, 0])
    for (let lane = 0; lane < 4; lane++)
      builder
        .simd(size === 2 ? simd.load16Lane : simd.load8Lane)
        .memory(Math.log2(size), immediates[lane])
        .op((4 / size) * lane)
  }
  if (dtype === 'bool') builder.words([0, 0, 0, 0]).simd(simd.i32Ne)
}

function loadOf(size: number): number {
  return size === 1 ? op.i32Load8U : size === 2 ? op.i32Load16U : op.i32Load
}

function storeOf(size: number): number {
  return size === 1 ? op.i32Store8 : size === 2 ? op.i32Store16 : op.i32Store
}

/** Bytes 0, 4, 8, 12 first: the low bytes of four lanes. */
const LOW_BYTES = [0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12]

/** The low halves of four lanes first. */
const LOW_HALVES = [0, 1, 4, 5, 8, 9, 12, 13, 0, 1, 4, 5, 8, 9, 12, 13]

const storedType: { readonly [D in DType]: Type } = {
  float32: 'f32',
  float16: 'i32',
  bfloat16: 'i32',
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
    const opcode = dtype === 'float32' ? op.f32Store : storeOf(size)
    builder.op(opcode).memory(Math.log2(size), immediate)
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
      builder.op(...(size === 2 ? LOW_HALVES : LOW_BYTES))
      const narrowed = size === 2 ? simd.store64Lane : simd.store32Lane
      builder.simd(narrowed).memory(Math.log2(size), immediate).op(0)
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
        .simd(size === 2 ? simd.store16Lane : simd.store8Lane)
        .memory(Math.log2(size), immediate)
        .op((4 / size) * lane)
  }
}
