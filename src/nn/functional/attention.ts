// Attention: which keys a query sees, and the mean of their values (Vaswani et al. 2017, section 3.2.1).
import { fail } from '../../base/errors.js'
import { broadcastShapes, sameShape, showShape } from '../../base/shape.js'
import { attend as attendTo, attentionWeights } from '../../graph/attention.js'
import { broadcastTo, type Node } from '../../graph/node.js'
import { rand } from '../../tensor/random.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { lt } from '../nodes/math.js'
import { floatNode } from './checks.js'

/** Which keys a query sees, and how scores are scaled. */
export interface AttentionOptions {
  /**
   * bool: true where a query may see a key; float: added to the scores. Broadcasts to [.., L, S], to which it adds no
   * dimension.
   */
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
  if (q.shape.length < 2 || k.shape.length < 2 || v.shape.length < 2)
    fail(`${name}: query, key and value are [.., length, features]`)
  const width = q.shape.at(-1) ?? 1
  if (width !== k.shape.at(-1) || k.shape.at(-2) !== v.shape.at(-2))
    fail(
      `${name}: query ${showShape(q.shape)}, key ${showShape(k.shape)}, value ${showShape(v.shape)}: query and key must have equal features, key and value equal length`,
    )
  const { masks = [], isCausal = false, dropoutP = 0, scale = 1 / Math.sqrt(width) } = options
  const lead = [q, k, v]
    .map((x) => x.shape.slice(0, -2))
    .reduce((a, b) => broadcastShapes(a, b, name))
  const scores = [...lead, q.shape[q.shape.length - 2], k.shape[k.shape.length - 2]] // [.., L, S]
  const shown = masks.map((mask) => {
    if (!sameShape(broadcastShapes(scores, mask.shape, `${name}: attnMask`), scores))
      fail(
        `${name}: the attnMask ${showShape(mask.shape)} must broadcast to the scores ${showShape(scores)}, [.., queries, keys]: slice the mask, or expand the query`,
      )
    return broadcastTo(
      mask.dtype === 'bool' ? mask.node : floatNode(mask, name, 'attnMask'),
      scores,
    )
  })
  if (!(dropoutP >= 0 && dropoutP <= 1))
    fail(`${name}: dropoutP is ${dropoutP}, but must be a probability`)
  const dropping =
    dropoutP > 0 && dropoutP < 1
      ? { keep: lt(rand(scores).node, 1 - dropoutP), kept: 1 / (1 - dropoutP) }
      : { kept: undefined }
  const attention = { scale, causal: isCausal, masks: shown, ...dropping }
  const wide = (x: Node) => broadcastTo(x, [...lead, ...x.shape.slice(-2)])
  const [queries, keys, values] = [wide(q), wide(k), wide(v)]
  const seen = fromNode(attendTo(queries, keys, values, attention), query, key, value, ...masks)
  const weights = fromNode(attentionWeights(queries, keys, values, attention), query, key, ...masks)
  return dropoutP === 1 ? { seen: seen.mul(0), weights: weights.mul(0) } : { seen, weights }
}
