// The order of loaders: samplers, positions to resume from, prefetching, and workers.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Random } from '../base/random.js'
import type { Tensor } from '../tensor/tensor.js'
import { hostArray } from './array.js'
import {
  ConcatDataset,
  type Dataset,
  filterItems,
  mapItems,
  randomSplit,
  TensorDataset,
} from './dataset.js'
import { DataLoader, type LoaderOptions } from './loader.js'
import { RandomSampler, SequentialSampler, WeightedRandomSampler } from './sampler.js'

const numbers = (count: number): Dataset<number> => ({ length: count, get: (i) => i })

async function epoch(loader: AsyncIterable<readonly Tensor[]>): Promise<number[][]> {
  const seen: number[][] = []
  for await (const [x] of loader) seen.push(Array.from(await x.data()))
  return seen
}
const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b)

describe('samplers', () => {
  const draw = (sampler: { order(random: Random): Int32Array }, seed = 1) => [
    ...sampler.order(new Random(seed)),
  ]

  test('sequential and random', () => {
    const ten = numbers(10)
    expect(draw(new SequentialSampler(ten))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    const all = draw(new RandomSampler(ten))
    expect(all).not.toEqual(sorted(all))
    expect(sorted(all)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(new Set(draw(new RandomSampler(ten, { samples: 4 }))).size).toBe(4)
    const many = draw(new RandomSampler(numbers(3), { replacement: true, samples: 3000 }))
    for (const i of [0, 1, 2])
      expect(many.filter((n) => n === i).length / 3000).toBeCloseTo(1 / 3, 1)
    expect(() => new RandomSampler(ten, { samples: 11 })).toThrow(/11.*or use replacement/)
  })

  test('weighted', () => {
    const many = draw(new WeightedRandomSampler([1, 0, 3], 8000))
    expect(many.filter((n) => n === 1)).toHaveLength(0)
    expect(many.filter((n) => n === 2).length / 8000).toBeCloseTo(0.75, 1)
    const firsts = Array.from({ length: 4000 }, (_, seed) =>
      draw(new WeightedRandomSampler([1, 0, 3], 2, { replacement: false }), seed),
    )
    expect(firsts.every((pair) => sorted(pair).join() === '0,2')).toBe(true)
    expect(firsts.filter(([first]) => first === 2).length / 4000).toBeCloseTo(0.75, 1)
    expect(() => new WeightedRandomSampler([1, 0], 2, { replacement: false })).toThrow(
      /0 to 1, the number of weights above 0/,
    )
    expect(() => new WeightedRandomSampler([1, -1], 2)).toThrow(/weight 1 is -1/)
  })

  test('in a loader, and whole batches', async () => {
    const sampler = new WeightedRandomSampler([0, 0, 1], 5)
    const weighted = new DataLoader(numbers(3), { batchSize: 2, sampler, dropLast: true })
    expect([weighted.length, weighted.samples]).toEqual([2, 4])
    expect(await epoch(weighted)).toEqual([
      [2, 2],
      [2, 2],
    ])
    const batchSampler = {
      length: 2,
      samples: 3,
      batches: () => [Int32Array.of(2), Int32Array.of(0, 1)],
    }
    expect(await epoch(new DataLoader(numbers(3), { batchSampler }))).toEqual([[2], [0, 1]])
    expect(() => new DataLoader(numbers(3), { batchSampler, batchSize: 2 })).toThrow(
      /batchSize and batchSampler/,
    )
    expect(() => new DataLoader(numbers(3), { sampler, shuffle: true })).toThrow(
      /the sampler decides/,
    )
  })
})

describe('position', () => {
  const options = { batchSize: 3, shuffle: true, seed: 4 }

  test('a loader goes on where another one was', async () => {
    const whole = new DataLoader(numbers(10), options)
    const epochs = [await epoch(whole), await epoch(whole), await epoch(whole)]
    for (const stop of [1, 3, 4, 5, 8]) {
      const first = new DataLoader(numbers(10), options)
      const seen: number[][] = []
      let state = first.stateDict()
      while (seen.length < stop)
        for await (const [x] of first) {
          seen.push(Array.from(await x.data()))
          state = first.stateDict()
          if (seen.length === stop) break
        }
      expect(first.stateDict()).toEqual(state)
      const second = new DataLoader(numbers(10), { ...options, seed: 99, prefetch: 2 })
      second.loadStateDict(JSON.parse(JSON.stringify(state)))
      for (let i = 0; i < 3 && seen.length < 12; i++) seen.push(...(await epoch(second)))
      expect(seen.slice(0, 12)).toEqual(epochs.flat())
    }
  })

  test('only with the same data', () => {
    const state = new DataLoader(numbers(10), options).stateDict()
    expect(() => new DataLoader(numbers(11), options).loadStateDict(state)).toThrow(
      /of 4 batches of 3 from 10 items, this loader has 4 batches of 3 from 11/,
    )
    expect(() =>
      new DataLoader(numbers(10), options).loadStateDict({ ...state, batch: 5 }),
    ).toThrow(/epoch 0, batch 5 is no position/)
  })
})

test('prefetch makes batches ahead, and its errors wait for their turn', async () => {
  const asked: number[] = []
  const dataset: Dataset<number> = {
    length: 6,
    async get(i) {
      asked.push(i)
      if (i === 4) throw new Error('item 4 is broken')
      return i
    },
  }
  const seen: number[] = []
  const loop = async () => {
    for await (const [x] of new DataLoader(dataset, { prefetch: 2 })) {
      if (seen.length === 0) expect(asked).toEqual([0, 1, 2])
      seen.push(await x.item())
    }
  }
  await expect(loop()).rejects.toThrow('item 4 is broken')
  expect(seen).toEqual([0, 1, 2, 3])
})

describe('views', () => {
  test('concatenated sets, by item and by batch', async () => {
    const rows = (...values: number[]) => new TensorDataset(hostArray(Float32Array.from(values)))
    const all = new ConcatDataset([rows(1, 2), rows(3), rows(4, 5, 6)])
    expect(all.length).toBe(6)
    const order = { length: 1, samples: 4, batches: () => [Int32Array.of(5, 0, 2, 3)] }
    expect(await epoch(new DataLoader(all, { batchSampler: order }))).toEqual([[6, 1, 3, 4]])
    const [item] = await all.get(2)
    expect(await item.item()).toBe(3)
    expect(() => all.get(6)).toThrow(/index 6 is not in 0 … 5/)
    const mixed = new ConcatDataset<unknown>([rows(1), { length: 1, get: () => 7 }])
    expect(mixed.batch).toBeUndefined()
    const unlike = new ConcatDataset([rows(1), new TensorDataset(hostArray(Int32Array.of(1)))])
    await expect(epoch(new DataLoader(unlike, { batchSize: 2 }))).rejects.toThrow(
      /column 0 of one data set has rows float32 \[\], of another int32 \[\]/,
    )
  })

  test('mapped, with randomness of the loader, and filtered', async () => {
    const noisy = mapItems(numbers(6), (n, random) => n * 1000 + random.below(1000))
    const run = (options: LoaderOptions<number>) =>
      epoch(new DataLoader(noisy, { batchSize: 2, seed: 3, ...options }))
    const [plain, ahead] = [await run({}), await run({ prefetch: 3 })]
    expect(ahead).toEqual(plain)
    expect(await run({ seed: 4 })).not.toEqual(plain)
    const loader = new DataLoader(noisy, { batchSize: 2, seed: 3 })
    expect(await epoch(loader)).toEqual(plain)
    expect(await epoch(loader)).not.toEqual(plain)
    const even = await filterItems(numbers(6), (n) => n % 2 === 0)
    expect(Array.from(even.indices)).toEqual([0, 2, 4])
  })

  test('random splits by fractions', () => {
    const parts = randomSplit(numbers(11), [0.5, 0.3, 0.2], 1)
    expect(parts.map(({ length }) => length)).toEqual([6, 3, 2])
    expect(sorted(parts.flatMap(({ indices }) => [...indices]))).toEqual([...Array(11).keys()])
    expect(randomSplit(numbers(11), [0.5, 0.5], 1).map(({ length }) => length)).toEqual([6, 5])
    expect(() => randomSplit(numbers(11), [0.5, 0.4], 1)).toThrow(/0.9; they must add up to 1/)
    expect(() => randomSplit(numbers(11), [12, -1], 1)).toThrow(/-1 is no length/)
  })
})

describe('workers', () => {
  let root = ''
  const url = (name: string) => pathToFileURL(join(root, name))
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'burnish-workers-'))
    await writeFile(
      join(root, 'rows.mjs'),
      `export default ({ count, broken }) => ({
        length: count,
        async get(i, random) {
          if (i === broken) throw new Error('row ' + i + ' is broken')
          await new Promise((resolve) => setTimeout(resolve, random.below(5)))
          return [Float32Array.of(i, random.below(1000)), i % 2]
        },
      })`,
    )
    await writeFile(
      join(root, 'collated.mjs'),
      `export default async () => ({ length: 4, get: (i) => 'abcd'[i] })
       export const collate = (items) =>
         [{ data: Int32Array.from(items, (s) => s.charCodeAt(0)), shape: [items.length], dtype: 'int32' }]`,
    )
    await writeFile(join(root, 'exit.mjs'), 'export default () => process.exit(3)')
    await writeFile(join(root, 'none.mjs'), 'export const x = 1')
  })
  afterAll(() => rm(root, { recursive: true }))

  const rowsIn = (workers: number, count = 23, broken = -1) =>
    new DataLoader<unknown>(numbers(count), {
      batchSize: 4,
      shuffle: true,
      seed: 2,
      workers,
      module: { url: url('rows.mjs'), options: { count, broken } },
    })

  test('give the same batches in the same order, whatever their number, every epoch', async () => {
    const runs: number[][][] = []
    for (const workers of [1, 3]) {
      const loader = rowsIn(workers)
      runs.push([...(await epoch(loader)), ...(await epoch(loader))])
      await loader.close()
    }
    expect(runs[1]).toEqual(runs[0])
    expect(runs[0]).toHaveLength(12)
    const rows = runs[0].slice(0, 6).flatMap((batch) => batch.filter((_, i) => i % 2 === 0))
    expect(sorted(rows)).toEqual([...Array(23).keys()])
  })

  test('with collate of the module', async () => {
    const module = url('collated.mjs')
    const loader = new DataLoader<unknown>(numbers(4), { batchSize: 4, workers: 1, module })
    expect(await epoch(loader)).toEqual([[97, 98, 99, 100]])
    await loader.close()
  })

  test('say what went wrong', async () => {
    const fails = async (loader: DataLoader<unknown>, reason: RegExp) => {
      await expect(epoch(loader)).rejects.toThrow(reason)
      await loader.close()
    }
    await fails(rowsIn(2, 23, 7), /a worker: row 7 is broken/)
    const over = (name: string) =>
      new DataLoader<unknown>(numbers(4), { workers: 1, module: url(name) })
    await fails(over('exit.mjs'), /a worker of .*exit.mjs ended: exit code 3/)
    await fails(over('none.mjs'), /none.mjs has no default export/)
    await fails(over('nowhere.mjs'), /nowhere.mjs/)
    const other = new DataLoader<unknown>(numbers(5), {
      workers: 1,
      module: { url: url('rows.mjs'), options: { count: 4, broken: -1 } },
    })
    await fails(other, /makes a data set of 4 items, the loader's own has 5/)
    expect(() => new DataLoader(numbers(4), { workers: 1 })).toThrow(/workers need `module`/)
    expect(() => new DataLoader(numbers(4), { workers: -1 })).toThrow(/workers is -1/)
    expect(
      () => new DataLoader(numbers(4), { workers: 1, module: url('rows.mjs'), collate: () => [] }),
    ).toThrow(/export `collate` from the module/)
  })
})
