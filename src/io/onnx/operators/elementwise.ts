// Arithmetic, comparison, logic and activations, element by element.
import { isFloat } from '../../../base/dtype.js'
import { broadcastShapes, sizeOf, stridesOf } from '../../../base/shape.js'
import * as F from '../../../nn/functional.js'
import { type Tensor, where } from '../../../tensor/tensor.js'
import type { Call, Operator } from '../../graph/call.js'
import { arithmetic, binary, shared, unary } from '../../graph/elementwise.js'
import type { HostValue } from '../../graph/host.js'
import { typeName } from '../tensors.js'
import { TensorType } from '../wire.js'
import { dtypeOf, type Table } from './table.js'

/** Known numbers of two inputs, broadcast and combined at once. */
function combine(
  a: HostValue,
  b: HostValue,
  of: (x: number, y: number) => number,
  dtype = a.dtype,
): HostValue {
  const shape = broadcastShapes(a.shape, b.shape, 'broadcast')
  const at = ({ shape: own }: HostValue, i: number): number => {
    const strides = stridesOf(own)
    let rest = i
    let place = 0
    for (let d = shape.length - 1; d >= 0; d--) {
      const position = rest % shape[d]
      rest = Math.floor(rest / shape[d])
      const k = d - (shape.length - own.length)
      if (k >= 0 && own[k] !== 1) place += position * strides[k]
    }
    return place
  }
  // As a runtime's float32 would: a size computed in floats is cut to a whole number next.
  const rounded = isFloat(dtype) ? Math.fround : (x: number) => x
  const data = Float64Array.from({ length: sizeOf(shape) }, (_, i) =>
    rounded(of(a.data[at(a, i)], b.data[at(b, i)])),
  )
  return { dtype, shape, data }
}

/** Arithmetic that is done at once where the numbers are known. */
function foldable(
  run: (a: Tensor, b: Tensor) => Tensor,
  host: (x: number, y: number, whole: boolean) => number,
): Operator {
  return {
    ...arithmetic(run),
    host: (call) => {
      const [a, b] = [call.known(0), call.known(1)]
      if (a === undefined || b === undefined) return undefined
      return combine(a, b, (x, y) => host(x, y, !isFloat(a.dtype)))
    },
  }
}

/** Integers are divided towards zero. */
function divided(a: Tensor, b: Tensor): Tensor {
  return isFloat(a.dtype) ? a.div(b) : a.sub(a.fmod(b)).floorDivide(b)
}

const variadic = (
  join: (a: Tensor, b: Tensor) => Tensor,
  finish = (x: Tensor, _count: number) => x,
): Operator => ({
  run: (call) => {
    const [first, ...rest] = call.tensors()
    return finish(
      rest.reduce((a, b) => join(a, b), first ?? call.fail('it has no inputs')),
      call.inputs.length,
    )
  },
  operands: Array.from({ length: 16 }, (_, i) => i),
})

/** The limits of Clip, attributes until opset 11. */
function clip(call: Call): Tensor {
  const x = call.tensor(0)
  const limit = (i: number, name: string) => {
    if (call.version < 11) return call.get(name) ? call.float(name, 0) : undefined
    const known = call.known(i)
    return known && known.data.length === 1 ? known.data[0] : call.optional(i)
  }
  const [low, high] = [limit(1, 'min'), limit(2, 'max')]
  return low === undefined && high === undefined ? x : x.clamp(low, high)
}

/** Integers of fewer bits than int32, which holds them: what does not fit wraps, as in onnxruntime. */
const NARROW: ReadonlyMap<number, { readonly bits: number; readonly signed: boolean }> = new Map([
  [TensorType.INT8, { bits: 8, signed: true }],
  [TensorType.INT16, { bits: 16, signed: true }],
  [TensorType.UINT16, { bits: 16, signed: false }],
])

function cast(call: Call): Tensor {
  const type = call.int('to', 1)
  const dtype = dtypeOf(call, type)
  const x = call.tensor(0)
  const y = x.dtype === dtype ? x : x.to(dtype)
  const narrow = NARROW.get(type)
  if (narrow === undefined || x.dtype === 'bool') return y
  const low = y.bitwiseAnd(2 ** narrow.bits - 1)
  return narrow.signed ? where(low.ge(2 ** (narrow.bits - 1)), low.sub(2 ** narrow.bits), low) : low
}

function wrapped(v: number, { bits, signed }: { bits: number; signed: boolean }): number {
  const low = v & (2 ** bits - 1)
  return signed && low >= 2 ** (bits - 1) ? low - 2 ** bits : low
}

function castKnown(call: Call): HostValue | undefined {
  const x = call.known(0)
  if (x === undefined) return undefined
  const type = call.int('to', 1)
  const dtype = dtypeOf(call, type)
  const narrow = NARROW.get(type)
  const data = x.data.map((v) =>
    narrow
      ? wrapped(v, narrow)
      : dtype === 'float32'
        ? Math.fround(v)
        : dtype === 'bool'
          ? Number(v !== 0)
          : dtype === 'uint8'
            ? Math.trunc(v) & 255
            : Math.trunc(v),
  )
  return { dtype, shape: x.shape, data }
}

export const elementwise: Table = {
  ...shared,
  Add: foldable(
    (a, b) => a.add(b),
    (x, y) => x + y,
  ),
  Sub: foldable(
    (a, b) => a.sub(b),
    (x, y) => x - y,
  ),
  Mul: foldable(
    (a, b) => a.mul(b),
    (x, y) => x * y,
  ),
  Div: foldable(divided, (x, y, whole) => (whole ? Math.trunc(x / y) : x / y)),
  Pow: {
    run: (call) => {
      const x = call.tensor(0)
      const p = call.known(1)
      const y =
        p?.data.length === 1 && p.shape.length <= x.shape.length
          ? x.float().pow(p.data[0])
          : x.float().pow(call.tensor(1).float())
      return isFloat(x.dtype) ? y : y.round().to(x.dtype)
    },
  },
  Mod: {
    run: (call) =>
      call.flag('fmod', false)
        ? call.tensor(0).fmod(call.tensor(1))
        : call.tensor(0).remainder(call.tensor(1)),
  },
  Max: variadic((a, b) => a.maximum(b)),
  Min: variadic((a, b) => a.minimum(b)),
  Sum: variadic((a, b) => a.add(b)),
  Mean: variadic(
    (a, b) => a.add(b),
    (x, count) => x.div(count),
  ),
  IsNaN: unary((x) => x.isNaN()),
  IsInf: unary((x, call) => {
    const up = call.flag('detect_positive', true)
    const down = call.flag('detect_negative', true)
    if (up && down) return x.isInf()
    return x.isInf().logicalAnd(up ? x.gt(0) : down ? x.lt(0) : x.ne(x))
  }),
  LessOrEqual: binary((a, b) => a.le(b)),
  GreaterOrEqual: binary((a, b) => a.ge(b)),
  And: binary((a, b) => a.logicalAnd(b)),
  Or: binary((a, b) => a.logicalOr(b)),
  Xor: binary((a, b) => a.logicalXor(b)),
  Not: unary((x) => x.logicalNot()),
  Where: { run: (call) => where(call.tensor(0), call.tensor(1), call.tensor(2)) },
  Clip: { run: clip },
  Cast: {
    run: cast,
    host: castKnown,
    passes: [0],
    refuse: ({ attributes }) => {
      const to = Number(attributes.get('to') ?? 1)
      const four = to === TensorType.INT4 || to === TensorType.UINT4
      return four ? `to ${typeName(to)} is not supported` : undefined
    },
  },
  CastLike: { run: (call) => call.tensor(0).to(call.value(1).dtype), passes: [0] },
  Identity: { run: (call) => call.value(0), passes: [0] },

  LeakyRelu: unary((x, call) => F.leakyRelu(x, { negativeSlope: call.float('alpha', 0.01) })),
  PRelu: {
    run: (call) => {
      const [x, slope] = [call.tensor(0), call.tensor(1)]
      return x.maximum(0).add(x.minimum(0).mul(slope))
    },
    weights: [1],
  },
  Elu: unary((x, call) => F.elu(x, { alpha: call.float('alpha', 1) })),
  Selu: unary((x, call) => {
    const alpha = call.float('alpha', 1.6732632423543772)
    return F.elu(x, { alpha }).mul(call.float('gamma', 1.0507009873554805))
  }),
  Celu: unary((x, call) => F.celu(x, { alpha: call.float('alpha', 1) })),
  Gelu: unary((x, call) =>
    F.gelu(x, { approximate: call.text('approximate', 'none') === 'tanh' ? 'tanh' : 'none' }),
  ),
  'com.microsoft.Gelu': unary((x) => F.gelu(x)),
  HardSigmoid: unary((x, call) =>
    x.mul(call.float('alpha', 0.2)).add(call.float('beta', 0.5)).clamp(0, 1),
  ),
  HardSwish: unary((x) => F.hardswish(x)),
  Mish: unary((x) => F.mish(x)),
  ThresholdedRelu: unary((x, call) => F.threshold(x, call.float('alpha', 1), 0)),
  Shrink: unary((x, call) => {
    const [lambda, bias] = [call.float('lambd', 0.5), call.float('bias', 0)]
    return where(x.gt(lambda), x.sub(bias), where(x.lt(-lambda), x.add(bias), 0))
  }),
  Softmax: unary((x, call) => alongAxis(x, call, F.softmax)),
  LogSoftmax: unary((x, call) => alongAxis(x, call, F.logSoftmax)),
  Dropout: {
    run: (call) => {
      const x = call.tensor(0)
      const p = call.version < 12 ? call.float('ratio', 0.5) : (call.known(1)?.data[0] ?? 0.5)
      if (call.node.outputs.length > 1 && call.node.outputs[1] !== '') {
        if (call.training) call.fail('its mask is not given in training')
        return [x, x.eq(x)]
      }
      return F.dropout(x, { p, training: call.training })
    },
    random: true,
    passes: [0],
  },
}

/** Until opset 13 over all dimensions from `axis` on together, since then over that one. */
function alongAxis(x: Tensor, call: Call, run: (x: Tensor, dim: number) => Tensor): Tensor {
  if (call.version >= 13) return run(x, call.axis(call.int('axis', -1), x.shape.length))
  const axis = call.axis(call.int('axis', 1), x.shape.length)
  const rows = x.reshape(sizeOf(x.shape.slice(0, axis)), sizeOf(x.shape.slice(axis)))
  return run(rows, 1).reshape(...x.shape)
}
