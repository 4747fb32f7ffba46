// Lowers attention by blocks of queries: each turn of the parallel loop is one item of the batch (a head), whose keys
// and values are copied side by side into the thread's scratch. For a block of queries the scores against all keys are
// there too, one softmax long, and nothing of their size is ever in memory. (After Dao 2023, "FlashAttention-2"; with
// the whole range of keys at once, for it fits the second-level cache at the lengths we meet, and the softmax then
// needs no second scaling.)
//
// Both kernels share their block (attention-block.ts); what they do with it is in attention-forward.ts and
// attention-backward.ts, and the copies of keys and values in attention-panels.ts.
import { isBackward } from './attention.js'
import { backwardBlock, backwardItem } from './attention-backward.js'
import { Blocks } from './attention-block.js'
import { forwardBlock, forwardItem } from './attention-forward.js'
import { addAffine, bound, ofVariable, quotient, shiftAffine } from './build.js'
import { NeedsScalar } from './builder.js'
import type { AttentionGroup } from './group.js'
import type { Affine } from './kernel.js'
import { finishKernel, type LowerContext, type Lowered } from './lower.js'

/** Turns that threads should have to share out. */
const LEAST_TURNS = 16

export function lowerAttention(group: AttentionGroup, context: LowerContext): Lowered {
  try {
    return lower(new Blocks(group.nodes, context, true))
  } catch (error) {
    if (!(error instanceof NeedsScalar)) throw error
    return lower(new Blocks(group.nodes, context, false))
  }
}

function lower(blocks: Blocks): Lowered {
  const { b, at, sizes, first } = blocks
  const backward = isBackward(first)
  const { names, extents } = b.space
  const count = Math.ceil(sizes.queries / blocks.rows)
  const items = sizes.batch.reduce((n, extent) => n * extent, 1)
  // Gradients of keys and values add up over all blocks of an item.
  const wanted = backward || items >= LEAST_TURNS ? 1 : Math.ceil(LEAST_TURNS / items)
  const each = Math.ceil(count / Math.min(wanted, count))
  const chunks = Math.ceil(count / each)
  const chunk = names.variable('chunk')
  extents.set(chunk.id, chunks)
  const loops = [...at.batch.flatMap(({ terms }) => terms.map(([v]) => v)), chunk]
  const turn = names.variable('turn')
  b.outermost(turn)
  const block = names.variable('block')
  const overBlocks = () => {
    const from = ofVariable(chunk, each)
    const to = bound('to', count, shiftAffine(from, each))
    b.loop(block, bound('from', from), to, 1, () => {
      blocks.start = ofVariable(block, blocks.rows)
      if (backward) backwardBlock(blocks)
      else forwardBlock(blocks)
    })
  }
  const item = () => {
    if (backward) backwardItem(blocks, overBlocks)
    else forwardItem(blocks, overBlocks)
  }
  // The turn taken apart: the last variable is the fastest.
  const nest = (k: number, rest: Affine): void => {
    if (k === loops.length) {
      item()
      return
    }
    const stride = loops.slice(k + 1).reduce((n, v) => n * (extents.get(v.id) ?? 1), 1)
    const from = bound('from', quotient(rest, stride))
    const to = bound('to', quotient(shiftAffine(rest, stride), stride))
    b.loop(loops[k], from, to, 1, () => {
      nest(k + 1, addAffine(rest, ofVariable(loops[k], stride), -1))
    })
  }
  nest(0, ofVariable(turn))
  const split = { variable: turn, extent: items * chunks }
  return finishKernel(
    blocks.context,
    blocks.operands,
    split,
    b.statements,
    blocks.nodes,
    flopsOf(blocks, items),
  )
}

function flopsOf({ first, sizes }: Blocks, items: number): number {
  const { queries, keys, features, width } = sizes
  let pairs = queries * keys
  if (first.attention.causal) {
    pairs = 0
    for (let q = 0; q < queries; q++) pairs += Math.min(keys, q + 1)
  }
  const products = isBackward(first) ? 3 * features + 2 * width : features + width
  return 2 * items * pairs * products
}
