// Prepares the bodies of scans: each goes through the passes as a graph of its own, and the copies that contractions want
// of what no step changes are made once, before the loop.
import { invariant } from '../base/errors.js'
import { bodyOf, checkLoop, ownLoop, withBody, withLoop } from '../graph/loop.js'
import {
  type InputNode,
  type Node,
  type NodeOf,
  rootsOf,
  topological,
  withArgs,
} from '../graph/node.js'
import { placeholder } from '../graph/scan.js'
import type { Prepared } from './compile.js'

/** Inputs of a body that are the same in every step, and how many steps there are. */
export interface Fixed {
  readonly inputs: ReadonlySet<Node>
  readonly turns: number
}

/** How often a copy of the node serves: every turn of the loop, where it is the same in all of them. */
export function turnsServed(node: Node, fixed: Fixed | undefined): number {
  let base = node
  while (base.kind === 'view') base = base.args[0]
  return fixed?.inputs.has(base) ? fixed.turns : 1
}

export function prepareBodies(prepared: Prepared, passes: (body: Prepared) => Prepared): Prepared {
  const { graph } = prepared
  const order = topological(rootsOf(graph))
  if (!order.some((node) => node.kind === 'scan')) return prepared
  const forced = new Set(prepared.forced)
  const done = new Map<Node, Node>()
  const find = (node: Node): Node => done.get(node) ?? node
  for (const node of order) {
    const same = withArgs(node, node.args.map(find))
    // A pass may have named this node: what replaces it has the name too.
    if (same !== node && forced.has(node)) forced.add(same)
    done.set(node, same.kind === 'scan' ? prepareBody(same, forced, passes) : same)
  }
  return {
    ...prepared,
    graph: {
      outputs: graph.outputs.map(find),
      updates: graph.updates.map(({ target, value }) => ({ target, value: find(value) })),
      ...(graph.guard ? { guard: find(graph.guard) } : {}),
    },
    forced,
  }
}

function prepareBody(
  node: NodeOf<'scan'>,
  forced: Set<Node>,
  passes: (body: Prepared) => Prepared,
): Node {
  const { args } = node
  checkLoop(node.loop, args)
  // Memory is planned by node, so no two loops may have one in common.
  const loop = ownLoop(node.loop)
  const { carries, slices, wholes } = loop
  const body = passes({
    graph: bodyOf(loop),
    forced: new Set(),
    fixed: { inputs: new Set(wholes), turns: loop.length },
  })
  const order = topological(rootsOf(body.graph))
  const inside = new Set<Node>([...carries, ...slices])
  for (const inner of order) if (inner.args.some((arg) => inside.has(arg))) inside.add(inner)
  const first = carries.length + slices.length
  /** Nodes of the body that are the same in every step, as nodes outside of it. */
  const outer = new Map<Node, Node>(wholes.map((whole, i) => [whole, args[first + i]]))
  const more: { readonly whole: InputNode; readonly arg: Node }[] = []
  const done = new Map<Node, Node>()
  const find = (inner: Node): Node => done.get(inner) ?? inner
  for (const inner of order) {
    if (inner.kind === 'input') continue
    if (inside.has(inner)) {
      const same = withArgs(inner, inner.args.map(find))
      if (body.forced.has(inner)) forced.add(same)
      done.set(inner, same)
      continue
    }
    const arg = withArgs(
      inner,
      inner.args.map((a) => outer.get(a) ?? a),
    )
    outer.set(inner, arg)
    if (body.forced.has(inner)) {
      const whole = placeholder(inner)
      forced.add(arg)
      more.push({ whole, arg })
      done.set(inner, whole)
    } else done.set(inner, withArgs(inner, inner.args.map(find)))
  }
  const { outputs } = body.graph
  invariant(body.graph.updates.length === 0, () => 'a body updates nothing')
  return withLoop(
    node,
    withBody(
      { ...loop, wholes: [...wholes, ...more.map(({ whole }) => whole)] },
      { outputs: outputs.map(find), updates: [] },
    ),
    [...args, ...more.map(({ arg }) => arg)],
  )
}
