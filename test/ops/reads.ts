// Operations that wait for the device, and random ones, whose results are counted rather than compared.
import {
  bernoulli,
  manualSeed,
  multinomial,
  ones,
  rand,
  randint,
  randLike,
  randn,
  randnLike,
  randperm,
  tensor,
  unique,
} from '../../src/index.js'
import { gumbelSoftmax } from '../../src/nn/index.js'
import type { ReadCase } from './case.js'

const numbers = async (t: { data(): Promise<ArrayLike<number>> }) => Array.from(await t.data())
const x = () =>
  tensor([
    [1, 2],
    [3, 4],
  ])

export const reads: readonly ReadCase[] = [
  {
    op: 'gumbelSoftmax',
    name: 'hard rows hold one 1',
    run: async () => {
      manualSeed(8)
      const rows = await numbers(gumbelSoftmax(ones([50, 3]), { hard: true }).sum(1))
      return rows.every((v) => Math.abs(v - 1) < 1e-6)
    },
    gives: true,
  },
  { op: 'allclose', name: 'near', run: () => x().allclose(x().add(1e-7)), gives: true },
  { op: 'allclose', name: 'far', run: () => x().allclose(x().add(0.1)), gives: false },
  { op: 'equal', name: 'same', run: () => x().equal(x()), gives: true },
  { op: 'equal', name: 'another shape', run: () => x().equal(ones([2])), gives: false },
  { op: 'equal', name: 'another value', run: () => x().equal(x().mul(2)), gives: false },
  { op: 'item', name: 'one', run: () => x().sum().item(), gives: 10 },
  { op: 'data', name: 'all', run: () => numbers(x()), gives: [1, 2, 3, 4] },
  {
    op: 'data',
    name: 'halves as numbers',
    run: () => numbers(x().mul(0.3).half()),
    gives: [0.300048828125, 0.60009765625, 0.89990234375, 1.2001953125],
  },
  {
    op: 'maskedSelect',
    name: 'some',
    run: async () => numbers(await x().maskedSelect(x().gt(1.5))),
    gives: [2, 3, 4],
  },
  {
    op: 'maskedSelect',
    name: 'broadcast',
    run: async () => numbers(await x().maskedSelect(tensor([true, false]))),
    gives: [1, 3],
  },
  {
    op: 'maskedSelect',
    name: 'none',
    run: async () => (await x().maskedSelect(x().gt(9))).shape,
    gives: [0],
  },
  {
    op: 'nonzero',
    name: 'positions',
    run: async () =>
      numbers(
        await tensor([
          [0, 2],
          [3, 0],
        ]).nonzero(),
      ),
    gives: [0, 1, 1, 0],
  },
  {
    op: 'unique',
    name: 'values and counts',
    run: async () => {
      const { values, counts } = await unique(tensor(Int32Array.of(3, 1, 3)))
      return [await numbers(values), await numbers(counts), values.dtype]
    },
    gives: [[1, 3], [1, 2], 'int32'],
  },
  {
    op: 'rand',
    name: 'range and mean',
    run: async () => {
      manualSeed(1)
      const d = await numbers(rand([10_000]))
      return [
        d.every((v) => v >= 0 && v < 1),
        Math.abs(d.reduce((a, b) => a + b) / d.length - 0.5) < 0.02,
      ]
    },
    gives: [true, true],
  },
  {
    op: 'randn',
    name: 'mean and variance',
    run: async () => {
      manualSeed(2)
      const t = randn([10_000])
      return [Math.abs(await t.mean().item()) < 0.04, Math.abs((await t.var().item()) - 1) < 0.06]
    },
    gives: [true, true],
  },
  { op: 'randLike', name: 'shape', run: async () => randLike(x()).shape, gives: [2, 2] },
  { op: 'randnLike', name: 'shape', run: async () => randnLike(x()).shape, gives: [2, 2] },
  {
    op: 'randint',
    name: 'all values',
    run: async () => {
      manualSeed(3)
      const d = await numbers(randint(-1, 2, [500]))
      return [...new Set(d)].sort((a, b) => a - b)
    },
    gives: [-1, 0, 1],
  },
  {
    op: 'randperm',
    name: 'a permutation',
    run: async () => {
      manualSeed(4)
      const d = await numbers(randperm(50))
      return [d.some((v, i) => v !== i), d.sort((a, b) => a - b).every((v, i) => v === i)]
    },
    gives: [true, true],
  },
  {
    op: 'randperm',
    name: 'a long one',
    run: async () => {
      manualSeed(4)
      const d = await numbers(randperm(600))
      return d.sort((a, b) => a - b).every((v, i) => v === i)
    },
    gives: true,
  },
  {
    op: 'bernoulli',
    name: 'shares',
    run: async () => {
      manualSeed(5)
      const d = await numbers(bernoulli(tensor([0, 1, 0.25]).expand(2000, 3)).mean(0))
      return [d[0], d[1], Math.abs(d[2] - 0.25) < 0.05]
    },
    gives: [0, 1, true],
  },
  {
    op: 'multinomial',
    name: 'with replacement',
    run: async () => {
      manualSeed(6)
      const d = await numbers(multinomial(tensor([1, 0, 3]), 4000, { replacement: true }))
      const share = (k: number) => d.filter((v) => v === k).length / d.length
      return [Math.abs(share(0) - 0.25) < 0.04, share(1), Math.abs(share(2) - 0.75) < 0.04]
    },
    gives: [true, 0, true],
  },
  {
    op: 'multinomial',
    name: 'without',
    run: async () => {
      manualSeed(7)
      const d = await numbers(multinomial(ones([2, 5]), 5))
      return [d.slice(0, 5).sort(), d.slice(5).sort()]
    },
    gives: [
      [0, 1, 2, 3, 4],
      [0, 1, 2, 3, 4],
    ],
  },
]
