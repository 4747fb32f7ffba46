// preprocessor_config.json: how pictures become the input of a vision model. Pictures are resized by our own filter,
// the antialiased triangle of transformers' bilinear; other filters are refused when they are used.
import { fail } from '../base/errors.js'
import { type HostArray, resizeImage } from '../data/index.js'
import { tensor } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Fields } from './huggingface-config.js'

/** Pillow's number of the filter. */
const BILINEAR = 2
/** Mean and deviation where none are said: pixels become −1 … 1. */
const HALF = [0.5, 0.5, 0.5]
/** From this size on ConvNeXt's processor, which ResNet has too, stretches pictures and cuts nothing. */
const STRETCHED = 384

export interface Preprocess {
  /** What the model sees, in pixels. */
  readonly height: number
  readonly width: number
  /** The shorter side is made so long before the middle is cut out; undefined where pictures are stretched. */
  readonly shortest: number | undefined
  /** Of each channel, after bytes were multiplied by `scale`. */
  readonly mean: readonly number[]
  readonly std: readonly number[]
  readonly scale: number
  /** Pillow's number of the filter: 2 bilinear, 3 bicubic. */
  readonly resample: number
  /** Pictures uint8 [3, any height, any width] → the model's input, float32 [N, 3, height, width]. */
  images(pictures: readonly HostArray[]): Tensor
}

/** Reads the fields of image processors: `size` as a number, `{height, width}` or `{shortest_edge}`, and crops. */
export function readPreprocess(config: Fields): Preprocess {
  const numbers = (name: string, fallback: readonly number[]): readonly number[] => {
    const value = config.get(name) ?? fallback
    if (!Array.isArray(value) || value.length !== 3 || !value.every((x) => Number.isFinite(x)))
      throw config.wrong(name, value, 'a list of three numbers')
    return value
  }
  const pair = (name: string) => {
    const value = config.get(name)
    const part = (key: string): number | undefined => {
      const found: unknown =
        typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
      if (found === undefined) return undefined
      if (typeof found !== 'number' || !Number.isInteger(found) || found < 1 || found > 65_536)
        throw config.wrong(name, value, 'sizes in pixels')
      return found
    }
    if (typeof value === 'number') return { edge: config.whole(name, 224) }
    return { height: part('height'), width: part('width'), edge: part('shortest_edge') }
  }
  const size = pair('size')
  const crop = config.flag('do_center_crop', false) ? pair('crop_size') : undefined
  const pct = config.get('crop_pct') === undefined ? 1 : config.real('crop_pct', 1)
  const cropEdge = crop?.height ?? crop?.edge
  // A number alone stretches ViT's pictures; with a crop, or with crop_pct as ResNet's have it, it is the shorter side.
  const cuts =
    crop !== undefined ||
    (size.edge !== undefined && size.edge < STRETCHED && config.get('crop_pct') !== undefined)
  const edge = size.edge ?? 224
  const height = cropEdge ?? size.height ?? edge
  const width = crop?.width ?? crop?.edge ?? size.width ?? edge
  const shortest = cuts
    ? Math.trunc((size.edge ?? Math.min(height, width)) / (pct || 1))
    : undefined
  const mean = config.flag('do_normalize', true) ? numbers('image_mean', HALF) : [0, 0, 0]
  const std = config.flag('do_normalize', true) ? numbers('image_std', HALF) : [1, 1, 1]
  const scale = config.flag('do_rescale', true) ? config.real('rescale_factor', 1 / 255) : 1
  const resample = config.whole('resample', BILINEAR, 0)
  const resizes = config.flag('do_resize', true)
  return {
    height,
    width,
    shortest,
    mean,
    std,
    scale,
    resample,
    images(pictures) {
      if (resample !== BILINEAR && resizes)
        fail(
          `${config.where}: resample is ${resample}, but pictures are resized by the bilinear filter (2) only: resize them yourself, and use mean, std and scale`,
        )
      const area = height * width
      const data = new Float32Array(pictures.length * 3 * area)
      pictures.forEach((picture, n) => {
        const seen = fitted(picture, height, width, resizes ? shortest : undefined, resizes)
        for (let c = 0; c < 3; c++)
          for (let i = 0; i < area; i++)
            data[(n * 3 + c) * area + i] = (seen.data[c * area + i] * scale - mean[c]) / std[c]
      })
      return tensor(data, { shape: [pictures.length, 3, height, width] })
    },
  }
}

function fitted(
  picture: HostArray,
  height: number,
  width: number,
  shortest: number | undefined,
  resizes: boolean,
): HostArray {
  const [channels, h, w] = picture.shape
  if (channels !== 3) fail(`preprocess: a picture has ${channels} channels, not 3`)
  if (shortest === undefined) {
    if (resizes) return resizeImage(picture, height, width)
    if (h !== height || w !== width)
      fail(`preprocess: a picture is ${h}×${w}, not ${height}×${width}, and do_resize is false`)
    return picture
  }
  const factor = shortest / Math.min(h, w)
  const sized = resizeImage(
    picture,
    h <= w ? shortest : Math.trunc(h * factor),
    w <= h ? shortest : Math.trunc(w * factor),
  )
  const [, tall, wide] = sized.shape
  if (tall < height || wide < width)
    fail(`preprocess: a crop of ${height}×${width} from a picture of ${tall}×${wide}`)
  const [top, left] = [(tall - height) >> 1, (wide - width) >> 1]
  const data = new Uint8Array(3 * height * width)
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        data[(c * height + y) * width + x] = sized.data[(c * tall + top + y) * wide + left + x]
  return { dtype: 'uint8', shape: [3, height, width], data }
}
