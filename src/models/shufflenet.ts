// ShuffleNet V2 (Ma, Zhang, Zheng and Sun 2018, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture
// Design", figure 3 and table 5). After torchvision's shufflenet_v2.
import {
  BatchNorm2d,
  Conv2d,
  channelShuffle,
  Linear,
  MaxPool2d,
  Module,
  ReLU,
  Sequential,
} from '../nn/index.js'
import { Conv2dNormActivation } from '../nn/layers/block.js'
import { concat, type Tensor } from '../tensor/tensor.js'
import type { ModelOptions } from './variants.js'

/** Units of the stages 2, 3 and 4. */
const UNITS = [4, 8, 4]
const FIRST = 24

/** 3×3 of each channel, without activation. */
const depthwise = (channels: number, stride: number): Module[] => [
  new Conv2d(channels, channels, 3, { stride, padding: 1, groups: channels, bias: false }),
  new BatchNorm2d(channels),
]
const pointwise = (inputs: number, outputs: number): Module[] => [
  new Conv2d(inputs, outputs, 1, { bias: false }),
  new BatchNorm2d(outputs),
  new ReLU(),
]

/** One half passes by (figure 3c); with stride 2 both halves are computed from all channels (figure 3d). */
class InvertedResidual extends Module {
  branch1: Sequential
  branch2: Sequential
  readonly stride: number

  constructor(inputs: number, outputs: number, stride: number) {
    super()
    const half = outputs / 2
    this.stride = stride
    this.branch1 =
      stride === 1
        ? new Sequential()
        : new Sequential(...depthwise(inputs, stride), ...pointwise(inputs, half))
    this.branch2 = new Sequential(
      ...pointwise(stride === 1 ? half : inputs, half),
      ...depthwise(half, stride),
      ...pointwise(half, half),
    )
  }

  forward(x: Tensor): Tensor {
    const [left, right] = this.stride === 1 ? x.chunk(2, 1) : [x, x]
    return channelShuffle(concat([this.branch1.forward(left), this.branch2.forward(right)], 1), 2)
  }
}

/** Images [N, 3, 224, 224] → logits [N, 1000]; `channels` of the stages 2, 3, 4 and of conv5. */
export class ShuffleNetV2 extends Module {
  conv1: Sequential
  maxpool = new MaxPool2d(3, { stride: 2, padding: 1 })
  stage2: Sequential
  stage3: Sequential
  stage4: Sequential
  conv5: Sequential
  fc: Linear

  constructor(
    channels: readonly [number, number, number, number],
    { numClasses = 1000, inChannels = 3 }: ModelOptions = {},
  ) {
    super()
    const [, , before, last] = channels
    const stage = (index: number, inputs: number) => {
      const outputs = channels[index]
      const units = Array.from({ length: UNITS[index] }, (_, i) =>
        i === 0
          ? new InvertedResidual(inputs, outputs, 2)
          : new InvertedResidual(outputs, outputs, 1),
      )
      return new Sequential(...units)
    }
    this.conv1 = new Conv2dNormActivation(inChannels, FIRST, { stride: 2 })
    this.stage2 = stage(0, FIRST)
    this.stage3 = stage(1, channels[0])
    this.stage4 = stage(2, channels[1])
    this.conv5 = new Conv2dNormActivation(before, last, { kernelSize: 1 })
    this.fc = new Linear(last, numClasses)
  }

  forward(images: Tensor): Tensor {
    let x = this.maxpool.forward(this.conv1.forward(images)) // [N, 24, 56, 56]
    x = this.stage2.forward(x) // 28×28
    x = this.stage3.forward(x) // 14×14
    x = this.conv5.forward(this.stage4.forward(x)) // 7×7
    return this.fc.forward(x.mean([2, 3]))
  }
}

export const shufflenets = {
  shufflenet_v2_x0_5: (options?: ModelOptions) => new ShuffleNetV2([48, 96, 192, 1024], options),
  shufflenet_v2_x1_0: (options?: ModelOptions) => new ShuffleNetV2([116, 232, 464, 1024], options),
  shufflenet_v2_x1_5: (options?: ModelOptions) => new ShuffleNetV2([176, 352, 704, 1024], options),
  shufflenet_v2_x2_0: (options?: ModelOptions) => new ShuffleNetV2([244, 488, 976, 2048], options),
}
