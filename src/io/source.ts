// Bytes that are read in pieces: of a file, a Blob, an HTTP server that knows Range, or memory. A reader of a format is a
// `Reading`: it asks for ranges and is given their bytes, so that one parser serves bytes at hand (`readNow`, which
// copies nothing) and sources that take time (`readFrom`).
import { BurnishError, fail } from '../base/errors.js'

/** Asks for the bytes from `begin` up to `end`, and ends with a result. */
export type Reading<Result> = Generator<readonly [begin: number, end: number], Result, Uint8Array>

/** Something with bytes that can be read in pieces. Close it when done. */
export interface Source {
  /** What errors call it: a path, an address. */
  readonly name: string
  /** Bytes in all. */
  readonly size: number
  /** The bytes from `begin` up to `end`, both within `size`; a caller may keep them and write to none. */
  read(begin: number, end: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** Runs a reading over bytes in memory; it is given views. */
export function readNow<Result>(bytes: Uint8Array, reading: Reading<Result>): Result {
  let step = reading.next()
  while (!step.done) step = reading.next(bytes.subarray(...step.value))
  return step.value
}

/** Runs a reading over a source. */
export async function readFrom<Result>(source: Source, reading: Reading<Result>): Promise<Result> {
  let step = reading.next()
  while (!step.done) step = reading.next(await source.read(...step.value))
  return step.value
}

/** Node's Buffer is a Uint8Array whose slice() shares memory: the same bytes as a plain one. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function bytesSource(bytes: Uint8Array, name = 'bytes'): Source {
  const plain = plainBytes(bytes)
  return {
    name,
    size: plain.length,
    read: async (begin, end) => plain.subarray(begin, end),
    close: async () => {},
  }
}

/** A Blob, or the File of an `<input type="file">`. */
export function blobSource(blob: Blob, name = 'name' in blob ? String(blob.name) : 'blob'): Source {
  return {
    name,
    size: blob.size,
    read: async (begin, end) => new Uint8Array(await blob.slice(begin, end).arrayBuffer()),
    close: async () => {},
  }
}

/** How many bytes one call reads: Node's limit is below 2 GiB. */
const LONGEST_READ = 2 ** 30

/**
 * A file, in Node.
 * @throws BurnishError when it is absent, a folder, or may not be read.
 */
export async function fileSource(path: string): Promise<Source> {
  const { open } = await import('node:fs/promises')
  const file = await open(path, 'r').catch((error: unknown) => refuse(path, error))
  const { size } = await file.stat()
  return {
    name: path,
    size,
    async read(begin, end) {
      const bytes = new Uint8Array(end - begin)
      let done = 0
      while (done < bytes.length) {
        const most = Math.min(bytes.length - done, LONGEST_READ)
        const { bytesRead } = await file
          .read(bytes, done, most, begin + done)
          .catch((error: unknown) => refuse(path, error))
        if (bytesRead === 0)
          fail(`${path}: ends at byte ${begin + done} while it is read; it had ${size}`)
        done += bytesRead
      }
      return bytes
    },
    close: () => file.close(),
  }
}

function refuse(path: string, error: unknown): never {
  const reasons: { readonly [code: string]: string } = {
    ENOENT: 'there is no such file',
    ENOTDIR: 'there is no such file',
    EISDIR: 'is a folder, not a file',
    EACCES: 'may not be read',
    EPERM: 'may not be read',
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return fail(`${path}: ${reasons[code] ?? `cannot be read: ${reasonOf(error)}`}`)
}

/** The innermost cause, whose code says most. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error) return reasonOf(error.cause)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  return code !== undefined && !error.message.includes(code)
    ? `${code}: ${error.message}`
    : error.message || code || error.name
}

/** What `httpSource` may be told. */
export interface HttpOptions {
  readonly headers?: { readonly [name: string]: string }
  readonly signal?: AbortSignal
  /** By default the global one. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>
}

/**
 * A file on a server, read by ranges: only what is asked for is transferred; all of it where the server knows no ranges.
 * @throws BurnishError when the server does not answer or have it, or the file changes meanwhile.
 */
export async function httpSource(url: string | URL, options: HttpOptions = {}): Promise<Source> {
  const { fetch = globalThis.fetch, signal } = options
  const address = String(url)
  let tag: string | null = null
  const get = async (range: string): Promise<Response> => {
    const headers: { [name: string]: string } = { ...options.headers, range }
    if (tag !== null) headers['if-range'] = tag
    const init: RequestInit = signal === undefined ? { headers } : { headers, signal }
    const response = await fetch(address, init).catch((error: unknown) => {
      if (signal?.aborted) throw signal.reason
      return fail(`${address}: the server cannot be reached: ${reasonOf(error)}`)
    })
    if (response.ok) return response
    await response.body?.cancel()
    return fail(`${address}: the server answers ${response.status} ${response.statusText}`)
  }
  const bytesOf = async (response: Response): Promise<Uint8Array> => {
    const buffer = await response.arrayBuffer().catch((error: unknown) => {
      if (signal?.aborted) throw signal.reason
      return fail(`${address}: the connection was cut: ${reasonOf(error)}`)
    })
    return new Uint8Array(buffer)
  }
  const first = await get('bytes=0-0')
  if (first.status !== 206) return bytesSource(await bytesOf(first), address)
  await bytesOf(first)
  const total = /\/(\d+)$/.exec(first.headers.get('content-range') ?? '')?.[1]
  const size = Number(total)
  if (total === undefined || !Number.isSafeInteger(size))
    fail(`${address}: the server does not say how long the file is; download it and load it`)
  const etag = first.headers.get('etag')
  tag = etag?.startsWith('W/') ? null : etag
  return {
    name: address,
    size,
    async read(begin, end) {
      if (end <= begin) return new Uint8Array()
      const response = await get(`bytes=${begin}-${end - 1}`)
      if (response.status !== 206) {
        await response.body?.cancel()
        fail(`${address}: the file has changed while it was read; load it again`)
      }
      const bytes = await bytesOf(response)
      if (bytes.length !== end - begin)
        fail(`${address}: bytes ${begin} … ${end} were asked for, ${bytes.length} came`)
      return bytes
    },
    close: async () => {},
  }
}

const AHEAD = 8 * 2 ** 20
/** What lies between tensors: names, padding. */
const NEAR = 2 ** 16

/** The same, reading on where one read follows another: many small ones become few requests to a server. */
export function aheadSource(source: Source, ahead = AHEAD): Source {
  let start = 0
  let held: Uint8Array = new Uint8Array()
  return {
    name: source.name,
    size: source.size,
    async read(begin, end) {
      if (begin >= start && end <= start + held.length)
        return held.slice(begin - start, end - start)
      const follows = begin >= start && begin <= start + held.length + NEAR
      const last = follows ? Math.min(source.size, Math.max(end, begin + ahead)) : end
      const bytes = await source.read(begin, last)
      start = last === end ? end : begin
      held = last === end ? new Uint8Array() : bytes
      return last === end ? bytes : bytes.slice(0, end - begin)
    },
    close: () => source.close(),
  }
}

/** Whether a server, or the page itself, has it. */
export const isWeb = (address: string) => /^(https?|blob|data):/.test(address)

export const inPage = () => typeof document !== 'undefined' || 'WorkerGlobalScope' in globalThis

/**
 * All bytes of a path (Node) or of a URL; in a page a path is relative to it.
 * @throws BurnishError when they cannot be had.
 */
export async function readAddress(address: string): Promise<Uint8Array> {
  if (isWeb(address) || inPage()) return fetched(address)
  const isUrl = address.startsWith('file:')
  const path = isUrl ? (await import('node:url')).fileURLToPath(address) : address
  return readWhole(await fileSource(path))
}

/** All bytes of a source, which is closed then. */
export async function readWhole(source: Source): Promise<Uint8Array> {
  try {
    return await source.read(0, source.size)
  } finally {
    await source.close()
  }
}

async function fetched(address: string): Promise<Uint8Array> {
  try {
    const response = await fetch(address)
    if (response.ok) return new Uint8Array(await response.arrayBuffer())
    await response.body?.cancel()
    throw fail(`${address}: the server answered ${response.status}`)
  } catch (error) {
    if (error instanceof BurnishError) throw error
    throw fail(`${address}: cannot be fetched: ${reasonOf(error)}`)
  }
}
