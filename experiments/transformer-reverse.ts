// The Transformer of 2017, small, learns to write sequences of digits backwards: the simplest thing that needs attention
// to far places, and positions. `npm run experiment -- transformer-reverse [--steps 1500]`
//
// Sequences are random, five to ten digits long. It is tested, by greedy decoding, on 1,000 that it has never seen: an
// answer counts only when it is right from the first digit to the last.
import { compile, type Tensor, tensor } from 'burnish'
import { greedyDecode, Seq2SeqTransformer } from 'burnish/models'
import { crossEntropy } from 'burnish/nn'
import { Adam } from 'burnish/optim'
import { experiment, round, seconds } from './support.js'

/** Words: padding, begin, end, and ten digits. */
const [PADDING, BEGIN, END, FIRST_DIGIT] = [0, 1, 2, 3]
const [SHORTEST, LONGEST] = [5, 10]
const TESTS = 1000

const title = 'The Transformer of 2017 learns to write sequences of digits backwards'
const defaults = {
  seed: 1,
  steps: 1500,
  batchSize: 64,
  dModel: 64,
  layers: 2,
  lr: 2e-3,
}
await experiment('transformer-reverse', title, defaults, async (settings) => {
  const { steps, batchSize, dModel, layers, lr } = settings
  let state = settings.seed * 0x9e3779b1
  const random = (limit: number) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) | 0
    const mixed = Math.imul(state ^ (state >>> 13), 0x297a2d39)
    return ((mixed ^ (mixed >>> 16)) >>> 0) % limit
  }
  const sequence = () =>
    Array.from({ length: SHORTEST + random(LONGEST - SHORTEST + 1) }, () => random(10))
  // Held back before the first step: no batch contains one of them.
  const tests = new Map<string, readonly number[]>()
  while (tests.size < TESTS) {
    const digits = sequence()
    tests.set(digits.join(''), digits)
  }
  const fresh = (): readonly number[] => {
    const digits = sequence()
    return tests.has(digits.join('')) ? fresh() : digits
  }
  const rows = (sequences: readonly (readonly number[])[], length: number) => {
    const words = new Int32Array(sequences.length * length).fill(PADDING)
    sequences.forEach((digits, i) => {
      words.set(digits, i * length)
    })
    return tensor(words, { shape: [sequences.length, length] })
  }
  const words = (digits: readonly number[]) => digits.map((digit) => digit + FIRST_DIGIT)

  const model = new Seq2SeqTransformer({
    srcVocabSize: FIRST_DIGIT + 10,
    dModel,
    nhead: 4,
    numEncoderLayers: layers,
    numDecoderLayers: layers,
    dimFeedforward: 2 * dModel,
    dropout: 0,
    maxLen: LONGEST + 1,
    paddingIdx: PADDING,
  })
  const parameters = model.parameters()
  const optimizer = new Adam(parameters, { lr, betas: [0.9, 0.98], eps: 1e-9 }) // section 5.3
  const step = compile((src: Tensor, tgt: Tensor, labels: Tensor) => {
    optimizer.zeroGrad()
    const logits = model.forward(src, tgt).flatten(0, 1)
    const loss = crossEntropy(logits, labels.flatten(), { ignoreIndex: PADDING })
    loss.backward()
    optimizer.step()
    return loss
  })
  const curve: { readonly step: number; readonly loss: number }[] = []
  let sum = 0
  const every = Math.ceil(steps / 10)
  for (let i = 1; i <= steps; i++) {
    const sequences = Array.from({ length: batchSize }, fresh)
    const answers = sequences.map((digits) => words(digits.toReversed()))
    const src = rows(sequences.map(words), LONGEST)
    const tgt = rows(
      answers.map((answer) => [BEGIN, ...answer]),
      LONGEST + 1,
    )
    const labels = rows(
      answers.map((answer) => [...answer, END]),
      LONGEST + 1,
    )
    optimizer.lr = lr * Math.min(1, i / 100) * 0.5 * (1 + Math.cos((Math.PI * i) / (steps + 1)))
    sum += await step(src, tgt, labels).item()
    if (i % every === 0) {
      curve.push({ step: i, loss: round(sum / every) })
      console.log(`step ${i}: loss ${curve.at(-1)?.loss}, ${seconds()}`)
      sum = 0
    }
  }
  const asked = [...tests.values()]
  const found = await greedyDecode(model, rows(asked.map(words), LONGEST), {
    startToken: BEGIN,
    stopToken: END,
    maxLength: LONGEST + 1,
  })
  let digits = 0
  let right = 0
  let exact = 0
  asked.forEach((sequence, i) => {
    const answer = words(sequence.toReversed())
    const same = answer.filter((word, at) => found[i][at] === word).length
    digits += answer.length
    right += same
    if (same === answer.length && found[i].length === answer.length) exact++
  })
  console.log(`${exact} of ${TESTS} exact`)
  return {
    parameters: parameters.reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0),
    sequencesSeen: steps * batchSize,
    exact: round(exact / TESTS),
    digits: round(right / digits),
    tests: TESTS,
    curve,
  }
})
