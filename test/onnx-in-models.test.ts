// ONNX models read as a whole: roles of constants, training, control flow, files beside the model and hostile files.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compile, type Tensor, tensor } from '../src/index.js'
import type { GraphModule } from '../src/io/graph/module.js'
import { exportOnnx } from '../src/io/onnx/export.js'
import { loadOnnx, loadOnnxBytes } from '../src/io/onnx/load.js'
import {
  type Attribute,
  AttributeType,
  encodeModel,
  type Graph,
  type Node,
} from '../src/io/onnx/wire.js'
import { LeNet } from '../src/models/lenet.js'
import { Linear } from '../src/nn/index.js'
import { SGD } from '../src/optim/index.js'
import { setDevice } from '../src/tensor/devices.js'
import { trained } from './onnx-in.compare.js'
import {
  attributeOf,
  floats,
  infoOf,
  known,
  modelOf,
  tensorOf,
  values,
  weights,
} from './onnx-in.inputs.js'
import { difference } from './support.js'

beforeAll(() => setDevice('cpu'))

const folder = mkdtempSync(join(tmpdir(), 'burnish-onnx-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const names = (model: GraphModule) => model.namedParameters().map(([name]) => name)
const node = (
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attributes:
    | Parameters<typeof attributeOf>[1][]
    | { [name: string]: Parameters<typeof attributeOf>[1] } = {},
): Node => ({
  opType,
  name: `${opType}_${output[0]}`,
  input,
  output,
  attribute: Object.entries(attributes).map(([name, given]) => attributeOf(name, given)),
})
const graphAttribute = (name: string, g: Graph): Attribute => ({
  name,
  type: AttributeType.GRAPH,
  g,
})

describe('weights', () => {
  const normalised = modelOf(
    {
      node: [
        node('Sub', ['x', 'mean'], ['a']),
        node('Conv', ['a', 'w'], ['b']),
        node('BatchNormalization', ['b', 'scale', 'shift', 'm', 'v'], ['c']),
        node('Mul', ['c', 'stride'], ['d']),
        node('Add', ['d', 'bias'], ['e']),
        node('Transpose', ['f'], ['ft'], { perm: [1, 0] }),
        node('GlobalAveragePool', ['e'], ['p']),
        node('Flatten', ['p'], ['q']),
        node('MatMul', ['q', 'ft'], ['y']),
      ],
      input: [infoOf('x', { dtype: 'float', shape: [1, 2, 5, 5] })],
      output: [{ name: 'y' }],
      initializer: [
        tensorOf('mean', weights([1, 2, 1, 1])),
        tensorOf('w', weights([3, 2, 3, 3])),
        tensorOf('scale', weights([3])),
        tensorOf('shift', weights([3])),
        tensorOf('m', weights([3])),
        tensorOf('v', weights([3], 0.5, 1)),
        tensorOf('stride', values([8, 16, 32], [3, 1, 1])),
        tensorOf('bias', weights([3, 1, 1])),
        tensorOf('f', weights([4, 3])),
      ],
    },
    13,
  )
  it('are told from statistics, grids and the preparation of inputs', () => {
    const model = loadOnnxBytes(normalised, 'm')
    expect(names(model).toSorted()).toEqual(['bias', 'f', 'scale', 'shift', 'w'])
    expect(model.namedBuffers().map(([name]) => name)).toEqual(['m', 'v'])
    expect(Object.keys(model.stateDict()).toSorted()).toEqual([
      'bias',
      'f',
      'm',
      'scale',
      'shift',
      'v',
      'w',
    ])
  })
  it('are what the caller says', () => {
    const all = loadOnnxBytes(normalised, 'm', {
      parameters: (name) => (name === 'mean' ? true : undefined),
    })
    expect(names(all)).toContain('mean')
    const few = loadOnnxBytes(normalised, 'm', { parameters: (name) => name === 'f' })
    expect(names(few)).toEqual(['f'])
  })
  it('train, with running statistics', async () => {
    const model = loadOnnxBytes(normalised, 'm')
    const [[, mean]] = model.namedBuffers()
    const before = await mean.data()
    const losses = await trained(model, 'x', [6, 2, 5, 5], 4)
    expect(losses[9]).toBeLessThan(losses[0])
    expect(difference(await mean.data(), before, 1e-3)).toBeDefined()
  })
  it('batches of any size, though the file says 1', async () => {
    const model = loadOnnxBytes(normalised, 'm')
    expect(model.forward(floatsTensor([3, 2, 5, 5])).shape).toEqual([3, 4])
    expect(() => model.forward(floatsTensor([3, 2, 5, 6]))).toThrow('the graph takes [1, 2, 5, 5]')
    expect(() => model.run({ z: floatsTensor([1]) })).toThrow('there is no input z')
  })
  it('a new head takes the place of the old', async () => {
    const model = loadOnnxBytes(normalised, 'm')
    const head = new Linear(3, 7)
    model.setSubmodule('MatMul_y', head)
    expect(names(model)).toContain('MatMul_y.weight')
    expect(model.forward(floatsTensor([2, 2, 5, 5])).shape).toEqual([2, 7])
    const losses = await trained(model, 'x', [7, 2, 5, 5], 7)
    expect(losses[9]).toBeLessThan(losses[0])
  })
  it('a compiled step trains as a plain one', async () => {
    const x = floatsTensor([4, 2, 5, 5])
    const run = async (compiled: boolean) => {
      const model = loadOnnxBytes(normalised, 'm').train()
      const optimizer = new SGD(model.parameters(), { lr: 0.05 })
      const plain = (given: Tensor) => {
        const loss = model.forward(given).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zeroGrad()
        return loss
      }
      const step = compiled ? compile(plain) : plain
      let last = 0
      for (let i = 0; i < 3; i++) last = await step(x).item()
      return last
    }
    expect(await run(true)).toBeCloseTo(await run(false), 5)
  })
  it('inner values can be asked for', () => {
    const model = loadOnnxBytes(normalised, 'm', { outputs: ['q', 'b'] })
    const { q, b } = model.run({ x: floatsTensor([2, 2, 5, 5]) })
    expect([q.shape, b.shape]).toEqual([
      [2, 3],
      [2, 3, 3, 3],
    ])
  })
})

function floatsTensor(shape: readonly number[]): Tensor {
  return tensor([...floats(shape).data], { shape })
}

describe('what exportOnnx writes', () => {
  it('is read again, with equal results and weights', async () => {
    const model = new LeNet().eval()
    const x = floatsTensor([2, 1, 28, 28])
    const again = await loadOnnx(new Blob([(await exportOnnx(model, x)).slice()]))
    const [wanted, given] = [await model.forward(x).data(), await again.forward(x).data()]
    expect(difference(given, wanted)).toBeUndefined()
    expect(again.parameters().length).toBe(model.parameters().length)
  })
})

describe('control flow', () => {
  const branch = (name: string, op: string): Graph => ({
    name,
    node: [node(op, ['x', `w_${name}`], [`r_${name}`])],
    output: [{ name: `r_${name}` }],
    initializer: [tensorOf(`w_${name}`, values([2], []))],
  })
  const withIf = (condition: Node[], extra: Partial<Graph> = {}) =>
    modelOf(
      {
        node: [
          ...condition,
          {
            opType: 'If',
            name: 'choice',
            input: ['c'],
            output: ['y'],
            attribute: [
              graphAttribute('then_branch', branch('a', 'Mul')),
              graphAttribute('else_branch', branch('b', 'Add')),
            ],
          },
        ],
        input: [infoOf('x', { dtype: 'float', shape: [1, 2] })],
        output: [{ name: 'y' }],
        initializer: [tensorOf('two', known([2], []))],
        ...extra,
      },
      13,
    )
  it('a condition on shapes is decided while tracing', async () => {
    const bytes = withIf(
      [
        node('Shape', ['x'], ['s']),
        node('Gather', ['s', 'zero'], ['n']),
        node('Equal', ['n', 'two'], ['c']),
      ],
      { initializer: [tensorOf('two', known([2], [])), tensorOf('zero', known([0], []))] },
    )
    const model = loadOnnxBytes(bytes, 'm')
    const run = async (n: number) => [
      ...(await model.forward(tensor(new Float32Array(2 * n).fill(3), { shape: [n, 2] })).data()),
    ]
    expect(await run(2)).toEqual([6, 6, 6, 6])
    expect(await run(1)).toEqual([5, 5])
  })
  it('of what data decide, both are computed', async () => {
    const bytes = withIf(
      [node('ReduceSum', ['x'], ['s'], { keepdims: 0 }), node('Greater', ['s', 'limit'], ['c'])],
      { initializer: [tensorOf('limit', values([0], []))] },
    )
    const model = loadOnnxBytes(bytes, 'm')
    const run = async (x: number[]) => [...(await model.forward(tensor([x])).data())]
    expect(await run([3, 1])).toEqual([6, 2])
    expect(await run([-3, 1])).toEqual([-1, 3])
  })
  const loopOf = (count: Node[], initializer: Graph['initializer']) =>
    modelOf(
      {
        node: [
          ...count,
          {
            opType: 'Loop',
            name: 'turns',
            input: ['n', '', 'x'],
            output: ['y', 'all'],
            attribute: [
              graphAttribute('body', {
                name: 'body',
                input: ['i', 'go', 'h'].map((name) => ({ name })),
                node: [
                  node('Identity', ['go'], ['go_on']),
                  node('Add', ['h', 'h'], ['next']),
                  node('Identity', ['next'], ['seen']),
                ],
                output: ['go_on', 'next', 'seen'].map((name) => ({ name })),
              }),
            ],
          },
        ],
        input: [infoOf('x', { dtype: 'float', shape: [2] })],
        output: [{ name: 'y' }, { name: 'all' }],
        initializer,
      },
      13,
    )
  it('a loop of a known count is unrolled', async () => {
    const model = loadOnnxBytes(loopOf([], [tensorOf('n', known([3], []))]), 'm')
    const { y, all } = model.run({ x: tensor([1, 2]) })
    expect([...(await y.data())]).toEqual([8, 16])
    expect([...(await all.data())]).toEqual([2, 4, 4, 8, 8, 16])
  })
  it('a loop that data decide is refused by name', () => {
    const count = [
      node('ReduceSum', ['x'], ['s'], { keepdims: 0 }),
      node('Cast', ['s'], ['n'], { to: 7 }),
    ]
    const model = loadOnnxBytes(loopOf(count, []), 'm')
    expect(() => model.run({ x: tensor([1, 2]) })).toThrow(
      'GraphModule.turns: Loop: its number of turns is computed from data',
    )
  })
  it('operators that are not there are named, all at once; nodes nothing needs are dropped', () => {
    const graph = (last: string): Graph => ({
      node: [node('Foo', ['x'], ['a']), node('Bar', ['a'], ['b']), node('Relu', ['x'], ['y'])],
      input: [infoOf('x', { dtype: 'float', shape: [2] })],
      output: [{ name: last }],
    })
    expect(() => loadOnnxBytes(modelOf(graph('b'), 13), 'm')).toThrow(
      'm: Foo is not supported (node Foo_a); Bar is not supported (node Bar_b); docs/onnx.md',
    )
    expect(loadOnnxBytes(modelOf(graph('y'), 13), 'm').forward(tensor([-1, 2])).shape).toEqual([2])
  })
})

describe('files beside the model', () => {
  const withData = (location: string, extra: { [key: string]: string } = {}) =>
    modelOf(
      {
        node: [node('Add', ['x', 'w'], ['y'])],
        input: [infoOf('x', { dtype: 'float', shape: [3] })],
        output: [{ name: 'y' }],
        initializer: [
          {
            name: 'w',
            dims: [3],
            dataType: 1,
            dataLocation: 1,
            externalData: Object.entries({ location, ...extra }).map(([key, value]) => ({
              key,
              value,
            })),
          },
        ],
      },
      13,
    )
  const load = async (location: string, extra?: { [key: string]: string }) => {
    const path = join(folder, 'in', 'model.onnx')
    writeFileSync(path, withData(location, extra))
    return loadOnnx(path)
  }
  beforeAll(() => {
    mkdirSync(join(folder, 'in'))
    const data = new Uint8Array(Float32Array.of(9, 1, 2, 3).buffer)
    writeFileSync(join(folder, 'in', 'w.bin'), data)
    writeFileSync(join(folder, 'secret.bin'), data)
    symlinkSync(join(folder, 'secret.bin'), join(folder, 'in', 'link.bin'))
  })
  it('are read where they are', async () => {
    const model = await load('w.bin', { offset: '4', length: '12' })
    expect([...(await model.forward(tensor([0, 0, 0])).data())]).toEqual([1, 2, 3])
    const external = new Map([['w', new Uint8Array(Float32Array.of(4, 5, 6).buffer)]])
    const other = await loadOnnx(withData('w'), { external })
    expect([...(await other.forward(tensor([0, 0, 0])).data())]).toEqual([4, 5, 6])
  })
  it.each([
    ['../secret.bin', 'leaves the model’s folder'],
    ['a/../../secret.bin', 'leaves'],
    ['..\\secret.bin', 'leaves'],
    ['/etc/passwd', 'leaves'],
    ['C:/x', 'leaves'],
    ['http://example.org/x', 'leaves'],
    ['link.bin', 'is a link out of'],
    ['none.bin', 'is not there'],
  ])('%s is refused', async (location, text) => {
    await expect(load(location)).rejects.toThrow(text.replace('’', "'"))
  })
  it.each([
    [{ offset: '8', length: '12' }, 'bytes 8 to 20 of w.bin are wanted, but it has 16'],
    [{ offset: '-4' }, 'the offset of its data, -4, is no number'],
    [{ length: '8' }, 'its data have 8 bytes in w.bin, but must have 12'],
  ])('ranges %o are checked', async (extra, text) => {
    await expect(load('w.bin', extra)).rejects.toThrow(text)
  })
  it('need a path', () => {
    expect(() => loadOnnxBytes(withData('w.bin'), 'm')).toThrow('its data are in the file w.bin')
  })
})

describe('hostile files', () => {
  const one = (initializer: Graph['initializer'], more: Partial<Graph> = {}) =>
    modelOf(
      {
        node: [node('Add', ['x', 'w'], ['y'])],
        input: [infoOf('x', { dtype: 'float', shape: [1] })],
        output: [{ name: 'y' }],
        initializer,
        ...more,
      },
      13,
    )
  it.each([
    [
      'absurd sizes',
      one([{ name: 'w', dims: [2 ** 40, 2 ** 40], dataType: 1, rawData: new Uint8Array(4) }]),
      'more than 2^31',
    ],
    [
      'negative sizes',
      one([{ name: 'w', dims: [-1], dataType: 1, rawData: new Uint8Array(4) }]),
      'are no sizes',
    ],
    [
      'too few bytes',
      one([{ name: 'w', dims: [100], dataType: 1, rawData: new Uint8Array(4) }]),
      '4 bytes do not fill F32 [100]',
    ],
    ['strings', one([{ name: 'w', dims: [1], dataType: 8 }]), 'STRING are not supported'],
    [
      'two of a name',
      one([tensorOf('w', values([1])), tensorOf('w', values([2]))]),
      'two constants are called w',
    ],
    [
      'a cycle',
      one([], { node: [node('Add', ['x', 'y'], ['w']), node('Add', ['x', 'w'], ['y'])] }),
      'depends on its own result',
    ],
    ['what nothing defines', one([]), 'needs w, which nothing defines'],
    ['an old opset', modelOf({}, 6), 'of opset 6, but 7 to 21'],
    ['a new opset', modelOf({}, 22), 'of opset 22, but 7 to 21'],
    [
      'no graph',
      encodeModel({ irVersion: 8, opsetImport: [{ version: 13 }] }),
      'there is no graph',
    ],
    ['a varint bomb', Uint8Array.of(8, ...new Array(40).fill(0xff)), 'cannot be read'],
    ['a length beyond the end', Uint8Array.of(58, 0xff, 0xff, 0xff, 0xff, 7), 'cannot be read'],
    ['nothing', new Uint8Array(0), 'there is no graph'],
    ['a checkpoint of PyTorch', Uint8Array.of(0x50, 0x4b, 3, 4), 'is no ONNX model but a zip'],
    ['an old one', Uint8Array.of(0x80, 2, 0x8a, 0x0a), 'a pickle'],
    ['safetensors', new TextEncoder().encode('\x40\n\0\0\0\0\0\0{"w":'), 'loadState reads it'],
    ['Keras', Uint8Array.of(0x89, 0x48, 0x44, 0x46), 'loadKeras'],
    ['a page', new TextEncoder().encode('<!DOCTYPE html>'), 'perhaps an error page'],
    ['a pointer', new TextEncoder().encode('version https://git-lfs'), 'Git LFS'],
  ])('%s', (_, bytes, text) => {
    expect(() => loadOnnxBytes(bytes, 'm')).toThrow(text)
  })
  it('graphs in graphs', () => {
    let graph: Graph = { name: 'g', node: [], output: [] }
    for (let i = 0; i < 40; i++)
      graph = {
        name: 'g',
        node: [
          {
            opType: 'If',
            input: ['c'],
            output: ['y'],
            attribute: [graphAttribute('then_branch', graph)],
          },
        ],
        output: [{ name: 'y' }],
      }
    expect(() => loadOnnxBytes(modelOf(graph, 13), 'm')).toThrow('deep')
  })
  it('names of objects', async () => {
    const name = '__proto__'
    const bytes = modelOf(
      {
        node: [node('Add', [name, 'constructor'], ['toString'])],
        input: [infoOf(name, { dtype: 'float', shape: [1] })],
        output: [{ name: 'toString' }],
        initializer: [tensorOf('constructor', values([1]))],
      },
      13,
    )
    const model = loadOnnxBytes(bytes, 'm', { parameters: () => true })
    const results = model.run(Object.fromEntries([[name, tensor([2])]]))
    expect(Object.keys(results)).toEqual(['toString'])
    expect([...(await model.forward(tensor([2])).data())]).toEqual([3])
    expect(Object.keys(model.stateDict())).toEqual(['constructor'])
  })
})
