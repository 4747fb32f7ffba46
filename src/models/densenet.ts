// DenseNet (Huang, Liu, van der Maaten and Weinberger 2016, "Densely Connected Convolutional Networks", table 1):
// DenseNet-BC, with bottlenecks and compression. After torchvision's densenet.
import {
  AvgPool2d,
  BatchNorm2d,
  Conv2d,
  init,
  Linear,
  MaxPool2d,
  Module,
  ReLU,
  relu,
  Sequential,
} from '../nn/index.js'
import { concat, type Tensor } from '../tensor/tensor.js'
import { eachConv, type ModelOptions, zeroBias } from './variants.js'

/** Channels of a bottleneck, in growth rates. */
const BOTTLENECK = 4

/** BN-ReLU-Conv(1×1)-BN-ReLU-Conv(3×3): k new channels after all that came before. */
class DenseLayer extends Module {
  norm1: BatchNorm2d
  conv1: Conv2d
  norm2: BatchNorm2d
  conv2: Conv2d

  constructor(inputs: number, growth: number) {
    super()
    this.norm1 = new BatchNorm2d(inputs)
    this.conv1 = new Conv2d(inputs, BOTTLENECK * growth, 1, { bias: false })
    this.norm2 = new BatchNorm2d(BOTTLENECK * growth)
    this.conv2 = new Conv2d(BOTTLENECK * growth, growth, 3, { padding: 1, bias: false })
  }

  forward(x: Tensor): Tensor {
    const y = this.conv1.forward(relu(this.norm1.forward(x)))
    return concat([x, this.conv2.forward(relu(this.norm2.forward(y)))], 1)
  }
}

/** Layers `denselayer1` …, each seeing the channels of all before it. */
function denseBlock(layers: number, inputs: number, growth: number): Sequential {
  const named = Array.from(
    { length: layers },
    (_, i) => [`denselayer${i + 1}`, new DenseLayer(inputs + i * growth, growth)] as const,
  )
  return new Sequential(Object.fromEntries(named))
}

/** Halves the channels and the image. */
function transition(inputs: number, outputs: number): Sequential {
  return new Sequential({
    norm: new BatchNorm2d(inputs),
    relu: new ReLU(),
    conv: new Conv2d(inputs, outputs, 1, { bias: false }),
    pool: new AvgPool2d(2),
  })
}

/** Images [N, 3, 224, 224] → logits [N, 1000]; `blocks` counts the layers of each. */
export class DenseNet extends Module {
  features: Sequential
  classifier: Linear

  constructor(
    growth: number,
    blocks: readonly number[],
    {
      numClasses = 1000,
      inChannels = 3,
      first = 2 * growth,
    }: ModelOptions & {
      /** Channels before the first block; default 2k. */
      readonly first?: number
    } = {},
  ) {
    super()
    const features: { [name: string]: Module } = {
      conv0: new Conv2d(inChannels, first, 7, { stride: 2, padding: 3, bias: false }), // 112×112
      norm0: new BatchNorm2d(first),
      relu0: new ReLU(),
      pool0: new MaxPool2d(3, { stride: 2, padding: 1 }), // 56×56
    }
    let channels = first
    blocks.forEach((layers, i) => {
      features[`denseblock${i + 1}`] = denseBlock(layers, channels, growth)
      channels += layers * growth
      if (i === blocks.length - 1) return
      const half = Math.floor(channels / 2)
      features[`transition${i + 1}`] = transition(channels, half) // 28, 14, 7
      channels = half
    })
    features.norm5 = new BatchNorm2d(channels)
    this.features = new Sequential(features)
    this.classifier = new Linear(channels, numClasses)
    eachConv(this, (conv) => init.kaimingNormal(conv.weight))
    zeroBias(this.classifier)
  }

  forward(images: Tensor): Tensor {
    const x = relu(this.features.forward(images)) // [N, 1024, 7, 7]
    return this.classifier.forward(x.mean([2, 3]))
  }
}

export const densenets = {
  densenet121: (options?: ModelOptions) => new DenseNet(32, [6, 12, 24, 16], options),
  densenet161: (options?: ModelOptions) => new DenseNet(48, [6, 12, 36, 24], options),
  densenet169: (options?: ModelOptions) => new DenseNet(32, [6, 12, 32, 32], options),
  densenet201: (options?: ModelOptions) => new DenseNet(32, [6, 12, 48, 32], options),
}
