// The reverse walk: gradients of one node for others, as nodes added to the same graph. Pure, linear in the
// nodes, without recursion over the graph; walking the result again gives second derivatives.
import { isFloat } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import { sameShape, showShape } from '../base/shape.js'
import { building, constant, map, type Node, topological } from '../graph/node.js'
import { describe } from '../graph/print.js'
import { scanGradient } from './scan.js'
import { vjp, type Walk } from './vjp.js'

/**
 * The gradient of `of` for each node of `wrt`, through all paths, those through other nodes of `wrt` too;
 * undefined where there is none. `seed` is the gradient of `of` itself: 1 unless given, and then `of` must be
 * a float scalar. A gradient's nodes bear the label of the forward node they come from.
 */
export function gradients(of: Node, wrt: readonly Node[], seed?: Node): (Node | undefined)[] {
  invariant(
    seed !== undefined || of.shape.length === 0,
    () => `gradients of ${showShape(of.shape)} need a seed`,
  )
  invariant(isFloat(of.dtype), () => `gradients of ${of.dtype}`)
  return reverse(topological([of]), [of], wrt, [seed ?? constant(1)])
}

/** As `gradients`, but with the leaves independent of each other; a leaf named twice is credited once. */
function pull(
  of: readonly Node[],
  leaves: readonly Node[],
  G: readonly Node[],
): (Node | undefined)[] {
  const distinct = leaves.filter((leaf, i) => leaves.indexOf(leaf) === i)
  const order = topological(of, distinct)
  const found = reverse([...distinct, ...order], of, distinct, G, distinct.length)
  return leaves.map((leaf, i) =>
    leaves.indexOf(leaf) === i ? found[distinct.indexOf(leaf)] : undefined,
  )
}

/** As `gradients`, of one node for leaves taken as independent of each other. */
export function through(of: Node, leaves: readonly Node[], G: Node): (Node | undefined)[] {
  return pull([of], leaves, [G])
}

/** `order`: arguments before users; its first `cut` nodes are taken as leaves. */
function reverse(
  order: readonly Node[],
  of: readonly Node[],
  wrt: readonly Node[],
  seeds: readonly Node[],
  cut = 0,
): (Node | undefined)[] {
  // The rules walk the graph themselves (composites), which overwrites `slot`: read all of it first.
  for (let i = 0; i < order.length; i++) order[i].slot = i
  const position = (node: Node) => (order[node.slot] === node ? node.slot : -1)
  const places = wrt.map(position)
  const needed = new Array<boolean>(order.length).fill(false)
  for (const place of places) if (place >= 0) needed[place] = true
  const argPlaces = new Array<readonly number[]>(order.length)
  for (let i = 0; i < order.length; i++) {
    const node = order[i]
    if (i < cut || !isFloat(node.dtype) || node.kind === 'detach') continue
    const args = node.args.map(position)
    if (!args.some((place) => needed[place])) continue
    argPlaces[i] = args
    needed[i] = true
  }

  const parts = new Array<Node[] | undefined>(order.length)
  of.forEach((root, k) => {
    const place = position(root)
    if (place < 0 || !needed[place]) return
    const list = parts[place]
    if (list) list.push(seeds[k])
    else parts[place] = [seeds[k]]
  })
  /** Gradients of the results of scans. */
  const results = new Map<number, (Node | undefined)[]>()
  const totals = new Array<Node | undefined>(order.length)
  const deliver = (node: Node, args: readonly number[], found: readonly (Node | undefined)[]) => {
    for (let k = 0; k < found.length; k++) {
      const gradient = found[k]
      if (gradient === undefined || !needed[args[k]]) continue
      invariant(
        sameShape(gradient.shape, node.args[k].shape) && isFloat(gradient.dtype),
        () =>
          `gradient of ${describe(node)} for argument ${k}: ${gradient.dtype} ${showShape(gradient.shape)}, not ${showShape(node.args[k].shape)}`,
      )
      const list = parts[args[k]]
      if (list) list.push(gradient)
      else parts[args[k]] = [gradient]
    }
  }
  const label = building.label
  try {
    for (let i = order.length - 1; i >= 0; i--) {
      const node = order[i]
      const left = results.get(i)
      if (left !== undefined && node.kind === 'scan') {
        building.label = node.label
        const args = argPlaces[i] ?? []
        const walk: Walk = { needed: (argument) => needed[args[argument]], through, pull }
        deliver(node, args, scanGradient(node, left, walk))
        continue
      }
      const given = parts[i]
      if (given === undefined) continue
      building.label = node.label
      const G = given.reduce((sum, part) => map('add', sum, part))
      totals[i] = G
      parts[i] = undefined
      const args = argPlaces[i]
      if (args === undefined) continue
      if (node.kind === 'result') {
        const list = results.get(args[0]) ?? []
        const known = list[node.index]
        list[node.index] = known ? map('add', known, G) : G
        results.set(args[0], list)
        continue
      }
      const walk: Walk = { needed: (argument) => needed[args[argument]], through, pull }
      deliver(node, args, vjp(node, G, walk))
    }
  } finally {
    building.label = label
  }
  return places.map((place) => (place < 0 ? undefined : totals[place]))
}
