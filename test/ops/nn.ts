// The functions of burnish/nn: one or two lines each; golden.test.ts holds them to PyTorch's own numbers.
import type { Tensor } from '../../src/index.js'
import * as nn from '../../src/nn/index.js'
import { type Case, exact, exactInts, floats, ints } from './case.js'

/** For a name in a variable. */
const named = { ...nn }

const names = [
  'relu',
  'sigmoid',
  'gelu',
  'silu',
  'softplus',
  'logSigmoid',
  'mish',
  'elu',
  'selu',
  'celu',
  'leakyRelu',
  'relu6',
  'hardsigmoid',
  'hardswish',
  'hardtanh',
  'softsign',
  'tanhshrink',
  'hardshrink',
  'softshrink',
  'rrelu',
] as const
// Kept away from the kinks, so that differences hold.
const activations: readonly Case[] = names.flatMap((op): Case[] => [
  {
    op,
    name: 'above',
    inputs: [floats([2, 5], 0.6, 0.9)],
    run: (x) => named[op](x),
    shape: [2, 5],
  },
  { op, name: 'below', inputs: [floats([7], -0.95, -0.6)], run: (x) => named[op](x), shape: [7] },
])
const along = ['softmax', 'softmin', 'logSoftmax'] as const
const softmaxes: readonly Case[] = along.flatMap((op) =>
  [0, -1].map(
    (dim): Case => ({
      op,
      name: `dim ${dim}`,
      inputs: [floats([3, 4])],
      run: (x) => named[op](x, dim),
      shape: [3, 4],
    }),
  ),
)

type OfTensor = (x: Tensor) => Tensor
const image = [2, 4, 6, 7]
/** Functions of one random tensor. */
const one: readonly (readonly [
  keyof typeof nn,
  string,
  readonly number[],
  OfTensor,
  (readonly number[])?,
])[] = [
  ['glu', 'half gates half', [2, 6], (x) => nn.glu(x), [2, 3]],
  ['threshold', 'above', [5], (x) => nn.threshold(x.abs().add(0.2), 0.1, 9)],
  ['maxPool1d', 'stride 2', [1, 2, 9], (x) => nn.maxPool1d(x, 3, { stride: 2 }), [1, 2, 4]],
  ['maxPool2d', 'by 2', image, (x) => nn.maxPool2d(x, 2), [2, 4, 3, 3]],
  [
    'maxPool2d',
    'ceiling, dilation',
    image,
    (x) => nn.maxPool2d(x, [2, 3], { ceilMode: true, dilation: [1, 2], padding: [0, 1] }),
  ],
  ['maxPool3d', 'by 2', [1, 2, 4, 4, 5], (x) => nn.maxPool3d(x, 2), [1, 2, 2, 2, 2]],
  ['maxPool1dWithIndices', 'values', [1, 2, 9], (x) => nn.maxPool1dWithIndices(x, 3).values],
  ['maxPool2dWithIndices', 'values', image, (x) => nn.maxPool2dWithIndices(x, 2).values],
  ['maxPool3dWithIndices', 'values', [1, 2, 4, 4, 5], (x) => nn.maxPool3dWithIndices(x, 2).values],
  ['avgPool1d', 'padded', [1, 2, 9], (x) => nn.avgPool1d(x, 3, { padding: 1 })],
  [
    'avgPool2d',
    'padding not counted',
    image,
    (x) => nn.avgPool2d(x, 3, { padding: 1, countIncludePad: false }),
  ],
  ['avgPool3d', 'by 2', [1, 2, 4, 4, 5], (x) => nn.avgPool3d(x, 2)],
  ['adaptiveAvgPool1d', 'to 4', [1, 2, 9], (x) => nn.adaptiveAvgPool1d(x, 4), [1, 2, 4]],
  ['adaptiveAvgPool2d', 'to 3 by 2', image, (x) => nn.adaptiveAvgPool2d(x, [3, 2]), [2, 4, 3, 2]],
  [
    'adaptiveAvgPool3d',
    'to 2',
    [1, 2, 4, 4, 5],
    (x) => nn.adaptiveAvgPool3d(x, 2),
    [1, 2, 2, 2, 2],
  ],
  ['adaptiveMaxPool1d', 'to 4', [1, 2, 9], (x) => nn.adaptiveMaxPool1d(x, 4), [1, 2, 4]],
  ['adaptiveMaxPool2d', 'to 3 by 2', image, (x) => nn.adaptiveMaxPool2d(x, [3, 2]), [2, 4, 3, 2]],
  [
    'adaptiveMaxPool3d',
    'to 2',
    [1, 2, 4, 4, 5],
    (x) => nn.adaptiveMaxPool3d(x, 2),
    [1, 2, 2, 2, 2],
  ],
  ['lpPool1d', 'p = 2', [1, 2, 9], (x) => nn.lpPool1d(x.abs().add(0.5), 2, 3)],
  ['lpPool2d', 'p = 2', image, (x) => nn.lpPool2d(x.abs().add(0.5), 2, 2)],
  [
    'batchNorm',
    'of the batch',
    [4, 3, 5],
    (x) => nn.batchNorm(x, undefined, undefined, { training: true }),
  ],
  ['layerNorm', 'last dim', [3, 5], (x) => nn.layerNorm(x, 5)],
  ['groupNorm', 'two groups', [2, 4, 3], (x) => nn.groupNorm(x, 2)],
  ['instanceNorm', 'plain', [2, 3, 4], (x) => nn.instanceNorm(x)],
  ['rmsNorm', 'last dim', [3, 5], (x) => nn.rmsNorm(x, 5)],
  ['localResponseNorm', 'three channels', [2, 5, 3], (x) => nn.localResponseNorm(x, 3)],
  ['normalize', 'rows', [3, 4], (x) => nn.normalize(x)],
  ['pad', 'reflect', [1, 2, 5], (x) => nn.pad(x, [2, 1], { mode: 'reflect' }), [1, 2, 8]],
  ['pad', 'replicate', [1, 2, 5], (x) => nn.pad(x, [2, 1, 1, 0], { mode: 'replicate' })],
  ['pad', 'circular', [1, 2, 5], (x) => nn.pad(x, [2, 1], { mode: 'circular' })],
  ['unfold', 'columns', [1, 2, 4, 5], (x) => nn.unfold(x, 2), [1, 8, 12]],
  ['fold', 'back', [1, 8, 12], (x) => nn.fold(x, [4, 5], 2), [1, 2, 4, 5]],
  [
    'interpolate',
    'nearest',
    [1, 2, 3, 4],
    (x) => nn.interpolate(x, { scaleFactor: 2 }),
    [1, 2, 6, 8],
  ],
  [
    'interpolate',
    'bilinear',
    [1, 2, 3, 4],
    (x) => nn.interpolate(x, { size: [5, 3], mode: 'bilinear' }),
    [1, 2, 5, 3],
  ],
  [
    'interpolate',
    'bicubic',
    image,
    (x) => nn.interpolate(x, { size: [5, 9], mode: 'bicubic' }),
    [2, 4, 5, 9],
  ],
  ['pixelShuffle', 'by 2', [1, 4, 2, 3], (x) => nn.pixelShuffle(x, 2), [1, 1, 4, 6]],
  ['pixelUnshuffle', 'by 2', [1, 1, 4, 6], (x) => nn.pixelUnshuffle(x, 2), [1, 4, 2, 3]],
  ['channelShuffle', 'two groups', [1, 4, 3], (x) => nn.channelShuffle(x, 2)],
  ['dropout', 'in evaluation', [4], (x) => nn.dropout(x, { training: false }), [4]],
  ['dropout1d', 'in evaluation', [2, 3, 4], (x) => nn.dropout1d(x, { training: false })],
  ['dropout2d', 'in evaluation', image, (x) => nn.dropout2d(x, { training: false })],
  ['dropout3d', 'in evaluation', [1, 2, 2, 2, 2], (x) => nn.dropout3d(x, { training: false })],
  ['alphaDropout', 'in evaluation', [4], (x) => nn.alphaDropout(x, { training: false }), [4]],
]
const oneCases = one.map(
  ([op, name, shape, run, result]): Case => ({
    op,
    name,
    inputs: [floats(shape)],
    run,
    shape: result,
    tolerance: 1e-4,
  }),
)

const probability = (shape: readonly number[]) => floats(shape, 0.1, 0.9)
const signs = exact([1, -1, 1], [3])
const classes = exactInts([2, 0, 1])
const conv = (rank: number): Case[] => {
  const spatial = [7, 6, 5].slice(0, rank)
  const kernel = [3, 2, 2].slice(0, rank)
  const op = `conv${rank}d` as 'conv1d' | 'conv2d' | 'conv3d'
  const turned = `convTranspose${rank}d` as
    | 'convTranspose1d'
    | 'convTranspose2d'
    | 'convTranspose3d'
  return [
    {
      op,
      name: 'with bias',
      inputs: [floats([2, 4, ...spatial]), floats([6, 4, ...kernel]), floats([6])],
      run: (x, w, b) => named[op](x, w, b),
    },
    {
      op,
      name: 'stride, padding, dilation, groups',
      inputs: [floats([2, 4, ...spatial]), floats([6, 2, ...kernel])],
      run: (x, w) => named[op](x, w, undefined, { stride: 2, padding: 2, dilation: 2, groups: 2 }),
    },
    {
      op: turned,
      name: 'stride, padding, output padding',
      inputs: [floats([2, 4, ...spatial]), floats([4, 3, ...kernel]), floats([3])],
      run: (x, w, b) => named[turned](x, w, b, { stride: 2, padding: 1, outputPadding: 1 }),
    },
  ]
}
const several: readonly Case[] = [
  ...[1, 2, 3].flatMap(conv),
  {
    op: 'conv2d',
    name: 'same',
    inputs: [floats([1, 2, 5, 5]), floats([3, 2, 3, 3])],
    run: (x, w) => nn.conv2d(x, w, undefined, { padding: 'same' }),
    shape: [1, 3, 5, 5],
  },
  {
    op: 'linear',
    name: 'with bias',
    inputs: [floats([2, 3, 4]), floats([5, 4]), floats([5])],
    run: (x, w, b) => nn.linear(x, w, b),
    shape: [2, 3, 5],
  },
  {
    op: 'bilinear',
    name: 'with bias',
    inputs: [floats([3, 4]), floats([3, 5]), floats([2, 4, 5]), floats([2])],
    run: (x, y, w, b) => nn.bilinear(x, y, w, b),
    shape: [3, 2],
  },
  {
    op: 'embedding',
    name: 'rows',
    inputs: [ints([2, 3], 0, 3), floats([4, 5])],
    run: (i, w) => nn.embedding(i, w),
    shape: [2, 3, 5],
  },
  {
    op: 'scaledDotProductAttention',
    name: 'causal',
    inputs: [floats([2, 4, 3]), floats([2, 4, 3]), floats([2, 4, 3])],
    run: (q, k, v) => nn.scaledDotProductAttention(q, k, v, { isCausal: true }),
    shape: [2, 4, 3],
  },
  {
    op: 'sinusoidalPositions',
    name: 'two positions',
    inputs: [],
    run: () => nn.sinusoidalPositions(2, 2),
    gives: [0, 1, Math.sin(1), Math.cos(1)],
  },
  {
    op: 'rotaryEmbedding',
    name: 'halves turned',
    inputs: [floats([2, 3, 4])],
    run: (x) => nn.rotaryEmbedding(x),
    shape: [2, 3, 4],
  },
  {
    op: 'rotaryEmbedding',
    name: 'neighbours turned',
    inputs: [floats([3, 4])],
    run: (x) => nn.rotaryEmbedding(x, { interleaved: true, base: 100 }),
    shape: [3, 4],
  },
  {
    op: 'alibiBias',
    name: 'one head',
    inputs: [],
    run: () => nn.alibiBias(1, 1, 3),
    gives: [-2 / 256, -1 / 256, 0],
  },
  {
    op: 'prelu',
    name: 'a slope a channel',
    inputs: [floats([2, 3], -2, -1), floats([3])],
    run: (x, w) => nn.prelu(x, w),
    shape: [2, 3],
  },
  {
    op: 'oneHot',
    name: 'three classes',
    inputs: [classes],
    run: (x) => nn.oneHot(x, 3),
    gives: [0, 0, 1, 1, 0, 0, 0, 1, 0],
  },
  {
    op: 'cosineSimilarity',
    name: 'rows',
    inputs: [floats([3, 4]), floats([3, 4])],
    run: (x, y) => nn.cosineSimilarity(x, y),
    shape: [3],
  },
  {
    op: 'pairwiseDistance',
    name: 'rows',
    inputs: [floats([3, 4]), floats([3, 4])],
    run: (x, y) => nn.pairwiseDistance(x, y),
    shape: [3],
  },
  {
    op: 'maxUnpool1d',
    name: 'back',
    inputs: [exact([5, 7], [1, 1, 2]), exactInts([1, 2], [1, 1, 2])],
    run: (x, i) => nn.maxUnpool1d(x, i, 2),
    gives: [0, 5, 7, 0],
  },
  {
    op: 'maxUnpool2d',
    name: 'back',
    inputs: [floats([1, 1, 1, 2]), exactInts([1, 6], [1, 1, 1, 2])],
    run: (x, i) => nn.maxUnpool2d(x, i, 2),
    shape: [1, 1, 2, 4],
  },
  {
    op: 'maxUnpool3d',
    name: 'back',
    inputs: [floats([1, 1, 1, 1, 1]), exactInts([5], [1, 1, 1, 1, 1])],
    run: (x, i) => nn.maxUnpool3d(x, i, 2),
    shape: [1, 1, 2, 2, 2],
  },
  {
    op: 'crossEntropy',
    name: 'classes',
    inputs: [floats([3, 4]), classes],
    run: (x, t) => nn.crossEntropy(x, t),
    shape: [],
  },
  {
    op: 'crossEntropy',
    name: 'smoothed',
    inputs: [floats([3, 4]), classes],
    run: (x, t) => nn.crossEntropy(x, t, { labelSmoothing: 0.1 }),
    shape: [],
  },
  {
    op: 'ctcLoss',
    name: 'two sequences',
    inputs: [floats([6, 2, 4]), exactInts([1, 2, 3, 1], [2, 2])],
    run: (x, t) => nn.ctcLoss(nn.logSoftmax(x, 2), t, [6, 5], [2, 1]),
    shape: [],
  },
  {
    op: 'nllLoss',
    name: 'classes',
    inputs: [floats([3, 4]), classes],
    run: (x, t) => nn.nllLoss(x, t),
    shape: [],
  },
  ...(['mseLoss', 'l1Loss', 'smoothL1Loss', 'huberLoss'] as const).map(
    (op): Case => ({
      op,
      name: 'mean',
      inputs: [floats([2, 3], 1.2, 2), floats([2, 3], -0.5, 0.5)],
      run: (x, t) => named[op](x, t),
      shape: [],
    }),
  ),
  {
    op: 'binaryCrossEntropy',
    name: 'mean',
    inputs: [probability([4]), probability([4])],
    run: (x, t) => nn.binaryCrossEntropy(x, t),
    shape: [],
  },
  {
    op: 'sigmoidFocalLoss',
    name: 'of each element',
    inputs: [floats([2, 3]), floats([2, 3], 0, 1)],
    run: (x, t) => nn.sigmoidFocalLoss(x, t),
    shape: [2, 3],
  },
  {
    op: 'sigmoidFocalLoss',
    name: 'mean, another exponent, no weight',
    inputs: [floats([4]), floats([4], 0, 1)],
    run: (x, t) => nn.sigmoidFocalLoss(x, t, { reduction: 'mean', alpha: -1, gamma: 1.5 }),
    shape: [],
  },
  {
    op: 'binaryCrossEntropyWithLogits',
    name: 'mean',
    inputs: [floats([4]), probability([4])],
    run: (x, t) => nn.binaryCrossEntropyWithLogits(x, t),
    shape: [],
  },
  {
    op: 'klDiv',
    name: 'sum',
    inputs: [floats([3, 4]), probability([3, 4])],
    run: (x, t) => nn.klDiv(x, t, { reduction: 'sum' }),
    shape: [],
  },
  {
    op: 'cosineEmbeddingLoss',
    name: 'mean',
    inputs: [floats([3, 4]), floats([3, 4]), signs],
    run: (x, y, t) => nn.cosineEmbeddingLoss(x, y, t.detach()),
    shape: [],
    rough: 'the target is no variable',
  },
  {
    op: 'marginRankingLoss',
    name: 'mean',
    inputs: [floats([3], 1, 2), floats([3], -2, -1)],
    run: (x, y) => nn.marginRankingLoss(x, y, x.mul(0).sub(1).detach()),
    shape: [],
  },
  {
    op: 'hingeEmbeddingLoss',
    name: 'mean',
    inputs: [floats([3], 0.2, 0.8), signs],
    run: (x, t) => nn.hingeEmbeddingLoss(x, t.detach()),
    shape: [],
    rough: 'the target is no variable',
  },
  {
    op: 'tripletMarginLoss',
    name: 'mean',
    inputs: [floats([3, 4]), floats([3, 4], 2, 3), floats([3, 4])],
    run: (a, p, n) => nn.tripletMarginLoss(a, p, n),
    shape: [],
  },
  {
    op: 'poissonNllLoss',
    name: 'mean',
    inputs: [floats([4]), floats([4], 1, 3)],
    run: (x, t) => nn.poissonNllLoss(x, t),
    shape: [],
  },
  {
    op: 'gaussianNllLoss',
    name: 'mean',
    inputs: [floats([4]), floats([4]), floats([4], 0.5, 1)],
    run: (x, t, v) => nn.gaussianNllLoss(x, t, v),
    shape: [],
  },
  {
    op: 'softMarginLoss',
    name: 'mean',
    inputs: [floats([3]), signs],
    run: (x, t) => nn.softMarginLoss(x, t),
    shape: [],
  },
  {
    op: 'multiLabelSoftMarginLoss',
    name: 'mean',
    inputs: [floats([2, 3]), probability([2, 3])],
    run: (x, t) => nn.multiLabelSoftMarginLoss(x, t),
    shape: [],
  },
  {
    op: 'multiMarginLoss',
    name: 'mean',
    inputs: [floats([3, 4]), classes],
    run: (x, t) => nn.multiMarginLoss(x, t),
    shape: [],
    rough: 'kinks',
  },
]

export const functions: readonly Case[] = [...activations, ...softmaxes, ...oneCases, ...several]
