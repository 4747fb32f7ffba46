// Cases of arithmetic, activations, convolutions, pools, products and normalisations.
import {
  adding,
  bools,
  floats,
  type Given,
  ints,
  type OperatorCase,
  values,
  weights,
} from './onnx-in.inputs.js'

export const networks: OperatorCase[] = []
const add = adding(networks)

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
