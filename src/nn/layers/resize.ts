// Resizing and rearranging layers, unfold and fold.
import type { Tensor } from '../../tensor/tensor.js'
import * as Folds from '../functional/fold.js'
import * as F from '../functional/resize.js'
import { Module } from '../module.js'

/** Resizes the spatial dimensions of [N, C, …]: see interpolate. */
export class Upsample extends Module {
  readonly options: F.InterpolateOptions

  constructor(options: F.InterpolateOptions) {
    super()
    this.options = options
  }

  forward(input: Tensor): Tensor {
    return F.interpolate(input, this.options)
  }
}

/** [.., C·r², H, W] → [.., C, H·r, W·r] */
export class PixelShuffle extends Module {
  readonly upscaleFactor: number

  constructor(upscaleFactor: number) {
    super()
    this.upscaleFactor = upscaleFactor
  }

  forward(input: Tensor): Tensor {
    return F.pixelShuffle(input, this.upscaleFactor)
  }
}

/** [.., C, H·r, W·r] → [.., C·r², H, W] */
export class PixelUnshuffle extends Module {
  readonly downscaleFactor: number

  constructor(downscaleFactor: number) {
    super()
    this.downscaleFactor = downscaleFactor
  }

  forward(input: Tensor): Tensor {
    return F.pixelUnshuffle(input, this.downscaleFactor)
  }
}

/** Interleaves the channels of `groups` groups. */
export class ChannelShuffle extends Module {
  readonly groups: number

  constructor(groups: number) {
    super()
    this.groups = groups
  }

  forward(input: Tensor): Tensor {
    return F.channelShuffle(input, this.groups)
  }
}

type Sizes = number | readonly number[]

/** Windows of [N, C, H, W] as columns [N, C·KH·KW, L]. */
export class Unfold extends Module {
  readonly kernelSize: Sizes
  readonly options: Folds.FoldOptions

  constructor(kernelSize: Sizes, options: Folds.FoldOptions = {}) {
    super()
    this.kernelSize = kernelSize
    this.options = options
  }

  forward(input: Tensor): Tensor {
    return Folds.unfold(input, this.kernelSize, this.options)
  }
}

/** Columns [N, C·KH·KW, L] added up in an image [N, C, …outputSize]. */
export class Fold extends Module {
  readonly imageSize: Sizes
  readonly kernelSize: Sizes
  readonly options: Folds.FoldOptions

  constructor(outputSize: Sizes, kernelSize: Sizes, options: Folds.FoldOptions = {}) {
    super()
    this.imageSize = outputSize
    this.kernelSize = kernelSize
    this.options = options
  }

  forward(input: Tensor): Tensor {
    return Folds.fold(input, this.imageSize, this.kernelSize, this.options)
  }
}
