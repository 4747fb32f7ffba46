// TensorFlow.js files as strangers may send them: quantised weights, several shards, JavaScript modules, and all that is
// refused: paths out of the folder, absurd sizes, deep nesting, control flow, damage.
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { tensor } from '../../src/index.js'
import { loadState } from '../../src/io/index.js'
import { loadKeras } from '../../src/io/keras/load.js'
import { KerasModel } from '../../src/io/keras/model.js'
import { readLiteral } from '../../src/io/tfjs/literal.js'
import { loadTfjs, readTfjsWeights } from '../../src/io/tfjs/load.js'
import { decodeGroup, readManifest } from '../../src/io/tfjs/weights.js'
import { Linear } from '../../src/nn/index.js'
import { fuzz } from '../fuzz.js'
import { difference, uniform } from '../support.js'
import { kerasArchive, legacyFile, type Weight } from './h5.js'
import { attr, files, graphFiles, load } from './tf.js'
import { parameterStep } from './train.js'

const folder = await mkdtemp(join(tmpdir(), 'burnish-tfjs-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

const dense = (units: number, inputs: number) => ({
  class_name: 'Sequential',
  config: {
    name: 's',
    layers: [
      {
        class_name: 'Dense',
        config: {
          name: 'd',
          units,
          activation: 'linear',
          use_bias: true,
          batch_input_shape: [null, inputs],
        },
      },
    ],
  },
})

const manifest = (
  weights: readonly object[],
  paths: readonly string[] = ['group1-shard1of1.bin'],
) => ({
  format: 'layers-model',
  modelTopology: { model_config: dense(2, 3), keras_version: '2.10.0' },
  weightsManifest: [{ paths, weights }],
})

const kernel = { name: 'd/kernel', shape: [3, 2], dtype: 'float32' }
const bias = { name: 'd/bias', shape: [2], dtype: 'float32' }
const floats = new Float32Array([1, 2, 3, 4, 5, 6, 7, 8])
const bytes = new Uint8Array(floats.buffer)
const identity = tensor([1, 0, 0, 0, 1, 0, 0, 0, 1], { shape: [3, 3] })
const expected = [8, 10, 10, 12, 12, 14]

const json = (value: object) => new TextEncoder().encode(JSON.stringify(value))
const outputs = async (model: Awaited<ReturnType<typeof loadTfjs>>) =>
  Array.from(await model.forward(identity).data())

test('float32, float16, uint8 and uint16 weights become float32', async () => {
  const quantised = (dtype: string, more: object = {}) => [
    { ...kernel, quantization: { dtype, original_dtype: 'float32', ...more } },
    bias,
  ]
  const tail = bytes.subarray(24)
  const with_ = (array: Uint8Array | Uint16Array) =>
    new Uint8Array([...new Uint8Array(array.buffer, array.byteOffset, array.byteLength), ...tail])
  const cases: [readonly object[], Uint8Array][] = [
    [[kernel, bias], bytes],
    [quantised('float16'), with_(Uint16Array.of(0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600))],
    [quantised('uint8', { scale: 0.5, min: 1 }), with_(Uint8Array.of(0, 2, 4, 6, 8, 10))],
    [
      quantised('uint16', { scale: 0.001, min: -1 }),
      with_(Uint16Array.of(2000, 3000, 4000, 5000, 6000, 7000)),
    ],
  ]
  for (const [weights, shard] of cases) {
    const model = await load(files(manifest(weights), shard))
    expect(difference(await outputs(model), expected, 1e-6)).toBeUndefined()
  }
})

test('integers and bools, quantised or not', () => {
  const specs = readManifest(
    [
      {
        paths: [],
        weights: [
          { name: 'i', shape: [2], dtype: 'int32' },
          { name: 'b', shape: [2], dtype: 'bool' },
          {
            name: 'q',
            shape: [2],
            dtype: 'int32',
            quantization: { dtype: 'uint8', scale: 2, min: -3 },
          },
          { name: 'e', shape: [0, 5], dtype: 'float32' },
        ],
      },
    ],
    'it',
  )
  const data = Uint8Array.of(255, 255, 255, 255, 5, 0, 0, 0, 0, 1, 0, 4)
  const [[, i], [, b], [, q], [, e]] = decodeGroup(specs[0].weights, data, 'it')
  expect([i.data, b.data, q.data, e.data].map((a) => Array.from(a))).toEqual([
    [-1, 5],
    [0, 1],
    [-3, 5],
    [],
  ])
})

test('files on disk, in shards that cut tensors anywhere', async () => {
  await mkdir(join(folder, 'sub'))
  await writeFile(
    join(folder, 'model.json'),
    json(manifest([kernel, bias], ['a.bin', 'sub/b.bin', 'c.bin'])),
  )
  await writeFile(join(folder, 'a.bin'), bytes.subarray(0, 7))
  await writeFile(join(folder, 'sub/b.bin'), bytes.subarray(7, 25))
  await writeFile(join(folder, 'c.bin'), bytes.subarray(25))
  expect(await outputs(await loadTfjs(join(folder, 'model.json')))).toEqual(expected)
  expect(await outputs(await loadTfjs(new URL(`file://${folder}/model.json`)))).toEqual(expected)
  const state = await loadState(join(folder, 'model.json'))
  expect(Array.from(state['d/bias'].data)).toEqual([7, 8])
  await rm(join(folder, 'c.bin'))
  await expect(loadTfjs(join(folder, 'model.json'))).rejects.toThrow(
    /c\.bin: there is no such file/,
  )
  await expect(loadTfjs(join(folder, 'none.json'))).rejects.toThrow(
    /none\.json: there is no such file/,
  )
})

test('files on a server: shards beside model.json, with its query', async () => {
  const asked: string[] = []
  const server = createServer((request, response) => {
    const { url = '' } = request
    asked.push(url)
    if (url.startsWith('/m/model.json')) response.end(json(manifest([kernel, bias], ['a b.bin'])))
    else if (url.startsWith('/m/a%20b.bin')) response.end(bytes)
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  try {
    const base = `http://127.0.0.1:${port}`
    expect(await outputs(await loadTfjs(`${base}/m/model.json?key=1`))).toEqual(expected)
    expect(asked).toEqual(['/m/model.json?key=1', '/m/a%20b.bin?key=1'])
    await expect(loadTfjs(`${base}/none.json`)).rejects.toThrow(
      /none\.json: the server answered 404/,
    )
    const weights = await readTfjsWeights(`${base}/m/model.json`)
    expect([...weights.keys()]).toEqual(['d/kernel', 'd/bias'])
  } finally {
    server.close()
  }
  await expect(loadTfjs('http://127.0.0.1:1/model.json')).rejects.toThrow(/cannot be fetched/)
})

test('models in JavaScript modules are read, and nothing of them runs', async () => {
  const source = JSON.stringify(manifest([kernel, bias], ['group1-shard1of1']))
    .replace(/"(\w+)":/g, '$1:')
    .replaceAll(':true', ':!0')
  const module = (value: string) =>
    `!function(e){globalThis.ran=1;if("object"==typeof exports)module.exports=e();var n={exports:{}}}(function(){return{1:[function(e,a,n){a.exports=${value}},{}]}});`
  await writeFile(join(folder, 'model.min.js'), module(source))
  const base64 = Buffer.from(bytes).toString('base64')
  await writeFile(join(folder, 'group1-shard1of1.min.js'), module(`"${base64}"`))
  expect(await outputs(await loadTfjs(join(folder, 'model.min.js')))).toEqual(expected)
  expect('ran' in globalThis).toBe(false)
  await writeFile(join(folder, 'group1-shard1of1.min.js'), module('"not base64!"'))
  await expect(loadTfjs(join(folder, 'model.min.js'))).rejects.toThrow(/not base64/)
  await writeFile(join(folder, 'code.js'), 'module.exports = require("fs")')
  await expect(loadTfjs(join(folder, 'code.js'))).rejects.toThrow(/neither JSON nor/)
})

test('literals of minified JavaScript', () => {
  const read = (text: string) => readLiteral(text, 0, 'it')
  expect(read(`{a:!0,b:[!1,null,-.5,1e3],'c d':"x\\n\\x41\\"",e:'"'}`)).toEqual(
    Object.assign(Object.create(null), {
      a: true,
      b: [false, null, -0.5, 1000],
      'c d': 'x\nA"',
      e: '"',
    }),
  )
  for (const bad of ['{a:b}', '[1,', '{a 1}', '"x', '[1;2]', 'f()', `${'['.repeat(300)}`])
    expect(() => read(bad), bad).toThrow(/it: /)
})

test('shards never leave the folder', async () => {
  for (const path of [
    '../x.bin',
    '/etc/passwd',
    'a/../../x',
    'C:/x',
    'a\\b',
    'http://x/y',
    'a//b',
    './a',
    '',
    '%2e%2e/x',
    'a\u0000b',
  ]) {
    const model = json(manifest([kernel, bias], [path]))
    await writeFile(join(folder, 'bad.json'), model)
    await expect(loadTfjs(join(folder, 'bad.json')), path).rejects.toThrow(
      /leaves the model's folder/,
    )
    await expect(loadTfjs(model, { shard: () => bytes }), path).rejects.toThrow(
      /leaves the model's folder/,
    )
  }
})

test('links out of the model’s folder are refused, links within it are read', async () => {
  const inside = join(folder, 'linked')
  await mkdir(inside)
  await writeFile(join(folder, 'secret.bin'), bytes)
  await writeFile(join(inside, 'real.bin'), bytes)
  await symlink(join(folder, 'secret.bin'), join(inside, 'out.bin'))
  await symlink(join(inside, 'real.bin'), join(inside, 'in.bin'))
  const path = join(inside, 'model.json')
  const of = (shard: string) => writeFile(path, json(manifest([kernel, bias], [shard])))
  await of('out.bin')
  for (const address of [path, pathToFileURL(path)])
    await expect(loadTfjs(address)).rejects.toThrow(/out\.bin is a link out of the model's folder/)
  await of('in.bin')
  expect(await loadTfjs(path)).toBeInstanceOf(KerasModel)
})

test('manifests that cannot be true', async () => {
  const refused = (weights: readonly object[], message: RegExp, shard = bytes) =>
    expect(load(files(manifest(weights), shard))).rejects.toThrow(message)
  await refused([kernel], /have 32 bytes, the manifest's 1 tensors take 24/)
  await refused([kernel, bias], /missing or cut short/, bytes.subarray(0, 20))
  await refused([{ ...kernel, shape: [1e9, 1e9] }, bias], /too large/)
  await refused([{ ...kernel, shape: [-3, 2] }, bias], /shape is \[-3,2\]/)
  await refused([{ ...kernel, shape: [1.5, 2] }, bias], /shape/)
  await refused([{ ...kernel, dtype: 'string' }, bias], /is string/)
  await refused([{ ...kernel, quantization: { dtype: 'int4' } }, bias], /quantised as int4/)
  await refused([kernel, kernel], /d\/kernel is there twice/)
  await refused(
    [{ ...kernel, name: '__proto__' }, bias],
    /Dense d: needs kernel, bias; the file has d\/bias/,
  )
  await expect(
    load(files(manifest([{ ...kernel, shape: [2, 3] }, bias]), bytes)).then((m) =>
      m.forward(identity),
    ),
  ).rejects.toThrow()
  await expect(loadTfjs(json(manifest([kernel, bias])))).rejects.toThrow(
    /give \{ shard: \(path\) => bytes \}/,
  )
  await expect(loadTfjs(json({ a: 1 }))).rejects.toThrow(/has no modelTopology/)
  await expect(loadTfjs(json({ ...manifest([]), format: 'other' }))).rejects.toThrow(
    /the format is other/,
  )
  const deep = new TextEncoder().encode(
    `{"modelTopology":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
  )
  await expect(loadTfjs(deep)).rejects.toThrow(/nested more than 200 deep/)
})

test('graphs: control flow and other operators are refused, naming nodes', async () => {
  const graph = (op: string) =>
    graphFiles({
      inputs: { x: { shape: [2] } },
      nodes: [
        { name: 'loop/Enter', op, input: ['x'] },
        { name: 'y', op: 'Identity', input: ['loop/Enter'] },
      ],
      outputs: ['y'],
    })
  await expect(load(graph('Enter'))).rejects.toThrow(
    /Enter is not supported \(node loop\/Enter\); docs\/tensorflow\.md lists/,
  )
  await expect(load(graph('StatefulPartitionedCall'))).rejects.toThrow(
    /StatefulPartitionedCall is not supported/,
  )
  const cycle = graphFiles({
    inputs: { x: { shape: [2] } },
    nodes: [
      { name: 'a', op: 'Add', input: ['x', 'b'] },
      { name: 'b', op: 'Neg', input: ['a'] },
    ],
    outputs: ['b'],
  })
  await expect(load(cycle)).rejects.toThrow(/depends on its own result/)
  const missing = graphFiles({
    inputs: { x: { shape: [2] } },
    nodes: [{ name: 'y', op: 'Add', input: ['x', 'none'] }],
    outputs: ['y'],
  })
  await expect(load(missing)).rejects.toThrow(/none, which nothing defines/)
})

/** A small network of a graph: convolution with a normalisation, pooling, product. */
const network = graphFiles({
  inputs: { x: { shape: [4, 6, 6, 2] } },
  constants: {
    kernel: { shape: [3, 3, 2, 4] },
    gamma: { shape: [4], values: [1, 1, 1, 1] },
    beta: { shape: [4], values: [0, 0, 0, 0] },
    mean: { shape: [4], values: [0, 0, 0, 0] },
    variance: { shape: [4], values: [1, 1, 1, 1] },
    axes: { shape: [2], values: [1, 2], dtype: 'int32' },
    dense: { shape: [4, 3] },
    bias: { shape: [3] },
  },
  nodes: [
    {
      name: 'conv',
      op: 'Conv2D',
      input: ['x', 'kernel'],
      attr: {
        strides: attr.ints(1, 1, 1, 1),
        padding: attr.text('SAME'),
        data_format: attr.text('NHWC'),
      },
    },
    {
      name: 'bn',
      op: 'FusedBatchNormV3',
      input: ['conv', 'gamma', 'beta', 'mean', 'variance'],
      attr: { epsilon: attr.float(0.001) },
    },
    { name: 'relu', op: 'Relu', input: ['bn'] },
    { name: 'pool', op: 'Mean', input: ['relu', 'axes'] },
    {
      name: 'product',
      op: '_FusedMatMul',
      input: ['pool', 'dense', 'bias'],
      attr: { fused_ops: attr.texts('BiasAdd') },
    },
  ],
  outputs: ['product'],
})

test('a graph trains: weights are parameters under their names, running statistics move', async () => {
  const model = await load(network)
  expect(
    model
      .namedParameters()
      .map(([name]) => name)
      .sort(),
  ).toEqual(['beta', 'bias', 'dense', 'gamma', 'kernel'])
  expect(
    model
      .namedBuffers()
      .map(([name]) => name)
      .sort(),
  ).toEqual(['mean', 'variance'])
  const x = tensor(uniform('image', [4, 6, 6, 2]), { shape: [4, 6, 6, 2] })
  model.train()
  const losses = await parameterStep(model, () => model.forward(x).square().mean(), 10, 1e-2)
  expect(losses.at(-1)).toBeLessThan(losses[0] / 1.5)
  expect(Array.from(await model.stateDict().mean.data())).not.toEqual([0, 0, 0, 0])
  model.eval()
  const part = x.slice(0, 1)
  expect(model.forward(part).shape).toEqual([1, 3])
})

test('a layers model trains', async () => {
  const model = await load(files(manifest([kernel, bias]), bytes))
  expect(model).toBeInstanceOf(KerasModel)
  const losses = await parameterStep(
    model,
    () => model.train().forward(identity).square().mean(),
    10,
    1e-1,
  )
  expect(losses.at(-1)).toBeLessThan(losses[0] / 1.2)
})

test('inputs that decide about shapes are taken by their numbers, and gradients pass behind them', async () => {
  const graph = graphFiles({
    inputs: { ids: { shape: [4], dtype: 'int32' } },
    constants: {
      zero: { shape: [], values: [0], dtype: 'int32' },
      column: { shape: [1], values: [-1], dtype: 'int32' },
      table: { shape: [5, 3] },
    },
    nodes: [
      { name: 'some', op: 'Greater', input: ['ids', 'zero'] },
      { name: 'where', op: 'Where', input: ['some'] },
      { name: 'places', op: 'Reshape', input: ['where', 'column'] },
      { name: 'kept', op: 'GatherV2', input: ['ids', 'places', 'zero'] },
      { name: 'y', op: 'GatherV2', input: ['table', 'kept', 'zero'] },
    ],
    outputs: ['y'],
  })
  const model = await load(graph)
  const ids = (...list: readonly number[]) =>
    tensor(Int32Array.from(list), { shape: [list.length] })
  expect(model.forward(ids(0, 3, 0, 4)).shape).toEqual([2, 3])
  expect(model.forward(ids(1, 2, 3, 4)).shape).toEqual([4, 3])
  expect(model.namedParameters().map(([name]) => name)).toEqual(['table'])
  const losses = await parameterStep(
    model,
    () =>
      model
        .forward(ids(0, 3, 0, 4))
        .square()
        .mean(),
    10,
    1e-1,
  )
  expect(losses.at(-1)).toBeLessThan(losses[0])
  expect(() => model.forward(ids(0, 1, 2, 3).add(1))).toThrow(
    /the input ids decides about shapes, so its numbers must be known/,
  )
})

test('sizes other than the file says are taken where asked', async () => {
  const x = (size: number) =>
    tensor(uniform('image', [4, size, size, 2]), { shape: [4, size, size, 2] })
  const fixed = await load(network)
  expect(() => fixed.forward(x(9))).toThrow(/has shape \[4, 9, 9, 2\]/)
  const free = await loadTfjs(network.json, { shard: () => network.shard, anySize: true })
  expect(free.forward(x(9)).shape).toEqual([4, 3])
})

test('layers are modules: they print as Keras calls them, can be replaced, and give features', async () => {
  const weights = [
    kernel,
    bias,
    { name: 'e/kernel', shape: [2, 2], dtype: 'float32' },
    { name: 'e/bias', shape: [2], dtype: 'float32' },
  ]
  const topology = dense(2, 3)
  topology.config.layers.push({
    class_name: 'Dense',
    config: { ...topology.config.layers[0].config, name: 'e', units: 2 },
  })
  const two = {
    ...manifest(weights),
    modelTopology: { model_config: topology, keras_version: '2.10.0' },
  }
  const shard = new Uint8Array([
    ...bytes,
    ...new Uint8Array(Float32Array.of(1, 0, 0, 1, 0, 0).buffer),
  ])
  const model = await load(files(two, shard))
  expect(`${model.getSubmodule('d')}`).toBe('Dense(kernel [3, 2], bias [2])')
  expect(await outputs(model)).toEqual(expected)
  model.setSubmodule('e', new Linear(2, 5))
  expect(model.forward(identity).shape).toEqual([3, 5])
  expect(Object.keys(model.stateDict())).toEqual(['d.kernel', 'd.bias', 'e.weight', 'e.bias'])
  const features = await loadTfjs(files(two, shard).json, { shard: () => shard, outputs: ['d'] })
  expect(await outputs(features)).toEqual(expected)
  await expect(
    loadTfjs(files(two, shard).json, { shard: () => shard, outputs: ['x'] }),
  ).rejects.toThrow(/there is no layer x to give an output; it has d_input, d, e/)
  expect(() => model.forward(tensor([1, 2], { shape: [1, 2] }))).toThrow(
    /the input d_input has shape \[1, 2\], but the model takes \[N, 3\]/,
  )
})

// ---- damage ----

const joinedFile = ({
  json: text,
  shard,
}: {
  readonly json: Uint8Array
  readonly shard: Uint8Array
}) => {
  const head = new DataView(new ArrayBuffer(4))
  head.setUint32(0, text.length)
  return new Uint8Array([...new Uint8Array(head.buffer), ...text, ...shard])
}

const splitFile = (whole: Uint8Array) => {
  const length = whole.length < 4 ? 0 : new DataView(whole.buffer, whole.byteOffset).getUint32(0)
  const text = whole.subarray(4, 4 + Math.min(length, whole.length))
  return loadTfjs(text, { shard: () => whole.subarray(4 + text.length) })
}

test('fuzz: damaged models are refused or still models', async () => {
  const layers = joinedFile(files(manifest([kernel, bias]), bytes))
  await fuzz('tfjs', [layers, joinedFile(network)], splitFile)
}, 120_000)

const weight = (name: string, ...shape: readonly number[]): Weight => ({
  name,
  shape,
  data: uniform(name, shape),
})

test('fuzz: damaged Keras files are refused or still models', async () => {
  const archive = await kerasArchive(dense(2, 3), [
    weight('layers/dense/vars/0', 3, 2),
    weight('layers/dense/vars/1', 2),
  ])
  await fuzz('keras archive', [archive], (data) => loadKeras(data))
}, 120_000)

test('fuzz: damaged HDF5 files are refused or still models', async () => {
  const legacy = await legacyFile(dense(2, 3), [
    ['d', [weight('d/kernel:0', 3, 2), weight('d/bias:0', 2)]],
  ])
  await fuzz('keras h5', [legacy], (data) => loadKeras(data))
}, 120_000)
