// Inception v3 (Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision", table 1 and
// figures 5–7, 10). After torchvision's inception_v3, whose fields keep the names of the original checkpoints.
import { avgPool2d, Dropout, init, Linear, MaxPool2d, Module, maxPool2d } from '../nn/index.js'
import { concat, type Tensor } from '../tensor/tensor.js'
import { BasicConv2d } from './googlenet.js'
import { eachConv, eachLinear, type ModelOptions } from './variants.js'

/** What Inception v3 gives in training: the auxiliary logits are learned with a weight of 0.4. */
export interface InceptionLogits {
  readonly logits: Tensor
  readonly aux: Tensor
}

/** 1×7 and 7×1, which together see 7×7 (figure 6 with n = 7). */
const wide = (inputs: number, outputs: number) =>
  new BasicConv2d(inputs, outputs, [1, 7], { padding: [0, 3] })
const tall = (inputs: number, outputs: number) =>
  new BasicConv2d(inputs, outputs, [7, 1], { padding: [3, 0] })
const around = (x: Tensor) => avgPool2d(x, 3, { stride: 1, padding: 1 })
const halved = (x: Tensor) => maxPool2d(x, 3, { stride: 2 })

/** Figure 5: 35×35. */
class InceptionA extends Module {
  branch1x1: BasicConv2d
  branch5x5_1: BasicConv2d
  branch5x5_2 = new BasicConv2d(48, 64, 5, { padding: 2 })
  branch3x3dbl_1: BasicConv2d
  branch3x3dbl_2 = new BasicConv2d(64, 96, 3, { padding: 1 })
  branch3x3dbl_3 = new BasicConv2d(96, 96, 3, { padding: 1 })
  branch_pool: BasicConv2d

  constructor(inputs: number, pooled: number) {
    super()
    this.branch1x1 = new BasicConv2d(inputs, 64, 1)
    this.branch5x5_1 = new BasicConv2d(inputs, 48, 1)
    this.branch3x3dbl_1 = new BasicConv2d(inputs, 64, 1)
    this.branch_pool = new BasicConv2d(inputs, pooled, 1)
  }

  forward(x: Tensor): Tensor {
    const five = this.branch5x5_2.forward(this.branch5x5_1.forward(x))
    let double = this.branch3x3dbl_2.forward(this.branch3x3dbl_1.forward(x))
    double = this.branch3x3dbl_3.forward(double)
    const pool = this.branch_pool.forward(around(x))
    return concat([this.branch1x1.forward(x), five, double, pool], 1)
  }
}

/** Figure 10: 35×35 → 17×17. */
class InceptionB extends Module {
  branch3x3: BasicConv2d
  branch3x3dbl_1: BasicConv2d
  branch3x3dbl_2 = new BasicConv2d(64, 96, 3, { padding: 1 })
  branch3x3dbl_3 = new BasicConv2d(96, 96, 3, { stride: 2 })

  constructor(inputs: number) {
    super()
    this.branch3x3 = new BasicConv2d(inputs, 384, 3, { stride: 2 })
    this.branch3x3dbl_1 = new BasicConv2d(inputs, 64, 1)
  }

  forward(x: Tensor): Tensor {
    let double = this.branch3x3dbl_2.forward(this.branch3x3dbl_1.forward(x))
    double = this.branch3x3dbl_3.forward(double)
    return concat([this.branch3x3.forward(x), double, halved(x)], 1)
  }
}

/** Figure 6: 17×17, with `inner` channels between the 7×1 and 1×7 convolutions. */
class InceptionC extends Module {
  branch1x1: BasicConv2d
  branch7x7_1: BasicConv2d
  branch7x7_2: BasicConv2d
  branch7x7_3: BasicConv2d
  branch7x7dbl_1: BasicConv2d
  branch7x7dbl_2: BasicConv2d
  branch7x7dbl_3: BasicConv2d
  branch7x7dbl_4: BasicConv2d
  branch7x7dbl_5: BasicConv2d
  branch_pool: BasicConv2d

  constructor(inputs: number, inner: number) {
    super()
    this.branch1x1 = new BasicConv2d(inputs, 192, 1)
    this.branch7x7_1 = new BasicConv2d(inputs, inner, 1)
    this.branch7x7_2 = wide(inner, inner)
    this.branch7x7_3 = tall(inner, 192)
    this.branch7x7dbl_1 = new BasicConv2d(inputs, inner, 1)
    this.branch7x7dbl_2 = tall(inner, inner)
    this.branch7x7dbl_3 = wide(inner, inner)
    this.branch7x7dbl_4 = tall(inner, inner)
    this.branch7x7dbl_5 = wide(inner, 192)
    this.branch_pool = new BasicConv2d(inputs, 192, 1)
  }

  forward(x: Tensor): Tensor {
    let seven = this.branch7x7_2.forward(this.branch7x7_1.forward(x))
    seven = this.branch7x7_3.forward(seven)
    let double = this.branch7x7dbl_2.forward(this.branch7x7dbl_1.forward(x))
    double = this.branch7x7dbl_4.forward(this.branch7x7dbl_3.forward(double))
    double = this.branch7x7dbl_5.forward(double)
    const pool = this.branch_pool.forward(around(x))
    return concat([this.branch1x1.forward(x), seven, double, pool], 1)
  }
}

/** 17×17 → 8×8. */
class InceptionD extends Module {
  branch3x3_1: BasicConv2d
  branch3x3_2 = new BasicConv2d(192, 320, 3, { stride: 2 })
  branch7x7x3_1: BasicConv2d
  branch7x7x3_2 = wide(192, 192)
  branch7x7x3_3 = tall(192, 192)
  branch7x7x3_4 = new BasicConv2d(192, 192, 3, { stride: 2 })

  constructor(inputs: number) {
    super()
    this.branch3x3_1 = new BasicConv2d(inputs, 192, 1)
    this.branch7x7x3_1 = new BasicConv2d(inputs, 192, 1)
  }

  forward(x: Tensor): Tensor {
    const three = this.branch3x3_2.forward(this.branch3x3_1.forward(x))
    let seven = this.branch7x7x3_2.forward(this.branch7x7x3_1.forward(x))
    seven = this.branch7x7x3_4.forward(this.branch7x7x3_3.forward(seven))
    return concat([three, seven, halved(x)], 1)
  }
}

/** Figure 7: 8×8, whose 1×3 and 3×1 convolutions lie side by side. */
class InceptionE extends Module {
  branch1x1: BasicConv2d
  branch3x3_1: BasicConv2d
  branch3x3_2a = new BasicConv2d(384, 384, [1, 3], { padding: [0, 1] })
  branch3x3_2b = new BasicConv2d(384, 384, [3, 1], { padding: [1, 0] })
  branch3x3dbl_1: BasicConv2d
  branch3x3dbl_2 = new BasicConv2d(448, 384, 3, { padding: 1 })
  branch3x3dbl_3a = new BasicConv2d(384, 384, [1, 3], { padding: [0, 1] })
  branch3x3dbl_3b = new BasicConv2d(384, 384, [3, 1], { padding: [1, 0] })
  branch_pool: BasicConv2d

  constructor(inputs: number) {
    super()
    this.branch1x1 = new BasicConv2d(inputs, 320, 1)
    this.branch3x3_1 = new BasicConv2d(inputs, 384, 1)
    this.branch3x3dbl_1 = new BasicConv2d(inputs, 448, 1)
    this.branch_pool = new BasicConv2d(inputs, 192, 1)
  }

  forward(x: Tensor): Tensor {
    const three = this.branch3x3_1.forward(x)
    const double = this.branch3x3dbl_2.forward(this.branch3x3dbl_1.forward(x))
    return concat(
      [
        this.branch1x1.forward(x),
        this.branch3x3_2a.forward(three),
        this.branch3x3_2b.forward(three),
        this.branch3x3dbl_3a.forward(double),
        this.branch3x3dbl_3b.forward(double),
        this.branch_pool.forward(around(x)),
      ],
      1,
    )
  }
}

/** Logits from the 17×17 stage, for training only. */
class InceptionAux extends Module {
  conv0: BasicConv2d
  conv1 = new BasicConv2d(128, 768, 5)
  fc: Linear

  constructor(inputs: number, numClasses: number) {
    super()
    this.conv0 = new BasicConv2d(inputs, 128, 1)
    this.fc = new Linear(768, numClasses)
  }

  forward(x: Tensor): Tensor {
    const pooled = avgPool2d(x, 5, { stride: 3 }) // [N, 768, 5, 5]
    const y = this.conv1.forward(this.conv0.forward(pooled)) // [N, 768, 1, 1]
    return this.fc.forward(y.mean([2, 3]))
  }
}

/** Images [N, 3, 299, 299] → logits [N, 1000]; in training with those of the auxiliary head. */
export class InceptionV3 extends Module<Tensor | InceptionLogits> {
  Conv2d_1a_3x3: BasicConv2d
  Conv2d_2a_3x3 = new BasicConv2d(32, 32, 3)
  Conv2d_2b_3x3 = new BasicConv2d(32, 64, 3, { padding: 1 })
  maxpool1 = new MaxPool2d(3, { stride: 2 })
  Conv2d_3b_1x1 = new BasicConv2d(64, 80, 1)
  Conv2d_4a_3x3 = new BasicConv2d(80, 192, 3)
  maxpool2 = new MaxPool2d(3, { stride: 2 })
  Mixed_5b = new InceptionA(192, 32)
  Mixed_5c = new InceptionA(256, 64)
  Mixed_5d = new InceptionA(288, 64)
  Mixed_6a = new InceptionB(288)
  Mixed_6b = new InceptionC(768, 128)
  Mixed_6c = new InceptionC(768, 160)
  Mixed_6d = new InceptionC(768, 160)
  Mixed_6e = new InceptionC(768, 192)
  AuxLogits: InceptionAux
  Mixed_7a = new InceptionD(768)
  Mixed_7b = new InceptionE(1280)
  Mixed_7c = new InceptionE(2048)
  dropout = new Dropout(0.5)
  fc: Linear

  constructor({ numClasses = 1000, inChannels = 3 }: ModelOptions = {}) {
    super()
    this.Conv2d_1a_3x3 = new BasicConv2d(inChannels, 32, 3, { stride: 2 })
    this.AuxLogits = new InceptionAux(768, numClasses)
    this.fc = new Linear(2048, numClasses)
    // torchvision cuts these at ±2, which is 20 deviations away or more: where nothing is drawn.
    const aux = 'AuxLogits.conv1.conv'
    eachConv(this, (conv, path) => init.normal(conv.weight, 0, path === aux ? 0.01 : 0.1))
    eachLinear(this, ({ weight }, path) => init.normal(weight, 0, path === 'fc' ? 0.1 : 0.001))
  }

  forward(images: Tensor): Tensor | InceptionLogits {
    let x = this.Conv2d_2a_3x3.forward(this.Conv2d_1a_3x3.forward(images))
    x = this.maxpool1.forward(this.Conv2d_2b_3x3.forward(x)) // [N, 64, 73, 73]
    x = this.Conv2d_4a_3x3.forward(this.Conv2d_3b_1x1.forward(x))
    x = this.maxpool2.forward(x) // [N, 192, 35, 35]
    x = this.Mixed_5d.forward(this.Mixed_5c.forward(this.Mixed_5b.forward(x)))
    x = this.Mixed_6a.forward(x) // [N, 768, 17, 17]
    x = this.Mixed_6c.forward(this.Mixed_6b.forward(x))
    x = this.Mixed_6e.forward(this.Mixed_6d.forward(x))
    const aux = this.training ? this.AuxLogits.forward(x) : undefined
    x = this.Mixed_7a.forward(x) // [N, 1280, 8, 8]
    x = this.Mixed_7c.forward(this.Mixed_7b.forward(x)) // [N, 2048, 8, 8]
    const logits = this.fc.forward(this.dropout.forward(x.mean([2, 3])))
    return aux ? { logits, aux } : logits
  }
}

export const inceptions = {
  inception_v3: (options?: ModelOptions) => new InceptionV3(options),
}
