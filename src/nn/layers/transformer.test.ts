// Attention and Transformer layers: masks, orders of dimensions, stacks, names; and positional encodings. PyTorch's own
// values are compared in test/golden.test.ts.
import { beforeAll, describe, expect, it } from 'vitest'
import { difference, fill, uniform } from '../../../test/support.js'
import { tensor, zeros } from '../../tensor/create.js'
import { setDevice } from '../../tensor/devices.js'
import { concat, type Tensor } from '../../tensor/tensor.js'
import * as nn from '../index.js'

beforeAll(async () => {
  await setDevice('reference')
})

const made = (name: string, ...shape: readonly number[]) => tensor(uniform(name, shape), { shape })
const filled = <M extends nn.AnyModule>(layer: M): M => {
  for (const [name, parameter] of Object.entries(layer.stateDict()))
    parameter.set(fill(name, parameter.shape))
  return layer.eval()
}
const bool = (rows: readonly (readonly number[])[]) =>
  tensor(rows.map((row) => row.map((x) => x === 1)))
async function same(a: Tensor, b: Tensor, tolerance = 1e-5): Promise<void> {
  expect(a.shape).toEqual(b.shape)
  const [found, expected] = await Promise.all([a.data(), b.data()])
  expect(difference(found, expected, tolerance)).toBeUndefined()
}

describe('MultiheadAttention', () => {
  const [q, k, v] = [made('q', 2, 3, 8), made('k', 2, 4, 8), made('v', 2, 4, 8)]
  const attention = filled(new nn.MultiheadAttention(8, 2, { batchFirst: true }))

  it('takes [length, N, E] unless the batch comes first', async () => {
    const plain = filled(new nn.MultiheadAttention(8, 2))
    const [seen, weights] = plain.forward(...([q, k, v].map((x) => x.transpose(0, 1)) as [Tensor]))
    const [expected, others] = attention.forward(q, k, v)
    await same(seen.transpose(0, 1), expected)
    await same(weights, others)
    expect(weights.shape).toEqual([2, 3, 4])
  })

  it('gives the weights of each head, of which the others are means', async () => {
    const [, each] = attention.forward(q, k, v, { averageAttnWeights: false })
    expect(each.shape).toEqual([2, 2, 3, 4])
    await same(attention.forward(q, k, v)[1], each.mean(1))
    await same(each.sum(-1), each.sum(-1).mul(0).add(1))
  })

  it('hides padded keys: as if they were not there', async () => {
    const keyPaddingMask = bool([
      [0, 0, 0, 1],
      [0, 0, 0, 1],
    ])
    const [seen, weights] = attention.forward(q, k, v, { keyPaddingMask })
    const cut = (x: Tensor) => x.slice(0, 3, { dim: 1 })
    const [expected] = attention.forward(q, cut(k), cut(v))
    await same(seen, expected)
    expect(await weights.slice(3, 4, { dim: 2 }).abs().sum().item()).toBe(0)
    const added = tensor([
      [0, 0, 0, -Infinity],
      [0, 0, 0, -Infinity],
    ])
    await same(attention.forward(q, k, v, { keyPaddingMask: added })[0], seen)
  })

  it('hides by attnMask, true where a query must not see a key, for all or for each head', async () => {
    const mask = bool([
      [0, 1, 1, 1],
      [0, 0, 1, 1],
      [0, 0, 0, 1],
    ])
    const [seen] = attention.forward(q, k, v, { attnMask: mask })
    await same(attention.forward(q, k, v, { isCausal: true })[0], seen)
    const wide = mask.unsqueeze(0).expand(4, 3, 4)
    await same(attention.forward(q, k, v, { attnMask: wide })[0], seen)
    const added = mask.float().mul(-1e9)
    await same(attention.forward(q, k, v, { attnMask: added })[0], seen)
    // The first query sees the first key only.
    const first = (x: Tensor) => x.slice(0, 1, { dim: 1 })
    const [alone] = attention.forward(first(q), first(k), first(v))
    await same(first(seen), alone)
    // One that differs between heads: example 0, head 1 sees nothing but key 2.
    const only = bool([[1, 1, 0, 1]])
      .expand(3, 4)
      .unsqueeze(0)
    const free = zeros([1, 3, 4]).gt(0)
    const [, weights] = attention.forward(q, k, v, {
      attnMask: concat([free, only, free, free], 0),
      averageAttnWeights: false,
    })
    const values = await weights.data()
    expect([...values.subarray(12, 16)]).toEqual([0, 0, 1, 0])
    expect(values[0]).toBeGreaterThan(0)
    expect(values[0]).toBeLessThan(1)
  })

  it('projects keys and values of other sizes by weights of their own', async () => {
    const other = new nn.MultiheadAttention(8, 2, { kdim: 5, vdim: 3, batchFirst: true })
    expect(Object.keys(other.stateDict())).toEqual([
      'q_proj_weight',
      'k_proj_weight',
      'v_proj_weight',
      'in_proj_bias',
      'out_proj.weight',
      'out_proj.bias',
    ])
    filled(other)
    const [key, value] = [made('key', 2, 4, 5), made('value', 2, 4, 3)]
    const [seen] = other.forward(q, key, value)
    // The same with keys and values projected outside.
    const own = other.stateDict()
    const inside = new nn.MultiheadAttention(8, 2, { batchFirst: true }).eval()
    const eye = tensor(
      Float32Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 1 : 0)),
      {
        shape: [8, 8],
      },
    )
    inside.loadStateDict({
      in_proj_weight: concat([own.q_proj_weight, eye, eye], 0),
      in_proj_bias: own.in_proj_bias,
      'out_proj.weight': own['out_proj.weight'],
      'out_proj.bias': own['out_proj.bias'],
    })
    const projected = [
      key.matmul(own.k_proj_weight.transpose(0, 1)),
      value.matmul(own.v_proj_weight.transpose(0, 1)),
    ]
    await same(seen, inside.forward(q, ...(projected as [Tensor, Tensor]))[0])
  })

  it('says what is wrong', () => {
    expect(() => new nn.MultiheadAttention(8, 3)).toThrow(/3 heads do not divide 8 features/)
    expect(() => attention.forward(made('x', 2, 3, 7))).toThrow(
      /the query \[2, 3, 7\] must be \[N, length, 8\]/,
    )
    expect(() => attention.forward(q, made('x', 3, 4, 8))).toThrow(/must have as many examples/)
    expect(() => attention.forward(q, k, v, { attnMask: zeros([4, 3]) })).toThrow(
      /attnMask \[4, 3\] must be \[3, 4\], or \[4, 3, 4\]/,
    )
    expect(() => attention.forward(q, k, v, { keyPaddingMask: zeros([4, 2]) })).toThrow(
      /keyPaddingMask \[4, 2\] must be \[2, 4\]/,
    )
    for (const dtype of ['int32', 'uint8'] as const) {
      expect(() =>
        attention.forward(q, k, v, { keyPaddingMask: zeros([2, 4], { dtype }) }),
      ).toThrow(
        new RegExp(
          `keyPaddingMask is ${dtype}.*bool, true.*hidden.*use keyPaddingMask\\.bool\\(\\)`,
        ),
      )
      expect(() => attention.forward(q, k, v, { attnMask: zeros([3, 4], { dtype }) })).toThrow(
        new RegExp(`attnMask is ${dtype}.*use attnMask\\.bool\\(\\)`),
      )
    }
  })
})

describe('Transformer', () => {
  const sizes = { dModel: 8, nhead: 2, dimFeedforward: 6, batchFirst: true }
  const [src, tgt] = [made('src', 2, 4, 8), made('tgt', 2, 3, 8)]

  it('has the names of torch.nn.Transformer, layers that differ, and Glorot weights', async () => {
    const model = new nn.Transformer({ ...sizes, numEncoderLayers: 2, numDecoderLayers: 1 })
    const names = Object.keys(model.stateDict())
    expect(names.length).toBe(2 * 12 + 2 + 18 + 2)
    for (const name of [
      'encoder.layers.1.self_attn.in_proj_weight',
      'encoder.layers.0.linear2.bias',
      'encoder.norm.weight',
      'decoder.layers.0.multihead_attn.out_proj.weight',
      'decoder.layers.0.norm3.bias',
      'decoder.norm.bias',
    ])
      expect(names).toContain(name)
    const [a, b] = ['0', '1'].map((i) => model.stateDict()[`encoder.layers.${i}.linear1.weight`])
    expect(await a.data()).not.toEqual(await b.data())
    const bound = Math.sqrt(6 / (8 + 6))
    const largest = await a.abs().amax().item()
    expect(largest).toBeLessThanOrEqual(bound)
    expect(largest).toBeGreaterThan(bound / 2)
  })

  it('is its encoder and decoder, with the masks of each', async () => {
    const model = filled(new nn.Transformer({ ...sizes, numEncoderLayers: 1, numDecoderLayers: 2 }))
    const padding = bool([
      [0, 0, 0, 1],
      [0, 0, 1, 1],
    ])
    const masks = {
      srcKeyPaddingMask: padding,
      memoryKeyPaddingMask: padding,
      tgtMask: nn.Transformer.generateSquareSubsequentMask(3),
    }
    const found = model.forward(src, tgt, masks)
    const memory = model.encoder.forward(src, { srcKeyPaddingMask: padding })
    const expected = model.decoder.forward(tgt, memory, {
      tgtIsCausal: true,
      memoryKeyPaddingMask: padding,
    })
    await same(found, expected)
    // What is padding changes nothing; what comes later neither.
    const other = src.add(padding.float().unsqueeze(2).mul(5))
    await same(model.forward(other, tgt, masks), found)
    const later = tgt.add(tensor([0, 0, 1]).reshape(1, 3, 1))
    const two = (x: Tensor) => x.slice(0, 2, { dim: 1 })
    await same(two(model.forward(src, later, masks)), two(found))
  })

  it('drops in training only, and takes any activation', async () => {
    const layer = new nn.TransformerEncoderLayer(8, 2, {
      dimFeedforward: 6,
      dropout: 0.5,
      activation: nn.silu,
      batchFirst: true,
    })
    const [a, b] = await Promise.all([layer.forward(src).data(), layer.forward(src).data()])
    expect(a).not.toEqual(b)
    layer.eval()
    const [c, d] = await Promise.all([layer.forward(src).data(), layer.forward(src).data()])
    expect(c).toEqual(d)
    expect(() => new nn.TransformerEncoderLayer(8, 2, { activation: 'tanh' as 'relu' })).toThrow(
      /TransformerEncoderLayer: activation 'tanh' must be 'relu', 'gelu'/,
    )
  })

  it('hides what comes later by −Infinity', async () => {
    const mask = nn.Transformer.generateSquareSubsequentMask(3)
    expect([...(await mask.data())]).toEqual([0, -Infinity, -Infinity, 0, 0, -Infinity, 0, 0, 0])
  })
})

describe('positions', () => {
  it('as sine waves', async () => {
    const table = await nn.sinusoidalPositions(3, 4).data()
    const expected = [0, 1, 2].flatMap((p) => [
      Math.sin(p),
      Math.cos(p),
      Math.sin(p / 100),
      Math.cos(p / 100),
    ])
    expect(difference(table, expected, 1e-6)).toBeUndefined()
    const x = made('x', 2, 3, 4)
    const encoding = new nn.SinusoidalEncoding(4, { maxLen: 3, batchFirst: true })
    expect(encoding.parameters()).toEqual([])
    expect(encoding.stateDict()).toEqual({})
    await same(encoding.forward(x), x.add(nn.sinusoidalPositions(3, 4)))
    const plain = new nn.SinusoidalEncoding(4)
    await same(plain.forward(x.transpose(0, 1)).transpose(0, 1), encoding.forward(x))
    expect(() => encoding.forward(made('y', 1, 4, 4))).toThrow(/4 positions, but the table has 3/)
    expect(() => encoding.forward(made('y', 1, 2, 5))).toThrow(/must be \[N, length, 4\]/)
  })

  it('as learned rows', async () => {
    const encoding = new nn.LearnedEncoding(5, 4, { batchFirst: true })
    const x = made('x', 2, 3, 4)
    await same(encoding.forward(x), x.add(encoding.weight.slice(0, 3)))
    expect(Object.keys(encoding.stateDict())).toEqual(['weight'])
  })

  it.each([false, true])(
    'as rotations (interleaved: %s): scores depend on distances',
    async (interleaved) => {
      const [q, k] = [made('q', 1, 6), made('k', 1, 6)]
      const score = (a: number, b: number) => {
        const turned = ([x, p]: readonly [Tensor, number]) =>
          nn.rotaryEmbedding(x, { interleaved, positions: tensor(Int32Array.of(p)) })
        return turned([q, a])
          .mul(turned([k, b]))
          .sum()
          .item()
      }
      expect(await score(7, 4)).toBeCloseTo(await score(103, 100), 4)
      expect(await score(4, 4)).toBeCloseTo(await q.mul(k).sum().item(), 5)
      expect(Math.abs((await score(7, 4)) - (await score(4, 7)))).toBeGreaterThan(1e-3)
      const x = made('x', 2, 3, 6)
      const values = await nn.rotaryEmbedding(x, { interleaved }).data()
      const given = await x.data()
      // Position 2, the second pair, by hand.
      const [i, j] = interleaved ? [2, 3] : [1, 4]
      const angle = 2 * 10_000 ** (-1 / 3)
      const [a, b] = [given[12 + i], given[12 + j]]
      expect(values[12 + i]).toBeCloseTo(a * Math.cos(angle) - b * Math.sin(angle), 5)
      expect(values[12 + j]).toBeCloseTo(b * Math.cos(angle) + a * Math.sin(angle), 5)
      expect(() => nn.rotaryEmbedding(made('z', 2, 3))).toThrow(/with even E/)
    },
  )

  it('as slopes', async () => {
    const bias = await nn.alibiBias(8, 2, 3).data()
    expect(bias.length).toBe(8 * 2 * 3)
    // Head 0 has the slope 1/2; the queries are positions 1 and 2.
    expect([...bias.subarray(0, 6)].map((x) => x + 0)).toEqual([-0.5, 0, -0.5, -1, -0.5, 0])
    expect(bias[7 * 6 + 3]).toBeCloseTo(-2 / 256, 8)
    // Twelve heads: eight of their own, then every other slope of sixteen.
    const twelve = await nn.alibiBias(12, 1, 2).data()
    const slopes = Array.from({ length: 12 }, (_, h) => -twelve[2 * h])
    const expected = [
      ...[1, 2, 3, 4, 5, 6, 7, 8].map((n) => 2 ** -n),
      ...[1, 3, 5, 7].map((n) => 2 ** (-n / 2)),
    ]
    slopes.forEach((slope, h) => {
      expect(slope).toBeCloseTo(expected[h], 6)
    })
  })
})

describe('blocks', () => {
  it('convolution, norm and activation as torchvision makes them', () => {
    const plain = new nn.Conv2dNormActivation(3, 4, { normLayer: null, activationLayer: null })
    expect(Object.keys(plain.stateDict())).toEqual(['0.weight', '0.bias'])
    const normed = new nn.Conv2dNormActivation(3, 4, { dilation: 2 })
    expect(normed.length).toBe(3)
    expect(Object.keys(normed.stateDict())).not.toContain('0.bias')
    expect(normed.forward(zeros([1, 3, 9, 9])).shape).toEqual([1, 4, 9, 9])
  })
})
