// The text models against Hugging Face's values; the gradient of every parameter against the float64 reference; three
// steps on one batch; tied weights; and generation, with the cache and without.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random } from '../src/base/random.js'
import type { Device } from '../src/compiler/program.js'
import { device } from '../src/devices/registry.js'
import { readSafetensors } from '../src/io/safetensors.js'
import { encodeState } from '../src/io/state.js'
import { sample } from '../src/models/generate.js'
import {
  Bert,
  BertForMaskedLM,
  BertForSequenceClassification,
  beamSearch,
  GPT2,
  generate,
  greedyDecode,
  list,
  maskTokens,
  nextTokenLoss,
  Seq2SeqTransformer,
  TextCNN,
} from '../src/models/index.js'
import { crossEntropy, logSoftmax, type Module } from '../src/nn/index.js'
import { Adam } from '../src/optim/index.js'
import { grad } from '../src/tensor/backward.js'
import { compile } from '../src/tensor/compile.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { manualSeed } from '../src/tensor/random.js'
import { concat, type Tensor } from '../src/tensor/tensor.js'
import { hasNative, ownCache } from './run-native.js'
import { difference, fill, goldenJson } from './support.js'

ownCache()
const native = await hasNative()
afterAll(closeDevices)

type Numbers = readonly (number | Numbers)[]
interface GoldenModel {
  readonly config: { readonly [name: string]: number | string }
  readonly ids: readonly (readonly number[])[]
  readonly state_dict: { readonly [name: string]: readonly number[] }
}
interface Golden {
  readonly gpt2: GoldenModel & { readonly logits: Numbers; readonly loss_next_token: number }
  readonly bert: GoldenModel & {
    readonly token_type_ids: readonly (readonly number[])[]
    readonly attention_mask: readonly (readonly number[])[]
    readonly last_hidden_state: Numbers
    readonly pooler_output: Numbers
  }
}
const golden = goldenJson<Golden>('transformers.json')

const int = (rows: readonly (readonly number[])[]) =>
  tensor(Int32Array.from(rows.flat()), { shape: [rows.length, rows[0].length] })
const flat = (values: Numbers): number[] =>
  (values as readonly unknown[]).flat(9).map((value) => Number(value))
const options = (config: GoldenModel['config']) =>
  Object.fromEntries(
    Object.entries(config).map(([name, value]) => [
      name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  )
const shapesOf = (model: Module<unknown>) =>
  Object.fromEntries(Object.entries(model.stateDict()).map(([name, { shape }]) => [name, shape]))
function fillAll(model: Module<unknown>): void {
  for (const [name, parameter] of Object.entries(model.stateDict()))
    parameter.set(fill(name, parameter.shape))
}

const devices = [
  { name: 'reference', start: () => setDevice('reference') },
  { name: 'cpu', start: () => setDevice('cpu', { threads: 2 }) },
  {
    name: 'cpu, native',
    start: () => setDevice('cpu', { threads: 2, tier: 'native' }),
    skip: !native,
  },
]

if (golden !== undefined)
  for (const { name, start, skip } of devices)
    describe.skipIf(skip)(`Hugging Face's values on ${name}`, () => {
      beforeAll(async () => {
        await start()
      })

      it('GPT-2: names, shapes, logits, loss', async () => {
        const { config, ids, state_dict, logits, loss_next_token } = golden.gpt2
        const model = new GPT2(options(config)).eval()
        const { 'lm_head.weight': tied, ...shapes } = shapesOf(model)
        expect(shapes).toEqual(state_dict)
        expect(tied).toEqual(state_dict['transformer.wte.weight'])
        for (const [key, shape] of Object.entries(state_dict))
          model.stateDict()[key].set(fill(key, shape))
        const result = model.forward(int(ids))
        const loss = nextTokenLoss(result, int(ids))
        const [values, found] = await Promise.all([result.data(), loss.item()])
        expect(difference(values, flat(logits), 1e-3)).toBeUndefined()
        expect(Math.abs(found - loss_next_token)).toBeLessThan(1e-3)
      })

      it('BERT: names, shapes, hidden states, pooler', async () => {
        const { config, ids, token_type_ids, attention_mask, state_dict } = golden.bert
        const model = new Bert(options(config)).eval()
        expect(shapesOf(model)).toEqual(state_dict)
        fillAll(model)
        const { lastHiddenState, poolerOutput } = model.forward(int(ids), {
          tokenTypeIds: int(token_type_ids),
          attentionMask: int(attention_mask),
        })
        const [hidden, pooled] = await Promise.all([lastHiddenState.data(), poolerOutput?.data()])
        expect(difference(hidden, flat(golden.bert.last_hidden_state), 1e-3)).toBeUndefined()
        expect(difference(pooled ?? [], flat(golden.bert.pooler_output), 1e-3)).toBeUndefined()
      })
    })

// ---- the smallest of each, with a loss on one batch ----

const smallGPT2 = { vocabSize: 11, nPositions: 12, nEmbd: 8, nLayer: 2, nHead: 2 }
const smallBert = {
  vocabSize: 13,
  hiddenSize: 8,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  intermediateSize: 12,
  maxPositionEmbeddings: 8,
}
const smallSeq2Seq = {
  srcVocabSize: 9,
  dModel: 8,
  nhead: 2,
  numEncoderLayers: 1,
  numDecoderLayers: 1,
  dimFeedforward: 12,
  maxLen: 8,
  paddingIdx: 0,
}

const tokens = int([
  [1, 5, 3, 9, 2, 6],
  [4, 4, 8, 1, 10, 7],
])
const segments = int([
  [0, 0, 1, 1, 1, 1],
  [0, 0, 0, 0, 1, 1],
])
const attentionMask = int([
  [1, 1, 1, 1, 1, 1],
  [1, 1, 1, 1, 0, 0],
])
const source = int([
  [3, 1, 4, 0, 0],
  [5, 2, 6, 8, 1],
])
const target = int([
  [7, 2, 3, 4],
  [7, 1, 1, 8],
])

interface Case {
  readonly name: string
  /** A model, and its loss. */
  readonly make: () => { readonly model: Module<unknown>; readonly loss: () => Tensor }
}

const classes = tensor(Int32Array.of(1, 0))
const cases: readonly Case[] = [
  {
    name: 'TextCNN',
    make: () => {
      const model = new TextCNN({ vocabSize: 11, embeddingDim: 4, numFilters: 8 })
      return { model, loss: () => crossEntropy(model.forward(tokens), classes) }
    },
  },
  {
    name: 'Transformer',
    make: () => {
      const model = new Seq2SeqTransformer(smallSeq2Seq)
      const given = target.slice(0, 3, { dim: 1 })
      const labels = target.slice(1, 4, { dim: 1 }).flatten()
      return {
        model,
        loss: () => crossEntropy(model.forward(source, given).flatten(0, 1), labels),
      }
    },
  },
  {
    name: 'Transformer, norm first, two tables',
    make: () => {
      const model = new Seq2SeqTransformer({ ...smallSeq2Seq, tgtVocabSize: 10, normFirst: true })
      const given = target.slice(0, 3, { dim: 1 })
      const labels = target.slice(1, 4, { dim: 1 }).flatten()
      return {
        model,
        loss: () => crossEntropy(model.forward(source, given).flatten(0, 1), labels),
      }
    },
  },
  {
    name: 'BERT, masked words',
    make: () => {
      const model = new BertForMaskedLM(smallBert)
      const labels = tensor(
        Int32Array.of(-100, 5, -100, -100, 2, -100, 4, -100, 8, -100, -100, -100),
      )
      return {
        model,
        loss: () =>
          crossEntropy(
            model.forward(tokens, { tokenTypeIds: segments, attentionMask }).flatten(0, 1),
            labels,
          ),
      }
    },
  },
  {
    name: 'BERT, classes',
    make: () => {
      const model = new BertForSequenceClassification({ ...smallBert, numClasses: 3 })
      return { model, loss: () => crossEntropy(model.forward(tokens, { attentionMask }), classes) }
    },
  },
  {
    name: 'GPT-2',
    make: () => {
      const model = new GPT2(smallGPT2)
      return { model, loss: () => nextTokenLoss(model.forward(tokens), tokens) }
    },
  },
]

describe.each(cases)('$name', ({ make }) => {
  it('has the gradients of the float64 reference, in training', async () => {
    const run = async (name: string) => {
      await setDevice(name, { threads: 1 })
      manualSeed(5)
      const { model, loss } = make()
      // Weights large enough that no gradient drowns in rounding.
      for (const [key, parameter] of model.namedParameters())
        parameter.set(fill(key, parameter.shape))
      manualSeed(6) // the same dropout everywhere
      const parameters = model.parameters()
      const names = model.namedParameters().map(([key]) => key)
      const gradients = grad(loss(), parameters)
      return { names, values: await Promise.all(gradients.map((g) => g.data())) }
    }
    const expected = await run('reference')
    const found = await run('cpu')
    expect(found.names).toEqual(expected.names)
    const largest = Math.max(...expected.values.flatMap((g) => [...g].map(Math.abs)))
    expected.values.forEach((g, i) => {
      // A key's bias has the gradient 0: it moves all scores of a query alike.
      expect(difference(found.values[i], g, 1e-3, 1e-6 * largest), found.names[i]).toBeUndefined()
      if (!/in_proj_bias|key\.bias/.test(found.names[i]))
        expect(Math.max(...[...g].map(Math.abs)), found.names[i]).toBeGreaterThan(1e-5 * largest)
    })
  })

  it('learns a batch', async () => {
    await setDevice('cpu', { threads: 1 })
    manualSeed(1)
    const { model, loss } = make()
    model.eval() // without dropout the loss itself must fall
    const optimizer = new Adam(model.parameters(), { lr: 3e-3 })
    const step = compile(() => {
      optimizer.zeroGrad()
      const value = loss()
      value.backward()
      optimizer.step()
      return value
    })
    const losses: number[] = []
    for (let i = 0; i < 4; i++) losses.push(await step().item())
    expect(losses[3], losses.join(', ')).toBeLessThan(losses[0] - 1e-3)
    for (let i = 1; i < 4; i++) expect(losses[i]).toBeLessThan(losses[i - 1])
  })
})

describe('tied weights', () => {
  beforeAll(async () => {
    await setDevice('cpu', { threads: 1 })
  })

  it('are one parameter under two names, stored once, and moved once', async () => {
    for (const [model, first, second] of [
      [new GPT2(smallGPT2), 'transformer.wte.weight', 'lm_head.weight'],
      [
        new BertForMaskedLM(smallBert),
        'bert.embeddings.word_embeddings.weight',
        'cls.predictions.decoder.weight',
      ],
      [new BertForMaskedLM(smallBert), 'cls.predictions.bias', 'cls.predictions.decoder.bias'],
      [new Seq2SeqTransformer(smallSeq2Seq), 'src_embedding.weight', 'generator.weight'],
    ] as const) {
      const state = model.stateDict()
      expect(state[second]).toBe(state[first])
      const parameters = model.parameters()
      expect(parameters.filter((p) => p === state[first]).length).toBe(1)
      expect(() => new Adam(parameters, { lr: 1 })).not.toThrow()
      const bytes = await encodeState(state)
      const { tensors } = readSafetensors(bytes, 'tied')
      expect([tensors.has(first), tensors.has(second)].filter(Boolean).length).toBe(1)
    }
  })

  it('are loaded from either name', async () => {
    const model = new GPT2(smallGPT2)
    const { 'lm_head.weight': _, ...without } = model.stateDict()
    const other = new GPT2(smallGPT2)
    expect(other.loadStateDict(without).missing).toEqual([])
    expect(await other.lmHead.weight.data()).toEqual(await model.lmHead.weight.data())
  })
})

// ---- generation ----

describe('generation with GPT-2', () => {
  beforeAll(async () => {
    await setDevice('cpu', { threads: 1 })
  })
  const made = () => {
    manualSeed(3)
    const model = new GPT2({ ...smallGPT2, nPositions: 96 })
    for (const [key, parameter] of model.namedParameters())
      parameter.set(fill(key, parameter.shape))
    return model
  }
  /** The likeliest next tokens by whole forwards. */
  async function uncached(model: GPT2, prompt: readonly number[], count: number) {
    model.eval()
    const all = [...prompt]
    for (let i = 0; i < count; i++) {
      const logits = await model.forward(int([all])).data()
      const row = [...logits.subarray((all.length - 1) * 11)]
      all.push(row.indexOf(Math.max(...row)))
    }
    return all.slice(prompt.length)
  }

  it.each([1, 5, 33, 40])('a prompt of %d tokens goes on as without the cache', async (length) => {
    const model = made()
    const prompt = Array.from({ length }, (_, i) => (7 * i + 3) % 11)
    const expected = await uncached(model, prompt, 12)
    model.train()
    const seen: number[] = []
    const onToken = (token: number) => seen.push(token)
    const found = await generate(model, prompt, { maxNewTokens: 12, temperature: 0, onToken })
    expect(found).toEqual(expected)
    expect(seen).toEqual(expected)
    expect(model.training && model.transformer.h.at(0).training).toBe(true)
  })

  it.each([
    [2, 8, 10],
    [40, 8, 49],
    [40, 8, 48],
    [90, 5, 95],
  ])('a prompt of %d tokens, %d more, a cache of %d', async (length, maxNewTokens, cacheLength) => {
    const prompt = Array.from({ length }, (_, i) => (7 * i + 3) % 11)
    const expected = await uncached(made(), prompt, maxNewTokens)
    const options = { maxNewTokens, cacheLength, temperature: 0 }
    expect(await generate(made(), prompt, options)).toEqual(expected)
  })

  it('works with fewer positions than a chunk has', async () => {
    const model = new GPT2({ ...smallGPT2, nPositions: 20 })
    const prompt = [3, 1, 4, 1, 5]
    const expected = await uncached(model, prompt, 9)
    expect(await generate(model, prompt, { maxNewTokens: 9, temperature: 0 })).toEqual(expected)
  })

  it('has the logits of the whole forward at every position, also in chunks that end inside', async () => {
    const model = made().eval()
    const all = Array.from({ length: 9 }, (_, i) => (5 * i + 2) % 11)
    const expected = await model.forward(int([all, all.toReversed()])).data()
    const cache = model.newCache(2, 12)
    const step = compile((ids: Tensor, position: Tensor) => model.forward(ids, { cache, position }))
    const found: number[][] = [[], []]
    // A chunk of 4, one of 4 of which 2 are overwritten by what follows, then single tokens.
    for (const [start, count, kept] of [
      [0, 4, 4],
      [4, 4, 2],
      [6, 1, 1],
      [7, 1, 1],
      [8, 1, 1],
    ]) {
      const part = (row: number[]) =>
        Array.from({ length: count }, (_, i) => (i < kept ? row[start + i] : 0))
      const ids = int([part(all), part(all.toReversed())])
      const logits = await step(ids, tensor(Int32Array.of(start), { shape: [] })).data()
      for (const n of [0, 1])
        found[n].push(...logits.subarray(n * count * 11, (n * count + kept) * 11))
    }
    expect(difference(found.flat(), expected, 1e-4)).toBeUndefined()
  })

  it('compiles two programs for all chunks and steps, and no more for the next text', async () => {
    const real = await device('cpu', { threads: 1 })
    const loads = { count: 0 }
    const counting = new Proxy(real, {
      get(of, name) {
        if (name === 'load') loads.count++
        const value: unknown = Reflect.get(of, name, of)
        return typeof value === 'function' ? value.bind(of) : value
      },
    }) as Device
    await setDevice(counting)
    const model = made()
    const prompt = Array.from({ length: 40 }, (_, i) => i % 11)
    await generate(model, prompt, { maxNewTokens: 20, temperature: 0 })
    const first = loads.count
    expect(first).toBeLessThanOrEqual(2)
    await generate(model, [...prompt, 3], { maxNewTokens: 10, temperature: 0 })
    expect(loads.count).toBe(first)
    await setDevice('cpu', { threads: 1 })
    await real.close()
  })

  it('repeats itself with a seed, and stops after a token', async () => {
    const model = made()
    const draw = (seed: number, stopToken?: number) =>
      generate(model, [1, 2], { maxNewTokens: 30, temperature: 2, seed, stopToken })
    const first = await draw(1)
    expect(first.length).toBe(30)
    expect(await draw(1)).toEqual(first)
    expect(await draw(2)).not.toEqual(first)
    const stop = first[10]
    expect(await draw(1, stop)).toEqual(first.slice(0, first.indexOf(stop) + 1))
  })

  it('refuses what has no room', async () => {
    const model = made()
    await expect(generate(model, [])).rejects.toThrow(/the prompt is empty/)
    await expect(generate(model, new Int32Array(90), { maxNewTokens: 10 })).rejects.toThrow(
      /90 tokens of a prompt and 10 new ones; the model has 96 positions/,
    )
    await expect(generate(model, [1], { maxNewTokens: 9, cacheLength: 4 })).rejects.toThrow(
      /a cache of 4 positions for 10 tokens/,
    )
  })
})

describe('sampling', () => {
  const logits = [0.5, 0.3, 0.15, 0.05].map(Math.log)
  const shares = (options: Parameters<typeof sample>[2]) => {
    const random = new Random(7)
    const counts = [0, 0, 0, 0]
    for (let i = 0; i < 20_000; i++) counts[sample(logits, random, options)]++
    return counts.map((count) => count / 20_000)
  }
  const near = (found: readonly number[], expected: readonly number[]) => {
    found.forEach((share, i) => {
      expect(Math.abs(share - expected[i]), `token ${i}`).toBeLessThan(
        expected[i] === 0 ? 1e-12 : 0.02,
      )
    })
  }

  it('draws with the probabilities, sharpened by temperature', () => {
    near(shares({}), [0.5, 0.3, 0.15, 0.05])
    const squares = [0.25, 0.09, 0.0225, 0.0025]
    near(
      shares({ temperature: 0.5 }),
      squares.map((x) => x / 0.365),
    )
    near(shares({ temperature: 0 }), [1, 0, 0, 0])
  })

  it('keeps the likeliest k, or those that have the probability p', () => {
    near(shares({ topK: 2 }), [0.5 / 0.8, 0.3 / 0.8, 0, 0])
    near(shares({ topP: 0.79 }), [0.5 / 0.8, 0.3 / 0.8, 0, 0])
    near(shares({ topP: 0.81 }), [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0])
    near(shares({ topP: 0.01 }), [1, 0, 0, 0])
    // topP of what topK left: 0.5 of 0.8 is 0.625.
    near(shares({ topK: 2, topP: 0.6 }), [1, 0, 0, 0])
  })

  it('refuses options out of range', () => {
    const random = new Random(1)
    expect(() => sample(logits, random, { temperature: -1 })).toThrow(/temperature is -1/)
    expect(() => sample(logits, random, { topK: 0 })).toThrow(/topK is 0/)
    expect(() => sample(logits, random, { topP: 1.5 })).toThrow(/topP is 1.5/)
  })
})

describe('decoding with the Transformer', () => {
  const [start, stop, maxLength] = [7, 8, 3]
  const decode = { startToken: start, stopToken: stop, maxLength }
  const made = () => {
    manualSeed(2)
    const model = new Seq2SeqTransformer({ ...smallSeq2Seq, maxLen: 6 })
    for (const [key, parameter] of model.namedParameters())
      parameter.set(fill(key, parameter.shape))
    return model.eval()
  }
  beforeAll(async () => {
    await setDevice('cpu', { threads: 1 })
  })

  it('greedily takes the likeliest word each time, for every source', async () => {
    const model = made()
    const found = await greedyDecode(model, source, decode)
    for (const [n, words] of found.entries()) {
      const src = source.slice(n, n + 1)
      const expected: number[] = []
      while (expected.length < maxLength) {
        const logits = await model.forward(src, int([[start, ...expected]])).data()
        const row = [...logits.subarray(expected.length * 9)]
        const word = row.indexOf(Math.max(...row))
        if (word === stop) break
        expected.push(word)
      }
      expect(words).toEqual(expected)
    }
  })

  it('a beam as wide as all targets finds the best of all', async () => {
    const model = made()
    const src = source.slice(1, 2)
    // Every target: up to three words that are not the stop, ended by it or cut off.
    const words = Array.from({ length: 9 }, (_, i) => i).filter((word) => word !== stop)
    const ended = [[stop], ...words.flatMap((a) => [[a, stop], ...words.map((b) => [a, b, stop])])]
    const cut = words.flatMap((a) => words.flatMap((b) => words.map((c) => [a, b, c])))
    const all = [...ended, ...cut]
    const given = int(all.map((row) => [start, ...[...row, 0, 0, 0].slice(0, 2)]))
    const memory = src.expand(all.length, 5)
    const scores = await logSoftmax(model.forward(memory, given), -1).data()
    const penalty = (length: number) => ((5 + length) / 6) ** 0.6
    const best = all
      .map((row, n) => ({
        words: row.at(-1) === stop ? row.slice(0, -1) : row,
        score:
          row.reduce((sum, word, t) => sum + scores[(n * 3 + t) * 9 + word], 0) /
          penalty(row.length),
      }))
      .sort((a, b) => b.score - a.score)
    const found = await beamSearch(model, src, { ...decode, beamSize: 80 })
    for (let i = 0; i < 5; i++) {
      expect(found[i].words).toEqual(best[i].words)
      expect(found[i].score).toBeCloseTo(best[i].score, 4)
    }
  })

  it('a beam of one is the greedy way', async () => {
    const model = made()
    const [greedy] = await greedyDecode(model, source.slice(0, 1), decode)
    const [one] = await beamSearch(model, source.slice(0, 1), { ...decode, beamSize: 1 })
    expect(one.words).toEqual(greedy)
  })

  it('does not look at padding', async () => {
    const model = made()
    const [short, long] = [int([[3, 1, 4]]), int([[3, 1, 4, 0, 0]])]
    const given = target.slice(0, 1)
    const [a, b] = await Promise.all([
      model.forward(short, given).data(),
      model.forward(long, given).data(),
    ])
    expect(difference(b, a, 1e-5)).toBeUndefined()
    expect(() => model.forward(int([[1, 2, 3, 4, 5, 6, 7]]), given)).toThrow(
      /\[1, 7\] must be \[N, length\] with length at most 6/,
    )
  })
})

describe('text models', () => {
  it('are listed, and refuse what does not fit', () => {
    expect(list().filter(({ kind }) => kind === 'text').length).toBe(11)
    expect(() => new GPT2(smallGPT2).forward(int([new Array(13).fill(1)]))).toThrow(
      /\[1, 13\] must be \[N, T\] with T at most 12/,
    )
    for (const word of ['silu', 'toString'] as unknown as 'relu'[]) {
      expect(() => new GPT2({ ...smallGPT2, activationFunction: word })).toThrow(
        new RegExp(`GPT2: activationFunction '${word}' must be 'relu', 'gelu', 'gelu_new'`),
      )
      expect(() => new Bert({ ...smallBert, hiddenAct: word })).toThrow(
        new RegExp(`BERT: hiddenAct '${word}' must be 'relu', 'gelu', 'gelu_new'`),
      )
    }
    expect(() => new TextCNN({ vocabSize: 5 }).forward(int([[1, 2, 3]]))).toThrow(
      /at least 5, the widest window/,
    )
    expect(
      () => new Seq2SeqTransformer({ ...smallSeq2Seq, tgtVocabSize: 4, shareEmbeddings: true }),
    ).toThrow(/cannot share one table/)
  })

  it('masks 15% of the tokens, most by the mask', () => {
    const ids = Array.from({ length: 20_000 }, (_, i) => 10 + (i % 80))
    const given = { vocabSize: 100, maskToken: 3, keep: [10], seed: 4 }
    const { inputs, labels } = maskTokens(ids, given)
    const chosen = ids.flatMap((_, i) => (labels[i] === -100 ? [] : [i]))
    expect(chosen.length / ids.length).toBeCloseTo(0.15 * (79 / 80), 2)
    expect(chosen.every((i) => labels[i] === ids[i] && ids[i] !== 10)).toBe(true)
    expect(chosen.filter((i) => inputs[i] === 3).length / chosen.length).toBeCloseTo(0.8, 1)
    expect(chosen.filter((i) => inputs[i] === ids[i]).length / chosen.length).toBeCloseTo(0.1, 1)
    expect(ids.every((id, i) => labels[i] !== -100 || inputs[i] === id)).toBe(true)
    expect(maskTokens(ids, given)).toEqual({ inputs, labels })
  })

  it('see all tokens when nothing is masked, and both sides', async () => {
    await setDevice('cpu', { threads: 1 })
    const model = new Bert(smallBert).eval()
    for (const [key, parameter] of model.namedParameters())
      parameter.set(fill(key, parameter.shape))
    const changed = concat([tokens.slice(0, 5, { dim: 1 }), tokens.slice(0, 1, { dim: 1 })], 1)
    const [a, b] = await Promise.all(
      [tokens, changed].map((ids) => model.forward(ids).lastHiddenState.data()),
    )
    expect(Math.abs(a[0] - b[0])).toBeGreaterThan(1e-6)
  })
})
