// Attention with several heads, with the parameters, names and masks of torch.nn.MultiheadAttention. Left out: its
// add_bias_kv and add_zero_attn, and inputs without a batch.
import { isFloat } from '../../base/dtype.js'
import { fail } from '../../base/errors.js'
import { sameShape, showShape } from '../../base/shape.js'
import { zeros } from '../../tensor/create.js'
import { Parameter } from '../../tensor/parameter.js'
import type { Tensor } from '../../tensor/tensor.js'
import { attend } from '../functional/attention.js'
import { linear } from '../functional/linear.js'
import * as init from '../init.js'
import { Module } from '../module.js'
import { Linear, positive } from './linear.js'

/** How a MultiheadAttention is made. */
export interface MultiheadAttentionOptions {
  /** The probability that a weight is dropped in training. Default 0. */
  readonly dropout?: number
  readonly bias?: boolean
  /** Features of keys and of values, where they are not those of queries. */
  readonly kdim?: number
  readonly vdim?: number
  /** Inputs are [N, length, E]; by default [length, N, E], as in PyTorch. */
  readonly batchFirst?: boolean
}

/** What queries may not see. True in a bool mask hides, as in torch.nn.MultiheadAttention. */
export interface AttentionMasks {
  /** [L, S], or [N·heads, L, S]. bool: true where a query must not see a key; float: added to the scores. */
  readonly attnMask?: Tensor
  /** [N, S], of the same kinds: keys that no query of an example sees, such as padding. */
  readonly keyPaddingMask?: Tensor
  /** Each query sees the keys up to its own position. */
  readonly isCausal?: boolean
}

/** What one forward of a MultiheadAttention is told. */
export interface MultiheadAttentionMasks extends AttentionMasks {
  /** Whether the weights returned are means over heads. Default true. */
  readonly averageAttnWeights?: boolean
}

/**
 * Queries [L, N, E] look at keys [S, N, kdim] and values [S, N, vdim], in `numHeads` parts of E (Vaswani et al. 2017,
 * section 3.2.2); with `batchFirst` N comes first. Returns what they see, [L, N, E], and the weights [N, L, S], or
 * [N, heads, L, S]; weights that nobody reads are not kept. Without keys and values the queries look at themselves. A
 * query that may see no key gets NaN. Weights begin Glorot uniform, biases 0.
 *
 *     const attention = new nn.MultiheadAttention(512, 8, { batchFirst: true })
 *     const [seen, weights] = attention.forward(x, memory, memory, { keyPaddingMask })
 */
export class MultiheadAttention extends Module<readonly [seen: Tensor, weights: Tensor]> {
  readonly embedDim: number
  readonly numHeads: number
  readonly batchFirst: boolean
  dropout: number
  inProjWeight: Parameter | undefined // [3·E, E]: of queries, keys and values
  qProjWeight: Parameter | undefined // [E, E], where keys or values have other sizes
  kProjWeight: Parameter | undefined // [E, kdim]
  vProjWeight: Parameter | undefined // [E, vdim]
  inProjBias: Parameter | undefined // [3·E]
  outProj: Linear
  readonly #sizes: readonly [query: number, key: number, value: number]

  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super()
    const {
      dropout = 0,
      bias = true,
      kdim = embedDim,
      vdim = embedDim,
      batchFirst = false,
    } = options
    this.embedDim = positive(embedDim, 'MultiheadAttention: embedDim')
    this.numHeads = positive(numHeads, 'MultiheadAttention: numHeads')
    if (embedDim % numHeads !== 0)
      fail(`MultiheadAttention: ${numHeads} heads do not divide ${embedDim} features`)
    if (!(dropout >= 0 && dropout <= 1))
      fail(`MultiheadAttention: dropout is ${dropout}, but must be a probability`)
    this.dropout = dropout
    this.batchFirst = batchFirst
    this.#sizes = [
      embedDim,
      positive(kdim, 'MultiheadAttention: kdim'),
      positive(vdim, 'MultiheadAttention: vdim'),
    ]
    const weight = (rows: number, columns: number): Parameter => {
      const made = new Parameter(zeros([rows, columns]))
      init.xavierUniform(made)
      return made
    }
    if (this.#sizes.every((size) => size === embedDim))
      this.inProjWeight = weight(3 * embedDim, embedDim)
    else {
      this.qProjWeight = weight(embedDim, embedDim)
      this.kProjWeight = weight(embedDim, kdim)
      this.vProjWeight = weight(embedDim, vdim)
    }
    this.inProjBias = bias ? new Parameter(zeros([3 * embedDim])) : undefined
    this.outProj = new Linear(embedDim, embedDim, { bias })
    if (this.outProj.bias) init.zeros(this.outProj.bias)
  }

  /**
   * @throws BurnishError when an input or a mask has another shape than comments here say, or a mask is of integers.
   */
  forward(
    query: Tensor,
    key: Tensor = query,
    value: Tensor = key,
    options: MultiheadAttentionMasks = {},
  ): readonly [seen: Tensor, weights: Tensor] {
    const names = ['query', 'key', 'value']
    const inputs = [query, key, value]
    const order = this.batchFirst ? 'N, length' : 'length, N'
    inputs.forEach(({ shape }, i) => {
      if (shape.length !== 3 || shape[2] !== this.#sizes[i])
        fail(
          `MultiheadAttention: the ${names[i]} ${showShape(shape)} must be [${order}, ${this.#sizes[i]}]`,
        )
    })
    const at = this.batchFirst ? 0 : 1
    if (query.shape[at] !== key.shape[at] || key.shape[at] !== value.shape[at])
      fail(
        `MultiheadAttention: query ${showShape(query.shape)}, key ${showShape(key.shape)} and value ${showShape(value.shape)} must have as many examples; they are [${order}, features]${this.batchFirst ? '' : ': use { batchFirst: true } where the batch comes first'}`,
      )
    const [q, k, v] = this.#projected(inputs).map((x) => this.#heads(x)) // [N, heads, L, E / heads]
    const { averageAttnWeights = true, isCausal } = options
    const masks = this.#masks(options, [q.shape[0], q.shape[2], k.shape[2]])
    const dropoutP = this.training ? this.dropout : 0
    const { seen, weights } = attend('MultiheadAttention', q, k, v, { masks, isCausal, dropoutP })
    const joined = this.batchFirst ? seen.permute(0, 2, 1, 3) : seen.permute(2, 0, 1, 3)
    return [
      this.outProj.forward(joined.flatten(2)), // [N, L, E] or [L, N, E]
      averageAttnWeights ? weights.mean(1) : weights,
    ]
  }

  /** Queries, keys and values of [.., E], in one product where they come from the same tensor. */
  #projected(inputs: readonly Tensor[]): Tensor[] {
    const size = this.embedDim
    const { inProjWeight, inProjBias } = this
    const part = (of: Parameter | undefined, i: number) => of?.slice(i * size, (i + 1) * size)
    const [query, key, value] = inputs
    if (inProjWeight && query === key && key === value)
      return linear(query, inProjWeight, inProjBias).chunk(3, -1)
    const own = [this.qProjWeight, this.kProjWeight, this.vProjWeight]
    return inputs.map((x, i) => {
      const weight = own[i] ?? part(inProjWeight, i)
      if (weight === undefined) throw fail('internal: attention without its weights')
      return linear(x, weight, part(inProjBias, i))
    })
  }

  #heads(x: Tensor): Tensor {
    const split = x.unflatten(2, [this.numHeads, this.embedDim / this.numHeads])
    return this.batchFirst ? split.permute(0, 2, 1, 3) : split.permute(1, 2, 0, 3)
  }

  /** As scaledDotProductAttention has them: true where a query may see a key. */
  #masks({ attnMask, keyPaddingMask }: AttentionMasks, shape: readonly number[]): Tensor[] {
    const [n, queries, keys] = shape
    const masks: Tensor[] = []
    for (const [name, mask] of Object.entries({ attnMask, keyPaddingMask }))
      if (mask && mask.dtype !== 'bool' && !isFloat(mask.dtype))
        fail(
          `MultiheadAttention: the ${name} is ${mask.dtype}, but must be bool, true where a key is hidden, or float, added to the scores; use ${name}.bool()`,
        )
    if (attnMask) {
      const each = [n * this.numHeads, queries, keys]
      if (!sameShape(attnMask.shape, [queries, keys]) && !sameShape(attnMask.shape, each))
        fail(
          `MultiheadAttention: attnMask ${showShape(attnMask.shape)} must be [${queries}, ${keys}], or ${showShape(each)} for each example and head`,
        )
      masks.push(attnMask.shape.length === 2 ? attnMask : attnMask.unflatten(0, [n, -1]))
    }
    if (keyPaddingMask) {
      if (!sameShape(keyPaddingMask.shape, [n, keys]))
        fail(
          `MultiheadAttention: keyPaddingMask ${showShape(keyPaddingMask.shape)} must be [${n}, ${keys}], a row of keys for each example`,
        )
      masks.push(keyPaddingMask.reshape(n, 1, 1, keys))
    }
    return masks.map((mask) => (mask.dtype === 'bool' ? mask.logicalNot() : mask))
  }
}
