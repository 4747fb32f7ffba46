// Elementary functions as expressions of the loop IR, so that every target shares them. float32 throughout.
//
// exp, log, sin, cos, tanh: polynomials of Cephes (S. Moshier). erf: after N. Juffa. pow: log2 and exp2 in two
// floats each, after fdlibm's e_powf.c. Errors in units in the last place (elementary.test.ts): about 1 for exp,
// log, tanh, erf and pow, 2 for sigmoid. Denormal results may come out as 0.
// sin and cos: absolute error below 2e-7 for |x| ≤ 50,000; beyond, values in [−1, 1] without accuracy.
import { call, num } from './build.js'
import type { Expr } from './kernel.js'

export type ElementaryFn = 'exp' | 'log' | 'sin' | 'cos' | 'tanh' | 'sigmoid' | 'erf' | 'pow'

/** Puts a value that is used more than once in a local, and gives the local. */
export type Emit = (value: Expr) => Expr

type Operand = Expr | number

const wrap =
  (lanes: number) =>
  (value: Operand): Expr =>
    typeof value === 'number' ? num('f32', value, lanes) : value

/** Arithmetic on expressions and float constants of `lanes` lanes. */
function arithmetic(lanes: number) {
  const e = wrap(lanes)
  const i = (value: Expr | number): Expr =>
    typeof value === 'number' ? num('i32', value, lanes) : value
  return {
    add: (a: Operand, b: Operand) => call('add', e(a), e(b)),
    sub: (a: Operand, b: Operand) => call('sub', e(a), e(b)),
    mul: (a: Operand, b: Operand) => call('mul', e(a), e(b)),
    div: (a: Operand, b: Operand) => call('div', e(a), e(b)),
    fma: (a: Operand, b: Operand, c: Operand) => call('fma', e(a), e(b), e(c)),
    lt: (a: Operand, b: Operand) => call('lt', e(a), e(b)),
    le: (a: Operand, b: Operand) => call('le', e(a), e(b)),
    eq: (a: Operand, b: Operand) => call('eq', e(a), e(b)),
    select: (c: Expr, a: Operand, b: Operand) => call('select', c, e(a), e(b)),
    min: (a: Operand, b: Operand) => call('min', e(a), e(b)),
    max: (a: Operand, b: Operand) => call('max', e(a), e(b)),
    abs: (a: Expr) => call('abs', a),
    neg: (a: Expr) => call('neg', a),
    /** The bits of `a` that `mask` keeps. */
    masked: (a: Expr, mask: number) =>
      call('bitsToF32', call('and', call('bitsToI32', a), i(mask))),
    /** |magnitude| with the sign bit of `sign`. */
    signed: (magnitude: Expr, sign: Expr) =>
      call(
        'bitsToF32',
        call(
          'or',
          call('bitsToI32', magnitude),
          call('and', call('bitsToI32', sign), i(0x80000000)),
        ),
      ),
    iadd: (a: Expr, b: Expr | number) => call('add', a, i(b)),
    isub: (a: Expr, b: Expr | number) => call('sub', a, i(b)),
    iand: (a: Expr, b: number) => call('and', a, i(b)),
    ieq: (a: Expr, b: number) => call('eq', a, i(b)),
    shl: (a: Expr, by: number) => call('shl', a, num('i32', by)),
    sar: (a: Expr, by: number) => call('sar', a, num('i32', by)),
    bits: (a: Expr) => call('bitsToI32', a),
    float: (a: Expr) => call('bitsToF32', a),
    number: (a: Expr) => call('toF32', a),
  }
}

/** c0 + c1·x + c2·x² + …, by Horner's rule. */
function polynomial(x: Expr, coefficients: readonly number[]): Expr {
  const lanes = x.lanes
  return coefficients
    .slice(0, -1)
    .reduceRight(
      (sum, c) => call('fma', sum, x, num('f32', c, lanes)),
      num('f32', coefficients.at(-1) ?? 0, lanes),
    )
}

/** Adding it rounds a small float to an integer, which then stands in the low bits: 1.5·2²³. */
const ROUNDER = 12582912
/** ln 2 in two floats; the first has nine bits, so that its product with an exponent is exact. */
const LN2_HIGH = 0.693359375
const LN2_LOW = -2.1219444e-4
/** The first float whose exp is beyond the largest: fround(128·ln 2). */
const EXP_OVERFLOW = 88.72283935546875
const EXP_SMALLEST = -87.33654022216797

function exp(x: Expr, emit: Emit): Expr {
  const a = arithmetic(x.lanes)
  const shifted = emit(a.fma(x, Math.LOG2E, ROUNDER))
  const n = emit(a.sub(shifted, ROUNDER))
  const r = emit(a.fma(n, -LN2_LOW, a.fma(n, -LN2_HIGH, x)))
  const p = polynomial(
    r,
    [
      5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3,
      1.98756915e-4,
    ],
  )
  const y = a.add(a.fma(p, a.mul(r, r), r), 1)
  // y·2ⁿ by adding n to the exponent: right up to the largest float, where 2ⁿ alone would overflow.
  const scaled = a.float(a.iadd(a.bits(y), a.shl(a.bits(shifted), 23)))
  const finite = a.select(a.lt(x, EXP_SMALLEST), 0, scaled)
  return a.select(a.lt(x, EXP_OVERFLOW), finite, a.add(x, Infinity))
}

const SMALLEST_NORMAL = 1.1754943508222875e-38
/** The bits of √½: mantissas are taken in [√½, √2). */
const SQRT_HALF_BITS = 0x3f3504f3

/** x > 0 as m·2ⁿ with m in [√½, √2); denormals too. */
function mantissaAndExponent(x: Expr, emit: Emit): { m: Expr; n: Expr } {
  const a = arithmetic(x.lanes)
  const small = emit(a.lt(x, SMALLEST_NORMAL))
  const bits = emit(a.bits(a.select(small, a.mul(x, 8388608), x)))
  const e = emit(a.sar(a.isub(bits, SQRT_HALF_BITS), 23))
  const m = emit(a.float(a.isub(bits, a.shl(e, 23))))
  return { m, n: emit(a.sub(a.number(e), a.select(small, 23, 0))) }
}

function log(x: Expr, emit: Emit): Expr {
  const a = arithmetic(x.lanes)
  const { m, n } = mantissaAndExponent(x, emit)
  const f = emit(a.sub(m, 1))
  const z = emit(a.mul(f, f))
  const p = polynomial(
    f,
    [
      3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1,
      -1.2420140846e-1, 1.167699874e-1, -1.151461031e-1, 7.0376836292e-2,
    ],
  )
  const tail = a.fma(z, -0.5, a.fma(n, LN2_LOW, a.mul(a.mul(p, f), z)))
  const value = a.fma(n, LN2_HIGH, a.add(f, tail))
  const positive = a.select(a.eq(x, Infinity), Infinity, value)
  return a.select(a.lt(0, x), positive, a.select(a.eq(x, 0), -Infinity, NaN))
}

/** π/2 in four floats; the first three have at most nine bits, so that products with n < 2¹⁵ are exact. */
const HALF_PI = halfPiParts()

function halfPiParts(): readonly number[] {
  // 1.57079632679489661923 and what float64 leaves over.
  const parts: number[] = []
  let rest = Math.PI / 2
  for (let i = 0; i < 3; i++) {
    const unit = 2 ** (Math.floor(Math.log2(rest)) - 8)
    const part = Math.floor(rest / unit) * unit
    parts.push(part)
    rest -= part
  }
  return [...parts, Math.fround(rest + 6.123233995736766e-17)]
}

function sinCos(x: Expr, quarterTurns: 0 | 1, emit: Emit): Expr {
  const a = arithmetic(x.lanes)
  const shifted = emit(a.fma(x, 2 / Math.PI, ROUNDER))
  const n = emit(a.sub(shifted, ROUNDER))
  const reduced = HALF_PI.reduce((rest, part) => a.fma(n, -part, rest), x)
  const r = emit(a.max(a.min(reduced, 0.8), -0.8))
  const z = emit(a.mul(r, r))
  const sine = a.fma(
    polynomial(z, [-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4]),
    a.mul(z, r),
    r,
  )
  const cosine = a.fma(
    polynomial(z, [4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5]),
    a.mul(z, z),
    a.fma(z, -0.5, 1),
  )
  const turn = emit(a.iadd(a.bits(shifted), quarterTurns))
  const value = emit(a.select(a.ieq(a.iand(turn, 1), 0), sine, cosine))
  // Bit 1 of the quadrant is the sign.
  const sign = a.shl(a.iand(turn, 2), 30)
  return a.float(call('xor', a.bits(value), sign))
}

function tanh(x: Expr, emit: Emit): Expr {
  const a = arithmetic(x.lanes)
  const size = emit(a.abs(x))
  const z = emit(a.mul(x, x))
  const near = a.fma(
    polynomial(
      z,
      [-3.33332819422e-1, 1.33314422036e-1, -5.37397155531e-2, 2.06390887954e-2, -5.70498872745e-3],
    ),
    a.mul(z, x),
    x,
  )
  const e = exp(emit(a.add(size, size)), emit)
  const far = a.signed(a.sub(1, a.div(2, a.add(e, 1))), x)
  return a.select(a.lt(size, 0.625), near, far)
}

function sigmoid(x: Expr, emit: Emit): Expr {
  const a = arithmetic(x.lanes)
  return a.div(1, a.add(1, exp(emit(a.neg(x)), emit)))
}

function erf(x: Expr, emit: Emit): Expr {
  const a = arithmetic(x.lanes)
  const t = emit(a.abs(x))
  const s = emit(a.mul(x, x))
  const high = a.fma(-1.7285347e-5, t, 3.83197126e-4)
  const low = a.fma(-3.88396438e-3, t, 2.42546219e-2)
  const quartic = a.fma(high, s, low)
  const exponent = [-1.06777877e-1, -6.34846687e-1, -1.28717512e-1].reduce(
    (sum, c) => a.fma(sum, t, c),
    quartic,
  )
  const far = a.signed(a.sub(1, exp(emit(a.fma(exponent, t, a.neg(t))), emit)), x)
  const near = a.fma(
    polynomial(
      s,
      [1.28379166e-1, -3.76125336e-1, 1.12819925e-1, -2.67681349e-2, 4.99119423e-3, -5.96761703e-4],
    ),
    x,
    x,
  )
  return a.select(a.lt(0.927734375, t), far, near)
}

/** Keeps twelve bits of the mantissa: the product of two such floats is exact. */
const UPPER = 0xfffff000

/** |x|^y for finite x > 0 and finite y, in two floats throughout. */
function powerOfPositive(x: Expr, y: Expr, emit: Emit): Expr {
  const a = arithmetic(x.lanes)
  const upper = (value: Expr) => emit(a.masked(value, UPPER))
  const { m, n } = mantissaAndExponent(x, emit)

  // s = (m − 1)/(m + 1) as sHigh + sLow; log m = 2·atanh s
  const u = emit(a.sub(m, 1))
  const v = emit(a.div(1, a.add(m, 1)))
  const s = emit(a.mul(u, v))
  const sHigh = upper(s)
  const dHigh = upper(a.add(m, 1))
  const dLow = a.sub(m, a.sub(dHigh, 1))
  const sLow = emit(a.mul(v, a.sub(a.sub(u, a.mul(sHigh, dHigh)), a.mul(sHigh, dLow))))
  const s2 = emit(a.mul(s, s))
  const series = a.mul(a.mul(s2, s2), polynomial(s2, [3 / 5, 3 / 7, 3 / 9, 3 / 11, 3 / 13, 3 / 15]))
  const r = emit(a.fma(sLow, a.add(sHigh, s), series))
  const square = emit(a.mul(sHigh, sHigh))
  const tHigh = upper(a.add(a.add(square, 3), r))
  const tLow = emit(a.sub(r, a.sub(a.sub(tHigh, 3), square)))
  const uu = emit(a.mul(sHigh, tHigh))
  const vv = emit(a.fma(sLow, tHigh, a.mul(tLow, s)))
  const pHigh = upper(a.add(uu, vv))
  const pLow = a.sub(vv, a.sub(pHigh, uu))

  // log2 x = n + 2/(3·ln 2)·p as l1 + l2
  const zHigh = emit(a.mul(pHigh, 9.619140625e-1))
  const zLow = emit(a.fma(pLow, 9.6179670095e-1, a.mul(pHigh, -1.1736857402e-4)))
  const l1 = upper(a.add(a.add(zHigh, zLow), n))
  const l2 = a.sub(zLow, a.sub(a.sub(l1, n), zHigh))

  // y·log2 x as qHigh + qLow; limited to where the result is neither 0 nor infinite
  const yHigh = upper(y)
  const qLow = emit(a.fma(a.sub(y, yHigh), l1, a.mul(y, l2)))
  const qHigh = emit(a.mul(yHigh, l1))
  const q = emit(a.add(qHigh, qLow))
  const k = emit(call('nearest', a.max(a.min(q, 130), -152)))
  const part = emit(a.sub(qHigh, k))
  const t = emit(a.masked(a.add(part, qLow), 0xffff8000))
  const low = a.sub(qLow, a.sub(t, part))
  const w = emit(a.fma(low, 6.9314718246e-1, a.mul(t, 1.42860654e-6)))
  const head = emit(a.mul(t, 6.93145752e-1))
  const z = emit(a.add(head, w))
  const error = emit(a.sub(w, a.sub(z, head)))
  const z2 = emit(a.mul(z, z))
  const c = emit(
    a.sub(
      z,
      a.mul(
        z2,
        polynomial(
          z2,
          [1.6666667163e-1, -2.777777845e-3, 6.613755977e-5, -1.6533901999e-6, 4.1381369442e-8],
        ),
      ),
    ),
  )
  const rest = a.sub(a.div(a.mul(z, c), a.sub(c, 2)), a.fma(z, error, error))
  const value = a.sub(1, a.sub(rest, z))
  const turns = emit(call('toI32', k))
  const half = emit(a.sar(turns, 1))
  const scale = (by: Expr) => a.float(a.shl(a.iadd(by, 127), 23))
  const scaled = a.mul(a.mul(value, scale(half)), scale(a.isub(turns, half)))
  const low0 = a.select(a.lt(q, -151), 0, scaled)
  return a.select(a.le(128, q), Infinity, low0)
}

/** As C's pow: a negative base needs an integer exponent, else NaN; (±1)^±∞ and 1^NaN are 1. */
function pow(x: Expr, y: Expr, emit: Emit): Expr {
  const a = arithmetic(x.lanes)
  const size = emit(a.abs(x))
  const value = powerOfPositive(size, y, emit)
  const falling = emit(a.lt(y, 0))
  const atZero = a.select(falling, Infinity, 0)
  const atInfinity = a.select(falling, 0, Infinity)
  const finite = a.select(a.eq(size, 0), atZero, a.select(a.eq(size, Infinity), atInfinity, value))
  // Infinite exponents: |x| < 1 shrinks, 1 stays.
  const shrinks = call('xor', a.lt(size, 1), falling)
  const endless = a.select(a.eq(size, 1), 1, a.select(shrinks, 0, Infinity))
  const magnitude = emit(a.select(a.eq(a.abs(y), Infinity), endless, finite))
  const half = emit(a.mul(y, 0.5))
  const whole = emit(a.eq(call('trunc', y), y))
  const odd = call('and', whole, call('ne', call('trunc', half), half))
  const extreme = call('or', a.eq(size, 0), a.eq(size, Infinity))
  const even = a.select(call('or', whole, extreme), magnitude, NaN)
  const negative = a.select(odd, a.neg(magnitude), even)
  const signed = a.select(call('lt', a.bits(x), num('i32', 0, x.lanes)), negative, magnitude)
  const known = a.select(call('and', a.eq(x, x), a.eq(y, y)), signed, NaN)
  return a.select(call('or', a.eq(y, 0), a.eq(x, 1)), 1, known)
}

const table: { readonly [F in ElementaryFn]: (args: readonly Expr[], emit: Emit) => Expr } = {
  exp: ([x], emit) => exp(x, emit),
  log: ([x], emit) => log(x, emit),
  sin: ([x], emit) => sinCos(x, 0, emit),
  cos: ([x], emit) => sinCos(x, 1, emit),
  tanh: ([x], emit) => tanh(x, emit),
  sigmoid: ([x], emit) => sigmoid(x, emit),
  erf: ([x], emit) => erf(x, emit),
  pow: ([x, y], emit) => pow(x, y, emit),
}

/** The value of `fn` in primitive functions; `args` are f32 of equal lanes, put in locals first where not free. */
export function elementary(fn: ElementaryFn, args: readonly Expr[], emit: Emit): Expr {
  const kept = args.map((arg) => (arg.op === 'local' || arg.op === 'number' ? arg : emit(arg)))
  return table[fn](kept, emit)
}
