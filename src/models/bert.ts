// BERT (Devlin et al. 2018, "Pre-training of Deep Bidirectional Transformers"): an encoder that sees both sides.
// Parameters are named as in Hugging Face's BertModel. Its heads are in bert-heads.ts.
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import { type ActivationName, activationOf } from '../nn/functional/activation-names.js'
import { attend } from '../nn/functional/attention.js'
import { Dropout, Embedding, init, LayerNorm, Linear, Module, ModuleList } from '../nn/index.js'
import { arange, zeros } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'

/** Sizes of a BERT, with the words of Hugging Face's BertConfig; the defaults are those of bert-base-uncased. */
export interface BertOptions {
  /** Default 30,522. */
  readonly vocabSize?: number
  readonly hiddenSize?: number
  /** Default 12. */
  readonly numHiddenLayers?: number
  readonly numAttentionHeads?: number
  /** Default 3072. */
  readonly intermediateSize?: number
  readonly hiddenAct?: ActivationName | ((x: Tensor) => Tensor)
  readonly hiddenDropoutProb?: number
  readonly attentionProbsDropoutProb?: number
  /** The longest sequence. Default 512. */
  readonly maxPositionEmbeddings?: number
  /** Kinds of segments. Default 2. */
  readonly typeVocabSize?: number
  readonly initializerRange?: number
  readonly layerNormEps?: number
  /** The token that fills up short sequences. Default 0. */
  readonly padTokenId?: number
}

/** Every size. */
export type Sizes = Required<BertOptions>

const base: Sizes = {
  vocabSize: 30_522,
  hiddenSize: 768,
  numHiddenLayers: 12,
  numAttentionHeads: 12,
  intermediateSize: 3072,
  hiddenAct: 'gelu',
  hiddenDropoutProb: 0.1,
  attentionProbsDropoutProb: 0.1,
  maxPositionEmbeddings: 512,
  typeVocabSize: 2,
  initializerRange: 0.02,
  layerNormEps: 1e-12,
  padTokenId: 0,
}

/** What comes with the tokens. */
export interface BertInputs {
  /** int32 [N, T]: the segment of each token. Default 0. */
  readonly tokenTypeIds?: Tensor
  /** [N, T], 1 (or true) at tokens, 0 (or false) at what fills up. Default: all are tokens. */
  readonly attentionMask?: Tensor
}

/** The sum of what a token, its position and its segment mean (figure 2). */
class Embeddings extends Module {
  wordEmbeddings: Embedding
  positionEmbeddings: Embedding
  tokenTypeEmbeddings: Embedding
  LayerNorm: LayerNorm
  dropout: Dropout

  constructor(sizes: Sizes) {
    super()
    const { vocabSize, hiddenSize, maxPositionEmbeddings, typeVocabSize, padTokenId } = sizes
    this.wordEmbeddings = new Embedding(vocabSize, hiddenSize, { paddingIdx: padTokenId })
    this.positionEmbeddings = new Embedding(maxPositionEmbeddings, hiddenSize)
    this.tokenTypeEmbeddings = new Embedding(typeVocabSize, hiddenSize)
    this.LayerNorm = new LayerNorm(hiddenSize, { eps: sizes.layerNormEps })
    this.dropout = new Dropout(sizes.hiddenDropoutProb)
  }

  forward(ids: Tensor, tokenTypeIds?: Tensor): Tensor {
    const most = this.positionEmbeddings.numEmbeddings
    if (ids.shape.length !== 2 || ids.shape[1] > most)
      fail(`BERT: the tokens ${showShape(ids.shape)} must be [N, T] with T at most ${most}`)
    const segments = tokenTypeIds ?? zeros(ids.shape, { dtype: 'int32' })
    const x = this.wordEmbeddings
      .forward(ids)
      .add(this.tokenTypeEmbeddings.forward(segments))
      .add(this.positionEmbeddings.forward(arange(ids.shape[1]))) // [N, T, hidden]
    return this.dropout.forward(this.LayerNorm.forward(x))
  }
}

class SelfAttention extends Module {
  query: Linear
  key: Linear
  value: Linear
  readonly #heads: number
  readonly #dropout: number

  constructor({ hiddenSize, numAttentionHeads, attentionProbsDropoutProb }: Sizes) {
    super()
    if (hiddenSize % numAttentionHeads !== 0)
      fail(`BERT: ${numAttentionHeads} heads do not divide ${hiddenSize} features`)
    this.query = new Linear(hiddenSize, hiddenSize)
    this.key = new Linear(hiddenSize, hiddenSize)
    this.value = new Linear(hiddenSize, hiddenSize)
    this.#heads = numAttentionHeads
    this.#dropout = attentionProbsDropoutProb
  }

  forward(x: Tensor, mask?: Tensor): Tensor {
    const heads = (part: Tensor) => part.unflatten(2, [this.#heads, -1]).transpose(1, 2)
    const [q, k, v] = [this.query, this.key, this.value].map((layer) => heads(layer.forward(x)))
    const { seen } = attend('BERT', q, k, v, {
      masks: mask ? [mask] : [],
      dropoutP: this.training ? this.#dropout : 0,
    })
    return seen.transpose(1, 2).flatten(2) // [N, T, hidden]
  }
}

/** A linear layer whose result is added to what its branch saw, and normalised. */
class Output extends Module {
  dense: Linear
  LayerNorm: LayerNorm
  dropout: Dropout

  constructor(inputs: number, { hiddenSize, layerNormEps, hiddenDropoutProb }: Sizes) {
    super()
    this.dense = new Linear(inputs, hiddenSize)
    this.LayerNorm = new LayerNorm(hiddenSize, { eps: layerNormEps })
    this.dropout = new Dropout(hiddenDropoutProb)
  }

  forward(x: Tensor, before: Tensor): Tensor {
    return this.LayerNorm.forward(before.add(this.dropout.forward(this.dense.forward(x))))
  }
}

class Attention extends Module {
  self: SelfAttention
  output: Output

  constructor(sizes: Sizes) {
    super()
    this.self = new SelfAttention(sizes)
    this.output = new Output(sizes.hiddenSize, sizes)
  }

  forward(x: Tensor, mask?: Tensor): Tensor {
    return this.output.forward(this.self.forward(x, mask), x)
  }
}

/** A linear layer and its activation. */
class Intermediate extends Module {
  dense: Linear
  readonly #activation: (x: Tensor) => Tensor

  constructor({ hiddenSize, intermediateSize, hiddenAct }: Sizes) {
    super()
    this.dense = new Linear(hiddenSize, intermediateSize)
    this.#activation = activationOf(hiddenAct, 'BERT: hiddenAct')
  }

  forward(x: Tensor): Tensor {
    return this.#activation(this.dense.forward(x))
  }
}

class Layer extends Module {
  attention: Attention
  intermediate: Intermediate
  output: Output

  constructor(sizes: Sizes) {
    super()
    this.attention = new Attention(sizes)
    this.intermediate = new Intermediate(sizes)
    this.output = new Output(sizes.intermediateSize, sizes)
  }

  forward(tokens: Tensor, mask?: Tensor): Tensor {
    const x = this.attention.forward(tokens, mask)
    return this.output.forward(this.intermediate.forward(x), x)
  }
}

class Encoder extends Module {
  layer: ModuleList<Layer>

  constructor(sizes: Sizes) {
    super()
    this.layer = new ModuleList(
      Array.from({ length: sizes.numHiddenLayers }, () => new Layer(sizes)),
    )
  }

  forward(tokens: Tensor, mask?: Tensor): Tensor {
    let x = tokens
    for (const layer of this.layer) x = layer.forward(x, mask)
    return x
  }
}

/** The first token's features, for classes of whole sequences. */
class Pooler extends Module {
  dense: Linear

  constructor({ hiddenSize }: Sizes) {
    super()
    this.dense = new Linear(hiddenSize, hiddenSize)
  }

  forward(x: Tensor): Tensor {
    return this.dense.forward(x.slice(0, 1, { dim: 1 }).squeeze(1)).tanh()
  }
}

/** What a BERT gives: of each token [N, T, hidden], and of the whole [N, hidden] where it has a pooler. */
export interface BertOutput {
  readonly lastHiddenState: Tensor
  readonly poolerOutput: Tensor | undefined
}

/** Weights begin normally distributed, biases at 0; padding's row is 0. */
function initialise(model: Module<unknown>, { initializerRange: std }: Sizes): void {
  for (const [, layer] of model.namedModules())
    if (layer instanceof Linear) {
      init.normal(layer.weight, 0, std)
      if (layer.bias) init.zeros(layer.bias)
    } else if (layer instanceof Embedding) {
      const values = init.normalValues(layer.weight.shape, 0, std)
      const start = (layer.paddingIdx ?? 0) * layer.embeddingDim
      if (layer.paddingIdx !== undefined)
        values.value?.host?.fill(0, start, start + layer.embeddingDim)
      layer.weight.set(values)
    }
}

/** Tokens int32 [N, T] → features of each, and of the whole. Embeddings, encoder, pooler. */
export class Bert extends Module<BertOutput> {
  readonly sizes: Readonly<Sizes>
  embeddings: Embeddings
  encoder: Encoder
  pooler: Pooler | undefined

  constructor(options: BertOptions = {}, { pooler = true }: { readonly pooler?: boolean } = {}) {
    super()
    const sizes = { ...base, ...options }
    this.sizes = sizes
    this.embeddings = new Embeddings(sizes)
    this.encoder = new Encoder(sizes)
    this.pooler = pooler ? new Pooler(sizes) : undefined
    initialise(this, sizes)
  }

  forward(ids: Tensor, { tokenTypeIds, attentionMask }: BertInputs = {}): BertOutput {
    const [n, length] = ids.shape
    const x = this.embeddings.forward(ids, tokenTypeIds)
    const mask = attentionMask?.ne(0).reshape(n, 1, 1, length)
    const lastHiddenState = this.encoder.forward(x, mask)
    return { lastHiddenState, poolerOutput: this.pooler?.forward(lastHiddenState) }
  }
}
