// ONNX models read: each operator of the table against onnxruntime, graphs of several, what is refused when it is run;
// and that every operator has a case. Gradients: onnx-in-gradients.test.ts.
import { describe, expect, it } from 'vitest'
import { loadOnnxBytes } from '../src/io/onnx/load.js'
import { operators } from '../src/io/onnx/operators/index.js'
import {
  AttributeType,
  encodeModel,
  type Model,
  type Function as ModelFunction,
  type Node,
} from '../src/io/onnx/wire.js'
import { setDevice } from '../src/tensor/devices.js'
import { cases } from './onnx-in.cases.js'
import { compare, expectedOf, feedOf, numbers, tensorOfInput } from './onnx-in.compare.js'
import {
  attributeOf,
  floats,
  type Input,
  infoOf,
  ints,
  known,
  modelOfCase,
  type OperatorCase,
  tensorOf,
  values,
} from './onnx-in.inputs.js'
import { type Ort, onnxruntime, ortSession } from './peers.js'
import { difference } from './support.js'

const ort = onnxruntime()

const shapes = (list: readonly (Input | undefined)[]) =>
  list.map((input) => (input ? `${input.constant ? '=' : ''}[${input.shape}]` : '-')).join(' ')
const title = ({ op, opset, inputs, attributes }: OperatorCase, i: number) =>
  `${i} ${op} ${opset} ${shapes(inputs)} ${JSON.stringify(attributes)}`

describe.skipIf(ort === undefined)('operators as onnxruntime computes them', async () => {
  if (ort === undefined) return
  await setDevice('reference')
  it.each(cases.map((given, i) => [title(given, i), given] as const))('%s', async (_, given) => {
    const expected = await expectedOf(ort, given)
    await compare(given, expected)
  })
})

describe.skipIf(ort === undefined)('each operator on the CPU', () => {
  if (ort === undefined) return
  const last = new Map(cases.map((given) => [given.op, given]))
  it.each([...last])('%s', async (_, given) => {
    await setDevice('cpu')
    await compare(given, await expectedOf(ort, given))
  })
})

describe('refused when it is run', async () => {
  await setDevice('reference')
  const run = async (
    op: string,
    inputs: readonly Input[],
    attributes: OperatorCase['attributes'] = {},
    outputs = 1,
  ) => {
    const model = loadOnnxBytes(modelOfCase({ op, opset: 18, inputs, attributes, outputs }), 'm')
    const feeds = inputs.flatMap((x, i) =>
      x.constant ? [] : [[`x${i}`, tensorOfInput(x)] as const],
    )
    for (const y of Object.values(model.run(Object.fromEntries(feeds)))) await y.data()
  }
  const x = floats([3, 4])
  it.each<[string, readonly Input[], OperatorCase['attributes'], string]>([
    ['GatherND', [x, ints([0, 5], [1, 2])], {}, 'index'],
    ['GatherND', [x, ints([0, -5], [1, 2])], {}, 'index'],
    ['GatherND', [floats([2, 4]), ints([0, 4], [2, 1])], { batch_dims: 1 }, 'index'],
    ['GatherND', [x, ints([0, 1], [2, 1])], { batch_dims: 1 }, 'must begin alike'],
    ['ScatterND', [x, ints([0, 4], [1, 2]), floats([1])], { reduction: 'max' }, 'index'],
    ['ScatterND', [x, ints([0, 4], [1, 2]), floats([1])], {}, 'index'],
    ['ScatterElements', [x, ints([3], [1, 1]), floats([1, 1])], { reduction: 'mul' }, 'index'],
    ['ScatterElements', [x, ints([1], [1, 1]), floats([1, 1])], { reduction: 'mean' }, 'mean'],
    ['GridSample', [floats([1, 1, 3, 3]), floats([1, 2, 2, 3])], {}, 'needs a grid of 1 by 2'],
    ['GridSample', [floats([1, 1, 3, 3]), floats([1, 2, 2, 2])], { mode: 'area' }, 'mode area'],
    ['MaxPool', [floats([1, 1, 3, 3])], { kernel_shape: [4, 4] }, 'a window of 4 is larger'],
  ])('%s %o %o', async (op, inputs, attributes, text) => {
    await expect(run(op, inputs, attributes)).rejects.toThrow(text)
  })
  it('MaxPool’s indices in column order', async () => {
    const attributes = { kernel_shape: [2, 2], storage_order: 1 }
    await expect(run('MaxPool', [floats([1, 1, 3, 3])], attributes, 2)).rejects.toThrow(
      'storage_order 1',
    )
  })
})

it.each([
  [7, { ratio: 0.75 }, []],
  [11, { ratio: 0.75 }, []],
  [12, {}, [values([0.75], [])]],
  [21, {}, [values([0.75], [])]],
] as const)(
  'Dropout of opset %i drops as it says, in training',
  async (opset, attributes, more) => {
    await setDevice('reference')
    const inputs = [floats([1000], 1, 2), ...more]
    const bytes = modelOfCase({ op: 'Dropout', opset, inputs, attributes, outputs: 1 })
    const model = loadOnnxBytes(bytes, 'm')
    const x = tensorOfInput(inputs[0])
    expect([...(await model.forward(x).data())]).toEqual(inputs[0].data)
    const kept = [...(await model.train().forward(x).data())].filter((y) => y !== 0)
    expect(kept.length).toBeGreaterThan(180)
    expect(kept.length).toBeLessThan(320)
    expect(Math.min(...kept)).toBeGreaterThanOrEqual(4)
  },
)

const sequences = [
  'SequenceEmpty',
  'SequenceConstruct',
  'SequenceInsert',
  'SequenceAt',
  'SequenceLength',
  'ConcatFromSequence',
]

/** Both runtimes on a graph with the float inputs x and z of [2, 3]. */
async function compared(runtime: Ort, model: Model): Promise<void> {
  const bytes = encodeModel(model)
  const session = await ortSession(runtime, bytes)
  const [x, z] = [floats([2, 3]), floats([2, 3])]
  const expected = await session.run({ x: feedOf(runtime, x), z: feedOf(runtime, z) })
  const actual = loadOnnxBytes(bytes, 'm').run({ x: tensorOfInput(x), z: tensorOfInput(z) })
  for (const name of session.outputNames) {
    expect(actual[name].shape, name).toEqual([...expected[name].dims])
    const data = await actual[name].data()
    expect(difference(data, numbers(expected[name]), 1e-5), name).toBeUndefined()
  }
  await session.release()
}

describe.skipIf(ort === undefined)('graphs as onnxruntime computes them', () => {
  const input = ['x', 'z'].map((name) => infoOf(name, { dtype: 'float', shape: [2, 3] }))
  const axis = (i: number) => [attributeOf('axis', i)]
  it('with sequences', async () => {
    if (ort === undefined) return
    const node: Node[] = [
      { opType: 'SequenceEmpty', output: ['none'] },
      { opType: 'SequenceInsert', input: ['none', 'x'], output: ['one'] },
      { opType: 'SequenceInsert', input: ['one', 'z', 'first'], output: ['two'] },
      { opType: 'ConcatFromSequence', input: ['two'], output: ['a'], attribute: axis(1) },
      { opType: 'SequenceConstruct', input: ['x', 'z', 'x'], output: ['three'] },
      { opType: 'SequenceAt', input: ['three', 'last'], output: ['b'] },
      { opType: 'SequenceLength', input: ['three'], output: ['c'] },
      {
        opType: 'ConcatFromSequence',
        input: ['three'],
        output: ['d'],
        attribute: [...axis(0), attributeOf('new_axis', 1)],
      },
    ]
    const output = ['a', 'b', 'c', 'd'].map((name) => ({ name }))
    const initializer = [tensorOf('first', known([0], [])), tensorOf('last', known([-2], []))]
    const opsetImport = [{ version: 17 }]
    await compared(ort, {
      irVersion: 8,
      opsetImport,
      graph: { name: 'g', node, input, output, initializer },
    })
  })
  it('with functions of their own, and another domain', async () => {
    if (ort === undefined) return
    const own: ModelFunction = {
      name: 'Scaled',
      domain: 'own',
      input: ['u', 'v'],
      output: ['w'],
      attribute: ['alpha'],
      opsetImport: [{ version: 17 }],
      node: [
        {
          opType: 'LeakyRelu',
          input: ['u'],
          output: ['t'],
          attribute: [{ name: 'alpha', refAttrName: 'alpha', type: AttributeType.FLOAT }],
        },
        { opType: 'Mul', input: ['t', 'v'], output: ['w'] },
      ],
    }
    const call = (inputs: string[], output: string, alpha: number): Node => ({
      opType: 'Scaled',
      domain: 'own',
      input: inputs,
      output: [output],
      attribute: [attributeOf('alpha', alpha)],
    })
    await compared(ort, {
      irVersion: 8,
      opsetImport: [
        { version: 17 },
        { domain: 'own', version: 1 },
        { domain: 'com.microsoft', version: 1 },
      ],
      functions: [own],
      graph: {
        name: 'g',
        node: [
          call(['x', 'z'], 'p', 0.25),
          call(['p', 'x'], 'a', 0.5),
          { opType: 'Gelu', domain: 'com.microsoft', input: ['z'], output: ['b'] },
        ],
        input,
        output: ['a', 'b'].map((name) => ({ name })),
      },
    })
  })
})

describe('the table', () => {
  it('has a case for each operator', () => {
    const tested = new Set(cases.map(({ op }) => op))
    const elsewhere = new Set(['If', 'Loop', 'com.microsoft.Gelu', ...sequences])
    const missing = [...operators.keys()].filter((op) => !tested.has(op) && !elsewhere.has(op))
    expect(missing).toEqual([])
  })
})
