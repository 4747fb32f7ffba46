// Views as ONNX operators, over values of which some axes only repeat.
import { type Shape, sizeOf } from '../../base/shape.js'
import type { Node, NodeOf } from '../../graph/node.js'
import type { ViewOp } from '../../graph/view.js'
import { type Builder, madeBy, type Value } from './export-model.js'
import { filled, filledAlong, gather, pad, reshape, slice, transpose } from './export-ops.js'

type OpOf<T extends ViewOp['type']> = Extract<ViewOp, { type: T }>

/** The value of a view; `x` is that of its argument. */
export function viewed(b: Builder, node: NodeOf<'view'>, x: Value): Value {
  const full = node.args[0].shape
  const { op } = node
  switch (op.type) {
    case 'reshape':
      return reshaped(b, x, full, op.shape)
    case 'permute':
      return transpose(b, x, op.axes)
    case 'expand':
      return x
    case 'slice': {
      // What only repeats is the same at every position.
      const once = op.shape.map((_, i) => x.shape[i] === 1 && full[i] !== 1)
      return slice(
        b,
        x,
        op.starts.map((n, i) => (once[i] ? 0 : n)),
        op.steps.map((n, i) => (once[i] ? 1 : n)),
        op.shape.map((n, i) => (once[i] ? 1 : n)),
      )
    }
    case 'pad': {
      const axes = full.flatMap((_, i) => (op.low[i] + op.high[i] > 0 ? [i] : []))
      return pad(b, filledAlong(b, x, full, axes), op.low, op.high, op.value)
    }
    case 'window':
      return windowed(b, filledAlong(b, x, full, [op.axis]), op)
  }
}

/** Groups of axes of equal size are reshaped apart: one that only repeats as a whole stays so. */
function reshaped(b: Builder, x: Value, from: Shape, to: Shape): Value {
  if (x.shape.every((n, i) => n === from[i])) return reshape(b, x, to)
  if (sizeOf(from) === 0) return reshape(b, filled(b, x, from), to)
  const needed: number[] = []
  const target: number[] = []
  for (const [source, result] of groups(from, to)) {
    const repeats = source.filter((i) => x.shape[i] !== from[i])
    const whole = source.every((i) => x.shape[i] === 1)
    if (!whole) needed.push(...repeats)
    for (const i of result) target[i] = whole && repeats.length > 0 ? 1 : to[i]
  }
  return reshape(b, filledAlong(b, x, from, needed), target)
}

/** The axes of two shapes of one size in groups of equal size, as small as they can be. */
function groups(from: Shape, to: Shape): [source: number[], result: number[]][] {
  const found: [number[], number[]][] = []
  let i = 0
  let j = 0
  while (i < from.length || j < to.length) {
    const source: number[] = []
    const result: number[] = []
    let [a, c] = [1, 1]
    do {
      if (a <= c && i < from.length && !(a === c && source.length > 0)) {
        a *= from[i]
        source.push(i++)
      } else if (j < to.length) {
        c *= to[j]
        result.push(j++)
      } else {
        a *= from[i]
        source.push(i++)
      }
    } while (a !== c || (source.length > 0 && result.length === 0 && j < to.length && to[j] === 1))
    found.push([source, result])
  }
  return found
}

/** A gather of the positions each window reads, in an axis padded so far. */
function windowed(b: Builder, x: Value, op: OpOf<'window'>): Value {
  const { axis, count, size, stride, dilation, padding, value } = op
  const reach = (count - 1) * stride + (size - 1) * dilation + 1
  const high = Math.max(0, reach - padding - x.shape[axis])
  const only = (n: number) => x.shape.map((_, i) => (i === axis ? n : 0))
  const wide = pad(b, x, only(padding), only(high), value)
  const positions = Array.from(
    { length: count * size },
    (_, i) => Math.floor(i / size) * stride + (i % size) * dilation,
  )
  const taken = gather(b, wide, b.indices(positions, [count, size]), axis)
  // The taps go last.
  const axes = taken.shape.map((_, i) => i).filter((i) => i !== axis + 1)
  return transpose(b, taken, [...axes, axis + 1])
}

/**
 * Elements repeated along a spatial axis, [N, C, .., n, ..] → [N, C, .., n·times, ..]: an axis of size 1 behind it that
 * is expanded and merged. Resize, which is what it was.
 */
export function repeated(b: Builder, node: Node, find: (node: Node) => Value): Value | undefined {
  if (node.kind !== 'view' || node.op.type !== 'reshape' || node.dtype !== 'float32')
    return undefined
  const wide = node.args[0]
  if (wide.kind !== 'view' || wide.op.type !== 'expand') return undefined
  const source = wide.args[0]
  const grown = wide.shape.flatMap((n, i) => (n === source.shape[i] ? [] : [i]))
  const [at] = grown
  if (grown.length !== 1 || at < 3) return undefined
  const merged = wide.shape.flatMap((n, i) =>
    i === at ? [] : [i === at - 1 ? n * wide.shape[at] : n],
  )
  const long = (shape: Shape) => shape.filter((n) => n !== 1).join()
  const before = source.shape.filter((_, i) => i !== at)
  const spatial = trimmed(before, at)
  if (long(merged) !== long(node.shape) || spatial === undefined) return undefined
  const x = find(source)
  if (x.shape.some((n, i) => n !== source.shape[i])) return undefined
  const image = reshape(b, x, spatial)
  const scales = spatial.map((_, i) => (i === at - 1 ? wide.shape[at] : 1))
  return reshape(b, resized(b, image, scales), node.shape)
}

/** The shape without the dimensions of size 1 that merged reshapes left at its end; rank 3 to 5. */
function trimmed(shape: Shape, at: number): Shape | undefined {
  let end = shape.length
  while (end > at && end > 4 && shape[end - 1] === 1) end--
  return end >= 3 && end <= 5 ? shape.slice(0, end) : undefined
}

function resized(b: Builder, x: Value, scales: readonly number[]): Value {
  const before = madeBy(x, 'Resize')
  const known = before?.inputs[2]?.origin
  const source = before?.inputs[0]
  const inner = known?.kind === 'constant' && source ? known.data : undefined
  const total = scales.map((n, i) => n * (inner?.[i] ?? 1))
  const from = inner && source ? source : x
  const shape = x.shape.map((n, i) => n * scales[i])
  return b.node(
    'Resize',
    [from, undefined, b.constant(total, 'float32', [total.length])],
    { dtype: x.dtype, shape },
    {
      mode: 'nearest',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: 'floor',
    },
  )
}
