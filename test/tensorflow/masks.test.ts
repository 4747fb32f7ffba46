// Keras's masks on their way: out of models inside, into attention; and arguments that change what a layer computes.
import { describe, expect, test } from 'vitest'
import { tensor } from '../../src/index.js'
import { loadKeras } from '../../src/io/keras/load.js'
import * as nn from '../../src/nn/index.js'
import { type Tensor, where } from '../../src/tensor/tensor.js'
import { difference } from '../support.js'
import { input, valuesOf, weight } from './formulas.cases.js'
import { kerasArchive, type Weight } from './h5.js'

const symbol = (name: string) => ({
  class_name: '__keras_tensor__',
  config: { shape: null, dtype: 'float32', keras_history: [name, 0, 0] },
})

interface Layer {
  readonly className: string
  readonly name: string
  readonly config?: object
  readonly from: readonly string[]
  readonly kwargs?: object
}

/** A functional model of inputs of any size and layers; the last gives the output. */
async function modelOf(
  inputs: { readonly [name: string]: readonly (number | null)[] },
  layers: readonly Layer[],
  weights: readonly Weight[],
) {
  const given = Object.entries(inputs).map(([name, shape]) => ({
    class_name: 'InputLayer',
    config: { batch_shape: [null, ...shape], name },
    name,
    inbound_nodes: [],
  }))
  const called = layers.map(({ className, name, config = {}, from, kwargs = {} }) => {
    const tensors = from.map(symbol)
    const args = tensors.length === 1 ? tensors : [tensors]
    return {
      class_name: className,
      config: { name, ...config },
      name,
      inbound_nodes: [{ args, kwargs }],
    }
  })
  const config = {
    name: 'functional',
    layers: [...given, ...called],
    input_layers: Object.keys(inputs).map((name) => [name, 0, 0]),
    output_layers: [[layers.at(-1)?.name, 0, 0]],
  }
  return loadKeras(await kerasArchive({ class_name: 'Functional', config }, weights))
}

async function equal(a: Tensor, b: Tensor): Promise<void> {
  expect(a.shape).toEqual(b.shape)
  expect(difference(await a.data(), await b.data(), 1e-5, 1e-6)).toBeUndefined()
}

const ids = (...rows: readonly (readonly number[])[]) =>
  tensor(rows.flat(), { shape: [rows.length, rows[0].length], dtype: 'int32' })
const embedding: Layer = {
  className: 'Embedding',
  name: 'embedding',
  config: { input_dim: 5, output_dim: 4, mask_zero: true },
  from: ['ids'],
}

describe('what is masked does not count', () => {
  test('behind a model inside that masks', async () => {
    const inner = {
      name: 'inner',
      layers: [
        { class_name: 'InputLayer', config: { batch_shape: [null, null], name: 'i' } },
        { class_name: 'Embedding', config: { ...embedding.config, name: 'e' } },
      ],
    }
    const model = await modelOf(
      { ids: [null] },
      [
        { className: 'Sequential', name: 'inner', config: inner, from: ['ids'] },
        { className: 'GlobalAveragePooling1D', name: 'mean', from: ['inner'] },
      ],
      [weight('layers/sequential/layers/embedding/vars/0', 5, 4)],
    )
    await equal(model.forward(ids([1, 2, 0, 0])), model.forward(ids([1, 2])))
  })

  test('as values of attention', async () => {
    const attention = (className: string, config: object, weights: readonly Weight[]) =>
      modelOf(
        { q: [null, 4], ids: [null] },
        [embedding, { className, name: 'a', config, from: ['q', 'embedding'] }],
        [weight('layers/embedding/vars/0', 5, 4), ...weights],
      )
    const heads = ['query_dense', 'key_dense', 'value_dense'].map((name) =>
      weight(`layers/multi_head_attention/${name}/vars/0`, 4, 2, 3),
    )
    const out = weight('layers/multi_head_attention/output_dense/vars/0', 2, 3, 4)
    const models = [
      await attention('Attention', {}, []),
      await attention('AdditiveAttention', { use_scale: false }, []),
      await attention('MultiHeadAttention', { num_heads: 2, key_dim: 3, use_bias: false }, [
        ...heads,
        out,
      ]),
    ]
    const q = input('q', 1, 3, 4)
    for (const model of models)
      await equal(model.forward(q, ids([1, 2, 0, 0])), model.forward(q, ids([1, 2])))
  })

  test('behind merges: where any input counts, and everywhere where one has no mask', async () => {
    const merged = (className: string, from: readonly string[], config = {}) =>
      modelOf(
        { ids: [null], more: [null], x: [null, 4] },
        [
          embedding,
          { ...embedding, name: 'embedding_1', from: ['more'] },
          { className, name: 'merged', config, from },
          { className: 'GlobalAveragePooling1D', name: 'mean', from: ['merged'] },
        ],
        [weight('layers/embedding/vars/0', 5, 4), weight('layers/embedding_1/vars/0', 5, 4)],
      )
    const [a, b] = [ids([1, 2, 0, 0]), ids([3, 1, 4, 0])]
    const x = input('x', 1, 4, 4)
    const first = x.slice(0, 3, { dim: 1 })
    const masked = ['embedding', 'embedding_1']
    for (const name of ['Add', 'Average', 'Multiply', 'Maximum', 'Concatenate']) {
      const model = await merged(name, masked)
      const short = model.forward(ids([1, 2, 0]), ids([3, 1, 4]), first)
      await equal(model.forward(a, b, x), short)
      await equal(model.forward(b, a, x), model.forward(ids([3, 1, 4]), ids([1, 2, 0]), first))
      // An unmasked input: every step counts, the masked ones too.
      const open = await merged(name, ['embedding', 'x'])
      const swapped = await merged(name, ['x', 'embedding'])
      const all = (await open.forward(a, b, x).data()).length
      expect(all).toBe(name === 'Concatenate' ? 8 : 4)
      if (name === 'Add') await equal(open.forward(a, b, x), swapped.forward(a, b, x))
    }
    const rows = await merged('Concatenate', masked, { axis: 1 })
    await equal(rows.forward(a, b, x), rows.forward(ids([1, 2]), ids([3, 1, 4]), x))
  })

  test('as queries of attention: their results are 0, and masked behind', async () => {
    const model = await modelOf(
      { ids: [null], v: [null, 4] },
      [
        embedding,
        { className: 'Attention', name: 'a', from: ['embedding', 'v'] },
        { className: 'GlobalAveragePooling1D', name: 'mean', from: ['a'] },
      ],
      [weight('layers/embedding/vars/0', 5, 4)],
    )
    const v = input('v', 1, 3, 4)
    await equal(model.forward(ids([1, 2, 0, 0]), v), model.forward(ids([1, 2]), v))
  })
})

test.each([
  ['as an argument of the call', {}, { use_causal_mask: true }],
  ['in the configuration, as early files have it', { causal: true }, {}],
])('attention that sees nothing later, %s', async (_, config, kwargs) => {
  const layer = { className: 'Attention', name: 'a', config, from: ['q', 'v'], kwargs }
  const model = await modelOf({ q: [3, 4], v: [3, 4] }, [layer], [])
  const [q, v] = [input('q', 2, 3, 4), input('v', 2, 3, 4)]
  const seen = tensor([1, 0, 0, 1, 1, 0, 1, 1, 1], { shape: [3, 3] }).bool()
  const scores = where(seen, q.matmul(v.transpose(1, 2)), -1e9)
  await equal(model.forward(q, v), nn.softmax(scores, -1).matmul(v))
})

test('LayerNormalization with rms_scaling divides by the deviation and shifts nothing', async () => {
  const gamma = weight('layers/layer_normalization/vars/0', 6)
  const model = await modelOf(
    { x: [6] },
    [{ className: 'LayerNormalization', name: 'n', config: { rms_scaling: true }, from: ['x'] }],
    [gamma],
  )
  const x = input('x', 3, 6).add(2)
  const deviation = x.var(-1, { correction: 0, keepdim: true }).add(1e-3).sqrt()
  await equal(model.forward(x), x.div(deviation).mul(valuesOf(gamma)))
})

test('time_major is refused', async () => {
  const config = { units: 2, time_major: true }
  await expect(
    modelOf({ x: [null, 3] }, [{ className: 'LSTM', name: 'l', config, from: ['x'] }], []),
  ).rejects.toThrow(/LSTM l: time_major/)
})
