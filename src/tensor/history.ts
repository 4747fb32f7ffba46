// Keeps pending graphs short (rule 12): a history above 20,000 nodes is submitted by itself.
//
// A tensor's `history` is the sum of its operands' and so at least the number of nodes behind it; only when
// that estimate passes the limit are the nodes counted, and the estimate set right.
import { topological } from '../graph/node.js'
import { context } from './context.js'
import { evaluateNow } from './submit.js'
import type { Tensor } from './tensor.js'
import { cellOf } from './value.js'

const LONGEST_HISTORY = 20_000

/** The tensor itself, evaluated first when its history is too long. */
export function bound(t: Tensor): Tensor {
  if (t.history <= LONGEST_HISTORY || t.definition === undefined) return t
  const order = topological([t.definition])
  t.history = order.length
  if (t.history <= LONGEST_HISTORY || context.trace !== undefined) return t
  // What trainable parameters are behind must stay for backward(): evaluating it would drop nothing.
  if (!order.some((node) => cellOf(node)?.trainable)) evaluateNow(t)
  else t.history = 1
  return t
}
