// Types, shapes and data of HDF5: numbers of every width and order, texts, and data in one piece or in packed chunks.
import { unzlibSync } from 'fflate'
import { fail } from '../base/errors.js'
import { bfloat16Value, float16Value } from '../base/half.js'
import { type Shape, sizeOf, stridesOf } from '../base/shape.js'
import type { Cursor } from './hdf5-cursor.js'
import type { HostTensor } from './values.js'

/** A type, as far as it is read. */
export type DataType =
  | {
      readonly kind: 'integer'
      readonly size: number
      readonly signed: boolean
      readonly little: boolean
    }
  | { readonly kind: 'float'; readonly size: number; readonly little: boolean }
  | { readonly kind: 'text'; readonly size: number }
  | { readonly kind: 'heap text'; readonly size: number }
  | { readonly kind: 'other'; readonly size: number; readonly name: string }

export interface Dataspace {
  readonly shape: Shape
  /** There is nothing at all. */
  readonly none: boolean
}

const CLASSES = [
  'integer',
  'float',
  'time',
  'text',
  'bit field',
  'opaque',
  'compound',
  'reference',
  'enumeration',
  'list',
  'array',
]

export function readDataType(cursor: Cursor, at: number): DataType {
  const kind = cursor.byte(at) & 15
  const bits = cursor.byte(at + 1)
  const size = cursor.number(at + 4, 4)
  const little = (bits & 1) === 0
  if (kind === 0) return { kind: 'integer', size, signed: (bits & 8) !== 0, little }
  if (kind === 1) return { kind: 'float', size, little }
  if (kind === 3) return { kind: 'text', size }
  if (kind === 9 && (bits & 15) === 1) return { kind: 'heap text', size }
  // An enumeration, such as h5py's bool, is its numbers.
  if (kind === 8) {
    // Of an enumeration of enumerations there is no end.
    const base = (cursor.byte(at + 8) & 15) === 0 ? readDataType(cursor, at + 8) : undefined
    if (base?.kind === 'integer') return { ...base, size }
  }
  return { kind: 'other', size, name: CLASSES[kind] ?? `class ${kind}` }
}

export function readDataspace(cursor: Cursor, at: number): Dataspace {
  const version = cursor.byte(at)
  const rank = cursor.byte(at + 1)
  if ((version !== 1 && version !== 2) || rank > 32)
    fail(
      `${cursor.where}: a shape has version ${version} and ${rank} dimensions: the file is damaged`,
    )
  const first = at + (version === 1 ? 8 : 4)
  const none = version === 2 && cursor.byte(at + 3) === 2
  const shape = Array.from({ length: rank }, (_, i) =>
    cursor.length(first + i * cursor.sizes.length),
  )
  return { shape, none }
}

const MOST_TEXTS = 1 << 20

/** Texts; undefined where the type is none. */
export function readText(
  cursor: Cursor,
  type: DataType,
  { shape, none }: Dataspace,
  at: number,
): readonly string[] | undefined {
  if (type.kind !== 'text' && type.kind !== 'heap text') return undefined
  const count = none ? 0 : sizeOf(shape)
  if (!(count <= MOST_TEXTS))
    fail(`${cursor.where}: a list of ${count} texts is too long: the file is damaged`)
  cursor.check(at, count * type.size)
  return Array.from({ length: count }, (_, i) => {
    const place = at + i * type.size
    return type.kind === 'text' ? cursor.text(place, type.size) : heapText(cursor, place)
  })
}

/** A text in a global heap: its length, the heap's address, and its number there. */
function heapText(cursor: Cursor, at: number): string {
  const { offset, length } = cursor.sizes
  const size = cursor.number(at, 4)
  if (size === 0) return ''
  const heap = cursor.address(at + 4)
  const wanted = cursor.number(at + 4 + offset, 4)
  const p = textsOf(cursor, heap).get(wanted)
  if (p === undefined)
    return fail(
      `${cursor.where}: text ${wanted} of the heap at ${heap} is not there: the file is damaged`,
    )
  return cursor.text(p + 8 + length, Math.min(cursor.length(p + 8), size))
}

type Heaps = Map<number, ReadonlyMap<number, number>>
const heaps = new WeakMap<Cursor, Heaps>()

/** Where the objects of a global heap lie, by their numbers; it is walked once, whoever asks how often. */
function textsOf(cursor: Cursor, heap: number): ReadonlyMap<number, number> {
  const known: Heaps = heaps.get(cursor) ?? new Map()
  heaps.set(cursor, known)
  const before = known.get(heap)
  if (before !== undefined) return before
  const { length } = cursor.sizes
  cursor.expect(heap, 'GCOL')
  const end = heap + cursor.length(heap + 8)
  cursor.check(heap, end - heap)
  const places = new Map<number, number>()
  for (let p = heap + 8 + length; p + 8 + length <= end; ) {
    const index = cursor.number(p, 2)
    if (index === 0) break
    if (!places.has(index)) places.set(index, p)
    p += 8 + length + Math.ceil(cursor.length(p + 8) / 8) * 8
  }
  known.set(heap, places)
  return places
}

interface Described {
  readonly type: DataType
  readonly space: Dataspace
  /** Where its layout and its filters are described. */
  readonly layout: number
  readonly filters: number | undefined
  /** What floats of 16 bits are. */
  readonly half: 'float16' | 'bfloat16'
}

/** No deflate stream unpacks to more than 1032 times its size. */
const DEFLATE_LIMIT = 1032

/** The numbers of a dataset. */
export function readData(
  cursor: Cursor,
  where: string,
  { type, space, layout, filters, half }: Described,
): HostTensor {
  const { shape } = space
  if (type.kind !== 'integer' && type.kind !== 'float')
    throw fail(`${where}: holds ${type.kind === 'other' ? type.name : 'text'}, no numbers`)
  const count = space.none ? 0 : sizeOf(shape)
  const steps = filters === undefined ? [] : readFilters(cursor, filters, where)
  const most = cursor.bytes.length * (steps.includes(DEFLATE) ? DEFLATE_LIMIT : 1)
  if (!(count * type.size <= most))
    fail(
      `${where}: its shape [${shape}] takes ${count * type.size} bytes, more than a file of ${cursor.bytes.length} can hold`,
    )
  const bytes = readLayout(cursor, where, layout, { shape, count, size: type.size, steps })
  return type.kind === 'float'
    ? { dtype: 'float32', shape, data: floats(bytes, count, type, half, where) }
    : { dtype: 'int32', shape, data: integers(bytes, count, type, where) }
}

type Numbers = Extract<DataType, { kind: 'integer' | 'float' }>

function floats(
  bytes: Uint8Array,
  count: number,
  { size, little }: Numbers,
  half: Described['half'],
  where: string,
): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const ofHalf = half === 'bfloat16' ? bfloat16Value : float16Value
  const readers: { readonly [size: number]: (at: number) => number } = {
    2: (at) => ofHalf(view.getUint16(at, little)),
    4: (at) => view.getFloat32(at, little),
    8: (at) => view.getFloat64(at, little),
  }
  const read =
    readers[size] ?? fail(`${where}: has floats of ${size} bytes; those of 2, 4 and 8 are read`)
  const data = new Float32Array(count)
  for (let i = 0; i < count; i++) data[i] = read(i * size)
  return data
}

function integers(bytes: Uint8Array, count: number, type: Numbers, where: string): Int32Array {
  const { size, little } = type
  const signed = type.kind === 'integer' && type.signed
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const readers: { readonly [size: number]: (at: number) => number } = {
    1: (at) => (signed ? view.getInt8(at) : view.getUint8(at)),
    2: (at) => (signed ? view.getInt16(at, little) : view.getUint16(at, little)),
    4: (at) => (signed ? view.getInt32(at, little) : view.getUint32(at, little)),
    8: (at) => Number(signed ? view.getBigInt64(at, little) : view.getBigUint64(at, little)),
  }
  const read = readers[size] ?? fail(`${where}: has integers of ${size} bytes`)
  const data = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    const value = read(i * size)
    if (value !== (value | 0))
      fail(`${where}: ${value} does not fit int32, the integer type in memory`)
    data[i] = value
  }
  return data
}

const DEFLATE = 1
const SHUFFLE = 2
const CHECKSUM = 3

/** The filters that data went through, in order. */
function readFilters(cursor: Cursor, at: number, where: string): readonly number[] {
  const version = cursor.byte(at)
  const count = cursor.byte(at + 1)
  let p = at + (version === 1 ? 8 : 2)
  return Array.from({ length: count }, () => {
    const id = cursor.number(p, 2)
    const named = version === 1 || id >= 256
    const nameSize = named ? cursor.number(p + 2, 2) : 0
    const values = cursor.number(p + (named ? 6 : 4), 2)
    if (id !== DEFLATE && id !== SHUFFLE && id !== CHECKSUM)
      fail(`${where}: is packed by filter ${id}; deflate, shuffle and checksums are read`)
    p += (named ? 8 : 6) + (version === 1 ? Math.ceil(nameSize / 8) * 8 : nameSize)
    p += 4 * (version === 1 ? values + (values % 2) : values)
    return id
  })
}

interface Wanted {
  readonly shape: Shape
  readonly count: number
  /** Bytes of an element. */
  readonly size: number
  readonly steps: readonly number[]
}

/** The bytes of a dataset's elements, row-major. */
function readLayout(cursor: Cursor, where: string, at: number, wanted: Wanted): Uint8Array {
  const version = cursor.byte(at)
  const { count, size } = wanted
  const total = count * size
  const { offset } = cursor.sizes
  const early = version === 1 || version === 2
  if (!early && version !== 3 && version !== 4)
    fail(`${where}: has layout version ${version}; 1 to 4 are read`)
  const kind = cursor.byte(at + (early ? 2 : 1))
  const body = at + (early ? 8 : 2)
  const piece = (begin: number): Uint8Array => {
    cursor.check(begin, total)
    return cursor.bytes.subarray(begin, begin + total)
  }
  if (kind === 0) {
    if (early) return piece(body + 4 * cursor.byte(at + 1) + 4)
    return piece(body + 2)
  }
  if (kind === 1) {
    if (total === 0) return new Uint8Array(0)
    // Never written: zeros.
    return cursor.isUndefined(body) ? new Uint8Array(total) : piece(cursor.address(body))
  }
  if (kind !== 2 || version === 4)
    fail(`${where}: is laid out in a way that libver='latest' alone writes; save it without`)
  const rank = cursor.byte(early ? at + 1 : body) - 1
  const tree = early ? body : body + 1
  const dims = tree + offset
  const chunk = Array.from({ length: rank }, (_, i) => cursor.number(dims + 4 * i, 4))
  if (rank !== wanted.shape.length || chunk.some((n) => n === 0))
    fail(`${where}: its chunks [${chunk}] do not fit its shape [${wanted.shape}]`)
  const result = new Uint8Array(total)
  if (total > 0 && !cursor.isUndefined(tree))
    fillChunks(cursor, where, cursor.address(tree), chunk, wanted, result)
  return result
}

function fillChunks(
  cursor: Cursor,
  where: string,
  root: number,
  chunk: readonly number[],
  { shape, size, steps }: Wanted,
  result: Uint8Array,
): void {
  const rank = shape.length
  const { offset } = cursor.sizes
  const bytes = sizeOf(chunk) * size
  // A chunk may reach beyond the data, but not by much more than the whole.
  if (!(bytes <= cursor.bytes.length * DEFLATE_LIMIT))
    fail(`${where}: a chunk of ${bytes} bytes is too large`)
  const keySize = 8 + 8 * (rank + 1)
  const seen = new Set<number>()
  const open = [root]
  let work = 0
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (seen.has(node)) fail(`${where}: its tree of chunks returns to itself: the file is damaged`)
    seen.add(node)
    cursor.expect(node, 'TREE')
    const level = cursor.byte(node + 5)
    const count = cursor.number(node + 6, 2)
    for (let i = 0; i < count; i++) {
      const key = node + 8 + 2 * offset + i * (keySize + offset)
      const child = cursor.address(key + keySize)
      if (level > 0) {
        open.push(child)
        continue
      }
      const stored = cursor.number(key, 4)
      const mask = cursor.number(key + 4, 4)
      const start = shape.map((_, d) => cursor.number(key + 8 + 8 * d, 8))
      if (start.some((n, d) => n >= shape[d])) continue
      cursor.check(child, stored)
      work += bytes
      // Chunks lie side by side, so all of them are not much more than the whole.
      if (work > 64 * (result.length + bytes))
        fail(`${where}: has more chunks than its shape: the file is damaged`)
      const used = steps.filter((_, k) => ((mask >> k) & 1) === 0)
      const data = unpacked(cursor.bytes.subarray(child, child + stored), used, size, bytes, where)
      place(data, chunk, start, shape, size, result)
    }
  }
}

function unpacked(
  packed: Uint8Array,
  steps: readonly number[],
  size: number,
  bytes: number,
  where: string,
): Uint8Array {
  let data = packed
  for (const step of [...steps].reverse()) {
    if (step === CHECKSUM) data = data.subarray(0, Math.max(data.length - 4, 0))
    else if (step === DEFLATE)
      try {
        data = unzlibSync(data, { out: new Uint8Array(bytes + 4 + 1) })
      } catch (error) {
        return fail(
          `${where}: a chunk cannot be unpacked (${error instanceof Error ? error.message : String(error)}): the file is damaged`,
        )
      }
    else data = unshuffled(data, size)
  }
  if (data.length !== bytes)
    fail(`${where}: a chunk has ${data.length} bytes, not ${bytes}: the file is damaged`)
  return data
}

/** First bytes of all elements, then second bytes, and so on → elements. */
function unshuffled(data: Uint8Array, size: number): Uint8Array {
  const count = Math.floor(data.length / size)
  const result = data.slice()
  for (let b = 0; b < size; b++)
    for (let i = 0; i < count; i++) result[i * size + b] = data[b * count + i]
  return result
}

/** The rows of a chunk that lie within the shape, to their places. */
function place(
  data: Uint8Array,
  chunk: readonly number[],
  start: readonly number[],
  shape: Shape,
  size: number,
  result: Uint8Array,
): void {
  const rank = shape.length
  const inside = chunk.map((n, d) => Math.min(n, shape[d] - start[d]))
  const [from, to] = [stridesOf(chunk), stridesOf(shape)]
  const row = rank === 0 ? 1 : inside[rank - 1]
  const rows = sizeOf(inside.slice(0, -1))
  for (let r = 0; r < rows; r++) {
    let [rest, source, target] = [r, 0, rank === 0 ? 0 : start[rank - 1]]
    for (let d = rank - 2; d >= 0; d--) {
      const at = rest % inside[d]
      rest = Math.floor(rest / inside[d])
      source += at * from[d]
      target += (start[d] + at) * to[d]
    }
    result.set(data.subarray(source * size, (source + row) * size), target * size)
  }
}
