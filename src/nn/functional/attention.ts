// Attention: which keys a query sees, and the mean of their values (Vaswani et al. 2017, section 3.2.1).
import { fail } from '../../base/errors.js'
import { broadcastShapes, sameShape, showShape } from '../../base/shape.js'
import { type Node, permute } from '../../graph/node.js'
import { matmul } from '../../tensor/matmul.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { add, le, mul, positions, where } from '../nodes/math.js'
import { softmax } from '../nodes/softmax.js'
import { floatNode } from './checks.js'
import { dropout } from './dropout.js'

/** Which keys a query sees, and how scores are scaled. */
export interface AttentionOptions {
  /** bool: true where a query may see a key; float: added to the scores. Broadcasts to [.., L, S], to which it adds no dimension. */
  readonly attnMask?: Tensor
  /** Each query sees the keys up to its own position. */
  readonly isCausal?: boolean
  readonly dropoutP?: number
  /** Default 1/√E. */
  readonly scale?: number
}

/** Attention under several masks, each as `AttentionOptions.attnMask`. */
export interface AttendOptions extends Omit<AttentionOptions, 'attnMask'> {
  readonly masks?: readonly Tensor[]
}

/**
 * softmax(query·keyᵀ·scale + mask)·value: query [.., L, E], key [.., S, E], value [.., S, V] → [.., L, V].
 * A query that may see no key gets NaN. After torch.nn.functional.scaled_dot_product_attention.
 */
export function scaledDotProductAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  { attnMask, ...options }: AttentionOptions = {},
): Tensor {
  const masks = attnMask === undefined ? [] : [attnMask]
  return attend('scaledDotProductAttention', query, key, value, { ...options, masks }).seen
}

/** What each query sees [.., L, V], and the weights of the keys [.., L, S], after dropout. */
export function attend(
  name: string,
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: AttendOptions,
): { readonly seen: Tensor; readonly weights: Tensor } {
  const q = floatNode(query, name, 'query')
  const k = floatNode(key, name, 'key')
  const v = floatNode(value, name, 'value')
  const rank = k.shape.length
  if (q.shape.length < 2 || rank < 2 || v.shape.length < 2)
    fail(`${name}: query, key and value are [.., length, features]`)
  const width = q.shape.at(-1) ?? 1
  if (width !== k.shape.at(-1) || k.shape.at(-2) !== v.shape.at(-2))
    fail(
      `${name}: query ${showShape(q.shape)}, key ${showShape(k.shape)}, value ${showShape(v.shape)}: query and key must have equal features, key and value equal length`,
    )
  const { masks = [], isCausal = false, dropoutP = 0, scale = 1 / Math.sqrt(width) } = options
  const turned = permute(
    k,
    k.shape.map((_, i) => (i < rank - 2 ? i : i === rank - 2 ? rank - 1 : rank - 2)),
  )
  let scores = mul(matmul(q, turned), scale) // [.., L, S]
  const last = scores.shape.length - 1
  if (isCausal) scores = where(before(scores), scores, -Infinity)
  for (const mask of masks) {
    if (!sameShape(broadcastShapes(scores.shape, mask.shape, `${name}: attnMask`), scores.shape))
      fail(
        `${name}: the attnMask ${showShape(mask.shape)} must broadcast to the scores ${showShape(scores.shape)}, [.., queries, keys]: slice the mask, or expand the query`,
      )
    scores =
      mask.dtype === 'bool'
        ? where(mask.node, scores, -Infinity)
        : add(scores, floatNode(mask, name, 'attnMask'))
  }
  const sharp = fromNode(softmax(scores, last), query, key, ...masks)
  const weights = dropoutP > 0 ? dropout(sharp, { p: dropoutP }) : sharp
  return { seen: fromNode(matmul(weights.node, v), weights, value), weights }
}

/** Where a key is not after its query, in the scores' last two dimensions. */
function before(scores: Node): Node {
  const last = scores.shape.length - 1
  const row = positions(scores.shape[last - 1], last - 1, last + 1)
  const column = positions(scores.shape[last], last, last + 1)
  return le(column, row)
}
