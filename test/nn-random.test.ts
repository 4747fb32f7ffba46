// Convolutions, pools, unfold and interpolation with hyper-parameters drawn at random, against plain loops over
// positions and taps; and what they give back, by the adjoint identity. A failure prints its seed.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random } from '../src/base/random.js'
import * as F from '../src/nn/functional.js'
import { grad } from '../src/tensor/backward.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { difference } from './support.js'

const CASES = 40
const seeds = Array.from({ length: CASES }, (_, i) => i + 1)

/** Draws of one case. */
class Draw {
  readonly random: Random
  constructor(seed: number) {
    this.random = new Random(seed)
  }
  int(low: number, high: number): number {
    return low + this.random.below(high - low + 1)
  }
  each(rank: number, low: number, high: number): number[] {
    return Array.from({ length: rank }, () => this.int(low, high))
  }
  pick<T>(items: readonly T[]): T {
    return items[this.random.below(items.length)]
  }
  values(shape: readonly number[]): Block {
    const size = shape.reduce((product, n) => product * n, 1)
    return new Block(
      shape,
      Float32Array.from({ length: size }, () => this.random.word() / 2 ** 31 - 1),
    )
  }
}

/** Numbers with a shape, read by position; 0 outside unless told. */
class Block {
  readonly shape: readonly number[]
  readonly data: Float32Array | Float64Array
  constructor(shape: readonly number[], data?: Float32Array) {
    this.shape = shape
    this.data = data ?? new Float64Array(shape.reduce((product, n) => product * n, 1))
  }
  at(position: readonly number[]): number | undefined {
    let flat = 0
    for (let d = 0; d < this.shape.length; d++) {
      if (position[d] < 0 || position[d] >= this.shape[d]) return undefined
      flat = flat * this.shape[d] + position[d]
    }
    return flat
  }
  get(position: readonly number[]): number {
    const flat = this.at(position)
    return flat === undefined ? 0 : this.data[flat]
  }
  add(position: readonly number[], value: number): void {
    const flat = this.at(position)
    if (flat !== undefined) this.data[flat] += value
  }
  get tensor(): Tensor {
    return tensor(Float32Array.from(this.data), { shape: this.shape })
  }
}

/** Every position of a shape. */
function* positions(shape: readonly number[]): Generator<number[]> {
  const size = shape.reduce((product, n) => product * n, 1)
  for (let flat = 0; flat < size; flat++) {
    const position = new Array<number>(shape.length)
    let rest = flat
    for (let d = shape.length - 1; d >= 0; d--) {
      position[d] = rest % shape[d]
      rest = Math.floor(rest / shape[d])
    }
    yield position
  }
}

const conv = [F.conv1d, F.conv2d, F.conv3d]
const transposed = [F.convTranspose1d, F.convTranspose2d, F.convTranspose3d]
const maxPool = [F.maxPool1d, F.maxPool2d, F.maxPool3d]
const maxPoolIndices = [F.maxPool1dWithIndices, F.maxPool2dWithIndices, F.maxPool3dWithIndices]
const avgPool = [F.avgPool1d, F.avgPool2d, F.avgPool3d]

/** Sizes so that the kernel fits. */
function geometry(draw: Draw, rank: number) {
  const kernel = draw.each(rank, 1, 3)
  const dilation = draw.each(rank, 1, 2)
  const stride = draw.each(rank, 1, 3)
  const padding = kernel.map((k) => draw.int(0, Math.floor(k / 2)))
  const size = kernel.map((k, d) => dilation[d] * (k - 1) + 1 + draw.int(0, 5))
  return { kernel, dilation, stride, padding, size }
}

async function close(actual: Tensor, expected: Block, text: string): Promise<void> {
  expect(actual.shape, text).toEqual(expected.shape)
  expect(difference(await actual.data(), expected.data, 1e-5, 1e-6), text).toBeUndefined()
}

describe.each(['reference', 'cpu'])('on %s', (device) => {
  beforeAll(async () => {
    await setDevice(device, { threads: 1 })
  })
  afterAll(closeDevices)

  it.each(seeds)('convolution, seed %d', async (seed) => {
    const draw = new Draw(seed)
    const rank = draw.int(1, 3)
    const { kernel, dilation, stride, size, ...rest } = geometry(draw, rank)
    const groups = draw.pick([1, 1, 2, 3])
    const [inner, outer] = draw.each(2, 1, 3)
    const mode = draw.pick(['zeros', 'zeros', 'reflect', 'replicate', 'circular'] as const)
    const same = draw.int(0, 3) === 0
    if (same) stride.fill(1)
    const both = kernel.map((k, d) => dilation[d] * (k - 1))
    const low = same ? both.map((n) => Math.floor(n / 2)) : rest.padding
    const high = same ? both.map((n, d) => n - low[d]) : low
    const x = draw.values([draw.int(1, 2), groups * inner, ...size])
    const w = draw.values([groups * outer, inner, ...kernel])
    const bias = draw.values([groups * outer])
    const text = `seed ${seed}: ${JSON.stringify({ x: x.shape, w: w.shape, stride, low, high, dilation, groups, mode })}`
    const output = size.map(
      (n, d) => Math.floor((n + low[d] + high[d] - both[d] - 1) / stride[d]) + 1,
    )
    /** Where a padded position reads: itself, mirrored, at the edge, or wrapped. */
    const source = (h: number, n: number): number => {
      if (h >= 0 && h < n) return h
      if (mode === 'reflect') return h < 0 ? -h : 2 * (n - 1) - h
      if (mode === 'replicate') return h < 0 ? 0 : n - 1
      return mode === 'circular' ? (h + n) % n : -1
    }
    const y = new Block([x.shape[0], groups * outer, ...output])
    for (const [n, o, ...at] of positions(y.shape)) {
      const group = Math.floor(o / outer)
      y.add([n, o, ...at], bias.data[o])
      for (const [c, ...tap] of positions([inner, ...kernel])) {
        const from = at.map((p, d) =>
          source(p * stride[d] + tap[d] * dilation[d] - low[d], size[d]),
        )
        y.add([n, o, ...at], x.get([n, group * inner + c, ...from]) * w.get([o, c, ...tap]))
      }
    }
    const [tx, tw] = [x.tensor, w.tensor]
    const padding = same ? ('same' as const) : low
    const options = { stride, padding, dilation, groups, paddingMode: mode }
    const result = conv[rank - 1](tx, tw, bias.tensor, options)
    await close(result, y, text)
    // ⟨G, C(x, w)⟩ = ⟨x, ∂x⟩ = ⟨w, ∂w⟩ for the product without bias.
    const G = draw.values(y.shape).tensor
    const product = conv[rank - 1](tx, tw, undefined, options).mul(G).sum()
    const [gx, gw] = grad(product, [tx, tw])
    const [s, a, b] = await Promise.all(
      [product, gx.mul(tx).sum(), gw.mul(tw).sum()].map((t) => t.item()),
    )
    expect(Math.abs(a - s), text).toBeLessThan(1e-4 * Math.max(1, Math.abs(s)))
    expect(Math.abs(b - s), text).toBeLessThan(1e-4 * Math.max(1, Math.abs(s)))
  })

  it.each(seeds)('transposed convolution, seed %d', async (seed) => {
    const draw = new Draw(seed + 1000)
    const rank = draw.int(1, 3)
    const { kernel, dilation, stride, padding } = geometry(draw, rank)
    const size = draw.each(rank, 1, 4)
    const groups = draw.pick([1, 1, 2])
    const [inner, outer] = draw.each(2, 1, 3)
    const outputPadding = stride.map((s, d) => draw.int(0, Math.max(s, dilation[d]) - 1))
    const output = size.map(
      (n, d) =>
        (n - 1) * stride[d] - 2 * padding[d] + dilation[d] * (kernel[d] - 1) + outputPadding[d] + 1,
    )
    const x = draw.values([draw.int(1, 2), groups * inner, ...size])
    const w = draw.values([groups * inner, outer, ...kernel])
    const options = { stride, padding, dilation, groups, outputPadding }
    const text = `seed ${seed}: ${JSON.stringify({ x: x.shape, w: w.shape, ...options })}`
    if (output.some((n) => n < 1)) {
      expect(() => transposed[rank - 1](x.tensor, w.tensor, undefined, options)).toThrow(
        /gives nothing/,
      )
      return
    }
    const y = new Block([x.shape[0], groups * outer, ...output])
    for (const [n, c, ...at] of positions(x.shape)) {
      const group = Math.floor(c / inner)
      for (const [o, ...tap] of positions([outer, ...kernel])) {
        const to = at.map((p, d) => p * stride[d] + tap[d] * dilation[d] - padding[d])
        y.add([n, group * outer + o, ...to], x.get([n, c, ...at]) * w.get([c, o, ...tap]))
      }
    }
    await close(transposed[rank - 1](x.tensor, w.tensor, undefined, options), y, text)
  })

  it.each(seeds)('pooling, seed %d', async (seed) => {
    const draw = new Draw(seed + 2000)
    const rank = draw.int(1, 3)
    const { kernel, dilation, stride, padding, size } = geometry(draw, rank)
    const ceilMode = draw.int(0, 1) === 1
    const count = (n: number, d: number, reach: number) => {
      const room = (n + 2 * padding[d] - reach) / stride[d]
      const windows = (ceilMode ? Math.ceil(room) : Math.floor(room)) + 1
      return ceilMode && (windows - 1) * stride[d] >= n + padding[d] ? windows - 1 : windows
    }
    const x = draw.values([draw.int(1, 2), 2, ...size])
    const text = `seed ${seed}: ${JSON.stringify({ x: x.shape, kernel, dilation, stride, padding, ceilMode })}`

    const most = size.map((n, d) => count(n, d, dilation[d] * (kernel[d] - 1) + 1))
    const largest = new Block([...x.shape.slice(0, 2), ...most])
    const places: number[] = []
    for (const [n, c, ...at] of positions(largest.shape)) {
      let best = Number.NEGATIVE_INFINITY
      let place = -1
      for (const tap of positions(kernel)) {
        const from = at.map((p, d) => p * stride[d] + tap[d] * dilation[d] - padding[d])
        const flat = x.at([n, c, ...from])
        if (flat === undefined || x.data[flat] <= best) continue
        best = x.data[flat]
        place = from.reduce((sum, p, d) => sum * size[d] + p, 0)
      }
      largest.add([n, c, ...at], best)
      places.push(place)
    }
    const options = { stride, padding, dilation, ceilMode }
    await close(maxPool[rank - 1](x.tensor, kernel, options), largest, text)
    const pooled = maxPoolIndices[rank - 1](x.tensor, kernel, options)
    expect([...(await pooled.indices.data())], text).toEqual(places)

    const plain = size.map((n, d) => count(n, d, kernel[d]))
    const countIncludePad = draw.int(0, 1) === 1
    const divisorOverride = draw.pick([undefined, undefined, 3])
    const means = new Block([...x.shape.slice(0, 2), ...plain])
    for (const [n, c, ...at] of positions(means.shape)) {
      let sum = 0
      let inside = 0
      let padded = 0
      for (const tap of positions(kernel)) {
        const from = at.map((p, d) => p * stride[d] + tap[d] - padding[d])
        sum += x.get([n, c, ...from])
        if (x.at([n, c, ...from]) !== undefined) inside++
        if (from.every((p, d) => p < size[d] + padding[d])) padded++
      }
      const divisor = divisorOverride ?? (countIncludePad ? padded : inside)
      means.add([n, c, ...at], sum / divisor)
    }
    const average = avgPool[rank - 1](x.tensor, kernel, {
      stride,
      padding,
      ceilMode,
      countIncludePad,
      divisorOverride,
    })
    await close(average, means, `${text} ${countIncludePad} ${divisorOverride}`)
  })

  it.each(seeds)('adaptive pooling, seed %d', async (seed) => {
    const draw = new Draw(seed + 3000)
    const rank = draw.int(1, 3)
    const size = draw.each(rank, 1, 7)
    const output = draw.each(rank, 1, 5)
    const x = draw.values([1, 2, ...size])
    const text = `seed ${seed}: ${JSON.stringify({ size, output })}`
    const shape = [1, 2, ...output]
    const [means, largest] = [new Block(shape), new Block(shape)]
    for (const [n, c, ...at] of positions(shape)) {
      const from = at.map((i, d) => Math.floor((i * size[d]) / output[d]))
      const width = at.map((i, d) => Math.ceil(((i + 1) * size[d]) / output[d]) - from[d])
      const values = [...positions(width)].map((tap) =>
        x.get([n, c, ...tap.map((t, d) => from[d] + t)]),
      )
      means.add([n, c, ...at], values.reduce((s, v) => s + v, 0) / values.length)
      largest.add([n, c, ...at], Math.max(...values))
    }
    const mean = [F.adaptiveAvgPool1d, F.adaptiveAvgPool2d, F.adaptiveAvgPool3d]
    const max = [F.adaptiveMaxPool1d, F.adaptiveMaxPool2d, F.adaptiveMaxPool3d]
    await close(mean[rank - 1](x.tensor, output), means, text)
    await close(max[rank - 1](x.tensor, output), largest, text)
    await close(F.interpolate(x.tensor, { size: output, mode: 'area' }), means, text)
  })

  it.each(seeds)('unfold and fold, seed %d', async (seed) => {
    const draw = new Draw(seed + 4000)
    const { kernel, dilation, stride, padding, size } = geometry(draw, 2)
    const x = draw.values([2, 2, ...size])
    const options = { stride, padding, dilation }
    const text = `seed ${seed}: ${JSON.stringify({ x: x.shape, kernel, ...options })}`
    const output = size.map(
      (n, d) =>
        Math.floor((n + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) / stride[d]) + 1,
    )
    const taps = kernel[0] * kernel[1]
    const columns = new Block([2, 2 * taps, output[0] * output[1]])
    for (const [n, c, ky, kx, y, z] of positions([2, 2, ...kernel, ...output])) {
      const from = [ky, kx].map((t, d) => [y, z][d] * stride[d] + t * dilation[d] - padding[d])
      columns.add([n, c * taps + ky * kernel[1] + kx, y * output[1] + z], x.get([n, c, ...from]))
    }
    const tx = x.tensor
    const unfolded = F.unfold(tx, kernel, options)
    await close(unfolded, columns, text)
    // fold is the adjoint of unfold: ⟨unfold(x), G⟩ = ⟨x, fold(G)⟩.
    const G = draw.values(columns.shape).tensor
    const folded = F.fold(G, size, kernel, options)
    const [a, b] = await Promise.all([unfolded.mul(G).sum().item(), folded.mul(tx).sum().item()])
    expect(Math.abs(a - b), text).toBeLessThan(1e-4 * Math.max(1, Math.abs(a)))
  })

  it.each(seeds)('interpolation, seed %d', async (seed) => {
    const draw = new Draw(seed + 5000)
    const rank = draw.int(1, 3)
    const size = draw.each(rank, 1, 6)
    const output = draw.each(rank, 1, 9)
    const linear = ['linear', 'bilinear', 'trilinear'][rank - 1] as 'linear'
    const mode = draw.pick(['nearest', 'nearest-exact', linear] as const)
    const alignCorners = mode === linear && draw.int(0, 1) === 1
    const x = draw.values([1, 2, ...size])
    const text = `seed ${seed}: ${JSON.stringify({ size, output, mode, alignCorners })}`
    const y = new Block([1, 2, ...output])
    for (const [n, c, ...at] of positions(y.shape)) {
      // Along each dimension the two neighbours with their weights.
      const parts = at.map((i, d): (readonly [number, number])[] => {
        const last = size[d] - 1
        const ratio = size[d] / output[d]
        if (mode === 'nearest') return [[Math.min(Math.floor(i * ratio + 1e-6), last), 1]]
        if (mode === 'nearest-exact')
          return [[Math.min(Math.floor((i + 0.5) * ratio + 1e-6), last), 1]]
        const p = alignCorners
          ? output[d] > 1
            ? (i * last) / (output[d] - 1)
            : 0
          : Math.max((i + 0.5) * ratio - 0.5, 0)
        const low = Math.min(Math.floor(p), last)
        return [
          [low, 1 - (p - low)],
          [Math.min(low + 1, last), p - low],
        ]
      })
      for (const choice of positions(parts.map((list) => list.length))) {
        const picked = choice.map((k, d) => parts[d][k])
        const weight = picked.reduce((product, [, w]) => product * w, 1)
        y.add([n, c, ...at], weight * x.get([n, c, ...picked.map(([p]) => p)]))
      }
    }
    const tx = x.tensor
    const result = F.interpolate(tx, { size: output, mode, alignCorners })
    const product = result.mul(draw.values(y.shape).tensor).sum()
    const [gx] = grad(product, [tx])
    await close(result, y, text)
    const [a, b] = await Promise.all([product.item(), gx.mul(tx).sum().item()])
    expect(Math.abs(a - b), text).toBeLessThan(1e-4 * Math.max(1, Math.abs(a)))
  })
})
