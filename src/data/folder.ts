// Pictures in a folder for each class, as torchvision's ImageFolder: `root/cat/1.png`, `root/dog/b.jpg`. Node only.
import { fail } from '../base/errors.js'
import type { Random } from '../base/random.js'
import type { Tensor } from '../tensor/tensor.js'
import type { HostArray } from './array.js'
import { toTensor } from './convert.js'
import { checkIndex, type Dataset } from './dataset.js'
import { type ImageOptions, readImage, resizeImage } from './image.js'

const PICTURE = /\.(png|jpe?g)$/i

export interface ImageFolderOptions extends ImageOptions {
  /** All pictures in this size, [height, width]; by default each in its own, and only equal ones can be batched. */
  readonly size?: readonly [number, number]
  /** Values are (byte / 255 − mean) / std; one number, or one for each channel; 0 and 1 by default. */
  readonly mean?: number | readonly number[]
  readonly std?: number | readonly number[]
  /** Changes a picture, uint8 [channels, height, width], before it is resized: crops, flips. */
  readonly transform?: (image: HostArray, random: Random | undefined) => HostArray
}

/** Items are a float32 tensor [channels, height, width] and the class, an index into `classes`. */
export class ImageFolder implements Dataset<readonly [Tensor, number]> {
  /** The names of the folders, sorted. */
  readonly classes: readonly string[]
  readonly files: readonly { readonly path: string; readonly label: number }[]
  readonly #options: ImageFolderOptions

  constructor(
    classes: readonly string[],
    files: readonly { readonly path: string; readonly label: number }[],
    options: ImageFolderOptions,
  ) {
    this.classes = classes
    this.files = files
    this.#options = options
  }

  get length(): number {
    return this.files.length
  }

  async get(index: number, random?: Random): Promise<readonly [Tensor, number]> {
    checkIndex(index, this.length, 'ImageFolder')
    const { path, label } = this.files[index]
    const { size, transform, mean = 0, std = 1 } = this.#options
    let image = await readImage(path, this.#options)
    if (transform) image = transform(image, random)
    if (size) image = resizeImage(image, ...size)
    return [toTensor(scaled(image, mean, std)), label]
  }
}

function scaled(
  image: HostArray,
  mean: number | readonly number[],
  std: number | readonly number[],
): HostArray {
  const [channels, height, width] = image.shape
  const size = height * width
  const of = (value: number | readonly number[], c: number) =>
    typeof value === 'number' ? value : value[c]
  const data = new Float32Array(channels * size)
  for (let c = 0; c < channels; c++) {
    const [m, s] = [of(mean, c), of(std, c)]
    for (let i = c * size; i < (c + 1) * size; i++) data[i] = (image.data[i] / 255 - m) / s
  }
  return { data, shape: image.shape, dtype: 'float32' }
}

/**
 * The pictures (.png, .jpg, .jpeg) in the folders of `root`, sorted by name; a class for each folder.
 * @throws BurnishError when there is no such folder, none in it, or one without pictures.
 */
export async function imageFolder(
  root: string,
  options: ImageFolderOptions = {},
): Promise<ImageFolder> {
  const { channels = 3, mean, std } = options
  for (const [name, value] of Object.entries({ mean, std }))
    if (typeof value === 'object' && value.length !== channels)
      fail(`imageFolder: ${value.length} values of ${name} for ${channels} channels`)
  const { readdir } = await import('node:fs/promises')
  const { join } = await import('node:path')
  const entries = await readdir(root, { withFileTypes: true }).catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') throw fail(`imageFolder: ${root} is no folder`)
    throw error
  })
  const classes = entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort()
  if (classes.length === 0)
    fail(
      `imageFolder: ${root} has no folders in it: put the pictures of each class into a folder of its name`,
    )
  const lists = await Promise.all(
    classes.map(async (name, label) => {
      const names = (await readdir(join(root, name), { recursive: true })).filter((file) =>
        PICTURE.test(file),
      )
      if (names.length === 0)
        fail(`imageFolder: ${join(root, name)} has no pictures (.png, .jpg, .jpeg)`)
      return names.sort().map((file) => ({ path: join(root, name, file), label }))
    }),
  )
  return new ImageFolder(classes, lists.flat(), options)
}
