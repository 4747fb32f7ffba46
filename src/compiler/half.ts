// float16 and bfloat16 in the loop IR: their bits, loaded and stored as 16-bit integers, to and from float32
// registers. Everything is integer arithmetic, selects and one exact multiplication, so that a printer needs
// nothing but 16-bit loads and stores. `round` is to the nearest, halves to even, subnormals too.
import { call, num } from './build.js'
import type { Expr } from './kernel.js'

type Half = 'float16' | 'bfloat16'
type Place = (value: Expr) => Expr

const whole = (value: number) => num('i32', value)
const float = (value: number) => num('f32', value)

/** 16 bits in an i32 register → their value. */
export function widen(dtype: Half, stored: Expr, place: Place): Expr {
  if (dtype === 'bfloat16') return call('bitsToF32', call('shl', stored, whole(16)))
  const bits = place(stored)
  const magnitude = place(call('shl', call('and', bits, whole(0x7fff)), whole(13)))
  // float32's exponents reach 112 further down than float16's.
  const finite = call('bitsToI32', call('mul', call('bitsToF32', magnitude), float(2 ** 112)))
  const special = call('or', magnitude, whole(0x7f800000)) // Infinity and NaN keep their mantissa
  const value = call('select', call('lt', magnitude, whole(0x7c00 << 13)), finite, special)
  const sign = call('shl', call('and', bits, whole(0x8000)), whole(16))
  return call('bitsToF32', call('or', value, sign))
}

/** float32 → the 16 bits of the nearest half, in an i32 register. */
export function narrow(dtype: Half, value: Expr, place: Place): Expr {
  const rounded = place(roundTo(dtype, value, place))
  const bits = place(call('bitsToI32', rounded))
  if (dtype === 'bfloat16') return call('shr', bits, whole(16))
  const magnitude = place(call('abs', rounded))
  const finite = call('shr', call('bitsToI32', call('mul', magnitude, float(2 ** -112))), whole(13))
  const special = call('select', call('eq', rounded, rounded), whole(0x7c00), whole(0x7e00))
  const unsigned = call('select', call('lt', magnitude, float(Infinity)), finite, special)
  return call('or', unsigned, call('and', call('shr', bits, whole(16)), whole(0x8000)))
}

/** float32 → the nearest value that a half can hold, still as float32. */
export function roundTo(dtype: Half, value: Expr, place: Place): Expr {
  const x = place(value)
  const bits = place(call('bitsToI32', x))
  const magnitude = place(call('abs', x))
  const finite = place(call('lt', magnitude, float(Infinity)))
  // Adding just under half a step, and one more where the last kept bit is odd, then cutting off.
  const cut = dtype === 'bfloat16' ? 16 : 13
  const odd = call('and', call('shr', bits, whole(cut)), whole(1))
  const raised = call('add', bits, call('add', odd, whole(2 ** (cut - 1) - 1)))
  const normal = call('bitsToF32', call('and', raised, whole(-(2 ** cut))))
  if (dtype === 'bfloat16') return call('select', finite, normal, x)
  // Between 1/2 and 1 float32 has the steps of float16's subnormals.
  const small = call('sub', call('add', magnitude, float(0.5)), float(0.5))
  const sign = call('and', bits, whole(-(2 ** 31)))
  const subnormal = call('bitsToF32', call('or', call('bitsToI32', small), sign))
  const within = call('select', call('lt', magnitude, float(2 ** -14)), subnormal, normal)
  const infinity = call('bitsToF32', call('or', whole(0x7f800000), sign))
  const bounded = call('select', call('lt', magnitude, float(65520)), within, infinity)
  return call('select', finite, bounded, x)
}
