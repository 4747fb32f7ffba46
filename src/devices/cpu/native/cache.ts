// Compiled objects on disk, in a folder private to the user: $XDG_CACHE_HOME/burnish, or ~/.cache/burnish.
//
// An entry is a folder named by its key, with the object and the object's hash; it is written beside and renamed, so it
// is there whole or not at all. Before an object is used its owner, mode and content are checked; an entry that is not
// what was written is removed. Entries not used for a month are removed when a new one is made.
import { createHash } from 'node:crypto'
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

const OBJECT = 'program.so'
const HASH = 'program.sha256'
const MONTH = 30 * 24 * 3600 * 1000
const HOUR = 3600 * 1000

export function cacheFolder(): string {
  const given = process.env.XDG_CACHE_HOME
  return join(
    given !== undefined && isAbsolute(given) ? given : join(homedir(), '.cache'),
    'burnish',
  )
}

export function hashOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length}:`).update(part)
  return hash.digest('hex')
}

export interface Cache {
  /** The path of a checked object. */
  find(key: string): Promise<string | undefined>
  /** Has `make` write the object at a path it is given; the path where it then is. */
  add(key: string, make: (path: string, folder: string) => Promise<void>): Promise<string>
}

/** Opens the folder, makes it when absent. Rejects when it is not private or not the user's. */
export async function openCache(folder: string = cacheFolder()): Promise<Cache> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const { uid, mode, directory } = await stateOf(folder)
  const own = process.getuid?.()
  if (!directory) throw new Error(`${folder} is not a folder`)
  if (own !== undefined && uid !== own) throw new Error(`${folder} belongs to another user`)
  if (own !== undefined && (mode & 0o077) !== 0)
    throw new Error(`${folder} is open to others: chmod 700 ${folder}`)

  const intact = async (entry: string): Promise<boolean> => {
    const path = join(entry, OBJECT)
    for (const part of [entry, path]) {
      const state = await stateOf(part)
      if (state.link || (own !== undefined && (state.uid !== own || (state.mode & 0o022) !== 0)))
        return false
    }
    const [content, hash] = await Promise.all([readFile(path), readFile(join(entry, HASH), 'utf8')])
    return hashOf(content) === hash
  }

  const find = async (key: string): Promise<string | undefined> => {
    const entry = join(folder, key)
    try {
      if (await intact(entry)) {
        const now = new Date()
        // Where the folder cannot be written to, the date stays.
        await utimes(entry, now, now).catch(() => {})
        return join(entry, OBJECT)
      }
    } catch (error) {
      if (codeOf(error) === 'ENOENT' && !(await exists(entry))) return undefined
    }
    await rm(entry, { recursive: true, force: true })
    return undefined
  }

  return {
    find,
    async add(key, make) {
      const beside = await mkdtemp(join(folder, 'new-'))
      try {
        const path = join(beside, OBJECT)
        await make(path, beside)
        await writeFile(join(beside, HASH), hashOf(await readFile(path)), { mode: 0o600 })
        try {
          await rename(beside, join(folder, key))
        } catch (error) {
          // Another process was first; what it made is as good, when it is whole.
          if (!['ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) throw error
        }
      } finally {
        await rm(beside, { recursive: true, force: true })
      }
      await clean(folder)
      const found = await find(key)
      if (found === undefined) throw new Error(`the entry ${key} of ${folder} does not hold`)
      return found
    },
  }
}

async function stateOf(path: string) {
  const state = await lstat(path)
  return {
    uid: state.uid,
    mode: state.mode,
    directory: state.isDirectory(),
    link: state.isSymbolicLink(),
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

/** Removes what was not used for a month, and what a process that died left half made. */
async function clean(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const age = await lstat(path).then(
      (state) => Date.now() - state.mtimeMs,
      () => 0, // another process removed it
    )
    if (age > (name.startsWith('new-') ? HOUR : MONTH))
      await rm(path, { recursive: true, force: true })
  }
}
