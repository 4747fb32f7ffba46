// simplify: the exact result of each rule, and values preserved on random graphs.
import { describe, expect, it } from 'vitest'
import { randomGraph } from '../../test/random-graph.js'
import { checkGraph } from './check.js'
import { interpret } from './interpret.js'
import {
  composite,
  concat,
  constant,
  detach,
  expand,
  type Graph,
  input,
  iota,
  map,
  type Node,
  permute,
  reduce,
  reshape,
  rootsOf,
  topological,
  view,
} from './node.js'
import { printNodes } from './print.js'
import { detachInputs, expandComposites, simplify } from './simplify.js'

const x = input({}, [2, 3], 'float32')
const y = input({}, [2, 3], 'float32')
const n = input({}, [4], 'int32')
const flag = input({}, [2, 3], 'bool')
const like = (value: number) => constant(value, 'float32', [2, 3])

function simplified(node: Node): string {
  return printNodes(simplify({ outputs: [node], updates: [] }).outputs)
}

const X = '%0 = input : float32 [2, 3]'
const XY = `${X}\n%1 = input : float32 [2, 3]`
const FLAG = '%0 = input : bool [2, 3]'

const slice = (
  starts: readonly number[],
  steps: readonly number[],
  shape: readonly number[],
  of: Node,
) => view({ type: 'slice', starts, steps, shape }, of)
const pad = (low: readonly number[], high: readonly number[], of: Node, value = 0) =>
  view({ type: 'pad', low, high, value }, of)

const cases: readonly [string, Node, string][] = [
  // arithmetic
  ['x + 0', map('add', x, like(0)), X],
  ['0 + x', map('add', like(0), x), X],
  ['x − 0', map('sub', x, like(0)), X],
  ['x · 1', map('mul', like(1), x), X],
  ['x · −1', map('mul', x, like(-1)), `${X}\n%1 = map neg %0 : float32 [2, 3]`],
  [
    'x · 0 stays for floats',
    map('mul', x, like(0)),
    `${X}\n%1 = const 0 : float32 [2, 3]\n%2 = map mul %0 %1 : float32 [2, 3]`,
  ],
  ['n · 0', map('mul', n, constant(0, 'int32', [4])), '%0 = const 0 : int32 [4]'],
  ['x / 1', map('div', x, like(1)), X],
  [
    'x / 8: exact as a product',
    map('div', x, like(8)),
    `${X}\n%1 = const 0.125 : float32 [2, 3]\n%2 = map mul %0 %1 : float32 [2, 3]`,
  ],
  [
    'x / 3 stays',
    map('div', x, like(3)),
    `${X}\n%1 = const 3 : float32 [2, 3]\n%2 = map div %0 %1 : float32 [2, 3]`,
  ],
  ['x ** 2', map('pow', x, like(2)), `${X}\n%1 = map mul %0 %0 : float32 [2, 3]`],
  ['x ** 1', map('pow', x, like(1)), X],
  ['−−x', map('neg', map('neg', x)), X],
  ['−(x − y)', map('neg', map('sub', x, y)), `${XY}\n%2 = map sub %0 %1 : float32 [2, 3]`],
  ['x + −y', map('add', x, map('neg', y)), `${XY}\n%2 = map sub %0 %1 : float32 [2, 3]`],
  ['x − −y', map('sub', x, map('neg', y)), `${XY}\n%2 = map add %0 %1 : float32 [2, 3]`],
  ['max(x, x)', map('max', x, x), X],
  ['not(not f)', map('not', map('not', flag)), FLAG],
  ['f and true', map('and', constant(1, 'bool', [2, 3]), flag), FLAG],
  ['where(true, x, y)', map('where', constant(1, 'bool', [2, 3]), x, y), X],
  ['where(f, x, x)', map('where', flag, x, x), X],
  ['float of float', map('toFloat32', x), X],
  [
    'float of int of bool',
    map('toFloat32', map('toInt32', flag)),
    `${FLAG}\n%1 = map toFloat32 %0 : float32 [2, 3]`,
  ],
  ['constants', map('add', like(2), map('exp', like(0))), '%0 = const 3 : float32 [2, 3]'],
  [
    'constants wrap',
    map('mul', constant(65536, 'int32'), constant(65537, 'int32')),
    '%0 = const 65536 : int32 []',
  ],
  ['detach', detach(detach(x)), X],
  // equal nodes
  [
    'the same twice',
    map('add', map('exp', x), map('exp', x)),
    `${X}\n%1 = map exp %0 : float32 [2, 3]\n%2 = map add %1 %1 : float32 [2, 3]`,
  ],
  // views
  [
    'reshape of reshape',
    reshape(reshape(x, [6]), [3, 2]),
    `${X}\n%1 = view reshape %0 : float32 [3, 2]`,
  ],
  ['reshape there and back', reshape(reshape(x, [6]), [2, 3]), X],
  ['permute there and back', permute(permute(x, [1, 0]), [1, 0]), X],
  [
    'a permute of axes of size 1',
    permute(reshape(x, [2, 1, 3]), [1, 0, 2]),
    `${X}\n%1 = view reshape %0 : float32 [1, 2, 3]`,
  ],
  [
    'expand of expand',
    expand(expand(reshape(x, [2, 3, 1, 1]), [2, 3, 4, 1]), [2, 3, 4, 5]),
    `${X}\n%1 = view reshape %0 : float32 [2, 3, 1, 1]\n%2 = view expand %1 : float32 [2, 3, 4, 5]`,
  ],
  [
    'slice of slice',
    slice([1, 0], [1, 1], [1, 1], slice([0, 2], [1, -2], [2, 2], x)),
    `${X}\n%1 = view slice from [1, 2] by [1, -2] %0 : float32 [1, 1]`,
  ],
  ['a slice of all', slice([0, 0], [1, 1], [2, 3], x), X],
  [
    'slice of expand',
    slice([0, 1, 1], [1, 1, 2], [2, 2, 2], expand(reshape(x, [2, 3, 1]), [2, 3, 4])),
    `${X}\n%1 = view reshape %0 : float32 [2, 3, 1]\n%2 = view slice from [0, 1, 0] by [1, 1, 1] %1 : float32 [2, 2, 1]\n%3 = view expand %2 : float32 [2, 2, 2]`,
  ],
  ['slice of pad', slice([1, 2], [1, 1], [2, 3], pad([1, 2], [0, 1], x)), X],
  [
    'slice of concat',
    slice([2, 0], [1, 1], [2, 3], concat(0, [x, y])),
    '%0 = input : float32 [2, 3]',
  ],
  [
    'pad of pad',
    pad([1, 0], [0, 0], pad([1, 1], [0, 0], x)),
    `${X}\n%1 = view pad [2, 1] [0, 0] with 0 %0 : float32 [4, 4]`,
  ],
  ['pad of a constant', pad([1, 0], [0, 0], like(0)), '%0 = const 0 : float32 [3, 3]'],
  ['permute of a constant', permute(like(4), [1, 0]), '%0 = const 4 : float32 [3, 2]'],
  // the rest
  ['reduce over an axis of size 1', reduce('sum', [1], reshape(x, [2, 1, 3])), X],
  [
    'reduce over several, one of them of size 1',
    reduce('max', [1, 2], reshape(x, [2, 1, 3])),
    `${X}\n%1 = reduce max [1] %0 : float32 [2]`,
  ],
  ['sum of small whole constants', reduce('sum', [0, 1], like(2)), '%0 = const 12 : float32 []'],
  [
    'concat within concat',
    concat(0, [concat(0, [x, y]), x]),
    `${XY}\n%2 = concat axis 0 %0 %1 %0 : float32 [6, 3]`,
  ],
  ['concat of equal constants', concat(1, [like(1), like(1)]), '%0 = const 1 : float32 [2, 6]'],
  ['iota stays', iota([3], 0), '%0 = iota axis 0 : int32 [3]'],
]

const EVERY_KIND = [
  'composite',
  'concat',
  'const',
  'contract',
  'detach',
  'expand',
  'gather',
  'input',
  'iota',
  'map',
  'pad',
  'permute',
  'reduce',
  'reshape',
  'scatterAdd',
  'slice',
  'window',
]

describe('simplify', () => {
  for (const [name, node, text] of cases)
    it(name, () => {
      expect(simplified(node)).toBe(text)
    })

  it('takes a composite, and one within it, by its definition', () => {
    const arg = map('exp', x)
    const inner = (a: Node) => composite('double', '', [a], a, { expand: () => map('add', a, a) })
    const outer = composite('quadruple', '', [arg], arg, { expand: () => inner(inner(arg)) })
    const graph = expandComposites({ outputs: [outer], updates: [] })
    expect(printNodes(graph.outputs)).toBe(
      `${X}\n%1 = map exp %0 : float32 [2, 3]\n%2 = map add %1 %1 : float32 [2, 3]\n%3 = map add %2 %2 : float32 [2, 3]`,
    )
  })

  it('keeps inputs, their order, update targets and the guard', () => {
    const guard = map('isFinite', reduce('sum', [0, 1], map('mul', x, like(1))))
    const graph: Graph = {
      outputs: [map('add', x, like(0))],
      updates: [{ target: y, value: map('sub', y, map('neg', x)) }],
      guard,
    }
    const small = simplify(graph)
    expect(small.outputs[0]).toBe(x)
    expect(small.updates[0].target).toBe(y)
    expect(printNodes(rootsOf(small))).toBe(
      `${XY}\n%2 = map add %1 %0 : float32 [2, 3]\n%3 = reduce sum [0, 1] %0 : float32 []\n%4 = map isFinite %3 : bool []`,
    )
  })

  it('preserves the values of random graphs', () => {
    let before = 0
    let after = 0
    const kinds = new Set<string>()
    for (let seed = 1; seed <= 400; seed++) {
      const { graph, bind } = randomGraph(seed, { updates: true })
      const small = simplify(graph)
      checkGraph(graph)
      checkGraph(small)
      const nodes = topological(rootsOf(graph))
      for (const node of nodes) kinds.add(node.kind === 'view' ? node.op.type : node.kind)
      before += nodes.length
      after += topological(rootsOf(small)).length
      const plain = interpret(graph, bind)
      const better = interpret(small, bind)
      const all = [...plain.outputs, ...plain.updates]
      const others = [...better.outputs, ...better.updates]
      all.forEach((values, i) => {
        expect(others[i].length).toBe(values.length)
        for (let k = 0; k < values.length; k++) {
          const gap = Math.abs(values[k] - others[i][k])
          // Folded constants are rounded to float32.
          if (!(gap <= 1e-5 * Math.max(1, Math.abs(values[k]))))
            expect.fail(`seed ${seed}, root ${i}[${k}]: ${values[k]} became ${others[i][k]}`)
        }
      })
      const again = simplify(small)
      expect(topological(rootsOf(again)).length, `seed ${seed} again`).toBe(
        topological(rootsOf(small)).length,
      )
    }
    console.log(`400 random graphs: ${before} nodes before, ${after} after`)
    expect(after).toBeLessThan(before)
    expect([...kinds].sort()).toEqual(EVERY_KIND)
  })

  it('is linear: a chain of 20,000 nodes', () => {
    let node: Node = x
    for (let i = 0; i < 10_000; i++) node = map('add', map('mul', node, like(1)), y)
    const begin = performance.now()
    const small = simplify({ outputs: [node], updates: [] })
    console.log(`simplify: ${(((performance.now() - begin) / 30_000) * 1000).toFixed(2)} µs a node`)
    expect(topological(small.outputs).length).toBe(10_002)
  })
})

it('detached, a graph has the same values and order of inputs, and none of its data', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const { graph, inputs, bind } = randomGraph(seed, { updates: true })
    const detached = detachInputs(graph, inputs)
    const back = new Map(detached.inputs.map((node, i) => [node, inputs[i]]))
    const found = interpret(detached.graph, (node) => {
      const original = back.get(node)
      if (original === undefined) throw new Error('an input that was not given')
      return bind(original)
    })
    expect(found).toEqual(interpret(graph, bind))
    for (const [i, node] of detached.inputs.entries())
      expect(node.source).not.toBe(inputs[i].source)
  }
})
