// TensorFlow's element-wise operators: arithmetic, comparison, logic and activations.
import {
  elu,
  gelu,
  leakyRelu,
  logSoftmax,
  relu,
  relu6,
  selu,
  sigmoid,
  softmax,
  softplus,
  softsign,
} from '../../../nn/functional/activation.js'
import { onesLike, zerosLike } from '../../../tensor/create.js'
import { type Tensor, where } from '../../../tensor/tensor.js'
import type { Call, Operator } from '../../graph/call.js'

type Unary = (x: Tensor) => Tensor
type Binary = (a: Tensor, b: Tensor) => Tensor

const unary = (fn: Unary): Operator => ({ run: (call) => fn(call.tensor(0)) })
/** Of a constant and something trained the constant may be a bias or a scale. */
const binary = (fn: Binary): Operator => ({
  operands: [0, 1],
  run: (call) => fn(call.tensor(0), call.tensor(1)),
})
const compare = (fn: Binary): Operator => ({ run: (call) => fn(call.tensor(0), call.tensor(1)) })

function select(call: Call): Tensor {
  const [condition, x, y] = call.tensors()
  const rank = x.shape.length
  // The older operator takes a vector that chooses rows.
  const rows = call.node.op === 'Select' && condition.shape.length === 1 && rank > 1
  const wide = rows ? condition.reshape(-1, ...new Array<number>(rank - 1).fill(1)) : condition
  return where(wide.bool(), x, y)
}

function cast(call: Call): Tensor {
  const x = call.tensor(0)
  const to = call.text('DstT', 'float32')
  if (to === 'float32' || to === 'int32' || to === 'uint8' || to === 'bool') return x.to(to)
  return call.fail(`it casts to ${to}; float32, int32, uint8 and bool are computed with`)
}

function prelu(x: Tensor, alpha: Tensor): Tensor {
  return relu(x).sub(alpha.mul(relu(x.neg())))
}

/** a / b, and 0 where b is 0. */
function divNoNan(a: Tensor, b: Tensor): Tensor {
  const none = b.eq(0)
  return where(none, 0, a.div(where(none, 1, b)))
}

export const elementwise: { readonly [op: string]: Operator } = {
  Add: binary((a, b) => a.add(b)),
  AddV2: binary((a, b) => a.add(b)),
  BiasAdd: {
    weights: [1],
    run(call) {
      const [x, bias] = call.tensors()
      if (call.text('data_format', 'NHWC') !== 'NCHW' || x.shape.length < 3) return x.add(bias)
      return x.add(bias.reshape(-1, ...x.shape.slice(2).map(() => 1)))
    },
  },
  AddN: { operands: [0, 1, 2, 3], run: (call) => call.tensors().reduce((a, b) => a.add(b)) },
  Sub: binary((a, b) => a.sub(b)),
  Mul: binary((a, b) => a.mul(b)),
  RealDiv: binary((a, b) => a.div(b)),
  Div: binary((a, b) =>
    a.dtype === 'int32' && b.dtype === 'int32' ? a.div(b).trunc().int() : a.div(b),
  ),
  DivNoNan: binary(divNoNan),
  FloorDiv: compare((a, b) => a.floorDivide(b)),
  FloorMod: compare((a, b) => a.remainder(b)),
  Mod: compare((a, b) => a.fmod(b)),
  Maximum: binary((a, b) => a.maximum(b)),
  Minimum: binary((a, b) => a.minimum(b)),
  Pow: binary((a, b) => a.pow(b)),
  SquaredDifference: binary((a, b) => a.sub(b).square()),
  Atan2: binary((a, b) => a.atan2(b)),
  Equal: compare((a, b) => a.eq(b)),
  NotEqual: compare((a, b) => a.ne(b)),
  Less: compare((a, b) => a.lt(b)),
  LessEqual: compare((a, b) => a.le(b)),
  Greater: compare((a, b) => a.gt(b)),
  GreaterEqual: compare((a, b) => a.ge(b)),
  LogicalAnd: compare((a, b) => a.logicalAnd(b)),
  LogicalOr: compare((a, b) => a.logicalOr(b)),
  LogicalXor: compare((a, b) => a.logicalXor(b)),
  LogicalNot: unary((x) => x.logicalNot()),
  Select: { operands: [1, 2], run: select },
  SelectV2: { operands: [1, 2], run: select },
  Abs: unary((x) => x.abs()),
  Neg: unary((x) => x.neg()),
  Sign: unary((x) => x.sign()),
  Square: unary((x) => x.square()),
  Sqrt: unary((x) => x.sqrt()),
  Rsqrt: unary((x) => x.rsqrt()),
  Reciprocal: unary((x) => x.reciprocal()),
  Inv: unary((x) => x.reciprocal()),
  Exp: unary((x) => x.exp()),
  Expm1: unary((x) => x.expm1()),
  Log: unary((x) => x.log()),
  Log1p: unary((x) => x.log1p()),
  Erf: unary((x) => x.erf()),
  Floor: unary((x) => x.floor()),
  Ceil: unary((x) => x.ceil()),
  Round: unary((x) => x.round()),
  Rint: unary((x) => x.round()),
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
  IsNan: unary((x) => x.isNaN()),
  IsFinite: unary((x) => x.isFinite()),
  IsInf: unary((x) => x.isInf()),
  Relu: unary(relu),
  Relu6: unary(relu6),
  Elu: unary((x) => elu(x)),
  Selu: unary(selu),
  Sigmoid: unary(sigmoid),
  Softplus: unary((x) => softplus(x)),
  Softsign: unary(softsign),
  Softmax: unary((x) => softmax(x, -1)),
  LogSoftmax: unary((x) => logSoftmax(x, -1)),
  LeakyRelu: {
    run: (call) => leakyRelu(call.tensor(0), { negativeSlope: call.float('alpha', 0.2) }),
  },
  Prelu: { weights: [1], run: (call) => prelu(call.tensor(0), call.tensor(1)) },
  ClipByValue: { run: (call) => call.tensor(0).clamp(call.tensor(1), call.tensor(2)) },
  Cast: { passes: [0], run: cast },
  ZerosLike: unary((x) => zerosLike(x)),
  OnesLike: unary((x) => onesLike(x)),
}

/** The function of an activation fused into another operator. */
export function fusedActivation(call: Call, name: string, alpha: Tensor | undefined): Unary {
  const fused: { readonly [name: string]: Unary } = {
    Relu: relu,
    Relu6: relu6,
    Elu: (x) => elu(x),
    Sigmoid: sigmoid,
    Tanh: (x) => x.tanh(),
    GeluExact: (x) => gelu(x),
    GeluApproximate: (x) => gelu(x, { approximate: 'tanh' }),
    LeakyRelu: (x) => leakyRelu(x, { negativeSlope: call.float('leakyrelu_alpha', 0.2) }),
    Prelu: (x) => prelu(x, alpha ?? call.fail('its Prelu has no slope')),
  }
  return Object.hasOwn(fused, name) ? fused[name] : call.fail(`it is fused with ${name}`)
}
