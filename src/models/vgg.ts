// VGG (Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1,
// columns A, B, D and E), and the same with batch norm. After torchvision's vgg.
import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  Conv2d,
  Dropout,
  Linear,
  MaxPool2d,
  Module,
  ReLU,
  Sequential,
} from '../nn/index.js'
import type { Tensor } from '../tensor/tensor.js'
import { heConvolutions, type ModelOptions, normalLinears } from './variants.js'

/** How many 3×3 convolutions each stage has before its pool; stages have 64, 128, 256, 512 and 512 channels. */
const stages = {
  A: [1, 1, 2, 2, 2],
  B: [2, 2, 2, 2, 2],
  D: [2, 2, 3, 3, 3],
  E: [2, 2, 4, 4, 4],
} as const
const CHANNELS = [64, 128, 256, 512, 512]

export interface VGGOptions extends ModelOptions {
  /** Default false. */
  readonly batchNorm?: boolean
  readonly dropout?: number
}

/** Images [N, 3, 224, 224] → logits [N, 1000]; the column of table 1. */
export class VGG extends Module {
  features: Sequential
  avgpool = new AdaptiveAvgPool2d(7)
  classifier: Sequential

  constructor(column: keyof typeof stages, options: VGGOptions = {}) {
    super()
    const { numClasses = 1000, inChannels = 3, batchNorm = false, dropout = 0.5 } = options
    const layers: Module[] = []
    let before = inChannels
    stages[column].forEach((convolutions, stage) => {
      const channels = CHANNELS[stage]
      for (let i = 0; i < convolutions; i++) {
        layers.push(new Conv2d(before, channels, 3, { padding: 1 }))
        if (batchNorm) layers.push(new BatchNorm2d(channels))
        layers.push(new ReLU())
        before = channels
      }
      layers.push(new MaxPool2d(2)) // 224 → 112 → 56 → 28 → 14 → 7
    })
    this.features = new Sequential(...layers)
    this.classifier = new Sequential(
      new Linear(512 * 7 * 7, 4096),
      new ReLU(),
      new Dropout(dropout),
      new Linear(4096, 4096),
      new ReLU(),
      new Dropout(dropout),
      new Linear(4096, numClasses),
    )
    heConvolutions(this)
    normalLinears(this, 0.01)
  }

  forward(images: Tensor): Tensor {
    const x = this.avgpool.forward(this.features.forward(images)) // [N, 512, 7, 7]
    return this.classifier.forward(x.flatten(1))
  }
}

export const vggs = {
  vgg11: (options?: ModelOptions) => new VGG('A', options),
  vgg11_bn: (options?: ModelOptions) => new VGG('A', { ...options, batchNorm: true }),
  vgg13: (options?: ModelOptions) => new VGG('B', options),
  vgg13_bn: (options?: ModelOptions) => new VGG('B', { ...options, batchNorm: true }),
  vgg16: (options?: ModelOptions) => new VGG('D', options),
  vgg16_bn: (options?: ModelOptions) => new VGG('D', { ...options, batchNorm: true }),
  vgg19: (options?: ModelOptions) => new VGG('E', options),
  vgg19_bn: (options?: ModelOptions) => new VGG('E', { ...options, batchNorm: true }),
}
