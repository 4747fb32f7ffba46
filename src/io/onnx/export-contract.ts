// Contractions as ONNX operators: convolutions as Conv and ConvTranspose, products of matrices as Gemm and MatMul,
// other sums of products as Einsum. An index that is none of these is first read with Gather at positions computed now,
// from an operand that ends in a zero for what lies outside; then it is Einsum too.
import { type Shape, sameShape, sizeOf } from '../../base/shape.js'
import { type Contract, type Index, isPlain } from '../../graph/contract.js'
import type { NodeOf } from '../../graph/node.js'
import { type Builder, numberOf, type Value } from './export-model.js'
import {
  elementwise,
  filled,
  filledAlong,
  gather,
  pad,
  reshape,
  slice,
  transpose,
} from './export-ops.js'

/** The value of a contraction over the values of its operands. */
export function contracted(b: Builder, node: NodeOf<'contract'>, a: Value, w: Value): Value {
  const [aShape, wShape] = node.args.map((arg) => arg.shape)
  const found = convolution(b, node.spec, a, aShape, w, wShape)
  if (found) return found
  const left = plainly(b, node.spec, node.spec.a, a, aShape)
  const right = plainly(b, node.spec, node.spec.b, w, wShape)
  return product(b, node, left, right)
}

// ---- convolutions ----

interface Spatial {
  readonly kernel: number[]
  readonly stride: number[]
  readonly dilation: number[]
  readonly padding: number[]
}

const axisOf = (index: Index): number => (isPlain(index) ? index.terms[0][0] : -1)

/** The spec of `convSpec` or `convTransposeSpec`, as they build it. */
function convolution(
  b: Builder,
  spec: Contract,
  a: Value,
  aShape: Shape,
  w: Value,
  wShape: Shape,
): Value | undefined {
  const { extents, rank } = spec
  const spatial = spec.a.filter(({ terms }) => terms.length === 2).length
  const grouped = spec.a.length === spatial + 3
  if (spatial < 1 || spatial > 3 || (!grouped && spec.a.length !== spatial + 2)) return undefined
  const g = grouped ? 1 : 0
  const [o, y, c] = [1 + g, 2 + g, rank]
  if (
    rank !== y + spatial ||
    extents.length !== rank + 1 + spatial ||
    spec.b.length !== spatial + 2 + g
  )
    return undefined
  const windows = spec.a.slice(2 + g)
  const transposed = windows[0]?.terms[1]?.[1] < 0
  const order = transposed ? [c, o] : [o, c]
  const taps = windows.map((_, d) => c + 1 + d)
  const plainA = [0, ...(grouped ? [1] : []), c]
  const plainB = [...(grouped ? [1] : []), ...order, ...taps]
  if (!plainA.every((axis, i) => axisOf(spec.a[i]) === axis)) return undefined
  if (!plainB.every((axis, i) => axisOf(spec.b[i]) === axis)) return undefined
  if (
    !sameShape(
      wShape,
      plainB.map((axis) => extents[axis]),
    )
  )
    return undefined
  const sizes = transposed ? transposedSizes(windows, y, c) : forwardSizes(windows, y, c)
  if (!sizes) return undefined
  const kernel = taps.map((axis) => extents[axis])
  const groups = grouped ? extents[1] : 1
  const input = aShape.slice(2 + g)
  const output = extents.slice(y, rank)
  const x = reshape(b, filled(b, a, aShape), [extents[0], groups * extents[c], ...input])
  const [first, second] = order.map((axis) => extents[axis])
  const weight = reshape(b, filled(b, w, wShape), [groups * first, second, ...kernel])
  const shape = [extents[0], groups * extents[o], ...output]
  const plan = { ...sizes, kernel }
  const made = (transposed ? convTranspose : conv)(b, x, weight, plan, groups, shape)
  return made && reshape(b, made, extents.slice(0, rank))
}

function forwardSizes(windows: readonly Index[], y: number, c: number) {
  const sizes: Omit<Spatial, 'kernel'> = { stride: [], dilation: [], padding: [] }
  for (const [d, { terms, offset, divide }] of windows.entries()) {
    const [[p, stride], [q, dilation]] = terms
    if (p !== y + d || q !== c + 1 + d || divide !== 1 || stride < 1 || dilation < 1 || offset > 0)
      return undefined
    sizes.stride.push(stride)
    sizes.dilation.push(dilation)
    sizes.padding.push(-offset)
  }
  return sizes
}

function transposedSizes(windows: readonly Index[], y: number, c: number) {
  const sizes: Omit<Spatial, 'kernel'> = { stride: [], dilation: [], padding: [] }
  for (const [d, { terms, offset, divide }] of windows.entries()) {
    const [[p, one], [q, dilation]] = terms
    if (p !== y + d || q !== c + 1 + d || one !== 1 || dilation > -1 || offset < 0) return undefined
    sizes.stride.push(divide)
    sizes.dilation.push(-dilation)
    sizes.padding.push(offset)
  }
  return sizes
}

/** What a window needs behind the last element. Less than none: the last elements are not read. */
export function endPadding(
  input: number,
  output: number,
  kernel: number,
  stride: number,
  dilation: number,
  low: number,
): number {
  return Math.max(0, (output - 1) * stride + dilation * (kernel - 1) + 1 - input - low)
}

/** Writes a convolution of x [N, C, .., n, ..] by a weight; undefined where its operator cannot. */
type Writer = (
  b: Builder,
  x: Value,
  weight: Value,
  s: Spatial,
  groups: number,
  shape: Shape,
) => Value | undefined

const attributesOf = (s: Spatial, high: readonly number[], groups: number) => ({
  kernel_shape: s.kernel,
  strides: s.stride,
  pads: [...s.padding, ...high],
  dilations: s.dilation,
  group: groups,
})

const conv: Writer = (b, x, weight, s, groups, shape) => {
  const high = s.kernel.map((k, d) =>
    endPadding(x.shape[2 + d], shape[2 + d], k, s.stride[d], s.dilation[d], s.padding[d]),
  )
  const unread = s.kernel.some((k, d) => {
    const room = x.shape[2 + d] + s.padding[d] + high[d] - s.dilation[d] * (k - 1) - 1
    return Math.floor(room / s.stride[d]) + 1 !== shape[2 + d]
  })
  if (unread) return undefined
  return b.node('Conv', [x, weight], { dtype: 'float32', shape }, attributesOf(s, high, groups))
}

const convTranspose: Writer = (b, x, weight, s, groups, shape) => {
  const extra = s.kernel.map(
    (k, d) =>
      shape[2 + d] -
      ((x.shape[2 + d] - 1) * s.stride[d] - 2 * s.padding[d] + s.dilation[d] * (k - 1) + 1),
  )
  if (extra.some((n, d) => n < 0 || n >= Math.max(s.stride[d], s.dilation[d]))) return undefined
  const attributes = {
    ...attributesOf(s, s.padding, groups),
    ...(extra.some((n) => n > 0) ? { output_padding: extra } : {}),
  }
  return b.node('ConvTranspose', [x, weight], { dtype: 'float32', shape }, attributes)
}

// ---- sums of products ----

/** An operand whose dimensions are whole axes of the contraction, each once. */
interface Operand {
  readonly value: Value
  readonly axes: readonly number[]
}

/** The operand with every dimension an axis of the contraction: others are gathered first. */
function plainly(
  b: Builder,
  spec: Contract,
  indices: readonly Index[],
  given: Value,
  shape: Shape,
): Operand {
  const { extents } = spec
  let value = given
  const axes: number[] = []
  let at = 0
  indices.forEach((index, d) => {
    const axis = axisOf(index)
    if (axis >= 0 && shape[d] === extents[axis] && !axes.includes(axis)) {
      axes.push(axis)
      at++
      return
    }
    const full = value.shape.map((n, i) => (i === at ? shape[d] : n))
    value = filledAlong(b, value, full, [at])
    value = gathered(b, value, at, index, extents)
    const own = index.terms.map((term) => term[0])
    axes.push(...own)
    at += own.length
  })
  return diagonal(b, { value, axes }, extents)
}

/** The axis read at each position of the index; what lies outside is a zero put at its end. */
function gathered(
  b: Builder,
  x: Value,
  at: number,
  index: Index,
  extents: readonly number[],
): Value {
  const size = x.shape[at]
  const shape = index.terms.map(([axis]) => extents[axis])
  const count = sizeOf(shape)
  if (b.isOfBatch(shape))
    b.refuse(
      'a contraction reads the batch at computed positions, for which there is no ONNX operator; export with dynamicBatch: false',
    )
  let outside = false
  const positions = Array.from({ length: count }, (_, flat) => {
    let rest = flat
    let sum = index.offset
    for (let t = shape.length - 1; t >= 0; t--) {
      sum += (rest % shape[t]) * index.terms[t][1]
      rest = Math.floor(rest / shape[t])
    }
    const position = sum / index.divide
    if (Number.isInteger(position) && position >= 0 && position < size) return position
    outside = true
    return size
  })
  const only = x.shape.map((_, i) => (i === at && outside ? 1 : 0))
  const ended = pad(
    b,
    x,
    x.shape.map(() => 0),
    only,
    0,
  )
  return gather(b, ended, b.indices(positions, shape), at)
}

/** Axes that an operand has twice are read where both are equal. */
function diagonal(b: Builder, { value, axes }: Operand, extents: readonly number[]): Operand {
  const twice = axes.findIndex((axis, i) => axes.indexOf(axis) < i)
  if (twice < 0) return { value, axes }
  const first = axes.indexOf(axes[twice])
  const n = extents[axes[twice]]
  // Both axes in front, merged, every (n + 1)th.
  const rest = axes.map((_, i) => i).filter((i) => i !== first && i !== twice)
  const turned = transpose(b, value, [first, twice, ...rest])
  const tail = turned.shape.slice(2)
  const flat = reshape(b, turned, [n * n, ...tail])
  const steps = flat.shape.map((_, i) => (i === 0 ? n + 1 : 1))
  const taken = slice(
    b,
    flat,
    flat.shape.map(() => 0),
    steps,
    [n, ...tail],
  )
  return diagonal(b, { value: taken, axes: [axes[twice], ...rest.map((i) => axes[i])] }, extents)
}

/** Values of which an axis only repeats are written out, but for those that MatMul broadcasts. */
function whole(
  b: Builder,
  { value, axes }: Operand,
  extents: readonly number[],
  besides: readonly number[] = [],
): Value {
  const shape = axes.map((axis, i) => (besides.includes(axis) ? value.shape[i] : extents[axis]))
  return filled(b, value, shape)
}

function product(b: Builder, node: NodeOf<'contract'>, left: Operand, right: Operand): Value {
  const { extents, rank } = node.spec
  const all = extents.map((_, axis) => axis)
  const inBoth = (axis: number) => left.axes.includes(axis) && right.axes.includes(axis)
  const outputs = all.slice(0, rank)
  const batch = outputs.filter(inBoth)
  const m = outputs.filter((axis) => left.axes.includes(axis) && !inBoth(axis))
  const n = outputs.filter((axis) => right.axes.includes(axis) && !inBoth(axis))
  const k = all.slice(rank).filter(inBoth)
  const known = batch.length + m.length + n.length + k.length === extents.length
  if (right.axes.length === 0 && numberOf(right.value) === 1) return summed(b, node, left)
  if (!known || m.length !== 1 || n.length !== 1 || k.length !== 1)
    return einsum(b, node, left, right)
  const [row, column, inner] = [m[0], n[0], k[0]]
  const turnedLast = right.axes.length === 2 && right.axes[0] === column
  const natural = outputs.join() === [...batch, row, column].join()
  if (batch.length === 0 && turnedLast && natural) {
    const a = whole(b, left, extents)
    const transA = left.axes[0] === inner ? 1 : 0
    return b.node(
      'Gemm',
      [a, whole(b, right, extents)],
      { dtype: 'float32', shape: node.shape },
      { transA, transB: 1 },
    )
  }
  const arranged = (operand: Operand, order: readonly number[]) =>
    transpose(
      b,
      whole(b, operand, extents, batch),
      order.map((axis) => operand.axes.indexOf(axis)),
    )
  const a = arranged(left, [...batch, row, inner])
  const w = arranged(right, [...batch, inner, column])
  const order = [...batch, row, column]
  const lead = batch.map((_, i) => Math.max(a.shape[i], w.shape[i]))
  const shape = [...lead, extents[row], extents[column]]
  const result = b.node('MatMul', [a, w], { dtype: 'float32', shape })
  return transpose(
    b,
    result,
    outputs.map((axis) => order.indexOf(axis)),
  )
}

/** A sum over one operand alone. */
function summed(b: Builder, node: NodeOf<'contract'>, operand: Operand): Value {
  const { extents, rank } = node.spec
  const missing = extents.findIndex((_, axis) => !operand.axes.includes(axis))
  if (missing >= 0) return einsum(b, node, operand, { value: b.scalar(1, 'float32'), axes: [] })
  const order = extents.map((_, axis) => operand.axes.indexOf(axis))
  const x = transpose(b, whole(b, operand, extents), order)
  const axes = extents.map((_, axis) => axis).slice(rank)
  return b.node(
    'ReduceSum',
    [x, b.indices(axes)],
    { dtype: 'float32', shape: node.shape },
    { keepdims: 0 },
  )
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz'

function einsum(b: Builder, node: NodeOf<'contract'>, left: Operand, right: Operand): Value {
  const { extents, rank } = node.spec
  if (extents.length > LETTERS.length)
    b.refuse(`a contraction over ${extents.length} axes; Einsum has letters for ${LETTERS.length}`)
  const has = (axis: number) => left.axes.includes(axis) || right.axes.includes(axis)
  const outputs = extents.map((_, axis) => axis).slice(0, rank)
  const given = outputs.filter(has)
  const letters = (axes: readonly number[]) => axes.map((axis) => LETTERS[axis]).join('')
  const equation = `${letters(left.axes)},${letters(right.axes)}->${letters(given)}`
  const inputs = [whole(b, left, extents), whole(b, right, extents)]
  const shape = given.map((axis) => extents[axis])
  let result = b.node('Einsum', inputs, { dtype: 'float32', shape }, { equation })
  // An axis that neither has repeats the result, or multiplies it.
  const times = sizeOf(extents.filter((_, axis) => axis >= rank && !has(axis)))
  result = reshape(
    b,
    result,
    outputs.map((axis) => (has(axis) ? extents[axis] : 1)),
  )
  if (times === 1) return result
  const factor = b.constant(
    [times],
    'float32',
    result.shape.map(() => 1),
  )
  return elementwise(b, 'Mul', [result, factor], 'float32')
}
