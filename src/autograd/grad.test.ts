// Gradients: linear nodes by the adjoint identity, scalar functions by central differences in float64,
// composites against their definitions, second derivatives, and random graphs as a whole.
import { describe, expect, it } from 'vitest'
import { randomGraph, seeded } from '../../test/random-graph.js'
import { sizeOf } from '../base/shape.js'
import { checkNodes } from '../graph/check.js'
import { evaluate } from '../graph/interpret.js'
import {
  building,
  composite,
  concat,
  constant,
  detach,
  expand,
  gather,
  type InputNode,
  input,
  iota,
  map,
  type Node,
  permute,
  reduce,
  reshape,
  scatterAdd,
  topological,
  view,
} from '../graph/node.js'
import { type ScalarFn, scalarRules } from '../graph/scalar.js'
import type { ViewOp } from '../graph/view.js'
import { gradients } from './grad.js'

type Values = Map<InputNode, Float64Array>

function run(nodes: readonly Node[], values: Values): Float64Array[] {
  return evaluate(nodes, (node) => values.get(node) ?? new Float64Array(0))
}

function sum(x: Node): Node {
  return reduce(
    'sum',
    x.shape.map((_, i) => i),
    x,
  )
}

function x(shape: readonly number[]): InputNode {
  return input({}, shape, 'float32')
}

function noise(shape: readonly number[], seed: number): Float64Array {
  const next = seeded(seed)
  return Float64Array.from({ length: sizeOf(shape) }, () => next() * 2 - 1)
}

/** d(root)/d(node) by central differences against `gradients`, element by element. */
function compareWithDifferences(
  root: Node,
  wrt: readonly InputNode[],
  values: Values,
  tolerance: number,
  text: string,
): void {
  const found = gradients(root, wrt)
  checkNodes(found.filter((node) => node !== undefined))
  wrt.forEach((node, i) => {
    const gradient = found[i]
    const given = values.get(node)
    if (given === undefined) throw new Error('no values')
    const exact = gradient ? run([gradient], values)[0] : new Float64Array(given.length)
    for (let k = 0; k < given.length; k++) {
      const at = (h: number): number => {
        const moved = given.slice()
        moved[k] += h
        return run([root], new Map([...values, [node, moved]]))[0][0]
      }
      const h = 1e-5
      const numeric = (at(h) - at(-h)) / (2 * h)
      const gap = Math.abs(numeric - exact[k]) / Math.max(1, Math.abs(numeric))
      if (!(gap < tolerance))
        expect.fail(`${text}, input ${i}[${k}]: ${exact[k]}, by differences ${numeric}`)
    }
  })
}

describe('scalar functions, by central differences', () => {
  const positive: ReadonlySet<ScalarFn> = new Set<ScalarFn>(['log', 'sqrt', 'pow'])
  const floats = (Object.keys(scalarRules) as ScalarFn[]).filter(
    (fn) =>
      scalarRules[fn].result === 'same' &&
      !['bitAnd', 'bitOr', 'bitXor', 'shl', 'shr', 'where'].includes(fn),
  )
  for (const fn of floats)
    it(fn, () => {
      const shape = [7]
      const args = Array.from({ length: scalarRules[fn].arity }, () => x(shape))
      const values: Values = new Map(
        args.map((arg, i) => [
          arg,
          noise(shape, i + 3).map((value) =>
            positive.has(fn) ? Math.abs(value) + 0.2 : value + Math.sign(value) * 0.1,
          ),
        ]),
      )
      const weights = map('mul', map(fn, ...args), constant(1.7, 'float32', shape))
      const root = sum(map('mul', weights, weights))
      compareWithDifferences(root, args, values, 1e-7, fn)
      // Second order: the gradient of the sum of the gradients.
      const first = gradients(root, args).filter((node) => node !== undefined)
      if (first.length === 0) return
      const total = first.map(sum).reduce((p, q) => map('add', p, q))
      compareWithDifferences(total, args, values, 1e-5, `${fn}, second`)
    })

  it('where', () => {
    const [a, b] = [x([6]), x([6])]
    const flag = map('lt', iota([6], 0), constant(2, 'int32', [6]))
    const root = sum(map('where', flag, map('mul', a, a), map('sin', b)))
    const values: Values = new Map([
      [a, noise([6], 1)],
      [b, noise([6], 2)],
    ])
    compareWithDifferences(root, [a, b], values, 1e-8, 'where')
  })

  it('pow with a constant or a zero exponent, and a zero base', () => {
    const a = x([4])
    const values: Values = new Map([[a, Float64Array.of(-2, 0, 0.5, 3)]])
    const slope = (exponent: number) => {
      const [g] = gradients(sum(map('pow', a, constant(exponent, 'float32', [4]))), [a])
      return g ? [...run([g], values)[0]] : undefined
    }
    expect(slope(0)).toEqual([0, 0, 0, 0])
    expect(slope(1)).toEqual([1, 1, 1, 1])
    expect(slope(2)).toEqual([-4, 0, 1, 6])
    expect(slope(3)).toEqual([12, 0, 0.75, 27])
    const [b, exponent] = [x([3]), x([3])]
    const [forBase, forExponent] = gradients(sum(map('pow', b, exponent)), [b, exponent])
    const at: Values = new Map([
      [b, Float64Array.of(0, 2, 0)],
      [exponent, Float64Array.of(2, 0, 0)],
    ])
    expect([...run([forBase ?? b], at)[0]]).toEqual([0, 0, 0])
    expect([...run([forExponent ?? b], at)[0]]).toEqual([0, Math.log(2), 0])
  })

  it('kinks and ties: relu′(0) = abs′(0) = 0, max and min share ties', () => {
    const [a, b] = [x([3]), x([3])]
    const values: Values = new Map([
      [a, Float64Array.of(0, 1, -1)],
      [b, Float64Array.of(0, 1, 5)],
    ])
    const at = (y: Node) =>
      gradients(sum(y), [a, b]).map((g) => (g ? [...run([g], values)[0]] : undefined))
    expect(at(map('relu', a))).toEqual([[0, 1, 0], undefined])
    expect(at(map('abs', a))).toEqual([[0, 1, -1], undefined])
    expect(at(map('max', a, b))).toEqual([
      [0.5, 0.5, 0],
      [0.5, 0.5, 1],
    ])
    expect(at(map('min', a, b))).toEqual([
      [0.5, 0.5, 1],
      [0.5, 0.5, 0],
    ])
  })
})

describe('linear nodes, by the adjoint identity', () => {
  const random = (n: number, seed: number) => noise([n], seed)
  function adjoint(name: string, build: (a: Node) => Node, shape: readonly number[]): void {
    it(name, () => {
      const a = x(shape)
      const out = build(a)
      const seed = x(out.shape)
      const [back] = gradients(out, [a], seed)
      if (back === undefined) throw new Error('no gradient')
      checkNodes([out, back])
      expect(back.shape).toEqual(shape)
      const values: Values = new Map([
        [a, random(sizeOf(shape), 1)],
        [seed, random(sizeOf(out.shape), 2)],
      ])
      const [y, g] = run([out, back], values)
      const dot = (p: Float64Array, q: Float64Array) => p.reduce((s, v, i) => s + v * q[i], 0)
      const left = dot(y, values.get(seed) ?? y)
      const right = dot(g, values.get(a) ?? g)
      expect(Math.abs(left - right)).toBeLessThan(1e-12 * Math.max(1, Math.abs(left)))
      // And back again: the adjoint's adjoint is the map itself.
      const again = gradients(back, [seed], a)[0]
      if (again === undefined) throw new Error('no second gradient')
      const twice = run([again], values)[0]
      twice.forEach((value, i) => {
        expect(Math.abs(value - y[i])).toBeLessThan(1e-12)
      })
    })
  }
  const one = (op: ViewOp) => (a: Node) => view(op, a)
  adjoint('reshape', (a) => reshape(a, [3, 4]), [2, 6])
  adjoint('permute', (a) => permute(a, [2, 0, 1]), [2, 3, 4])
  adjoint('expand', (a) => expand(a, [2, 3, 4]), [2, 1, 4])
  adjoint('sum', (a) => reduce('sum', [0, 2], a), [2, 3, 4])
  adjoint('pad', one({ type: 'pad', low: [1, 0], high: [2, 3], value: 0 }), [2, 3])
  for (const [starts, steps, shape] of [
    [
      [1, 0],
      [1, 1],
      [2, 5],
    ],
    [
      [0, 4],
      [2, -2],
      [3, 3],
    ],
    [
      [4, 1],
      [-3, 3],
      [2, 2],
    ],
    [
      [2, 3],
      [5, -1],
      [1, 4],
    ],
  ])
    adjoint(`slice ${starts} by ${steps}`, one({ type: 'slice', starts, steps, shape }), [6, 5])
  for (const size of [1, 2, 3])
    for (const stride of [1, 2, 3, 4])
      for (const dilation of [1, 2])
        for (const padding of [0, 1]) {
          const count = Math.floor((7 + 2 * padding - (size - 1) * dilation - 1) / stride) + 1
          adjoint(
            `window size ${size} stride ${stride} dilation ${dilation} padding ${padding}`,
            one({ type: 'window', axis: 1, count, size, stride, dilation, padding, value: 0 }),
            [2, 7, 3],
          )
        }
  adjoint('concat', (a) => concat(1, [a, map('neg', a), a]), [2, 3])
  const index = map(
    'mod',
    map('mul', iota([2, 5], 1), constant(2, 'int32', [2, 5])),
    constant(3, 'int32', [2, 5]),
  )
  adjoint('gather', (a) => gather(1, a, index), [2, 3])
  adjoint('scatterAdd', (a) => scatterAdd(1, 4, index, a), [2, 5])
})

describe('reductions', () => {
  it('amax shares equally, prod is right with zeros', () => {
    const a = x([3, 4])
    const values: Values = new Map([[a, Float64Array.of(2, 2, 1, 2, 0, 3, -4, 1, 0, 5, 0, 1)]])
    const [max] = gradients(sum(reduce('max', [1], a)), [a])
    const [prod] = gradients(sum(reduce('prod', [1], a)), [a])
    const [g, h] = run([max ?? a, prod ?? a], values)
    const third = 1 / 3
    expect([...g]).toEqual([third, third, 0, third, 0, 1, 0, 0, 0, 1, 0, 0])
    expect([...h].map((value) => value + 0)).toEqual([4, 4, 8, 4, -12, 0, 0, 0, 0, 0, 0, 0])
  })

  it('max over several axes, and prod, by differences', () => {
    const a = x([2, 3, 2])
    const values: Values = new Map([[a, noise([2, 3, 2], 9)]])
    const max = reduce('max', [0, 2], a)
    compareWithDifferences(sum(map('mul', max, max)), [a], values, 1e-8, 'max')
    const prod = reduce('prod', [0, 1], a)
    compareWithDifferences(sum(map('sin', prod)), [a], values, 1e-8, 'prod')
    const [g] = gradients(sum(map('sin', prod)), [a])
    if (g === undefined) throw new Error('no gradient')
    compareWithDifferences(sum(map('mul', g, g)), [a], values, 1e-6, 'prod, second')
  })
})

describe('gradients', () => {
  it('have none through argmax, comparisons, casts to int and detach', () => {
    const a = x([3])
    const none = [
      map('toFloat32', reduce('argmax', [0], a)),
      sum(map('toFloat32', map('lt', a, constant(0, 'float32', [3])))),
      sum(map('toFloat32', map('toInt32', a))),
      sum(detach(a)),
      sum(map('floor', a)),
    ]
    for (const root of none) expect(gradients(root, [a])).toEqual([undefined])
  })

  it('go through every path, and through other nodes asked for', () => {
    const a = x([])
    const y = map('mul', a, a)
    const z = map('mul', y, a)
    const [forA, forY, forZ, other] = gradients(z, [a, y, z, x([])])
    const values: Values = new Map([[a, Float64Array.of(3)]])
    const [p, q, r] = run([forA ?? a, forY ?? a, forZ ?? a], values)
    expect([p[0], q[0], r[0]]).toEqual([27, 3, 1])
    expect(other).toBeUndefined()
  })

  it('bear the label of their forward node, and leave the current label alone', () => {
    const a = x([3])
    building.label = 'fc1'
    const y = map('sigmoid', a)
    building.label = 'here'
    const [g] = gradients(sum(y), [a])
    expect(building.label).toBe('here')
    building.label = ''
    expect(g?.label).toBe('fc1')
  })

  it('of a composite without a gradient go through its definition, each argument by itself', () => {
    const a = x([4])
    const inner = map('sin', a) // an argument that depends on another one
    const both = composite('both', '', [inner, a, a], a, {
      expand: () => map('mul', map('exp', inner), map('mul', a, a)),
    })
    const plain = map('mul', map('exp', inner), map('mul', a, a))
    const values: Values = new Map([[a, noise([4], 4)]])
    const [g] = gradients(sum(both), [a])
    const [h] = gradients(sum(plain), [a])
    const [p, q] = run([g ?? a, h ?? a], values)
    p.forEach((value, i) => {
      expect(value).toBeCloseTo(q[i], 12)
    })
  })

  it('of a composite with its own use that', () => {
    const a = x([4])
    const own = composite('own', '', [a], a, {
      expand: () => map('mul', a, a),
      gradient: (self, G) => [map('mul', G, self)],
    })
    const [g] = gradients(sum(own), [a])
    const values: Values = new Map([[a, Float64Array.of(1, 2, 3, 4)]])
    expect([...run([g ?? a], values)[0]]).toEqual([1, 4, 9, 16])
  })

  it('agree with differences on random graphs', () => {
    let compared = 0
    for (let seed = 1; seed <= 120; seed++) {
      const { graph, inputs, bind } = randomGraph(seed, { nodes: 12, smooth: true })
      const root = sum(map('tanh', graph.outputs[0]))
      const values: Values = new Map(inputs.map((node) => [node, Float64Array.from(bind(node))]))
      compareWithDifferences(root, inputs, values, 2e-5, `seed ${seed}`)
      compared++
    }
    expect(compared).toBe(120)
  })

  it('walk a chain of 50,000 nodes without recursion', () => {
    const a = x([])
    let y: Node = a
    for (let i = 0; i < 50_000; i++) y = map('add', map('mul', y, y), a)
    const begin = performance.now()
    const [g] = gradients(y, [a])
    const took = performance.now() - begin
    console.log(`gradients: ${((took * 1000) / 100_000).toFixed(2)} µs a node`)
    expect(topological([g ?? a]).length).toBeGreaterThan(100_000)
  })
})
