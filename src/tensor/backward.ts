// backward(), grad() and noGrad(): where tensors meet autograd. Rules 5–7 of SEMANTICS.md.
import { gradients } from '../autograd/grad.js'
import { isFloat } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import { constant, type InputNode, map, type Node, topological } from '../graph/node.js'
import { context, type Trace } from './context.js'
import { exactly } from './derive.js'
import { staleGradient, staleInput } from './submission.js'
import { submitGradients } from './submit.js'
import type { Tensor } from './tensor.js'
import { isStale, reading } from './usable.js'
import { type Cell, cellOf } from './value.js'

const UNREACHED =
  'backward: the loss reaches no trainable parameter; is every one frozen or detached, or the loss computed in noGrad?'

function requireScalar(loss: Tensor, where: string): void {
  if (!isFloat(loss.dtype)) fail(`${where}: the loss is ${loss.dtype}; only floats have gradients`)
  if (loss.shape.some((n) => n !== 1))
    fail(
      `${where}: the loss has shape ${showShape(loss.shape)}, not one value; reduce it with sum() or mean()`,
    )
}

const seedOf = (loss: Tensor) => constant(1, 'float32', loss.shape)

/** The trainable parameters a loss was computed from, each with the node that stands for it. */
function reached(loss: Node): Map<Cell, Node> {
  const cells = new Map<Cell, Node>()
  const { trace } = context
  for (const node of topological([loss])) {
    const cell = cellOf(node)
    if (cell?.trainable && (trace === undefined || trace.read(cell) === node)) cells.set(cell, node)
  }
  if (trace !== undefined) {
    // After a recorded step a parameter reads as the step's result, which is no leaf.
    const { mark } = loss
    for (const [cell, node] of trace.written())
      if (cell.trainable && node.mark === mark) cells.set(cell, node)
  }
  return cells
}

export function backward(loss: Tensor): void {
  if (loss.backwardBy !== undefined)
    fail(
      `backward: this loss had its backward(), and ${loss.backwardBy} freed its graph; add the losses and call it once, or use grad(loss, tensors)`,
    )
  requireScalar(loss, 'backward')
  const cells = reached(loss.node)
  if (cells.size === 0) fail(UNREACHED)
  if (context.trace === undefined) submitGradients()
  const found = gradients(loss.node, [...cells.values()], seedOf(loss))
  if (found.every((gradient) => gradient === undefined)) fail(UNREACHED)
  const given = [...cells.keys()].flatMap((cell, i) => {
    const gradient = found[i]
    return gradient === undefined ? [] : [{ cell, gradient }]
  })
  if (context.trace !== undefined) for (const at of given) record(context.trace, at)
  else accumulate(given)
  loss.backwardBy = 'backward()'
  if (context.trace === undefined) context.losses.push(loss)
}

interface Given {
  readonly cell: Cell
  readonly gradient: Node
}

const sum = (before: Tensor | undefined, gradient: Node) =>
  exactly(before === undefined ? gradient : map('add', before.node, gradient))

function record(trace: Trace, { cell, gradient }: Given): void {
  trace.setGradient(cell, sum(trace.gradient(cell), gradient))
}

/**
 * Adds to each parameter's gradient. One whose graph read weights that a step has replaced is no number any more (rule
 * 3): what is added to it is lost as well, and the step or the read that wants it throws. So a generator's loss may pass
 * through a critic that has stepped (rule 8). Where there is no other gradient zeroGrad() was forgotten.
 */
function accumulate(given: readonly Given[]): void {
  const stale = staleBefore(given)
  if (!stale.includes(false)) {
    const [{ cell }] = given
    const version = staleInput(inputsOf(cell.gradient?.node))
    if (version !== undefined) throw staleGradient(version, cell, 'backward')
  }
  given.forEach(({ cell, gradient }, i) => {
    if (stale[i]) return
    cell.gradient = sum(cell.gradient, gradient)
    context.gradients.add(cell)
  })
}

/** Whose gradient so far can no longer be computed. */
function staleBefore(given: readonly Given[]): boolean[] {
  if (given.every(({ cell }) => cell.gradient === undefined)) return given.map(() => false)
  const stale = reading(
    given.map(({ cell, gradient }) => cell.gradient?.node ?? gradient),
    isStale,
  )
  return stale.map((isStale, i) => isStale && given[i].cell.gradient !== undefined)
}

function inputsOf(node: Node | undefined): InputNode[] {
  if (node === undefined) return []
  return topological([node]).filter((n): n is InputNode => n.kind === 'input')
}

/**
 * The gradients of a scalar for each tensor, as tensors that can be differentiated again. Touches no `grad`. After
 * `torch.autograd.grad`. Throws when the loss does not depend on one of the tensors.
 */
export function grad(loss: Tensor, tensors: readonly Tensor[]): Tensor[] {
  requireScalar(loss, 'grad')
  tensors.forEach((t, i) => {
    if (!isFloat(t.dtype)) fail(`grad: tensor ${i} is ${t.dtype}; only floats have gradients`)
  })
  const nodes = tensors.map((t) => t.node)
  return gradients(loss.node, nodes, seedOf(loss)).map((gradient, i) =>
    gradient === undefined
      ? fail(
          `grad: the loss does not depend on tensor ${i} ${showShape(nodes[i].shape)}; a value that was read has dropped how it was computed, unless trainable parameters are behind it: call grad before reading`,
        )
      : exactly(gradient, loss),
  )
}

/** What `fn` computes from tensors made before it is a constant: no gradient flows to them. */
export function noGrad<T>(fn: () => T): T {
  const before = context.constantsBefore
  context.constantsBefore = context.serial
  try {
    return fn()
  } finally {
    context.constantsBefore = before
  }
}
