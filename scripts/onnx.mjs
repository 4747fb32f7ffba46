// The generated parts of docs/onnx.md: what exportOnnx writes, and tables of the operators that loadOnnx knows.

const LINK = 'https://onnx.ai/onnx/operators/onnx__'

/** What of an operator is not covered, or how versions differ. */
export const NOTES = {
  BatchNormalization: 'in training by the batch’s statistics; further outputs are the running ones',
  Cast: 'floats of any width are float32, integers int32; no strings',
  CastLike: 'as Cast',
  Clip: 'limits as attributes before opset 11',
  ConvTranspose: 'pads, output_padding, output_shape, auto_pad',
  AveragePool: 'dilations, ceil_mode, count_include_pad, auto_pad',
  LpPool: 'dilations, ceil_mode, auto_pad',
  MaxPool: 'dilations, ceil_mode, auto_pad; indices in storage_order 0',
  Dropout: 'drops in training mode; ratio as attribute before opset 12',
  DequantizeLinear: 'of constants: a trainable float weight; no blocks',
  QuantizeLinear: 'to integers of 4, 8 and 16 bits; no gradient through its rounding',
  GatherND: 'batch_dims',
  GridSample:
    'linear, nearest and cubic in any number of dimensions; zeros, border, reflection; align_corners',
  ScatterElements: 'reductions none, add, mul, max, min',
  ScatterND: 'reductions none, add, mul, max, min',
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
    'nearest, linear, cubic; every coordinate mode but tf_crop_and_resize and tf_half_pixel_for_nn; no antialias, no keep_aspect_ratio_policy',
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

/** What exportOnnx writes, and what it refuses. */
export const EXPORT = `\`\`\`ts
import { writeFile } from 'node:fs/promises'
import { zeros } from 'burnish'
import { exportOnnx } from 'burnish/io'

await writeFile('net.onnx', await exportOnnx(model, zeros([1, 3, 224, 224])))
\`\`\`

\`exportOnnx(model, example, options?)\` writes **opset 17**: evaluation mode, parameters and state under the names of the
state dict, nodes under the paths of their modules.

**Any batch size** where the forward is the same for the example's batch and two others, 61 and 74 (\`batchDim\` says
which dimension), else the example's with the reason told. Where the example's batch is 1, reshapes and other movements
are not compared, only the operators and shapes they lead to. A forward with a branch for some other batch:
\`dynamicBatch: false\`. Loops are \`LSTM\`, \`GRU\`, \`RNN\` or \`Scan\`.

**Refused, naming the layer**: random numbers, state, bitwise operators and more than 2 GB of weights.`
