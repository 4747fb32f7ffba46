// Functions exported to ONNX against ONNX Runtime, for batches of two, three and one; and read again.
import { describe, expect, it } from 'vitest'
import type { Shape } from '../src/base/shape.js'
import { affine, type Contract, makeContract, plain } from '../src/graph/contract.js'
import { contract } from '../src/graph/node.js'
import type { ExampleInput, Exportable } from '../src/io/onnx/export.js'
import { TensorType } from '../src/io/onnx/wire.js'
import * as nn from '../src/nn/index.js'
import { arange, tensor } from '../src/tensor/create.js'
import { Parameter } from '../src/tensor/parameter.js'
import { einsum } from '../src/tensor/products.js'
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
  const compare = async (
    model: Exportable,
    given: readonly ExampleInput[][],
    options: Options & { readonly back?: boolean } = {},
  ) => {
    if (!ort) throw new Error('onnxruntime is absent')
    return compareExport(ort, model, given, options)
  }

  it.each(Object.entries(functions))('%s', async (_, [fn, options = {}]) => {
    const at = (batch: number) =>
      ['x', 'y'].map((name) => values(`${name} ${batch}`, [batch, 4, 5]))
    const given = options.dynamic === false ? [at(2)] : [at(2), at(3), at(1)]
    await compare(fn, given, { ...options, back: true })
  })

  it.each([
    ['float16', TensorType.FLOAT16],
    ['bfloat16', TensorType.BFLOAT16],
  ] as const)('parameters of %s are stored as such', async (dtype, type) => {
    class Half extends nn.Module {
      weight = new Parameter(
        tensor(Float32Array.of(1, 2, 3, 0.1, 0.2, 0.3), { shape: [2, 3] }).to(dtype),
      )
      forward(x: Tensor): Tensor {
        return nn.linear(x, this.weight.float())
      }
    }
    const { graph } = await compare(new Half(), [[values('x', [2, 3])]])
    const stored = graph.initializer?.find(({ name }) => name === 'weight')
    expect(stored?.dataType).toBe(type)
    expect(stored?.rawData?.length).toBe(2 * 6)
  })

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
})
