// Pools over windows in 1, 2 and 3 dimensions, plain and adaptive, with PyTorch's arguments.
import { fail } from '../../base/errors.js'
import { showShape, sizeOf } from '../../base/shape.js'
import { constant, map, type Node, reshape, scatterAdd } from '../../graph/node.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import {
  adaptiveAlong,
  averagePool,
  largestPositions,
  maxPool,
  type Windows,
  windowCounts,
} from '../nodes/pooling.js'
import { floatNode, indexNode, named, perDimension } from './checks.js'
import { tooLarge } from './convolution.js'

type Sizes = number | readonly number[]

/** Numbers count for all spatial dimensions; or give one for each. */
export interface MaxPoolOptions {
  /** Default: the kernel's size. */
  readonly stride?: Sizes
  /** −∞ on both sides, at most half the kernel. */
  readonly padding?: Sizes
  readonly dilation?: Sizes
  /** Windows may begin inside and reach outside: the size is rounded up. */
  readonly ceilMode?: boolean
}

/** Numbers count for all spatial dimensions; or give one for each. */
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

/** input [N, C, D, H, W] → [N, C, D′, H′, W′]: the largest of each window. See maxPool2d. */
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

/** input [N, C, D, H, W] → [N, C, D′, H′, W′]: the mean of each window. */
export function avgPool3d(input: Tensor, kernelSize: Sizes, options?: AvgPoolOptions): Tensor {
  return average('avgPool3d', 3, input, kernelSize, options)
}

type OutputSizes = number | readonly (number | null)[]

/** input [N, C, L] → [N, C, outputSize]: means of windows that divide L as evenly as they can. */
export function adaptiveAvgPool1d(input: Tensor, outputSize: OutputSizes): Tensor {
  return adaptive('adaptiveAvgPool1d', 1, input, outputSize, 'mean')
}

/** The mean of windows chosen so that the result is [N, C, …outputSize]; null keeps a dimension. */
export function adaptiveAvgPool2d(input: Tensor, outputSize: OutputSizes): Tensor {
  return adaptive('adaptiveAvgPool2d', 2, input, outputSize, 'mean')
}

/** input [N, C, D, H, W] → [N, C, …outputSize]: see adaptiveAvgPool2d. */
export function adaptiveAvgPool3d(input: Tensor, outputSize: OutputSizes): Tensor {
  return adaptive('adaptiveAvgPool3d', 3, input, outputSize, 'mean')
}

/** input [N, C, L] → [N, C, outputSize]: the largest of windows that divide L as evenly as they can. */
export function adaptiveMaxPool1d(input: Tensor, outputSize: OutputSizes): Tensor {
  return adaptive('adaptiveMaxPool1d', 1, input, outputSize, 'max')
}

/** The largest of windows chosen so that the result is [N, C, …outputSize]; null keeps a dimension. */
export function adaptiveMaxPool2d(input: Tensor, outputSize: OutputSizes): Tensor {
  return adaptive('adaptiveMaxPool2d', 2, input, outputSize, 'max')
}

/** input [N, C, D, H, W] → [N, C, …outputSize]: see adaptiveMaxPool2d. */
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
  return finish(adaptiveNode(x, output, fn), rank, input)
}

function adaptiveNode(x: Node, output: readonly number[], fn: 'max' | 'mean'): Node {
  const spatial = x.shape.slice(2)
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
    return fn === 'max' ? maxPool(x, windows) : averagePool(x, windows, count)
  }
  let node = x
  for (let d = output.length - 1; d >= 0; d--)
    if (output[d] !== spatial[d]) node = adaptiveAlong(node, 2 + d, output[d], fn)
  return node
}

/** The mean over windows that divide the spatial axes of x [n, c, …] as evenly as they can. */
export function adaptiveMean(x: Node, output: readonly number[]): Node {
  return adaptiveNode(x, output, 'mean')
}

/** How the pool to be undone was made; numbers count for all dimensions. */
export interface Unpooling {
  readonly stride?: Sizes
  readonly padding?: Sizes
  /** The spatial size to restore where the pool's rounding lost it; default: the smallest. */
  readonly outputSize?: readonly number[]
}

/** A pool's values with their places: int32, row-major over the spatial dimensions of the input. */
export interface Pooled {
  readonly values: Tensor
  readonly indices: Tensor
}

function withIndices(
  name: string,
  rank: number,
  input: Tensor,
  kernelSize: Sizes,
  options: MaxPoolOptions = {},
): Pooled {
  const x = checked(name, rank, input)
  const windows = windowsOf(name, rank, x, kernelSize, options)
  return {
    values: finish(maxPool(x, windows), rank, input),
    indices: finish(largestPositions(x, windows), rank, input),
  }
}

/** maxPool1d with the places of its values, as PyTorch's `return_indices`. */
export function maxPool1dWithIndices(
  input: Tensor,
  kernelSize: Sizes,
  options?: MaxPoolOptions,
): Pooled {
  return withIndices('maxPool1dWithIndices', 1, input, kernelSize, options)
}

/** maxPool2d with the places of its values: int32 y·W + x in the input's plane. */
export function maxPool2dWithIndices(
  input: Tensor,
  kernelSize: Sizes,
  options?: MaxPoolOptions,
): Pooled {
  return withIndices('maxPool2dWithIndices', 2, input, kernelSize, options)
}

/** maxPool3d with the places of its values. */
export function maxPool3dWithIndices(
  input: Tensor,
  kernelSize: Sizes,
  options?: MaxPoolOptions,
): Pooled {
  return withIndices('maxPool3dWithIndices', 3, input, kernelSize, options)
}

function unpool(
  name: string,
  rank: number,
  input: Tensor,
  indices: Tensor,
  kernelSize: Sizes,
  options: Unpooling = {},
): Tensor {
  const x = checked(name, rank, input)
  if (indices.shape.join() !== input.shape.join())
    fail(
      `${name}: the indices ${showShape(indices.shape)} must have the input's shape ${showShape(input.shape)}`,
    )
  const kernel = perDimension(kernelSize, rank, 1, `${name}: kernelSize`)
  const stride = perDimension(options.stride ?? kernel, rank, 1, `${name}: stride`)
  const padding = perDimension(options.padding ?? 0, rank, 0, `${name}: padding`)
  const [batch, channels, ...spatial] = x.shape
  const size = perDimension(
    options.outputSize ?? spatial.map((n, d) => (n - 1) * stride[d] - 2 * padding[d] + kernel[d]),
    rank,
    1,
    `${name}: outputSize`,
  )
  const flat = [batch, channels, sizeOf(spatial)]
  const at = reshape(indexNode(indices, name, 'indices'), flat)
  const image = named(name, () => scatterAdd(2, sizeOf(size), at, reshape(x, flat)))
  return finish(reshape(image, [batch, channels, ...size]), rank, input)
}

/** Puts the values [N, C, L] of a max pool back to their places, zeros elsewhere. */
export function maxUnpool1d(
  input: Tensor,
  indices: Tensor,
  kernelSize: Sizes,
  options?: Unpooling,
): Tensor {
  return unpool('maxUnpool1d', 1, input, indices, kernelSize, options)
}

/**
 * Puts the values [N, C, H, W] of maxPool2dWithIndices back to their places, zeros elsewhere. Values of overlapping
 * windows that share a place are added (PyTorch keeps one of them).
 */
export function maxUnpool2d(
  input: Tensor,
  indices: Tensor,
  kernelSize: Sizes,
  options?: Unpooling,
): Tensor {
  return unpool('maxUnpool2d', 2, input, indices, kernelSize, options)
}

/** Puts the values [N, C, D, H, W] of maxPool3dWithIndices back to their places. See maxUnpool2d. */
export function maxUnpool3d(
  input: Tensor,
  indices: Tensor,
  kernelSize: Sizes,
  options?: Unpooling,
): Tensor {
  return unpool('maxUnpool3d', 3, input, indices, kernelSize, options)
}

function powerPool(
  name: string,
  rank: number,
  input: Tensor,
  normType: number,
  kernelSize: Sizes,
  options: Pick<AvgPoolOptions, 'stride' | 'ceilMode'> = {},
): Tensor {
  if (!(normType > 0)) fail(`${name}: normType is ${normType}, but must be above 0`)
  const x = checked(name, rank, input)
  const windows = windowsOf(name, rank, x, kernelSize, options)
  const total = averagePool(map('pow', x, constant(normType, 'float32', x.shape)), windows, 1)
  const root = map('pow', total, constant(1 / normType, 'float32', total.shape))
  return finish(root, rank, input)
}

/** (Σ x^p)^(1/p) over each window of [N, C, L]. */
export function lpPool1d(
  input: Tensor,
  normType: number,
  kernelSize: Sizes,
  options?: Pick<AvgPoolOptions, 'stride' | 'ceilMode'>,
): Tensor {
  return powerPool('lpPool1d', 1, input, normType, kernelSize, options)
}

/** (Σ x^p)^(1/p) over each window of [N, C, H, W]. */
export function lpPool2d(
  input: Tensor,
  normType: number,
  kernelSize: Sizes,
  options?: Pick<AvgPoolOptions, 'stride' | 'ceilMode'>,
): Tensor {
  return powerPool('lpPool2d', 2, input, normType, kernelSize, options)
}
