// TensorFlow's operators on shapes: what moves, joins, cuts, repeats and resizes, and reductions.
import { sizeOf } from '../../../base/shape.js'
import { concat, stack, type Tensor } from '../../../tensor/tensor.js'
import { cumulative, cut } from '../../graph/along.js'
import type { Call, Operator, Operators } from '../../graph/call.js'
import { hostValue } from '../../graph/host.js'
import { resize } from '../../keras/space.js'

type Reduction = (x: Tensor, axes: readonly number[], keepdim: boolean) => Tensor

const reduction = (fn: Reduction): Operator => ({
  run(call) {
    const x = call.tensor(0)
    const rank = x.shape.length
    const axes = call.numbers(1, 'its axes').map((axis) => call.axis(axis, rank))
    // No axes: nothing is reduced, other than in the methods of tensors.
    return axes.length === 0 ? x : fn(x, axes, call.flag('keep_dims', false))
  },
})

const arg = (fn: (x: Tensor, axis: number) => Tensor): Operator => ({
  run(call) {
    const x = call.tensor(0)
    const axis = call.has(1) ? call.number(1, 'its axis') : 0
    return fn(x, call.axis(axis, x.shape.length))
  },
})

function squeeze(call: Call): Tensor {
  const x = call.tensor(0)
  const given = call.list('squeeze_dims') ?? call.list('axis') ?? []
  const axes = given.map((axis) => call.axis(axis, x.shape.length))
  const gone = (n: number, i: number) => (axes.length === 0 ? n === 1 : axes.includes(i))
  const bad = x.shape.findIndex((n, i) => gone(n, i) && n !== 1)
  if (bad >= 0) call.fail(`dimension ${bad} of its input is ${x.shape[bad]}, not 1`)
  return x.reshape(...x.shape.filter((n, i) => !gone(n, i)))
}

function expandDims(call: Call): Tensor {
  const x = call.tensor(0)
  const axis = call.has(1) ? call.number(1, 'its axis') : call.int('dim', 0)
  return x.unsqueeze(call.axis(axis, x.shape.length + 1))
}

function reshape(call: Call): Tensor {
  const x = call.tensor(0)
  const shape = call.numbers(1, 'its shape')
  const rest = sizeOf(shape.filter((n) => n !== -1))
  // −1 beside a 0 leaves open what it stands for.
  return x.reshape(...(rest === 0 ? shape.map((n) => Math.max(n, 0)) : shape))
}

function stridedSlice(call: Call): Tensor {
  let x = call.tensor(0)
  const begin = call.numbers(1, 'its begin')
  const end = call.numbers(2, 'its end')
  const strides = call.has(3) ? call.numbers(3, 'its strides') : begin.map(() => 1)
  const mask = (name: string) => call.int(name, 0)
  const bit = (bits: number, i: number) => ((bits >> i) & 1) === 1
  const [begins, ends, ellipsis, fresh, shrink] = [
    'begin_mask',
    'end_mask',
    'ellipsis_mask',
    'new_axis_mask',
    'shrink_axis_mask',
  ].map(mask)
  const taken = begin.filter((_, i) => !bit(fresh, i) && !bit(ellipsis, i)).length
  let dim = 0
  const shape: number[] = []
  begin.forEach((_, i) => {
    if (bit(ellipsis, i)) {
      for (let skip = x.shape.length - taken; skip > 0; skip--) shape.push(x.shape[dim++])
      return
    }
    if (bit(fresh, i)) {
      shape.push(1)
      return
    }
    const size = x.shape[dim]
    if (size === undefined) call.fail(`it cuts ${taken} dimensions of ${x.shape.length}`)
    const step = strides[i]
    if (step === 0) call.fail('its stride is 0')
    const positive = (n: number) => (n < 0 ? n + size : n)
    if (bit(shrink, i)) {
      const at = positive(begin[i])
      if (!(at >= 0 && at < size)) call.fail(`index ${begin[i]} is not one of ${size} positions`)
      x = x.slice(at, at + 1, { dim })
      dim++
      return
    }
    const [least, most] = step > 0 ? [0, size] : [-1, size - 1]
    const clip = (n: number) => Math.min(Math.max(positive(n), least), most)
    const from = bit(begins, i) ? (step > 0 ? 0 : size - 1) : clip(begin[i])
    const to = bit(ends, i) ? (step > 0 ? size : -1) : clip(end[i])
    x = cut(x, dim, from, to, step)
    shape.push(x.shape[dim])
    dim++
  })
  while (dim < x.shape.length) shape.push(x.shape[dim++])
  return x.reshape(...shape)
}

function slice(call: Call): Tensor {
  let x = call.tensor(0)
  const begin = call.numbers(1, 'its begin')
  const size = call.numbers(2, 'its size')
  begin.forEach((from, dim) => {
    const to = size[dim] === -1 ? x.shape[dim] : from + size[dim]
    if (!(from >= 0 && to <= x.shape[dim]))
      call.fail(`${from} … ${to} is not within the ${x.shape[dim]} positions of dimension ${dim}`)
    x = x.slice(from, to, { dim })
  })
  return x
}

function pairs(call: Call, index: number, rank: number): (readonly [number, number])[] {
  const list = call.numbers(index, 'its paddings')
  if (list.length !== 2 * rank) call.fail(`it has ${list.length} paddings for ${rank} dimensions`)
  if (list.some((n) => n < 0)) call.fail('a padding is negative')
  return Array.from({ length: rank }, (_, d) => [list[2 * d], list[2 * d + 1]])
}

function pad(call: Call): Tensor {
  const x = call.tensor(0)
  const widths = pairs(call, 1, x.shape.length)
  const value = call.has(2) ? call.number(2, 'the value it pads with') : 0
  return x.pad([...widths].reverse().flat(), value)
}

/** REFLECT leaves the edge out, SYMMETRIC repeats it. */
function mirrorPad(call: Call): Tensor {
  let x = call.tensor(0)
  const edge = call.text('mode', 'REFLECT') === 'SYMMETRIC' ? 0 : 1
  pairs(call, 1, x.shape.length).forEach(([low, high], dim) => {
    const size = x.shape[dim]
    if (Math.max(low, high) > size - edge)
      call.fail(`${low} and ${high} around ${size} are too wide`)
    const before = x.slice(edge, edge + low, { dim }).flip(dim)
    const after = x.slice(size - edge - high, size - edge, { dim }).flip(dim)
    const parts = [...(low > 0 ? [before] : []), x, ...(high > 0 ? [after] : [])]
    if (parts.length > 1) x = concat(parts, dim)
  })
  return x
}

function split(call: Call): Tensor[] {
  if (call.node.op === 'SplitV') {
    const x = call.tensor(0)
    const axis = call.axis(call.number(2, 'its axis'), x.shape.length)
    const sizes = call.numbers(1, 'its sizes')
    const known = sizes.filter((n) => n !== -1).reduce((sum, n) => sum + n, 0)
    return x.split(
      sizes.map((n) => (n === -1 ? x.shape[axis] - known : n)),
      axis,
    )
  }
  const x = call.tensor(1)
  const axis = call.axis(call.number(0, 'its axis'), x.shape.length)
  const count = call.int('num_split', 1)
  if (count < 1 || x.shape[axis] % count !== 0)
    call.fail(`${x.shape[axis]} positions cannot be split in ${count} equal parts`)
  return x.split(x.shape[axis] / count, axis)
}

/** [N, H, W, C] ↔ blocks in the channels. */
function depthToSpace(call: Call): Tensor {
  const x = call.tensor(0)
  const size = call.int('block_size', 2)
  if (call.text('data_format', 'NHWC') !== 'NHWC') call.fail('data_format must be NHWC')
  const [n, h, w, c] = x.shape
  return x
    .reshape(n, h, w, size, size, c / size ** 2)
    .permute(0, 1, 3, 2, 4, 5)
    .reshape(n, h * size, w * size, c / size ** 2)
}

function spaceToDepth(call: Call): Tensor {
  const x = call.tensor(0)
  const size = call.int('block_size', 2)
  if (call.text('data_format', 'NHWC') !== 'NHWC') call.fail('data_format must be NHWC')
  const [n, h, w, c] = x.shape
  return x
    .reshape(n, h / size, size, w / size, size, c)
    .permute(0, 1, 3, 2, 4, 5)
    .reshape(n, h / size, w / size, c * size ** 2)
}

function spaceToBatch(call: Call): Tensor {
  const block = call.numbers(1, 'its block shape')
  const paddings = call.numbers(2, 'its paddings')
  let x = call.tensor(0)
  const m = block.length
  const tail = x.shape.length - 1 - m
  const widths = block.map((_, d) => [paddings[2 * d], paddings[2 * d + 1]])
  x = x.pad([...new Array<number>(2 * tail).fill(0), ...[...widths].reverse().flat()])
  const [n, ...rest] = x.shape
  const sizes = rest.slice(0, m).flatMap((size, d) => [size / block[d], block[d]])
  const end = rest.slice(m)
  const blocks = block.map((_, d) => 2 + 2 * d)
  const places = block.map((_, d) => 1 + 2 * d)
  return x
    .reshape(n, ...sizes, ...end)
    .permute(...blocks, 0, ...places, ...end.map((_, d) => 1 + 2 * m + d))
    .reshape(n * sizeOf(block), ...block.map((b, d) => rest[d] / b), ...end)
}

function batchToSpace(call: Call): Tensor {
  const block = call.numbers(1, 'its block shape')
  const crops = call.numbers(2, 'its crops')
  const x = call.tensor(0)
  const m = block.length
  const batch = x.shape[0] / sizeOf(block)
  const spatial = x.shape.slice(1, 1 + m)
  const end = x.shape.slice(1 + m)
  const order = [m, ...block.flatMap((_, d) => [m + 1 + d, d]), ...end.map((_, d) => 2 * m + 1 + d)]
  let y = x
    .reshape(...block, batch, ...spatial, ...end)
    .permute(...order)
    .reshape(batch, ...spatial.map((n, d) => n * block[d]), ...end)
  block.forEach((_, d) => {
    y = y.slice(crops[2 * d], y.shape[1 + d] - crops[2 * d + 1], { dim: 1 + d })
  })
  return y
}

const resizing = (mode: 'nearest' | 'bilinear'): Operator => ({
  run(call) {
    const x = call.tensor(0)
    if (x.shape.length !== 4) call.fail(`its input has ${x.shape.length} dimensions, not 4`)
    const sizes = call.numbers(1, 'the size of its result')
    if (sizes.length !== 2 || sizes.some((n) => !(n >= 1))) call.fail(`it resizes to [${sizes}]`)
    return resize(x, mode, [1, 2], sizes, {
      alignCorners: call.flag('align_corners', false),
      halfPixelCenters: call.flag('half_pixel_centers', false),
    })
  },
})

const MOST_FILLED = 2 ** 31

export const shapes: Operators = {
  Identity: { passes: [0], run: (call) => call.value(0) },
  IdentityN: { run: (call) => call.inputs },
  StopGradient: { run: (call) => call.tensor(0).detach() },
  PreventGradient: { run: (call) => call.tensor(0).detach() },
  Snapshot: { passes: [0], run: (call) => call.value(0) },
  PlaceholderWithDefault: { run: (call) => call.value(0) },
  CheckNumerics: { run: (call) => call.value(0) },
  EnsureShape: { run: (call) => call.value(0) },
  Reshape: { passes: [0], run: reshape },
  Squeeze: { passes: [0], run: squeeze },
  ExpandDims: { passes: [0], run: expandDims },
  Transpose: {
    passes: [0],
    run: (call) => call.tensor(0).permute(...call.numbers(1, 'its order')),
  },
  Concat: {
    run(call) {
      const parts = call.inputs.slice(1).map((_, i) => call.tensor(i + 1))
      return concat(parts, call.axis(call.number(0, 'its axis'), parts[0].shape.length))
    },
  },
  ConcatV2: {
    run(call) {
      const last = call.inputs.length - 1
      const parts = call.inputs.slice(0, last).map((_, i) => call.tensor(i))
      return concat(parts, call.axis(call.number(last, 'its axis'), parts[0].shape.length))
    },
  },
  Pack: {
    run: (call) =>
      stack(call.tensors(), call.axis(call.int('axis', 0), call.tensor(0).shape.length + 1)),
  },
  Unpack: {
    run(call) {
      const x = call.tensor(0)
      const axis = call.axis(call.int('axis', 0), x.shape.length)
      const count = call.int('num', x.shape[axis])
      if (count !== x.shape[axis]) call.fail(`it takes ${count} positions of ${x.shape[axis]}`)
      return x.unbind(axis)
    },
  },
  Split: { run: split },
  SplitV: { run: split },
  Slice: { run: slice },
  StridedSlice: { run: stridedSlice },
  Pad: { run: pad },
  PadV2: { run: pad },
  MirrorPad: { run: mirrorPad },
  Tile: { run: (call) => call.tensor(0).repeat(...call.numbers(1, 'its multiples')) },
  // The older operator says of each dimension whether it is reversed.
  Reverse: {
    run: (call) => reversed(call, (dims) => dims.flatMap((flag, axis) => (flag ? [axis] : []))),
  },
  ReverseV2: { run: (call) => reversed(call, (axes) => axes) },
  BroadcastTo: { run: (call) => call.tensor(0).expand(...call.numbers(1, 'its shape')) },
  Fill: {
    run(call) {
      const dims = call.numbers(0, 'its shape')
      if (!(sizeOf(dims) < MOST_FILLED)) call.fail(`a tensor of [${dims}] is too large`)
      return call.tensor(1).expand(...dims)
    },
  },
  Range: {
    run(call) {
      const [start, limit, delta] = ['start', 'limit', 'delta'].map((what, i) =>
        call.number(i, `its ${what}`),
      )
      const count = Math.max(Math.ceil((limit - start) / delta), 0)
      if (!(count < MOST_FILLED) || delta === 0)
        call.fail(`${start} … ${limit} by ${delta} has no end`)
      const known = call.known(0)
      return hostValue(
        known?.dtype ?? 'int32',
        [count],
        Array.from({ length: count }, (_, i) => start + i * delta),
      )
    },
  },
  Shape: { run: (call) => hostValue('int32', [shapeOf(call).length], shapeOf(call)) },
  Size: { run: (call) => hostValue('int32', [], [sizeOf(shapeOf(call))]) },
  Rank: { run: (call) => hostValue('int32', [], [shapeOf(call).length]) },
  DepthToSpace: { run: depthToSpace },
  SpaceToDepth: { run: spaceToDepth },
  SpaceToBatchND: { run: spaceToBatch },
  BatchToSpaceND: { run: batchToSpace },
  ResizeBilinear: resizing('bilinear'),
  ResizeNearestNeighbor: resizing('nearest'),
  Mean: reduction((x, axes, keepdim) => x.mean(axes, { keepdim })),
  Sum: reduction((x, axes, keepdim) => x.sum(axes, { keepdim })),
  Max: reduction((x, axes, keepdim) => x.amax(axes, { keepdim })),
  Min: reduction((x, axes, keepdim) => x.amin(axes, { keepdim })),
  Prod: reduction((x, axes, keepdim) => x.prod(axes, { keepdim })),
  All: reduction((x, axes, keepdim) => x.all(axes, { keepdim })),
  Any: reduction((x, axes, keepdim) => x.any(axes, { keepdim })),
  EuclideanNorm: reduction((x, axes, keepdim) => x.square().sum(axes, { keepdim }).sqrt()),
  ArgMax: arg((x, axis) => x.argmax(axis)),
  ArgMin: arg((x, axis) => x.argmin(axis)),
  Cumsum: { run: (call) => cumulative(call, 'cumsum') },
  Cumprod: { run: (call) => cumulative(call, 'cumprod') },
}

function shapeOf(call: Call): readonly number[] {
  return call.value(0).shape
}

function reversed(call: Call, axesOf: (given: readonly number[]) => readonly number[]): Tensor {
  const x = call.tensor(0)
  const axes = axesOf(call.numbers(1, 'its axes')).map((axis) => call.axis(axis, x.shape.length))
  return axes.length === 0 ? x : x.flip(...axes)
}
