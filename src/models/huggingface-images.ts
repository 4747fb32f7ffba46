// Families of images for huggingface.ts: ViT and ResNet, whose layers bear torchvision's names here and transformers'
// own in their files. transformers keeps queries, keys and values in three layers, which are rows of one matrix here.
import { fail } from '../base/errors.js'
import type { AnyModule } from '../nn/module.js'
import type { Config, Fields } from './huggingface-config.js'
import { activationName } from './huggingface-config.js'
import type { Described, Family } from './huggingface-families.js'
import { BasicBlock, Bottleneck, ResNet } from './resnet.js'
import { VisionTransformer, ViTFeatures, type ViTSizes } from './vit.js'

/** The first rule whose pattern fits gives the names, with the pattern's groups in place of $1, $2, …. */
type Renames = readonly (readonly [pattern: RegExp, ...names: readonly string[]])[]

function renamed(rules: Renames, entry: string): readonly string[] | undefined {
  for (const [pattern, ...names] of rules)
    if (pattern.test(entry)) return names.map((name) => entry.replace(pattern, name))
  return undefined
}

// ---- ViT ----

const BLOCK = '^encoder\\.layers\\.encoder_layer_(\\d+)\\.'
const LAYER = 'vit.encoder.layer.$1.'
const SEEN = `${LAYER}attention.attention.`
const block = (ours: string, ...theirs: readonly string[]) =>
  [new RegExp(BLOCK + ours), ...theirs] as const

const vitNames: Renames = [
  [/^class_token$/, 'vit.embeddings.cls_token'],
  [/^encoder\.pos_embedding$/, 'vit.embeddings.position_embeddings'],
  [/^conv_proj\.(\w+)$/, 'vit.embeddings.patch_embeddings.projection.$1'],
  block('ln_1\\.(\\w+)$', `${LAYER}layernorm_before.$2`),
  block('self_attention\\.in_proj_(\\w+)$', `${SEEN}query.$2`, `${SEEN}key.$2`, `${SEEN}value.$2`),
  block('self_attention\\.out_proj\\.(\\w+)$', `${LAYER}attention.output.dense.$2`),
  block('ln_2\\.(\\w+)$', `${LAYER}layernorm_after.$2`),
  block('mlp\\.0\\.(\\w+)$', `${LAYER}intermediate.dense.$2`),
  block('mlp\\.3\\.(\\w+)$', `${LAYER}output.dense.$2`),
  [/^encoder\.ln\.(\w+)$/, 'vit.layernorm.$1'],
  [/^pooler\.(\w+)$/, 'vit.pooler.dense.$1'],
  [/^heads\.head\.(\w+)$/, 'classifier.$1'],
]

/** A size that may also be written as a pair. */
function side(config: Fields, name: string, fallback: number): number {
  const value = config.get(name)
  if (!Array.isArray(value)) return config.whole(name, fallback)
  const [height, width] = config.wholes(name, [], 2)
  if (height !== width) throw config.wrong(name, value, 'the side of a square')
  return height
}

function vitSizes(config: Fields): ViTSizes {
  config.only('qkv_bias', true, 'queries, keys and values have biases')
  config.only('pooler_act', 'tanh', 'the pooler ends with tanh')
  config.only('pooler_output_size', config.whole('hidden_size', 768), 'the pooler keeps the size')
  return {
    imageSize: side(config, 'image_size', 224),
    patchSize: side(config, 'patch_size', 16),
    layers: config.whole('num_hidden_layers', 12),
    heads: config.whole('num_attention_heads', 12),
    hidden: config.whole('hidden_size', 768),
    mlp: config.whole('intermediate_size', 3072),
    dropout: config.probability('hidden_dropout_prob', 0),
    innerDropout: 0,
    attentionDropout: config.probability('attention_probs_dropout_prob', 0),
    layerNormEps: config.real('layer_norm_eps', 1e-12),
    activation: config.activation('hidden_act', 'gelu'),
  }
}

const channels = (config: Fields) => config.whole('num_channels', 3)

function describeViT(model: AnyModule): Described | undefined {
  if (!(model instanceof VisionTransformer || model instanceof ViTFeatures)) return undefined
  const { sizes, conv_proj } = model
  const { dropout = 0, innerDropout = dropout, attentionDropout = 0, layerNormEps = 1e-6 } = sizes
  const hidden_act = sizes.activation ? activationName(sizes.activation) : 'gelu'
  if (hidden_act === undefined)
    throw fail('saveHuggingFace: activation is a function that config.json has no word for')
  if (innerDropout !== 0)
    fail(
      'saveHuggingFace: transformers has no dropout between a perceptron’s layers: innerDropout 0',
    )
  const config: Config = {
    image_size: sizes.imageSize,
    patch_size: sizes.patchSize,
    num_channels: conv_proj.weight.shape[1],
    num_hidden_layers: sizes.layers,
    num_attention_heads: sizes.heads,
    hidden_size: sizes.hidden,
    intermediate_size: sizes.mlp,
    hidden_act,
    hidden_dropout_prob: dropout,
    attention_probs_dropout_prob: attentionDropout,
    layer_norm_eps: layerNormEps,
    qkv_bias: true,
  }
  if (model instanceof ViTFeatures) return { architecture: 'ViTModel', config }
  const head = model.stateDict()['heads.head.weight']
  return { architecture: 'ViTForImageClassification', config, classes: head?.shape[0] }
}

export const vit: Family = {
  type: 'vit',
  prefix: 'vit.',
  architectures: {
    ViTForImageClassification: {
      task: 'image-classification',
      make: (config, { numClasses }) =>
        new VisionTransformer(vitSizes(config), { numClasses, inChannels: channels(config) }),
    },
    ViTModel: {
      task: 'feature-extraction',
      make: (config, { has }) =>
        new ViTFeatures(vitSizes(config), {
          inChannels: channels(config),
          pooler: has('vit.pooler.dense.weight'),
        }),
    },
  },
  heads: /^(classifier|decoder)\./,
  ignored: /embeddings\.mask_token$/,
  landmarks(config) {
    const { hidden, mlp, patchSize, imageSize, layers } = vitSizes(config)
    const tokens = (imageSize / patchSize) ** 2 + 1
    return [
      [
        'vit.embeddings.patch_embeddings.projection.weight',
        [hidden, channels(config), patchSize, patchSize],
      ],
      ['vit.embeddings.position_embeddings', [1, tokens, hidden]],
      [`vit.encoder.layer.${layers - 1}.intermediate.dense.weight`, [mlp, hidden]],
    ]
  },
  names: (entry) => renamed(vitNames, entry),
  describe: describeViT,
}

// ---- ResNet ----

const STEM = 'resnet.embedder.embedder.'
/** `layer3.1.conv2.weight` → the third stage, its second block, the second layer in it. */
const stage = (entry: string, path: string) =>
  entry.replace(
    /^layer(\d)\.(\d+)\.(.*)$/,
    (_, number: string, index: string) =>
      `resnet.encoder.stages.${Number(number) - 1}.layers.${index}.${path}`,
  )

function resnetNames(entry: string): readonly string[] | undefined {
  const top = renamed(
    [
      [/^conv1\.(\w+)$/, `${STEM}convolution.$1`],
      [/^bn1\.(\w+)$/, `${STEM}normalization.$1`],
      [/^fc\.(\w+)$/, 'classifier.1.$1'],
    ],
    entry,
  )
  if (top) return top
  const inner = /^layer[1-4]\.\d+\.(?:(conv|bn)([123])|downsample\.([01]))\.(\w+)$/.exec(entry)
  if (!inner) return undefined
  const [, kind, position, shortcut, leaf] = inner
  const layer = (convolution: boolean) => (convolution ? 'convolution' : 'normalization')
  return [
    shortcut !== undefined
      ? stage(entry, `shortcut.${layer(shortcut === '0')}.${leaf}`)
      : stage(entry, `layer.${Number(position) - 1}.${layer(kind === 'conv')}.${leaf}`),
  ]
}

function resnetOptions(config: Fields) {
  config.only('hidden_act', 'relu', 'ResNet has ReLU')
  const kind = config.text('layer_type', 'bottleneck')
  if (kind !== 'bottleneck' && kind !== 'basic')
    throw config.wrong('layer_type', kind, 'bottleneck or basic')
  const Block = kind === 'basic' ? BasicBlock : Bottleneck
  const hidden = config.wholes('hidden_sizes', [256, 512, 1024, 2048], 4)
  if (hidden.some((size) => size % Block.expansion !== 0))
    throw config.wrong('hidden_sizes', hidden, `multiples of ${Block.expansion}`)
  const [a, b, c, d] = hidden.map((size) => size / Block.expansion)
  const [e, f, g, h] = config.wholes('depths', [3, 4, 6, 3], 4)
  const options = {
    stem: config.whole('embedding_size', 64),
    stagePlanes: [a, b, c, d] as const,
    strideFirst: config.flag('downsample_in_bottleneck', false),
    downsampleFirst: config.flag('downsample_in_first_stage', false),
    inChannels: channels(config),
  }
  return { kind, Block, hidden, layers: [e, f, g, h] as const, options }
}

export const resnet: Family = {
  type: 'resnet',
  prefix: 'resnet.',
  architectures: {
    ResNetForImageClassification: {
      task: 'image-classification',
      make(config, { numClasses }) {
        const { Block, layers, options } = resnetOptions(config)
        return new ResNet(Block, layers, { ...options, numClasses })
      },
    },
  },
  heads: /^classifier\./,
  ignored: /^$/,
  landmarks(config) {
    const { Block, hidden, layers, options } = resnetOptions(config)
    const last = Block.expansion === 1 ? 1 : 2
    return [
      [`${STEM}convolution.weight`, [options.stem, options.inChannels, 7, 7]],
      ...layers.map(
        (depth, i) =>
          [
            `resnet.encoder.stages.${i}.layers.${depth - 1}.layer.${last}.convolution.weight`,
            last === 1 ? [hidden[i], hidden[i], 3, 3] : [hidden[i], hidden[i] / 4, 1, 1],
          ] as const,
      ),
    ]
  },
  names: resnetNames,
  describe(model) {
    if (!(model instanceof ResNet)) return undefined
    const { options, blocks, layers } = model
    const { groups = 1, widthPerGroup = 64, planes = 64, stem = planes } = options
    if (groups !== 1 || widthPerGroup !== 64)
      fail('saveHuggingFace: transformers has no ResNeXt and no wide ResNet')
    const expansion = blocks === 'basic' ? 1 : Bottleneck.expansion
    const stages = options.stagePlanes ?? [planes, 2 * planes, 4 * planes, 8 * planes]
    return {
      architecture: 'ResNetForImageClassification',
      classes: model.fc.outFeatures,
      config: {
        num_channels: model.conv1.weight.shape[1],
        embedding_size: stem,
        hidden_sizes: stages.map((size) => size * expansion),
        depths: [...layers],
        layer_type: blocks,
        hidden_act: 'relu',
        downsample_in_first_stage: options.downsampleFirst ?? false,
        downsample_in_bottleneck: options.strideFirst ?? false,
      },
    }
  },
}
