// Contractions with a divided index (gradients of strided convolutions, transposed convolutions) become one
// contraction a phase, each touching only the taps that hit.
//
// Note: phases. An index (c·h + Σ dᵢ·kᵢ + o)/s with h an output axis: h = s·h' + φ makes s phases. In each, a
// summed axis k takes the values for which c·φ + d·k + o ≡ 0 (mod s), an arithmetic progression
// k = k₀ + (s/gcd)·k', and the index is whole. The phases are joined along a new axis and interleaved.
import { invariant } from '../base/errors.js'
import { type Contract, type Index, makeContract } from '../graph/contract.js'
import {
  concat,
  constant,
  contract,
  type Graph,
  inPlaceOf,
  type Node,
  type NodeOf,
  reduce,
  reshape,
  rootsOf,
  topological,
  view,
  withArgs,
} from '../graph/node.js'

export function splitPhases(graph: Graph): Graph {
  const done = new Map<Node, Node>()
  for (const node of topological(rootsOf(graph))) {
    const args = node.args.map((arg) => done.get(arg) ?? arg)
    const same = withArgs(node, args)
    done.set(node, same.kind === 'contract' ? inPlaceOf(node, () => split(same)) : same)
  }
  const of = (node: Node) => done.get(node) ?? node
  return {
    outputs: graph.outputs.map(of),
    updates: graph.updates.map(({ target, value }) => ({ target, value: of(value) })),
    guard: graph.guard && of(graph.guard),
  }
}

function split(node: NodeOf<'contract'>): Node {
  const { spec } = node
  const divided = [...spec.a, ...spec.b].find((index) => index.divide > 1)
  if (!divided) return node
  const s = divided.divide
  const outputTerm = divided.terms.find(([axis]) => axis < spec.rank)
  const summedTerm = divided.terms.find(([axis]) => axis >= spec.rank)
  if (!outputTerm) return splitSummed(node, divided)
  const [h, c] = outputTerm
  const extent = spec.extents[h]
  const count = Math.ceil(extent / s)
  const parts: Node[] = []
  for (let phase = 0; phase < s; phase++)
    parts.push(onePhase(node, divided, h, c, summedTerm, phase, count))
  // [.., count, ..] × s → [.., count, s, ..] → [.., count·s, ..] → [.., extent, ..]
  const shape = parts[0].shape
  const wide = [...shape.slice(0, h + 1), 1, ...shape.slice(h + 1)]
  const joined = concat(
    h + 1,
    parts.map((part) => reshape(part, wide)),
  )
  const flat = reshape(
    joined,
    shape.map((n, i) => (i === h ? count * s : n)),
  )
  if (count * s === extent) return flat
  return view(
    {
      type: 'slice',
      starts: shape.map(() => 0),
      steps: shape.map(() => 1),
      shape: shape.map((n, i) => (i === h ? extent : n)),
    },
    flat,
  )
}

/** The values of k in [0, extent) with fixed + d·k ≡ 0 (mod s): first, step, count. */
function progression(fixed: number, d: number, s: number, extent: number) {
  const hits: number[] = []
  for (let k = 0; k < extent; k++) if ((((fixed + d * k) % s) + s) % s === 0) hits.push(k)
  return { first: hits[0] ?? 0, step: hits.length > 1 ? hits[1] - hits[0] : 1, count: hits.length }
}

function onePhase(
  node: NodeOf<'contract'>,
  divided: Index,
  h: number,
  c: number,
  summedTerm: readonly [number, number] | undefined,
  phase: number,
  count: number,
): Node {
  const { spec } = node
  const s = divided.divide
  const extents = spec.extents.map((n, i) => (i === h ? count : n))
  const shape = extents.slice(0, spec.rank)
  const fixed = c * phase + divided.offset
  const [k, d] = summedTerm ?? [-1, 0]
  // More than two axes in a divided index: the others must not disturb the phase.
  invariant(
    divided.terms.every(([axis, by]) => axis === h || axis === k || by % s === 0),
    () => 'a divided index over three axes',
  )
  const hits = progression(fixed, d, s, k < 0 ? 1 : spec.extents[k])
  if (hits.count === 0) return constant(0, 'float32', shape)
  if (k >= 0) extents[k] = hits.count
  const rewrite = (index: Index): Index => {
    const terms: [number, number][] = []
    let { offset } = index
    for (const [axis, by] of index.terms) {
      if (axis === h) {
        terms.push([axis, by * s])
        offset += by * phase
      } else if (axis === k) {
        offset += by * hits.first
        if (hits.count > 1) terms.push([axis, by * hits.step])
      } else terms.push([axis, by])
    }
    if (index.divide === 1) return { terms, offset, divide: 1 }
    const whole = terms.every(([, by]) => by % index.divide === 0) && offset % index.divide === 0
    if (!whole) return { terms, offset, divide: index.divide }
    return {
      terms: terms.map(([axis, by]) => [axis, by / index.divide] as const),
      offset: offset / index.divide,
      divide: 1,
    }
  }
  return split(contract(rebuilt(spec, extents, rewrite), node.args[0], node.args[1]))
}

/** A divided index over summed axes only: the first of them takes each residue in turn, and the parts are added by a longer sum. */
function splitSummed(node: NodeOf<'contract'>, divided: Index): Node {
  const { spec } = node
  const s = divided.divide
  // Bring the first summed axis out to the output, split that, and sum it again.
  const axis = divided.terms[0][0]
  invariant(axis >= spec.rank && s > 1, () => 'a divided index without axes')
  const order = [
    ...Array.from({ length: spec.rank }, (_, i) => i),
    axis,
    ...spec.extents.map((_, i) => i).filter((i) => i >= spec.rank && i !== axis),
  ]
  const to = new Map(order.map((from, i) => [from, i]))
  const moved = (index: Index): Index => ({
    terms: index.terms.map(([i, by]) => [to.get(i) ?? i, by] as const).sort((x, y) => x[0] - y[0]),
    offset: index.offset,
    divide: index.divide,
  })
  const wider = makeContract({
    extents: order.map((i) => spec.extents[i]),
    rank: spec.rank + 1,
    a: spec.a.map(moved),
    b: spec.b.map(moved),
  })
  const open = split(contract(wider, node.args[0], node.args[1]))
  return reduceSum(open, spec.rank)
}

function rebuilt(
  spec: Contract,
  extents: readonly number[],
  rewrite: (index: Index) => Index,
): Contract {
  return makeContract({ extents, rank: spec.rank, a: spec.a.map(rewrite), b: spec.b.map(rewrite) })
}

function reduceSum(node: Node, axis: number): Node {
  return reduce('sum', [axis], node)
}
