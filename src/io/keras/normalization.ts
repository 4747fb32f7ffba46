// Keras's normalisations. BatchNormalization moves its running statistics in training as Keras 3 and TensorFlow.js do,
// by the variance divided by the count (TensorFlow's fused kernel of Keras 2 divides by count − 1).
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { batchNorm } from '../../nn/functional/normalization.js'
import type { Tensor } from '../../tensor/tensor.js'
import { type Fields, shown } from '../tfjs/plain.js'
import { along, axesOf, type LayerKind, only, type Slot } from './layer.js'

/** The axes of a normalisation: a number or a list. */
function listed(config: Fields, otherwise: number): readonly number[] {
  const value = config.get('axis') ?? otherwise
  const axes = Array.isArray(value) ? value : [value]
  if (!axes.every((axis) => typeof axis === 'number' && Number.isInteger(axis)))
    fail(`${config.where}: axis is ${shown(value)}, but must be dimensions`)
  return axes as readonly number[]
}

const scaled = (config: Fields): Slot[] => [
  ...(config.flag('scale', true) ? [{ name: 'gamma' }] : []),
  ...(config.flag('center', true) ? [{ name: 'beta' }] : []),
]

export const BatchNormalization: LayerKind = (config) => {
  const [axis, ...more] = listed(config, -1)
  if (more.length > 0) fail(`${config.where}: axis must be one dimension`)
  if (config.flag('renorm', false)) fail(`${config.where}: renorm is not read`)
  const eps = config.number('epsilon', 1e-3)
  const momentum = config.number('momentum', 0.99)
  return {
    slots: [
      ...scaled(config),
      { name: 'moving_mean', state: true },
      { name: 'moving_variance', state: true },
    ],
    keepsMask: true,
    run(call) {
      const x = only(call, 'BatchNormalization').float()
      const rank = x.shape.length
      const [at] = axesOf([axis], rank, 'BatchNormalization')
      const [mean, variance] = [call.weight('moving_mean'), call.weight('moving_variance')]
      const options = { weight: call.find('gamma'), bias: call.find('beta'), eps }
      const input = at === 1 ? x : x.movedim(at, 1)
      const back = (y: Tensor) => (at === 1 ? y : y.movedim(1, at))
      if (!call.training) return back(batchNorm(input, mean, variance, options))
      const rest = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 1)
      const now = input.detach().varMean(rest, { correction: 0 })
      mean.set(mean.mul(momentum).add(now.mean.mul(1 - momentum)))
      variance.set(variance.mul(momentum).add(now.var.mul(1 - momentum)))
      return back(batchNorm(input, undefined, undefined, { ...options, training: true }))
    },
  }
}

export const LayerNormalization: LayerKind = (config) => {
  const axes = listed(config, -1)
  const eps = config.number('epsilon', 1e-3)
  const rms = config.flag('rms_scaling', false)
  return {
    slots: rms ? [{ name: 'gamma' }] : scaled(config),
    keepsMask: true,
    run(call) {
      const x = only(call, 'LayerNormalization').float()
      const at = axesOf(axes, x.shape.length, 'LayerNormalization')
      const fit = (value: Tensor) => along(value, at, x)
      const [gamma, beta] = [call.find('gamma'), call.find('beta')]
      if (rms) {
        // Unlike RMSNormalization: the input as it is, over its deviation from the mean.
        const { var: variance } = x.varMean(at, { correction: 0, keepdim: true })
        return x.mul(variance.add(eps).rsqrt()).mul(fit(call.weight('gamma')))
      }
      return affine(normalized(x, at, eps), gamma && fit(gamma), beta && fit(beta))
    },
  }
}

function normalized(x: Tensor, axes: readonly number[], eps: number): Tensor {
  const centred = x.sub(x.mean(axes, { keepdim: true }))
  const variance = centred.square().mean(axes, { keepdim: true })
  return centred.mul(variance.add(eps).rsqrt())
}

function affine(x: Tensor, gamma: Tensor | undefined, beta: Tensor | undefined): Tensor {
  const y = gamma ? x.mul(gamma) : x
  return beta ? y.add(beta) : y
}

export const GroupNormalization: LayerKind = (config) => {
  const groups = config.number('groups', 32)
  const [axis] = listed(config, -1)
  const eps = config.number('epsilon', 1e-3)
  return {
    slots: scaled(config),
    keepsMask: true,
    run(call) {
      const x = only(call, 'GroupNormalization').float()
      const [at] = axesOf([axis], x.shape.length, 'GroupNormalization')
      const channels = x.shape[at]
      const count = groups === -1 ? channels : groups
      if (count < 1 || channels % count !== 0)
        fail(
          `GroupNormalization: ${count} groups do not divide the ${channels} channels of ${showShape(x.shape)}`,
        )
      const shape = x.shape.flatMap((n, i) => (i === at ? [count, channels / count] : [n]))
      const split = x.reshape(...shape)
      const axes = shape.map((_, i) => i).filter((i) => i !== 0 && i !== at)
      const y = normalized(split, axes, eps).reshape(...x.shape)
      const fit = (value: Tensor | undefined) => value && along(value, [at], x)
      return affine(y, fit(call.find('gamma')), fit(call.find('beta')))
    },
  }
}

export const RMSNormalization: LayerKind = (config) => {
  const axes = listed(config, -1)
  const eps = config.number('epsilon', 1e-6)
  return {
    slots: [{ name: 'scale' }],
    keepsMask: true,
    run(call) {
      const x = only(call, 'RMSNormalization').float()
      const at = axesOf(axes, x.shape.length, 'RMSNormalization')
      const mean = x.square().mean(at, { keepdim: true })
      return x.mul(mean.add(eps).rsqrt()).mul(along(call.weight('scale'), at, x))
    },
  }
}

/** x / √max(Σx², ε) */
export const UnitNormalization: LayerKind = (config) => {
  const axes = listed(config, -1)
  return {
    keepsMask: true,
    run(call) {
      const x = only(call, 'UnitNormalization').float()
      const at = axesOf(axes, x.shape.length, 'UnitNormalization')
      return x.mul(x.square().sum(at, { keepdim: true }).clamp(1e-12).rsqrt())
    },
  }
}
