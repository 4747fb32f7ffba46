// The graph as text: one line a node, arguments by number, attributes in full, so that a graph can be
// pasted into a test and compared. Inputs are numbered in order of `topological`.
import { showShape } from '../base/shape.js'
import { showContract } from './contract.js'
import type { Loop } from './loop.js'
import { type Graph, type Kind, type Node, type NodeOf, rootsOf, topological } from './node.js'
import type { ViewOp } from './view.js'

const attributes: { readonly [K in Kind]: (node: NodeOf<K>) => string } = {
  input: () => '',
  const: (node) => ` ${showNumber(node.value)}`,
  iota: (node) => ` axis ${node.axis}`,
  map: (node) => ` ${node.fn}`,
  view: (node) => ` ${showView(node.op)}`,
  reduce: (node) => ` ${node.fn} ${showShape(node.axes)}`,
  contract: (node) => ` {${showContract(node.spec)}}`,
  concat: (node) => ` axis ${node.axis}`,
  gather: (node) => ` axis ${node.axis}`,
  scatterAdd: (node) => ` axis ${node.axis}`,
  detach: () => '',
  after: () => '',
  composite: (node) => ` ${node.name}`,
  scan: (node) => ` ${showLoop(node.loop)}`,
  result: (node) => ` ${node.index}`,
}

function showNumber(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

/** `5 steps {carry %c0; slice %x0; %0 = map add %c0 %x0 : float32 [2]; next %0; keep}`. */
function showLoop(loop: Loop): string {
  const lines: string[] = []
  const names = new Map<Node, string>()
  const declare = (role: string, letter: string, nodes: readonly Node[]) => {
    nodes.forEach((node, i) => {
      names.set(node, `%${letter}${i}`)
    })
    if (nodes.length > 0)
      lines.push(
        `${role} ${nodes.map((n) => `${names.get(n)} : ${n.dtype} ${showShape(n.shape)}`).join(', ')}`,
      )
  }
  declare('carry', 'c', loop.carries)
  declare('slice', 'x', loop.slices)
  declare('whole', 'w', loop.wholes)
  const name = numbered([...loop.next, ...loop.ys], (text) => lines.push(text), names)
  loop.next.forEach((node, i) => {
    lines.push(`next ${name(node)}${loop.keep[i] ? ' keep' : ''}`)
  })
  for (const node of loop.ys) lines.push(`stack ${name(node)}`)
  return `${loop.length} steps${loop.reverse ? ' back' : ''} {${lines.join('; ')}}`
}

export function showView(op: ViewOp): string {
  switch (op.type) {
    case 'reshape':
    case 'expand':
      return op.type
    case 'permute':
      return `permute ${showShape(op.axes)}`
    case 'slice':
      return `slice from ${showShape(op.starts)} by ${showShape(op.steps)}`
    case 'pad':
      return `pad ${showShape(op.low)} ${showShape(op.high)} with ${showNumber(op.value)}`
    case 'window':
      return `window axis ${op.axis} size ${op.size} stride ${op.stride} dilation ${op.dilation} padding ${op.padding} with ${showNumber(op.value)}`
  }
}

/** Kind and attributes of one node: `map add`, `reduce sum [1]`, `view permute [1, 0]`. */
export function describe(node: Node): string {
  const show = attributes[node.kind] as (node: Node) => string
  return node.kind + show(node)
}

/** `map add %0 %1 : float32 [2, 3]`, with the arguments named by `name`. */
export function printNode(node: Node, name: (arg: Node) => string): string {
  const args = node.args.map((arg) => ` ${name(arg)}`).join('')
  const label = node.label === '' ? '' : ` # ${node.label}`
  return `${describe(node)}${args} : ${node.dtype} ${showShape(node.shape)}${label}`
}

/** Nodes that lead to `roots`, one a line: `%2 = map add %0 %1 : float32 [2, 3] # fc1`. */
export function printNodes(roots: readonly Node[]): string {
  const lines: string[] = []
  numbered(roots, (text) => lines.push(text))
  return lines.join('\n')
}

function numbered(
  roots: readonly Node[],
  line: (text: string) => void,
  named: ReadonlyMap<Node, string> = new Map(),
): (node: Node) => string {
  const numbers = new Map<Node, number>()
  const name = (node: Node) => named.get(node) ?? `%${numbers.get(node) ?? '?'}`
  for (const node of topological(roots)) {
    if (named.has(node)) continue
    numbers.set(node, numbers.size)
    line(`${name(node)} = ${printNode(node, name)}`)
  }
  return name
}

/** A whole graph: its nodes, then `output`, `update` and `guard` lines. */
export function printGraph(graph: Graph): string {
  const lines: string[] = []
  const targets = graph.updates.map((update) => update.target)
  const name = numbered([...rootsOf(graph), ...targets], (text) => lines.push(text))
  for (const output of graph.outputs) lines.push(`output ${name(output)}`)
  for (const { target, value } of graph.updates)
    lines.push(`update ${name(target)} = ${name(value)}`)
  if (graph.guard) lines.push(`guard ${name(graph.guard)}`)
  return lines.join('\n')
}
