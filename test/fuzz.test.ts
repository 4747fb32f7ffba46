// The fuzzer itself, on readers with faults; and the formats of tensors under it.
import { describe, expect, test } from 'vitest'
import { BurnishError, fail } from '../src/base/errors.js'
import { sizeOf } from '../src/base/shape.js'
import { readNpy, readNpz, writeNpy, writeNpz } from '../src/io/npy.js'
import { PytorchTensor, type PytorchValue, readPytorch, tensorsOf } from '../src/io/pytorch.js'
import { writePytorch } from '../src/io/pytorch-write.js'
import { readSafetensors, writeSafetensors } from '../src/io/safetensors.js'
import { fileItemSize, type StoredTensor } from '../src/io/values.js'
import { readZip } from '../src/io/zip.js'
import { writeZip } from '../src/io/zip-write.js'
import { fuzz } from './fuzz.js'
import { goldenBytes } from './support.js'

describe('the fuzzer', () => {
  const good = [Uint8Array.from({ length: 100 }, (_, i) => i)]
  const short = { count: 2000, seed: 7 }

  test('counts what is refused and what is read, the same for the same seed', async () => {
    const read = (bytes: Uint8Array) => (bytes.length < 100 ? fail('short') : bytes.length)
    const { refused, read: done } = await fuzz('lengths', good, read, short)
    expect(refused + done).toBe(2000)
    expect(refused).toBeGreaterThan(200)
    expect(done).toBeGreaterThan(200)
    expect(await fuzz('lengths', good, read, short)).toMatchObject({ refused, read: done })
  })

  test('another error fails, and its text is enough to see it again', async () => {
    const read = (bytes: Uint8Array) => {
      if (bytes[5] === 255) throw new RangeError('offset')
    }
    const error = await fuzz('fault', good, read, short).catch(String)
    expect(error).toMatch(/fuzz fault: \{ seed: 7, only: \d+ \} \(\d+ bytes\): RangeError: offset/)
    const only = Number(/only: (\d+)/.exec(String(error))?.[1])
    await expect(fuzz('fault', good, read, { seed: 7, only })).rejects.toThrow(/RangeError: offset/)
  })

  test('a result that cannot be fails', async () => {
    const check = (sum: number) => expect(sum).toBeLessThan(4000)
    const read = (bytes: Uint8Array) => bytes[0] * 100
    await expect(fuzz('result', good, read, { ...short, check })).rejects.toThrow(/less than 4000/)
  })

  test('so does one that takes long, or takes much', async () => {
    const wait = (bytes: Uint8Array) => {
      const end = performance.now() + (bytes[5] === 255 ? 2100 : 0)
      while (performance.now() < end);
    }
    await expect(fuzz('slow', good, wait, short)).rejects.toThrow(/only: \d+ } .*: took 2\d\d\d ms/)
    const hoard = (bytes: Uint8Array) => new Uint8Array(bytes[5] === 255 ? 600 * 2 ** 20 : 0)
    await expect(fuzz('large', good, hoard, short)).rejects.toThrow(/: took 6\d\d MB/)
  })

  test('the good files must be readable', async () => {
    await expect(fuzz('none', good, () => fail('no'), short)).rejects.toThrow(/no/)
  })
})

const tensorOf = (dtype: StoredTensor['dtype'], shape: readonly number[]): StoredTensor => ({
  dtype,
  shape,
  bytes: Uint8Array.from({ length: fileItemSize[dtype] * sizeOf(shape) }, (_, i) => i & 1),
})
const tensors = new Map<string, StoredTensor>([
  ['conv1.weight', tensorOf('F32', [4, 3, 2, 2])],
  ['conv1.bias', tensorOf('BF16', [4])],
  ['steps', tensorOf('I64', [])],
  ['none', tensorOf('F16', [0, 3])],
  ['mask', tensorOf('BOOL', [2, 5])],
])
function fits(tensor: StoredTensor): void {
  const size = tensor.shape.reduce((product, n) => product * n, fileItemSize[tensor.dtype])
  if (tensor.bytes.length !== size) throw new Error(`${tensor.bytes.length} bytes, not ${size}`)
}
const fit = (found: ReadonlyMap<string, StoredTensor>) => found.forEach(fits)

test('safetensors', async () => {
  const golden = goldenBytes('dtypes.safetensors')
  const good = [
    writeSafetensors(tensors, new Map([['format', 'pt']])),
    writeSafetensors(new Map()),
    ...(golden ? [golden] : []),
  ]
  await fuzz('safetensors', good, readSafetensors, { check: (found) => fit(found.tensors) })
})

test('npy', async () => {
  const good = ['F32', 'I64', 'BOOL'] as const
  const files = good.map((dtype) => writeNpy(tensorOf(dtype, [3, 4])))
  await fuzz('npy', files, readNpy, { check: fits })
})

test('npz', async () => {
  const { 'conv1.bias': _, ...plain } = Object.fromEntries(tensors)
  const some = new Map(Object.entries(plain))
  const good = [false, true].map((compress) => writeNpz(some, { compress }))
  await fuzz('npz', good, readNpz, { check: fit })
})

test('zip: what is read is what was written', async () => {
  const content = Uint8Array.from({ length: 300 }, (_, i) => i % 7)
  const entries = new Map([
    ['a', content],
    ['folder/b', Uint8Array.of(1, 2, 3)],
    ['c', new Uint8Array()],
  ])
  const good = [false, true].map((compress) => writeZip(entries, { compress }))
  const read = (bytes: Uint8Array) =>
    new Map([...readZip(bytes)].map(([name, entry]) => [name, entry.read()]))
  // Every entry has its sum: a changed archive is refused, or has the entries of a good one.
  const check = (found: ReadonlyMap<string, Uint8Array>) => {
    for (const [name, bytes] of found)
      if (bytes.length > 0 && ![...entries.values()].some((own) => Buffer.from(own).equals(bytes)))
        throw new Error(`${name} holds ${bytes.length} other bytes`)
  }
  await fuzz('zip', good, read, { check })
})

const value = {
  model: Object.fromEntries(tensors),
  epoch: 3,
  rates: [0.5, 2 ** 40, -7],
  note: 'größe',
}
/** Every tensor of a checkpoint has its bytes, and the whole can be walked and shown. */
function holds(found: PytorchValue): void {
  for (const tensor of tensorsOf(found)) fits(tensor)
  const walk = (part: PytorchValue): number => {
    if (part instanceof PytorchTensor || typeof part !== 'object' || part === null) return 1
    if (part instanceof Map)
      return [...part].flat().reduce((sum: number, item) => sum + walk(item), 1)
    return part instanceof Uint8Array
      ? 1
      : [...part].reduce((sum: number, item) => sum + walk(item), 1)
  }
  walk(found)
}

test('PyTorch archives', async () => {
  const golden = ['bnnet.pt', 'views.pt'].flatMap((name) => goldenBytes(name) ?? [])
  await fuzz('pt', [writePytorch(value), ...golden], readPytorch, { check: holds })
})

test('pickles in whole archives', async () => {
  const good = [writePytorch(value), ...['views.pt'].flatMap((name) => goldenBytes(name) ?? [])]
  const archives = good.map((bytes) =>
    [...readZip(bytes)].map(
      ([name, entry]) => [name.replace(/^[^/]*/, 'm'), entry.read()] as const,
    ),
  )
  const pickles = archives.map((entries) => new Map(entries).get('m/data.pkl') ?? new Uint8Array())
  // A pickle is read with the storages of each file in turn, as its mutation may be of any.
  const read = (pickle: Uint8Array) => {
    let refused: unknown
    for (const entries of archives)
      try {
        return readPytorch(writeZip(new Map([...entries, ['m/data.pkl', pickle]])))
      } catch (error) {
        if (!(error instanceof BurnishError)) throw error
        refused = error
      }
    throw refused
  }
  const { read: done } = await fuzz('pickle', pickles, read, { check: holds })
  expect(done).toBeGreaterThan(500)
})

test('the older stream of PyTorch', async () => {
  const golden = goldenBytes('bnnet_legacy.pt')
  if (golden) await fuzz('pt (legacy)', [golden], readPytorch, { check: holds })
})
