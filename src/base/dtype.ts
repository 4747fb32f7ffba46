// The element types of tensors: name, size in bytes, and what arithmetic between two of them gives.
// After NumPy's and PyTorch's promotion, for the few types Burnish has.

export type DType = 'float32' | 'int32' | 'uint8' | 'bool'

export const itemSize: { readonly [D in DType]: number } = {
  float32: 4,
  int32: 4,
  uint8: 1,
  bool: 1,
}

const RANK: { readonly [D in DType]: number } = { bool: 0, uint8: 1, int32: 2, float32: 3 }

/** The dtype of an arithmetic result: the wider of the two. */
export function promote(a: DType, b: DType): DType {
  return RANK[a] >= RANK[b] ? a : b
}

export function isFloat(dtype: DType): boolean {
  return dtype === 'float32'
}

export type TypedArray = Float32Array | Int32Array | Uint8Array

/** A view of `length` elements at a byte offset; booleans are bytes of 0 and 1. */
export function typedView(
  dtype: DType,
  buffer: ArrayBufferLike,
  byteOffset: number,
  length: number,
): TypedArray {
  if (dtype === 'float32') return new Float32Array(buffer, byteOffset, length)
  if (dtype === 'int32') return new Int32Array(buffer, byteOffset, length)
  return new Uint8Array(buffer, byteOffset, length)
}

export function allocate(dtype: DType, length: number): TypedArray {
  return typedView(dtype, new ArrayBuffer(length * itemSize[dtype]), 0, length)
}
