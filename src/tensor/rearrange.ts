// Movements made of others: rolling, turning, repeating, cutting, diagonals and triangles. Padding in modes other
// than constant is `pad` of burnish/nn, as in PyTorch.
import { fail } from '../base/errors.js'
import { axisOf, type Shape, showShape, sizeOf } from '../base/shape.js'
import * as graph from '../graph/node.js'
import { constant, iota, map, type Node, reshape } from '../graph/node.js'
import { flip, slice, transpose, unsqueeze } from './movement.js'

const list = (value: number | readonly number[]): readonly number[] =>
  typeof value === 'number' ? [value] : value

/** Elements pushed over the end come back at the beginning; without dims in the flattened order. */
export function roll(
  x: Node,
  shifts: number | readonly number[],
  dims: number | readonly number[] | undefined,
): Node {
  const by = list(shifts)
  if (dims === undefined) {
    if (by.length !== 1) fail(`roll by ${showShape(by)}: several shifts need as many dims`)
    return reshape(roll(reshape(x, [sizeOf(x.shape)]), by, 0), x.shape)
  }
  const axes = list(dims)
  if (by.length !== axes.length)
    fail(`roll: ${by.length} shifts for ${axes.length} dims; give one for each`)
  return axes.reduce((y, dim, i) => {
    const axis = axisOf(dim, y.shape.length, 'roll')
    const size = y.shape[axis] ?? 0
    if (!Number.isInteger(by[i])) fail(`roll by ${by[i]}: shifts are whole numbers`)
    const shift = size === 0 ? 0 : ((by[i] % size) + size) % size
    if (shift === 0) return y
    const parts = [slice(y, size - shift, size, axis, 1), slice(y, 0, size - shift, axis, 1)]
    return graph.concat(axis, parts)
  }, x)
}

/** A quarter turn k times, from the first of the two dims to the second. */
export function rot90(x: Node, k: number, dims: readonly [number, number]): Node {
  const [a, b] = dims.map((dim) => axisOf(dim, x.shape.length, 'rot90'))
  if (a === b || !Number.isInteger(k))
    fail(`rot90(${k}, ${showShape(dims)}): a whole number of turns in two different dimensions`)
  const turns = ((k % 4) + 4) % 4
  if (turns === 0) return x
  if (turns === 2) return flip(x, [a, b])
  return turns === 1 ? flip(transpose(x, a, b), [a]) : flip(transpose(x, a, b), [b])
}

/** The whole repeated so often along each dimension; new dimensions come in front. */
export function repeat(x: Node, counts: readonly number[]): Node {
  if (counts.length < x.shape.length || !counts.every((n) => Number.isInteger(n) && n >= 0))
    fail(
      `repeat ${showShape(x.shape)} by ${showShape(counts)}: a whole number for each of the ${x.shape.length} dimensions, and any in front`,
    )
  const lead = counts.length - x.shape.length
  const shape: Shape = [...new Array<number>(lead).fill(1), ...x.shape]
  const apart = shape.flatMap((n) => [1, n])
  const wide = shape.flatMap((n, i) => [counts[i], n])
  return reshape(
    graph.expand(reshape(x, apart), wide),
    shape.map((n, i) => n * counts[i]),
  )
}

/** Each element `count` times in a row along a dimension. */
export function repeatInterleave(x: Node, count: number, dim: number | undefined): Node {
  if (!Number.isInteger(count) || count < 0)
    fail(`repeatInterleave(${count}): the count is a whole number`)
  if (dim === undefined) return repeatInterleave(reshape(x, [sizeOf(x.shape)]), count, 0)
  const axis = axisOf(dim, x.shape.length, 'repeatInterleave')
  const wide = unsqueeze(x, axis + 1)
  const shape = wide.shape.map((n, i) => (i === axis + 1 ? count : n))
  return reshape(
    graph.expand(wide, shape),
    x.shape.map((n, i) => (i === axis ? n * count : n)),
  )
}

export function movedim(
  x: Node,
  source: number | readonly number[],
  destination: number | readonly number[],
): Node {
  const rank = x.shape.length
  const from = list(source).map((dim) => axisOf(dim, rank, 'movedim'))
  const to = list(destination).map((dim) => axisOf(dim, rank, 'movedim'))
  if (from.length !== to.length || new Set(from).size < from.length || new Set(to).size < to.length)
    fail(`movedim ${showShape(from)} to ${showShape(to)}: as many places as dims, none twice`)
  const rest = x.shape.map((_, i) => i).filter((i) => !from.includes(i))
  const axes = x.shape.map((_, i) => (to.includes(i) ? from[to.indexOf(i)] : (rest.shift() ?? 0)))
  return graph.permute(x, axes)
}

export function unflatten(x: Node, dim: number, sizes: readonly number[]): Node {
  const axis = axisOf(dim, x.shape.length, 'unflatten')
  const open = sizes.indexOf(-1)
  const known = sizes.reduce((product, n, i) => (i === open ? product : product * n), 1)
  const filled = sizes.map((n, i) => (i === open ? x.shape[axis] / known : n))
  if (sizeOf(filled) !== x.shape[axis] || !filled.every(Number.isInteger))
    fail(
      `unflatten ${showShape(x.shape)} at ${dim} to ${showShape(sizes)}: the sizes must multiply to ${x.shape[axis]}`,
    )
  return reshape(x, [...x.shape.slice(0, axis), ...filled, ...x.shape.slice(axis + 1)])
}

/** Windows of `size` elements every `step` along a dimension; their elements are a new last dimension. */
export function unfold(x: Node, dim: number, size: number, step: number): Node {
  const axis = axisOf(dim, x.shape.length, 'unfold')
  const extent = x.shape[axis] ?? 1
  if (!Number.isInteger(size) || !Number.isInteger(step) || size < 1 || step < 1 || size > extent)
    fail(`unfold(${dim}, ${size}, ${step}): a size of 1 to ${extent} and a step from 1`)
  const count = Math.floor((extent - size) / step) + 1
  return graph.view(
    { type: 'window', axis, count, size, stride: step, dilation: 1, padding: 0, value: 0 },
    x,
  )
}

/** Pieces of `size` (the last may be smaller), or of the sizes listed. */
export function split(x: Node, sizes: number | readonly number[], dim: number): Node[] {
  const axis = axisOf(dim, x.shape.length, 'split')
  const extent = x.shape[axis] ?? 0
  let list: readonly number[]
  if (typeof sizes === 'number') {
    if (!Number.isInteger(sizes) || sizes < 1) fail(`split(${sizes}): a whole number from 1`)
    const count = Math.max(Math.ceil(extent / sizes), 1)
    list = Array.from({ length: count }, (_, i) => Math.min(sizes, extent - i * sizes))
  } else list = sizes
  if (list.reduce((a, b) => a + b, 0) !== extent || list.some((n) => !Number.isInteger(n) || n < 0))
    fail(`split into ${showShape(list)}: the sizes must add up to ${extent}`)
  let start = 0
  return list.map((n) => {
    start += n
    return slice(x, start - n, start, axis, 1)
  })
}

/** The elements a place apart along two dims become a new last dimension. */
export function diagonal(x: Node, offset: number, dim1: number, dim2: number): Node {
  const rank = x.shape.length
  if (rank < 2) fail(`diagonal of ${showShape(x.shape)}: a matrix or more is needed`)
  const a = axisOf(dim1, rank, 'diagonal')
  const b = axisOf(dim2, rank, 'diagonal')
  if (a === b) fail(`diagonal: dimension ${dim1} is named twice`)
  const rest = x.shape.map((_, i) => i).filter((i) => i !== a && i !== b)
  const rows = x.shape[a]
  const columns = x.shape[b]
  const top = Math.max(-offset, 0)
  const left = Math.max(offset, 0)
  const count = Math.max(Math.min(rows - top, columns - left), 0)
  const lead = rest.map((axis) => x.shape[axis])
  const flat = reshape(graph.permute(x, [...rest, a, b]), [...lead, rows * columns])
  const starts = [...lead.map(() => 0), count === 0 ? 0 : top * columns + left]
  const steps = [...lead.map(() => 1), columns + 1]
  return graph.view({ type: 'slice', starts, steps, shape: [...lead, count] }, flat)
}

/** A vector on a diagonal of zeros: [.., n] → [.., n + |offset|, n + |offset|]. */
export function diagonalEmbed(x: Node, offset: number): Node {
  const rank = x.shape.length
  const n = x.shape[rank - 1]
  const size = n + Math.abs(offset)
  const low = x.shape.map((_, i) => (i === rank - 1 ? Math.max(offset, 0) : 0))
  const high = x.shape.map((_, i) => (i === rank - 1 ? Math.max(-offset, 0) : 0))
  const placed = offset === 0 ? x : graph.view({ type: 'pad', low, high, value: 0 }, x)
  const shape = [...x.shape.slice(0, -1), size, size]
  const wide = graph.expand(unsqueeze(placed, rank - 1), shape)
  return map('where', onDiagonal(shape, offset), wide, constant(0, x.dtype, shape))
}

function onDiagonal(shape: Shape, offset: number): Node {
  return map('eq', column(shape), map('add', row(shape), constant(offset, 'int32', shape)))
}
const row = (shape: Shape): Node => iota(shape, shape.length - 2)
const column = (shape: Shape): Node => iota(shape, shape.length - 1)

/** Zeros above (below) a diagonal of the last two dimensions. */
export function triangle(x: Node, side: 'lower' | 'upper', offset: number): Node {
  const { shape } = x
  const name = side === 'lower' ? 'tril' : 'triu'
  if (shape.length < 2) fail(`${name} of ${showShape(shape)}: a matrix or more is needed`)
  if (!Number.isInteger(offset)) fail(`${name}(${offset}): the diagonal is a whole number`)
  const edge = map('add', row(shape), constant(offset, 'int32', shape))
  const kept = side === 'lower' ? map('le', column(shape), edge) : map('le', edge, column(shape))
  return map('where', kept, x, constant(0, x.dtype, shape))
}
