// The compiler against the interpreter: hand-made graphs of every kind, then random ones.
import { expect, test } from 'vitest'
import { gradients } from '../src/autograd/grad.js'
import { allocate, type TypedArray } from '../src/base/dtype.js'
import { sizeOf } from '../src/base/shape.js'
import { convSpec, convTransposeSpec, linearSpec, matmulSpec } from '../src/graph/contract.js'
import { interpret } from '../src/graph/interpret.js'
import * as g from '../src/graph/node.js'
import { channelMoments } from '../src/nn/nodes/normalization.js'
import { crampedMachine, runGraph } from './compiled.js'

function inputs() {
  const data = new Map<g.InputNode, TypedArray>()
  let seed = 1
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0
    return (seed >>> 8) / 2 ** 24
  }
  return {
    random,
    float: (...shape: number[]) => {
      const node = g.input({}, shape, 'float32')
      const values = allocate('float32', sizeOf(shape))
      for (let i = 0; i < values.length; i++) values[i] = random() * 2 - 1
      data.set(node, values)
      return node
    },
    int: (below: number, ...shape: number[]) => {
      const node = g.input({}, shape, 'int32')
      const values = allocate('int32', sizeOf(shape))
      for (let i = 0; i < values.length; i++) values[i] = Math.floor(random() * below)
      data.set(node, values)
      return node
    },
    bind: (node: g.InputNode): TypedArray => {
      const values = data.get(node)
      if (!values) throw new Error('not bound')
      return values
    },
  }
}

function agree(graph: g.Graph, bind: (input: g.InputNode) => TypedArray, tolerance = 1e-5) {
  const expected = interpret(graph, bind)
  const got = runGraph(graph, bind)
  const cramped = runGraph(graph, bind, { machine: crampedMachine })
  const compare = (want: ArrayLike<number>, have: ArrayLike<number>, what: string) => {
    let most = 1e-6
    for (let i = 0; i < want.length; i++)
      if (Number.isFinite(want[i])) most = Math.max(most, Math.abs(want[i]))
    for (let i = 0; i < want.length; i++) {
      const same = Object.is(want[i], have[i]) || Math.abs(want[i] - have[i]) <= tolerance * most
      if (!same) throw new Error(`${what}[${i}]: expected ${want[i]}, got ${have[i]}`)
    }
  }
  expected.outputs.forEach((want, i) => {
    compare(want, got.outputs[i], `output ${i}`)
    compare(want, cramped.outputs[i], `output ${i} with small caches`)
  })
  expected.updates.forEach((want, i) => {
    compare(want, got.updates[i], `update ${i}`)
    compare(want, cramped.updates[i], `update ${i} with small caches`)
  })
  return got
}

const kernelsOf = (got: ReturnType<typeof agree>) => got.program.regions.length

test('element-wise work is one kernel, with tails', () => {
  const { float, bind } = inputs()
  for (const shape of [[1], [3], [4, 5], [7, 3, 2], [2000]]) {
    const x = float(...shape)
    const y = float(...shape)
    const z = g.map('relu', g.map('sub', g.map('mul', x, y), g.map('exp', y)))
    expect(kernelsOf(agree({ outputs: [z], updates: [] }, bind))).toBe(1)
  }
})

test('axes stay apart where a position along one decides, whatever lies in memory', () => {
  const { float, bind } = inputs()
  const x = float(4, 6)
  const part = (start: number, count: number, of: g.Node) =>
    g.view({ type: 'slice', starts: [start, 0], steps: [1, 1], shape: [count, 6] }, of)
  const padded = (low: number, high: number, of: g.Node) =>
    g.view({ type: 'pad', low: [low, 0], high: [high, 0], value: 0 }, of)
  const edge = (low: number, high: number) =>
    padded(low, high, g.constant(2, 'float32', [4 - low - high, 6]))
  // A constant is nowhere in memory; what is behind a pad may be read without it too.
  const rows = [edge(3, 0), edge(0, 3), padded(0, 2, part(0, 2, x)), padded(1, 0, part(1, 3, x))]
  agree({ outputs: rows.map((row) => g.map('add', x, row)), updates: [] }, bind)
  agree({ outputs: rows.map((row) => g.map('mul', row, x)), updates: [] }, bind)
  agree({ outputs: rows, updates: [] }, bind)
  agree({ outputs: [g.concat(0, [edge(2, 1), x])], updates: [] }, bind)
  const inner = rows.map((row) =>
    g.reduce('sum', [1, 2], g.reshape(g.map('add', x, row), [1, 4, 6])),
  )
  agree({ outputs: inner, updates: [] }, bind)
  const numbers = g.map('toFloat32', g.iota([4, 6], 0))
  agree({ outputs: [g.map('add', x, numbers), numbers], updates: [] }, bind)
})

test('views fold: permute, slice, expand, pad, window, reshape', () => {
  const { float, bind } = inputs()
  const x = float(4, 6)
  const row = float(1, 6)
  const t = g.permute(g.map('add', x, g.expand(row, [4, 6])), [1, 0])
  const s = g.view({ type: 'slice', starts: [5, 1], steps: [-2, 1], shape: [3, 2] }, t)
  const p = g.view({ type: 'pad', low: [1, 0], high: [0, 2], value: 7 }, s)
  const w = g.view(
    { type: 'window', axis: 0, count: 3, size: 2, stride: 1, dilation: 1, padding: 0, value: 0 },
    p,
  )
  const r = g.reshape(g.map('neg', g.permute(x, [1, 0])), [3, 8])
  const q = g.reshape(g.permute(g.reshape(x, [2, 2, 2, 3]), [0, 2, 1, 3]), [4, 6])
  agree({ outputs: [w, r, g.map('add', q, x)], updates: [] }, bind)
})

test('reductions over any axes', () => {
  const { float, bind } = inputs()
  const x = float(5, 9, 8)
  for (const axes of [[0], [1], [2], [0, 1], [1, 2], [0, 2], [0, 1, 2]])
    for (const fn of ['sum', 'max', 'prod', 'argmax'] as const)
      agree({ outputs: [g.reduce(fn, axes, g.map('add', x, x))], updates: [] }, bind)
})

test('softmax is one kernel that reads once and writes once', () => {
  const { float, bind } = inputs()
  for (const [shape, axis] of [
    [[6, 40], 1],
    [[6, 8, 16], 1],
    [[5, 3], 1],
    [[33, 7], 0],
  ] as const) {
    const x = float(...shape)
    const kept = shape.map((n, i) => (i === axis ? 1 : n))
    const wide = (r: g.Node) => g.expand(g.reshape(r, kept), shape)
    const e = g.map('exp', g.map('sub', x, wide(g.reduce('max', [axis], x))))
    const y = g.map('div', e, wide(g.reduce('sum', [axis], e)))
    const got = agree({ outputs: [y], updates: [] }, bind)
    expect(kernelsOf(got)).toBe(1)
    expect(got.program.regions[0].steps[0].bytes).toBe(2 * 4 * sizeOf(shape))
  }
})

test('layer norm is one kernel', () => {
  const { float, bind } = inputs()
  const [rows, width] = [6, 40]
  const x = float(rows, width)
  const weight = float(width)
  const wide = (r: g.Node) => g.expand(g.reshape(r, [rows, 1]), [rows, width])
  const scale = (r: g.Node) => g.map('mul', r, g.broadcastTo(g.constant(1 / width), r.shape))
  const mean = scale(g.reduce('sum', [1], x))
  const d = g.map('sub', x, wide(mean))
  const variance = scale(g.reduce('sum', [1], g.map('mul', d, d)))
  const r = g.map(
    'div',
    g.broadcastTo(g.constant(1), [rows]),
    g.map('sqrt', g.map('add', variance, g.broadcastTo(g.constant(1e-5), [rows]))),
  )
  const y = g.map('mul', g.map('mul', d, wide(r)), g.broadcastTo(weight, [rows, width]))
  const got = agree({ outputs: [y], updates: [] }, bind)
  expect(kernelsOf(got)).toBe(1)
})

test('matrix products', () => {
  const { float, bind } = inputs()
  for (const [m, n, k] of [
    [3, 5, 7],
    [16, 16, 16],
    [33, 18, 5],
    [1, 40, 9],
    [40, 1, 9],
    [8, 30, 64],
    [9, 20, 512],
    [33, 150, 24],
  ]) {
    const a = float(m, k)
    const w = float(n, k)
    const b = float(k, n)
    const bias = float(n)
    const y = g.map(
      'relu',
      g.map('add', g.contract(linearSpec([m], n, k), a, w), g.broadcastTo(bias, [m, n])),
    )
    const z = g.contract(matmulSpec([], m, n, k), a, b)
    const loss = g.reduce('sum', [0, 1], g.map('mul', y, z))
    const grads = gradients(loss, [a, w, b, bias]).map((x) => x ?? g.constant(0))
    agree({ outputs: [y, z, loss, ...grads], updates: [] }, bind, 3e-5)
  }
})

test('convolutions and their gradients', () => {
  const { float, bind } = inputs()
  const cases = [
    {
      batch: 2,
      groups: 1,
      inChannels: 3,
      outChannels: 4,
      size: [8, 9],
      kernel: [3, 3],
      stride: [1, 1],
      padding: [1, 1],
      dilation: [1, 1],
    },
    {
      batch: 2,
      groups: 2,
      inChannels: 2,
      outChannels: 3,
      size: [7, 10],
      kernel: [3, 2],
      stride: [2, 3],
      padding: [1, 0],
      dilation: [1, 2],
    },
    {
      batch: 16,
      groups: 1,
      inChannels: 2,
      outChannels: 6,
      size: [10, 10],
      kernel: [5, 5],
      stride: [1, 1],
      padding: [2, 2],
      dilation: [1, 1],
    },
    {
      batch: 32,
      groups: 1,
      inChannels: 3,
      outChannels: 4,
      size: [9, 6],
      kernel: [3, 3],
      stride: [2, 1],
      padding: [1, 1],
      dilation: [1, 1],
    },
    {
      batch: 1,
      groups: 4,
      inChannels: 1,
      outChannels: 1,
      size: [8, 8],
      kernel: [3, 3],
      stride: [1, 1],
      padding: [1, 1],
      dilation: [1, 1],
    },
    {
      batch: 3,
      groups: 1,
      inChannels: 5,
      outChannels: 8,
      size: [11],
      kernel: [3],
      stride: [2],
      padding: [1],
      dilation: [2],
    },
  ]
  for (const c of cases) {
    const output = c.size.map(
      (n, i) =>
        Math.floor((n + 2 * c.padding[i] - c.dilation[i] * (c.kernel[i] - 1) - 1) / c.stride[i]) +
        1,
    )
    const group = c.groups > 1 ? [c.groups] : []
    const x = float(c.batch, ...group, c.inChannels, ...c.size)
    const w = float(...group, c.outChannels, c.inChannels, ...c.kernel)
    const conv = g.contract(convSpec({ ...c, output }), x, w)
    const b = float(...group, c.outChannels)
    const wide = g.broadcastTo(g.reshape(b, [...b.shape, ...output.map(() => 1)]), conv.shape)
    const y = g.map('relu', g.map('add', conv, wide))
    const loss = g.reduce(
      'sum',
      y.shape.map((_, i) => i),
      g.map('mul', y, y),
    )
    const grads = gradients(loss, [x, w, b]).map((n) => n ?? g.constant(0))
    const got = agree({ outputs: [y, loss, ...grads], updates: [] }, bind, 3e-5)
    expect(got.program.regions.length).toBeGreaterThan(0)
  }
})

test('convolution, bias and ReLU are one kernel', () => {
  const { float, bind } = inputs()
  const x = float(2, 3, 8, 8)
  const w = float(4, 3, 3, 3)
  const b = float(4)
  const sizes = {
    batch: 2,
    groups: 1,
    inChannels: 3,
    outChannels: 4,
    kernel: [3, 3],
    stride: [1, 1],
    padding: [0, 0],
    dilation: [1, 1],
    output: [6, 6],
  }
  const conv = g.contract(convSpec(sizes), x, w)
  const y = g.map('relu', g.map('add', conv, g.broadcastTo(g.reshape(b, [4, 1, 1]), conv.shape)))
  expect(kernelsOf(agree({ outputs: [y], updates: [] }, bind))).toBe(1)
})

test('what follows a product may end within a vector', () => {
  const { float, bind } = inputs()
  for (const end of [1, 2, 3, 5]) {
    const edge = g.view({ type: 'pad', low: [0, 0], high: [0, end], value: 0 }, float(3, 39 - end))
    const product = g.contract(matmulSpec([], 3, 39, 8), float(3, 8), float(8, 39))
    agree({ outputs: [g.map('add', product, edge)], updates: [] }, bind)
  }
})

test('padding of a constant is no part of it', () => {
  const { float, bind } = inputs()
  const image = g.constant(1, 'float32', [2, 3, 6, 6])
  const spec = convSpec({
    batch: 2,
    groups: 1,
    inChannels: 3,
    outChannels: 5,
    kernel: [3, 3],
    stride: [1, 1],
    padding: [1, 1],
    dilation: [1, 1],
    output: [6, 6],
  })
  agree({ outputs: [g.contract(spec, image, float(5, 3, 3, 3))], updates: [] }, bind, 1e-4)
  const edged = (value: number) =>
    g.view({ type: 'pad', low: [0, 2], high: [1, 1], value }, g.constant(3, 'float32', [6, 5]))
  for (const edge of [edged(0), edged(2)]) {
    const product = (n: number) => g.contract(matmulSpec([], 7, n, 8), edge, float(8, n))
    agree({ outputs: [product(1), product(9)], updates: [] }, bind)
  }
})

test('a padded convolution pads one image at a time in its own kernel', () => {
  const { float, bind } = inputs()
  const x = float(8, 3, 16, 16)
  const w = float(4, 3, 3, 3)
  const b = float(4)
  const sizes = {
    batch: 8,
    groups: 1,
    inChannels: 3,
    outChannels: 4,
    kernel: [3, 3],
    stride: [1, 1],
    padding: [1, 1],
    dilation: [1, 1],
    output: [16, 16],
  }
  const conv = g.contract(convSpec(sizes), x, w)
  const y = g.map('relu', g.map('add', conv, g.broadcastTo(g.reshape(b, [4, 1, 1]), conv.shape)))
  expect(kernelsOf(agree({ outputs: [y], updates: [] }, bind))).toBe(1)
})

test('transposed convolution', () => {
  const { float, bind } = inputs()
  const sizes = {
    batch: 2,
    groups: 1,
    inChannels: 3,
    outChannels: 4,
    kernel: [3, 3],
    stride: [2, 2],
    padding: [1, 1],
    dilation: [1, 1],
    output: [9, 9],
  }
  const x = float(2, 3, 5, 5)
  const w = float(3, 4, 3, 3)
  const y = g.contract(convTransposeSpec(sizes), x, w)
  const loss = g.reduce('sum', [0, 1, 2, 3], g.map('mul', y, y))
  const grads = gradients(loss, [x, w]).map((n) => n ?? g.constant(0))
  agree({ outputs: [y, loss, ...grads], updates: [] }, bind, 3e-5)
})

test('gather, scatterAdd and concat', () => {
  const { float, int, bind } = inputs()
  const table = float(10, 8)
  const index = int(10, 5, 1)
  const rows = g.gather(0, table, g.expand(index, [5, 8]))
  const x = float(6, 10)
  const label = int(10, 6, 1)
  const picked = g.gather(1, x, label)
  const back = g.scatterAdd(0, 10, g.expand(index, [5, 8]), float(5, 8))
  const joined = g.concat(1, [x, g.map('neg', x), float(6, 3)])
  agree({ outputs: [rows, picked, back, g.map('exp', joined)], updates: [] }, bind)
})

test('an index out of range is reported and updates are not applied', () => {
  const { float, int, bind } = inputs()
  const table = float(4, 8)
  const index = int(9, 12, 1)
  const p = float(3)
  const picked = g.gather(0, table, g.expand(index, [12, 8]))
  const total = g.broadcastTo(g.reduce('sum', [0, 1], picked), [3])
  const graph = { outputs: [], updates: [{ target: p, value: g.map('add', p, total) }] }
  const got = runGraph(graph, bind)
  expect(got.code).toBe(1)
  expect(got.program.reports[0]).toMatchObject({ kind: 'index', size: 4 })
  expect([...got.updates[0]]).toEqual([...bind(p)])
})

test('updates in place, chained and swapped', () => {
  const { float, bind } = inputs()
  const p = float(50)
  const v = float(50)
  const gradient = float(50)
  const lr = float()
  const newV = g.map('add', g.map('mul', v, g.broadcastTo(g.constant(0.9), [50])), gradient)
  const newP = g.map('sub', p, g.map('mul', newV, g.broadcastTo(lr, [50])))
  const got = agree(
    {
      outputs: [],
      updates: [
        { target: v, value: newV },
        { target: p, value: newP },
      ],
    },
    bind,
  )
  expect(kernelsOf(got)).toBe(1)
  agree(
    {
      outputs: [],
      updates: [
        { target: v, value: p },
        { target: p, value: v },
      ],
    },
    bind,
  )
  const shifted = g.view({ type: 'slice', starts: [49], steps: [-1], shape: [50] }, p)
  agree({ outputs: [p], updates: [{ target: p, value: g.map('add', shifted, p) }] }, bind)
})

test('weight decay and momentum are one kernel, without copies', () => {
  const { float, bind } = inputs()
  const p = float(50)
  const v = float(50)
  const gradient = float(50)
  const decayed = g.map('add', gradient, g.map('mul', p, g.broadcastTo(g.constant(0.01), [50])))
  const newV = g.map('add', g.map('mul', v, g.broadcastTo(g.constant(0.9), [50])), decayed)
  const newP = g.map('sub', p, g.map('mul', newV, g.broadcastTo(g.constant(0.1), [50])))
  const updates = [
    { target: v, value: newV },
    { target: p, value: newP },
  ]
  const got = agree({ outputs: [], updates }, bind)
  expect(got.program.regions.map((region) => region.steps.length)).toEqual([1])
  expect(got.program.arenaBytes).toBe(0)
})

test('long sums keep their digits', () => {
  const rows: readonly (readonly [number[], number[]])[] = [
    [[1_000_003], [0]],
    [[100_001, 3], [0]],
    [
      [64, 3, 29, 29],
      [0, 2, 3],
    ],
  ]
  for (const [shape, axes] of rows) {
    const x = g.input({}, shape, 'float32')
    const values = new Float32Array(sizeOf(shape)).fill(0.1)
    const graph = { outputs: [g.reduce('sum', axes, x)], updates: [] }
    const got = runGraph(graph, () => values)
    const each = values.length / got.outputs[0].length
    for (const sum of got.outputs[0])
      expect(Math.abs(sum / (each * Math.fround(0.1)) - 1)).toBeLessThan(3e-6)
  }
  const n = 200_000
  const a = g.input({}, [1, n], 'float32')
  const b = g.input({}, [1, n], 'float32')
  const dot = g.contract(linearSpec([1], 1, n), a, b)
  const ones = new Float32Array(n).fill(0.1)
  const got = runGraph({ outputs: [dot], updates: [] }, () => ones)
  expect(Math.abs(got.outputs[0][0] / (n * Math.fround(0.1) ** 2) - 1)).toBeLessThan(3e-5)
})

test('a chain over more tensors than a function takes parameters', () => {
  const { float, bind } = inputs()
  let sum: g.Node = float(8)
  for (let i = 0; i < 1500; i++) sum = g.map('add', sum, float(8))
  agree({ outputs: [sum], updates: [] }, bind)
})

test('an image computed in front of a padded convolution', () => {
  const { float, bind } = inputs()
  const x = float(2, 8, 4, 4)
  const flat = g.reshape(x, [2, 2, 64])
  const total = g.reduce('sum', [2], flat)
  const centred = g.map('sub', flat, g.expand(g.reshape(total, [2, 2, 1]), [2, 2, 64]))
  const image = g.map('relu', g.reshape(centred, [2, 8, 4, 4]))
  const sizes = {
    batch: 2,
    groups: 1,
    inChannels: 8,
    outChannels: 3,
    kernel: [3, 3],
    stride: [1, 1],
    padding: [1, 1],
    dilation: [1, 1],
    output: [4, 4],
  }
  const none = [0, 0, 0, 0]
  const padded = g.map(
    'relu',
    g.view({ type: 'pad', low: none, high: [0, 0, 1, 1], value: 0.5 }, x),
  )
  const wide = { ...sizes, output: [5, 5] }
  agree(
    {
      outputs: [
        g.contract(convSpec(sizes), image, float(3, 8, 3, 3)),
        g.contract(convSpec(wide), padded, float(3, 8, 3, 3)),
      ],
      updates: [],
    },
    bind,
    3e-5,
  )
})

test('integers and booleans', () => {
  const { float, int, bind } = inputs()
  const a = int(1000, 30)
  const b = int(7, 30)
  const two = g.broadcastTo(g.constant(3, 'int32'), [30])
  const m = g.map('mod', g.map('sub', a, g.map('mul', b, two)), two)
  const mixed = g.map('bitXor', g.map('shr', g.map('mul', a, a), two), b)
  const x = float(30)
  const mask = g.map('lt', x, g.map('neg', x))
  const picked = g.map('where', mask, x, g.map('toFloat32', a))
  const count = g.reduce('sum', [0], g.map('toInt32', mask))
  agree(
    {
      outputs: [
        m,
        mixed,
        mask,
        picked,
        count,
        g.map('toUint8', a),
        g.map('toInt32', g.map('mul', x, g.broadcastTo(g.constant(9), [30]))),
      ],
      updates: [],
    },
    bind,
  )
})

test('moments of channels far from 0 keep their digits', () => {
  const image = g.input({}, [3, 16, 40, 32], 'float32')
  const pixels = Float32Array.from(
    { length: 3 * 16 * 1280 },
    (_, i) => 2000 + (i % 2) + (i % 7) / 8,
  )
  const parts = channelMoments(image)
  const graph = { outputs: [parts.mean, parts.variance], updates: [] }
  agree(graph, () => pixels, 1e-5)
})

test('what is needed late is made late', () => {
  const { float, bind } = inputs()
  let y: g.Node = float(2, 64)
  for (let layer = 0; layer < 20; layer++) {
    const weights = g.map('exp', g.map('neg', g.map('exp', float(64, 64))))
    y = g.map('tanh', g.contract(matmulSpec([], 2, 64, 64), y, weights))
  }
  const got = agree({ outputs: [y], updates: [] }, bind)
  expect(got.program.arenaBytes).toBeLessThan(4 * 64 * 64 * 4)
})
