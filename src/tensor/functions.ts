// Functions of floats that are made of others, over nodes. Those whose plain formula would lose digits near 0
// or overflow are composites with their own derivative.
import { broadcastShapes } from '../base/shape.js'
import { broadcastTo, composite, constant, map, type Node } from '../graph/node.js'
import type { ScalarFn } from '../graph/scalar.js'
import { binary, cast, type NodeOrNumber, numericFn, select } from './arithmetic.js'

const like = (x: Node, value: number): Node => constant(value, 'float32', x.shape)
const add = (a: Node, b: Node): Node => map('add', a, b)
const sub = (a: Node, b: Node): Node => map('sub', a, b)
const mul = (a: Node, b: Node): Node => map('mul', a, b)
const div = (a: Node, b: Node): Node => map('div', a, b)
const plus = (x: Node, value: number): Node => add(x, like(x, value))
const times = (x: Node, value: number): Node => mul(x, like(x, value))
const choose = (condition: Node, x: Node, y: Node): Node => map('where', condition, x, y)
const less = (x: Node, value: number): Node => map('lt', x, like(x, value))
const root = (x: Node): Node => map('sqrt', x)
const inverse = (x: Node): Node => div(like(x, 1), x)

interface Definition {
  readonly value: (x: Node) => Node
  /** Of the argument and the result. */
  readonly slope: (x: Node, y: Node) => Node
}

/** log(1 + x) by Kahan: what rounding 1 + x did to the logarithm is taken back. */
function log1p(x: Node): Node {
  const u = plus(x, 1)
  const grown = plus(u, -1)
  const none = map('eq', grown, like(x, 0))
  const endless = map('eq', u, like(x, Infinity))
  const log = map('log', u)
  return choose(none, x, choose(endless, u, mul(log, div(x, choose(none, like(x, 1), grown)))))
}

/** eˣ − 1 through tanh, which is accurate near 0. */
function expm1(x: Node): Node {
  const t = map('tanh', times(x, 0.5))
  const near = div(times(t, 2), sub(like(x, 1), t))
  return choose(less(map('abs', x), 0.5), near, plus(map('exp', x), -1))
}

const TURNS = [1, -1 / 3, 1 / 5, -1 / 7, 1 / 9, -1 / 11, 1 / 13, -1 / 15, 1 / 17]

/** Above 1 by the reciprocal; twice halved to |x| < tan(π/16), then the series. */
function atan(x: Node): Node {
  const magnitude = map('abs', x)
  const steep = map('lt', like(x, 1), magnitude)
  let z = choose(steep, inverse(choose(steep, magnitude, like(x, 1))), magnitude)
  for (let i = 0; i < 2; i++) z = div(z, plus(root(plus(mul(z, z), 1)), 1))
  const square = mul(z, z)
  const series = TURNS.reduceRight<Node>((sum, c) => plus(mul(sum, square), c), like(x, 0))
  const angle = times(mul(z, series), 4)
  const turned = choose(steep, sub(like(x, Math.PI / 2), angle), angle)
  const signed = mul(turned, map('sign', x))
  return choose(map('eq', x, x), signed, x)
}

const squared = (x: Node): Node => mul(x, x)
const asin = (x: Node): Node => atan(div(x, root(mul(plus(x, 1), sub(like(x, 1), x)))))
const sinh = (x: Node): Node => {
  const e = expm1(x)
  const near = times(add(e, div(e, plus(e, 1))), 0.5)
  const far = times(sub(map('exp', x), map('exp', map('neg', x))), 0.5)
  return choose(less(map('abs', x), 1), near, far)
}
const cosh = (x: Node): Node => times(add(map('exp', x), map('exp', map('neg', x))), 0.5)

/** Unary functions by name. */
export const floatFunctions = {
  log1p: { value: log1p, slope: (x) => inverse(plus(x, 1)) },
  expm1: { value: expm1, slope: (_x, y) => plus(y, 1) },
  exp2: { value: (x) => map('exp', times(x, Math.LN2)), slope: (_x, y) => times(y, Math.LN2) },
  log2: {
    value: (x) => times(map('log', x), 1 / Math.LN2),
    slope: (x) => inverse(times(x, Math.LN2)),
  },
  log10: {
    value: (x) => times(map('log', x), 1 / Math.LN10),
    slope: (x) => inverse(times(x, Math.LN10)),
  },
  tan: { value: (x) => div(map('sin', x), map('cos', x)), slope: (_x, y) => plus(squared(y), 1) },
  asin: { value: asin, slope: (x) => inverse(root(sub(like(x, 1), squared(x)))) },
  acos: {
    value: (x) => sub(like(x, Math.PI / 2), asin(x)),
    slope: (x) => map('neg', inverse(root(sub(like(x, 1), squared(x))))),
  },
  atan: { value: atan, slope: (x) => inverse(plus(squared(x), 1)) },
  sinh: { value: sinh, slope: cosh },
  cosh: { value: cosh, slope: sinh },
  asinh: {
    value: (x) => {
      const a = map('abs', x)
      const square = squared(a)
      const near = log1p(add(a, div(square, plus(root(plus(square, 1)), 1))))
      // Where the square would overflow.
      const far = plus(map('log', a), Math.LN2)
      return mul(map('sign', x), choose(less(a, 1e9), near, far))
    },
    slope: (x) => inverse(root(plus(squared(x), 1))),
  },
  acosh: {
    value: (x) => map('log', add(x, root(mul(plus(x, -1), plus(x, 1))))),
    slope: (x) => inverse(root(mul(plus(x, -1), plus(x, 1)))),
  },
  atanh: {
    value: (x) => times(log1p(div(times(x, 2), sub(like(x, 1), x))), 0.5),
    slope: (x) => inverse(sub(like(x, 1), squared(x))),
  },
  erfc: {
    value: (x) => sub(like(x, 1), map('erf', x)),
    slope: (x) => times(map('exp', map('neg', squared(x))), -2 / Math.sqrt(Math.PI)),
  },
} as const satisfies { readonly [name: string]: Definition }

export function floatFunction(name: keyof typeof floatFunctions, of: Node): Node {
  const x = cast(of, 'float32')
  const { value, slope }: Definition = floatFunctions[name]
  return composite(name, '', [x], x, {
    expand: () => value(x),
    gradient: (self, G) => [mul(G, slope(self.args[0], self))],
  })
}

/** Towards zero. */
export function truncate(x: Node): Node {
  return choose(less(x, 0), map('ceil', x), map('floor', x))
}

/** The remainder with the dividend's sign, as C's fmod. */
export function fmod(a: Node, b: NodeOrNumber): Node {
  const magnitude = typeof b === 'number' ? Math.abs(b) : numericFn('abs', b)
  const rest = binary('mod', numericFn('abs', a), magnitude, 'fmod')
  const sign = broadcastTo(cast(numericFn('sign', a), rest.dtype), rest.shape)
  return map('mul', sign, rest)
}

/** ⌊a / b⌋: of integers an integer. */
export function floorDivide(a: NodeOrNumber, b: NodeOrNumber): Node {
  const quotient = binary('div', a, b, 'floorDivide')
  if (quotient.dtype === 'float32') return map('floor', quotient)
  return binary('div', binary('sub', a, binary('mod', a, b, 'floorDivide'), 'sub'), b, 'div')
}

/** The angle of the point (x, y), −π … π. */
export function atan2(y: Node, x: Node): Node {
  const shape = broadcastShapes(y.shape, x.shape, 'atan2')
  const b = broadcastTo(cast(y, 'float32'), shape)
  const a = broadcastTo(cast(x, 'float32'), shape)
  return composite('atan2', '', [b, a], a, {
    expand: () => {
      const zero = like(a, 0)
      const upright = map('eq', a, zero)
      const angle = atan(div(b, choose(upright, like(a, 1), a)))
      const half = choose(map('lt', b, zero), like(a, -Math.PI), like(a, Math.PI))
      const vertical = choose(map('eq', b, zero), zero, times(half, 0.5))
      return choose(upright, vertical, choose(map('lt', a, zero), add(angle, half), angle))
    },
    gradient: (self, G) => {
      const [v, u] = self.args
      const share = div(G, add(squared(u), squared(v)))
      return [mul(share, u), map('neg', mul(share, v))]
    },
  })
}

/** log(eᵃ + eᵇ) without overflow. */
export function logAddExp(a: Node, b: NodeOrNumber): Node {
  const x = cast(a, 'float32')
  const most = binary('max', x, b, 'logAddExp')
  const gap = map('abs', binary('sub', x, b, 'logAddExp'))
  const near = floatFunction('log1p', map('exp', map('neg', gap)))
  // Two equal infinities have no gap.
  const endless = map('not', map('isFinite', most))
  return choose(endless, most, add(most, choose(endless, like(most, 0), near)))
}

/** Whether |a − b| ≤ absolute + relative·|b|; infinities are close to themselves. */
export function isClose(a: Node, b: NodeOrNumber, rtol: number, atol: number, nan: boolean): Node {
  const gap = map('abs', binary('sub', a, b, 'isClose', 'float32'))
  const size = typeof b === 'number' ? Math.abs(b) : map('abs', cast(b, 'float32'))
  const room = binary('add', binary('mul', size, rtol, 'isClose', 'float32'), atol, 'isClose')
  const near = map('and', map('isFinite', gap), binary('le', gap, room, 'isClose'))
  const same = binary('eq', a, b, 'isClose')
  const close = map('or', near, same)
  if (!nan || typeof b === 'number') return close
  const odd = (x: Node) => broadcastTo(map('ne', x, x), close.shape)
  return map('or', close, map('and', odd(a), odd(b)))
}

/** Bits of integers, truth of bools. */
export function bitwise(
  fn: 'bitAnd' | 'bitOr' | 'bitXor',
  a: Node,
  b: NodeOrNumber,
  where: string,
): Node {
  const bools = a.dtype === 'bool' && typeof b !== 'number' && b.dtype === 'bool'
  const named = { bitAnd: 'and', bitOr: 'or', bitXor: 'ne' } as const satisfies Record<
    typeof fn,
    ScalarFn
  >
  return bools ? binary(named[fn], a, b, where, 'bool') : binary(fn, a, b, where, 'int32')
}

/** NaN and infinities replaced by numbers. */
export function nanToNum(x: Node, nan: number, most: number, least: number): Node {
  const solid = select(binary('eq', x, x, 'nanToNum'), x, nan, 'nanToNum')
  const low = select(binary('lt', solid, least, 'nanToNum'), least, solid, 'nanToNum')
  return select(binary('lt', most, low, 'nanToNum'), most, low, 'nanToNum')
}
