// Which graphs can still be computed. What earlier computations left for the next step (results of forwards, losses,
// kept tensors, gradients, running statistics) may have become impossible since, by a step or a set() that replaced
// weights, by disposal, by another device: that is no reason for another model's step to fail.
import { type InputNode, type Node, topological } from '../graph/node.js'
import { context } from './context.js'
import { currentRunner } from './devices.js'
import { Cell, Value, Version } from './value.js'

type Judge = (node: InputNode) => boolean

/** Whether each root's graph reads an input of that kind: one walk for all. */
export function reading(roots: readonly Node[], judge: Judge): boolean[] {
  for (const node of topological(roots)) {
    let found = node.kind === 'input' && judge(node)
    for (let i = 0; i < node.args.length && !found; i++) found = node.args[i].slot === 1
    node.slot = found ? 1 : 0
  }
  return roots.map((root) => root.slot === 1)
}

/** It reads a version that was overwritten: rule 3. */
export const isStale: Judge = ({ source }) =>
  source instanceof Version && source.replacedBy !== undefined

function dataOf({ source }: InputNode): Value | undefined {
  if (source instanceof Version) return source.cell.value
  if (source instanceof Cell) return source.value
  return source instanceof Value ? source : undefined
}

/** Its data is on a device. */
export const isHeld: Judge = (node) => dataOf(node)?.held !== undefined

/** No submission to the current device can read it. */
export const isLost: Judge = (node) => {
  if (isStale(node)) return true
  const data = dataOf(node)
  if (data === undefined) return false
  return data.disposed || (data.held !== undefined && data.held.device !== currentRunner().device)
}

/** Lets running statistics go whose next value reads such an input; says whether there were any. */
export function forgetStates(judge: Judge): boolean {
  const cells = [...context.states]
  const found = reading(
    cells.map((cell) => cell.pending ?? cell.current),
    judge,
  )
  cells.forEach((cell, i) => {
    if (!found[i]) return
    cell.pending = undefined
    context.states.delete(cell)
  })
  return found.includes(true)
}
