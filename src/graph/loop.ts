// Scans: recurrence as one node. A scan's body is a graph of its own over placeholders; it is computed once a step,
// and what a step leaves in the carries the next one reads.
//
// A scan has several results, so it is two kinds of node: `scan`, and `result`, which names one of a scan's results.
// Positions along axis 0 of what is sliced and stacked go up with the steps, or down where the loop is `reverse`.
import type { DType } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import { type Shape, sameShape, showShape } from '../base/shape.js'
import {
  building,
  type Graph,
  type InputNode,
  mix,
  mixText,
  type Node,
  type ResultNode,
  type ScanNode,
  topological,
} from './node.js'

export interface Loop {
  /** Scans of one family differ in what they leave only, and so may become one where their arguments are the same. */
  readonly family: object
  readonly length: number
  /** Steps go from the last position to the first. */
  readonly reverse: boolean
  /** The body's placeholders, in the order of the scan's arguments: carries, slices without axis 0, and arguments whole. */
  readonly carries: readonly InputNode[]
  readonly slices: readonly InputNode[]
  readonly wholes: readonly InputNode[]
  /** What a step leaves in each carry. */
  readonly next: readonly Node[]
  /** What a step adds to each stack. */
  readonly ys: readonly Node[]
  /** Of a carry so marked the result is its history, length + 1 values; of the others the last value. */
  readonly keep: readonly boolean[]
}

/** The body as a graph: its outputs are the next carries, then the ys. */
export function bodyOf(loop: Loop): Graph {
  return { outputs: [...loop.next, ...loop.ys], updates: [] }
}

/** The same loop with another body. */
export function withBody(loop: Loop, body: Graph): Loop {
  const { outputs } = body
  const carries = loop.next.length
  return { ...loop, next: outputs.slice(0, carries), ys: outputs.slice(carries) }
}

/** The same loop over nodes of its own, none of which another loop has; composites in it have been expanded. */
export function ownLoop(loop: Loop): Loop {
  const own = new Map<Node, Node>()
  const find = (node: Node): Node => own.get(node) ?? node
  const fresh = (node: InputNode): InputNode => {
    const copy: InputNode = { ...node, source: {}, mark: 0, slot: 0 }
    own.set(node, copy)
    return copy
  }
  const [carries, slices, wholes] = [loop.carries, loop.slices, loop.wholes].map((list) =>
    list.map(fresh),
  )
  for (const node of topological([...loop.next, ...loop.ys]))
    if (node.kind !== 'input')
      own.set(node, { ...node, args: node.args.map(find), mark: 0, slot: 0 })
  return {
    ...loop,
    carries,
    slices,
    wholes,
    next: loop.next.map(find),
    ys: loop.ys.map(find),
  }
}

export function placeholders(loop: Loop): InputNode[] {
  return [...loop.carries, ...loop.slices, ...loop.wholes]
}

/** How many results: one a carry, then the stacks. */
export function resultCount(loop: Loop): number {
  return loop.carries.length + loop.ys.length
}

export function resultType(
  loop: Loop,
  index: number,
): { readonly shape: Shape; readonly dtype: DType } {
  const { carries, ys, keep, length } = loop
  const carry = carries[index]
  if (carry)
    return { shape: keep[index] ? [length + 1, ...carry.shape] : carry.shape, dtype: carry.dtype }
  const y = ys[index - carries.length]
  return { shape: [length, ...y.shape], dtype: y.dtype }
}

/** A hash of the body's structure: labels stay out, which placeholder stands where goes in. */
function hashOf(loop: Loop, args: readonly Node[]): number {
  const roles = new Map<Node, number>(placeholders(loop).map((node, i) => [node, i]))
  const slots = new Map<Node, number>()
  let hash = mixText(0x5ca9, loop.reverse ? 'scan reverse' : 'scan')
  for (const n of [loop.length, loop.carries.length, loop.slices.length, args.length])
    hash = mix(hash, n)
  for (const node of topological([...loop.next, ...loop.ys])) {
    slots.set(node, slots.size)
    hash = mix(mix(hash, node.hash), roles.get(node) ?? -1)
    for (const arg of node.args) hash = mix(hash, slots.get(arg) ?? -1)
  }
  for (const node of [...loop.next, ...loop.ys]) hash = mix(hash, slots.get(node) ?? -1)
  for (const kept of loop.keep) hash = mix(hash, kept ? 1 : 0)
  return hash
}

/** The scan node; `scan` in scan.ts builds one from what a step computes. */
export function scanNode(loop: Loop, args: readonly Node[]): ScanNode {
  const given = placeholders(loop)
  invariant(
    args.length === given.length,
    () => `scan: ${args.length} arguments for ${given.length} placeholders`,
  )
  return {
    kind: 'scan',
    shape: [],
    dtype: 'float32',
    args,
    hash: hashOf(loop, args),
    label: building.label,
    mark: 0,
    slot: 0,
    loop,
  }
}

/** A scan over another body of the same structure, as a pass leaves it. */
export function withLoop(node: ScanNode, loop: Loop, args: readonly Node[] = node.args): ScanNode {
  return { ...node, loop, args, hash: hashOf(loop, args), mark: 0, slot: 0 }
}

/** Result `index` of a scan: the last value or the history of carry `index`, or a stack. */
export function resultOf(scan: Node, index: number): ResultNode {
  invariant(scan.kind === 'scan', () => `a result of a ${scan.kind}`)
  const { shape, dtype } = resultType(scan.loop, index)
  return {
    kind: 'result',
    shape,
    dtype,
    args: [scan],
    hash: mix(mixText(mixText(0x7e5, dtype), showShape(shape)), index),
    label: building.label,
    mark: 0,
    slot: 0,
    index,
  }
}

/** @throws `internal: …` where placeholders, results and arguments do not fit together. */
export function checkLoop(loop: Loop, args: readonly Node[]): void {
  const { carries, slices, wholes, next, ys, keep, length } = loop
  invariant(Number.isInteger(length) && length > 0, () => `a scan of ${length} steps`)
  invariant(
    next.length === carries.length && keep.length === carries.length,
    () => 'carries of a scan',
  )
  const fits = (node: Node, shape: Shape, dtype: DType, what: string) =>
    invariant(
      sameShape(node.shape, shape) && node.dtype === dtype,
      () =>
        `scan: ${what} is ${node.dtype} ${showShape(node.shape)}, not ${dtype} ${showShape(shape)}`,
    )
  carries.forEach((carry, i) => {
    fits(next[i], carry.shape, carry.dtype, `carry ${i} after a step`)
    fits(args[i], carry.shape, carry.dtype, `the first carry ${i}`)
  })
  slices.forEach((slice, i) => {
    fits(args[carries.length + i], [length, ...slice.shape], slice.dtype, `stacked argument ${i}`)
  })
  wholes.forEach((whole, i) => {
    fits(args[carries.length + slices.length + i], whole.shape, whole.dtype, `argument ${i}`)
  })
  const known = new Set<Node>(placeholders(loop))
  for (const node of topological([...next, ...ys]))
    invariant(
      node.kind !== 'input' || known.has(node),
      () => 'a scan whose body has inputs of its own',
    )
}
