// ONNX models read from files: data beside the model, where it may lie and where not; and hostile files.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tensor } from '../src/index.js'
import { loadOnnx, loadOnnxBytes } from '../src/io/onnx/load.js'
import { encodeModel, type Graph } from '../src/io/onnx/wire.js'
import { setDevice } from '../src/tensor/devices.js'
import { graphAttribute, infoOf, modelOf, node, tensorOf, values } from './onnx-in.inputs.js'

beforeAll(() => setDevice('cpu'))

const folder = mkdtempSync(join(tmpdir(), 'burnish-onnx-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('files beside the model', () => {
  const withData = (location: string, extra: { [key: string]: string } = {}) =>
    modelOf(
      {
        node: [node('Add', ['x', 'w'], ['y'])],
        input: [infoOf('x', { dtype: 'float', shape: [3] })],
        output: [{ name: 'y' }],
        initializer: [
          {
            name: 'w',
            dims: [3],
            dataType: 1,
            dataLocation: 1,
            externalData: Object.entries({ location, ...extra }).map(([key, value]) => ({
              key,
              value,
            })),
          },
        ],
      },
      13,
    )
  const load = async (location: string, extra?: { [key: string]: string }) => {
    const path = join(folder, 'in', 'model.onnx')
    writeFileSync(path, withData(location, extra))
    return loadOnnx(path)
  }
  beforeAll(() => {
    mkdirSync(join(folder, 'in'))
    const data = new Uint8Array(Float32Array.of(9, 1, 2, 3).buffer)
    writeFileSync(join(folder, 'in', 'w.bin'), data)
    writeFileSync(join(folder, 'secret.bin'), data)
    symlinkSync(join(folder, 'secret.bin'), join(folder, 'in', 'link.bin'))
  })
  it('are read where they are', async () => {
    const model = await load('w.bin', { offset: '4', length: '12' })
    expect([...(await model.forward(tensor([0, 0, 0])).data())]).toEqual([1, 2, 3])
    const external = new Map([['w', new Uint8Array(Float32Array.of(4, 5, 6).buffer)]])
    const other = await loadOnnx(withData('w'), { external })
    expect([...(await other.forward(tensor([0, 0, 0])).data())]).toEqual([4, 5, 6])
  })
  it.each([
    ['../secret.bin', 'leaves the model’s folder'],
    ['a/../../secret.bin', 'leaves'],
    ['..\\secret.bin', 'leaves'],
    ['/etc/passwd', 'leaves'],
    ['C:/x', 'leaves'],
    ['http://example.org/x', 'leaves'],
    ['link.bin', 'is a link out of'],
    ['none.bin', 'is not there'],
  ])('%s is refused', async (location, text) => {
    await expect(load(location)).rejects.toThrow(text.replace('’', "'"))
  })
  it.each([
    [{ offset: '8', length: '12' }, 'bytes 8 to 20 of w.bin are wanted, but it has 16'],
    [{ offset: '-4' }, 'the offset of its data, -4, is no number'],
    [{ length: '8' }, 'its data have 8 bytes in w.bin, but must have 12'],
  ])('ranges %o are checked', async (extra, text) => {
    await expect(load('w.bin', extra)).rejects.toThrow(text)
  })
  it('need a path', () => {
    expect(() => loadOnnxBytes(withData('w.bin'), 'm')).toThrow('its data are in the file w.bin')
  })
})

describe('hostile files', () => {
  const one = (initializer: Graph['initializer'], more: Partial<Graph> = {}) =>
    modelOf(
      {
        node: [node('Add', ['x', 'w'], ['y'])],
        input: [infoOf('x', { dtype: 'float', shape: [1] })],
        output: [{ name: 'y' }],
        initializer,
        ...more,
      },
      13,
    )
  it.each([
    [
      'absurd sizes',
      one([{ name: 'w', dims: [2 ** 40, 2 ** 40], dataType: 1, rawData: new Uint8Array(4) }]),
      'more than 2^31',
    ],
    [
      'negative sizes',
      one([{ name: 'w', dims: [-1], dataType: 1, rawData: new Uint8Array(4) }]),
      'are no sizes',
    ],
    [
      'too few bytes',
      one([{ name: 'w', dims: [100], dataType: 1, rawData: new Uint8Array(4) }]),
      '4 bytes do not fill F32 [100]',
    ],
    ['strings', one([{ name: 'w', dims: [1], dataType: 8 }]), 'STRING are not supported'],
    [
      'two of a name',
      one([tensorOf('w', values([1])), tensorOf('w', values([2]))]),
      'two constants are called w',
    ],
    [
      'a cycle',
      one([], { node: [node('Add', ['x', 'y'], ['w']), node('Add', ['x', 'w'], ['y'])] }),
      'depends on its own result',
    ],
    ['what nothing defines', one([]), 'needs w, which nothing defines'],
    ['an old opset', modelOf({}, 6), 'of opset 6, but 7 to 21'],
    ['a new opset', modelOf({}, 22), 'of opset 22, but 7 to 21'],
    [
      'no graph',
      encodeModel({ irVersion: 8, opsetImport: [{ version: 13 }] }),
      'there is no graph',
    ],
    ['a varint bomb', Uint8Array.of(8, ...new Array(40).fill(0xff)), 'cannot be read'],
    ['a length beyond the end', Uint8Array.of(58, 0xff, 0xff, 0xff, 0xff, 7), 'cannot be read'],
    ['nothing', new Uint8Array(0), 'there is no graph'],
    ['a checkpoint of PyTorch', Uint8Array.of(0x50, 0x4b, 3, 4), 'is no ONNX model but a zip'],
    ['an old one', Uint8Array.of(0x80, 2, 0x8a, 0x0a), 'a pickle'],
    ['safetensors', new TextEncoder().encode('\x40\n\0\0\0\0\0\0{"w":'), 'loadState reads it'],
    ['Keras', Uint8Array.of(0x89, 0x48, 0x44, 0x46), 'loadKeras'],
    ['a page', new TextEncoder().encode('<!DOCTYPE html>'), 'perhaps an error page'],
    ['a pointer', new TextEncoder().encode('version https://git-lfs'), 'Git LFS'],
  ])('%s', (_, bytes, text) => {
    expect(() => loadOnnxBytes(bytes, 'm')).toThrow(text)
  })
  it('graphs in graphs', () => {
    let graph: Graph = { name: 'g', node: [], output: [] }
    for (let i = 0; i < 40; i++)
      graph = {
        name: 'g',
        node: [
          {
            opType: 'If',
            input: ['c'],
            output: ['y'],
            attribute: [graphAttribute('then_branch', graph)],
          },
        ],
        output: [{ name: 'y' }],
      }
    expect(() => loadOnnxBytes(modelOf(graph, 13), 'm')).toThrow('deep')
  })
  it('names of objects', async () => {
    const name = '__proto__'
    const bytes = modelOf(
      {
        node: [node('Add', [name, 'constructor'], ['toString'])],
        input: [infoOf(name, { dtype: 'float', shape: [1] })],
        output: [{ name: 'toString' }],
        initializer: [tensorOf('constructor', values([1]))],
      },
      13,
    )
    const model = loadOnnxBytes(bytes, 'm', { parameters: () => true })
    const results = model.run(Object.fromEntries([[name, tensor([2])]]))
    expect(Object.keys(results)).toEqual(['toString'])
    expect([...(await model.forward(tensor([2])).data())]).toEqual([3])
    expect(Object.keys(model.stateDict())).toEqual(['constructor'])
  })
})
