// Every operator of TensorFlow graphs against TensorFlow.js: a graph of one node, in the file both read.
import { describe, expect, test } from 'vitest'
import { GraphModule } from '../../src/io/graph/module.js'
import { operatorTable } from '../../src/io/tfjs/operators/table.js'
import { difference } from '../support.js'
import { type OperatorCase, operatorCases } from './operators.cases.js'
import {
  type Given,
  type GraphCase,
  graphFiles,
  load,
  ourTensor,
  tensorflow,
  theirGraph,
  theirTensor,
} from './tf.js'

const tf = await tensorflow()

function graphOf({ op, inputs, attr, outputs = 1 }: OperatorCase): GraphCase {
  const named = inputs.map((given, i) => [`a${i}`, given] as const)
  const part = (known: boolean): { [name: string]: Given } =>
    Object.fromEntries(named.filter(([, given]) => (given.known ?? false) === known))
  return {
    inputs: part(false),
    constants: part(true),
    nodes: [{ name: 'y', op, input: named.map(([name]) => name), attr }],
    outputs: Array.from({ length: outputs }, (_, i) => (i === 0 ? 'y' : `y:${i}`)),
  }
}

/** The plain meaning of operators that TensorFlow.js cannot run. */
const meanings: { readonly [op: string]: ((x: number) => number) | undefined } = {
  Snapshot: (x) => x,
  StopGradient: (x) => x,
  PreventGradient: (x) => x,
  CheckNumerics: (x) => x,
  EnsureShape: (x) => x,
  PlaceholderWithDefault: (x) => x,
  IdentityN: (x) => x,
  Inv: (x) => 1 / x,
  Rint: (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)),
  Softsign: (x) => x / (1 + Math.abs(x)),
}

describe.skipIf(tf === undefined)('TensorFlow operators give what TensorFlow.js gives', () => {
  operatorCases.forEach((item, i) => {
    const { op, inputs, outputs = 1, attr = {} } = item
    test(`${i} ${op} ${inputs.map(({ shape }) => `[${shape}]`).join(' ')}`, async () => {
      if (tf === undefined) return
      const graph = graphOf(item)
      const files = graphFiles(graph)
      const model = await load(files)
      if (!(model instanceof GraphModule)) throw new Error('no graph')
      const given = Object.entries(graph.inputs ?? {})
      const ours = model.run(
        Object.fromEntries(given.map(([name, x]) => [name, ourTensor(name, x)])),
      )
      const names = graph.outputs
      let expected: ArrayLike<number>[]
      const meaning = meanings[op]
      if (item.expected !== undefined) expected = item.expected.map((list) => list)
      else if (meaning !== undefined) {
        const [[name, x]] = given
        expected = [Array.from(await ourTensor(name, x).data(), meaning)]
      } else {
        const theirs = await theirGraph(tf, files)
        const feeds = Object.fromEntries(given.map(([name, x]) => [name, theirTensor(tf, name, x)]))
        const found = theirs.execute(feeds, names)
        const list = Array.isArray(found) ? found : [found]
        list.forEach((tensor, k) => {
          expect(ours[names[k]].shape, `shape of ${names[k]}`).toEqual(tensor.shape)
        })
        expected = await Promise.all(list.map((tensor) => tensor.data()))
      }
      expect(expected.length).toBe(outputs)
      for (const [k, values] of expected.entries())
        expect(
          difference(await ours[names[k]].data(), values, 1e-5, 1e-6),
          JSON.stringify(attr),
        ).toBeUndefined()
    })
  })
})

type Part = OperatorCase['inputs'][number]

test('coordinates outside of a dimension are refused, though the flat position were inside', async () => {
  const run = async (op: string, index: readonly number[], others: readonly Part[]) => {
    const at: Part = { shape: [1, 2], values: index, dtype: 'int32' }
    const shape: Part = { shape: [2], values: [3, 4], dtype: 'int32', known: true }
    const x: Part = { shape: [3, 4], values: Array.from({ length: 12 }, (_, i) => i) }
    const inputs = op === 'GatherNd' ? [x, at] : [at, others[0], shape]
    const ordered = op === 'SparseToDense' ? [at, shape, ...others] : inputs
    const files = graphFiles(graphOf({ op, inputs: ordered, attr: {} }))
    const model = await load(files)
    if (!(model instanceof GraphModule)) throw new Error('no graph')
    const given = ordered.flatMap((item, i) =>
      item.known ? [] : [[`a${i}`, ourTensor(`a${i}`, item)] as const],
    )
    return model.run(Object.fromEntries(given)).y.data()
  }
  const one: Part = { shape: [1], values: [7] }
  const none: Part = { shape: [], values: [0], known: true }
  for (const [op, others] of [
    ['GatherNd', []],
    ['ScatterNd', [one]],
    ['SparseToDense', [one, none]],
  ] as const) {
    expect(Math.max(...(await run(op, [1, 3], others)))).toBe(7)
    for (const index of [
      [0, 5],
      [1, -1],
      [3, 0],
      [-1, 4],
    ])
      await expect(run(op, index, others), `${op} ${index}`).rejects.toThrow(/index 12|out of/)
  }
})

test('every operator of the table has a case', () => {
  const covered = new Set(operatorCases.map(({ op }) => op))
  expect([...operatorTable.keys()].filter((op) => !covered.has(op))).toEqual([])
})
