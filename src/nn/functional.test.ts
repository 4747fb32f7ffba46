// Functions and layers beyond PyTorch's golden cases: corners, options, state.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SGD } from '../optim/index.js'
import { grad } from '../tensor/backward.js'
import { compile } from '../tensor/compile.js'
import { arange, ones, type TensorOptions, tensor, zeros } from '../tensor/create.js'
import { closeDevices, setDevice } from '../tensor/devices.js'
import { manualSeed, randn } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import * as nn from './index.js'

const int = (values: readonly number[], options: TensorOptions = {}) =>
  tensor(Int32Array.from(values), options)
async function close(actual: Tensor, expected: readonly number[], digits = 5): Promise<void> {
  const values = await actual.data()
  expect(values.length).toBe(expected.length)
  expected.forEach((value, i) => {
    if (Number.isFinite(value)) expect(values[i], `value ${i}`).toBeCloseTo(value, digits)
    else expect(values[i], `value ${i}`).toBe(value)
  })
}

describe.each(['reference', 'cpu'])('on %s', (device) => {
  beforeAll(async () => {
    await setDevice(device)
  })
  afterAll(closeDevices)

  describe('activations', () => {
    it('stay exact where naive formulas lose everything', async () => {
      await close(nn.softplus(tensor([-100, 0, 15, 100])), [0, Math.LN2, 15, 100])
      const [small] = await nn.softplus(tensor([-20])).data()
      expect(small / 2.0611536e-9).toBeCloseTo(1, 5)
      await close(nn.logSigmoid(tensor([-200, 0, 50])), [-200, -Math.LN2, 0])
      const [tiny] = await nn.elu(tensor([-1e-7])).data()
      expect(tiny / -1e-7).toBeCloseTo(1, 5)
      await close(nn.elu(tensor([-50, 2])), [-1, 2])
      await close(nn.mish(tensor([-60, 0, 60])), [0, 0, 60])
    })

    it('softmax takes infinities as masks, and huge values', async () => {
      await close(nn.softmax(tensor([1e30, 1e30]), 0), [0.5, 0.5])
      await close(nn.softmax(tensor([0, -Infinity, 0]), -1), [0.5, 0, 0.5])
      await close(nn.logSoftmax(tensor([1000, 0]), 0), [0, -1000])
    })

    it('derivatives at the kinks are those of the rules', async () => {
      const at = (x: number, f: (t: Tensor) => Tensor) => {
        const t = tensor([x])
        return grad(f(t).sum(), [t])[0].item()
      }
      expect(await at(0, nn.relu)).toBe(0)
      expect(await at(0, nn.softplus)).toBeCloseTo(0.5, 6)
      expect(await at(0, (t) => nn.leakyRelu(t))).toBeCloseTo(0.01, 6)
      expect(await at(7, nn.relu6)).toBe(0)
    })
  })

  describe('convolutions and pools', () => {
    it('padding same keeps the size, more on the far side for even kernels', async () => {
      const x = tensor([1, 2, 3, 4], { shape: [1, 1, 4] })
      const y = nn.conv1d(x, tensor([1, 10], { shape: [1, 1, 2] }), undefined, { padding: 'same' })
      await close(y, [21, 32, 43, 4])
    })

    it('inputs without a batch', () => {
      expect(new nn.Conv2d(3, 8, 3).forward(zeros([3, 10, 10])).shape).toEqual([8, 8, 8])
      expect(nn.maxPool2d(zeros([3, 10, 10]), 2).shape).toEqual([3, 5, 5])
      expect(nn.adaptiveAvgPool2d(zeros([3, 10, 7]), [null, 2]).shape).toEqual([3, 10, 2])
    })

    it('max pooling: padding never wins, NaN does, the first of ties gets the gradient', async () => {
      const negative = tensor([-3, -1, -2], { shape: [1, 1, 3] })
      await close(nn.maxPool1d(negative, 2, { padding: 1, stride: 2 }), [-3, -1])
      await close(nn.maxPool1d(tensor([1, Number.NaN], { shape: [1, 1, 2] }), 2), [Number.NaN])
      const ties = ones([1, 1, 4])
      await close(grad(nn.maxPool1d(ties, 4).sum(), [ties])[0], [1, 0, 0, 0])
      await close(grad(nn.maxPool1d(ties, 3, { stride: 1 }).sum(), [ties])[0], [1, 1, 0, 0])
      await close(grad(nn.adaptiveMaxPool1d(ties, 3).sum(), [ties])[0], [1, 1, 1, 0])
    })

    it('average pooling with another divisor', async () => {
      const x = arange(4).float().reshape(1, 1, 2, 2)
      await close(nn.avgPool2d(x, 2, { divisorOverride: 2 }), [3])
    })

    it('the size a layer announces is the size it gives', () => {
      const layers = [
        new nn.Conv2d(1, 1, 3, { stride: 2, padding: 1, dilation: 2 }),
        new nn.Conv2d(1, 1, [5, 3], { padding: 'same' }),
        new nn.MaxPool2d(3, { stride: 2, padding: 1, ceilMode: true }),
        new nn.AvgPool2d(2),
      ]
      for (const layer of layers)
        expect(layer.outputSize([11, 14])).toEqual(
          layer.forward(zeros([1, 1, 11, 14])).shape.slice(2),
        )
    })
  })

  describe('losses', () => {
    const logits = tensor([1, 2, 3, 0, 1, 0], { shape: [2, 3] })
    const row = (a: number[], label: number) =>
      Math.log(a.reduce((sum, x) => sum + Math.exp(x), 0)) - a[label]
    const losses = [row([1, 2, 3], 2), row([0, 1, 0], 0)]

    it('cross entropy: each reduction, one row, ignored rows', async () => {
      const labels = int([2, 0])
      await close(nn.crossEntropy(logits, labels, { reduction: 'none' }), losses)
      await close(nn.crossEntropy(logits, int([2, -100])), [losses[0]])
      await close(nn.crossEntropy(logits, int([1, 0]), { ignoreIndex: 1 }), [losses[1]])
      await close(nn.crossEntropy(tensor([1, 2, 3]), int([2], { shape: [] })), [losses[0]])
      expect(await nn.crossEntropy(logits, int([-100, -100])).item()).toBeNaN()
      const bytes = tensor(Uint8Array.of(2, 0))
      await close(nn.crossEntropy(logits, bytes), [(losses[0] + losses[1]) / 2])
    })

    it('a label out of range rejects, saying which', async () => {
      await expect(nn.crossEntropy(logits, int([2, 3])).item()).rejects.toThrow(
        /^crossEntropy: .*3 is out of range 0 … 2/,
      )
      await expect(nn.crossEntropy(logits, int([-1, 0])).item()).rejects.toThrow(/-1/)
      await expect(nn.embedding(int([5]), zeros([5, 2])).data()).rejects.toThrow(/5/)
    })

    it('binary cross entropy: both forms agree, posWeight weighs positives', async () => {
      const x = tensor([-2, 0.5, 3])
      const t = tensor([0, 1, 0.25])
      const a = nn.binaryCrossEntropyWithLogits(x, t)
      const b = nn.binaryCrossEntropy(nn.sigmoid(x), t)
      await close(a, [await b.item()])
      const p = [-2, 0.5, 3].map((v) => 1 / (1 + Math.exp(-v)))
      const expected = [0, 1, 0.25].map(
        (y, i) => -(2 * y * Math.log(p[i]) + (1 - y) * Math.log(1 - p[i])),
      )
      const posWeight = tensor([2])
      await close(nn.binaryCrossEntropyWithLogits(x, t, { reduction: 'none', posWeight }), expected)
      await close(nn.binaryCrossEntropyWithLogits(tensor([200]), tensor([0])), [200])
      // At 0, where its terms have kinks, the derivative is σ(0) − t.
      const zero = tensor([0])
      const half = nn.binaryCrossEntropyWithLogits(zero, tensor([1]))
      await close(grad(half, [zero])[0], [-0.5])
      await close(grad(nn.softMarginLoss(zero, tensor([1])), [zero])[0], [-0.5])
      await close(nn.binaryCrossEntropy(tensor([0, 1]), tensor([1, 1])), [50])
    })

    it('klDiv takes targets of zero, and logarithms', async () => {
      const x = tensor([Math.log(0.5), Math.log(0.5)])
      const none = { reduction: 'none' } as const
      await close(nn.klDiv(x, tensor([0, 1]), none), [0, Math.LN2])
      await close(nn.klDiv(x, tensor([0, -1]), { ...none, logTarget: true }), [
        Math.LN2,
        (Math.LN2 - 1) / Math.E,
      ])
    })
  })

  describe('linear, attention, resizing', () => {
    it('attention with masks', async () => {
      const q = zeros([1, 2, 4])
      const v = tensor([1, 2, 3, 4], { shape: [1, 2, 2] })
      const mask = tensor([true, false, true, true], { shape: [2, 2] })
      await close(nn.scaledDotProductAttention(q, q, v, { attnMask: mask }), [1, 2, 2, 3])
      const bias = tensor([0, -Infinity, 0, 0], { shape: [2, 2] })
      await close(nn.scaledDotProductAttention(q, q, v, { attnMask: bias }), [1, 2, 2, 3])
      await close(nn.scaledDotProductAttention(q, q, v, { isCausal: true }), [1, 2, 2, 3])
    })

    it('dropout drops p of it, scales the rest, and passes through in evaluation', async () => {
      manualSeed(1)
      const dropout = new nn.Dropout(0.25)
      const x = ones([4000])
      const kept = [...(await dropout.forward(x).data())]
      const zeroed = kept.filter((value) => value === 0).length
      expect(zeroed).toBeGreaterThan(850)
      expect(zeroed).toBeLessThan(1150)
      expect(new Set(kept).size).toBe(2)
      expect(kept).toContain(Math.fround(4 / 3))
      expect(dropout.eval().forward(x)).toBe(x)
      await close(nn.dropout(ones([2]), { p: 1 }), [0, 0])
    })

    it('interpolation: corners, fractions, shrinking', async () => {
      const x = tensor([0, 1, 2, 3], { shape: [1, 1, 4] })
      await close(
        nn.interpolate(x, { size: 7, mode: 'linear', alignCorners: true }),
        [0, 0.5, 1, 1.5, 2, 2.5, 3],
      )
      await close(nn.interpolate(x, { size: 6 }), [0, 0, 1, 2, 2, 3])
      await close(nn.interpolate(x, { size: 2 }), [0, 2])
      await close(nn.interpolate(x, { size: 2, mode: 'linear' }), [0.5, 2.5])
    })

    it('running sums and one-hot rows of integers', async () => {
      const sums = int([3, 4, -5]).cumsum(0)
      expect(sums.dtype).toBe('int32')
      await close(sums, [3, 7, 2])
      await close(nn.oneHot(int([2, 0]), 3), [0, 0, 1, 1, 0, 0])
    })
  })

  describe('batch norm', () => {
    it('keeps running statistics, unbiased, and uses them in evaluation', async () => {
      const layer = new nn.BatchNorm1d(1)
      await layer.forward(tensor([1, 2, 3], { shape: [3, 1] })).data()
      const [mean, variance, count] = layer.buffers()
      await close(mean, [0.2])
      await close(variance, [0.9 + 0.1])
      expect(await count.item()).toBe(1)
      layer.eval()
      const y = await layer.forward(tensor([1.2], { shape: [1, 1] })).data()
      expect(y[0]).toBeCloseTo(1 / Math.sqrt(1 + 1e-5), 5)
      expect(await count.item()).toBe(1)
    })

    it('with momentum null averages all batches', async () => {
      const layer = new nn.BatchNorm1d(1, { momentum: null })
      for (const at of [1, 3, 8]) {
        const batch = tensor([at - 1, at + 1], { shape: [2, 1] })
        await layer.forward(batch).data()
      }
      await close(layer.buffers()[0], [4])
    })

    it('learns the same in both loops, statistics included', async () => {
      class Net extends nn.Module {
        fc1 = new nn.Linear(3, 4)
        bn = new nn.BatchNorm1d(4)
        fc2 = new nn.Linear(4, 2)
        forward(x: Tensor): Tensor {
          return this.fc2.forward(nn.relu(this.bn.forward(this.fc1.forward(x))))
        }
      }
      manualSeed(5)
      const batches = await Promise.all(
        [0, 1, 2].map(async () => tensor(await randn([6, 3]).data(), { shape: [6, 3] })),
      )
      const labels = int([0, 1, 1, 0, 1, 0])
      const run = async (compiled: boolean) => {
        manualSeed(7)
        const net = new Net()
        const optimizer = new SGD(net.parameters(), { lr: 0.1, momentum: 0.9 })
        const body = (x: Tensor) => {
          optimizer.zeroGrad()
          const loss = nn.crossEntropy(net.forward(x), labels)
          loss.backward()
          void optimizer.step()
          return { loss }
        }
        const step = compiled ? compile(body) : async (x: Tensor) => body(x)
        const losses: number[] = []
        for (const x of batches) losses.push(await (await step(x)).loss.item())
        const state = await Promise.all(Object.values(net.stateDict()).map((p) => p.data()))
        return [losses, ...state.map((values) => [...values])]
      }
      const [imperative, compiled] = [await run(false), await run(true)]
      expect(imperative).toEqual(compiled)
      expect(imperative.at(-3)).not.toEqual([0, 0, 0, 0])
    })
  })
})
