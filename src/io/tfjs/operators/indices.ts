// TensorFlow's operators that pick and place by indices.
import { showShape, sizeOf, stridesOf } from '../../../base/shape.js'
import { embedding, oneHot } from '../../../nn/functional/linear.js'
import { zeros } from '../../../tensor/create.js'
import { type Tensor, where } from '../../../tensor/tensor.js'
import type { Call, Operators } from '../../graph/call.js'
import { hostValue } from '../../graph/host.js'

function gather(call: Call): Tensor {
  const x = call.tensor(0)
  const index = call.tensor(1).int()
  const rank = x.shape.length
  const axis = call.axis(call.has(2) ? call.number(2, 'its axis') : 0, rank)
  const batch = call.int('batch_dims', 0)
  if (batch !== 0)
    return gatherBatched(call, x, index, axis, batch < 0 ? batch + index.shape.length : batch)
  if (axis === 0 && rank === 2 && x.dtype === 'float32') return embedding(index, x)
  const count = sizeOf(index.shape)
  const picked = x.indexSelect(axis, index.reshape(count))
  return picked.reshape(...x.shape.slice(0, axis), ...index.shape, ...x.shape.slice(axis + 1))
}

/** x [B…, M…, n, R…] by index [B…, J…] → [B…, M…, J…, R…]. */
function gatherBatched(call: Call, x: Tensor, index: Tensor, axis: number, batch: number): Tensor {
  if (batch > axis || batch > index.shape.length) call.fail(`batch_dims ${batch} does not fit`)
  const lead = x.shape.slice(0, batch)
  const middle = x.shape.slice(batch, axis)
  const rest = x.shape.slice(axis + 1)
  const picks = index.shape.slice(batch)
  const [B, M, J, R] = [lead, middle, picks, rest].map(sizeOf)
  const table = x.reshape(B, M, x.shape[axis], R)
  const at = index.reshape(B, 1, J, 1).expand(B, M, J, R)
  return table.gather(2, at).reshape(...lead, ...middle, ...picks, ...rest)
}

/**
 * Positions in a flat table of what indices [.., K] point to in the first K dimensions of `shape`. Where a coordinate
 * is outside of its dimension the position is outside of the table, so that the run refuses it.
 */
function flatIndex(call: Call, index: Tensor, shape: readonly number[]): Tensor {
  const depth = index.shape.at(-1) ?? 0
  if (depth > shape.length || index.shape.length === 0)
    call.fail(`indices ${showShape(index.shape)} do not point into ${showShape(shape)}`)
  const strides = stridesOf(shape.slice(0, depth))
  const count = sizeOf(index.shape.slice(0, -1))
  const rows = index.int().reshape(count, depth)
  let flat: Tensor = zeros([count], { dtype: 'int32' })
  let outside: Tensor | undefined
  strides.forEach((stride, k) => {
    const at = rows.slice(k, k + 1, { dim: 1 }).squeeze(1)
    const beyond = at.lt(0).logicalOr(at.ge(shape[k]))
    outside = outside?.logicalOr(beyond) ?? beyond
    flat = flat.add(at.mul(stride))
  })
  return outside === undefined ? flat : where(outside, sizeOf(shape.slice(0, depth)), flat)
}

function gatherNd(call: Call): Tensor {
  const [x, index] = [call.tensor(0), call.tensor(1)]
  const depth = index.shape.at(-1) ?? 0
  const flat = flatIndex(call, index, x.shape)
  const rest = x.shape.slice(depth)
  const table = x.reshape(sizeOf(x.shape.slice(0, depth)), sizeOf(rest))
  return table.indexSelect(0, flat).reshape(...index.shape.slice(0, -1), ...rest)
}

const MOST = 2 ** 31

/** Zeros of a shape with rows added at their places. */
function scatterNd(call: Call): Tensor {
  const [index, updates] = [call.tensor(0), call.tensor(1)]
  const shape = call.numbers(2, 'its shape')
  if (!(sizeOf(shape) < MOST)) call.fail(`a tensor of [${shape}] is too large`)
  const depth = index.shape.at(-1) ?? 0
  const rest = shape.slice(depth)
  const flat = flatIndex(call, index, shape)
  const rows = updates.reshape(flat.shape[0], sizeOf(rest))
  const none = zeros([sizeOf(shape.slice(0, depth)), sizeOf(rest)], { dtype: updates.dtype })
  return none.indexAdd(0, flat, rows).reshape(...shape)
}

function sparseToDense(call: Call): Tensor {
  const shape = call.numbers(1, 'its shape')
  if (!(sizeOf(shape) < MOST)) call.fail(`a tensor of [${shape}] is too large`)
  const given = call.tensor(0)
  const index = given.shape.length === 2 ? given : given.reshape(sizeOf(given.shape), 1)
  const [values, otherwise] = [call.tensor(2), call.tensor(3)]
  const flat = flatIndex(call, index, shape)
  const rows = values.expand(flat.shape[0])
  const none = zeros([sizeOf(shape)], { dtype: values.dtype })
  return none
    .indexAdd(0, flat, rows.sub(otherwise))
    .add(otherwise)
    .reshape(...shape)
}

function hot(call: Call): Tensor {
  const index = call.tensor(0).int()
  const depth = call.number(1, 'its depth')
  const axis = call.axis(call.int('axis', -1), index.shape.length + 1)
  // Indices outside give rows without a 1.
  const inside = index.ge(0).logicalAnd(index.lt(depth))
  const hits = oneHot(where(inside, index, 0), depth)
    .bool()
    .logicalAnd(inside.unsqueeze(-1))
  return where(hits.movedim(-1, axis), call.tensor(2), call.tensor(3))
}

export const indices: Operators = {
  Gather: { weights: [0], run: gather },
  GatherV2: { weights: [0], run: gather },
  GatherNd: { run: gatherNd },
  ScatterNd: { run: scatterNd },
  SparseToDense: { run: sparseToDense },
  OneHot: { run: hot },
  TopKV2: {
    run(call) {
      const { values, indices: at } = call.tensor(0).topk(call.number(1, 'how many it takes'), -1)
      return [values, at]
    },
  },
  Where: {
    host(call) {
      const known = call.known(0)
      if (known === undefined) return undefined
      const { data, shape } = known
      const strides = stridesOf(shape)
      const found = [...data.keys()].filter((i) => data[i] !== 0)
      const places = found.flatMap((i) =>
        strides.map((stride, d) => Math.floor(i / stride) % shape[d]),
      )
      return hostValue('int32', [found.length, shape.length], places)
    },
    run: (call) =>
      call.fail(
        'how many places it finds depends on data: it works where all inputs it depends on are tensors made of numbers, tensor([…])',
      ),
  },
}
