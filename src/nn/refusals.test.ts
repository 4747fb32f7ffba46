// What the functions and layers refuse, and what they say: where, rule, both values, fix.
import { describe, expect, it } from 'vitest'
import { zeros } from '../tensor/create.js'
import * as nn from './index.js'

describe('what does not fit is refused', () => {
  const f = zeros([2, 3])
  const i = zeros([2, 3], { dtype: 'int32' })
  const cases: [string, () => unknown, RegExp][] = [
    [
      'glu of odd size',
      () => nn.glu(f),
      /dimension -1 of \[2, 3\] has 3 elements; it must be even/,
    ],
    ['celu alpha', () => nn.celu(f, { alpha: 0 }), /alpha must not be 0/],
    ['softshrink', () => nn.softshrink(f, { lambd: -1 }), /lambd is -1/],
    ['rrelu', () => nn.rrelu(f, { lower: 1, upper: 0 }), /lower 1 is above upper 0/],
    [
      'an integer activation',
      () => nn.relu(i),
      /relu: the input is int32, but must be float32; use input\.float\(\)/,
    ],
    [
      'rmsNorm',
      () => nn.rmsNorm(f, 4),
      /rmsNorm: the input \[2, 3\] must end in normalizedShape \[4\]/,
    ],
    [
      'layerNorm weight',
      () => nn.layerNorm(f, 3, { weight: zeros([2]) }),
      /the weight has shape \[2\], but must be \[3\]/,
    ],
    [
      'reflection beyond',
      () => nn.pad(f, [3, 0], { mode: 'reflect' }),
      /reflect padding of 3 and 0 along dimension 1 of \[2, 3\] .* there are 3; use at most 2/,
    ],
    ['circular beyond', () => nn.pad(f, [0, 4], { mode: 'circular' }), /use at most 3/],
    [
      'conv reflection',
      () =>
        nn.conv1d(zeros([1, 1, 2]), zeros([1, 1, 5]), undefined, {
          padding: 2,
          paddingMode: 'reflect',
        }),
      /conv1d: reflect padding of 2/,
    ],
    [
      'same with stride',
      () =>
        nn.conv1d(zeros([1, 1, 5]), zeros([1, 1, 3]), undefined, { padding: 'same', stride: 2 }),
      /padding 'same' needs stride 1/,
    ],
    [
      'output padding',
      () => nn.convTranspose1d(zeros([1, 1, 5]), zeros([1, 1, 3]), undefined, { outputPadding: 1 }),
      /outputPadding 1 must be smaller than stride 1/,
    ],
    [
      'pool padding',
      () => nn.maxPool1d(zeros([1, 1, 5]), 2, { padding: 2 }),
      /padding 2 is more than half the kernel 2/,
    ],
    [
      'pool rank',
      () => nn.avgPool2d(f, 2),
      /avgPool2d: the input \[2, 3\] has 2 dimensions, but needs 4/,
    ],
    [
      'divisor',
      () => nn.avgPool1d(zeros([1, 1, 5]), 2, { divisorOverride: 0 }),
      /divisorOverride must not be 0/,
    ],
    [
      'unpool shapes',
      () => nn.maxUnpool1d(zeros([1, 1, 2]), zeros([1, 1, 3], { dtype: 'int32' }), 2),
      /must have the input's shape/,
    ],
    [
      'unpool dtypes',
      () => nn.maxUnpool1d(zeros([1, 1, 2]), zeros([1, 1, 2]), 2),
      /indices is float32, but must be int32/,
    ],
    ['lp', () => nn.lpPool1d(zeros([1, 1, 5]), 0, 2), /normType is 0/],
    ['unfold', () => nn.unfold(zeros([1, 1, 2, 2]), 3), /kernel of 3×3 .* larger than 2×2/],
    ['fold rows', () => nn.fold(zeros([1, 5, 4]), 3, 2), /multiple of 4 rows and 4 columns/],
    [
      'interpolate mode',
      () => nn.interpolate(zeros([1, 1, 4]), { size: 2, mode: 'bilinear' }),
      /mode bilinear does not fit \[1, 1, 4\]; use nearest or linear/,
    ],
    [
      'interpolate corners',
      () => nn.interpolate(zeros([1, 1, 4]), { size: 2, alignCorners: true }),
      /alignCorners is for/,
    ],
    [
      'interpolate both',
      () => nn.interpolate(zeros([1, 1, 4]), { size: 2, scaleFactor: 2 }),
      /either size or scaleFactor/,
    ],
    [
      'interpolate to nothing',
      () => nn.interpolate(zeros([1, 1, 4]), { scaleFactor: 0.1 }),
      /size .*0.* whole numbers from 1/,
    ],
    [
      'pixelShuffle',
      () => nn.pixelShuffle(zeros([1, 6, 2, 2]), 2),
      /channels a multiple of 2² = 4/,
    ],
    ['bilinear', () => nn.bilinear(f, f, zeros([2, 3, 4])), /do not fit the weight \[2, 3, 4\]/],
    ['embedding of floats', () => nn.embedding(f, f), /input is float32, but must be int32/],
    [
      'attention features',
      () => nn.scaledDotProductAttention(f, zeros([2, 4]), f),
      /equal features/,
    ],
    [
      'an attention mask of more dimensions than the scores',
      () =>
        nn.scaledDotProductAttention(zeros([3, 4]), zeros([3, 4]), zeros([3, 2]), {
          attnMask: zeros([2, 3, 3]),
        }),
      /scaledDotProductAttention: the attnMask \[2, 3, 3\] must broadcast to the scores \[3, 3\].*slice the mask/,
    ],
    [
      'an attention mask of more queries than there are',
      () =>
        nn.scaledDotProductAttention(zeros([2, 1, 4]), zeros([2, 3, 4]), zeros([2, 3, 2]), {
          attnMask: zeros([5, 3], { dtype: 'bool' }),
        }),
      /the attnMask \[5, 3\] must broadcast to the scores \[2, 1, 3\]/,
    ],
    [
      'a weight of classes',
      () => nn.crossEntropy(f, zeros([2], { dtype: 'int32' }), { weight: zeros([2]) }),
      /there are 3 classes: give \[3\]/,
    ],
    [
      'bce weight',
      () => nn.binaryCrossEntropy(f, f, { weight: zeros([5, 2, 3]) }),
      /weight \[5, 2, 3\] must broadcast to the input \[2, 3\]/,
    ],
    [
      'an integer target',
      () => nn.mseLoss(f, i),
      /target is int32, but must be float32; use target\.float\(\)/,
    ],
    [
      'multi margin labels',
      () => nn.multiMarginLoss(f, zeros([3], { dtype: 'int32' })),
      /give one for each row/,
    ],
    ['gaussian variance', () => nn.gaussianNllLoss(f, f, zeros([4])), /gaussianNllLoss/],
    ['triplet shapes', () => nn.tripletMarginLoss(f, f, zeros([2, 4])), /must have one shape/],
    [
      'cosine pairs',
      () => nn.cosineEmbeddingLoss(f, zeros([2, 4]), zeros([2])),
      /must both be \[N, D\]/,
    ],
    ...Object.entries<(reduction: 'mean') => unknown>({
      mseLoss: (reduction) => nn.mseLoss(f, f, { reduction }),
      crossEntropy: (reduction) =>
        nn.crossEntropy(f, zeros([2], { dtype: 'int32' }), { reduction }),
      nllLoss: (reduction) => nn.nllLoss(f, zeros([2], { dtype: 'int32' }), { reduction }),
      klDiv: (reduction) => nn.klDiv(f, f, { reduction }),
      marginRankingLoss: (reduction) => nn.marginRankingLoss(f, f, f, { reduction }),
      gaussianNllLoss: (reduction) => nn.gaussianNllLoss(f, f, f, { reduction }),
      ctcLoss: (reduction) =>
        nn.ctcLoss(zeros([4, 1, 3]), zeros([1, 1], { dtype: 'int32' }), [4], [1], { reduction }),
    }).flatMap(([name, run]) =>
      ['avg', 'toString'].map((word): [string, () => unknown, RegExp] => [
        `${name} reduced by ${word}`,
        () => run(word as 'mean'),
        new RegExp(`${name}: reduction '${word}' must be 'none', 'sum' or 'mean'`),
      ]),
    ),
    ['dropout', () => nn.dropout(f, { p: 2 }), /p is 2, but must be a probability/],
    [
      'padding widths of a layer',
      () => new nn.ReflectionPad2d([1, 2]),
      /has 2 numbers; give one, or 4/,
    ],
    [
      'instance norm of one value',
      () => nn.instanceNorm(zeros([2, 3, 1])),
      /normalising needs more/,
    ],
    [
      'group norm',
      () => nn.groupNorm(zeros([2, 4, 3]), 3),
      /3 groups do not divide the 4 channels/,
    ],
  ]
  it.each(cases)('%s', (_, run, message) => {
    expect(run).toThrow(message)
  })
})
