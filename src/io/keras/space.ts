// Convolutions, pools and resizing with TensorFlow's conventions: channels last, kernels [k…, in, out], and `same`
// padding that puts the odd element at the end. Keras layers and TensorFlow's graph operators both compute with these.
//
// Inside, channels come first: the permutations are views, which cost nothing.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import {
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
} from '../../nn/functional/convolution.js'
import { averagePool, maxPool, type Windows, windowCounts } from '../../nn/nodes/pooling.js'
import { type Picks, resample } from '../../nn/nodes/resample.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'

/** `same`: ⌈size/stride⌉ positions; `valid`: none outside; `causal`: all before; or widths, low and high, a dimension. */
export type TfPadding =
  | 'same'
  | 'valid'
  | 'causal'
  | readonly (readonly [low: number, high: number])[]

export interface Window {
  readonly kernel: readonly number[]
  readonly stride: readonly number[]
  readonly dilation: readonly number[]
  readonly padding: TfPadding
}

/** [N, d…, C] → [N, C, d…] */
export function channelsFirst(x: Tensor): Tensor {
  const rank = x.shape.length
  return x.permute(0, rank - 1, ...Array.from({ length: rank - 2 }, (_, d) => d + 1))
}

/** [N, C, d…] → [N, d…, C] */
export function channelsLast(x: Tensor): Tensor {
  const rank = x.shape.length
  return x.permute(0, ...Array.from({ length: rank - 2 }, (_, d) => d + 2), 1)
}

/** How much is added at both ends of each spatial dimension of `spatial`. */
export function sidesOf(
  spatial: readonly number[],
  { kernel, stride, dilation, padding }: Window,
): (readonly [low: number, high: number])[] {
  return spatial.map((size, d) => {
    const reach = dilation[d] * (kernel[d] - 1)
    if (padding === 'valid') return [0, 0]
    if (padding === 'causal') return [reach, 0]
    if (padding !== 'same') return padding[d]
    const total = Math.max((Math.ceil(size / stride[d]) - 1) * stride[d] + reach + 1 - size, 0)
    return [total >> 1, total - (total >> 1)]
  })
}

const convolutions = [conv1d, conv2d, conv3d]
const transposed = [convTranspose1d, convTranspose2d, convTranspose3d]

/** x [N, C, d…] with kernel [k…, C/groups, O] and bias [O] → [N, O, d′…]. */
export function convolve(
  x: Tensor,
  kernel: Tensor,
  bias: Tensor | undefined,
  window: Omit<Window, 'kernel'>,
  groups = 1,
): Tensor {
  const rank = x.shape.length - 2
  const order = [rank + 1, rank, ...Array.from({ length: rank }, (_, d) => d)]
  return convolveBy(x, kernel.permute(...order), bias, window, groups)
}

/** x [N, C, d…] with a kernel [k…, C, M] of its own for each channel, and bias [C·M] → [N, C·M, d′…]. */
export function convolveDepthwise(
  x: Tensor,
  kernel: Tensor,
  bias: Tensor | undefined,
  window: Omit<Window, 'kernel'>,
): Tensor {
  const rank = x.shape.length - 2
  const [channels, multiplier] = kernel.shape.slice(rank)
  const sizes = kernel.shape.slice(0, rank)
  const order = [rank, rank + 1, ...Array.from({ length: rank }, (_, d) => d)]
  const weight = kernel.permute(...order).reshape(channels * multiplier, 1, ...sizes)
  return convolveBy(x, weight, bias, window, channels)
}

/** The same, with the weight [O, C/groups, k…]. */
function convolveBy(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  { stride, dilation, padding }: Omit<Window, 'kernel'>,
  groups: number,
): Tensor {
  const kernel = weight.shape.slice(2)
  const sides = sidesOf(x.shape.slice(2), { kernel, stride, dilation, padding })
  const even = sides.every(([low, high]) => low === high)
  const input = even ? x : padSpace(x, sides, 0)
  return convolutions[kernel.length - 1](input, weight, bias, {
    stride,
    dilation,
    groups,
    padding: even ? sides.map(([low]) => low) : 0,
  })
}

/** Pads the last dimensions of x. */
export function padSpace(
  x: Tensor,
  sides: readonly (readonly [low: number, high: number])[],
  value: number,
): Tensor {
  return x.pad([...sides].reverse().flat(), value)
}

/**
 * The adjoint of `convolve` for inputs of size `output`: x [N, C, d…] with kernel [k…, O, C] and bias [O] → [N, O, output…].
 */
export function convolveTransposed(
  x: Tensor,
  kernel: Tensor,
  bias: Tensor | undefined,
  window: Omit<Window, 'kernel'>,
  output: readonly number[],
): Tensor {
  const rank = output.length
  const { stride, dilation } = window
  const sizes = kernel.shape.slice(0, rank)
  const sides = sidesOf(output, { ...window, kernel: sizes })
  const whole = x.shape
    .slice(2)
    .map((n, d) => (n - 1) * stride[d] + dilation[d] * (sizes[d] - 1) + 1)
  output.forEach((n, d) => {
    const from =
      Math.floor((n + sides[d][0] + sides[d][1] - dilation[d] * (sizes[d] - 1) - 1) / stride[d]) + 1
    if (from !== x.shape[2 + d])
      fail(
        `a transposed convolution of ${showShape(x.shape)} (channels first) to ${showShape(output)}: dimension ${d} of that size would come from ${from} positions, not ${x.shape[2 + d]}`,
      )
  })
  const missing = output.map((n, d) => n - (whole[d] - 2 * sides[d][0]))
  const weight = kernel.permute(rank + 1, rank, ...Array.from({ length: rank }, (_, d) => d))
  let y = transposed[rank - 1](x, weight, bias, {
    stride,
    dilation,
    padding: sides.map(([low]) => low),
    outputPadding: missing.map((n) => Math.max(n, 0)),
  })
  output.forEach((n, d) => {
    if (missing[d] < 0) y = y.slice(0, n, { dim: 2 + d })
  })
  return y
}

/** The windows over x [N, C, d…]. */
function windowsOf(x: Tensor, window: Window, name: string): Windows {
  const spatial = x.shape.slice(2)
  const { kernel, stride, dilation } = window
  const sides = sidesOf(spatial, window)
  const output = spatial.map((n, d) => {
    const room = n + sides[d][0] + sides[d][1] - dilation[d] * (kernel[d] - 1) - 1
    if (room < 0)
      fail(
        `${name}: a window of ${kernel.join('×')} is larger than ${showShape(spatial)}; the input is too small`,
      )
    return Math.floor(room / stride[d]) + 1
  })
  return { kernel, stride, dilation, padding: sides.map(([low]) => low), output }
}

/** The largest of each window of x [N, C, d…]; padding never counts. */
export function poolMax(x: Tensor, window: Window): Tensor {
  return fromNode(maxPool(x.node, windowsOf(x, window, 'max pooling')), x)
}

/** The mean of each window of x [N, C, d…] over what is not padding. */
export function poolAverage(x: Tensor, window: Window): Tensor {
  const windows = windowsOf(x, window, 'average pooling')
  return fromNode(averagePool(x.node, windows, windowCounts(x.shape.slice(2), windows, false)), x)
}

/** Where TensorFlow's images have their pixels. */
export interface Pixels {
  readonly alignCorners?: boolean
  /** Centres at i + ½; without it (the older way) position i reads i·ratio. */
  readonly halfPixelCenters?: boolean
}

/** Resizes the dimensions `axes` of x to `sizes`. After tf.image's kernels. */
export function resize(
  x: Tensor,
  mode: 'nearest' | 'bilinear',
  axes: readonly number[],
  sizes: readonly number[],
  { alignCorners = false, halfPixelCenters = false }: Pixels,
): Tensor {
  let node = x.float().node
  axes.forEach((axis, d) => {
    const [n, count] = [x.shape[axis], sizes[d]]
    if (n === 0) fail(`resizing ${showShape(x.shape)}: it is empty`)
    if (n === count) return
    const aligned = alignCorners && count > 1
    const ratio = aligned ? (n - 1) / (count - 1) : n / count
    const picks: Picks = Array.from({ length: count }, (_, i) => {
      if (mode === 'nearest') {
        const at = halfPixelCenters ? (i + 0.5) * ratio : i * ratio
        const whole = alignCorners ? Math.floor(at + 0.5) : Math.floor(Math.fround(at))
        return [[Math.min(Math.max(whole, 0), n - 1), 1]]
      }
      const at = halfPixelCenters ? (i + 0.5) * ratio - 0.5 : i * ratio
      const low = Math.floor(at)
      const part = at - low
      const [first, second] = [low, low + 1].map((k) => Math.min(Math.max(k, 0), n - 1))
      if (first === second) return [[first, 1]]
      return [
        [first, 1 - part],
        [second, part],
      ]
    })
    node = resample(node, axis, picks)
  })
  return fromNode(node, x)
}
