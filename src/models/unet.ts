// U-Net (Ronneberger, Fischer and Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
// figure 1). The paper's convolutions lose their borders (padding 0, 572×572 → 388×388), and what is passed across
// is cropped; with padding 1, the default, the result has the image's size.
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import { Conv2d, ConvTranspose2d, init, Module, ModuleList, maxPool2d, relu } from '../nn/index.js'
import { concat, type Tensor } from '../tensor/tensor.js'
import { eachConv, type ModelOptions, zeroBias } from './variants.js'

export interface UNetOptions extends ModelOptions {
  /** Channels of the first level; each level below has twice as many. Default 64. */
  readonly channels?: number
  /** How often the image is halved. Default 4. */
  readonly depth?: number
  /** Of the 3×3 convolutions; the paper's is 0. Default 1. */
  readonly padding?: 0 | 1
}

/** Two 3×3 convolutions with ReLU. */
class DoubleConv extends Module {
  conv1: Conv2d
  conv2: Conv2d

  constructor(inputs: number, outputs: number, padding: number) {
    super()
    this.conv1 = new Conv2d(inputs, outputs, 3, { padding })
    this.conv2 = new Conv2d(outputs, outputs, 3, { padding })
  }

  forward(x: Tensor): Tensor {
    return relu(this.conv2.forward(relu(this.conv1.forward(x))))
  }
}

/** "Copy and crop": the middle of a map, as large as another. */
function cropped(x: Tensor, to: Tensor): Tensor {
  const [height, width] = to.shape.slice(2)
  const top = Math.floor((x.shape[2] - height) / 2)
  const left = Math.floor((x.shape[3] - width) / 2)
  return x.slice(top, top + height, { dim: 2 }).slice(left, left + width, { dim: 3 })
}

/** Images [N, 1, H, W] → logits of each pixel [N, numClasses, H, W]; H and W are multiples of 2^depth. */
export class UNet extends Module {
  readonly padding: 0 | 1
  contracting: ModuleList<DoubleConv>
  bottom: DoubleConv
  up: ModuleList<ConvTranspose2d>
  expanding: ModuleList<DoubleConv>
  last: Conv2d

  constructor(options: UNetOptions = {}) {
    super()
    const { numClasses = 2, inChannels = 1, channels = 64, depth = 4, padding = 1 } = options
    this.padding = padding
    const width = (level: number) => channels * 2 ** level
    const levels = Array.from({ length: depth }, (_, level) => level)
    this.contracting = new ModuleList(
      levels.map((level) => {
        const inputs = level === 0 ? inChannels : width(level - 1)
        return new DoubleConv(inputs, width(level), padding)
      }),
    )
    this.bottom = new DoubleConv(width(depth - 1), width(depth), padding)
    const upwards = levels.toReversed()
    this.up = new ModuleList(
      upwards.map((level) => new ConvTranspose2d(width(level + 1), width(level), 2, { stride: 2 })),
    )
    this.expanding = new ModuleList(
      upwards.map((level) => new DoubleConv(width(level + 1), width(level), padding)),
    )
    this.last = new Conv2d(channels, numClasses, 1)
    // "A standard deviation of √(2/N), where N is the number of incoming nodes" (section 3).
    eachConv(this, (conv) => {
      init.kaimingNormal(conv.weight)
      zeroBias(conv)
    })
  }

  forward(images: Tensor): Tensor {
    const multiple = 2 ** this.contracting.length
    if (this.padding === 1 && images.shape.slice(2).some((size) => size % multiple !== 0))
      fail(
        `UNet: height and width of ${showShape(images.shape)} must be multiples of ${multiple}; pad the images`,
      )
    const passed: Tensor[] = []
    let x = images
    for (const level of this.contracting) {
      x = level.forward(x)
      passed.push(x)
      x = maxPool2d(x, 2)
    }
    x = this.bottom.forward(x)
    for (let i = 0; i < this.up.length; i++) {
      x = this.up.at(i).forward(x)
      const across = passed[passed.length - 1 - i]
      x = this.expanding.at(i).forward(concat([cropped(across, x), x], 1))
    }
    return this.last.forward(x)
  }
}

export const unets = {
  unet: (options?: ModelOptions) => new UNet(options),
}
