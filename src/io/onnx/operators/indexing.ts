// Elements taken and put by tensors of indices: GatherElements, GatherND, ScatterElements, ScatterND.
import type { DType } from '../../../base/dtype.js'
import { type Shape, sizeOf } from '../../../base/shape.js'
import { arange } from '../../../tensor/create.js'
import { type Tensor, where } from '../../../tensor/tensor.js'
import type { Call } from '../../graph/call.js'
import type { Table } from './table.js'

/** Indices counted from the front. */
function positive(index: Tensor, size: number): Tensor {
  return where(index.lt(0), index.add(size), index)
}

/**
 * The position in the flattened dimensions `sizes` of each tuple in the last dimension of an index; −1, which is
 * reported when it is used, where any of its numbers is out of range.
 */
function flatIndex(index: Tensor, sizes: Shape): Tensor {
  const count = sizeOf(index.shape.slice(0, -1))
  let at = index.slice(0, 1, { dim: -1 }).reshape(count).mul(0)
  let wrong: Tensor | undefined
  sizes.forEach((n, k) => {
    const own = positive(index.slice(k, k + 1, { dim: -1 }).reshape(count), n)
    const bad = own.lt(0).logicalOr(own.ge(n))
    wrong = wrong === undefined ? bad : wrong.logicalOr(bad)
    at = at.mul(n).add(own)
  })
  return wrong === undefined ? at : where(wrong, at.mul(0).sub(1), at)
}

/** How many dimensions a tuple of the index names. */
function tuple(call: Call, index: Tensor, rank: number): number {
  const k = index.shape.at(-1) ?? 0
  if (k < 1 || k > rank)
    call.fail(`the indices [${index.shape}] end in ${k}, but the data have ${rank} dimensions`)
  return k
}

function gatherElements(call: Call): Tensor {
  const x = call.tensor(0)
  const axis = call.axis(call.int('axis', 0), x.shape.length)
  return x.gather(axis, positive(call.tensor(1).int(), x.shape[axis]))
}

/** x [b…, sizes…, after…], indices [b…, q…, k] → [b…, q…, after…]. */
function gatherND(call: Call): Tensor {
  const [x, index] = [call.tensor(0), call.tensor(1).int()]
  const b = call.int('batch_dims', 0)
  const batch = x.shape.slice(0, b)
  if (b < 0 || b >= index.shape.length || batch.join() !== index.shape.slice(0, b).join())
    call.fail(`batch_dims ${b}: [${x.shape}] and [${index.shape}] must begin alike`)
  const k = tuple(call, index, x.shape.length - b)
  const sizes = x.shape.slice(b, b + k)
  const after = x.shape.slice(b + k)
  const [n, size] = [sizeOf(batch), sizeOf(sizes)]
  const own = flatIndex(index, sizes)
  const start = arange(n)
    .mul(size)
    .repeatInterleave(own.shape[0] / Math.max(n, 1), 0)
  // What is out of range stays so.
  const at = n === 1 ? own : where(own.lt(0), own, own.add(start))
  const rows = x.reshape(n * size, sizeOf(after))
  return rows.indexSelect(0, at).reshape(...index.shape.slice(0, -1), ...after)
}

const LEAST: { readonly [dtype in DType]?: number } = { int32: -(2 ** 31), uint8: 0, bool: 0 }
const MOST: { readonly [dtype in DType]?: number } = { int32: 2 ** 31 - 1, uint8: 255, bool: 1 }

/** What leaves every value as it is. */
function neutral(reduction: 'mul' | 'max' | 'min', dtype: DType): number {
  if (reduction === 'mul') return 1
  return reduction === 'max' ? (LEAST[dtype] ?? -Infinity) : (MOST[dtype] ?? Infinity)
}

/** x with the source's elements at their places along `axis`, joined with what is there. */
function scattered(call: Call, x: Tensor, axis: number, at: Tensor, source: Tensor): Tensor {
  const reduction = call.text('reduction', 'none')
  if (reduction === 'none') return x.scatter(axis, at, source)
  if (reduction === 'add') return x.scatterAdd(axis, at, source)
  if (reduction !== 'mul' && reduction !== 'max' && reduction !== 'min')
    call.fail(`reduction ${reduction} is not known`)
  if (sizeOf(at.shape) === 0) return x
  const size = x.shape[axis]
  const identity = neutral(reduction, x.dtype)
  const along = (t: Tensor, shape: Shape) =>
    t.reshape(...shape.map((_, i) => (i === axis ? t.shape[0] : 1)))
  // Read through a table, so that an index out of range is reported.
  const table = along(arange(size), at.shape).expand(
    ...at.shape.map((n, i) => (i === axis ? size : n)),
  )
  const last = (t: Tensor) => t.movedim(axis, -1).unsqueeze(axis)
  const targets = last(table.gather(axis, at))
  const hit = targets.eq(along(arange(size), targets.shape))
  const none = source.mul(0).add(identity)
  const values = where(hit, last(source), last(none))
  const joined =
    reduction === 'mul' ? values.prod(-1) : reduction === 'max' ? values.amax(-1) : values.amin(-1)
  const widths = x.shape.flatMap((n, i) => [n - joined.shape[i], 0]).reverse()
  const whole = widths.every((n) => n === 0) ? joined : joined.pad(widths, identity)
  if (reduction === 'mul') return x.mul(whole)
  return reduction === 'max' ? x.maximum(whole) : x.minimum(whole)
}

function scatterElements(call: Call): Tensor {
  const x = call.tensor(0)
  const axis = call.axis(call.int('axis', 0), x.shape.length)
  const at = positive(call.tensor(1).int(), x.shape[axis])
  return scattered(call, x, axis, at, call.tensor(2))
}

function scatterND(call: Call): Tensor {
  const [x, index] = [call.tensor(0), call.tensor(1).int()]
  const k = tuple(call, index, x.shape.length)
  const width = sizeOf(x.shape.slice(k))
  const rows = x.reshape(sizeOf(x.shape.slice(0, k)), width)
  const at = flatIndex(index, x.shape.slice(0, k))
  const count = at.shape[0]
  const places = at.reshape(count, 1).expand(count, width)
  return scattered(call, rows, 0, places, call.tensor(2).reshape(count, width)).reshape(...x.shape)
}

export const indexing: Table = {
  GatherElements: { run: gatherElements },
  GatherND: { run: gatherND },
  ScatterElements: { run: scatterElements },
  ScatterND: { run: scatterND },
}
