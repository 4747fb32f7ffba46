// Cases of reductions, shapes, indexing, resizing, recurrent layers and quantised values.
import {
  adding,
  bytes,
  floats,
  type Input,
  ints,
  known,
  type OperatorCase,
  values,
  weights,
} from './onnx-in.inputs.js'

export const shapes: OperatorCase[] = []
const add = adding(shapes)

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
