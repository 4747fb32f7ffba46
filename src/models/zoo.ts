// The zoo: every network by its name, what it is, and one way to make it.
import { fail } from '../base/errors.js'
import { alexnets } from './alexnet.js'
import { berts } from './bert-heads.js'
import { convnexts } from './convnext.js'
import { densenets } from './densenet.js'
import { efficientnets } from './efficientnet.js'
import { googlenets } from './googlenet.js'
import { gpt2s } from './gpt2.js'
import { inceptions } from './inception.js'
import { lenets } from './lenet.js'
import { mobilenetsV2 } from './mobilenet-v2.js'
import { mobilenetsV3 } from './mobilenet-v3.js'
import {
  checkName,
  listPretrained,
  type PretrainedListed,
  type PretrainedNetworks,
  type PretrainedOptions,
  pretrained,
} from './pretrained.js'
import { type PretrainedName, pretrainedFacts } from './pretrained-table.js'
import { resnets } from './resnet.js'
import { shufflenets } from './shufflenet.js'
import { squeezenets } from './squeezenet.js'
import { textcnns } from './textcnn.js'
import { transformers } from './transformer.js'
import { unets } from './unet.js'
import { vggs } from './vgg.js'
import { vits } from './vit.js'
import { yolos } from './yolo.js'
import { yolosV1 } from './yolo-v1.js'

const zoo = {
  ...lenets,
  ...alexnets,
  ...vggs,
  ...googlenets,
  ...inceptions,
  ...resnets,
  ...squeezenets,
  ...densenets,
  ...mobilenetsV2,
  ...mobilenetsV3,
  ...shufflenets,
  ...efficientnets,
  ...convnexts,
  ...vits,
  ...unets,
  ...yolosV1,
  ...yolos,
  ...textcnns,
  ...transformers,
  ...berts,
  ...gpt2s,
}

/** The name of a network, as torchvision or Hugging Face writes it. */
export type ModelName = keyof typeof zoo
/** The network of that name. */
export type ModelOf<Name extends ModelName> = ReturnType<(typeof zoo)[Name]>
/** What that network can be made with. */
export type OptionsOf<Name extends ModelName> = Parameters<(typeof zoo)[Name]>[0]

/** What a network gives for its input. */
export type Kind = 'classification' | 'segmentation' | 'detection' | 'text'

/** What is known of a network without making it. */
export interface Facts {
  readonly paper: string
  readonly kind: Kind
  /** Trained numbers, for as many classes as it has by default; auxiliary heads count. */
  readonly parameters: number
  /** One input as its paper or its checkpoints have it: [C, H, W] of images, [T] of tokens. */
  readonly input: readonly number[]
}

/** Classifiers, where nothing is said. */
type Entry = Omit<Facts, 'kind'> & { readonly kind?: Kind }

const facts: { readonly [name in ModelName]: Entry } = {
  lenet: { paper: 'LeCun et al. 1998', parameters: 61_706, input: [1, 28, 28] },
  alexnet: { paper: 'Krizhevsky 2014', parameters: 61_100_840, input: [3, 224, 224] },
  vgg11: { paper: 'Simonyan and Zisserman 2014', parameters: 132_863_336, input: [3, 224, 224] },
  vgg11_bn: { paper: 'Simonyan and Zisserman 2014', parameters: 132_868_840, input: [3, 224, 224] },
  vgg13: { paper: 'Simonyan and Zisserman 2014', parameters: 133_047_848, input: [3, 224, 224] },
  vgg13_bn: { paper: 'Simonyan and Zisserman 2014', parameters: 133_053_736, input: [3, 224, 224] },
  vgg16: { paper: 'Simonyan and Zisserman 2014', parameters: 138_357_544, input: [3, 224, 224] },
  vgg16_bn: { paper: 'Simonyan and Zisserman 2014', parameters: 138_365_992, input: [3, 224, 224] },
  vgg19: { paper: 'Simonyan and Zisserman 2014', parameters: 143_667_240, input: [3, 224, 224] },
  vgg19_bn: { paper: 'Simonyan and Zisserman 2014', parameters: 143_678_248, input: [3, 224, 224] },
  googlenet: { paper: 'Szegedy et al. 2014', parameters: 13_004_888, input: [3, 224, 224] },
  inception_v3: { paper: 'Szegedy et al. 2015', parameters: 27_161_264, input: [3, 299, 299] },
  resnet18: { paper: 'He et al. 2015', parameters: 11_689_512, input: [3, 224, 224] },
  resnet34: { paper: 'He et al. 2015', parameters: 21_797_672, input: [3, 224, 224] },
  resnet50: { paper: 'He et al. 2015', parameters: 25_557_032, input: [3, 224, 224] },
  resnet101: { paper: 'He et al. 2015', parameters: 44_549_160, input: [3, 224, 224] },
  resnet152: { paper: 'He et al. 2015', parameters: 60_192_808, input: [3, 224, 224] },
  resnext50_32x4d: { paper: 'Xie et al. 2016', parameters: 25_028_904, input: [3, 224, 224] },
  resnext101_32x8d: { paper: 'Xie et al. 2016', parameters: 88_791_336, input: [3, 224, 224] },
  resnext101_64x4d: { paper: 'Xie et al. 2016', parameters: 83_455_272, input: [3, 224, 224] },
  wide_resnet50_2: {
    paper: 'Zagoruyko and Komodakis 2016',
    parameters: 68_883_240,
    input: [3, 224, 224],
  },
  wide_resnet101_2: {
    paper: 'Zagoruyko and Komodakis 2016',
    parameters: 126_886_696,
    input: [3, 224, 224],
  },
  squeezenet1_0: { paper: 'Iandola et al. 2016', parameters: 1_248_424, input: [3, 224, 224] },
  squeezenet1_1: { paper: 'Iandola et al. 2016', parameters: 1_235_496, input: [3, 224, 224] },
  densenet121: { paper: 'Huang et al. 2016', parameters: 7_978_856, input: [3, 224, 224] },
  densenet161: { paper: 'Huang et al. 2016', parameters: 28_681_000, input: [3, 224, 224] },
  densenet169: { paper: 'Huang et al. 2016', parameters: 14_149_480, input: [3, 224, 224] },
  densenet201: { paper: 'Huang et al. 2016', parameters: 20_013_928, input: [3, 224, 224] },
  mobilenet_v2: { paper: 'Sandler et al. 2018', parameters: 3_504_872, input: [3, 224, 224] },
  mobilenet_v3_large: { paper: 'Howard et al. 2019', parameters: 5_483_032, input: [3, 224, 224] },
  mobilenet_v3_small: { paper: 'Howard et al. 2019', parameters: 2_542_856, input: [3, 224, 224] },
  shufflenet_v2_x0_5: { paper: 'Ma et al. 2018', parameters: 1_366_792, input: [3, 224, 224] },
  shufflenet_v2_x1_0: { paper: 'Ma et al. 2018', parameters: 2_278_604, input: [3, 224, 224] },
  shufflenet_v2_x1_5: { paper: 'Ma et al. 2018', parameters: 3_503_624, input: [3, 224, 224] },
  shufflenet_v2_x2_0: { paper: 'Ma et al. 2018', parameters: 7_393_996, input: [3, 224, 224] },
  efficientnet_b0: { paper: 'Tan and Le 2019', parameters: 5_288_548, input: [3, 224, 224] },
  efficientnet_b1: { paper: 'Tan and Le 2019', parameters: 7_794_184, input: [3, 240, 240] },
  efficientnet_b2: { paper: 'Tan and Le 2019', parameters: 9_109_994, input: [3, 288, 288] },
  efficientnet_b3: { paper: 'Tan and Le 2019', parameters: 12_233_232, input: [3, 300, 300] },
  efficientnet_b4: { paper: 'Tan and Le 2019', parameters: 19_341_616, input: [3, 380, 380] },
  efficientnet_b5: { paper: 'Tan and Le 2019', parameters: 30_389_784, input: [3, 456, 456] },
  efficientnet_b6: { paper: 'Tan and Le 2019', parameters: 43_040_704, input: [3, 528, 528] },
  efficientnet_b7: { paper: 'Tan and Le 2019', parameters: 66_347_960, input: [3, 600, 600] },
  convnext_tiny: { paper: 'Liu et al. 2022', parameters: 28_589_128, input: [3, 224, 224] },
  convnext_small: { paper: 'Liu et al. 2022', parameters: 50_223_688, input: [3, 224, 224] },
  convnext_base: { paper: 'Liu et al. 2022', parameters: 88_591_464, input: [3, 224, 224] },
  convnext_large: { paper: 'Liu et al. 2022', parameters: 197_767_336, input: [3, 224, 224] },
  vit_b_16: { paper: 'Dosovitskiy et al. 2020', parameters: 86_567_656, input: [3, 224, 224] },
  vit_b_32: { paper: 'Dosovitskiy et al. 2020', parameters: 88_224_232, input: [3, 224, 224] },
  vit_l_16: { paper: 'Dosovitskiy et al. 2020', parameters: 304_326_632, input: [3, 224, 224] },
  vit_l_32: { paper: 'Dosovitskiy et al. 2020', parameters: 306_535_400, input: [3, 224, 224] },
  vit_h_14: { paper: 'Dosovitskiy et al. 2020', parameters: 632_045_800, input: [3, 224, 224] },
  unet: {
    paper: 'Ronneberger et al. 2015',
    kind: 'segmentation',
    parameters: 31_030_658,
    input: [1, 512, 512],
  },
  yolo_v1: {
    paper: 'Redmon et al. 2015',
    kind: 'detection',
    parameters: 271_703_550,
    input: [3, 448, 448],
  },
  yolo_v1_fast: {
    paper: 'Redmon et al. 2015',
    kind: 'detection',
    parameters: 45_089_374,
    input: [3, 448, 448],
  },
  yolox_nano: {
    paper: 'Ge et al. 2021',
    kind: 'detection',
    parameters: 912_159,
    input: [3, 416, 416],
  },
  yolox_tiny: {
    paper: 'Ge et al. 2021',
    kind: 'detection',
    parameters: 5_055_855,
    input: [3, 416, 416],
  },
  yolox_s: {
    paper: 'Ge et al. 2021',
    kind: 'detection',
    parameters: 8_968_255,
    input: [3, 640, 640],
  },
  yolox_m: {
    paper: 'Ge et al. 2021',
    kind: 'detection',
    parameters: 25_326_495,
    input: [3, 640, 640],
  },
  yolox_l: {
    paper: 'Ge et al. 2021',
    kind: 'detection',
    parameters: 54_208_895,
    input: [3, 640, 640],
  },
  yolox_x: {
    paper: 'Ge et al. 2021',
    kind: 'detection',
    parameters: 99_071_455,
    input: [3, 640, 640],
  },
  textcnn: { paper: 'Kim 2014', kind: 'text', parameters: 5_990_402, input: [20] },
  transformer_base: {
    paper: 'Vaswani et al. 2017',
    kind: 'text',
    parameters: 63_082_496,
    input: [1024],
  },
  transformer_big: {
    paper: 'Vaswani et al. 2017',
    kind: 'text',
    parameters: 214_245_376,
    input: [1024],
  },
  'bert-base-uncased': {
    paper: 'Devlin et al. 2018',
    kind: 'text',
    parameters: 109_514_298,
    input: [512],
  },
  'bert-base-cased': {
    paper: 'Devlin et al. 2018',
    kind: 'text',
    parameters: 108_340_804,
    input: [512],
  },
  'bert-large-uncased': {
    paper: 'Devlin et al. 2018',
    kind: 'text',
    parameters: 335_174_458,
    input: [512],
  },
  'bert-large-cased': {
    paper: 'Devlin et al. 2018',
    kind: 'text',
    parameters: 333_610_308,
    input: [512],
  },
  gpt2: { paper: 'Radford et al. 2019', kind: 'text', parameters: 124_439_808, input: [1024] },
  'gpt2-medium': {
    paper: 'Radford et al. 2019',
    kind: 'text',
    parameters: 354_823_168,
    input: [1024],
  },
  'gpt2-large': {
    paper: 'Radford et al. 2019',
    kind: 'text',
    parameters: 774_030_080,
    input: [1024],
  },
  'gpt2-xl': {
    paper: 'Radford et al. 2019',
    kind: 'text',
    parameters: 1_557_611_200,
    input: [1024],
  },
}

const names = Object.keys(facts) as readonly ModelName[]

/**
 * The networks there are, with what is known of them; with `pretrained` those that `create(name, { pretrained: true })`
 * makes with trained weights, with the packages that have them.
 */
export function list(): (Facts & { readonly name: ModelName })[]
export function list(which: { readonly pretrained: true }): PretrainedListed[]
export function list(which?: {
  readonly pretrained: true
}): PretrainedListed[] | (Facts & { readonly name: ModelName })[] {
  if (which?.pretrained) return listPretrained()
  return names.map((name): Facts & { readonly name: ModelName } => ({
    name,
    kind: 'classification',
    ...facts[name],
  }))
}

/**
 * Makes a network, with new initial values.
 *
 *     const model = create('resnet18', { numClasses: 10 })
 *
 * With `pretrained: true` it promises one with trained weights, of those that `list({ pretrained: true })` gives; see
 * `pretrained`.
 *
 *     const model = await create('mobilenetv3_centernet', { pretrained: true, numClasses: 10 })
 *
 * @throws BurnishError when there is no network of that name, or no trained weights of it.
 */
export function create<Name extends PretrainedName>(
  name: Name,
  options: PretrainedOptions & { readonly pretrained: true },
): Promise<PretrainedNetworks[Name]>
export function create<Name extends ModelName>(name: Name, options?: OptionsOf<Name>): ModelOf<Name>
export function create(name: ModelName | PretrainedName, options?: unknown): unknown {
  if (isObject(options) && 'pretrained' in options && options.pretrained === true) {
    checkName(name)
    const { pretrained: _, ...rest } = options
    return pretrained(name, rest)
  }
  if (Object.hasOwn(pretrainedFacts, name))
    fail(
      `create: ${name} is there with its trained weights only: await create('${name}', { pretrained: true })`,
    )
  if (!isMade(name))
    throw fail(`create: there is no network ${String(name)}; list() gives ${names.join(', ')}`)
  const make = zoo[name] as (given: unknown) => unknown
  return make(options)
}

const isMade = (name: string): name is ModelName => Object.hasOwn(zoo, name)

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
