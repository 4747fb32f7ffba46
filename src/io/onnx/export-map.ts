// Scalar functions as ONNX operators, and the joined forms that read better: a bias inside of its convolution, a
// scale inside of its normalisation, a bound as Clip.
import { type DType, isHalf } from '../../base/dtype.js'
import * as graph from '../../graph/node.js'
import type { ScalarFn } from '../../graph/scalar.js'
import { joined } from './export-join.js'
import { type Builder, numberOf, type Value } from './export-model.js'
import { cast, elementwise } from './export-ops.js'

/** Functions that are one operator, on floats and on int32. */
const operators: { readonly [F in ScalarFn]?: string } = {
  neg: 'Neg',
  abs: 'Abs',
  sign: 'Sign',
  add: 'Add',
  sub: 'Sub',
  mul: 'Mul',
  div: 'Div',
  pow: 'Pow',
  max: 'Max',
  min: 'Min',
  exp: 'Exp',
  log: 'Log',
  sqrt: 'Sqrt',
  sin: 'Sin',
  cos: 'Cos',
  tanh: 'Tanh',
  sigmoid: 'Sigmoid',
  erf: 'Erf',
  relu: 'Relu',
  floor: 'Floor',
  ceil: 'Ceil',
  round: 'Round',
  lt: 'Less',
  le: 'LessOrEqual',
  eq: 'Equal',
  and: 'And',
  or: 'Or',
  not: 'Not',
  where: 'Where',
}

const casts: { readonly [F in ScalarFn]?: DType } = {
  toFloat32: 'float32',
  toFloat16: 'float16',
  toBfloat16: 'bfloat16',
  toInt32: 'int32',
  toBool: 'bool',
  toUint8: 'uint8',
}

/** The value of a map; its shape may have 1 where the operands only repeat. */
export function mapped(b: Builder, fn: ScalarFn, args: readonly Value[], dtype: DType): Value {
  const folded = b.folded(args, (nodes) => {
    const shape = nodes.reduce<readonly number[]>(
      (wide, node) => wide.map((n, i) => (n === 1 ? node.shape[i] : n)),
      nodes[0].shape,
    )
    return graph.map(fn, ...nodes.map((node) => graph.broadcastTo(node, shape)))
  })
  if (folded) return folded
  const to = casts[fn]
  if (to !== undefined) return casted(b, args[0], to)
  return joined(b, fn, args) ?? plainly(b, fn, args, dtype)
}

function casted(b: Builder, x: Value, to: DType): Value {
  if (to !== 'uint8' || x.dtype === 'bool') return cast(b, x, to)
  // Truncated, then the lowest eight bits.
  return cast(b, elementwise(b, 'Mod', [cast(b, x, 'int32'), whole(b, x, 256)], 'int32'), 'uint8')
}

function whole(b: Builder, like: Value, value: number): Value {
  return b.constant(
    [value],
    'int32',
    like.shape.map(() => 1),
  )
}

function plainly(b: Builder, fn: ScalarFn, args: readonly Value[], dtype: DType): Value {
  const last = args[args.length - 1]
  const of = last.dtype as DType
  // ONNX Runtime has few operators for bytes and halves: they are computed in the type that holds them.
  if (isHalf(of))
    return cast(
      b,
      plainly(
        b,
        fn,
        args.map((x) => (isHalf(x.dtype as DType) ? cast(b, x, 'float32') : x)),
        dtype === of ? 'float32' : dtype,
      ),
      dtype,
    )
  const wide =
    of === 'uint8' || (of === 'bool' && !['eq', 'ne', 'and', 'or', 'not', 'where'].includes(fn))
  if (wide) {
    const inside = args.map((x) => (x.dtype === of ? cast(b, x, 'int32') : x))
    const result = plainly(b, fn, inside, dtype === of ? 'int32' : dtype)
    return dtype === of ? casted(b, result, of) : result
  }
  const operator = operators[fn]
  if (fn === 'where' && of === 'bool') return chosen(b, args)
  if (operator !== undefined) return elementwise(b, operator, args, dtype)
  const rule = rules[fn]
  return rule
    ? rule(b, args, dtype)
    : b.refuse(
        `ONNX has no operator for ${fn} at opset 17 (random numbers are made of it); export without it`,
      )
}

/** Of bools: condition ? x : y. */
function chosen(b: Builder, [condition, x, y]: readonly Value[]): Value {
  const not = elementwise(b, 'Not', [condition], 'bool')
  const first = elementwise(b, 'And', [condition, x], 'bool')
  return elementwise(b, 'Or', [first, elementwise(b, 'And', [not, y], 'bool')], 'bool')
}

const rules: {
  readonly [F in ScalarFn]?: (b: Builder, args: readonly Value[], dtype: DType) => Value
} = {
  ne: (b, args) => elementwise(b, 'Not', [elementwise(b, 'Equal', args, 'bool')], 'bool'),
  // The remainder has the divisor's sign; ONNX's Mod of floats has the dividend's.
  mod: (b, args, dtype) => {
    if (dtype === 'int32') return elementwise(b, 'Mod', args, dtype)
    const quotient = elementwise(b, 'Floor', [elementwise(b, 'Div', args, dtype)], dtype)
    const part = elementwise(b, 'Mul', [quotient, args[1]], dtype)
    return elementwise(b, 'Sub', [args[0], part], dtype)
  },
  isFinite: (b, [x]) => {
    const nan = elementwise(b, 'IsNaN', [x], 'bool')
    const infinite = elementwise(b, 'IsInf', [x], 'bool')
    return elementwise(b, 'Not', [elementwise(b, 'Or', [nan, infinite], 'bool')], 'bool')
  },
  shl: (b, args, dtype) => {
    const places = numberOf(args[1])
    if (places === undefined || places < 0 || places > 30)
      b.refuse('ONNX shifts no int32 at opset 17, but by a constant to the left')
    return elementwise(b, 'Mul', [args[0], whole(b, args[0], 2 ** (places ?? 0))], dtype)
  },
  // Of the lowest bits: a remainder.
  bitAnd: (b, args, dtype) => {
    const mask = args.findIndex((arg) => isMask(numberOf(arg)))
    if (mask < 0) b.refuse('ONNX has no bitwise operators at opset 17')
    const size = (numberOf(args[mask]) ?? 0) + 1
    return elementwise(b, 'Mod', [args[1 - mask], whole(b, args[0], size)], dtype)
  },
}

function isMask(x: number | undefined): boolean {
  return x !== undefined && x > 0 && x < 2 ** 30 && Number.isInteger(Math.log2(x + 1))
}
