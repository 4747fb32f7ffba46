// ONNX models read as a whole: roles of constants, training, control flow.
import { beforeAll, describe, expect, it } from 'vitest'
import { compile, type Tensor, tensor } from '../src/index.js'
import type { GraphModule } from '../src/io/graph/module.js'
import { exportOnnx } from '../src/io/onnx/export.js'
import { loadOnnx, loadOnnxBytes } from '../src/io/onnx/load.js'
import type { Graph, Node } from '../src/io/onnx/wire.js'
import { LeNet } from '../src/models/lenet.js'
import { Linear } from '../src/nn/index.js'
import { SGD } from '../src/optim/index.js'
import { setDevice } from '../src/tensor/devices.js'
import { trained } from './onnx-in.compare.js'
import {
  floats,
  graphAttribute,
  infoOf,
  known,
  modelOf,
  node,
  tensorOf,
  values,
  weights,
} from './onnx-in.inputs.js'
import { difference } from './support.js'

beforeAll(() => setDevice('cpu'))

const names = (model: GraphModule) => model.namedParameters().map(([name]) => name)
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
