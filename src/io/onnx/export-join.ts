// Patterns of element-wise operators that ONNX has one operator for. Each gives the joined node; what it replaces is
// dropped at the end where nothing else reads it.
import { sameShape, sizeOf } from '../../base/shape.js'
import type { ScalarFn } from '../../graph/scalar.js'
import { type Builder, madeBy, numberOf, type OnnxNode, type Value } from './export-model.js'
import { axesOf, elementwise, reshape } from './export-ops.js'

type Rule = (b: Builder, args: readonly Value[]) => Value | undefined

/** The joined form of a map, if there is one. */
export function joined(b: Builder, fn: ScalarFn, args: readonly Value[]): Value | undefined {
  return rules[fn]?.(b, args)
}

const bothWays = (rule: (b: Builder, x: Value, y: Value) => Value | undefined): Rule => {
  return (b, [x, y]) => rule(b, x, y) ?? rule(b, y, x)
}

const rules: { readonly [F in ScalarFn]?: Rule } = {
  add: bothWays(withBias),
  mul: bothWays(
    (b, x, y) =>
      scaled(b, x, y) ?? batchNorm(b, x, y) ?? hardSwish(b, x, y) ?? averaged(b, x, numberOf(y)),
  ),
  div: (b, [x, y]) => {
    const n = numberOf(y)
    return n === undefined ? softmax(b, x, y) : (averaged(b, x, 1 / n) ?? hardSigmoid(b, x, n))
  },
  where: (b, [condition, x, y]) => bounded(b, condition, x, y),
}

/** A vector over the last axis, or over axis 1, without the dimensions of size 1 around it. */
function vectorAlong(b: Builder, x: Value, axis: number): Value | undefined {
  if (x.shape.some((n, i) => i !== axis && n !== 1)) return undefined
  return reshape(b, x, [x.shape[axis]])
}

/** The node once more with further inputs. */
function again(
  b: Builder,
  node: OnnxNode,
  inputs: readonly (Value | undefined)[],
  op = node.op,
  attributes = node.attributes,
): Value {
  return b.node(op, inputs, node.outputs[0], attributes)
}

function withBias(b: Builder, x: Value, bias: Value): Value | undefined {
  if (bias.depth > 0 || x.shape.length < 2) return undefined
  const node = madeBy(
    x,
    'Conv',
    'ConvTranspose',
    'Gemm',
    'MatMul',
    'BatchNormalization',
    'LayerNormalization',
    'InstanceNormalization',
  )
  const last = x.shape.length - 1
  if (!node) return throughReshape(b, x, bias)
  const [first, second, third, mean, variance] = node.inputs
  switch (node.op) {
    case 'Conv':
    case 'ConvTranspose': {
      const vector = vectorAlong(b, bias, 1)
      if (third || !vector || vector.shape[0] !== x.shape[1]) return undefined
      return again(b, node, [first, second, vector])
    }
    case 'Gemm': {
      const vector = vectorAlong(b, bias, last)
      return third || !vector || vector.shape[0] !== x.shape[1]
        ? undefined
        : again(b, node, [first, second, vector])
    }
    case 'MatMul': {
      const vector = vectorAlong(b, bias, last)
      if (!vector || last !== 1 || vector.shape[0] !== x.shape[1] || first?.shape.length !== 2)
        return undefined
      return again(b, node, [first, second, vector], 'Gemm', {})
    }
    case 'LayerNormalization': {
      const inner = node.inputs[1]?.shape ?? []
      const fits = bias.shape.every(
        (n, i) =>
          n ===
          (i < bias.shape.length - inner.length ? 1 : inner[i - bias.shape.length + inner.length]),
      )
      return third || !fits ? undefined : again(b, node, [first, second, reshape(b, bias, inner)])
    }
    default: {
      const vector = vectorAlong(b, bias, 1)
      if (!vector || vector.shape[0] !== x.shape[1] || !isAll(third, 0)) return undefined
      return again(b, node, [first, second, vector, mean, variance].slice(0, node.inputs.length))
    }
  }
}

/** The bias of a product whose rows were given other dimensions in between. */
function throughReshape(b: Builder, x: Value, bias: Value): Value | undefined {
  const rows = madeBy(x, 'Reshape')?.inputs[0]
  const last = x.shape.length - 1
  if (
    !rows ||
    !madeBy(rows, 'Gemm', 'MatMul') ||
    rows.shape.length !== 2 ||
    rows.shape[1] !== x.shape[last]
  )
    return undefined
  const vector = vectorAlong(b, bias, last)
  if (!vector || vector.shape[0] !== x.shape[last]) return undefined
  const sum = withBias(b, rows, reshape(b, vector, [1, vector.shape[0]]))
  return sum && reshape(b, sum, x.shape)
}

/** A constant whose elements are all the number. */
function isAll(x: Value | undefined, value: number): boolean {
  return x?.origin.kind === 'constant' && x.origin.data.every((n) => n === value)
}

/** A normalisation whose scale is still 1. */
function scaled(b: Builder, x: Value, weight: Value): Value | undefined {
  const node = madeBy(x, 'InstanceNormalization', 'LayerNormalization')
  if (!node || !isAll(node.inputs[1], 1) || weight.depth > 0) return undefined
  const rank = x.shape.length
  if (node.op === 'InstanceNormalization' && x.shape[1] > 1) {
    const vector = vectorAlong(b, weight, 1)
    if (vector && vector.shape[0] === x.shape[1] && isAll(node.inputs[2], 0))
      return again(b, node, [node.inputs[0], vector, node.inputs[2]])
  }
  const first = node.op === 'InstanceNormalization' ? 2 : Number(node.attributes.axis)
  const inner = x.shape.slice(first)
  const fits =
    weight.shape.length === rank && weight.shape.every((n, i) => n === (i < first ? 1 : x.shape[i]))
  if (!fits || (node.inputs[2] !== undefined && !isAll(node.inputs[2], 0))) return undefined
  const attributes = { axis: first - rank, epsilon: node.attributes.epsilon }
  return again(
    b,
    node,
    [node.inputs[0], reshape(b, weight, inner)],
    'LayerNormalization',
    attributes,
  )
}

/** (x − mean)·(weight / √(variance + ε)) over the channels. */
function batchNorm(b: Builder, centred: Value, scale: Value): Value | undefined {
  const [x, shift] = madeBy(centred, 'Sub')?.inputs ?? []
  if (!x || !shift || x.shape.length < 2) return undefined
  const channels = x.shape[1]
  const whole = (value: Value) => (sizeOf(value.shape) === channels ? unshaped(value) : undefined)
  const mean = whole(shift)
  const factor = whole(scale)
  const along = (value: Value) =>
    value.shape.every((n, i) => i === 1 + value.shape.length - x.shape.length || n === 1)
  if (!mean || !factor || !along(shift) || !along(scale) || mean.shape.length !== 1)
    return undefined
  const product = madeBy(factor, 'Mul')?.inputs
  const roots = product ? product.map(rootOf) : [rootOf(factor)]
  const at = roots.findIndex((root) => root !== undefined)
  const root = roots[at]
  if (root?.variance.shape.length !== 1) return undefined
  const one = b.constant(new Array<number>(channels).fill(1), 'float32', [channels])
  const zero = b.constant(new Array<number>(channels).fill(0), 'float32', [channels])
  const weight = product ? (product[1 - at] ?? one) : one
  if (!sameShape(weight.shape, [channels])) return undefined
  return b.node(
    'BatchNormalization',
    [x, weight, zero, mean, root.variance],
    x.shape.length === centred.shape.length ? { dtype: 'float32', shape: centred.shape } : x,
    {
      epsilon: { float: root.eps },
    },
  )
}

function unshaped(x: Value): Value {
  return madeBy(x, 'Reshape')?.inputs[0] ?? x
}

/** The variance and ε in 1 / √(variance + ε). */
function rootOf(x: Value | undefined): { variance: Value; eps: number } | undefined {
  const [one, root] = madeBy(x, 'Div')?.inputs ?? []
  const sum = madeBy(root, 'Sqrt')?.inputs[0]
  const [variance, eps] = madeBy(sum, 'Add')?.inputs ?? []
  const number = numberOf(eps)
  return numberOf(one) === 1 && variance && number !== undefined
    ? { variance, eps: number }
    : undefined
}

/** A sum times 1 / the number of what was summed. */
function averaged(b: Builder, x: Value, factor: number | undefined): Value | undefined {
  if (factor === undefined) return undefined
  const wide = madeBy(x, 'Reshape')?.inputs[0]
  if (wide && madeBy(wide, 'ReduceSum')) {
    const inner = averaged(b, wide, factor)
    return inner && reshape(b, inner, x.shape)
  }
  const node = madeBy(x, 'ReduceSum', 'Mul')
  const source = node?.inputs[0]
  if (!node || !source) return undefined
  if (node.op === 'Mul') {
    // A pool's sum is its average times the window.
    const pool = madeBy(source, 'AveragePool')
    const times = numberOf(node.inputs[1])
    return pool && times !== undefined && isOne(times * factor) ? source : undefined
  }
  const axes = axesOf(node)
  if (!axes || source.dtype !== 'float32') return undefined
  const count = sizeOf(axes.map((axis) => source.shape[axis]))
  if (!isOne(count * factor)) return undefined
  const keepdims = Number(node.attributes.keepdims)
  const mean = b.node(
    'ReduceMean',
    [source],
    { dtype: 'float32', shape: source.shape.filter((_, i) => !axes.includes(i)) },
    { axes, keepdims: 0 },
  )
  return keepdims === 0 ? mean : reshape(b, mean, x.shape)
}

/** exp(x − m) / Σ exp(x − m) along one axis, whatever m is, as long as it is one number for what is summed. */
function softmax(b: Builder, x: Value, y: Value): Value | undefined {
  const sum = madeBy(y, 'ReduceSum')
  const axes = sum && axesOf(sum)
  if (axes?.length !== 1 || sum?.inputs[0] !== x || sum.attributes.keepdims !== 1) return undefined
  const [source, top] = madeBy(madeBy(x, 'Exp')?.inputs[0], 'Sub')?.inputs ?? []
  const largest = madeBy(top, 'ReduceMax')
  const [axis] = axes
  const own = largest && axesOf(largest)?.join() === `${axis}` && largest.attributes.keepdims === 1
  if (!source || !own || !sameShape(source.shape, x.shape)) return undefined
  return b.node('Softmax', [source], x, { axis })
}

const isOne = (x: number) => Math.abs(x - 1) < 1e-6

/** Clip, LeakyRelu and PRelu are comparisons with a choice. */
function bounded(b: Builder, condition: Value, x: Value, y: Value): Value | undefined {
  const [left, right] = madeBy(condition, 'Less')?.inputs ?? []
  if (!left || !right || x.dtype !== 'float32') return undefined
  const bound = numberOf(y)
  if (bound !== undefined && right === x && numberOf(left) === bound)
    return clip(b, x, bound, undefined)
  if (bound !== undefined && left === x && numberOf(right) === bound)
    return clip(b, x, undefined, bound)
  if (numberOf(left) !== 0 || right !== x) return undefined
  const factors = madeBy(y, 'Mul')?.inputs
  const at = factors?.indexOf(x) ?? -1
  const slope = factors?.[1 - at]
  if (at < 0 || !slope) return undefined
  const alpha = numberOf(slope)
  if (alpha !== undefined) return b.node('LeakyRelu', [x], x, { alpha: { float: alpha } })
  if (slope.origin.kind === 'result' && !madeBy(slope, 'Reshape')) return undefined
  const rank = x.shape.length
  const inner =
    slope.shape.length === rank
      ? reshape(b, slope, slope.shape.slice(slope.shape.findIndex((n) => n !== 1)))
      : slope
  return b.node('PRelu', [x, inner], x)
}

function clip(b: Builder, x: Value, low: number | undefined, high: number | undefined): Value {
  const inner = madeBy(x, 'Clip', 'Relu')
  const source = inner?.inputs[0]
  const constant = (n: number | undefined) => (n === undefined ? undefined : b.scalar(n, 'float32'))
  if (inner && source) {
    const least = inner.op === 'Relu' ? 0 : numberOf(inner.inputs[1])
    const most = inner.op === 'Relu' ? undefined : numberOf(inner.inputs[2])
    if (
      least !== undefined &&
      most === undefined &&
      low === undefined &&
      high !== undefined &&
      high >= least
    )
      return b.node('Clip', [source, constant(least), constant(high)], x)
  }
  return b.node(
    'Clip',
    high === undefined ? [x, constant(low)] : [x, constant(low), constant(high)],
    x,
  )
}

/** min(max(x + 3, 0), 6) / 6 */
function hardSigmoid(b: Builder, x: Value, divisor: number): Value | undefined {
  const [sum, low, high] = madeBy(x, 'Clip')?.inputs ?? []
  const [source, three] = madeBy(sum, 'Add')?.inputs ?? []
  const fits = divisor === 6 && numberOf(low) === 0 && numberOf(high) === 6 && numberOf(three) === 3
  if (!fits || !source) return undefined
  return b.node('HardSigmoid', [source], x, { alpha: { float: 1 / 6 }, beta: { float: 0.5 } })
}

function hardSwish(b: Builder, x: Value, gate: Value): Value | undefined {
  return madeBy(gate, 'HardSigmoid')?.inputs[0] === x
    ? elementwise(b, 'HardSwish', [x], 'float32')
    : undefined
}
