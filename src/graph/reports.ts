// Which nodes of a graph may report that something went wrong in a run, and by which code.
import { type Graph, type Node, rootsOf, topological } from './node.js'
import { expandComposites } from './simplify.js'

/** A gather or scatter: its indices may be out of range. */
export function mayReport(node: Node): boolean {
  return node.kind === 'gather' || node.kind === 'scatterAdd'
}

/** The nodes that may report, in order of their codes 1, 2, …: gathers and scatters, then the guard. */
export function reportingNodes(graph: Graph): Node[] {
  const expanded = expandComposites(graph)
  const nodes = topological(rootsOf(expanded)).filter(mayReport)
  if (expanded.guard) nodes.push(expanded.guard)
  return nodes
}
