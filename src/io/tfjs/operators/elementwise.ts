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
} from '../../../nn/functional/activation.js'
import { onesLike, zerosLike } from '../../../tensor/create.js'
import { type Tensor, where } from '../../../tensor/tensor.js'
import type { Call, Operators } from '../../graph/call.js'
import { arithmetic, binary, shared, unary } from '../../graph/elementwise.js'

type Unary = (x: Tensor) => Tensor

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

export const elementwise: Operators = {
  ...shared,
  Add: arithmetic((a, b) => a.add(b)),
  AddV2: arithmetic((a, b) => a.add(b)),
  BiasAdd: {
    weights: [1],
    run(call) {
      const [x, bias] = call.tensors()
      if (call.text('data_format', 'NHWC') !== 'NCHW' || x.shape.length < 3) return x.add(bias)
      return x.add(bias.reshape(-1, ...x.shape.slice(2).map(() => 1)))
    },
  },
  AddN: { operands: [0, 1, 2, 3], run: (call) => call.tensors().reduce((a, b) => a.add(b)) },
  Sub: arithmetic((a, b) => a.sub(b)),
  Mul: arithmetic((a, b) => a.mul(b)),
  RealDiv: arithmetic((a, b) => a.div(b)),
  Div: arithmetic((a, b) =>
    a.dtype === 'int32' && b.dtype === 'int32' ? a.div(b).trunc().int() : a.div(b),
  ),
  DivNoNan: arithmetic(divNoNan),
  FloorDiv: binary((a, b) => a.floorDivide(b)),
  FloorMod: binary((a, b) => a.remainder(b)),
  Mod: binary((a, b) => a.fmod(b)),
  Maximum: arithmetic((a, b) => a.maximum(b)),
  Minimum: arithmetic((a, b) => a.minimum(b)),
  Pow: arithmetic((a, b) => a.pow(b)),
  SquaredDifference: arithmetic((a, b) => a.sub(b).square()),
  Atan2: arithmetic((a, b) => a.atan2(b)),
  NotEqual: binary((a, b) => a.ne(b)),
  LessEqual: binary((a, b) => a.le(b)),
  GreaterEqual: binary((a, b) => a.ge(b)),
  LogicalAnd: binary((a, b) => a.logicalAnd(b)),
  LogicalOr: binary((a, b) => a.logicalOr(b)),
  LogicalXor: binary((a, b) => a.logicalXor(b)),
  LogicalNot: unary((x) => x.logicalNot()),
  Select: { operands: [1, 2], run: select },
  SelectV2: { operands: [1, 2], run: select },
  Square: unary((x) => x.square()),
  Rsqrt: unary((x) => x.rsqrt()),
  Inv: unary((x) => x.reciprocal()),
  Expm1: unary((x) => x.expm1()),
  Log1p: unary((x) => x.log1p()),
  Rint: unary((x) => x.round()),
  IsNan: unary((x) => x.isNaN()),
  IsFinite: unary((x) => x.isFinite()),
  IsInf: unary((x) => x.isInf()),
  Relu6: unary(relu6),
  Elu: unary((x) => elu(x)),
  Selu: unary(selu),
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
