// Derivatives of the functions of `nn` in float64, to second order: gradients against central differences of values,
// and Hessians times a direction against central differences of gradients. PyTorch's cases of convolutions, pools,
// norms and activations, and cases of what they do not have.
import { describe, expect, it } from 'vitest'
import { gradients } from '../src/autograd/grad.js'
import { evaluate } from '../src/graph/interpret.js'
import { constant, type InputNode, type Node } from '../src/graph/node.js'
import * as F from '../src/nn/functional.js'
import { total } from '../src/nn/nodes/loss.js'
import { add, mul } from '../src/nn/nodes/math.js'
import { tensor } from '../src/tensor/create.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { hostValue, inputOf, inputsOf, outputsOf } from './golden-operations.js'
import { golden, uniform } from './support.js'

const STEP = 1e-5
const TOLERANCE = 1e-6

/**
 * Compares the derivatives of Σ f·r for the tensors `of`, which are leaves with host data. With `slopes` the
 * gradients themselves too (PyTorch's cases have them checked already).
 */
function compare(f: Tensor, of: readonly Tensor[], { slopes }: { readonly slopes: boolean }): void {
  const r = tensor(uniform('second/r', f.shape), { shape: f.shape })
  const scalar = total(mul(f.node, r.node))
  const leaves = of.map((t) => t.node)
  /** Where nothing depends on a leaf, as gradients of kinked functions do not, its gradient is 0. */
  const gradientsOf = (root: Node) =>
    gradients(root, leaves).map((g, i) => g ?? constant(0, 'float32', leaves[i].shape))
  const first = gradientsOf(scalar)
  const directions = of.map((t, i) => tensor(uniform(`second/v${i}`, t.shape), { shape: t.shape }))
  const slope = first.map((g, i) => total(mul(g, directions[i].node))).reduce((a, b) => add(a, b))
  const hessian = gradientsOf(slope)

  const start = leaves.map((leaf) => Float64Array.from(hostValue(leaf as InputNode)))
  /** Values of nodes with the leaves moved along the directions. */
  const at = (nodes: readonly Node[], by: number) => {
    const bound = new Map<Node, Float64Array>(
      leaves.map((leaf, i) => {
        const v = hostValue(directions[i].node as InputNode)
        return [leaf, start[i].map((x, k) => x + by * v[k])]
      }),
    )
    return evaluate(nodes, (node) => bound.get(node) ?? Float64Array.from(hostValue(node)))
  }
  const close = (name: string, exact: number, numeric: number, scale: number) => {
    const gap = Math.abs(exact - numeric) / Math.max(1, scale)
    if (!(gap < TOLERANCE)) expect.fail(`${name}: ${exact}, by differences ${numeric}`)
  }
  if (slopes) {
    const [[exact], [high], [low]] = [
      at([slope], 0)[0],
      at([scalar], STEP)[0],
      at([scalar], -STEP)[0],
    ]
    close('gradient along v', exact, (high - low) / (2 * STEP), Math.abs(exact))
  }
  const [high, low] = [at(first, STEP), at(first, -STEP)]
  at(hessian, 0).forEach((exact, i) => {
    const scale = exact.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
    exact.forEach((x, k) => {
      close(`Hessian·v, input ${i}[${k}]`, x, (high[i][k] - low[i][k]) / (2 * STEP), scale)
    })
  })
}

const goldenCases = ['conv', 'pool', 'activation', 'norm'].flatMap((group) =>
  golden(group).map((c) => [group, c.name, c] as const),
)

describe.skipIf(goldenCases.length === 0)('second derivatives of golden', () => {
  it.each(goldenCases)('%s: %s', (_group, _name, c) => {
    const inputs = inputsOf(c)
    const of = [...c.grads.keys()].map((name) => inputOf(inputs, name))
    compare(outputsOf(c, inputs)[0], of, { slopes: false })
  })
})

/** Made values away from 0, where activations have their kinks. */
const made = (name: string, ...shape: number[]) =>
  tensor(
    uniform(`second/${name}`, shape).map((x) => x + 0.05 * Math.sign(x)),
    { shape },
  )
const positive = (name: string, ...shape: number[]) =>
  tensor(
    uniform(`second/${name}`, shape).map((x) => Math.abs(x) + 0.1),
    { shape },
  )
const labels = (...values: number[]) => tensor(Int32Array.from(values))
const signs = (...values: number[]) => tensor(Float32Array.from(values))
const x4 = made('x', 2, 3, 6, 5)
const x3 = made('y', 2, 4, 7)
const rows = made('rows', 4, 5)
const other = made('other', 4, 5)

type Case = readonly [string, () => Tensor, readonly Tensor[]]
const w3 = made('w3', 2, 4, 3)
const w5 = made('w5', 2, 2, 2, 2, 3)
const x5 = made('x5', 1, 2, 4, 4, 5)
const scale = made('scale', 3)
const b4 = made('b4', 2, 3, 6, 5)
const bilinearWeight = made('bw', 3, 5, 5)
const attention = ['q', 'k', 'v'].map((name) => made(name, 2, 3, 4, 5))
const variance = positive('variance', 4, 5)
const target01 = tensor(
  uniform('second/t', [4, 5]).map((x) => (x + 1) / 2),
  { shape: [4, 5] },
)

const further: readonly Case[] = [
  ...(['reflect', 'replicate', 'circular'] as const).map(
    (paddingMode): Case => [
      `conv1d, padding ${paddingMode}`,
      () => F.conv1d(x3, w3, undefined, { padding: 2, stride: 2, paddingMode }),
      [x3, w3],
    ],
  ),
  ['conv3d', () => F.conv3d(x5, w5, undefined, { stride: [1, 2, 1], padding: 1 }), [x5, w5]],
  [
    'convTranspose3d',
    () =>
      F.convTranspose3d(x5, w5, undefined, { stride: 2, outputPadding: 1, dilation: [1, 2, 1] }),
    [x5, w5],
  ],
  ['maxPool3d', () => F.maxPool3d(x5, [2, 3, 2], { stride: 1, padding: [0, 1, 1] }).square(), [x5]],
  ['avgPool3d', () => F.avgPool3d(x5, 2, { ceilMode: true }).square(), [x5]],
  ['adaptiveAvgPool3d', () => F.adaptiveAvgPool3d(x5, [3, 2, 4]).square(), [x5]],
  ['adaptiveMaxPool1d', () => F.adaptiveMaxPool1d(x3, 3).square(), [x3]],
  ['lpPool2d', () => F.lpPool2d(x4.square(), 1.5, 2), [x4]],
  [
    'maxUnpool2d',
    () => {
      const { values, indices } = F.maxPool2dWithIndices(x4, 2)
      return F.maxUnpool2d(values.square(), indices, 2, { outputSize: [6, 5] })
    },
    [x4],
  ],
  ['unfold', () => F.unfold(x4, [3, 2], { stride: [2, 1], padding: 1 }).square(), [x4]],
  ...(
    [
      ['nearest', { size: 9 }],
      ['nearest', { size: 3 }],
      ['nearest-exact', { size: 5 }],
      ['linear', { size: 10 }],
      ['linear', { size: 4, alignCorners: true }],
      ['area', { size: 3 }],
    ] as const
  ).map(
    ([mode, options]): Case => [
      `interpolate ${mode} to ${options.size}`,
      () => F.interpolate(x3, { mode, ...options }).square(),
      [x3],
    ],
  ),
  [
    'interpolate bilinear',
    () => F.interpolate(x4, { scaleFactor: 1.5, mode: 'bilinear' }).square(),
    [x4],
  ],
  [
    'interpolate bicubic',
    () => F.interpolate(x4, { size: [4, 9], mode: 'bicubic' }).square(),
    [x4],
  ],
  [
    'interpolate trilinear',
    () => F.interpolate(x5, { size: [3, 6, 5], mode: 'trilinear' }).square(),
    [x5],
  ],
  ['celu', () => F.celu(rows, { alpha: 0.7 }), [rows]],
  ['glu', () => F.glu(x3, 1), [x3]],
  ['softshrink', () => F.softshrink(rows, { lambd: 0.3 }).square(), [rows]],
  ['hardshrink', () => F.hardshrink(rows, { lambd: 0.3 }).square(), [rows]],
  ['tanhshrink', () => F.tanhshrink(rows), [rows]],
  ['hardtanh', () => F.hardtanh(rows, { minVal: -0.4, maxVal: 0.6 }).square(), [rows]],
  ['threshold', () => F.threshold(rows, 0.2, 3).square(), [rows]],
  ['softmin', () => F.softmin(rows, 1), [rows]],
  ['rmsNorm', () => F.rmsNorm(x4, 5, { weight: made('rms', 5), eps: 1e-3 }), [x4]],
  [
    'instanceNorm with weight and bias',
    () => F.instanceNorm(x4, { weight: scale, bias: made('bias', 3), eps: 1e-3 }),
    [x4, scale],
  ],
  ['normalize', () => F.normalize(rows), [rows]],
  ['bilinear', () => F.bilinear(rows, other, bilinearWeight), [rows, other, bilinearWeight]],
  ['pairwiseDistance', () => F.pairwiseDistance(rows, other, { p: 3 }), [rows, other]],
  ['cosineSimilarity', () => F.cosineSimilarity(x4, b4), [x4, b4]],
  [
    'attention, causal',
    () => F.scaledDotProductAttention(attention[0], attention[1], attention[2], { isCausal: true }),
    attention,
  ],
  ['crossEntropy', () => F.crossEntropy(rows, labels(1, 0, 4, 2), { labelSmoothing: 0.1 }), [rows]],
  ['mseLoss', () => F.mseLoss(rows, other), [rows, other]],
  ['smoothL1Loss', () => F.smoothL1Loss(rows, other, { beta: 0.5 }), [rows, other]],
  ['huberLoss', () => F.huberLoss(rows, other, { delta: 0.5 }), [rows, other]],
  [
    'binaryCrossEntropy',
    () => F.binaryCrossEntropy(F.sigmoid(rows), target01, { weight: positive('bce', 5) }),
    [rows, target01],
  ],
  [
    'binaryCrossEntropyWithLogits',
    () => F.binaryCrossEntropyWithLogits(rows, target01, { posWeight: positive('pos', 5) }),
    [rows, target01],
  ],
  ['klDiv', () => F.klDiv(F.logSoftmax(rows, 1), F.softmax(other, 1)), [rows, other]],
  [
    'klDiv, target in logarithms',
    () => F.klDiv(rows, F.logSoftmax(other, 1), { logTarget: true, reduction: 'sum' }),
    [rows, other],
  ],
  [
    'cosineEmbeddingLoss',
    () => F.cosineEmbeddingLoss(rows, other, signs(1, -1, 1, -1)),
    [rows, other],
  ],
  [
    'marginRankingLoss',
    () => F.marginRankingLoss(rows, other, signs(1), { margin: 0.3 }).square(),
    [rows, other],
  ],
  [
    'tripletMarginLoss',
    () => F.tripletMarginLoss(rows, other, made('negative', 4, 5), { swap: true }),
    [rows, other],
  ],
  [
    'poissonNllLoss',
    () => F.poissonNllLoss(rows, positive('counts', 4, 5).mul(4), { full: true }),
    [rows],
  ],
  ['gaussianNllLoss', () => F.gaussianNllLoss(rows, other, variance), [rows, other, variance]],
  ['softMarginLoss', () => F.softMarginLoss(rows, other.sign()), [rows]],
  ['multiLabelSoftMarginLoss', () => F.multiLabelSoftMarginLoss(rows, target01), [rows]],
  ['multiMarginLoss', () => F.multiMarginLoss(rows, labels(1, 0, 4, 2), { p: 2 }), [rows]],
]

describe('first and second derivatives', () => {
  it.each(further)('%s', (_, build, of) => {
    compare(build(), of, { slopes: true })
  })

  it('of fold and pixelShuffle, which are linear', () => {
    const columns = made('cols', 1, 8, 12)
    compare(F.fold(columns, [4, 5], 2, { padding: 0 }).square(), [columns], { slopes: true })
    const channels = made('ps', 1, 8, 2, 3)
    compare(F.pixelShuffle(channels, 2).square(), [channels], { slopes: true })
  })
})
