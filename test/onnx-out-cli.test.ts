// `burnish export`: a run's folder and a network of the zoo, read by ONNX Runtime.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { exportModel } from '../src/cli/export.js'
import { loadState } from '../src/io/load.js'
import { decodeModel } from '../src/io/onnx/wire.js'
import { saveState } from '../src/io/save.js'
import { encodeState } from '../src/io/state.js'
import { create, LeNet } from '../src/models/index.js'
import { values } from './onnx-out.js'
import { onnxruntime, ortSession } from './peers.js'
import { difference } from './support.js'

const ort = onnxruntime()
const folder = mkdtempSync(join(tmpdir(), 'burnish-export-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What a command writes to the standard output. */
async function said(run: () => Promise<void>): Promise<string> {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  try {
    await run()
    return write.mock.calls.map(([text]) => String(text)).join('')
  } finally {
    write.mockRestore()
  }
}

describe('burnish export', () => {
  it('a run', async () => {
    const model = new LeNet()
    writeFileSync(join(folder, 'recipe.yaml'), 'model: lenet\ndata: mnist\n')
    writeFileSync(join(folder, 'model.safetensors'), await encodeState(model.stateDict()))
    const out = join(folder, 'run.onnx')
    const text = await said(() => exportModel(folder, out, { fixedBatch: false, json: false }))
    expect(text).toContain('LeNet, input batch×1×28×28, opset 17')
    const bytes = new Uint8Array(readFileSync(out))
    expect(decodeModel(bytes, out).metadataProps?.[0].key).toBe('classes')
    if (!ort) return
    const session = await ortSession(ort, bytes)
    const x = values('x', [2, 1, 28, 28])
    const data = (await x.data()) as Float32Array
    const { output } = await session.run({ input: new ort.Tensor('float32', data, x.shape) })
    const expected = await model.eval().forward(x).data()
    expect(difference(output.data as ArrayLike<number>, expected)).toBeUndefined()
  })

  it('a network of the zoo with weights from a file', async () => {
    const weights = join(folder, 'weights.pth')
    const model = create('squeezenet1_1', { numClasses: 3 })
    await saveState(weights, model.stateDict())
    const out = join(folder, 'zoo.onnx')
    const options = { weights, numClasses: 3, input: [3, 64, 64], fixedBatch: true, json: true }
    const line = JSON.parse(await said(() => exportModel('squeezenet1_1', out, options)))
    expect(line).toMatchObject({ event: 'export', model: 'squeezenet1_1', batch: 'fixed' })
    const { graph } = decodeModel(new Uint8Array(readFileSync(out)), out)
    const dims = graph?.input?.[0].type?.tensorType?.shape?.dim
    expect(dims?.map(({ dimValue }) => dimValue)).toEqual([1, 3, 64, 64])
    const stored = graph?.initializer?.find(({ name }) => name === 'features.0.weight')
    const own = await model.stateDict()['features.0.weight'].data()
    expect(new Float32Array(stored?.rawData?.slice().buffer ?? new ArrayBuffer(0))).toEqual(own)
  })

  it('weights below a key, without a prefix', async () => {
    const weights = join(folder, 'wrapped.safetensors')
    const state = new LeNet().stateDict()
    const wrapped = Object.fromEntries(Object.entries(state).map(([k, v]) => [`module.${k}`, v]))
    await saveState(weights, wrapped)
    const out = join(folder, 'wrapped.onnx')
    const options = { weights, fixedBatch: false, json: true }
    await expect(exportModel('lenet', out, options)).rejects.toThrow(
      'burnish convert --strip module.',
    )
    await said(() => exportModel('lenet', out, { ...options, strip: 'module.' }))
    const { graph } = decodeModel(new Uint8Array(readFileSync(out)), out)
    expect(graph?.initializer?.map(({ name }) => name)).toContain(Object.keys(state)[0])
    await expect(loadState(out)).rejects.toThrow(/is an ONNX model.*loadOnnx/)
    await expect(
      exportModel('lenet', out, { fixedBatch: false, json: true, key: 'model' }),
    ).rejects.toThrow('give --weights too')
  })

  it('refuses names that nothing has, and shapes that do not fit', async () => {
    const options = { fixedBatch: false, json: false }
    await expect(exportModel('resnet81', 'x.onnx', options)).rejects.toThrow(/resnet18/)
    await expect(exportModel('lenet', 'x.onnx', { ...options, input: [28, 28] })).rejects.toThrow(
      '--input 28,28 must be 3 sizes, such as 1,28,28',
    )
  })
})
