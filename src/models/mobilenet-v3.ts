// MobileNetV3 (Howard et al. 2019, "Searching for MobileNetV3", tables 1 and 2). After torchvision's mobilenet_v3.
import {
  BatchNorm2d,
  Dropout,
  Hardswish,
  hardsigmoid,
  Linear,
  Module,
  ReLU,
  Sequential,
} from '../nn/index.js'
import { Conv2dNormActivation, SqueezeExcitation } from '../nn/layers/block.js'
import type { Tensor } from '../tensor/tensor.js'
import { heConvolutions, type ModelOptions, normalLinears, roundChannels } from './variants.js'

/** A row of the tables: kernel, exp size, #out, SE, NL, s. */
type Row = readonly [number, number, number, boolean, 'RE' | 'HS', number]

interface Table {
  readonly rows: readonly Row[]
  readonly last: number
}

const large: Table = {
  rows: [
    [3, 16, 16, false, 'RE', 1],
    [3, 64, 24, false, 'RE', 2],
    [3, 72, 24, false, 'RE', 1],
    [5, 72, 40, true, 'RE', 2],
    [5, 120, 40, true, 'RE', 1],
    [5, 120, 40, true, 'RE', 1],
    [3, 240, 80, false, 'HS', 2],
    [3, 200, 80, false, 'HS', 1],
    [3, 184, 80, false, 'HS', 1],
    [3, 184, 80, false, 'HS', 1],
    [3, 480, 112, true, 'HS', 1],
    [3, 672, 112, true, 'HS', 1],
    [5, 672, 160, true, 'HS', 2],
    [5, 960, 160, true, 'HS', 1],
    [5, 960, 160, true, 'HS', 1],
  ],
  last: 1280,
}

const small: Table = {
  rows: [
    [3, 16, 16, true, 'RE', 2],
    [3, 72, 24, false, 'RE', 2],
    [3, 88, 24, false, 'RE', 1],
    [5, 96, 40, true, 'HS', 2],
    [5, 240, 40, true, 'HS', 1],
    [5, 240, 40, true, 'HS', 1],
    [5, 120, 48, true, 'HS', 1],
    [5, 144, 48, true, 'HS', 1],
    [5, 288, 96, true, 'HS', 2],
    [5, 576, 96, true, 'HS', 1],
    [5, 576, 96, true, 'HS', 1],
  ],
  last: 1024,
}

const normLayer = (channels: number) => new BatchNorm2d(channels, { eps: 0.001, momentum: 0.01 })

/** An inverted residual with squeeze-and-excitation between its convolutions (figure 4). */
class InvertedResidual extends Module {
  block: Sequential
  readonly residual: boolean

  constructor(inputs: number, [kernelSize, inner, outputs, squeezes, kind, stride]: Row) {
    super()
    const activationLayer = () => (kind === 'HS' ? new Hardswish() : new ReLU())
    const layers: Module[] = []
    if (inner !== inputs)
      layers.push(
        new Conv2dNormActivation(inputs, inner, { kernelSize: 1, normLayer, activationLayer }),
      )
    const depthwise = { kernelSize, stride, groups: inner, normLayer, activationLayer }
    layers.push(new Conv2dNormActivation(inner, inner, depthwise))
    if (squeezes) {
      const squeezed = roundChannels(Math.floor(inner / 4))
      layers.push(new SqueezeExcitation(inner, squeezed, { scaleActivation: hardsigmoid }))
    }
    layers.push(
      new Conv2dNormActivation(inner, outputs, { kernelSize: 1, normLayer, activationLayer: null }),
    )
    this.block = new Sequential(...layers)
    this.residual = stride === 1 && inputs === outputs
  }

  forward(x: Tensor): Tensor {
    const y = this.block.forward(x)
    return this.residual ? x.add(y) : y
  }
}

/** Images [N, 3, 224, 224] → logits [N, 1000]. */
export class MobileNetV3 extends Module {
  features: Sequential
  classifier: Sequential

  constructor(size: 'large' | 'small', { numClasses = 1000, inChannels = 3 }: ModelOptions = {}) {
    super()
    const { rows, last } = size === 'large' ? large : small
    const activationLayer = () => new Hardswish()
    let inputs = 16
    const layers: Module[] = [
      new Conv2dNormActivation(inChannels, inputs, { stride: 2, normLayer, activationLayer }),
    ]
    for (const row of rows) {
      layers.push(new InvertedResidual(inputs, row))
      inputs = row[2]
    }
    const wide = 6 * inputs
    layers.push(
      new Conv2dNormActivation(inputs, wide, { kernelSize: 1, normLayer, activationLayer }),
    )
    this.features = new Sequential(...layers)
    this.classifier = new Sequential(
      new Linear(wide, last),
      new Hardswish(),
      new Dropout(0.2),
      new Linear(last, numClasses),
    )
    heConvolutions(this)
    normalLinears(this, 0.01)
  }

  forward(images: Tensor): Tensor {
    const x = this.features.forward(images) // [N, 576 or 960, 7, 7]
    return this.classifier.forward(x.mean([2, 3]))
  }
}

export const mobilenetsV3 = {
  mobilenet_v3_large: (options?: ModelOptions) => new MobileNetV3('large', options),
  mobilenet_v3_small: (options?: ModelOptions) => new MobileNetV3('small', options),
}
