// MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2). After
// torchvision's mobilenet_v2.
import { BatchNorm2d, Conv2d, Dropout, Linear, Module, ReLU6, Sequential } from '../nn/index.js'
import { Conv2dNormActivation, type Conv2dNormActivationOptions } from '../nn/layers/block.js'
import type { Tensor } from '../tensor/tensor.js'
import { heConvolutions, type ModelOptions, normalLinears, roundChannels } from './variants.js'

/** Expansion t, channels c, blocks n, stride s of the first. */
const table2 = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const

const convRelu6 = (inputs: number, outputs: number, options: Conv2dNormActivationOptions = {}) =>
  new Conv2dNormActivation(inputs, outputs, { ...options, activationLayer: () => new ReLU6() })

/** 1×1 to t times the channels, 3×3 of each channel, 1×1 back without activation (table 1). */
class InvertedResidual extends Module {
  conv: Sequential
  readonly residual: boolean

  constructor(inputs: number, outputs: number, stride: number, expansion: number) {
    super()
    const inner = inputs * expansion
    const layers: Module[] = [
      convRelu6(inner, inner, { stride, groups: inner }),
      new Conv2d(inner, outputs, 1, { bias: false }),
      new BatchNorm2d(outputs),
    ]
    if (expansion !== 1) layers.unshift(convRelu6(inputs, inner, { kernelSize: 1 }))
    this.conv = new Sequential(...layers)
    this.residual = stride === 1 && inputs === outputs
  }

  forward(x: Tensor): Tensor {
    const y = this.conv.forward(x)
    return this.residual ? x.add(y) : y
  }
}

export interface MobileNetV2Options extends ModelOptions {
  /** By how much all channels are multiplied. Default 1. */
  readonly width?: number
}

/** Images [N, 3, 224, 224] → logits [N, 1000]. */
export class MobileNetV2 extends Module {
  features: Sequential
  classifier: Sequential

  constructor({ numClasses = 1000, inChannels = 3, width = 1 }: MobileNetV2Options = {}) {
    super()
    let inputs = roundChannels(32 * width)
    const last = roundChannels(1280 * Math.max(1, width))
    const layers: Module[] = [convRelu6(inChannels, inputs, { stride: 2 })]
    for (const [expansion, channels, blocks, firstStride] of table2) {
      const outputs = roundChannels(channels * width)
      for (let i = 0; i < blocks; i++) {
        const stride = i === 0 ? firstStride : 1
        layers.push(new InvertedResidual(inputs, outputs, stride, expansion))
        inputs = outputs
      }
    }
    layers.push(convRelu6(inputs, last, { kernelSize: 1 }))
    this.features = new Sequential(...layers)
    this.classifier = new Sequential(new Dropout(0.2), new Linear(last, numClasses))
    heConvolutions(this)
    normalLinears(this, 0.01)
  }

  forward(images: Tensor): Tensor {
    const x = this.features.forward(images) // [N, 1280, 7, 7]
    return this.classifier.forward(x.mean([2, 3]))
  }
}

export const mobilenetsV2 = {
  mobilenet_v2: (options?: ModelOptions) => new MobileNetV2(options),
}
