// Normalisation layers, with PyTorch's arguments, initial values and state names.
import { fail } from '../../base/errors.js'
import { type Shape, showShape } from '../../base/shape.js'
import { constant } from '../../graph/node.js'
import { tensor } from '../../tensor/create.js'
import { Parameter } from '../../tensor/parameter.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import {
  batchNorm,
  groupNorm,
  instanceNorm,
  layerNorm,
  localResponseNorm,
  rmsNorm,
} from '../functional/normalization.js'
import { Module } from '../module.js'
import { positive } from './linear.js'

const filled = (shape: Shape, value: number) => fromNode(constant(value, 'float32', shape))

/** PyTorch's `num_batches_tracked`. */
const counter = () =>
  new Parameter(tensor(Int32Array.of(0), { shape: [] }), { role: 'state', fileDtype: 'I64' })

/** Options of batch normalisation layers. */
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
    this.numBatchesTracked = counter()
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

/** Options of normalisation layers. */
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

/** x / √(mean(x²) + ε)·weight over the last dimensions, of shape `normalizedShape`. */
export class RMSNorm extends Module {
  readonly normalizedShape: Shape
  readonly eps: number | undefined
  weight: Parameter | undefined

  constructor(
    normalizedShape: number | Shape,
    {
      eps,
      elementwiseAffine = true,
    }: { readonly eps?: number; readonly elementwiseAffine?: boolean } = {},
  ) {
    super()
    this.normalizedShape = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape
    this.eps = eps
    this.weight = elementwiseAffine ? new Parameter(filled(this.normalizedShape, 1)) : undefined
  }

  forward(input: Tensor): Tensor {
    const { weight, eps } = this
    return rmsNorm(input, this.normalizedShape, { weight, eps })
  }
}

/** Options of instance normalisation layers. */
export interface InstanceNormLayerOptions extends NormOptions {
  /** How far running statistics move. Default 0.1. */
  readonly momentum?: number
  /** Whether evaluation uses running statistics. Default false. */
  readonly trackRunningStats?: boolean
}

abstract class InstanceNorm extends Module {
  readonly numFeatures: number
  readonly eps: number
  readonly momentum: number
  weight: Parameter | undefined
  bias: Parameter | undefined
  runningMean: Parameter | undefined
  runningVar: Parameter | undefined
  numBatchesTracked: Parameter | undefined
  /** The number of dimensions of a batch. */
  protected abstract readonly rank: number

  constructor(numFeatures: number, options: InstanceNormLayerOptions = {}) {
    super()
    const { eps = 1e-5, momentum = 0.1, affine = false, trackRunningStats = false } = options
    this.numFeatures = positive(numFeatures, `${this.constructor.name}: numFeatures`)
    this.eps = eps
    this.momentum = momentum
    this.weight = affine ? new Parameter(filled([numFeatures], 1)) : undefined
    this.bias = affine ? new Parameter(filled([numFeatures], 0)) : undefined
    if (!trackRunningStats) return
    this.runningMean = new Parameter(filled([numFeatures], 0), { role: 'state' })
    this.runningVar = new Parameter(filled([numFeatures], 1), { role: 'state' })
    this.numBatchesTracked = counter()
  }

  forward(input: Tensor): Tensor {
    const rank = input.shape.length
    if (rank !== this.rank && rank !== this.rank - 1)
      fail(
        `${this.constructor.name}: the input ${showShape(input.shape)} has ${rank} dimensions, but must have ${this.rank}, or ${this.rank - 1} without a batch`,
      )
    const x = rank === this.rank ? input : input.unsqueeze(0)
    if (x.shape[1] !== this.numFeatures)
      fail(
        `${this.constructor.name}: the input ${showShape(input.shape)} has ${x.shape[1]} channels, but numFeatures is ${this.numFeatures}: use numFeatures ${x.shape[1]}`,
      )
    const { weight, bias, eps, momentum, runningMean, runningVar } = this
    const useInputStats = this.training || runningMean === undefined
    const tracked = this.training ? { runningMean, runningVar } : {}
    const statistics = useInputStats ? tracked : { runningMean, runningVar }
    const result = instanceNorm(x, {
      weight,
      bias,
      eps,
      momentum,
      useInputStats,
      ...statistics,
    })
    return rank === this.rank ? result : result.squeeze(0)
  }
}

/** Normalises each channel of each example of [N, C, L]; without weight and bias unless `affine`. */
export class InstanceNorm1d extends InstanceNorm {
  protected readonly rank = 3
}

/** Normalises each channel of each example of [N, C, H, W]; without weight and bias unless `affine`. */
export class InstanceNorm2d extends InstanceNorm {
  protected readonly rank = 4
}

/** Normalises each channel of each example of [N, C, D, H, W]; without weight and bias unless `affine`. */
export class InstanceNorm3d extends InstanceNorm {
  protected readonly rank = 5
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
