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
  const nodes = reportingIn(rootsOf(expanded))
  if (expanded.guard) nodes.push(expanded.guard)
  return nodes
}

/** Those of a scan's body count once, where the scan stands. */
export function reportingIn(roots: readonly Node[]): Node[] {
  return topological(roots).flatMap((node) => {
    if (node.kind === 'scan') return reportingIn([...node.loop.next, ...node.loop.ys])
    return mayReport(node) ? [node] : []
  })
}
