// One operator a case, for test/onnx-in.test.ts: inputs, attributes and opset, run here and by onnxruntime.
import {
  type Attribute,
  AttributeType,
  encodeModel,
  type Graph,
  type Node,
  type Tensor,
  TensorType,
  type ValueInfo,
} from '../src/io/onnx/wire.js'
import { uniform } from './support.js'

export type Given =
  | number
  | string
  | readonly number[]
  | { readonly floats: readonly number[] }
  | { readonly f: number }

export interface Input {
  readonly dtype: 'float' | 'int64' | 'int32' | 'bool' | 'uint8' | 'int8'
  readonly shape: readonly number[]
  readonly data: readonly number[]
  /** In the file, as an initializer. */
  readonly constant?: boolean
}

export interface OperatorCase {
  readonly op: string
  readonly opset: number
  readonly inputs: readonly (Input | undefined)[]
  readonly attributes: { readonly [name: string]: Given }
  readonly outputs: number
  readonly tolerance?: number
}

// ---- inputs ----

let count = 0
/** Floats in [−1, 1), or scaled to [low, high). */
export function floats(shape: readonly number[], low = -1, high = 1): Input {
  const data = [...uniform(`case${count++}`, shape)].map((u) =>
    Math.fround(low + ((u + 1) / 2) * (high - low)),
  )
  return { dtype: 'float', shape, data }
}
export const weights = (shape: readonly number[], low = -1, high = 1): Input => ({
  ...floats(shape, low, high),
  constant: true,
})
export const known = (
  data: readonly number[],
  shape: readonly number[] = [data.length],
): Input => ({
  dtype: 'int64',
  shape,
  data,
  constant: true,
})
export const ints = (data: readonly number[], shape: readonly number[] = [data.length]): Input => ({
  dtype: 'int64',
  shape,
  data,
})
export const values = (
  data: readonly number[],
  shape: readonly number[] = [data.length],
): Input => ({
  dtype: 'float',
  shape,
  data,
  constant: true,
})
const bools = (shape: readonly number[]): Input => ({
  dtype: 'bool',
  shape,
  data: [...uniform(`case${count++}`, shape)].map((u) => Number(u > 0)),
})
const bytes = (dtype: 'uint8' | 'int8', data: readonly number[], shape = [data.length]): Input => ({
  dtype,
  shape,
  data,
  constant: true,
})

// ---- models ----

const types = {
  float: TensorType.FLOAT,
  int64: TensorType.INT64,
  int32: TensorType.INT32,
  bool: TensorType.BOOL,
  uint8: TensorType.UINT8,
  int8: TensorType.INT8,
} as const

export function attributeOf(name: string, given: Given): Attribute {
  if (typeof given === 'string')
    return { name, type: AttributeType.STRING, s: new TextEncoder().encode(given) }
  if (typeof given === 'number')
    return Number.isInteger(given)
      ? { name, type: AttributeType.INT, i: given }
      : { name, type: AttributeType.FLOAT, f: given }
  if ('f' in given) return { name, type: AttributeType.FLOAT, f: given.f }
  if ('floats' in given) return { name, type: AttributeType.FLOATS, floats: given.floats }
  return { name, type: AttributeType.INTS, ints: given }
}

export function tensorOf(name: string, { dtype, shape, data }: Input): Tensor {
  const base = { name, dims: shape, dataType: types[dtype] }
  if (dtype === 'float') {
    return { ...base, rawData: new Uint8Array(Float32Array.from(data).buffer) }
  }
  if (dtype === 'int64') return { ...base, int64Data: data }
  return { ...base, int32Data: data.map((x) => (dtype === 'int8' ? x & 255 : x)) }
}

export function infoOf(name: string, { dtype, shape }: Pick<Input, 'dtype' | 'shape'>): ValueInfo {
  const dim = shape.map((dimValue) => ({ dimValue }))
  return { name, type: { tensorType: { elemType: types[dtype], shape: { dim } } } }
}

/** The outputs are declared without a type: onnxruntime infers it. */
export function modelOf(graph: Graph, opset: number): Uint8Array {
  return encodeModel({
    irVersion: 8,
    opsetImport: [{ version: opset }],
    graph: { name: 'g', ...graph },
  })
}

export function modelOfCase({ op, opset, inputs, attributes, outputs }: OperatorCase): Uint8Array {
  const named = inputs.map((input, i) => [input ? `x${i}` : '', input] as const)
  const node: Node = {
    opType: op,
    name: 'node',
    input: named.map(([name]) => name),
    output: Array.from({ length: outputs }, (_, i) => `y${i}`),
    attribute: Object.entries(attributes).map(([name, given]) => attributeOf(name, given)),
  }
  const given = named.flatMap(([name, input]) =>
    input && !input.constant ? [infoOf(name, input)] : [],
  )
  const initializer = named.flatMap(([name, input]) =>
    input?.constant ? [tensorOf(name, input)] : [],
  )
  return modelOf(
    { node: [node], input: given, output: node.output?.map((name) => ({ name })), initializer },
    opset,
  )
}

// ---- cases ----

export const cases: OperatorCase[] = []
function add(
  op: string,
  inputs: readonly (Input | undefined)[],
  attributes: { readonly [name: string]: Given } = {},
  {
    opset = 17,
    outputs = 1,
    tolerance,
  }: { opset?: number; outputs?: number; tolerance?: number } = {},
): void {
  cases.push({ op, inputs, attributes, opset, outputs, ...(tolerance ? { tolerance } : {}) })
}

const image = [2, 4, 6, 5]
for (const op of ['Add', 'Sub', 'Mul', 'Div', 'Pow', 'PRelu'])
  for (const opset of [7, 17])
    add(op, [floats([2, 3, 4], 0.5, 2), floats([3, 1], 0.5, 2)], {}, { opset })
add('PRelu', [floats([2, 3, 4]), weights([3, 1])])
add('Div', [ints([7, -7, 9]), ints([2, 2, -4])])
add('Mod', [ints([7, -7, 9, -9]), ints([3, 3, -4, -4])])
add('Mod', [floats([6], -5, 5), floats([6], 1, 3)], { fmod: 1 })
for (const op of ['Max', 'Min', 'Sum', 'Mean'])
  add(op, [floats([2, 3]), floats([3]), floats([2, 1])], {}, { opset: 13 })
// Before opset 8 they do not broadcast.
for (const op of ['Max', 'Min', 'Sum', 'Mean'])
  add(op, [floats([2, 3]), floats([2, 3]), floats([2, 3])], {}, { opset: 7 })
for (const op of [
  'Neg',
  'Abs',
  'Sign',
  'Exp',
  'Floor',
  'Ceil',
  'Erf',
  'Sin',
  'Cos',
  'Atan',
  'Sinh',
  'Cosh',
  'Tanh',
  'Asinh',
  'Relu',
  'Softplus',
  'Softsign',
  'Sigmoid',
  'HardSwish',
  'Identity',
])
  add(op, [floats([3, 5], -3, 3)])
for (const op of ['Log', 'Sqrt', 'Reciprocal']) add(op, [floats([3, 5], 0.1, 3)])
for (const op of ['Asin', 'Acos', 'Atanh']) add(op, [floats([3, 5], -0.9, 0.9)])
add('Tan', [floats([3, 5], -1.2, 1.2)])
add('Acosh', [floats([3, 5], 1.1, 3)])
add('Round', [values([0.5, 1.5, 2.5, -0.5, -1.5, 0.3])])
add('Mish', [floats([3, 5], -3, 3)], {}, { opset: 18 })
for (const approximate of ['none', 'tanh'])
  add('Gelu', [floats([3, 5], -3, 3)], { approximate }, { opset: 20 })
for (const op of ['LeakyRelu', 'Elu', 'Celu', 'ThresholdedRelu', 'HardSigmoid', 'Selu']) {
  add(op, [floats([3, 5], -3, 3)])
  add(op, [floats([3, 5], -3, 3)], { alpha: 0.3 })
}
add('Shrink', [floats([3, 5], -3, 3)], { lambd: 0.7, bias: 0.2 })
for (const op of ['Softmax', 'LogSoftmax'])
  for (const [opset, axis] of [
    [7, 1],
    [11, 2],
    [13, -1],
    [13, 1],
  ])
    add(op, [floats([2, 3, 4])], { axis }, { opset })
add('Clip', [floats([8], -3, 3)], { min: -0.5, max: 1.5 }, { opset: 6 + 1 })
add('Clip', [floats([8], -3, 3), values([-0.5], []), values([1.5], [])])
add('Clip', [floats([8], -3, 3), undefined, values([0.25], [])])
for (const op of ['Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual'])
  add(op, [ints([1, 2, 3, 4], [2, 2]), ints([2, 2])])
for (const op of ['Less', 'Greater']) add(op, [floats([2, 3]), floats([3])], {}, { opset: 7 })
for (const op of ['And', 'Or', 'Xor']) add(op, [bools([2, 3]), bools([3])])
add('Not', [bools([2, 3])])
add('IsNaN', [values([1, Number.NaN, 2])])
add('IsInf', [values([1, Infinity, -Infinity])], { detect_negative: 0 })
add('Where', [bools([2, 3]), floats([2, 3]), floats([3])])
for (const to of [1, 6, 7, 9, 10, 2]) add('Cast', [floats([5], 0, 9)], { to })
add('Cast', [bools([4])], { to: 1 })
add('CastLike', [floats([5], 0, 9), ints([1])], {}, { opset: 19 })
for (const opset of [7, 12, 13])
  add('Dropout', [floats([5])], opset < 12 ? { ratio: 0.3 } : {}, { opset })

for (const [attributes, kernel] of [
  [{}, [3, 3]],
  [{ strides: [2, 1], pads: [1, 0, 2, 1] }, [3, 2]],
  [{ dilations: [2, 1], pads: [1, 1, 1, 1] }, [2, 3]],
  [{ group: 2, pads: [1, 1, 1, 1] }, [3, 3]],
  [{ auto_pad: 'SAME_UPPER', strides: [2, 2] }, [3, 3]],
  [{ auto_pad: 'SAME_LOWER', strides: [2, 2] }, [2, 2]],
  [{ auto_pad: 'VALID' }, [3, 3]],
] as const) {
  const group = 'group' in attributes ? 2 : 1
  add('Conv', [floats(image), weights([6, 4 / group, ...kernel]), weights([6])], attributes)
  const some: { readonly [name: string]: Given } = attributes
  add('ConvTranspose', [floats(image), weights([4, 6 / group, ...kernel]), weights([6])], some)
}
add('ConvTranspose', [floats(image), weights([4, 3, 3, 3])], {
  strides: [2, 2],
  pads: [1, 1, 1, 1],
  output_padding: [1, 1],
})
add('ConvTranspose', [floats(image), weights([4, 3, 3, 3])], {
  strides: [2, 2],
  output_shape: [12, 10],
})
add('Conv', [floats([2, 3, 9]), weights([4, 3, 3])], { pads: [1, 1] })
add('Conv', [floats([1, 2, 5, 4, 3]), weights([3, 2, 2, 2, 2])], { strides: [2, 1, 1] })
const windows: readonly { readonly [name: string]: Given }[] = [
  { kernel_shape: [2, 2], strides: [2, 2] },
  { kernel_shape: [3, 2], pads: [1, 0, 1, 1] },
  { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 0, 0] },
  { kernel_shape: [3, 3], strides: [2, 2], auto_pad: 'SAME_UPPER' },
  { kernel_shape: [3, 3], strides: [2, 2], auto_pad: 'SAME_LOWER' },
]
for (const op of ['MaxPool', 'AveragePool', 'LpPool'])
  for (const attributes of windows) add(op, [floats(image)], attributes)
for (const op of ['MaxPool', 'AveragePool'])
  for (const pads of [
    [0, 0, 0, 0],
    [1, 1, 1, 1],
  ])
    add(
      op,
      [floats([1, 2, 8, 7])],
      { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1, pads },
      { opset: 19 },
    )
add('AveragePool', [floats(image)], {
  kernel_shape: [3, 3],
  pads: [1, 1, 1, 1],
  count_include_pad: 1,
})
add('MaxPool', [floats([1, 2, 9, 9])], { kernel_shape: [3, 3], dilations: [2, 2] })
add('MaxPool', [floats([1, 2, 9])], { kernel_shape: [3], strides: [3] })
const indexed: readonly { readonly [name: string]: Given }[] = [
  { kernel_shape: [2, 2], strides: [2, 2] },
  { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 0, 1, 2] },
  { kernel_shape: [3, 3], strides: [2, 2], auto_pad: 'SAME_LOWER' },
  { kernel_shape: [2, 3], dilations: [2, 1], pads: [0, 1, 1, 1] },
  { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 },
]
for (const attributes of indexed)
  for (const opset of 'dilations' in attributes || 'ceil_mode' in attributes ? [12] : [8, 12])
    add('MaxPool', [floats(image)], attributes, { opset, outputs: 2 })
add('MaxPool', [floats([2, 3, 7])], { kernel_shape: [3], strides: [2] }, { outputs: 2 })
add('MaxPool', [floats([1, 2, 4, 5, 4])], { kernel_shape: [2, 3, 2] }, { outputs: 2 })
// onnxruntime pads for auto_pad as if there were no dilations: not compared.
const dilated: readonly { readonly [name: string]: Given }[] = [
  { kernel_shape: [2, 2], dilations: [2, 2] },
  { kernel_shape: [3, 2], dilations: [2, 3], pads: [1, 1, 2, 1] },
  { kernel_shape: [3, 2], dilations: [2, 1], pads: [2, 0, 2, 1], strides: [2, 1] },
  { kernel_shape: [2, 2], dilations: [3, 2], strides: [2, 2], ceil_mode: 1 },
]
for (const attributes of dilated) {
  const x = floats([2, 3, 8, 7])
  add('AveragePool', [x], attributes, { opset: 19 })
  add('AveragePool', [x], { ...attributes, count_include_pad: 1 }, { opset: 19 })
  add('LpPool', [x], attributes, { opset: 18 })
}
add('AveragePool', [floats([2, 3, 9])], { kernel_shape: [3], dilations: [3] }, { opset: 19 })
add('LpPool', [floats([2, 3, 9])], { kernel_shape: [3], dilations: [3], p: 3 }, { opset: 18 })
for (const op of ['GlobalAveragePool', 'GlobalMaxPool', 'GlobalLpPool']) add(op, [floats(image)])
add('Gemm', [floats([3, 4]), weights([5, 4]), weights([5])], { transB: 1 })
add('Gemm', [floats([4, 3]), weights([4, 5]), weights([3, 5])], {
  transA: 1,
  alpha: 0.5,
  beta: 2.5,
})
add('Gemm', [floats([3, 4]), weights([4, 5])], {}, { opset: 11 })
add('MatMul', [floats([2, 3, 4]), floats([4, 5])])
add('MatMul', [floats([2, 1, 3, 4]), floats([2, 4, 5])])
add('MatMul', [floats([4]), floats([4, 5])])
add('Einsum', [floats([2, 3, 4]), floats([2, 4, 5])], { equation: 'b i j, b j k -> b i k' })
for (const opset of [7, 9, 14, 15])
  add(
    'BatchNormalization',
    [floats(image), weights([4]), weights([4]), weights([4]), weights([4], 0.5, 2)],
    {},
    { opset },
  )
add(
  'BatchNormalization',
  [floats(image), weights([4]), weights([4]), weights([4]), weights([4], 0.5, 2)],
  { epsilon: 0.1 },
)
add('InstanceNormalization', [floats(image), weights([4]), weights([4])], { epsilon: 0.001 })
add('LayerNormalization', [floats([2, 3, 4]), weights([4]), weights([4])])
add('LayerNormalization', [floats([2, 3, 4]), weights([3, 4])], { axis: 1, epsilon: 0.001 })
add(
  'GroupNormalization',
  [floats(image), weights([2]), weights([2])],
  { num_groups: 2 },
  { opset: 18 },
)
add(
  'GroupNormalization',
  [floats(image), weights([4]), weights([4])],
  { num_groups: 2 },
  { opset: 21 },
)
add('LRN', [floats([2, 6, 3, 3])], { size: 3, alpha: 0.1, beta: 0.5, bias: { f: 2 } })
add('LpNormalization', [floats([2, 3, 4])], { axis: 1, p: 2 })
add('MeanVarianceNormalization', [floats(image)])

for (const op of [
  'ReduceSum',
  'ReduceMean',
  'ReduceMax',
  'ReduceMin',
  'ReduceProd',
  'ReduceL1',
  'ReduceL2',
  'ReduceSumSquare',
  'ReduceLogSum',
  'ReduceLogSumExp',
]) {
  const since = op === 'ReduceSum' ? 13 : 18
  add(op, [floats([2, 3, 4], 0.5, 1.5)], { axes: [1, -1] }, { opset: 11 })
  add(op, [floats([2, 3, 4], 0.5, 1.5), known([0, 2])], { keepdims: 0 }, { opset: since })
  add(op, [floats([2, 3, 4], 0.5, 1.5)], {}, { opset: 18 })
}
for (const op of ['ArgMax', 'ArgMin']) {
  add(op, [floats([3, 4])], { axis: 1 })
  add(op, [values([1, 3, 3, 0, 0, 1], [2, 3])], { axis: -1, keepdims: 0, select_last_index: 1 })
}
add('CumSum', [floats([3, 4]), known([1], [])])
add('CumSum', [floats([3, 4]), known([0], [])], { exclusive: 1, reverse: 1 })
add('TopK', [floats([3, 6]), known([2])], {}, { outputs: 2 })
add('TopK', [floats([3, 6])], { k: 2, axis: 0 }, { opset: 7, outputs: 2 })
add('TopK', [floats([3, 6]), known([2])], { axis: 0, largest: 0 }, { outputs: 2 })

add('Shape', [floats([2, 3])])
add('Shape', [floats([2, 3, 4])], { start: 1, end: -1 })
add('Size', [floats([2, 3])])
add('Reshape', [floats([2, 3, 4]), known([0, -1])])
add('Flatten', [floats([2, 3, 4])], { axis: 2 })
add('Squeeze', [floats([1, 3, 1])], { axes: [0] }, { opset: 11 })
add('Squeeze', [floats([1, 3, 1]), known([-1])])
add('Squeeze', [floats([1, 3, 1])])
add('Unsqueeze', [floats([3, 2])], { axes: [0, 2] }, { opset: 11 })
add('Unsqueeze', [floats([3, 2]), known([-1, 0])])
add('Transpose', [floats([2, 3, 4])], { perm: [1, 2, 0] })
add('Transpose', [floats([2, 3, 4])])
add('Concat', [floats([2, 3]), floats([2, 1])], { axis: -1 })
add('Split', [floats([6, 2])], { axis: 0, split: [1, 5] }, { opset: 11, outputs: 2 })
add('Split', [floats([6, 2]), known([2, 4])], {}, { outputs: 2 })
add('Split', [floats([7, 2])], { axis: 0, num_outputs: 3 }, { opset: 18, outputs: 3 })
add('Slice', [floats([5, 6])], { starts: [1, 0], ends: [4, -2] }, { opset: 9 })
add('Slice', [floats([5, 6]), known([4, 5]), known([-100, 0]), known([0, 1]), known([-1, -2])])
add('Slice', [
  floats([5, 6]),
  known([1]),
  known([Number.MAX_SAFE_INTEGER]),
  known([-1]),
  known([2]),
])
add('Pad', [floats([2, 3])], { pads: [1, 0, 0, 2], value: 0.5 }, { opset: 7 })
add('Pad', [floats([2, 3]), known([1, -1, 0, 2]), values([2.5], [])])
for (const mode of ['reflect', 'edge'])
  add('Pad', [floats([1, 3, 4]), known([0, 1, 2, 0, 2, 1])], { mode })
add('Pad', [floats([3, 4]), known([1, 2]), undefined, known([1])], {}, { opset: 18 })
add('Expand', [floats([3, 1]), known([2, 1, 4])])
add('Tile', [floats([2, 3]), known([2, 1])])
add('Gather', [floats([4, 3]), ints([0, -1, 2, 1], [2, 2])])
add('Gather', [floats([4, 3]), known([1], [])], { axis: 1 })
add('Gather', [floats([2, 4, 3]), ints([3, 0])], { axis: 1 })
add('GatherElements', [floats([3, 3]), ints([0, 2, -1, 1], [2, 2])], { axis: 1 })
add('GatherND', [floats([3, 4, 2]), ints([0, 1, 2, -1], [2, 2])])
add('ScatterElements', [floats([3, 3]), ints([1, 0, 2, 0, 2, 1], [2, 3]), floats([2, 3])], {
  axis: 0,
})
add('ScatterND', [floats([4, 3]), ints([2, 0], [2, 1]), floats([2, 3])])
add('GatherND', [floats([2, 4, 3]), ints([1, -1], [2, 1])], { batch_dims: 1 })
add('GatherND', [floats([2, 4, 3]), ints([1, 0, -1, 2, 3, 1, 0, 0], [2, 2, 2])], { batch_dims: 1 })
add('GatherND', [floats([2, 3, 4, 2]), ints([3, 0, 1, -2, 2, 0], [2, 3, 1])], { batch_dims: 2 })
/** Numbers at least a step of 0.05 apart, and half a step from those with another shift. */
const spaced = (shape: readonly number[], shift: 0 | 0.5): Input => {
  const base = floats(shape)
  return { ...base, data: base.data.map((_, i) => (((i * 7) % 41) + shift) / 20 - 1) }
}
// Several write to one place.
for (const [reduction, since] of [
  ['add', 16],
  ['mul', 16],
  ['max', 18],
  ['min', 18],
] as const)
  for (const opset of since === 16 ? [16, 18] : [18]) {
    const at = ints([1, 0, 2, 0, -1, 1, 1, 0, 2], [3, 3])
    const way = { reduction }
    const nine = spaced([3, 3], 0.5)
    add('ScatterElements', [spaced([4, 5], 0), at, nine], { ...way, axis: 0 }, { opset })
    add('ScatterElements', [spaced([4, 3], 0), at, nine], { ...way, axis: 1 }, { opset })
    add('ScatterND', [spaced([4, 3], 0), ints([2, 0, -2], [3, 1]), nine], way, { opset })
    const pairs = ints([0, 1, 3, -1, 0, 1], [3, 2])
    add('ScatterND', [spaced([4, 3, 2], 0), pairs, spaced([3, 2], 0.5)], way, { opset })
    const own = [ints([5, -7, 9]), ints([1, 1, 0]), ints([3, -2, 11])]
    add('ScatterElements', own, way, { opset })
  }
add('ConstantOfShape', [known([2, 3])])
add('Range', [known([2], []), known([11], []), known([3], [])])
add('OneHot', [ints([0, 2, -1]), known([4], []), values([-1, 2])], { axis: 0 })
add('NonZero', [known([0, 3, 0, 5, 6, 0], [2, 3])])
add('Trilu', [floats([3, 4])])
add('Trilu', [floats([3, 4]), known([-1], [])], { upper: 0 })
add('EyeLike', [floats([3, 4])], { k: 1 })
for (const mode of ['DCR', 'CRD'])
  add('DepthToSpace', [floats([1, 8, 2, 3])], { blocksize: 2, mode })
add('DepthToSpace', [floats([1, 8, 2, 3])], { blocksize: 2 }, { opset: 7 })
add('SpaceToDepth', [floats([1, 2, 4, 6])], { blocksize: 2 })

const scales = (y: number, x: number) => values([1, 1, y, x])
for (const mode of ['nearest', 'linear'])
  for (const s of [scales(2, 2), scales(1.5, 0.6)])
    add('Resize', [floats([1, 2, 5, 5]), s], { mode }, { opset: 10 })
for (const mode of ['nearest', 'linear', 'cubic'])
  for (const way of ['half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric'])
    add(
      'Resize',
      [floats([1, 2, 5, 5]), undefined, undefined, known([1, 2, 7, 3])],
      { mode, coordinate_transformation_mode: way },
      { opset: 13 },
    )
// Opset 11 wants all inputs, empty where they say nothing.
add('Resize', [floats([1, 2, 5, 5]), values([]), scales(2, 1.5)], { mode: 'linear' }, { opset: 11 })
add(
  'Resize',
  [floats([1, 2, 5, 5]), values([]), values([]), known([1, 2, 3, 8])],
  { mode: 'linear' },
  { opset: 11 },
)
for (const nearest_mode of ['floor', 'ceil', 'round_prefer_ceil', 'round_prefer_floor'])
  add(
    'Resize',
    [floats([1, 2, 5, 5]), undefined, scales(1.6, 0.8)],
    { nearest_mode },
    { opset: 13 },
  )
add(
  'Resize',
  [floats([1, 2, 5, 5]), undefined, values([2, 2])],
  { axes: [2, 3], mode: 'linear' },
  { opset: 18 },
)
add(
  'Resize',
  [floats([1, 2, 5, 5]), undefined, scales(2, 2)],
  { mode: 'linear', coordinate_transformation_mode: 'half_pixel_symmetric' },
  { opset: 19 },
)
add(
  'Upsample',
  [floats([1, 2, 3, 3])],
  { scales: { floats: [1, 1, 2, 3] }, mode: 'nearest' },
  { opset: 7 },
)
add('Upsample', [floats([1, 2, 3, 3]), scales(2, 2)], { mode: 'linear' }, { opset: 9 })

/** Positions for GridSample, some outside, none near an element, where the slope changes. */
function grid(lead: readonly number[], sizes: readonly number[], align: number): Input {
  const given = floats([...lead, sizes.length], 0, 1)
  const data = given.data.map((u, i) => {
    const size = sizes[sizes.length - 1 - (i % sizes.length)]
    const whole = Math.floor(u * (size + 4)) - 2
    const at = whole + 0.2 + 0.6 * (u * (size + 4) - 2 - whole)
    return Math.fround(align ? (2 * at) / (size - 1) - 1 : (2 * at + 1) / size - 1)
  })
  return { ...given, data }
}
for (const padding_mode of ['zeros', 'border', 'reflection'])
  for (const align_corners of [0, 1])
    for (const [opset, mode, ...sizes] of [
      [16, 'bilinear', 4, 5],
      [16, 'nearest', 4, 5],
      [16, 'bicubic', 4, 5],
      [20, 'linear', 4, 5],
      [20, 'nearest', 4, 5],
      [20, 'cubic', 4, 5],
      [20, 'linear', 3, 4, 5],
      [20, 'nearest', 3, 4, 5],
    ] as const) {
      const counts = [4, 6, 2].slice(0, sizes.length)
      const places = grid([2, ...counts], sizes, align_corners)
      // The nearest element does not depend on it smoothly.
      const given = mode === 'nearest' ? { ...places, constant: true } : places
      const attributes = { mode, padding_mode, align_corners }
      add('GridSample', [floats([2, 3, ...sizes]), given], attributes, { opset })
    }
add('GridSample', [floats([1, 2, 4, 4]), grid([1, 5, 5], [4, 4], 0)], {}, { opset: 16 })

for (const [op, gates] of [
  ['LSTM', 4],
  ['GRU', 3],
  ['RNN', 1],
] as const) {
  const hidden = 4
  for (const direction of ['forward', 'reverse', 'bidirectional']) {
    const D = direction === 'bidirectional' ? 2 : 1
    const base = [
      floats([5, 2, 3]),
      weights([D, gates * hidden, 3]),
      weights([D, gates * hidden, hidden]),
    ]
    const outputs = op === 'LSTM' ? 3 : 2
    add(op, base, { hidden_size: hidden, direction }, { outputs })
    const state = floats([D, 2, hidden])
    const lengths: Input = { dtype: 'int32', shape: [2], data: [5, 3] }
    const more = [
      weights([D, 2 * gates * hidden]),
      lengths,
      state,
      ...(op === 'LSTM' ? [floats([D, 2, hidden])] : []),
    ]
    add(op, [...base, ...more], { hidden_size: hidden, direction }, { outputs })
    if (op === 'GRU')
      add(
        op,
        [...base, weights([D, 2 * gates * hidden])],
        { hidden_size: hidden, direction, linear_before_reset: 1 },
        { outputs },
      )
  }
}
add('DequantizeLinear', [
  bytes('uint8', [0, 128, 255]),
  values([0.5], []),
  bytes('uint8', [128], []),
])
add('DequantizeLinear', [bytes('int8', [-128, 1, 127, 5], [2, 2]), values([0.5, 2])], { axis: 1 })
add('QuantizeLinear', [floats([6], -3, 3), values([0.05], []), bytes('uint8', [120], [])])
