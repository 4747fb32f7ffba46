// The key of a graph: two graphs with one key are the same program over different inputs.
//
// Nodes are numbered in the order of a walk from the roots, arguments first; the key mixes each node's own hash
// with its arguments' numbers, in two streams of 32 bits. Labels and the identity of inputs stay out, their order
// stays in: the same input twice is the same number.
import { type Graph, type InputNode, mix, type Node, rootsOf, topological } from './node.js'

export interface GraphKey {
  readonly key: string
  /** In order of first visit from the roots, then the update targets that nothing reads. */
  readonly inputs: InputNode[]
}

const FIRST = 0x2545f491
const SECOND = 0x6a09e667

export function keyOf(graph: Graph): GraphKey {
  const roots = rootsOf(graph)
  const order: Node[] = topological(roots)
  const inputs: InputNode[] = []
  const { length } = order
  let first = FIRST
  let second = SECOND
  for (let i = 0; i < length; i++) {
    const node = order[i]
    node.slot = i
    if (node.kind === 'input') inputs.push(node)
    const { hash, args } = node
    first = mix(first, hash)
    second = Math.imul(second ^ hash, 0x85ebca6b)
    second ^= second >>> 13
    for (let k = 0; k < args.length; k++) {
      const { slot } = args[k]
      first = mix(first, slot)
      second = Math.imul((second + slot) | 0, 0xc2b2ae35)
      second ^= second >>> 16
    }
  }
  const add = (value: number) => {
    first = mix(first, value)
    second = mix(second, ~value)
  }
  for (const root of roots) add(root.slot)
  for (const { target } of graph.updates) {
    if (order[target.slot] === target) add(target.slot)
    else {
      // Only written: it still is an argument of the program.
      let place = inputs.indexOf(target)
      if (place < 0) place = inputs.push(target) - 1
      add(length + place)
      add(target.hash)
    }
  }
  add(graph.guard ? 1 : 0)
  add(graph.outputs.length)
  const text = `${(first >>> 0).toString(36)}.${(second >>> 0).toString(36)}`
  return { key: `${text}.${length}.${inputs.length}`, inputs }
}
