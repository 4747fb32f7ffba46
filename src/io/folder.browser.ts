// A page has no folders. Chosen by the condition of `#folder` in package.json.
import { fail } from '../base/errors.js'
import type { Folder } from './folder.node.js'

export async function folderAt(_path: string): Promise<Folder | undefined> {
  return undefined
}

export async function writeFolder(
  path: string,
  _files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  fail(`${path}: a page cannot write folders`)
}

export type { Folder }
