// GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): a decoder of blocks that
// normalise first, with learned positions and the embedding's weights also at the end. Parameters are named as in
// Hugging Face's GPT2LMHeadModel, whose linear weights are [in, out]. Generation is in generate.ts.
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import { type ActivationName, activationOf } from '../nn/functional/activation-names.js'
import { attend } from '../nn/functional/attention.js'
import {
  crossEntropy,
  Dropout,
  Embedding,
  init,
  LayerNorm,
  Linear,
  Module,
  ModuleList,
  softmax,
} from '../nn/index.js'
import { arange, zeros } from '../tensor/create.js'
import { Parameter } from '../tensor/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { concat, where } from '../tensor/tensor.js'

/** Sizes of a GPT-2, with the words of Hugging Face's GPT2Config; the defaults are those of the smallest, `gpt2`. */
export interface GPT2Options {
  /** Default 50,257. */
  readonly vocabSize?: number
  /** The longest sequence. Default 1024. */
  readonly nPositions?: number
  /** Features of a position. Default 768. */
  readonly nEmbd?: number
  /** Blocks. Default 12. */
  readonly nLayer?: number
  readonly nHead?: number
  /** Features inside of the perceptrons. Default 4·nEmbd. */
  readonly nInner?: number
  /** Default `gelu_new`: gelu by tanh. */
  readonly activationFunction?: ActivationName | ((x: Tensor) => Tensor)
  /** Dropout of what branches add, of embeddings, and of attention weights. Default 0.1 each. */
  readonly residPdrop?: number
  readonly embdPdrop?: number
  readonly attnPdrop?: number
  readonly layerNormEpsilon?: number
  /** Deviation of the initial weights. Default 0.02. */
  readonly initializerRange?: number
  /** Scores are divided by the root of a head's features. Default true. */
  readonly scaleAttnWeights?: boolean
  /** Scores of block i (from 0) are divided by i + 1 too. Default false. */
  readonly scaleAttnByInverseLayerIdx?: boolean
}

/** Every size. */
type Sizes = Required<GPT2Options>

const sizesOf = ({ nEmbd = 768, ...options }: GPT2Options): Sizes => ({
  vocabSize: 50_257,
  nPositions: 1024,
  nEmbd,
  nLayer: 12,
  nHead: 12,
  nInner: 4 * nEmbd,
  activationFunction: 'gelu_new',
  residPdrop: 0.1,
  embdPdrop: 0.1,
  attnPdrop: 0.1,
  layerNormEpsilon: 1e-5,
  initializerRange: 0.02,
  scaleAttnWeights: true,
  scaleAttnByInverseLayerIdx: false,
  ...options,
})

/** Keys and values of one block, [N, heads, length, features], at the positions seen so far. */
interface LayerCache {
  readonly key: Parameter
  readonly value: Parameter
}

/**
 * What the blocks of a GPT-2 have seen, for sequences up to a fixed length: so that each further token is one run of
 * one program.
 */
export interface GPT2Cache {
  readonly layers: readonly LayerCache[]
  readonly length: number
}

/** What a forward goes on from. */
export interface GPT2Past {
  readonly cache: GPT2Cache
  /** int32 []: the position of the first of the tokens given. */
  readonly position: Tensor
}

/** x·weight + bias, weight [in, out]: a linear layer as OpenAI's checkpoints store it. */
class Conv1D extends Module {
  weight: Parameter // [in, out]
  bias: Parameter // [out]

  constructor(inputs: number, outputs: number, std: number) {
    super()
    this.weight = new Parameter(zeros([inputs, outputs]))
    init.normal(this.weight, 0, std)
    this.bias = new Parameter(zeros([outputs]))
  }

  forward(x: Tensor): Tensor {
    const rows = x.reshape(-1, this.weight.shape[0]).matmul(this.weight).add(this.bias)
    return rows.reshape(...x.shape.slice(0, -1), this.weight.shape[1])
  }
}

/** Every position looks at itself and at those before it. */
class Attention extends Module {
  c_attn: Conv1D
  c_proj: Conv1D
  resid_dropout: Dropout
  readonly #heads: number
  readonly #dropout: number
  /** Of queries, beside the division by the root of a head's features. */
  readonly #scale: number

  constructor(sizes: Sizes, index: number) {
    super()
    const { nEmbd, nHead, nLayer, attnPdrop, residPdrop, initializerRange: std } = sizes
    if (nEmbd % nHead !== 0) fail(`GPT2: ${nHead} heads do not divide ${nEmbd} features`)
    this.c_attn = new Conv1D(nEmbd, 3 * nEmbd, std)
    // Section 2.3: weights on the residual path are scaled by 1/√(number of branches).
    this.c_proj = new Conv1D(nEmbd, nEmbd, std / Math.sqrt(2 * nLayer))
    this.resid_dropout = new Dropout(residPdrop)
    this.#heads = nHead
    this.#dropout = attnPdrop
    this.#scale =
      (sizes.scaleAttnWeights ? 1 : Math.sqrt(nEmbd / nHead)) /
      (sizes.scaleAttnByInverseLayerIdx ? index + 1 : 1)
  }

  forward(x: Tensor, past?: LayerCache, position?: Tensor): Tensor {
    const heads = (part: Tensor) => part.unflatten(2, [this.#heads, -1]).transpose(1, 2)
    const [query, k, v] = this.c_attn.forward(x).chunk(3, -1).map(heads) // [N, heads, T, E / heads]
    const q = this.#scale === 1 ? query : query.mul(this.#scale)
    const dropoutP = this.training ? this.#dropout : 0
    const seen =
      past && position
        ? attendCached(q, k, v, past, position)
        : attend('GPT2', q, k, v, { isCausal: true, dropoutP }).seen
    const joined = seen.transpose(1, 2).flatten(2) // [N, T, E]
    return this.resid_dropout.forward(this.c_proj.forward(joined))
  }
}

/**
 * Attention to what the cache holds before `position` and to the new keys up to each query; the cache takes them in.
 * The two parts are multiplied apart, so that the cache is not copied.
 */
function attendCached(q: Tensor, k: Tensor, v: Tensor, past: LayerCache, position: Tensor): Tensor {
  const [length, count] = [past.key.shape[2], k.shape[2]]
  const scores = (keys: Tensor) => q.matmul(keys.transpose(2, 3)).div(Math.sqrt(q.shape[3]))
  const slots = arange(length) // [L]
  const rows = arange(count).unsqueeze(1) // [T, 1]
  const old = where(slots.lt(position), scores(past.key), -Infinity) // [N, heads, T, L]
  const own = where(arange(count).le(rows), scores(k), -Infinity) // [N, heads, T, T]
  const [before, now] = softmax(concat([old, own], 3), 3).split([length, count], 3)
  const seen = before.matmul(past.value).add(now.matmul(v))
  const offset = slots.sub(position)
  const fresh = offset.ge(0).logicalAnd(offset.lt(count)).reshape(length, 1)
  const from = offset.clamp(0, count - 1)
  const taken = (part: Tensor) => (count === 1 ? part : part.indexSelect(2, from))
  past.key.set(where(fresh, taken(k), past.key))
  past.value.set(where(fresh, taken(v), past.value))
  return seen
}

/** The perceptron. */
class MLP extends Module {
  c_fc: Conv1D
  c_proj: Conv1D
  dropout: Dropout
  readonly #activation: (x: Tensor) => Tensor

  constructor(sizes: Sizes) {
    super()
    const { nEmbd, nInner, nLayer, residPdrop, activationFunction, initializerRange: std } = sizes
    this.c_fc = new Conv1D(nEmbd, nInner, std)
    this.c_proj = new Conv1D(nInner, nEmbd, std / Math.sqrt(2 * nLayer))
    this.dropout = new Dropout(residPdrop)
    this.#activation = activationOf(activationFunction, 'GPT2: activationFunction')
  }

  forward(x: Tensor): Tensor {
    return this.dropout.forward(this.c_proj.forward(this.#activation(this.c_fc.forward(x))))
  }
}

/** Attention and perceptron, each normalised before and added to what it saw. */
class Block extends Module {
  ln_1: LayerNorm
  attn: Attention
  ln_2: LayerNorm
  mlp: MLP

  constructor(sizes: Sizes, index: number) {
    super()
    const { nEmbd, layerNormEpsilon: eps } = sizes
    this.ln_1 = new LayerNorm(nEmbd, { eps })
    this.attn = new Attention(sizes, index)
    this.ln_2 = new LayerNorm(nEmbd, { eps })
    this.mlp = new MLP(sizes)
  }

  forward(tokens: Tensor, past?: LayerCache, position?: Tensor): Tensor {
    const x = tokens.add(this.attn.forward(this.ln_1.forward(tokens), past, position))
    return x.add(this.mlp.forward(this.ln_2.forward(x)))
  }
}

/** Tokens int32 [N, T] → features [N, T, nEmbd]: embeddings, blocks and a last norm. */
export class GPT2Model extends Module {
  readonly sizes: Readonly<Sizes>
  wte: Embedding
  wpe: Embedding
  drop: Dropout
  h: ModuleList<Block>
  ln_f: LayerNorm

  constructor(options: GPT2Options = {}) {
    super()
    const sizes = sizesOf(options)
    this.sizes = sizes
    const { vocabSize, nPositions, nEmbd, nLayer, embdPdrop, layerNormEpsilon: eps } = sizes
    this.wte = new Embedding(vocabSize, nEmbd)
    this.wpe = new Embedding(nPositions, nEmbd)
    for (const table of [this.wte, this.wpe]) init.normal(table.weight, 0, sizes.initializerRange)
    this.drop = new Dropout(embdPdrop)
    this.h = new ModuleList(Array.from({ length: nLayer }, (_, i) => new Block(sizes, i)))
    this.ln_f = new LayerNorm(nEmbd, { eps })
  }

  forward(ids: Tensor, past?: GPT2Past): Tensor {
    const [, length] = ids.shape
    const most = this.wpe.numEmbeddings
    if (ids.shape.length !== 2 || length > most)
      fail(`GPT2: the tokens ${showShape(ids.shape)} must be [N, T] with T at most ${most}`)
    const places = arange(length)
    // What fills the last chunk of a prompt up may reach beyond the end: nobody reads it.
    const positions = past ? places.add(past.position).clamp(0, most - 1) : places
    const x = this.wte.forward(ids).add(this.wpe.forward(positions)) // [N, T, E]
    let tokens = this.drop.forward(x)
    for (const [i, block] of [...this.h].entries())
      tokens = block.forward(tokens, past?.cache.layers[i], past?.position)
    return this.ln_f.forward(tokens)
  }
}

/**
 * Tokens int32 [N, T] → logits [N, T, vocabSize] of the token that follows each. `lm_head.weight` is the embedding's
 * weight: one parameter under two names.
 */
export class GPT2 extends Module {
  readonly sizes: Readonly<Sizes>
  transformer: GPT2Model
  lmHead: Linear

  constructor(options: GPT2Options = {}) {
    super()
    this.sizes = sizesOf(options)
    this.transformer = new GPT2Model(this.sizes)
    this.lmHead = tiedHead(this.transformer.wte)
  }

  /** With `past` the tokens stand at its position, see what its cache holds, and are added to it. */
  forward(ids: Tensor, past?: GPT2Past): Tensor {
    return this.lmHead.forward(this.transformer.forward(ids, past))
  }

  /** An empty cache for `batch` sequences of at most `length` tokens. */
  newCache(batch: number, length = this.sizes.nPositions): GPT2Cache {
    const { nPositions, nHead, nEmbd, nLayer } = this.sizes
    if (!(length >= 1 && length <= nPositions))
      fail(`GPT2: a cache of ${length} positions; the model has ${nPositions}`)
    const empty = () =>
      new Parameter(zeros([batch, nHead, length, nEmbd / nHead]), { role: 'state' })
    const layers = Array.from({ length: nLayer }, () => ({ key: empty(), value: empty() }))
    return { layers, length }
  }
}

/** A linear layer without bias whose weight is that of an embedding (Press and Wolf 2016). */
export function tiedHead({ weight, numEmbeddings, embeddingDim }: Embedding): Linear {
  const head = Object.assign(new Linear(1, 1, { bias: false }), { weight })
  return Object.assign(head, { inFeatures: embeddingDim, outFeatures: numEmbeddings })
}

/**
 * The mean cross entropy of each token after the first: logits [N, T, V] of tokens, and the tokens themselves as labels
 * [N, T]; labels of −100 do not count. As Hugging Face's models compute their loss.
 */
export function nextTokenLoss(logits: Tensor, labels: Tensor): Tensor {
  const [, length, size] = logits.shape
  const given = logits.slice(0, length - 1, { dim: 1 }).reshape(-1, size)
  return crossEntropy(given, labels.slice(1, length, { dim: 1 }).flatten())
}

const sized = (sizes: GPT2Options) => (options?: GPT2Options) => new GPT2({ ...sizes, ...options })

export const gpt2s = {
  gpt2: sized({}),
  'gpt2-medium': sized({ nEmbd: 1024, nLayer: 24, nHead: 16 }),
  'gpt2-large': sized({ nEmbd: 1280, nLayer: 36, nHead: 20 }),
  'gpt2-xl': sized({ nEmbd: 1600, nLayer: 48, nHead: 25 }),
}
