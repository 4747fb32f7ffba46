// Movements of elements as ONNX operators, each merged with what made its operand, or computed now where that is a
// constant. And broadcasting: what only repeats is repeated when someone needs it.
import type { DType } from '../../base/dtype.js'
import { broadcastShapes, type Shape, sameShape } from '../../base/shape.js'
import * as graph from '../../graph/node.js'
import {
  type Builder,
  dataOf,
  type ElementType,
  madeBy,
  numberOf,
  type Value,
} from './export-model.js'

export function reshape(b: Builder, x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x
  const before = madeBy(x, 'Reshape')?.inputs[0]
  if (before) return reshape(b, before, shape)
  const reduced = withAxesKept(b, x, shape)
  if (reduced) return reduced
  const folded = b.folded([x], ([node]) => graph.reshape(node, shape))
  if (folded) return folded
  const empty = shape.includes(0)
  return b.node(
    'Reshape',
    [x, b.sizes(shape)],
    { dtype: x.dtype, shape },
    empty ? { allowzero: 1 } : {},
  )
}

/** A reduction whose axes come back with size 1 keeps them. */
function withAxesKept(b: Builder, x: Value, shape: Shape): Value | undefined {
  const node = madeBy(x, 'ReduceSum', 'ReduceMax', 'ReduceProd', 'ReduceMean')
  const source = node?.inputs[0]
  if (!node || !source || node.attributes.keepdims !== 0) return undefined
  const axes = axesOf(node)
  if (
    !axes ||
    !sameShape(
      shape,
      source.shape.map((n, i) => (axes.includes(i) ? 1 : n)),
    )
  )
    return undefined
  const everything =
    axes.length === source.shape.length - 2 && axes.every((axis, i) => axis === i + 2)
  if (node.op === 'ReduceMean' && everything && axes.length > 0 && axes.length < 4)
    return b.node('GlobalAveragePool', [source], { dtype: x.dtype, shape })
  return b.node(
    node.op,
    node.inputs,
    { dtype: x.dtype, shape },
    { ...node.attributes, keepdims: 1 },
  )
}

/** The axes a reduction is over. */
export function axesOf(node: {
  readonly inputs: readonly (Value | undefined)[]
  readonly attributes: { readonly [name: string]: unknown }
}): number[] | undefined {
  const given = node.attributes.axes
  if (Array.isArray(given)) return given.map(Number)
  const data = dataOf(node.inputs[1])
  return data && [...data]
}

export function transpose(b: Builder, x: Value, axes: readonly number[]): Value {
  if (axes.every((axis, i) => axis === i)) return x
  const before = madeBy(x, 'Transpose')
  const inner = before?.attributes.perm
  const source = before?.inputs[0]
  if (source && Array.isArray(inner))
    return transpose(
      b,
      source,
      axes.map((axis) => Number(inner[axis])),
    )
  const shape = axes.map((axis) => x.shape[axis])
  const long = axes.filter((axis) => x.shape[axis] !== 1)
  if (long.every((axis, i) => i === 0 || axis > long[i - 1])) return reshape(b, x, shape)
  const folded = b.folded([x], ([node]) => graph.permute(node, axes))
  return folded ?? b.node('Transpose', [x], { dtype: x.dtype, shape }, { perm: axes })
}

/** The value with the elements that the shape repeats written out; of the same rank. */
export function filled(b: Builder, x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x
  if (x.dtype !== 'int64') {
    const folded = b.folded([x], ([node]) => graph.broadcastTo(node, shape))
    if (folded) return folded
  }
  const lead = shape.length - x.shape.length
  const grown = shape.map((n, i) => (x.shape[i - lead] === n ? 1 : n))
  return b.node('Expand', [x, b.sizes(grown)], { dtype: x.dtype, shape })
}

/** As `filled`, along some axes only. */
export function filledAlong(b: Builder, x: Value, shape: Shape, axes: readonly number[]): Value {
  return filled(
    b,
    x,
    x.shape.map((n, i) => (axes.includes(i) ? shape[i] : n)),
  )
}

/** Positions starts + i·steps along each axis. */
export function slice(
  b: Builder,
  x: Value,
  starts: readonly number[],
  steps: readonly number[],
  shape: Shape,
): Value {
  const axes = shape.flatMap((n, i) =>
    n === x.shape[i] && steps[i] > 0 && starts[i] === 0 ? [] : [i],
  )
  if (axes.length === 0) return x
  const folded = b.folded([x], ([node]) =>
    graph.view({ type: 'slice', starts, steps, shape }, node),
  )
  if (folded) return folded
  const part = axes.length === 1 ? partOf(x, axes[0], starts, steps, shape) : undefined
  if (part) return slice(b, part.value, part.starts, steps, shape)
  const end = (i: number) => {
    const last = starts[i] + shape[i] * steps[i]
    return last < 0 ? -(2 ** 31) : Math.min(last, Math.max(x.shape[i], 0))
  }
  const inputs = [x, b.sizes(axes.map((i) => starts[i])), b.sizes(axes.map(end)), b.indices(axes)]
  const stepped = axes.some((i) => steps[i] !== 1)
  if (stepped) inputs.push(b.indices(axes.map((i) => steps[i])))
  return b.node('Slice', inputs, { dtype: x.dtype, shape })
}

/** The one of joined parts that holds the positions. */
function partOf(
  x: Value,
  axis: number,
  starts: readonly number[],
  steps: readonly number[],
  shape: Shape,
): { readonly value: Value; readonly starts: readonly number[] } | undefined {
  const node = madeBy(x, 'Concat')
  if (node?.attributes.axis !== axis || steps[axis] !== 1) return undefined
  let begin = 0
  for (const value of node.inputs) {
    const size = value?.shape[axis] ?? 0
    if (value && starts[axis] >= begin && starts[axis] + shape[axis] <= begin + size)
      return { value, starts: starts.map((n, i) => (i === axis ? n - begin : n)) }
    begin += size
  }
  return undefined
}

export function pad(
  b: Builder,
  x: Value,
  low: readonly number[],
  high: readonly number[],
  value: number,
): Value {
  if ([...low, ...high].every((n) => n === 0)) return x
  const folded = b.folded([x], ([node]) => graph.view({ type: 'pad', low, high, value }, node))
  if (folded) return folded
  if (x.dtype === 'bool' || x.dtype === 'uint8')
    return cast(b, pad(b, cast(b, x, 'int32'), low, high, value), x.dtype)
  const shape = x.shape.map((n, i) => n + low[i] + high[i])
  const inputs = [x, b.indices([...low, ...high])]
  if (value !== 0) inputs.push(b.scalar(value, x.dtype))
  return b.node('Pad', inputs, { dtype: x.dtype, shape }, { mode: 'constant' })
}

/** x with its axis replaced by those of the indices. */
export function gather(b: Builder, x: Value, indices: Value, axis: number): Value {
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)]
  return b.node('Gather', [x, indices], { dtype: x.dtype, shape }, { axis })
}

export function cast(b: Builder, x: Value, dtype: ElementType): Value {
  if (x.dtype === dtype) return x
  const data = dataOf(x)
  if (data && !b.isOfBatch(x.shape)) return b.constant(converted(data, dtype), dtype, x.shape)
  return b.node('Cast', [x], { dtype, shape: x.shape }, { to: elementCode[dtype] })
}

function converted(data: Float64Array, dtype: ElementType): Float64Array {
  if (dtype === 'bool') return data.map((x) => (x ? 1 : 0))
  if (dtype === 'int32' || dtype === 'int64') return data.map(Math.trunc)
  return dtype === 'uint8' ? data.map((x) => Math.trunc(x) & 255) : data.map(Math.fround)
}

/** TensorProto.DataType. */
export const elementCode: { readonly [T in ElementType]: number } = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
}

/** An operator applied element by element, with broadcasting. The operands' ranks are equal. */
export function elementwise(b: Builder, op: string, args: readonly Value[], dtype: DType): Value {
  const shape = args.reduce<Shape>((wide, arg) => broadcastShapes(wide, arg.shape, op), [])
  return b.node(op, slim(b, args, shape.length), { dtype, shape })
}

/** The operands without dimensions in front that broadcasting adds anyway; one of them keeps the rank. */
function slim(b: Builder, args: readonly Value[], rank: number): readonly Value[] {
  const slimmer = args.map((arg) => {
    const number = numberOf(arg)
    return number === undefined ? withoutLead(arg) : b.scalar(number, arg.dtype)
  })
  const holds = args.some((arg, i) => slimmer[i] === undefined && arg.shape.length === rank)
  return holds ? args.map((arg, i) => slimmer[i] ?? arg) : args
}

/** What a value was before it got dimensions of size 1 in front. */
function withoutLead(arg: Value): Value | undefined {
  const source = madeBy(arg, 'Reshape')?.inputs[0]
  if (!source) return undefined
  const lead = arg.shape.length - source.shape.length
  const same = arg.shape.every((n, i) => (i < lead ? n === 1 : n === source.shape[i - lead]))
  return lead > 0 && same ? source : undefined
}
