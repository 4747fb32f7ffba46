// Operators that ONNX and TensorFlow have under one name with one meaning, element by element; and the forms in which
// both write those they have alone. What differs, if only in an attribute, is in their own tables.
import { relu, sigmoid, softplus, softsign } from '../../nn/functional/activation.js'
import type { Tensor } from '../../tensor/tensor.js'
import type { Call, Operator, Operators } from './call.js'

export const unary = (run: (x: Tensor, call: Call) => Tensor): Operator => ({
  run: (call) => run(call.tensor(0), call),
})

/** Of two operands that are no weights. */
export const binary = (run: (a: Tensor, b: Tensor) => Tensor): Operator => ({
  run: (call) => run(call.tensor(0), call.tensor(1)),
})

/** Of a constant and something trained the constant may be a bias or a scale. */
export const arithmetic = (run: (a: Tensor, b: Tensor) => Tensor): Operator => ({
  ...binary(run),
  operands: [0, 1],
})

export const shared: Operators = {
  Abs: unary((x) => x.abs()),
  Neg: unary((x) => x.neg()),
  Sign: unary((x) => x.sign()),
  Sqrt: unary((x) => x.sqrt()),
  Reciprocal: unary((x) => x.reciprocal()),
  Exp: unary((x) => x.exp()),
  Log: unary((x) => x.log()),
  Erf: unary((x) => x.erf()),
  Floor: unary((x) => x.floor()),
  Ceil: unary((x) => x.ceil()),
  Round: unary((x) => x.round()),
  Sin: unary((x) => x.sin()),
  Cos: unary((x) => x.cos()),
  Tan: unary((x) => x.tan()),
  Asin: unary((x) => x.asin()),
  Acos: unary((x) => x.acos()),
  Atan: unary((x) => x.atan()),
  Sinh: unary((x) => x.sinh()),
  Cosh: unary((x) => x.cosh()),
  Tanh: unary((x) => x.tanh()),
  Asinh: unary((x) => x.asinh()),
  Acosh: unary((x) => x.acosh()),
  Atanh: unary((x) => x.atanh()),
  Equal: binary((a, b) => a.eq(b)),
  Less: binary((a, b) => a.lt(b)),
  Greater: binary((a, b) => a.gt(b)),
  Relu: unary(relu),
  Sigmoid: unary(sigmoid),
  Softplus: unary((x) => softplus(x)),
  Softsign: unary(softsign),
}
