// The reader of HDF5 files against the HDF5 library itself (h5wasm writes), and against h5py where Python has it.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import h5wasm from 'h5wasm'
import { expect, test } from 'vitest'
import { BurnishError } from '../../src/base/errors.js'
import { Hdf5File } from '../../src/io/hdf5.js'
import { bytesSource, loadState, readKerasWeights } from '../../src/io/index.js'
import { writeZip } from '../../src/io/zip-write.js'
import { fuzz } from '../fuzz.js'

type File = InstanceType<typeof h5wasm.File>

async function made(fill: (file: File) => void, options?: object): Promise<Uint8Array> {
  const { FS } = await h5wasm.ready
  const file = new h5wasm.File('/t.h5', 'w', options)
  fill(file)
  file.close()
  const bytes: Uint8Array = FS.readFile('/t.h5')
  FS.unlink('/t.h5')
  return bytes.slice()
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i)

test('numbers of every width, in one piece and in chunks, packed or not', async () => {
  const bytes = await made((file) => {
    const put = (name: string, data: object, shape: readonly number[], more = {}) =>
      file.create_dataset({ name, data: data as Float32Array, shape: [...shape], ...more })
    put(
      'f32',
      Float32Array.from(range(12), (x) => x / 4),
      [3, 4],
    )
    put('f64', Float64Array.from(range(6)), [6])
    put('i8', Int8Array.of(-1, 2), [2])
    put('u8', Uint8Array.of(255, 2), [2])
    put('i16', Int16Array.of(-300, 2), [2])
    put('i32', Int32Array.of(-70000, 2), [2])
    put('i64', BigInt64Array.of(-5n, 7n), [2])
    put('chunked', Int32Array.from(range(35 * 23)), [35, 23], { chunks: [8, 5] })
    put('packed', Float32Array.from(range(40 * 30 * 3)), [40, 30, 3], {
      chunks: [16, 16, 2],
      compression: 6,
    })
    file.create_dataset({ name: 'scalar', data: 3.5, shape: [], dtype: '<f4' })
  })
  const file = new Hdf5File(bytes, 'it')
  const values = (path: string) => Array.from(file.tensor(path).data)
  expect(file.tensor('f32').shape).toEqual([3, 4])
  expect(values('f32')).toEqual(range(12).map((x) => x / 4))
  expect(values('f64')).toEqual(range(6))
  expect(['i8', 'u8', 'i16', 'i32', 'i64'].map(values)).toEqual([
    [-1, 2],
    [255, 2],
    [-300, 2],
    [-70000, 2],
    [-5, 7],
  ])
  expect(values('chunked')).toEqual(range(35 * 23))
  expect(values('packed')).toEqual(range(40 * 30 * 3))
  expect(values('scalar')).toEqual([3.5])
  expect(file.tensor('i8').dtype).toBe('int32')
  expect(file.datasets().length).toBe(10)
})

test.each(['v108', 'latest'])(
  'groups with many names, long texts, lists of texts: %s',
  async (libver) => {
    const names = range(1500).map((i) => `layer_${i}`)
    const some = names.slice(0, 300)
    const long = 'ü'.repeat(100_000)
    const bytes = await made(
      (file) => {
        file.create_attribute('long', long)
        file.create_attribute('names', some)
        for (const name of names) file.create_group(name).create_attribute('mine', name)
        for (const i of range(30)) file.create_attribute(`number ${i}`, `text ${i}`)
      },
      { libver },
    )
    const file = new Hdf5File(bytes, 'it')
    expect(file.text('', 'long')).toBe(long)
    expect(file.names('', 'names')).toEqual(some)
    expect(file.keys('')).toEqual([...names].sort())
    expect(file.text('layer_1499', 'mine')).toBe('layer_1499')
    expect(file.text('', 'number 29')).toBe('text 29')
    expect(file.hasGroup('layer_7')).toBe(true)
    expect(file.hasGroup('layer_7/none')).toBe(false)
    expect(() => file.tensor('layer_7')).toThrow(/it: layer_7: there is no dataset/)
  },
)

test('what is not read says so; links neither leave the file nor turn in circles', async () => {
  const latest = await made(
    (file) =>
      file.create_dataset({
        name: 'x',
        data: Int32Array.from(range(100)),
        shape: [10, 10],
        chunks: [3, 3],
      }),
    { libver: 'latest' },
  )
  expect(() => new Hdf5File(latest, 'it').tensor('x')).toThrow(/libver='latest'/)
  const linked = await made((file) => {
    file.create_group('a')
    file.create_external_link('/etc/passwd', '/x', 'outside')
    file.create_soft_link('/a', 'soft')
    file.create_hard_link('/', 'again')
    file.create_dataset({ name: 'text', data: ['x', 'y'] })
    file.create_dataset({ name: 'large', data: Float64Array.of(1), shape: [1] })
  })
  const file = new Hdf5File(linked, 'it')
  expect(file.datasets()).toEqual(['large', 'text'])
  expect(() => file.tensor('text')).toThrow(/holds text, no numbers/)
  await expect(readKerasWeights(linked)).rejects.toThrow(/text: holds text/)
  await expect(readKerasWeights(Uint8Array.of(1, 2, 3))).rejects.toThrow(/^keras: is neither/)
  await expect(loadState(bytesSource(linked, 'x.h5'))).rejects.toThrow(/^x\.h5: text: holds text/)
})

test('a shape that the file cannot hold is refused before anything is made of it', async () => {
  const bytes = await made((file) => {
    file.create_dataset({ name: 'x', data: Float32Array.from(range(77)), shape: [77] })
  })
  // The shape is written as a length of 8 bytes, twice: what it is, and what it may become.
  const at = bytes.findIndex(
    (_, i) =>
      bytes[i] === 77 && bytes.subarray(i + 1, i + 8).every((b) => b === 0) && bytes[i - 8] === 1,
  )
  expect(at).toBeGreaterThan(0)
  new DataView(bytes.buffer).setBigUint64(at, 1n << 40n, true)
  expect(() => new Hdf5File(bytes, 'it').tensor('x')).toThrow(/more than a file of \d+ can hold/)
})

const python = ['/usr/bin/python3', 'python3'].find(
  (path) => spawnSync(path, ['-c', 'import h5py'], { stdio: 'ignore' }).status === 0,
)

test.skipIf(python === undefined)('files of h5py, as Keras writes them', () => {
  const folder = mkdtempSync(join(tmpdir(), 'burnish-h5-'))
  const path = join(folder, 'it.h5')
  const program = `
import sys, h5py, numpy as np
f = h5py.File(sys.argv[1], 'w')
f.attrs['model_config'] = ('{"x": "%s"}' % ('y' * 100000)).encode('utf8')
g = f.create_group('model_weights')
g.attrs['layer_names'] = [b'dense', b'dense_1']
h = g.create_group('dense')
h.attrs['weight_names'] = [b'dense/kernel:0']
h.create_dataset('dense/kernel:0', data=np.arange(6, dtype='float32').reshape(2, 3))
f.create_dataset('z', data=np.arange(4200.).reshape(60, 70), chunks=(16, 32), compression='gzip', shuffle=True, fletcher32=True)
f.create_dataset('half', data=np.array([1.5, -2], dtype='float16'))
f.create_dataset('big', data=np.array([1, 2, 3], dtype='>i4'))
f.create_dataset('bool', data=np.array([True, False]))
f.create_dataset('empty', data=np.zeros((0, 3), dtype='float32'))
f.close()`
  try {
    const { status, stderr } = spawnSync(python ?? '', ['-c', program, path], { encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(status).toBe(0)
    const file = new Hdf5File(new Uint8Array(readFileSync(path)), 'it')
    expect(file.text('', 'model_config')?.length).toBe(100_009)
    expect(file.names('model_weights', 'layer_names')).toEqual(['dense', 'dense_1'])
    expect(file.names('model_weights/dense', 'weight_names')).toEqual(['dense/kernel:0'])
    expect(Array.from(file.tensor('model_weights/dense/dense/kernel:0').data)).toEqual(range(6))
    expect(Array.from(file.tensor('z').data)).toEqual(range(4200))
    expect(['half', 'big', 'bool'].map((name) => Array.from(file.tensor(name).data))).toEqual([
      [1.5, -2],
      [1, 2, 3],
      [1, 0],
    ])
    expect(file.tensor('empty').shape).toEqual([0, 3])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('loadState reads Keras files by their content', async () => {
  const bytes = await made((file) => {
    file.create_group('a').create_dataset({ name: 'x', data: Float32Array.of(1, 2), shape: [2] })
  })
  const archive = writeZip(new Map([['model.weights.h5', bytes]]))
  for (const content of [bytes, archive]) {
    const values = await loadState(content)
    expect(Object.keys(values)).toEqual(['a/x'])
    expect(Array.from(values['a/x'].data)).toEqual([1, 2])
  }
})

test('fuzz: damaged HDF5 files are refused or still tensors', async () => {
  const dense = await made((file) => {
    for (const i of range(12))
      file
        .create_group(`g${i}`)
        .create_dataset({ name: 'x', data: Int32Array.from(range(i)), shape: [i] })
    for (const i of range(10)) file.create_attribute(`a${i}`, `text ${i}`)
  })
  const packed = await made((file) => {
    const data = Float32Array.from(range(300))
    file.create_dataset({ name: 'x', data, shape: [20, 15], chunks: [6, 4], compression: 9 })
    file.create_attribute('names', ['a', 'b', 'c'])
  })
  await fuzz('hdf5', [dense, packed], (bytes) => {
    const file = new Hdf5File(bytes, 'it')
    file.names('', 'names')
    file.text('', 'a3')
    return file.datasets().map((path) => file.tensor(path))
  })
}, 120_000)

/** A file of superblock 0 whose root's header, of version 1, is at 96 with one message. */
function withMessage(type: number, body: readonly number[], size = 4096): Uint8Array {
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  bytes.set([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0, 0, 8, 8])
  view.setBigUint64(24 + 5 * 8, 96n, true)
  bytes.set([1, 0, 1, 0], 96)
  view.setUint32(96 + 8, 8 + body.length, true)
  view.setUint16(112, type, true)
  view.setUint16(114, body.length, true)
  bytes.set(body, 120)
  return bytes
}

test('a header that goes on in itself, and enumerations in each other, are errors', () => {
  const at = new Uint8Array(BigUint64Array.of(112n, 24n).buffer)
  expect(() => new Hdf5File(withMessage(0x10, [...at]), 'it').datasets()).toThrow(
    /^it: the header at 96 goes on in itself/,
  )
  // An attribute of version 3, its type at byte 10 of the message: 8 is an enumeration, of what follows 8 bytes behind.
  const bytes = withMessage(0x0c, [3, 0, 1, 0, 8, 0, 8, 0, 0, 0x61], 1 << 20)
  const type = 120 + 10
  for (let i = type; i < bytes.length; i += 8) bytes[i] = 0x18
  new DataView(bytes.buffer).setUint16(114, 26, true)
  new DataView(bytes.buffer).setUint32(96 + 8, 34, true)
  expect(() => new Hdf5File(bytes, 'it').text('', 'a')).toThrow(BurnishError)
})

test('many texts of one heap are read in time', () => {
  const [count, objects, heap] = [2000, 60_000, 131072]
  // Version 3; a name of 2 bytes, a type of 8, a shape of one dimension; texts of the heap.
  const body = new Uint8Array(9 + 2 + 8 + 16 + 16 * count)
  const view = new DataView(body.buffer)
  body.set([3, 0, 2, 0, 8, 0, 16, 0, 0, 0x61, 0])
  body.set([0x19, 1, 0, 0, 16], 11)
  body.set([1, 1], 19)
  view.setBigUint64(27, BigInt(count), true)
  for (let i = 0; i < count; i++) {
    view.setUint32(35 + 16 * i, 1, true)
    view.setBigUint64(35 + 16 * i + 4, BigInt(heap), true)
    view.setUint32(35 + 16 * i + 12, objects, true)
  }
  const size = 16 + 24 * objects
  const bytes = withMessage(0x0c, [...body], heap + size)
  bytes.set([0x47, 0x43, 0x4f, 0x4c], heap)
  const whole = new DataView(bytes.buffer)
  whole.setBigUint64(heap + 8, BigInt(size), true)
  for (let i = 0; i < objects; i++) {
    whole.setUint16(heap + 16 + 24 * i, i + 1, true)
    whole.setBigUint64(heap + 16 + 24 * i + 8, 1n, true)
    bytes[heap + 16 + 24 * i + 16] = 0x62
  }
  const file = new Hdf5File(bytes, 'it')
  const begin = performance.now()
  expect(file.names('', 'a')).toEqual(new Array(count).fill('b'))
  expect(performance.now() - begin).toBeLessThan(2000)
})
