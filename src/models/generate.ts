// Text from models, a token at a time: sampling from GPT-2 with its cache, greedy decoding and beam search with the
// Transformer. Shapes never change while a sequence grows, so that every step is a run of one compiled program; what is
// chosen is decided on the host, from the logits.
import { fail } from '../base/errors.js'
import { Random } from '../base/random.js'
import { showShape } from '../base/shape.js'
import { inEvaluation } from '../nn/evaluation.js'
import { logSoftmax } from '../nn/index.js'
import { compile } from '../tensor/compile.js'
import { adopt } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'
import type { GPT2 } from './gpt2.js'
import type { Seq2SeqTransformer } from './transformer.js'

/** How a token is chosen from logits. */
export interface SampleOptions {
  /** Logits are divided by it: below 1 sharper, above 1 flatter; 0 takes the likeliest token. Default 1. */
  readonly temperature?: number
  /** Only so many of the likeliest tokens (Fan et al. 2018). */
  readonly topK?: number
  /** Only the likeliest tokens that together have this probability (Holtzman et al. 2019). */
  readonly topP?: number
}

/** How text is generated. */
export interface GenerateOptions extends SampleOptions {
  /** Default 100, or as many as the model has positions for. */
  readonly maxNewTokens?: number
  /** Default 0. The same seed gives the same text on the same tier. */
  readonly seed?: number
  /** Generation ends after this token, which is the last one returned. */
  readonly stopToken?: number
  /** Positions of the cache. Default: what prompt and new tokens need, rounded up to a multiple of 64. */
  readonly cacheLength?: number
  /** Called with every token as it is chosen. */
  readonly onToken?: (token: number) => void
}

/** Prompts are read so many tokens at a time. */
const CHUNK = 32
const CACHE_STEP = 64

/**
 * Goes on from a prompt, and resolves to the new tokens. Dropout is off meanwhile.
 *
 *     const tokens = await generate(model, prompt, { maxNewTokens: 50, temperature: 0.8, topP: 0.95, seed: 1 })
 *
 * @throws BurnishError when the prompt is empty, or longer than the model has positions for.
 */
export async function generate(
  model: GPT2,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): Promise<number[]> {
  const { nPositions } = model.sizes
  const room = nPositions - prompt.length
  const { maxNewTokens = Math.min(100, room), seed = 0, stopToken, onToken } = options
  if (prompt.length === 0) fail('generate: the prompt is empty; give at least one token')
  if (maxNewTokens < 0 || maxNewTokens > room)
    fail(
      `generate: ${prompt.length} tokens of a prompt and ${maxNewTokens} new ones; the model has ${nPositions} positions`,
    )
  const needed = prompt.length + maxNewTokens
  const rounded = Math.min(Math.ceil(needed / CACHE_STEP) * CACHE_STEP, nPositions)
  const { cacheLength = rounded } = options
  if (cacheLength < needed)
    fail(`generate: a cache of ${cacheLength} positions for ${needed} tokens`)
  const random = new Random(seed)
  return inEvaluation(model, async () => {
    const cache = model.newCache(1, cacheLength)
    const read = compile((ids: Tensor, position: Tensor) => {
      model.transformer.forward(ids, { cache, position }) // for the cache alone
    })
    const step = compile((ids: Tensor, position: Tensor) => model.forward(ids, { cache, position }))
    const row = (tokens: Int32Array) => adopt(tokens, [1, tokens.length], 'int32')
    // All but the last token of the prompt in chunks; what fills up the last chunk is overwritten later. Where the
    // cache ends within the last chunk, it begins earlier: tokens read twice leave the same in the cache.
    const most = Math.min(cacheLength, nPositions)
    const width = Math.min(CHUNK, most)
    for (let next = 0; next < prompt.length - 1; next += width) {
      const start = Math.min(next, most - width)
      const chunk = new Int32Array(width)
      for (let i = 0; i < width && start + i < prompt.length - 1; i++) chunk[i] = prompt[start + i]
      read(row(chunk), at(start))
    }
    const made: number[] = []
    let last = prompt[prompt.length - 1]
    while (made.length < maxNewTokens) {
      const position = prompt.length - 1 + made.length
      const logits = await step(row(Int32Array.of(last)), at(position)).data()
      last = sample(logits, random, options)
      made.push(last)
      onToken?.(last)
      if (last === stopToken) break
    }
    return made
  })
}

const at = (position: number) => adopt(Int32Array.of(position), [], 'int32')

/**
 * A token drawn from logits [vocabSize] on the host: temperature first, then topK, then topP of what is left, as
 * Hugging Face's warpers do.
 */
export function sample(
  logits: ArrayLike<number>,
  random: Random,
  { temperature = 1, topK, topP }: SampleOptions = {},
): number {
  if (!(temperature >= 0)) fail(`sample: temperature is ${temperature}, but must be from 0`)
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1))
    fail(`sample: topK is ${topK}, but must be a whole number from 1`)
  if (topP !== undefined && !(topP > 0 && topP <= 1))
    fail(`sample: topP is ${topP}, but must be above 0 and at most 1`)
  if (temperature === 0) return likeliest(logits)
  const order = Int32Array.from({ length: logits.length }, (_, i) => i)
  if (topK !== undefined || topP !== undefined) order.sort((a, b) => logits[b] - logits[a] || a - b)
  let kept = topK === undefined ? order : order.subarray(0, topK)
  let top = -Infinity
  for (const token of kept) top = Math.max(top, logits[token])
  const weights = Float64Array.from(kept, (token) => Math.exp((logits[token] - top) / temperature))
  let total = weights.reduce((sum, weight) => sum + weight, 0)
  if (topP !== undefined) {
    let count = 0
    let share = 0
    while (count < kept.length && share < topP * total) share += weights[count++]
    kept = kept.subarray(0, count)
    total = share
  }
  let draw = (random.word() / 2 ** 32) * total
  for (let i = 0; i < kept.length; i++) {
    draw -= weights[i]
    if (draw < 0) return kept[i]
  }
  return kept[kept.length - 1]
}

function likeliest(logits: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i
  return best
}

/** How a target is decoded. */
export interface DecodeOptions {
  /** Stands before the target's first word. */
  readonly startToken: number
  /** Ends a target. */
  readonly stopToken: number
  /** Words of a target at most, with the stop token. */
  readonly maxLength: number
}

/** One step of a decoder: the feature row of `position` as logits [N, V]. */
function decoderStep(model: Seq2SeqTransformer, finish: (logits: Tensor) => Tensor) {
  return compile((target: Tensor, memory: Tensor, src: Tensor, position: Tensor) => {
    const features = model.decode(target, memory, src) // [N, L, dModel]
    const row = features.indexSelect(1, position.reshape(1)).squeeze(1)
    return finish(model.generator.forward(row))
  })
}

function checkSource(src: Tensor, where: string): void {
  if (src.shape.length !== 2 || src.dtype !== 'int32')
    fail(`${where}: the source is ${src.dtype} ${showShape(src.shape)}, but must be int32 [N, S]`)
}

/** The likeliest word at each step: sources int32 [N, S] → the words of each target, without start and stop tokens. */
export async function greedyDecode(
  model: Seq2SeqTransformer,
  src: Tensor,
  { startToken, stopToken, maxLength }: DecodeOptions,
): Promise<number[][]> {
  checkSource(src, 'greedyDecode')
  return inEvaluation(model, async () => {
    const [n] = src.shape
    const memory = compile((words: Tensor) => model.encode(words))(src)
    const step = decoderStep(model, (logits) => logits.argmax(1))
    const target = new Int32Array(n * maxLength).fill(startToken)
    const done: (number[] | undefined)[] = new Array(n).fill(undefined)
    for (let t = 0; t < maxLength && done.includes(undefined); t++) {
      const given = adopt(target.slice(), [n, maxLength], 'int32')
      const words = await step(given, memory, src, at(t)).data()
      for (let i = 0; i < n; i++) {
        if (done[i] !== undefined) continue
        const start = i * maxLength
        if (words[i] === stopToken) done[i] = [...target.subarray(start + 1, start + 1 + t)]
        else if (t + 1 < maxLength) target[start + 1 + t] = words[i]
        else done[i] = [...target.subarray(start + 1, start + maxLength), words[i]]
      }
    }
    return done.map((words) => words ?? [])
  })
}

/** A target found by beam search. */
export interface Hypothesis {
  /** Without start and stop tokens. */
  readonly words: readonly number[]
  /** The sum of its words' log-probabilities, divided by the length penalty. */
  readonly score: number
}

/**
 * The best targets of one source int32 [1, S], best first (section 6.1 of the paper: beams of 4, length penalty 0.6 of
 * Wu et al. 2016: ((5 + length) / 6)^0.6).
 */
export async function beamSearch(
  model: Seq2SeqTransformer,
  src: Tensor,
  options: DecodeOptions & { readonly beamSize?: number; readonly lengthPenalty?: number },
): Promise<Hypothesis[]> {
  checkSource(src, 'beamSearch')
  if (src.shape[0] !== 1)
    fail(`beamSearch: ${src.shape[0]} sources; search for one at a time, [1, S]`)
  const { startToken, stopToken, maxLength, beamSize = 4, lengthPenalty = 0.6 } = options
  const penalised = (sum: number, length: number) => sum / ((5 + length) / 6) ** lengthPenalty
  return inEvaluation(model, async () => {
    const sources = src.expand(beamSize, src.shape[1])
    const memory = compile((words: Tensor) => model.encode(words))(sources)
    const step = decoderStep(model, (logits) => logSoftmax(logits, -1))
    const finished: Hypothesis[] = []
    let beams: { readonly words: readonly number[]; readonly sum: number }[] = [
      { words: [], sum: 0 },
    ]
    for (let t = 0; t < maxLength; t++) {
      const target = new Int32Array(beamSize * maxLength).fill(startToken)
      beams.forEach(({ words }, i) => {
        target.set(words, i * maxLength + 1)
      })
      const given = adopt(target, [beamSize, maxLength], 'int32')
      const scores = await step(given, memory, sources, at(t)).data()
      const size = scores.length / beamSize
      const next = beams.flatMap(({ words, sum }, i) =>
        highest(scores.subarray(i * size, (i + 1) * size), beamSize + 1).map(([word, score]) => ({
          words: [...words, word],
          sum: sum + score,
        })),
      )
      next.sort((a, b) => b.sum - a.sum)
      const open: typeof beams = []
      for (const { words, sum } of next.slice(0, 2 * beamSize)) {
        const ended = words.at(-1) === stopToken
        if (ended) finished.push({ words: words.slice(0, -1), score: penalised(sum, words.length) })
        else if (open.length < beamSize) open.push({ words, sum })
      }
      beams = open
      finished.sort((a, b) => b.score - a.score)
      finished.length = Math.min(finished.length, beamSize)
      // Sums only fall: no open beam can come before the worst that is kept.
      const hope = penalised(beams[0]?.sum ?? -Infinity, maxLength)
      if (finished.length === beamSize && hope < finished[beamSize - 1].score) break
    }
    for (const { words, sum } of beams)
      finished.push({ words, score: penalised(sum, words.length) })
    return finished.sort((a, b) => b.score - a.score).slice(0, beamSize)
  })
}

/** The positions of the highest values, with them, highest first. */
function highest(values: ArrayLike<number>, count: number): [position: number, value: number][] {
  const found: [number, number][] = []
  for (let i = 0; i < values.length; i++) {
    if (found.length === count && values[i] <= found[count - 1][1]) continue
    let place = found.length
    while (place > 0 && found[place - 1][1] < values[i]) place--
    found.splice(place, 0, [i, values[i]])
    if (found.length > count) found.pop()
  }
  return found
}
