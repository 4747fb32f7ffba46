// TextCNN (Kim 2014, "Convolutional Neural Networks for Sentence Classification", figure 1): windows of three, four and
// five words, the largest answer of each filter over the sentence, and one linear layer.
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import { Conv1d, Dropout, Embedding, Linear, Module, ModuleList, relu } from '../nn/index.js'
import { concat, type Tensor } from '../tensor/tensor.js'

/** Sizes of a TextCNN; the defaults are the paper's, for its movie reviews (tables 1 and 2). */
export interface TextCNNOptions {
  /** Default 2. */
  readonly numClasses?: number
  /** Different words. Default 18,765. */
  readonly vocabSize?: number
  /** Features of a word. Default 300. */
  readonly embeddingDim?: number
  /** Words under a window. Default 3, 4 and 5. */
  readonly kernelSizes?: readonly number[]
  /** Filters of each size. Default 100. */
  readonly numFilters?: number
  /** Default 0.5, before the linear layer. */
  readonly dropout?: number
  /** The word that fills up short sentences; its features stay 0. */
  readonly paddingIdx?: number
}

/** Words int32 [N, T] → logits [N, numClasses]. T is at least the widest window. */
export class TextCNN extends Module {
  embedding: Embedding
  convs: ModuleList<Conv1d>
  dropout: Dropout
  fc: Linear
  readonly #widest: number

  constructor(options: TextCNNOptions = {}) {
    super()
    const { numClasses = 2, vocabSize = 18_765, embeddingDim = 300, dropout = 0.5 } = options
    const { kernelSizes = [3, 4, 5], numFilters = 100, paddingIdx } = options
    this.embedding = new Embedding(vocabSize, embeddingDim, { paddingIdx })
    this.convs = new ModuleList(
      kernelSizes.map((size) => new Conv1d(embeddingDim, numFilters, size)),
    )
    this.dropout = new Dropout(dropout)
    this.fc = new Linear(kernelSizes.length * numFilters, numClasses)
    this.#widest = Math.max(...kernelSizes)
  }

  forward(words: Tensor): Tensor {
    if (words.shape.length !== 2 || words.shape[1] < this.#widest)
      fail(
        `TextCNN: the words ${showShape(words.shape)} must be [N, T] with T at least ${this.#widest}, the widest window; fill short sentences up`,
      )
    const x = this.embedding.forward(words).transpose(1, 2) // [N, embeddingDim, T]
    const answers = [...this.convs].map((conv) => relu(conv.forward(x)).amax(2)) // [N, numFilters]
    return this.fc.forward(this.dropout.forward(concat(answers, 1)))
  }
}

export const textcnns = {
  textcnn: (options?: TextCNNOptions) => new TextCNN(options),
}
