// Hugging Face folders: golden GPT-2 and BERT, torchvision's ViT and ResNet under transformers' names, and back again.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hostArray } from '../src/data/index.js'
import { setDevice, tensor } from '../src/index.js'
import { readSafetensors, writeSafetensors } from '../src/io/index.js'
import { writePytorch } from '../src/io/pytorch-write.js'
import { decode, encode } from '../src/io/values.js'
import {
  BasicBlock,
  Bert,
  BertForMaskedLM,
  BertForSequenceClassification,
  Bottleneck,
  create,
  GPT2,
  GPT2Model,
  huggingFaceFiles,
  loadHuggingFace,
  ResNet,
  saveHuggingFace,
  VisionTransformer,
  ViTFeatures,
} from '../src/models/index.js'
import { crossEntropy } from '../src/nn/index.js'
import type { Module } from '../src/nn/module.js'
import { AdamW } from '../src/optim/index.js'
import { difference, fill, goldenJson, uniform } from './support.js'

type Values = { [name: string]: { readonly shape: readonly number[]; readonly data: Float32Array } }
type Files = { [name: string]: Uint8Array }

const folder = mkdtempSync(join(tmpdir(), 'burnish-hf-'))
afterAll(() => rmSync(folder, { recursive: true }))
beforeAll(async () => {
  await setDevice('cpu', { threads: 2 })
})

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const weights = (values: Values) =>
  writeSafetensors(
    new Map(
      Object.entries(values).map(([name, { shape, data }]) => [
        name,
        encode({ dtype: 'float32', shape, data }),
      ]),
    ),
  )
const filled = (shapes: { readonly [name: string]: readonly number[] }): Values =>
  Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, { shape, data: fill(name, shape) }]),
  )
const renamed = (values: Values, to: (name: string) => string): Values =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [to(name), value]))
const int = (rows: readonly (readonly number[])[]) =>
  tensor(Int32Array.from(rows.flat()), { shape: [rows.length, rows[0].length] })
const flat = (values: unknown): number[] => (values as readonly unknown[]).flat(9).map(Number)
const namesIn = (file: Uint8Array) => [...readSafetensors(file).tensors.keys()].sort()
const asFiles = async (model: Module<unknown>, options = {}): Promise<Files> =>
  Object.fromEntries(await huggingFaceFiles(model, options))
function fillAll(model: Module<unknown>): void {
  for (const [name, parameter] of Object.entries(model.stateDict()))
    if (parameter.dtype === 'float32')
      parameter.set(tensor(fill(name, parameter.shape), { shape: parameter.shape }))
}

interface Golden {
  readonly config: { readonly [field: string]: unknown }
  readonly ids: readonly (readonly number[])[]
  readonly state_dict: { readonly [name: string]: readonly number[] }
  readonly logits?: unknown
  readonly token_type_ids: readonly (readonly number[])[]
  readonly attention_mask: readonly (readonly number[])[]
  readonly last_hidden_state?: unknown
  readonly pooler_output?: unknown
}
const golden = goldenJson<{ readonly gpt2: Golden; readonly bert: Golden }>('transformers.json')

describe.skipIf(golden === undefined)("transformers' own values", () => {
  const { gpt2, bert } = golden ?? ({} as { gpt2: Golden; bert: Golden })
  const gptFiles = (values: Values, more = {}): Files => ({
    'config.json': json({
      ...gpt2.config,
      model_type: 'gpt2',
      architectures: ['GPT2LMHeadModel'],
      ...more,
    }),
    'model.safetensors': weights(values),
  })
  const bertFiles = (values: Values, more = {}): Files => ({
    'config.json': json({
      ...bert.config,
      model_type: 'bert',
      architectures: ['BertModel'],
      ...more,
    }),
    'model.safetensors': weights(values),
  })
  const masks = () => ({
    tokenTypeIds: int(bert.token_type_ids),
    attentionMask: int(bert.attention_mask),
  })

  test('GPT-2: names, with and without prefix, masks in the file, shards', async () => {
    const values = filled(gpt2.state_dict)
    const bare = renamed(values, (name) => name.replace(/^transformer\./, ''))
    bare['h.0.attn.bias'] = { shape: [1, 1, 2, 2], data: new Float32Array(4) }
    const [first, second] = [0, 1].map((half) =>
      Object.fromEntries(Object.entries(values).filter((_, i) => i % 2 === half)),
    )
    const map = Object.fromEntries([
      ...Object.keys(first).map((name) => [name, 'a.safetensors']),
      ...Object.keys(second).map((name) => [name, 'b.safetensors']),
    ])
    const shards = {
      'config.json': gptFiles(values)['config.json'],
      'model.safetensors.index.json': json({ weight_map: map }),
      'a.safetensors': weights(first),
      'b.safetensors': weights(second),
    }
    for (const files of [gptFiles(values), gptFiles(bare), shards]) {
      const { model, report, architecture } = await loadHuggingFace(files)
      expect(architecture).toBe('GPT2LMHeadModel')
      if (!(model instanceof GPT2)) throw new Error('no GPT2')
      const found = await model.forward(int(gpt2.ids)).data()
      expect(difference(found, flat(gpt2.logits), 1e-3)).toBeUndefined()
      expect([report.missing, report.unexpected, report.mismatched]).toEqual([[], [], []])
      expect(report.matched.length).toBe(Object.keys(gpt2.state_dict).length)
    }
    const { model } = await loadHuggingFace(gptFiles(bare), { task: 'feature-extraction' })
    expect(model).toBeInstanceOf(GPT2Model)
    const lost = { ...shards, 'a.safetensors': weights(second) }
    await expect(loadHuggingFace(lost)).rejects.toThrow('a.safetensors has no transformer.')
    const absent = {
      ...shards,
      'model.safetensors.index.json': json({ weight_map: { x: '../y' } }),
    }
    await expect(loadHuggingFace(absent)).rejects.toThrow('which is not there')
  })

  test('scaled scores of GPT-2 change what they should', async () => {
    const values = filled(gpt2.state_dict)
    const run = async (more: object) => {
      const { model } = await loadHuggingFace(gptFiles(values, more), { task: 'text-generation' })
      return model.forward(int(gpt2.ids)).data()
    }
    const [plain, unscaled, byLayer] = [
      await run({}),
      await run({ scale_attn_weights: false }),
      await run({ scale_attn_by_inverse_layer_idx: true }),
    ]
    expect(difference(unscaled, plain, 1e-3)).toBeDefined()
    expect(difference(byLayer, plain, 1e-3)).toBeDefined()
  })

  test('BERT: hidden states and pooler; old names, prefix, positions', async () => {
    const values = filled(bert.state_dict)
    const old = renamed(values, (name) =>
      `bert.${name}`
        .replace('LayerNorm.weight', 'LayerNorm.gamma')
        .replace('LayerNorm.bias', 'LayerNorm.beta'),
    )
    old['bert.embeddings.position_ids'] = { shape: [1, 4], data: new Float32Array(4) }
    old['cls.seq_relationship.weight'] = { shape: [2, 48], data: new Float32Array(96) }
    for (const files of [bertFiles(values), bertFiles(old)]) {
      const { model } = await loadHuggingFace(files)
      if (!(model instanceof Bert)) throw new Error('no Bert')
      const { lastHiddenState, poolerOutput } = model.forward(int(bert.ids), masks())
      expect(
        difference(await lastHiddenState.data(), flat(bert.last_hidden_state), 1e-3),
      ).toBeUndefined()
      const pooled = await poolerOutput?.data()
      expect(difference(pooled ?? [], flat(bert.pooler_output), 1e-3)).toBeUndefined()
    }
    const { report } = await loadHuggingFace(bertFiles(old))
    expect(report.unused).toEqual(['bert.embeddings.position_ids', 'cls.seq_relationship.weight'])
  })

  test('a head that is new, and one that is missing', async () => {
    const files = bertFiles(filled(bert.state_dict))
    const made = await loadHuggingFace(files, {
      task: 'text-classification',
      labels: ['a', 'b', 'c'],
    })
    expect(made.model).toBeInstanceOf(BertForSequenceClassification)
    expect(made.labels).toEqual(['a', 'b', 'c'])
    expect(made.report.missing).toEqual(['classifier.weight', 'classifier.bias'])
    expect(made.report.notes).toEqual([
      'made new, not from the checkpoint: classifier.weight, classifier.bias',
    ])
    expect((await made.model.forward(int(bert.ids)).data()).length).toBe(6)
    const claims = bertFiles(filled(bert.state_dict), {
      architectures: ['BertForSequenceClassification'],
    })
    await expect(loadHuggingFace(claims)).rejects.toThrow('missing are classifier.weight')
    const saved = await asFiles(made.model, { from: made })
    const other = await loadHuggingFace(saved, { numClasses: 5 })
    expect(other.report.mismatched.map(({ name }) => name)).toEqual([
      'classifier.weight',
      'classifier.bias',
    ])
    expect((await loadHuggingFace(saved)).labels).toEqual(['a', 'b', 'c'])
  })

  test('pytorch_model.bin, whole and in shards; a lost shard', async () => {
    const values = filled(bert.state_dict)
    const { 'config.json': config } = bertFiles(values)
    const stored = Object.entries(values).map(
      ([name, { shape, data }]) => [name, { dtype: 'float32', shape, data } as const] as const,
    )
    const half = stored.length >> 1
    const parts = [stored.slice(0, half), stored.slice(half)].map((part) => new Map(part))
    const map = parts.flatMap((part, i) => [...part.keys()].map((name) => [name, `${i}.bin`]))
    const shards = {
      'config.json': config,
      'pytorch_model.bin.index.json': json({ weight_map: Object.fromEntries(map) }),
      '0.bin': writePytorch(parts[0]),
      '1.bin': writePytorch(parts[1]),
    }
    const whole = { 'config.json': config, 'pytorch_model.bin': writePytorch(new Map(stored)) }
    for (const files of [whole, shards]) {
      const { model, report } = await loadHuggingFace(files, { task: 'feature-extraction' })
      expect(report.matched.length).toBe(stored.length)
      if (!(model instanceof Bert)) throw new Error('no Bert')
      const { lastHiddenState } = model.forward(int(bert.ids), masks())
      const found = await lastHiddenState.data()
      expect(difference(found, flat(bert.last_hidden_state), 1e-3)).toBeUndefined()
    }
    const { '1.bin': _, ...lost } = shards
    await expect(loadHuggingFace(lost)).rejects.toThrow('is in "1.bin", which is not there')
    await expect(loadHuggingFace({ 'config.json': config })).rejects.toThrow('no weights: it must')
  })

  test('what is loaded learns, and goes back as it is then', async () => {
    const sure = { hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 }
    const loaded = await loadHuggingFace(bertFiles(filled(bert.state_dict), sure), {
      task: 'text-classification',
    })
    const { model } = loaded
    const optimizer = new AdamW(model.train().parameters(), { lr: 3e-3 })
    const losses: number[] = []
    for (let step = 0; step < 10; step++) {
      optimizer.zeroGrad()
      const loss = crossEntropy(model.forward(int(bert.ids), masks()), tensor(Int32Array.of(0, 1)))
      loss.backward()
      await optimizer.step()
      losses.push(await loss.item())
    }
    expect(losses[9]).toBeLessThan(0.8 * losses[0])
    const want = await model.eval().forward(int(bert.ids), masks()).data()
    const again = await loadHuggingFace(await asFiles(model, { from: loaded }), {
      task: 'text-classification',
    })
    expect([...(await again.model.forward(int(bert.ids), masks()).data())]).toEqual([...want])
    expect(again.report.notes).toEqual([])
  })

  test('what does not fit is told, and strict: false loads the rest', async () => {
    const values = filled(bert.state_dict)
    const { 'encoder.layer.0.output.dense.bias': _, ...lost } = values
    await expect(loadHuggingFace(bertFiles(lost))).rejects.toThrow(
      'missing are bert.encoder.layer.0.output.dense.bias',
    )
    const extra = { ...values, 'encoder.layer.0.extra': { shape: [1], data: new Float32Array(1) } }
    await expect(loadHuggingFace(bertFiles(extra))).rejects.toThrow('unexpected are bert.encoder')
    const { report } = await loadHuggingFace(bertFiles(lost), { strict: false })
    expect(report.missing).toEqual(['bert.encoder.layer.0.output.dense.bias'])
    for (const [more, message] of [
      [{ vocab_size: 98 }, 'is [97, 48], by config.json [98, 48]'],
      [{ num_hidden_layers: 3 }, 'no bert.encoder.layer.2'],
      [{ vocab_size: -1 }, 'vocab_size is -1, but must be a whole number'],
      [{ hidden_act: 'swoosh' }, 'hidden_act is "swoosh", but must be one of'],
      [{ position_embedding_type: 'relative_key' }, 'only "absolute" is built'],
      [{ is_decoder: true }, 'BERT sees both sides'],
      [{ layer_norm_eps: 'small' }, 'layer_norm_eps is "small"'],
      [
        { model_type: 'llama' },
        'model_type is "llama", but must be one of bert, gpt2, vit, resnet',
      ],
      [{ architectures: ['BertForNextSentencePrediction'] }, 'or give a task'],
      [{ quantization_config: { bits: 4 } }, 'quantised weights are not read'],
    ] as const)
      await expect(loadHuggingFace(bertFiles(values, more))).rejects.toThrow(message)
  })

  test("the head's own dropout goes along", async () => {
    const files = bertFiles(filled(bert.state_dict), { classifier_dropout: 0.25 })
    const made = await loadHuggingFace(files, { task: 'text-classification' })
    const { 'config.json': config } = await asFiles(made.model)
    expect(JSON.parse(new TextDecoder().decode(config)).classifier_dropout).toBe(0.25)
  })

  test('masked words: tied weights are written once, under the names of transformers', async () => {
    const { vocab_size: vocabSize } = bert.config as { vocab_size: number }
    const sizes = { vocabSize, hiddenSize: 48, numAttentionHeads: 4, numHiddenLayers: 2 }
    const model = new BertForMaskedLM({ ...sizes, intermediateSize: 96, maxPositionEmbeddings: 32 })
    fillAll(model.eval())
    const files = await asFiles(model)
    expect(namesIn(files['model.safetensors']).filter((name) => name.startsWith('cls'))).toEqual([
      'cls.predictions.bias',
      'cls.predictions.transform.LayerNorm.bias',
      'cls.predictions.transform.LayerNorm.weight',
      'cls.predictions.transform.dense.bias',
      'cls.predictions.transform.dense.weight',
    ])
    const again = await loadHuggingFace(files, { task: 'fill-mask' })
    const want = await model.forward(int(bert.ids)).data()
    expect(difference(await again.model.forward(int(bert.ids)).data(), want, 1e-6)).toBeUndefined()
  })
})

describe('images', () => {
  const picture = (channels: number, size: number) =>
    tensor(uniform('image', [1, channels, size, size]), { shape: [1, channels, size, size] })

  test('ViT: q, k, v of three layers; image classifier and features; there and back', async () => {
    const sizes = { imageSize: 16, patchSize: 8, layers: 2, heads: 2, hidden: 12, mlp: 20 }
    const model = new VisionTransformer({ ...sizes, layerNormEps: 1e-12 }, { numClasses: 3 })
    fillAll(model.eval())
    await saveHuggingFace(join(folder, 'vit'), model, { labels: ['x', 'y', 'z'] })
    const files = await asFiles(model)
    const names = namesIn(files['model.safetensors'])
    expect(names).toContain('vit.encoder.layer.1.attention.attention.key.bias')
    expect(names).toContain('vit.embeddings.patch_embeddings.projection.weight')
    expect(names.every((name) => /^(vit|classifier)\./.test(name))).toBe(true)
    const rows = decode(
      readSafetensors(files['model.safetensors']).tensors.get(
        'vit.encoder.layer.0.attention.attention.key.weight',
      ) ?? expect.fail('no key'),
      'key',
    )
    const joint = model.stateDict()['encoder.layers.encoder_layer_0.self_attention.in_proj_weight']
    expect([...rows.data]).toEqual([...(await joint.data()).slice(144, 288)])
    const again = await loadHuggingFace(join(folder, 'vit'), { task: 'image-classification' })
    expect(again.labels).toEqual(['x', 'y', 'z'])
    const want = await model.forward(picture(3, 16)).data()
    expect(difference(await again.model.forward(picture(3, 16)).data(), want, 1e-6)).toBeUndefined()
    const features = await loadHuggingFace(files, { task: 'feature-extraction' })
    if (!(features.model instanceof ViTFeatures)) throw new Error('no ViTFeatures')
    expect(features.model.forward(picture(3, 16)).lastHiddenState.shape).toEqual([1, 5, 12])
    expect(features.model.pooler).toBe(undefined)
  })

  test('ResNet: basic blocks and bottlenecks, strides in either place; there and back', async () => {
    const small = { planes: 8, numClasses: 4 }
    for (const model of [
      new ResNet(BasicBlock, [1, 2, 1, 1], small),
      new ResNet(Bottleneck, [2, 1, 1, 1], small),
      new ResNet(Bottleneck, [1, 1, 1, 1], { ...small, strideFirst: true, downsampleFirst: true }),
    ]) {
      fillAll(model.eval())
      const files = await asFiles(model)
      const names = namesIn(files['model.safetensors'])
      expect(names).toContain('resnet.encoder.stages.1.layers.0.shortcut.normalization.running_var')
      expect(names).toContain('resnet.embedder.embedder.convolution.weight')
      expect(names).toContain('classifier.1.bias')
      const again = await loadHuggingFace(files, { task: 'image-classification' })
      expect(again.report.missing).toEqual([])
      const want = await model.forward(picture(3, 64)).data()
      const found = await again.model.forward(picture(3, 64)).data()
      expect(difference(found, want, 1e-5)).toBeUndefined()
    }
  })

  test("torchvision's ResNet-18 under transformers' names gives torchvision's logits", async (context) => {
    interface Entry {
      readonly name: string
      readonly state_dict: { readonly [name: string]: readonly number[] }
      readonly logits_first32: readonly number[]
    }
    const golden = goldenJson<{ readonly models: readonly Entry[] }>('models.json')
    const entry = golden?.models.find(({ name }) => name === 'resnet18')
    if (entry === undefined) return context.skip()
    // The names by hand, apart from the table that is tested.
    const theirs = (name: string) =>
      name
        .replace(/^conv1\./, 'resnet.embedder.embedder.convolution.')
        .replace(/^bn1\./, 'resnet.embedder.embedder.normalization.')
        .replace(/^layer1\./, 'resnet.encoder.stages.0.layers.')
        .replace(/^layer2\./, 'resnet.encoder.stages.1.layers.')
        .replace(/^layer3\./, 'resnet.encoder.stages.2.layers.')
        .replace(/^layer4\./, 'resnet.encoder.stages.3.layers.')
        .replace('.conv1.', '.layer.0.convolution.')
        .replace('.conv2.', '.layer.1.convolution.')
        .replace('.bn1.', '.layer.0.normalization.')
        .replace('.bn2.', '.layer.1.normalization.')
        .replace('.downsample.0.', '.shortcut.convolution.')
        .replace('.downsample.1.', '.shortcut.normalization.')
        .replace(/^fc\./, 'classifier.1.')
    const kept = Object.entries(entry.state_dict).filter(
      ([name]) => !name.endsWith('num_batches_tracked'),
    )
    const files = {
      'config.json': json({
        model_type: 'resnet',
        architectures: ['ResNetForImageClassification'],
        layer_type: 'basic',
        hidden_sizes: [64, 128, 256, 512],
        depths: [2, 2, 2, 2],
        id2label: Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [i, `class ${i}`])),
      }),
      'model.safetensors': weights(renamed(filled(Object.fromEntries(kept)), theirs)),
    }
    const { model } = await loadHuggingFace(files, { task: 'image-classification' })
    const found = await model.forward(picture(3, 224)).data()
    expect(difference(found.slice(0, 32), entry.logits_first32, 1e-3)).toBeUndefined()
  })

  test('what transformers lacks is refused', async () => {
    await expect(
      asFiles(new ResNet(Bottleneck, [1, 1, 1, 1], { planes: 8, widthPerGroup: 32 })),
    ).rejects.toThrow('no ResNeXt')
    await expect(asFiles(create('lenet'))).rejects.toThrow('LeNet is no model of transformers')
  })

  test('pictures become the input that preprocessor_config.json describes', async () => {
    const model = new VisionTransformer(
      { imageSize: 8, patchSize: 4, layers: 1, heads: 1, hidden: 4, mlp: 4 },
      { numClasses: 2 },
    )
    const load = async (config: object) => {
      const files = { ...(await asFiles(model)), 'preprocessor_config.json': json(config) }
      const { preprocess } = await loadHuggingFace(files)
      return preprocess ?? expect.fail('no preprocess')
    }
    const grey = hostArray(new Uint8Array(3 * 12 * 24).fill(51), [3, 12, 24])
    const half = { image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.25, 1] }
    const plain = await load({ size: 8, resample: 2, ...half })
    expect([plain.height, plain.width, plain.shortest]).toEqual([8, 8, undefined])
    const input = plain.images([grey, grey])
    expect(input.shape).toEqual([2, 3, 8, 8])
    const values = await input.data()
    expect([0, 64, 128].map((at) => values[at].toFixed(4))).toEqual([
      '-0.6000',
      '-1.2000',
      '-0.3000',
    ])
    // The left half is dark, the right half bright; the middle is cut out of 6×12.
    const halves = hostArray(
      Uint8Array.from({ length: 3 * 12 * 24 }, (_, i) => (i % 24 < 12 ? 0 : 255)),
      [3, 12, 24],
    )
    const crop = { height: 4, width: 4 }
    const cut = await load({ size: { shortest_edge: 6 }, do_center_crop: true, crop_size: crop })
    expect([cut.height, cut.width, cut.shortest]).toEqual([4, 4, 6])
    const seen = await cut.images([halves]).data()
    expect([seen[0], seen[3]].map((x) => x.toFixed(2))).toEqual(['-1.00', '1.00'])
    const convnext = await load({ size: { shortest_edge: 7 }, crop_pct: 0.875 })
    expect([convnext.height, convnext.width, convnext.shortest]).toEqual([7, 7, 8])
    const large = await load({ size: { shortest_edge: 384 }, crop_pct: 1 })
    expect([large.height, large.shortest]).toEqual([384, undefined])
    const cubic = await load({ size: 8, resample: 3 })
    expect(() => cubic.images([grey])).toThrow('resized by the bilinear filter (2) only')
    await expect(load({ size: { height: 'tall' } })).rejects.toThrow('sizes in pixels')
  })

  test('burnish info tells what a folder holds', async () => {
    const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
    const model = new ResNet(BasicBlock, [1, 1, 1, 1], { planes: 4, numClasses: 2 })
    await saveHuggingFace(join(folder, 'info'), model, { labels: ['cat', 'dog'] })
    const run = promisify(execFile)
    const { stdout } = await run(process.execPath, [main, 'info', join(folder, 'info')])
    expect(stdout).toMatch(/loads as +image-classification/)
    expect(stdout).toMatch(/classes +cat, dog/)
    const json = await run(process.execPath, [main, 'info', join(folder, 'info'), '--json'])
    const facts = JSON.parse(json.stdout)
    expect(facts).toMatchObject({ architecture: 'ResNetForImageClassification', problem: null })
    expect(facts.numbers).toBeGreaterThan(1000)
    await expect(run(process.execPath, [main, 'info', folder])).rejects.toThrow('no config.json')
  })
})
