// LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, "Gradient-Based Learning Applied to Document Recognition",
// figure 2), as it is taught today: ReLU for tanh, max pooling for trained subsampling, C3 connected to all of
// S2, a linear output for the radial basis functions. The paper pads 28×28 digits to 32×32; here conv1 does.
import { Conv2d, Linear, MaxPool2d, Module, relu } from '../nn/index.js'
import type { Tensor } from '../tensor/tensor.js'
import type { ModelOptions } from './variants.js'

/** Digits [B, 1, 28, 28] → logits [B, 10]. */
export class LeNet extends Module {
  conv1: Conv2d // C1
  pool1 = new MaxPool2d(2) // S2
  conv2: Conv2d // C3
  pool2 = new MaxPool2d(2) // S4
  fc1: Linear // C5
  fc2: Linear // F6
  fc3: Linear // the output

  /** By default for 10 classes and 1 channel. */
  constructor({ numClasses = 10, inChannels = 1 }: ModelOptions = {}) {
    super()
    this.conv1 = new Conv2d(inChannels, 6, 5, { padding: 2 })
    this.conv2 = new Conv2d(6, 16, 5)
    this.fc1 = new Linear(400, 120)
    this.fc2 = new Linear(120, 84)
    this.fc3 = new Linear(84, numClasses)
  }

  forward(digits: Tensor): Tensor {
    let x = relu(this.conv1.forward(digits)) // [B, 6, 28, 28]
    x = this.pool1.forward(x) // [B, 6, 14, 14]
    x = relu(this.conv2.forward(x)) // [B, 16, 10, 10]
    x = this.pool2.forward(x) // [B, 16, 5, 5]
    x = x.flatten(1) // [B, 400]
    x = relu(this.fc1.forward(x)) // [B, 120]
    x = relu(this.fc2.forward(x)) // [B, 84]
    return this.fc3.forward(x) // [B, 10]
  }
}

export const lenets = {
  lenet: (options?: ModelOptions) => new LeNet(options),
}
