// Sorting in the graph: the order as a composite of int32, the values gathered by it (so that their gradients
// go back to where they came from). Stable; NaN comes after every number, as in PyTorch.
//
// Short axes by counting: an element's place is the number of those before it. Long ones by Batcher's bitonic
// network over a power of two of (value, position) pairs, log²(n)/2 stages of element-wise work.
import { isFloat } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { axisOf, type Shape, showShape, sizeOf } from '../base/shape.js'
import * as graph from '../graph/node.js'
import { composite, constant, iota, map, type Node, reduce, reshape } from '../graph/node.js'
import { arithmeticType, cast } from './arithmetic.js'
import { slice } from './movement.js'

/** n² comparisons in one kernel, some milliseconds; above it the network, which takes a second to compile once. */
const MOST_COUNTED = 2048

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
      const order = size <= MOST_COUNTED ? counted(rows, descending) : network(rows, descending)
      const inverse = keys.shape.map((_, i) => (i < axis ? i : i === axis ? axes.length : i - 1))
      return graph.permute(reshape(order, last.shape), inverse)
    },
    gradient: () => [undefined],
  })
}

const and = (a: Node, b: Node): Node => map('and', a, b)
const or = (a: Node, b: Node): Node => map('or', a, b)
const choose = (condition: Node, x: Node, y: Node): Node => map('where', condition, x, y)

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

interface Pairs {
  readonly keys: Node
  /** Positions; −1 in front of everything when padding, so that it sorts last. */
  readonly at: Node
}

function network(rows: Node, descending: boolean): Node {
  const [r, n] = rows.shape
  let width = 1
  while (width < n) width *= 2
  const none = [0, 0]
  const high = [0, width - n]
  const wide = (x: Node, value: number): Node =>
    width === n ? x : graph.view({ type: 'pad', low: none, high, value }, x)
  // Padding has positions from n on: those come last whatever their key.
  let pairs: Pairs = { keys: wide(rows, 0), at: iota([r, width], 1) }
  for (let block = 2; block <= width; block *= 2)
    for (let reach = block / 2; reach >= 1; reach /= 2)
      pairs = stage(pairs, block, reach, n, descending)
  return slice(pairs.at, 0, n, 1, 1)
}

/** Compares elements `reach` apart; a block's direction alternates until it is whole. */
function stage(
  { keys, at }: Pairs,
  block: number,
  reach: number,
  n: number,
  descending: boolean,
): Pairs {
  const [r, width] = keys.shape
  const shape: Shape = [r, width / (2 * reach), 2, reach]
  const half = (x: Node, i: number): Node =>
    reshape(slice(reshape(x, shape), i, i + 1, 2, 1), [r, width / (2 * reach), reach])
  const [a, b] = [half(keys, 0), half(keys, 1)]
  const [p, q] = [half(at, 0), half(at, 1)]
  const size = constant(n, 'int32', p.shape)
  const real = (x: Node): Node => map('lt', x, size)
  const tied = map('not', or(precedes(a, b, descending), precedes(b, a, descending)))
  const ordered = or(precedes(a, b, descending), and(tied, map('lt', p, q)))
  const bothReal = and(real(p), real(q))
  const padded = or(
    and(real(p), map('not', real(q))),
    and(map('not', or(real(p), real(q))), map('lt', p, q)),
  )
  const right = or(and(bothReal, ordered), padded)
  // Pair g of the row begins at 2·reach·g: it ascends when that lies in an even block.
  const groups = Math.max(block / (2 * reach), 1)
  const turn = map('div', iota(p.shape, 1), constant(groups, 'int32', p.shape))
  const odd = map('bitAnd', turn, constant(1, 'int32', p.shape))
  const up = map('eq', odd, constant(0, 'int32', p.shape))
  const stay = map('eq', map('toInt32', right), map('toInt32', up))
  const joined = (x: Node, y: Node): Node => {
    const parts = [choose(stay, x, y), choose(stay, y, x)]
    const wide = parts.map((part) => reshape(part, [r, width / (2 * reach), 1, reach]))
    return reshape(graph.concat(2, wide), [r, width])
  }
  return { keys: joined(a, b), at: joined(p, q) }
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
