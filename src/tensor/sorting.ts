// Sorting in the graph: the order as a composite of int32, the values gathered by it (so that their gradients
// go back to where they came from). Stable; NaN comes after every number, as in PyTorch.
//
// By counting: an element's place is the number of those that come before it. That is n² comparisons along the
// axis, in vectors and in parallel, with nothing but the places stored; for tens of thousands of elements read the
// data and sort them on the host.
import { isFloat } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { axisOf, showShape, sizeOf } from '../base/shape.js'
import * as graph from '../graph/node.js'
import { composite, constant, iota, map, type Node, reduce, reshape } from '../graph/node.js'
import { arithmeticType, cast } from './arithmetic.js'
import { slice } from './movement.js'

/** x[…, index, …] along an axis; the other dimensions are the index's. */
export function takeAlong(x: Node, axis: number, index: Node): Node {
  return x.shape.length === 0 ? x : graph.gather(axis, x, index)
}

/** int32: the positions of the elements in ascending (descending) order along an axis. */
export function argsort(x: Node, dim: number, descending: boolean): Node {
  const axis = axisOf(dim, x.shape.length, 'argsort')
  if (x.shape.length === 0) return constant(0, 'int32')
  const keys = cast(x, arithmeticType(x.dtype))
  const size = keys.shape[axis]
  const result = { shape: keys.shape, dtype: 'int32' } as const
  if (size <= 1) return constant(0, 'int32', keys.shape)
  return composite('argsort', `${axis} ${descending}`, [keys], result, {
    expand: () => {
      // The axis last, everything before it as rows.
      const axes = keys.shape.map((_, i) => i).filter((i) => i !== axis)
      const last = graph.permute(keys, [...axes, axis])
      const rows = reshape(last, [sizeOf(keys.shape) / size, size])
      const order = counted(rows, descending)
      const inverse = keys.shape.map((_, i) => (i < axis ? i : i === axis ? axes.length : i - 1))
      return graph.permute(reshape(order, last.shape), inverse)
    },
    gradient: () => [undefined],
  })
}

const and = (a: Node, b: Node): Node => map('and', a, b)
const or = (a: Node, b: Node): Node => map('or', a, b)

/** Whether key a stands strictly before key b, positions aside. */
function precedes(a: Node, b: Node, descending: boolean): Node {
  const [first, second] = descending ? [b, a] : [a, b]
  const less = map('lt', first, second)
  if (!isFloat(a.dtype)) return less
  const isNumber = (x: Node) => map('eq', x, x)
  // NaN is the greatest.
  return or(less, and(isNumber(first), map('not', isNumber(second))))
}

/** [rows, n] → the order. Place i of element i; then each place's element by scattering positions. */
function counted(rows: Node, descending: boolean): Node {
  const [r, n] = rows.shape
  const shape = [r, n, n]
  const mine = graph.expand(reshape(rows, [r, n, 1]), shape)
  const other = graph.expand(reshape(rows, [r, 1, n]), shape)
  const before = precedes(other, mine, descending)
  const after = precedes(mine, other, descending)
  const earlier = map('lt', iota(shape, 2), iota(shape, 1))
  const ahead = or(before, and(map('not', after), earlier))
  const place = reduce('sum', [2], map('toInt32', ahead))
  return graph.scatterAdd(1, n, place, iota([r, n], 1))
}

/** The k greatest (least) along an axis, in order. */
export function topk(
  of: Node,
  k: number,
  dim: number,
  largest: boolean,
): { values: Node; indices: Node } {
  const axis = axisOf(dim, of.shape.length, 'topk')
  const x = cast(of, arithmeticType(of.dtype))
  const size = x.shape[axis] ?? 1
  if (!Number.isInteger(k) || k < 0 || k > size)
    fail(`topk(${k}) along ${dim} of ${showShape(x.shape)}: k is a whole number from 0 to ${size}`)
  const order = argsort(x, axis, largest)
  const indices = x.shape.length === 0 ? order : slice(order, 0, k, axis, 1)
  return { values: takeAlong(x, axis, indices), indices }
}
