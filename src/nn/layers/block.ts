// Blocks that many networks share: convolution with normalisation and activation, squeeze-and-excitation, drop
// path, layer norm over channels. Their parameters are named as torchvision's are.
import { fail } from '../../base/errors.js'
import { rand } from '../../tensor/random.js'
import type { Tensor } from '../../tensor/tensor.js'
import { Sequential } from '../containers.js'
import { relu, sigmoid } from '../functional/activation.js'
import { perDimension } from '../functional/checks.js'
import type { ConvOptions } from '../functional/convolution.js'
import { layerNorm } from '../functional/normalization.js'
import { Module } from '../module.js'
import { ReLU } from './activation.js'
import { Conv2d } from './convolution.js'
import { BatchNorm2d, LayerNorm } from './normalization.js'

/** The convolution of a Conv2dNormActivation and what follows it, with torchvision's names. */
export interface Conv2dNormActivationOptions extends ConvOptions {
  readonly kernelSize?: number
  /** Makes the normalisation of that many channels; null: none. Default BatchNorm2d. */
  readonly normLayer?: ((channels: number) => Module) | null
  /** Makes the activation; null: none. Default ReLU. */
  readonly activationLayer?: (() => Module) | null
  /** Default: only where there is no normalisation, which has one. */
  readonly bias?: boolean
}

/** [N, inChannels, H, W] → [N, outChannels, H′, W′]: convolution (`0`), normalisation (`1`), activation (`2`). */
export class Conv2dNormActivation extends Sequential {
  constructor(inChannels: number, outChannels: number, options: Conv2dNormActivationOptions = {}) {
    const {
      kernelSize = 3,
      normLayer = (channels) => new BatchNorm2d(channels),
      activationLayer = () => new ReLU(),
      bias = normLayer === null,
      dilation = 1,
      ...conv
    } = options
    const half = Math.floor((kernelSize - 1) / 2)
    const dilations = perDimension(dilation, 2, 1, 'Conv2dNormActivation: dilation')
    const padding = conv.padding ?? dilations.map((d) => half * d)
    const items: Module[] = [
      new Conv2d(inChannels, outChannels, kernelSize, { ...conv, dilation, padding, bias }),
    ]
    if (normLayer !== null) items.push(normLayer(outChannels))
    if (activationLayer !== null) items.push(activationLayer())
    super(...items)
  }
}

/**
 * [N, C, H, W] → the same, each channel times a gate computed from the means of all (Hu, Shen and Sun 2018):
 * x·scaleActivation(fc2(activation(fc1(mean(x))))).
 */
export class SqueezeExcitation extends Module {
  fc1: Conv2d
  fc2: Conv2d
  readonly #activation: (x: Tensor) => Tensor
  readonly #scaleActivation: (x: Tensor) => Tensor

  constructor(
    channels: number,
    squeezed: number,
    {
      activation = relu,
      scaleActivation = sigmoid,
    }: {
      readonly activation?: (x: Tensor) => Tensor
      readonly scaleActivation?: (x: Tensor) => Tensor
    } = {},
  ) {
    super()
    this.fc1 = new Conv2d(channels, squeezed, 1)
    this.fc2 = new Conv2d(squeezed, channels, 1)
    this.#activation = activation
    this.#scaleActivation = scaleActivation
  }

  forward(x: Tensor): Tensor {
    const squeezed = x.mean([2, 3], { keepdim: true }) // [N, C, 1, 1]
    const scale = this.#scaleActivation(
      this.fc2.forward(this.#activation(this.fc1.forward(squeezed))),
    )
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
