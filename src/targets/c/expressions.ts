// Prints expressions of the loop IR as C. Functions without an operator are those of prelude.ts, with a small letter
// for scalars and a capital for vectors: `max_f`, `max_F`.
import { type DType, itemSize } from '../../base/dtype.js'
import { invariant } from '../../base/errors.js'
import type {
  Affine,
  Expr,
  Inside,
  Kernel,
  KernelFn,
  Local,
  Quotient,
  Type,
  Variable,
} from '../../compiler/kernel.js'

export const variableName = (variable: Variable): string => `v${variable.id}`
export const localName = (local: Local): string => `l${local.id}`
export const bufferName = (index: number): string => `b${index}`

/** How elements lie in memory, as prelude.ts names it: halves are their bits. */
export function stored(dtype: DType): 'float32' | 'int32' | 'uint16' | 'uint8' | 'bool' {
  return itemSize[dtype] === 2 ? 'uint16' : (dtype as 'float32' | 'int32' | 'uint8' | 'bool')
}

/** An integer of 64 bits. */
export function affineText({ terms, offset }: Affine): string {
  const parts = terms.map(([variable, coefficient]) =>
    coefficient === 1 ? variableName(variable) : `${coefficient} * ${variableName(variable)}`,
  )
  if (offset !== 0 || parts.length === 0) parts.push(String(offset))
  return parts.join(' + ').replaceAll('+ -', '- ')
}

export function quotientText({ affine, divide }: Quotient): string {
  const text = affineText(affine)
  return divide === 1 ? text : `floorDivide(${text}, ${divide})`
}

export function conditionText({ affine, extent }: Inside): string {
  return `(uint64_t)(${affineText(affine)}) < ${Math.max(0, extent)}`
}

function integerText(value: number): string {
  const whole = value | 0
  if (whole === -2147483648) return '(-2147483647 - 1)'
  return whole < 0 ? `(${whole})` : String(whole)
}

function floatText(value: number): string {
  const rounded = Math.fround(value)
  if (Number.isNaN(rounded)) return '__builtin_nanf("")'
  const sign = rounded < 0 || Object.is(rounded, -0) ? '-' : ''
  const size = Math.abs(rounded)
  if (size === Infinity) return `(${sign}__builtin_inff())`
  const digits = String(size)
  const text = `${sign}${/[.e]/.test(digits) ? digits : `${digits}.0`}f`
  return sign === '' ? text : `(${text})`
}

const letters: { readonly [T in Type]: string } = { f32: 'f', i32: 'i', bool: 'b' }

function letter(type: Type, lanes: number): string {
  return lanes > 1 ? letters[type].toUpperCase() : letters[type]
}

const infix =
  (sign: string) =>
  (...args: readonly string[]) =>
    `(${args[0]} ${sign} ${args[1]})`

/** What C writes with an operator, for scalars and vectors alike. */
const operators: { readonly [F in KernelFn]?: (...args: readonly string[]) => string } = {
  lt: infix('<'),
  le: infix('<='),
  eq: infix('=='),
  ne: infix('!='),
  and: infix('&'),
  or: infix('|'),
  xor: infix('^'),
}

const floatOperators: typeof operators = {
  add: infix('+'),
  sub: infix('-'),
  mul: infix('*'),
  div: infix('/'),
  neg: (a) => `(-${a})`,
}

/** Functions of one float that the compiler knows by name. */
const floatBuiltins: { readonly [F in KernelFn]?: string } = {
  abs: '__builtin_fabsf',
  sqrt: '__builtin_sqrtf',
  floor: '__builtin_floorf',
  ceil: '__builtin_ceilf',
  trunc: '__builtin_truncf',
}

function callText(kernel: Kernel, expr: Extract<Expr, { op: 'call' }>): string {
  const { fn, args } = expr
  const vector = expr.lanes > 1
  const texts = args.map((arg) => expressionText(kernel, arg))
  const operand = fn === 'select' ? args[1].type : args[0].type
  if ((fn === 'max' || fn === 'min') && operand === 'f32') {
    // The rule of every printer: a constant that is a number bounds the other operand, and NaN passes.
    const [x, c] = args[0].op === 'number' ? [1, 0] : [0, 1]
    const constant = args[c]
    if (constant.op === 'number' && !Number.isNaN(constant.value))
      return `${fn === 'max' ? 'atLeast' : 'atMost'}_${letter('f32', expr.lanes)}(${texts[x]}, ${texts[c]})`
  }
  const operator = operators[fn] ?? (operand === 'f32' ? floatOperators[fn] : undefined)
  if (operator !== undefined) return operator(...texts)
  switch (fn) {
    case 'not':
      invariant(operand === 'bool', () => `not of ${operand}`)
      return vector ? `(~${texts[0]})` : `(${texts[0]} ^ 1)`
    case 'select':
      if (!vector) return `(${texts[0]} ? ${texts[1]} : ${texts[2]})`
      return `select_${operand === 'f32' ? 'F' : 'I'}(${texts.join(', ')})`
    case 'toF32':
      if (!vector) return `((float)${texts[0]})`
      break
    case 'toI32':
      if (!vector && operand === 'bool') return texts[0]
      break
    case 'bitsToF32':
      return vector ? `((F)${texts[0]})` : `bits_f(${texts[0]})`
    case 'bitsToI32':
      return vector ? `((I)${texts[0]})` : `bits_i(${texts[0]})`
  }
  const builtin = vector || operand !== 'f32' ? undefined : floatBuiltins[fn]
  return `${builtin ?? `${fn}_${letter(operand, expr.lanes)}`}(${texts.join(', ')})`
}

export interface Access {
  readonly buffer: number
  readonly index: Affine
  readonly dynamic?: Expr
}

/** The address of an access's first lane. */
export function addressText(kernel: Kernel, { buffer, index, dynamic }: Access): string {
  const text = `${bufferName(buffer)} + ${affineText(index)}`.replaceAll('+ -', '- ')
  return dynamic === undefined ? text : `${text} + (N)${expressionText(kernel, dynamic)}`
}

function loadText(kernel: Kernel, expr: Extract<Expr, { op: 'load' }>): string {
  const dtype = stored(kernel.buffers[expr.buffer].dtype)
  const address = addressText(kernel, expr)
  if (expr.lanes === 1) return dtype === 'bool' ? `(*(${address}) != 0)` : `(*(${address}))`
  if (expr.stride === 1) return `load_${dtype}(${address})`
  if (expr.stride !== 0) return `strided_${dtype}(${address}, ${expr.stride})`
  return `broadcast_${dtype}(${address})`
}

export function expressionText(kernel: Kernel, expr: Expr): string {
  switch (expr.op) {
    case 'number': {
      const scalar =
        expr.type === 'f32'
          ? floatText(expr.value)
          : expr.type === 'bool'
            ? String(Number(expr.value !== 0))
            : integerText(expr.value)
      return expr.lanes === 1 ? scalar : `splat_${letters[expr.type]}(${scalar})`
    }
    case 'local':
      return localName(expr.local)
    case 'index': {
      const scalar = `(i32)(${affineText(expr.value)})`
      return expr.lanes === 1 ? `(${scalar})` : `lanes_i(${scalar}, ${expr.step})`
    }
    case 'load':
      return loadText(kernel, expr)
    case 'call':
      return callText(kernel, expr)
    case 'splat':
      return `splat_${letters[expr.type]}(${expressionText(kernel, expr.value)})`
    case 'across':
      return `across_${expr.fn}_${letter(expr.type, expr.value.lanes)}(${expressionText(kernel, expr.value)})`
    case 'lane':
      return `lane_${letters[expr.type]}(${expressionText(kernel, expr.value)}, ${expr.lane})`
  }
}
