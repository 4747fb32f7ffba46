// Every Keras layer against TensorFlow.js: a model of the one layer with random weights, saved by TensorFlow.js in memory and
// read here, gives what TensorFlow.js gives.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { layerTable } from '../../src/io/keras/table.js'
import { difference } from '../support.js'
import { formulaLayers } from './formulas.cases.js'
import { layerCases } from './layers.cases.js'
import { tensorflowPage } from './page.js'
import {
  load,
  ourTensor,
  randomWeight,
  saved,
  type Tf,
  type TfLayer,
  tensorflow,
  theirTensor,
} from './tf.js'

const tf = await tensorflow()

function layerOf(tf: Tf, factory: string, config: object): TfLayer {
  if (factory === 'bidirectional') {
    const { returnSequences, ...rest } = config as { returnSequences: boolean }
    const layer = tf.layers.lstm({ units: 3, returnSequences })
    return tf.layers.bidirectional({ layer, ...rest })
  }
  if (factory === 'timeDistributed')
    return tf.layers.timeDistributed({ layer: tf.layers.dense({ units: 3 }) })
  if (factory === 'rnn') return tf.layers.rnn({ cell: tf.layers.lstmCell({ units: 3 }) })
  return tf.layers[factory](config)
}

describe.skipIf(tf === undefined)('Keras layers give what TensorFlow.js gives', () => {
  layerCases.forEach(({ layer, factory, config = {}, inputs }, i) => {
    test(`${i} ${layer} ${JSON.stringify(config)}`, async () => {
      if (tf === undefined) return
      const made = layerOf(tf, factory, config)
      const symbols = inputs.map(({ shape }) => tf.input({ shape: shape.slice(1) }))
      const output = made.apply(symbols.length === 1 ? symbols[0] : symbols)
      const theirs = tf.model({ inputs: symbols, outputs: output })
      made.setWeights(
        made.getWeights().map((weight, k) => {
          // Of a batch normalisation the last weight is the variance.
          const last = factory === 'batchNormalization' && k === made.getWeights().length - 1
          const name = last ? 'variance' : `weight ${k}`
          return tf.tensor(randomWeight(name, weight.shape), weight.shape)
        }),
      )
      const model = await load(await saved(tf, theirs))
      const given = inputs.map((input, k) => ourTensor(`input ${k}`, input))
      const ours = model.forward(...given)
      const result = theirs.predict(inputs.map((input, k) => theirTensor(tf, `input ${k}`, input)))
      const expected = Array.isArray(result) ? result[0] : result
      expect(ours.shape).toEqual(expected.shape)
      expect(difference(await ours.data(), await expected.data(), 1e-5, 1e-6)).toBeUndefined()
    })
  })
})

test('every layer of the table has a case', () => {
  const covered = new Set([...layerCases.map(({ layer }) => layer), ...formulaLayers])
  expect(Object.keys(layerTable).filter((name) => !covered.has(name))).toEqual([])
})

test('docs/tensorflow.md is made from the tables', () => {
  const page = readFileSync(new URL('../../docs/tensorflow.md', import.meta.url), 'utf8')
  expect(page, 'stale: run node scripts/operations.mjs').toBe(tensorflowPage())
})
