// A picture file's pixels.
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fail } from '../base/errors.js'
import type { Decoded } from './prepare.js'

interface Png {
  readonly PNG: { readonly sync: { read(bytes: Uint8Array): Omit<Decoded, 'channels'> } }
}

/** The pixels of a PNG or JPEG file. */
export async function loadPicture(path: string): Promise<Decoded> {
  const bytes = await readFile(path)
  const require = createRequire(import.meta.url)
  if (bytes[0] !== 0x89) fail(`${path}: is no PNG file`)
  const { PNG } = require('pngjs') as Png
  return { ...PNG.sync.read(bytes), channels: 4 }
}
