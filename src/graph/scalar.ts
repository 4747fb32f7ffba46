// The scalar functions a `map` node applies, each with its arity, result type and meaning in float64.
// Derivatives are in `autograd/scalar.ts`. Integer arithmetic wraps at 32 bits. Booleans are 0 and 1.
import type { DType } from '../base/dtype.js'
import { roundBfloat16, roundFloat16 } from '../base/half.js'

export type ScalarFn =
  // arithmetic: operands and result of one dtype (float32 or int32)
  | 'neg'
  | 'abs'
  | 'sign'
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'mod'
  | 'pow'
  | 'max'
  | 'min'
  // float32 only
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'sin'
  | 'cos'
  | 'tanh'
  | 'sigmoid'
  | 'erf'
  | 'relu'
  | 'floor'
  | 'ceil'
  | 'round'
  | 'isFinite'
  // comparisons of two equal dtypes: bool
  | 'lt'
  | 'le'
  | 'eq'
  | 'ne'
  // bool
  | 'and'
  | 'or'
  | 'not'
  // int32 only: `shr` is logical (unsigned)
  | 'bitAnd'
  | 'bitOr'
  | 'bitXor'
  | 'shl'
  | 'shr'
  // where(bool, x, y), and casts named by their result
  | 'where'
  | 'toFloat32'
  | 'toFloat16'
  | 'toBfloat16'
  | 'toInt32'
  | 'toUint8'
  | 'toBool'

export interface ScalarRule {
  readonly arity: 1 | 2 | 3
  /** 'same' is the dtype of the last operand. */
  readonly result: 'same' | DType
  /** The meaning in float64 (int32 results are wrapped by the interpreter). */
  readonly value: (a: number, b: number, c: number) => number
}

const unary = (value: (a: number) => number, result: 'same' | DType = 'same'): ScalarRule => ({
  arity: 1,
  result,
  value,
})
const binary = (
  value: (a: number, b: number) => number,
  result: 'same' | DType = 'same',
): ScalarRule => ({ arity: 2, result, value })

const nanMax = (a: number, b: number) => (a > b || Number.isNaN(a) ? a : b)
const nanMin = (a: number, b: number) => (a < b || Number.isNaN(a) ? a : b)

/** Round half to even, as PyTorch and WebAssembly do. */
export function roundEven(x: number): number {
  const r = Math.round(x)
  return Math.abs(x % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r
}

/** erf to double precision: the Maclaurin series below 2.5, the continued fraction of erfc above. */
export function erf(x: number): number {
  const a = Math.abs(x)
  if (!(a < 6)) return Number.isNaN(x) ? x : Math.sign(x)
  if (a < 2.5) {
    let term = x
    let sum = x
    for (let n = 1; n < 80; n++) {
      term *= (-x * x) / n
      sum += term / (2 * n + 1)
    }
    return (2 / Math.sqrt(Math.PI)) * sum
  }
  let f = a
  for (let n = 60; n > 0; n--) f = a + n / 2 / f
  return Math.sign(x) * (1 - Math.exp(-a * a) / (f * Math.sqrt(Math.PI)))
}

export const scalarRules: { readonly [F in ScalarFn]: ScalarRule } = {
  neg: unary((a) => -a),
  abs: unary(Math.abs),
  sign: unary(Math.sign),
  add: binary((a, b) => a + b),
  sub: binary((a, b) => a - b),
  mul: binary((a, b) => a * b),
  div: binary((a, b) => a / b),
  mod: binary((a, b) => a - Math.floor(a / b) * b),
  pow: binary((a, b) => a ** b),
  max: binary(nanMax),
  min: binary(nanMin),
  exp: unary(Math.exp),
  log: unary(Math.log),
  sqrt: unary(Math.sqrt),
  sin: unary(Math.sin),
  cos: unary(Math.cos),
  tanh: unary(Math.tanh),
  sigmoid: unary((a) => 1 / (1 + Math.exp(-a))),
  erf: unary(erf),
  relu: unary((a) => (a > 0 || Number.isNaN(a) ? a : 0)),
  floor: unary(Math.floor),
  ceil: unary(Math.ceil),
  round: unary(roundEven),
  isFinite: unary((a) => (Number.isFinite(a) ? 1 : 0), 'bool'),
  lt: binary((a, b) => (a < b ? 1 : 0), 'bool'),
  le: binary((a, b) => (a <= b ? 1 : 0), 'bool'),
  eq: binary((a, b) => (a === b ? 1 : 0), 'bool'),
  ne: binary((a, b) => (a !== b ? 1 : 0), 'bool'),
  and: binary((a, b) => (a && b ? 1 : 0), 'bool'),
  or: binary((a, b) => (a || b ? 1 : 0), 'bool'),
  not: unary((a) => (a ? 0 : 1), 'bool'),
  bitAnd: binary((a, b) => a & b),
  bitOr: binary((a, b) => a | b),
  bitXor: binary((a, b) => a ^ b),
  shl: binary((a, b) => a << b),
  shr: binary((a, b) => a >>> b),
  where: { arity: 3, result: 'same', value: (a, b, c) => (a ? b : c) },
  toFloat32: unary((a) => a, 'float32'),
  toFloat16: unary(roundFloat16, 'float16'),
  toBfloat16: unary(roundBfloat16, 'bfloat16'),
  toInt32: unary(Math.trunc, 'int32'),
  toUint8: unary((a) => Math.trunc(a) & 255, 'uint8'),
  toBool: unary((a) => (a ? 1 : 0), 'bool'),
}
