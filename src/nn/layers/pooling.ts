// Pooling layers, with PyTorch's arguments.
import type { Tensor } from '../../tensor/tensor.js'
import type { AvgPoolOptions, MaxPoolOptions } from '../functional/pooling.js'
import * as F from '../functional/pooling.js'
import { Module } from '../module.js'

type Sizes = number | readonly number[]

abstract class Pool<Options extends MaxPoolOptions | AvgPoolOptions> extends Module {
  readonly kernelSize: Sizes
  readonly options: Options

  constructor(kernelSize: Sizes, options: Options) {
    super()
    this.kernelSize = kernelSize
    this.options = options
  }

  /** The spatial size of the result for one of the input. */
  outputSize(input: readonly number[]): number[] {
    const at = (value: Sizes, d: number) => (typeof value === 'number' ? value : value[d])
    const { stride = this.kernelSize, padding = 0, ceilMode = false } = this.options
    const dilation = 'dilation' in this.options ? (this.options.dilation ?? 1) : 1
    return input.map((n, d) => {
      const reach = at(dilation, d) * (at(this.kernelSize, d) - 1) + 1
      const step = at(stride, d)
      const room = (n + 2 * at(padding, d) - reach) / step
      if (!ceilMode) return Math.floor(room) + 1
      // The last window begins inside of the input or the padding before it.
      const last = Math.ceil(room)
      return last * step >= n + at(padding, d) ? last : last + 1
    })
  }
}

/** [N, C, L]: the largest of each window. See maxPool1d. */
export class MaxPool1d extends Pool<MaxPoolOptions> {
  constructor(kernelSize: Sizes, options: MaxPoolOptions = {}) {
    super(kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return F.maxPool1d(input, this.kernelSize, this.options)
  }
}

/** [N, C, H, W]: the largest of each window. See maxPool2d. */
export class MaxPool2d extends Pool<MaxPoolOptions> {
  constructor(kernelSize: Sizes, options: MaxPoolOptions = {}) {
    super(kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return F.maxPool2d(input, this.kernelSize, this.options)
  }
}

/** [N, C, D, H, W]: the largest of each window. See maxPool3d. */
export class MaxPool3d extends Pool<MaxPoolOptions> {
  constructor(kernelSize: Sizes, options: MaxPoolOptions = {}) {
    super(kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return F.maxPool3d(input, this.kernelSize, this.options)
  }
}

/** [N, C, L]: the mean of each window. See avgPool1d. */
export class AvgPool1d extends Pool<AvgPoolOptions> {
  constructor(kernelSize: Sizes, options: AvgPoolOptions = {}) {
    super(kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return F.avgPool1d(input, this.kernelSize, this.options)
  }
}

/** [N, C, H, W]: the mean of each window. See avgPool2d. */
export class AvgPool2d extends Pool<AvgPoolOptions> {
  constructor(kernelSize: Sizes, options: AvgPoolOptions = {}) {
    super(kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return F.avgPool2d(input, this.kernelSize, this.options)
  }
}

/** [N, C, D, H, W]: the mean of each window. See avgPool3d. */
export class AvgPool3d extends Pool<AvgPoolOptions> {
  constructor(kernelSize: Sizes, options: AvgPoolOptions = {}) {
    super(kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return F.avgPool3d(input, this.kernelSize, this.options)
  }
}

type OutputSizes = number | readonly (number | null)[]

abstract class AdaptivePool extends Module {
  readonly outputSizes: OutputSizes

  constructor(outputSize: OutputSizes) {
    super()
    this.outputSizes = outputSize
  }
}

/** [N, C, L] → [N, C, outputSize]: see adaptiveAvgPool1d. */
export class AdaptiveAvgPool1d extends AdaptivePool {
  forward(input: Tensor): Tensor {
    return F.adaptiveAvgPool1d(input, this.outputSizes)
  }
}

/** [N, C, H, W] → [N, C, …outputSize]: see adaptiveAvgPool2d. */
export class AdaptiveAvgPool2d extends AdaptivePool {
  forward(input: Tensor): Tensor {
    return F.adaptiveAvgPool2d(input, this.outputSizes)
  }
}

/** [N, C, D, H, W] → [N, C, …outputSize]: see adaptiveAvgPool3d. */
export class AdaptiveAvgPool3d extends AdaptivePool {
  forward(input: Tensor): Tensor {
    return F.adaptiveAvgPool3d(input, this.outputSizes)
  }
}

/** [N, C, L] → [N, C, outputSize]: see adaptiveMaxPool1d. */
export class AdaptiveMaxPool1d extends AdaptivePool {
  forward(input: Tensor): Tensor {
    return F.adaptiveMaxPool1d(input, this.outputSizes)
  }
}

/** [N, C, H, W] → [N, C, …outputSize]: see adaptiveMaxPool2d. */
export class AdaptiveMaxPool2d extends AdaptivePool {
  forward(input: Tensor): Tensor {
    return F.adaptiveMaxPool2d(input, this.outputSizes)
  }
}

/** [N, C, D, H, W] → [N, C, …outputSize]: see adaptiveMaxPool3d. */
export class AdaptiveMaxPool3d extends AdaptivePool {
  forward(input: Tensor): Tensor {
    return F.adaptiveMaxPool3d(input, this.outputSizes)
  }
}

abstract class Unpool extends Module {
  readonly kernelSize: Sizes
  readonly options: F.Unpooling

  constructor(kernelSize: Sizes, options: F.Unpooling = {}) {
    super()
    this.kernelSize = kernelSize
    this.options = options
  }
}

abstract class PowerPool extends Module {
  readonly normType: number
  readonly kernelSize: Sizes
  readonly options: Pick<AvgPoolOptions, 'stride' | 'ceilMode'>

  constructor(
    normType: number,
    kernelSize: Sizes,
    options: Pick<AvgPoolOptions, 'stride' | 'ceilMode'> = {},
  ) {
    super()
    this.normType = normType
    this.kernelSize = kernelSize
    this.options = options
  }
}

/** Puts the values [N, C, L] of a max pool back to their places. See maxUnpool1d. */
export class MaxUnpool1d extends Unpool {
  forward(input: Tensor, indices: Tensor): Tensor {
    return F.maxUnpool1d(input, indices, this.kernelSize, this.options)
  }
}

/** Puts the values [N, C, H, W] of a max pool back to their places. See maxUnpool2d. */
export class MaxUnpool2d extends Unpool {
  forward(input: Tensor, indices: Tensor): Tensor {
    return F.maxUnpool2d(input, indices, this.kernelSize, this.options)
  }
}

/** Puts the values [N, C, D, H, W] of a max pool back to their places. See maxUnpool3d. */
export class MaxUnpool3d extends Unpool {
  forward(input: Tensor, indices: Tensor): Tensor {
    return F.maxUnpool3d(input, indices, this.kernelSize, this.options)
  }
}

/** [N, C, L]: the p-norm of each window. See lpPool1d. */
export class LPPool1d extends PowerPool {
  forward(input: Tensor): Tensor {
    return F.lpPool1d(input, this.normType, this.kernelSize, this.options)
  }
}

/** [N, C, H, W]: the p-norm of each window. See lpPool2d. */
export class LPPool2d extends PowerPool {
  forward(input: Tensor): Tensor {
    return F.lpPool2d(input, this.normType, this.kernelSize, this.options)
  }
}
