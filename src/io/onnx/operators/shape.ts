// Shapes, movement and indexing. What decides a shape must be known while tracing.
import { type DType, isFloat } from '../../../base/dtype.js'
import { type Shape, sizeOf } from '../../../base/shape.js'
import * as F from '../../../nn/functional.js'
import { arange, ones } from '../../../tensor/create.js'
import { concat, type Tensor, where } from '../../../tensor/tensor.js'
import { cut } from '../../graph/along.js'
import type { Call } from '../../graph/call.js'
import { type HostValue, hostValue, knownConstant, MOST_KNOWN, tensorOf } from '../../graph/host.js'
import { dtypeOf, type Table } from './table.js'

/** An input since some opset, an attribute before. */
function listed(call: Call, since: number, index: number, name: string) {
  if (call.version < since) return call.list(name)
  return call.has(index) ? call.numbers(index, name) : undefined
}

/** Known numbers in another shape. */
const reshaped = (x: HostValue, shape: Shape): HostValue => ({ ...x, shape })

function newShape(call: Call, from: Shape): Shape {
  const wanted = call.numbers(1, 'the shape')
  const zero = call.flag('allowzero', false)
  const sizes = wanted.map((n, i) => (n === 0 && !zero ? (from[i] ?? 0) : n))
  const open = sizes.indexOf(-1)
  const rest = sizes.reduce((product, n, i) => (i === open ? product : product * n), 1)
  const shape = sizes.map((n, i) => (i === open ? (rest === 0 ? 0 : sizeOf(from) / rest) : n))
  if (sizeOf(shape) !== sizeOf(from) || shape.some((n) => !Number.isInteger(n) || n < 0))
    call.fail(
      `[${from}] has ${sizeOf(from)} elements, which do not fill [${wanted}]; was the file exported for another batch size?`,
    )
  return shape
}

function unsqueezed(call: Call, shape: Shape): Shape {
  const axes = listed(call, 13, 1, 'axes') ?? call.fail('its axes are missing')
  const rank = shape.length + axes.length
  const places = new Set(axes.map((axis) => call.axis(axis, rank)))
  let at = 0
  return Array.from({ length: rank }, (_, i) => (places.has(i) ? 1 : shape[at++]))
}

function squeezed(call: Call, shape: Shape): Shape {
  const axes = listed(call, 13, 1, 'axes')
  if (axes === undefined) return shape.filter((n) => n !== 1)
  const places = new Set(axes.map((axis) => call.axis(axis, shape.length)))
  for (const axis of places)
    if (shape[axis] !== 1) call.fail(`dimension ${axis} of [${shape}] is not 1`)
  return shape.filter((_, i) => !places.has(i))
}

const asShape = (shape: (call: Call, from: Shape) => Shape) => ({
  run: (call: Call) => call.tensor(0).reshape(...shape(call, call.tensor(0).shape)),
  host: (call: Call) => {
    const x = call.known(0)
    return x && reshaped(x, shape(call, x.shape))
  },
  passes: [0],
})

/** The sizes of an input from `start` to `end`, since opset 15. */
function shapeOf(call: Call): HostValue {
  const { shape } = call.value(0)
  const sizes = shape.slice(call.int('start', 0), call.get('end') ? call.int('end', 0) : undefined)
  return hostValue('int32', [sizes.length], sizes)
}

function concatKnown(call: Call): HostValue | undefined {
  const parts = call.inputs.map((_, i) => call.known(i))
  const [first] = parts
  if (first === undefined || parts.some((part) => part?.shape.length !== 1)) return undefined
  const data = parts.flatMap((part) => [...(part?.data ?? [])])
  return hostValue(first.dtype, [data.length], data)
}

function gather(call: Call): Tensor {
  const x = call.tensor(0)
  const axis = call.axis(call.int('axis', 0), x.shape.length)
  const known = call.known(1)
  const before = x.shape.slice(0, axis)
  const after = x.shape.slice(axis + 1)
  const index = call.tensor(1).int()
  if (known && known.data.length === 1) {
    const [at] = known.data
    const from = at < 0 ? at + x.shape[axis] : at
    if (!(from >= 0 && from < x.shape[axis]))
      call.fail(`the index ${at} is not one of ${x.shape[axis]} along axis ${axis}`)
    return x.slice(from, from + 1, { dim: axis }).reshape(...before, ...known.shape, ...after)
  }
  const flat = index.reshape(sizeOf(index.shape))
  const rows = where(flat.lt(0), flat.add(x.shape[axis]), flat)
  if (x.shape.length === 2 && axis === 0 && isFloat(x.dtype))
    return F.embedding(rows, x).reshape(...index.shape, ...after)
  return x.indexSelect(axis, rows).reshape(...before, ...index.shape, ...after)
}

function gatherKnown(call: Call): HostValue | undefined {
  const [x, index] = [call.known(0), call.known(1)]
  if (x?.shape.length !== 1 || index === undefined) return undefined
  const data = index.data.map((i) => x.data[i < 0 ? i + x.data.length : i] ?? Number.NaN)
  if (data.some((v) => Number.isNaN(v)))
    call.fail(`an index of ${[...index.data]} is not one of ${x.data.length}`)
  return { dtype: x.dtype, shape: index.shape, data }
}

function sliced(call: Call): Tensor {
  let x = call.tensor(0)
  const starts = listed(call, 10, 1, 'starts') ?? call.fail('its starts are missing')
  const ends = listed(call, 10, 2, 'ends') ?? call.fail('its ends are missing')
  const axes = listed(call, 10, 3, 'axes') ?? starts.map((_, i) => i)
  const steps = call.has(4) ? call.numbers(4, 'the steps') : starts.map(() => 1)
  starts.forEach((start, i) => {
    const dim = call.axis(axes[i], x.shape.length)
    const n = x.shape[dim]
    const step = steps[i]
    if (step === 0) call.fail('a step is 0')
    const place = (at: number, least: number, most: number) =>
      Math.min(Math.max(at < 0 ? at + n : at, least), most)
    const [least, most] = step > 0 ? [0, n] : [-1, n - 1]
    const from = place(start, 0, most)
    x = cut(x, dim, from, place(ends[i], least, most), step)
  })
  return x
}

function split(call: Call): Tensor[] {
  const x = call.tensor(0)
  const axis = call.axis(call.int('axis', 0), x.shape.length)
  const count = call.node.outputs.length
  const sizes = listed(call, 13, 1, 'split')
  return x.split(sizes ?? Math.ceil(x.shape[axis] / count), axis)
}

function pad(call: Call): Tensor {
  const x = call.tensor(0)
  const rank = x.shape.length
  const pads = listed(call, 11, 1, 'pads') ?? call.fail('its pads are missing')
  const value = call.version < 11 ? call.float('value', 0) : (call.known(2)?.data[0] ?? 0)
  if (call.version >= 11 && call.has(2) && !call.known(2)) call.fail('its value must be known')
  const axes = (call.has(3) ? call.numbers(3, 'the axes') : x.shape.map((_, i) => i)).map((axis) =>
    call.axis(axis, rank),
  )
  const mode = call.text('mode', 'constant')
  const modes = { reflect: 'reflect', edge: 'replicate', wrap: 'circular', constant: 'constant' }
  if (!Object.hasOwn(modes, mode)) call.fail(`the mode ${mode} is not known`)
  let y = x
  const widths = new Array<number>(2 * rank).fill(0)
  axes.forEach((axis, i) => {
    const [low, high] = [pads[i], pads[i + axes.length]]
    if (low < 0) y = y.slice(-low, undefined, { dim: axis })
    if (high < 0) y = y.slice(0, high, { dim: axis })
    widths[2 * (rank - 1 - axis)] = Math.max(low, 0)
    widths[2 * (rank - 1 - axis) + 1] = Math.max(high, 0)
  })
  return F.pad(y, widths, {
    mode: modes[mode as keyof typeof modes] as 'reflect' | 'replicate' | 'circular' | 'constant',
    value,
  })
}

/** Broadcasts in both directions. */
function expanded(call: Call): Tensor {
  const x = call.tensor(0)
  const shape = call.numbers(1, 'the shape')
  const rank = Math.max(shape.length, x.shape.length)
  const own = [...new Array<number>(rank - x.shape.length).fill(1), ...x.shape]
  const wide = [...new Array<number>(rank - shape.length).fill(1), ...shape]
  return x.reshape(...own).expand(...own.map((n, i) => (n === 1 ? wide[i] : n)))
}

function constantOfShape(call: Call): HostValue | Tensor {
  const shape = call.numbers(0, 'the shape')
  const given = call.constant('value')
  const value = given && knownConstant(given, 'its value')
  const dtype: DType = value?.dtype ?? 'float32'
  const number = value?.data[0] ?? 0
  if (shape.some((n) => n < 0)) call.fail(`[${shape}] is no shape`)
  if (sizeOf(shape) <= MOST_KNOWN)
    return hostValue(dtype, shape, new Float64Array(sizeOf(shape)).fill(number))
  return tensorOf(hostValue(dtype, [1], [number]))
    .reshape(...shape.map(() => 1))
    .expand(...shape)
}

function range(call: Call): HostValue {
  const [start, end, step] = [0, 1, 2].map((i) => call.number(i, ['start', 'limit', 'delta'][i]))
  const count = Math.max(Math.ceil((end - start) / step), 0)
  if (!(count <= 1 << 24)) call.fail(`from ${start} to ${end} by ${step} are too many numbers`)
  const data = Array.from({ length: count }, (_, i) => start + i * step)
  return hostValue(call.value(0).dtype, [count], data)
}

function oneHot(call: Call): Tensor {
  const depth = call.number(1, 'the depth')
  const index = call.tensor(0).int()
  const values = call.tensor(2)
  const rank = index.shape.length + 1
  const axis = call.axis(call.int('axis', -1), rank)
  const positive = where(index.lt(0), index.add(depth), index)
  const shape = [...positive.shape.slice(0, axis), 1, ...positive.shape.slice(axis)]
  const places = arange(depth).reshape(...shape.map((_, i) => (i === axis ? depth : 1)))
  const hit = positive.reshape(...shape).eq(places)
  return where(hit, values.slice(1, 2), values.slice(0, 1))
}

function nonZero(call: Call): HostValue {
  const x = call.known(0) ?? call.fail('its input must be known before the graph runs')
  const found = [...x.data.keys()].filter((i) => x.data[i] !== 0)
  const rows = x.shape.map((n, d) => {
    const stride = sizeOf(x.shape.slice(d + 1))
    return found.map((i) => Math.floor(i / stride) % n)
  })
  return hostValue('int32', [x.shape.length, found.length], rows.flat())
}

function depthToSpace(call: Call): Tensor {
  const x = call.tensor(0)
  const b = call.int('blocksize', 1)
  const [n, c, h, w] = x.shape
  const d = c / (b * b)
  if (call.text('mode', 'DCR') === 'CRD')
    return x
      .reshape(n, d, b, b, h, w)
      .permute(0, 1, 4, 2, 5, 3)
      .reshape(n, d, h * b, w * b)
  return x
    .reshape(n, b, b, d, h, w)
    .permute(0, 3, 4, 1, 5, 2)
    .reshape(n, d, h * b, w * b)
}

function spaceToDepth(call: Call): Tensor {
  const x = call.tensor(0)
  const b = call.int('blocksize', 1)
  const [n, c, h, w] = x.shape
  const parts = x.reshape(n, c, h / b, b, w / b, b).permute(0, 3, 5, 1, 2, 4)
  return parts.reshape(n, c * b * b, h / b, w / b)
}

export const shape: Table = {
  Shape: { run: shapeOf },
  Size: { run: (call) => hostValue('int32', [], [sizeOf(call.value(0).shape)]) },
  Reshape: asShape(newShape),
  Flatten: asShape((call, from) => {
    const axis = call.int('axis', 1)
    const at = axis < 0 ? axis + from.length : axis
    return [sizeOf(from.slice(0, at)), sizeOf(from.slice(at))]
  }),
  Squeeze: asShape(squeezed),
  Unsqueeze: asShape(unsqueezed),
  Transpose: {
    run: (call) => {
      const x = call.tensor(0)
      return x.permute(...(call.list('perm') ?? x.shape.map((_, i) => x.shape.length - 1 - i)))
    },
    passes: [0],
  },
  Concat: {
    run: (call) => {
      const parts = call.tensors()
      return concat(parts, call.axis(call.int('axis', 0), parts[0].shape.length))
    },
    host: concatKnown,
    passes: Array.from({ length: 16 }, (_, i) => i),
  },
  Split: { run: split, passes: [0] },
  Slice: {
    run: sliced,
    passes: [0],
    host: (call) => {
      const x = call.known(0)
      if (x?.shape.length !== 1 || call.version < 10) return undefined
      const [start, end] = [1, 2].map((i) => call.numbers(i, 'its limits')[0])
      if (call.has(4) && call.numbers(4, 'the steps')[0] !== 1) return undefined
      const data = x.data.slice(start, end)
      return { dtype: x.dtype, shape: [data.length], data }
    },
  },
  Pad: { run: pad },
  Expand: { run: expanded },
  Tile: { run: (call) => call.tensor(0).repeat(...call.numbers(1, 'the repeats')) },
  Gather: { run: gather, host: gatherKnown, weights: [0] },
  ConstantOfShape: { run: constantOfShape },
  Range: { run: range },
  OneHot: { run: oneHot },
  NonZero: { run: nonZero },
  Trilu: {
    run: (call) => {
      const k = call.has(1) ? call.number(1, 'the diagonal') : 0
      const x = call.tensor(0)
      return call.flag('upper', true) ? x.triu(k) : x.tril(k)
    },
  },
  EyeLike: {
    run: (call) => {
      const [rows, columns] = call.value(0).shape
      const dtype = call.get('dtype') ? dtypeOf(call, call.int('dtype', 1)) : call.value(0).dtype
      const k = call.int('k', 0)
      return ones([rows, columns]).triu(k).tril(k).to(dtype)
    },
  },
  DepthToSpace: { run: depthToSpace },
  SpaceToDepth: { run: spaceToDepth },
}
