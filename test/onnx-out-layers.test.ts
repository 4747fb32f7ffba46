// Layers of nn with odd options, exported to ONNX, against ONNX Runtime, for batches of two, three and one; and read
// again.
import { describe, expect, it } from 'vitest'
import type { Shape } from '../src/base/shape.js'
import type { ExampleInput, Exportable } from '../src/io/onnx/export.js'
import * as nn from '../src/nn/index.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { compareExport, filledModel, operators, values } from './onnx-out.js'
import { onnxruntime } from './peers.js'

const ort = onnxruntime()

interface Options {
  readonly batchDim?: number
  readonly dynamic?: boolean
  /** Operators that must be in the graph. */
  readonly has?: readonly string[]
}
type Case = readonly [
  name: string,
  model: () => Exportable,
  given: readonly Shape[],
  options?: Options,
]

/** Inputs of the shapes, and of another batch where it may vary. */
function batches(
  shapes: readonly Shape[],
  { batchDim = 0, dynamic = true }: Options,
): ExampleInput[][] {
  const at = (batch: number) =>
    shapes.map((shape, i) => {
      const own = shape.map((n, d) =>
        d === batchDim && dynamic && n === shapes[0][batchDim] ? batch : n,
      )
      return values(`input ${i} ${batch}`, own)
    })
  return dynamic ? [at(2), at(3), at(1)] : [at(shapes[0][batchDim] ?? 1)]
}

const conv: readonly Case[] = [
  [
    'Conv1d',
    () => new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1, dilation: 2, groups: 2 }),
    [[2, 4, 11]],
    { has: ['Conv'] },
  ],
  [
    'Conv2d',
    () => new nn.Conv2d(4, 8, [3, 2], { stride: [2, 1], padding: [1, 0], dilation: [1, 2] }),
    [[2, 4, 9, 8]],
    { has: ['Conv'] },
  ],
  [
    'Conv2d, same, no bias',
    () => new nn.Conv2d(3, 5, 4, { padding: 'same', bias: false }),
    [[2, 3, 7, 7]],
    { has: ['Conv'] },
  ],
  [
    'Conv2d, depthwise',
    () => new nn.Conv2d(6, 12, 3, { groups: 6, stride: 2 }),
    [[2, 6, 8, 8]],
    { has: ['Conv'] },
  ],
  [
    'Conv2d, reflected',
    () => new nn.Conv2d(3, 5, 3, { padding: 2, paddingMode: 'reflect' }),
    [[2, 3, 7, 7]],
    { has: ['Conv'] },
  ],
  [
    'Conv2d without a batch',
    () => new nn.Conv2d(3, 5, 3),
    [[3, 7, 7]],
    { dynamic: false, has: ['Conv'] },
  ],
  [
    'Conv3d',
    () => new nn.Conv3d(2, 4, [2, 3, 1], { padding: 1, stride: 2 }),
    [[2, 2, 5, 6, 4]],
    { has: ['Conv'] },
  ],
  [
    'ConvTranspose1d',
    () => new nn.ConvTranspose1d(4, 6, 3, { stride: 3, padding: 1, outputPadding: 2 }),
    [[2, 4, 5]],
    { has: ['ConvTranspose'] },
  ],
  [
    'ConvTranspose2d',
    () =>
      new nn.ConvTranspose2d(4, 6, [3, 2], {
        stride: [2, 1],
        padding: 1,
        outputPadding: [1, 0],
        groups: 2,
      }),
    [[2, 4, 5, 6]],
    { has: ['ConvTranspose'] },
  ],
  [
    'ConvTranspose2d, dilated',
    () => new nn.ConvTranspose2d(3, 2, 3, { dilation: 2, bias: false }),
    [[2, 3, 4, 4]],
    { has: ['ConvTranspose'] },
  ],
  [
    'ConvTranspose3d',
    () => new nn.ConvTranspose3d(2, 3, 2, { stride: 2 }),
    [[2, 2, 3, 3, 2]],
    { has: ['ConvTranspose'] },
  ],
]

const pool: readonly Case[] = [
  [
    'MaxPool1d, ceil',
    () => new nn.MaxPool1d(3, { stride: 2, ceilMode: true }),
    [[2, 3, 8]],
    { has: ['MaxPool'] },
  ],
  [
    'MaxPool2d',
    () => new nn.MaxPool2d([3, 2], { stride: [2, 1], padding: [1, 0], dilation: [1, 2] }),
    [[2, 3, 9, 8]],
    { has: ['MaxPool'] },
  ],
  ['MaxPool3d', () => new nn.MaxPool3d(2), [[2, 2, 4, 5, 4]], { has: ['MaxPool'] }],
  [
    'AvgPool1d',
    () => new nn.AvgPool1d(3, { stride: 2, padding: 1 }),
    [[2, 3, 8]],
    { has: ['AveragePool'] },
  ],
  [
    'AvgPool2d, without padding',
    () => new nn.AvgPool2d(3, { stride: 2, padding: 1, countIncludePad: false }),
    [[2, 3, 8, 7]],
    { has: ['AveragePool'] },
  ],
  [
    'AvgPool2d, ceil',
    () => new nn.AvgPool2d(3, { stride: 2, padding: 1, ceilMode: true }),
    [[2, 3, 8, 8]],
    { has: ['AveragePool'] },
  ],
  [
    'AvgPool2d, divisor',
    () => new nn.AvgPool2d(2, { divisorOverride: 3 }),
    [[2, 3, 8, 7]],
    { has: ['AveragePool'] },
  ],
  ['AvgPool3d', () => new nn.AvgPool3d(2), [[2, 2, 4, 4, 4]], { has: ['AveragePool'] }],
  [
    'AdaptiveAvgPool2d(1)',
    () => new nn.AdaptiveAvgPool2d(1),
    [[2, 3, 5, 6]],
    { has: ['GlobalAveragePool'] },
  ],
  ['AdaptiveAvgPool2d, uneven', () => new nn.AdaptiveAvgPool2d([3, 4]), [[2, 3, 5, 6]]],
  ['AdaptiveAvgPool1d', () => new nn.AdaptiveAvgPool1d(2), [[2, 3, 6]]],
  ['AdaptiveMaxPool2d', () => new nn.AdaptiveMaxPool2d(3), [[2, 3, 7, 6]]],
  ['LPPool2d', () => new nn.LPPool2d(2, 2), [[2, 3, 6, 6]]],
  [
    'pool and unpool',
    () => (x: Tensor) => {
      const { values: v, indices } = nn.maxPool2dWithIndices(x, 2)
      return nn.maxUnpool2d(v, indices, 2)
    },
    [[2, 3, 6, 6]],
    { has: ['ScatterElements'] },
  ],
]

const norm: readonly Case[] = [
  ['BatchNorm1d', () => new nn.BatchNorm1d(5), [[2, 5]], { has: ['BatchNormalization'] }],
  [
    'BatchNorm2d, not affine',
    () => new nn.BatchNorm2d(3, { affine: false, eps: 1e-3 }),
    [[2, 3, 4, 5]],
    { has: ['BatchNormalization'] },
  ],
  ['BatchNorm3d', () => new nn.BatchNorm3d(2), [[2, 2, 3, 3, 3]], { has: ['BatchNormalization'] }],
  ['LayerNorm', () => new nn.LayerNorm(6), [[2, 4, 6]], { has: ['LayerNormalization'] }],
  [
    'LayerNorm of two',
    () => new nn.LayerNorm([4, 6]),
    [[2, 3, 4, 6]],
    { has: ['LayerNormalization'] },
  ],
  [
    'LayerNorm, sequence first',
    () => new nn.LayerNorm(6),
    [[4, 2, 6]],
    { batchDim: 1, has: ['LayerNormalization'] },
  ],
  ['GroupNorm', () => new nn.GroupNorm(2, 6), [[2, 6, 4, 5]], { has: ['InstanceNormalization'] }],
  [
    'InstanceNorm2d',
    () => new nn.InstanceNorm2d(3, { affine: true }),
    [[2, 3, 4, 5]],
    { has: ['InstanceNormalization'] },
  ],
  [
    'InstanceNorm1d',
    () => new nn.InstanceNorm1d(3),
    [[2, 3, 8]],
    { has: ['InstanceNormalization'] },
  ],
  ['RMSNorm', () => new nn.RMSNorm(6), [[2, 4, 6]]],
  ['LocalResponseNorm', () => new nn.LocalResponseNorm(3), [[2, 5, 4, 4]]],
]

const activations: readonly Case[] = Object.entries({
  ReLU: () => new nn.ReLU(),
  ReLU6: () => new nn.ReLU6(),
  Sigmoid: () => new nn.Sigmoid(),
  SiLU: () => new nn.SiLU(),
  Mish: () => new nn.Mish(),
  SELU: () => new nn.SELU(),
  Hardswish: () => new nn.Hardswish(),
  Hardsigmoid: () => new nn.Hardsigmoid(),
  Softsign: () => new nn.Softsign(),
  LogSigmoid: () => new nn.LogSigmoid(),
  Tanhshrink: () => new nn.Tanhshrink(),
  Tanh: () => new nn.Tanh(),
  GELU: () => new nn.GELU(),
  GELUtanh: () => new nn.GELU({ approximate: 'tanh' }),
  LeakyReLU: () => new nn.LeakyReLU(0.1),
  ELU: () => new nn.ELU(),
  Softplus: () => new nn.Softplus(),
  Hardtanh: () => new nn.Hardtanh(),
  PReLU: () => new nn.PReLU({ numParameters: 3 }),
  Softmax: () => new nn.Softmax(1),
  LogSoftmax: () => new nn.LogSoftmax(-1),
  CELU: () => new nn.CELU(),
  Hardshrink: () => new nn.Hardshrink(),
  Softshrink: () => new nn.Softshrink(),
  Threshold: () => new nn.Threshold(0.1, 0.5),
  GLU: () => new nn.GLU(-1),
  RReLU: () => new nn.RReLU(),
  Softmin: () => new nn.Softmin(1),
}).map(([name, make]): Case => [name, make, [[2, 3, 4, 6]]])

const recurrent: readonly Case[] = [
  [
    'RNN',
    () => new nn.RNN(4, 5, { nonlinearity: 'relu' }),
    [[6, 2, 4]],
    { batchDim: 1, has: ['RNN'] },
  ],
  [
    'RNN, both ways',
    () => new nn.RNN(4, 5, { bidirectional: true, bias: false }),
    [[6, 2, 4]],
    { batchDim: 1, has: ['RNN'] },
  ],
  [
    'GRU',
    () => new nn.GRU(4, 5, { numLayers: 2, batchFirst: true, bidirectional: true }),
    [[2, 6, 4]],
    { has: ['GRU'] },
  ],
  [
    'GRU, no bias',
    () => new nn.GRU(4, 5, { bias: false }),
    [[6, 2, 4]],
    { batchDim: 1, has: ['GRU'] },
  ],
  [
    'LSTM, projected',
    () => new nn.LSTM(4, 6, { projSize: 3, bidirectional: true }),
    [[5, 2, 4]],
    { batchDim: 1, has: ['Scan'] },
  ],
  [
    'GRU from a state',
    () => {
      const gru = filledModel(new nn.GRU(4, 5))
      return (x: Tensor, h: Tensor) => gru.forward(x, h)
    },
    [
      [6, 2, 4],
      [1, 2, 5],
    ],
    { batchDim: 1, has: ['GRU'] },
  ],
  [
    'LSTM with lengths',
    () => {
      const lstm = filledModel(new nn.LSTM(4, 5, { bidirectional: true }))
      return (x: Tensor) => lstm.forward(x, undefined, { lengths: [6, 3] })
    },
    [[6, 2, 4]],
    { batchDim: 1, dynamic: false, has: ['Scan'] },
  ],
  ['LSTMCell', () => new nn.LSTMCell(4, 5), [[2, 4]]],
  ['GRUCell', () => new nn.GRUCell(4, 5), [[2, 4]]],
]

const attention: readonly Case[] = [
  [
    'MultiheadAttention',
    () => new nn.MultiheadAttention(8, 2, { batchFirst: true }),
    [[2, 5, 8]],
    { has: ['Softmax', 'MatMul'] },
  ],
  [
    'MultiheadAttention, three inputs',
    () => new nn.MultiheadAttention(8, 2, { kdim: 6, vdim: 4 }),
    [
      [5, 2, 8],
      [7, 2, 6],
      [7, 2, 4],
    ],
    { batchDim: 1 },
  ],
  [
    'TransformerEncoderLayer',
    () =>
      new nn.TransformerEncoderLayer(8, 2, {
        dimFeedforward: 16,
        normFirst: true,
        batchFirst: true,
      }),
    [[2, 5, 8]],
  ],
  [
    'Transformer',
    () =>
      new nn.Transformer({
        dModel: 8,
        nhead: 2,
        numEncoderLayers: 1,
        numDecoderLayers: 1,
        dimFeedforward: 16,
      }),
    [
      [5, 2, 8],
      [4, 2, 8],
    ],
    { batchDim: 1 },
  ],
  [
    'causal attention',
    () => (x: Tensor) => nn.scaledDotProductAttention(x, x, x, { isCausal: true }),
    [[2, 3, 5, 4]],
    { has: ['Softmax'] },
  ],
]

const resize: readonly Case[] = [
  [
    'Upsample, nearest',
    () => new nn.Upsample({ scaleFactor: [2, 3] }),
    [[2, 3, 4, 5]],
    { has: ['Resize'] },
  ],
  ['Upsample, nearest to a size', () => new nn.Upsample({ size: [7, 6] }), [[2, 3, 4, 5]]],
  [
    'Upsample, bilinear',
    () => new nn.Upsample({ scaleFactor: 2, mode: 'bilinear' }),
    [[2, 3, 4, 5]],
  ],
  [
    'Upsample, bilinear, corners',
    () => new nn.Upsample({ size: [7, 9], mode: 'bilinear', alignCorners: true }),
    [[2, 3, 4, 5]],
  ],
  [
    'Upsample, bicubic',
    () => new nn.Upsample({ scaleFactor: 1.5, mode: 'bicubic' }),
    [[2, 3, 4, 6]],
  ],
  ['PixelShuffle', () => new nn.PixelShuffle(2), [[2, 8, 3, 4]]],
  ['PixelUnshuffle', () => new nn.PixelUnshuffle(2), [[2, 2, 4, 6]]],
  ['ChannelShuffle', () => new nn.ChannelShuffle(3), [[2, 6, 3, 4]]],
  ['Unfold', () => new nn.Unfold([2, 3], { stride: 2, padding: 1 }), [[2, 3, 6, 7]]],
  ['Fold', () => new nn.Fold([6, 7], [2, 3], { padding: 1 }), [[2, 12, 49]]],
  ['ReflectionPad2d', () => new nn.ReflectionPad2d([1, 2, 0, 3]), [[2, 3, 5, 6]]],
  ['ReplicationPad1d', () => new nn.ReplicationPad1d(2), [[2, 3, 5]]],
  ['CircularPad2d', () => new nn.CircularPad2d(1), [[2, 3, 5, 6]]],
  [
    'ConstantPad2d',
    () => new nn.ConstantPad2d([1, 0, 2, 1], 3.5),
    [[2, 3, 5, 6]],
    { has: ['Pad'] },
  ],
]

const linear: readonly Case[] = [
  ['Linear of vectors', () => new nn.Linear(5, 3), [[2, 4, 5]], { has: ['Gemm'] }],
  ['Linear, no bias', () => new nn.Linear(5, 3, { bias: false }), [[2, 5]], { has: ['Gemm'] }],
  [
    'Bilinear',
    () => new nn.Bilinear(4, 5, 3),
    [
      [2, 4],
      [2, 5],
    ],
  ],
  [
    'CosineSimilarity',
    () => new nn.CosineSimilarity(),
    [
      [2, 5],
      [2, 5],
    ],
  ],
  [
    'Sequential',
    () =>
      new nn.Sequential(
        new nn.Linear(5, 4),
        new nn.Dropout(0.5),
        new nn.ReLU(),
        new nn.Linear(4, 2),
      ),
    [[2, 5]],
  ],
]

const groups: { readonly [name: string]: readonly Case[] } = {
  conv,
  pool,
  norm,
  activations,
  recurrent,
  attention,
  resize,
  linear,
}

describe.skipIf(ort === undefined).each(Object.entries(groups))(
  '%s exported to ONNX',
  (_, cases) => {
    it.each(cases.map((one) => ({ title: one[0], one })))('$title', async ({ one }) => {
      if (!ort) return
      const [, make, shapes, options = {}] = one
      const model = make()
      if (model instanceof nn.Module) filledModel(model)
      const given = batches(shapes, options)
      const { graph } = await compareExport(ort, model, given, {
        ...options,
        // loadOnnx refuses loops.
        back: !options.has?.includes('Scan'),
      })
      const found = operators(graph)
      for (const op of options.has ?? []) expect(Object.keys(found)).toContain(op)
    })
  },
)
