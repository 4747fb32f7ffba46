// PyTorch's tensors as a checkpoint has them: views of storages, with strides; and the element types by PyTorch's names.
import { fail } from '../base/errors.js'
import { type Shape, showShape, sizeOf } from '../base/shape.js'
import { gathered } from './bytes.js'
import { PickleObject } from './pickle.js'
import { type FileDType, fileItemSize, type StoredTensor } from './values.js'

/** By the name of PyTorch's dtype. */
export const dtypes: ReadonlyMap<string, FileDType> = new Map([
  ['float32', 'F32'],
  ['float64', 'F64'],
  ['float16', 'F16'],
  ['bfloat16', 'BF16'],
  ['float8_e5m2', 'F8_E5M2'],
  ['float8_e4m3fn', 'F8_E4M3'],
  ['int64', 'I64'],
  ['int32', 'I32'],
  ['int16', 'I16'],
  ['int8', 'I8'],
  ['uint8', 'U8'],
  ['uint16', 'U16'],
  ['uint32', 'U32'],
  ['uint64', 'U64'],
  ['bool', 'BOOL'],
])

/** By the name of PyTorch's storage class; other types have none, and are views of `UntypedStorage`. */
export const storageTypes: ReadonlyMap<string, FileDType> = new Map([
  ['FloatStorage', 'F32'],
  ['DoubleStorage', 'F64'],
  ['HalfStorage', 'F16'],
  ['BFloat16Storage', 'BF16'],
  ['LongStorage', 'I64'],
  ['IntStorage', 'I32'],
  ['ShortStorage', 'I16'],
  ['CharStorage', 'I8'],
  ['ByteStorage', 'U8'],
  ['BoolStorage', 'BOOL'],
])

/** The memory that tensors are views of. Two tensors with one storage are tied, or parts of one another. */
export class PytorchStorage extends PickleObject {
  /** Its name in the file. */
  readonly key: string
  /** Of its elements; undefined: bytes. */
  readonly dtype: FileDType | undefined
  readonly byteLength: number
  #bytes: Uint8Array | undefined

  constructor(key: string, dtype: FileDType | undefined, byteLength: number) {
    super()
    this.key = key
    this.dtype = dtype
    this.byteLength = byteLength
  }

  /** Little-endian; undefined while they were not read. */
  get bytes(): Uint8Array | undefined {
    return this.#bytes
  }
  set bytes(bytes: Uint8Array | undefined) {
    this.#bytes = bytes
  }
}

/** Where a tensor lies in its storage; sizes in elements. */
export interface TensorPlace {
  readonly dtype: FileDType
  readonly offset: number
  readonly shape: Shape
  readonly strides: readonly number[]
}

/** Elements that no more of a storage than this stands behind may be repeated by strides of 0. */
export const MOST_REPEATED = 64 * 2 ** 20

/**
 * A tensor of a checkpoint: a view of a storage. `bytes` are its elements in row-major order, where the storage was read.
 */
export class PytorchTensor extends PickleObject implements StoredTensor, TensorPlace {
  readonly storage: PytorchStorage
  readonly dtype: FileDType
  readonly offset: number
  readonly shape: Shape
  readonly strides: readonly number[]
  readonly requiresGrad: boolean

  /** @throws BurnishError naming `where` when the view leaves its storage, or repeats it beyond measure. */
  constructor(storage: PytorchStorage, place: TensorPlace, requiresGrad: boolean, where: string) {
    super()
    checkPlace(storage, place, where)
    this.storage = storage
    this.dtype = place.dtype
    this.offset = place.offset
    this.shape = place.shape
    this.strides = place.strides
    this.requiresGrad = requiresGrad
  }

  get bytes(): Uint8Array {
    const { bytes, key } = this.storage
    return bytes === undefined
      ? fail(
          `PytorchTensor: its storage ${key} was not read yet; read it through the file it is of`,
        )
      : this.from(bytes)
  }

  /** The same for two names of one tensor. */
  get identity(): string {
    return `${this.storage.key} ${this.dtype} ${this.offset} [${this.shape}] [${this.strides}]`
  }

  /** The elements out of the storage's bytes: a view where they lie in order. */
  from(storage: Uint8Array): Uint8Array {
    const item = fileItemSize[this.dtype]
    const length = sizeOf(this.shape) * item
    const begin = this.offset * item
    if (length === 0) return new Uint8Array()
    if (isContiguous(this.shape, this.strides)) return storage.subarray(begin, begin + length)
    return gathered(storage, begin, this.shape, this.strides, item)
  }
}

function isContiguous(shape: Shape, strides: readonly number[]): boolean {
  let expected = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false
    expected *= shape[axis]
  }
  return true
}

function checkPlace(storage: PytorchStorage, place: TensorPlace, where: string): void {
  const { dtype, offset, shape, strides } = place
  const item = fileItemSize[dtype]
  const here = `${where}: a tensor ${dtype} ${showShape(shape)} in storage ${storage.key}`
  if (strides.length !== shape.length)
    fail(`${here} has ${strides.length} strides, but ${shape.length} dimensions`)
  let [last, size] = [offset, item]
  shape.forEach((extent, axis) => {
    last += Math.max(extent - 1, 0) * strides[axis]
    size *= extent
  })
  if (!Number.isSafeInteger(size)) fail(`${here} overflows 2^53 bytes`)
  if (size === 0) return
  const end = (last + 1) * item
  if (!(end <= storage.byteLength))
    fail(
      `${here}, offset ${offset}, strides ${showShape(strides)}, ends at byte ${end}, the storage at ${storage.byteLength}`,
    )
  if (size > storage.byteLength && size > MOST_REPEATED)
    fail(
      `${here} repeats ${storage.byteLength} bytes to ${size}; in Python, save a tensor.contiguous() of what is meant, or the small one`,
    )
}
