// The gradient rule of contractions by the adjoint identity ⟨G, C(a,b)⟩ = ⟨a, Ca(G,b)⟩ = ⟨b, Cb(G,a)⟩, which is
// exact for bilinear maps and needs no step size: over convolutions in 1, 2 and 3 dimensions, grouped and
// transposed, matrix products and odd contractions, each to second order. And the specs against plain loops.
import { describe, expect, it } from 'vitest'
import { sizeOf } from '../base/shape.js'
import { checkContract } from './check.js'
import {
  affine,
  type Contract,
  type ConvSizes,
  convSpec,
  convTransposeSpec,
  gradientOf,
  linearSpec,
  makeContract,
  matmulSpec,
  plain,
  showContract,
  showIndex,
} from './contract.js'
import { contractInto } from './loops.js'

type Shape = readonly number[]

/** A small seeded generator of numbers in −1 … 1 (mulberry32). */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1
  }
}

function run(spec: Contract, a: Float64Array, aShape: Shape, b: Float64Array, bShape: Shape) {
  const out = new Float64Array(sizeOf(spec.extents.slice(0, spec.rank)))
  contractInto(out, spec, a, aShape, b, bShape)
  return out
}

function dot(x: Float64Array, y: Float64Array): number {
  return x.reduce((sum, value, i) => sum + value * y[i], 0)
}

/** Straight from the definition: every combination of the axes, every index with its bounds. */
function slowly(spec: Contract, a: Float64Array, aShape: Shape, b: Float64Array, bShape: Shape) {
  const { extents, rank } = spec
  const out = new Float64Array(sizeOf(extents.slice(0, rank)))
  const at = extents.map(() => 0)
  const read = (data: Float64Array, shape: Shape, indices: Contract['a']): number => {
    let place = 0
    for (let d = 0; d < shape.length; d++) {
      const { terms, offset, divide } = indices[d]
      const i = terms.reduce((sum, [axis, c]) => sum + c * at[axis], offset) / divide
      if (!Number.isInteger(i) || i < 0 || i >= shape[d]) return 0
      place = place * shape[d] + i
    }
    return data[place]
  }
  for (let n = 0; n < sizeOf(extents); n++) {
    let rest = n
    for (let d = extents.length - 1; d >= 0; d--) {
      at[d] = rest % extents[d]
      rest = (rest - at[d]) / extents[d]
    }
    let place = 0
    for (let d = 0; d < rank; d++) place = place * extents[d] + at[d]
    out[place] += read(a, aShape, spec.a) * read(b, bShape, spec.b)
  }
  return out
}

/** Checks the identity for a spec and, `order` > 1, for its gradients; returns the number of checks. */
function adjoint(
  spec: Contract,
  aShape: Shape,
  bShape: Shape,
  order: number,
  next: () => number,
): number {
  const fill = (shape: Shape) => Float64Array.from({ length: sizeOf(shape) }, next)
  const a = fill(aShape)
  const b = fill(bShape)
  const outShape = spec.extents.slice(0, spec.rank)
  const G = fill(outShape)
  const forA = gradientOf(spec, 'a', aShape, bShape)
  const forB = gradientOf(spec, 'b', aShape, bShape)
  checkContract(forA, outShape, bShape)
  checkContract(forB, outShape, aShape)
  expect(forA.extents.slice(0, forA.rank)).toEqual(aShape)
  expect(forB.extents.slice(0, forB.rank)).toEqual(bShape)
  const out = run(spec, a, aShape, b, bShape)
  const whole = dot(G, out)
  const scale = Math.max(1, Math.sqrt(dot(G, G) * dot(out, out)))
  const text = () => `${showContract(spec)} over ${aShape} and ${bShape}`
  const viaA = dot(a, run(forA, G, outShape, b, bShape))
  const viaB = dot(b, run(forB, G, outShape, a, aShape))
  expect(Math.abs(whole - viaA) / scale, `for a of ${text()}`).toBeLessThan(1e-11)
  expect(Math.abs(whole - viaB) / scale, `for b of ${text()}`).toBeLessThan(1e-11)
  if (order === 1) return 2
  return (
    2 +
    adjoint(forA, outShape, bShape, order - 1, next) +
    adjoint(forB, outShape, aShape, order - 1, next)
  )
}

/** Shapes of x and w for the sizes, with `input` the spatial size of x. */
function shapes(s: ConvSizes, input: Shape, transposed: boolean): [Shape, Shape] {
  const g = s.groups > 1 ? [s.groups] : []
  const x = [s.batch, ...g, s.inChannels, ...input]
  const channels = transposed ? [s.inChannels, s.outChannels] : [s.outChannels, s.inChannels]
  return [x, [...g, ...channels, ...s.kernel]]
}

/** Every 1-d setting, then `count` random ones in `rank` dimensions. */
function* convolutions(rank: number, transposed: boolean, count: number, next: () => number) {
  const pick = (n: number) => Math.floor(((next() + 1) / 2) * n)
  const settings: number[][] = []
  for (const stride of [1, 2, 3])
    for (const padding of [0, 1, 2])
      for (const dilation of [1, 2, 3])
        for (const kernel of [1, 2, 3]) settings.push([stride, padding, dilation, kernel])
  const total = rank === 1 ? settings.length : count
  for (let i = 0; i < total; i++) {
    const chosen = Array.from({ length: rank }, () =>
      rank === 1 ? settings[i] : settings[pick(settings.length)],
    )
    const [stride, padding, dilation, kernel] = [0, 1, 2, 3].map((k) => chosen.map((s) => s[k]))
    const reach = kernel.map((k, d) => (k - 1) * dilation[d] + 1)
    const input = reach.map((r) =>
      transposed ? 1 + pick(4) : Math.max(r, 3 + pick(rank > 2 ? 2 : 5)),
    )
    const output = input.map((n, d) =>
      transposed
        ? (n - 1) * stride[d] - 2 * padding[d] + reach[d] + pick(stride[d])
        : Math.floor((n + 2 * padding[d] - reach[d]) / stride[d]) + 1,
    )
    if (output.some((n) => n < 1)) continue
    const groups = [1, 1, 2, 3][pick(4)]
    const sizes: ConvSizes = {
      batch: 1 + pick(2),
      groups,
      inChannels: 1 + pick(3),
      outChannels: 1 + pick(3),
      kernel,
      stride,
      padding,
      dilation,
      output,
    }
    yield { sizes, input }
  }
}

describe('gradients of contractions', () => {
  for (const rank of [1, 2, 3])
    for (const transposed of [false, true]) {
      const name = `${rank}-d ${transposed ? 'transposed ' : ''}convolutions`
      it(`${name} satisfy the adjoint identity to second order`, () => {
        const next = random(rank * 10 + Number(transposed))
        let checks = 0
        for (const { sizes, input } of convolutions(rank, transposed, rank === 2 ? 60 : 30, next)) {
          const spec = transposed ? convTransposeSpec(sizes) : convSpec(sizes)
          const [x, w] = shapes(sizes, input, transposed)
          checks += adjoint(spec, x, w, rank === 3 ? 2 : 3, next)
        }
        console.log(`${name}: ${checks} identities`)
        expect(checks).toBeGreaterThan(100)
      })
    }

  it('matrix products, batched and linear', () => {
    const next = random(5)
    adjoint(matmulSpec([], 3, 4, 5), [3, 5], [5, 4], 3, next)
    adjoint(matmulSpec([2, 3], 4, 5, 6), [2, 3, 4, 6], [2, 3, 6, 5], 3, next)
    adjoint(matmulSpec([], 1, 1, 1), [1, 1], [1, 1], 3, next)
    adjoint(linearSpec([7], 3, 5), [7, 5], [3, 5], 3, next)
    adjoint(linearSpec([], 3, 5), [5], [3, 5], 3, next)
    adjoint(linearSpec([2, 3, 4], 3, 5), [2, 3, 4, 5], [3, 5], 3, next)
  })

  it('odd ones: a scalar operand, the adjoint of windows, broadcasts, axes of one operand alone', () => {
    const next = random(6)
    const windows = makeContract({
      extents: [2, 9, 3],
      rank: 2,
      a: [
        plain(0),
        affine(
          [
            [1, 1],
            [2, -2],
          ],
          1,
          2,
        ),
        plain(2),
      ],
      b: [],
    })
    adjoint(windows, [2, 5, 3], [], 3, next)
    const outer = makeContract({ extents: [3, 4], rank: 2, a: [plain(0)], b: [plain(1)] })
    adjoint(outer, [3], [4], 3, next)
    const dotProduct = makeContract({ extents: [6], rank: 0, a: [plain(0)], b: [plain(0)] })
    adjoint(dotProduct, [6], [6], 3, next)
    const repeated = makeContract({
      extents: [3, 4, 5],
      rank: 2,
      a: [affine([], 0), plain(2)],
      b: [plain(0), affine([], 0)],
    })
    adjoint(repeated, [1, 5], [3, 1], 3, next)
    // A stride over an output axis alone, reversed, and cropped.
    const reversed = makeContract({
      extents: [4, 3],
      rank: 1,
      a: [affine([[0, -2]], 6), plain(1)],
      b: [plain(1)],
    })
    adjoint(reversed, [9, 3], [3], 3, next)
  })

  it('eliminates the axis that leaves the fewest terms: a convolution’s gradient is a convolution', () => {
    const spec = convSpec({
      batch: 2,
      groups: 1,
      inChannels: 3,
      outChannels: 4,
      kernel: [5],
      stride: [2],
      padding: [1],
      dilation: [1],
      output: [10],
    })
    const x = [2, 3, 22]
    const w = [4, 3, 5]
    expect(showContract(spec)).toBe('i=2 j=4 k=10 | l=3 m=5: a[i, l, 2k+m-1] b[j, l, m]')
    const forX = gradientOf(spec, 'a', x, w)
    expect(showContract(forX)).toBe('i=2 j=3 k=22 | l=4 m=5: a[i, l, (k-m+1)/2] b[l, j, m]')
    const forW = gradientOf(spec, 'b', x, w)
    expect(showContract(forW)).toBe('i=4 j=3 k=5 | l=2 m=10: a[l, i, m] b[l, j, k+2m-1]')
    // The gradient for x of the gradient for w is that of the convolution again.
    expect(showContract(gradientOf(forW, 'b', [2, 4, 10], x))).toBe(
      'i=2 j=3 k=22 | l=4 m=5: a[l, j, m] b[i, l, (k-m+1)/2]',
    )
    expect(gradientOf(spec, 'a', x, w)).toBe(forX)
  })

  it('refuses diagonals and fixed positions', () => {
    const diagonal = makeContract({
      extents: [4, 2],
      rank: 2,
      a: [plain(0), plain(0)],
      b: [plain(1)],
    })
    expect(() => gradientOf(diagonal, 'a', [4, 4], [2])).toThrow(/diagonals such as a\[i, i\]/)
    const fixed = makeContract({ extents: [4], rank: 1, a: [plain(0), affine([], 2)], b: [] })
    expect(() => gradientOf(fixed, 'a', [4, 3], [])).toThrow(/fixed position 2 of 3/)
  })
})

describe('the interpreter’s contraction', () => {
  it('agrees with the definition on convolutions and their gradients', () => {
    const next = random(7)
    const fill = (shape: Shape) => Float64Array.from({ length: sizeOf(shape) }, next)
    const compare = (spec: Contract, aShape: Shape, bShape: Shape) => {
      const a = fill(aShape)
      const b = fill(bShape)
      const fast = run(spec, a, aShape, b, bShape)
      const slow = slowly(spec, a, aShape, b, bShape)
      const text = `${showContract(spec)} over ${aShape} and ${bShape}`
      for (let i = 0; i < fast.length; i++)
        expect(Math.abs(fast[i] - slow[i]), text).toBeLessThan(1e-12)
    }
    for (const rank of [1, 2])
      for (const transposed of [false, true])
        for (const { sizes, input } of convolutions(rank, transposed, 15, next)) {
          const spec = transposed ? convTransposeSpec(sizes) : convSpec(sizes)
          const [x, w] = shapes(sizes, input, transposed)
          const outShape = spec.extents.slice(0, spec.rank)
          compare(spec, x, w)
          compare(gradientOf(spec, 'a', x, w), outShape, w)
          compare(gradientOf(spec, 'b', x, w), outShape, x)
        }
  })
})

describe('specs', () => {
  it('are remembered by their numbers, and differ in hash when they differ', () => {
    expect(matmulSpec([2], 3, 4, 5)).toBe(matmulSpec([2], 3, 4, 5))
    const hashes = [
      matmulSpec([], 3, 4, 5),
      matmulSpec([], 3, 5, 4),
      matmulSpec([3], 4, 5, 1),
      linearSpec([3], 4, 5),
      linearSpec([], 4, 5),
    ].map((spec) => spec.hash)
    expect(new Set(hashes).size).toBe(hashes.length)
  })

  it('bring indices into normal form', () => {
    expect(
      showIndex(
        affine(
          [
            [1, 2],
            [0, 4],
            [1, 2],
          ],
          -2,
          2,
        ),
      ),
    ).toBe('2i+2j-1')
    expect(
      showIndex(
        affine(
          [
            [0, 1],
            [0, -1],
          ],
          3,
        ),
      ),
    ).toBe('3')
    expect(
      showIndex(
        affine(
          [
            [0, 2],
            [1, -1],
          ],
          0,
          2,
        ),
      ),
    ).toBe('(2i-j)/2')
  })
})
