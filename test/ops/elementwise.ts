// Element-wise operations: every function over several shapes, every pair of operands broadcast.
import { erf } from '../../src/graph/scalar.js'
import { type Tensor, where } from '../../src/index.js'
import { bools, type Case, exact, exactInts, floats, ints } from './case.js'

type Unary = keyof {
  [K in keyof Tensor as Tensor[K] extends () => Tensor ? K : never]: true
}

/** name, meaning, domain, and why differences say nothing. */
const unary: readonly (readonly [Unary, (x: number) => number, number, number, string?])[] = [
  ['neg', (x) => -x, -2, 2],
  ['abs', Math.abs, 0.1, 2],
  ['sign', Math.sign, 0.1, 2],
  ['square', (x) => x * x, -2, 2],
  ['exp', Math.exp, -3, 3],
  ['exp2', (x) => 2 ** x, -3, 3],
  ['expm1', Math.expm1, -3, 3],
  ['log', Math.log, 0.1, 4],
  ['log2', Math.log2, 0.1, 4],
  ['log10', Math.log10, 0.1, 4],
  ['log1p', Math.log1p, -0.8, 4],
  ['sqrt', Math.sqrt, 0.1, 4],
  ['rsqrt', (x) => 1 / Math.sqrt(x), 0.1, 4],
  ['reciprocal', (x) => 1 / x, 0.2, 4],
  ['sin', Math.sin, -7, 7],
  ['cos', Math.cos, -7, 7],
  ['tan', Math.tan, -1.3, 1.3],
  ['asin', Math.asin, -0.95, 0.95],
  ['acos', Math.acos, -0.95, 0.95],
  ['atan', Math.atan, -9, 9],
  ['sinh', Math.sinh, -3, 3],
  ['cosh', Math.cosh, -3, 3],
  ['tanh', Math.tanh, -3, 3],
  ['asinh', Math.asinh, -9, 9],
  ['acosh', Math.acosh, 1.1, 9],
  ['atanh', Math.atanh, -0.9, 0.9],
  ['erf', erf, -3, 3],
  ['erfc', (x) => 1 - erf(x), -3, 2],
  ['floor', Math.floor, -5, 5],
  ['ceil', Math.ceil, -5, 5],
  ['trunc', Math.trunc, -5, 5],
  ['frac', (x) => x - Math.trunc(x), 0.1, 0.9],
]
const shapes = [[2, 3], [], [1, 1, 5], [0, 4]]

const unaryCases: readonly Case[] = unary.flatMap(([op, value, low, high, rough]) =>
  shapes.map((shape): Case => {
    const x = floats(shape, low, high)
    return {
      op,
      name: `[${shape}]`,
      inputs: [x],
      run: (t) => t[op](),
      gives: x.data.map(value),
      shape,
      rough,
    }
  }),
)

const fmod = (a: number, b: number): number => a % b
const mod = (a: number, b: number): number => a - Math.floor(a / b) * b

type Binary =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'floorDivide'
  | 'remainder'
  | 'fmod'
  | 'maximum'
  | 'minimum'
  | 'pow'
  | 'logaddexp'
const binary: readonly (readonly [Binary, (a: number, b: number) => number, number, number])[] = [
  ['add', (a, b) => a + b, -2, 2],
  ['sub', (a, b) => a - b, -2, 2],
  ['mul', (a, b) => a * b, -2, 2],
  ['div', (a, b) => a / b, 0.5, 2],
  ['floorDivide', (a, b) => Math.floor(a / b), 0.5, 7],
  ['remainder', mod, 0.5, 7],
  ['fmod', fmod, 0.5, 7],
  ['maximum', Math.max, -2, 2],
  ['minimum', Math.min, -2, 2],
  ['pow', (a, b) => a ** b, 0.3, 2],
  ['logaddexp', (a, b) => Math.log(Math.exp(a) + Math.exp(b)), -2, 2],
]
const pairs: readonly (readonly [readonly number[], readonly number[], readonly number[]])[] = [
  [
    [2, 3],
    [2, 3],
    [2, 3],
  ],
  [[2, 3], [3], [2, 3]],
  [
    [2, 1, 3],
    [4, 1],
    [2, 4, 3],
  ],
  [[], [2, 2], [2, 2]],
]

/** The element of `data` that a broadcast puts at a place of `to`. */
function spread(data: readonly number[], from: readonly number[], to: readonly number[]): number[] {
  const size = to.reduce((a, b) => a * b, 1)
  return Array.from({ length: size }, (_, i) => {
    let rest = i
    let at = 0
    let stride = 1
    for (let axis = 1; axis <= to.length; axis++) {
      const position = rest % to[to.length - axis]
      rest = Math.floor(rest / to[to.length - axis])
      const n = from[from.length - axis] ?? 1
      if (n > 1) at += position * stride
      stride *= n
    }
    return data[at]
  })
}

const binaryCases: readonly Case[] = binary.flatMap(([op, value, low, high]) => [
  ...pairs.map(([p, q, to]): Case => {
    const [a, b] = [floats(p, low, high), floats(q, low, high)]
    const right = spread(b.data, q, to)
    return {
      op,
      name: `[${p}] and [${q}]`,
      inputs: [a, b],
      run: (x, y) => x[op](y),
      gives: spread(a.data, p, to).map((x, i) => value(x, right[i])),
      shape: to,
    }
  }),
  ((): Case => {
    const a = floats([5], low, high)
    return {
      op,
      name: 'with a number',
      inputs: [a],
      run: (x) => x[op](1.5),
      gives: a.data.map((x) => value(x, 1.5)),
    }
  })(),
])

const whole: readonly (readonly [Binary, (a: number, b: number) => number])[] = [
  ['add', (a, b) => a + b],
  ['sub', (a, b) => a - b],
  ['mul', (a, b) => a * b],
  ['floorDivide', (a, b) => Math.floor(a / b)],
  ['remainder', mod],
  ['fmod', fmod],
  ['maximum', Math.max],
]
const wholeCases: readonly Case[] = whole.map(([op, value]) => {
  const a = ints([9], -20, 20)
  const b = exactInts([3, -3, 4, -7, 1, 5, -2, 9, -9])
  return {
    op,
    name: 'of int32',
    inputs: [a, b],
    run: (x, y) => x[op](y),
    gives: a.data.map((x, i) => value(x, b.data[i])),
    dtype: 'int32',
  }
})

type Comparison = 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge'
const comparisons: readonly (readonly [Comparison, (a: number, b: number) => boolean])[] = [
  ['eq', (a, b) => a === b],
  ['ne', (a, b) => a !== b],
  ['lt', (a, b) => a < b],
  ['le', (a, b) => a <= b],
  ['gt', (a, b) => a > b],
  ['ge', (a, b) => a >= b],
]
const odd = exact([1, 2, 2, NaN, NaN, Infinity, -Infinity, 0, -0])
const other = exact([2, 2, 1, 1, NaN, Infinity, 1, -0, 0])
const comparisonCases: readonly Case[] = comparisons.flatMap(([op, holds]): Case[] => [
  {
    op,
    name: 'NaN, infinities and zeros',
    inputs: [odd, other],
    run: (x, y) => x[op](y),
    gives: odd.data.map((x, i) => Number(holds(x, other.data[i]))),
    dtype: 'bool',
  },
  {
    op,
    name: 'int32 with a number',
    inputs: [exactInts([-1, 0, 1, 2])],
    run: (x) => x[op](1),
    gives: [-1, 0, 1, 2].map((x) => Number(holds(x, 1))),
  },
])

const special = exact([1, NaN, Infinity, -Infinity, 0, -1])
const t = exact([1, 1, 0, 0], [4], 'bool')
const u = exact([1, 0, 1, 0], [4], 'bool')
const others: readonly Case[] = [
  {
    op: 'isNaN',
    name: 'odd values',
    inputs: [special],
    run: (x) => x.isNaN(),
    gives: [0, 1, 0, 0, 0, 0],
  },
  {
    op: 'isInf',
    name: 'odd values',
    inputs: [special],
    run: (x) => x.isInf(),
    gives: [0, 0, 1, 1, 0, 0],
  },
  {
    op: 'isFinite',
    name: 'odd values',
    inputs: [special],
    run: (x) => x.isFinite(),
    gives: [1, 0, 0, 0, 1, 1],
  },
  {
    op: 'nanToNum',
    name: 'chosen numbers',
    inputs: [special],
    run: (x) => x.nanToNum({ nan: 7, posinf: 8, neginf: -8 }),
    gives: [1, 7, 8, -8, 0, -1],
    rough: 'values that are no numbers',
  },
  {
    op: 'maximum',
    name: 'NaN passes',
    inputs: [exact([NaN, 1]), exact([1, NaN])],
    run: (x, y) => x.maximum(y),
    gives: [NaN, NaN],
    rough: 'values that are no numbers',
  },
  {
    op: 'round',
    name: 'halves to even',
    inputs: [exact([0.5, 1.5, -0.5, -1.5, 2.4])],
    run: (x) => x.round(),
    gives: [0, 2, 0, -2, 2],
  },
  { op: 'round', name: 'int32 stays', inputs: [ints([3])], run: (x) => x.round(), dtype: 'int32' },
  {
    op: 'exp',
    name: 'far out',
    inputs: [exact([-200, 0, 5])],
    run: (x) => x.exp(),
    gives: [0, 1, Math.exp(5)],
    rough: 'infinite',
  },
  {
    op: 'atan',
    name: 'far out',
    inputs: [exact([-Infinity, Infinity, 1e30, 0])],
    run: (x) => x.atan(),
    gives: [-Math.PI / 2, Math.PI / 2, Math.PI / 2, 0],
    rough: 'infinite',
  },
  {
    op: 'asin',
    name: 'at the ends',
    inputs: [exact([-1, 1])],
    run: (x) => x.asin(),
    gives: [-Math.PI / 2, Math.PI / 2],
    rough: 'steep without end',
  },
  {
    op: 'log1p',
    name: 'small',
    inputs: [exact([1e-7, -1e-7, 0])],
    run: (x) => x.log1p(),
    gives: [1e-7, -1e-7, 0].map((x) => Math.log1p(Math.fround(x))),
    tolerance: 1e-6,
  },
  {
    op: 'expm1',
    name: 'small',
    inputs: [exact([1e-7, -1e-7, 0])],
    run: (x) => x.expm1(),
    gives: [1e-7, -1e-7, 0].map((x) => Math.expm1(Math.fround(x))),
    tolerance: 1e-6,
  },
  {
    op: 'atan2',
    name: 'all quadrants',
    inputs: [exact([1, 1, -1, -1, 0, 0, 2]), exact([1, -1, 1, -1, 1, -1, 0])],
    run: (y, x) => y.atan2(x),
    gives: [
      [1, 1],
      [1, -1],
      [-1, 1],
      [-1, -1],
      [0, 1],
      [0, -1],
      [2, 0],
    ].map(([y, x]) => Math.atan2(y, x)),
    rough: 'a jump at the negative axis',
  },
  {
    op: 'atan2',
    name: 'broadcast',
    inputs: [floats([2, 1], 0.5, 2), floats([3], -2, -0.5)],
    run: (y, x) => y.atan2(x),
    shape: [2, 3],
  },
  ...[2, 3, 0.5, -1, 1, 0, 2.5, -2].map((p): Case => {
    const x = floats([4], 0.5, 2)
    return {
      op: 'pow',
      name: `to the ${p}`,
      inputs: [x],
      run: (a) => a.pow(p),
      gives: x.data.map((v) => v ** p),
    }
  }),
  {
    op: 'clamp',
    name: 'two numbers',
    inputs: [exact([-3, -1, 0.5, 1, 3])],
    run: (x) => x.clamp(-1, 1),
    gives: [-1, -1, 0.5, 1, 1],
    rough: 'kinks at the bounds',
  },
  {
    op: 'clamp',
    name: 'a lower number',
    inputs: [exact([-3, 0.5])],
    run: (x) => x.clamp(-1),
    gives: [-1, 0.5],
  },
  {
    op: 'clamp',
    name: 'an upper number',
    inputs: [exact([-3, 4])],
    run: (x) => x.clamp(undefined, 1),
    gives: [-3, 1],
  },
  {
    op: 'clamp',
    name: 'by tensors',
    inputs: [exact([-3, 0.25, 9]), exact([-1, 0, 1]), exact([1, 0.5, 2])],
    run: (x, a, b) => x.clamp(a, b),
    gives: [-1, 0.25, 2],
  },
  {
    op: 'lerp',
    name: 'a number',
    inputs: [exact([0, 2]), exact([1, 4])],
    run: (x, y) => x.lerp(y, 0.25),
    gives: [0.25, 2.5],
  },
  {
    op: 'lerp',
    name: 'a tensor',
    inputs: [floats([2, 3]), floats([2, 3]), floats([3], 0, 1)],
    run: (x, y, w) => x.lerp(y, w),
    shape: [2, 3],
  },
  {
    op: 'addcmul',
    name: 'with a value',
    inputs: [exact([1, 2]), exact([3, 4]), exact([5, 6])],
    run: (x, a, b) => x.addcmul(a, b, { value: 0.5 }),
    gives: [8.5, 14],
  },
  {
    op: 'addcdiv',
    name: 'with a value',
    inputs: [exact([1, 2]), exact([3, 4]), exact([5, 8])],
    run: (x, a, b) => x.addcdiv(a, b, { value: 10 }),
    gives: [7, 7],
  },
  {
    op: 'logicalAnd',
    name: 'truth table',
    inputs: [t, u],
    run: (x, y) => x.logicalAnd(y),
    gives: [1, 0, 0, 0],
    dtype: 'bool',
  },
  {
    op: 'logicalOr',
    name: 'truth table',
    inputs: [t, u],
    run: (x, y) => x.logicalOr(y),
    gives: [1, 1, 1, 0],
  },
  {
    op: 'logicalXor',
    name: 'truth table',
    inputs: [t, u],
    run: (x, y) => x.logicalXor(y),
    gives: [0, 1, 1, 0],
  },
  {
    op: 'logicalNot',
    name: 'of numbers',
    inputs: [exact([0, 2, -1])],
    run: (x) => x.logicalNot(),
    gives: [1, 0, 0],
  },
  {
    op: 'bitwiseAnd',
    name: 'of int32',
    inputs: [exactInts([12, 7]), exactInts([10, -2])],
    run: (x, y) => x.bitwiseAnd(y),
    gives: [8, 6],
  },
  {
    op: 'bitwiseOr',
    name: 'of int32',
    inputs: [exactInts([12, 7])],
    run: (x) => x.bitwiseOr(3),
    gives: [15, 7],
  },
  {
    op: 'bitwiseXor',
    name: 'of bools',
    inputs: [t, u],
    run: (x, y) => x.bitwiseXor(y),
    gives: [0, 1, 1, 0],
    dtype: 'bool',
  },
  {
    op: 'bitwiseNot',
    name: 'of int32',
    inputs: [exactInts([0, 5, -1])],
    run: (x) => x.bitwiseNot(),
    gives: [-1, -6, 0],
  },
  {
    op: 'isClose',
    name: 'near, far, infinite',
    inputs: [exact([1, 1, Infinity, NaN]), exact([1.000001, 1.1, Infinity, NaN])],
    run: (x, y) => x.isClose(y),
    gives: [1, 0, 1, 0],
  },
  {
    op: 'isClose',
    name: 'NaN as equal',
    inputs: [exact([1, NaN]), exact([2, NaN])],
    run: (x, y) => x.isClose(y, { equalNaN: true }),
    gives: [0, 1],
  },
  {
    op: 'maskedFill',
    name: 'a number',
    inputs: [exact([1, 2, 3, 4], [2, 2]), exact([1, 0], [2], 'bool')],
    run: (x, m) => x.maskedFill(m, -9),
    gives: [-9, 2, -9, 4],
  },
  {
    op: 'maskedFill',
    name: 'a tensor',
    inputs: [floats([2, 3]), bools([2, 3]), floats([])],
    run: (x, m, v) => x.maskedFill(m, v),
    shape: [2, 3],
  },
  {
    op: 'where',
    name: 'two tensors',
    inputs: [t, exact([1, 2, 3, 4]), exact([5, 6, 7, 8])],
    run: (c, x, y) => where(c, x, y),
    gives: [1, 2, 7, 8],
  },
  {
    op: 'where',
    name: 'broadcast with a number',
    inputs: [bools([2, 1]), floats([3])],
    run: (c, x) => where(c, x, 0),
    shape: [2, 3],
  },
  {
    op: 'where',
    name: 'int32',
    inputs: [u, exactInts([1, 2, 3, 4])],
    run: (c, x) => where(c, x, 0),
    gives: [1, 0, 3, 0],
    dtype: 'int32',
  },
]

export const elementwise: readonly Case[] = [
  ...unaryCases,
  ...binaryCases,
  ...wholeCases,
  ...comparisonCases,
  ...others,
]
