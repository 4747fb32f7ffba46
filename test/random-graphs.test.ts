// Random graphs compiled and interpreted must agree. A failure prints its seed: BURNISH_SEED=n runs that one.
import { expect, test } from 'vitest'
import { gradients } from '../src/autograd/grad.js'
import { allocate, type TypedArray } from '../src/base/dtype.js'
import { sizeOf } from '../src/base/shape.js'
import { convSpec, linearSpec } from '../src/graph/contract.js'
import { interpret } from '../src/graph/interpret.js'
import * as g from '../src/graph/node.js'
import { printGraph } from '../src/graph/print.js'
import type { ScalarFn } from '../src/graph/scalar.js'
import { crampedMachine, runGraph, testMachine } from './compiled.js'

class Maker {
  readonly data = new Map<g.InputNode, TypedArray>()
  private state: number
  constructor(seed: number) {
    this.state = Math.imul(seed, 0x9e3779b1) | 1
  }
  next(): number {
    this.state ^= this.state << 13
    this.state ^= this.state >>> 17
    this.state ^= this.state << 5
    return (this.state >>> 0) / 2 ** 32
  }
  below(n: number): number {
    return Math.floor(this.next() * n)
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]
  }
  float(shape: readonly number[]): g.InputNode {
    const node = g.input({}, shape, 'float32')
    const values = allocate('float32', sizeOf(shape))
    for (let i = 0; i < values.length; i++) values[i] = this.next() * 2 - 1
    this.data.set(node, values)
    return node
  }
  index(shape: readonly number[], below: number): g.InputNode {
    const node = g.input({}, shape, 'int32')
    const values = allocate('int32', sizeOf(shape))
    for (let i = 0; i < values.length; i++) values[i] = this.below(below)
    this.data.set(node, values)
    return node
  }

  grow(pool: g.Node[]): g.Node | undefined {
    const x = this.pick(pool)
    const rank = x.shape.length
    const { shape } = x
    switch (this.below(13)) {
      case 0:
        return g.map(this.pick<ScalarFn>(['relu', 'neg', 'tanh', 'abs', 'sigmoid', 'sin']), x)
      case 1:
      case 2: {
        const same = pool.filter((y) => g.elements(y) === g.elements(x))
        const y = g.reshape(this.pick(same), shape)
        return g.map(this.pick<ScalarFn>(['add', 'mul', 'sub', 'max']), x, y)
      }
      case 3: {
        const axes = shape.map((_, i) => i).sort(() => this.next() - 0.5)
        return g.permute(x, axes)
      }
      case 4: {
        if (rank < 2) return undefined
        const at = this.below(rank - 1)
        const merged = [...shape.slice(0, at), shape[at] * shape[at + 1], ...shape.slice(at + 2)]
        return g.reshape(x, merged)
      }
      case 5: {
        const at = this.below(rank)
        const by = [2, 3, 4].find((n) => shape[at] % n === 0 && shape[at] > n)
        if (!by) return undefined
        return g.reshape(x, [...shape.slice(0, at), shape[at] / by, by, ...shape.slice(at + 1)])
      }
      case 6: {
        if (rank === 0) return undefined
        const axes = shape.map((_, i) => i).filter(() => this.next() < 0.5)
        if (axes.length === 0) return undefined
        const r = g.reduce(this.pick(['sum', 'max'] as const), axes, x)
        if (this.next() < 0.5) return r
        const kept = shape.map((n, i) => (axes.includes(i) ? 1 : n))
        return g.map('sub', x, g.expand(g.reshape(r, kept), shape))
      }
      case 7: {
        if (rank === 0) return undefined
        const low = shape.map(() => this.below(2))
        const high = shape.map(() => this.below(3))
        return g.view({ type: 'pad', low, high, value: this.pick([0, 0, 1.5]) }, x)
      }
      case 8: {
        if (rank === 0 || shape.some((n) => n < 3)) return undefined
        const steps = shape.map(() => this.pick([1, 1, 2, -1]))
        const starts = shape.map((n, i) => (steps[i] < 0 ? n - 1 : this.below(2)))
        const size = shape.map((n, i) => Math.max(1, Math.floor((n - 1) / Math.abs(steps[i]))))
        return g.view({ type: 'slice', starts, steps, shape: size }, x)
      }
      case 9: {
        const axis = this.below(Math.max(1, rank))
        if (rank === 0 || shape[axis] < 3) return undefined
        const size = 1 + this.below(3)
        const stride = 1 + this.below(2)
        const padding = this.below(2)
        const count = Math.floor((shape[axis] + 2 * padding - size) / stride) + 1
        return g.view(
          { type: 'window', axis, count, size, stride, dilation: 1, padding, value: 0 },
          x,
        )
      }
      case 10: {
        if (rank === 0) return undefined
        const axis = this.below(rank)
        return g.concat(axis, [x, g.map('neg', x)])
      }
      case 11: {
        if (rank === 0) return undefined
        const k = shape[rank - 1]
        const o = 1 + this.below(20)
        return g.contract(linearSpec(shape.slice(0, -1), o, k), x, this.float([o, k]))
      }
      case 12: {
        if (rank === 4 && shape[2] >= 3 && shape[3] >= 3) {
          const [batch, inChannels, h, w] = shape
          const outChannels = 1 + this.below(8)
          const stride = 1 + this.below(2)
          const padding = this.below(2)
          const output = [h, w].map((n) => Math.floor((n + 2 * padding - 3) / stride) + 1)
          const sizes = {
            batch,
            groups: 1,
            inChannels,
            outChannels,
            kernel: [3, 3],
            stride: [stride, stride],
            padding: [padding, padding],
            dilation: [1, 1],
            output,
          }
          return g.contract(convSpec(sizes), x, this.float([outChannels, inChannels, 3, 3]))
        }
        if (rank === 0) return undefined
        const axis = this.below(rank)
        return g.gather(
          axis,
          x,
          this.index(
            shape.map((n, i) => (i === axis ? 1 + this.below(5) : n)),
            shape[axis],
          ),
        )
      }
    }
  }
}

function run(seed: number): void {
  const m = new Maker(seed)
  const first = m.pick([
    [6],
    [16],
    [4, 6],
    [2, 3, 4],
    [16, 2, 6, 6],
    [2, 3, 8, 8],
    [32, 1, 5, 5],
    [33],
    [5, 16],
  ])
  const start = m.float(first)
  const pool: g.Node[] = [start, m.float(first)]
  for (let i = 0; i < 4 + m.below(14); i++) {
    const node = m.grow(pool)
    if (node && g.elements(node) > 0 && g.elements(node) < 20_000) pool.push(node)
  }
  const outputs = pool.slice(2).filter(() => m.next() < 0.3)
  outputs.push(pool[pool.length - 1])
  const all: g.Node[] = [...outputs]
  if (m.next() < 0.6) {
    const last = pool[pool.length - 1]
    const loss = g.reduce(
      'sum',
      last.shape.map((_, i) => i),
      g.map('mul', last, last),
    )
    const wrt = [...m.data.keys()].filter((node) => node.dtype === 'float32')
    for (const gradient of gradients(loss, wrt)) if (gradient) all.push(gradient)
  }
  const target = start
  const updates =
    all.some((node) => g.elements(node) === g.elements(target)) && m.next() < 0.5
      ? [
          {
            target,
            value: g.reshape(
              all.filter((node) => g.elements(node) === g.elements(target))[0],
              target.shape,
            ),
          },
        ]
      : []
  const graph: g.Graph = { outputs: all, updates }
  const bind = (node: g.InputNode) => m.data.get(node) as TypedArray
  const want = interpret(graph, bind)
  const got = runGraph(graph, bind, { machine: seed % 2 === 0 ? crampedMachine : testMachine })
  const compare = (expected: ArrayLike<number>, values: ArrayLike<number>, what: string) => {
    let most = 1e-3
    for (let i = 0; i < expected.length; i++) most = Math.max(most, Math.abs(expected[i]))
    for (let i = 0; i < expected.length; i++)
      if (!(Math.abs(expected[i] - values[i]) <= 2e-4 * most))
        throw new Error(
          `${what}[${i}]: expected ${expected[i]}, got ${values[i]}\n${printGraph(graph)}`,
        )
  }
  want.outputs.forEach((values, i) => {
    compare(values, got.outputs[i], `output ${i}`)
  })
  want.updates.forEach((values, i) => {
    compare(values, got.updates[i], `update ${i}`)
  })
}

test('500 random graphs', () => {
  const only = process.env.BURNISH_SEED
  const seeds = only ? [Number(only)] : Array.from({ length: 500 }, (_, i) => i + 1)
  const failures: string[] = []
  for (const seed of seeds)
    try {
      run(seed)
    } catch (error) {
      failures.push(
        `seed ${seed}: ${error instanceof Error ? (only ? error.stack : error.message.slice(0, 300)) : error}`,
      )
    }
  expect(failures, failures.slice(0, 12).join('\n')).toEqual([])
}, 120_000)
