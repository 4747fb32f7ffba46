// Reading and writing at positions: PyTorch's x[…] as `index(…)`, gathers along a dimension, and scatters.
//
// Writes make new tensors. `scatter` is deterministic where PyTorch's is not: of several writes to one place the
// last wins. Positions are checked where the program runs (rule 17).
import { isFloat } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { axisOf, broadcastShapes, type Shape, showShape, sizeOf } from '../base/shape.js'
import * as graph from '../graph/node.js'
import { broadcastTo, constant, iota, map, type Node, reduce, reshape } from '../graph/node.js'
import { cast, type NodeOrNumber } from './arithmetic.js'
import { flip, indexNode, slice, unsqueeze } from './movement.js'
import { takeAlong } from './sorting.js'

/** Positions start, start + step, … before end along a dimension: Python's start:end:step. */
export interface Slice {
  readonly start: number | undefined
  readonly end: number | undefined
  readonly step: number
}

/** What stands for one dimension in x[…]: a position, a slice, null for a new dimension, '...', positions. */
export type IndexPart = number | Slice | null | '...' | { readonly node: Node }

const isSlice = (part: IndexPart): part is Slice =>
  typeof part === 'object' && part !== null && 'step' in part
const isTensor = (part: IndexPart): part is { readonly node: Node } =>
  typeof part === 'object' && part !== null && 'node' in part

/** x[…parts]. Positions and slices first, then tensors, whose dims come in front when they are apart. */
export function index(x: Node, parts: readonly IndexPart[]): Node {
  const used = parts.filter((part) => part !== null && part !== '...').length
  const rank = x.shape.length
  const open = parts.filter((part) => part === '...').length
  if (open > 1) fail("index: '...' stands for all dimensions in between, and so once at most")
  if (used > rank)
    fail(`index: ${used} positions for ${showShape(x.shape)}, which has ${rank} dimensions`)
  const rest = new Array<Slice>(rank - used).fill({ start: undefined, end: undefined, step: 1 })
  const full = parts.flatMap((part): IndexPart[] => (part === '...' ? rest : [part]))
  if (open === 0) full.push(...rest)
  let y = x
  let axis = 0
  const tensors: { readonly axis: number; readonly node: Node }[] = []
  for (const part of full) {
    if (part === null) y = unsqueeze(y, axis++)
    else if (typeof part === 'number') y = select(y, part, axis)
    else if (isSlice(part)) y = sliced(y, part, axis++)
    else if (isTensor(part)) tensors.push({ axis: axis++, node: part.node })
  }
  return tensors.length === 0 ? y : indexTensors(y, tensors)
}

export function select(x: Node, position: number, axis: number): Node {
  const size = x.shape[axis]
  if (!Number.isInteger(position) || position < -size || position >= size)
    fail(
      `index ${position} of dimension ${axis} of ${showShape(x.shape)}: positions are ${-size} to ${size - 1}`,
    )
  const at = position < 0 ? position + size : position
  const one = slice(x, at, at + 1, axis, 1)
  return reshape(
    one,
    x.shape.filter((_, i) => i !== axis),
  )
}

function sliced(x: Node, { start, end, step }: Slice, axis: number): Node {
  if (step > 0 || !Number.isInteger(step)) return slice(x, start ?? 0, end, axis, step)
  if (step === 0) fail('slice: the step must not be 0')
  // Backwards: the same elements of the turned axis.
  const size = x.shape[axis]
  const turned = (n: number | undefined) => {
    if (n === undefined) return undefined
    return size - 1 - Math.max(Math.min(n < 0 ? n + size : n, size - 1), -1)
  }
  const low = turned(start) ?? 0
  const high = turned(end) ?? size
  return slice(flip(x, [axis]), low, Math.max(high, low), axis, -step)
}

/** Positions counted from the end when negative. */
function wrapped(index: Node, size: number): Node {
  const low = map('lt', index, constant(0, 'int32', index.shape))
  const shifted = map('add', index, constant(size, 'int32', index.shape))
  return map('where', low, shifted, index)
}

function indexTensors(
  x: Node,
  given: readonly { readonly axis: number; readonly node: Node }[],
): Node {
  for (const { node } of given)
    if (node.dtype === 'bool')
      fail(
        'index: a mask of bools selects a number of elements that only the data tell; use await x.maskedSelect(mask), x.maskedFill(mask, value) or where(mask, x, y)',
      )
  const indices = given.map(({ axis, node }) => wrapped(indexNode(node, 'index'), x.shape[axis]))
  const shape = indices.reduce<Shape>(
    (wide, { shape }) => broadcastShapes(wide, shape, 'index'),
    [],
  )
  const axes = given.map(({ axis }) => axis)
  const together = axes.every((axis, i) => i === 0 || axis === axes[i - 1] + 1)
  const others = x.shape.map((_, i) => i).filter((i) => !axes.includes(i))
  const before = together ? others.filter((i) => i < axes[0]) : []
  const after = others.filter((i) => !before.includes(i))
  const sizes = (list: readonly number[]) => list.map((axis) => x.shape[axis])
  const count = sizeOf(sizes(axes))
  const lead = sizeOf(sizes(before))
  const tail = sizeOf(sizes(after))
  const table = reshape(graph.permute(x, [...before, ...axes, ...after]), [lead, count, tail])
  // One position in the merged axis; out of range where any of them is.
  let at = constant(0, 'int32', shape) as Node
  let wrong = constant(0, 'bool', shape) as Node
  indices.forEach((index, k) => {
    const wide = broadcastTo(index, shape)
    const size = constant(x.shape[axes[k]], 'int32', shape)
    at = map('add', map('mul', at, size), wide)
    const outside = map('or', map('lt', wide, constant(0, 'int32', shape)), map('le', size, wide))
    wrong = map('or', wrong, outside)
  })
  if (indices.length > 1) at = map('where', wrong, constant(-1, 'int32', shape), at)
  const places = reshape(at, [1, sizeOf(shape), 1])
  const picked = graph.gather(1, table, graph.expand(places, [lead, sizeOf(shape), tail]))
  return reshape(picked, [...sizes(before), ...shape, ...sizes(after)])
}

/** Elements at positions of the flattened tensor. */
export function take(x: Node, at: Node): Node {
  const size = sizeOf(x.shape)
  const index = wrapped(indexNode(at, 'take'), size)
  const flat = reshape(index, [sizeOf(index.shape)])
  return reshape(takeAlong(reshape(x, [size]), 0, flat), at.shape)
}

/** As gather, but the other dimensions broadcast. */
export function takeAlongDim(x: Node, at: Node, dim: number): Node {
  const axis = axisOf(dim, x.shape.length, 'takeAlongDim')
  const index = indexNode(at, 'takeAlongDim')
  if (index.shape.length !== x.shape.length)
    fail(
      `takeAlongDim: the index ${showShape(index.shape)} and ${showShape(x.shape)} differ in rank`,
    )
  const free = (shape: Shape) => shape.map((n, i) => (i === axis ? 1 : n))
  const wide = broadcastShapes(free(x.shape), free(index.shape), 'takeAlongDim')
  const to = (n: number) => wide.map((size, i) => (i === axis ? n : size))
  const places = wrapped(broadcastTo(index, to(index.shape[axis])), x.shape[axis])
  return graph.gather(axis, broadcastTo(x, to(x.shape[axis])), places)
}

interface Write {
  readonly axis: number
  readonly index: Node
  readonly source: Node
}

/** The index and the values to write, of one shape that fits x but along `dim`. */
function write(x: Node, dim: number, at: Node, source: NodeOrNumber, where: string): Write {
  const axis = axisOf(dim, x.shape.length, where)
  const index = indexNode(at, where)
  const fits =
    index.shape.length === x.shape.length &&
    index.shape.every((n, i) => i === axis || n <= x.shape[i])
  if (!fits)
    fail(
      `${where} along ${dim}: the index ${showShape(index.shape)} does not fit ${showShape(x.shape)}: as many dimensions, none longer but ${dim}`,
    )
  if (typeof source === 'number')
    return { axis, index, source: constant(source, x.dtype, index.shape) }
  if (source.dtype !== x.dtype)
    fail(`${where}: the source is ${source.dtype}, the tensor ${x.dtype}; cast with to(dtype)`)
  if (source.shape.length !== index.shape.length || source.shape.some((n, i) => n < index.shape[i]))
    fail(
      `${where}: the source ${showShape(source.shape)} is smaller than the index ${showShape(index.shape)}`,
    )
  const cut = index.shape.reduce((y, n, i) => slice(y, 0, n, i, 1), source)
  return { axis, index, source: cut }
}

/** Zeros around, so that it has x's size in every dimension but `axis`. */
function grown(y: Node, x: Node, axis: number, value: number): Node {
  const high = y.shape.map((n, i) => (i === axis ? 0 : x.shape[i] - n))
  if (high.every((n) => n === 0)) return y
  return graph.view({ type: 'pad', low: high.map(() => 0), high, value }, y)
}

/** x plus each source element at its place. */
export function scatterAdd(x: Node, dim: number, at: Node, from: Node, where = 'scatterAdd'): Node {
  const { axis, index, source } = write(x, dim, at, from, where)
  const dtype = isFloat(x.dtype) ? 'float32' : x.dtype
  const sum = graph.scatterAdd(axis, x.shape[axis], index, cast(source, dtype))
  return map('add', cast(x, dtype), grown(sum, x, axis, 0))
}

/** x with each source element in its place; of several the last along `dim`. */
export function scatter(x: Node, dim: number, at: Node, from: NodeOrNumber): Node {
  const { axis, index, source } = write(x, dim, at, from, 'scatter')
  const count = index.shape[axis]
  const size = x.shape[axis]
  if (sizeOf(index.shape) === 0) return x
  // The writer of each place: the greatest j whose index is that place, or −1. [.., size, .., j]
  const rank = x.shape.length
  const checked = graph.gather(
    axis,
    iota(
      index.shape.map((n, i) => (i === axis ? size : n)),
      axis,
    ),
    index,
  )
  const shape = [...index.shape.map((n, i) => (i === axis ? size : n)), count]
  const last = movedLast(checked, axis)
  const targets = graph.expand(unsqueeze(last, axis), shape)
  const hit = map('eq', targets, iota(shape, axis))
  const writer = reduce(
    'max',
    [rank],
    map('where', hit, iota(shape, rank), constant(-1, 'int32', shape)),
  )
  const none = map('lt', writer, constant(0, 'int32', writer.shape))
  const safe = map('max', writer, constant(0, 'int32', writer.shape))
  const written = grown(graph.gather(axis, source, safe), x, axis, 0)
  return map('where', grown(none, x, axis, 1), x, written)
}

/** [.., n, ..] → [.., .., n], without the axis in between. */
function movedLast(x: Node, axis: number): Node {
  const axes = x.shape.map((_, i) => i).filter((i) => i !== axis)
  return graph.permute(x, [...axes, axis])
}

/** x plus the rows of `source` at positions along `dim`. */
export function indexAdd(x: Node, dim: number, at: Node, source: Node): Node {
  const axis = axisOf(dim, x.shape.length, 'indexAdd')
  const index = indexNode(at, 'indexAdd')
  if (index.shape.length !== 1 || source.shape[axis] !== index.shape[0])
    fail(
      `indexAdd along ${dim}: the index ${showShape(index.shape)} has one position for each of the ${source.shape[axis]} rows of ${showShape(source.shape)}`,
    )
  const column =
    index.shape.length === 1 ? source.shape.map((_, i) => (i === axis ? index.shape[0] : 1)) : []
  const wide = graph.expand(reshape(index, column), source.shape)
  return scatterAdd(x, axis, wide, source, 'indexAdd')
}
