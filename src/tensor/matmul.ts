// Matrix products over nodes, with NumPy's rules for vectors and for batches.
import { fail } from '../base/errors.js'
import { broadcastShapes, type Shape, showShape, sizeOf } from '../base/shape.js'
import { matmulSpec } from '../graph/contract.js'
import { broadcastTo, contract, type Node, reshape } from '../graph/node.js'
import { cast } from './arithmetic.js'

/** [.., m, k] · [.., k, n] → [.., m, n]; a vector is a row on the left, a column on the right. */
export function matmul(left: Node, right: Node): Node {
  const where = `matmul of ${showShape(left.shape)} and ${showShape(right.shape)}`
  if (left.shape.length === 0 || right.shape.length === 0)
    fail(`${where}: a scalar is no matrix; use mul`)
  let a = cast(left, 'float32')
  let b = cast(right, 'float32')
  if (a.shape.length === 1) a = reshape(a, [1, ...a.shape])
  if (b.shape.length === 1) b = reshape(b, [...b.shape, 1])
  const m = a.shape[a.shape.length - 2]
  const k = a.shape[a.shape.length - 1]
  const n = b.shape[b.shape.length - 1]
  if (b.shape[b.shape.length - 2] !== k)
    fail(
      `${where}: the inner dimensions ${k} and ${b.shape[b.shape.length - 2]} must be equal; transpose one of them?`,
    )
  const batchA = a.shape.slice(0, -2)
  const batchB = b.shape.slice(0, -2)
  const batch = broadcastShapes(batchA, batchB, where)
  const product = multiply(a, b, { batch, batchB, m, n, k })
  const shape: Shape = [
    ...batch,
    ...(left.shape.length === 1 ? [] : [m]),
    ...(right.shape.length === 1 ? [] : [n]),
  ]
  return reshape(product, shape)
}

interface Sizes {
  readonly batch: Shape
  readonly batchB: Shape
  readonly m: number
  readonly n: number
  readonly k: number
}

function multiply(a: Node, b: Node, { batch, batchB, m, n, k }: Sizes): Node {
  // One matrix for all batches: their rows are rows of one product.
  if (sizeOf(batchB) === 1) {
    const rows = sizeOf(batch) * m
    const flat = reshape(broadcastTo(a, [...batch, m, k]), [rows, k])
    return contract(matmulSpec([], rows, n, k), flat, reshape(b, [k, n]))
  }
  const wideA = broadcastTo(a, [...batch, m, k])
  const wideB = broadcastTo(b, [...batch, k, n])
  return contract(matmulSpec(batch, m, n, k), wideA, wideB)
}
