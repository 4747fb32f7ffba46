// The gradient of a scan: a scan the other way over what the forward one left.
//
// Note: what is kept. The reverse body needs the forward body's values. Carries before each step, contractions and
// reductions are kept in stacks (by a scan of the same family, which becomes one with the forward scan, see mergeScans);
// element-wise work is computed again from those.
//
// Note: sums over steps. An argument that each step reads whole gets the sum of the steps' gradients. Where that is linear
// in something the reverse scan can leave in a stack, the sum comes after the loop: for a weight, one contraction over
// time and batch instead of one a step. Elsewhere the sum is a carry.
import { isFloat } from '../base/dtype.js'
import { sizeOf } from '../base/shape.js'
import { makeContract, plain } from '../graph/contract.js'
import type { Loop } from '../graph/loop.js'
import { scanNode } from '../graph/loop.js'
import {
  constant,
  contract,
  type InputNode,
  map,
  type Node,
  type NodeOf,
  permute,
  reduce,
  reshape,
  scatterAdd,
  topological,
  view,
} from '../graph/node.js'
import { Made, part, placeholder, scan as scanOver, slicePlaceholder } from '../graph/scan.js'
import { expandOver } from '../graph/simplify.js'
import type { ViewOp } from '../graph/view.js'
import type { Gradients, Walk } from './vjp.js'

/** Above so many elements the steps' gradients of an argument are added up in a carry, not stacked. */
const MOST_STACKED = 1 << 22

/** Gradients of the scan's arguments, given those of its results. */
export function scanGradient(
  scan: NodeOf<'scan'>,
  given: readonly (Node | undefined)[],
  walk: Walk,
): Gradients {
  const { loop, args } = scan
  const { carries, slices, wholes, keep, length, reverse } = loop
  const reading: [InputNode, Node][] = [] // slices of the reverse scan, and what they are slices of
  const sliceOf = (stacked: Node): InputNode => {
    const node = slicePlaceholder(stacked)
    reading.push([node, stacked])
    return node
  }
  // The gradient of each carry comes from the step after, and from whoever reads its history.
  const active = carries.flatMap((carry, k) => (isFloat(carry.dtype) ? [k] : []))
  const incoming = active.map((k) => placeholder({ shape: carries[k].shape, dtype: 'float32' }))
  const last = active.map((k) => {
    const G = keep[k] ? undefined : given[k]
    return G ?? constant(0, 'float32', carries[k].shape)
  })
  const roots: Node[] = active.map((k) => loop.next[k])
  const seeds: Node[] = active.map((k, i) => {
    const G = keep[k] ? given[k] : undefined
    if (!G) return incoming[i]
    return map('add', incoming[i], sliceOf(part(G, reverse ? 0 : 1, length)))
  })
  loop.ys.forEach((y, j) => {
    const G = given[carries.length + j]
    if (!G || !isFloat(y.dtype)) return
    roots.push(y)
    seeds.push(sliceOf(G))
  })
  const wanted = (node: InputNode, argument: number) => isFloat(node.dtype) && walk.needed(argument)
  const sliceAt = slices.flatMap((node, i) => (wanted(node, carries.length + i) ? [i] : []))
  const firstWhole = carries.length + slices.length
  const wholeAt = wholes.flatMap((node, i) => (wanted(node, firstWhole + i) ? [i] : []))
  const leaves = [
    ...active.map((k) => carries[k]),
    ...sliceAt.map((i) => slices[i]),
    ...wholeAt.map((i) => wholes[i]),
  ]
  const found = walk.pull(roots, leaves, seeds)
  const outgoing = active.map((k, i) => found[i] ?? constant(0, 'float32', carries[k].shape))
  const ofSlices = found.slice(active.length, active.length + sliceAt.length)
  const ofWholes = found.slice(active.length + sliceAt.length)

  const sums = new Sums(
    scan,
    [...outgoing, ...found.filter((node) => node !== undefined)],
    [...incoming, ...reading.map(([node]) => node)],
  )
  const wholeSums = ofWholes.map((node) => node && sums.over(node))
  const sliceStacks = ofSlices.map((node) => node && sums.stack(node))
  const next = [...outgoing, ...sums.accumulated.map(({ total }) => total)]
  const body = [...next, ...sums.stacked]

  // What the reverse body takes from the forward one becomes a slice of a stack.
  const kept = keptFor(loop, body)
  const forward = extended(scan, kept)
  const replaced = new Map<Node, Node>()
  wholes.forEach((whole, i) => {
    replaced.set(whole, args[firstWhole + i])
  })
  for (const node of kept.slices)
    replaced.set(node, sliceOf(args[carries.length + slices.indexOf(node)]))
  for (const node of kept.carries)
    replaced.set(node, sliceOf(forward.before(carries.indexOf(node))))
  for (const node of kept.values)
    replaced.set(node, sliceOf(forward.stack(forward.node.loop.ys.indexOf(node))))
  const { outputs } = expandOver({ outputs: body, updates: [] }, replaced)
  const back = scanOver(
    {
      length,
      reverse: !reverse,
      carries: [...incoming, ...sums.accumulated.map(({ carry }) => carry)],
      slices: reading.map(([node]) => node),
      next: outputs.slice(0, next.length),
      ys: outputs.slice(next.length),
    },
    [...last, ...sums.accumulated.map(({ carry }) => constant(0, 'float32', carry.shape))],
    reading.map(([, stacked]) => stacked),
  )
  const results: Results = {
    stack: (index) => back.ys[index],
    total: (index) => back.last[incoming.length + index],
  }
  const gradients = new Array<Node | undefined>(args.length)
  active.forEach((k, i) => {
    const G = keep[k] ? given[k] : undefined
    const start = reverse ? length : 0
    gradients[k] = G
      ? map('add', back.last[i], reshape(part(G, start, 1), carries[k].shape))
      : back.last[i]
  })
  sliceAt.forEach((i, n) => {
    gradients[carries.length + i] = sliceStacks[n]?.(results)
  })
  wholeAt.forEach((i, n) => {
    gradients[firstWhole + i] = wholeSums[n]?.(results)
  })
  return gradients
}

interface Kept {
  readonly carries: InputNode[]
  readonly slices: InputNode[]
  /** Inner values of the forward body. */
  readonly values: Node[]
}

/** Costly to compute again. */
const LASTING = new Set<Node['kind']>(['contract', 'reduce', 'scatterAdd', 'result', 'composite'])

/** The forward body's nodes that `roots` read, down to what is worth keeping. */
function keptFor(loop: Loop, roots: readonly Node[]): Kept {
  const kept: Kept = { carries: [], slices: [], values: [] }
  const forward = new Set<Node>(topological([...loop.next, ...loop.ys]))
  for (const node of [...loop.carries, ...loop.slices, ...loop.wholes]) forward.add(node)
  const carries = new Set<Node>(loop.carries)
  const slices = new Set<Node>(loop.slices)
  const stepwise = stepwiseIn([...forward], [...loop.carries, ...loop.slices])
  const seen = new Set<Node>()
  const stack = [...roots]
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node)) continue
    seen.add(node)
    if (forward.has(node)) {
      if (node.kind === 'input') {
        if (carries.has(node)) kept.carries.push(node)
        else if (slices.has(node)) kept.slices.push(node)
        continue
      }
      if (stepwise.has(node) && LASTING.has(node.kind)) {
        kept.values.push(node)
        continue
      }
    }
    stack.push(...node.args)
  }
  return kept
}

/** The forward scan, leaving what is kept too. */
function extended(scan: NodeOf<'scan'>, kept: Kept): Made {
  const { loop } = scan
  const keep = loop.carries.map((carry, k) => loop.keep[k] || kept.carries.includes(carry))
  const more = kept.values.filter((node) => !loop.ys.includes(node))
  if (more.length === 0 && keep.every((kept, k) => kept === loop.keep[k])) return new Made(scan)
  return new Made(scanNode({ ...loop, keep, ys: [...loop.ys, ...more] }, scan.args))
}

/** Those of `order` (arguments first) that differ from step to step. */
function stepwiseIn(order: readonly Node[], sources: readonly Node[]): Set<Node> {
  const found = new Set<Node>(sources)
  for (const node of order) if (node.args.some((arg) => found.has(arg))) found.add(node)
  return found
}

interface Results {
  readonly stack: (index: number) => Node
  readonly total: (index: number) => Node
}
/** A node outside of the loop, once the reverse scan is there. */
type Later = (results: Results) => Node

/** Collects what the reverse scan must leave so that sums over its steps come after it. */
class Sums {
  readonly stacked: Node[] = []
  readonly accumulated: { readonly carry: InputNode; readonly total: Node }[] = []
  private readonly length: number
  private readonly stepwise: Set<Node>
  private readonly outer: Map<Node, Node>

  constructor(scan: NodeOf<'scan'>, roots: readonly Node[], sources: readonly Node[]) {
    const { loop, args } = scan
    const { carries, slices, wholes } = loop
    this.length = loop.length
    this.stepwise = stepwiseIn(topological(roots), [...sources, ...carries, ...slices])
    const first = carries.length + slices.length
    this.outer = new Map(wholes.map((node, i) => [node, args[first + i]]))
  }

  /** The values of all steps: [length, …]. */
  stack(node: Node): Later {
    if (node.kind === 'view') {
      const inner = this.stack(node.args[0])
      return (results) => view(lifted(node.op, this.length), inner(results))
    }
    const known = this.stacked.indexOf(node)
    const index = known >= 0 ? known : this.stacked.push(node) - 1
    return (results) => results.stack(index)
  }

  /** The node's value, which is the same in every step. */
  private whole(node: Node): Node {
    return expandOver({ outputs: [node], updates: [] }, new Map(this.outer)).outputs[0]
  }

  /** The sum of the steps' values. */
  over(node: Node): Later {
    if (!this.stepwise.has(node)) {
      const times = constant(this.length, 'float32', node.shape)
      return () => map('mul', this.whole(node), times)
    }
    return this.linear(node) ?? this.added(node)
  }

  private linear(node: Node): Later | undefined {
    switch (node.kind) {
      case 'map':
        return this.linearMap(node)
      case 'view': {
        if ('value' in node.op && node.op.value !== 0) return undefined
        const inner = this.over(node.args[0])
        return (results) => view(node.op, inner(results))
      }
      case 'reduce': {
        if (node.fn !== 'sum') return undefined
        const inner = this.stack(node.args[0])
        const axes = [0, ...node.axes.map((axis) => axis + 1)]
        return (results) => reduce('sum', axes, inner(results))
      }
      case 'contract':
        return this.contracted(node)
      case 'scatterAdd':
        return this.scattered(node)
      default:
        return undefined
    }
  }

  private linearMap(node: NodeOf<'map'>): Later | undefined {
    const { fn, args } = node
    const [a, b] = args
    if (fn === 'add' || fn === 'sub' || fn === 'neg') {
      const parts = args.map((arg) => this.over(arg))
      return (results) => map(fn, ...parts.map((later) => later(results)))
    }
    const scales = (by: Node) => !this.stepwise.has(by)
    if ((fn === 'mul' || fn === 'div') && scales(b)) {
      const inner = this.over(a)
      return (results) => map(fn, inner(results), this.whole(b))
    }
    if (fn === 'mul' && scales(a)) {
      const inner = this.over(b)
      return (results) => map('mul', inner(results), this.whole(a))
    }
    return undefined
  }

  /** Time is one more axis to sum over. */
  private contracted(node: NodeOf<'contract'>): Later {
    const { spec } = node
    const [a, b] = node.args
    if (!this.stepwise.has(a)) {
      const inner = this.over(b)
      return (results) => contract(spec, this.whole(a), inner(results))
    }
    if (!this.stepwise.has(b)) {
      const inner = this.over(a)
      return (results) => contract(spec, inner(results), this.whole(b))
    }
    const parts = [this.stack(a), this.stack(b)]
    const time = plain(spec.extents.length)
    const wide = makeContract({
      extents: [...spec.extents, this.length],
      rank: spec.rank,
      a: [time, ...spec.a],
      b: [time, ...spec.b],
    })
    return (results) => contract(wide, parts[0](results), parts[1](results))
  }

  /** The steps' sources one after the other. */
  private scattered(node: NodeOf<'scatterAdd'>): Later {
    const { axis } = node
    const size = node.shape[axis]
    const parts = node.args.map((arg) => this.stack(arg))
    const joined = (x: Node): Node => {
      const order = x.shape.map((_, i) => (i === axis ? 0 : i < axis ? i + 1 : i))
      const shape = x.shape.slice(1).map((n, i) => (i === axis ? n * this.length : n))
      return reshape(permute(x, order), shape)
    }
    return (results) => {
      const [index, source] = parts.map((later) => joined(later(results)))
      return scatterAdd(axis, size, index, source)
    }
  }

  private added(node: Node): Later {
    if (sizeOf(node.shape) * this.length <= MOST_STACKED) {
      const inner = this.stack(node)
      return (results) => reduce('sum', [0], inner(results))
    }
    const carry = placeholder({ shape: node.shape, dtype: 'float32' })
    const index = this.accumulated.push({ carry, total: map('add', carry, node) }) - 1
    return (results) => results.total(index)
  }
}

/** The view of each step's value, on the stack of all of them. */
function lifted(op: ViewOp, length: number): ViewOp {
  switch (op.type) {
    case 'reshape':
    case 'expand':
      return { type: op.type, shape: [length, ...op.shape] }
    case 'permute':
      return { type: 'permute', axes: [0, ...op.axes.map((axis) => axis + 1)] }
    case 'slice':
      return {
        type: 'slice',
        starts: [0, ...op.starts],
        steps: [1, ...op.steps],
        shape: [length, ...op.shape],
      }
    case 'pad':
      return { ...op, low: [0, ...op.low], high: [0, ...op.high] }
    case 'window':
      return { ...op, axis: op.axis + 1 }
  }
}
