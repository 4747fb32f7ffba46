// Scans against the same steps written out: values, gradients, second gradients, simplified and merged.
import { describe, expect, it } from 'vitest'
import { seeded } from '../../test/random-graph.js'
import { gradients } from '../autograd/grad.js'
import { sizeOf } from '../base/shape.js'
import { checkGraph } from './check.js'
import { linearSpec } from './contract.js'
import { evaluate } from './interpret.js'
import {
  broadcastTo,
  composite,
  concat,
  contract,
  type InputNode,
  input,
  map,
  type Node,
  reduce,
  reshape,
  rootsOf,
  topological,
  view,
} from './node.js'
import { placeholder, scan, slicePlaceholder } from './scan.js'
import { expandComposites, simplify } from './simplify.js'

const T = 4
const [N, H] = [2, 3]
const x = input({}, [T, N, H], 'float32')
const w = input({}, [H, H], 'float32')
const b = input({}, [H], 'float32')
const decay = input({}, [N, H], 'float32')
const h0 = input({}, [N, H], 'float32')
const s0 = input({}, [N, H], 'float32')
const inputs = [x, w, b, decay, h0, s0]
const next = seeded(3)
const values = new Map<InputNode, Float64Array>(
  inputs.map((node) => [
    node,
    Float64Array.from({ length: sizeOf(node.shape) }, () => next() * 2 - 1),
  ]),
)
const run = (nodes: readonly Node[]) =>
  evaluate(nodes, (node) => values.get(node) ?? new Float64Array(0))

/** h, s, x → h′ = tanh(x + h·wᵀ + b), s′ = s·decay + h′·x, and a y. */
function cell(h: Node, s: Node, xt: Node) {
  const z = map('add', contract(linearSpec([N], H, H), h, w), broadcastTo(b, [N, H]))
  const after = map('tanh', map('add', z, xt))
  const total = map('add', map('mul', s, decay), map('mul', after, xt))
  return { h: after, s: total, y: map('mul', total, map('sigmoid', h)) }
}

function scanned(reverse: boolean) {
  const [h, s, xt] = [placeholder(h0), placeholder(s0), slicePlaceholder(x)]
  const out = cell(h, s, xt)
  const made = scan(
    {
      length: T,
      reverse,
      carries: [h, s],
      slices: [xt],
      next: [out.h, out.s],
      ys: [out.y, out.h, h, xt],
    },
    [h0, s0],
    [x],
  )
  return [...made.last, ...made.ys]
}

function unrolled(reverse: boolean) {
  let [h, s]: [Node, Node] = [h0, s0]
  const stacks: Node[][] = [[], [], [], []]
  for (let step = 0; step < T; step++) {
    const t = reverse ? T - 1 - step : step
    const xt = reshape(
      view({ type: 'slice', starts: [t, 0, 0], steps: [1, 1, 1], shape: [1, N, H] }, x),
      [N, H],
    )
    const out = cell(h, s, xt)
    ;[out.y, out.h, h, xt].forEach((node, i) => {
      stacks[i][t] = reshape(node, [1, N, H])
    })
    ;[h, s] = [out.h, out.s]
  }
  return [h, s, ...stacks.map((list) => concat(0, list))]
}

/** A scalar that weighs every element of every result differently. */
function lossOf(nodes: readonly Node[]): Node {
  return nodes
    .map((node, i) => {
      const turned = map(
        'sin',
        map('mul', node, map('add', node, broadcastTo(reshape(b, [1, H]), node.shape))),
      )
      const all = node.shape.map((_, axis) => axis)
      return reduce('sum', all, i % 2 === 0 ? turned : map('mul', turned, node))
    })
    .reduce((sum, part) => map('add', sum, part))
}

function compare(found: readonly Node[], expected: readonly Node[], digits = 10) {
  const [p, q] = [run(found), run(expected)]
  p.forEach((list, i) => {
    expect(list.length).toBe(q[i].length)
    list.forEach((value, k) => {
      expect(value).toBeCloseTo(q[i][k], digits)
    })
  })
}

for (const reverse of [false, true])
  describe(reverse ? 'a reverse scan' : 'a scan', () => {
    it('gives what its steps written out give', () => {
      const found = scanned(reverse)
      checkGraph({ outputs: found, updates: [] })
      compare(found, unrolled(reverse))
      const simple = simplify({ outputs: found, updates: [] })
      checkGraph(simple)
      compare(simple.outputs, unrolled(reverse))
    })

    for (const only of [[0], [1], [2], [3], [4], [5], [0, 1, 2, 3, 4, 5]])
      it(`has the gradients of its steps written out, results ${only}`, () => {
        const of = (list: Node[]) => gradients(lossOf(only.map((i) => list[i])), inputs)
        const defined = (list: (Node | undefined)[]) => list.flatMap((node) => (node ? [node] : []))
        const [found, expected] = [of(scanned(reverse)), of(unrolled(reverse))]
        compare(
          defined(found),
          defined(found).map((node) => {
            const other = expected[found.indexOf(node)]
            return other ?? map('mul', node, map('sub', node, node))
          }),
        )
        checkGraph(simplify({ outputs: defined(found), updates: [] }))
        compare(simplify({ outputs: defined(found), updates: [] }).outputs, defined(found))
      })

    it('has their second gradients too', () => {
      const of = (list: Node[]) => {
        const first = gradients(lossOf(list), inputs).flatMap((node) => (node ? [node] : []))
        return gradients(
          lossOf(
            first.map((node) =>
              broadcastTo(
                reshape(
                  reduce(
                    'sum',
                    node.shape.map((_, i) => i),
                    node,
                  ),
                  [1, 1],
                ),
                [1, H],
              ),
            ),
          ),
          inputs,
        )
      }
      const defined = (list: (Node | undefined)[]) => list.flatMap((node) => (node ? [node] : []))
      compare(defined(of(scanned(reverse))), defined(of(unrolled(reverse))), 7)
    })
  })

describe('mergeScans', () => {
  it('makes one of a forward scan and the one that keeps more for the gradient', () => {
    const found = scanned(false)
    const loss = lossOf([found[0], found[2]])
    const wrt = gradients(loss, [w, b]).flatMap((node) => (node ? [node] : []))
    const graph = { outputs: [loss, ...wrt], updates: [] }
    const scans = (nodes: readonly Node[]) => nodes.filter((node) => node.kind === 'scan')
    expect(scans(topological(rootsOf(graph)))).toHaveLength(3)
    const merged = scans(topological(rootsOf(expandComposites(graph))))
    expect(merged).toHaveLength(2)
    compare(expandComposites(graph).outputs, graph.outputs)
  })

  it('does so with composites in the body, which is closed', () => {
    const [h, xt] = [placeholder(h0), slicePlaceholder(x)]
    const z = map('add', contract(linearSpec([N], H, H), h, w), xt)
    const swish = composite('swish', '', [z], z, {
      expand: () => map('mul', z, map('sigmoid', z)),
      gradient: (self, G) => {
        const slope = map('sigmoid', z)
        const rest = map('sub', map('add', slope, self), map('mul', self, slope))
        return [map('mul', G, rest)]
      },
    })
    const made = scan(
      { length: T, carries: [h], slices: [xt], next: [swish], ys: [swish] },
      [h0],
      [x],
    )
    const loss = lossOf([made.last[0], made.ys[0]])
    const wrt = gradients(loss, [w, x, h0]).flatMap((node) => (node ? [node] : []))
    const graph = expandComposites({ outputs: [loss, ...wrt], updates: [] })
    checkGraph(graph)
    expect(topological(rootsOf(graph)).filter((node) => node.kind === 'scan')).toHaveLength(2)
    compare(graph.outputs, [loss, ...wrt])
  })

  it('sums the gradient of a weight after the loop, in one contraction', () => {
    const found = scanned(false)
    const [gradient] = gradients(lossOf([found[0]]), [w])
    if (!gradient) throw new Error('no gradient')
    const outer = topological([gradient]).filter((node) => node.kind === 'contract')
    expect(outer.some((node) => node.kind === 'contract' && node.spec.extents.includes(T))).toBe(
      true,
    )
  })

  it('leaves out carries that nobody needs', () => {
    const found = scanned(false)
    const [scanNode] = topological(rootsOf(simplify({ outputs: [found[0]], updates: [] }))).filter(
      (node) => node.kind === 'scan',
    )
    expect(scanNode.kind === 'scan' && scanNode.loop.carries.length).toBe(1)
  })
})
