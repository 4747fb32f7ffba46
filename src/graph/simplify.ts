// Rewrites of a graph into a smaller one with the same values: composites replaced by their definitions,
// equal nodes merged, constants folded, and the movements and arithmetic that do nothing removed.
//
// One walk, arguments first: every node is built again over simplified arguments and put through the rules
// of rewrite.ts, which look at a node and its arguments only, so the work is linear in the nodes. Leaves out
// what needs to know the machine (see compiler/fuse.ts) or the users of a value.
import { sameShape } from '../base/shape.js'
import { bodyOf, withBody, withLoop } from './loop.js'
import {
  building,
  type CompositeNode,
  type Graph,
  type InputNode,
  mix,
  type Node,
  rootsOf,
  topological,
  withArgs,
} from './node.js'
import { describe } from './print.js'
import { rewrite } from './rewrite.js'
import { mergeScans, withViewsInside } from './scan.js'

/** Which composites are left as they are. */
export type Stays = (node: CompositeNode) => boolean

const none: Stays = () => false

/** Those that can be kept without what they were made with. */
export const lasting: Stays = (node) => node.over !== undefined

/** The graph with every composite replaced by its definition, through all levels, and one scan a family. */
export function expandComposites(graph: Graph, stays: Stays = none): Graph {
  const nodes = topological(rootsOf(graph))
  if (!nodes.some((node) => node.kind === 'composite' || node.kind === 'scan')) return graph
  const expanded = expandOver(graph, new Map(), undefined, stays)
  return mapBodies(mergeScans(expanded), (body) => expandComposites(body, stays))
}

/** The graph with its scans' bodies changed. Those of one family share theirs: let them be one scan first. */
function mapBodies(graph: Graph, change: (body: Graph) => Graph): Graph {
  const nodes = topological(rootsOf(graph))
  const done = new Map<Node, Node>()
  const find = (node: Node): Node => done.get(node) ?? node
  for (const node of nodes) {
    const over = withArgs(node, node.args.map(find))
    if (over.kind !== 'scan') {
      done.set(node, over)
      continue
    }
    const body = bodyOf(over.loop)
    const changed = change(body)
    done.set(node, changed === body ? over : withLoop(over, withBody(over.loop, changed)))
  }
  return mapRoots(graph, find)
}

/**
 * As `expandComposites` but for the bodies of scans, with `done` replacing some nodes by others of the same shape; it
 * grows by what is rebuilt. `finish` may give what is rebuilt another label.
 */
export function expandOver(
  graph: Graph,
  done: Map<Node, Node>,
  finish: (node: Node) => Node = (node) => node,
  stays: Stays = none,
): Graph {
  const nodes = topological(rootsOf(graph))
  const find = (node: Node): Node => done.get(node) ?? node
  const rebuild = (order: readonly Node[]) => {
    for (const node of order) {
      if (done.has(node)) continue
      if (node.kind === 'composite' && !stays(node)) {
        building.label = node.label
        const definition = node.expand()
        rebuild(topological([definition], node.args))
        done.set(node, find(definition))
      } else done.set(node, finish(withArgs(node, node.args.map(find))))
    }
  }
  withLabels(() => rebuild(nodes))
  return mapRoots(graph, find)
}

/** The graph with the same inputs and values, simplified; composites are expanded first, but for those that stay. */
export function simplify(graph: Graph, stays: Stays = none): Graph {
  const expanded = expandComposites(graph, stays)
  const interned = new Interned()
  const done = new Map<Node, Node>()
  const find = (node: Node): Node => done.get(node) ?? node
  withLabels(() => {
    for (const node of topological(rootsOf(expanded))) {
      building.label = node.label
      done.set(node, interned.settle(simplerBody(withArgs(node, node.args.map(find)), stays)))
    }
  })
  return mapRoots(expanded, find)
}

function simplerBody(node: Node, stays: Stays): Node {
  if (node.kind !== 'scan') return node
  const scan = withViewsInside(node)
  return withLoop(scan, withBody(scan.loop, simplify(bodyOf(scan.loop), stays)))
}

/**
 * The same graph over inputs of its own, so that keeping it keeps no data; composites are expanded, but for lasting
 * ones. `inputs` are the graph's, in any order, and are given back in that order.
 */
export function detachInputs(
  graph: Graph,
  inputs: readonly InputNode[],
): { readonly graph: Graph; readonly inputs: readonly InputNode[] } {
  const expanded = expandComposites(graph, lasting)
  const own = new Map<Node, InputNode>()
  for (const node of inputs) own.set(node, { ...node, source: {}, mark: 0, slot: 0 })
  const done = new Map<Node, Node>(own)
  const find = (node: Node): Node => done.get(node) ?? node
  for (const node of topological(rootsOf(expanded)))
    if (node.kind !== 'input') done.set(node, withArgs(node, node.args.map(find)))
  const { outputs, updates, guard } = mapRoots(expanded, find)
  return {
    graph: {
      outputs,
      updates: updates.map(({ target, value }) => ({ target: own.get(target) ?? target, value })),
      ...(guard ? { guard } : {}),
    },
    inputs: [...own.values()],
  }
}

/** Runs `walk`, which sets the label of what it builds, and puts the label back. */
function withLabels(walk: () => void): void {
  const { label } = building
  try {
    walk()
  } finally {
    building.label = label
  }
}

function mapRoots(graph: Graph, find: (node: Node) => Node): Graph {
  return {
    outputs: graph.outputs.map(find),
    updates: graph.updates.map(({ target, value }) => ({ target, value: find(value) })),
    ...(graph.guard ? { guard: find(graph.guard) } : {}),
  }
}

/** The simplified nodes by structure: of equal ones the first is kept. */
class Interned {
  private readonly buckets = new Map<number, Node[]>()
  private readonly numbers = new Map<Node, number>()

  /** The node simplified. Its arguments are settled or were just made by a rule (a few levels at most). */
  settle(node: Node): Node {
    if (this.numbers.has(node)) return node
    const built = withArgs(
      node,
      node.args.map((arg) => this.settle(arg)),
    )
    const next = rewrite(built)
    return next === built ? this.intern(built) : this.settle(next)
  }

  private intern(node: Node): Node {
    if (node.kind === 'input') {
      this.numbers.set(node, this.numbers.size)
      return node
    }
    let hash = node.hash
    for (const arg of node.args) hash = mix(hash, this.numbers.get(arg) ?? -1)
    const bucket = this.buckets.get(hash)
    const same = bucket?.find((other) => isSame(other, node))
    if (same) return same
    this.numbers.set(node, this.numbers.size)
    if (bucket) bucket.push(node)
    else this.buckets.set(hash, [node])
    return node
  }
}

/** Equal in everything but label. */
function isSame(a: Node, b: Node): boolean {
  return (
    a.kind === b.kind &&
    a.hash === b.hash &&
    a.dtype === b.dtype &&
    a.args.length === b.args.length &&
    a.args.every((arg, i) => arg === b.args[i]) &&
    sameShape(a.shape, b.shape) &&
    (a.kind !== 'composite' || b.kind !== 'composite' || a.attributes === b.attributes) &&
    describe(a) === describe(b)
  )
}
