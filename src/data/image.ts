// Pictures from PNG and JPEG files. Decoded by sharp where it is installed (fast), else by pngjs and jpeg-js (pure
// JavaScript); in a page by the browser. Everything after decoding (channels, grey, size) is done here, so that PNGs give the same bytes either
// way; JPEG decoders may differ by a step or two in a byte. The orientation that cameras note in EXIF is not applied.
import { decoderOf } from '#images'
import { BurnishError, fail } from '../base/errors.js'
import { type HostArray, hostArray } from './array.js'
import type { Format, Pixels } from './decode.node.js'

export interface ImageOptions {
  /** 3: red, green, blue (default); 1: grey, by the weights of ITU-R BT.601; 4: with opacity. */
  readonly channels?: 1 | 3 | 4
  /** `auto`: sharp where it is installed, else pure JavaScript. */
  readonly decoder?: 'auto' | 'sharp' | 'pure'
}

/**
 * The picture in a PNG's or JPEG's bytes: uint8 [channels, height, width].
 * @throws BurnishError naming `where` when they are neither, damaged or truncated.
 */
export async function decodeImage(
  bytes: Uint8Array,
  options: ImageOptions = {},
  where = 'image',
): Promise<HostArray> {
  const { channels = 3, decoder = 'auto' } = options
  const format = formatOf(bytes)
  if (format === undefined)
    throw fail(
      `${where}: is neither PNG nor JPEG: it begins with bytes ${[...bytes.subarray(0, 4)].join(' ') || '(none)'}`,
    )
  const decode = await decoderOf(decoder)
  try {
    return planes(await decode(bytes, format), channels)
  } catch (error) {
    if (error instanceof BurnishError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new BurnishError(
      `${where}: is no whole ${format.toUpperCase()} file (${reason}): it is truncated or damaged`,
    )
  }
}

/** The picture in a file: see `decodeImage`. Node only. */
export async function readImage(path: string, options: ImageOptions = {}): Promise<HostArray> {
  const { readFile } = await import('node:fs/promises')
  let bytes: Uint8Array
  try {
    bytes = await readFile(path)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT') throw fail(`${path}: there is no such file`)
    if (code === 'EISDIR') throw fail(`${path}: is a folder, not a picture`)
    throw error
  }
  return decodeImage(bytes, options, path)
}

function formatOf(bytes: Uint8Array): Format | undefined {
  const begins = (...start: number[]) => start.every((byte, i) => bytes[i] === byte)
  if (begins(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return 'png'
  return begins(0xff, 0xd8, 0xff) ? 'jpeg' : undefined
}

// ---- after decoding ----

function planes({ width, height, data }: Pixels, channels: 1 | 3 | 4): HostArray {
  const size = width * height
  const out = new Uint8Array(channels * size)
  for (let i = 0; i < size; i++) {
    const [r, g, b] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]]
    if (channels === 1) out[i] = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
    else for (let c = 0; c < channels; c++) out[c * size + i] = data[4 * i + c]
  }
  return hostArray(out, [channels, height, width])
}

/**
 * A picture uint8 [channels, height, width] in another size, by bilinear interpolation; where it shrinks, each pixel is
 * a weighted mean over all it covers (as Pillow's and torchvision's antialias).
 */
export function resizeImage(image: HostArray, height: number, width: number): HostArray {
  for (const size of [height, width])
    if (!Number.isInteger(size) || size < 1)
      fail(`resizeImage: ${size} is no size; sizes are whole numbers from 1`)
  if (image.dtype !== 'uint8' || image.shape.length !== 3)
    fail(
      `resizeImage: a picture is uint8 [channels, height, width], this is ${image.dtype} of ${image.shape.length} dimensions`,
    )
  const [channels, oldHeight, oldWidth] = image.shape
  const across = taps(oldWidth, width)
  const down = taps(oldHeight, height)
  const rows = new Float32Array(channels * oldHeight * width)
  for (let row = 0; row < channels * oldHeight; row++)
    for (let x = 0; x < width; x++) {
      const { first, weights } = across[x]
      let sum = 0
      for (let k = 0; k < weights.length; k++)
        sum += weights[k] * image.data[row * oldWidth + first + k]
      rows[row * width + x] = sum
    }
  const data = new Uint8Array(channels * height * width)
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < height; y++) {
      const { first, weights } = down[y]
      for (let x = 0; x < width; x++) {
        let sum = 0
        for (let k = 0; k < weights.length; k++)
          sum += weights[k] * rows[(c * oldHeight + first + k) * width + x]
        data[(c * height + y) * width + x] = Math.min(255, Math.max(0, Math.round(sum)))
      }
    }
  return hostArray(data, [channels, height, width])
}

interface Taps {
  readonly first: number
  readonly weights: readonly number[]
}

/** For each new position the old ones it is a mean of: a triangle as wide as two steps, of the larger of both grids. */
function taps(from: number, to: number): readonly Taps[] {
  const scale = from / to
  const reach = Math.max(1, scale)
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale
    const first = Math.max(0, Math.floor(centre - reach + 0.5))
    const last = Math.min(from, Math.floor(centre + reach + 0.5))
    const weights = Array.from({ length: last - first }, (_, k) =>
      Math.max(0, 1 - Math.abs((first + k + 0.5 - centre) / reach)),
    )
    const sum = weights.reduce((total, weight) => total + weight, 0)
    return { first, weights: weights.map((weight) => weight / sum) }
  })
}
