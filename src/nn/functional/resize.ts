// Interpolation, and the movement between channels and space, with PyTorch's arguments.
//
// Nearest neighbours at whole ratios are repetition or slices; everything else picks a few elements a position with
// weights (nodes/resample.ts), one dimension after the other.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { expand, type Node, permute, reshape, view } from '../../graph/node.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { type Picks, resample } from '../nodes/resample.js'
import { floatNode, perDimension } from './checks.js'
import { adaptiveMean } from './pooling.js'

type Sizes = number | readonly number[]

/** Which elements a position of the result is made of. */
export type InterpolateMode =
  | 'nearest'
  | 'nearest-exact'
  | 'linear'
  | 'bilinear'
  | 'trilinear'
  | 'bicubic'
  | 'area'

/** Options of interpolate. */
export interface InterpolateOptions {
  /** The result's spatial size; or give scaleFactor. */
  readonly size?: Sizes
  readonly scaleFactor?: Sizes
  /** Default `nearest`. `linear`, `bilinear` and `trilinear` are for 1, 2 and 3 spatial dimensions. */
  readonly mode?: InterpolateMode
  /** Whether corners of input and result coincide; for the linear and cubic modes. */
  readonly alignCorners?: boolean
}

/** The spatial dimensions each mode is for; absent: any. */
const RANKS: { readonly [mode: string]: number } = {
  linear: 1,
  bilinear: 2,
  trilinear: 3,
  bicubic: 2,
}
const LINEAR = ['', 'linear', 'bilinear', 'trilinear']

/**
 * Resizes the spatial dimensions of input [N, C, d…] to `size`, or by `scaleFactor` (rounded down). Positions are
 * PyTorch's: element centres at i + ½, or with `alignCorners` the corners fixed. After
 * torch.nn.functional.interpolate; without antialiasing.
 * @throws BurnishError when mode and dimensions do not fit, or not exactly one of size and scaleFactor is given.
 */
export function interpolate(input: Tensor, options: InterpolateOptions): Tensor {
  const name = 'interpolate'
  const x = floatNode(input, name)
  const rank = x.shape.length - 2
  const { size, scaleFactor, mode = 'nearest', alignCorners = false } = options
  if (rank < 1 || rank > 3)
    fail(
      `${name}: the input ${showShape(x.shape)} must be [N, C, …] with 1 to 3 spatial dimensions`,
    )
  if (RANKS[mode] !== undefined && RANKS[mode] !== rank)
    fail(`${name}: mode ${mode} does not fit ${showShape(x.shape)}; use nearest or ${LINEAR[rank]}`)
  if (alignCorners && RANKS[mode] === undefined)
    fail(`${name}: alignCorners is for the linear and cubic modes, not for ${mode}`)
  if ((size === undefined) === (scaleFactor === undefined))
    fail(`${name}: give either size or scaleFactor`)
  const spatial = x.shape.slice(2)
  if (spatial.includes(0)) fail(`${name}: the input ${showShape(x.shape)} is empty`)
  const factors =
    typeof scaleFactor === 'number' ? spatial.map(() => scaleFactor) : (scaleFactor ?? [])
  const output = perDimension(
    size ?? spatial.map((n, d) => Math.floor(n * (factors[d] ?? Number.NaN))),
    rank,
    1,
    `${name}: size`,
  )
  if (mode === 'area') return fromNode(adaptiveMean(x, output), input)
  let node: Node = x
  for (let d = 0; d < rank; d++) {
    const count = output[d]
    const n = spatial[d]
    const ratio = Math.fround(
      alignCorners
        ? count > 1
          ? (n - 1) / (count - 1)
          : 0
        : factors[d] > 0
          ? 1 / factors[d]
          : n / count,
    )
    if (count === n && ratio === 1) continue
    const axis = 2 + d
    if (mode === 'nearest') node = nearest(node, axis, count, ratio)
    else node = resample(node, axis, picksOf(mode, n, count, ratio, alignCorners))
  }
  return fromNode(node, input)
}

/** Position i reads ⌊i·ratio⌋: a repetition or a slice where the ratio is whole. */
function nearest(x: Node, axis: number, count: number, ratio: number): Node {
  const size = x.shape[axis]
  const times = count / size
  if (Number.isInteger(times) && ratio === Math.fround(1 / times)) {
    const wide = reshape(x, [...x.shape.slice(0, axis + 1), 1, ...x.shape.slice(axis + 1)])
    const repeated = expand(
      wide,
      wide.shape.map((n, i) => (i === axis + 1 ? times : n)),
    )
    return reshape(
      repeated,
      x.shape.map((n, i) => (i === axis ? count : n)),
    )
  }
  if (Number.isInteger(ratio) && (count - 1) * ratio < size) {
    const shape = x.shape.map((n, i) => (i === axis ? count : n))
    const steps = shape.map((_, i) => (i === axis ? ratio : 1))
    return view({ type: 'slice', starts: shape.map(() => 0), steps, shape }, x)
  }
  return resample(x, axis, picksOf('nearest', size, count, ratio, false))
}

/** Keys' cubic with a = −0.75, as in PyTorch: the weights of the elements at −1, 0, 1, 2 for a part t. */
function cubic(t: number): readonly number[] {
  const a = -0.75
  const near = (d: number) => ((a + 2) * d - (a + 3)) * d * d + 1
  const far = (d: number) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
  return [far(t + 1), near(t), near(1 - t), far(2 - t)]
}

/** Which elements position i of `count` takes from `size`, computed in float32 steps as PyTorch does. */
function picksOf(
  mode: InterpolateMode,
  size: number,
  count: number,
  ratio: number,
  alignCorners: boolean,
): Picks {
  const inside = (element: number) => Math.min(Math.max(element, 0), size - 1)
  return Array.from({ length: count }, (_, i) => {
    if (mode === 'nearest') return [[inside(Math.floor(Math.fround(i * ratio))), 1]]
    if (mode === 'nearest-exact') return [[inside(Math.floor(Math.fround((i + 0.5) * ratio))), 1]]
    const at = Math.fround(alignCorners ? i * ratio : (i + 0.5) * ratio - 0.5)
    if (mode === 'bicubic') {
      const first = Math.floor(at)
      const merged = new Map<number, number>()
      cubic(at - first).forEach((w, k) => {
        const element = inside(first - 1 + k)
        merged.set(element, (merged.get(element) ?? 0) + w)
      })
      return [...merged]
    }
    const clamped = Math.max(at, 0)
    const low = inside(Math.floor(clamped))
    const part = Math.min(clamped - low, 1)
    const high = inside(low + 1)
    return part === 0 || high === low
      ? [[low, 1]]
      : [
          [low, 1 - part],
          [high, part],
        ]
  })
}

function factorOf(name: string, factor: number): number {
  if (!Number.isInteger(factor) || factor < 1)
    fail(`${name}: the factor is ${factor}, but must be a whole number from 1`)
  return factor
}

/** [.., C·r², H, W] → [.., C, H·r, W·r]: channels become pixels (Shi et al. 2016). */
export function pixelShuffle(input: Tensor, upscaleFactor: number): Tensor {
  const r = factorOf('pixelShuffle', upscaleFactor)
  const { shape } = input
  const rank = shape.length
  if (rank < 3 || shape[rank - 3] % (r * r) !== 0)
    fail(
      `pixelShuffle: the input ${showShape(shape)} must be [.., C, H, W] with channels a multiple of ${r}² = ${r * r}`,
    )
  const lead = shape.slice(0, rank - 3)
  const [c, h, w] = shape.slice(rank - 3)
  const at = lead.length
  const split = reshape(input.node, [...lead, c / (r * r), r, r, h, w])
  const order = [...lead.keys(), at, at + 3, at + 1, at + 4, at + 2]
  return fromNode(reshape(permute(split, order), [...lead, c / (r * r), h * r, w * r]), input)
}

/** [.., C, H·r, W·r] → [.., C·r², H, W]: the inverse of pixelShuffle. */
export function pixelUnshuffle(input: Tensor, downscaleFactor: number): Tensor {
  const r = factorOf('pixelUnshuffle', downscaleFactor)
  const { shape } = input
  const rank = shape.length
  if (rank < 3 || shape[rank - 2] % r !== 0 || shape[rank - 1] % r !== 0)
    fail(
      `pixelUnshuffle: the input ${showShape(shape)} must be [.., C, H, W] with height and width multiples of ${r}`,
    )
  const lead = shape.slice(0, rank - 3)
  const [c, h, w] = shape.slice(rank - 3)
  const at = lead.length
  const split = reshape(input.node, [...lead, c, h / r, r, w / r, r])
  const order = [...lead.keys(), at, at + 2, at + 4, at + 1, at + 3]
  return fromNode(reshape(permute(split, order), [...lead, c * r * r, h / r, w / r]), input)
}

/** [N, C, …] with the channels of `groups` groups interleaved (ShuffleNet). */
export function channelShuffle(input: Tensor, groups: number): Tensor {
  const [batch, channels, ...rest] = input.shape
  if (input.shape.length < 3 || !Number.isInteger(groups) || groups < 1 || channels % groups !== 0)
    fail(
      `channelShuffle: ${groups} groups do not divide the channels of ${showShape(input.shape)}, which is [N, C, …]`,
    )
  const split = reshape(input.node, [batch, groups, channels / groups, ...rest])
  const order = split.shape.map((_, i) => (i === 1 ? 2 : i === 2 ? 1 : i))
  return fromNode(reshape(permute(split, order), input.shape), input)
}
