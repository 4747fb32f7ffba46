// Element types as files store them, and their values in the types Burnish computes with:
// every float becomes float32; every integer int32, range-checked; bool and U8 stay bytes.
import { type DType, isHalf, itemSize, storedNumber, type TypedArray } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { bfloat16Value, float16Value } from '../base/half.js'
import { type Shape, sizeOf } from '../base/shape.js'

/** Names as safetensors writes them. */
export type FileDType =
  | 'BOOL'
  | 'U8'
  | 'I8'
  | 'F8_E5M2'
  | 'F8_E4M3'
  | 'I16'
  | 'U16'
  | 'F16'
  | 'BF16'
  | 'I32'
  | 'U32'
  | 'F32'
  | 'F64'
  | 'I64'
  | 'U64'

export const fileItemSize: { readonly [D in FileDType]: number } = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
}

/** A tensor in a file: little-endian, row-major bytes. */
export interface StoredTensor {
  readonly dtype: FileDType
  readonly shape: Shape
  readonly bytes: Uint8Array
}

/** A tensor's values on the host. */
export interface HostTensor {
  readonly dtype: DType
  readonly shape: Shape
  readonly data: TypedArray
}

/** E4M3 is a float16 of fewer bits and another bias, has no infinities, and all ones is NaN. */
const e4m3 = (bits: number): number =>
  (bits & 0x7f) === 0x7f
    ? Number.NaN
    : float16Value(((bits & 0x80) << 8) | ((bits & 0x7f) << 7)) * 2 ** 8

type Reader = (view: DataView, offset: number) => number

const readers: { readonly [D in Exclude<FileDType, 'I64' | 'U64'>]: Reader } = {
  BOOL: (view, at) => view.getUint8(at),
  U8: (view, at) => view.getUint8(at),
  I8: (view, at) => view.getInt8(at),
  F8_E5M2: (view, at) => float16Value(view.getUint8(at) << 8),
  F8_E4M3: (view, at) => e4m3(view.getUint8(at)),
  I16: (view, at) => view.getInt16(at, true),
  U16: (view, at) => view.getUint16(at, true),
  F16: (view, at) => float16Value(view.getUint16(at, true)),
  BF16: (view, at) => bfloat16Value(view.getUint16(at, true)),
  I32: (view, at) => view.getInt32(at, true),
  U32: (view, at) => view.getUint32(at, true),
  F32: (view, at) => view.getFloat32(at, true),
  F64: (view, at) => view.getFloat64(at, true),
}

export function hostDType(dtype: FileDType): DType {
  if (dtype === 'BOOL') return 'bool'
  if (dtype === 'U8') return 'uint8'
  return /^(F|BF)/.test(dtype) ? 'float32' : 'int32'
}

/**
 * The values of a stored tensor, copied out; without `copy`, a view of the bytes where that is possible.
 * @throws BurnishError when an integer does not fit int32, or a BOOL byte is not 0 or 1.
 */
export function decode(
  stored: StoredTensor,
  where: string,
  { copy = true }: { readonly copy?: boolean } = {},
): HostTensor {
  const count = sizeOf(stored.shape)
  const dtype = hostDType(stored.dtype)
  const view = new DataView(stored.bytes.buffer, stored.bytes.byteOffset, stored.bytes.byteLength)
  if (stored.dtype === 'F32') {
    const { bytes } = stored
    const { buffer, byteOffset } =
      copy || bytes.byteOffset % 4 !== 0 ? new Uint8Array(bytes) : bytes
    return { dtype, shape: stored.shape, data: new Float32Array(buffer, byteOffset, count) }
  }
  const data =
    dtype === 'float32'
      ? new Float32Array(count)
      : dtype === 'int32'
        ? new Int32Array(count)
        : new Uint8Array(count)
  if (stored.dtype === 'I64' || stored.dtype === 'U64') {
    for (let i = 0; i < count; i++) {
      const value =
        stored.dtype === 'I64' ? view.getBigInt64(8 * i, true) : view.getBigUint64(8 * i, true)
      if (value !== BigInt.asIntN(32, value)) outside(value, where)
      data[i] = Number(value)
    }
    return { dtype, shape: stored.shape, data }
  }
  const read = readers[stored.dtype]
  const size = fileItemSize[stored.dtype]
  for (let i = 0; i < count; i++) {
    const value = read(view, size * i)
    if (stored.dtype === 'U32' && value > 0x7fffffff) outside(value, where)
    if (stored.dtype === 'BOOL' && value > 1)
      fail(`${where}: the byte ${value} is no bool; bools are stored as 0 and 1`)
    data[i] = value
  }
  return { dtype, shape: stored.shape, data }
}

function outside(value: number | bigint, where: string): never {
  fail(
    `${where}: ${value} does not fit int32 (−2147483648 … 2147483647), the integer type in memory`,
  )
}

const stored: { readonly [D in DType]: FileDType } = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int32: 'I32',
  uint8: 'U8',
  bool: 'BOOL',
}

/** Values as a file stores them; an int32 tensor may be written as I64, the type PyTorch's counters have. */
export function encode(tensor: HostTensor, dtype: FileDType = stored[tensor.dtype]): StoredTensor {
  const { shape } = tensor
  const data =
    isHalf(tensor.dtype) && !(tensor.data instanceof Uint16Array)
      ? Uint16Array.from(tensor.data, (x) => storedNumber(tensor.dtype, x))
      : tensor.data
  if (dtype === stored[tensor.dtype]) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length * itemSize[tensor.dtype])
    return { dtype, shape, bytes: bytes.slice() }
  }
  if (dtype !== 'I64' || tensor.dtype !== 'int32')
    fail(`encode: a ${tensor.dtype} tensor is written as ${stored[tensor.dtype]}, not ${dtype}`)
  return { dtype, shape, bytes: new Uint8Array(BigInt64Array.from(data, BigInt).buffer) }
}
