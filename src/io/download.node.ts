// Downloads in Node: places are files in a folder, and redirects are followed by hand, so that what is meant for one server
// goes to no other. Chosen by the condition of `#download` in package.json.
//
// A content lies under its key, with a note beside it. Unfinished ones are called KEY~ID~OWNER.part with a note
// KEY~ID.json; the owner is a process, or `free`. A download claims what no living process owns by renaming it, which
// only one can; so two never write to one file, and what a killed one left is gone on with. Errors are the system's:
// download.ts puts them in words.
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { homedir, hostname } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { Algorithm, Ask, Kept, Note, Place, Unfinished } from './place.js'
import { plainBytes } from './source.js'

const MOST_REDIRECTS = 10
/** Of another machine's process nobody can ask whether it lives: it does while it writes. */
const SILENT_HOUR = 3600 * 1000
const FREE = 'free'

/** Where Burnish keeps what it can get again: BURNISH_CACHE, else the system's folder for caches. */
function cacheFolder(): string {
  const absolute = (path: string | undefined) =>
    path !== undefined && isAbsolute(path) ? path : undefined
  if (process.env.BURNISH_CACHE) return process.env.BURNISH_CACHE
  const xdg = absolute(process.env.XDG_CACHE_HOME)
  if (xdg) return join(xdg, 'burnish')
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'burnish')
  const local = absolute(process.env.LOCALAPPDATA)
  if (process.platform === 'win32' && local) return join(local, 'burnish', 'Cache')
  return join(homedir(), '.cache', 'burnish')
}

export function variable(name: string): string | undefined {
  return process.env[name] || undefined
}

export function openPlace(cache: string | undefined, key: string): Place {
  const folder = join(cache ?? cacheFolder(), 'downloads')
  const path = join(folder, key)
  return {
    name: `the cache ${folder}`,
    kept: () => keptAt(path),
    begin: () => begin(folder, key),
  }
}

const isAbsent = (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'

async function keptAt(path: string): Promise<Kept | undefined> {
  try {
    const state = await stat(path)
    if (!state.isFile()) return undefined
    return {
      path,
      size: state.size,
      note: await readNote(`${path}.json`),
      bytes: async () => plainBytes(await readFile(path)),
      digest: (algorithm, prefix) => digestOf(path, algorithm, prefix),
      remove: () => rm(path, { force: true }),
    }
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

async function digestOf(path: string, algorithm: Algorithm, prefix?: Uint8Array): Promise<string> {
  const hash = createHash(algorithm)
  if (prefix) hash.update(prefix)
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk)
  return hash.digest('hex')
}

async function readNote(path: string): Promise<Note | undefined> {
  try {
    const found: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (typeof found !== 'object' || found === null) return undefined
    const text = (key: string) => {
      const value: unknown = Reflect.get(found, key)
      return typeof value === 'string' ? value : undefined
    }
    const [url, total] = [text('url'), Reflect.get(found, 'total')]
    if (url === undefined) return undefined
    return {
      url,
      etag: text('etag'),
      sha256: text('sha256'),
      total: typeof total === 'number' ? total : undefined,
    }
  } catch (error) {
    // A note half written says nothing, and what it stood beside is fetched again.
    if (isAbsent(error) || error instanceof SyntaxError) return undefined
    throw error
  }
}

async function writeNote(path: string, note: Note): Promise<void> {
  const beside = `${path}.${randomBytes(6).toString('hex')}`
  const handle = await open(beside, 'wx', 0o600)
  try {
    await handle.writeFile(JSON.stringify(note))
  } finally {
    await handle.close()
  }
  await rename(beside, path)
}

// ---- unfinished files ----

const machine = () => createHash('sha256').update(hostname()).digest('hex').slice(0, 8)

/** Whether no living process writes to the file of this owner. */
async function isLeft(path: string, owner: string): Promise<boolean> {
  if (owner === FREE) return true
  const [host, pid] = owner.split('-')
  if (host !== machine()) {
    const { mtimeMs } = await stat(path)
    return Date.now() - mtimeMs > SILENT_HOUR
  }
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH'
  }
}

async function begin(folder: string, key: string): Promise<Unfinished> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const owner = `${machine()}-${process.pid}`
  const paths = (id: string, whose: string) => ({
    part: join(folder, `${key}~${id}~${whose}.part`),
    note: join(folder, `${key}~${id}.json`),
  })
  for (const name of await readdir(folder)) {
    const [of, id, rest] = name.split('~')
    if (of !== key || !rest?.endsWith('.part')) continue
    const whose = rest.slice(0, -'.part'.length)
    const mine = paths(id, owner)
    try {
      if (!(await isLeft(join(folder, name), whose))) continue
      await rename(join(folder, name), mine.part)
    } catch (error) {
      if (isAbsent(error)) continue // another one was faster
      throw error
    }
    const note = await readNote(mine.note)
    const file = await open(mine.part, 'a', 0o600)
    const { size } = await file.stat()
    return unfinished(file, { ...mine, free: paths(id, FREE).part }, join(folder, key), size, note)
  }
  const id = randomBytes(8).toString('hex')
  const mine = paths(id, owner)
  const file = await open(mine.part, 'ax', 0o600)
  return unfinished(file, { ...mine, free: paths(id, FREE).part }, join(folder, key), 0, undefined)
}

function unfinished(
  file: FileHandle,
  paths: { readonly part: string; readonly note: string; readonly free: string },
  whole: string,
  startSize: number,
  startNote: Note | undefined,
): Unfinished {
  let [size, note] = [startSize, startNote]
  const remove = async () => {
    await rm(paths.part, { force: true })
    await rm(paths.note, { force: true })
  }
  return {
    get size() {
      return size
    },
    get note() {
      return note
    },
    async restart(next) {
      await file.truncate(0)
      size = 0
      note = next
      await writeNote(paths.note, next)
    },
    async append(bytes) {
      let written = 0
      while (written < bytes.length)
        written += (await file.write(bytes, written, bytes.length - written)).bytesWritten
      size += bytes.length
    },
    digest: (algorithm, prefix) => digestOf(paths.part, algorithm, prefix),
    async finish(last) {
      await file.sync()
      await file.close()
      await rename(paths.part, whole)
      await writeNote(`${whole}.json`, last)
      await rm(paths.note, { force: true })
      const kept = await keptAt(whole)
      if (!kept) throw new Error(`internal: ${whole} is not where it was just put`)
      return kept
    },
    async leave() {
      if (file.fd < 0) return // finished
      await file.close()
      if (size === 0 || note === undefined) await remove()
      else await rename(paths.part, paths.free)
    },
  }
}

// ---- requests ----

const REDIRECTS = new Set([301, 302, 303, 307, 308])

/**
 * The answer after redirects. Personal headers go to the first server only; an encrypted connection is never left for a
 * plain one.
 */
export async function request(url: string, ask: Ask = {}): Promise<Response> {
  const { method = 'GET', headers, personal, signal, stay } = ask
  const { origin } = new URL(url)
  let at = new URL(url)
  for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
    const own = at.origin === origin ? personal : undefined
    const response = await fetch(at, {
      method,
      headers: { 'accept-encoding': 'identity', ...headers, ...own },
      redirect: 'manual',
      signal,
    })
    const location = response.headers.get('location')
    if (!REDIRECTS.has(response.status) || location === null) return response
    const next = new URL(location, at)
    if (stay && next.origin !== origin) return response
    await response.body?.cancel()
    if (!/^https?:$/.test(next.protocol) || (at.protocol === 'https:' && next.protocol === 'http:'))
      throw new Error(`it redirects to ${next.protocol}//${next.host}, which is not encrypted`)
    at = next
  }
  throw new Error(`it redirects more than ${MOST_REDIRECTS} times`)
}
