// Files out of a tar archive that streams by: ustar as npm packs it, with pax headers (long paths, sizes) and GNU's long
// names. Memory stays at a block and the chunk at hand, whatever the size of the archive. After POSIX.1-2017, pax.
//
// Archives come from strangers: checksums are verified, and an entry that is a link or a device, or whose path is
// absolute or climbs with `..`, condemns the whole archive, read or not. Leaves out sparse files and multiple volumes.
import { fail } from '../base/errors.js'

const BLOCK = 512
/** A header of an entry's attributes is small; 1 MB is beyond any path. */
const LONGEST_HEADER = 1 << 20

export interface TarEntry {
  /** Slashes between parts, none at either end. */
  readonly path: string
  readonly size: number
  /** The content. What is not read is skipped when the next entry is asked for. */
  readonly content: AsyncIterable<Uint8Array>
}

/** Takes bytes from chunks: `exactly` copies a known number, `upTo` hands out what is at hand. */
class Reader {
  readonly #chunks: AsyncIterator<Uint8Array>
  #at: Uint8Array = new Uint8Array(0)
  total = 0

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]()
  }

  /** At most `most` bytes; none at the end of the source. */
  async upTo(most: number): Promise<Uint8Array> {
    while (this.#at.length === 0) {
      const next = await this.#chunks.next()
      if (next.done === true) return this.#at
      this.#at = next.value
    }
    const taken = this.#at.subarray(0, most)
    this.#at = this.#at.subarray(taken.length)
    this.total += taken.length
    return taken
  }

  /** That many bytes, or fewer at the end of the source. */
  async exactly(count: number): Promise<Uint8Array> {
    const first = await this.upTo(count)
    if (first.length === count) return first
    const bytes = new Uint8Array(count)
    bytes.set(first)
    let have = first.length
    while (have < count) {
      const more = await this.upTo(count - have)
      if (more.length === 0) break
      bytes.set(more, have)
      have += more.length
    }
    return bytes.subarray(0, have)
  }

  async close(): Promise<void> {
    await this.#chunks.return?.()
  }
}

const text = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0)
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end))
}

/** Octal digits, or base 256 where the first bit is set (GNU, for sizes from 8 GB). */
function numberOf(field: Uint8Array, what: string, where: string): number {
  if (field[0] & 0x80) {
    let value = field[0] & 0x7f
    for (const byte of field.subarray(1)) value = value * 256 + byte
    if (!Number.isSafeInteger(value)) fail(`${where}: the ${what} ${value} is beyond 2^53`)
    return value
  }
  const digits = text(field).trim()
  if (!/^[0-7]*$/.test(digits))
    fail(`${where}: the ${what} ${JSON.stringify(digits)} is not octal; the archive is damaged`)
  return digits === '' ? 0 : Number.parseInt(digits, 8)
}

function checkSum(header: Uint8Array, where: string): void {
  let sum = 0
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : header[i]
  const said = numberOf(header.subarray(148, 156), 'checksum', where)
  if (sum !== said)
    fail(`${where}: a header's checksum is ${sum}, it says ${said}; the archive is damaged`)
}

/** `path` as an entry may have it. Throws where it would lead out of the folder it is unpacked in. */
function checkedPath(path: string, where: string): string {
  const parts = path.replace(/\/+$/, '').split('/')
  const wrong =
    path.startsWith('/') ||
    /^[a-z]:/i.test(path) ||
    /[\\\0]/.test(path) ||
    parts.some((part) => part === '..')
  if (wrong)
    fail(`${where}: the entry ${JSON.stringify(path)} leads out of the archive; it is refused`)
  return parts.filter((part) => part !== '' && part !== '.').join('/')
}

/** Records `LENGTH KEY=VALUE\n` (pax). */
function paxRecords(bytes: Uint8Array, where: string): ReadonlyMap<string, string> {
  const records = new Map<string, string>()
  let at = 0
  while (at < bytes.length && bytes[at] !== 0) {
    const space = bytes.indexOf(32, at)
    const length = Number(new TextDecoder().decode(bytes.subarray(at, Math.max(at, space))))
    const record = new TextDecoder().decode(bytes.subarray(space + 1, at + length))
    const equals = record.indexOf('=')
    if (!(length > 0 && space > at && at + length <= bytes.length && equals > 0))
      fail(`${where}: a pax header that cannot be read; the archive is damaged`)
    records.set(record.slice(0, equals), record.slice(equals + 1).replace(/\n$/, ''))
    at += length
  }
  return records
}

/** What extension headers say of the entry after them. */
interface Said {
  path?: string
  size?: number
}

function tell(said: Said, type: string, body: Uint8Array, where: string): void {
  if (type === 'L') said.path = text(body)
  if (type !== 'x' && type !== 'g') return
  const records = paxRecords(body, where)
  const size = records.get('size')
  if (type === 'g' && (size !== undefined || records.has('path')))
    fail(`${where}: a global header gives a path or a size; that is refused`)
  said.path = records.get('path') ?? said.path
  if (size === undefined) return
  said.size = Number(size)
  if (!Number.isSafeInteger(said.size) || said.size < 0)
    fail(`${where}: the size ${JSON.stringify(size)} of a pax header is no size`)
}

/**
 * The files of a tar archive (not compressed) in their order, while its bytes come in. `where` begins every error.
 *
 *     for await (const { path, content } of readTar(bytes, 'a.tar')) if (path === 'package/a') await keep(content)
 *
 * @throws BurnishError where it is damaged, ends early, or has an entry that is no plain file or folder inside it.
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  where: string,
): AsyncGenerator<TarEntry, void, undefined> {
  const reader = new Reader(source)
  try {
    let said: Said = {}
    for (;;) {
      const header = await reader.exactly(BLOCK)
      if (header.length < BLOCK)
        fail(`${where}: ends after ${reader.total} bytes, without the end of a tar archive`)
      // One empty block is the end; some writers leave out the second.
      if (header.every((byte) => byte === 0)) return
      checkSum(header, where)
      const type = String.fromCharCode(header[156])
      const size = said.size ?? numberOf(header.subarray(124, 136), 'size', where)
      if ('xgLK'.includes(type)) {
        if (size > LONGEST_HEADER) fail(`${where}: a header of ${size} bytes; 1 MB is the most`)
        const body = await reader.exactly(padded(size))
        if (body.length < padded(size)) fail(`${where}: ends inside of a header`)
        tell(said, type, body.subarray(0, size), where)
        continue
      }
      const prefix = text(header.subarray(345, 500))
      const ustar = text(header.subarray(257, 262)) === 'ustar' && prefix !== ''
      const name = text(header.subarray(0, 100))
      const path = checkedPath(said.path ?? (ustar ? `${prefix}/${name}` : name), where)
      if (!'0\x005'.includes(type))
        fail(
          `${where}: ${JSON.stringify(path)} is an entry of type ${JSON.stringify(type)} (1 and 2 are links); only files and folders are taken`,
        )
      said = {}
      const content = new Content(reader, size, `${where}, ${path}`)
      if (type !== '5') yield { path, size, content }
      await content.skip()
    }
  } finally {
    await reader.close()
  }
}

const padded = (size: number): number => Math.ceil(size / BLOCK) * BLOCK

class Content implements AsyncIterable<Uint8Array> {
  readonly #reader: Reader
  readonly #where: string
  #left: number
  #padding: number

  constructor(reader: Reader, size: number, where: string) {
    this.#reader = reader
    this.#where = where
    this.#left = size
    this.#padding = padded(size) - size
  }

  async #take(most: number): Promise<Uint8Array> {
    const taken = await this.#reader.upTo(most)
    if (taken.length === 0)
      fail(`${this.#where}: ends ${this.#left} bytes early; the archive is cut off`)
    return taken
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    while (this.#left > 0) {
      const taken = await this.#take(this.#left)
      this.#left -= taken.length
      yield taken
    }
  }

  /** To the beginning of the next header. */
  async skip(): Promise<void> {
    while (this.#left > 0) this.#left -= (await this.#take(this.#left)).length
    while (this.#padding > 0) this.#padding -= (await this.#take(this.#padding)).length
  }
}
