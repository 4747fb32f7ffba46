// Decoders of pictures in Node: sharp where it is installed, else pngjs and jpeg-js. Chosen by the condition of `#images`
// in package.json.
import { fail } from '../base/errors.js'

export type Format = 'png' | 'jpeg'

/** Red, green, blue and opacity of each pixel. */
export interface Pixels {
  readonly width: number
  readonly height: number
  readonly data: ArrayLike<number>
}

export type Decode = (bytes: Uint8Array, format: Format) => Promise<Pixels>

/** More memory than this no decoder may take for a picture. */
const LARGEST_MEGABYTES = 1024

export async function decoderOf(wanted: 'auto' | 'sharp' | 'pure'): Promise<Decode> {
  if (wanted === 'pure') return pure
  try {
    return withSharp((await import('sharp')).default)
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && /NOT_FOUND/.test(`${error.code}`)
    if (wanted === 'auto') return pure // absent, or not for this machine
    if (!absent) throw error
    throw fail('the decoder sharp is not installed: run `npm install sharp`, or leave decoder out')
  }
}

function withSharp(sharp: typeof import('sharp').default): Decode {
  return async (bytes) => {
    const { data, info } = await sharp(bytes, { failOn: 'error' })
      .toColourspace('srgb')
      .ensureAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    return { width: info.width, height: info.height, data }
  }
}

const pure: Decode = async (bytes, format) => {
  if (format === 'png') {
    const { PNG } = (await import('pngjs')).default
    return PNG.sync.read(Buffer.from(bytes))
  }
  const { decode } = (await import('jpeg-js')).default
  return decode(bytes, {
    useTArray: true,
    tolerantDecoding: false,
    maxMemoryUsageInMB: LARGEST_MEGABYTES,
  })
}
