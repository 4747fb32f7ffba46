// Builders for the loop IR of kernel.ts: expressions that infer and check their types, affine arithmetic,
// bounds, statements, and fresh variables and locals. Everything is pure but `Names`, which counts ids.

import { type DType, isFloat, isHalf } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import type {
  Affine,
  Bound,
  Expr,
  Inside,
  KernelFn,
  Local,
  Quotient,
  Statement,
  Type,
  Variable,
} from './kernel.js'

/** Fresh ids of one kernel: no two variables, and no two locals, of a kernel share an id. */
export interface Names {
  variable(name: string): Variable
  local(type: Type, lanes: number): Local
}

export function createNames(): Names {
  let variables = 0
  let locals = 0
  return {
    variable: (name) => ({ id: variables++, name }),
    local: (type, lanes) => ({ id: locals++, type, lanes }),
  }
}

// Affine expressions

export const zero: Affine = { terms: [], offset: 0 }

export function constant(offset: number): Affine {
  return offset === 0 ? zero : { terms: [], offset }
}

export function ofVariable(variable: Variable, coefficient = 1, offset = 0): Affine {
  return coefficient === 0 ? constant(offset) : { terms: [[variable, coefficient]], offset }
}

/** a + scale·b. */
export function addAffine(a: Affine, b: Affine, scale = 1): Affine {
  if (b.terms.length === 0) return shiftAffine(a, b.offset * scale)
  const terms: (readonly [Variable, number])[] = []
  let i = 0
  let j = 0
  while (i < a.terms.length || j < b.terms.length) {
    const left = i < a.terms.length ? a.terms[i][0].id : Infinity
    const right = j < b.terms.length ? b.terms[j][0].id : Infinity
    if (left < right) terms.push(a.terms[i++])
    else if (right < left) {
      const [variable, coefficient] = b.terms[j++]
      if (scale !== 0) terms.push([variable, coefficient * scale])
    } else {
      const sum = a.terms[i][1] + b.terms[j][1] * scale
      if (sum !== 0) terms.push([a.terms[i][0], sum])
      i++
      j++
    }
  }
  return { terms, offset: a.offset + b.offset * scale }
}

export function sumAffine(...parts: readonly Affine[]): Affine {
  return parts.reduce((sum, part) => addAffine(sum, part), zero)
}

export function scaleAffine(a: Affine, factor: number): Affine {
  if (factor === 1) return a
  if (factor === 0) return zero
  return { terms: a.terms.map(([v, c]) => [v, c * factor] as const), offset: a.offset * factor }
}

export function shiftAffine(a: Affine, by: number): Affine {
  return by === 0 ? a : { terms: a.terms, offset: a.offset + by }
}

export function coefficientOf(a: Affine, variable: Variable): number {
  for (const [v, c] of a.terms) if (v.id === variable.id) return c
  return 0
}

/** `a` with `variable` replaced by `by`. */
export function substitute(a: Affine, variable: Variable, by: Affine): Affine {
  const coefficient = coefficientOf(a, variable)
  if (coefficient === 0) return a
  const rest = { terms: a.terms.filter(([v]) => v.id !== variable.id), offset: a.offset }
  return addAffine(rest, by, coefficient)
}

export function isConstant(a: Affine): boolean {
  return a.terms.length === 0
}

export function sameAffine(a: Affine, b: Affine): boolean {
  return a.offset === b.offset && sameTerms(a, b)
}

export function sameTerms(a: Affine, b: Affine): boolean {
  return (
    a.terms.length === b.terms.length &&
    a.terms.every(([v, c], i) => v.id === b.terms[i][0].id && c === b.terms[i][1])
  )
}

/** A string equal for equal terms, whatever the offset. */
export function termsKey(a: Affine): string {
  return a.terms.map(([v, c]) => `${c}*${v.id}`).join('+')
}

export function affineKey(a: Affine): string {
  return `${termsKey(a)}+${a.offset}`
}

export function evaluateAffine(a: Affine, valueAt: (variable: Variable) => number): number {
  let sum = a.offset
  for (const [v, c] of a.terms) sum += c * valueAt(v)
  return sum
}

// Bounds

export function quotient(affine: Affine, divide = 1): Quotient {
  invariant(Number.isInteger(divide) && divide >= 1, () => `a quotient divides by ${divide}`)
  if (divide === 1 || affine.terms.length > 0) return { affine, divide }
  return { affine: constant(Math.floor(affine.offset / divide)), divide: 1 }
}

/** ceil(affine / divide) as a floor. */
export function quotientUp(affine: Affine, divide = 1): Quotient {
  return quotient(shiftAffine(affine, divide - 1), divide)
}

/** A bound of affines, numbers and quotients; constants are merged (`from` keeps the greatest, `to` the least). */
export function bound(
  side: 'from' | 'to',
  ...parts: readonly (Affine | Quotient | number)[]
): Bound {
  const list: Quotient[] = []
  let known: number | undefined
  for (const part of parts) {
    const q =
      typeof part === 'number'
        ? quotient(constant(part))
        : 'affine' in part
          ? quotient(part.affine, part.divide)
          : quotient(part)
    if (isConstant(q.affine)) {
      const value = q.affine.offset
      if (known === undefined) known = value
      else known = side === 'from' ? Math.max(known, value) : Math.min(known, value)
    } else if (!list.some((other) => quotientKey(other) === quotientKey(q))) list.push(q)
  }
  if (known !== undefined) list.unshift(quotient(constant(known)))
  invariant(list.length > 0, () => 'a bound without parts')
  return list
}

export function quotientKey(q: Quotient): string {
  return `${affineKey(q.affine)}/${q.divide}`
}

/** The value of a bound that depends on no variable, or undefined. */
export function constantBound(b: Bound, side: 'from' | 'to'): number | undefined {
  if (!b.every((q) => isConstant(q.affine))) return undefined
  const values = b.map((q) => Math.floor(q.affine.offset / q.divide))
  return side === 'from' ? Math.max(...values) : Math.min(...values)
}

export function inside(affine: Affine, extent: number): Inside {
  return { affine, extent }
}

// Expressions

export function num(type: Type, value: number, lanes = 1): Expr {
  return { op: 'number', type, lanes, value }
}

export function localOf(local: Local): Expr {
  return { op: 'local', type: local.type, lanes: local.lanes, local }
}

/** The integer value + lane·step. */
export function index(value: Affine, lanes = 1, step = lanes === 1 ? 0 : 1): Expr {
  return { op: 'index', type: 'i32', lanes, value, step }
}

/** The register type of values of a dtype; halves are float32 in registers. */
export function typeOfDType(dtype: DType): Type {
  return isFloat(dtype) ? 'f32' : dtype === 'bool' ? 'bool' : 'i32'
}

/** A load; of a half it is the 16 bits as i32: see half.ts. */
export function load(
  dtype: DType,
  buffer: number,
  at: Affine,
  options: { readonly lanes?: number; readonly stride?: number; readonly dynamic?: Expr } = {},
): Expr {
  const lanes = options.lanes ?? 1
  const { dynamic } = options
  checkDynamic(dynamic)
  const stride = options.stride ?? 1
  const type = isHalf(dtype) ? 'i32' : typeOfDType(dtype)
  return dynamic === undefined
    ? { op: 'load', type, lanes, buffer, index: at, stride }
    : { op: 'load', type, lanes, buffer, index: at, stride, dynamic }
}

/** A vector of equal lanes; the scalar itself when lanes is 1. */
export function splat(value: Expr, lanes: number): Expr {
  invariant(value.lanes === 1 || value.lanes === lanes, () => `splat of ${value.lanes} lanes`)
  if (value.lanes === lanes) return value
  if (value.op === 'number') return { ...value, lanes }
  if (value.op === 'load') return { ...value, lanes, stride: 0 }
  if (value.op === 'index') return { ...value, lanes, step: 0 }
  return { op: 'splat', type: value.type, lanes, value }
}

export function across(fn: 'add' | 'mul' | 'max' | 'min', value: Expr): Expr {
  invariant(value.lanes > 1, () => `across ${fn} of a scalar`)
  invariant(value.type !== 'bool', () => `across ${fn} of bool`)
  return { op: 'across', type: value.type, lanes: 1, fn, value }
}

export function laneOf(value: Expr, lane: number): Expr {
  invariant(lane >= 0 && lane < value.lanes, () => `lane ${lane} of ${value.lanes}`)
  return { op: 'lane', type: value.type, lanes: 1, lane, value }
}

interface Signature {
  readonly arity: number
  /** Types the operands may have. */
  readonly of: readonly Type[]
  readonly result: Type | 'same'
}

const signature = (arity: number, of: readonly Type[], result: Type | 'same' = 'same') => ({
  arity,
  of,
  result,
})

/** `select` and the shifts have operands of different types and are checked apart. */
const signatures: { readonly [F in KernelFn]: Signature } = {
  add: signature(2, ['f32', 'i32']),
  sub: signature(2, ['f32', 'i32']),
  mul: signature(2, ['f32', 'i32']),
  div: signature(2, ['f32', 'i32']),
  neg: signature(1, ['f32', 'i32']),
  abs: signature(1, ['f32', 'i32']),
  max: signature(2, ['f32', 'i32']),
  min: signature(2, ['f32', 'i32']),
  fma: signature(3, ['f32']),
  sqrt: signature(1, ['f32']),
  floor: signature(1, ['f32']),
  ceil: signature(1, ['f32']),
  nearest: signature(1, ['f32']),
  trunc: signature(1, ['f32']),
  rem: signature(2, ['i32']),
  lt: signature(2, ['f32', 'i32'], 'bool'),
  le: signature(2, ['f32', 'i32'], 'bool'),
  eq: signature(2, ['f32', 'i32'], 'bool'),
  ne: signature(2, ['f32', 'i32'], 'bool'),
  and: signature(2, ['bool', 'i32']),
  or: signature(2, ['bool', 'i32']),
  xor: signature(2, ['bool', 'i32']),
  not: signature(1, ['bool']),
  shl: signature(2, ['i32']),
  shr: signature(2, ['i32']),
  sar: signature(2, ['i32']),
  select: signature(3, ['f32', 'i32', 'bool']),
  toF32: signature(1, ['i32', 'bool'], 'f32'),
  toI32: signature(1, ['f32', 'bool'], 'i32'),
  bitsToF32: signature(1, ['i32'], 'f32'),
  bitsToI32: signature(1, ['f32'], 'i32'),
}

/** Applies `fn`; scalars beside vectors are splatted. Throws an internal error when types do not fit. */
export function call(fn: KernelFn, ...args: readonly Expr[]): Expr {
  const { arity, of, result } = signatures[fn]
  const show = () => `${fn}(${args.map((a) => `${a.type}x${a.lanes}`).join(', ')})`
  invariant(args.length === arity, () => `${show()} takes ${arity} operands`)
  if (fn === 'shl' || fn === 'shr' || fn === 'sar') {
    const [value, amount] = args
    invariant(value.type === 'i32' && amount.type === 'i32' && amount.lanes === 1, show)
    return { op: 'call', type: 'i32', lanes: value.lanes, fn, args }
  }
  const lanes = args.reduce((most, a) => Math.max(most, a.lanes), 1)
  const operands = args.map((a) => splat(a, lanes))
  const values = fn === 'select' ? operands.slice(1) : operands
  if (fn === 'select') invariant(operands[0].type === 'bool', show)
  const type = values[0].type
  invariant(of.includes(type) && values.every((v) => v.type === type), show)
  return { op: 'call', type: result === 'same' ? type : result, lanes, fn, args: operands }
}

function checkDynamic(dynamic: Expr | undefined): void {
  if (dynamic === undefined) return
  invariant(dynamic.type === 'i32' && dynamic.lanes === 1, () => 'a dynamic index is a scalar i32')
}

// Statements

export function set(local: Local, value: Expr): Statement {
  const fits = local.type === value.type && local.lanes === value.lanes
  invariant(fits, () => `set ${local.type}x${local.lanes} to ${value.type}x${value.lanes}`)
  return { op: 'set', local, value }
}

export function store(
  buffer: number,
  at: Affine,
  value: Expr,
  options: { readonly stride?: number; readonly dynamic?: Expr } = {},
): Statement {
  const stride = options.stride ?? 1
  const { dynamic } = options
  checkDynamic(dynamic)
  invariant(value.lanes === 1 || stride !== 0, () => 'a vector store of stride 0')
  return dynamic === undefined
    ? { op: 'store', buffer, index: at, stride, value }
    : { op: 'store', buffer, index: at, stride, dynamic, value }
}

/** for (variable = from; variable < to; variable += step) body. */
export function loop(
  variable: Variable,
  from: Bound | number,
  to: Bound | number,
  body: readonly Statement[],
  step = 1,
): Statement {
  invariant(step > 0, () => `a loop of step ${step}`)
  const lower = typeof from === 'number' ? bound('from', from) : from
  const upper = typeof to === 'number' ? bound('to', to) : to
  return { op: 'loop', variable, from: lower, to: upper, step, body }
}

export function when(
  conditions: readonly Inside[],
  body: readonly Statement[],
  otherwise: readonly Statement[] = [],
): Statement {
  return { op: 'if', when: conditions, body, otherwise }
}

export function report(condition: Expr, code: number, value: Expr): Statement {
  invariant(condition.type === 'bool' && condition.lanes === 1, () => 'report when a scalar bool')
  invariant(value.type === 'i32' && value.lanes === 1, () => 'a report carries a scalar i32')
  return { op: 'report', when: condition, code, value }
}
