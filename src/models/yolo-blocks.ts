// The parts of YOLOX (see yolo.ts): convolutions with SiLU, cross-stage partial layers (Wang et al. 2019), spatial
// pyramid pooling (He et al. 2014), and the backbone made of them. Parameters are named as in the YOLOX repository.
import { BatchNorm2d, Conv2d, Module, maxPool2d, Sequential, silu } from '../nn/index.js'
import { concat, type Tensor } from '../tensor/tensor.js'

/** Convolution without bias, batch norm, SiLU. */
export class ConvBlock extends Module {
  conv: Conv2d
  bn: BatchNorm2d

  constructor(inputs: number, outputs: number, kernel: number, stride = 1, groups = 1) {
    super()
    const padding = (kernel - 1) / 2
    this.conv = new Conv2d(inputs, outputs, kernel, { stride, padding, groups, bias: false })
    this.bn = new BatchNorm2d(outputs, { eps: 1e-3, momentum: 0.03 })
  }

  forward(x: Tensor): Tensor {
    return silu(this.bn.forward(this.conv.forward(x)))
  }
}

/** Each channel by itself, then a 1×1 convolution. */
class SeparableBlock extends Module {
  dconv: ConvBlock
  pconv: ConvBlock

  constructor(inputs: number, outputs: number, kernel: number, stride: number) {
    super()
    this.dconv = new ConvBlock(inputs, inputs, kernel, stride, inputs)
    this.pconv = new ConvBlock(inputs, outputs, 1)
  }

  forward(x: Tensor): Tensor {
    return this.pconv.forward(this.dconv.forward(x))
  }
}

/** A 3×3 convolution, or what stands for it in the smallest network. */
export function conv3x3(depthwise: boolean, inputs: number, outputs: number, stride = 1): Module {
  return depthwise
    ? new SeparableBlock(inputs, outputs, 3, stride)
    : new ConvBlock(inputs, outputs, 3, stride)
}

class Bottleneck extends Module {
  conv1: ConvBlock
  conv2: Module
  readonly shortcut: boolean

  constructor(channels: number, shortcut: boolean, depthwise: boolean) {
    super()
    this.conv1 = new ConvBlock(channels, channels, 1)
    this.conv2 = conv3x3(depthwise, channels, channels)
    this.shortcut = shortcut
  }

  forward(x: Tensor): Tensor {
    const y = this.conv2.forward(this.conv1.forward(x))
    return this.shortcut ? y.add(x) : y
  }
}

export interface CspOptions {
  readonly blocks: number
  readonly shortcut?: boolean
  readonly depthwise: boolean
}

/** Half of the channels go through bottlenecks, the other half around them. */
export class CspLayer extends Module {
  conv1: ConvBlock
  conv2: ConvBlock
  conv3: ConvBlock
  m: Sequential

  constructor(inputs: number, outputs: number, { blocks, shortcut = true, depthwise }: CspOptions) {
    super()
    const inner = Math.floor(outputs / 2)
    this.conv1 = new ConvBlock(inputs, inner, 1)
    this.conv2 = new ConvBlock(inputs, inner, 1)
    this.conv3 = new ConvBlock(2 * inner, outputs, 1)
    const made = Array.from({ length: blocks }, () => new Bottleneck(inner, shortcut, depthwise))
    this.m = new Sequential(...made)
  }

  forward(x: Tensor): Tensor {
    const through = this.m.forward(this.conv1.forward(x))
    return this.conv3.forward(concat([through, this.conv2.forward(x)], 1))
  }
}

const POOLS = [5, 9, 13]

/** The greatest values of three neighbourhoods beside the map itself. */
class PyramidPooling extends Module {
  conv1: ConvBlock
  conv2: ConvBlock

  constructor(channels: number) {
    super()
    const inner = Math.floor(channels / 2)
    this.conv1 = new ConvBlock(channels, inner, 1)
    this.conv2 = new ConvBlock(inner * (POOLS.length + 1), channels, 1)
  }

  forward(x: Tensor): Tensor {
    const y = this.conv1.forward(x)
    const pooled = POOLS.map((size) => maxPool2d(y, size, { stride: 1, padding: (size - 1) / 2 }))
    return this.conv2.forward(concat([y, ...pooled], 1))
  }
}

/** [N, C, H, W] → [N, outputs, H/2, W/2]: four neighbouring pixels become channels (down first), then a convolution. */
class Focus extends Module {
  conv: ConvBlock

  constructor(inputs: number, outputs: number) {
    super()
    this.conv = new ConvBlock(4 * inputs, outputs, 3)
  }

  forward(images: Tensor): Tensor {
    const [n, c, height, width] = images.shape
    const pixels = images.reshape(n, c, height / 2, 2, width / 2, 2)
    return this.conv.forward(
      pixels.permute(0, 5, 3, 1, 2, 4).reshape(n, 4 * c, height / 2, width / 2),
    )
  }
}

/** The modified CSPDarknet: three maps, of strides 8, 16 and 32 with 4, 8 and 16 times `channels`. */
export class CspDarknet extends Module<readonly [Tensor, Tensor, Tensor]> {
  stem: Focus
  dark2: Sequential
  dark3: Sequential
  dark4: Sequential
  dark5: Sequential

  constructor(inputs: number, channels: number, depth: number, depthwise: boolean) {
    super()
    const stage = (times: number, blocks: number) => [
      conv3x3(depthwise, (channels * times) / 2, channels * times, 2),
      new CspLayer(channels * times, channels * times, { blocks, depthwise }),
    ]
    this.stem = new Focus(inputs, channels)
    this.dark2 = new Sequential(...stage(2, depth))
    this.dark3 = new Sequential(...stage(4, 3 * depth))
    this.dark4 = new Sequential(...stage(8, 3 * depth))
    const wide = 16 * channels
    this.dark5 = new Sequential(
      conv3x3(depthwise, wide / 2, wide, 2),
      new PyramidPooling(wide),
      new CspLayer(wide, wide, { blocks: depth, shortcut: false, depthwise }),
    )
  }

  forward(images: Tensor): readonly [Tensor, Tensor, Tensor] {
    const low = this.dark2.forward(this.stem.forward(images))
    const third = this.dark3.forward(low)
    const fourth = this.dark4.forward(third)
    return [third, fourth, this.dark5.forward(fourth)]
  }
}
