// Attention with several heads, with the parameters and names of torch.nn.MultiheadAttention.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { zeros } from '../../tensor/create.js'
import { Parameter } from '../../tensor/parameter.js'
import type { Tensor } from '../../tensor/tensor.js'
import { linear, scaledDotProductAttention } from '../functional/linear.js'
import * as init from '../init.js'
import { Module } from '../module.js'
import { Linear, positive } from './linear.js'

/**
 * Queries [N, L, E] look at keys and values [N, S, E] → [N, L, E] (Vaswani et al. 2017): batches come first. Without
 * keys and values the queries look at themselves; the mask is that of scaledDotProductAttention. Weights begin Glorot uniform, biases 0.
 */
export class MultiheadAttention extends Module {
  readonly embedDim: number
  readonly numHeads: number
  readonly dropout: number
  inProjWeight: Parameter // [3·E, E]: of queries, keys and values
  inProjBias: Parameter // [3·E]
  outProj: Linear

  constructor(
    embedDim: number,
    numHeads: number,
    { dropout = 0 }: { readonly dropout?: number } = {},
  ) {
    super()
    this.embedDim = positive(embedDim, 'MultiheadAttention: embedDim')
    this.numHeads = positive(numHeads, 'MultiheadAttention: numHeads')
    if (embedDim % numHeads !== 0)
      fail(`MultiheadAttention: ${numHeads} heads do not divide ${embedDim} features`)
    this.dropout = dropout
    this.inProjWeight = new Parameter(zeros([3 * embedDim, embedDim]))
    init.xavierUniform(this.inProjWeight)
    this.inProjBias = new Parameter(zeros([3 * embedDim]))
    this.outProj = new Linear(embedDim, embedDim)
    if (this.outProj.bias) init.zeros(this.outProj.bias)
  }

  forward(query: Tensor, key = query, value = key, attnMask?: Tensor): Tensor {
    for (const x of [query, key, value])
      if (x.shape.length !== 3 || x.shape[2] !== this.embedDim)
        fail(
          `MultiheadAttention: the input ${showShape(x.shape)} must be [N, length, ${this.embedDim}]`,
        )
    const size = this.embedDim
    const project = (x: Tensor, from: number, count: number) =>
      linear(
        x,
        this.inProjWeight.slice(from * size, (from + count) * size),
        this.inProjBias.slice(from * size, (from + count) * size),
      )
    const projected =
      query === key && key === value
        ? project(query, 0, 3).chunk(3, -1)
        : [project(query, 0, 1), project(key, 1, 1), project(value, 2, 1)]
    const [q, k, v] = projected.map((x) => this.#heads(x)) // [N, heads, L, E / heads]
    const dropoutP = this.training ? this.dropout : 0
    const seen = scaledDotProductAttention(q, k, v, { attnMask, dropoutP })
    return this.outProj.forward(seen.transpose(1, 2).flatten(2)) // [N, L, E]
  }

  #heads(x: Tensor): Tensor {
    const [n, length, size] = x.shape
    return x.reshape(n, length, this.numHeads, size / this.numHeads).transpose(1, 2)
  }
}
