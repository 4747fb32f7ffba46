// What inspect and convert print and write, and that names cannot steer the terminal.
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { goldenPath } from '../../test/support.js'
import { readNpz, writeNpy, writeNpz } from '../io/npy.js'
import { encodeModel } from '../io/onnx/wire.js'
import { readPytorch } from '../io/pytorch.js'
import { writePytorch } from '../io/pytorch-write.js'
import { readSafetensors, writeSafetensors } from '../io/safetensors.js'
import { decode, encode, type StoredTensor } from '../io/values.js'
import { type ConvertOptions, convert } from './convert.js'
import { showRepository } from './huggingface.js'
import { inspect, plainLines, printable, table } from './inspect.js'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'burnish-inspect-'))
})
afterAll(() => rm(folder, { recursive: true }))

const weight = encode({ dtype: 'float32', shape: [2, 2], data: Float32Array.of(1, -2, 0.5, 4) })
const count = encode({ dtype: 'int32', shape: [], data: Int32Array.of(7) }, 'I64')
const state = new Map<string, StoredTensor>([
  ['fc.weight', weight],
  ['count', count],
])

/** What a call prints. */
async function printed(run: () => Promise<void>): Promise<string> {
  let text = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += String(chunk)
    return true
  })
  try {
    await run()
  } finally {
    spy.mockRestore()
  }
  return text
}
async function place(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}
const shown = (path: string, values = false) =>
  printed(() => inspect(path, { values, json: false }))
const quiet = { force: false, json: true } as const
const converts = (from: string, to: string, options: Partial<ConvertOptions> = {}) =>
  printed(() => convert(from, join(folder, to), { ...quiet, ...options }))

test('the format is told by the content', async () => {
  const files = [
    ['safetensors', writeSafetensors(state)],
    ['npz', writeNpz(state)],
    ['npy', writeNpy(weight)],
    ['pytorch', writePytorch(state)],
  ] as const
  for (const [format, bytes] of files) {
    const path = await place(`some.${format}.thing`, bytes)
    const text = await shown(path)
    expect(text.split('\n')[0]).toBe(
      `${path}: ${format}, ${format === 'npy' ? '1 tensor' : '2 tensors'}`,
    )
    expect(text).toMatch(/F32 +\[2, 2\] +4 +16 B/)
  }
  expect(await shown(join(folder, 'some.npz.thing'), true)).toMatch(/-2 +0\.875 +4\n/)
  await expect(shown(await place('else', Uint8Array.of(1, 2, 3)))).rejects.toThrow(
    /none of the formats/,
  )
  await expect(shown(join(folder, 'absent'))).rejects.toThrow(/there is no such file/)
})

test('a checkpoint shows its values, and all its tensors once', async () => {
  const value = {
    epoch: 3,
    model: { a: weight, b: weight },
    sizes: [
      [1, 2],
      [3, 4],
    ],
    none: null,
  }
  const text = await shown(await place('nested.pt', writePytorch(value)))
  expect(text).toMatch(/model\.b +F32 +\[2, 2\] += model\.a/)
  expect(text).toMatch(
    /\nall +4 +16 B\nepoch: 3\nsizes\.0: \[1, 2\]\nsizes\.1: \[3, 4\]\nnone: None\n$/,
  )
  const json = JSON.parse(
    await printed(() => inspect(join(folder, 'nested.pt'), { values: false, json: true })),
  )
  expect(json).toMatchObject({ format: 'pytorch', elements: 4, values: { epoch: '3' } })
})

test('lines of a large value end', () => {
  const lines = plainLines(new Map(Array.from({ length: 500 }, (_, i) => [i, 'x'.repeat(1000)])))
  expect(lines).toHaveLength(101)
  expect(lines[0][1]).toHaveLength(200)
})

const onnx = goldenPath('lenet_200steps.onnx')
test.skipIf(!onnx)(
  'a graph of ONNX: tensors, inputs, operators; its weights as safetensors',
  async () => {
    const text = await shown(onnx ?? '')
    expect(text).toMatch(/: ONNX, opset 13, \d+ tensors\n/)
    expect(text).toMatch(/\ninputs: .*\[.*1, 28, 28\]\n/)
    expect(text).toMatch(/\nnodes: \d+: .*Conv ×2/)
    await converts(onnx ?? '', 'onnx.safetensors')
    const { tensors } = readSafetensors(await readFile(join(folder, 'onnx.safetensors')))
    const golden = readSafetensors(await readFile(goldenPath('lenet_200steps.safetensors') ?? ''))
    expect(tensors.get('conv1.weight')?.bytes).toEqual(golden.tensors.get('conv1.weight')?.bytes)
  },
)

test('files beside an ONNX model are read, but no link out of its folder', async () => {
  const model = (location: string) =>
    encodeModel({
      irVersion: 8,
      opsetImport: [{ domain: '', version: 17 }],
      graph: {
        initializer: [
          {
            name: 'w',
            dims: [2],
            dataType: 1,
            dataLocation: 1,
            externalData: [{ key: 'location', value: location }],
          },
        ],
      },
    })
  await mkdir(join(folder, 'onnx'))
  await place('secret.bin', new Uint8Array(8))
  await place('onnx/w.bin', new Uint8Array(8))
  await symlink(join(folder, 'secret.bin'), join(folder, 'onnx/link.bin'))
  const good = await place('onnx/good.onnx', model('w.bin'))
  expect(await shown(good)).toMatch(/\nw +F32 +\[2\]/)
  const bad = await place('onnx/bad.onnx', model('link.bin'))
  await expect(shown(bad)).rejects.toThrow(/link.bin is a link out of the model's folder/)
})

test('convert goes round: .pt, .safetensors, .npz and back', async () => {
  const start = await place('start.safetensors', writeSafetensors(state))
  expect(JSON.parse(await converts(start, 'a.pt'))).toMatchObject({
    format: 'safetensors',
    tensors: 2,
  })
  await converts(join(folder, 'a.pt'), 'b.npz')
  await converts(join(folder, 'b.npz'), 'c.safetensors')
  const { tensors, metadata } = readSafetensors(await readFile(join(folder, 'c.safetensors')))
  expect(new Map(tensors)).toEqual(new Map([...state].sort(([a], [b]) => (a < b ? -1 : 1))))
  expect(metadata.get('format')).toBe('pt')
  expect((await readdir(folder)).filter((name) => name.startsWith('.'))).toEqual([])
})

test('convert: floats as another type, keys, prefixes, shards', async () => {
  const value = { g: { 'module.w': weight, 'module.n': count }, d: { w: weight } }
  const gan = await place('gan.pt', writePytorch(value))
  await expect(converts(gan, 'gan.npz')).rejects.toThrow(/several dicts of tensors: g, d/)
  await converts(gan, 'g.npz', { key: 'g', strip: 'module.', dtype: 'float16' })
  const half = readNpz(await readFile(join(folder, 'g.npz')))
  expect([...half].map(([name, { dtype }]) => [name, dtype])).toEqual([
    ['w', 'F16'],
    ['n', 'I64'],
  ])
  expect([...decode(half.get('w') ?? weight, 'w').data]).toEqual([1, -2, 0.5, 4])
  await converts(join(folder, 'g.npz'), 'wide.pt', { dtype: 'float32' })
  const wide = readPytorch(await readFile(join(folder, 'wide.pt')))
  expect(wide instanceof Map && wide.get('w')).toMatchObject({ dtype: 'F32', shape: [2, 2] })
  await expect(converts(gan, 'bf.npz', { key: 'g', dtype: 'bfloat16' })).rejects.toThrow(
    /no type for BF16/,
  )
})

test('convert keeps what is there, unless told', async () => {
  const start = await place('first.safetensors', writeSafetensors(state))
  const there = await place('there.pt', Uint8Array.of(1))
  await expect(converts(start, 'there.pt')).rejects.toThrow(/is there already.*--force/)
  expect((await readFile(there)).length).toBe(1)
  await converts(start, 'there.pt', { force: true })
  expect((await readFile(there)).length).toBeGreaterThan(1)
  await expect(converts(start, 'there.onnx')).rejects.toThrow(/written as \.safetensors, \.pt/)
  await expect(converts(start, 'd.npz', { shard: 1 })).rejects.toThrow(
    /--shard is for .safetensors/,
  )
  await expect(converts(start, 'none/x.pt')).rejects.toThrow(/its folder is not there/)
})

test('names cannot steer the terminal', () => {
  expect(printable('a\x1b[31mb\u202e\n')).toBe('a\\u{1b}[31mb\\u{202e}\\u{a}')
  expect(printable('größe.0')).toBe('größe.0')
})

test('what a folder of Hugging Face calls its model cannot either', async () => {
  await mkdir(join(folder, 'hub'))
  const config = { model_type: 'bert', architectures: ['Bert\u001b[2J'] }
  await place('hub/config.json', new TextEncoder().encode(JSON.stringify(config)))
  await place('hub/model.safetensors', writeSafetensors(state))
  const { signal } = new AbortController()
  const text = await printed(() => showRepository(join(folder, 'hub'), { json: false }, signal))
  expect(text).toMatch(/architecture +Bert\\u\{1b\}\[2J \(bert\)/)
  expect(text).not.toContain('\u001b')
})

test('columns are as wide as they must be', () => {
  expect(
    table(
      [
        ['name', 'n'],
        ['a', '10'],
      ],
      1,
    ),
  ).toBe('name   n\na     10')
})
