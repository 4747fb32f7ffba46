// Random graphs compiled for 16, 8 and 4 lanes through C, against the interpreter's float64; and the same bits for one
// thread and two.
import { expect, test } from 'vitest'
import { gradients } from '../src/autograd/grad.js'
import { allocate, itemSize, numbersOf, type TypedArray, typedView } from '../src/base/dtype.js'
import { sizeOf } from '../src/base/shape.js'
import { compileGraph, inputsOf } from '../src/compiler/compile.js'
import type { Machine, Program } from '../src/compiler/program.js'
import { affine, makeContract, plain } from '../src/graph/contract.js'
import { interpret } from '../src/graph/interpret.js'
import {
  constant,
  contract,
  expand,
  type Graph,
  type InputNode,
  input,
  map,
  type Node,
  permute,
  reduce,
  reshape,
  view,
} from '../src/graph/node.js'
import { printGraph } from '../src/graph/print.js'
import { bytesOf, firstDifference } from './programs.js'
import { randomGraph } from './random-graph.js'
import { nativeMachine, nativeRunners, runEach } from './run-native.js'

const TOLERANCE = 2e-4 // float32 through some thirty operations of moderate values

const runners = await nativeRunners()
const present = runners.length > 0

const of = (lanes: number, tile: Machine['tile']): Machine => ({
  ...nativeMachine,
  name: `c${lanes}`,
  lanes,
  tile,
})
const machines: readonly { readonly machine: Machine; readonly seeds: number }[] = [
  { machine: nativeMachine, seeds: 14 },
  { machine: of(8, { splats: 6, vectors: 2 }), seeds: 6 },
  { machine: of(4, { splats: 2, vectors: 4 }), seeds: 3 },
]
/** Axes longer than two vectors of 16 lanes, and not multiples of them. */
const WIDE = 13

/** Every step shared between the threads, however small. */
function shared(program: Program): Program {
  const regions = program.regions.map((region) => ({
    ...region,
    steps: region.steps.map((step) => ({ ...step, parallel: true })),
  }))
  return { ...program, regions }
}

async function check(
  seed: number,
  graph: Graph,
  bind: (input: InputNode) => TypedArray,
  machine: Machine,
): Promise<void> {
  const exact = interpret(graph, bind)
  const inputs = inputsOf(graph)
  const program = shared(compileGraph(graph, machine))
  const given = inputs.map((node) => bytesOf(bind(node) as Float32Array))
  const [one, two] = await runEach(runners, program, given)
  const fail = (text: string) => expect.fail(`seed ${seed}: ${text}\n${printGraph(graph)}`)
  if (firstDifference(one, two) >= 0) fail('two threads give other bits than one')
  const read = (i: number): TypedArray => {
    const { dtype, shape } = program.arguments[i]
    const out = allocate(dtype, sizeOf(shape))
    out.set(typedView(dtype, one[i].buffer, 0, one[i].byteLength / itemSize[dtype]))
    return numbersOf(dtype, out)
  }
  const found = [
    ...graph.outputs.map((_, k) => read(inputs.length + k)),
    ...graph.updates.map(({ target }) => read(inputs.indexOf(target))),
  ]
  for (const [i, wanted] of [...exact.outputs, ...exact.updates].entries())
    for (const [k, value] of wanted.entries())
      if (!(Math.abs(value - found[i][k]) <= TOLERANCE * Math.max(1, Math.abs(value))))
        fail(`root ${i}[${k}]: ${found[i][k]}, not ${value}`)
}

for (const { machine, seeds } of machines) {
  test.skipIf(!present)(`values with ${machine.lanes} lanes`, async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const { graph, bind } = randomGraph(seed, { smooth: true, updates: true, wide: WIDE })
      await check(seed, graph, bind, machine)
    }
  })

  test.skipIf(!present)(`gradients with ${machine.lanes} lanes`, async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const random = randomGraph(seed, { smooth: true, nodes: 12, wide: WIDE })
      const of = map('tanh', random.graph.outputs[0])
      const root = reduce(
        'sum',
        of.shape.map((_, i) => i),
        of,
      )
      const found = gradients(root, random.inputs).filter((node) => node !== undefined)
      await check(seed, { outputs: [root, ...found], updates: [] }, random.bind, machine)
    }
  })

  test.skipIf(!present)(`recurrences and their gradients with ${machine.lanes} lanes`, async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const random = randomGraph(seed, { smooth: true, nodes: 9, wide: WIDE, scans: true })
      const of = map('tanh', random.graph.outputs[1])
      const root = reduce(
        'sum',
        of.shape.map((_, i) => i),
        of,
      )
      const found = gradients(root, random.inputs).filter((node) => node !== undefined)
      await check(seed, { outputs: [root, ...found], updates: [] }, random.bind, machine)
    }
  })

  test.skipIf(!present)(`comparisons and rounding with ${machine.lanes} lanes`, async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const { graph, bind } = randomGraph(seed, { nodes: 15, wide: WIDE })
      await check(seed, graph, bind, machine)
    }
  })
}

test.skipIf(!present)('sums of neighbouring columns, several vectors at a time', async () => {
  for (const columns of [48, 96, 149]) {
    const x = input({}, [3, 2, 150, columns], 'float32')
    const y = input({}, [3, 2, 150, columns], 'float32')
    const wide = (node: Node) => expand(reshape(node, [3, 1, 1, columns]), x.shape)
    const mean = map('mul', reduce('sum', [1, 2], x), constant(1 / 300, 'float32', [3, columns]))
    const apart = map('sub', x, wide(mean))
    const variance = reduce('sum', [1, 2], map('mul', apart, apart))
    const slope = reduce('sum', [1, 2], map('mul', apart, y))
    const best = reduce('argmax', [1, 2], map('tanh', x))
    const root = map('mul', slope, map('exp', map('neg', variance)))
    const graph = { outputs: [mean, variance, slope, best, root], updates: [] }
    const values = Float32Array.from({ length: 900 * columns }, (_, i) => Math.sin(i * i))
    for (const { machine } of machines) await check(0, graph, () => values, machine)
  }
})

test.skipIf(!present)('gradients of depthwise convolutions, one after the other', async () => {
  for (const [size, stride] of [
    [3, 2],
    [5, 1],
  ]) {
    const [batch, channels, height, width] = [3, 48, 9, 7]
    const out = (n: number) => Math.ceil(n / stride)
    const tap = (pixel: number, tap: number, by: number) =>
      affine(
        [
          [pixel, by],
          [tap, 1],
        ],
        -(size >> 1),
      )
    const depthwise = (x: Node, w: Node, by: number, shape: readonly number[]) =>
      contract(
        makeContract({
          extents: [batch, channels, ...shape, size, size],
          rank: 4,
          a: [plain(0), plain(1), tap(2, 4, by), tap(3, 5, by)],
          b: [plain(1), plain(4), plain(5)],
        }),
        x,
        w,
      )
    const x = input({}, [batch, channels, height, width], 'float32')
    const weights = [0, 1].map(() => input({}, [channels, size, size], 'float32'))
    const first = depthwise(x, weights[0], 1, [height, width])
    const y = depthwise(map('tanh', first), weights[1], stride, [out(height), out(width)])
    const found = gradients(reduce('sum', [0, 1, 2, 3], map('mul', y, y)), weights)
    const graph = { outputs: found.filter((node) => node !== undefined), updates: [] }
    const values = Float32Array.from({ length: sizeOf(x.shape) }, (_, i) => Math.sin(i * i) / 4)
    const bind = (node: InputNode) => values.subarray(0, sizeOf(node.shape))
    for (const { machine } of machines) await check(0, graph, bind, machine)
  }
})

test.skipIf(!present)('windows whose elements lie apart and may be outside', async () => {
  const x = input({}, [65], 'float32')
  const op = { axis: 0, count: 22, size: 2, stride: 3, dilation: 2, padding: 1, value: 0 }
  const taps = map('tanh', view({ type: 'window', ...op }, x))
  const all = [0, 1]
  const graph = { outputs: [taps, reduce('sum', all, taps)], updates: [] }
  const values = Float32Array.from({ length: 65 }, (_, i) => Math.sin(i + 1))
  await check(0, graph, () => values, machines[0].machine)
})

test.skipIf(!present)('halves are stored rounded, contiguous and strided', async () => {
  const x = input({}, [3, 41], 'float32')
  const values = Float32Array.from({ length: 123 }, (_, i) => Math.sin(i) * 10 ** ((i % 9) - 4))
  for (const { machine } of machines)
    for (const fn of ['toFloat16', 'toBfloat16'] as const) {
      const half = map(fn, x)
      const turned = map('toFloat32', permute(half, [1, 0]))
      await check(0, { outputs: [half, turned], updates: [] }, () => values, machine)
    }
})
