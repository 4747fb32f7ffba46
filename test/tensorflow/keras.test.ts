// Keras's own files, written as Keras 2 and Keras 3 lay them out, against TensorFlow.js where it has the layers; layers
// that it lacks against formulas in other functions of ours; and what training does.
import { describe, expect, test } from 'vitest'
import { tensor } from '../../src/index.js'
import { Hdf5File, isHdf5 } from '../../src/io/hdf5.js'
import { loadKeras, loadKerasWeights } from '../../src/io/keras/load.js'
import type { KerasModel } from '../../src/io/keras/model.js'
import * as nn from '../../src/nn/index.js'
import type { Tensor } from '../../src/tensor/tensor.js'
import { difference, uniform } from '../support.js'
import { formulas, input, valuesOf, weight } from './formulas.cases.js'
import { kerasArchive, legacyFile, treeFile, type Weight } from './h5.js'
import { randomWeight, tensorflow } from './tf.js'
import { parameterStep } from './train.js'

const tf = await tensorflow()

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

/** A Keras 3 file of one attention layer called with arguments by name. */
function attentionFile(kwargs: object): Promise<Uint8Array> {
  const symbol = (name: string) => ({
    class_name: '__keras_tensor__',
    config: { shape: [null, 4, 5], dtype: 'float32', keras_history: [name, 0, 0] },
  })
  const inputs = ['q', 'v'].map((name) => ({
    class_name: 'InputLayer',
    config: { batch_shape: [null, 4, 5], name },
    name,
    inbound_nodes: [],
  }))
  const layer = {
    class_name: 'MultiHeadAttention',
    config: { name: 'mha', num_heads: 2, key_dim: 3 },
    name: 'mha',
    inbound_nodes: [{ args: [symbol('q')], kwargs: { value: symbol('v'), ...kwargs } }],
  }
  const config = {
    name: 'functional',
    layers: [...inputs, layer],
    input_layers: { q: ['q', 0, 0], v: ['v', 0, 0] },
    output_layers: ['mha', 0, 0],
  }
  const weights = formulas.find((item) => item.layer === 'MultiHeadAttention')?.weights ?? []
  const placed = weights.map((w) => ({ ...w, name: `layers/multi_head_attention/${w.name}` }))
  return kerasArchive({ class_name: 'Functional', config }, placed)
}

test('arguments by name: tensors, a causal mask, and what is not understood', async () => {
  const attention = formulas.find((item) => item.layer === 'MultiHeadAttention')
  if (attention === undefined) throw new Error('no case')
  const [q, v] = [input('q', 2, 4, 5), input('v', 2, 4, 5)]
  const plain = await loadKeras(await attentionFile({ key: null, training: false }))
  await equal(
    plain.run({ q, v }).mha,
    attention.expected([q, v], (attention.weights ?? []).map(valuesOf)),
  )
  const causal = await loadKeras(await attentionFile({ use_causal_mask: true }))
  // The first position sees itself alone: what comes later does not matter.
  const later = v.mul(tensor([1, 2, 3, 4], { shape: [4, 1] }))
  const first = (x: Tensor) => x.slice(0, 1, { dim: 1 })
  await equal(first(causal.run({ q, v }).mha), first(causal.run({ q, v: later }).mha))
  expect(
    difference(
      await first(plain.run({ q, v }).mha).data(),
      await first(plain.run({ q, v: later }).mha).data(),
      1e-3,
    ),
  ).toBeDefined()
  await expect(loadKeras(await attentionFile({ return_attention_scores: true }))).rejects.toThrow(
    /the argument return_attention_scores = true is not understood/,
  )
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

test('dropout inside of recurrent layers drops in training alone', async () => {
  const weights = [
    weight('cell/vars/0', 3, 8),
    weight('cell/vars/1', 2, 8),
    weight('cell/vars/2', 8),
  ]
  const placed = weights.map((w) => ({ ...w, name: `layers/lstm/${w.name}` }))
  const config = { units: 2, activation: 'tanh', recurrent_activation: 'sigmoid' }
  const plain = await loadKeras(await layerFile('LSTM', config, [[2, 5, 3]], placed))
  const x = input('sequence', 2, 5, 3)
  for (const dropped of [{ dropout: 0.5 }, { recurrent_dropout: 0.5 }]) {
    const model = await loadKeras(
      await layerFile('LSTM', { ...config, ...dropped }, [[2, 5, 3]], placed),
    )
    await equal(model.forward(x), plain.forward(x))
    model.train()
    const values = Array.from(await plain.forward(x).data())
    expect(difference(await model.forward(x).data(), values, 1e-4)).toBeDefined()
  }
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

describe('weights of other shapes than the configuration asks for are refused', () => {
  const recurrent = (...shapes: (readonly number[])[]) =>
    shapes.map((shape, i) => weight(`layers/GROUP/cell/vars/${i}`, ...shape))
  const plain = (...shapes: (readonly number[])[]) =>
    shapes.map((shape, i) => weight(`layers/GROUP/vars/${i}`, ...shape))
  const units = { units: 2 }
  const filters = { filters: 2, kernel_size: [3] }
  const cases: [string, string, object, readonly number[], readonly Weight[], RegExp][] = [
    [
      'LSTM',
      'lstm',
      units,
      [1, 4, 3],
      recurrent([3, 12], [2, 12], [12]),
      /kernel is \[3, 12\].*\[any, 8\]/,
    ],
    [
      'LSTM',
      'lstm',
      units,
      [1, 4, 3],
      recurrent([3, 8], [3, 8], [8]),
      /recurrent_kernel is \[3, 8\]/,
    ],
    [
      'GRU',
      'gru',
      { ...units, reset_after: true },
      [1, 4, 3],
      recurrent([3, 6], [2, 6], [6]),
      /bias is \[6\].*\[2, 6\]/,
    ],
    ['SimpleRNN', 'simple_rnn', units, [1, 4, 3], recurrent([3, 3], [3, 3], [3]), /kernel is/],
    ['Dense', 'dense', units, [1, 3], plain([3, 5], [5]), /kernel is \[3, 5\].*\[any, 2\]/],
    [
      'Conv1D',
      'conv1d',
      filters,
      [1, 6, 3],
      plain([3, 3, 4], [4]),
      /kernel is \[3, 3, 4\].*\[3, any, 2\]/,
    ],
    ['Conv1DTranspose', 'conv1d_transpose', filters, [1, 6, 3], plain([3, 4, 3], [4]), /kernel is/],
    [
      'Embedding',
      'embedding',
      { input_dim: 5, output_dim: 2 },
      [1, 3],
      plain([5, 3]),
      /embeddings is/,
    ],
  ]
  for (const [name, group, config, shape, weights, message] of cases)
    test(`${name} ${message.source}`, async () => {
      const placed = weights.map((w) => ({ ...w, name: w.name.replace('GROUP', group) }))
      await expect(loadKeras(await layerFile(name, config, [shape], placed))).rejects.toThrow(
        message,
      )
    })
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
  const both = ['forward', 'backward'].flatMap((way, k) =>
    cells[k].map((w, i) => part(w, `bidirectional/${way}_lstm/lstm_cell_${k}/${names[i]}`)),
  )
  const last = dense.map((w, i) => part(w, `time_distributed/${['kernel:0', 'bias:0'][i]}`))
  const old = await loadKeras(
    await legacyFile(bidirectional, [
      ['bidirectional', both],
      ['time_distributed', last],
    ]),
  )
  // Names count, not the order they are listed in.
  const turned = await loadKeras(
    await legacyFile(bidirectional, [
      ['bidirectional', both.toReversed()],
      ['time_distributed', last.toReversed()],
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
  await equal(turned.forward(x), fresh.forward(x))
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
