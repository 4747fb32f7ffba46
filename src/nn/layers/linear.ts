// Linear and bilinear layers, embeddings, distances and reshaping layers, with PyTorch's arguments and initial values.
import { fail } from '../../base/errors.js'
import { sizeOf } from '../../base/shape.js'
import { Parameter } from '../../tensor/parameter.js'
import type { Tensor } from '../../tensor/tensor.js'
import {
  cosineSimilarity,
  type PairwiseDistanceOptions,
  pairwiseDistance,
} from '../functional/distance.js'
import { bilinear, embedding, linear } from '../functional/linear.js'
import { layerValues, normalValues } from '../init.js'
import { Module } from '../module.js'

/** The value, when it is a whole number from 1. */
export function positive(value: number, what: string): number {
  if (!Number.isInteger(value) || value < 1)
    fail(`${what} is ${value}, but must be a whole number from 1`)
  return value
}

/** [.., inFeatures] → [.., outFeatures]: x·weightᵀ + bias; both begin as U(−1/√inFeatures, 1/√inFeatures). */
export class Linear extends Module {
  readonly inFeatures: number
  readonly outFeatures: number
  weight: Parameter // [outFeatures, inFeatures]
  bias: Parameter | undefined // [outFeatures]

  constructor(
    inFeatures: number,
    outFeatures: number,
    { bias = true }: { readonly bias?: boolean } = {},
  ) {
    super()
    this.inFeatures = positive(inFeatures, 'Linear: inFeatures')
    this.outFeatures = positive(outFeatures, 'Linear: outFeatures')
    this.weight = new Parameter(layerValues([outFeatures, inFeatures], inFeatures))
    this.bias = bias ? new Parameter(layerValues([outFeatures], inFeatures)) : undefined
  }

  forward(input: Tensor): Tensor {
    return linear(input, this.weight, this.bias)
  }
}

/** A row of `weight` [numEmbeddings, embeddingDim] for each index; rows begin normally distributed. */
export class Embedding extends Module {
  readonly numEmbeddings: number
  readonly embeddingDim: number
  readonly paddingIdx: number | undefined
  weight: Parameter

  constructor(
    numEmbeddings: number,
    embeddingDim: number,
    { paddingIdx }: { readonly paddingIdx?: number } = {},
  ) {
    super()
    this.numEmbeddings = positive(numEmbeddings, 'Embedding: numEmbeddings')
    this.embeddingDim = positive(embeddingDim, 'Embedding: embeddingDim')
    const row = paddingIdx !== undefined && paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx
    if (row !== undefined && !(row >= 0 && row < numEmbeddings))
      fail(`Embedding: paddingIdx ${paddingIdx} is not one of the ${numEmbeddings} rows`)
    this.paddingIdx = row
    const values = normalValues([numEmbeddings, embeddingDim], 0, 1)
    const host = values.value?.host
    if (row !== undefined) host?.fill(0, row * embeddingDim, (row + 1) * embeddingDim)
    this.weight = new Parameter(values)
  }

  forward(input: Tensor): Tensor {
    return embedding(input, this.weight, { paddingIdx: this.paddingIdx })
  }
}

/** Σ x1·weight[o]·x2 + bias[o]: [.., in1Features] and [.., in2Features] → [.., outFeatures]. */
export class Bilinear extends Module {
  readonly in1Features: number
  readonly in2Features: number
  readonly outFeatures: number
  weight: Parameter // [outFeatures, in1Features, in2Features]
  bias: Parameter | undefined // [outFeatures]

  constructor(
    in1Features: number,
    in2Features: number,
    outFeatures: number,
    { bias = true }: { readonly bias?: boolean } = {},
  ) {
    super()
    this.in1Features = positive(in1Features, 'Bilinear: in1Features')
    this.in2Features = positive(in2Features, 'Bilinear: in2Features')
    this.outFeatures = positive(outFeatures, 'Bilinear: outFeatures')
    const shape = [outFeatures, in1Features, in2Features]
    this.weight = new Parameter(layerValues(shape, in1Features))
    this.bias = bias ? new Parameter(layerValues([outFeatures], in1Features)) : undefined
  }

  forward(x1: Tensor, x2: Tensor): Tensor {
    return bilinear(x1, x2, this.weight, this.bias)
  }
}

/** The cosine of the angle between two tensors along `dim`. See cosineSimilarity. */
export class CosineSimilarity extends Module {
  readonly options: { readonly dim?: number; readonly eps?: number }

  constructor(options: { readonly dim?: number; readonly eps?: number } = {}) {
    super()
    this.options = options
  }

  forward(x1: Tensor, x2: Tensor): Tensor {
    return cosineSimilarity(x1, x2, this.options)
  }
}

/** The distance of two tensors over the last dimension. See pairwiseDistance. */
export class PairwiseDistance extends Module {
  readonly options: PairwiseDistanceOptions

  constructor(options: PairwiseDistanceOptions = {}) {
    super()
    this.options = options
  }

  forward(x1: Tensor, x2: Tensor): Tensor {
    return pairwiseDistance(x1, x2, this.options)
  }
}

/** Joins dimensions startDim … endDim into one; by default all but the batch. */
export class Flatten extends Module {
  readonly startDim: number
  readonly endDim: number

  constructor(startDim = 1, endDim = -1) {
    super()
    this.startDim = startDim
    this.endDim = endDim
  }

  forward(input: Tensor): Tensor {
    return input.flatten(this.startDim, this.endDim)
  }
}

/** Splits one dimension into several. */
export class Unflatten extends Module {
  readonly dim: number
  readonly sizes: readonly number[]

  constructor(dim: number, sizes: readonly number[]) {
    super()
    this.dim = dim
    this.sizes = sizes
  }

  forward(input: Tensor): Tensor {
    const { shape } = input
    const at = this.dim < 0 ? this.dim + shape.length : this.dim
    if (sizeOf(this.sizes) !== shape[at] && !this.sizes.includes(-1))
      fail(
        `Unflatten: dimension ${this.dim} has ${shape[at]} elements, not ${this.sizes.join('·')}`,
      )
    return input.reshape(...shape.slice(0, at), ...this.sizes, ...shape.slice(at + 1))
  }
}

/** Its input: takes the place of a layer that is to do nothing. */
export class Identity extends Module {
  forward(input: Tensor): Tensor {
    return input
  }
}
