// Normalisation: (x − mean) / √(variance + ε) over some axes, two passes over the row: first the mean,
// then the mean of squared distances from it, which cannot come out negative.
//
// Its gradient, with y the result and m(·) the mean over the axes: (G − m(G) − y·m(G·y)) / √(variance + ε).
// Batch normalisation has its scale and shift inside, so that both passes over G serve every gradient.
import { composite, map, type Node, reduce, reshape } from '../../graph/node.js'
import { add, along, div, mean, mul, square, sub } from './math.js'

/** Mean and variance over some axes. */
export interface Moments {
  /** With the reduced axes kept, of size 1. */
  readonly mean: Node
  /** Divided by the number of elements. */
  readonly variance: Node
  readonly centred: Node
}

/** Mean, variance and distances from the mean, in two passes. */
export function moments(x: Node, axes: readonly number[]): Moments {
  const average = mean(x, axes)
  const centred = sub(x, average)
  return { mean: average, variance: mean(square(centred), axes), centred }
}

/** Pixels of a block: with some vectors of channels, they stay in a second-level cache. */
const BLOCK = 1024
/** Pixels from which blocks pay. */
const LEAST_BLOCK = 16

/**
 * Mean and variance of each channel of x [N, C, spatial…], read from memory once: of each block of an image the sum,
 * and the squared distances from the block's own mean while a cache holds it; then those of the blocks' means are added
 * (Chan, Golub and LeVeque 1983).
 */
export function channelMoments(x: Node): Moments {
  const { shape } = x
  const [batch, channels, height = 1, ...rest] = shape
  const width = rest.reduce((product, n) => product * n, 1)
  const axes = channelAxes(shape.length)
  const rows = largestDivisor(height, Math.floor(BLOCK / width))
  const blocks = height / rows
  if (height * width < LEAST_BLOCK || batch * blocks === 1) return moments(x, axes)
  const pixels = rows * width
  const blocked = reshape(x, [batch, channels, blocks, pixels])
  const averages = div(reduce('sum', [3], blocked), pixels)
  const from = reshape(averages, [...averages.shape, 1])
  const squares = reduce('sum', [3], square(sub(blocked, from)))
  const average = div(reduce('sum', [0, 2], averages), batch * blocks)
  const apart = reduce('sum', [0, 2], square(sub(averages, along(average, 1, 3))))
  const total = add(reduce('sum', [0, 2], squares), mul(apart, pixels))
  const kept = shape.map((_, i) => (i === 1 ? channels : 1))
  const wide = reshape(average, kept)
  return {
    mean: wide,
    variance: reshape(div(total, batch * height * width), kept),
    centred: sub(x, wide),
  }
}

function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, most); d > 1; d--) if (n % d === 0) return d
  return 1
}

/** The sum of each channel: of each image, then of the batch. */
function channelSum(x: Node): Node {
  const spatial = channelAxes(x.shape.length).slice(1)
  if (spatial.length === 0) return reduce('sum', [0], x)
  return reduce('sum', [0], reduce('sum', spatial, x))
}

/** 1 / √(variance + ε) */
export const inverseRoot = (variance: Node, eps: number): Node =>
  div(1, map('sqrt', add(variance, eps)))

/** (x − mean) / √(variance + ε) over the axes. */
export function normalize(x: Node, axes: readonly number[], eps: number): Node {
  const parts = moments(x, axes)
  const scale = inverseRoot(parts.variance, eps)
  const normal = () => mul(parts.centred, scale)
  return composite('normalize', `${axes}/${eps}`, [x], x, {
    expand: normal,
    gradient: (_, G) => {
      const y = normal()
      return [mul(scale, sub(sub(G, mean(G, axes)), mul(y, mean(mul(G, y), axes))))]
    },
  })
}

/** x / √(mean of squares + ε); its gradient, with y the result: (G − y·m(G·y)) / √(…). */
export function rootMeanSquare(x: Node, axes: readonly number[], eps: number): Node {
  const scale = inverseRoot(mean(square(x), axes), eps)
  const normal = () => mul(x, scale)
  return composite('rootMeanSquare', `${axes}/${eps}`, [x], x, {
    expand: normal,
    gradient: (_, G) => {
      const y = normal()
      return [mul(scale, sub(G, mul(y, mean(mul(G, y), axes))))]
    },
  })
}

/** Normalisation of each channel (axis 1) over all other axes, then weight·y + bias of shape [channels]. */
export function batchNormalize(
  x: Node,
  weight: Node,
  bias: Node,
  eps: number,
  parts: Moments,
): Node {
  const rank = x.shape.length
  const axes = channelAxes(rank)
  const scale = inverseRoot(parts.variance, eps)
  const wide = along(weight, 1, rank)
  return composite('batchNorm', `${eps}`, [x, weight, bias], x, {
    expand: () => add(mul(parts.centred, mul(scale, wide)), along(bias, 1, rank)),
    gradient: (_, G) => {
      const y = mul(parts.centred, scale)
      const count = axes.reduce((product, axis) => product * x.shape[axis], 1)
      const forBias = channelSum(G)
      const forWeight = channelSum(mul(G, y))
      const ofMean = along(div(forBias, count), 1, rank)
      const ofSlope = along(div(forWeight, count), 1, rank)
      const forInput = mul(mul(scale, wide), sub(sub(G, ofMean), mul(y, ofSlope)))
      return [forInput, forWeight, forBias]
    },
  })
}

/** All axes but the channels'. */
export function channelAxes(rank: number): number[] {
  return Array.from({ length: rank }, (_, i) => i).filter((axis) => axis !== 1)
}
