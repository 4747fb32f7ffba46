// The few calls on a file system that saving needs, as an interface: Node's, or a test's that stops halfway.
// What must survive a crash is written beside its place, synced, and renamed; nothing is ever written over.
import { plainBytes } from '../io/source.js'
import { explained } from '../io/write.js'

export interface OpenFile {
  write(bytes: Uint8Array): Promise<void>
  /** Returns when the content is on the disk. */
  sync(): Promise<void>
  close(): Promise<void>
}

export interface FileSystem {
  /** With all folders above it; nothing where it is there. */
  makeFolder(path: string): Promise<void>
  /** The names in a folder; undefined where there is none. */
  list(path: string): Promise<readonly string[] | undefined>
  /** Undefined where there is none. */
  read(path: string): Promise<Uint8Array | undefined>
  /** A new, empty file; rejects where there is one. */
  create(path: string): Promise<OpenFile>
  rename(from: string, to: string): Promise<void>
  /** A file, or a folder with all in it. */
  remove(path: string): Promise<void>
  /** Returns when names made and renamed in the folder are on the disk. */
  syncFolder(path: string): Promise<void>
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

const isAbsent = (error: unknown) => codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR'

/** Node's file system. */
export async function nodeFiles(): Promise<FileSystem> {
  const fs = await import('node:fs/promises')
  const orAbsent = async <T>(value: Promise<T>): Promise<T | undefined> => {
    try {
      return await value
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  }
  return {
    async makeFolder(path) {
      await fs.mkdir(path, { recursive: true })
    },
    list: (path) => orAbsent(fs.readdir(path)),
    async read(path) {
      const buffer = await orAbsent(fs.readFile(path))
      return buffer && plainBytes(buffer)
    },
    async create(path) {
      const file = await fs.open(path, 'wx')
      return {
        write: (bytes) => file.writeFile(bytes),
        sync: () => file.sync(),
        close: () => file.close(),
      }
    },
    rename: (from, to) => fs.rename(from, to),
    remove: (path) => fs.rm(path, { recursive: true, force: true }),
    async syncFolder(path) {
      if (process.platform === 'win32') return // Windows opens no folders; its renames are journalled
      const folder = await fs.open(path, 'r')
      try {
        await folder.sync()
      } finally {
        await folder.close()
      }
    },
  }
}

export function joinPath(folder: string, name: string): string {
  return folder.endsWith('/') ? `${folder}${name}` : `${folder}/${name}`
}

/** A new file with all its content on the disk; the name is not, before `syncFolder`. */
export async function writeFile(
  files: FileSystem,
  path: string,
  content: Uint8Array | string,
): Promise<void> {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
  const file = await files.create(path)
  try {
    await file.write(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** A file whole under its name, in place of an older one: written beside it and renamed. */
export async function replaceFile(
  files: FileSystem,
  folder: string,
  name: string,
  content: Uint8Array | string,
): Promise<void> {
  const beside = joinPath(folder, `.writing-${name}`)
  try {
    await files.remove(beside)
    await writeFile(files, beside, content)
    await files.rename(beside, joinPath(folder, name))
    await files.syncFolder(folder)
  } catch (error) {
    throw explained(error, joinPath(folder, name))
  }
}
