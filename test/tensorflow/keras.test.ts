// Keras's own files, written as Keras 2 and Keras 3 lay them out, against TensorFlow.js where it has the layers; layers
// that it lacks against formulas in other functions of ours; and what training does.
import { describe, expect, test } from 'vitest'
import { concat, tensor } from '../../src/index.js'
import { Hdf5File, isHdf5 } from '../../src/io/hdf5.js'
import { loadKeras, loadKerasWeights } from '../../src/io/keras/load.js'
import type { KerasModel } from '../../src/io/keras/model.js'
import * as nn from '../../src/nn/index.js'
import type { Tensor } from '../../src/tensor/tensor.js'
import { difference, uniform } from '../support.js'
import { kerasArchive, legacyFile, treeFile, type Weight } from './h5.js'
import { randomWeight, tensorflow } from './tf.js'
import { parameterStep } from './train.js'

const tf = await tensorflow()

const weight = (name: string, ...shape: readonly number[]): Weight => ({
  name,
  shape,
  data: randomWeight(name, shape),
})
const input = (name: string, ...shape: readonly number[]) => tensor(uniform(name, shape), { shape })
const valuesOf = ({ data, shape }: Weight) => tensor(data, { shape })

async function equal(a: Tensor, b: Tensor, tolerance = 1e-5): Promise<void> {
  expect(a.shape).toEqual(b.shape)
  expect(difference(await a.data(), await b.data(), tolerance, 1e-6)).toBeUndefined()
}

/** A `.keras` file of one layer, with its weights in order at `vars`, or at the paths given. */
function layerFile(
  className: string,
  config: object,
  shapes: readonly (readonly number[])[],
  weights: readonly Weight[],
): Promise<Uint8Array> {
  const tensors = shapes.map((shape, i) => ({
    class_name: '__keras_tensor__',
    config: { shape, dtype: 'float32', keras_history: [`in${i}`, 0, 0] },
  }))
  const inputs = shapes.map((shape, i) => ({
    module: 'keras.layers',
    class_name: 'InputLayer',
    config: { batch_shape: [null, ...shape.slice(1)], dtype: 'float32', name: `in${i}` },
    name: `in${i}`,
    inbound_nodes: [],
  }))
  const args = tensors.length === 1 ? tensors : [tensors]
  const layer = {
    module: 'keras.layers',
    class_name: className,
    config: { name: 'layer', trainable: true, ...config },
    name: 'layer',
    inbound_nodes: [{ args, kwargs: {} }],
  }
  return kerasArchive(
    {
      module: 'keras.src.models.functional',
      class_name: 'Functional',
      config: {
        name: 'functional',
        layers: [...inputs, layer],
        input_layers: shapes.length === 1 ? ['in0', 0, 0] : shapes.map((_, i) => [`in${i}`, 0, 0]),
        output_layers: [['layer', 0, 0]],
      },
    },
    weights,
  )
}

interface FormulaCase {
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

const formulas: readonly FormulaCase[] = [
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

describe('Keras layers give what their formulas give', () => {
  formulas.forEach(({ layer, group, config, inputs, weights = [], expected }, i) => {
    test(`${i} ${layer} ${JSON.stringify(config)}`, async () => {
      const placed = weights.map((w) => ({ ...w, name: `layers/${group}/${w.name}` }))
      const model = await loadKeras(await layerFile(layer, config, inputs, placed))
      const given = inputs.map((shape, k) => input(`x${k}`, ...shape))
      await equal(model.forward(...given), expected(given, weights.map(valuesOf)))
    })
  })
})

// ---- recurrent layers, which Keras 3 writes with reset_after ----

/** One step after another in plain numbers, for GRU as cuDNN has it. */
function gruAfter(
  x: number[][],
  kernel: number[][],
  recurrent: number[][],
  bias: number[][],
  units: number,
): number[] {
  const sigmoid = (v: number) => 1 / (1 + Math.exp(-v))
  const times = (row: readonly number[], m: number[][], k: number) =>
    row.reduce((sum, v, i) => sum + v * m[i][k], 0)
  let h: number[] = new Array(units).fill(0)
  for (const step of x) {
    const part = (k: number) => times(step, kernel, k) + bias[0][k]
    const inner = (k: number) => times(h, recurrent, k) + bias[1][k]
    h = h.map((old, u) => {
      const z = sigmoid(part(u) + inner(u))
      const r = sigmoid(part(units + u) + inner(units + u))
      return z * old + (1 - z) * Math.tanh(part(2 * units + u) + r * inner(2 * units + u))
    })
  }
  return h
}

const rows = ({ data, shape }: Weight): number[][] =>
  Array.from({ length: shape[0] }, (_, i) =>
    Array.from(data.slice(i * shape[1], (i + 1) * shape[1])),
  )

test('GRU with reset_after, as Keras has it by default', async () => {
  const weights = [
    weight('cell/vars/0', 3, 12),
    weight('cell/vars/1', 4, 12),
    weight('cell/vars/2', 2, 12),
  ]
  const placed = weights.map((w) => ({ ...w, name: `layers/gru/${w.name}` }))
  const config = {
    units: 4,
    reset_after: true,
    activation: 'tanh',
    recurrent_activation: 'sigmoid',
  }
  const model = await loadKeras(await layerFile('GRU', config, [[1, 5, 3]], placed))
  const x = input('sequence', 1, 5, 3)
  const data = await x.data()
  const steps = Array.from({ length: 5 }, (_, t) => Array.from(data.slice(3 * t, 3 * t + 3)))
  const [kernel, recurrent, bias] = weights.map(rows)
  const expected = gruAfter(steps, kernel, recurrent, bias, 4)
  expect(difference(await model.forward(x).data(), expected, 1e-5)).toBeUndefined()
})

test('masked steps leave the state as it is: a padded sequence gives what a short one does', async () => {
  const weights = [
    weight('cell/vars/0', 3, 8),
    weight('cell/vars/1', 2, 8),
    weight('cell/vars/2', 8),
  ]
  const table = { ...weight('layers/embedding/vars/0', 6, 3) }
  const layers = [
    { class_name: 'InputLayer', config: { batch_shape: [null, null], dtype: 'int32', name: 'in' } },
    {
      class_name: 'Embedding',
      config: { name: 'embedding', input_dim: 6, output_dim: 3, mask_zero: true },
    },
    {
      class_name: 'LSTM',
      config: { name: 'lstm', units: 2, activation: 'tanh', recurrent_activation: 'sigmoid' },
    },
  ]
  const config = { class_name: 'Sequential', config: { name: 'sequential', layers } }
  const placed = weights.map((w) => ({ ...w, name: `layers/lstm/${w.name}` }))
  const model = await loadKeras(await kerasArchive(config, [table, ...placed]))
  const ids = (...list: readonly number[]) =>
    tensor(Int32Array.from(list), { shape: [1, list.length] })
  await equal(model.forward(ids(3, 1, 5, 0, 0)), model.forward(ids(3, 1, 5)))
})

// ---- whole files ----

const bidirectional = {
  class_name: 'Sequential',
  config: {
    name: 'sequential',
    layers: [
      {
        class_name: 'InputLayer',
        config: { batch_input_shape: [null, 4, 3], dtype: 'float32', name: 'in' },
      },
      {
        class_name: 'Bidirectional',
        config: {
          name: 'bidirectional',
          layer: {
            class_name: 'LSTM',
            config: {
              name: 'lstm',
              units: 2,
              return_sequences: true,
              recurrent_activation: 'sigmoid',
            },
          },
          merge_mode: 'concat',
        },
      },
      {
        class_name: 'TimeDistributed',
        config: {
          name: 'time_distributed',
          layer: { class_name: 'Dense', config: { name: 'dense', units: 2, activation: 'linear' } },
        },
      },
    ],
  },
}

test('the same weights in the layouts of Keras 2 and Keras 3 give the same numbers', async () => {
  const part = (w: Weight, name: string): Weight => ({ ...w, name })
  const cells = ['forward', 'backward'].map((way) =>
    [[3, 8], [2, 8], [8]].map((shape, i) => weight(`${way} ${i}`, ...shape)),
  )
  const dense = [weight('dense 0', 4, 2), weight('dense 1', 2)]
  const names = ['kernel:0', 'recurrent_kernel:0', 'bias:0']
  const old = await loadKeras(
    await legacyFile(bidirectional, [
      [
        'bidirectional',
        ['forward', 'backward'].flatMap((way, k) =>
          cells[k].map((w, i) => part(w, `bidirectional/${way}_lstm/lstm_cell_${k}/${names[i]}`)),
        ),
      ],
      [
        'time_distributed',
        dense.map((w, i) => part(w, `time_distributed/${['kernel:0', 'bias:0'][i]}`)),
      ],
    ]),
  )
  const tree = [
    ...['forward', 'backward'].flatMap((way, k) =>
      cells[k].map((w, i) => part(w, `layers/bidirectional/${way}_layer/cell/vars/${i}`)),
    ),
    ...dense.map((w, i) => part(w, `layers/time_distributed/layer/vars/${i}`)),
  ]
  const fresh = await loadKeras(await kerasArchive(bidirectional, tree))
  const x = input('x', 2, 4, 3)
  await equal(old.forward(x), fresh.forward(x))
  // And into a model that is there.
  const changed = tree.map((w) => ({ ...w, data: w.data.map((v) => v / 2) }))
  const before = Array.from(await fresh.forward(x).data())
  await loadKerasWeights(fresh, await treeFile(changed))
  expect(difference(await fresh.forward(x).data(), before, 1e-3)).toBeDefined()
  await loadKerasWeights(fresh, await treeFile(tree))
  expect(difference(await fresh.forward(x).data(), before, 1e-6)).toBeUndefined()
})

/** Two inputs, a shared layer, a model inside, two outputs, and a branch called without training. */
const functional = {
  class_name: 'Functional',
  config: {
    name: 'functional',
    layers: [
      {
        class_name: 'InputLayer',
        name: 'a',
        config: { batch_input_shape: [null, 3], name: 'a' },
        inbound_nodes: [],
      },
      {
        class_name: 'InputLayer',
        name: '__proto__',
        config: { batch_input_shape: [null, 3], name: '__proto__' },
        inbound_nodes: [],
      },
      {
        class_name: 'Dense',
        name: 'shared',
        config: { name: 'shared', units: 4, activation: 'relu' },
        inbound_nodes: [[['a', 0, 0, {}]], [['__proto__', 0, 0, {}]]],
      },
      {
        class_name: 'Sequential',
        name: 'inner',
        config: {
          name: 'inner',
          layers: [
            {
              class_name: 'Dense',
              config: { name: 'first', units: 4, batch_input_shape: [null, 4] },
            },
            { class_name: 'BatchNormalization', config: { name: 'bn', trainable: false } },
          ],
        },
        inbound_nodes: [[['shared', 1, 0, { training: false }]]],
      },
      {
        class_name: 'Add',
        name: 'add',
        config: { name: 'add' },
        inbound_nodes: [
          [
            ['shared', 0, 0, {}],
            ['inner', 1, 0, {}],
          ],
        ],
      },
      {
        class_name: 'Concatenate',
        name: 'joined',
        config: { name: 'joined', axis: -1 },
        inbound_nodes: [
          [
            ['add', 0, 0, {}],
            ['shared', 1, 0, {}],
          ],
        ],
      },
    ],
    input_layers: [
      ['a', 0, 0],
      ['__proto__', 0, 0],
    ],
    output_layers: [
      ['add', 0, 0],
      ['joined', 0, 0],
    ],
  },
}

const functionalWeights = [
  weight('shared/kernel:0', 3, 4),
  weight('shared/bias:0', 4),
  weight('first/kernel:0', 4, 4),
  weight('first/bias:0', 4),
  weight('bn/gamma:0', 4),
  weight('bn/beta:0', 4),
  weight('bn/moving_mean:0', 4),
  weight('bn/moving_variance:0', 4),
]

function loadFunctional(): Promise<KerasModel> {
  const config = JSON.parse(JSON.stringify(functional).replace('["inner",1,0', '["inner",0,0'))
  return legacyFile(config, [
    ['shared', functionalWeights.slice(0, 2)],
    ['inner', functionalWeights.slice(2)],
    ['add', []],
  ]).then(loadKeras)
}

test('functional models: shared layers, models inside, several inputs and outputs, any name', async () => {
  const model = await loadFunctional()
  expect(model.inputs.map(({ name }) => name)).toEqual(['a', '__proto__'])
  expect(model.outputs).toEqual(['add', 'joined'])
  expect(Object.keys(model.stateDict())).toEqual([
    'shared.kernel',
    'shared.bias',
    'inner.first.kernel',
    'inner.first.bias',
    'inner.bn.gamma',
    'inner.bn.beta',
    'inner.bn.moving_mean',
    'inner.bn.moving_variance',
  ])
  const [a, b] = [input('a', 2, 3), input('b', 2, 3)]
  const results = model.run(
    Object.fromEntries([
      ['a', a],
      ['__proto__', b],
    ]),
  )
  const [wk, wb, fk, fb, gamma, beta, mean, variance] = functionalWeights.map(valuesOf)
  const shared = (x: Tensor) => nn.relu(x.matmul(wk).add(wb))
  const inner = shared(b)
    .matmul(fk)
    .add(fb)
    .sub(mean)
    .div(variance.add(1e-3).sqrt())
    .mul(gamma)
    .add(beta)
  await equal(results.add, shared(a).add(inner))
  expect(results.joined.shape).toEqual([2, 8])
  expect(() => model.forward(a)).toThrow(/2 outputs: add, joined/)
  expect(() => model.run({ a })).toThrow(/the input __proto__ is missing/)
})

test('what the file says is not trainable stays as it is, and normalises as in evaluation', async () => {
  const model = await loadFunctional()
  model.train()
  const frozen = model
    .namedParameters()
    .filter(([, p]) => !p.trainable)
    .map(([name]) => name)
  expect(frozen).toEqual(['inner.bn.gamma', 'inner.bn.beta'])
  const before = Array.from(await model.stateDict()['inner.bn.moving_mean'].data())
  const [a, b] = [input('a', 4, 3), input('b', 4, 3)]
  const losses = await parameterStep(
    model,
    () =>
      model
        .run(
          Object.fromEntries([
            ['a', a],
            ['__proto__', b],
          ]),
        )
        .joined.square()
        .mean(),
    10,
  )
  expect(losses.at(-1)).toBeLessThan(losses[0])
  expect(Array.from(await model.stateDict()['inner.bn.moving_mean'].data())).toEqual(before)
})

test('BatchNormalization moves its statistics in training by the momentum of its configuration', async () => {
  const weights = ['gamma', 'beta', 'mean', 'variance'].map((_, i) => ({
    ...weight(`layers/batch_normalization/vars/${i}`, 3),
    data: Float32Array.of(1, 1, 1),
  }))
  const model = await loadKeras(
    await layerFile('BatchNormalization', { momentum: 0.9 }, [[4, 3]], weights),
  )
  model.train()
  const x = input('x', 4, 3)
  const y = model.forward(x)
  await y.data()
  const state = model.stateDict()
  const expectedMean = x.mean(0).mul(0.1).add(0.9)
  const expectedVariance = x.var(0, { correction: 0 }).mul(0.1).add(0.9)
  expect(
    difference(await state['layer.moving_mean'].data(), await expectedMean.data(), 1e-5),
  ).toBeUndefined()
  expect(
    difference(await state['layer.moving_variance'].data(), await expectedVariance.data(), 1e-5),
  ).toBeUndefined()
  await equal(y.mean(0), tensor([1, 1, 1]), 1e-4)
})

// ---- what is refused ----

const one = (className: string, config: object = {}) => ({
  class_name: 'Sequential',
  config: {
    name: 's',
    layers: [
      { class_name: className, config: { name: 'it', batch_input_shape: [null, 4], ...config } },
    ],
  },
})

test('refusals name the layer, and say what to do', async () => {
  const refused = async (config: object, message: RegExp) =>
    expect(loadKeras(await legacyFile(config, []))).rejects.toThrow(message)
  await refused(
    one('Lambda', { function: ['4wEAAAA='] }),
    /Lambda is not read \(layer it\): it holds code, which is never run/,
  )
  await refused(one('MyLayer'), /MyLayer is not read \(layer it\); docs\/tensorflow\.md/)
  await refused(
    { class_name: 'MyModel', config: {} },
    /the model is a MyModel, whose topology is code/,
  )
  await refused(one('Dense', { units: 2 }), /Dense it: needs kernel, bias; the file has none/)
  await refused(one('Dense', { activation: 'wild' }), /Dense it: there is no activation "wild"/)
  await refused(one('LSTM', { units: 3, stateful: true }), /stateful layers/)
  let nested: object = one('Dense')
  for (let i = 0; i < 20; i++)
    nested = { class_name: 'Sequential', config: { name: `m${i}`, layers: [nested] } }
  await refused(nested, /nested more than 16 deep/)
})

test('files that are no Keras files, or damaged, are clear errors', async () => {
  await expect(loadKeras(new Uint8Array(100))).rejects.toThrow(
    /neither a \.keras archive nor an HDF5 file/,
  )
  const good = await legacyFile(one('Dense', { units: 2 }), [
    ['it', [weight('it/kernel:0', 4, 2), weight('it/bias:0', 2)]],
  ])
  expect((await loadKeras(good)).parameters().length).toBe(2)
  expect(isHdf5(good)).toBe(true)
  await expect(loadKeras(good.slice(0, 700))).rejects.toThrow(/damaged/)
  expect(() => new Hdf5File(good.slice(0, 96), 'short.h5').keys('')).toThrow(/short\.h5: .*damaged/)
  const weightsOnly = await legacyFile(undefined, [])
  await expect(loadKeras(weightsOnly)).rejects.toThrow(/holds weights alone.*loadKerasWeights/)
})

test.skipIf(tf === undefined)(
  'a functional model of TensorFlow.js in Keras 2’s HDF5 layout gives what it gives there',
  async () => {
    if (tf === undefined) return
    const symbol = tf.input({ shape: [8, 8, 3], name: 'image' })
    const conv = tf.layers.conv2d({
      filters: 4,
      kernelSize: 3,
      padding: 'same',
      strides: 2,
      name: 'c',
    })
    const norm = tf.layers.batchNormalization({ name: 'n' })
    const dense = tf.layers.dense({ units: 3, activation: 'softmax', name: 'd' })
    const pool = tf.layers.globalAveragePooling2d({ name: 'p' })
    const output = dense.apply(pool.apply(norm.apply(conv.apply(symbol))))
    const theirs = tf.model({ inputs: symbol, outputs: output })
    for (const layer of [conv, norm, dense])
      layer.setWeights(
        layer
          .getWeights()
          .map((w, i) =>
            tf.tensor(
              randomWeight(
                layer.name === 'n' && i === 3 ? 'variance' : `${layer.name}${i}`,
                w.shape,
              ),
              w.shape,
            ),
          ),
      )
    const config = JSON.parse((theirs as unknown as { toJSON(): string }).toJSON())
    const names: { readonly [layer: string]: readonly string[] } = {
      c: ['kernel', 'bias'],
      n: ['gamma', 'beta', 'moving_mean', 'moving_variance'],
      d: ['kernel', 'bias'],
    }
    const groups = await Promise.all(
      [conv, norm, dense].map(async (layer) => {
        const list = layer.getWeights().map(async (w, i) => ({
          name: `${layer.name}/${names[layer.name][i]}:0`,
          shape: w.shape,
          data: Float32Array.from(await w.data()),
        }))
        return [layer.name, await Promise.all(list)] as const
      }),
    )
    const model = await loadKeras(
      await legacyFile(config.class_name ? config : config.model_config, groups),
    )
    const x = input('image', 2, 8, 8, 3)
    const expected = theirs.predict(tf.tensor(uniform('image', [2, 8, 8, 3]), [2, 8, 8, 3]))
    const list = Array.isArray(expected) ? expected[0] : expected
    expect(difference(await model.forward(x).data(), await list.data(), 1e-5)).toBeUndefined()
  },
)
