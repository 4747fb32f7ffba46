// Keras's convolutions and pools, in 1, 2 and 3 dimensions.
import { fail } from '../../base/errors.js'
import type { Fields } from '../tfjs/plain.js'
import { activationOf } from './activation.js'
import { kernelSlots, shaped, spatial } from './core.js'
import { firstChannels, type LayerKind, ofRank } from './layer.js'
import {
  convolve,
  convolveDepthwise,
  convolveTransposed,
  poolAverage,
  poolMax,
  type TfPadding,
  type Window,
} from './space.js'

function paddingOf(config: Fields, key = 'padding'): 'same' | 'valid' | 'causal' {
  const padding = config.string(key, 'valid').toLowerCase()
  if (padding !== 'same' && padding !== 'valid' && padding !== 'causal')
    throw fail(`${config.where}: ${key} is ${padding}, but must be same, valid or causal`)
  return padding
}

function windowOf(config: Fields, rank: number): Omit<Window, 'kernel'> & { padding: TfPadding } {
  const padding = paddingOf(config)
  if (padding === 'causal' && rank !== 1) fail(`${config.where}: causal padding is for 1 dimension`)
  const stride = config.sizes('strides', rank, 1)
  const dilation = config.sizes('dilation_rate', rank, 1)
  return { stride, dilation, padding }
}

export const Convolution =
  (rank: number): LayerKind =>
  (config, { keras }) => {
    const first = firstChannels(config)
    const window = windowOf(config, rank)
    const groups = config.count('groups', 1, 1)
    const [filters, kernel] = [config.count('filters', 1), config.sizes('kernel_size', rank)]
    const activation = activationOf(config, 'activation', keras)
    return {
      slots: shaped(kernelSlots(config), { kernel: [...kernel, -1, filters], bias: [filters] }),
      run: (call) =>
        activation(
          spatial(ofRank(call, rank + 2, `Conv${rank}D`), first, (x) =>
            convolve(x, call.weight('kernel'), call.find('bias'), window, groups),
          ),
        ),
    }
  }

/** TensorFlow.js does not write it. */
const multiplierOf = (config: Fields): number =>
  config.has('depth_multiplier') ? config.count('depth_multiplier', 1) : -1

export const DepthwiseConvolution =
  (rank: number): LayerKind =>
  (config, { keras }) => {
    const first = firstChannels(config)
    const window = windowOf(config, rank)
    const kernel = config.sizes('kernel_size', rank)
    const multiplier = multiplierOf(config)
    const activation = activationOf(config, 'activation', keras)
    return {
      slots: shaped(kernelSlots(config, 'depthwise_kernel'), {
        depthwise_kernel: [...kernel, -1, multiplier],
      }),
      run: (call) =>
        activation(
          spatial(ofRank(call, rank + 2, `DepthwiseConv${rank}D`), first, (x) =>
            convolveDepthwise(x, call.weight('depthwise_kernel'), call.find('bias'), window),
          ),
        ),
    }
  }

export const SeparableConvolution =
  (rank: number): LayerKind =>
  (config, { keras }) => {
    const first = firstChannels(config)
    const window = windowOf(config, rank)
    const kernel = config.sizes('kernel_size', rank)
    const multiplier = multiplierOf(config)
    const filters = config.count('filters', 1)
    const activation = activationOf(config, 'activation', keras)
    const ones = new Array<number>(rank).fill(1)
    const point = { stride: ones, dilation: ones, padding: 'valid' } as const
    return {
      slots: shaped(kernelSlots(config, 'depthwise_kernel', 'pointwise_kernel'), {
        depthwise_kernel: [...kernel, -1, multiplier],
        pointwise_kernel: [...ones, -1, filters],
        bias: [filters],
      }),
      run: (call) =>
        activation(
          spatial(ofRank(call, rank + 2, `SeparableConv${rank}D`), first, (x) => {
            const deep = convolveDepthwise(x, call.weight('depthwise_kernel'), undefined, window)
            return convolve(deep, call.weight('pointwise_kernel'), call.find('bias'), point)
          }),
        ),
    }
  }

export const TransposedConvolution =
  (rank: number): LayerKind =>
  (config, { keras }) => {
    const first = firstChannels(config)
    const window = windowOf(config, rank)
    const [filters, sizes] = [config.count('filters', 1), config.sizes('kernel_size', rank)]
    const { padding, stride, dilation } = window
    const extra = config.has('output_padding')
      ? config.sizes('output_padding', rank, 0, 0)
      : undefined
    const activation = activationOf(config, 'activation', keras)
    const outputSize = (size: number, d: number, kernel: number): number => {
      const reach = (kernel - 1) * dilation[d] + 1
      const same = padding === 'same'
      if (extra !== undefined)
        return (size - 1) * stride[d] + reach - (same ? 2 * Math.floor(reach / 2) : 0) + extra[d]
      return size * stride[d] + (same ? 0 : Math.max(reach - stride[d], 0))
    }
    return {
      slots: shaped(kernelSlots(config), { kernel: [...sizes, filters, -1], bias: [filters] }),
      run: (call) =>
        activation(
          spatial(ofRank(call, rank + 2, `Conv${rank}DTranspose`), first, (x) => {
            const kernel = call.weight('kernel')
            const output = x.shape.slice(2).map((n, d) => outputSize(n, d, kernel.shape[d]))
            return convolveTransposed(x, kernel, call.find('bias'), window, output)
          }),
        ),
    }
  }

export const Pooling =
  (kind: 'Max' | 'Average', rank: number): LayerKind =>
  (config) => {
    const first = firstChannels(config)
    const key =
      rank === 1 && !config.has('pool_size') && config.has('pool_length')
        ? 'pool_length'
        : 'pool_size'
    const kernel = config.sizes(key, rank, 2)
    const stride = config.has('strides') ? config.sizes('strides', rank) : kernel
    const padding = paddingOf(config)
    const window = { kernel, stride, dilation: kernel.map(() => 1), padding }
    const pool = kind === 'Max' ? poolMax : poolAverage
    return {
      run: (call) =>
        spatial(ofRank(call, rank + 2, `${kind}Pooling${rank}D`).float(), first, (x) =>
          pool(x, window),
        ),
    }
  }

export const GlobalPooling =
  (kind: 'Max' | 'Average', rank: number): LayerKind =>
  (config) => {
    const first = firstChannels(config)
    const keepdim = config.flag('keepdims', false)
    return {
      run(call) {
        const x = ofRank(call, rank + 2, `Global${kind}Pooling${rank}D`).float()
        const axes = Array.from({ length: rank }, (_, d) => (first ? 2 : 1) + d)
        if (kind === 'Max') return x.amax(axes, { keepdim })
        const { mask } = call
        if (rank !== 1 || first || mask === undefined) return x.mean(axes, { keepdim })
        const weight = mask.float().unsqueeze(-1)
        return x.mul(weight).sum(1, { keepdim }).div(weight.sum(1, { keepdim }))
      },
    }
  }
