// Where a node's element comes from: affine indices pushed through views, symbolically.
//
// A `Space` knows the extent of every loop variable, so a merged axis can be taken apart again by range
// (Note: divmod). Where that fails, the caller learns which variable to split, or that the view must be
// computed into memory first.
import { type Shape, stridesOf } from '../base/shape.js'
import type { Node } from '../graph/node.js'
import type { ViewOp } from '../graph/view.js'
import {
  addAffine,
  affineKey,
  constant,
  createNames,
  inside,
  type Names,
  ofVariable,
  scaleAffine,
  shiftAffine,
  zero,
} from './build.js'
import type { Affine, Inside, Variable } from './kernel.js'

export interface Space {
  readonly names: Names
  /** Variable id → number of values, counted from 0. */
  readonly extents: Map<number, number>
}

export function createSpace(): Space {
  return { names: createNames(), extents: new Map() }
}

export function variableOf(space: Space, name: string, extent: number): Variable {
  const variable = space.names.variable(name)
  space.extents.set(variable.id, extent)
  return variable
}

/** The index of a fresh loop over `extent`; constant 0 where there is nothing to loop over. */
export function axisIndex(space: Space, name: string, extent: number): Affine {
  return extent === 1 ? zero : ofVariable(variableOf(space, name, extent))
}

export function rangeOf(affine: Affine, space: Space): readonly [least: number, most: number] {
  let least = affine.offset
  let most = affine.offset
  for (const [variable, coefficient] of affine.terms) {
    const reach = coefficient * ((space.extents.get(variable.id) ?? 1) - 1)
    if (reach < 0) least += reach
    else most += reach
  }
  return [least, most]
}

/** A view does not fold into this index: split the variable by `by`, or put `operand` in memory first. */
export class Unfoldable extends Error {
  readonly operand: Node
  readonly split: { readonly variable: Variable; readonly by: number } | undefined
  constructor(operand: Node, split?: { readonly variable: Variable; readonly by: number }) {
    super('internal: a view that does not fold was not computed first')
    this.operand = operand
    this.split = split
  }
}

export interface Accessed {
  readonly index: readonly Affine[]
  /** All must hold for the element to exist; elsewhere it is `fill`. */
  readonly inside: readonly Inside[]
  readonly fill: number
}

/** The index into the operand of view `node` for the index into its result. */
export function throughView(
  node: Node,
  op: ViewOp,
  index: readonly Affine[],
  space: Space,
): Accessed {
  const source = node.args[0].shape
  switch (op.type) {
    case 'reshape':
      return whole(reshapeIndex(node, index, node.shape, source, space))
    case 'permute': {
      const out = new Array<Affine>(source.length)
      op.axes.forEach((axis, i) => {
        out[axis] = index[i]
      })
      return whole(out)
    }
    case 'expand':
      return whole(index.map((at, i) => (source[i] === 1 ? zero : at)))
    case 'slice':
      return whole(index.map((at, i) => shiftAffine(scaleAffine(at, op.steps[i]), op.starts[i])))
    case 'pad': {
      const out = index.map((at, i) => shiftAffine(at, -op.low[i]))
      return { index: out, inside: conditions(out, source, space), fill: op.value }
    }
    case 'window': {
      const out = index.slice(0, -1)
      const tap = scaleAffine(index[index.length - 1], op.dilation)
      out[op.axis] = shiftAffine(addAffine(tap, out[op.axis], op.stride), -op.padding)
      return { index: out, inside: conditions(out, source, space), fill: op.value }
    }
  }
}

function whole(index: readonly Affine[]): Accessed {
  return { index, inside: [], fill: 0 }
}

/** The bounds that the index can leave. */
export function conditions(index: readonly Affine[], shape: Shape, space: Space): Inside[] {
  return index.map((at, i) => inside(at, shape[i])).filter((one) => !alwaysHolds(one, space))
}

export function alwaysHolds({ affine, extent }: Inside, space: Space): boolean {
  const [least, most] = rangeOf(affine, space)
  return least >= 0 && most < extent
}

/** Each condition once. */
export function distinct(list: readonly Inside[]): Inside[] {
  return [...new Map(list.map((one) => [`${affineKey(one.affine)} ${one.extent}`, one])).values()]
}

// Note: divmod. A reshape pairs runs of dimensions of equal product. A lone dimension passes unchanged; in
// a run, the linear index L = Σ stride·index is taken apart from the last dimension E up: terms whose
// coefficient E divides go to the quotient; the others must stay within one multiple of E.

export function reshapeIndex(
  view: Node,
  index: readonly Affine[],
  from: Shape,
  to: Shape,
  space: Space,
): Affine[] {
  const out = new Array<Affine>(to.length).fill(zero)
  // Of no elements none is read, and the runs below need products above 0.
  if (from.includes(0)) return out
  let i = 0
  let j = 0
  while (i < from.length || j < to.length) {
    if (i < from.length && from[i] === 1) {
      i++
      continue
    }
    if (j < to.length && to[j] === 1) {
      j++
      continue
    }
    const firstFrom = i
    const firstTo = j
    let left = from[i++]
    let right = to[j++]
    while (left !== right) {
      if (left < right) left *= from[i++]
      else right *= to[j++]
    }
    if (i - firstFrom === 1 && j - firstTo === 1) {
      out[firstTo] = index[firstFrom]
      continue
    }
    const strides = stridesOf(from.slice(firstFrom, i))
    let rest = zero
    for (let k = firstFrom; k < i; k++) rest = addAffine(rest, index[k], strides[k - firstFrom])
    for (let k = j - 1; k > firstTo; k--) {
      const [quotient, remainder] = divmod(view, rest, to[k], space)
      out[k] = remainder
      rest = quotient
    }
    out[firstTo] = rest
  }
  return out
}

function divmod(view: Node, at: Affine, extent: number, space: Space): readonly [Affine, Affine] {
  if (extent === 1) return [at, zero]
  const over: (readonly [Variable, number])[] = []
  const under: (readonly [Variable, number])[] = []
  for (const term of at.terms) {
    if (term[1] % extent === 0) over.push([term[0], term[1] / extent])
    else under.push(term)
  }
  const remainder: Affine = { terms: under, offset: at.offset }
  const [least, most] = rangeOf(remainder, space)
  const times = Math.floor(least / extent)
  if (times === Math.floor(most / extent))
    return [{ terms: over, offset: times }, shiftAffine(remainder, -times * extent)]
  for (const [variable, coefficient] of under) {
    const by = extent / coefficient
    const count = space.extents.get(variable.id) ?? 1
    if (Number.isInteger(by) && by > 1 && count > by && count % by === 0)
      throw new Unfoldable(view.args[0], { variable, by })
  }
  throw new Unfoldable(view.args[0])
}

/** Row-major position of an index. */
export function linear(index: readonly Affine[], shape: Shape): Affine {
  const strides = stridesOf(shape)
  let at = constant(0)
  for (let i = 0; i < index.length; i++) at = addAffine(at, index[i], strides[i])
  return at
}

/** Reshapes do not move elements, and waiting does not either: the node whose buffer serves for `node` too. */
export function baseOf(node: Node): Node {
  let base = node
  while (keepsPlace(base)) base = base.args[0]
  return base
}

function keepsPlace(node: Node): boolean {
  return node.kind === 'after' || (node.kind === 'view' && node.op.type === 'reshape')
}

/** What must have been computed before the node is read where it lies: its base, and what it waits for. */
export function awaited(node: Node): Node[] {
  const out: Node[] = []
  let at = node
  for (; keepsPlace(at); at = at.args[0]) if (at.kind === 'after') out.push(baseOf(at.args[1]))
  return [at, ...out]
}

export interface Access {
  /** A node held in memory. */
  readonly node: Node
  readonly index: readonly Affine[]
  readonly inside: readonly Inside[]
  /** A gather's table: one position along an axis is known only when the program runs. */
  readonly dynamic?: boolean
}

/**
 * Every element in memory that the value of `root` at `index` is computed from; `onPosition` gets what is computed with
 * otherwise than in an address: bounds of views, and iotas' values. Throws Unfoldable.
 */
export function accessesOf(
  root: Node,
  index: readonly Affine[],
  space: Space,
  inMemory: (node: Node) => boolean,
  onPosition: (position: Affine) => void = () => {},
): Access[] {
  const out: Access[] = []
  const seen = new Map<Node, (readonly Affine[])[]>()
  const visit = (
    node: Node,
    at: readonly Affine[],
    held: readonly Inside[],
    dynamic = false,
  ): void => {
    const before = seen.get(node)
    if (!dynamic && before?.some((other) => sameIndex(other, at))) return
    if (before) before.push(at)
    else seen.set(node, [at])
    if (inMemory(node)) out.push({ node, index: at, inside: held, dynamic })
    else operands(node, at, held, dynamic)
  }
  const operands = (
    node: Node,
    at: readonly Affine[],
    held: readonly Inside[],
    dynamic = false,
  ): void => {
    switch (node.kind) {
      case 'const':
        return
      case 'iota':
        onPosition(at[node.axis])
        return
      case 'view': {
        const through = throughView(node, node.op, at, space)
        for (const { affine } of through.inside) onPosition(affine)
        visit(node.args[0], through.index, [...held, ...through.inside], dynamic)
        return
      }
      case 'gather': {
        visit(node.args[1], at, held)
        visit(
          node.args[0],
          at.map((a, i) => (i === node.axis ? zero : a)),
          held,
          true,
        )
        return
      }
      case 'after':
        // Waits for what the same kernel computes.
        throw new Unfoldable(node)
      default:
        for (const arg of node.args) visit(arg, at, held, dynamic)
    }
  }
  operands(root, index, [])
  return out
}

export function sameIndex(a: readonly Affine[], b: readonly Affine[]): boolean {
  return (
    a.length === b.length &&
    a.every(
      (x, i) =>
        x.offset === b[i].offset &&
        x.terms.length === b[i].terms.length &&
        x.terms.every(([v, c], k) => v.id === b[i].terms[k][0].id && c === b[i].terms[k][1]),
    )
  )
}
