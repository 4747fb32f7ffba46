// Keras layers against TensorFlow.js: each case is one layer with its configuration in TensorFlow.js's words, and the
// shapes of its inputs, batch included.
import type { Given } from './tf.js'

export interface LayerCase {
  /** The class, as in the table. */
  readonly layer: string
  /** The function of tf.layers that makes it. */
  readonly factory: string
  readonly config?: object
  readonly inputs: readonly Given[]
}

const of = (...shape: readonly number[]): Given => ({ shape })
const image = of(2, 7, 6, 3)
const cube = of(1, 5, 6, 4, 2)
const row = of(2, 9, 4)

const spatial = [row, image, cube]
const sizes = [[3], [3, 2], [2, 3, 2]]

const convolutions: LayerCase[] = [1, 2, 3].flatMap((rank) => {
  const input = spatial[rank - 1]
  const kernelSize = sizes[rank - 1]
  const make = (config: object, name = 'Conv'): LayerCase => ({
    layer: `${name}${rank}D`,
    factory: `${name.charAt(0).toLowerCase()}${name.slice(1)}${rank}d`,
    config: { kernelSize, ...config },
    inputs: [input],
  })
  return [
    make({ filters: 4, padding: 'same' }),
    make({ filters: 4, padding: 'valid', activation: 'relu' }),
    make({ filters: 4, padding: 'same', strides: 2, useBias: false }),
    ...(rank < 3 ? [make({ filters: 2, padding: 'same', dilationRate: 2 })] : []),
  ]
})

const transposed: LayerCase[] = [
  { padding: 'same', strides: 2 },
  { padding: 'valid', strides: 2 },
  { padding: 'valid', strides: 3, kernelSize: 2 },
  { padding: 'same', strides: 1, useBias: false, activation: 'tanh' },
  { padding: 'same', strides: [1, 3], kernelSize: [2, 4] },
].map((config) => ({
  layer: 'Conv2DTranspose',
  factory: 'conv2dTranspose',
  config: { filters: 5, kernelSize: 3, ...config },
  inputs: [image],
}))

const pools: LayerCase[] = ['Max', 'Average'].flatMap((kind) =>
  [1, 2, 3].flatMap((rank) => {
    const make = (config: object): LayerCase => ({
      layer: `${kind}Pooling${rank}D`,
      factory: `${kind.toLowerCase()}Pooling${rank}d`,
      config,
      inputs: [spatial[rank - 1]],
    })
    return [
      make({ poolSize: sizes[rank - 1].length === 1 ? 2 : sizes[rank - 1] }),
      make({ poolSize: 3, strides: 2, padding: 'same' }),
    ]
  }),
)

const globals: LayerCase[] = ['Max', 'Average'].flatMap((kind) =>
  [1, 2].map((rank) => ({
    layer: `Global${kind}Pooling${rank}D`,
    factory: `global${kind}Pooling${rank}d`,
    inputs: [spatial[rank - 1]],
  })),
)

const activations: LayerCase[] = [
  'linear',
  'relu',
  'relu6',
  'sigmoid',
  'tanh',
  'softmax',
  'logSoftmax',
  'softplus',
  'softsign',
  'elu',
  'selu',
  'hardSigmoid',
  'swish',
  'mish',
  'gelu',
].map((activation) => ({
  layer: 'Activation',
  factory: 'activation',
  config: { activation },
  inputs: [{ shape: [3, 5], values: Array.from({ length: 15 }, (_, i) => (i - 7) * 0.9) }],
}))

const merges: LayerCase[] = ['Add', 'Multiply', 'Average', 'Maximum', 'Minimum'].map((layer) => ({
  layer,
  factory: layer.toLowerCase(),
  inputs: [of(2, 3, 4), of(2, 3, 4), of(2, 3, 4)],
}))

const recurrent: LayerCase[] = [
  ['SimpleRNN', 'simpleRNN'],
  ['LSTM', 'lstm'],
  ['GRU', 'gru'],
].flatMap(([layer, factory]) =>
  [
    {},
    { returnSequences: true, goBackwards: true },
    { returnSequences: true, useBias: false, recurrentActivation: 'sigmoid', activation: 'relu' },
  ].map((config) => ({ layer, factory, config: { units: 5, ...config }, inputs: [row] })),
)

export const layerCases: readonly LayerCase[] = [
  {
    layer: 'Dense',
    factory: 'dense',
    config: { units: 4, activation: 'tanh' },
    inputs: [of(3, 5)],
  },
  { layer: 'Dense', factory: 'dense', config: { units: 4, useBias: false }, inputs: [of(2, 3, 5)] },
  ...convolutions,
  ...transposed,
  {
    layer: 'Conv3DTranspose',
    factory: 'conv3dTranspose',
    config: { filters: 2, kernelSize: 3, strides: 2, padding: 'same' },
    inputs: [cube],
  },
  ...[
    { padding: 'same', depthMultiplier: 2 },
    { padding: 'valid', strides: 2 },
    { padding: 'same', strides: 2, useBias: false, activation: 'relu6' },
  ].map((config) => ({
    layer: 'DepthwiseConv2D',
    factory: 'depthwiseConv2d',
    config: { kernelSize: 3, ...config },
    inputs: [image],
  })),
  ...[
    { padding: 'same', depthMultiplier: 2 },
    { padding: 'valid', strides: 2 },
  ].map((config) => ({
    layer: 'SeparableConv2D',
    factory: 'separableConv2d',
    config: { filters: 4, kernelSize: 3, ...config },
    inputs: [image],
  })),
  ...pools,
  ...globals,
  { layer: 'BatchNormalization', factory: 'batchNormalization', config: {}, inputs: [image] },
  {
    layer: 'BatchNormalization',
    factory: 'batchNormalization',
    config: { scale: false, epsilon: 0.01 },
    inputs: [of(2, 3, 5)],
  },
  {
    layer: 'BatchNormalization',
    factory: 'batchNormalization',
    config: { center: false },
    inputs: [of(4, 3)],
  },
  { layer: 'LayerNormalization', factory: 'layerNormalization', config: {}, inputs: [of(2, 3, 5)] },
  {
    layer: 'LayerNormalization',
    factory: 'layerNormalization',
    config: { axis: [1, 2], epsilon: 1e-5 },
    inputs: [of(2, 3, 5)],
  },
  ...activations,
  ...[{}, { maxValue: 0.5 }].map((config) => ({
    layer: 'ReLU',
    factory: 'reLU',
    config,
    inputs: [image],
  })),
  { layer: 'LeakyReLU', factory: 'leakyReLU', config: { alpha: 0.2 }, inputs: [image] },
  { layer: 'LeakyReLU', factory: 'leakyReLU', config: {}, inputs: [image] },
  { layer: 'ELU', factory: 'elu', config: { alpha: 1 }, inputs: [image] },
  { layer: 'ThresholdedReLU', factory: 'thresholdedReLU', config: { theta: 0.3 }, inputs: [image] },
  { layer: 'Softmax', factory: 'softmax', config: { axis: -1 }, inputs: [of(2, 3, 4)] },
  { layer: 'PReLU', factory: 'prelu', config: {}, inputs: [image] },
  { layer: 'PReLU', factory: 'prelu', config: { sharedAxes: [1, 2] }, inputs: [image] },
  ...merges,
  { layer: 'Concatenate', factory: 'concatenate', config: {}, inputs: [of(2, 3, 4), of(2, 3, 2)] },
  {
    layer: 'Concatenate',
    factory: 'concatenate',
    config: { axis: 1 },
    inputs: [of(2, 3, 4), of(2, 1, 4)],
  },
  { layer: 'Dot', factory: 'dot', config: { axes: 1 }, inputs: [of(3, 5), of(3, 5)] },
  {
    layer: 'Dot',
    factory: 'dot',
    config: { axes: [2, 1] },
    inputs: [of(2, 3, 4), of(2, 4, 5)],
  },
  {
    layer: 'Dot',
    factory: 'dot',
    config: { axes: -1, normalize: true },
    inputs: [of(3, 5), of(3, 5)],
  },
  { layer: 'Flatten', factory: 'flatten', config: {}, inputs: [image] },
  {
    layer: 'Flatten',
    factory: 'flatten',
    config: { dataFormat: 'channelsFirst' },
    inputs: [image],
  },
  { layer: 'Reshape', factory: 'reshape', config: { targetShape: [6, -1] }, inputs: [image] },
  { layer: 'Permute', factory: 'permute', config: { dims: [3, 1, 2] }, inputs: [image] },
  { layer: 'RepeatVector', factory: 'repeatVector', config: { n: 3 }, inputs: [of(2, 4)] },
  {
    layer: 'ZeroPadding2D',
    factory: 'zeroPadding2d',
    config: {
      padding: [
        [0, 1],
        [2, 3],
      ],
    },
    inputs: [image],
  },
  { layer: 'ZeroPadding2D', factory: 'zeroPadding2d', config: { padding: 1 }, inputs: [image] },
  {
    layer: 'Cropping2D',
    factory: 'cropping2D',
    config: {
      cropping: [
        [1, 2],
        [0, 1],
      ],
    },
    inputs: [image],
  },
  { layer: 'UpSampling2D', factory: 'upSampling2d', config: { size: [2, 3] }, inputs: [image] },
  {
    layer: 'Embedding',
    factory: 'embedding',
    config: { inputDim: 7, outputDim: 3 },
    inputs: [{ shape: [2, 4], values: [0, 6, 2, 3, 1, 1, 5, 4] }],
  },
  ...recurrent,
  ...['concat', 'sum', 'mul', 'ave'].map((mergeMode) => ({
    layer: 'Bidirectional',
    factory: 'bidirectional',
    config: { mergeMode, returnSequences: mergeMode === 'sum' },
    inputs: [row],
  })),
  { layer: 'TimeDistributed', factory: 'timeDistributed', config: {}, inputs: [of(2, 3, 4)] },
  { layer: 'RNN', factory: 'rnn', config: {}, inputs: [row] },
  { layer: 'Masking', factory: 'masking', config: { maskValue: 0 }, inputs: [of(2, 3, 4)] },
  ...[
    ['Dropout', 'dropout', { rate: 0.5 }],
    ['SpatialDropout1D', 'spatialDropout1d', { rate: 0.5 }],
    ['AlphaDropout', 'alphaDropout', { rate: 0.5 }],
    ['GaussianDropout', 'gaussianDropout', { rate: 0.5 }],
    ['GaussianNoise', 'gaussianNoise', { stddev: 0.5 }],
  ].map(([layer, factory, config]) => ({
    layer: String(layer),
    factory: String(factory),
    config: config as object,
    inputs: [row],
  })),
  { layer: 'Rescaling', factory: 'rescaling', config: { scale: 0.5, offset: -1 }, inputs: [image] },
]
