// The element types of tensors: name, size in bytes, and what arithmetic between two of them gives.
// After NumPy's and PyTorch's promotion, for the few types Burnish has. float16 and bfloat16 are types of
// storage: arithmetic is done in float32.
import { bfloat16Bits, bfloat16Value, float16Bits, float16Value } from './half.js'

export type DType = 'float32' | 'float16' | 'bfloat16' | 'int32' | 'uint8' | 'bool'

export const itemSize: { readonly [D in DType]: number } = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int32: 4,
  uint8: 1,
  bool: 1,
}

const RANK: { readonly [D in DType]: number } = {
  bool: 0,
  uint8: 1,
  int32: 2,
  float16: 3,
  bfloat16: 3,
  float32: 4,
}

/** The dtype of an arithmetic result: the wider of the two; float16 and bfloat16 meet in float32. */
export function promote(a: DType, b: DType): DType {
  if (RANK[a] === RANK[b] && a !== b) return 'float32'
  return RANK[a] >= RANK[b] ? a : b
}

export function isFloat(dtype: DType): boolean {
  return dtype === 'float32' || isHalf(dtype)
}

/** A float of two bytes. */
export function isHalf(dtype: DType): dtype is 'float16' | 'bfloat16' {
  return dtype === 'float16' || dtype === 'bfloat16'
}

/** float16 and bfloat16 lie as their bits in a Uint16Array. */
export type TypedArray = Float32Array | Int32Array | Uint8Array | Uint16Array

/** A view of `length` elements at a byte offset; booleans are bytes of 0 and 1, halves their bits. */
export function typedView(
  dtype: DType,
  buffer: ArrayBufferLike,
  byteOffset: number,
  length: number,
): TypedArray {
  if (dtype === 'float32') return new Float32Array(buffer, byteOffset, length)
  if (dtype === 'int32') return new Int32Array(buffer, byteOffset, length)
  if (isHalf(dtype)) return new Uint16Array(buffer, byteOffset, length)
  return new Uint8Array(buffer, byteOffset, length)
}

export function allocate(dtype: DType, length: number): TypedArray {
  return typedView(dtype, new ArrayBuffer(length * itemSize[dtype]), 0, length)
}

/** What is stored for a number: itself, or the bits of the nearest half. */
export function storedNumber(dtype: DType, value: number): number {
  if (dtype === 'float16') return float16Bits(value)
  return dtype === 'bfloat16' ? bfloat16Bits(value) : value
}

/** The numbers behind stored elements: halves as float32, anything else as it is. */
export function numbersOf(dtype: DType, stored: TypedArray): TypedArray {
  if (!isHalf(dtype)) return stored
  return Float32Array.from(stored, dtype === 'float16' ? float16Value : bfloat16Value)
}
