// Keeps pending graphs short (rule 12): a history above 20,000 nodes is submitted by itself.
//
// A tensor's `history` is the sum of its operands' and so at least the number of nodes behind it; only when
// that estimate passes the limit are the nodes counted, and the estimate set right.
import { topological } from '../graph/node.js'
import { context } from './context.js'
import { evaluateNow } from './evaluate.js'
import type { Tensor } from './tensor.js'
import { reachesTrainable } from './value.js'

const LONGEST_HISTORY = 20_000

/** The tensor itself, evaluated first when its history is too long. */
export function bound(t: Tensor): Tensor {
  if (t.history <= LONGEST_HISTORY || t.definition === undefined) return t
  t.history = topological([t.definition]).length
  if (t.history <= LONGEST_HISTORY || context.trace !== undefined) return t
  // What trainable parameters are behind must stay for backward(): evaluating it would drop nothing.
  if (reachesTrainable(t.definition)) t.history = 1
  else evaluateNow(t)
  return t
}
