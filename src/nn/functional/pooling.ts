// Pools over windows in 1, 2 and 3 dimensions, plain and adaptive, with PyTorch's arguments.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { type Node, reshape } from '../../graph/node.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import {
  adaptiveAlong,
  averagePool,
  maxPool,
  type Windows,
  windowCounts,
} from '../nodes/pooling.js'
import { floatNode, perDimension } from './checks.js'
import { tooLarge } from './convolution.js'

type Sizes = number | readonly number[]

export interface MaxPoolOptions {
  /** Default: the kernel's size. */
  readonly stride?: Sizes
  /** −∞ on both sides, at most half the kernel. */
  readonly padding?: Sizes
  readonly dilation?: Sizes
  /** Windows may begin inside and reach outside: the size is rounded up. */
  readonly ceilMode?: boolean
}

export interface AvgPoolOptions {
  readonly stride?: Sizes
  /** Zeros on both sides, at most half the kernel. */
  readonly padding?: Sizes
  readonly ceilMode?: boolean
  /** Whether padding counts in the average. */
  readonly countIncludePad?: boolean
  /** Divides by this instead of the window's size. */
  readonly divisorOverride?: number
}

/** input [N, C, L] → [N, C, L′]: the largest of each window. */
export function maxPool1d(input: Tensor, kernelSize: Sizes, options?: MaxPoolOptions): Tensor {
  return maximum('maxPool1d', 1, input, kernelSize, options)
}

/**
 * The largest of each window: input [N, C, H, W] → [N, C, H′, W′] with
 * H′ = ⌊(H + 2·padding − dilation·(kernelSize − 1) − 1) / stride⌋ + 1. Gradients go to the first of equal ones.
 * @throws BurnishError when the kernel is larger than the padded input.
 */
export function maxPool2d(input: Tensor, kernelSize: Sizes, options?: MaxPoolOptions): Tensor {
  return maximum('maxPool2d', 2, input, kernelSize, options)
}

export function maxPool3d(input: Tensor, kernelSize: Sizes, options?: MaxPoolOptions): Tensor {
  return maximum('maxPool3d', 3, input, kernelSize, options)
}

/** input [N, C, L] → [N, C, L′]: the mean of each window. */
export function avgPool1d(input: Tensor, kernelSize: Sizes, options?: AvgPoolOptions): Tensor {
  return average('avgPool1d', 1, input, kernelSize, options)
}

/** The mean of each window: input [N, C, H, W] → [N, C, H′, W′]. */
export function avgPool2d(input: Tensor, kernelSize: Sizes, options?: AvgPoolOptions): Tensor {
  return average('avgPool2d', 2, input, kernelSize, options)
}

export function avgPool3d(input: Tensor, kernelSize: Sizes, options?: AvgPoolOptions): Tensor {
  return average('avgPool3d', 3, input, kernelSize, options)
}

type OutputSizes = number | readonly (number | null)[]

export function adaptiveAvgPool1d(input: Tensor, outputSize: OutputSizes): Tensor {
  return adaptive('adaptiveAvgPool1d', 1, input, outputSize, 'mean')
}

/** The mean of windows chosen so that the result is [N, C, …outputSize]; null keeps a dimension. */
export function adaptiveAvgPool2d(input: Tensor, outputSize: OutputSizes): Tensor {
  return adaptive('adaptiveAvgPool2d', 2, input, outputSize, 'mean')
}

export function adaptiveAvgPool3d(input: Tensor, outputSize: OutputSizes): Tensor {
  return adaptive('adaptiveAvgPool3d', 3, input, outputSize, 'mean')
}

export function adaptiveMaxPool1d(input: Tensor, outputSize: OutputSizes): Tensor {
  return adaptive('adaptiveMaxPool1d', 1, input, outputSize, 'max')
}

export function adaptiveMaxPool2d(input: Tensor, outputSize: OutputSizes): Tensor {
  return adaptive('adaptiveMaxPool2d', 2, input, outputSize, 'max')
}

export function adaptiveMaxPool3d(input: Tensor, outputSize: OutputSizes): Tensor {
  return adaptive('adaptiveMaxPool3d', 3, input, outputSize, 'max')
}

/** The node with channels and maybe a batch in front of `rank` spatial dimensions. */
function checked(name: string, rank: number, input: Tensor): Node {
  const x = floatNode(input, name)
  if (x.shape.length !== rank + 2 && x.shape.length !== rank + 1)
    fail(
      `${name}: the input ${showShape(x.shape)} has ${x.shape.length} dimensions, but needs ${rank + 2} (or ${rank + 1} without a batch); use unsqueeze or reshape`,
    )
  return x.shape.length === rank + 1 ? reshape(x, [1, ...x.shape]) : x
}

function finish(result: Node, rank: number, input: Tensor): Tensor {
  const unbatched = input.shape.length === rank + 1
  return fromNode(unbatched ? reshape(result, result.shape.slice(1)) : result, input)
}

/** The windows of a plain pool, checked. */
function windowsOf(
  name: string,
  rank: number,
  x: Node,
  kernelSize: Sizes,
  options: MaxPoolOptions,
): Windows {
  const kernel = perDimension(kernelSize, rank, 1, `${name}: kernelSize`)
  const stride = perDimension(options.stride ?? kernel, rank, 1, `${name}: stride`)
  const padding = perDimension(options.padding ?? 0, rank, 0, `${name}: padding`)
  const dilation = perDimension(options.dilation ?? 1, rank, 1, `${name}: dilation`)
  const spatial = x.shape.slice(2)
  const output = spatial.map((n, d) => {
    if (2 * padding[d] > kernel[d])
      fail(
        `${name}: padding ${padding[d]} is more than half the kernel ${kernel[d]}; use at most ${Math.floor(kernel[d] / 2)}`,
      )
    const room = n + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1
    if (room < 0) tooLarge(name, x.shape, kernel, padding, dilation)
    if (!options.ceilMode) return Math.floor(room / stride[d]) + 1
    const count = Math.ceil(room / stride[d]) + 1
    // The last window must begin inside of the input or the padding before it.
    return (count - 1) * stride[d] >= n + padding[d] ? count - 1 : count
  })
  return { kernel, stride, padding, dilation, output }
}

function maximum(
  name: string,
  rank: number,
  input: Tensor,
  kernelSize: Sizes,
  options: MaxPoolOptions = {},
): Tensor {
  const x = checked(name, rank, input)
  return finish(maxPool(x, windowsOf(name, rank, x, kernelSize, options)), rank, input)
}

function average(
  name: string,
  rank: number,
  input: Tensor,
  kernelSize: Sizes,
  options: AvgPoolOptions = {},
): Tensor {
  const x = checked(name, rank, input)
  const windows = windowsOf(name, rank, x, kernelSize, options)
  const { divisorOverride, countIncludePad = true } = options
  if (divisorOverride === 0) fail(`${name}: divisorOverride must not be 0`)
  const divisor = divisorOverride ?? windowCounts(x.shape.slice(2), windows, countIncludePad)
  return finish(averagePool(x, windows, divisor), rank, input)
}

function adaptive(
  name: string,
  rank: number,
  input: Tensor,
  outputSize: OutputSizes,
  fn: 'max' | 'mean',
): Tensor {
  const x = checked(name, rank, input)
  const spatial = x.shape.slice(2)
  const given =
    typeof outputSize === 'number' ? outputSize : outputSize.map((n, d) => n ?? spatial[d] ?? 0)
  const output = perDimension(given, rank, 1, `${name}: outputSize`)
  if (spatial.some((n) => n === 0)) fail(`${name}: the input ${showShape(x.shape)} is empty`)
  if (spatial.every((n, d) => n % output[d] === 0)) {
    const kernel = spatial.map((n, d) => n / output[d])
    const windows: Windows = {
      kernel,
      stride: kernel,
      padding: kernel.map(() => 0),
      dilation: kernel.map(() => 1),
      output,
    }
    const count = kernel.reduce((product, k) => product * k, 1)
    return finish(fn === 'max' ? maxPool(x, windows) : averagePool(x, windows, count), rank, input)
  }
  let node = x
  for (let d = rank - 1; d >= 0; d--)
    if (output[d] !== spatial[d]) node = adaptiveAlong(node, 2 + d, output[d], fn)
  return finish(node, rank, input)
}
