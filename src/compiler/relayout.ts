// Recomputes part of a graph in another layout. A node is *native* when it is computed in the layout; every
// node can be had both ways, the other one being a view, which folds into an index or is copied (pack.ts).
import { type Graph, inPlaceOf, type Node, rootsOf, topological } from '../graph/node.js'

/** What a layout must know; `r` gives the nodes already rewritten. */
export interface Layout {
  /** The node computed in the layout, or undefined when it should not be. */
  readonly native: (node: Node, r: Relayout) => Node | undefined
  /** The node computed in its own order, from arguments in either. */
  readonly plain: (node: Node, r: Relayout) => Node
  /** A node that is not native, in the layout: a view, or computed again where that is cheap. */
  readonly enter: (node: Node, r: Relayout) => Node
  /** A native node's value in the node's own order: a view. */
  readonly leave: (laid: Node, node: Node) => Node
}

export class Relayout {
  private readonly layout: Layout
  private readonly plains = new Map<Node, Node>()
  private readonly laids = new Map<Node, Node>()
  private readonly natives = new Set<Node>()

  constructor(layout: Layout) {
    this.layout = layout
  }

  isNative(node: Node): boolean {
    return this.natives.has(node)
  }

  plain(node: Node): Node {
    const known = this.plains.get(node)
    if (known) return known
    const out = this.layout.leave(this.laid(node), node)
    this.plains.set(node, out)
    return out
  }

  /** The node as it is computed. */
  either(node: Node): Node {
    return this.isNative(node) ? this.laid(node) : this.plain(node)
  }

  laid(node: Node): Node {
    const known = this.laids.get(node)
    if (known) return known
    const out = this.layout.enter(node, this)
    this.laids.set(node, out)
    return out
  }

  run(graph: Graph): Graph {
    for (const node of topological(rootsOf(graph)))
      inPlaceOf(node, () => {
        const native = this.layout.native(node, this)
        if (native) {
          this.natives.add(node)
          this.laids.set(node, native)
        } else this.plains.set(node, this.layout.plain(node, this))
      })
    return {
      outputs: graph.outputs.map((node) => this.plain(node)),
      updates: graph.updates.map(({ target, value }) => ({ target, value: this.plain(value) })),
      guard: graph.guard && this.plain(graph.guard),
    }
  }
}
