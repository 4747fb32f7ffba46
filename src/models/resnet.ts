// ResNet (He, Zhang, Ren and Sun 2015, "Deep Residual Learning for Image Recognition", table 1), ResNeXt (Xie et
// al. 2016) and wide ResNet (Zagoruyko and Komodakis 2016). After torchvision's resnet: bottlenecks stride in the
// 3×3 convolution ("v1.5"), not in the first 1×1.
import { BatchNorm2d, Conv2d, Linear, MaxPool2d, Module, relu, Sequential } from '../nn/index.js'
import type { Tensor } from '../tensor/tensor.js'
import { heConvolutions, type ModelOptions } from './variants.js'

const conv3x3 = (inputs: number, outputs: number, stride = 1, groups = 1) =>
  new Conv2d(inputs, outputs, 3, { stride, padding: 1, groups, bias: false })
const conv1x1 = (inputs: number, outputs: number, stride = 1) =>
  new Conv2d(inputs, outputs, 1, { stride, bias: false })

interface Width {
  /** Groups of the 3×3 convolution ("cardinality"), and channels of a group where the stage has 64. */
  readonly groups: number
  readonly widthPerGroup: number
  /** Bottlenecks stride in their first 1×1 convolution, as in the paper, not in the 3×3. */
  readonly strideFirst?: boolean
}

/** Two 3×3 convolutions around which the input passes (figure 5, left). */
export class BasicBlock extends Module {
  static readonly expansion = 1
  conv1: Conv2d
  bn1: BatchNorm2d
  conv2: Conv2d
  bn2: BatchNorm2d
  downsample: Sequential | undefined

  constructor(inputs: number, planes: number, stride: number) {
    super()
    this.conv1 = conv3x3(inputs, planes, stride)
    this.bn1 = new BatchNorm2d(planes)
    this.conv2 = conv3x3(planes, planes)
    this.bn2 = new BatchNorm2d(planes)
    this.downsample = shortcut(inputs, planes, stride)
  }

  forward(x: Tensor): Tensor {
    let y = relu(this.bn1.forward(this.conv1.forward(x)))
    y = this.bn2.forward(this.conv2.forward(y))
    return relu(y.add(this.downsample?.forward(x) ?? x))
  }
}

/** 1×1 to fewer channels, 3×3, 1×1 to four times as many (figure 5, right). */
export class Bottleneck extends Module {
  static readonly expansion = 4
  conv1: Conv2d
  bn1: BatchNorm2d
  conv2: Conv2d
  bn2: BatchNorm2d
  conv3: Conv2d
  bn3: BatchNorm2d
  downsample: Sequential | undefined

  constructor(inputs: number, planes: number, stride: number, shape: Width) {
    super()
    const { groups, widthPerGroup, strideFirst = false } = shape
    const width = Math.floor((planes * widthPerGroup) / 64) * groups
    const outputs = planes * Bottleneck.expansion
    this.conv1 = conv1x1(inputs, width, strideFirst ? stride : 1)
    this.bn1 = new BatchNorm2d(width)
    this.conv2 = conv3x3(width, width, strideFirst ? 1 : stride, groups)
    this.bn2 = new BatchNorm2d(width)
    this.conv3 = conv1x1(width, outputs)
    this.bn3 = new BatchNorm2d(outputs)
    this.downsample = shortcut(inputs, outputs, stride)
  }

  forward(x: Tensor): Tensor {
    let y = relu(this.bn1.forward(this.conv1.forward(x)))
    y = relu(this.bn2.forward(this.conv2.forward(y)))
    y = this.bn3.forward(this.conv3.forward(y))
    return relu(y.add(this.downsample?.forward(x) ?? x))
  }
}

/** The projection of a shortcut whose shape changes (option B). */
function shortcut(inputs: number, outputs: number, stride: number): Sequential | undefined {
  if (stride === 1 && inputs === outputs) return undefined
  return new Sequential(conv1x1(inputs, outputs, stride), new BatchNorm2d(outputs))
}

export interface ResNetOptions extends ModelOptions, Partial<Width> {
  /** Channels of the first stage; each further one has twice as many. Default 64. */
  readonly planes?: number
  /** Channels of every stage, where they are not so. */
  readonly stagePlanes?: readonly [number, number, number, number]
  /** Channels of the convolution before the stages. Default: planes. */
  readonly stem?: number
  /** The first stage halves the image too. Default false. */
  readonly downsampleFirst?: boolean
}

/** Images [N, 3, 224, 224] → logits [N, 1000]; `layers` counts the blocks of the four stages. */
export class ResNet extends Module {
  /** What it was made of. */
  readonly blocks: 'basic' | 'bottleneck'
  readonly layers: readonly [number, number, number, number]
  readonly options: ResNetOptions
  conv1: Conv2d
  bn1: BatchNorm2d
  maxpool = new MaxPool2d(3, { stride: 2, padding: 1 })
  layer1: Sequential
  layer2: Sequential
  layer3: Sequential
  layer4: Sequential
  fc: Linear

  constructor(
    Block: typeof BasicBlock | typeof Bottleneck,
    layers: readonly [number, number, number, number],
    options: ResNetOptions = {},
  ) {
    super()
    this.blocks = Block === BasicBlock ? 'basic' : 'bottleneck'
    this.layers = layers
    this.options = options
    const { numClasses = 1000, inChannels = 3, planes = 64, stem = planes, stagePlanes } = options
    const { groups = 1, widthPerGroup = 64, strideFirst, downsampleFirst = false } = options
    let inputs = stem
    const stage = (index: number, firstStride: number) => {
      const width = stagePlanes?.[index] ?? planes * 2 ** index
      const blocks = Array.from({ length: layers[index] }, (_, i) => {
        const stride = i === 0 ? firstStride : 1
        const block = new Block(inputs, width, stride, { groups, widthPerGroup, strideFirst })
        inputs = width * Block.expansion
        return block
      })
      return new Sequential(...blocks)
    }
    this.conv1 = new Conv2d(inChannels, stem, 7, { stride: 2, padding: 3, bias: false })
    this.bn1 = new BatchNorm2d(stem)
    this.layer1 = stage(0, downsampleFirst ? 2 : 1)
    this.layer2 = stage(1, 2)
    this.layer3 = stage(2, 2)
    this.layer4 = stage(3, 2)
    this.fc = new Linear(inputs, numClasses)
    heConvolutions(this)
  }

  forward(images: Tensor): Tensor {
    let x = relu(this.bn1.forward(this.conv1.forward(images))) // [N, 64, 112, 112]
    x = this.maxpool.forward(x) // [N, 64, 56, 56]
    x = this.layer1.forward(x)
    x = this.layer2.forward(x) // 28×28
    x = this.layer3.forward(x) // 14×14
    x = this.layer4.forward(x) // 7×7
    return this.fc.forward(x.mean([2, 3]))
  }
}

const groups = (groups: number, widthPerGroup: number, options?: ModelOptions) => ({
  ...options,
  groups,
  widthPerGroup,
})

export const resnets = {
  resnet18: (options?: ModelOptions) => new ResNet(BasicBlock, [2, 2, 2, 2], options),
  resnet34: (options?: ModelOptions) => new ResNet(BasicBlock, [3, 4, 6, 3], options),
  resnet50: (options?: ModelOptions) => new ResNet(Bottleneck, [3, 4, 6, 3], options),
  resnet101: (options?: ModelOptions) => new ResNet(Bottleneck, [3, 4, 23, 3], options),
  resnet152: (options?: ModelOptions) => new ResNet(Bottleneck, [3, 8, 36, 3], options),
  resnext50_32x4d: (options?: ModelOptions) =>
    new ResNet(Bottleneck, [3, 4, 6, 3], groups(32, 4, options)),
  resnext101_32x8d: (options?: ModelOptions) =>
    new ResNet(Bottleneck, [3, 4, 23, 3], groups(32, 8, options)),
  resnext101_64x4d: (options?: ModelOptions) =>
    new ResNet(Bottleneck, [3, 4, 23, 3], groups(64, 4, options)),
  wide_resnet50_2: (options?: ModelOptions) =>
    new ResNet(Bottleneck, [3, 4, 6, 3], groups(1, 128, options)),
  wide_resnet101_2: (options?: ModelOptions) =>
    new ResNet(Bottleneck, [3, 4, 23, 3], groups(1, 128, options)),
}
