// Convolution layers in 1, 2 and 3 dimensions, and their transposes, with PyTorch's arguments and initial
// values: U(−1/√fan, 1/√fan) with fan = channels a group times the kernel's size.
import { fail } from '../../base/errors.js'
import { sizeOf } from '../../base/shape.js'
import { Parameter } from '../../tensor/parameter.js'
import type { Tensor } from '../../tensor/tensor.js'
import { perDimension } from '../functional/checks.js'
import {
  type ConvOptions,
  type ConvTransposeOptions,
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
} from '../functional/convolution.js'
import { layerValues } from '../init.js'
import { Module } from '../module.js'
import { positive } from './linear.js'

type Sizes = number | readonly number[]

interface Bias {
  /** Default true. */
  readonly bias?: boolean
}

abstract class Convolution extends Module {
  readonly inChannels: number
  readonly outChannels: number
  readonly kernelSize: readonly number[]
  readonly options: ConvOptions
  weight: Parameter // [outChannels, inChannels / groups, …kernelSize]
  bias: Parameter | undefined // [outChannels]

  constructor(
    rank: number,
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes,
    { bias = true, ...options }: ConvOptions & Bias,
  ) {
    super()
    const name = this.constructor.name
    this.inChannels = positive(inChannels, `${name}: inChannels`)
    this.outChannels = positive(outChannels, `${name}: outChannels`)
    this.kernelSize = perDimension(kernelSize, rank, 1, `${name}: kernelSize`)
    this.options = options
    const inner = inChannels / groupsOf(name, options.groups, inChannels, outChannels)
    const fan = inner * sizeOf(this.kernelSize)
    this.weight = new Parameter(layerValues([outChannels, inner, ...this.kernelSize], fan))
    this.bias = bias ? new Parameter(layerValues([outChannels], fan)) : undefined
  }

  /** The spatial size of the result for one of the input, maybe with another padding. */
  outputSize(input: readonly number[], padding = this.options.padding ?? 0): number[] {
    const rank = this.kernelSize.length
    const each = (value: Sizes) => (typeof value === 'number' ? Array(rank).fill(value) : value)
    const stride = each(this.options.stride ?? 1)
    const dilation = each(this.options.dilation ?? 1)
    if (padding === 'same') return [...input]
    const sides = each(padding === 'valid' ? 0 : padding)
    return this.kernelSize.map(
      (k, d) => Math.floor((input[d] + 2 * sides[d] - dilation[d] * (k - 1) - 1) / stride[d]) + 1,
    )
  }
}

function groupsOf(name: string, groups = 1, inputs: number, outputs: number): number {
  positive(groups, `${name}: groups`)
  if (inputs % groups !== 0 || outputs % groups !== 0)
    fail(
      `${name}: ${groups} groups must divide both inChannels ${inputs} and outChannels ${outputs}`,
    )
  return groups
}

/** [N, inChannels, L] → [N, outChannels, L′] */
export class Conv1d extends Convolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes,
    options: ConvOptions & Bias = {},
  ) {
    super(1, inChannels, outChannels, kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return conv1d(input, this.weight, this.bias, this.options)
  }
}

/** [N, inChannels, H, W] → [N, outChannels, H′, W′]: see conv2d. */
export class Conv2d extends Convolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes,
    options: ConvOptions & Bias = {},
  ) {
    super(2, inChannels, outChannels, kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return conv2d(input, this.weight, this.bias, this.options)
  }
}

/** [N, inChannels, D, H, W] → [N, outChannels, D′, H′, W′] */
export class Conv3d extends Convolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes,
    options: ConvOptions & Bias = {},
  ) {
    super(3, inChannels, outChannels, kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return conv3d(input, this.weight, this.bias, this.options)
  }
}

abstract class TransposedConvolution extends Module {
  readonly inChannels: number
  readonly outChannels: number
  readonly kernelSize: readonly number[]
  readonly options: ConvTransposeOptions
  weight: Parameter // [inChannels, outChannels / groups, …kernelSize]
  bias: Parameter | undefined // [outChannels]

  constructor(
    rank: number,
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes,
    { bias = true, ...options }: ConvTransposeOptions & Bias,
  ) {
    super()
    const name = this.constructor.name
    this.inChannels = positive(inChannels, `${name}: inChannels`)
    this.outChannels = positive(outChannels, `${name}: outChannels`)
    this.kernelSize = perDimension(kernelSize, rank, 1, `${name}: kernelSize`)
    this.options = options
    const outer = outChannels / groupsOf(name, options.groups, inChannels, outChannels)
    const fan = outer * sizeOf(this.kernelSize)
    this.weight = new Parameter(layerValues([inChannels, outer, ...this.kernelSize], fan))
    this.bias = bias ? new Parameter(layerValues([outChannels], fan)) : undefined
  }
}

/** [N, inChannels, L] → [N, outChannels, L′]: see convTranspose2d. */
export class ConvTranspose1d extends TransposedConvolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes,
    options: ConvTransposeOptions & Bias = {},
  ) {
    super(1, inChannels, outChannels, kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return convTranspose1d(input, this.weight, this.bias, this.options)
  }
}

/** [N, inChannels, H, W] → [N, outChannels, H′, W′]: see convTranspose2d. */
export class ConvTranspose2d extends TransposedConvolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes,
    options: ConvTransposeOptions & Bias = {},
  ) {
    super(2, inChannels, outChannels, kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return convTranspose2d(input, this.weight, this.bias, this.options)
  }
}

/** [N, inChannels, D, H, W] → [N, outChannels, D′, H′, W′]: see convTranspose2d. */
export class ConvTranspose3d extends TransposedConvolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes,
    options: ConvTransposeOptions & Bias = {},
  ) {
    super(3, inChannels, outChannels, kernelSize, options)
  }

  forward(input: Tensor): Tensor {
    return convTranspose3d(input, this.weight, this.bias, this.options)
  }
}
