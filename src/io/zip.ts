// Zip archives: the entries of one, with every check a file from a stranger needs. After PKWARE's APPNOTE 6.3. Stored and
// deflated entries, zip64; leaves out encryption and several disks. zip-write.ts writes them.
//
// The central directory at the end is what counts. Entries may neither overlap nor leave the space before it, may not
// bear one name twice, and must have the size and CRC-32 they announce.
import { inflateSync } from 'fflate'
import { fail } from '../base/errors.js'
import { crc32 } from './crc32.js'
import { type Reading, readFrom, readNow, type Source } from './source.js'

export interface ZipEntry {
  readonly name: string
  /** Bytes when unpacked. */
  readonly size: number
  /** The unpacked bytes: a view where the entry is stored, a new array where it is deflated. */
  read(): Uint8Array
}

/** An entry of an archive that is read in pieces. */
export interface ZipSourceEntry {
  readonly name: string
  readonly size: number
  read(): Promise<Uint8Array>
}

const END = 0x06054b50
const END64_LOCATOR = 0x07064b50
const END64 = 0x06064b50
const CENTRAL = 0x02014b50
const LOCAL = 0x04034b50
const END_BYTES = 22
const LOCATOR_BYTES = 20
const END64_BYTES = 56
const CENTRAL_BYTES = 46
const LOCAL_BYTES = 30
const LONGEST_COMMENT = 0xffff
const ENCRYPTED = 1
const STORED = 0
const DEFLATED = 8
/** No deflate stream unpacks to more than 1032 times its size. */
const DEFLATE_LIMIT = 1032
/** From here on what unpacks to far more than it takes is taken for a bomb, in one entry or in all of them. */
const LARGE = 128 * 2 ** 20
const LARGE_RATIO = 200
const IN_ZIP64 = 0xffffffff
const ZIP64_FIELD = 1

/** An entry as the directory tells of it. */
interface Placed {
  readonly name: string
  readonly rawName: Uint8Array
  readonly method: number
  readonly sum: number
  readonly packed: number
  readonly size: number
  readonly begin: number
  /** For errors. */
  readonly where: string
}

/** One that ends before `limit`, where the next or the directory begins. */
interface Bounded extends Placed {
  readonly limit: number
}

/**
 * The entries of an archive by name; nothing is unpacked before `read()`.
 * @throws BurnishError naming `where`, the rule, and the offending entry.
 */
export function readZip(bytes: Uint8Array, where = 'zip'): ReadonlyMap<string, ZipEntry> {
  const placed = readNow(bytes, directoryOf(bytes.length, where))
  return new Map(
    placed.map((entry) => [
      entry.name,
      { name: entry.name, size: entry.size, read: () => readNow(bytes, contentOf(entry)) },
    ]),
  )
}

/** The same of a source, of which only the directory is read before `read()`. */
export async function openZip(source: Source): Promise<ReadonlyMap<string, ZipSourceEntry>> {
  const placed = await readFrom(source, directoryOf(source.size, source.name))
  return new Map(
    placed.map((entry) => [
      entry.name,
      { name: entry.name, size: entry.size, read: () => readFrom(source, contentOf(entry)) },
    ]),
  )
}

const quote = (name: string) => JSON.stringify(name)
const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function* directoryOf(length: number, where: string): Reading<readonly Bounded[]> {
  const { count, size, start } = yield* endOf(length, where)
  const directory = yield [start, start + size]
  const placed: Placed[] = []
  const names = new Set<string>()
  let [at, loose] = [0, 0]
  for (let i = 0; i < count; i++) {
    const { after, ...entry } = readEntry(directory, at, start, `${where}: entry ${i}`)
    at = after
    placed.push(entry)
    const { size, packed } = entry
    if (size > packed * LARGE_RATIO) loose += size
    if (loose > LARGE)
      fail(
        `${entry.where}: ${packed} bytes unpack to ${size}${loose === size ? '' : `, and with those before to ${loose}`}, as a zip bomb does; unpack it yourself first`,
      )
  }
  if (at !== size)
    fail(`${where}: its directory has ${size - at} bytes after the last of ${count} entries`)
  const limits = new Map<Placed, number>()
  let next: Placed | undefined
  for (const entry of [...placed].sort((a, b) => b.begin - a.begin)) {
    const limit = next?.begin ?? start
    if (entry.begin + LOCAL_BYTES + entry.rawName.length + entry.packed > limit) {
      if (next === undefined) fail(`${entry.where}: ends inside the directory at ${start}`)
      fail(`${where}: entries ${quote(entry.name)} and ${quote(next.name)} overlap`)
    }
    limits.set(entry, limit)
    next = entry
  }
  for (const { name } of placed) {
    if (names.has(name)) fail(`${where}: the entry ${quote(name)} is there twice`)
    names.add(name)
  }
  return placed.map((entry) => ({ ...entry, limit: limits.get(entry) ?? start }))
}

interface End {
  readonly count: number
  readonly size: number
  readonly start: number
}

/** The end record is the last thing in a file, but for a comment whose length it knows. */
function* endOf(length: number, where: string): Reading<End> {
  const tailAt = Math.max(0, length - END_BYTES - LONGEST_COMMENT - LOCATOR_BYTES)
  const view = viewOf(yield [tailAt, length])
  let at = view.byteLength - END_BYTES
  const isEnd = () =>
    view.getUint32(at, true) === END &&
    at + END_BYTES + view.getUint16(at + 20, true) === view.byteLength
  while (at >= 0 && !isEnd()) at--
  if (at < 0)
    fail(`${where}: has no zip directory at its end: it is truncated, or not a zip archive`)
  if (view.getUint16(at + 4, true) !== 0 || view.getUint16(at + 6, true) !== 0)
    fail(`${where}: is one part of an archive of several; join them first`)
  const count = view.getUint16(at + 10, true)
  if (view.getUint16(at + 8, true) !== count)
    fail(`${where}: two counts of its entries differ, ${view.getUint16(at + 8, true)} and ${count}`)
  const short = { count, size: view.getUint32(at + 12, true), start: view.getUint32(at + 16, true) }
  const locator = at - LOCATOR_BYTES
  const has64 = locator >= 0 && view.getUint32(locator, true) === END64_LOCATOR
  if (!has64) {
    if (short.start === IN_ZIP64 || short.size === IN_ZIP64 || count === 0xffff)
      fail(`${where}: its zip64 record is missing: the file is damaged`)
    return checked(short, tailAt + at, where)
  }
  const place = wide(view, locator + 8, where)
  if (place + END64_BYTES > tailAt + locator)
    fail(`${where}: its zip64 record is said to lie at ${place}, behind what points at it`)
  const long = viewOf(yield [place, place + END64_BYTES])
  if (long.getUint32(0, true) !== END64)
    fail(`${where}: there is no zip64 record at ${place}, where one is said to be`)
  const end = {
    count: wide(long, 32, where),
    size: wide(long, 40, where),
    start: wide(long, 48, where),
  }
  for (const key of ['count', 'size', 'start'] as const) {
    const [given, all] = [short[key], key === 'count' ? 0xffff : IN_ZIP64]
    if (given !== all && given !== end[key])
      fail(`${where}: two records of its directory's ${key} differ, ${given} and ${end[key]}`)
  }
  return checked(end, place, where)
}

function checked(end: End, at: number, where: string): End {
  const { count, size, start } = end
  if (start + size !== at)
    fail(
      `${where}: its directory is said to lie at ${start} … ${start + size}, but ends at ${at}: the file is damaged`,
    )
  if (count * CENTRAL_BYTES > size)
    fail(`${where}: ${count} entries do not fit in a directory of ${size} bytes`)
  return end
}

/** A number of 8 bytes. */
function wide(view: DataView, at: number, where: string): number {
  const value = Number(view.getBigUint64(at, true))
  return Number.isSafeInteger(value) ? value : fail(`${where}: the number ${value} is beyond 2^53`)
}

function readEntry(
  directory: Uint8Array,
  at: number,
  start: number,
  where: string,
): Placed & { readonly after: number } {
  const view = viewOf(directory)
  if (at + CENTRAL_BYTES > view.byteLength || view.getUint32(at, true) !== CENTRAL)
    fail(`${where}: is missing from the directory, which is shorter than it says`)
  const flags = view.getUint16(at + 8, true)
  const method = view.getUint16(at + 10, true)
  const sum = view.getUint32(at + 16, true)
  const nameEnd = at + CENTRAL_BYTES + view.getUint16(at + 28, true)
  const extraEnd = nameEnd + view.getUint16(at + 30, true)
  const after = extraEnd + view.getUint16(at + 32, true)
  if (after > view.byteLength) fail(`${where}: reaches beyond the directory`)
  const rawName = directory.subarray(at + CENTRAL_BYTES, nameEnd)
  const name = nameOf(rawName, where)
  const here = `${where}, ${quote(name)}`
  if (flags & ENCRYPTED) fail(`${here}: is encrypted`)
  if (method !== STORED && method !== DEFLATED)
    fail(`${here}: is packed by method ${method}; stored (0) and deflated (8) entries are read`)
  const long = zip64Numbers(directory.subarray(nameEnd, extraEnd), here)
  const number = (offset: number): number => {
    const value = view.getUint32(at + offset, true)
    if (value !== IN_ZIP64) return value
    return long.shift() ?? fail(`${here}: is a zip64 entry without its zip64 field`)
  }
  // The order of the field's numbers: size, packed, begin.
  const size = number(24)
  const packed = number(20)
  const begin = number(42)
  if (method === STORED && packed !== size)
    fail(`${here}: is stored, but has ${packed} bytes in the file and ${size} outside`)
  if (size > packed * DEFLATE_LIMIT)
    fail(`${here}: ${packed} bytes are said to unpack to ${size}, more than deflate can hold`)
  if (begin + LOCAL_BYTES > start)
    fail(`${here}: there is no entry at ${begin}, where the directory says`)
  return { name, rawName, method, sum, packed, size, begin, where: here, after }
}

/** The numbers of an entry's zip64 field, those that did not fit elsewhere. */
function zip64Numbers(extra: Uint8Array, where: string): number[] {
  const view = viewOf(extra)
  for (let at = 0; at + 4 <= extra.length; ) {
    const end = at + 4 + view.getUint16(at + 2, true)
    if (view.getUint16(at, true) === ZIP64_FIELD && end <= extra.length) {
      const numbers: number[] = []
      for (let place = at + 4; place + 8 <= end; place += 8) numbers.push(wide(view, place, where))
      return numbers
    }
    at = end
  }
  return []
}

function* contentOf(entry: Bounded): Reading<Uint8Array> {
  const { begin, rawName, packed, size, limit, where } = entry
  const head = yield [begin, begin + LOCAL_BYTES + rawName.length]
  const view = viewOf(head)
  if (head.length < LOCAL_BYTES || view.getUint32(0, true) !== LOCAL)
    fail(`${where}: there is no entry at ${begin}, where the directory says`)
  const sameName =
    view.getUint16(26, true) === rawName.length &&
    rawName.every((byte, i) => head[LOCAL_BYTES + i] === byte)
  if (!sameName) fail(`${where}: bears another name in front of its data`)
  const dataBegin = begin + LOCAL_BYTES + rawName.length + view.getUint16(28, true)
  if (dataBegin + packed > limit)
    fail(`${where}: ends at ${dataBegin + packed}, but what follows it begins at ${limit}`)
  const data = yield [dataBegin, dataBegin + packed]
  const content = entry.method === STORED ? data : inflate(data, size, where)
  const found = crc32(content)
  if (found !== entry.sum)
    fail(
      `${where}: its CRC-32 is ${hex(found)}, the directory says ${hex(entry.sum)}: it is damaged`,
    )
  return content
}

function nameOf(raw: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw)
  } catch {
    return fail(`${where}: its name is not UTF-8`)
  }
}

function inflate(data: Uint8Array, size: number, where: string): Uint8Array {
  // A byte more than announced, so that a longer stream does not pass for one of the right length.
  let content: Uint8Array
  try {
    content = inflateSync(data, { out: new Uint8Array(size + 1) })
  } catch (error) {
    return fail(
      `${where}: cannot be unpacked to ${size} bytes (${error instanceof Error ? error.message : String(error)}): it is damaged`,
    )
  }
  if (content.length !== size)
    fail(`${where}: unpacks to ${content.length} bytes, the directory says ${size}`)
  return content
}

const hex = (value: number) => value.toString(16).padStart(8, '0')
