// Normalisation: (x − mean) / √(variance + ε) over some axes, two passes over the row: first the mean,
// then the mean of squared distances from it, which cannot come out negative.
//
// Its gradient, with y the result and m(·) the mean over the axes: (G − m(G) − y·m(G·y)) / √(variance + ε).
// Batch normalisation has its scale and shift inside, so that both passes over G serve every gradient.
import { composite, map, type Node, reduce } from '../../graph/node.js'
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
      const forBias = reduce('sum', axes, G)
      const forWeight = reduce('sum', axes, mul(G, y))
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
