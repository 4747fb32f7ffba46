// Builds scans: from what one step computes to a node, its free values made arguments, and what no step changes
// computed before the loop; makes scans of one family one; and takes views of arguments back into the body.
import { invariant } from '../base/errors.js'
import { type Loop, resultOf, scanNode, withLoop } from './loop.js'
import {
  constant,
  type Graph,
  type InputNode,
  input,
  type Node,
  type NodeOf,
  reshape,
  rootsOf,
  topological,
  view,
  withArgs,
} from './node.js'

export interface Step {
  readonly length: number
  readonly reverse?: boolean
  /** Placeholders that `next` and `ys` are computed from. */
  readonly carries: readonly InputNode[]
  readonly slices: readonly InputNode[]
  readonly next: readonly Node[]
  readonly ys: readonly Node[]
  /** Carries whose value before each step is wanted too. */
  readonly keep?: readonly boolean[]
}

export interface Scanned {
  /** The carries after the last step. */
  readonly last: readonly Node[]
  /** The carries before each step, for those kept: [length, …]. */
  readonly before: readonly (Node | undefined)[]
  /** [length, …] each. */
  readonly ys: readonly Node[]
}

/** A leaf that stands for an argument in a body. */
export function placeholder(like: Pick<Node, 'shape' | 'dtype'>): InputNode {
  return input({}, like.shape, like.dtype)
}

/** A leaf that stands for one position along axis 0 of an argument. */
export function slicePlaceholder(like: Pick<Node, 'shape' | 'dtype'>): InputNode {
  return input({}, like.shape.slice(1), like.dtype)
}

/**
 * Scans over `stacked` (one for each slice, axis 0 of `length`) from the carries `first`. What `next` and `ys` read
 * besides the placeholders becomes an argument; of it, what needs no step's values is computed before the loop.
 */
export function scan(step: Step, first: readonly Node[], stacked: readonly Node[]): Scanned {
  const { length, reverse = false, carries, slices } = step
  invariant(first.length === carries.length, () => 'a first value for each carry')
  invariant(stacked.length === slices.length, () => 'an argument for each slice')
  if (length === 0)
    return {
      last: first,
      before: carries.map((c) => (c ? constant(0, c.dtype, [0, ...c.shape]) : undefined)),
      ys: step.ys.map((y) => constant(0, y.dtype, [0, ...y.shape])),
    }
  const keep = carries.map((_, k) => step.keep?.[k] ?? false)
  // A stack that is a carry or an argument needs no memory of its own.
  const stacks: Node[] = []
  const places = step.ys.map((y): ((made: Made) => Node) => {
    const after = step.next.indexOf(y)
    if (after >= 0) {
      keep[after] = true
      return (made) => made.after(after)
    }
    const before = (carries as readonly Node[]).indexOf(y)
    if (before >= 0) {
      keep[before] = true
      return (made) => made.before(before)
    }
    const slice = (slices as readonly Node[]).indexOf(y)
    if (slice >= 0) return () => stacked[slice]
    const known = stacks.indexOf(y)
    const at = known >= 0 ? known : stacks.push(y) - 1
    return (made) => made.stack(at)
  })
  const closed = close([...step.next, ...stacks], [...carries, ...slices])
  const loop: Loop = {
    family: {},
    length,
    reverse,
    carries,
    slices,
    wholes: closed.wholes,
    next: closed.roots.slice(0, carries.length),
    ys: closed.roots.slice(carries.length),
    keep,
  }
  const made = new Made(scanNode(loop, [...first, ...stacked, ...closed.args]))
  return {
    last: carries.map((_, k) => made.last(k)),
    before: carries.map((_, k) => (keep[k] ? made.before(k) : undefined)),
    ys: places.map((place) => place(made)),
  }
}

/** The results of a scan by meaning; each result node is built once. */
export class Made {
  readonly node: NodeOf<'scan'>
  private readonly results = new Map<number, Node>()

  constructor(node: NodeOf<'scan'>) {
    this.node = node
  }

  result(index: number): Node {
    const known = this.results.get(index)
    if (known) return known
    const made = resultOf(this.node, index)
    this.results.set(index, made)
    return made
  }

  last(carry: number): Node {
    const { loop } = this.node
    const result = this.result(carry)
    if (!loop.keep[carry]) return result
    const end = part(result, loop.reverse ? 0 : loop.length, 1)
    return reshape(end, result.shape.slice(1))
  }

  /** Each step's value of a kept carry as the step found it. */
  before(carry: number): Node {
    const { loop } = this.node
    return part(this.result(carry), loop.reverse ? 1 : 0, loop.length)
  }

  after(carry: number): Node {
    const { loop } = this.node
    return part(this.result(carry), loop.reverse ? 0 : 1, loop.length)
  }

  stack(index: number): Node {
    return this.result(this.node.loop.carries.length + index)
  }
}

/** `count` positions along axis 0. */
export function part(x: Node, start: number, count: number): Node {
  const starts = x.shape.map((_, i) => (i === 0 ? start : 0))
  const shape = [count, ...x.shape.slice(1)]
  return view({ type: 'slice', starts, steps: x.shape.map(() => 1), shape }, x)
}

interface Closed {
  readonly roots: Node[]
  readonly wholes: InputNode[]
  readonly args: Node[]
}

/**
 * The roots over placeholders only: the largest parts that read none of `bound` become arguments. All of them, views
 * and constants too: whoever asks for the gradient of one finds it among the arguments.
 */
function close(roots: readonly Node[], bound: readonly Node[]): Closed {
  const inside = new Set<Node>(bound)
  const order = topological(roots)
  for (const node of order) if (node.args.some((arg) => inside.has(arg))) inside.add(node)
  const wholes: InputNode[] = []
  const args: Node[] = []
  const done = new Map<Node, Node>(bound.map((node) => [node, node]))
  const find = (node: Node): Node => {
    const known = done.get(node)
    if (known) return known
    const whole = placeholder(node)
    wholes.push(whole)
    args.push(node)
    done.set(node, whole)
    return whole
  }
  for (const node of order)
    if (inside.has(node) && !done.has(node)) done.set(node, withArgs(node, node.args.map(find)))
  return { roots: roots.map(find), wholes, args }
}

/**
 * The scan with views and constants that its steps read whole in the body, where they cost nothing, and each argument
 * once. For when no gradients are asked for any more.
 */
export function withViewsInside(node: NodeOf<'scan'>): NodeOf<'scan'> {
  const { loop } = node
  const first = loop.carries.length + loop.slices.length
  const given = node.args.slice(first)
  const wholes: InputNode[] = []
  const args: Node[] = []
  const known = new Map<Node, Node>()
  const within = (arg: Node, own?: InputNode): Node => {
    const before = known.get(arg)
    if (before) return before
    let out: Node = arg
    if (arg.kind === 'view') out = withArgs(arg, [within(arg.args[0])])
    else if (arg.kind !== 'const' && arg.kind !== 'iota') {
      const whole = own ?? placeholder(arg)
      wholes.push(whole)
      args.push(arg)
      out = whole
    }
    known.set(arg, out)
    return out
  }
  // Those that stay, with their placeholders, before the views of them.
  given.forEach((arg, i) => {
    if (arg.kind !== 'view') within(arg, loop.wholes[i])
  })
  const done = new Map<Node, Node>(given.map((arg, i) => [loop.wholes[i], within(arg)]))
  if (loop.wholes.every((whole) => done.get(whole) === whole)) return node
  const find = (inner: Node): Node => done.get(inner) ?? inner
  const roots = [...loop.next, ...loop.ys]
  for (const inner of topological(roots))
    if (!done.has(inner)) done.set(inner, withArgs(inner, inner.args.map(find)))
  const body = { next: loop.next.map(find), ys: loop.ys.map(find) }
  return withLoop(node, { ...loop, ...body, wholes }, [...node.args.slice(0, first), ...args])
}

/**
 * The graph with one scan for each family over the same arguments, which leaves just what is read: the scan of a
 * forward pass and the one that also keeps what its gradient needs are the same work. Carries that lead to nothing go.
 */
export function mergeScans(graph: Graph): Graph {
  const order = topological(rootsOf(graph))
  const scans = order.filter((node) => node.kind === 'scan')
  if (scans.length === 0) return graph
  const used = new Map<Node, Set<number>>()
  for (const node of order)
    if (node.kind === 'result') {
      const list = used.get(node.args[0])
      if (list) list.add(node.index)
      else used.set(node.args[0], new Set([node.index]))
    }
  const families = new Map<object, NodeOf<'scan'>[][]>()
  for (const scan of scans) {
    const groups = families.get(scan.loop.family) ?? []
    families.set(scan.loop.family, groups)
    const alike = groups.find(([first]) => isAlike(first, scan))
    if (alike) alike.push(scan)
    else groups.push([scan])
  }
  const unions = new Map<Node, Union>()
  for (const groups of families.values())
    for (const group of groups) {
      const union = unionOf(group, used)
      for (const scan of group) unions.set(scan, union)
    }
  const done = new Map<Node, Node>()
  const made = new Map<Union, Made>()
  const find = (node: Node): Node => done.get(node) ?? node
  for (const node of order) {
    if (node.kind === 'result') {
      const scan = node.args[0]
      const union = unions.get(scan)
      invariant(union !== undefined && scan.kind === 'scan', () => 'a result without a scan')
      const whole = made.get(union) ?? new Made(withLoop(scan, union.loop, union.args.map(find)))
      made.set(union, whole)
      done.set(node, union.result(whole, scan, node.index))
    } else if (node.kind !== 'scan') done.set(node, withArgs(node, node.args.map(find)))
  }
  return {
    outputs: graph.outputs.map(find),
    updates: graph.updates.map(({ target, value }) => ({ target, value: find(value) })),
    ...(graph.guard ? { guard: find(graph.guard) } : {}),
  }
}

/** The same work over the same arguments, whatever they leave. */
function isAlike(a: NodeOf<'scan'>, b: NodeOf<'scan'>): boolean {
  const equal = (x: readonly Node[], y: readonly Node[]) =>
    x.length === y.length && x.every((node, i) => node === y[i])
  const p = a.loop
  const q = b.loop
  return (
    equal(a.args, b.args) &&
    equal(p.carries, q.carries) &&
    equal(p.slices, q.slices) &&
    equal(p.wholes, q.wholes) &&
    equal(p.next, q.next)
  )
}

interface Union {
  readonly loop: Loop
  readonly args: readonly Node[]
  /** What a scan of the group had as its result `index`. */
  readonly result: (made: Made, scan: NodeOf<'scan'>, index: number) => Node
}

function unionOf(group: readonly NodeOf<'scan'>[], used: ReadonlyMap<Node, Set<number>>): Union {
  const [first] = group
  const { loop } = first
  const count = loop.carries.length
  const ys = new Set<Node>()
  const keep = loop.carries.map(() => false)
  const wanted = loop.carries.map(() => false)
  for (const scan of group)
    for (const index of used.get(scan) ?? [])
      if (index >= count) ys.add(scan.loop.ys[index - count])
      else {
        wanted[index] = true
        keep[index] ||= scan.loop.keep[index]
      }
  // A carry is needed where it is read, or where what is needed is computed from it.
  const reached = new Set<Node>()
  const need = (root: Node) => {
    for (const node of topological([root])) reached.add(node)
  }
  for (const y of ys) need(y)
  for (let grows = true; grows; ) {
    grows = false
    loop.carries.forEach((carry, k) => {
      if (!wanted[k] && reached.has(carry)) wanted[k] = true
      if (!wanted[k] || reached.has(loop.next[k])) return
      need(loop.next[k])
      grows = true
    })
    loop.carries.forEach((carry, k) => {
      if (!wanted[k] && reached.has(carry)) {
        wanted[k] = true
        grows = true
      }
    })
  }
  const carries = loop.carries.flatMap((_, k) => (wanted[k] ? [k] : []))
  const slices = loop.slices.flatMap((node, i) => (reached.has(node) ? [i] : []))
  const wholes = loop.wholes.flatMap((node, i) => (reached.has(node) ? [i] : []))
  const stacks = [...ys]
  const pruned: Loop = {
    ...loop,
    carries: carries.map((k) => loop.carries[k]),
    slices: slices.map((i) => loop.slices[i]),
    wholes: wholes.map((i) => loop.wholes[i]),
    next: carries.map((k) => loop.next[k]),
    ys: stacks,
    keep: carries.map((k) => keep[k]),
  }
  const args = [
    ...carries.map((k) => first.args[k]),
    ...slices.map((i) => first.args[count + i]),
    ...wholes.map((i) => first.args[count + loop.slices.length + i]),
  ]
  return {
    loop: pruned,
    args,
    result: (made, scan, index) => {
      if (index >= count) return made.stack(stacks.indexOf(scan.loop.ys[index - count]))
      const k = carries.indexOf(index)
      return scan.loop.keep[index] ? made.result(k) : made.last(k)
    },
  }
}
