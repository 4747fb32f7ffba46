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

/** The address of what a page names: as in its own links, relative to itself. */
export function addressed(where: string | URL): string {
  const base = typeof document === 'undefined' ? globalThis.location.href : document.baseURI
  const address = URL.canParse(where, base) ? new URL(where, base).href : ''
  return /^(https?|blob|data):/.test(address)
    ? address
    : fail(`${where}: a page opens no files; give bytes, a Blob, or an address of http`)
}

export type { Folder }
