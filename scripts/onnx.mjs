// The tables of docs/onnx.md, from the operators that loadOnnx knows.

const LINK = 'https://onnx.ai/onnx/operators/onnx__'

/** What of an operator is not covered, or how versions differ. */
export const NOTES = {
  BatchNormalization: 'in training by the batch’s statistics; further outputs are the running ones',
  Cast: 'floats of any width are float32, integers int32; no strings',
  CastLike: 'as Cast',
  Clip: 'limits as attributes before opset 11',
  ConvTranspose: 'pads, output_padding, output_shape, auto_pad',
  AveragePool: 'ceil_mode, count_include_pad, auto_pad; no dilations',
  LpPool: 'no dilations',
  MaxPool: 'dilations, ceil_mode, auto_pad; no indices',
  Dropout: 'drops in training mode; ratio as attribute before opset 12',
  DequantizeLinear: 'of constants: a trainable float weight; no blocks',
  QuantizeLinear: 'to uint8 and int8; no gradient through its rounding',
  GatherND: 'no batch_dims',
  ScatterElements: 'reduction none and add',
  ScatterND: 'reduction none and add',
  GroupNormalization: 'scales a group (18) or a channel (21)',
  GRU: 'all directions, initial state, sequence lengths; usual activations, layout 0, no clip',
  LSTM: 'all directions, initial states, sequence lengths; usual activations, layout 0, no clip, no peepholes',
  RNN: 'tanh and relu; all directions, initial state, sequence lengths',
  LayerNormalization: 'no mean and deviation as outputs',
  If: 'a condition on shapes or constants is decided while tracing; of data: both branches, of equal shapes, and a choice',
  Loop: 'unrolled, where count and condition are known while tracing; at most 1024 turns',
  NonZero: 'of values known while tracing',
  Pad: 'constant, reflect, edge, wrap; pads as attribute before opset 11, axes from 18',
  Resize:
    'nearest, linear, cubic; every coordinate mode but tf_crop_and_resize; no antialias, no keep_aspect_ratio_policy',
  Slice: 'attributes before opset 10',
  Softmax: 'before opset 13 over all dimensions from the axis on',
  LogSoftmax: 'before opset 13 over all dimensions from the axis on',
  Split: 'sizes as attribute before opset 13; num_outputs from 18',
  Squeeze: 'axes as attribute before opset 13',
  Unsqueeze: 'axes as attribute before opset 13',
  ReduceSum: 'axes as attribute before opset 13',
  TopK: 'k as attribute before opset 10',
  Upsample: 'scales as attribute before opset 9',
}

/** One table a family. */
export function operatorTables(families) {
  return Object.entries(families)
    .map(([family, table]) => {
      const rows = Object.keys(table)
        .sort()
        .map((op) => {
          const own = op.includes('.') ? `\`${op}\`` : `[${op}](${LINK}${op}.html)`
          const note =
            NOTES[op] ?? (op.startsWith('Reduce') ? 'axes as attribute before opset 18' : '')
          return `| ${own} | ${note} |`
        })
      return [`### ${family}`, '', '| operator | notes |', '|---|---|', ...rows].join('\n')
    })
    .join('\n\n')
}
