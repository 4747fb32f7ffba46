// Functions exported to ONNX against ONNX Runtime, and what exportOnnx promises besides: names, metadata, refusals, the model
// left as it was.
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
import { compareExport, operators, values } from './onnx-out.js'
import { onnxruntime } from './peers.js'

const ort = onnxruntime()

interface Options {
  readonly batchDim?: number
  readonly dynamic?: boolean
}

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

describe.skipIf(ort === undefined)('functions exported to ONNX', () => {
  it.each(Object.entries(functions))('%s', async (_, [fn, options = {}]) => {
    if (!ort) return
    const at = (batch: number) =>
      ['x', 'y'].map((name) => values(`${name} ${batch}`, [batch, 4, 5]))
    const given = options.dynamic === false ? [at(2)] : [at(2), at(3), at(1)]
    await compareExport(ort, fn, given, { ...options, back: true })
  })
})

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
    // An even batch and an odd one are not the same here.
    const parity = (x: Tensor) => x.mul(1 + (x.shape[0] % 2))
    await exportOnnx(parity, values('x', [2, 3]), { onFixedBatch: (text) => reasons.push(text) })
    expect(reasons.length).toBe(3)
    await expect(
      exportOnnx((x: Tensor) => x.reshape(2, 3), values('x', [2, 3]), { dynamicBatch: true }),
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
