// Keras's activations by name, and the layers that are one. Keras 3 changed hard_sigmoid, from slope 1/5 to 1/6.
import { fail } from '../../base/errors.js'
import {
  celu,
  elu,
  gelu,
  glu,
  hardshrink,
  hardswish,
  hardtanh,
  leakyRelu,
  logSigmoid,
  logSoftmax,
  mish,
  relu,
  relu6,
  selu,
  sigmoid,
  silu,
  softmax,
  softplus,
  softshrink,
  softsign,
  tanhshrink,
} from '../../nn/functional/activation.js'
import type { Tensor } from '../../tensor/tensor.js'
import { type Fields, isObject, type Plain, shown } from '../tfjs/plain.js'
import { type LayerKind, only } from './layer.js'

export type Activation = (x: Tensor) => Tensor

const relu6Shifted = (x: Tensor) => relu6(x.add(3)).div(6)

/** By Keras's name in lower case. */
export const activations: { readonly [name: string]: Activation } = {
  linear: (x) => x,
  relu,
  relu6,
  sigmoid,
  tanh: (x) => x.tanh(),
  softmax: (x) => softmax(x, -1),
  log_softmax: (x) => logSoftmax(x, -1),
  softplus: (x) => softplus(x),
  softsign,
  elu: (x) => elu(x),
  selu,
  celu: (x) => celu(x),
  exponential: (x) => x.exp(),
  swish: silu,
  silu,
  gelu: (x) => gelu(x),
  gelu_new: (x) => gelu(x, { approximate: 'tanh' }),
  mish,
  leaky_relu: (x) => leakyRelu(x, { negativeSlope: 0.2 }),
  hard_sigmoid: relu6Shifted,
  hard_silu: hardswish,
  hard_swish: hardswish,
  hard_tanh: (x) => hardtanh(x),
  hard_shrink: (x) => hardshrink(x),
  soft_shrink: (x) => softshrink(x),
  tanh_shrink: tanhshrink,
  log_sigmoid: logSigmoid,
  glu: (x) => glu(x),
  squareplus: (x) => x.add(x.square().add(4).sqrt()).div(2),
}

/** Keras 2's and TensorFlow.js's: clip(0.2·x + 0.5, 0, 1). */
const hardSigmoid2: Activation = (x) => x.mul(0.2).add(0.5).clamp(0, 1)

/** An activation as a configuration names it: a string, or an object of a function or a layer. */
export function activationOf(
  config: Fields,
  key: string,
  keras: 2 | 3,
  otherwise = 'linear',
): Activation {
  const value = config.get(key)
  if (isObject(value)) {
    const named = isObject(value.config ?? null)
      ? value.class_name
      : (value.config ?? value.class_name)
    if (typeof named === 'string' && !isObject(value.config ?? null))
      return byName(named, keras, config.where, value)
    return layerActivation(config, key, keras)
  }
  return byName(config.string(key, otherwise), keras, config.where, value)
}

function byName(name: string, keras: 2 | 3, where: string, value: Plain): Activation {
  const key = name.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase()
  if (key === 'hard_sigmoid' && keras === 2) return hardSigmoid2
  if (!Object.hasOwn(activations, key))
    throw fail(
      `${where}: there is no activation ${shown(value === null ? name : value)}; known are ${Object.keys(activations).join(', ')}`,
    )
  return activations[key]
}

/** An activation written as a layer: `{ class_name: 'LeakyReLU', config: { … } }`. */
function layerActivation(config: Fields, key: string, keras: 2 | 3): Activation {
  const layer = config.object(key)
  const name = layer.string('class_name')
  const kind = Object.hasOwn(parameterFree, name) ? parameterFree[name] : undefined
  if (kind === undefined)
    throw fail(`${config.where}: the activation ${name} is no function of one tensor alone`)
  return kind(layer.object('config'), keras)
}

const range = (config: Fields): Activation => {
  const most = config.has('max_value') ? config.number('max_value') : undefined
  const slope = Math.max(config.number('negative_slope', 0), 0)
  const threshold = config.number('threshold', 0)
  if (threshold === 0 && slope === 0) {
    if (most === 6) return relu6
    return (x) => (most === undefined ? relu(x) : x.clamp(0, most))
  }
  return (x) => {
    const passed = x.ge(threshold).float().mul(x)
    const high = most === undefined ? passed : passed.clamp(undefined, most)
    if (slope === 0) return high
    return high.add(x.lt(threshold).float().mul(x.sub(threshold).mul(slope)))
  }
}

const parameterFree: { readonly [name: string]: (config: Fields, keras: 2 | 3) => Activation } = {
  Activation: (config, keras) => activationOf(config, 'activation', keras),
  ReLU: range,
  LeakyReLU(config) {
    const key = config.has('negative_slope') ? 'negative_slope' : 'alpha'
    const negativeSlope = config.number(key, 0.3)
    return (x) => leakyRelu(x, { negativeSlope })
  },
  ELU(config) {
    const alpha = config.number('alpha', 1)
    return (x) => elu(x, { alpha })
  },
  ThresholdedReLU(config) {
    const theta = config.number('theta', 1)
    return (x) => x.gt(theta).float().mul(x)
  },
  Softmax(config) {
    const value = config.get('axis')
    const axes = Array.isArray(value) ? value : [value ?? -1]
    const [axis] = axes
    if (axes.length !== 1 || typeof axis !== 'number' || !Number.isInteger(axis))
      throw fail(`${config.where}: axis is ${shown(value)}, but must be one dimension`)
    return (x) => softmax(x, axis)
  },
}

/** The layers that are a function of one tensor. */
export const activationLayers: { readonly [name: string]: LayerKind } = Object.fromEntries(
  Object.entries(parameterFree).map(([name, kind]) => [
    name,
    ((config, { keras }) => {
      const fn = kind(config, keras)
      return { keepsMask: true, run: (call) => fn(only(call, name).float()) }
    }) satisfies LayerKind,
  ]),
)

/** max(x, 0) + α·min(x, 0), with α for each element but those of shared axes. */
export const PReLU: LayerKind = () => ({
  slots: [{ name: 'alpha' }],
  keepsMask: true,
  run(call) {
    const x = only(call, 'PReLU')
    return relu(x).sub(call.weight('alpha').mul(relu(x.neg())))
  },
})
