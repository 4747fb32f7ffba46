// Files of tensors by their content, in pieces: from disk, from a server with and without ranges, from a Blob; shards, and
// indexes that point elsewhere.
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { BurnishError } from '../base/errors.js'
import { joined } from './bytes.js'
import { addressed } from './folder.browser.js'
import { loadState, openTensors } from './load.js'
import { writeNpy, writeNpz } from './npy.js'
import { loadOnnx } from './onnx/load.js'
import { encodeModel } from './onnx/wire.js'
import { writePytorch } from './pytorch-write.js'
import { openSafetensors, readSafetensors, writeSafetensors } from './safetensors.js'
import { saveTensors } from './save.js'
import { readShardIndex, shardSafetensors } from './shards.js'
import { aheadSource, bytesSource, fileSource, httpSource } from './source.js'
import { encode, type StoredTensor } from './values.js'

const large = encode({
  dtype: 'float32',
  shape: [50_000],
  data: new Float32Array(50_000).fill(0.5),
})
const small = encode({ dtype: 'float32', shape: [2], data: Float32Array.of(1, -2) })
const tensors = new Map<string, StoredTensor>([
  ['large', large],
  ['small', small],
])
const whole = writeSafetensors(tensors)

let folder = ''
let server: Server
let address = ''
/** What the server was asked for, and how it behaves. */
let asked: string[] = []
let mode: 'ranges' | 'none' | 'changing' | 'silent' | 'cut' = 'ranges'
const files = new Map<string, Uint8Array>()

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'burnish-load-'))
  server = createServer((request, response) => {
    const bytes = files.get(request.url ?? '')
    if (bytes === undefined) return response.writeHead(404).end()
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
    asked.push(request.headers.range ?? 'all')
    const version = mode === 'changing' ? `"${asked.length}"` : '"1"'
    const stale =
      request.headers['if-range'] !== undefined && request.headers['if-range'] !== version
    if (!range || mode === 'none' || stale) return response.writeHead(200).end(bytes)
    const [from, to] = [Number(range[1]), Number(range[2])]
    const total = mode === 'silent' ? '*' : bytes.length
    if (mode === 'cut' && to > 0) {
      response.writeHead(206, { 'content-length': to + 1 - from })
      response.write(bytes.subarray(from, to), () => response.destroy())
      return response
    }
    response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${total}`, etag: version })
    return response.end(bytes.subarray(from, to + 1))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  address = `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`
  files.set('/m.safetensors', whole)
  files.set('/m.pt', writePytorch(tensors))
})
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve))
  await rm(folder, { recursive: true })
})
beforeEach(() => {
  asked = []
  mode = 'ranges'
})
async function place(name: string, bytes: Uint8Array | string): Promise<string> {
  await writeFile(join(folder, name), bytes)
  return join(folder, name)
}

test('every format by its content, from a path, a URL, bytes, and a Blob', async () => {
  const contents = [
    whole,
    writePytorch(tensors),
    writeNpz(tensors),
    writeNpz(tensors, { compress: true }),
  ]
  for (const [i, bytes] of contents.entries()) {
    const path = await place(`file-${i}`, bytes)
    const inputs = [
      path,
      pathToFileURL(path),
      bytes,
      Buffer.from(bytes),
      bytes.slice().buffer,
      new Blob([bytes.slice()]),
    ]
    for (const input of inputs) {
      const state = await loadState(input)
      expect(Object.keys(state).sort()).toEqual(['large', 'small'])
      expect(state.small).toEqual({ dtype: 'float32', shape: [2], data: Float32Array.of(1, -2) })
    }
  }
  expect((await loadState(writeNpy(small)))[''].shape).toEqual([2])
})

test('a prefix is taken off the names of every format', async () => {
  const of = (...names: readonly string[]) => new Map(names.map((name) => [name, small]))
  for (const write of [writeSafetensors, writeNpz]) {
    const state = await loadState(await write(of('module.w', 'other')), { strip: 'module.' })
    expect(Object.keys(state).sort()).toEqual(['other', 'w'])
  }
  const index = 'prefix/pytorch_model.bin.index.json'
  await mkdir(join(folder, 'prefix'))
  await place('prefix/a.bin', writePytorch(of('module.w', 'other')))
  const map = { 'module.w': 'a.bin', other: 'a.bin' }
  await place(index, new TextEncoder().encode(JSON.stringify({ weight_map: map })))
  const state = await loadState(join(folder, index), { strip: 'module.' })
  expect(Object.keys(state).sort()).toEqual(['other', 'w'])
  await expect(
    loadState(writeSafetensors(of('module.w', 'w')), { strip: 'module.' }),
  ).rejects.toThrow('two tensors are called w')
})

test('a header whose length begins as a pickle or an archive does', async () => {
  for (const length of [0x80, 0x4b50, 0x93]) {
    const text = `{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`.padEnd(length)
    const bytes = new Uint8Array(8 + length + 1)
    new DataView(bytes.buffer).setUint32(0, length, true)
    bytes.set(new TextEncoder().encode(text), 8)
    expect((await loadState(bytes)).w.shape).toEqual([1])
  }
})

test('of a file only what is asked for is read', async () => {
  const source = await fileSource(await place('pieces.safetensors', whole))
  const ranges: [number, number][] = []
  const watched = {
    ...source,
    read: (begin: number, end: number) => {
      ranges.push([begin, end])
      return source.read(begin, end)
    },
  }
  const file = await openSafetensors(watched)
  expect([...file.entries.keys()]).toEqual(['large', 'small'])
  expect(await file.read('small')).toEqual(small)
  expect(ranges.reduce((sum, [begin, end]) => sum + end - begin, 0)).toBeLessThan(1000)
  await expect(file.read('none')).rejects.toThrow(/has no tensor "none"/)
  await file.close()
})

describe('over HTTP', () => {
  test('one tensor takes three small requests', async () => {
    const file = await openTensors(`${address}/m.safetensors`)
    expect(await file.read('small')).toEqual(small)
    expect(asked).toHaveLength(5)
    expect(asked.every((range) => range.startsWith('bytes='))).toBe(true)
    const pt = await openTensors(new URL(`${address}/m.pt`))
    expect(await pt.read('small')).toEqual(small)
  })

  test('a server without ranges gives all at once', async () => {
    mode = 'none'
    expect((await loadState(`${address}/m.safetensors`)).small.shape).toEqual([2])
    expect(asked).toHaveLength(1)
  })

  test('what goes wrong is said', async () => {
    await expect(loadState(`${address}/absent`)).rejects.toThrow(/absent: the server answers 404/)
    await expect(loadState('http://127.0.0.1:1/x')).rejects.toThrow(
      /cannot be reached: (bad port|.*ECONNREFUSED)/,
    )
    mode = 'changing'
    await expect(loadState(`${address}/m.safetensors`)).rejects.toThrow(
      /has changed while it was read/,
    )
    mode = 'silent'
    await expect(loadState(`${address}/m.safetensors`)).rejects.toThrow(/does not say how long/)
    const aborted = httpSource(`${address}/m.pt`, {
      signal: AbortSignal.abort(new Error('enough')),
    })
    await expect(aborted).rejects.toThrow(/enough/)
  })

  test('headers go along', async () => {
    const seen: unknown[] = []
    const fetch = async (_: string, init: RequestInit) => {
      seen.push(init.headers)
      return new Response(null, { status: 401, statusText: 'Unauthorized' })
    }
    const headers = { authorization: 'Bearer x' }
    await expect(httpSource('https://example.org/x', { fetch, headers })).rejects.toThrow(
      /answers 401/,
    )
    expect(seen).toEqual([{ authorization: 'Bearer x', range: 'bytes=0-0' }])
  })
})

describe('shards', () => {
  const sharded = shardSafetensors(tensors, 1000)
  test('are read through their index, from disk and from a server', async () => {
    expect([...sharded.keys()]).toEqual([
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ])
    await mkdir(join(folder, 'model'))
    for (const [name, parts] of sharded) {
      await place(join('model', name), joined(parts))
      files.set(`/model/${name}`, joined(parts))
    }
    const index = join(folder, 'model/model.safetensors.index.json')
    for (const input of [
      index,
      pathToFileURL(index),
      join(folder, 'model'),
      `${address}/model/model.safetensors.index.json`,
    ]) {
      const file = await openTensors(input)
      expect(file.format).toBe('safetensors, 2 files')
      expect(await file.read('small')).toEqual(small)
      await file.close()
      expect(Object.keys(await loadState(input)).sort()).toEqual(['large', 'small'])
    }
    const bytes = joined(sharded.get('model.safetensors.index.json') ?? [])
    await expect(loadState(bytes)).rejects.toThrow(/give its path or address/)
  })

  test('one file is enough for what fits', () => {
    const one = shardSafetensors(tensors, 1e6, 'net')
    expect([...one.keys()]).toEqual(['net.safetensors'])
    expect(readSafetensors(joined(one.get('net.safetensors') ?? [])).tensors.size).toBe(2)
    expect([...shardSafetensors(new Map(), 1e6).keys()]).toEqual(['model.safetensors'])
    expect(() => shardSafetensors(tensors, 0)).toThrow(/above 0/)
  })

  test.each([
    '../secret',
    '/etc/passwd',
    'a/../../b',
    'sub/file',
    '..',
    '.',
    '',
    'C:\\x',
    'a\\b',
    'x\0y',
    'http://h/x',
    '-x',
    '.hidden',
  ])('the file %j is not followed', (name) => {
    const text = JSON.stringify({ weight_map: { w: name } })
    expect(() => readShardIndex(text, 'i.json')).toThrow(
      /^i\.json: tensor "w" is said to be in .*plain names/,
    )
  })

  test.each([
    ['{', /is no JSON/],
    ['[]', /no weight_map/],
    ['{"weight_map":[]}', /no weight_map/],
    ['{"weight_map":{}}', /is empty/],
    ['{"weight_map":{"w":1}}', /said to be in 1/],
    ['{"__proto__":{"weight_map":{"w":"x"}}}', /no weight_map/],
  ])('an index %s', (text, message) => {
    expect(() => readShardIndex(text, 'i.json')).toThrow(message)
  })

  test('one whose file lacks a tensor, or is not there', async () => {
    await place('one.safetensors', whole)
    const lacking = await place(
      'lacking.index.json',
      JSON.stringify({ weight_map: { w: 'one.safetensors' } }),
    )
    await expect(loadState(lacking)).rejects.toThrow(/tensor "w" is not in one\.safetensors/)
    const absent = await place(
      'absent.index.json',
      JSON.stringify({ weight_map: { w: 'none.safetensors' } }),
    )
    await expect(loadState(absent)).rejects.toThrow(/none\.safetensors: there is no such file/)
    const self = await place(
      'self.index.json',
      JSON.stringify({ weight_map: { w: 'self.index.json' } }),
    )
    await expect(loadState(self)).rejects.toThrow(/self\.index\.json/)
  })
})

test('many tensors of a server come in few requests, with the same values', async () => {
  const names = Array.from({ length: 300 }, (_, i) => `t${i}`)
  const many = new Map(
    names.map((name, i) => [
      name,
      encode({ dtype: 'float32', shape: [100], data: new Float32Array(100).fill(i) }),
    ]),
  )
  for (const [path, bytes] of [
    ['/many.pt', writePytorch(many)],
    ['/many.safetensors', writeSafetensors(many)],
  ] as const) {
    files.set(path, bytes)
    asked = []
    const state = await loadState(address + path)
    expect(names.map((name) => state[name].data[99])).toEqual(names.map((_, i) => i))
    expect(asked.length).toBeLessThan(8)
  }
})

test('reading ahead gives the bytes of any order of reads, and never more than it is told to', async () => {
  const bytes = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7) % 251)
  const sizes: number[] = []
  const plain = bytesSource(bytes)
  const source = aheadSource(
    {
      ...plain,
      read: async (begin, end) => {
        sizes.push(end - begin)
        return plain.read(begin, end)
      },
    },
    300,
  )
  for (let i = 0; i < 500; i++) {
    const begin = (i * i * 31) % 4900
    const end = begin + ((i * 17) % 100)
    expect(await source.read(begin, end)).toEqual(bytes.slice(begin, end))
  }
  expect(Math.max(...sizes)).toBe(300)
})

test('in a page names are addresses beside it', () => {
  vi.stubGlobal('location', { href: 'https://example.org/app/index.html' })
  try {
    expect(addressed('models/a.onnx')).toBe('https://example.org/app/models/a.onnx')
    expect(addressed('/a.onnx')).toBe('https://example.org/a.onnx')
    expect(addressed(new URL('https://other.org/x'))).toBe('https://other.org/x')
    expect(addressed('blob:https://example.org/1')).toBe('blob:https://example.org/1')
    expect(() => addressed('file:///etc/passwd')).toThrow('a page opens no files')
  } finally {
    vi.unstubAllGlobals()
  }
})

test('what is no file of tensors', async () => {
  await expect(loadState(join(folder, 'nowhere.pt'))).rejects.toThrow(
    /nowhere\.pt: there is no such file/,
  )
  await expect(loadState(folder)).rejects.toThrow(/a folder with none of model\.safetensors/)
  await expect(loadState(new TextEncoder().encode('hello'))).rejects.toThrow(/none of the formats/)
  await expect(loadState(new Uint8Array())).rejects.toThrow(/none of the formats/)
  await expect(loadState(bytesSource(whole.subarray(0, 100), 'cut'))).rejects.toThrow(/^cut: /)
})

describe('what a network does', () => {
  test('a connection that is cut is an error that says so', async () => {
    mode = 'cut'
    await expect(loadState(`${address}/m.safetensors`)).rejects.toThrow(
      /m\.safetensors: the connection was cut/,
    )
    await expect(loadOnnx('http://127.0.0.1:1/m.onnx')).rejects.toThrow(BurnishError)
  })

  test('data beside an ONNX model are only below it, whatever their name means in an address', async () => {
    const modelOf = (location: string) =>
      encodeModel({
        irVersion: 8,
        opsetImport: [{ version: 17 }],
        graph: {
          name: 'g',
          node: [{ opType: 'Identity', input: ['w'], output: ['y'] }],
          output: [{ name: 'y' }],
          initializer: [
            {
              name: 'w',
              dims: [1],
              dataType: 1,
              dataLocation: 1,
              externalData: [{ key: 'location', value: location }],
            },
          ],
        },
      })
    const outside = new Uint8Array(Float32Array.of(7).buffer)
    files.set('/outside', outside)
    files.set('/a/inside%20it', outside)
    for (const location of [
      '%2e%2e/outside',
      `http:${address.slice(5)}/outside`,
      'http:/outside',
    ]) {
      files.set('/a/m.onnx', modelOf(location))
      await expect(loadOnnx(`${address}/a/m.onnx`)).rejects.toThrow(BurnishError)
    }
    files.set('/a/m.onnx', modelOf('inside it'))
    const { y } = (await loadOnnx(`${address}/a/m.onnx`)).run({})
    expect(await y.data()).toEqual(Float32Array.of(7))
  })
})

test('two that save one file at once leave one of the two, whole', async () => {
  const path = join(folder, 'both.safetensors')
  const of = (value: number) =>
    encode({ dtype: 'float32', shape: [200_000], data: new Float32Array(200_000).fill(value) })
  for (let i = 0; i < 5; i++) {
    await Promise.all([1, 2, 3].map((n) => saveTensors(path, new Map([['w', of(n)]]))))
    const { w } = await loadState(path)
    expect(new Set(w.data).size).toBe(1)
  }
})

test('a save that fails leaves nothing beside its place', async () => {
  const inside = join(folder, 'failing')
  const path = join(inside, 'taken.npz')
  await mkdir(path, { recursive: true })
  const w = encode({ dtype: 'float32', shape: [1], data: Float32Array.of(1) })
  await expect(saveTensors(path, new Map([['w', w]]))).rejects.toThrow(/it is a folder \(EISDIR\)/)
  expect(await readdir(inside)).toEqual(['taken.npz'])
})
