// A small GPT-2 learns a text letter by letter: by default this project's own documentation and source, a tenth of which
// it never sees while it learns. `npm run experiment -- char-gpt [--text FILE] [--steps 1500]`
//
// Its loss on the part kept back, in bits a character, stands beside those of two tables counted from the same text: how
// often each character occurs, and how often after the one before.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compile, type Tensor, tensor } from 'burnish'
import { GPT2, generate, nextTokenLoss } from 'burnish/models'
import { AdamW, clipGradNorm } from 'burnish/optim'
import { below, countOf, experiment, root, round, seconds } from './support.js'

/** Stands for characters that the training part has less often than this. */
const UNKNOWN = '\ufffd'
const RARE = 5

function ownText(): string {
  const inside = (folder: string, ending: string) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith(ending))
      .sort()
      .map((name) => join(folder, name))
  const files = ['README.md', ...inside('docs', '.md'), ...inside('src', '.ts')]
  return files.map((file) => readFileSync(join(root, file), 'utf8')).join('\n')
}

/** A text as numbers: the last of every ten stretches of 1,000 characters is kept back. */
function prepare(text: string) {
  const learned: string[] = []
  const kept: string[] = []
  const characters = [...text]
  for (let at = 0; at < characters.length; at += 1000)
    (at % 10_000 === 9000 ? kept : learned).push(...characters.slice(at, at + 1000))
  const counts = new Map<string, number>()
  for (const c of learned) counts.set(c, (counts.get(c) ?? 0) + 1)
  const frequent = [...counts].filter(([, count]) => count >= RARE).map(([c]) => c)
  const alphabet = [UNKNOWN, ...frequent.sort()]
  const codes = new Map(alphabet.map((c, i) => [c, i]))
  const encode = (list: readonly string[]) => Int32Array.from(list, (c) => codes.get(c) ?? 0)
  return { alphabet, learned: encode(learned), kept: encode(kept), encode }
}

/** Bits a character of two tables, each count raised by one (unigram) or by a share of the unigram (bigram). */
function tables(learned: Int32Array, kept: Int32Array, size: number) {
  const single = new Float64Array(size).fill(1)
  const pairs = new Float64Array(size * size)
  const before = new Float64Array(size)
  learned.forEach((c, i) => {
    single[c]++
    if (i === 0) return
    pairs[learned[i - 1] * size + c]++
    before[learned[i - 1]]++
  })
  const total = single.reduce((sum, count) => sum + count, 0)
  let unigram = 0
  let bigram = 0
  for (let i = 1; i < kept.length; i++) {
    const share = single[kept[i]] / total
    unigram -= Math.log2(share)
    bigram -= Math.log2((pairs[kept[i - 1] * size + kept[i]] + share) / (before[kept[i - 1]] + 1))
  }
  return { unigram: unigram / (kept.length - 1), bigram: bigram / (kept.length - 1) }
}

const title = 'A character GPT learns the documentation and source of this project'
const defaults = {
  seed: 1,
  text: '',
  steps: 1500,
  batchSize: 16,
  length: 128,
  features: 96,
  layers: 3,
  heads: 4,
  dropout: 0.1,
  lr: 3e-3,
}
await experiment('char-gpt', title, defaults, async (settings) => {
  const { steps, batchSize, length, features, layers, heads, dropout, lr } = settings
  const text = settings.text === '' ? ownText() : readFileSync(settings.text, 'utf8')
  const { alphabet, learned, kept, encode } = prepare(text)
  if (kept.length < batchSize * length)
    throw new Error(
      `the part of the text kept back has ${kept.length} characters; a longer text is needed, or a smaller batch or length: at least ${batchSize * length} are measured at once`,
    )
  const known = tables(learned, kept, alphabet.length)
  const model = new GPT2({
    vocabSize: alphabet.length,
    nPositions: length,
    nEmbd: features,
    nLayer: layers,
    nHead: heads,
    embdPdrop: dropout,
    residPdrop: dropout,
    attnPdrop: dropout,
  })
  const parameters = model.parameters()
  const weights = parameters.filter(({ shape }) => shape.length > 1)
  const others = parameters.filter(({ shape }) => shape.length === 1)
  const optimizer = new AdamW(
    [
      { parameters: weights, weightDecay: 0.1 },
      { parameters: others, weightDecay: 0 },
    ],
    { lr, betas: [0.9, 0.99] },
  )
  const step = compile((tokens: Tensor) => {
    optimizer.zeroGrad()
    const loss = nextTokenLoss(model.forward(tokens), tokens)
    loss.backward()
    clipGradNorm(parameters, 1)
    optimizer.step()
    return loss
  })
  // The order of stretches is a hash of their number, so that a seed fixes it.
  const random = below(settings.seed)
  const batch = () => {
    const tokens = new Int32Array(batchSize * length)
    for (let row = 0; row < batchSize; row++) {
      const at = random(learned.length - length)
      tokens.set(learned.subarray(at, at + length), row * length)
    }
    return tensor(tokens, { shape: [batchSize, length] })
  }
  const curve: { readonly step: number; readonly bits: number }[] = []
  let sum = 0
  const every = Math.ceil(steps / 10)
  for (let i = 1; i <= steps; i++) {
    const warm = Math.min(1, i / 100)
    optimizer.lr = lr * warm * (0.05 + 0.95 * 0.5 * (1 + Math.cos((Math.PI * i) / steps)))
    sum += await step(batch()).item()
    if (i % every === 0) {
      curve.push({ step: i, bits: round(sum / every / Math.LN2) })
      console.log(`step ${i}: ${curve.at(-1)?.bits} bits a character, ${seconds()}`)
      sum = 0
    }
  }
  // Each stretch of the part kept back, with what stands before it in the stretch for context.
  model.eval()
  const measure = compile((tokens: Tensor) => nextTokenLoss(model.forward(tokens), tokens))
  let bits = 0
  let windows = 0
  for (let at = 0; at + batchSize * length <= kept.length; at += batchSize * length) {
    const tokens = tensor(kept.slice(at, at + batchSize * length), { shape: [batchSize, length] })
    bits += (await measure(tokens).item()) / Math.LN2
    windows++
  }
  const prompt = encode([...'The '])
  const tokens = await generate(model, prompt, {
    maxNewTokens: length - prompt.length,
    temperature: 0.8,
    topK: 20,
    seed: settings.seed,
  })
  const sample = `The ${tokens.map((token) => alphabet[token]).join('')}`
  console.log(sample)
  return {
    characters: learned.length + kept.length,
    alphabet: alphabet.length,
    parameters: countOf(parameters),
    bitsPerCharacter: round(bits / windows),
    unigramBits: round(known.unigram),
    bigramBits: round(known.bigram),
    curve,
    sample,
  }
})
