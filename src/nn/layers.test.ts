// Every layer once against its function, with the layer's own parameters; what only layers do (modes, statistics,
// sizes they announce); and that no layer is missing here.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ones, tensor, zeros } from '../tensor/create.js'
import { closeDevices, setDevice } from '../tensor/devices.js'
import { Parameter } from '../tensor/parameter.js'
import { manualSeed, randn } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import * as nn from './index.js'

beforeAll(async () => {
  await setDevice('cpu', { threads: 1 })
})
afterAll(closeDevices)

/** Evaluated once, so that both sides read the same values. */
const inputs = new Map<string, Tensor>()
function given(...shape: number[]): Tensor {
  const key = shape.join()
  let found = inputs.get(key)
  if (found === undefined) {
    const size = shape.reduce((product, n) => product * n, 1)
    found = tensor(
      Float32Array.from({ length: size }, (_, i) => Math.sin(7.3 * i + shape.length)),
      { shape },
    )
    inputs.set(key, found)
  }
  return found
}
const x2 = given(4, 6)
const x3 = given(2, 4, 7)
const x4 = given(2, 4, 6, 6)
const x5 = given(1, 4, 4, 5, 4)
const probabilities = nn.sigmoid(given(4, 6))
const targets = nn.sigmoid(given(4, 6).neg())
const signs = given(4, 6).sign()
const labels = tensor(Int32Array.of(1, 0, 5, 2))
const weight = tensor([1, 2, 0.5, 1, 3, 1])

/** A layer, its inputs, and the same by the function. */
function pair<L extends nn.Module>(
  layer: L,
  xs: readonly Tensor[],
  run: (layer: L) => Tensor,
): readonly [string, nn.Module, readonly Tensor[], () => Tensor] {
  return [layer.constructor.name, layer, xs, () => run(layer)]
}

const conv = { stride: 2, padding: 1, groups: 2 } as const
const cases = [
  // activations
  pair(new nn.ReLU(), [x2], () => nn.relu(x2)),
  pair(new nn.ReLU6(), [x2], () => nn.relu6(x2)),
  pair(new nn.Sigmoid(), [x2], () => nn.sigmoid(x2)),
  pair(new nn.SiLU(), [x2], () => nn.silu(x2)),
  pair(new nn.Mish(), [x2], () => nn.mish(x2)),
  pair(new nn.SELU(), [x2], () => nn.selu(x2)),
  pair(new nn.Hardswish(), [x2], () => nn.hardswish(x2)),
  pair(new nn.Hardsigmoid(), [x2], () => nn.hardsigmoid(x2)),
  pair(new nn.Softsign(), [x2], () => nn.softsign(x2)),
  pair(new nn.LogSigmoid(), [x2], () => nn.logSigmoid(x2)),
  pair(new nn.Tanhshrink(), [x2], () => nn.tanhshrink(x2)),
  pair(new nn.Tanh(), [x2], () => x2.tanh()),
  pair(new nn.GELU({ approximate: 'tanh' }), [x2], () => nn.gelu(x2, { approximate: 'tanh' })),
  pair(new nn.LeakyReLU(0.2), [x2], () => nn.leakyRelu(x2, { negativeSlope: 0.2 })),
  pair(new nn.ELU(0.5), [x2], () => nn.elu(x2, { alpha: 0.5 })),
  pair(new nn.CELU({ alpha: 0.5 }), [x2], () => nn.celu(x2, { alpha: 0.5 })),
  pair(new nn.Softplus({ beta: 2 }), [x2], () => nn.softplus(x2, { beta: 2 })),
  pair(new nn.Hardtanh({ minVal: -0.5 }), [x2], () => nn.hardtanh(x2, { minVal: -0.5 })),
  pair(new nn.Hardshrink({ lambd: 0.3 }), [x2], () => nn.hardshrink(x2, { lambd: 0.3 })),
  pair(new nn.Softshrink({ lambd: 0.3 }), [x2], () => nn.softshrink(x2, { lambd: 0.3 })),
  pair(new nn.Threshold(0.1, 5), [x2], () => nn.threshold(x2, 0.1, 5)),
  pair(new nn.GLU(1), [x3], () => nn.glu(x3, 1)),
  pair(new nn.PReLU({ numParameters: 4 }), [x3], (l) => nn.prelu(x3, l.weight)),
  pair(new nn.RReLU().eval(), [x2], () => nn.rrelu(x2)),
  pair(new nn.Softmax(1), [x2], () => nn.softmax(x2, 1)),
  pair(new nn.Softmax2d(), [x4], () => nn.softmax(x4, 1)),
  pair(new nn.Softmin(1), [x2], () => nn.softmin(x2, 1)),
  pair(new nn.LogSoftmax(1), [x2], () => nn.logSoftmax(x2, 1)),
  // convolutions
  pair(new nn.Conv1d(4, 6, 3, conv), [x3], (l) => nn.conv1d(x3, l.weight, l.bias, conv)),
  pair(new nn.Conv2d(4, 6, 3, conv), [x4], (l) => nn.conv2d(x4, l.weight, l.bias, conv)),
  pair(new nn.Conv3d(4, 6, 3, conv), [x5], (l) => nn.conv3d(x5, l.weight, l.bias, conv)),
  pair(new nn.ConvTranspose1d(4, 6, 3, conv), [x3], (l) =>
    nn.convTranspose1d(x3, l.weight, l.bias, conv),
  ),
  pair(new nn.ConvTranspose2d(4, 6, 3, conv), [x4], (l) =>
    nn.convTranspose2d(x4, l.weight, l.bias, conv),
  ),
  pair(new nn.ConvTranspose3d(4, 6, 3, conv), [x5], (l) =>
    nn.convTranspose3d(x5, l.weight, l.bias, conv),
  ),
  // linear and the like
  pair(new nn.Linear(6, 3), [x2], (l) => nn.linear(x2, l.weight, l.bias)),
  pair(new nn.Bilinear(6, 6, 3), [x2, signs], (l) => nn.bilinear(x2, signs, l.weight, l.bias)),
  pair(new nn.Embedding(9, 3, { paddingIdx: 0 }), [labels], (l) => nn.embedding(labels, l.weight)),
  pair(new nn.CosineSimilarity(), [x2, signs], () => nn.cosineSimilarity(x2, signs)),
  pair(new nn.PairwiseDistance({ p: 1 }), [x2, signs], () =>
    nn.pairwiseDistance(x2, signs, { p: 1 }),
  ),
  pair(new nn.Flatten(), [x4], () => x4.reshape(2, -1)),
  pair(new nn.Unflatten(1, [2, 3]), [x2], () => x2.reshape(4, 2, 3)),
  pair(new nn.Identity(), [x2], () => x2),
  // dropout in evaluation
  ...[new nn.Dropout(), new nn.Dropout2d(), new nn.Dropout3d(), new nn.AlphaDropout()].map(
    (layer) => pair(layer.eval(), [x4], () => x4),
  ),
  pair(new nn.Dropout1d().eval(), [x3], () => x3),
  // norms
  pair(new nn.BatchNorm1d(4, { eps: 0.1 }), [x3], (l) => norm(x3, l)),
  pair(new nn.BatchNorm2d(4, { eps: 0.1 }), [x4], (l) => norm(x4, l)),
  pair(new nn.BatchNorm3d(4, { eps: 0.1 }), [x5], (l) => norm(x5, l)),
  pair(new nn.LayerNorm([6, 6]), [x4], (l) => nn.layerNorm(x4, [6, 6], l)),
  pair(new nn.RMSNorm(6, { eps: 0.1 }), [x2], (l) =>
    nn.rmsNorm(x2, 6, { weight: l.weight, eps: 0.1 }),
  ),
  pair(new nn.GroupNorm(2, 4), [x4], (l) => nn.groupNorm(x4, 2, l)),
  pair(new nn.InstanceNorm1d(4, { affine: true }), [x3], (l) => nn.instanceNorm(x3, instance(l))),
  pair(new nn.InstanceNorm2d(4), [x4], (l) => nn.instanceNorm(x4, instance(l))),
  pair(new nn.InstanceNorm3d(4), [x5], (l) => nn.instanceNorm(x5, instance(l))),
  pair(new nn.LocalResponseNorm(3, { k: 2 }), [x4], () => nn.localResponseNorm(x4, 3, { k: 2 })),
  // pools
  pair(new nn.MaxPool1d(3, { stride: 2, padding: 1 }), [x3], () =>
    nn.maxPool1d(x3, 3, { stride: 2, padding: 1 }),
  ),
  pair(new nn.MaxPool2d(2), [x4], () => nn.maxPool2d(x4, 2)),
  pair(new nn.MaxPool3d(2, { dilation: [1, 2, 1] }), [x5], () =>
    nn.maxPool3d(x5, 2, { dilation: [1, 2, 1] }),
  ),
  pair(new nn.AvgPool1d(3, { ceilMode: true }), [x3], () =>
    nn.avgPool1d(x3, 3, { ceilMode: true }),
  ),
  pair(new nn.AvgPool2d([2, 3]), [x4], () => nn.avgPool2d(x4, [2, 3])),
  pair(new nn.AvgPool3d(2), [x5], () => nn.avgPool3d(x5, 2)),
  pair(new nn.LPPool1d(2, 3), [x3.abs()], () => nn.lpPool1d(x3.abs(), 2, 3)),
  pair(new nn.LPPool2d(3, 2), [x4.abs()], () => nn.lpPool2d(x4.abs(), 3, 2)),
  pair(new nn.AdaptiveAvgPool1d(3), [x3], () => nn.adaptiveAvgPool1d(x3, 3)),
  pair(new nn.AdaptiveAvgPool2d([4, null]), [x4], () => nn.adaptiveAvgPool2d(x4, [4, 6])),
  pair(new nn.AdaptiveAvgPool3d(2), [x5], () => nn.adaptiveAvgPool3d(x5, 2)),
  pair(new nn.AdaptiveMaxPool1d(3), [x3], () => nn.adaptiveMaxPool1d(x3, 3)),
  pair(new nn.AdaptiveMaxPool2d(4), [x4], () => nn.adaptiveMaxPool2d(x4, 4)),
  pair(new nn.AdaptiveMaxPool3d(2), [x5], () => nn.adaptiveMaxPool3d(x5, 2)),
  ...unpools(),
  // resizing and padding
  pair(new nn.Upsample({ scaleFactor: 2, mode: 'bilinear' }), [x4], () =>
    nn.interpolate(x4, { scaleFactor: 2, mode: 'bilinear' }),
  ),
  pair(new nn.PixelShuffle(2), [x4], () => nn.pixelShuffle(x4, 2)),
  pair(new nn.PixelUnshuffle(2), [x4], () => nn.pixelUnshuffle(x4, 2)),
  pair(new nn.ChannelShuffle(2), [x4], () => nn.channelShuffle(x4, 2)),
  pair(new nn.Unfold(2), [x4], () => nn.unfold(x4, 2)),
  pair(new nn.Fold(3, 2), [given(1, 8, 4)], () => nn.fold(given(1, 8, 4), 3, 2)),
  ...paddings(),
  // losses
  pair(new nn.L1Loss(), [x2, signs], () => nn.l1Loss(x2, signs)),
  pair(new nn.MSELoss({ reduction: 'sum' }), [x2, signs], () =>
    nn.mseLoss(x2, signs, { reduction: 'sum' }),
  ),
  pair(new nn.SmoothL1Loss({ beta: 0.3 }), [x2, signs], () =>
    nn.smoothL1Loss(x2, signs, { beta: 0.3 }),
  ),
  pair(new nn.HuberLoss({ delta: 0.3 }), [x2, signs], () =>
    nn.huberLoss(x2, signs, { delta: 0.3 }),
  ),
  pair(new nn.CrossEntropyLoss({ weight, labelSmoothing: 0.1 }), [x2, labels], () =>
    nn.crossEntropy(x2, labels, { weight, labelSmoothing: 0.1 }),
  ),
  pair(new nn.NLLLoss({ weight }), [x2, labels], () => nn.nllLoss(x2, labels, { weight })),
  pair(new nn.BCELoss({ weight }), [probabilities, targets], () =>
    nn.binaryCrossEntropy(probabilities, targets, { weight }),
  ),
  pair(new nn.BCEWithLogitsLoss({ posWeight: weight }), [x2, targets], () =>
    nn.binaryCrossEntropyWithLogits(x2, targets, { posWeight: weight }),
  ),
  pair(new nn.KLDivLoss({ reduction: 'batchmean' }), [x2, targets], () =>
    nn.klDiv(x2, targets, { reduction: 'batchmean' }),
  ),
  pair(new nn.CosineEmbeddingLoss(), [x2, targets, tensor([1, -1, 1, 1])], () =>
    nn.cosineEmbeddingLoss(x2, targets, tensor([1, -1, 1, 1])),
  ),
  pair(new nn.MarginRankingLoss({ margin: 0.2 }), [x2, targets, signs], () =>
    nn.marginRankingLoss(x2, targets, signs, { margin: 0.2 }),
  ),
  pair(new nn.HingeEmbeddingLoss(), [x2, signs], () => nn.hingeEmbeddingLoss(x2, signs)),
  pair(new nn.TripletMarginLoss({ p: 1 }), [x2, targets, signs], () =>
    nn.tripletMarginLoss(x2, targets, signs, { p: 1 }),
  ),
  pair(new nn.PoissonNLLLoss({ full: true }), [x2, targets], () =>
    nn.poissonNllLoss(x2, targets, { full: true }),
  ),
  pair(new nn.GaussianNLLLoss(), [x2, targets, probabilities], () =>
    nn.gaussianNllLoss(x2, targets, probabilities),
  ),
  pair(new nn.MultiMarginLoss({ p: 2, weight }), [x2, labels], () =>
    nn.multiMarginLoss(x2, labels, { p: 2, weight }),
  ),
  pair(new nn.SoftMarginLoss(), [x2, signs], () => nn.softMarginLoss(x2, signs)),
  pair(new nn.MultiLabelSoftMarginLoss({ weight }), [x2, targets], () =>
    nn.multiLabelSoftMarginLoss(x2, targets, { weight }),
  ),
]

interface Affine {
  readonly weight: Parameter | undefined
  readonly bias: Parameter | undefined
}

function norm(x: Tensor, { weight, bias }: Affine): Tensor {
  return nn.batchNorm(x, undefined, undefined, { weight, bias, eps: 0.1, training: true })
}

function instance({ weight, bias }: Affine) {
  return { weight, bias }
}

function unpools() {
  const one = nn.maxPool1dWithIndices(x3, 2)
  const two = nn.maxPool2dWithIndices(x4, 2)
  const restored = { outputSize: [4, 5, 4] }
  const three = nn.maxPool3dWithIndices(x5, 2)
  return [
    pair(new nn.MaxUnpool1d(2), [one.values, one.indices], () =>
      nn.maxUnpool1d(one.values, one.indices, 2),
    ),
    pair(new nn.MaxUnpool2d(2), [two.values, two.indices], () =>
      nn.maxUnpool2d(two.values, two.indices, 2),
    ),
    pair(new nn.MaxUnpool3d(2, restored), [three.values, three.indices], () =>
      nn.maxUnpool3d(three.values, three.indices, 2, restored),
    ),
  ]
}

function paddings() {
  const [w1, w2, w3] = [
    [1, 2],
    [1, 2, 3, 0],
    [1, 1, 2, 0, 0, 3],
  ]
  return [
    pair(new nn.ZeroPad1d(w1), [x3], () => nn.pad(x3, w1)),
    pair(new nn.ZeroPad2d(w2), [x4], () => nn.pad(x4, w2)),
    pair(new nn.ZeroPad3d(w3), [x5], () => nn.pad(x5, w3)),
    pair(new nn.ConstantPad1d(w1, 3), [x3], () => nn.pad(x3, w1, { value: 3 })),
    pair(new nn.ConstantPad2d(w2, 3), [x4], () => nn.pad(x4, w2, { value: 3 })),
    pair(new nn.ConstantPad3d(2, 3), [x5], () => nn.pad(x5, [2, 2, 2, 2, 2, 2], { value: 3 })),
    pair(new nn.ReflectionPad1d(w1), [x3], () => nn.pad(x3, w1, { mode: 'reflect' })),
    pair(new nn.ReflectionPad2d(w2), [x4], () => nn.pad(x4, w2, { mode: 'reflect' })),
    pair(new nn.ReflectionPad3d(w3), [x5], () => nn.pad(x5, w3, { mode: 'reflect' })),
    pair(new nn.ReplicationPad1d(w1), [x3], () => nn.pad(x3, w1, { mode: 'replicate' })),
    pair(new nn.ReplicationPad2d(w2), [x4], () => nn.pad(x4, w2, { mode: 'replicate' })),
    pair(new nn.ReplicationPad3d(w3), [x5], () => nn.pad(x5, w3, { mode: 'replicate' })),
    pair(new nn.CircularPad1d(w1), [x3], () => nn.pad(x3, w1, { mode: 'circular' })),
    pair(new nn.CircularPad2d(w2), [x4], () => nn.pad(x4, w2, { mode: 'circular' })),
    pair(new nn.CircularPad3d(w3), [x5], () => nn.pad(x5, w3, { mode: 'circular' })),
  ]
}

describe('layers are their functions', () => {
  it.each(cases)('%s', async (_, layer, xs, run) => {
    const own = layer.forward(...xs)
    const expected = run()
    expect(own.shape).toEqual(expected.shape)
    const [a, b] = await Promise.all([own.data(), expected.data()])
    expect(a).toEqual(b)
    expect([...a].every((x) => Number.isFinite(x))).toBe(true)
    if ('outputSize' in layer) {
      const announced = (
        layer as unknown as { outputSize(n: readonly number[]): number[] }
      ).outputSize(xs[0].shape.slice(2))
      expect(announced).toEqual(own.shape.slice(2))
    }
  })

  it('and none is missing', () => {
    const containers = ['Module', 'Sequential', 'ModuleList', 'ModuleDict', 'ParameterList']
    const layers = Object.entries(nn)
      .filter(([, value]) => typeof value === 'function' && value.prototype instanceof nn.Module)
      .map(([name]) => name)
    // More than a function: held in files of their own.
    const elsewhere =
      /^(MultiheadAttention|Transformer.*|(Sinusoidal|Learned)Encoding|(RNN|LSTM|GRU)(Cell)?|CTCLoss|Conv2dNormActivation|SqueezeExcitation|DropPath|LayerNorm2d|Permute)$/
    const tested = new Set(cases.map(([name]) => name))
    const found = layers.filter((name) => !tested.has(name) && !containers.includes(name))
    expect(found.filter((name) => !elsewhere.test(name))).toEqual([])
  })
})

describe('modes', () => {
  it('dropout of channels drops whole ones, and is drawn anew', async () => {
    manualSeed(2)
    const layer = new nn.Dropout2d(0.5)
    const [a, b] = await Promise.all([
      layer.forward(ones([8, 16, 3, 3])).data(),
      layer.forward(ones([8, 16, 3, 3])).data(),
    ])
    expect(a).not.toEqual(b)
    let dropped = 0
    for (let c = 0; c < 128; c++) {
      const channel = a.slice(c * 9, c * 9 + 9)
      expect(new Set(channel).size).toBe(1)
      expect([0, 2]).toContain(channel[0])
      if (channel[0] === 0) dropped++
    }
    expect(dropped).toBeGreaterThan(40)
    expect(dropped).toBeLessThan(88)
    expect(() => new nn.Dropout2d(1.5)).toThrow(/p is 1.5/)
    expect(() => nn.dropout2d(x2)).toThrow(/must have 4 dimensions/)
  })

  it('alpha dropout keeps mean and variance', async () => {
    manualSeed(3)
    const x = tensor(await randn([20_000]).data(), { shape: [20_000] })
    const y = new nn.AlphaDropout(0.3).forward(x)
    expect(Math.abs(await y.mean().item())).toBeLessThan(0.03)
    expect(Math.abs((await y.var().item()) - 1)).toBeLessThan(0.06)
    expect(await nn.alphaDropout(x, { p: 1 }).abs().amax().item()).toBe(0)
  })

  it('rrelu draws slopes between its bounds in training', async () => {
    const slopes = await new nn.RReLU({ lower: 0.2, upper: 0.4 }).forward(ones([500]).neg()).data()
    expect(Math.max(...slopes)).toBeLessThanOrEqual(-0.2)
    expect(Math.min(...slopes)).toBeGreaterThanOrEqual(-0.4)
    expect(new Set(slopes).size).toBeGreaterThan(400)
  })

  it('batch norm without running statistics uses the batch in evaluation', async () => {
    const layer = new nn.BatchNorm2d(4, { trackRunningStats: false, affine: false }).eval()
    expect(Object.keys(layer.stateDict())).toEqual([])
    const y = await layer.forward(x4).data()
    expect(y).toEqual(await nn.batchNorm(x4, undefined, undefined, { training: true }).data())
  })

  it('instance norm follows its inputs, and uses what it followed in evaluation', async () => {
    const layer = new nn.InstanceNorm1d(1, { trackRunningStats: true, momentum: 0.5 })
    // Means 2 and 4, unbiased variances 2 and 8.
    await layer.forward(tensor([1, 3, 2, 6], { shape: [2, 1, 2] })).data()
    expect([...(await layer.buffers()[0].data())]).toEqual([1.5])
    expect((await layer.buffers()[1].data())[0]).toBeCloseTo(0.5 + 0.5 * 5, 5)
    layer.eval()
    const y = await layer.forward(tensor([1.5, 1.5 + Math.sqrt(3)], { shape: [1, 1, 2] })).data()
    expect(y[0]).toBeCloseTo(0, 5)
    expect(y[1]).toBeCloseTo(1, 4)
    expect(() => layer.forward(zeros([2, 3, 4]))).toThrow(/3 channels, but numFeatures is 1/)
    expect(layer.forward(zeros([1, 4])).shape).toEqual([1, 4])
  })

  it('weights of losses are state, and travel with it', () => {
    const loss = new nn.CrossEntropyLoss({ weight })
    expect(Object.keys(loss.stateDict())).toEqual(['weight'])
    expect(loss.parameters()).toEqual([])
    expect(Object.keys(new nn.BCEWithLogitsLoss({ posWeight: weight }).stateDict())).toEqual([
      'pos_weight',
    ])
    expect(loss.weight).toBeInstanceOf(Parameter)
  })
})
