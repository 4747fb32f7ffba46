// EfficientNet (Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", table 1
// and the compound scaling of section 3). After torchvision's efficientnet_b0 … b7.
import {
  BatchNorm2d,
  type BatchNormLayerOptions,
  Dropout,
  init,
  Linear,
  Module,
  Sequential,
  SiLU,
  silu,
} from '../nn/index.js'
import { Conv2dNormActivation, DropPath, SqueezeExcitation } from '../nn/layers/block.js'
import type { Tensor } from '../tensor/tensor.js'
import {
  eachLinear,
  heConvolutions,
  type ModelOptions,
  roundChannels,
  zeroBias,
} from './variants.js'

/** Expansion, kernel, stride, input channels, output channels, layers: stages 2 to 8 of table 1. */
const table1 = [
  [1, 3, 1, 32, 16, 1],
  [6, 3, 2, 16, 24, 2],
  [6, 5, 2, 24, 40, 2],
  [6, 3, 2, 40, 80, 3],
  [6, 5, 1, 80, 112, 3],
  [6, 5, 2, 112, 192, 4],
  [6, 3, 1, 192, 320, 1],
] as const
/** How often the block of the last layer is left out in training; others in proportion to their depth. */
const DROP_PATH = 0.2

interface BlockOptions {
  readonly inputs: number
  readonly outputs: number
  readonly expansion: number
  readonly kernelSize: number
  readonly stride: number
  readonly dropPath: number
  readonly normLayer: (channels: number) => Module
}

/** The inverted residual of MobileNetV2 with squeeze-and-excitation. */
class MBConv extends Module {
  block: Sequential
  dropPath: DropPath
  readonly residual: boolean

  constructor({
    inputs,
    outputs,
    expansion,
    kernelSize,
    stride,
    dropPath,
    normLayer,
  }: BlockOptions) {
    super()
    const inner = roundChannels(inputs * expansion)
    const squeezed = Math.max(1, Math.floor(inputs / 4))
    const activationLayer = () => new SiLU()
    const layers: Module[] = []
    if (inner !== inputs)
      layers.push(
        new Conv2dNormActivation(inputs, inner, { kernelSize: 1, normLayer, activationLayer }),
      )
    layers.push(
      new Conv2dNormActivation(inner, inner, {
        kernelSize,
        stride,
        groups: inner,
        normLayer,
        activationLayer,
      }),
      new SqueezeExcitation(inner, squeezed, { activation: silu }),
      new Conv2dNormActivation(inner, outputs, { kernelSize: 1, normLayer, activationLayer: null }),
    )
    this.block = new Sequential(...layers)
    this.dropPath = new DropPath(dropPath)
    this.residual = stride === 1 && inputs === outputs
  }

  forward(x: Tensor): Tensor {
    const y = this.block.forward(x)
    return this.residual ? this.dropPath.forward(y).add(x) : y
  }
}

export interface EfficientNetOptions extends ModelOptions {
  readonly dropout?: number
  readonly batchNorm?: BatchNormLayerOptions
}

/** Images [N, 3, H, W] → logits [N, 1000]; channels and layers of table 1 times `width` and `depth`. */
export class EfficientNet extends Module {
  features: Sequential
  classifier: Sequential

  constructor(width: number, depth: number, options: EfficientNetOptions = {}) {
    super()
    const { numClasses = 1000, inChannels = 3, dropout = 0.2, batchNorm } = options
    const normLayer = (channels: number) => new BatchNorm2d(channels, batchNorm)
    const activationLayer = () => new SiLU()
    const scaled = (channels: number) => roundChannels(channels * width)
    const counts = table1.map((row) => Math.ceil(row[5] * depth))
    const total = counts.reduce((sum, count) => sum + count, 0)
    let built = 0
    const stages = table1.map(([expansion, kernelSize, stride, inputs, outputs], stage) => {
      const blocks = Array.from({ length: counts[stage] }, (_, i) => {
        const first = i === 0
        return new MBConv({
          inputs: scaled(first ? inputs : outputs),
          outputs: scaled(outputs),
          expansion,
          kernelSize,
          stride: first ? stride : 1,
          dropPath: (DROP_PATH * built++) / total,
          normLayer,
        })
      })
      return new Sequential(...blocks)
    })
    const last = 4 * scaled(320)
    this.features = new Sequential(
      new Conv2dNormActivation(inChannels, scaled(32), { stride: 2, normLayer, activationLayer }),
      ...stages,
      new Conv2dNormActivation(scaled(320), last, { kernelSize: 1, normLayer, activationLayer }),
    )
    this.classifier = new Sequential(new Dropout(dropout), new Linear(last, numClasses))
    heConvolutions(this)
    eachLinear(this, (linear) => {
      const bound = 1 / Math.sqrt(linear.outFeatures)
      init.uniform(linear.weight, -bound, bound)
      zeroBias(linear)
    })
  }

  forward(images: Tensor): Tensor {
    const x = this.features.forward(images) // [N, 1280·width, H / 32, W / 32]
    return this.classifier.forward(x.mean([2, 3]))
  }
}

/** Batch normLayer of the larger ones. */
const slow = { eps: 0.001, momentum: 0.01 }

export const efficientnets = {
  efficientnet_b0: (options?: ModelOptions) => new EfficientNet(1, 1, options),
  efficientnet_b1: (options?: ModelOptions) => new EfficientNet(1, 1.1, options),
  efficientnet_b2: (options?: ModelOptions) =>
    new EfficientNet(1.1, 1.2, { ...options, dropout: 0.3 }),
  efficientnet_b3: (options?: ModelOptions) =>
    new EfficientNet(1.2, 1.4, { ...options, dropout: 0.3 }),
  efficientnet_b4: (options?: ModelOptions) =>
    new EfficientNet(1.4, 1.8, { ...options, dropout: 0.4 }),
  efficientnet_b5: (options?: ModelOptions) =>
    new EfficientNet(1.6, 2.2, { ...options, dropout: 0.4, batchNorm: slow }),
  efficientnet_b6: (options?: ModelOptions) =>
    new EfficientNet(1.8, 2.6, { ...options, dropout: 0.5, batchNorm: slow }),
  efficientnet_b7: (options?: ModelOptions) =>
    new EfficientNet(2, 3.1, { ...options, dropout: 0.5, batchNorm: slow }),
}
