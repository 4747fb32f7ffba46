// Normalisation layers, with PyTorch's arguments, initial values and state names.
import { fail } from '../../base/errors.js'
import { type Shape, showShape, sizeOf } from '../../base/shape.js'
import { tensor } from '../../tensor/create.js'
import { Parameter } from '../../tensor/parameter.js'
import type { Tensor } from '../../tensor/tensor.js'
import {
  batchNorm,
  groupNorm,
  instanceNorm,
  layerNorm,
  localResponseNorm,
} from '../functional/normalization.js'
import { Module } from '../module.js'
import { positive } from './linear.js'

const filled = (shape: Shape, value: number) =>
  tensor(new Float32Array(sizeOf(shape)).fill(value), { shape })

export interface BatchNormLayerOptions {
  readonly eps?: number
  /** How far running statistics move; null: their mean over all batches. Default 0.1. */
  readonly momentum?: number | null
  /** Whether there are weight and bias. Default true. */
  readonly affine?: boolean
  /** Without running statistics the batch's own are used in evaluation too. Default true. */
  readonly trackRunningStats?: boolean
}

abstract class BatchNorm extends Module {
  readonly numFeatures: number
  readonly eps: number
  readonly momentum: number | null
  weight: Parameter | undefined
  bias: Parameter | undefined
  runningMean: Parameter | undefined
  runningVar: Parameter | undefined
  numBatchesTracked: Parameter | undefined
  /** The numbers of dimensions an input may have. */
  protected abstract readonly ranks: readonly number[]

  constructor(numFeatures: number, options: BatchNormLayerOptions = {}) {
    super()
    const { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true } = options
    this.numFeatures = positive(numFeatures, `${this.constructor.name}: numFeatures`)
    this.eps = eps
    this.momentum = momentum
    this.weight = affine ? new Parameter(filled([numFeatures], 1)) : undefined
    this.bias = affine ? new Parameter(filled([numFeatures], 0)) : undefined
    if (!trackRunningStats) return
    this.runningMean = new Parameter(filled([numFeatures], 0), { role: 'state' })
    this.runningVar = new Parameter(filled([numFeatures], 1), { role: 'state' })
    this.numBatchesTracked = new Parameter(tensor(Int32Array.of(0), { shape: [] }), {
      role: 'state',
      fileDtype: 'I64',
    })
  }

  forward(input: Tensor): Tensor {
    if (!this.ranks.includes(input.shape.length))
      fail(
        `${this.constructor.name}: the input ${showShape(input.shape)} has ${input.shape.length} dimensions, but must have ${this.ranks.join(' or ')}`,
      )
    const training = this.training || this.runningMean === undefined
    let momentum: number | Tensor = this.momentum ?? 0
    if (this.training && this.numBatchesTracked) {
      const count = this.numBatchesTracked.add(1)
      this.numBatchesTracked.set(count)
      if (this.momentum === null) momentum = count.float().reciprocal()
    }
    return batchNorm(input, this.runningMean, this.runningVar, {
      weight: this.weight,
      bias: this.bias,
      training,
      momentum,
      eps: this.eps,
    })
  }
}

/** Normalises each channel of [N, C] or [N, C, L] over the batch (Ioffe and Szegedy 2015). */
export class BatchNorm1d extends BatchNorm {
  protected readonly ranks = [2, 3]
}

/** Normalises each channel of [N, C, H, W] over the batch. */
export class BatchNorm2d extends BatchNorm {
  protected readonly ranks = [4]
}

/** Normalises each channel of [N, C, D, H, W] over the batch. */
export class BatchNorm3d extends BatchNorm {
  protected readonly ranks = [5]
}

export interface NormOptions {
  readonly eps?: number
  /** Whether there are weight and bias. */
  readonly affine?: boolean
}

/** Normalises the last dimensions, of shape `normalizedShape`. */
export class LayerNorm extends Module {
  readonly normalizedShape: Shape
  readonly eps: number
  weight: Parameter | undefined
  bias: Parameter | undefined

  constructor(
    normalizedShape: number | Shape,
    {
      eps = 1e-5,
      elementwiseAffine = true,
      bias = true,
    }: {
      readonly eps?: number
      readonly elementwiseAffine?: boolean
      readonly bias?: boolean
    } = {},
  ) {
    super()
    this.normalizedShape = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape
    this.eps = eps
    this.weight = elementwiseAffine ? new Parameter(filled(this.normalizedShape, 1)) : undefined
    this.bias =
      elementwiseAffine && bias ? new Parameter(filled(this.normalizedShape, 0)) : undefined
  }

  forward(input: Tensor): Tensor {
    const { weight, bias, eps } = this
    return layerNorm(input, this.normalizedShape, { weight, bias, eps })
  }
}

/** Normalises `numGroups` groups of the channels of [N, C, …]. */
export class GroupNorm extends Module {
  readonly numGroups: number
  readonly numChannels: number
  readonly eps: number
  weight: Parameter | undefined
  bias: Parameter | undefined

  constructor(numGroups: number, numChannels: number, options: NormOptions = {}) {
    super()
    const { eps = 1e-5, affine = true } = options
    if (numChannels % positive(numGroups, 'GroupNorm: numGroups') !== 0)
      fail(`GroupNorm: ${numGroups} groups do not divide ${numChannels} channels`)
    this.numGroups = numGroups
    this.numChannels = numChannels
    this.eps = eps
    this.weight = affine ? new Parameter(filled([numChannels], 1)) : undefined
    this.bias = affine ? new Parameter(filled([numChannels], 0)) : undefined
  }

  forward(input: Tensor): Tensor {
    const { weight, bias, eps } = this
    return groupNorm(input, this.numGroups, { weight, bias, eps })
  }
}

/** Normalises each channel of each example of [N, C, H, W]; without weight and bias unless `affine`. */
export class InstanceNorm2d extends Module {
  readonly numFeatures: number
  readonly eps: number
  weight: Parameter | undefined
  bias: Parameter | undefined

  constructor(numFeatures: number, { eps = 1e-5, affine = false }: NormOptions = {}) {
    super()
    this.numFeatures = positive(numFeatures, 'InstanceNorm2d: numFeatures')
    this.eps = eps
    this.weight = affine ? new Parameter(filled([numFeatures], 1)) : undefined
    this.bias = affine ? new Parameter(filled([numFeatures], 0)) : undefined
  }

  forward(input: Tensor): Tensor {
    const { weight, bias, eps } = this
    return instanceNorm(input, { weight, bias, eps })
  }
}

/** Divides by a power of the squares of neighbouring channels (AlexNet). */
export class LocalResponseNorm extends Module {
  readonly size: number
  readonly options: { alpha?: number; beta?: number; k?: number }

  constructor(size: number, options: { alpha?: number; beta?: number; k?: number } = {}) {
    super()
    this.size = positive(size, 'LocalResponseNorm: size')
    this.options = options
  }

  forward(input: Tensor): Tensor {
    return localResponseNorm(input, this.size, this.options)
  }
}
