// What losses share: reductions, pairs of equal shape, weights that broadcast.
import { fail } from '../../base/errors.js'
import { broadcastShapes, sameShape, showShape, sizeOf } from '../../base/shape.js'
import type { Node } from '../../graph/node.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { total } from '../nodes/loss.js'
import { div } from '../nodes/math.js'
import { floatNode, named } from './checks.js'

/** What becomes of a loss for each element or row: their mean, their sum, or all of them. */
export type Reduction = 'mean' | 'sum' | 'none'

/** How a loss is reduced. */
export interface ReductionOptions {
  /** Default `mean`. */
  readonly reduction?: Reduction
}

const reductions: { readonly [word in Reduction]: (x: Node) => Node } = {
  none: (x) => x,
  sum: total,
  mean: (x) => div(total(x), sizeOf(x.shape)),
}

/** The word itself, which JavaScript may have misspelt. */
export function checkedReduction(name: string, reduction: Reduction): Reduction {
  if (!Object.hasOwn(reductions, reduction))
    fail(`${name}: reduction '${reduction}' must be 'none', 'sum' or 'mean'`)
  return reduction
}

/** All elements of x reduced to one, or x itself. */
export function reduced(name: string, x: Node, reduction: Reduction): Node {
  return reductions[checkedReduction(name, reduction)](x)
}

/** A loss of each pair of elements, reduced. */
export function pairwise(
  name: string,
  input: Tensor,
  target: Tensor,
  reduction: Reduction,
  build: (x: Node, y: Node) => Node,
): Tensor {
  const x = floatNode(input, name)
  const y = floatNode(target, name, 'target')
  if (!sameShape(x.shape, y.shape))
    fail(
      `${name}: the input has shape ${showShape(x.shape)}, the target ${showShape(y.shape)}; they must be equal: use reshape or unsqueeze`,
    )
  return fromNode(
    named(name, () => reduced(name, build(x, y), reduction)),
    input,
    target,
  )
}

/** A weight that broadcasts to x. */
export function weightFor(name: string, weight: Tensor, x: Node, what: string): Node {
  if (!sameShape(broadcastShapes(x.shape, weight.shape, `${name}: ${what}`), x.shape))
    fail(
      `${name}: the ${what} ${showShape(weight.shape)} must broadcast to the input ${showShape(x.shape)}`,
    )
  return floatNode(weight, name, what)
}
