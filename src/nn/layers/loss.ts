// Losses as layers, with PyTorch's names and options; weights of classes are state, as PyTorch stores them.
import { Parameter } from '../../tensor/parameter.js'
import type { Tensor } from '../../tensor/tensor.js'
import { type CTCOptions, ctcLoss, type Lengths } from '../functional/ctc.js'
import * as F from '../functional/loss.js'
import * as M from '../functional/margin.js'
import type { ReductionOptions } from '../functional/reduction.js'
import { Module } from '../module.js'

const state = (weight: Tensor | undefined): Parameter | undefined =>
  weight && new Parameter(weight, { role: 'state' })

/** |input − target|. See l1Loss. */
export class L1Loss extends Module {
  readonly options: ReductionOptions

  constructor(options: ReductionOptions = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.l1Loss(input, target, this.options)
  }
}

/** (input − target)². See mseLoss. */
export class MSELoss extends Module {
  readonly options: ReductionOptions

  constructor(options: ReductionOptions = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.mseLoss(input, target, this.options)
  }
}

/** Quadratic near 0, linear beyond β. See smoothL1Loss. */
export class SmoothL1Loss extends Module {
  readonly options: ReductionOptions & { readonly beta?: number }

  constructor(options: ReductionOptions & { readonly beta?: number } = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.smoothL1Loss(input, target, this.options)
  }
}

/** Quadratic near 0, linear beyond δ. See huberLoss. */
export class HuberLoss extends Module {
  readonly options: ReductionOptions & { readonly delta?: number }

  constructor(options: ReductionOptions & { readonly delta?: number } = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.huberLoss(input, target, this.options)
  }
}

/** Logits and class labels (or probabilities). See crossEntropy. */
export class CrossEntropyLoss extends Module {
  readonly options: Omit<F.CrossEntropyOptions, 'weight'>
  weight: Parameter | undefined

  constructor({ weight, ...options }: F.CrossEntropyOptions = {}) {
    super()
    this.options = options
    this.weight = state(weight)
  }

  forward(input: Tensor, target: Tensor): Tensor {
    const { weight } = this
    return F.crossEntropy(input, target, { ...this.options, weight })
  }
}

/** Log-probabilities and class labels. See nllLoss. */
export class NLLLoss extends Module {
  readonly options: Omit<F.ClassLossOptions, 'weight'>
  weight: Parameter | undefined

  constructor({ weight, ...options }: F.ClassLossOptions = {}) {
    super()
    this.options = options
    this.weight = state(weight)
  }

  forward(input: Tensor, target: Tensor): Tensor {
    const { weight } = this
    return F.nllLoss(input, target, { ...this.options, weight })
  }
}

/** Probabilities and targets from 0 to 1. See binaryCrossEntropy. */
export class BCELoss extends Module {
  readonly options: Omit<ReductionOptions & { readonly weight?: Tensor }, 'weight'>
  weight: Parameter | undefined

  constructor({ weight, ...options }: ReductionOptions & { readonly weight?: Tensor } = {}) {
    super()
    this.options = options
    this.weight = state(weight)
  }

  forward(input: Tensor, target: Tensor): Tensor {
    const { weight } = this
    return F.binaryCrossEntropy(input, target, { ...this.options, weight })
  }
}

/** Logits and targets from 0 to 1. See binaryCrossEntropyWithLogits. */
export class BCEWithLogitsLoss extends Module {
  readonly options: Omit<
    ReductionOptions & { readonly weight?: Tensor; readonly posWeight?: Tensor },
    'weight' | 'posWeight'
  >
  weight: Parameter | undefined
  posWeight: Parameter | undefined

  constructor({
    weight,
    posWeight,
    ...options
  }: ReductionOptions & { readonly weight?: Tensor; readonly posWeight?: Tensor } = {}) {
    super()
    this.options = options
    this.weight = state(weight)
    this.posWeight = state(posWeight)
  }

  forward(input: Tensor, target: Tensor): Tensor {
    const { weight, posWeight } = this
    return F.binaryCrossEntropyWithLogits(input, target, { ...this.options, weight, posWeight })
  }
}

/** Log-probabilities and probabilities. See klDiv. */
export class KLDivLoss extends Module {
  readonly options: { readonly reduction?: F.Reduction | 'batchmean'; readonly logTarget?: boolean }

  constructor(
    options: { readonly reduction?: F.Reduction | 'batchmean'; readonly logTarget?: boolean } = {},
  ) {
    super()
    this.options = options
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.klDiv(input, target, this.options)
  }
}

/** Distances and targets ±1. See hingeEmbeddingLoss. */
export class HingeEmbeddingLoss extends Module {
  readonly options: ReductionOptions & { readonly margin?: number }

  constructor(options: ReductionOptions & { readonly margin?: number } = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return M.hingeEmbeddingLoss(input, target, this.options)
  }
}

/** Rates and counts. See poissonNllLoss. */
export class PoissonNLLLoss extends Module {
  readonly options: M.PoissonOptions

  constructor(options: M.PoissonOptions = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return M.poissonNllLoss(input, target, this.options)
  }
}

/** Scores and targets ±1. See softMarginLoss. */
export class SoftMarginLoss extends Module {
  readonly options: ReductionOptions

  constructor(options: ReductionOptions = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return M.softMarginLoss(input, target, this.options)
  }
}

/** Logits [N, C] and targets 0 or 1. See multiLabelSoftMarginLoss. */
export class MultiLabelSoftMarginLoss extends Module {
  readonly options: Omit<ReductionOptions & { readonly weight?: Tensor }, 'weight'>
  weight: Parameter | undefined

  constructor({ weight, ...options }: ReductionOptions & { readonly weight?: Tensor } = {}) {
    super()
    this.options = options
    this.weight = state(weight)
  }

  forward(input: Tensor, target: Tensor): Tensor {
    const { weight } = this
    return M.multiLabelSoftMarginLoss(input, target, { ...this.options, weight })
  }
}

/** Scores [N, C] and class labels. See multiMarginLoss. */
export class MultiMarginLoss extends Module {
  readonly options: Omit<M.MultiMarginOptions, 'weight'>
  weight: Parameter | undefined

  constructor({ weight, ...options }: M.MultiMarginOptions = {}) {
    super()
    this.options = options
    this.weight = state(weight)
  }

  forward(input: Tensor, target: Tensor): Tensor {
    const { weight } = this
    return M.multiMarginLoss(input, target, { ...this.options, weight })
  }
}

/** Pairs that are alike (1) or not (−1). See cosineEmbeddingLoss. */
export class CosineEmbeddingLoss extends Module {
  readonly options: ReductionOptions & { readonly margin?: number }

  constructor(options: ReductionOptions & { readonly margin?: number } = {}) {
    super()
    this.options = options
  }

  forward(x1: Tensor, x2: Tensor, target: Tensor): Tensor {
    return M.cosineEmbeddingLoss(x1, x2, target, this.options)
  }
}

/** Which of two should rank higher. See marginRankingLoss. */
export class MarginRankingLoss extends Module {
  readonly options: ReductionOptions & { readonly margin?: number }

  constructor(options: ReductionOptions & { readonly margin?: number } = {}) {
    super()
    this.options = options
  }

  forward(x1: Tensor, x2: Tensor, target: Tensor): Tensor {
    return M.marginRankingLoss(x1, x2, target, this.options)
  }
}

/** An anchor nearer to one than to another. See tripletMarginLoss. */
export class TripletMarginLoss extends Module {
  readonly options: M.TripletOptions

  constructor(options: M.TripletOptions = {}) {
    super()
    this.options = options
  }

  forward(anchor: Tensor, positive: Tensor, negative: Tensor): Tensor {
    return M.tripletMarginLoss(anchor, positive, negative, this.options)
  }
}

/** Means, values and variances. See gaussianNllLoss. */
export class GaussianNLLLoss extends Module {
  readonly options: M.GaussianOptions

  constructor(options: M.GaussianOptions = {}) {
    super()
    this.options = options
  }

  forward(input: Tensor, target: Tensor, variance: Tensor): Tensor {
    return M.gaussianNllLoss(input, target, variance, this.options)
  }
}

/** Log-probabilities of classes over time, and label sequences without alignment. See ctcLoss. */
export class CTCLoss extends Module {
  readonly options: CTCOptions

  constructor(options: CTCOptions = {}) {
    super()
    this.options = options
  }

  forward(
    logProbs: Tensor,
    targets: Tensor,
    inputLengths: Lengths,
    targetLengths: Lengths,
  ): Tensor {
    return ctcLoss(logProbs, targets, inputLengths, targetLengths, this.options)
  }
}
