// Convolutions and transposed convolutions in 1, 2 and 3 dimensions, with PyTorch's arguments.
//
// Each is one contraction straight from the input: padding, stride and dilation are its indices, groups one
// more axis. The bias is added behind it, where the compiler fuses it.
import { fail } from '../../base/errors.js'
import { type Shape, showShape } from '../../base/shape.js'
import { convSpec, convTransposeSpec } from '../../graph/contract.js'
import { contract, type Node, reshape } from '../../graph/node.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { add, along } from '../nodes/math.js'
import { by, floatNode, perDimension } from './checks.js'
import { padChecked } from './padding.js'

type Sizes = number | readonly number[]

/** Numbers count for all spatial dimensions; or give one for each. */
export interface ConvOptions {
  readonly stride?: Sizes
  /** Zeros on both sides; `same` keeps the size (stride 1), `valid` is 0. */
  readonly padding?: Sizes | 'same' | 'valid'
  readonly dilation?: Sizes
  /** Channels are split into groups that do not mix. */
  readonly groups?: number
  /** What the padding holds; default `zeros`. (In PyTorch an argument of the layers alone.) */
  readonly paddingMode?: 'zeros' | 'reflect' | 'replicate' | 'circular'
}

/** Numbers count for all spatial dimensions; or give one for each. */
export interface ConvTransposeOptions {
  readonly stride?: Sizes
  readonly padding?: Sizes
  /** Added to one side of the result's size. */
  readonly outputPadding?: Sizes
  readonly dilation?: Sizes
  readonly groups?: number
}

/** input [N, C, L], weight [O, C/groups, K], bias [O] → [N, O, L′] */
export function conv1d(
  input: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options?: ConvOptions,
): Tensor {
  return convolution('conv1d', 1, input, weight, bias, options)
}

/**
 * 2-d convolution (cross-correlation): input [N, C, H, W], weight [O, C/groups, KH, KW], bias [O] →
 * [N, O, H′, W′] with H′ = ⌊(H + 2·padding − dilation·(KH − 1) − 1) / stride⌋ + 1. After torch.nn.functional.conv2d.
 * @throws BurnishError when channels do not match or the kernel is larger than the padded input.
 */
export function conv2d(
  input: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options?: ConvOptions,
): Tensor {
  return convolution('conv2d', 2, input, weight, bias, options)
}

/** input [N, C, D, H, W], weight [O, C/groups, KD, KH, KW], bias [O] → [N, O, D′, H′, W′] */
export function conv3d(
  input: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options?: ConvOptions,
): Tensor {
  return convolution('conv3d', 3, input, weight, bias, options)
}

/** input [N, C, L], weight [C, O/groups, K], bias [O] → [N, O, L′]: see convTranspose2d. */
export function convTranspose1d(
  input: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options?: ConvTransposeOptions,
): Tensor {
  return transposedConvolution('convTranspose1d', 1, input, weight, bias, options)
}

/**
 * The adjoint of a convolution: input [N, C, H, W], weight [C, O/groups, KH, KW], bias [O] → [N, O, H′, W′]
 * with H′ = (H − 1)·stride − 2·padding + dilation·(KH − 1) + outputPadding + 1.
 */
export function convTranspose2d(
  input: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options?: ConvTransposeOptions,
): Tensor {
  return transposedConvolution('convTranspose2d', 2, input, weight, bias, options)
}

/** input [N, C, D, H, W], weight [C, O/groups, KD, KH, KW], bias [O] → [N, O, D′, H′, W′]: see convTranspose2d. */
export function convTranspose3d(
  input: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options?: ConvTransposeOptions,
): Tensor {
  return transposedConvolution('convTranspose3d', 3, input, weight, bias, options)
}

const LAYOUT = ['', '[N, C, L]', '[N, C, H, W]', '[N, C, D, H, W]']

/** The input with a batch dimension, checked against weight and bias. */
function batched(name: string, rank: number, input: Tensor, weight: Tensor): Node {
  const x = floatNode(input, name)
  if (weight.shape.length !== rank + 2)
    fail(
      `${name}: the weight ${showShape(weight.shape)} has ${weight.shape.length} dimensions, but needs ${rank + 2}`,
    )
  if (x.shape.length === rank + 1) return reshape(x, [1, ...x.shape])
  if (x.shape.length !== rank + 2)
    fail(
      `${name}: the input ${showShape(x.shape)} has ${x.shape.length} dimensions, but needs ${rank + 2}, ${LAYOUT[rank]} (or ${rank + 1} without N); use unsqueeze or reshape`,
    )
  return x
}

function channelHint(input: Tensor, channels: number, rank: number): string {
  return input.shape.length === rank + 1 && channels === 1
    ? `; if these are ${input.shape[0]} inputs without a channel dimension, use unsqueeze(1)`
    : ''
}

function checkBias(name: string, bias: Tensor | undefined, outputs: number): void {
  if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== outputs))
    fail(
      `${name}: the bias has shape ${showShape(bias.shape)}, but must be [${outputs}], one a channel`,
    )
}

function withBias(x: Node, bias: Tensor | undefined, name: string): Node {
  return bias === undefined ? x : add(x, along(floatNode(bias, name, 'bias'), 1, x.shape.length))
}

function convolution(
  name: string,
  rank: number,
  input: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  options: ConvOptions = {},
): Tensor {
  let x = batched(name, rank, input, weight)
  const w = floatNode(weight, name, 'weight')
  const { groups = 1, paddingMode = 'zeros' } = options
  const [outputs, inner] = w.shape
  const kernel = w.shape.slice(2)
  const stride = perDimension(options.stride ?? 1, rank, 1, `${name}: stride`)
  const dilation = perDimension(options.dilation ?? 1, rank, 1, `${name}: dilation`)
  const channels = x.shape[1]
  checkGroups(name, groups, channels, outputs)
  if (channels !== inner * groups)
    fail(
      `${name}: the input ${showShape(input.shape)} has ${channels} channels, but the weight ${showShape(w.shape)} takes ${inner * groups}${groups > 1 ? ` (${groups} groups of ${inner})` : ''}: use inChannels ${channels}, or an input of ${inner * groups} channels${channelHint(input, inner * groups, rank)}`,
    )
  checkBias(name, bias, outputs)
  let sides = sidesOf(name, options.padding ?? 0, { kernel, dilation, stride, rank })
  if (paddingMode !== 'zeros') {
    for (let d = rank - 1; d >= 0; d--)
      x = padChecked(name, x, 2 + d, sides.low[d], sides.high[d], paddingMode)
    const none = kernel.map(() => 0)
    sides = { low: none, high: none }
  }
  const spatial = x.shape.slice(2)
  const output = spatial.map((n, d) => {
    const room = n + sides.low[d] + sides.high[d] - dilation[d] * (kernel[d] - 1) - 1
    if (room < 0) tooLarge(name, input.shape, kernel, sides.low, dilation)
    return Math.floor(room / stride[d]) + 1
  })
  const sizes = {
    batch: x.shape[0],
    groups,
    inChannels: inner,
    outChannels: outputs / groups,
    kernel,
    stride,
    padding: sides.low,
    dilation,
    output,
  }
  const product = contract(
    convSpec(sizes),
    groups > 1 ? reshape(x, [x.shape[0], groups, inner, ...spatial]) : x,
    groups > 1 ? reshape(w, [groups, outputs / groups, inner, ...kernel]) : w,
  )
  const joined = reshape(product, [x.shape[0], outputs, ...output])
  return finish(joined, input, weight, bias, name, rank)
}

function transposedConvolution(
  name: string,
  rank: number,
  input: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  options: ConvTransposeOptions = {},
): Tensor {
  const x = batched(name, rank, input, weight)
  const w = floatNode(weight, name, 'weight')
  const { groups = 1 } = options
  const [inputs, outer] = w.shape
  const kernel = w.shape.slice(2)
  const stride = perDimension(options.stride ?? 1, rank, 1, `${name}: stride`)
  const padding = perDimension(options.padding ?? 0, rank, 0, `${name}: padding`)
  const extra = perDimension(options.outputPadding ?? 0, rank, 0, `${name}: outputPadding`)
  const dilation = perDimension(options.dilation ?? 1, rank, 1, `${name}: dilation`)
  const channels = x.shape[1]
  checkGroups(name, groups, channels, outer * groups)
  if (channels !== inputs)
    fail(
      `${name}: the input ${showShape(input.shape)} has ${channels} channels, but the weight ${showShape(w.shape)} takes ${inputs}: use inChannels ${channels}, or an input of ${inputs} channels${channelHint(input, inputs, rank)}`,
    )
  checkBias(name, bias, outer * groups)
  const spatial = x.shape.slice(2)
  const output = spatial.map((n, d) => {
    if (extra[d] >= Math.max(stride[d], dilation[d]))
      fail(
        `${name}: outputPadding ${extra[d]} must be smaller than stride ${stride[d]} or dilation ${dilation[d]}`,
      )
    const size = (n - 1) * stride[d] - 2 * padding[d] + dilation[d] * (kernel[d] - 1) + extra[d] + 1
    if (size < 1)
      fail(
        `${name}: an input of ${by(spatial)} gives nothing with kernel ${by(kernel)} and padding ${by(padding)}: use less padding`,
      )
    return size
  })
  const sizes = {
    batch: x.shape[0],
    groups,
    inChannels: inputs / groups,
    outChannels: outer,
    kernel,
    stride,
    padding,
    dilation,
    output,
  }
  const product = contract(
    convTransposeSpec(sizes),
    groups > 1 ? reshape(x, [x.shape[0], groups, inputs / groups, ...spatial]) : x,
    groups > 1 ? reshape(w, [groups, inputs / groups, outer, ...kernel]) : w,
  )
  const joined = reshape(product, [x.shape[0], outer * groups, ...output])
  return finish(joined, input, weight, bias, name, rank)
}

function finish(
  product: Node,
  input: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  name: string,
  rank: number,
): Tensor {
  const result = withBias(product, bias, name)
  const unbatched = input.shape.length === rank + 1
  return fromNode(unbatched ? reshape(result, result.shape.slice(1)) : result, input, weight, bias)
}

function checkGroups(name: string, groups: number, inputs: number, outputs: number): void {
  if (!Number.isInteger(groups) || groups < 1 || inputs % groups !== 0 || outputs % groups !== 0)
    fail(
      `${name}: ${groups} groups must divide both the ${inputs} input channels and the ${outputs} output channels`,
    )
}

function sidesOf(
  name: string,
  padding: Sizes | 'same' | 'valid',
  sizes: {
    readonly kernel: readonly number[]
    readonly dilation: readonly number[]
    readonly stride: readonly number[]
    readonly rank: number
  },
): { low: readonly number[]; high: readonly number[] } {
  if (padding === 'same') {
    if (sizes.stride.some((s) => s !== 1))
      fail(`${name}: padding 'same' needs stride 1, not ${by(sizes.stride)}; give numbers`)
    const both = sizes.kernel.map((k, d) => sizes.dilation[d] * (k - 1))
    const low = both.map((n) => Math.floor(n / 2))
    return { low, high: both.map((n, d) => n - low[d]) }
  }
  const low = perDimension(padding === 'valid' ? 0 : padding, sizes.rank, 0, `${name}: padding`)
  return { low, high: low }
}

/** The sentence for a kernel that does not fit, used by convolutions and pools. */
export function tooLarge(
  name: string,
  shape: Shape,
  kernel: readonly number[],
  padding: readonly number[],
  dilation: readonly number[],
): never {
  const spatial = shape.slice(shape.length - kernel.length)
  const reach = kernel.map((k, d) => dilation[d] * (k - 1) + 1)
  const reaches = reach.some((n, d) => n !== kernel[d]) ? ` reaching over ${by(reach)}` : ''
  const needed = Math.max(...reach.map((n, d) => Math.ceil((n - spatial[d]) / 2)))
  fail(
    `${name}: a kernel of ${by(kernel)}${reaches} is larger than the input ${showShape(shape)} of ${by(spatial)} with padding ${by(padding)}: use a smaller kernel, or padding ${needed} or more`,
  )
}
