// Keys: equal for graphs built alike, different for anything that makes another program; and what they cost.
import { describe, expect, it } from 'vitest'
import { randomGraph } from '../../test/random-graph.js'
import { keyOf } from './key.js'
import {
  building,
  constant,
  type Graph,
  input,
  map,
  type Node,
  reduce,
  reshape,
  rootsOf,
  topological,
} from './node.js'

const only = (...outputs: Node[]): Graph => ({ outputs, updates: [] })
const x = (shape: readonly number[] = [2, 3]) => input({}, shape, 'float32')

describe('keyOf', () => {
  it('is equal for the same graph built twice, over other inputs and labels', () => {
    for (let seed = 1; seed < 100; seed++) {
      const first = keyOf(randomGraph(seed, { updates: true }).graph)
      building.label = 'layer'
      const second = keyOf(randomGraph(seed, { updates: true }).graph)
      building.label = ''
      expect(second.key, `seed ${seed}`).toBe(first.key)
      expect(second.inputs.length).toBe(first.inputs.length)
    }
  })

  it('differs between different graphs', () => {
    const a = x()
    const b = x()
    const graphs: Graph[] = [
      only(map('add', a, b)),
      only(map('add', a, a)),
      only(map('sub', a, b)),
      only(map('sub', map('neg', a), b)),
      only(map('sub', b, map('neg', a))),
      only(map('add', x([3, 2]), x([3, 2]))),
      only(map('add', x([6]), x([6]))),
      only(map('add', a, constant(2, 'float32', [2, 3]))),
      only(map('add', a, constant(3, 'float32', [2, 3]))),
      only(map('add', a, constant(-0, 'float32', [2, 3]))),
      only(map('add', a, constant(0, 'float32', [2, 3]))),
      only(reduce('sum', [0], a)),
      only(reduce('sum', [1], x([3, 2]))),
      only(reduce('max', [0], a)),
      only(a),
      only(a, b),
      only(a, a),
      only(map('exp', a), a),
      only(a, map('exp', a)),
      only(reshape(a, [6])),
      { outputs: [a], updates: [{ target: a, value: map('exp', a) }] },
      { outputs: [a], updates: [{ target: b, value: map('exp', a) }] },
      { outputs: [a, map('exp', a)], updates: [] },
      { outputs: [], updates: [{ target: a, value: map('exp', a) }] },
      only(map('isFinite', x([]))),
      { outputs: [], updates: [], guard: map('isFinite', x([])) },
    ]
    const keys = graphs.map((graph) => keyOf(graph).key)
    // Two pairs are the same program: [a, exp a] in both spellings.
    expect(keys[18]).toBe(keys[22])
    expect(new Set(keys).size).toBe(keys.length - 1)
  })

  it('lists inputs in order of topological, then targets that nothing reads', () => {
    const [a, b, c, d] = [x(), x(), x(), x()]
    const graph: Graph = {
      outputs: [map('sub', b, map('neg', a))],
      updates: [
        { target: d, value: map('add', c, a) },
        { target: c, value: a },
      ],
    }
    expect(keyOf(graph).inputs).toEqual([b, a, c, d])
    const order = topological(rootsOf(graph)).filter((node) => node.kind === 'input')
    expect(keyOf(graph).inputs.slice(0, 3)).toEqual(order)
  })

  it('costs little (printed, not asserted)', () => {
    const graphs = Array.from({ length: 20 }, (_, i) => randomGraph(i + 1, { nodes: 500 }).graph)
    const nodes = graphs.reduce((sum, graph) => sum + topological(rootsOf(graph)).length, 0)
    const times: number[] = []
    for (let round = 0; round < 60; round++) {
      const begin = performance.now()
      for (const graph of graphs) keyOf(graph)
      times.push(((performance.now() - begin) / nodes) * 1e6)
    }
    times.sort((p, q) => p - q)
    console.log(
      `keyOf: median ${times[30].toFixed(0)} ns a node (${times[6].toFixed(0)} to ${times[54].toFixed(0)}) over ${nodes} nodes`,
    )
  })
})
