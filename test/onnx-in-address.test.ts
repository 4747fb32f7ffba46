// loadOnnx from an address: the model and the files of its weights, from a server, and what it says when one is not
// there.
import { createServer, type Server } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BurnishError } from '../src/base/errors.js'
import { tensor } from '../src/index.js'
import { loadOnnx } from '../src/io/onnx/load.js'
import { AttributeType, type Tensor } from '../src/io/onnx/wire.js'
import { setDevice } from '../src/tensor/devices.js'
import { infoOf, modelOf, tensorOf, values } from './onnx-in.inputs.js'

const outside = (name: string, location: string, more: { [key: string]: string } = {}): Tensor => ({
  name,
  dims: [3],
  dataType: 1,
  dataLocation: 1,
  externalData: Object.entries({ location, ...more }).map(([key, value]) => ({ key, value })),
})
const model = (...weights: readonly Tensor[]) =>
  modelOf(
    {
      node: weights.map(({ name = '' }, i) => ({
        opType: 'Add',
        input: [i === 0 ? 'x' : `s${i}`, name],
        output: [i === weights.length - 1 ? 'y' : `s${i + 1}`],
      })),
      input: [infoOf('x', { dtype: 'float', shape: [3] })],
      output: [{ name: 'y' }],
      initializer: weights,
    },
    17,
  )
const bytesOf = (...numbers: number[]) => new Uint8Array(Float32Array.from(numbers).buffer)

const files: { readonly [path: string]: Uint8Array } = {
  '/inside.onnx': model(tensorOf('w', values([1, 2, 3]))),
  '/models/net.onnx': model(
    outside('a', 'weights/w 1#.bin', { offset: '4', length: '12' }),
    outside('b', 'weights/w 1#.bin', { offset: '16' }),
    outside('c', 'c.bin'),
  ),
  '/models/weights/w%201%23.bin': bytesOf(9, 1, 2, 3, 10, 20, 30),
  '/models/c.bin': bytesOf(100, 200, 300),
  '/models/constant.onnx': modelOf(
    {
      node: [
        {
          opType: 'Constant',
          output: ['w'],
          attribute: [{ name: 'value', type: AttributeType.TENSOR, t: outside('', 'c.bin') }],
        },
        { opType: 'Add', input: ['x', 'w'], output: ['y'] },
      ],
      input: [infoOf('x', { dtype: 'float', shape: [3] })],
      output: [{ name: 'y' }],
    },
    17,
  ),
  '/models/none.onnx': model(outside('w', 'none.bin')),
  '/models/short.onnx': model(outside('w', 'short.bin')),
  '/models/short.bin': bytesOf(1, 2),
  '/models/leaves.onnx': model(outside('w', '../inside.onnx')),
  '/models/elsewhere.onnx': model(outside('w', 'http://example.org/w.bin')),
  '/page.onnx': new TextEncoder().encode('<!doctype html><title>Sign in</title>'),
}

let server: Server
let at = ''
const asked: string[] = []

beforeAll(async () => {
  await setDevice('reference')
  server = createServer((request, response) => {
    const path = request.url ?? ''
    asked.push(path)
    if (path.startsWith('/latest/')) {
      response.writeHead(302, { location: path.replace('/latest/', '/models/') }).end()
      return
    }
    const [file] = path.split('?')
    if (Object.hasOwn(files, file)) response.writeHead(200).end(files[file])
    else response.writeHead(404).end('there is nothing here')
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve())
  })
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  at = `http://127.0.0.1:${address.port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const sum = async (address: string | URL) => {
  const loaded = await loadOnnx(address)
  return [...(await loaded.forward(tensor([0, 0, 0])).data())]
}

describe('a model at an address', () => {
  it('is read, given as text or as a URL', async () => {
    expect(await sum(`${at}/inside.onnx`)).toEqual([1, 2, 3])
    expect(await sum(new URL(`${at}/inside.onnx?download=true`))).toEqual([1, 2, 3])
  })
  it('has its weights in files beside it, each asked for once', async () => {
    asked.length = 0
    expect(await sum(`${at}/models/net.onnx`)).toEqual([111, 222, 333])
    expect(asked.toSorted()).toEqual([
      '/models/c.bin',
      '/models/net.onnx',
      '/models/weights/w%201%23.bin',
    ])
  })
  it('has constants of nodes in files too', async () => {
    expect(await sum(`${at}/models/constant.onnx`)).toEqual([100, 200, 300])
  })
  it('may be somewhere else', async () => {
    expect(await sum(`${at}/latest/net.onnx`)).toEqual([111, 222, 333])
  })
  it.each([
    ['/nothing.onnx', '/nothing.onnx: the server answered 404'],
    ['/models/none.onnx', '/models/none.bin: the server answered 404'],
    ['/models/short.onnx', 'bytes 0 to 12 of short.bin are wanted, but it has 8'],
    ['/models/leaves.onnx', "leaves the model's folder"],
    ['/models/elsewhere.onnx', "leaves the model's folder"],
    ['/page.onnx', '/page.onnx'],
  ])('%s: %s', async (path, text) => {
    const loading = loadOnnx(at + path)
    await expect(loading).rejects.toThrow(text)
    await expect(loading).rejects.toBeInstanceOf(BurnishError)
  })
  it('says where no server answers', async () => {
    const closed = createServer()
    await new Promise<void>((resolve) => {
      closed.listen(0, '127.0.0.1', () => resolve())
    })
    const address = closed.address()
    const port = typeof address === 'object' ? address?.port : undefined
    await new Promise((resolve) => {
      closed.close(resolve)
    })
    const loading = loadOnnx(`http://127.0.0.1:${port}/net.onnx`)
    await expect(loading).rejects.toThrow(`http://127.0.0.1:${port}/net.onnx: cannot be fetched`)
    await expect(loading).rejects.toBeInstanceOf(BurnishError)
  })
})
