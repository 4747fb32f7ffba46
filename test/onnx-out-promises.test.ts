// What exportOnnx promises besides results: when the batch is fixed, names, metadata, what is stored, refusals, the
// model left as it was.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { exportOnnx } from '../src/io/onnx/export.js'
import { decodeModel } from '../src/io/onnx/wire.js'
import * as nn from '../src/nn/index.js'
import { tensor } from '../src/tensor/create.js'
import { rand } from '../src/tensor/random.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { values } from './onnx-out.js'

describe('exportOnnx', () => {
  it('a batch of anything else is fixed, with the reason', async () => {
    const reasons: string[] = []
    const onFixedBatch = (text: string) => reasons.push(text)
    const x = values('x', [2, 3])
    const sized = (x: Tensor) => x.mul(x.shape[0] + 1)
    await exportOnnx(sized, x, { dynamicBatch: false, onFixedBatch })
    expect(reasons).toEqual([])
    await exportOnnx((x: Tensor) => x.reshape(2, 3), x, { onFixedBatch })
    await exportOnnx((x: Tensor) => x.mul(tensor([[1], [2]])), x, { onFixedBatch })
    expect(reasons.length).toBe(2)
    // An even batch and an odd one are not the same here.
    const parity = (x: Tensor) => x.mul(1 + (x.shape[0] % 2))
    await exportOnnx(parity, x, { onFixedBatch })
    expect(reasons.length).toBe(3)
    await expect(
      exportOnnx((x: Tensor) => x.reshape(2, 3), x, { dynamicBatch: true }),
    ).rejects.toThrow(/the batch cannot vary/)
  })

  it('a forward that does something else for its own batch is fixed', async () => {
    const [a, b] = [new nn.Linear(3, 4), new nn.Linear(3, 4)]
    const ones = values('ones', [1, 3])
    const cases: [(x: Tensor) => Tensor, number[], RegExp][] = [
      [(x) => (x.shape[0] > 5 ? x.tanh() : x.exp()), [4, 3], /batch, 4, .*exp.* instead of .*tanh/],
      [(x) => (x.shape[0] > 5 ? x.tanh() : x.exp()), [1, 3], /batch, 1, .*exp.* instead of .*tanh/],
      [(x) => (x.shape[0] > 5 ? a.forward(x) : b.forward(x)), [2, 3], /reads something else/],
      [(x) => (x.shape[0] > 5 ? a.forward(x) : b.forward(x)), [1, 3], /reads something else/],
      [(x) => x.mul(x.shape[0] === 2 ? 3 : 5), [2, 3], /numbers \[3\].*\[5\]/],
      [(x) => x.slice(0, x.shape[0] > 5 ? 2 : 1, { dim: 1 }), [4, 3], /numbers/],
      [(x) => x.squeeze(), [1, 3], /shape of output/],
      [(x) => (x.shape[0] === 1 ? x.sum(1) : x.sum(1, { keepdim: true })), [1, 3], /shape/],
    ]
    for (const [forward, shape, reason] of cases) {
      const reasons: string[] = []
      const onFixedBatch = (text: string) => reasons.push(text)
      await exportOnnx(forward, values('x', shape), { onFixedBatch })
      expect(reasons.join()).toMatch(reason)
      await expect(exportOnnx(forward, values('x', shape), { dynamicBatch: true })).rejects.toThrow(
        /the batch cannot vary/,
      )
    }
    // Sizes of the batch, and what a batch of one needs no movement for, are no branches.
    const kept = (x: Tensor) => x.mul(ones.expand(x.shape[0], 3)).sum(1).div(2).unsqueeze(0)
    for (const batch of [1, 2, 5])
      await exportOnnx(kept, values('x', [batch, 3]), { dynamicBatch: true })
    const lstm = new nn.LSTM(3, 4, { batchFirst: true, bidirectional: true })
    for (const batch of [1, 2])
      await exportOnnx(lstm, values('x', [batch, 5, 3]), { dynamicBatch: true })
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
    const data = await model.stateDict()['0.weight'].data()
    expect(new Float32Array(stored[0].rawData?.slice().buffer ?? new ArrayBuffer(0))).toEqual(data)
  })
})
