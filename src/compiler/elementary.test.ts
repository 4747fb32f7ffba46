// Elementary functions against Math in float64, through the JavaScript and the WebAssembly printer.
import { describe, expect, test } from 'vitest'
import { argument, bytesOf, elementwise, noise, programOf } from '../../test/programs.js'
import { runWasm } from '../../test/run-wasm.js'
import { erf } from '../graph/scalar.js'
import { runJs } from '../targets/js.js'
import { type ElementaryFn, elementary } from './elementary.js'

const word = new DataView(new ArrayBuffer(4))
/** Floats in order: neighbours differ by 1. */
function rank(x: number): number {
  word.setFloat32(0, x)
  const bits = word.getInt32(0)
  return bits < 0 ? -2147483648 - bits : bits
}

function errorIn(unit: 'ulp' | 'absolute', got: number, want: number): number {
  const rounded = Math.fround(want)
  if (Number.isNaN(want) || Number.isNaN(got))
    return Number.isNaN(want) === Number.isNaN(got) ? 0 : Infinity
  if (unit === 'absolute') return Math.abs(got - want)
  // Denormal results may be 0.
  if (Math.abs(want) < 1.2e-38) return Math.abs(got) < 1.2e-38 ? 0 : Infinity
  if (!Number.isFinite(rounded) || !Number.isFinite(got))
    return got === rounded ? 0 : Math.abs(rank(got) - rank(rounded))
  return Math.abs(got - want) / 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(want)))) - 23)
}

const special = [
  0,
  -0,
  1,
  -1,
  Infinity,
  -Infinity,
  NaN,
  3.4e38,
  -3.4e38,
  1.2e-38,
  1e-40,
  -1e-40,
  88.72,
  -87.33,
  -104,
]

function points(from: number, to: number, count = 20000): number[] {
  return Array.from({ length: count }, (_, i) =>
    Math.fround(from + ((to - from) * i) / (count - 1)),
  )
}

function logarithmic(from: number, to: number, count = 20000): number[] {
  const [a, b] = [Math.log(from), Math.log(to)]
  return points(a, b, count).map((x) => Math.fround(Math.exp(x)))
}

function evaluate(fn: ElementaryFn, args: readonly Float32Array[]) {
  const { length } = args[0]
  const kernel = elementwise(
    length,
    args.map(() => 'float32' as const),
    (values, keep) => elementary(fn, values, keep),
  )
  const program = programOf(kernel, [
    ...args.map(() => argument('in', 'float32', length)),
    argument('out', 'float32', length),
  ])
  return [runJs, runWasm].map((run) => {
    const out = new Float32Array(length)
    run(program, [...args.map(bytesOf), bytesOf(out)])
    return out
  })
}

const cases: readonly {
  readonly fn: ElementaryFn
  readonly math: (x: number) => number
  readonly at: readonly number[]
  readonly unit: 'ulp' | 'absolute'
  readonly limit: number
}[] = [
  {
    fn: 'exp',
    math: Math.exp,
    // Around the last float whose exp is finite: the next one is 128·ln 2, rounded.
    at: [...points(-104, 89), ...points(-1, 1), ...special, 88.7228317, 88.7228394, 88.722847],
    unit: 'ulp',
    limit: 1.5,
  },
  {
    fn: 'log',
    math: Math.log,
    at: [...logarithmic(1e-44, 3.4e38), ...points(0.5, 2), ...special],
    unit: 'ulp',
    limit: 1.5,
  },
  {
    fn: 'sin',
    math: Math.sin,
    at: [...points(-50000, 50000), ...points(-7, 7), 0, -0, NaN, Infinity],
    unit: 'absolute',
    limit: 2e-7,
  },
  { fn: 'sin', math: Math.sin, at: points(-1.5, 1.5), unit: 'ulp', limit: 2 },
  {
    fn: 'cos',
    math: Math.cos,
    at: [...points(-50000, 50000), ...points(-7, 7), 0, -0, NaN, Infinity],
    unit: 'absolute',
    limit: 2e-7,
  },
  {
    fn: 'tanh',
    math: Math.tanh,
    at: [...points(-10, 10), ...points(-0.01, 0.01), ...special, 44.36142, -44.36142],
    unit: 'ulp',
    limit: 2,
  },
  {
    fn: 'sigmoid',
    math: (x) => 1 / (1 + Math.exp(-x)),
    at: [...points(-87, 30), ...special],
    unit: 'ulp',
    limit: 3,
  },
  {
    fn: 'erf',
    math: erf,
    at: [...points(-5, 5), ...points(-0.01, 0.01), ...special],
    unit: 'ulp',
    limit: 2.5,
  },
]

describe('elementary functions', () => {
  test.each(cases)('$fn within $limit $unit', ({ fn, math, at, unit, limit }) => {
    const x = Float32Array.from(at)
    const results = evaluate(fn, [x])
    expect(bytesOf(results[1])).toEqual(bytesOf(results[0]))
    let worst = 0
    let where = 0
    x.forEach((value, i) => {
      const error = errorIn(unit, results[0][i], math(value))
      if (error > worst) [worst, where] = [error, value]
    })
    console.log(`${fn}: largest error ${worst.toPrecision(3)} ${unit}, at ${where}`)
    expect(worst, `${fn}(${where})`).toBeLessThan(limit)
  })

  test('pow: fractional, integer and special exponents', () => {
    const base = [...logarithmic(1e-6, 1e6, 4000), ...points(-4, 4, 4000)]
    const exponent = noise(base.length, 7).map((e, i) => (i % 3 === 0 ? Math.round(e * 6) : e * 6))
    const corners = [
      0,
      -0,
      1,
      -1,
      2,
      -2,
      3,
      -3,
      0.5,
      -0.5,
      Infinity,
      -Infinity,
      NaN,
      1e-40,
      16777216,
      3e38,
    ]
    // (±1)^±∞ and 1^NaN: C and PyTorch give 1, JavaScript NaN.
    const pairs = corners
      .flatMap((a) => corners.map((b) => [a, b] as const))
      .filter(([a, b]) => Math.abs(a) !== 1 || Number.isFinite(b))
    const x = Float32Array.from([...base, ...pairs.map(([a]) => a)])
    const y = Float32Array.from([...exponent, ...pairs.map(([, b]) => b)])
    const results = evaluate('pow', [x, y])
    let worst = 0
    let where = ''
    x.forEach((value, i) => {
      const error = errorIn('ulp', results[0][i], value ** y[i])
      if (error > worst) [worst, where] = [error, `${value}^${y[i]} = ${results[0][i]}`]
      expect(Object.is(results[0][i], results[1][i]) || results[0][i] === results[1][i]).toBe(true)
    })
    console.log(`pow: largest error ${worst.toPrecision(3)} ulp, at ${where}`)
    expect(worst, where).toBeLessThan(2)
  })
})
