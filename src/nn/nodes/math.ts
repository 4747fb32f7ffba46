// Arithmetic over nodes for the definitions of layers and losses: broadcasting, and numbers that belong to
// the definition (an epsilon, a half) as constants of the program. float32 unless said otherwise.
import { broadcastShapes, type Shape } from '../../base/shape.js'
import { broadcastTo, constant, iota, map, type Node, reduce, reshape } from '../../graph/node.js'
import type { ScalarFn } from '../../graph/scalar.js'

export type Operand = Node | number

function pair(fn: ScalarFn, a: Operand, b: Operand): Node {
  const shape = broadcastShapes(
    typeof a === 'number' ? [] : a.shape,
    typeof b === 'number' ? [] : b.shape,
    fn,
  )
  const dtype = typeof a !== 'number' ? a.dtype : typeof b !== 'number' ? b.dtype : 'float32'
  const lift = (x: Operand) =>
    typeof x === 'number' ? constant(x, dtype, shape) : broadcastTo(x, shape)
  return map(fn, lift(a), lift(b))
}

export const add = (a: Operand, b: Operand): Node => pair('add', a, b)
export const sub = (a: Operand, b: Operand): Node => pair('sub', a, b)
export const mul = (a: Operand, b: Operand): Node => pair('mul', a, b)
export const div = (a: Operand, b: Operand): Node => pair('div', a, b)
export const eq = (a: Operand, b: Operand): Node => pair('eq', a, b)
export const ne = (a: Operand, b: Operand): Node => pair('ne', a, b)
export const lt = (a: Operand, b: Operand): Node => pair('lt', a, b)
export const le = (a: Operand, b: Operand): Node => pair('le', a, b)
export const neg = (x: Node): Node => map('neg', x)
export const exp = (x: Node): Node => map('exp', x)
export const log = (x: Node): Node => map('log', x)
export const square = (x: Node): Node => map('mul', x, x)

/** condition ? x : y, in the condition's shape broadcast with the operands'. */
export function where(condition: Node, x: Operand, y: Operand): Node {
  let shape: Shape = condition.shape
  let dtype: Node['dtype'] = 'float32'
  for (const operand of [x, y])
    if (typeof operand !== 'number') {
      shape = broadcastShapes(shape, operand.shape, 'where')
      dtype = operand.dtype
    }
  const lift = (operand: Operand) =>
    typeof operand === 'number' ? constant(operand, dtype, shape) : broadcastTo(operand, shape)
  return map('where', broadcastTo(condition, shape), lift(x), lift(y))
}

/** max(x, limit), with the gradient of the larger side; at the limit it is that of the constant, 0. */
export const atLeast = (x: Node, limit: number): Node => where(lt(limit, x), x, limit)
export const atMost = (x: Node, limit: number): Node => where(lt(x, limit), x, limit)

/** The number at every position of x. */
export const constantLike = (x: Node, value: number): Node => constant(value, x.dtype, x.shape)

/** Reductions that keep the reduced axes with size 1. */
export function sum(x: Node, axes: readonly number[]): Node {
  return reshape(reduce('sum', axes, x), kept(x.shape, axes))
}
export function largest(x: Node, axes: readonly number[]): Node {
  return reshape(reduce('max', axes, x), kept(x.shape, axes))
}
export function mean(x: Node, axes: readonly number[]): Node {
  return div(
    sum(x, axes),
    axes.reduce((count, axis) => count * x.shape[axis], 1),
  )
}
function kept(shape: Shape, axes: readonly number[]): Shape {
  return shape.map((n, i) => (axes.includes(i) ? 1 : n))
}

/** A vector laid along one axis of a tensor of `rank` dimensions. */
export function along(vector: Node, axis: number, rank: number): Node {
  const shape = new Array<number>(rank).fill(1)
  shape[axis] = vector.shape[0]
  return reshape(vector, shape)
}

/** Positions along an axis of `size`, shaped to broadcast in a tensor of `rank` dimensions. */
export function positions(size: number, axis: number, rank: number): Node {
  return along(iota([size], 0), axis, rank)
}

/** log(1 + e) for e in 0 … 1, accurate for small e too: e times what rounding 1 + e did to log. */
export function log1p(e: Node): Node {
  const u = add(e, 1)
  const grown = sub(u, 1)
  const safe = where(eq(grown, 0), 1, grown)
  return where(eq(grown, 0), e, mul(log(u), div(e, safe)))
}
