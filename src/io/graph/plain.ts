// The plain graph that ONNX and TensorFlow graphs become: named values, constants, nodes in order. And what both
// need done with it: only the nodes that the wanted outputs need, each after those it reads.
//
// Names are strings of strangers: they are kept in Maps, never as keys of objects.
import { fail } from '../../base/errors.js'
import type { HostTensor, StoredTensor } from '../values.js'

/** What a graph is given. Sizes may be numbers, names that stand for one size each, or unknown. */
export interface PlainInput {
  readonly name: string
  readonly dtype?: string
  readonly shape?: readonly (number | string | undefined)[]
}

export type Attribute =
  | number
  | boolean
  | string
  | readonly number[]
  | readonly string[]
  | StoredTensor
  | HostTensor
  | PlainGraph

export interface PlainNode {
  readonly op: string
  readonly name: string
  /** Names of values; '' where an optional input is left out. */
  readonly inputs: readonly string[]
  /** Names of values; '' where a result is not asked for. */
  readonly outputs: readonly string[]
  readonly attributes: ReadonlyMap<string, Attribute>
}

export interface PlainGraph {
  readonly name: string
  readonly inputs: readonly PlainInput[]
  readonly outputs: readonly string[]
  readonly constants: ReadonlyMap<string, StoredTensor | HostTensor>
  readonly nodes: readonly PlainNode[]
}

function isGraph(value: Attribute | undefined): value is PlainGraph {
  return typeof value === 'object' && 'nodes' in value
}

export function isTensorAttribute(
  value: Attribute | undefined,
): value is StoredTensor | HostTensor {
  return typeof value === 'object' && ('bytes' in value || 'data' in value)
}

/** The graphs inside of a node, by attribute: bodies of loops and branches. */
export function subgraphs(node: PlainNode): (readonly [name: string, graph: PlainGraph])[] {
  const found: (readonly [string, PlainGraph])[] = []
  for (const [name, value] of node.attributes) if (isGraph(value)) found.push([name, value])
  return found
}

/** All values a node reads: its inputs, and what the graphs inside of it read from outside. */
export function readsOf(node: PlainNode): string[] {
  const names = node.inputs.filter((name) => name !== '')
  for (const [, graph] of subgraphs(node)) names.push(...freeNames(graph))
  return names
}

/** What a graph reads without defining it. */
function freeNames(graph: PlainGraph): string[] {
  const known = new Set([...graph.inputs.map(({ name }) => name), ...graph.constants.keys()])
  for (const node of graph.nodes) for (const name of node.outputs) known.add(name)
  const read = [...graph.nodes.flatMap(readsOf), ...graph.outputs]
  return [...new Set(read.filter((name) => !known.has(name)))]
}

/**
 * The graph with the nodes that `outputs` need and no others, each after those it reads; constants that nothing reads
 * are left out. Graphs inside of nodes are ordered too.
 * @throws BurnishError where a name is defined twice, is read but not defined, or depends on itself.
 */
export function ordered(
  graph: PlainGraph,
  outputs: readonly string[] = graph.outputs,
  outside: (name: string) => boolean = () => false,
): PlainGraph {
  const where = graph.name === '' ? 'the graph' : `the graph ${graph.name}`
  const makers = new Map<string, PlainNode>()
  const given = new Set<string>()
  for (const { name } of graph.inputs) {
    if (given.has(name)) fail(`${where}: two inputs are called ${name}`)
    given.add(name)
  }
  for (const node of graph.nodes)
    for (const name of node.outputs) {
      if (name === '') continue
      const twice = makers.has(name) || given.has(name) || graph.constants.has(name)
      if (twice) fail(`${where}: ${name}, a result of ${showNode(node)}, is defined twice`)
      makers.set(name, node)
    }
  const done = new Set<PlainNode>()
  const open = new Set<PlainNode>()
  const nodes: PlainNode[] = []
  const used = new Set<string>()
  const needed = (name: string, by: string): PlainNode | undefined => {
    used.add(name)
    const maker = makers.get(name)
    if (maker === undefined && !given.has(name) && !graph.constants.has(name) && !outside(name))
      fail(`${where}: ${by} needs ${name}, which nothing defines`)
    return maker
  }
  // Depth first without recursion: a stranger's graph may be a long chain.
  for (const output of outputs) {
    const root = needed(output, 'the output')
    const stack = root === undefined ? [] : [root]
    while (stack.length > 0) {
      const node = stack[stack.length - 1]
      if (done.has(node)) {
        stack.pop()
        continue
      }
      if (open.has(node)) {
        open.delete(node)
        done.add(node)
        nodes.push(node)
        stack.pop()
        continue
      }
      open.add(node)
      for (const name of readsOf(node)) {
        const maker = needed(name, showNode(node))
        if (maker === undefined || done.has(maker)) continue
        if (open.has(maker))
          fail(`${where}: ${showNode(maker)} depends on its own result through ${name}`)
        stack.push(maker)
      }
    }
  }
  // Asked, not copied: graphs inside may be many.
  const visible = (name: string) =>
    given.has(name) || graph.constants.has(name) || makers.has(name) || outside(name)
  return {
    name: graph.name,
    inputs: graph.inputs,
    outputs,
    constants: new Map([...graph.constants].filter(([name]) => used.has(name))),
    nodes: nodes.map((node) => withOrderedBodies(node, visible)),
  }
}

function withOrderedBodies(node: PlainNode, outside: (name: string) => boolean): PlainNode {
  if (subgraphs(node).length === 0) return node
  const attributes = new Map(node.attributes)
  for (const [name, body] of subgraphs(node))
    attributes.set(name, ordered(body, body.outputs, outside))
  return { ...node, attributes }
}

/** How errors call a node: `Conv conv1`. */
export function showNode(node: PlainNode): string {
  return node.name === '' ? `${node.op} (${node.outputs.join(', ')})` : `${node.op} ${node.name}`
}

/** All nodes in order, those of inner graphs before the node they are in. */
export function everyNode(graph: PlainGraph): PlainNode[] {
  return graph.nodes.flatMap((node) => [
    ...subgraphs(node).flatMap(([, body]) => everyNode(body)),
    node,
  ])
}
