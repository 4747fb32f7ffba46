// Folders in Node. Chosen by the condition of `#folder` in package.json.
import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileSource, type Source } from './source.js'
import { explained, writeFiles } from './write.js'

/** A folder of files, not of folders. */
export interface Folder {
  readonly names: readonly string[]
  open(name: string): Promise<Source>
}

/** The folder at a path; undefined when there is none. */
export async function folderAt(path: string): Promise<Folder | undefined> {
  try {
    if (!(await stat(path)).isDirectory()) return undefined
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
  const names = (await readdir(path)).sort()
  return { names, open: (name) => fileSource(join(path, name)) }
}

/** A path or an address as it is; in a page it is always an address. */
export function addressed(where: string | URL): string {
  return String(where)
}

/** Writes files into a folder, which is made when absent: see `writeFiles`. */
export async function writeFolder(
  path: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  try {
    await mkdir(path, { recursive: true })
  } catch (error) {
    throw explained(error, path)
  }
  await writeFiles(
    path,
    [...files].map(([name, bytes]) => [join(path, name), [bytes]]),
  )
}
