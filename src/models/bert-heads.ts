// BERT's heads (Devlin et al. 2018): for masked words, for classes of texts and of tokens, and for answers in a text.
// Parameters are named as in Hugging Face's BertForMaskedLM, BertForSequenceClassification, BertForTokenClassification
// and BertForQuestionAnswering.
import { fail } from '../base/errors.js'
import { activationOf } from '../nn/functional/activation-names.js'
import { Dropout, type Embedding, init, LayerNorm, Linear, Module } from '../nn/index.js'
import { zeros } from '../tensor/create.js'
import { Parameter } from '../tensor/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { Bert, type BertInputs, type BertOptions, type Sizes } from './bert.js'
import { tiedHead } from './gpt2.js'

/** A BERT with a head for classes. */
export interface BertClassesOptions extends BertOptions {
  /** Default 2. */
  readonly numClasses?: number
  /** Dropout before the head. Default: hiddenDropoutProb. */
  readonly classifierDropout?: number
}

class Transform extends Module {
  dense: Linear
  LayerNorm: LayerNorm
  readonly #activation: (x: Tensor) => Tensor

  constructor({ hiddenSize, layerNormEps, hiddenAct }: Sizes) {
    super()
    this.dense = new Linear(hiddenSize, hiddenSize)
    this.LayerNorm = new LayerNorm(hiddenSize, { eps: layerNormEps })
    this.#activation = activationOf(hiddenAct, 'BERT: hiddenAct')
  }

  forward(x: Tensor): Tensor {
    return this.LayerNorm.forward(this.#activation(this.dense.forward(x)))
  }
}

/** From features to words: the decoder's weight is the embedding's, its bias also has the name `bias`. */
class Predictions extends Module {
  bias: Parameter
  transform: Transform
  decoder: Linear

  constructor(words: Embedding, sizes: Sizes) {
    super()
    this.bias = new Parameter(zeros([sizes.vocabSize]))
    this.transform = new Transform(sizes)
    this.decoder = Object.assign(tiedHead(words), { bias: this.bias })
  }

  forward(x: Tensor): Tensor {
    return this.decoder.forward(this.transform.forward(x))
  }
}

class MaskedHead extends Module {
  predictions: Predictions

  constructor(words: Embedding, sizes: Sizes) {
    super()
    this.predictions = new Predictions(words, sizes)
  }

  forward(x: Tensor): Tensor {
    return this.predictions.forward(x)
  }
}

/**
 * Tokens [N, T] → logits [N, T, vocabSize] of what stands at each place, also at masked ones (section 3.1, task 1). Its
 * loss: `crossEntropy(logits.flatten(0, 1), labels.flatten())`, with −100 in the labels where nothing was masked;
 * `maskTokens` makes both.
 */
export class BertForMaskedLM extends Module {
  bert: Bert
  cls: MaskedHead

  constructor(options: BertOptions = {}) {
    super()
    this.bert = new Bert(options, { pooler: false })
    this.cls = new MaskedHead(this.bert.embeddings.wordEmbeddings, this.bert.sizes)
    const { dense } = this.cls.predictions.transform
    init.normal(dense.weight, 0, this.bert.sizes.initializerRange)
    if (dense.bias) init.zeros(dense.bias)
  }

  forward(ids: Tensor, inputs: BertInputs = {}): Tensor {
    return this.cls.forward(this.bert.forward(ids, inputs).lastHiddenState)
  }
}

/** A linear head as BERT's begin. */
function classifierOf({ sizes }: Bert, classes: number): Linear {
  const head = new Linear(sizes.hiddenSize, classes)
  init.normal(head.weight, 0, sizes.initializerRange)
  if (head.bias) init.zeros(head.bias)
  return head
}

/** Tokens [N, T] → logits [N, numClasses], from the first token's features. */
export class BertForSequenceClassification extends Module {
  bert: Bert
  dropout: Dropout
  classifier: Linear

  constructor({ numClasses = 2, classifierDropout, ...sizes }: BertClassesOptions = {}) {
    super()
    this.bert = new Bert(sizes)
    this.dropout = new Dropout(classifierDropout ?? this.bert.sizes.hiddenDropoutProb)
    this.classifier = classifierOf(this.bert, numClasses)
  }

  forward(ids: Tensor, inputs: BertInputs = {}): Tensor {
    const { poolerOutput } = this.bert.forward(ids, inputs)
    if (poolerOutput === undefined) throw fail('internal: a classifier without pooler')
    return this.classifier.forward(this.dropout.forward(poolerOutput))
  }
}

/** Tokens [N, T] → logits [N, T, numClasses] of each, such as parts of speech or names. */
export class BertForTokenClassification extends Module {
  bert: Bert
  dropout: Dropout
  classifier: Linear

  constructor({ numClasses = 2, classifierDropout, ...sizes }: BertClassesOptions = {}) {
    super()
    this.bert = new Bert(sizes, { pooler: false })
    this.dropout = new Dropout(classifierDropout ?? this.bert.sizes.hiddenDropoutProb)
    this.classifier = classifierOf(this.bert, numClasses)
  }

  forward(ids: Tensor, inputs: BertInputs = {}): Tensor {
    const { lastHiddenState } = this.bert.forward(ids, inputs)
    return this.classifier.forward(this.dropout.forward(lastHiddenState))
  }
}

/** Tokens [N, T] of a question and a text → logits [N, T] of where in the text the answer starts, and where it ends. */
export class BertForQuestionAnswering extends Module<readonly [start: Tensor, end: Tensor]> {
  bert: Bert
  qaOutputs: Linear

  constructor(options: BertOptions = {}) {
    super()
    this.bert = new Bert(options, { pooler: false })
    this.qaOutputs = classifierOf(this.bert, 2)
  }

  forward(ids: Tensor, inputs: BertInputs = {}): readonly [start: Tensor, end: Tensor] {
    const logits = this.qaOutputs.forward(this.bert.forward(ids, inputs).lastHiddenState)
    const [start, end] = logits.chunk(2, 2).map((part) => part.squeeze(2))
    return [start, end]
  }
}

const large = {
  hiddenSize: 1024,
  numHiddenLayers: 24,
  numAttentionHeads: 16,
  intermediateSize: 4096,
}
const masked = (sizes: BertOptions) => (options?: BertOptions) =>
  new BertForMaskedLM({ ...sizes, ...options })

export const berts = {
  'bert-base-uncased': masked({}),
  'bert-base-cased': masked({ vocabSize: 28_996 }),
  'bert-large-uncased': masked(large),
  'bert-large-cased': masked({ ...large, vocabSize: 28_996 }),
}
