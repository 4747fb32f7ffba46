// Gradient checkpointing: a value whose gradient computes again what led to it, instead of keeping it.
//
// The forward pass is what it was. The gradient is built as always, then copied over inputs that wait for the incoming
// gradient (`after`): so the second computation of what is between is not the first one, and begins when the backward
// pass has come so far. Random numbers are functions of their keys, which are inputs: both computations draw the same.
// After torch.utils.checkpoint; Chen et al. 2016, "Training deep nets with sublinear memory cost".
import { isFloat } from '../base/dtype.js'
import { after, again, composite, mix, type Node, topological } from '../graph/node.js'
import { expandOver, lasting } from '../graph/simplify.js'
import { through } from './grad.js'

/** `of`, its gradient computed again from `inputs` and from the leaves of the graph that are not behind them. */
export function recomputed(of: Node, inputs: readonly Node[]): Node {
  const cut: Node[] = [...new Set(inputs)].filter((node) => node.kind !== 'input')
  if (cut.includes(of)) return of
  const order = topological([of], cut)
  const args = [...cut, ...order.filter((node) => node.kind === 'input')]
  return composite('checkpoint', structureOf(order, args), args, of, {
    expand: () => of,
    gradient: (_self, G) => gradient(of, args, G),
  })
}

/** Tells apart what is computed from `args` otherwise. */
function structureOf(order: readonly Node[], args: readonly Node[]): string {
  const numbers = new Map<Node, number>()
  let first = 0x2545f491
  let second = 0x6a09e667
  for (const node of new Set([...args, ...order])) {
    numbers.set(node, numbers.size)
    first = mix(first, node.hash)
    second = mix(second, ~node.hash)
    if (numbers.size <= args.length) continue
    for (const arg of node.args) {
      const number = numbers.get(arg) ?? -1
      first = mix(first, number)
      second = mix(second, number)
    }
  }
  return `${first >>> 0} ${second >>> 0} ${order.length}`
}

function gradient(of: Node, args: readonly Node[], G: Node): (Node | undefined)[] {
  const floats = args.filter((arg) => isFloat(arg.dtype))
  const found = through(of, floats, G)
  // The incoming gradient is there already; all else is built anew over what waits for it.
  const anew = new Map<Node, Node>([[G, G]])
  for (const arg of args) anew.set(arg, after(arg, G))
  const there = found.filter((node) => node !== undefined)
  // What no incoming gradient flows into is the forward pass.
  const backward = new Set([G])
  const finish = (node: Node): Node => {
    const from = node.kind === 'after' ? node.args.slice(0, 1) : node.args
    if (!from.some((arg) => backward.has(arg))) return again(node)
    backward.add(node)
    return node
  }
  const { outputs } = expandOver({ outputs: there, updates: [] }, anew, finish, lasting)
  const copies = new Map(there.map((node, i) => [node, outputs[i]]))
  const gradients = new Map(floats.map((arg, i) => [arg, found[i] && copies.get(found[i])]))
  return args.map((arg) => gradients.get(arg))
}
