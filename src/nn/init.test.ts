// Initial values: their distributions, structure, and that a seed gives the same ones.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { zeros } from '../tensor/create.js'
import { closeDevices, setDevice } from '../tensor/devices.js'
import { Parameter } from '../tensor/parameter.js'
import { manualSeed } from '../tensor/random.js'
import * as nn from './index.js'

const { init } = nn
beforeAll(async () => {
  await setDevice('reference')
})
afterAll(closeDevices)

const made = async (shape: readonly number[], set: (p: Parameter) => void) => {
  manualSeed(11)
  const p = new Parameter(zeros(shape))
  set(p)
  return [...(await p.data())]
}
const mean = (values: readonly number[]) => values.reduce((s, x) => s + x, 0) / values.length
const deviation = (values: readonly number[]) => {
  const m = mean(values)
  return Math.sqrt(mean(values.map((x) => (x - m) ** 2)))
}

describe('distributions', () => {
  // [out 40, in 30, 3×3]: fans 270 and 360.
  const shape = [40, 30, 3, 3]
  const cases: [string, (p: Parameter) => void, { mean?: number; std: number; bound?: number }][] =
    [
      ['uniform', (p) => init.uniform(p, 1, 3), { mean: 2, std: 2 / Math.sqrt(12), bound: 3 }],
      ['normal', (p) => init.normal(p, -1, 0.5), { mean: -1, std: 0.5 }],
      [
        'xavierUniform',
        (p) => init.xavierUniform(p, { gain: 2 }),
        { std: 2 * Math.sqrt(2 / 630), bound: 2 * Math.sqrt(6 / 630) },
      ],
      ['xavierNormal', (p) => init.xavierNormal(p), { std: Math.sqrt(2 / 630) }],
      [
        'kaimingUniform',
        (p) => init.kaimingUniform(p, { a: Math.sqrt(5) }),
        { std: Math.sqrt(1 / 3 / 270), bound: 1 / Math.sqrt(270) },
      ],
      [
        'kaimingNormal',
        (p) => init.kaimingNormal(p, { mode: 'fanOut', nonlinearity: 'relu' }),
        { std: Math.sqrt(2 / 360) },
      ],
      [
        'truncNormal',
        (p) => init.truncNormal(p, { mean: 0.5, std: 2, a: -1.5, b: 2.5 }),
        // Standard deviations from −1 to 1: variance 1 − 2·φ(1)/(Φ(1) − Φ(−1)).
        { mean: 0.5, std: 2 * Math.sqrt(0.2911253), bound: 2.5 },
      ],
    ]
  it.each(cases)('%s', async (_, set, expected) => {
    const values = await made(shape, set)
    expect(mean(values)).toBeCloseTo(expected.mean ?? 0, 1)
    expect(deviation(values) / expected.std).toBeGreaterThan(0.97)
    expect(deviation(values) / expected.std).toBeLessThan(1.03)
    if (expected.bound !== undefined) {
      expect(Math.max(...values)).toBeLessThanOrEqual(Math.fround(expected.bound))
      expect(Math.max(...values)).toBeGreaterThan(0.98 * expected.bound)
    }
    expect(await made(shape, set)).toEqual(values)
    manualSeed(12)
    const p = new Parameter(zeros(shape))
    set(p)
    expect([...(await p.data())]).not.toEqual(values)
  })
})

describe('structure', () => {
  it('constants and the identity', async () => {
    expect(await made([2], (p) => init.constant(p, 3))).toEqual([3, 3])
    expect(await made([2], init.ones)).toEqual([1, 1])
    expect(await made([2], init.zeros)).toEqual([0, 0])
    expect(await made([2, 3], init.eye)).toEqual([1, 0, 0, 0, 1, 0])
  })

  it('dirac convolutions pass channels through', async () => {
    const x = (await import('../tensor/random.js')).randn([2, 4, 5, 6])
    const one = new Parameter(zeros([4, 4, 3, 3]))
    init.dirac(one)
    expect(await nn.conv2d(x, one, undefined, { padding: 1 }).sub(x).abs().amax().item()).toBe(0)
    const grouped = new Parameter(zeros([4, 2, 3, 3]))
    init.dirac(grouped, { groups: 2 })
    const y = nn.conv2d(x, grouped, undefined, { padding: 1, groups: 2 })
    expect(await y.sub(x).abs().amax().item()).toBe(0)
  })

  it.each([[[4, 6]], [[6, 4]], [[5, 2, 2]]])('orthogonal %j', async (shape) => {
    const values = await made(shape, (p) => init.orthogonal(p, { gain: 3 }))
    const rows = shape[0]
    const columns = values.length / rows
    const at = (i: number, j: number) => values[i * columns + j]
    const few = Math.min(rows, columns)
    for (let a = 0; a < few; a++)
      for (let b = 0; b < few; b++) {
        let dot = 0
        for (let k = 0; k < Math.max(rows, columns); k++)
          dot += rows < columns ? at(a, k) * at(b, k) : at(k, a) * at(k, b)
        expect(dot).toBeCloseTo(a === b ? 9 : 0, 5)
      }
  })

  it('sparse columns', async () => {
    const values = await made([10, 7], (p) => init.sparse(p, 0.35, { std: 2 }))
    for (let j = 0; j < 7; j++) {
      const column = Array.from({ length: 10 }, (_, i) => values[i * 7 + j])
      expect(column.filter((x) => x === 0).length).toBe(4)
    }
  })

  it('gains', () => {
    expect(init.calculateGain('tanh')).toBe(5 / 3)
    expect(init.calculateGain('relu')).toBe(Math.SQRT2)
    expect(init.calculateGain('leakyRelu', 0.2)).toBeCloseTo(Math.sqrt(2 / 1.04), 12)
    expect(init.calculateGain('selu')).toBe(0.75)
    expect(() => init.calculateGain('cube' as 'relu')).toThrow(/no nonlinearity cube/)
  })

  it('what does not fit is refused', () => {
    const vector = new Parameter([1, 2])
    for (const set of [init.xavierNormal, init.orthogonal, init.eye, init.dirac])
      expect(() => set(vector)).toThrow(/\[2\]/)
    const matrix = new Parameter(zeros([2, 2]))
    expect(() => init.truncNormal(matrix, { a: 1, b: 0 })).toThrow(/must rise/)
    expect(() => init.sparse(matrix, 2)).toThrow(/sparsity is 2/)
  })
})
