// Attention by blocks of queries (compiler/attention.ts): WebAssembly and C against the definition in float64, results
// and gradients, under masks, dropped weights and odd sizes; the same bits for any number of threads; and memory that
// does not grow with the square of the length.
import { describe, expect, it } from 'vitest'
import { gradients } from '../src/autograd/grad.js'
import { typedView } from '../src/base/dtype.js'
import { sizeOf } from '../src/base/shape.js'
import { compileGraph, inputsOf } from '../src/compiler/compile.js'
import type { Machine, Program } from '../src/compiler/program.js'
import { attend } from '../src/graph/attention.js'
import { interpret } from '../src/graph/interpret.js'
import {
  broadcastTo,
  constant,
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
import { runGraph, testMachine } from './compiled.js'
import { bytesOf, firstDifference, noise } from './programs.js'
import { nativeMachine, nativeRunners, runEach } from './run-native.js'
import { difference } from './support.js'

/** Of the largest value. */
const BOUND = 2e-6

const runners = await nativeRunners()
const present = runners.length > 0

/** Tiles that no vector divides, and a cache that leaves few queries to a block. */
const odd: Machine = { ...testMachine, tile: { splats: 6, vectors: 2 }, secondLevelCache: 8192 }

interface Case {
  readonly name: string
  readonly batch: readonly number[]
  readonly queries: number
  readonly keys: number
  readonly features: number
  readonly width: number
  readonly causal?: boolean
  readonly mask?: 'bool' | 'float'
  readonly dropped?: boolean
  /** Query, key and value are thirds of one tensor [N, L, 3·heads·features], as a projection leaves them. */
  readonly joined?: boolean
}

const cases: readonly Case[] = [
  {
    name: 'heads of one projection, causal',
    batch: [2, 3],
    queries: 70,
    keys: 70,
    features: 16,
    width: 16,
    causal: true,
    joined: true,
  },
  { name: 'odd sizes', batch: [3], queries: 37, keys: 45, features: 20, width: 13 },
  {
    name: 'more queries than keys, causal',
    batch: [],
    queries: 75,
    keys: 33,
    features: 5,
    width: 40,
    causal: true,
  },
  {
    name: 'more keys than queries, causal',
    batch: [2],
    queries: 9,
    keys: 131,
    features: 70,
    width: 66,
    causal: true,
  },
  {
    name: 'hidden keys',
    batch: [2, 2],
    queries: 40,
    keys: 33,
    features: 8,
    width: 8,
    mask: 'bool',
  },
  {
    name: 'a bias, causal',
    batch: [2, 2],
    queries: 33,
    keys: 64,
    features: 8,
    width: 8,
    mask: 'float',
    causal: true,
  },
  {
    name: 'dropped weights',
    batch: [2, 2],
    queries: 48,
    keys: 50,
    features: 16,
    width: 32,
    dropped: true,
  },
]

interface Built {
  readonly graph: Graph
  readonly inputs: readonly InputNode[]
}

function build(at: Case): Built {
  const { batch, queries, keys, features, width } = at
  const inputs: InputNode[] = []
  const given = (shape: readonly number[]) => {
    const node = input({}, shape, 'float32')
    inputs.push(node)
    return node
  }
  let parts: readonly Node[]
  let wrt: readonly Node[]
  if (at.joined) {
    const [n, heads] = batch
    const all = given([n, queries, 3 * heads * features])
    const third = (i: number) => {
      const shape = [n, queries, heads * features]
      const op = { type: 'slice', starts: [0, 0, i * shape[2]], steps: [1, 1, 1], shape } as const
      return permute(reshape(view(op, all), [n, queries, heads, features]), [0, 2, 1, 3])
    }
    parts = [third(0), third(1), third(2)]
    wrt = [all]
  } else {
    parts = [
      given([...batch, queries, features]),
      given([...batch, keys, features]),
      given([...batch, keys, width]),
    ]
    wrt = parts
  }
  const scores = [...batch, queries, keys]
  const masks: Node[] = []
  if (at.mask) {
    const mask = given(at.mask === 'bool' ? [batch[0], 1, 1, keys] : [queries, keys])
    const hidden = map('lt', mask, constant(0.2, 'float32', mask.shape))
    masks.push(broadcastTo(at.mask === 'bool' ? hidden : mask, scores))
    if (at.mask === 'float') wrt = [...wrt, mask]
  }
  const chance = at.dropped ? given(scores) : undefined
  const keep = chance && map('lt', chance, constant(0.1, 'float32', scores))
  const seen = attend(parts[0], parts[1], parts[2], {
    scale: 1 / Math.sqrt(features),
    causal: at.causal ?? false,
    masks,
    ...(keep ? { keep, kept: 1.5 } : { kept: undefined }),
  })
  const axes = seen.shape.map((_, i) => i)
  const found = gradients(reduce('sum', axes, map('mul', seen, map('sin', seen))), wrt)
  const outputs = [seen, ...found.filter((node) => node !== undefined)]
  return { graph: { outputs, updates: [] }, inputs }
}

function dataOf(inputs: readonly InputNode[]): Map<InputNode, Float32Array> {
  return new Map(inputs.map((node, i) => [node, noise(sizeOf(node.shape), i + 1)]))
}

function contentOf(data: ReadonlyMap<InputNode, Float32Array>, node: InputNode): Float32Array {
  const found = data.get(node)
  if (!found) throw new Error('an input that was not made')
  return found
}

function close(got: readonly ArrayLike<number>[], want: readonly ArrayLike<number>[]): void {
  want.forEach((values, i) => {
    expect(difference(got[i], values, BOUND), `output ${i}`).toBeUndefined()
  })
}

const kernels = (program: Program) => program.kernels.map((kernel) => kernel.name)

describe.each(cases)('attention: $name', (at) => {
  const { graph, inputs } = build(at)
  const data = dataOf(inputs)
  const want = interpret(graph, (node) => contentOf(data, node)).outputs

  it.each([testMachine, odd])('is its definition on WebAssembly, tile $tile', (machine) => {
    const ran = runGraph(graph, (node) => contentOf(data, node), { machine })
    expect(kernels(ran.program).filter((name) => name === 'attention')).toHaveLength(2)
    close(ran.outputs, want)
  })

  it.skipIf(!present)('is its definition in C, with the same bits for two threads', async () => {
    const order = inputsOf(graph)
    const program = compileGraph(graph, nativeMachine, order)
    expect(kernels(program).filter((name) => name === 'attention')).toHaveLength(2)
    const given = order.map((node) => bytesOf(contentOf(data, node)))
    const [one, two] = await runEach(runners, program, given)
    close(
      one
        .slice(order.length)
        .map((bytes) => typedView('float32', bytes.buffer, 0, bytes.length / 4)),
      want,
    )
    expect(firstDifference(two, one)).toBe(-1)
  })
})

it('reads what comes in where a view of it takes positions apart', () => {
  const [q, k, v] = [0, 1, 2].map(() => input({}, [2, 64, 12], 'float32'))
  const w = input({}, [2, 8, 8, 12], 'float32')
  const seen = attend(q, k, v, { scale: 0.3, causal: false, masks: [], kept: undefined })
  const turned = permute(reshape(seen, w.shape), [0, 2, 1, 3])
  const found = gradients(reduce('sum', [0, 1, 2, 3], map('mul', turned, w)), [q, k, v])
  const graph = { outputs: found.filter((node) => node !== undefined), updates: [] }
  const data = dataOf([q, k, v, w])
  const bind = (node: InputNode) => contentOf(data, node)
  const ran = runGraph(graph, bind)
  expect(kernels(ran.program)).toContain('attention')
  close(ran.outputs, interpret(graph, bind).outputs)
})

describe('what attention does with memory', () => {
  const memoryOf = (length: number, attention: boolean) => {
    const { graph } = build({
      name: 'long',
      batch: [2, 4],
      queries: length,
      keys: length,
      features: 16,
      width: 16,
      causal: true,
    })
    const { arenaBytes, scratchBytes } = compileGraph(graph, nativeMachine, inputsOf(graph), {
      attention,
    })
    return arenaBytes + scratchBytes
  }

  it('grows with the length, not with its square', () => {
    const [short, long] = [memoryOf(512, true), memoryOf(2048, true)]
    expect(long).toBeLessThan(4.5 * short)
    expect(long).toBeLessThan(4 * 2 * 4 * 2048 * 2048)
    expect(memoryOf(2048, false)).toBeGreaterThan(20 * long)
  })

  it('keeps no mask of dropped weights', () => {
    const of = (length: number) => {
      const shape = [2, 4, length, 16]
      const [q, k, v] = [0, 1, 2].map(() => input({}, shape, 'float32'))
      const position = reshape(
        reduce('sum', [1], broadcastTo(constant(1, 'float32', [1, 1]), [length, 1])),
        [length, 1],
      )
      const noise = map('sin', map('exp', broadcastTo(position, [2, 4, length, length])))
      const keep = map('lt', map('mul', noise, noise), constant(0.5, 'float32', noise.shape))
      const seen = attend(q, k, v, { scale: 0.25, causal: false, masks: [], keep, kept: 2 })
      const found = gradients(reduce('sum', [0, 1, 2, 3], seen), [q, k, v])
      const graph = { outputs: found.filter((node) => node !== undefined), updates: [] }
      return compileGraph(graph, nativeMachine, inputsOf(graph)).arenaBytes
    }
    expect(of(1024)).toBeLessThan(2.5 * of(512))
  })
})
