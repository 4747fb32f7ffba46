// AlexNet (Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks"): the network of 2012
// in one column, without local response normalisation. After torchvision's alexnet.
import {
  AdaptiveAvgPool2d,
  Conv2d,
  Dropout,
  Linear,
  MaxPool2d,
  Module,
  ReLU,
  Sequential,
} from '../nn/index.js'
import type { Tensor } from '../tensor/tensor.js'
import type { ModelOptions } from './variants.js'

/** Images [N, 3, 224, 224] → logits [N, 1000]. */
export class AlexNet extends Module {
  features: Sequential
  avgpool = new AdaptiveAvgPool2d(6)
  classifier: Sequential

  constructor({
    numClasses = 1000,
    inChannels = 3,
    dropout = 0.5,
  }: ModelOptions & { readonly dropout?: number } = {}) {
    super()
    this.features = new Sequential(
      new Conv2d(inChannels, 64, 11, { stride: 4, padding: 2 }), // 224 → 55
      new ReLU(),
      new MaxPool2d(3, { stride: 2 }), // 27
      new Conv2d(64, 192, 5, { padding: 2 }),
      new ReLU(),
      new MaxPool2d(3, { stride: 2 }), // 13
      new Conv2d(192, 384, 3, { padding: 1 }),
      new ReLU(),
      new Conv2d(384, 256, 3, { padding: 1 }),
      new ReLU(),
      new Conv2d(256, 256, 3, { padding: 1 }),
      new ReLU(),
      new MaxPool2d(3, { stride: 2 }), // 6
    )
    this.classifier = new Sequential(
      new Dropout(dropout),
      new Linear(256 * 6 * 6, 4096),
      new ReLU(),
      new Dropout(dropout),
      new Linear(4096, 4096),
      new ReLU(),
      new Linear(4096, numClasses),
    )
  }

  forward(images: Tensor): Tensor {
    const x = this.avgpool.forward(this.features.forward(images)) // [N, 256, 6, 6]
    return this.classifier.forward(x.flatten(1))
  }
}

export const alexnets = {
  alexnet: (options?: ModelOptions) => new AlexNet(options),
}
