// summary against numbers worked out by hand, and what it leaves untouched.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LeNet } from '../models/lenet.js'
import { context } from '../tensor/context.js'
import { tensor, zeros } from '../tensor/create.js'
import { closeDevices, setDevice } from '../tensor/devices.js'
import type { Tensor } from '../tensor/tensor.js'
import * as nn from './index.js'

beforeAll(async () => {
  await setDevice('reference')
})
afterAll(closeDevices)

describe('summary', () => {
  it('counts LeNet as one does by hand', () => {
    const result = nn.summary(new LeNet(), [2, 1, 28, 28])
    const rows = result.layers.map((l) => [l.path, l.outputs[0], l.parameters, l.multiplyAdds])
    expect(rows).toEqual([
      ['', [2, 10], 0, 0],
      ['conv1', [2, 6, 28, 28], 6 * 25 + 6, 2 * 28 * 28 * 6 * 25],
      ['pool1', [2, 6, 14, 14], 0, 0],
      ['conv2', [2, 16, 10, 10], 16 * 6 * 25 + 16, 2 * 10 * 10 * 16 * 6 * 25],
      ['pool2', [2, 16, 5, 5], 0, 0],
      ['fc1', [2, 120], 120 * 400 + 120, 2 * 120 * 400],
      ['fc2', [2, 84], 84 * 120 + 84, 2 * 84 * 120],
      ['fc3', [2, 10], 10 * 84 + 10, 2 * 10 * 84],
    ])
    expect(result.parameters).toBe(61_706)
    expect(result.multiplyAdds).toBe(2 * (117_600 + 240_000 + 48_000 + 10_080 + 840))
    expect(result.inputBytes).toBe(4 * 2 * 784)
    const outputs = 6 * 784 + 6 * 196 + 16 * 100 + 16 * 25 + 120 + 84 + 10
    expect(result.passBytes).toBe(2 * 4 * 2 * outputs)
    expect(result.parameterBytes).toBe(4 * 61_706)
    expect(`${result}`).toMatchInlineSnapshot(`
      "layer    type       output           parameters  multiply-adds
      ──────────────────────────────────────────────────────────────
      LeNet    LeNet      [2, 10]                   –              –
        conv1  Conv2d     [2, 6, 28, 28]          156        235,200
        pool1  MaxPool2d  [2, 6, 14, 14]            –              –
        conv2  Conv2d     [2, 16, 10, 10]       2,416        480,000
        pool2  MaxPool2d  [2, 16, 5, 5]             –              –
        fc1    Linear     [2, 120]             48,120         96,000
        fc2    Linear     [2, 84]              10,164         20,160
        fc3    Linear     [2, 10]                 850          1,680
      ──────────────────────────────────────────────────────────────
      input [2, 1, 28, 28]
      parameters 61,706, trainable 61,706; multiply-adds 833,040
      memory: input 0.01 MB, forward and backward 0.13 MB, parameters 0.25 MB"
    `)
  })

  it('tells shared, frozen and repeated layers, transposed and grouped convolutions', () => {
    class Net extends nn.Module {
      up = new nn.ConvTranspose2d(3, 4, 2, { stride: 2, bias: false })
      depthwise = new nn.Conv2d(4, 4, 3, { padding: 1, groups: 4 })
      bn = new nn.BatchNorm2d(4)
      again = new nn.Conv2d(4, 4, 1, { bias: false })
      dropout = new nn.Dropout(0.5)
      forward(x: Tensor): Tensor {
        const y = this.bn.forward(this.depthwise.forward(this.up.forward(x)))
        return this.dropout.forward(this.again.forward(this.again.forward(y)))
      }
    }
    const net = new Net()
    net.depthwise.requiresGrad_(false)
    const draws = context.generator.counter
    const result = nn.summary(net, [1, 3, 5, 5])
    const of = (path: string) => result.layers.find((layer) => layer.path === path)
    expect(of('up')?.multiplyAdds).toBe(5 * 5 * 3 * 4 * 4)
    expect(of('depthwise')?.multiplyAdds).toBe(10 * 10 * 4 * 9)
    expect(of('again')).toMatchObject({ calls: 2, multiplyAdds: 2 * 100 * 16, parameters: 16 })
    expect(of('depthwise')).toMatchObject({ parameters: 40, trainable: 0 })
    expect(result.trainable).toBe(result.parameters - 40)
    expect(result.parameterBytes).toBe(4 * (result.parameters + 9))
    expect(`${result}`).toContain('40 frozen')
    expect(`${result}`).toContain('Conv2d ×2')
    expect(net.bn.training).toBe(true)
    expect(context.states.size).toBe(0)
    expect(context.generator.counter).toBe(draws)
    expect(context.forwards.length).toBe(0)
  })

  it('takes tensors of other dtypes, and several', () => {
    class Net extends nn.Module {
      table = new nn.Embedding(7, 3)
      mix = new nn.Bilinear(3, 2, 4)
      forward(index: Tensor, x: Tensor): Tensor {
        return this.mix.forward(this.table.forward(index), x)
      }
    }
    const result = nn.summary(new Net(), [tensor(Int32Array.of(1, 2)), zeros([2, 2])])
    expect(result.layers[0].outputs).toEqual([[2, 4]])
    expect(result.parameters).toBe(21 + 24 + 4)
    expect(() => nn.summary(new LeNet(), [1, 3, 28, 28])).toThrow(
      /LeNet\.conv1: conv2d: .*3 channels/,
    )
    expect(() => nn.summary(new LeNet(), [])).toThrow(/give an input shape/)
  })
})
