// ONNX's tensors as stored ones: raw bytes, typed fields (which hold small types as int32), or bytes in another file.
import { fail } from '../../base/errors.js'
import { type FileDType, fileItemSize, type StoredTensor } from '../values.js'
import { type Tensor, TensorType } from './wire.js'

const dtypes: ReadonlyMap<number, FileDType> = new Map([
  [TensorType.FLOAT, 'F32'],
  [TensorType.UINT8, 'U8'],
  [TensorType.INT8, 'I8'],
  [TensorType.UINT16, 'U16'],
  [TensorType.INT16, 'I16'],
  [TensorType.INT32, 'I32'],
  [TensorType.INT64, 'I64'],
  [TensorType.BOOL, 'BOOL'],
  [TensorType.FLOAT16, 'F16'],
  [TensorType.DOUBLE, 'F64'],
  [TensorType.UINT32, 'U32'],
  [TensorType.UINT64, 'U64'],
  [TensorType.BFLOAT16, 'BF16'],
  [TensorType.FLOAT8E4M3FN, 'F8_E4M3'],
  [TensorType.FLOAT8E5M2, 'F8_E5M2'],
  [TensorType.UINT4, 'U8'],
  [TensorType.INT4, 'I8'],
])

/** The name of an element type, for errors: `STRING`. */
export function typeName(type: number): string {
  return Object.entries(TensorType).find(([, value]) => value === type)?.[0] ?? `type ${type}`
}

/** The type as files have it, or undefined where there is none. */
export function fileType(type: number): FileDType | undefined {
  return dtypes.get(type)
}

/** Bytes of another file: its name beside the model, where they begin, and how many (undefined: to the end). */
export type ExternalData = (location: string, offset: number, length?: number) => Uint8Array

const MOST_ELEMENTS = 2 ** 31

/** @throws BurnishError when the type is not supported, or dimensions and bytes disagree. */
export function storedOf(tensor: Tensor, where: string, external?: ExternalData): StoredTensor {
  const type = tensor.dataType ?? 0
  const dtype = dtypes.get(type)
  if (dtype === undefined) fail(`${where}: tensors of ${typeName(type)} are not supported`)
  const shape = tensor.dims ?? []
  let count = 1
  for (const n of shape) {
    if (!Number.isInteger(n) || n < 0) fail(`${where}: its dimensions [${shape}] are no sizes`)
    count *= n
  }
  if (count > MOST_ELEMENTS) fail(`${where}: [${shape}] has ${count} elements, more than 2^31`)
  const packed = type === TensorType.UINT4 || type === TensorType.INT4
  const size = packed ? Math.ceil(count / 2) : count * fileItemSize[dtype]
  const bytes =
    tensor.dataLocation === 1
      ? outside(tensor, size, where, external)
      : (tensor.rawData ?? typed(tensor, packed ? 'U8' : dtype, where))
  if (bytes.length !== size)
    fail(`${where}: ${bytes.length} bytes do not fill ${dtype} [${shape}], which takes ${size}`)
  return { dtype, shape, bytes: packed ? nibbles(bytes, count, dtype === 'I8') : bytes }
}

function outside(
  { externalData = [] }: Tensor,
  size: number,
  where: string,
  external: ExternalData | undefined,
): Uint8Array {
  const entries = new Map(externalData.map(({ key = '', value = '' }) => [key, value]))
  const location = entries.get('location')
  if (!location) throw fail(`${where}: its data are in another file, but it does not say which`)
  if (external === undefined)
    throw fail(
      `${where}: its data are in the file ${location}; load the model by its path, or give { external }`,
    )
  const number = (key: string): number | undefined => {
    const text = entries.get(key)
    if (text === undefined || text === '') return undefined
    if (!/^\d{1,15}$/.test(text)) fail(`${where}: the ${key} of its data, ${text}, is no number`)
    return Number(text)
  }
  const length = number('length')
  if (length !== undefined && length !== size)
    fail(`${where}: its data have ${length} bytes in ${location}, but must have ${size}`)
  checkLocation(location, where)
  return external(location, number('offset') ?? 0, length ?? size)
}

/** Only files beside the model or in folders below it. */
export function checkLocation(location: string, where: string): void {
  const parts = location.split(/[\\/]/)
  const leaves =
    /^[\\/]|^[A-Za-z]:|\0/.test(location) || /^\w+:\/\//.test(location) || parts.includes('..')
  if (leaves)
    fail(
      `${where}: its data are in ${JSON.stringify(location)}, which leaves the model's folder; only files below it are read`,
    )
}

/** The bytes of typed fields. */
function typed(tensor: Tensor, dtype: FileDType, where: string): Uint8Array {
  const { floatData, int32Data, int64Data, doubleData, uint64Data } = tensor
  const view = (typed: ArrayBufferView) =>
    new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength)
  const none: readonly number[] = []
  switch (dtype) {
    case 'F32':
      return view(Float32Array.from(floatData ?? none))
    case 'F64':
      return view(Float64Array.from(doubleData ?? none))
    case 'I64':
      return view(int64s(int64Data ?? none))
    case 'U64':
      return view(
        BigUint64Array.from(uint64Data ?? none, (x) => (x >= 2 ** 64 ? 2n ** 64n - 1n : BigInt(x))),
      )
    case 'U32':
      return view(Uint32Array.from(uint64Data ?? none))
    case 'I32':
      return view(Int32Array.from(int32Data ?? none))
    case 'I16':
    case 'U16':
    case 'F16':
    case 'BF16':
      return view(Uint16Array.from(int32Data ?? none))
    case 'I8':
    case 'U8':
    case 'BOOL':
    case 'F8_E4M3':
    case 'F8_E5M2':
      return view(Uint8Array.from(int32Data ?? none))
    default:
      throw fail(`${where}: ${dtype} is not supported`)
  }
}

/** 2⁶³ − 1, which slices use for "to the end", is read as the number 2⁶³: it must not become −2⁶³. */
export function int64s(list: Iterable<number>): BigInt64Array {
  return BigInt64Array.from(list, (x) => (x >= 2 ** 63 ? 2n ** 63n - 1n : BigInt(x)))
}

/** Two 4-bit integers a byte, the lower half first. */
function nibbles(bytes: Uint8Array, count: number, signed: boolean): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => {
    const value = (bytes[i >> 1] >> (4 * (i & 1))) & 15
    return signed && value > 7 ? value - 16 : value
  })
}
