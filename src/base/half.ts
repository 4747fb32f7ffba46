// The two 16-bit float formats that tensors may be stored in: IEEE binary16 and bfloat16 (the upper half of
// a float32). Numbers round to the nearest representable one, halves to even, as the hardware does.

const word = new DataView(new ArrayBuffer(4))

/** The bits of float32 x, which is rounded to float32 first. */
function bitsOf(x: number): number {
  word.setFloat32(0, x)
  return word.getUint32(0)
}

function ofBits(bits: number): number {
  word.setUint32(0, bits)
  return word.getFloat32(0)
}

const HALF_MOST = 65504
const HALF_OVERFLOWS = 65520 // half of the last step above 65504: rounds to Infinity
const HALF_NORMAL = 2 ** -14 // below it the steps are all 2⁻²⁴
const HALF_STEP = 2 ** -24

/** The nearest float16. */
export function roundFloat16(x: number): number {
  const magnitude = Math.abs(x)
  if (!(magnitude < HALF_OVERFLOWS)) return Number.isNaN(x) ? x : Math.sign(x) * Infinity
  const step = magnitude < HALF_NORMAL ? HALF_STEP : 2 ** (Math.floor(Math.log2(magnitude)) - 10)
  return nearestEven(x / step) * step
}

/** The nearest bfloat16. */
export function roundBfloat16(x: number): number {
  if (!Number.isFinite(x)) return x
  const bits = bitsOf(x)
  return ofBits(((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000) >>> 0)
}

function nearestEven(x: number): number {
  const r = Math.round(x)
  return Math.abs(x % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r
}

/** The 16 bits of the nearest float16. */
export function float16Bits(x: number): number {
  const value = roundFloat16(x)
  const sign = Object.is(value, -0) || value < 0 ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (Number.isNaN(value)) return 0x7e00
  if (magnitude > HALF_MOST) return sign | 0x7c00
  // Scaled by 2⁻¹¹² a float32 has the exponent of the float16, subnormals included.
  return sign | (bitsOf(magnitude * 2 ** -112) >>> 13)
}

export function float16Value(bits: number): number {
  const exponent = bits & 0x7c00
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 0x7c00) return bits & 0x3ff ? NaN : sign * Infinity
  return sign * ofBits((bits & 0x7fff) << 13) * 2 ** 112
}

/** The 16 bits of the nearest bfloat16. */
export function bfloat16Bits(x: number): number {
  return Number.isNaN(x) ? 0x7fc0 : bitsOf(roundBfloat16(x)) >>> 16
}

export function bfloat16Value(bits: number): number {
  return ofBits((bits << 16) >>> 0)
}
