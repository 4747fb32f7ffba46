// Which attention is computed by blocks of queries, and the loops around it: see attention-kernel.ts. What is small is
// left to its definition (graph/attention.ts), whose matrix of scores is small too.
import { type AttentionNode, attentionParts, isAttention, storedOrder } from '../graph/attention.js'
import type { CompositeNode, Node } from '../graph/node.js'
import { type Access, accessesOf, Unfoldable } from './access.js'
import { createDomain, type Domain, settleWith } from './group.js'
import type { Affine, Variable } from './kernel.js'
import type { Machine } from './program.js'

/** Queries, and pairs of a query and a key, from which blocks pay. */
const LEAST_QUERIES = 8
const LEAST_PAIRS = 512

export interface Sizes {
  readonly batch: readonly number[]
  readonly queries: number
  readonly keys: number
  /** Features of queries and keys, and of values. */
  readonly features: number
  readonly width: number
}

export function sizesOf(node: AttentionNode): Sizes {
  const { query, key, value } = attentionParts(node)
  const rank = query.shape.length
  return {
    batch: query.shape.slice(0, rank - 2),
    queries: query.shape[rank - 2],
    keys: key.shape[rank - 2],
    features: query.shape[rank - 1],
    width: value.shape[rank - 1],
  }
}

/** Whether the compiler computes it as one, without its definition. */
export function isBlocked(node: CompositeNode, machine: Machine): node is AttentionNode {
  if (!isAttention(node)) return false
  const { queries, keys, features, width } = sizesOf(node)
  const wide = queries >= LEAST_QUERIES && keys >= machine.lanes && features > 1 && width > 1
  return wide && queries * keys >= LEAST_PAIRS
}

/** Gradients are computed together, and so are the result and the logarithm of its sums. */
export function isBackward({ attention: { role } }: AttentionNode): boolean {
  return role !== 'seen' && role !== 'logSum'
}

export function belongTogether(a: AttentionNode, b: AttentionNode): boolean {
  const [x, y] = [a.attention, b.attention]
  return (
    isBackward(a) === isBackward(b) &&
    x.scale === y.scale &&
    x.causal === y.causal &&
    x.kept === y.kept &&
    a.args.length === b.args.length &&
    a.args.every((arg, i) => arg === b.args[i])
  )
}

/** Masks and what is kept are computed where they are read, score by score. */
export function isRead(user: Node, arg: Node): boolean {
  if (!isAttention(user)) return false
  const { masks, keep } = attentionParts(user)
  return (masks.includes(arg) || arg === keep) && !operandsOf(user).includes(arg)
}

/** The operands that lie in memory. */
export function operandsOf(node: AttentionNode): Node[] {
  const { query, key, value, logSum, seen, G } = attentionParts(node)
  return [query, key, value, logSum, seen, G].filter((part) => part !== undefined)
}

/** A loop variable for each axis but the batch's, whose index may be of several. */
export interface AttentionDomain {
  readonly domain: Domain
  readonly batch: readonly Affine[]
  readonly query: Variable
  readonly key: Variable
  readonly feature: Variable
  readonly column: Variable
  readonly accesses: readonly Access[]
}

/** Where each operand is read. Throws Unfoldable when a view must be computed first. */
export function attentionDomain(
  node: AttentionNode,
  inMemory: (node: Node) => boolean,
): AttentionDomain {
  const { batch, queries, keys, features, width } = sizesOf(node)
  const domain = createDomain([...batch, queries, keys, features, width], [])
  const rank = batch.length
  const fixed = new Set(domain.index.slice(rank).flatMap(({ terms }) => terms.map(([v]) => v.id)))
  const parts = attentionParts(node)
  const accesses = settleWith(domain, () => {
    const lead = domain.index.slice(0, rank)
    const [q, s, e, v] = domain.index.slice(rank)
    const read = (part: Node | undefined, at: readonly Affine[]): Access[] => {
      if (part === undefined) return []
      if (inMemory(part)) return [{ node: part, index: at, inside: [] }]
      try {
        return accessesOf(part, at, domain.space, inMemory)
      } catch (error) {
        // Only the batch's axes are split: the others are walked in blocks.
        if (error instanceof Unfoldable && error.split && fixed.has(error.split.variable.id))
          throw new Unfoldable(error.operand)
        throw error
      }
    }
    const { query, key, value, masks, keep, logSum, seen, G } = parts
    const inRows = storedIndex([...lead, q, v])
    return [
      ...read(query, [...lead, q, e]),
      ...read(key, [...lead, s, e]),
      ...read(value, [...lead, s, v]),
      ...[...masks, keep].flatMap((mask) => read(mask, [...lead, q, s])),
      ...read(logSum, [...lead, q]),
      ...read(seen, inRows),
      ...read(G, inRows),
    ]
  })
  const [query, key, feature, column] = domain.index
    .slice(rank)
    .map(({ terms: [[variable]] }) => variable)
  return { domain, batch: domain.index.slice(0, rank), query, key, feature, column, accesses }
}

/** [batch…, position, feature] in the order in which results lie. */
export function storedIndex<T>(index: readonly T[]): T[] {
  return storedOrder(index.length).map((axis) => index[axis])
}
