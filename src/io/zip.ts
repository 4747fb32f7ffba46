// Zip archives in memory: the entries of one, with every check a file from a stranger needs, and a writer. After
// PKWARE's APPNOTE 6.3. Stored and deflated entries; leaves out encryption, several disks and zip64 (4 GB and more).
//
// The central directory at the end is what counts. Entries may neither overlap nor leave the space before it, may not
// bear one name twice, and must have the size and CRC-32 they announce.
import { inflateSync, type Zippable, zipSync } from 'fflate'
import { fail } from '../base/errors.js'

export interface ZipEntry {
  readonly name: string
  /** Bytes when unpacked. */
  readonly size: number
  /** The unpacked bytes: a view where the entry is stored, a new array where it is deflated. */
  read(): Uint8Array
}

const END = 0x06054b50
const CENTRAL = 0x02014b50
const LOCAL = 0x04034b50
const END_BYTES = 22
const CENTRAL_BYTES = 46
const LOCAL_BYTES = 30
const LONGEST_COMMENT = 0xffff
const ENCRYPTED = 1
const STORED = 0
const DEFLATED = 8
/** No deflate stream unpacks to more than 1032 times its size. */
const DEFLATE_LIMIT = 1032
const ZIP64 = 0xffffffff
/** Zip has no time zone and begins in 1980; one date makes archives of the same content equal. */
const DATE = new Date(1980, 0, 1)

interface Placed {
  readonly name: string
  readonly begin: number
  readonly dataBegin: number
  readonly end: number
  readonly entry: ZipEntry
}

/**
 * The entries of an archive by name; nothing is unpacked before `read()`.
 * @throws BurnishError naming `where`, the rule, and the offending entry.
 */
export function readZip(bytes: Uint8Array, where = 'zip'): ReadonlyMap<string, ZipEntry> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = findEnd(view, where)
  const count = view.getUint16(end + 10, true)
  const size = view.getUint32(end + 12, true)
  const start = view.getUint32(end + 16, true)
  if (view.getUint16(end + 4, true) !== 0 || view.getUint16(end + 6, true) !== 0)
    fail(`${where}: is one part of an archive of several; join them first`)
  if (view.getUint16(end + 8, true) !== count)
    fail(
      `${where}: two counts of its entries differ, ${view.getUint16(end + 8, true)} and ${count}`,
    )
  if (start === ZIP64 || size === ZIP64 || count === 0xffff)
    fail(`${where}: is a zip64 archive; those of 4 GB or 65,535 entries and more are not read`)
  if (start + size !== end)
    fail(
      `${where}: its directory is said to lie at ${start} … ${start + size}, but ends at ${end}: the file is damaged`,
    )

  const placed: Placed[] = []
  let at = start
  for (let i = 0; i < count; i++) {
    const next = readEntry(bytes, view, at, { start, end }, `${where}: entry ${i}`)
    at = next.after
    placed.push(next)
  }
  if (at !== end)
    fail(`${where}: its directory has ${end - at} bytes after the last of ${count} entries`)
  const entries = new Map<string, ZipEntry>()
  let last: Placed | undefined
  for (const next of [...placed].sort((a, b) => a.begin - b.begin)) {
    if (last !== undefined && next.begin < last.end)
      fail(`${where}: entries ${quote(last.name)} and ${quote(next.name)} overlap`)
    last = next
  }
  for (const { name, entry } of placed) {
    if (entries.has(name)) fail(`${where}: the entry ${quote(name)} is there twice`)
    entries.set(name, entry)
  }
  return entries
}

const quote = (name: string) => JSON.stringify(name)

/** The end record is the last thing in a file, but for a comment whose length it knows. */
function findEnd(view: DataView, where: string): number {
  const least = Math.max(0, view.byteLength - END_BYTES - LONGEST_COMMENT)
  for (let at = view.byteLength - END_BYTES; at >= least; at--)
    if (
      view.getUint32(at, true) === END &&
      at + END_BYTES + view.getUint16(at + 20, true) === view.byteLength
    )
      return at
  return fail(`${where}: has no zip directory at its end: it is truncated, or not a zip archive`)
}

function readEntry(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  directory: { readonly start: number; readonly end: number },
  where: string,
): Placed & { readonly after: number } {
  if (at + CENTRAL_BYTES > directory.end || view.getUint32(at, true) !== CENTRAL)
    fail(`${where}: is missing from the directory, which is shorter than it says`)
  const flags = view.getUint16(at + 8, true)
  const method = view.getUint16(at + 10, true)
  const sum = view.getUint32(at + 16, true)
  const packed = view.getUint32(at + 20, true)
  const size = view.getUint32(at + 24, true)
  const nameLength = view.getUint16(at + 28, true)
  const after =
    at + CENTRAL_BYTES + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true)
  if (after > directory.end) fail(`${where}: reaches beyond the directory`)
  const begin = view.getUint32(at + 42, true)
  const nameAt = at + CENTRAL_BYTES
  const rawName = bytes.subarray(nameAt, nameAt + nameLength)
  const name = nameOf(rawName, where)
  const here = `${where}, ${quote(name)}`
  if (flags & ENCRYPTED) fail(`${here}: is encrypted`)
  if (method !== STORED && method !== DEFLATED)
    fail(`${here}: is packed by method ${method}; stored (0) and deflated (8) entries are read`)
  if ([packed, size, begin].includes(ZIP64)) fail(`${here}: is a zip64 entry, of 4 GB or more`)
  if (method === STORED && packed !== size)
    fail(`${here}: is stored, but has ${packed} bytes in the file and ${size} outside`)
  if (size > packed * DEFLATE_LIMIT)
    fail(`${here}: ${packed} bytes are said to unpack to ${size}, more than deflate can hold`)
  if (begin + LOCAL_BYTES > directory.start || view.getUint32(begin, true) !== LOCAL)
    fail(`${here}: there is no entry at ${begin}, where the directory says`)
  const localName = view.getUint16(begin + 26, true)
  const dataBegin = begin + LOCAL_BYTES + localName + view.getUint16(begin + 28, true)
  const end = dataBegin + packed
  if (end > directory.start)
    fail(`${here}: ends at ${end}, inside the directory at ${directory.start}`)
  const sameName =
    localName === nameLength && rawName.every((byte, i) => bytes[begin + LOCAL_BYTES + i] === byte)
  if (!sameName) fail(`${here}: bears another name in front of its data`)
  const read = (): Uint8Array => {
    const data = bytes.subarray(dataBegin, end)
    const content = method === STORED ? data : inflate(data, size, here)
    const found = crc32(content)
    if (found !== sum)
      fail(`${here}: its CRC-32 is ${hex(found)}, the directory says ${hex(sum)}: it is damaged`)
    return content
  }
  return { name, begin, dataBegin, end, entry: { name, size, read }, after }
}

function nameOf(raw: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(raw)
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

/** The table of the reflected polynomial 0xEDB88320. */
const TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  let value = i
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value
})

/** CRC-32 as zip, gzip and PNG use it. */
export function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff
  for (let i = 0; i < bytes.length; i++) value = (value >>> 8) ^ TABLE[(value ^ bytes[i]) & 0xff]
  return (value ^ 0xffffffff) >>> 0
}

/** An archive of named bytes, in their order; the same content gives the same bytes. */
export function writeZip(
  entries: ReadonlyMap<string, Uint8Array>,
  options: { readonly compress?: boolean } = {},
): Uint8Array {
  const level = options.compress === true ? 6 : 0
  const zippable: Zippable = Object.create(null)
  for (const [name, bytes] of entries) zippable[name] = [bytes, { level, mtime: DATE }]
  return zipSync(zippable)
}
