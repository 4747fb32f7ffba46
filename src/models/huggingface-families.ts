// What Burnish has of transformers' models: for each family its architectures, how one is made from config.json, what
// its weights are called there, and what config.json says of a model made here. Texts are below, images in
// huggingface-images.ts.
import { fail } from '../base/errors.js'
import type { Shape } from '../base/shape.js'
import type { AnyModule } from '../nn/module.js'
import { Bert, type BertOptions } from './bert.js'
import {
  BertForMaskedLM,
  BertForQuestionAnswering,
  BertForSequenceClassification,
  BertForTokenClassification,
} from './bert-heads.js'
import { GPT2, GPT2Model, type GPT2Options } from './gpt2.js'
import { activationName, type Config, type Fields } from './huggingface-config.js'
import { resnet, vit } from './huggingface-images.js'

/** What a model is for, with the words of the hub. */
export type Task =
  | 'feature-extraction'
  | 'fill-mask'
  | 'text-classification'
  | 'token-classification'
  | 'question-answering'
  | 'text-generation'
  | 'image-classification'

/** What decides how a model is made, beside its configuration. */
export interface Choice {
  readonly numClasses: number
  /** Whether the weights have an entry of that name, with the family's prefix. */
  has(name: string): boolean
}

export interface Architecture {
  readonly task: Task
  make(config: Fields, choice: Choice): AnyModule
}

/** Numbers and words of config.json, and how many classes there are. */
export interface Described {
  readonly architecture: string
  readonly config: Config
  readonly classes?: number
}

export interface Family {
  readonly type: string
  /** Before the names of the body, in models with a head. */
  readonly prefix: string
  readonly architectures: { readonly [name: string]: Architecture }
  /** Names of what is not of the body. */
  readonly heads: RegExp
  /** Names of what files may hold though nothing needs it. */
  readonly ignored: RegExp
  /** Entries whose shapes say whether weights and configuration belong together. */
  landmarks(config: Fields): readonly (readonly [name: string, shape: Shape | undefined])[]
  /**
   * What transformers calls an entry of our state dicts, with the prefix; several where ours is theirs one below the
   * other. undefined when there is none.
   */
  names(entry: string): readonly string[] | undefined
  /** What a model is there; undefined when it is none of these. */
  describe(model: AnyModule): Described | undefined
}

const sameUnderPrefix = (prefix: string, heads: RegExp) => (entry: string) => [
  entry.startsWith(prefix) || heads.test(entry) ? entry : prefix + entry,
]

// ---- BERT ----

function bertOptions(config: Fields): BertOptions {
  config.only('position_embedding_type', 'absolute', 'positions are learned, one vector each')
  config.only('is_decoder', false, 'BERT sees both sides')
  config.only('add_cross_attention', false, 'there is no decoder to look at')
  config.only('tie_word_embeddings', true, 'the decoder has the weight of the embedding')
  return {
    vocabSize: config.whole('vocab_size', 30_522),
    hiddenSize: config.whole('hidden_size', 768),
    numHiddenLayers: config.whole('num_hidden_layers', 12),
    numAttentionHeads: config.whole('num_attention_heads', 12),
    intermediateSize: config.whole('intermediate_size', 3072),
    hiddenAct: config.activation('hidden_act', 'gelu'),
    hiddenDropoutProb: config.probability('hidden_dropout_prob', 0.1),
    attentionProbsDropoutProb: config.probability('attention_probs_dropout_prob', 0.1),
    maxPositionEmbeddings: config.whole('max_position_embeddings', 512),
    typeVocabSize: config.whole('type_vocab_size', 2),
    initializerRange: config.real('initializer_range', 0.02),
    layerNormEps: config.real('layer_norm_eps', 1e-12),
    padTokenId: config.whole('pad_token_id', 0, 0),
  }
}

const classes = (config: Fields, { numClasses }: Choice) => ({
  numClasses,
  ...(config.get('classifier_dropout') !== undefined && {
    classifierDropout: config.probability('classifier_dropout', 0),
  }),
})

function describeBert(model: AnyModule): Described | undefined {
  const found = (architecture: string, bert: Bert, classes?: number): Described => {
    const { sizes } = bert
    const hidden_act = activationName(sizes.hiddenAct)
    if (hidden_act === undefined)
      throw fail('saveHuggingFace: hiddenAct is a function that config.json has no word for')
    return {
      architecture,
      classes,
      config: {
        vocab_size: sizes.vocabSize,
        hidden_size: sizes.hiddenSize,
        num_hidden_layers: sizes.numHiddenLayers,
        num_attention_heads: sizes.numAttentionHeads,
        intermediate_size: sizes.intermediateSize,
        hidden_act,
        hidden_dropout_prob: sizes.hiddenDropoutProb,
        attention_probs_dropout_prob: sizes.attentionProbsDropoutProb,
        max_position_embeddings: sizes.maxPositionEmbeddings,
        type_vocab_size: sizes.typeVocabSize,
        initializer_range: sizes.initializerRange,
        layer_norm_eps: sizes.layerNormEps,
        pad_token_id: sizes.padTokenId,
        position_embedding_type: 'absolute',
      },
    }
  }
  const withClasses = (
    architecture: string,
    { bert, classifier, dropout }: BertForSequenceClassification | BertForTokenClassification,
  ): Described => {
    const described = found(architecture, bert, classifier.outFeatures)
    return { ...described, config: { ...described.config, classifier_dropout: dropout.p } }
  }
  if (model instanceof Bert) return found('BertModel', model)
  if (model instanceof BertForMaskedLM) return found('BertForMaskedLM', model.bert)
  if (model instanceof BertForSequenceClassification)
    return withClasses('BertForSequenceClassification', model)
  if (model instanceof BertForTokenClassification)
    return withClasses('BertForTokenClassification', model)
  if (model instanceof BertForQuestionAnswering)
    return found('BertForQuestionAnswering', model.bert)
  return undefined
}

const BERT_HEADS = /^(cls|classifier|qa_outputs)\./
const maskedLM: Architecture = {
  task: 'fill-mask',
  make: (config) => new BertForMaskedLM(bertOptions(config)),
}

const bert: Family = {
  type: 'bert',
  prefix: 'bert.',
  architectures: {
    BertModel: {
      task: 'feature-extraction',
      make: (config, { has }) =>
        new Bert(bertOptions(config), { pooler: has('bert.pooler.dense.weight') }),
    },
    BertForMaskedLM: maskedLM,
    // Its second head, for the next sentence, is left out.
    BertForPreTraining: maskedLM,
    BertForSequenceClassification: {
      task: 'text-classification',
      make: (config, choice) =>
        new BertForSequenceClassification({ ...bertOptions(config), ...classes(config, choice) }),
    },
    BertForTokenClassification: {
      task: 'token-classification',
      make: (config, choice) =>
        new BertForTokenClassification({ ...bertOptions(config), ...classes(config, choice) }),
    },
    BertForQuestionAnswering: {
      task: 'question-answering',
      make: (config) => new BertForQuestionAnswering(bertOptions(config)),
    },
  },
  heads: BERT_HEADS,
  ignored: /embeddings\.(position_ids|token_type_ids)$/,
  landmarks(config) {
    const options = bertOptions(config)
    const { vocabSize = 0, hiddenSize = 0, numHiddenLayers = 0, intermediateSize = 0 } = options
    const { maxPositionEmbeddings = 0, typeVocabSize = 0 } = options
    const last = `bert.encoder.layer.${numHiddenLayers - 1}.intermediate.dense.weight`
    return [
      ['bert.embeddings.word_embeddings.weight', [vocabSize, hiddenSize]],
      ['bert.embeddings.position_embeddings.weight', [maxPositionEmbeddings, hiddenSize]],
      ['bert.embeddings.token_type_embeddings.weight', [typeVocabSize, hiddenSize]],
      [last, [intermediateSize, hiddenSize]],
    ]
  },
  names: sameUnderPrefix('bert.', BERT_HEADS),
  describe: describeBert,
}

// ---- GPT-2 ----

function gpt2Options(config: Fields): GPT2Options {
  config.only('add_cross_attention', false, 'there is no encoder to look at')
  config.only('tie_word_embeddings', true, 'the last layer has the weight of the embedding')
  // Whether scores are computed in float32 on their own (reorder_and_upcast_attn) makes no difference: they are.
  const nEmbd = config.whole('n_embd', 768)
  return {
    vocabSize: config.whole('vocab_size', 50_257),
    nPositions: config.whole('n_positions', 1024),
    nEmbd,
    nLayer: config.whole('n_layer', 12),
    nHead: config.whole('n_head', 12),
    nInner: config.whole('n_inner', 4 * nEmbd),
    activationFunction: config.activation('activation_function', 'gelu_new'),
    residPdrop: config.probability('resid_pdrop', 0.1),
    embdPdrop: config.probability('embd_pdrop', 0.1),
    attnPdrop: config.probability('attn_pdrop', 0.1),
    layerNormEpsilon: config.real('layer_norm_epsilon', 1e-5),
    initializerRange: config.real('initializer_range', 0.02),
    scaleAttnWeights: config.flag('scale_attn_weights', true),
    scaleAttnByInverseLayerIdx: config.flag('scale_attn_by_inverse_layer_idx', false),
  }
}

const GPT2_HEADS = /^(lm_head|score|multiple_choice_head|classifier)\./

const gpt2: Family = {
  type: 'gpt2',
  prefix: 'transformer.',
  architectures: {
    GPT2LMHeadModel: { task: 'text-generation', make: (config) => new GPT2(gpt2Options(config)) },
    GPT2Model: {
      task: 'feature-extraction',
      make: (config) => new GPT2Model(gpt2Options(config)),
    },
  },
  heads: GPT2_HEADS,
  // The mask of what comes later.
  ignored: /\.attn\.(bias|masked_bias)$/,
  landmarks(config) {
    const { vocabSize = 0, nEmbd = 0, nPositions = 0, nLayer = 0, nInner = 0 } = gpt2Options(config)
    return [
      ['transformer.wte.weight', [vocabSize, nEmbd]],
      ['transformer.wpe.weight', [nPositions, nEmbd]],
      [`transformer.h.${nLayer - 1}.mlp.c_fc.weight`, [nEmbd, nInner]],
    ]
  },
  names: sameUnderPrefix('transformer.', GPT2_HEADS),
  describe(model) {
    if (!(model instanceof GPT2 || model instanceof GPT2Model)) return undefined
    const { sizes } = model
    const activation_function = activationName(sizes.activationFunction)
    if (activation_function === undefined)
      throw fail(
        'saveHuggingFace: activationFunction is a function that config.json has no word for',
      )
    return {
      architecture: model instanceof GPT2 ? 'GPT2LMHeadModel' : 'GPT2Model',
      config: {
        vocab_size: sizes.vocabSize,
        n_positions: sizes.nPositions,
        n_embd: sizes.nEmbd,
        n_layer: sizes.nLayer,
        n_head: sizes.nHead,
        n_inner: sizes.nInner === 4 * sizes.nEmbd ? null : sizes.nInner,
        activation_function,
        resid_pdrop: sizes.residPdrop,
        embd_pdrop: sizes.embdPdrop,
        attn_pdrop: sizes.attnPdrop,
        layer_norm_epsilon: sizes.layerNormEpsilon,
        initializer_range: sizes.initializerRange,
        scale_attn_weights: sizes.scaleAttnWeights,
        scale_attn_by_inverse_layer_idx: sizes.scaleAttnByInverseLayerIdx,
      },
    }
  },
}

// ---- all ----

export const families: readonly Family[] = [bert, gpt2, vit, resnet]
