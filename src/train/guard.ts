// Which layer first made a value that is not finite: the same batch once more, every layer's results looked at.

import { type Node, topological } from '../graph/node.js'
import type { Module } from '../nn/module.js'
import { fromNode, type Tensor } from '../tensor/tensor.js'
import { cellOf } from '../tensor/value.js'
import type { Loss } from './evaluate.js'

/** What a layer hands on: nodes read by another layer, or by nobody. Inner nodes may be infinite by right (padding of a maximum). */
function results(root: Node): Node[] {
  const order = topological([root])
  const handedOn = new Set<Node>([root])
  for (const node of order)
    for (const arg of node.args)
      if (arg.label !== node.label || arg.kind === 'input') handedOn.add(arg)
  return order.filter((node) => handedOn.has(node) && node.dtype === 'float32')
}

function describe(node: Node, input: Node): string {
  if (node === input) return 'the batch itself holds a value that is not finite'
  const cell = cellOf(node)
  if (cell !== undefined)
    return `the parameter ${cell.name || node.label} already holds a value that is not finite`
  return node.label === ''
    ? 'every layer is finite up to the loss'
    : `the first layer with a value that is not finite is ${node.label}`
}

/** A sentence on the first layer, in the order of computation, whose result on this batch is not finite. */
export async function firstNonFinite(
  model: Module,
  loss: Loss,
  input: Tensor,
  target: Tensor,
): Promise<string> {
  const nodes = results(loss(model.forward(input), target).node)
  const finite = await Promise.all(
    nodes.map((node) => fromNode(node).isFinite().float().amin().item()),
  )
  const first = finite.findIndex((value) => value !== 1)
  return first < 0
    ? 'a second look at the same batch found every layer finite'
    : describe(nodes[first], input.node)
}
