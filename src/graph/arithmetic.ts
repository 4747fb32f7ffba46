// Scalar functions in the arithmetic of a dtype: what the interpreter computes and what constants fold to.
// float16 and bfloat16 are rounded to by their casts alone. int32 and uint8 wrap, float32 → int32 truncates and saturates (as WebAssembly does), booleans are 0 and 1.
import { type DType, isFloat } from '../base/dtype.js'
import { type ScalarFn, scalarRules } from './scalar.js'

export const LOWEST_INT = -(2 ** 31)
const HIGHEST_INT = 2 ** 31 - 1

/** What `fn` gives for one element, from operands of dtype `from` (that of the last) to dtype `to`. */
export function scalarValue(
  fn: ScalarFn,
  from: DType,
  to: DType,
): (a: number, b: number, c: number) => number {
  const { value } = scalarRules[fn]
  if (isFloat(from) && to === 'int32')
    return (a) => Math.max(LOWEST_INT, Math.min(HIGHEST_INT, Math.trunc(a))) | 0
  if (to === 'int32') {
    if (fn === 'mul') return (a, b) => Math.imul(a, b)
    return (a, b, c) => value(a, b, c) | 0
  }
  if (to === 'uint8') return (a, b, c) => value(a, b, c) & 255
  return value
}

/** Float64 results brought into the range of an integer dtype, in place. */
export function settled(values: Float64Array, dtype: DType): Float64Array {
  if (dtype === 'int32') for (let i = 0; i < values.length; i++) values[i] |= 0
  else if (dtype === 'uint8') for (let i = 0; i < values.length; i++) values[i] &= 255
  else if (dtype === 'bool')
    for (let i = 0; i < values.length; i++) values[i] = values[i] === 0 ? 0 : 1
  return values
}
