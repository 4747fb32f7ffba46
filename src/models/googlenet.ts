// GoogLeNet (Szegedy et al. 2014, "Going Deeper with Convolutions", table 1), with batch norm and without local
// response normalisation. After torchvision's googlenet, whose "5×5" branch has a 3×3 kernel, as its checkpoints do.

import {
  adaptiveAvgPool2d,
  BatchNorm2d,
  Conv2d,
  type ConvOptions,
  Dropout,
  init,
  Linear,
  MaxPool2d,
  Module,
  relu,
  Sequential,
} from '../nn/index.js'
import { concat, type Tensor } from '../tensor/tensor.js'
import { eachConv, eachLinear, type ModelOptions } from './variants.js'

/** What GoogLeNet gives in training: the auxiliary logits are learned with a weight of 0.3. */
export interface GoogLeNetLogits {
  readonly logits: Tensor
  readonly aux1: Tensor
  readonly aux2: Tensor
}

/** Convolution without bias, batch norm, ReLU. */
export class BasicConv2d extends Module {
  conv: Conv2d
  bn: BatchNorm2d

  constructor(
    inputs: number,
    outputs: number,
    kernelSize: number | readonly [number, number],
    options: ConvOptions = {},
  ) {
    super()
    this.conv = new Conv2d(inputs, outputs, kernelSize, { ...options, bias: false })
    this.bn = new BatchNorm2d(outputs, { eps: 0.001 })
  }

  forward(x: Tensor): Tensor {
    return relu(this.bn.forward(this.conv.forward(x)))
  }
}

/** A row of table 1: #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj. */
type Row = readonly [number, number, number, number, number, number]

/** Four branches side by side (figure 2b). */
class Inception extends Module {
  branch1: BasicConv2d
  branch2: Sequential
  branch3: Sequential
  branch4: Sequential

  constructor(inputs: number, [one, reduce3, three, reduce5, five, pool]: Row) {
    super()
    this.branch1 = new BasicConv2d(inputs, one, 1)
    this.branch2 = new Sequential(
      new BasicConv2d(inputs, reduce3, 1),
      new BasicConv2d(reduce3, three, 3, { padding: 1 }),
    )
    this.branch3 = new Sequential(
      new BasicConv2d(inputs, reduce5, 1),
      new BasicConv2d(reduce5, five, 3, { padding: 1 }),
    )
    this.branch4 = new Sequential(
      new MaxPool2d(3, { stride: 1, padding: 1, ceilMode: true }),
      new BasicConv2d(inputs, pool, 1),
    )
  }

  forward(x: Tensor): Tensor {
    const branches = [this.branch1, this.branch2, this.branch3, this.branch4]
    return concat(
      branches.map((branch) => branch.forward(x)),
      1,
    )
  }
}

/** Logits from inside of the network, for training only. */
class InceptionAux extends Module {
  conv: BasicConv2d
  fc1 = new Linear(2048, 1024)
  fc2: Linear
  dropout = new Dropout(0.7)

  constructor(inputs: number, numClasses: number) {
    super()
    this.conv = new BasicConv2d(inputs, 128, 1)
    this.fc2 = new Linear(1024, numClasses)
  }

  forward(x: Tensor): Tensor {
    const pooled = this.conv.forward(adaptiveAvgPool2d(x, 4)) // [N, 128, 4, 4]
    return this.fc2.forward(this.dropout.forward(relu(this.fc1.forward(pooled.flatten(1)))))
  }
}

/** Halves the image; a window may begin inside and reach outside. */
const pool = (size: number) => new MaxPool2d(size, { stride: 2, ceilMode: true })

/** Images [N, 3, 224, 224] → logits [N, 1000]; in training with those of two auxiliary heads. */
export class GoogLeNet extends Module<Tensor | GoogLeNetLogits> {
  conv1: BasicConv2d
  maxpool1 = pool(3)
  conv2 = new BasicConv2d(64, 64, 1)
  conv3 = new BasicConv2d(64, 192, 3, { padding: 1 })
  maxpool2 = pool(3)
  inception3a = new Inception(192, [64, 96, 128, 16, 32, 32])
  inception3b = new Inception(256, [128, 128, 192, 32, 96, 64])
  maxpool3 = pool(3)
  inception4a = new Inception(480, [192, 96, 208, 16, 48, 64])
  inception4b = new Inception(512, [160, 112, 224, 24, 64, 64])
  inception4c = new Inception(512, [128, 128, 256, 24, 64, 64])
  inception4d = new Inception(512, [112, 144, 288, 32, 64, 64])
  inception4e = new Inception(528, [256, 160, 320, 32, 128, 128])
  maxpool4 = pool(2)
  inception5a = new Inception(832, [256, 160, 320, 32, 128, 128])
  inception5b = new Inception(832, [384, 192, 384, 48, 128, 128])
  aux1: InceptionAux
  aux2: InceptionAux
  dropout = new Dropout(0.2)
  fc: Linear

  constructor({ numClasses = 1000, inChannels = 3 }: ModelOptions = {}) {
    super()
    this.conv1 = new BasicConv2d(inChannels, 64, 7, { stride: 2, padding: 3 })
    this.aux1 = new InceptionAux(512, numClasses)
    this.aux2 = new InceptionAux(528, numClasses)
    this.fc = new Linear(1024, numClasses)
    // torchvision cuts these at ±2, which is 200 deviations away: where nothing is drawn.
    eachConv(this, (conv) => init.normal(conv.weight, 0, 0.01))
    eachLinear(this, (linear) => init.normal(linear.weight, 0, 0.01))
  }

  forward(images: Tensor): Tensor | GoogLeNetLogits {
    let x = this.maxpool1.forward(this.conv1.forward(images)) // [N, 64, 56, 56]
    x = this.maxpool2.forward(this.conv3.forward(this.conv2.forward(x))) // [N, 192, 28, 28]
    x = this.inception3b.forward(this.inception3a.forward(x))
    x = this.inception4a.forward(this.maxpool3.forward(x)) // [N, 512, 14, 14]
    const aux1 = this.training ? this.aux1.forward(x) : undefined
    x = this.inception4b.forward(x)
    x = this.inception4d.forward(this.inception4c.forward(x)) // [N, 528, 14, 14]
    const aux2 = this.training ? this.aux2.forward(x) : undefined
    x = this.maxpool4.forward(this.inception4e.forward(x)) // [N, 832, 7, 7]
    x = this.inception5b.forward(this.inception5a.forward(x)) // [N, 1024, 7, 7]
    const logits = this.fc.forward(this.dropout.forward(x.mean([2, 3])))
    return aux1 && aux2 ? { logits, aux1, aux2 } : logits
  }
}

export const googlenets = {
  googlenet: (options?: ModelOptions) => new GoogLeNet(options),
}
