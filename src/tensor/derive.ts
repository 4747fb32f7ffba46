// How every operation ends: a tensor over the node it built, with the history and the dtype of its operands.
import { type DType, isFloat, isHalf } from '../base/dtype.js'
import type { Node } from '../graph/node.js'
import { cast, type NodeOrNumber } from './arithmetic.js'
import { Handle } from './handle.js'
import { bound } from './history.js'
import { Tensor } from './tensor.js'

export type Operand = Tensor | number

export const nodeOf = (x: Operand): NodeOrNumber => (typeof x === 'number' ? x : x.node)

type Source = Handle | number | undefined

/** The half that a result of these operands has: theirs, when all float operands are of one. */
function halfOf(from: readonly Source[]): DType | undefined {
  let half: DType | undefined
  for (const operand of from) {
    if (!(operand instanceof Handle) || !isFloat(operand.dtype)) continue
    if (!isHalf(operand.dtype) || (half !== undefined && half !== operand.dtype)) return undefined
    half = operand.dtype
  }
  return half
}

/** A tensor over a node made of operands; what halves gave in float32 is stored as a half again. */
export function derive(node: Node, ...from: readonly Source[]): Tensor {
  const half = node.dtype === 'float32' ? halfOf(from) : undefined
  return exactly(half === undefined ? node : cast(node, half), ...from)
}

/** A tensor over a node, of the node's dtype. */
export function exactly(node: Node, ...from: readonly Source[]): Tensor {
  const result = new Tensor(node.shape, node.dtype, node)
  let history = 1
  for (const operand of from) if (operand instanceof Handle) history += operand.history
  result.history = history
  return bound(result)
}
