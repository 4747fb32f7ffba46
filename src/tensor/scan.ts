// scan: a loop over the positions of tensors, as one operation of the graph, with carries from step to step.
import { fail } from '../base/errors.js'
import { sameShape, showShape } from '../base/shape.js'
import type { InputNode } from '../graph/node.js'
import { input } from '../graph/node.js'
import { scan as scanNodes } from '../graph/scan.js'
import { context } from './context.js'
import { fromNode, Tensor } from './tensor.js'
import { StepValue } from './value.js'

/** Tensors by place: one, or a list of them. */
export type Carry = Tensor | readonly Tensor[]

/** The same shape of tensors, as the function of a step and the caller see it. */
type Same<C extends Carry> = C extends Tensor ? Tensor : { readonly [K in keyof C]: Tensor }

/** Options of scan. */
export interface ScanOptions {
  /** From the last position to the first; what is stacked keeps its position. Default false. */
  readonly reverse?: boolean
}

/**
 * Calls `step(carry, x)` once, to record it, and computes it for each position along dimension 0 of `xs`, with the carry
 * that the position before has left; returns the last carry, and what the steps returned beside it, stacked along dimension
 * 0: [length, …]. Carries keep their shapes and dtypes. After jax.lax.scan.
 *
 *     // Running sums of the rows of x [T, N].
 *     const [sum, sums] = scan((sum, row) => {
 *       const next = sum.add(row)
 *       return [next, next]
 *     }, zeros([N]), x)
 *
 * The program holds one step, whatever the length, and gradients are computed by a scan the other way, so a long loop
 * compiles as fast as a short one. What `step` reads from outside is the same in every step, random draws too: draw before
 * the scan and pass them in `xs`. It cannot read values, set parameters, or train layers with running statistics.
 *
 * @throws when lengths, shapes or dtypes do not fit, and when `step` changes state.
 */
export function scan<C extends Carry, X extends Carry, Y extends Carry>(
  step: (carry: Same<C>, x: Same<X>) => readonly [carry: Same<C>, y: Y],
  init: C,
  xs: X,
  { reverse = false }: ScanOptions = {},
): readonly [carry: Same<C>, ys: Same<Y>] {
  const first = listOf(init)
  const stacked = listOf(xs)
  if (stacked.length === 0) fail('scan: xs is empty, so nothing tells the number of steps')
  for (const x of stacked)
    if (x.shape.length === 0) fail('scan: xs has a scalar, which has no dimension 0 to go along')
  const length = stacked[0].shape[0]
  for (const { shape } of stacked)
    if (shape[0] !== length)
      fail(
        `scan: the tensors of xs have ${length} and ${shape[0]} positions along dimension 0; all must have as many`,
      )
  const carries = first.map((t) => standIn(t.shape, t))
  const slices = stacked.map((t) => standIn(t.shape.slice(1), t))
  const [next, y] = recorded(() =>
    step(
      like(
        init,
        carries.map(({ tensor }) => tensor),
      ) as Same<C>,
      like(
        xs,
        slices.map(({ tensor }) => tensor),
      ) as Same<X>,
    ),
  )
  const after = listOf(next)
  if (after.length !== first.length)
    fail(`scan: step returns ${after.length} carries for ${first.length}`)
  after.forEach((t, i) => {
    if (!sameShape(t.shape, first[i].shape) || t.dtype !== first[i].dtype)
      fail(
        `scan: carry ${i} is ${first[i].dtype} ${showShape(first[i].shape)}, but step returns ${t.dtype} ${showShape(t.shape)} for it; a carry keeps its shape and dtype`,
      )
  })
  const out = listOf(y)
  const made = scanNodes(
    {
      length,
      reverse,
      carries: carries.map(({ node }) => node),
      slices: slices.map(({ node }) => node),
      next: after.map((t) => t.node),
      ys: out.map((t) => t.node),
    },
    first.map((t) => t.node),
    stacked.map((t) => t.node),
  )
  const from = [...first, ...stacked, ...after, ...out]
  return [
    like(
      init,
      made.last.map((node) => fromNode(node, ...from)),
    ) as Same<C>,
    like(
      y,
      made.ys.map((node) => fromNode(node, ...from)),
    ) as Same<Y>,
  ]
}

function listOf(tensors: Carry): readonly Tensor[] {
  const list = tensors instanceof Tensor ? [tensors] : tensors
  for (const t of list)
    if (!(t instanceof Tensor))
      fail('scan: carries, xs and what step returns are tensors, or lists')
  return list
}

function like(given: Carry, tensors: readonly Tensor[]): Carry {
  return given instanceof Tensor ? tensors[0] : tensors
}

interface StandIn {
  readonly node: InputNode
  readonly tensor: Tensor
}

function standIn(shape: readonly number[], from: Tensor): StandIn {
  const node = input(new StepValue(), shape, from.dtype)
  return { node, tensor: fromNode(node, from) }
}

/** What a step leaves for later belongs to no submission: its values exist inside of the loop only. */
function recorded<T>(step: () => T): T {
  const taken = context.takeUnsubmitted()
  const pending = new Map([...context.states].map((cell) => [cell, cell.pending]))
  const written = new Map(context.trace?.written() ?? [])
  let gradients = 0
  try {
    return step()
  } finally {
    gradients = context.takeUnsubmitted().gradients.size
    context.putBack(taken)
    const changed =
      [...context.states].some((cell) => pending.get(cell) !== cell.pending) ||
      [...(context.trace?.written() ?? [])].some(([cell, value]) => written.get(cell) !== value)
    if (changed || gradients > 0) {
      for (const cell of context.states) cell.pending = pending.get(cell)
      fail(
        'scan: step changes state (a parameter, a gradient, or running statistics), which can only be done outside: use eval() for layers with running statistics',
      )
    }
  }
}
