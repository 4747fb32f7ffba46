// Functions that no golden case covers, against their formulas written out in plain JavaScript.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { grad } from '../tensor/backward.js'
import { tensor } from '../tensor/create.js'
import { closeDevices, setDevice } from '../tensor/devices.js'
import { manualSeed } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import * as nn from './index.js'

const xs = [-3, -0.75, -0.2, 0, 0.3, 0.5, 1.25, 4]
const x = tensor(xs)
const softplus = (v: number) => Math.log1p(Math.exp(v))
const sigmoid = (v: number) => 1 / (1 + Math.exp(-v))
const sum = (values: readonly number[]) => values.reduce((s, v) => s + v, 0)
const mean = (values: readonly number[]) => sum(values) / values.length

async function close(actual: Tensor, expected: readonly number[], digits = 5): Promise<void> {
  const values = await actual.data()
  expect(values.length).toBe(expected.length)
  expected.forEach((value, i) => {
    expect(values[i], `value ${i}`).toBeCloseTo(value, digits)
  })
}

describe.each(['reference', 'cpu'])('on %s', (device) => {
  beforeAll(async () => {
    await setDevice(device, { threads: 1 })
  })
  afterAll(closeDevices)

  const activations: [string, Tensor, (v: number) => number][] = [
    ['celu', nn.celu(x, { alpha: 2 }), (v) => Math.max(v, 0) + Math.min(0, 2 * Math.expm1(v / 2))],
    ['hardshrink', nn.hardshrink(x), (v) => (Math.abs(v) > 0.5 ? v : 0)],
    ['softshrink', nn.softshrink(x), (v) => Math.sign(v) * Math.max(Math.abs(v) - 0.5, 0)],
    ['tanhshrink', nn.tanhshrink(x), (v) => v - Math.tanh(v)],
    ['threshold', nn.threshold(x, 0.4, -7), (v) => (v > 0.4 ? v : -7)],
    ['hardtanh', nn.hardtanh(x, { minVal: -2, maxVal: 1 }), (v) => Math.min(Math.max(v, -2), 1)],
    ['rrelu in evaluation', nn.rrelu(x), (v) => (v > 0 ? v : (v * (1 / 8 + 1 / 3)) / 2)],
    ['logSigmoid', nn.logSigmoid(x), (v) => Math.log(sigmoid(v))],
    ['mish', nn.mish(x), (v) => v * Math.tanh(softplus(v))],
  ]
  it.each(activations)('%s', async (_, actual, f) => {
    await close(actual, xs.map(f))
  })

  it('glu and softmin', async () => {
    await close(
      nn.glu(x, 0),
      xs.slice(0, 4).map((v, i) => v * sigmoid(xs[i + 4])),
    )
    const total = sum(xs.map((v) => Math.exp(-v)))
    await close(
      nn.softmin(x, 0),
      xs.map((v) => Math.exp(-v) / total),
    )
  })

  it('gumbelSoftmax samples the categories', async () => {
    manualSeed(4)
    const logits = tensor([Math.log(0.7), Math.log(0.2), Math.log(0.1)]).expand(2000, 3)
    const hard = nn.gumbelSoftmax(logits, { hard: true, tau: 0.5 })
    const shares = await hard.mean(0).data()
    for (const [i, p] of [0.7, 0.2, 0.1].entries())
      expect(Math.abs(shares[i] - p)).toBeLessThan(0.04)
    const values = await hard.data()
    expect([...values].every((v) => Math.abs(v) < 1e-6 || Math.abs(v - 1) < 1e-6)).toBe(true)
    const x2 = tensor([1, 2, 3])
    const [g] = grad(
      nn
        .gumbelSoftmax(x2, { hard: true })
        .mul(tensor([1, 2, 3]))
        .sum(),
      [x2],
    )
    expect(await g.abs().sum().item()).toBeGreaterThan(1e-4)
  })

  it('rmsNorm', async () => {
    const w = [1, 2, -1, 0.5]
    const rows = tensor(xs, { shape: [2, 4] })
    const expected = [0, 1].flatMap((r) => {
      const row = xs.slice(4 * r, 4 * r + 4)
      const root = Math.sqrt(mean(row.map((v) => v * v)) + 0.01)
      return row.map((v, i) => (v / root) * w[i])
    })
    await close(nn.rmsNorm(rows, 4, { weight: tensor(w), eps: 0.01 }), expected)
  })

  it('padding in every mode', async () => {
    const row = tensor([1, 2, 3, 4], { shape: [1, 1, 4] })
    await close(nn.pad(row, [2, 3], { mode: 'reflect' }), [3, 2, 1, 2, 3, 4, 3, 2, 1])
    await close(nn.pad(row, [2, 1], { mode: 'replicate' }), [1, 1, 1, 2, 3, 4, 4])
    await close(nn.pad(row, [0, 3], { mode: 'circular' }), [1, 2, 3, 4, 1, 2, 3])
    await close(nn.pad(row, [1, 0], { value: 9 }), [9, 1, 2, 3, 4])
  })

  it('pixelShuffle, its inverse, channelShuffle', async () => {
    const channels = tensor(
      Float32Array.from({ length: 16 }, (_, i) => i),
      { shape: [1, 4, 2, 2] },
    )
    const image = nn.pixelShuffle(channels, 2)
    await close(image, [0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15])
    await close(
      nn.pixelUnshuffle(image, 2),
      Array.from({ length: 16 }, (_, i) => i),
    )
    const mixed = nn.channelShuffle(channels, 2).reshape(4, 4).slice(0, 1, { dim: 1 })
    await close(mixed, [0, 8, 4, 12])
  })

  it('bicubic interpolation', async () => {
    const line = tensor(
      Float32Array.from({ length: 64 }, (_, i) => (i % 8) ** 2),
      {
        shape: [1, 1, 8, 8],
      },
    )
    const wide = await nn.interpolate(line, { size: [8, 16], mode: 'bicubic' }).data()
    // Keys' weights with a = −0.75 for a quarter, as OpenCV and PyTorch have them.
    const quarter = [-0.10546875, 0.87890625, 0.26171875, -0.03515625]
    for (let k = 2; k < 6; k++) {
      const taps = (from: number, weights: readonly number[]) =>
        sum(weights.map((w, i) => w * (from + i) ** 2))
      expect(wide[2 * k + 1]).toBeCloseTo(taps(k - 1, quarter), 4)
      expect(wide[2 * k]).toBeCloseTo(taps(k - 2, [...quarter].reverse()), 4)
    }
    expect(wide[0]).toBeCloseTo(quarter[0], 5)
    const corners = nn.interpolate(line, { size: [3, 8], mode: 'bicubic', alignCorners: true })
    await close(corners.slice(0, 1, { dim: 2 }), [0, 1, 4, 9, 16, 25, 36, 49])
  })

  it('bilinear', async () => {
    const [a, b] = [tensor([1, 2]), tensor([3, -1, 2])]
    const w = tensor(
      Float32Array.from({ length: 12 }, (_, i) => i),
      { shape: [2, 2, 3] },
    )
    const expected = [0, 1].map((o) =>
      sum([1, 2].flatMap((u, i) => [3, -1, 2].map((v, j) => u * v * (o * 6 + i * 3 + j)))),
    )
    await close(nn.bilinear(a, b, w), expected)
  })

  const a = [
    [1, 2, -1],
    [0, 0.5, 2],
  ]
  const b = [
    [0.5, -1, 1],
    [1, 0.5, -2],
  ]
  const [ta, tb] = [tensor(a), tensor(b)]
  const cosine = a.map(
    (row, i) => sum(row.map((v, j) => v * b[i][j])) / Math.hypot(...row) / Math.hypot(...b[i]),
  )
  const distances = (p: number) =>
    a.map((row, i) => sum(row.map((v, j) => Math.abs(v - b[i][j] + 1e-6) ** p)) ** (1 / p))

  it('distances and directions', async () => {
    await close(nn.cosineSimilarity(ta, tb), cosine)
    await close(nn.pairwiseDistance(ta, tb), distances(2))
    await close(nn.pairwiseDistance(ta, tb, { p: 1 }), distances(1))
    await close(nn.pairwiseDistance(ta, tb, { p: 3, keepdim: true }), distances(3))
    const most = a.map((row, i) => Math.max(...row.map((v, j) => Math.abs(v - b[i][j]))))
    await close(nn.pairwiseDistance(ta, tb, { p: Number.POSITIVE_INFINITY }), most)
    await close(
      nn.normalize(ta),
      a.flatMap((row) => row.map((v) => v / Math.hypot(...row))),
    )
  })

  const none = { reduction: 'none' } as const
  it('losses of pairs', async () => {
    const signs = tensor([1, -1])
    await close(nn.cosineEmbeddingLoss(ta, tb, signs, { ...none, margin: -0.5 }), [
      1 - cosine[0],
      Math.max(0, cosine[1] + 0.5),
    ])
    const gaps = a.flatMap((row, i) => row.map((v, j) => v - b[i][j]))
    await close(nn.marginRankingLoss(ta, tb, tensor([-1]), { ...none, margin: 0.25 }), [
      ...gaps.map((gap) => Math.max(0, gap + 0.25)),
    ])
    await close(
      nn.hingeEmbeddingLoss(
        ta,
        tensor([
          [1, -1, -1],
          [1, 1, -1],
        ]),
      ),
      [mean([1, 0, 2, 0, 0.5, 0])],
    )
    const negative = tensor([
      [1, 1, 1],
      [0, 0, 0],
    ])
    const far = [
      [1, 1, 1],
      [0, 0, 0],
    ].map((n, i) => Math.hypot(...a[i].map((v, j) => v - n[j] + 1e-6)))
    const swapped = [
      [1, 1, 1],
      [0, 0, 0],
    ].map((n, i) => Math.hypot(...b[i].map((v, j) => v - n[j] + 1e-6)))
    const near = distances(2)
    const triplet = (other: readonly number[]) => near.map((d, i) => Math.max(0, d - other[i] + 1))
    await close(nn.tripletMarginLoss(ta, tb, negative, none), triplet(far))
    await close(
      nn.tripletMarginLoss(ta, tb, negative, { ...none, swap: true }),
      triplet(far.map((d, i) => Math.min(d, swapped[i]))),
    )
  })

  it('losses of distributions', async () => {
    const counts = [0, 1, 4, 2, 0.5, 7]
    const flat = a.flat()
    const t = tensor(counts, { shape: [2, 3] })
    await close(
      nn.poissonNllLoss(ta, t, none),
      flat.map((v, i) => Math.exp(v) - counts[i] * v),
    )
    const rates = flat.map((v) => Math.abs(v) + 0.1)
    const stirling = (c: number) =>
      c > 1 ? c * Math.log(c) - c + Math.log(2 * Math.PI * c) / 2 : 0
    await close(
      nn.poissonNllLoss(tensor(rates, { shape: [2, 3] }), t, {
        ...none,
        logInput: false,
        full: true,
      }),
      rates.map((v, i) => v - counts[i] * Math.log(v + 1e-8) + stirling(counts[i])),
    )
    const variance = [0.5, 2]
    const gaussian = a.flatMap((row, i) =>
      row.map((v, j) => (Math.log(variance[i]) + (v - b[i][j]) ** 2 / variance[i]) / 2),
    )
    await close(nn.gaussianNllLoss(ta, tb, tensor(variance), none), gaussian)
    const full = { ...none, full: true }
    await close(
      nn.gaussianNllLoss(ta, tb, tensor(variance, { shape: [2, 1] }), full),
      gaussian.map((v) => v + Math.log(2 * Math.PI) / 2),
    )
  })

  it('losses of margins', async () => {
    const labels = [2, 0]
    const index = tensor(Int32Array.from(labels))
    const w = [1, 2, 3]
    const rows = (p: number, weighted: boolean) =>
      a.map((row, i) => {
        const each = row.map((v, c) =>
          c === labels[i] ? 0 : Math.max(0, 1 - row[labels[i]] + v) ** p,
        )
        return (sum(each) * (weighted ? w[labels[i]] : 1)) / 3
      })
    await close(nn.multiMarginLoss(ta, index, none), rows(1, false))
    await close(nn.multiMarginLoss(ta, index, { p: 2, weight: tensor(w) }), [mean(rows(2, true))])
    const single = nn.multiMarginLoss(tensor(a[0]), tensor(Int32Array.of(2), { shape: [] }))
    await close(single, [rows(1, false)[0]])
    const signs = b.flat().map(Math.sign)
    await close(
      nn.softMarginLoss(ta, tensor(signs, { shape: [2, 3] }), none),
      a.flat().map((v, i) => softplus(-signs[i] * v)),
    )
    const t = [
      [1, 0, 1],
      [0, 0, 1],
    ]
    const multi = a.map((row, i) =>
      mean(row.map((v, j) => w[j] * (t[i][j] ? softplus(-v) : softplus(v)))),
    )
    await close(nn.multiLabelSoftMarginLoss(ta, tensor(t), { ...none, weight: tensor(w) }), multi)
  })

  it('attention: scale, dropout, masks with causality', async () => {
    const q = tensor([[1, 0]], { shape: [1, 1, 2] })
    const k = tensor([2, 0, 0, 1], { shape: [1, 2, 2] })
    const v = tensor([1, 5], { shape: [1, 2, 1] })
    const p = Math.exp(6) / (Math.exp(6) + 1)
    await close(nn.scaledDotProductAttention(q, k, v, { scale: 3 }), [p + 5 * (1 - p)])
    const dropped = nn.scaledDotProductAttention(q, k, v, { dropoutP: 1 })
    await close(dropped, [0])
    const mask = tensor([false, true, true, true], { shape: [2, 2] })
    const both = nn.scaledDotProductAttention(k, k, v, { attnMask: mask, isCausal: true })
    const [first] = await both.data()
    expect(first).toBeNaN()
  })
})
