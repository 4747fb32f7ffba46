// The safetensors format: named tensors behind a JSON header. Hand-written after `safetensors/src/tensor.rs`
// (Hugging Face), with every check it makes and a few more; files come from strangers.
//
// Layout: u64 little-endian header length N; N bytes of UTF-8 JSON beginning with `{`, padded with spaces;
// then the data, little-endian and row-major. Each entry is {"dtype", "shape", "data_offsets": [begin, end]},
// offsets relative to the data; `__metadata__` maps strings to strings. Leaves out the sub-byte types.
import { fail } from '../base/errors.js'
import { type Shape, showShape, sizeOf } from '../base/shape.js'
import { joined } from './bytes.js'
import { type Json, parseJson } from './json.js'
import { plainBytes, type Reading, readFrom, readNow, type Source } from './source.js'
import { type FileDType, fileItemSize, type StoredTensor } from './values.js'

export interface Safetensors {
  readonly tensors: ReadonlyMap<string, StoredTensor>
  readonly metadata: ReadonlyMap<string, string>
}

const LENGTH_BYTES = 8
/** The limit of the format's own implementation. */
const LONGEST_HEADER = 100_000_000

/** Where a tensor lies in a file, in bytes from its beginning. */
export interface SafetensorsEntry {
  readonly dtype: FileDType
  readonly shape: Shape
  readonly begin: number
  readonly end: number
}

/** A file whose tensors are read when they are asked for. */
export interface SafetensorsFile {
  /** In the order of their places. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>
  readonly metadata: ReadonlyMap<string, string>
  /** @throws BurnishError when there is none of that name. */
  read(name: string): Promise<StoredTensor>
  close(): Promise<void>
}

/**
 * The tensors of a file, as views of `bytes` (nothing is copied).
 * @throws BurnishError naming `where`, the rule, and the offending entry.
 */
export function readSafetensors(file: Uint8Array, where = 'safetensors'): Safetensors {
  const bytes = plainBytes(file)
  const { entries, metadata } = readNow(bytes, headerOf(bytes.length, where))
  const tensors = new Map<string, StoredTensor>()
  for (const [name, { dtype, shape, begin, end }] of entries)
    tensors.set(name, { dtype, shape, bytes: bytes.subarray(begin, end) })
  return { tensors, metadata }
}

/** The header of a source, whose tensors are read one by one. Closing it closes the source. */
export async function openSafetensors(source: Source): Promise<SafetensorsFile> {
  const { entries, metadata } = await readFrom(source, headerOf(source.size, source.name))
  return {
    entries,
    metadata,
    async read(name) {
      const entry = entries.get(name)
      if (entry === undefined) throw fail(`${source.name}: has no tensor ${JSON.stringify(name)}`)
      const { dtype, shape, begin, end } = entry
      return { dtype, shape, bytes: await source.read(begin, end) }
    },
    close: () => source.close(),
  }
}

function* headerOf(size: number, where: string): Reading<Omit<SafetensorsFile, 'read' | 'close'>> {
  if (size < LENGTH_BYTES)
    fail(
      `${where}: ${size} bytes, but a safetensors file has at least ${LENGTH_BYTES}: it is truncated or of another format`,
    )
  const head = yield [0, LENGTH_BYTES]
  const announced = new DataView(head.buffer, head.byteOffset, LENGTH_BYTES).getBigUint64(0, true)
  if (announced > LONGEST_HEADER)
    fail(
      `${where}: a header of ${announced} bytes, at most ${LONGEST_HEADER} are allowed: probably not a safetensors file`,
    )
  const start = LENGTH_BYTES + Number(announced)
  if (start > size)
    fail(`${where}: the header ends at byte ${start}, but the file has ${size}: it is truncated`)
  const header = parseHeader(yield [LENGTH_BYTES, start], where)

  const metadata = new Map<string, string>()
  const found: (SafetensorsEntry & { readonly name: string })[] = []
  for (const [name, entry] of header) {
    if (name === '__metadata__') readMetadata(entry, metadata, where)
    else found.push(readEntry(name, entry, start, size, where))
  }
  // Sorted by position the tensors must fill the data exactly: no gap to hide things in, no overlap.
  found.sort((a, b) => a.begin - b.begin || a.end - b.end)
  let position = start
  for (const { name, begin, end } of found) {
    if (begin !== position)
      fail(
        `${where}: tensor ${JSON.stringify(name)} begins at ${begin - start}, but the one before ends at ${position - start}: tensors must follow each other without gap or overlap`,
      )
    position = end
  }
  if (position !== size)
    fail(
      `${where}: the tensors take ${position - start} bytes, the data has ${size - start}: the file is too long`,
    )
  return { entries: new Map(found.map(({ name, ...entry }) => [name, entry])), metadata }
}

function parseHeader(bytes: Uint8Array, where: string): ReadonlyMap<string, Json> {
  if (bytes[0] !== 0x7b) fail(`${where}: the header does not begin with {`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw fail(`${where}: the header is not UTF-8`)
  }
  const header = parseJson(text, `${where}: header`)
  return isObject(header) ? header : fail(`${where}: the header is not a JSON object`)
}

function isObject(value: Json | undefined): value is ReadonlyMap<string, Json> {
  return value instanceof Map
}

function readMetadata(entry: Json, into: Map<string, string>, where: string): void {
  if (!isObject(entry)) throw fail(`${where}: __metadata__ is not an object`)
  for (const [key, value] of entry) {
    if (typeof value !== 'string')
      throw fail(`${where}: __metadata__ entry ${JSON.stringify(key)} is not a string`)
    into.set(key, value)
  }
}

function readEntry(name: string, entry: Json, start: number, fileSize: number, where: string) {
  const here = `${where}: tensor ${JSON.stringify(name)}`
  if (!isObject(entry)) throw fail(`${here}: its entry is not an object`)
  const dtype = entry.get('dtype')
  if (!isFileDType(dtype))
    throw fail(
      `${here}: dtype ${JSON.stringify(dtype)} is not supported; supported are ${Object.keys(fileItemSize).join(', ')}`,
    )
  const shape = naturals(entry.get('shape'), `${here}: shape`)
  const offsets = naturals(entry.get('data_offsets'), `${here}: data_offsets`)
  if (offsets.length !== 2) fail(`${here}: data_offsets has ${offsets.length} numbers, not 2`)
  const [begin, end] = offsets
  let size: number = fileItemSize[dtype]
  for (const extent of shape) {
    size *= extent
    if (!Number.isSafeInteger(size)) fail(`${here}: shape ${showShape(shape)} overflows 2^53 bytes`)
  }
  if (end - begin !== size)
    fail(
      `${here}: ${dtype} ${showShape(shape)} takes ${size} bytes, its data_offsets [${begin}, ${end}] span ${end - begin}`,
    )
  if (end > fileSize - start)
    fail(
      `${here}: its data ends at ${end}, but there are ${fileSize - start} bytes: the file is truncated`,
    )
  return { name, dtype, shape, begin: start + begin, end: start + end }
}

function isFileDType(value: Json | undefined): value is FileDType {
  return typeof value === 'string' && Object.hasOwn(fileItemSize, value)
}

function naturals(value: Json | undefined, where: string): readonly number[] {
  if (!Array.isArray(value)) throw fail(`${where} is not a list of numbers`)
  const numbers: number[] = []
  for (const item of value as readonly Json[]) {
    if (typeof item !== 'number' || item < 0)
      throw fail(`${where} holds ${JSON.stringify(item)}, not a whole number ≥ 0`)
    numbers.push(item)
  }
  return numbers
}

/**
 * A safetensors file. Tensors are ordered by descending element size, then name, so that each is aligned.
 * @throws BurnishError when a tensor's bytes do not match its shape, or one is called `__metadata__`.
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  return joined(safetensorsParts(tensors, metadata))
}

/** The same in parts, to be written one after the other: tensors' bytes are not copied. */
export function safetensorsParts(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array[] {
  const sorted = [...tensors].sort(
    ([a, x], [b, y]) =>
      fileItemSize[y.dtype] - fileItemSize[x.dtype] || (a < b ? -1 : a > b ? 1 : 0),
  )
  const entries: string[] = []
  if (metadata.size > 0) {
    const pairs = [...metadata].map(
      ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`,
    )
    entries.push(`"__metadata__":{${pairs.join(',')}}`)
  }
  let position = 0
  for (const [name, { dtype, shape, bytes }] of sorted) {
    if (name === '__metadata__') fail(`writeSafetensors: no tensor can be called __metadata__`)
    const size = sizeOf(shape) * fileItemSize[dtype]
    if (bytes.length !== size)
      fail(
        `writeSafetensors: ${name} is ${dtype} ${showShape(shape)}, ${size} bytes, but has ${bytes.length}`,
      )
    entries.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],"data_offsets":[${position},${position + size}]}`,
    )
    position += size
  }
  const json = new TextEncoder().encode(`{${entries.join(',')}}`)
  const length = Math.ceil(json.length / LENGTH_BYTES) * LENGTH_BYTES
  if (length > LONGEST_HEADER)
    fail(`writeSafetensors: a header of ${length} bytes, at most ${LONGEST_HEADER} are allowed`)
  const head = new Uint8Array(LENGTH_BYTES + length).fill(0x20)
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true)
  head.set(json, LENGTH_BYTES)
  return [head, ...sorted.map(([, { bytes }]) => bytes)]
}
