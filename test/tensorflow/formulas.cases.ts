// Keras layers that TensorFlow.js lacks, or has differently, against formulas in other functions of ours.
import { concat, tensor } from '../../src/index.js'
import * as nn from '../../src/nn/index.js'
import type { Tensor } from '../../src/tensor/tensor.js'
import { uniform } from '../support.js'
import type { Weight } from './h5.js'
import { randomWeight } from './tf.js'

export const weight = (name: string, ...shape: readonly number[]): Weight => ({
  name,
  shape,
  data: randomWeight(name, shape),
})
export const input = (name: string, ...shape: readonly number[]) =>
  tensor(uniform(name, shape), { shape })
export const valuesOf = ({ data, shape }: Weight) => tensor(data, { shape })

export interface FormulaCase {
  readonly layer: string
  /** Keras's name of the group. */
  readonly group: string
  readonly config: object
  readonly inputs: readonly (readonly number[])[]
  /** Paths below the group. */
  readonly weights?: readonly Weight[]
  readonly expected: (inputs: readonly Tensor[], weights: readonly Tensor[]) => Tensor
}

const last = (x: Tensor) => x.movedim(1, -1)
const first = (x: Tensor) => x.movedim(-1, 1)

const attention: FormulaCase = {
  layer: 'MultiHeadAttention',
  group: 'multi_head_attention',
  config: { num_heads: 2, key_dim: 3, use_bias: true, dropout: 0 },
  inputs: [
    [2, 4, 5],
    [2, 6, 5],
  ],
  weights: ['query', 'key', 'value']
    .flatMap((name) => [
      weight(`${name}_dense/vars/0`, 5, 2, 3),
      weight(`${name}_dense/vars/1`, 2, 3),
    ])
    .concat([weight('output_dense/vars/0', 2, 3, 5), weight('output_dense/vars/1', 5)]),
  expected([query, value], [wq, bq, wk, bk, wv, bv, wo, bo]) {
    const project = (x: Tensor, w: Tensor, b: Tensor) =>
      x
        .matmul(w.reshape(5, 6))
        .add(b.reshape(6))
        .reshape(x.shape[0], x.shape[1], 2, 3)
        .transpose(1, 2)
    const seen = nn.scaledDotProductAttention(
      project(query, wq, bq),
      project(value, wk, bk),
      project(value, wv, bv),
    )
    return seen.transpose(1, 2).reshape(2, 4, 6).matmul(wo.reshape(6, 5)).add(bo)
  },
}

export const formulas: readonly FormulaCase[] = [
  {
    layer: 'DepthwiseConv1D',
    group: 'depthwise_conv1d',
    config: { kernel_size: 3, padding: 'same', data_format: 'channels_last' },
    inputs: [[2, 7, 3]],
    weights: [weight('vars/0', 3, 3, 2), weight('vars/1', 6)],
    expected: ([x], [w, b]) =>
      last(nn.conv1d(first(x), w.permute(1, 2, 0).reshape(6, 1, 3), b, { padding: 1, groups: 3 })),
  },
  {
    layer: 'SeparableConv1D',
    group: 'separable_conv1d',
    config: { filters: 4, kernel_size: [3], strides: [2] },
    inputs: [[2, 7, 3]],
    weights: [weight('vars/0', 3, 3, 1), weight('vars/1', 1, 3, 4), weight('vars/2', 4)],
    expected: ([x], [deep, point, b]) =>
      last(
        nn.conv1d(
          nn.conv1d(first(x), deep.permute(1, 2, 0), undefined, { stride: 2, groups: 3 }),
          point.permute(2, 1, 0),
          b,
        ),
      ),
  },
  {
    layer: 'Conv1D',
    group: 'conv1d',
    config: { filters: 4, kernel_size: 3, padding: 'causal', dilation_rate: 2 },
    inputs: [[2, 7, 3]],
    weights: [weight('vars/0', 3, 3, 4), weight('vars/1', 4)],
    expected: ([x], [w, b]) =>
      last(nn.conv1d(first(x).pad([4, 0]), w.permute(2, 1, 0), b, { dilation: 2 })),
  },
  {
    layer: 'Conv1DTranspose',
    group: 'conv1d_transpose',
    config: { filters: 4, kernel_size: 3, strides: 2 },
    inputs: [[2, 5, 3]],
    weights: [weight('vars/0', 3, 4, 3), weight('vars/1', 4)],
    expected: ([x], [w, b]) =>
      last(nn.convTranspose1d(first(x), w.permute(2, 1, 0), b, { stride: 2 })),
  },
  {
    layer: 'Conv2D',
    group: 'conv2d',
    config: { filters: 4, kernel_size: 3, groups: 2, data_format: 'channels_first' },
    inputs: [[2, 4, 5, 6]],
    weights: [weight('vars/0', 3, 3, 2, 4), weight('vars/1', 4)],
    expected: ([x], [w, b]) => nn.conv2d(x, w.permute(3, 2, 0, 1), b, { groups: 2 }),
  },
  ...(['Max', 'Average'] as const).map(
    (kind): FormulaCase => ({
      layer: `Global${kind}Pooling3D`,
      group: '',
      config: { keepdims: true },
      inputs: [[2, 3, 4, 5, 2]],
      expected: ([x]) =>
        kind === 'Max'
          ? x.amax([1, 2, 3], { keepdim: true })
          : x.mean([1, 2, 3], { keepdim: true }),
    }),
  ),
  {
    layer: 'BatchNormalization',
    group: 'batch_normalization',
    config: { axis: 1, epsilon: 0.01 },
    inputs: [[2, 3, 5]],
    weights: [
      weight('vars/0', 3),
      weight('vars/1', 3),
      weight('vars/2', 3),
      { ...weight('vars/3', 3), data: Float32Array.of(0.5, 1, 2) },
    ],
    expected: ([x], [gamma, beta, mean, variance]) => {
      const along = (v: Tensor) => v.reshape(3, 1)
      return x
        .sub(along(mean))
        .div(along(variance.add(0.01).sqrt()))
        .mul(along(gamma))
        .add(along(beta))
    },
  },
  {
    layer: 'GroupNormalization',
    group: 'group_normalization',
    config: { groups: 2, axis: -1, epsilon: 1e-3 },
    inputs: [[2, 3, 4, 6]],
    weights: [weight('vars/0', 6), weight('vars/1', 6)],
    expected: ([x], [weight, bias]) => last(nn.groupNorm(first(x), 2, { weight, bias, eps: 1e-3 })),
  },
  {
    layer: 'RMSNormalization',
    group: 'rms_normalization',
    config: { axis: -1, epsilon: 1e-6 },
    inputs: [[2, 3, 6]],
    weights: [weight('vars/0', 6)],
    expected: ([x], [weight]) => nn.rmsNorm(x, 6, { weight, eps: 1e-6 }),
  },
  {
    layer: 'UnitNormalization',
    group: '',
    config: { axis: -1 },
    inputs: [[2, 3, 6]],
    expected: ([x]) => nn.normalize(x, { dim: -1 }),
  },
  {
    layer: 'EinsumDense',
    group: 'einsum_dense',
    config: {
      equation: 'abc,cd->abd',
      output_shape: [null, 4],
      bias_axes: 'd',
      activation: 'relu',
    },
    inputs: [[2, 3, 5]],
    weights: [weight('vars/0', 5, 4), weight('vars/1', 4)],
    expected: ([x], [w, b]) => nn.relu(x.matmul(w).add(b)),
  },
  {
    layer: 'Subtract',
    group: '',
    config: {},
    inputs: [
      [2, 3],
      [2, 3],
    ],
    expected: ([a, b]) => a.sub(b),
  },
  {
    layer: 'ZeroPadding1D',
    group: '',
    config: { padding: [1, 2] },
    inputs: [[2, 3, 4]],
    expected: ([x]) => x.pad([0, 0, 1, 2]),
  },
  {
    layer: 'ZeroPadding3D',
    group: '',
    config: {
      padding: [
        [1, 0],
        [0, 2],
        [1, 1],
      ],
    },
    inputs: [[1, 2, 2, 2, 3]],
    expected: ([x]) => x.pad([0, 0, 1, 1, 0, 2, 1, 0]),
  },
  {
    layer: 'Cropping1D',
    group: '',
    config: { cropping: [1, 2] },
    inputs: [[2, 6, 4]],
    expected: ([x]) => x.slice(1, 4, { dim: 1 }),
  },
  {
    layer: 'Cropping3D',
    group: '',
    config: {
      cropping: [
        [1, 0],
        [0, 1],
        [1, 1],
      ],
    },
    inputs: [[1, 3, 3, 4, 2]],
    expected: ([x]) => x.slice(1, 3, { dim: 1 }).slice(0, 2, { dim: 2 }).slice(1, 3, { dim: 3 }),
  },
  {
    layer: 'UpSampling1D',
    group: '',
    config: { size: 3 },
    inputs: [[2, 3, 4]],
    expected: ([x]) => x.repeatInterleave(3, 1),
  },
  {
    layer: 'UpSampling2D',
    group: '',
    config: { size: [2, 3], interpolation: 'bilinear' },
    inputs: [[2, 3, 4, 2]],
    expected: ([x]) => last(nn.interpolate(first(x), { scaleFactor: [2, 3], mode: 'bilinear' })),
  },
  {
    layer: 'UpSampling3D',
    group: '',
    config: { size: 2 },
    inputs: [[1, 2, 2, 3, 2]],
    expected: ([x]) => last(nn.interpolate(first(x), { scaleFactor: 2 })),
  },
  {
    layer: 'Resizing',
    group: '',
    config: { height: 7, width: 5 },
    inputs: [[2, 3, 4, 2]],
    expected: ([x]) => last(nn.interpolate(first(x), { size: [7, 5], mode: 'bilinear' })),
  },
  {
    layer: 'Normalization',
    group: 'normalization',
    config: { axis: [-1] },
    inputs: [[2, 3]],
    weights: [weight('vars/0', 3), { ...weight('vars/1', 3), data: Float32Array.of(0.25, 4, 1) }],
    expected: ([x], [mean, variance]) => x.sub(mean).div(variance.sqrt()),
  },
  {
    layer: 'Normalization',
    group: '',
    config: { axis: null, mean: 2, variance: 4 },
    inputs: [[2, 3]],
    expected: ([x]) => x.sub(2).div(2),
  },
  {
    layer: 'ActivityRegularization',
    group: '',
    config: {},
    inputs: [[2, 3]],
    expected: ([x]) => x,
  },
  { layer: 'Identity', group: '', config: {}, inputs: [[2, 3]], expected: ([x]) => x },
  ...['SpatialDropout2D', 'SpatialDropout3D'].map(
    (layer): FormulaCase => ({
      layer,
      group: '',
      config: { rate: 0.5 },
      inputs: [layer.includes('2') ? [2, 3, 4, 5] : [2, 3, 2, 2, 5]],
      expected: ([x]) => x,
    }),
  ),
  {
    layer: 'Activation',
    group: '',
    config: { activation: 'hard_sigmoid' },
    inputs: [[2, 30]],
    expected: ([x]) => nn.relu6(x.add(3)).div(6),
  },
  {
    layer: 'LeakyReLU',
    group: '',
    config: { negative_slope: 0.1 },
    inputs: [[2, 30]],
    expected: ([x]) => nn.leakyRelu(x, { negativeSlope: 0.1 }),
  },
  {
    layer: 'ReLU',
    group: '',
    config: { max_value: 0.8, negative_slope: 0.1, threshold: 0.2 },
    inputs: [[2, 30]],
    expected: ([x]) => {
      const high = x.ge(0.8).float().mul(0.8)
      const middle = x.ge(0.2).logicalAnd(x.lt(0.8)).float().mul(x)
      return high.add(middle).add(x.lt(0.2).float().mul(x.sub(0.2)).mul(0.1))
    },
  },
  attention,
  {
    layer: 'Attention',
    group: '',
    config: {},
    inputs: [
      [2, 3, 4],
      [2, 5, 4],
    ],
    expected: ([q, v]) => nn.scaledDotProductAttention(q, v, v, { scale: 1 }),
  },
  {
    layer: 'AdditiveAttention',
    group: 'additive_attention',
    config: { use_scale: true },
    inputs: [
      [1, 2, 3],
      [1, 2, 3],
    ],
    weights: [weight('vars/0', 3)],
    expected: ([q, v], [scale]) => {
      const row = (i: number) => {
        const scores = q
          .slice(i, i + 1, { dim: 1 })
          .add(v)
          .tanh()
          .mul(scale)
          .sum(-1)
        return nn.softmax(scores, -1).unsqueeze(1).matmul(v)
      }
      return concat([row(0), row(1)], 1)
    },
  },
]

/** The classes these cases are of, one entry a case; GRU's own is in keras.test.ts. */
export const formulaLayers = formulas.map(({ layer }) => layer)
