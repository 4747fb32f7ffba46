// Folders in Node. Chosen by the condition of `#folder` in package.json.
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileSource, type Source } from './source.js'

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

/** Writes files into a folder, which is made when absent: each beside its place, then renamed. */
export async function writeFolder(
  path: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  await mkdir(path, { recursive: true })
  for (const [name, bytes] of files) {
    const beside = join(path, `.${name}.${randomBytes(6).toString('hex')}`)
    const file = await open(beside, 'wx')
    try {
      await file.writeFile(bytes)
      await file.sync()
      await file.close()
      await rename(beside, join(path, name))
    } catch (error) {
      await file.close()
      await rm(beside, { force: true })
      throw error
    }
  }
}
