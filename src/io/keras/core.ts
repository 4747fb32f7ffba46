// Keras's layers that compute with whole rows or move elements: Dense, Embedding, shapes, padding, cropping, and the
// preprocessing that models keep inside.
import { fail } from '../../base/errors.js'
import { type Shape, showShape, sizeOf } from '../../base/shape.js'
import { embedding, linear } from '../../nn/functional/linear.js'
import { tensor } from '../../tensor/create.js'
import { einsum } from '../../tensor/products.js'
import type { Tensor } from '../../tensor/tensor.js'
import { type Fields, shown } from '../tfjs/plain.js'
import { activationOf } from './activation.js'
import { along, axesOf, firstChannels, type LayerKind, ofRank, only, type Slot } from './layer.js'
import { channelsFirst, channelsLast, padSpace, resize } from './space.js'

/** The slots of a layer with a kernel and perhaps a bias. */
export function kernelSlots(config: Fields, ...names: readonly string[]): Slot[] {
  const kernels = names.length === 0 ? ['kernel'] : names
  return [...kernels, ...(config.flag('use_bias', true) ? ['bias'] : [])].map((name) => ({ name }))
}

/** Slots with the shapes that the configuration asks for, −1 any. */
export function shaped(
  slots: readonly Slot[],
  shapes: { readonly [name: string]: Shape | undefined },
): Slot[] {
  return slots.map((slot) => {
    const shape = Object.hasOwn(shapes, slot.name) ? shapes[slot.name] : undefined
    return shape === undefined ? slot : { ...slot, shape }
  })
}

/** [.., in] · [in, out] + [out] */
export const Dense: LayerKind = (config, { keras }) => {
  const activation = activationOf(config, 'activation', keras)
  const units = config.count('units', 1)
  return {
    slots: shaped(kernelSlots(config), { kernel: [-1, units], bias: [units] }),
    keepsMask: true,
    run(call) {
      const x = only(call, 'Dense').float()
      return activation(linear(x, call.weight('kernel').transpose(0, 1), call.find('bias')))
    },
  }
}

export const EinsumDense: LayerKind = (config, { keras }) => {
  const activation = activationOf(config, 'activation', keras)
  const equation = config.string('equation')
  const bias = config.has('bias_axes')
  return {
    slots: [{ name: 'kernel' }, ...(bias ? [{ name: 'bias' }] : [])],
    keepsMask: true,
    run(call) {
      const y = einsum(equation, only(call, 'EinsumDense'), call.weight('kernel'))
      const offset = call.find('bias')
      return activation(offset ? y.add(offset) : y)
    },
  }
}

export const Embedding: LayerKind = (config) => {
  const masks = config.flag('mask_zero', false)
  const shape = [config.count('input_dim', 1), config.count('output_dim', 1)]
  return {
    slots: [{ name: 'embeddings', shape }],
    run: (call) => embedding(only(call, 'Embedding').int(), call.weight('embeddings')),
    mask: (call) => (masks ? call.inputs[0].ne(0) : undefined),
  }
}

/** Zeroes the steps whose features all have one value, and masks them. */
export const Masking: LayerKind = (config) => {
  const value = config.number('mask_value', 0)
  const counts = (x: Tensor) => x.ne(value).any(-1, { keepdim: true })
  return {
    run: (call) => {
      const x = only(call, 'Masking')
      return x.mul(counts(x).float())
    },
    mask: (call) => counts(call.inputs[0]).squeeze(-1),
  }
}

/** [N, …] → [N, F], channels last whatever order the input has. */
export const Flatten: LayerKind = (config) => {
  const first = firstChannels(config)
  return {
    run(call) {
      const x = only(call, 'Flatten')
      if (x.shape.length < 2) return x.reshape(x.shape[0] ?? 1, 1)
      return (first && x.shape.length > 2 ? channelsLast(x) : x).flatten(1)
    },
  }
}

function signed(config: Fields, key: string): readonly number[] {
  // TensorFlow.js writes −1 as null.
  const list = config.list(key).map((n) => n ?? -1)
  if (!list.every((n) => typeof n === 'number' && Number.isSafeInteger(n) && n >= -1))
    fail(`${config.where}: ${key} is ${shown(list)}, but must be whole numbers, or −1`)
  return list as readonly number[]
}

export const Reshape: LayerKind = (config) => {
  const target = signed(config, 'target_shape')
  if (target.filter((n) => n === -1).length > 1)
    fail(`${config.where}: target_shape ${showShape(target)} has more than one −1`)
  return { run: (call) => reshapeBatch(only(call, 'Reshape'), target) }
}

function reshapeBatch(x: Tensor, target: Shape): Tensor {
  const size = sizeOf(x.shape.slice(1))
  const known = sizeOf(target.filter((n) => n !== -1))
  const found = known > 0 ? size / known : 0
  return x.reshape(
    x.shape[0],
    ...target.map((n) => (n === -1 && Number.isInteger(found) ? found : n)),
  )
}

export const Permute: LayerKind = (config) => {
  const dims = config.counts('dims', 1)
  return { run: (call) => only(call, 'Permute').permute(0, ...dims) }
}

/** [N, F] → [N, n, F] */
export const RepeatVector: LayerKind = (config) => {
  const n = config.count('n', 1)
  return {
    run(call) {
      const x = ofRank(call, 2, 'RepeatVector')
      return x.unsqueeze(1).expand(x.shape[0], n, x.shape[1])
    },
  }
}

type Sides = readonly (readonly [low: number, high: number])[]

/** `1`, `[1, 2]` or `[[1, 2], [0, 1]]`: for each dimension what lies before and after. */
function sides(config: Fields, key: string, rank: number): Sides {
  const value = config.get(key)
  const pair = (item: unknown): readonly [number, number] | undefined => {
    const [low, high] = Array.isArray(item) ? item : [item, item]
    const good = [low, high].every((n) => Number.isSafeInteger(n) && n >= 0)
    return good && (!Array.isArray(item) || item.length === 2) ? [low, high] : undefined
  }
  const items = !Array.isArray(value)
    ? new Array(rank).fill(value ?? 1)
    : rank === 1 && !Array.isArray(value[0])
      ? [value]
      : value
  const found = items.map(pair)
  const good = found.filter((item) => item !== undefined)
  if (good.length !== rank || found.length !== rank)
    fail(
      `${config.where}: ${key} is ${shown(value)}, but must be a pair for each of ${rank} dimensions`,
    )
  return good
}

/** Does something with [N, C, d…], whatever order the layer has. */
export function spatial(x: Tensor, first: boolean, work: (x: Tensor) => Tensor): Tensor {
  return first ? work(x) : channelsLast(work(channelsFirst(x)))
}

export const ZeroPadding =
  (rank: number): LayerKind =>
  (config) => {
    const first = firstChannels(config)
    const widths = sides(config, 'padding', rank)
    return {
      run: (call) =>
        spatial(ofRank(call, rank + 2, `ZeroPadding${rank}D`), first, (x) =>
          padSpace(x, widths, 0),
        ),
    }
  }

export const Cropping =
  (rank: number): LayerKind =>
  (config) => {
    const first = firstChannels(config)
    const widths = sides(config, 'cropping', rank)
    return {
      run(call) {
        let x = ofRank(call, rank + 2, `Cropping${rank}D`)
        widths.forEach(([low, high], d) => {
          const dim = (first ? 2 : 1) + d
          const size = x.shape[dim]
          if (low + high >= size)
            fail(`Cropping${rank}D: ${low} and ${high} of ${size} leave nothing`)
          x = x.slice(low, size - high, { dim })
        })
        return x
      },
    }
  }

/** Repeats pixels, or (2-d) interpolates between their centres as TensorFlow 2 does. */
export const UpSampling =
  (rank: number): LayerKind =>
  (config) => {
    const first = firstChannels(config)
    const sizes = config.sizes('size', rank, 2)
    const mode = config.string('interpolation', 'nearest')
    if (mode !== 'nearest' && !(mode === 'bilinear' && rank === 2))
      fail(`${config.where}: interpolation ${mode} is not read; nearest and bilinear are`)
    return {
      run(call) {
        const x = ofRank(call, rank + 2, `UpSampling${rank}D`)
        const axes = sizes.map((_, d) => (first ? 2 : 1) + d)
        if (mode === 'nearest')
          return axes.reduce((y, axis, d) => (sizes[d] === 1 ? y : repeated(y, axis, sizes[d])), x)
        const output = axes.map((axis, d) => x.shape[axis] * sizes[d])
        return resize(x, 'bilinear', axes, output, { halfPixelCenters: true })
      },
    }
  }

function repeated(x: Tensor, axis: number, times: number): Tensor {
  const wide = x.unsqueeze(axis + 1)
  const shape = wide.shape.map((n, i) => (i === axis + 1 ? times : n))
  return wide.expand(...shape).reshape(...x.shape.map((n, i) => (i === axis ? n * times : n)))
}

export const Resizing: LayerKind = (config) => {
  const first = firstChannels(config)
  const mode = config.string('interpolation', 'bilinear')
  const sizes = [config.count('height', 1), config.count('width', 1)]
  if (mode !== 'nearest' && mode !== 'bilinear')
    throw fail(`${config.where}: interpolation ${mode} is not read; nearest and bilinear are`)
  for (const key of ['crop_to_aspect_ratio', 'pad_to_aspect_ratio', 'antialias'])
    if (config.flag(key, false)) fail(`${config.where}: ${key} is not read`)
  return {
    run: (call) =>
      resize(ofRank(call, 4, 'Resizing'), mode, first ? [2, 3] : [1, 2], sizes, {
        halfPixelCenters: true,
      }),
  }
}

/** x·scale + offset */
export const Rescaling: LayerKind = (config) => {
  const values = (key: string, otherwise: number) =>
    Array.isArray(config.get(key)) ? numbers(config, key) : config.number(key, otherwise)
  const scale = values('scale', 1)
  const offset = values('offset', 0)
  return { keepsMask: true, run: (call) => affine(only(call, 'Rescaling').float(), scale, offset) }
}

type Numbers = number | readonly number[]

export function numbers(config: Fields, key: string): readonly number[] {
  const list = config.list(key).flat(8)
  if (!list.every((n) => typeof n === 'number'))
    fail(`${config.where}: ${key} is ${shown(config.get(key))}, but must be numbers`)
  return list as readonly number[]
}

function affine(x: Tensor, scale: Numbers, offset: Numbers): Tensor {
  return x.mul(perFeature(scale)).add(perFeature(offset))
}

function perFeature(values: Numbers): Tensor | number {
  return typeof values === 'number' ? values : hostRow(values)
}

/** (x − mean) / √variance over all axes but `axis`, with the numbers of the configuration or of the file. */
export const Normalization: LayerKind = (config) => {
  const given = config.get('axis')
  const axes =
    given === null ? [] : Array.isArray(given) ? signed(config, 'axis') : [config.number('axis')]
  const written = config.has('mean') && config.has('variance')
  const mean = written ? hostRow(plainNumbers(config, 'mean')) : undefined
  const variance = written ? hostRow(plainNumbers(config, 'variance')) : undefined
  const invert = config.flag('invert', false)
  return {
    slots: written
      ? []
      : [
          { name: 'mean', state: true },
          { name: 'variance', state: true },
          { name: 'count', state: true, optional: true },
        ],
    keepsMask: true,
    run(call) {
      const x = only(call, 'Normalization').float()
      const at = axesOf(axes, x.shape.length, 'Normalization')
      const fit = (value: Tensor) =>
        sizeOf(value.shape) === 1 ? value.reshape() : along(value, at, x)
      const centre = fit(mean ?? call.weight('mean'))
      // Keras's ε: what the deviation is at least.
      const deviation = fit(variance ?? call.weight('variance'))
        .sqrt()
        .clamp(1e-7)
      return invert ? x.mul(deviation).add(centre) : x.sub(centre).div(deviation)
    },
  }
}

function plainNumbers(config: Fields, key: string): readonly number[] {
  return Array.isArray(config.get(key)) ? numbers(config, key) : [config.number(key)]
}

function hostRow(values: readonly number[]): Tensor {
  return tensor(Float32Array.from(values), { shape: [values.length] })
}

/** What changes nothing when a model is used. */
export const Identity: LayerKind = (config) => ({
  keepsMask: true,
  run: (call) => only(call, config.where),
})
