// The hearts of the losses over classes, one value a row; reductions are in functional/loss.ts.
//
// Cross entropy with class labels reads the logits at the label (a gather, which reports labels out of
// range) and never writes log-probabilities out: log Σ exp(x − max) − (x[label] − max).
// Every variant is Σ_c q_c·(−log p_c) for some target weights q, so there is one gradient: for the logits
// (Q·p − q)·G with Q = Σ_c q_c, in which the one-hot part is a comparison with positions, no scatter.
import { broadcastTo, composite, gather, type Node, reduce, reshape } from '../../graph/node.js'
import { add, along, eq, exp, log, mul, ne, neg, positions, sub, sum, where } from './math.js'
import { logSoftmax, shifted, softmax } from './softmax.js'

/** What selects the classes: labels int32 of x's shape without the class axis. */
export interface ClassTarget {
  readonly labels: Node
  /** Weight of each class, [C]. */
  readonly weight: Node | undefined
  /** Rows with this label count for nothing. */
  readonly ignoreIndex: number
}

/** Labels with a class axis of size 1; ignored ones read class 0 and are not valid. */
function indexOf({ labels, ignoreIndex }: ClassTarget, axis: number) {
  const shape = [...labels.shape.slice(0, axis), 1, ...labels.shape.slice(axis)]
  const wide = reshape(labels, shape)
  const valid = ne(wide, ignoreIndex)
  return { index: where(valid, wide, 0), valid }
}

/** The weight of each row, 0 where ignored; the class axis has size 1. */
export function rowWeights(target: ClassTarget, axis: number): Node {
  const { index, valid } = indexOf(target, axis)
  const { weight } = target
  if (weight === undefined) return where(valid, 1, 0)
  const table = index.shape.map((n, i) => (i === axis ? weight.shape[0] : n))
  const wide = broadcastTo(along(weight, axis, index.shape.length), table)
  return where(valid, gather(axis, wide, index), 0)
}

function argsOf(x: Node, target: ClassTarget): readonly Node[] {
  return target.weight ? [x, target.labels, target.weight] : [x, target.labels]
}

const withoutAxis = (x: Node, axis: number) => x.shape.map((n, i) => (i === axis ? 1 : n))

/** Cross entropy of each row, the class axis kept with size 1; `smoothing` mixes in the mean over classes. */
export function crossEntropyRows(
  x: Node,
  target: ClassTarget,
  axis: number,
  smoothing: number,
): Node {
  const rank = x.shape.length
  const classes = x.shape[axis]
  const { weight } = target
  const share = smoothing / classes
  const result = { shape: withoutAxis(x, axis), dtype: x.dtype }
  const attributes = `${axis}/${smoothing}/${target.ignoreIndex}/${weight !== undefined}`
  const sizes = () => (weight ? along(weight, axis, rank) : undefined)
  return composite('crossEntropy', attributes, argsOf(x, target), result, {
    expand: () => {
      const { index, valid } = indexOf(target, axis)
      const { centred, top } = shifted(x, axis)
      const total = log(sum(exp(centred), [axis]))
      let loss = sub(total, sub(gather(axis, x, index), top))
      if (weight) loss = mul(loss, rowWeights(target, axis))
      if (smoothing > 0) {
        const each = sub(total, centred)
        const mixed = sizes()
        const spread = sum(mixed ? mul(each, mixed) : each, [axis])
        loss = add(mul(loss, 1 - smoothing), mul(spread, share))
      }
      return where(valid, loss, 0)
    },
    gradient: (_, G) => {
      const { index, valid } = indexOf(target, axis)
      const here = eq(positions(classes, axis, rank), index)
      const given = where(valid, G, 0)
      const p = softmax(x, axis)
      if (!weight && smoothing === 0) return [mul(sub(p, where(here, 1, 0)), given)]
      const row = mul(rowWeights(target, axis), 1 - smoothing)
      const mixed = sizes()
      const even = mixed ? mul(mixed, share) : share
      const q = add(where(here, row, 0), even)
      const all = add(row, mixed ? sum(mul(mixed, share), [axis]) : smoothing)
      return [mul(sub(mul(p, all), q), given)]
    },
  })
}

/** Cross entropy with a distribution over classes for each row, of x's shape. */
export function softCrossEntropyRows(
  x: Node,
  target: Node,
  axis: number,
  weight: Node | undefined,
  smoothing: number,
): Node {
  const sizes = weight ? along(weight, axis, x.shape.length) : undefined
  const targets = () => {
    let q: Node = target
    if (smoothing > 0) q = add(mul(q, 1 - smoothing), smoothing / x.shape[axis])
    return sizes ? mul(q, sizes) : q
  }
  const args = weight ? [x, target, weight] : [x, target]
  const result = { shape: withoutAxis(x, axis), dtype: x.dtype }
  return composite(
    'softCrossEntropy',
    `${axis}/${smoothing}/${weight !== undefined}`,
    args,
    result,
    {
      expand: () => {
        const { centred } = shifted(x, axis)
        const total = log(sum(exp(centred), [axis]))
        return sum(mul(targets(), sub(total, centred)), [axis])
      },
      gradient: (_, G) => {
        const q = targets()
        const forLogits = mul(sub(mul(softmax(x, axis), sum(q, [axis])), q), G)
        const surprise = neg(logSoftmax(x, axis))
        const slope = mul(mul(surprise, G), 1 - smoothing)
        return [forLogits, sizes ? mul(slope, sizes) : slope]
      },
    },
  )
}

/** −x[label]·weight of each row of log-probabilities, the class axis kept with size 1. */
export function nllRows(x: Node, target: ClassTarget, axis: number): Node {
  const rank = x.shape.length
  const result = { shape: withoutAxis(x, axis), dtype: x.dtype }
  const attributes = `${axis}/${target.ignoreIndex}/${target.weight !== undefined}`
  return composite('nllLoss', attributes, argsOf(x, target), result, {
    expand: () => {
      const { index, valid } = indexOf(target, axis)
      const loss = neg(gather(axis, x, index))
      return where(valid, target.weight ? mul(loss, rowWeights(target, axis)) : loss, 0)
    },
    gradient: (_, G) => {
      const { index } = indexOf(target, axis)
      const here = eq(positions(x.shape[axis], axis, rank), index)
      return [where(here, neg(mul(G, rowWeights(target, axis))), 0)]
    },
  })
}

/** Every element summed to a scalar. */
export function total(x: Node): Node {
  return reduce(
    'sum',
    x.shape.map((_, i) => i),
    x,
  )
}
