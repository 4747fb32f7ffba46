// Writing zip archives: stored or deflated entries, their data aligned where asked, zip64 where a number needs it. The same
// content gives the same bytes.
import { deflateSync } from 'fflate'
import { fail } from '../base/errors.js'
import { joined } from './bytes.js'
import { crc32 } from './crc32.js'

/** How `zipParts` and `writeZip` write. */
export interface ZipOptions {
  readonly compress?: boolean
  /** Entries' data begin at multiples of this many bytes; padding is in a field of its own, as PyTorch's. */
  readonly align?: number
  /** Whether zip64 records are written even where nothing needs them. */
  readonly zip64?: boolean
}

const UTF8_NAMES = 0x0800
/** The first of January 1980: zip has no time zone, and one date makes archives of the same content equal. */
const DATE = 0x21
const LOCAL_BYTES = 30
const CENTRAL_BYTES = 46
const IN_ZIP64 = 0xffffffff
const VERSION = 20
const VERSION64 = 45
/** PyTorch's field for padding, "FB". */
const PADDING_FIELD = 0x4246

/** Numbers of 2, 4 and 8 bytes, little-endian, one after the other. */
class Record {
  readonly #bytes: number[] = []
  add(value: number, size: 2 | 4 | 8): this {
    let rest = value
    for (let i = 0; i < size; i++) {
      this.#bytes.push(rest % 256)
      rest = Math.floor(rest / 256)
    }
    return this
  }
  append(bytes: Iterable<number>): this {
    for (const byte of bytes) this.#bytes.push(byte)
    return this
  }
  get length(): number {
    return this.#bytes.length
  }
  done(): Uint8Array {
    return Uint8Array.from(this.#bytes)
  }
}

/**
 * An archive of named bytes in their order, in parts to be written one after the other: stored entries are not copied.
 * @throws BurnishError when a name is longer than zip can hold.
 */
export function zipParts(
  entries: Iterable<readonly [name: string, bytes: Uint8Array]>,
  options: ZipOptions = {},
): Uint8Array[] {
  const { compress = false, align = 1 } = options
  const parts: Uint8Array[] = []
  const directory: Uint8Array[] = []
  let at = 0
  for (const [name, bytes] of entries) {
    const rawName = new TextEncoder().encode(name)
    if (rawName.length > 0xffff) fail(`writeZip: a name of ${rawName.length} bytes is too long`)
    const data = compress ? deflateSync(bytes, { level: 6 }) : bytes
    const sum = crc32(bytes)
    const wide = options.zip64 === true || bytes.length >= IN_ZIP64 || data.length >= IN_ZIP64
    const sizes = wide
      ? new Record().add(1, 2).add(16, 2).add(bytes.length, 8).add(data.length, 8)
      : new Record()
    const before = at + LOCAL_BYTES + rawName.length + sizes.length
    // The padding's own head takes four bytes.
    const padding = align > 1 ? 4 + ((align - ((before + 4) % align)) % align) : 0
    const local = new Record().add(0x04034b50, 4)
    const shared = (record: Record) =>
      record
        .add(wide ? VERSION64 : VERSION, 2)
        .add(UTF8_NAMES, 2)
        .add(compress ? 8 : 0, 2)
        .add(0, 2)
        .add(DATE, 2)
        .add(sum, 4)
        .add(wide ? IN_ZIP64 : data.length, 4)
        .add(wide ? IN_ZIP64 : bytes.length, 4)
        .add(rawName.length, 2)
    shared(local)
      .add(sizes.length + padding, 2)
      .append(rawName)
      .append(sizes.done())
    if (padding > 0)
      local
        .add(PADDING_FIELD, 2)
        .add(padding - 4, 2)
        .append(new Uint8Array(padding - 4).fill(0x5a))
    parts.push(local.done(), data)

    const far = wide || at >= IN_ZIP64
    const extra = new Record()
    if (far) {
      extra.add(1, 2).add(wide ? 24 : 8, 2)
      if (wide) extra.add(bytes.length, 8).add(data.length, 8)
      extra.add(at, 8)
    }
    const central = new Record().add(0x02014b50, 4).add(VERSION64, 2)
    shared(central)
      .add(extra.length, 2)
      .append(new Uint8Array(10)) // no comment, first disk, no attributes
      .add(far ? IN_ZIP64 : at, 4)
      .append(rawName)
      .append(extra.done())
    if (central.length !== CENTRAL_BYTES + rawName.length + extra.length)
      throw new Error('internal: a directory entry of another length')
    directory.push(central.done())
    at += LOCAL_BYTES + rawName.length + sizes.length + padding + data.length
  }
  return [...parts, ...directory, ending(directory, at, options.zip64 === true)]
}

/** The records at the end, for a directory that begins at `start`. */
function ending(directory: readonly Uint8Array[], start: number, zip64: boolean): Uint8Array {
  const count = directory.length
  const size = directory.reduce((sum, entry) => sum + entry.length, 0)
  const record = new Record()
  if (zip64 || count >= 0xffff || start >= IN_ZIP64 || size >= IN_ZIP64) {
    record.add(0x06064b50, 4).add(44, 8).add(VERSION64, 2).add(VERSION64, 2).add(0, 4).add(0, 4)
    record.add(count, 8).add(count, 8).add(size, 8).add(start, 8)
    record
      .add(0x07064b50, 4)
      .add(0, 4)
      .add(start + size, 8)
      .add(1, 4)
  }
  const short = Math.min(count, 0xffff)
  record.add(0x06054b50, 4).add(0, 2).add(0, 2).add(short, 2).add(short, 2)
  record.add(Math.min(size, IN_ZIP64), 4).add(Math.min(start, IN_ZIP64), 4).add(0, 2)
  return record.done()
}

/** An archive of named bytes, in their order; the same content gives the same bytes. */
export function writeZip(
  entries: ReadonlyMap<string, Uint8Array>,
  options: ZipOptions = {},
): Uint8Array {
  return joined(zipParts(entries, options))
}
