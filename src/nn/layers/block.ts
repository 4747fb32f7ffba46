// Blocks that many networks share: convolution with normalisation and activation, squeeze-and-excitation, drop
// path, layer norm over channels. Their parameters are named as torchvision's are.
import { fail } from '../../base/errors.js'
import { rand } from '../../tensor/random.js'
import type { Tensor } from '../../tensor/tensor.js'
import { Sequential } from '../containers.js'
import { relu, sigmoid } from '../functional/activation.js'
import type { ConvOptions } from '../functional/convolution.js'
import { layerNorm } from '../functional/normalization.js'
import { Module } from '../module.js'
import { ReLU } from './activation.js'
import { Conv2d } from './convolution.js'
import { BatchNorm2d, LayerNorm } from './normalization.js'

/** What follows the convolution of a ConvNormActivation. */
export interface ConvNormOptions extends ConvOptions {
  readonly kernelSize?: number
  /** Makes the normalisation of that many channels; default BatchNorm2d. */
  readonly norm?: (channels: number) => Module
  /** Makes the activation; null: none. Default ReLU. */
  readonly activation?: (() => Module) | null
  /** Default false: the normalisation has one. */
  readonly bias?: boolean
}

/** [N, inChannels, H, W] → [N, outChannels, H′, W′]: convolution (`0`), normalisation (`1`), activation (`2`). */
export class ConvNormActivation extends Sequential {
  constructor(inChannels: number, outChannels: number, options: ConvNormOptions = {}) {
    const {
      kernelSize = 3,
      norm = (channels) => new BatchNorm2d(channels),
      activation = () => new ReLU(),
      bias = false,
      ...conv
    } = options
    const padding = conv.padding ?? Math.floor((kernelSize - 1) / 2)
    const items: Module[] = [
      new Conv2d(inChannels, outChannels, kernelSize, { ...conv, padding, bias }),
      norm(outChannels),
    ]
    if (activation !== null) items.push(activation())
    super(...items)
  }
}

/**
 * [N, C, H, W] → the same, each channel times a gate computed from the means of all (Hu, Shen and Sun 2018):
 * x·gate(fc2(activation(fc1(mean(x))))).
 */
export class SqueezeExcitation extends Module {
  fc1: Conv2d
  fc2: Conv2d
  readonly #activation: (x: Tensor) => Tensor
  readonly #gate: (x: Tensor) => Tensor

  constructor(
    channels: number,
    squeezed: number,
    {
      activation = relu,
      gate = sigmoid,
    }: {
      readonly activation?: (x: Tensor) => Tensor
      readonly gate?: (x: Tensor) => Tensor
    } = {},
  ) {
    super()
    this.fc1 = new Conv2d(channels, squeezed, 1)
    this.fc2 = new Conv2d(squeezed, channels, 1)
    this.#activation = activation
    this.#gate = gate
  }

  forward(x: Tensor): Tensor {
    const squeezed = x.mean([2, 3], { keepdim: true }) // [N, C, 1, 1]
    const scale = this.#gate(this.fc2.forward(this.#activation(this.fc1.forward(squeezed))))
    return x.mul(scale)
  }
}

/**
 * In training, leaves out the whole branch of a residual block for each example with probability p, and scales the
 * others by 1/(1 − p) (stochastic depth, Huang et al. 2016; drop path, Larsson et al. 2017).
 */
export class DropPath extends Module {
  p: number

  constructor(p = 0) {
    super()
    if (!(p >= 0 && p < 1)) fail(`DropPath: p is ${p}, but must be from 0 to below 1`)
    this.p = p
  }

  forward(x: Tensor): Tensor {
    if (!this.training || this.p === 0) return x
    const kept = rand([x.shape[0], ...x.shape.slice(1).map(() => 1)]).lt(1 - this.p)
    return x.mul(kept.float().mul(1 / (1 - this.p)))
  }
}

/** [N, C, H, W]: normalises the channels of each position. */
export class LayerNorm2d extends LayerNorm {
  override forward(x: Tensor): Tensor {
    const { weight, bias, eps } = this
    const last = layerNorm(x.permute(0, 2, 3, 1), this.normalizedShape, { weight, bias, eps })
    return last.permute(0, 3, 1, 2)
  }
}

/** Reorders the dimensions. */
export class Permute extends Module {
  readonly dims: readonly number[]

  constructor(...dims: readonly number[]) {
    super()
    this.dims = dims
  }

  forward(x: Tensor): Tensor {
    return x.permute(...this.dims)
  }
}
