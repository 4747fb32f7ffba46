// The derivative of each scalar function, as nodes: for every argument, given the gradient G of the result.
// Kinks as in SEMANTICS.md: relu′(0) = abs′(0) = 0, ties of max and min are shared half and half. Functions
// whose derivative is 0 almost everywhere (sign, floor, comparisons …) have none. exp, sqrt, tanh, sigmoid and
// relu use their result, so that the argument need not be kept. Gradients are float32, those of halves too.
import { constant, map, type Node } from '../graph/node.js'
import type { ScalarFn } from '../graph/scalar.js'

/** G of the result y = fn(a, b, c) → the gradient of one argument. */
export type Derivative = (G: Node, y: Node, a: Node, b: Node, c: Node) => Node

const like = (x: Node, value: number): Node => constant(value, x.dtype, x.shape)
const sub = (a: Node, b: Node): Node => map('sub', a, b)
const mul = (a: Node, b: Node): Node => map('mul', a, b)
const div = (a: Node, b: Node): Node => map('div', a, b)
const neg = (a: Node): Node => map('neg', a)

/** The gradient of the larger of two: nothing where x < y, half at a tie, all elsewhere (NaN passes on). */
const chosen = (G: Node, loses: Node, ties: Node): Node =>
  map('where', loses, like(G, 0), map('where', ties, mul(G, like(G, 0.5)), G))

function powBase(G: Node, a: Node, b: Node): Node {
  if (b.kind === 'const') {
    if (b.value === 0) return like(G, 0)
    if (b.value === 1) return G
    const slope = b.value === 2 ? a : map('pow', a, like(b, b.value - 1))
    return mul(G, mul(slope, b))
  }
  const slope = mul(b, map('pow', a, sub(b, like(b, 1))))
  return map('where', map('eq', b, like(b, 0)), like(G, 0), mul(G, slope))
}

/** aᵇ·log a, and 0 where a = 0 and b ≥ 0 (the limit, as PyTorch has it). */
function powExponent(G: Node, y: Node, a: Node, b: Node): Node {
  const zero = like(a, 0)
  const flat = map('and', map('eq', a, zero), map('le', zero, b))
  return map('where', flat, like(G, 0), mul(G, mul(y, map('log', a))))
}

const NONE: readonly Derivative[] = []
const TWO_OVER_ROOT_PI = 2 / Math.sqrt(Math.PI)

/** One entry an argument; arguments beyond the list have no gradient. `where`'s condition is `undefined`. */
export const derivatives: { readonly [F in ScalarFn]: readonly (Derivative | undefined)[] } = {
  neg: [neg],
  abs: [(G, _y, a) => mul(G, map('sign', a))],
  sign: NONE,
  add: [(G) => G, (G) => G],
  sub: [(G) => G, neg],
  mul: [(G, _y, _a, b) => mul(G, b), (G, _y, a) => mul(G, a)],
  div: [(G, _y, _a, b) => div(G, b), (G, y, _a, b) => neg(mul(div(G, b), y))],
  mod: [(G) => G, (G, _y, a, b) => neg(mul(G, map('floor', div(a, b))))],
  pow: [(G, _y, a, b) => powBase(G, a, b), powExponent],
  max: [
    (G, _y, a, b) => chosen(G, map('lt', a, b), map('eq', a, b)),
    (G, _y, a, b) => chosen(G, map('lt', b, a), map('eq', a, b)),
  ],
  min: [
    (G, _y, a, b) => chosen(G, map('lt', b, a), map('eq', a, b)),
    (G, _y, a, b) => chosen(G, map('lt', a, b), map('eq', a, b)),
  ],
  exp: [(G, y) => mul(G, y)],
  log: [(G, _y, a) => div(G, a)],
  sqrt: [(G, y) => div(mul(G, like(G, 0.5)), y)],
  sin: [(G, _y, a) => mul(G, map('cos', a))],
  cos: [(G, _y, a) => neg(mul(G, map('sin', a)))],
  tanh: [(G, y) => mul(G, sub(like(y, 1), mul(y, y)))],
  sigmoid: [(G, y) => mul(G, mul(y, sub(like(y, 1), y)))],
  erf: [(G, _y, a) => mul(G, mul(like(a, TWO_OVER_ROOT_PI), map('exp', neg(mul(a, a)))))],
  relu: [(G, y) => map('where', map('le', y, like(y, 0)), like(G, 0), G)],
  floor: NONE,
  ceil: NONE,
  round: NONE,
  isFinite: NONE,
  lt: NONE,
  le: NONE,
  eq: NONE,
  ne: NONE,
  and: NONE,
  or: NONE,
  not: NONE,
  bitAnd: NONE,
  bitOr: NONE,
  bitXor: NONE,
  shl: NONE,
  shr: NONE,
  where: [
    undefined,
    (G, _y, a) => map('where', a, G, like(G, 0)),
    (G, _y, a) => map('where', a, like(G, 0), G),
  ],
  toFloat32: [(G) => G],
  toFloat16: [(G) => G],
  toBfloat16: [(G) => G],
  toInt32: NONE,
  toUint8: NONE,
  toBool: NONE,
}
