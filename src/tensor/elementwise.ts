// Element-wise methods of Tensor: arithmetic, functions of floats, comparisons and logic. They broadcast as in
// NumPy; numbers as operands are arguments of the compiled program, so changing them compiles nothing.
import { isFloat } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import * as arithmetic from './arithmetic.js'
import { derive, nodeOf, type Operand } from './derive.js'
import * as functions from './functions.js'
import { Handle } from './handle.js'
import type { Tensor } from './tensor.js'

interface Closeness {
  /** Allowed beside `b`, as a share of |b|. */
  readonly rtol?: number
  readonly atol?: number
  /** NaN is close to NaN. */
  readonly equalNaN?: boolean
}

const MOST_FLOAT = 3.4028234663852886e38

export abstract class Elementwise extends Handle {
  // ---- arithmetic ----

  add(other: Operand): Tensor {
    return derive(arithmetic.binary('add', this.node, nodeOf(other), 'add'), this, other)
  }
  sub(other: Operand): Tensor {
    return derive(arithmetic.binary('sub', this.node, nodeOf(other), 'sub'), this, other)
  }
  mul(other: Operand): Tensor {
    return derive(arithmetic.binary('mul', this.node, nodeOf(other), 'mul'), this, other)
  }
  /** Always a float: 1 / 2 is 0.5. */
  div(other: Operand): Tensor {
    return derive(arithmetic.divide(this.node, nodeOf(other)), this, other)
  }
  /** ⌊this / other⌋; of integers an integer. */
  floorDivide(other: Operand): Tensor {
    return derive(functions.floorDivide(this.node, nodeOf(other)), this, other)
  }
  /** What floorDivide leaves: it has the divisor's sign, as in Python. */
  remainder(other: Operand): Tensor {
    return derive(arithmetic.binary('mod', this.node, nodeOf(other), 'remainder'), this, other)
  }
  /** The remainder with the dividend's sign, as in C. */
  fmod(other: Operand): Tensor {
    return derive(functions.fmod(this.node, nodeOf(other)), this, other)
  }
  pow(exponent: Operand): Tensor {
    return derive(arithmetic.power(this.node, nodeOf(exponent)), this, exponent)
  }
  /** The greater of two; ties share the gradient half and half. */
  maximum(other: Operand): Tensor {
    return derive(arithmetic.binary('max', this.node, nodeOf(other), 'maximum'), this, other)
  }
  minimum(other: Operand): Tensor {
    return derive(arithmetic.binary('min', this.node, nodeOf(other), 'minimum'), this, other)
  }
  neg(): Tensor {
    return derive(arithmetic.numericFn('neg', this.node), this)
  }
  abs(): Tensor {
    return derive(arithmetic.numericFn('abs', this.node), this)
  }
  sign(): Tensor {
    return derive(arithmetic.numericFn('sign', this.node), this)
  }
  square(): Tensor {
    return this.pow(2)
  }
  /** Between the bounds, which are inclusive; the gradient at a bound is 1. */
  clamp(low?: Operand, high?: Operand): Tensor {
    const bounds = [low, high].map((x) => (x === undefined ? undefined : nodeOf(x)))
    return derive(arithmetic.clamp(this.node, bounds[0], bounds[1]), this, low, high)
  }
  /** this + weight·(end − this) */
  lerp(end: Tensor, weight: Operand): Tensor {
    return this.add(end.sub(this as Elementwise as Tensor).mul(weight))
  }
  /** this + value·a·b */
  addcmul(a: Tensor, b: Tensor, { value = 1 }: { readonly value?: Operand } = {}): Tensor {
    return this.add(a.mul(b).mul(value))
  }
  /** this + value·a/b */
  addcdiv(a: Tensor, b: Tensor, { value = 1 }: { readonly value?: Operand } = {}): Tensor {
    return this.add(a.div(b).mul(value))
  }

  // ---- functions of floats ----

  exp(): Tensor {
    return derive(arithmetic.floatFn('exp', this.node), this)
  }
  exp2(): Tensor {
    return floatOf(this, 'exp2')
  }
  /** eˣ − 1, accurate near 0. */
  expm1(): Tensor {
    return floatOf(this, 'expm1')
  }
  log(): Tensor {
    return derive(arithmetic.floatFn('log', this.node), this)
  }
  log2(): Tensor {
    return floatOf(this, 'log2')
  }
  log10(): Tensor {
    return floatOf(this, 'log10')
  }
  /** log(1 + x), accurate near 0. */
  log1p(): Tensor {
    return floatOf(this, 'log1p')
  }
  /** log(eˣ + eʸ) without overflow. */
  logaddexp(other: Operand): Tensor {
    return derive(functions.logAddExp(this.node, nodeOf(other)), this, other)
  }
  sqrt(): Tensor {
    return derive(arithmetic.floatFn('sqrt', this.node), this)
  }
  rsqrt(): Tensor {
    return derive(arithmetic.divide(1, arithmetic.floatFn('sqrt', this.node)), this)
  }
  reciprocal(): Tensor {
    return derive(arithmetic.divide(1, this.node), this)
  }
  sin(): Tensor {
    return derive(arithmetic.floatFn('sin', this.node), this)
  }
  cos(): Tensor {
    return derive(arithmetic.floatFn('cos', this.node), this)
  }
  tan(): Tensor {
    return floatOf(this, 'tan')
  }
  asin(): Tensor {
    return floatOf(this, 'asin')
  }
  acos(): Tensor {
    return floatOf(this, 'acos')
  }
  atan(): Tensor {
    return floatOf(this, 'atan')
  }
  /** The angle of the point (x, this), −π … π. */
  atan2(x: Tensor): Tensor {
    return derive(functions.atan2(this.node, x.node), this, x)
  }
  sinh(): Tensor {
    return floatOf(this, 'sinh')
  }
  cosh(): Tensor {
    return floatOf(this, 'cosh')
  }
  tanh(): Tensor {
    return derive(arithmetic.floatFn('tanh', this.node), this)
  }
  asinh(): Tensor {
    return floatOf(this, 'asinh')
  }
  acosh(): Tensor {
    return floatOf(this, 'acosh')
  }
  atanh(): Tensor {
    return floatOf(this, 'atanh')
  }
  erf(): Tensor {
    return derive(arithmetic.floatFn('erf', this.node), this)
  }
  erfc(): Tensor {
    return floatOf(this, 'erfc')
  }
  floor(): Tensor {
    return derive(arithmetic.roundingFn('floor', this.node), this)
  }
  ceil(): Tensor {
    return derive(arithmetic.roundingFn('ceil', this.node), this)
  }
  /** Halves go to the even neighbour. */
  round(): Tensor {
    return derive(arithmetic.roundingFn('round', this.node), this)
  }
  /** Towards zero. */
  trunc(): Tensor {
    const { node } = this
    return derive(
      isFloat(node.dtype) ? functions.truncate(arithmetic.cast(node, 'float32')) : node,
      this,
    )
  }
  /** What trunc leaves. */
  frac(): Tensor {
    return this.sub(this.trunc())
  }
  isFinite(): Tensor {
    return derive(arithmetic.floatFn('isFinite', this.node), this)
  }
  isNaN(): Tensor {
    return derive(arithmetic.binary('ne', this.node, this.node, 'isNaN'), this)
  }
  /** ±Infinity. */
  isInf(): Tensor {
    return this.abs().eq(Infinity)
  }
  /** NaN and infinities replaced by numbers: by default 0 and the greatest float32. */
  nanToNum({ nan = 0, posinf = MOST_FLOAT, neginf = -MOST_FLOAT } = {}): Tensor {
    return derive(functions.nanToNum(this.node, nan, posinf, neginf), this)
  }

  // ---- comparisons and logic: bool ----

  eq(other: Operand): Tensor {
    return derive(arithmetic.binary('eq', this.node, nodeOf(other), 'eq'), this, other)
  }
  ne(other: Operand): Tensor {
    return derive(arithmetic.binary('ne', this.node, nodeOf(other), 'ne'), this, other)
  }
  lt(other: Operand): Tensor {
    return derive(arithmetic.binary('lt', this.node, nodeOf(other), 'lt'), this, other)
  }
  le(other: Operand): Tensor {
    return derive(arithmetic.binary('le', this.node, nodeOf(other), 'le'), this, other)
  }
  gt(other: Operand): Tensor {
    return derive(arithmetic.binary('lt', nodeOf(other), this.node, 'gt'), this, other)
  }
  ge(other: Operand): Tensor {
    return derive(arithmetic.binary('le', nodeOf(other), this.node, 'ge'), this, other)
  }
  logicalAnd(other: Tensor): Tensor {
    return derive(arithmetic.logical('and', this.node, other.node, 'logicalAnd'), this, other)
  }
  logicalOr(other: Tensor): Tensor {
    return derive(arithmetic.logical('or', this.node, other.node, 'logicalOr'), this, other)
  }
  logicalXor(other: Tensor): Tensor {
    return derive(arithmetic.logical('ne', this.node, other.node, 'logicalXor'), this, other)
  }
  logicalNot(): Tensor {
    return derive(arithmetic.not(this.node), this)
  }
  /** Of integers bit by bit, of bools logical. */
  bitwiseAnd(other: Operand): Tensor {
    return bitsOf(this, 'bitAnd', other, 'bitwiseAnd')
  }
  bitwiseOr(other: Operand): Tensor {
    return bitsOf(this, 'bitOr', other, 'bitwiseOr')
  }
  bitwiseXor(other: Operand): Tensor {
    return bitsOf(this, 'bitXor', other, 'bitwiseXor')
  }
  bitwiseNot(): Tensor {
    return this.dtype === 'bool' ? this.logicalNot() : bitsOf(this, 'bitXor', -1, 'bitwiseNot')
  }

  /** bool: |this − other| ≤ atol + rtol·|other|. */
  isClose(other: Operand, { rtol = 1e-5, atol = 1e-8, equalNaN = false }: Closeness = {}): Tensor {
    const node = functions.isClose(this.node, nodeOf(other), rtol, atol, equalNaN)
    return derive(node, this, other)
  }
  /** Whether every element is close; `torch.allclose`, but it must be awaited. */
  async allclose(other: Tensor, options: Closeness = {}): Promise<boolean> {
    return (await this.isClose(other, options).logicalNot().sum().item()) === 0
  }
  /** Whether shape and every element are equal; must be awaited. */
  async equal(other: Tensor): Promise<boolean> {
    if (this.shape.length !== other.shape.length) return false
    if (!this.shape.every((n, i) => n === other.shape[i])) return false
    return (await this.ne(other).sum().item()) === 0
  }
  /** `value` where the mask holds; the mask broadcasts. */
  maskedFill(mask: Tensor, value: Operand): Tensor {
    if (mask.dtype !== 'bool')
      fail(`maskedFill: the mask is ${mask.dtype}, not bool; compare it, such as mask.ne(0)`)
    const filled = typeof value === 'number' ? value : arithmetic.cast(value.node, this.dtype)
    return derive(arithmetic.select(mask.node, filled, this.node, 'maskedFill'), this, value)
  }
}

function floatOf(x: Handle, name: keyof typeof functions.floatFunctions): Tensor {
  return derive(functions.floatFunction(name, x.node), x)
}

function bitsOf(
  x: Handle,
  fn: 'bitAnd' | 'bitOr' | 'bitXor',
  other: Operand,
  where: string,
): Tensor {
  const dtypes = typeof other === 'number' ? [x.dtype] : [x.dtype, other.dtype]
  for (const dtype of dtypes)
    if (isFloat(dtype))
      fail(`${where} of ${dtype}: only integers and bools have bits; use int() or bool()`)
  return derive(functions.bitwise(fn, x.node, nodeOf(other), where), x, other)
}

/** The x where the condition holds, else the y; broadcast. */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  const node = arithmetic.select(condition.node, nodeOf(x), nodeOf(y), 'where')
  return derive(node, condition, x, y)
}
