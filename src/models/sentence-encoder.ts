// The Universal Sentence Encoder Lite (Cer et al. 2018): a transformer of two layers over SentencePiece tokens, the
// mean over the tokens, one tanh layer, length 1. Written down from the graph of its TensorFlow.js model, whose
// operators remove and restore padding and so have sizes that depend on the data; here padding is masked, with the same
// result. Leaves out dropout, which the graph no longer has.
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import {
  Embedding,
  LayerNorm,
  Linear,
  Module,
  relu,
  scaledDotProductAttention,
} from '../nn/index.js'
import { tensor } from '../tensor/create.js'
import { concat, type Tensor } from '../tensor/tensor.js'

/** Tokens of several texts. */
export interface TextTokens {
  /** int32 [N, T]; 0 (or anything) where a text has ended. */
  readonly inputIds: Tensor
  /** float32 [N, T]: 1 at tokens, 0 behind them. */
  readonly attentionMask: Tensor
}

const HEADS = 4
const LAYER_NORM_EPS = 1e-6
/** What attention adds to the score of a key that is no token: finite, so that a text without tokens has a result. */
const MASKED = -1e9
/** The square of the shortest length that is divided by. */
const SHORTEST = 1e-12
/** The lengths of the timing signal's waves go from 2π to 10,000·2π. */
const TIMESCALES = 10_000
/** Tokens that are seen. */
export const LONGEST_SENTENCE = 128

export interface SentenceEncoderOptions {
  /** Default 8002, with two pieces of the encoder's own. */
  readonly vocabSize?: number
  readonly embeddingDim?: number
  /** Width of the layers' results, and of the sentence's. Default 512. */
  readonly hiddenSize?: number
  readonly intermediateSize?: number
}

/** Pre-norm attention and two linear layers; the first layer of the encoder widens what passes by. */
class EncoderLayer extends Module {
  norm1: LayerNorm
  qkv: Linear
  output: Linear
  residual: Linear | undefined
  norm2: LayerNorm
  linear1: Linear
  linear2: Linear

  constructor(inputs: number, outputs: number, inner: number) {
    super()
    this.norm1 = new LayerNorm(inputs, { eps: LAYER_NORM_EPS })
    this.qkv = new Linear(inputs, 3 * inputs)
    this.output = new Linear(inputs, outputs)
    this.residual = inputs === outputs ? undefined : new Linear(inputs, outputs)
    this.norm2 = new LayerNorm(outputs, { eps: LAYER_NORM_EPS })
    this.linear1 = new Linear(outputs, inner)
    this.linear2 = new Linear(inner, outputs)
  }

  /** x [N, T, inputs], bias [N, 1, 1, T] of the keys → [N, T, outputs]. */
  forward(x: Tensor, bias: Tensor): Tensor {
    const parts = this.qkv.forward(this.norm1.forward(x)).split(x.shape[2], 2)
    const [q, k, v] = parts.map((part) => part.unflatten(2, [HEADS, -1]).transpose(1, 2))
    const seen = scaledDotProductAttention(q, k, v, { attnMask: bias }).transpose(1, 2).flatten(2)
    const y = this.output.forward(seen).add(this.residual ? this.residual.forward(x) : x)
    return y.add(this.linear2.forward(relu(this.linear1.forward(this.norm2.forward(y)))))
  }
}

/** Sentences → 512 numbers each, of length 1: near each other where meanings are. */
export class SentenceEncoder extends Module {
  embedding: Embedding
  layer0: EncoderLayer
  layer1: EncoderLayer
  hidden: Linear

  constructor({
    vocabSize = 8002,
    embeddingDim = 256,
    hiddenSize = 512,
    intermediateSize = 1536,
  }: SentenceEncoderOptions = {}) {
    super()
    if (embeddingDim % HEADS !== 0 || hiddenSize % HEADS !== 0)
      fail(
        `SentenceEncoder: ${HEADS} heads do not divide the widths ${embeddingDim} and ${hiddenSize}`,
      )
    this.embedding = new Embedding(vocabSize, embeddingDim)
    this.layer0 = new EncoderLayer(embeddingDim, hiddenSize, intermediateSize)
    this.layer1 = new EncoderLayer(hiddenSize, hiddenSize, intermediateSize)
    this.hidden = new Linear(hiddenSize, hiddenSize)
  }

  /** → [N, hiddenSize]. Throws for more than 128 tokens: cut them off. */
  forward({ inputIds, attentionMask }: TextTokens): Tensor {
    const [, length] = inputIds.shape
    if (inputIds.shape.length !== 2 || !(length >= 1 && length <= LONGEST_SENTENCE))
      fail(
        `SentenceEncoder: the tokens ${showShape(inputIds.shape)} must be [N, T] with T from 1 to ${LONGEST_SENTENCE}: cut longer ones off`,
      )
    if (attentionMask.shape.join() !== inputIds.shape.join())
      fail(
        `SentenceEncoder: the mask ${showShape(attentionMask.shape)} must be as the tokens ${showShape(inputIds.shape)}`,
      )
    const mask = attentionMask.to('float32')
    const bias = mask.sub(1).mul(-MASKED).unsqueeze(1).unsqueeze(1) // [N, 1, 1, T]
    const words = this.embedding.forward(inputIds) // [N, T, 256]
    // The graph adds words to words with their timing signal.
    let x = words.mul(2).add(timingSignal(length, words.shape[2]))
    x = this.layer0.forward(x, bias)
    x = this.layer1.forward(x, bias)
    const tokens = mask.unsqueeze(2) // [N, T, 1]
    const mean = x.mul(tokens).sum(1).div(tokens.sum(1).clamp(1))
    const y = this.hidden.forward(mean).tanh() // [N, 512]
    return y.mul(y.square().sum(1, { keepdim: true }).clamp(SHORTEST).rsqrt())
  }
}

/** [T, width]: sines, then cosines, of positions (Vaswani et al. 2017, in the order of tensor2tensor). */
function timingSignal(length: number, width: number): Tensor {
  const half = width / 2
  const step = Math.log(TIMESCALES) / Math.max(1, half - 1)
  const angles = Float32Array.from({ length: length * half }, (_, i) => {
    const [position, wave] = [Math.floor(i / half), i % half]
    return position * Math.fround(Math.exp(-step * wave))
  })
  const signal = tensor(angles, { shape: [length, half] })
  return concat([signal.sin(), signal.cos()], 1)
}
