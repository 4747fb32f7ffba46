// Movement of elements over nodes: reshape, permute, slice … checked for the user, then views.
import { isFloat } from '../base/dtype.js'
import { BurnishError, fail } from '../base/errors.js'
import { axisOf, broadcastShapes, type Shape, sameShape, showShape, sizeOf } from '../base/shape.js'
import type { Node } from '../graph/node.js'
import * as graph from '../graph/node.js'

const thousands = (n: number) => n.toLocaleString('en-US')

/** The last layers that made a value, nearest last: at most two different labels. */
function origin(x: Node): string {
  const labels: string[] = []
  let node: Node | undefined = x
  for (let i = 0; node !== undefined && i < 64 && labels.length < 2; i++) {
    if (node.label !== '' && node.label !== graph.building.label && !labels.includes(node.label))
      labels.unshift(node.label)
    node = node.args[0]
  }
  return labels.length > 0 ? ` (from ${labels.join(', ')})` : ''
}

/** A reshape to rows of `columns` that the values do not fill; a module adds which layer wanted them. */
export class RowsError extends BurnishError {
  readonly rule: string
  readonly operand: Node
  readonly columns: number
  constructor(rule: string, fix: string, operand: Node, columns: number) {
    super(`${rule}; ${fix}`)
    this.rule = rule
    this.operand = operand
    this.columns = columns
  }
}

/** The shape with −1 replaced by what is left. */
export function resolveShape(x: Node, shape: Shape): Shape {
  const size = sizeOf(x.shape)
  const open = shape.indexOf(-1)
  let known = 1
  for (let i = 0; i < shape.length; i++) {
    if (i === open) continue
    if (!Number.isInteger(shape[i]) || shape[i] < 0)
      fail(`reshape to ${showShape(shape)}: sizes are whole numbers, and one of them may be -1`)
    known *= shape[i]
  }
  if (open < 0 ? known === size : known > 0 && size % known === 0)
    return open < 0 ? shape : shape.map((n, i) => (i === open ? size / known : n))
  const head = `reshape ${showShape(x.shape)}${origin(x)} to ${showShape(shape)}: ${thousands(size)} values`
  if (open === 0 && shape.length === 2 && x.shape.length > 1) {
    const rest = x.shape.slice(1)
    throw new RowsError(
      `${head} are not rows of ${shape[1]}`,
      `each of the ${x.shape[0]} has ${rest.join('·')}${rest.length > 1 ? ` = ${sizeOf(rest)}` : ''}: use reshape(-1, ${sizeOf(rest)}) or flatten(1)`,
      x,
      shape[1],
    )
  }
  return fail(
    open < 0
      ? `${head} do not fill ${thousands(known)}: the sizes must multiply to ${thousands(size)}`
      : `${head} are not a multiple of ${thousands(known)}: the other sizes must divide ${thousands(size)}`,
  )
}

export function reshape(x: Node, shape: Shape): Node {
  return graph.reshape(x, resolveShape(x, shape))
}

export function permute(x: Node, dims: readonly number[]): Node {
  const rank = x.shape.length
  const axes = dims.map((dim) => axisOf(dim, rank, 'permute'))
  if (axes.length !== rank || new Set(axes).size !== rank)
    fail(
      `permute ${showShape(x.shape)} by ${showShape(dims)}: each of the ${rank} dimensions must occur once`,
    )
  return graph.permute(x, axes)
}

export function transpose(x: Node, dim0: number, dim1: number): Node {
  const a = axisOf(dim0, x.shape.length, 'transpose')
  const b = axisOf(dim1, x.shape.length, 'transpose')
  return graph.permute(
    x,
    x.shape.map((_, i) => (i === a ? b : i === b ? a : i)),
  )
}

export function flatten(x: Node, start: number, end: number): Node {
  const rank = x.shape.length
  if (rank === 0) return graph.reshape(x, [1])
  const from = axisOf(start, rank, 'flatten')
  const to = axisOf(end, rank, 'flatten')
  if (from > to) fail(`flatten: dimension ${start} comes after ${end}`)
  return graph.reshape(x, [
    ...x.shape.slice(0, from),
    sizeOf(x.shape.slice(from, to + 1)),
    ...x.shape.slice(to + 1),
  ])
}

export function squeeze(x: Node, dim: number | undefined): Node {
  const axis = dim === undefined ? -1 : axisOf(dim, x.shape.length, 'squeeze')
  return graph.reshape(
    x,
    x.shape.filter((n, i) => n !== 1 || (dim !== undefined && i !== axis)),
  )
}

export function unsqueeze(x: Node, dim: number): Node {
  const axis = axisOf(dim, x.shape.length + 1, 'unsqueeze')
  return graph.reshape(x, [...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)])
}

/** −1 keeps a size, as in PyTorch. */
export function expand(x: Node, shape: Shape): Node {
  const lead = shape.length - x.shape.length
  const wanted = shape.map((n, i) => (n === -1 ? (x.shape[i - lead] ?? -1) : n))
  if (
    lead < 0 ||
    wanted.includes(-1) ||
    !sameShape(broadcastShapes(x.shape, wanted, 'expand'), wanted)
  )
    fail(
      `expand ${showShape(x.shape)} to ${showShape(shape)}: only dimensions of size 1 can be repeated, and new ones come in front`,
    )
  return graph.broadcastTo(x, wanted)
}

/** Elements start, start + step, … before `end` along one dimension; negative positions count from the end. */
export function slice(
  x: Node,
  start: number,
  end: number | undefined,
  dim: number,
  step: number,
): Node {
  const axis = axisOf(dim, x.shape.length, 'slice')
  if (x.shape.length === 0) fail('slice: a scalar has no dimension to slice')
  const size = x.shape[axis]
  if (!Number.isInteger(step) || step < 1)
    fail(`slice: step ${step} is not a positive whole number; use flip(${dim}) to go backwards`)
  if (!Number.isInteger(start) || (end !== undefined && !Number.isInteger(end)))
    fail(`slice(${start}, ${end}): positions are whole numbers`)
  const clip = (n: number) => Math.min(Math.max(n < 0 ? n + size : n, 0), size)
  const from = clip(start)
  const to = Math.max(clip(end ?? size), from)
  const count = Math.ceil((to - from) / step)
  if (count === size && step === 1) return x
  const along = (value: number, other: number) =>
    x.shape.map((_, i) => (i === axis ? value : other))
  return graph.view(
    {
      type: 'slice',
      starts: along(from, 0),
      steps: along(step, 1),
      shape: x.shape.map((n, i) => (i === axis ? count : n)),
    },
    x,
  )
}

export function flip(x: Node, dims: readonly number[]): Node {
  const axes = dims.map((dim) => axisOf(dim, x.shape.length, 'flip'))
  if (axes.length === 0 || sizeOf(x.shape) === 0) return x
  return graph.view(
    {
      type: 'slice',
      starts: x.shape.map((n, i) => (axes.includes(i) ? n - 1 : 0)),
      steps: x.shape.map((_, i) => (axes.includes(i) ? -1 : 1)),
      shape: x.shape,
    },
    x,
  )
}

/** PyTorch's order: pairs (low, high) from the last dimension backwards. */
export function pad(x: Node, widths: readonly number[], value: number): Node {
  const rank = x.shape.length
  if (widths.length % 2 !== 0 || widths.length > 2 * rank || !widths.every(Number.isInteger))
    fail(
      `pad ${showShape(x.shape)} by ${showShape(widths)}: give a whole number for the low and the high side of up to ${rank} dimensions, from the last`,
    )
  const low = new Array<number>(rank).fill(0)
  const high = new Array<number>(rank).fill(0)
  for (let i = 0; i < widths.length; i += 2) {
    low[rank - 1 - i / 2] = widths[i]
    high[rank - 1 - i / 2] = widths[i + 1]
  }
  if (widths.some((n) => n < 0))
    fail(`pad by ${showShape(widths)}: widths are not negative; use slice to cut`)
  return widths.every((n) => n === 0) ? x : graph.view({ type: 'pad', low, high, value }, x)
}

export function concat(parts: readonly Node[], dim: number): Node {
  if (parts.length === 0) fail('concat: give at least one tensor')
  const first = parts[0]
  const axis = axisOf(dim, first.shape.length, 'concat')
  for (const part of parts) {
    if (part.dtype !== first.dtype)
      fail(`concat: dtypes ${first.dtype} and ${part.dtype} differ; cast with to(dtype)`)
    if (
      part.shape.length !== first.shape.length ||
      !part.shape.every((n, i) => i === axis || n === first.shape[i])
    )
      fail(
        `concat along ${dim}: shapes ${showShape(first.shape)} and ${showShape(part.shape)} differ in another dimension`,
      )
  }
  return graph.concat(axis, parts)
}

export function stack(parts: readonly Node[], dim: number): Node {
  if (parts.length === 0) fail('stack: give at least one tensor')
  const axis = axisOf(dim, parts[0].shape.length + 1, 'stack')
  for (const part of parts)
    if (!sameShape(part.shape, parts[0].shape))
      fail(`stack: shapes ${showShape(parts[0].shape)} and ${showShape(part.shape)} differ`)
  return concat(
    parts.map((part) => unsqueeze(part, axis)),
    axis,
  )
}

export function indexNode(index: Node, where: string): Node {
  if (isFloat(index.dtype) || index.dtype === 'bool')
    fail(`${where}: the index is ${index.dtype}; indices are int32: use int() or an Int32Array`)
  return index.dtype === 'int32' ? index : graph.map('toInt32', index)
}

/** out[i…] = x[i… with i[dim] replaced by index[i…]]; the index may be shorter in the other dimensions. */
export function gather(x: Node, dim: number, index: Node): Node {
  const axis = axisOf(dim, x.shape.length, 'gather')
  const at = indexNode(index, 'gather')
  if (
    at.shape.length !== x.shape.length ||
    !at.shape.every((n, i) => i === axis || n <= x.shape[i])
  )
    fail(
      `gather along ${dim}: the index ${showShape(at.shape)} does not fit ${showShape(x.shape)}: as many dimensions, none longer but ${dim}`,
    )
  let table = x
  for (let i = 0; i < at.shape.length; i++)
    if (i !== axis) table = slice(table, 0, at.shape[i], i, 1)
  return graph.gather(axis, table, at)
}

/** Rows of x along `dim` at a one-dimensional index. */
export function indexSelect(x: Node, dim: number, index: Node): Node {
  const axis = axisOf(dim, x.shape.length, 'indexSelect')
  const at = indexNode(index, 'indexSelect')
  if (at.shape.length !== 1)
    fail(`indexSelect: the index has shape ${showShape(at.shape)}; it has one dimension`)
  const shape = x.shape.map((n, i) => (i === axis ? at.shape[0] : n))
  const wide = graph.reshape(
    at,
    x.shape.map((_, i) => (i === axis ? at.shape[0] : 1)),
  )
  return graph.gather(axis, x, graph.expand(wide, shape))
}
