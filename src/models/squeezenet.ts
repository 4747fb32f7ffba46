// SqueezeNet (Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", table 1) and its
// version 1.1, which computes 2.4 times less. After torchvision's squeezenet.
import { Conv2d, Dropout, init, MaxPool2d, Module, ReLU, relu, Sequential } from '../nn/index.js'
import { concat, type Tensor } from '../tensor/tensor.js'
import { eachConv, type ModelOptions, zeroBias } from './variants.js'

/** Squeezes to few channels, and expands with 1×1 and 3×3 convolutions side by side (figure 1). */
class Fire extends Module {
  squeeze: Conv2d
  expand1x1: Conv2d
  expand3x3: Conv2d

  constructor(inputs: number, squeezed: number, expanded: number) {
    super()
    this.squeeze = new Conv2d(inputs, squeezed, 1)
    this.expand1x1 = new Conv2d(squeezed, expanded, 1)
    this.expand3x3 = new Conv2d(squeezed, expanded, 3, { padding: 1 })
  }

  forward(x: Tensor): Tensor {
    const squeezed = relu(this.squeeze.forward(x))
    return relu(concat([this.expand1x1.forward(squeezed), this.expand3x3.forward(squeezed)], 1))
  }
}

const pool = () => new MaxPool2d(3, { stride: 2, ceilMode: true })

const features = {
  '1_0': (inChannels: number) => [
    new Conv2d(inChannels, 96, 7, { stride: 2 }),
    new ReLU(),
    pool(),
    new Fire(96, 16, 64),
    new Fire(128, 16, 64),
    new Fire(128, 32, 128),
    pool(),
    new Fire(256, 32, 128),
    new Fire(256, 48, 192),
    new Fire(384, 48, 192),
    new Fire(384, 64, 256),
    pool(),
    new Fire(512, 64, 256),
  ],
  '1_1': (inChannels: number) => [
    new Conv2d(inChannels, 64, 3, { stride: 2 }),
    new ReLU(),
    pool(),
    new Fire(64, 16, 64),
    new Fire(128, 16, 64),
    pool(),
    new Fire(128, 32, 128),
    new Fire(256, 32, 128),
    pool(),
    new Fire(256, 48, 192),
    new Fire(384, 48, 192),
    new Fire(384, 64, 256),
    new Fire(512, 64, 256),
  ],
}

/** Images [N, 3, 224, 224] → logits [N, 1000]. */
export class SqueezeNet extends Module {
  features: Sequential
  classifier: Sequential

  constructor(
    version: keyof typeof features,
    { numClasses = 1000, inChannels = 3 }: ModelOptions = {},
  ) {
    super()
    this.features = new Sequential(...features[version](inChannels))
    const last = new Conv2d(512, numClasses, 1)
    this.classifier = new Sequential(new Dropout(0.5), last, new ReLU())
    eachConv(this, (conv) => {
      if (conv === last) init.normal(conv.weight, 0, 0.01)
      else init.kaimingUniform(conv.weight)
      zeroBias(conv)
    })
  }

  forward(images: Tensor): Tensor {
    const x = this.features.forward(images) // [N, 512, 13, 13]
    return this.classifier.forward(x).mean([2, 3])
  }
}

export const squeezenets = {
  squeezenet1_0: (options?: ModelOptions) => new SqueezeNet('1_0', options),
  squeezenet1_1: (options?: ModelOptions) => new SqueezeNet('1_1', options),
}
