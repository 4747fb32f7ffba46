// Convolutions by transformed tiles (winograd.ts), forward and as the gradients for input and weights, through
// WebAssembly and C, against the interpreter's float64.
import { describe, expect, it } from 'vitest'
import { gradients } from '../src/autograd/grad.js'
import { typedView } from '../src/base/dtype.js'
import { sizeOf } from '../src/base/shape.js'
import { compileGraph, inputsOf } from '../src/compiler/compile.js'
import type { Machine, Program } from '../src/compiler/program.js'
import { affine, makeContract, plain } from '../src/graph/contract.js'
import { interpret } from '../src/graph/interpret.js'
import {
  contract,
  expand,
  type Graph,
  type InputNode,
  input,
  map,
  type Node,
  reduce,
  reshape,
  view,
} from '../src/graph/node.js'
import { runGraph, testMachine } from './compiled.js'
import { bytesOf, firstDifference, noise } from './programs.js'
import { nativeMachine, nativeRunners, runEach } from './run-native.js'
import { difference } from './support.js'

/** Of the largest value: F(2×2, 3×3) is nearly as good as a direct sum. */
const BOUND = 2e-6

const runners = await nativeRunners()
const present = runners.length > 0

interface Case {
  readonly n: number
  readonly c: number
  readonly o: number
  readonly height: number
  readonly width: number
  readonly padding: number
}

function convolution({ n, c, o, height, width, padding }: Case, x: Node, w: Node): Node {
  const spec = makeContract({
    extents: [n, o, height + 2 * padding - 2, width + 2 * padding - 2, c, 3, 3],
    rank: 4,
    a: [
      plain(0),
      plain(4),
      affine(
        [
          [2, 1],
          [5, 1],
        ],
        -padding,
      ),
      affine(
        [
          [3, 1],
          [6, 1],
        ],
        -padding,
      ),
    ],
    b: [plain(1), plain(4), plain(5), plain(6)],
  })
  return contract(spec, x, w)
}

type Build = (x: Node, w: Node, at: Case) => Graph

const sumOf = (node: Node) => {
  const axes = node.shape.map((_, i) => i)
  return reduce('sum', axes, node)
}

/** The convolution, and the gradients of a sum that weighs its results. */
const alone: Build = (x, w, at) => {
  const y = convolution(at, x, w)
  const found = gradients(sumOf(map('mul', y, map('sin', y))), [x, w])
  return { outputs: [y, ...found.filter((node) => node !== undefined)], updates: [] }
}

/** Two in a row, with bias, a residual and relu: what follows a convolution is in its kernel. */
const block: Build = (x, w, at) => {
  const bias = reduce('sum', [1, 2, 3], w)
  const add = (y: Node) => map('add', y, expand(reshape(bias, [1, at.o, 1, 1]), y.shape))
  const first = map('relu', add(convolution(at, x, w)))
  const second = convolution({ ...at, height: first.shape[2], width: first.shape[3] }, first, w)
  const same = second.shape.every((size, i) => size === x.shape[i])
  const y = map('relu', same ? map('add', add(second), x) : add(second))
  const found = gradients(sumOf(map('mul', y, y)), [x, w])
  return { outputs: [y, ...found.filter((node) => node !== undefined)], updates: [] }
}

/** What is added exists in some channels only, which vectors along them cannot follow. */
const some: Build = (x, w, at) => withFew(x, w, at, 5, 8)
/** In all but the last one. */
const most: Build = (x, w, at) => withFew(x, w, at, 0, at.o - 1)

function withFew(x: Node, w: Node, at: Case, from: number, count: number): Graph {
  const y = convolution(at, x, w)
  const none = x.shape.map(() => 0)
  const few = [at.n, count, ...y.shape.slice(2)]
  const first = view({ type: 'slice', starts: none, steps: none.map(() => 1), shape: few }, x)
  const low = [0, from, 0, 0]
  const high = [0, at.o - from - count, 0, 0]
  const sum = map('add', y, view({ type: 'pad', low, high, value: 0 }, first))
  return { outputs: [sum], updates: [] }
}

const native: Machine = { ...nativeMachine, winograd: true }
const wasm: Machine = { ...testMachine, winograd: true }

const cases: readonly { readonly build: Build; readonly at: Case }[] = [
  { build: alone, at: { n: 3, c: 32, o: 48, height: 12, width: 16, padding: 1 } },
  { build: alone, at: { n: 1, c: 48, o: 32, height: 19, width: 21, padding: 0 } },
  { build: alone, at: { n: 3, c: 32, o: 32, height: 13, width: 9, padding: 2 } },
  { build: block, at: { n: 1, c: 64, o: 64, height: 17, width: 18, padding: 1 } },
  { build: block, at: { n: 3, c: 32, o: 32, height: 14, width: 11, padding: 1 } },
  { build: some, at: { n: 2, c: 32, o: 32, height: 15, width: 12, padding: 1 } },
  { build: most, at: { n: 2, c: 32, o: 32, height: 15, width: 12, padding: 1 } },
  { build: block, at: { n: 9, c: 32, o: 32, height: 6, width: 8, padding: 1 } },
]

function prepare(build: Build, at: Case) {
  const x = input({}, [at.n, at.c, at.height, at.width], 'float32')
  const w = input({}, [at.o, at.c, 3, 3], 'float32')
  const graph = build(x, w, at)
  const values = new Map<Node, Float32Array>()
  for (const [i, node] of [x, w].entries())
    values.set(
      node,
      noise(sizeOf(node.shape), at.n + at.height + i).map((value) => value / 2),
    )
  const bind = (node: InputNode) => values.get(node) ?? new Float32Array(sizeOf(node.shape))
  return { graph, bind, exact: interpret(graph, bind).outputs }
}

/** How many kernels hold transformed tiles and their products in scratch. */
const transformed = ({ kernels }: Program) =>
  kernels.filter(({ buffers }) => buffers.filter(({ name }) => name.startsWith('row')).length === 2)
    .length

/** How many images and gradients are transformed into memory: two for each gradient of weights. */
const inMemory = ({ regions }: Program) =>
  regions
    .flatMap(({ steps }) => steps)
    .filter(({ what }) => /^contract \[4, 4(, \d+){4}\]$/.test(what)).length

function compare(found: ArrayLike<number>, exact: ArrayLike<number>, what: string): void {
  expect(difference(found, exact, BOUND), what).toBeUndefined()
}

describe('transformed convolutions', () => {
  it('are left alone where they are told to be, and where they would not gain', () => {
    const at = { n: 3, c: 32, o: 32, height: 12, width: 16, padding: 1 }
    const count = (given: Case, options = {}) => {
      const { graph } = prepare(alone, given)
      return transformed(compileGraph(graph, native, inputsOf(graph), options))
    }
    expect(count(at)).toBe(2)
    expect(count(at, { winograd: false })).toBe(0)
    expect(count({ ...at, c: 16 })).toBe(0)
    expect(count({ ...at, n: 1, height: 10, width: 10 })).toBe(0)
  })
  for (const { build, at } of cases) {
    // Each forward, and as the gradient for its input.
    const convolutions = build === some || build === most ? 1 : build === alone ? 2 : 4
    // For weights: where the image has its channels last, as the second of a block.
    const gradients = build === block ? 1 : 0
    const name = `${build.name} ${Object.values(at)}`
    const { graph, bind, exact } = prepare(build, at)
    it(`WebAssembly: ${name}`, () => {
      const { program, outputs } = runGraph(graph, bind, { machine: wasm })
      expect(transformed(program)).toBe(convolutions)
      expect(inMemory(program)).toBe(2 * gradients)
      for (const [i, values] of outputs.entries()) compare(values, exact[i], `${name} output ${i}`)
    })
    it.skipIf(!present)(`C: ${name}`, async () => {
      const inputs = inputsOf(graph)
      const program = compileGraph(graph, native, inputs)
      expect(transformed(program)).toBe(convolutions)
      expect(inMemory(program)).toBe(2 * gradients)
      const given = inputs.map((node) => bytesOf(bind(node)))
      const [one, two] = await runEach(runners, program, given)
      expect(firstDifference(one, two)).toBeLessThan(0)
      for (const [i, values] of exact.entries()) {
        const bytes = one[inputs.length + i]
        const found = typedView('float32', bytes.buffer, 0, bytes.byteLength / 4)
        compare(found, values, `${name} output ${i}`)
      }
    })
  }
})
