// Attention as composites: softmax(scale·q·kᵀ + masks)·v, the logarithm of its sums, and the gradients of both operands
// and values, each with its definition in other nodes. (Vaswani et al. 2017; the gradient's form: Dao 2023,
// "FlashAttention-2".)
//
// The definitions build the whole matrix of scores. The compiler need not: it knows these composites (compiler/
// attention.ts), and computes them by blocks of queries. Second derivatives are those of the definitions.
//
// Shapes: queries [batch…, L, E], keys [batch…, S, E], values [batch…, S, V], masks and what is kept [batch…, L, S].
import { invariant } from '../base/errors.js'
import { type Shape, sameShape } from '../base/shape.js'
import { makeContract, plain } from './contract.js'
import {
  type CompositeNode,
  composite,
  constant,
  contract,
  expand,
  inPlaceOf,
  iota,
  map,
  type Node,
  permute,
  reduce,
  reshape,
} from './node.js'

/** What of the attention: its result, log Σ exp of each row of scores, or the gradient of an operand. */
export type AttentionRole = 'seen' | 'logSum' | 'query' | 'key' | 'value'

export interface Attention {
  readonly scale: number
  /** Each query sees the keys up to its own position. */
  readonly causal: boolean
  /** What weights that are not dropped are multiplied by; undefined: none is dropped. */
  readonly kept: number | undefined
}

/**
 * Arguments: query, key, value, masks, what is kept (bool); for gradients also logSum, seen, and the gradient of seen.
 */
export interface AttentionNode extends CompositeNode {
  readonly attention: Attention & { readonly role: AttentionRole }
}

export function isAttention(node: Node): node is AttentionNode {
  return node.kind === 'composite' && 'attention' in node
}

export interface AttentionParts {
  readonly query: Node
  readonly key: Node
  readonly value: Node
  /** bool: where it is false, a key is hidden. float32: added to the scores. */
  readonly masks: readonly Node[]
  readonly keep: Node | undefined
  /** Of a gradient. */
  readonly logSum?: Node
  readonly seen?: Node
  readonly G?: Node
}

export function attentionParts({ args, attention }: AttentionNode): AttentionParts {
  const backward = attention.role !== 'seen' && attention.role !== 'logSum'
  const front = backward ? args.slice(0, -3) : args
  const masks = attention.kept === undefined ? front.slice(3) : front.slice(3, -1)
  const [query, key, value] = front
  const keep = attention.kept === undefined ? undefined : front.at(-1)
  if (!backward) return { query, key, value, masks, keep }
  const [logSum, seen, G] = args.slice(-3)
  return { query, key, value, masks, keep, logSum, seen, G }
}

/** [batch…, L, V]: for each query the mean of the values, weighted by the softmax of its scores. */
export function attend(
  query: Node,
  key: Node,
  value: Node,
  attention: Attention & { readonly masks: readonly Node[]; readonly keep?: Node },
): Node {
  const { scale, causal, kept, masks, keep } = attention
  invariant((kept === undefined) === (keep === undefined), () => 'what is kept, and how much')
  const args = [query, key, value, ...masks, ...(keep ? [keep] : [])]
  return asGiven(attentionOf({ scale, causal, kept, role: 'seen' }, args))
}

/** The weights of the keys [batch…, L, S], after what is dropped. */
export function attentionWeights(
  query: Node,
  key: Node,
  value: Node,
  attention: Attention & { readonly masks: readonly Node[]; readonly keep?: Node },
): Node {
  const { keep } = attention
  return dropped(softmax(scoresOf({ query, key, value, ...attention, keep }, attention)), {
    keep,
    kept: attention.kept,
  })
}

function attentionOf(attention: AttentionNode['attention'], args: readonly Node[]): AttentionNode {
  const { role, scale, causal, kept } = attention
  const of: Node = args[role === 'key' ? 1 : role === 'query' ? 0 : 2]
  const [query] = args
  const length = query.shape.slice(0, -1)
  const shape =
    role === 'logSum'
      ? length
      : stored(role === 'seen' ? [...length, of.shape[of.shape.length - 1]] : of.shape)
  const node = composite(
    'attention',
    `${role} ${scale} ${causal} ${kept} ${args.length}`,
    args,
    { shape, dtype: 'float32' },
    {
      expand: () => definition(attentionParts(self), attention),
      over: (others) => attentionOf(attention, others),
      ...(role === 'seen' ? { gradient } : {}),
    },
  )
  const self: AttentionNode = { ...node, attention }
  return self
}

// Results lie with their positions before all but the first of the batch's axes: heads [N, L, H, E], which is the order
// in which what follows joins the heads, and where projections leave them.

/** The axis of what is given (batch…, position, feature) that is axis i of a stored result. */
export function storedOrder(rank: number): number[] {
  if (rank < 4) return Array.from({ length: rank }, (_, i) => i)
  const between = Array.from({ length: rank - 3 }, (_, i) => i + 1)
  return [0, rank - 2, ...between, rank - 1]
}

const stored = (shape: Shape): Shape => storedOrder(shape.length).map((axis) => shape[axis])
const asStored = (x: Node): Node => permute(x, storedOrder(x.shape.length))

function asGiven(x: Node): Node {
  const rank = x.shape.length
  const to = storedOrder(rank)
  return permute(
    x,
    to.map((_, i) => to.indexOf(i)),
  )
}

function gradient(node: Node, G: Node): readonly (Node | undefined)[] {
  invariant(isAttention(node), () => 'the gradient of something else than attention')
  const { attention, args } = node
  const parts = attentionParts(node)
  const logSum = attentionOf({ ...attention, role: 'logSum' }, args)
  const all = [...args, logSum, node, G]
  const of = (role: 'query' | 'key' | 'value') => asGiven(attentionOf({ ...attention, role }, all))
  const others = args.slice(3)
  const scores = others.some((mask) => mask.dtype === 'float32')
    ? scoresGradient({ ...parts, seen: node, G }, attention)
    : undefined
  return [
    of('query'),
    of('key'),
    of('value'),
    ...others.map((mask) => (mask.dtype === 'float32' ? scores : undefined)),
  ]
}

// ---- definitions ----

function definition(parts: AttentionParts, attention: AttentionNode['attention']): Node {
  const { query, key, value } = parts
  switch (attention.role) {
    case 'seen': {
      const weights = dropped(softmax(scoresOf(parts, attention)), { ...attention, ...parts })
      return asStored(product(weights, 'row', value, 'row'))
    }
    case 'logSum': {
      const scores = scoresOf(parts, attention)
      const top = reduce('max', [scores.shape.length - 1], scores)
      const sum = reduce(
        'sum',
        [scores.shape.length - 1],
        map('exp', map('sub', scores, along(top, scores.shape))),
      )
      return map('add', top, map('log', sum))
    }
    case 'query':
      return asStored(
        scaled(product(scoresGradient(parts, attention), 'row', key, 'row'), attention),
      )
    case 'key':
      return asStored(
        scaled(product(scoresGradient(parts, attention), 'column', query, 'row'), attention),
      )
    case 'value': {
      const weights = dropped(forwardOf(parts, attention), { ...attention, ...parts })
      return asStored(product(weights, 'column', incoming(parts), 'row'))
    }
  }
}

const numberLike = (x: Node, value: number): Node => constant(value, 'float32', x.shape)
const scaled = (x: Node, { scale }: Attention): Node => map('mul', x, numberLike(x, scale))

/** A value a row, [batch…, L], at each of its keys. */
function along(row: Node, shape: Shape): Node {
  return expand(reshape(row, [...row.shape, 1]), shape)
}

/** [batch…, L, S]: scaled, and masked. */
function scoresOf({ query, key, masks }: AttentionParts, attention: Attention): Node {
  let scores = scaled(product(query, 'row', key, 'column'), attention)
  const hidden = numberLike(scores, -Infinity)
  const { shape } = scores
  if (attention.causal) {
    const earlier = map('le', iota(shape, shape.length - 1), iota(shape, shape.length - 2))
    scores = map('where', earlier, scores, hidden)
  }
  for (const mask of masks) {
    invariant(sameShape(mask.shape, shape), () => 'a mask of other than all scores')
    scores = mask.dtype === 'bool' ? map('where', mask, scores, hidden) : map('add', scores, mask)
  }
  return scores
}

function softmax(scores: Node): Node {
  const last = scores.shape.length - 1
  const top = reduce('max', [last], scores)
  const e = map('exp', map('sub', scores, along(top, scores.shape)))
  return map('div', e, along(reduce('sum', [last], e), scores.shape))
}

function dropped(
  weights: Node,
  { keep, kept }: { readonly keep: Node | undefined; readonly kept: number | undefined },
): Node {
  if (keep === undefined || kept === undefined) return weights
  return map('where', keep, map('mul', weights, numberLike(weights, kept)), numberLike(weights, 0))
}

function incoming({ G }: AttentionParts): Node {
  invariant(G !== undefined, () => 'a gradient without one that comes in')
  return asGiven(G)
}

/** P as the forward pass has it: with its label, so that it is the same nodes, also where that is computed again. */
function forwardOf(parts: AttentionParts, attention: Attention): Node {
  const build = () => softmax(scoresOf(parts, attention))
  return parts.seen ? inPlaceOf(parts.seen, build) : build()
}

/** Of the scores after scaling: P∘(dP − Σ dP∘P), with what is dropped in dP. */
function scoresGradient(parts: AttentionParts, attention: Attention): Node {
  const P = forwardOf(parts, attention)
  const dP = dropped(product(incoming(parts), 'row', parts.value, 'column'), {
    ...attention,
    ...parts,
  })
  const sum = reduce('sum', [P.shape.length - 1], map('mul', dP, P))
  return map('mul', P, map('sub', dP, along(sum, P.shape)))
}

/** [batch…, m, k]·[batch…, k, n]; an operand taken as a column has its last two axes in the other order. */
function product(a: Node, aTaken: 'row' | 'column', b: Node, bTaken: 'row' | 'column'): Node {
  const r = a.shape.length - 2
  const lead = Array.from({ length: r }, (_, i) => plain(i))
  const [m, k] = aTaken === 'row' ? [a.shape[r], a.shape[r + 1]] : [a.shape[r + 1], a.shape[r]]
  const n = bTaken === 'row' ? b.shape[r + 1] : b.shape[r]
  const pair = (first: number, second: number, turned: boolean) =>
    turned ? [plain(second), plain(first)] : [plain(first), plain(second)]
  const spec = makeContract({
    extents: [...a.shape.slice(0, r), m, n, k],
    rank: r + 2,
    a: [...lead, ...pair(r, r + 2, aTaken === 'column')],
    b: [...lead, ...pair(r + 2, r + 1, bTaken === 'column')],
  })
  return contract(spec, a, b)
}
