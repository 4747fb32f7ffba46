// Keras's layers that make one tensor of several, and those that only do something in training.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { alphaDropout, dropout } from '../../nn/functional/dropout.js'
import { ones } from '../../tensor/create.js'
import { randnLike } from '../../tensor/random.js'
import { concat, type Tensor } from '../../tensor/tensor.js'
import type { Fields } from '../tfjs/plain.js'
import { axesOf, type Call, firstChannels, type LayerKind, only } from './layer.js'

/** Ranks made equal, with ones behind the batch, as Keras broadcasts. */
function aligned(inputs: readonly Tensor[]): Tensor[] {
  const rank = Math.max(...inputs.map(({ shape }) => shape.length))
  return inputs.map((x) => {
    const missing = rank - x.shape.length
    if (missing === 0 || x.shape.length === 0) return x
    return x.reshape(x.shape[0], ...new Array<number>(missing).fill(1), ...x.shape.slice(1))
  })
}

/**
 * The steps that count in a merge of several inputs: in Keras 3 those that count in any of them, and all where one has
 * no mask; in Keras 2 those that count in all that have one.
 */
function mergedMask({ masks }: Call, keras: 2 | 3): Tensor | undefined {
  const known = masks.filter((mask) => mask !== undefined)
  if (known.length === 0 || (keras === 3 && known.length < masks.length)) return undefined
  return known.reduce((a, b) => (keras === 3 ? a.logicalOr(b) : a.logicalAnd(b)))
}

export const Merge =
  (name: string, fn: (a: Tensor, b: Tensor) => Tensor, count?: number): LayerKind =>
  (_, { keras }) => ({
    mask: (call) => mergedMask(call, keras),
    run({ inputs }) {
      if (inputs.length === 0 || (count !== undefined && inputs.length !== count))
        fail(`${name}: there are ${inputs.length} inputs, it takes ${count ?? 'at least 1'}`)
      return aligned(inputs).reduce(fn)
    },
  })

export const Average: LayerKind = (_, { keras }) => ({
  mask: (call) => mergedMask(call, keras),
  run: ({ inputs }) =>
    aligned(inputs)
      .reduce((a, b) => a.add(b))
      .div(inputs.length),
})

/** Along the steps masks follow each other; along anything else they are merged, and an input without one counts. */
function concatenatedMask({ inputs, masks }: Call, axis: number, keras: 2 | 3): Tensor | undefined {
  if (masks.every((mask) => mask === undefined)) return undefined
  const [at] = axesOf([axis], inputs[0].shape.length, 'Concatenate')
  const whole = inputs.map((x, i) => masks[i] ?? ones(x.shape.slice(0, 2), { dtype: 'bool' }))
  if (at < 2) return concat(whole, at)
  return whole.reduce((a, b) => (keras === 3 ? a.logicalOr(b) : a.logicalAnd(b)))
}

export const Concatenate: LayerKind = (config, { keras }) => {
  const axis = config.number('axis', -1)
  return {
    mask: (call) => concatenatedMask(call, axis, keras),
    run({ inputs }) {
      const [at] = axesOf([axis], inputs[0].shape.length, 'Concatenate')
      return concat(inputs, at)
    },
  }
}

/** Σ over one axis of each input but the batch, after L2 normalisation where asked for. */
export const Dot: LayerKind = (config) => {
  const value = config.get('axes')
  const axes = Array.isArray(value) ? value : [value, value]
  const normalize = config.flag('normalize', false)
  return {
    run({ inputs: [first, second] }) {
      if (first === undefined || second === undefined) throw fail('Dot: there must be two inputs')
      const [i, j] = axes.map(
        (axis, k) => axesOf([Number(axis)], [first, second][k].shape.length, 'Dot')[0],
      )
      let [a, b] = [first.movedim(i, -1), second.movedim(j, -1)]
      if (a.shape.at(-1) !== b.shape.at(-1))
        fail(
          `Dot: ${showShape(first.shape)} and ${showShape(second.shape)} differ along axes ${i} and ${j}`,
        )
      const unit = (x: Tensor) => x.mul(x.square().sum(-1, { keepdim: true }).clamp(1e-12).rsqrt())
      if (normalize) [a, b] = [unit(a), unit(b)]
      const batch = a.shape[0]
      const width = a.shape.at(-1) ?? 1
      const [left, right] = [a.shape.slice(1, -1), b.shape.slice(1, -1)]
      const product = a
        .reshape(batch, -1, width)
        .matmul(b.reshape(batch, -1, width).transpose(1, 2))
      const shape = [...left, ...right]
      return product.reshape(batch, ...(shape.length === 0 ? [1] : shape))
    },
  }
}

function rateOf(config: Fields): number {
  const rate = config.number('rate', 0.5)
  if (!(rate >= 0 && rate < 1))
    fail(`${config.where}: rate is ${rate}, but must be from 0, below 1`)
  return rate
}

/** Drops elements, or where `noise_shape` has a 1 all along that dimension together. */
export const Dropout: LayerKind = (config) => {
  const p = rateOf(config)
  const shared = config.has('noise_shape') ? config.list('noise_shape') : undefined
  return {
    keepsMask: true,
    run(call) {
      const x = only(call, 'Dropout')
      if (!call.training) return x
      if (shared === undefined) return dropout(x, { p })
      return x.mul(dropout(ones(x.shape.map((n, i) => (shared[i] === 1 ? 1 : n))), { p }))
    },
  }
}

/** Drops whole channels. */
export const SpatialDropout =
  (rank: number): LayerKind =>
  (config) => {
    const p = rateOf(config)
    const first = firstChannels(config)
    return {
      keepsMask: true,
      run(call) {
        const x = only(call, `SpatialDropout${rank}D`)
        if (!call.training) return x
        const channel = first ? 1 : x.shape.length - 1
        const shape = x.shape.map((n, i) => (i === 0 || i === channel ? n : 1))
        return x.mul(dropout(ones(shape), { p }))
      },
    }
  }

export const AlphaDropout: LayerKind = (config) => {
  const p = rateOf(config)
  return {
    keepsMask: true,
    run: (call) => alphaDropout(only(call, 'AlphaDropout'), { p, training: call.training }),
  }
}

export const GaussianNoise: LayerKind = (config) => {
  const stddev = config.number('stddev', 1)
  return {
    keepsMask: true,
    run(call) {
      const x = only(call, 'GaussianNoise')
      return call.training ? x.add(randnLike(x).mul(stddev)) : x
    },
  }
}

/** x·(1 + noise) with the variance dropout would have. */
export const GaussianDropout: LayerKind = (config) => {
  const rate = rateOf(config)
  return {
    keepsMask: true,
    run(call) {
      const x = only(call, 'GaussianDropout')
      if (!call.training || rate === 0) return x
      return x.mul(
        randnLike(x)
          .mul(Math.sqrt(rate / (1 - rate)))
          .add(1),
      )
    },
  }
}
