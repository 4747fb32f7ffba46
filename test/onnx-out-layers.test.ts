// Layers and functions with odd options, exported to ONNX, against ONNX Runtime.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Shape } from '../src/base/shape.js'
import { affine, type Contract, makeContract, plain } from '../src/graph/contract.js'
import { contract } from '../src/graph/node.js'
import { type ExampleInput, type Exportable, exportOnnx } from '../src/io/onnx/export.js'
import { decodeModel } from '../src/io/onnx/wire.js'
import * as nn from '../src/nn/index.js'
import { arange, tensor } from '../src/tensor/create.js'
import { einsum } from '../src/tensor/products.js'
import { rand } from '../src/tensor/random.js'
import { scan } from '../src/tensor/scan.js'
import { concat, fromNode, stack, type Tensor, where } from '../src/tensor/tensor.js'
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

const first = (model: () => nn.Module<unknown>) => model
const recurrent: readonly Case[] = [
  [
    'RNN',
    first(() => new nn.RNN(4, 5, { nonlinearity: 'relu' })),
    [[6, 2, 4]],
    { batchDim: 1, has: ['RNN'] },
  ],
  [
    'RNN, both ways',
    first(() => new nn.RNN(4, 5, { bidirectional: true, bias: false })),
    [[6, 2, 4]],
    { batchDim: 1, has: ['RNN'] },
  ],
  [
    'GRU',
    first(() => new nn.GRU(4, 5, { numLayers: 2, batchFirst: true, bidirectional: true })),
    [[2, 6, 4]],
    { has: ['GRU'] },
  ],
  [
    'GRU, no bias',
    first(() => new nn.GRU(4, 5, { bias: false })),
    [[6, 2, 4]],
    { batchDim: 1, has: ['GRU'] },
  ],
  [
    'LSTM, projected',
    first(() => new nn.LSTM(4, 6, { projSize: 3, bidirectional: true })),
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
  ['LSTMCell', first(() => new nn.LSTMCell(4, 5)), [[2, 4]]],
  ['GRUCell', first(() => new nn.GRUCell(4, 5)), [[2, 4]]],
]

const attention: readonly Case[] = [
  [
    'MultiheadAttention',
    first(() => new nn.MultiheadAttention(8, 2, { batchFirst: true })),
    [[2, 5, 8]],
    { has: ['Softmax', 'MatMul'] },
  ],
  [
    'MultiheadAttention, three inputs',
    first(() => new nn.MultiheadAttention(8, 2, { kdim: 6, vdim: 4 })),
    [
      [5, 2, 8],
      [7, 2, 6],
      [7, 2, 4],
    ],
    { batchDim: 1 },
  ],
  [
    'TransformerEncoderLayer',
    first(
      () =>
        new nn.TransformerEncoderLayer(8, 2, {
          dimFeedforward: 16,
          normFirst: true,
          batchFirst: true,
        }),
    ),
    [[2, 5, 8]],
  ],
  [
    'Transformer',
    first(
      () =>
        new nn.Transformer({
          dModel: 8,
          nhead: 2,
          numEncoderLayers: 1,
          numDecoderLayers: 1,
          dimFeedforward: 16,
        }),
    ),
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
    first(() => new nn.Upsample({ scaleFactor: [2, 3] })),
    [[2, 3, 4, 5]],
    { has: ['Resize'] },
  ],
  ['Upsample, nearest to a size', first(() => new nn.Upsample({ size: [7, 6] })), [[2, 3, 4, 5]]],
  [
    'Upsample, bilinear',
    first(() => new nn.Upsample({ scaleFactor: 2, mode: 'bilinear' })),
    [[2, 3, 4, 5]],
  ],
  [
    'Upsample, bilinear, corners',
    first(() => new nn.Upsample({ size: [7, 9], mode: 'bilinear', alignCorners: true })),
    [[2, 3, 4, 5]],
  ],
  [
    'Upsample, bicubic',
    first(() => new nn.Upsample({ scaleFactor: 1.5, mode: 'bicubic' })),
    [[2, 3, 4, 6]],
  ],
  ['PixelShuffle', first(() => new nn.PixelShuffle(2)), [[2, 8, 3, 4]]],
  ['PixelUnshuffle', first(() => new nn.PixelUnshuffle(2)), [[2, 2, 4, 6]]],
  ['ChannelShuffle', first(() => new nn.ChannelShuffle(3)), [[2, 6, 3, 4]]],
  ['Unfold', first(() => new nn.Unfold([2, 3], { stride: 2, padding: 1 })), [[2, 3, 6, 7]]],
  ['Fold', first(() => new nn.Fold([6, 7], [2, 3], { padding: 1 })), [[2, 12, 49]]],
  ['ReflectionPad2d', first(() => new nn.ReflectionPad2d([1, 2, 0, 3])), [[2, 3, 5, 6]]],
  ['ReplicationPad1d', first(() => new nn.ReplicationPad1d(2)), [[2, 3, 5]]],
  ['CircularPad2d', first(() => new nn.CircularPad2d(1)), [[2, 3, 5, 6]]],
  [
    'ConstantPad2d',
    first(() => new nn.ConstantPad2d([1, 0, 2, 1], 3.5)),
    [[2, 3, 5, 6]],
    { has: ['Pad'] },
  ],
]

const linear: readonly Case[] = [
  ['Linear of vectors', first(() => new nn.Linear(5, 3)), [[2, 4, 5]], { has: ['Gemm'] }],
  [
    'Linear, no bias',
    first(() => new nn.Linear(5, 3, { bias: false })),
    [[2, 5]],
    { has: ['Gemm'] },
  ],
  [
    'Bilinear',
    first(() => new nn.Bilinear(4, 5, 3)),
    [
      [2, 4],
      [2, 5],
    ],
  ],
  [
    'CosineSimilarity',
    first(() => new nn.CosineSimilarity()),
    [
      [2, 5],
      [2, 5],
    ],
  ],
  [
    'Sequential',
    first(
      () =>
        new nn.Sequential(
          new nn.Linear(5, 4),
          new nn.Dropout(0.5),
          new nn.ReLU(),
          new nn.Linear(4, 2),
        ),
    ),
    [[2, 5]],
  ],
]

const functions: {
  readonly [name: string]: readonly [(x: Tensor, y: Tensor) => unknown, Options?]
} = {
  arithmetic: [(x, y) => x.add(y).mul(x.sub(2)).div(y.abs().add(1)).pow(2).neg()],
  remainders: [(x, y) => [x.remainder(0.3), x.fmod(y.abs().add(0.5)), x.floorDivide(0.25)]],
  integers: [
    (x) => {
      const i = x.mul(20).int()
      return [
        i.floorDivide(3),
        i.remainder(5),
        i.remainder(-5),
        i.mul(i),
        i.abs(),
        i.neg(),
        i.sign(),
        i.float().div(3),
        i.clamp(-3, 4),
      ]
    },
  ],
  bytes: [
    (x) => {
      const b = x.abs().mul(200).to('uint8')
      return [b.add(b), b.maximum(100), b.eq(7), b.lt(50), b.float()]
    },
  ],
  bools: [
    (x, y) => {
      const [a, b] = [x.gt(0), y.gt(0)]
      return [
        a.logicalAnd(b),
        a.logicalOr(b),
        a.logicalXor(b),
        a.logicalNot(),
        a.any(1),
        a.all(1),
        a.sum(1),
        where(a, b, a),
        a.int(),
      ]
    },
  ],
  comparisons: [(x, y) => [x.lt(y), x.le(y), x.eq(y), x.ne(y), x.ge(0), x.isFinite(), x.isNaN()]],
  rounding: [
    (x) => [x.mul(7).floor(), x.mul(7).ceil(), x.mul(7).round(), x.mul(7).trunc(), x.mul(7).frac()],
  ],
  elementary: [
    (x) => [
      x.exp(),
      x.abs().add(0.1).log(),
      x.abs().sqrt(),
      x.abs().add(0.1).rsqrt(),
      x.sin(),
      x.cos(),
      x.tanh(),
      x.erf(),
      x.sign(),
    ],
  ],
  angles: [
    (x) => [
      x.tan(),
      x.asin(),
      x.acos(),
      x.atan(),
      x.sinh(),
      x.cosh(),
      x.asinh(),
      x.add(2.5).acosh(),
      x.mul(0.9).atanh(),
      x.erfc(),
    ],
  ],
  reductions: [
    (x) => [
      x.sum(1),
      x.mean([1, 2]),
      x.amax(2, { keepdim: true }),
      x.amin(1),
      x.prod(2),
      x.var(1),
      x.std([1, 2]),
      x.logsumexp(1),
      x.norm(2, 1),
    ],
  ],
  places: [(x) => [x.argmax(1), x.argmin(2), x.argmax(2, { keepdim: true })]],
  views: [
    (x) => [
      x.transpose(1, 2),
      x.reshape(-1, 20),
      x.flatten(1),
      x.unsqueeze(1).expand(-1, 3, -1, -1),
      x.slice(1, 4, { dim: 2 }),
      x.flip(1),
      x.slice(0, 5, { dim: 2, step: 2 }),
    ],
  ],
  repeats: [(x) => [x.repeat(1, 2, 3), x.repeatInterleave(2, 1), x.roll(1, 2), x.permute(2, 0, 1)]],
  joined: [(x, y) => [concat([x, y, x], 1), concat([x, y], 2), stack([x, y], 1)]],
  triangles: [(x) => [x.tril(), x.triu(1), x.diagonal(0, 1, 2)]],
  gathers: [
    (x) => {
      const at = tensor([3, 0, 2], { dtype: 'int32' })
      return [x.indexSelect(1, at), x.index(null, '...', at)]
    },
  ],
  ranking: [
    (x) => [
      x.sort(2).values,
      x.argsort(1, { descending: true }),
      x.topk(2, 2).values,
      x.topk(2, 1).indices,
    ],
  ],
  cumulative: [(x) => [x.cumsum(1), x.cumprod(2), x.cummax(1).values]],
  products: [
    (x, y) => [
      x.matmul(y.transpose(1, 2)),
      x.matmul(tensor(Float32Array.of(1, 2, 3, 4, 5))),
      einsum('bij,bkj->bik', x, y),
      einsum('bij,bij->ij', x, y),
      einsum('bij,bij->b', x, y),
    ],
    { dynamic: false },
  ],
  picks: [(x) => x.gather(2, x.argsort(2))],
  positions: [(x) => x.add(arange(x.shape[0]).reshape(-1, 1, 1))],
  masks: [(x) => x.maskedFill(x.gt(0.2), -9)],
}

const groups: { readonly [name: string]: readonly Case[] } = {
  conv,
  pool,
  norm,
  activations,
  recurrent,
  attention,
  resize,
  linear,
  functions: Object.entries(functions).map(
    ([name, [fn, options]]): Case => [
      name,
      () => fn,
      [
        [2, 4, 5],
        [2, 4, 5],
      ],
      options ?? {},
    ],
  ),
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

describe.skipIf(ort === undefined)('exportOnnx', () => {
  const compare = async (model: Exportable, given: ExampleInput[][], options: Options = {}) => {
    if (!ort) throw new Error('onnxruntime is absent')
    return compareExport(ort, model, given, options)
  }

  it('a loop that is no layer is a Scan, with its history, both ways', async () => {
    const running = (x: Tensor) => {
      const step = (sum: Tensor, row: Tensor) => {
        const next = sum.mul(0.5).add(row)
        return [next, next.mul(sum)] as const
      }
      const [last, all] = scan(step, x.index(0).mul(0), x)
      const [back, others] = scan(step, x.index(0), x, { reverse: true })
      return [last, all, back, others]
    }
    const { graph } = await compare(running, [[values('x', [6, 2, 3])], [values('x', [6, 5, 3])]], {
      batchDim: 1,
    })
    expect(operators(graph).Scan).toBe(2)
  })

  it('a batch of anything else is fixed, with the reason', async () => {
    if (!ort) return
    const { fixed } = await compareExport(
      ort,
      (x: Tensor) => x.mul(x.shape[0] + 1),
      [[values('x', [2, 3])]],
      { dynamic: false },
    )
    expect(fixed).toBeUndefined()
    const reasons: string[] = []
    await exportOnnx((x: Tensor) => x.reshape(2, 3), values('x', [2, 3]), {
      onFixedBatch: (text) => reasons.push(text),
    })
    await exportOnnx((x: Tensor) => x.mul(tensor([[1], [2]])), values('x', [2, 3]), {
      onFixedBatch: (text) => reasons.push(text),
    })
    expect(reasons.length).toBe(2)
    await expect(
      exportOnnx((x: Tensor) => x.reshape(2, 3), values('x', [2, 3]), { dynamicBatch: true }),
    ).rejects.toThrow(/the batch cannot vary/)
  })

  it('refuses random numbers and state', async () => {
    await expect(
      exportOnnx((x: Tensor) => x.add(rand(x.shape)), values('x', [2, 3])),
    ).rejects.toThrow(/random numbers/)
    const norm = new nn.BatchNorm1d(3)
    const sets = (x: Tensor) =>
      nn.batchNorm(x, norm.runningMean, norm.runningVar, { training: true })
    await expect(exportOnnx(sets, values('x', [2, 3]))).rejects.toThrow(
      /an ONNX graph has no state/,
    )
  })

  it('leaves the model as it was', async () => {
    const model = new nn.Sequential(new nn.Linear(3, 4), new nn.Dropout())
    await exportOnnx(model, values('x', [2, 3]))
    expect(model.modules().every((module) => module.training)).toBe(true)
  })

  it('names inputs, outputs, parameters and nodes', async () => {
    const model = new nn.Sequential(new nn.Linear(3, 4), new nn.ReLU(), new nn.Linear(4, 2))
    const bytes = await exportOnnx(model, values('x', [2, 3]), {
      inputNames: ['rows'],
      outputNames: ['logits'],
      name: 'net',
      metadata: { classes: 'a,b' },
    })
    const { graph, metadataProps, producerName, opsetImport } = decodeModel(bytes, 'test')
    expect(graph?.name).toBe('net')
    expect(producerName).toBe('burnish')
    expect(opsetImport?.[0].version).toBe(17)
    expect(metadataProps?.[0]).toMatchObject({ key: 'classes', value: 'a,b' })
    expect(
      graph?.node?.map(
        ({ name, opType, input, output }) => `${name}: ${opType}(${input}) -> ${output}`,
      ),
    ).toMatchInlineSnapshot(`
      [
        "0: Gemm(rows,0.weight,0.bias) -> 0_output",
        "1: Relu(0_output) -> 1_output",
        "2: Gemm(1_output,2.weight,2.bias) -> logits",
      ]
    `)
    expect(graph?.input?.map((port) => JSON.stringify(port))).toMatchInlineSnapshot(`
      [
        "{"name":"rows","type":{"tensorType":{"elemType":1,"shape":{"dim":[{"dimParam":"batch"},{"dimValue":3}]}}}}",
      ]
    `)
    expect(graph?.output?.map((port) => JSON.stringify(port))).toMatchInlineSnapshot(`
      [
        "{"name":"logits","type":{"tensorType":{"elemType":1,"shape":{"dim":[{"dimParam":"batch"},{"dimValue":2}]}}}}",
      ]
    `)
  })

  it('half parameters are stored as halves', async () => {
    if (!ort) return
    for (const dtype of ['float16', 'bfloat16'] as const) {
      const w = tensor(new Float32Array([1, 2, 3, 0.1, 0.2, 0.3]), { shape: [2, 3] }).to(dtype)
      const { graph } = await compare(
        (x: Tensor) => nn.linear(x, w.float()),
        [[values('x', [2, 3])]],
      )
      expect(graph.node?.length).toBeGreaterThan(0)
    }
  })

  it('contractions that ONNX has no operator for are gathered, then summed', async () => {
    const over =
      (spec: Contract) =>
      (x: Tensor, y: Tensor): Tensor =>
        fromNode(contract(spec, x.node, y.node))
    const specs: readonly [Contract, Shape, Shape][] = [
      // Correlation along one axis, with a reversed and a strided index.
      [
        makeContract({
          extents: [3, 4, 5],
          rank: 2,
          a: [
            plain(0),
            affine(
              [
                [1, 2],
                [2, -1],
              ],
              3,
            ),
          ],
          b: [
            plain(2),
            affine(
              [
                [1, 1],
                [2, 1],
              ],
              -2,
            ),
          ],
        }),
        [3, 7],
        [5, 6],
      ],
      // A divided index, and a diagonal.
      [
        makeContract({
          extents: [4, 3],
          rank: 1,
          a: [
            affine(
              [
                [0, 1],
                [1, 1],
              ],
              0,
              2,
            ),
          ],
          b: [plain(1), plain(1)],
        }),
        [4],
        [3, 3],
      ],
      // An axis that no operand has, and a fixed position.
      [
        makeContract({ extents: [2, 3, 5], rank: 2, a: [plain(0)], b: [affine([], 1), plain(1)] }),
        [2],
        [3, 3],
      ],
    ]
    for (const [spec, a, b] of specs) {
      const { graph } = await compare(over(spec), [[values('a', a), values('b', b)]], {
        dynamic: false,
      })
      expect(operators(graph).Einsum).toBe(1)
    }
  })

  it('names the layer whose operators ONNX lacks', async () => {
    class Net extends nn.Module {
      hash = new Hash()
      forward(x: Tensor): Tensor {
        return this.hash.forward(x)
      }
    }
    class Hash extends nn.Module {
      forward(x: Tensor): Tensor {
        return x.int().bitwiseXor(5)
      }
    }
    const model = new Net()
    await expect(exportOnnx(model, values('x', [2, 3]))).rejects.toThrow(
      /hash: .*no operator for bitXor/,
    )
  })

  it('writes the version of the package', async () => {
    const bytes = await exportOnnx((x: Tensor) => x.exp(), values('x', [2, 3]))
    const { version } = JSON.parse(
      readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
    )
    expect(decodeModel(bytes, 'test').producerVersion).toBe(version)
  })

  it('tied parameters are stored once, and weights as they are', async () => {
    const model = new nn.Sequential(new nn.Linear(3, 3), new nn.Linear(3, 3))
    Object.assign(model.getSubmodule('1'), { weight: model.getSubmodule('0').stateDict().weight })
    const bytes = await exportOnnx(model, values('x', [2, 3]))
    const stored = decodeModel(bytes, 'test').graph?.initializer ?? []
    expect(stored.map(({ name }) => name)).toEqual(['0.weight', '0.bias', '1.bias'])
    const { data = [] } = { data: await model.stateDict()['0.weight'].data() }
    expect(new Float32Array(stored[0].rawData?.slice().buffer ?? new ArrayBuffer(0))).toEqual(data)
  })
})
