// The Transformer (Vaswani et al. 2017, "Attention Is All You Need", figure 1): an encoder, and a decoder that looks at
// what it has written and at the encoder's memory. One table of words serves both and the last layer (section 3.4). Its
// layers are torch.nn's. Decoding is in generate.ts.
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import {
  Embedding,
  init,
  LayerNorm,
  type Linear,
  Module,
  SinusoidalEncoding,
  TransformerDecoder,
  TransformerDecoderLayer,
  TransformerEncoder,
  TransformerEncoderLayer,
} from '../nn/index.js'
import type { Tensor } from '../tensor/tensor.js'
import { tiedHead } from './gpt2.js'

/** Sizes of a Transformer; the defaults are the base model's (table 3). */
export interface Seq2SeqOptions {
  /** Different words of the source and of the target. Default 37,000, shared (section 5.1). */
  readonly srcVocabSize?: number
  readonly tgtVocabSize?: number
  /** One table for source, target and the last layer; default where both have as many words. */
  readonly shareEmbeddings?: boolean
  /** Features of a position. Default 512. */
  readonly dModel?: number
  readonly nhead?: number
  /** Default 6 each. */
  readonly numEncoderLayers?: number
  readonly numDecoderLayers?: number
  readonly dimFeedforward?: number
  readonly dropout?: number
  /** The longest sequence. Default 1024. */
  readonly maxLen?: number
  /** Branches are normalised before they are computed; then both stacks end with a norm. Default false, as in the paper. */
  readonly normFirst?: boolean
  /** The word that fills up short sources, which nobody looks at. */
  readonly paddingIdx?: number
}

/** Source [N, S] and target [N, T], int32 → logits [N, T, tgtVocabSize] of the word after each of the target's. */
export class Seq2SeqTransformer extends Module {
  srcEmbedding: Embedding
  tgtEmbedding: Embedding
  positions: SinusoidalEncoding
  encoder: TransformerEncoder
  decoder: TransformerDecoder
  generator: Linear
  readonly maxLen: number
  readonly paddingIdx: number | undefined

  constructor(options: Seq2SeqOptions = {}) {
    super()
    const { srcVocabSize = 37_000, tgtVocabSize = srcVocabSize, dModel = 512, nhead = 8 } = options
    const { dimFeedforward = 2048, dropout = 0.1, normFirst = false, maxLen = 1024 } = options
    const { numEncoderLayers = 6, numDecoderLayers = 6, paddingIdx } = options
    const { shareEmbeddings = srcVocabSize === tgtVocabSize } = options
    if (shareEmbeddings && srcVocabSize !== tgtVocabSize)
      fail(
        `Seq2SeqTransformer: ${srcVocabSize} words of the source and ${tgtVocabSize} of the target cannot share one table`,
      )
    this.maxLen = maxLen
    this.paddingIdx = paddingIdx
    const words = (count: number) => {
      const embedding = new Embedding(count, dModel)
      init.normal(embedding.weight, 0, dModel ** -0.5) // of variance 1 after the scaling
      return embedding
    }
    this.srcEmbedding = words(srcVocabSize)
    this.tgtEmbedding = shareEmbeddings ? this.srcEmbedding : words(tgtVocabSize)
    this.positions = new SinusoidalEncoding(dModel, { maxLen, dropout, batchFirst: true })
    const layer = { dimFeedforward, dropout, normFirst, batchFirst: true }
    const norm = () => (normFirst ? new LayerNorm(dModel) : undefined)
    this.encoder = new TransformerEncoder(
      () => new TransformerEncoderLayer(dModel, nhead, layer),
      numEncoderLayers,
      { norm: norm() },
    )
    this.decoder = new TransformerDecoder(
      () => new TransformerDecoderLayer(dModel, nhead, layer),
      numDecoderLayers,
      { norm: norm() },
    )
    for (const stack of [this.encoder, this.decoder])
      for (const parameter of stack.parameters())
        if (parameter.shape.length > 1) init.xavierUniform(parameter)
    this.generator = tiedHead(this.tgtEmbedding)
  }

  forward(src: Tensor, tgt: Tensor): Tensor {
    return this.generator.forward(this.decode(tgt, this.encode(src), src))
  }

  /** The memory [N, S, dModel] of a source [N, S]. */
  encode(src: Tensor): Tensor {
    const srcKeyPaddingMask = this.#padding(src)
    return this.encoder.forward(this.#embed(src, this.srcEmbedding), { srcKeyPaddingMask })
  }

  /** Features [N, T, dModel] of a target [N, T], each of what stands up to it; `generator` makes logits of them. */
  decode(tgt: Tensor, memory: Tensor, src: Tensor): Tensor {
    return this.decoder.forward(this.#embed(tgt, this.tgtEmbedding), memory, {
      tgtIsCausal: true,
      memoryKeyPaddingMask: this.#padding(src),
    })
  }

  #embed(words: Tensor, table: Embedding): Tensor {
    if (words.shape.length !== 2 || words.shape[1] > this.maxLen)
      fail(
        `Seq2SeqTransformer: the words ${showShape(words.shape)} must be [N, length] with length at most ${this.maxLen}`,
      )
    return this.positions.forward(table.forward(words).mul(Math.sqrt(table.embeddingDim)))
  }

  #padding(src: Tensor): Tensor | undefined {
    return this.paddingIdx === undefined ? undefined : src.eq(this.paddingIdx)
  }
}

const big = { dModel: 1024, nhead: 16, dimFeedforward: 4096, dropout: 0.3 }

export const transformers = {
  transformer_base: (options?: Seq2SeqOptions) => new Seq2SeqTransformer(options),
  transformer_big: (options?: Seq2SeqOptions) => new Seq2SeqTransformer({ ...big, ...options }),
}
