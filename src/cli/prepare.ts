// From any picture to what a network of small grey images knows: grey, bright on dark, of the right size. Digits are
// placed as MNIST's are (LeCun et al. 1998): the ink fits 20×20 of 28×28, its centre of mass in the middle.

/** Brightness 0 … 1, row-major. */
export interface Grey {
  readonly values: Float32Array
  readonly width: number
  readonly height: number
}

/** Bytes of a decoded picture, its channels (1 grey, 2 grey and alpha, 3 RGB, 4 RGBA) beside each other. */
export interface Decoded {
  readonly data: ArrayLike<number>
  readonly width: number
  readonly height: number
  readonly channels: number
}

/** Luma of Rec. 601, on white where a pixel is transparent. */
export function toGrey({ data, width, height, channels }: Decoded): Grey {
  const values = new Float32Array(width * height)
  for (let i = 0; i < values.length; i++) {
    const at = i * channels
    const luma =
      channels < 3 ? data[at] : 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]
    const alpha = channels % 2 === 0 ? data[at + channels - 1] / 255 : 1
    values[i] = (luma * alpha) / 255 + (1 - alpha)
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
  return sum / pixels > 0.5
}

export function inverted(image: Grey): Grey {
  return { ...image, values: image.values.map((value) => 1 - value) }
}

/** Each pixel of the result is the mean over the area it covers. */
export function resize(image: Grey, width: number, height: number): Grey {
  const across = covers(image.width, width)
  const down = covers(image.height, height)
  const values = new Float32Array(width * height)
  down.forEach((rows, y) => {
    across.forEach((columns, x) => {
      let sum = 0
      for (const [row, tall] of rows)
        for (const [column, wide] of columns)
          sum += image.values[row * image.width + column] * tall * wide
      values[y * width + x] = sum
    })
  })
  return { values, width, height }
}

/** For each of `to` cells: which of `from` it covers, and with what share. */
function covers(from: number, to: number): (readonly [number, number])[][] {
  return Array.from({ length: to }, (_, cell) => {
    const [begin, end] = [(cell * from) / to, ((cell + 1) * from) / to]
    const parts: (readonly [number, number])[] = []
    for (let i = Math.floor(begin); i < Math.ceil(end - 1e-9); i++)
      parts.push([i, (Math.min(end, i + 1) - Math.max(begin, i)) / (end - begin)])
    return parts
  })
}

/** Ink below this is background. */
const INK = 0.2

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
  const result = new Float32Array(size * size)
  if (right < 0) return { values: result, width: size, height: size }
  const [wide, tall] = [right - left + 1, bottom - top + 1]
  const ink = new Float32Array(wide * tall)
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
