// Writing PyTorch's checkpoints: the zip archive of `torch.save`, which `torch.load` reads, with `weights_only` too. Pickle
// protocol 2, OrderedDict for what holds tensors, storages aligned to 64 bytes. After torch/serialization.py.
import { fail } from '../base/errors.js'
import { sizeOf, stridesOf } from '../base/shape.js'
import { joined } from './bytes.js'
import { storageTypes } from './pytorch-tensors.js'
import {
  encode,
  type FileDType,
  fileItemSize,
  type HostTensor,
  type StoredTensor,
} from './values.js'
import { zipParts } from './zip-write.js'

/** What a checkpoint can hold: tensors, plain values, and lists, objects and Maps of them. */
export type PytorchWritable =
  | null
  | boolean
  | number
  | bigint
  | string
  | StoredTensor
  | HostTensor
  | readonly PytorchWritable[]
  | ReadonlyMap<PytorchWritable, PytorchWritable>
  | { readonly [name: string]: PytorchWritable }

const ALIGNMENT = 64
const DEEPEST = 100
const STOP = 0x2e
/** No integer of more bytes is written in the short form. */
const LONGEST_INTEGER = 255

const typeNames: ReadonlyMap<FileDType, string> = new Map(
  [...storageTypes].map(([name, dtype]) => [dtype, name]),
)

/**
 * The file of a checkpoint. A tensor that is there twice, as one object or over the same bytes, is stored once and tied.
 * Numbers that are whole are written as Python's int, others as float.
 * @throws BurnishError for types PyTorch has no storage of, for values that are none of these, and for cycles.
 */
export function writePytorch(value: PytorchWritable, name = 'archive'): Uint8Array {
  return joined(pytorchParts(value, name))
}

/** The same in parts, to be written one after the other: tensors' bytes are not copied. */
export function pytorchParts(value: PytorchWritable, name = 'archive'): Uint8Array[] {
  const pickle = new Pickler()
  pickle.value(value, 0)
  const entries: [string, Uint8Array][] = [
    [`${name}/data.pkl`, pickle.done()],
    [`${name}/byteorder`, new TextEncoder().encode('little')],
    ...pickle.storages.map((bytes, i): [string, Uint8Array] => [`${name}/data/${i}`, bytes]),
    [`${name}/version`, new TextEncoder().encode('3\n')],
  ]
  return zipParts(entries, { align: ALIGNMENT })
}

function isStored(value: object): value is StoredTensor {
  return 'bytes' in value && 'shape' in value && 'dtype' in value
}

function isHost(value: object): value is HostTensor {
  return 'data' in value && ArrayBuffer.isView(value.data) && 'shape' in value && 'dtype' in value
}

/** Writes the instructions that make a value again. */
class Pickler {
  readonly #parts: number[] = [0x80, 2]
  readonly storages: Uint8Array[] = []
  readonly #keys = new Map<string, number>()
  readonly #buffers = new Map<ArrayBufferLike, number>()
  readonly #encoded = new Map<HostTensor, StoredTensor>()
  readonly #memo = new Map<string, number>()
  readonly #open = new Set<object>()

  done(): Uint8Array {
    return Uint8Array.from([...this.#parts, STOP])
  }

  #add(...bytes: readonly number[]): void {
    for (const byte of bytes) this.#parts.push(byte)
  }

  #u32(code: number, value: number): void {
    this.#add(code, value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24)
  }

  /** What `write` leaves on the stack, from the memo where it was before. */
  #remembered(key: string, write: () => void): void {
    const known = this.#memo.get(key)
    if (known !== undefined) {
      if (known < 256) this.#add(0x68, known)
      else this.#u32(0x6a, known)
      return
    }
    write()
    const index = this.#memo.size
    this.#memo.set(key, index)
    if (index < 256) this.#add(0x71, index)
    else this.#u32(0x72, index)
  }

  #global(module: string, name: string): void {
    this.#remembered(`global ${module} ${name}`, () => {
      this.#add(0x63)
      this.#add(...new TextEncoder().encode(`${module}\n${name}\n`))
    })
  }

  #text(text: string): void {
    this.#remembered(`text ${text}`, () => {
      const bytes = new TextEncoder().encode(text)
      this.#u32(0x58, bytes.length)
      this.#add(...bytes)
    })
  }

  #integer(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0 && value < 256) this.#add(0x4b, value)
    else if (typeof value === 'number' && value === (value | 0)) this.#u32(0x4a, value >>> 0)
    else this.#long(value)
  }

  #long(value: number | bigint): void {
    let rest = BigInt(value)
    const bytes: number[] = []
    do {
      bytes.push(Number(rest & 255n))
      rest >>= 8n
    } while (!(rest === 0n || rest === -1n))
    // The highest bit is the sign.
    if ((rest === -1n) !== (bytes.at(-1) ?? 0) >= 128) bytes.push(rest === -1n ? 255 : 0)
    if (bytes.length > LONGEST_INTEGER)
      fail(`writePytorch: an integer of ${bytes.length} bytes; at most ${LONGEST_INTEGER}`)
    this.#add(0x8a, bytes.length, ...bytes)
  }

  #float(value: number): void {
    const view = new DataView(new ArrayBuffer(8))
    view.setFloat64(0, value)
    this.#add(0x47, ...new Uint8Array(view.buffer))
  }

  #tuple(items: readonly (() => void)[]): void {
    if (items.length > 3) this.#add(0x28)
    for (const item of items) item()
    if (items.length === 0) this.#add(0x29)
    else this.#add(items.length > 3 ? 0x74 : 0x84 + items.length)
  }

  #integers(values: readonly number[]): void {
    this.#tuple(values.map((value) => () => this.#integer(value)))
  }

  #orderedDict(): void {
    this.#global('collections', 'OrderedDict')
    this.#add(0x29, 0x52)
  }

  value(value: PytorchWritable, depth: number): void {
    if (depth > DEEPEST) fail(`writePytorch: nested more than ${DEEPEST} deep`)
    if (value === null) this.#add(0x4e)
    else if (typeof value === 'boolean') this.#add(value ? 0x88 : 0x89)
    else if (typeof value === 'string') this.#text(value)
    else if (typeof value === 'bigint') this.#integer(value)
    else if (typeof value === 'number') {
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.#integer(value)
      else this.#float(value)
    } else if (typeof value === 'object') this.#object(value, depth)
    else fail(`writePytorch: a ${typeof value} is none of what a checkpoint holds`)
  }

  #object(
    value: Exclude<PytorchWritable, null | boolean | number | bigint | string>,
    depth: number,
  ): void {
    if (isStored(value)) this.#tensor(value)
    else if (isHost(value)) {
      const stored = this.#encoded.get(value) ?? encode(value)
      this.#encoded.set(value, stored)
      this.#tensor(stored)
    } else this.#container(value, depth)
  }

  #container(
    value: Exclude<object & PytorchWritable, StoredTensor | HostTensor>,
    depth: number,
  ): void {
    if (this.#open.has(value)) fail('writePytorch: a list or dict contains itself')
    this.#open.add(value)
    if (Array.isArray(value)) {
      this.#add(0x5d, 0x28)
      for (const item of value) this.value(item, depth + 1)
      this.#add(0x65)
    } else {
      const pairs: readonly (readonly [PytorchWritable, PytorchWritable])[] =
        value instanceof Map ? [...value] : Object.entries(value)
      const prototype: unknown = Object.getPrototypeOf(value)
      if (!(value instanceof Map) && prototype !== null && prototype !== Object.prototype)
        fail(
          `writePytorch: a ${value.constructor.name} is none of what a checkpoint holds; give await storedState(model.stateDict()), or data with a shape and dtype, or plain values`,
        )
      // As torch.save does: a dict of tensors is an OrderedDict, others are plain.
      const first = pairs[0]?.[1]
      if (typeof first === 'object' && first !== null && (isStored(first) || isHost(first)))
        this.#orderedDict()
      else this.#add(0x7d)
      this.#add(0x28)
      for (const [key, item] of pairs) {
        if (typeof key === 'object') fail('writePytorch: keys are texts and numbers')
        this.value(key, depth + 1)
        this.value(item, depth + 1)
      }
      this.#add(0x75)
    }
    this.#open.delete(value)
  }

  /** The same bytes of the same memory, as one type, are one storage. */
  #storage(bytes: Uint8Array, dtype: FileDType): number {
    let buffer = this.#buffers.get(bytes.buffer)
    if (buffer === undefined) {
      buffer = this.#buffers.size
      this.#buffers.set(bytes.buffer, buffer)
    }
    const key = `${dtype} ${buffer} ${bytes.byteOffset} ${bytes.byteLength}`
    const known = bytes.byteLength === 0 ? undefined : this.#keys.get(key)
    if (known !== undefined) return known
    this.#keys.set(key, this.storages.length)
    this.storages.push(bytes)
    return this.storages.length - 1
  }

  #tensor({ dtype, shape, bytes }: StoredTensor): void {
    const type = typeNames.get(dtype)
    if (type === undefined)
      throw fail(
        `writePytorch: PyTorch has no storage of ${dtype}; convert it, or write safetensors`,
      )
    const count = sizeOf(shape)
    if (bytes.length !== count * fileItemSize[dtype])
      fail(`writePytorch: ${dtype} [${shape}] is ${count} elements, but has ${bytes.length} bytes`)
    const key = String(this.#storage(bytes, dtype))
    this.#global('torch._utils', '_rebuild_tensor_v2')
    this.#tuple([
      () => {
        this.#tuple([
          () => this.#text('storage'),
          () => this.#global('torch', type),
          () => this.#text(key),
          () => this.#text('cpu'),
          () => this.#integer(count),
        ])
        this.#add(0x51)
      },
      () => this.#integer(0),
      () => this.#integers(shape),
      () => this.#integers(stridesOf(shape.map((extent) => Math.max(extent, 1)))),
      () => this.#add(0x89),
      () => this.#orderedDict(),
    ])
    this.#add(0x52)
  }
}
