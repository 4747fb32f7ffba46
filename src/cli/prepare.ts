// From any picture to what a network of small grey images knows: grey, bright on dark, of the right size. Digits are
// placed as MNIST's are (LeCun et al. 1998): the ink fits 20×20 of 28×28, its centre of mass in the middle.

import { hostArray } from '../data/array.js'
import { type HostArray, resizeImage } from '../data/index.js'

/** Brightness as bytes, row-major. */
export interface Grey {
  readonly values: Uint8Array
  readonly width: number
  readonly height: number
}

/** Of a picture uint8 [4, height, width]: luma of Rec. 601, on white where it is transparent. */
export function toGrey({ data, shape: [, height, width] }: HostArray): Grey {
  const size = width * height
  const values = new Uint8Array(size)
  for (let i = 0; i < size; i++) {
    const luma = 0.299 * data[i] + 0.587 * data[size + i] + 0.114 * data[2 * size + i]
    const opacity = data[3 * size + i] / 255
    values[i] = Math.round(luma * opacity + 255 * (1 - opacity))
  }
  return { values, width, height }
}

/** Whether the border is bright, as paper is: then the picture is dark on bright. */
export function isOnPaper({ values, width, height }: Grey): boolean {
  let [sum, pixels] = [0, 0]
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      if (y === 0 || x === 0 || y === height - 1 || x === width - 1) {
        sum += values[y * width + x]
        pixels++
      }
  return sum / pixels > 127
}

export function inverted(image: Grey): Grey {
  return { ...image, values: image.values.map((value) => 255 - value) }
}

export function resize(image: Grey, width: number, height: number): Grey {
  const picture = hostArray(image.values, [1, image.height, image.width])
  const values = Uint8Array.from(resizeImage(picture, height, width).data)
  return { values, width, height }
}

/** Ink below this is background. */
const INK = 50

/** A digit bright on dark, placed as MNIST's are. A picture without ink stays empty. */
export function centred(image: Grey, size: number, box: number): Grey {
  const { values, width, height } = image
  let [left, right, top, bottom] = [width, -1, height, -1]
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      if (values[y * width + x] < INK) continue
      left = Math.min(left, x)
      right = Math.max(right, x)
      top = Math.min(top, y)
      bottom = Math.max(bottom, y)
    }
  const result = new Uint8Array(size * size)
  if (right < 0) return { values: result, width: size, height: size }
  const [wide, tall] = [right - left + 1, bottom - top + 1]
  const ink = new Uint8Array(wide * tall)
  for (let y = 0; y < tall; y++)
    for (let x = 0; x < wide; x++) ink[y * wide + x] = values[(top + y) * width + left + x]
  const scale = box / Math.max(wide, tall)
  const small = resize(
    { values: ink, width: wide, height: tall },
    Math.max(1, Math.round(wide * scale)),
    Math.max(1, Math.round(tall * scale)),
  )
  let [mass, across, down] = [0, 0, 0]
  small.values.forEach((value, i) => {
    mass += value
    across += value * ((i % small.width) + 0.5)
    down += value * (Math.floor(i / small.width) + 0.5)
  })
  const offset = (centre: number, length: number) =>
    Math.max(0, Math.min(size - length, Math.round(size / 2 - centre)))
  const x0 = offset(across / mass, small.width)
  const y0 = offset(down / mass, small.height)
  small.values.forEach((value, i) => {
    result[(y0 + Math.floor(i / small.width)) * size + x0 + (i % small.width)] = value
  })
  return { values: result, width: size, height: size }
}
