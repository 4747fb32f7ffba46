// Element-wise operations over nodes: promotion, broadcasting, casts, and the functions made of others.
//
// After PyTorch, but for one thing: arithmetic of uint8 and bool is done in int32. That of float16 and bfloat16 is
// done in float32; `derive` stores the result as a half again.
import { type DType, isFloat, promote } from '../base/dtype.js'
import { broadcastShapes, type Shape } from '../base/shape.js'
import { broadcastTo, constant, input, map, type Node } from '../graph/node.js'
import type { ScalarFn } from '../graph/scalar.js'
import { Scalar } from './value.js'

const CASTS = {
  float32: 'toFloat32',
  float16: 'toFloat16',
  bfloat16: 'toBfloat16',
  int32: 'toInt32',
  uint8: 'toUint8',
  bool: 'toBool',
} as const satisfies { [D in DType]: ScalarFn }

export function cast(x: Node, dtype: DType): Node {
  return x.dtype === dtype ? x : map(CASTS[dtype], x)
}

/** The dtype arithmetic is done in: float32 or int32. */
export function arithmeticType(dtype: DType): DType {
  return isFloat(dtype) ? 'float32' : 'int32'
}

/** A number beside a tensor: 0, 1 and −1 belong to the program, all others are arguments (rule 11). */
export function number(value: number, dtype: DType): Node {
  if (value === 0 || value === 1 || value === -1) return constant(value, dtype)
  return input(new Scalar(() => value), [], dtype)
}

/** The dtype a number has beside a tensor of `dtype`: a fraction makes integers float32. */
function numberType(value: number, dtype: DType): DType {
  return isFloat(dtype) || Number.isInteger(value) ? arithmeticType(dtype) : 'float32'
}

export type NodeOrNumber = Node | number

function typeOf(x: NodeOrNumber, other: NodeOrNumber): DType {
  if (typeof x !== 'number') return arithmeticType(x.dtype)
  return numberType(x, typeof other === 'number' ? 'float32' : other.dtype)
}

function as(x: NodeOrNumber, dtype: DType, shape: Shape): Node {
  return broadcastTo(typeof x === 'number' ? number(x, dtype) : cast(x, dtype), shape)
}

const shapeOf = (x: NodeOrNumber): Shape => (typeof x === 'number' ? [] : x.shape)

/** Both operands in one dtype and one shape, then the function. */
export function binary(
  fn: ScalarFn,
  a: NodeOrNumber,
  b: NodeOrNumber,
  where: string,
  dtype: DType = promote(typeOf(a, b), typeOf(b, a)),
): Node {
  const shape = broadcastShapes(shapeOf(a), shapeOf(b), where)
  return map(fn, as(a, dtype, shape), as(b, dtype, shape))
}

export function divide(a: NodeOrNumber, b: NodeOrNumber): Node {
  return binary('div', a, b, 'div', 'float32')
}

export function logical(fn: 'and' | 'or' | 'ne', a: Node, b: Node, where: string): Node {
  return binary(fn, a, b, where, 'bool')
}

export function select(condition: Node, x: NodeOrNumber, y: NodeOrNumber, where: string): Node {
  const both = typeof x !== 'number' && typeof y !== 'number' && x.dtype === y.dtype
  const dtype = both ? x.dtype : promote(typeOf(x, y), typeOf(y, x))
  const shape = broadcastShapes(
    broadcastShapes(condition.shape, shapeOf(x), where),
    shapeOf(y),
    where,
  )
  return map(
    'where',
    broadcastTo(cast(condition, 'bool'), shape),
    as(x, dtype, shape),
    as(y, dtype, shape),
  )
}

/** A function that is defined for floats: integers become float32 first. */
export function floatFn(fn: ScalarFn, x: Node): Node {
  return map(fn, cast(x, 'float32'))
}

/** A function of numbers that keeps integers integers. */
export function numericFn(fn: ScalarFn, x: Node): Node {
  return map(fn, cast(x, arithmeticType(x.dtype)))
}

/** Rounding: nothing to do for integers. */
export function roundingFn(fn: 'floor' | 'ceil' | 'round', x: Node): Node {
  return isFloat(x.dtype) ? map(fn, cast(x, 'float32')) : x
}

/** x², x and 1/x exactly; √x for 0.5; other exponents by the general function. */
export function power(x: Node, exponent: NodeOrNumber): Node {
  if (exponent === 1) return cast(x, arithmeticType(x.dtype))
  if (exponent === 2) return binary('mul', x, x, 'pow')
  if (exponent === 3) return binary('mul', binary('mul', x, x, 'pow'), x, 'pow')
  if (exponent === 0.5) return floatFn('sqrt', x)
  if (exponent === -1) return divide(1, x)
  return binary('pow', x, exponent, 'pow')
}

/** Bounds are inclusive; the gradient at a bound is 1, and NaN stays NaN. */
export function clamp(
  x: Node,
  low: NodeOrNumber | undefined,
  high: NodeOrNumber | undefined,
): Node {
  let result = x
  if (low !== undefined) result = select(binary('lt', result, low, 'clamp'), low, result, 'clamp')
  if (high !== undefined)
    result = select(binary('lt', high, result, 'clamp'), high, result, 'clamp')
  return result
}

export function not(x: Node): Node {
  return map('not', cast(x, 'bool'))
}
