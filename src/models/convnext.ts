// ConvNeXt (Liu et al. 2022, "A ConvNet for the 2020s"). After torchvision's convnext.
import { Conv2d, Flatten, GELU, init, LayerNorm, Linear, Module, Sequential } from '../nn/index.js'
import { Conv2dNormActivation, DropPath, LayerNorm2d, Permute } from '../nn/layers/block.js'
import { full } from '../tensor/create.js'
import { Parameter } from '../tensor/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { eachConv, eachLinear, type ModelOptions, zeroBias } from './variants.js'

const EPS = 1e-6
/** What the branches' channels are scaled by at first (Touvron et al. 2021). */
const LAYER_SCALE = 1e-6

/** 7×7 of each channel, then a perceptron on the channels of each position (figure 4, right). */
class CNBlock extends Module {
  layerScale: Parameter // [channels, 1, 1]
  block: Sequential
  dropPath: DropPath

  constructor(channels: number, dropPath: number) {
    super()
    this.layerScale = new Parameter(full([channels, 1, 1], LAYER_SCALE))
    this.block = new Sequential(
      new Conv2d(channels, channels, 7, { padding: 3, groups: channels }),
      new Permute(0, 2, 3, 1), // [N, H, W, C]
      new LayerNorm(channels, { eps: EPS }),
      new Linear(channels, 4 * channels),
      new GELU(),
      new Linear(4 * channels, channels),
      new Permute(0, 3, 1, 2), // [N, C, H, W]
    )
    this.dropPath = new DropPath(dropPath)
  }

  forward(x: Tensor): Tensor {
    return this.dropPath.forward(this.block.forward(x).mul(this.layerScale)).add(x)
  }
}

export interface ConvNeXtOptions extends ModelOptions {
  /** How often the last block is left out in training; others in proportion to their depth. Default 0. */
  readonly dropPath?: number
}

/** Images [N, 3, 224, 224] → logits [N, 1000]; channels and blocks of the four stages. */
export class ConvNeXt extends Module {
  features: Sequential
  classifier: Sequential

  constructor(
    channels: readonly number[],
    blocks: readonly number[],
    options: ConvNeXtOptions = {},
  ) {
    super()
    const { numClasses = 1000, inChannels = 3, dropPath = 0 } = options
    const norm = (size: number) => new LayerNorm2d(size, { eps: EPS })
    const stem = {
      kernelSize: 4,
      stride: 4,
      padding: 0,
      normLayer: norm,
      activationLayer: null,
      bias: true,
    }
    const layers: Module[] = [new Conv2dNormActivation(inChannels, channels[0], stem)]
    const total = blocks.reduce((sum, count) => sum + count, 0)
    let built = 0
    channels.forEach((size, stage) => {
      const items = Array.from(
        { length: blocks[stage] },
        () => new CNBlock(size, (dropPath * built++) / (total - 1)),
      )
      layers.push(new Sequential(...items))
      if (stage + 1 < channels.length)
        layers.push(
          new Sequential(norm(size), new Conv2d(size, channels[stage + 1], 2, { stride: 2 })),
        )
    })
    const last = channels[channels.length - 1]
    this.features = new Sequential(...layers)
    this.classifier = new Sequential(norm(last), new Flatten(), new Linear(last, numClasses))
    // torchvision cuts these at ±2, which is 100 deviations away: where nothing is drawn.
    const begin = (layer: Conv2d | Linear) => {
      init.normal(layer.weight, 0, 0.02)
      zeroBias(layer)
    }
    eachConv(this, begin)
    eachLinear(this, begin)
  }

  forward(images: Tensor): Tensor {
    const x = this.features.forward(images) // [N, 768, 7, 7]
    return this.classifier.forward(x.mean([2, 3], { keepdim: true }))
  }
}

export const convnexts = {
  convnext_tiny: (options?: ModelOptions) =>
    new ConvNeXt([96, 192, 384, 768], [3, 3, 9, 3], { ...options, dropPath: 0.1 }),
  convnext_small: (options?: ModelOptions) =>
    new ConvNeXt([96, 192, 384, 768], [3, 3, 27, 3], { ...options, dropPath: 0.4 }),
  convnext_base: (options?: ModelOptions) =>
    new ConvNeXt([128, 256, 512, 1024], [3, 3, 27, 3], { ...options, dropPath: 0.5 }),
  convnext_large: (options?: ModelOptions) =>
    new ConvNeXt([192, 384, 768, 1536], [3, 3, 27, 3], { ...options, dropPath: 0.5 }),
}
