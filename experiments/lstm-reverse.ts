// An encoder and a decoder, one LSTM each (Sutskever et al. 2014), learn to write sequences of digits backwards: all that
// the decoder sees of a sequence is the encoder's last state. `npm run experiment -- lstm-reverse [--steps 2500]`
//
// Sequences are random, four to eight digits long. It is tested, by greedy decoding, on 1,000 that it has never seen: an
// answer counts only when it is right from the first digit to the last.
import { compile, concat, noGrad, type Tensor, tensor } from 'burnish'
import { crossEntropy, Embedding, Linear, LSTM, Module } from 'burnish/nn'
import { Adam, clipGradNorm } from 'burnish/optim'
import { experiment, round, seconds } from './support.js'

/** Words: padding, begin, end, and ten digits. */
const [PADDING, BEGIN, END, FIRST_DIGIT] = [0, 1, 2, 3]
const WORDS = FIRST_DIGIT + 10
const [SHORTEST, LONGEST] = [4, 8]
const TESTS = 1000

type State = readonly [h: Tensor, c: Tensor]

class EncoderDecoder extends Module {
  read: Embedding
  encoder: LSTM
  write: Embedding
  decoder: LSTM
  head: Linear

  constructor(features: number, hidden: number) {
    super()
    this.read = new Embedding(WORDS, features)
    this.encoder = new LSTM(features, hidden, { batchFirst: true })
    this.write = new Embedding(WORDS, features)
    this.decoder = new LSTM(features, hidden, { batchFirst: true })
    this.head = new Linear(hidden, WORDS)
  }

  /** [N, T] words of the given lengths → the state after each sequence's last word. */
  encode(src: Tensor, lengths: Tensor): State {
    return this.encoder.forward(this.read.forward(src), undefined, { lengths })[1]
  }

  /** Logits [N, T, words] of what follows each of the words written so far. */
  decode(tgt: Tensor, state: State): readonly [Tensor, State] {
    const [output, next] = this.decoder.forward(this.write.forward(tgt), state)
    return [this.head.forward(output), next]
  }

  forward(src: Tensor, lengths: Tensor, tgt: Tensor): Tensor {
    return this.decode(tgt, this.encode(src, lengths))[0]
  }
}

const title = 'An LSTM encoder and decoder learn to write sequences of digits backwards'
const defaults = { seed: 1, steps: 2500, batchSize: 64, features: 32, hidden: 128, lr: 4e-3 }
await experiment('lstm-reverse', title, defaults, async (settings) => {
  const { steps, batchSize, features, hidden, lr } = settings
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
  const lengthsOf = (sequences: readonly (readonly number[])[]) =>
    tensor(Int32Array.from(sequences, ({ length }) => length))

  const model = new EncoderDecoder(features, hidden)
  const parameters = model.parameters()
  const optimizer = new Adam(parameters, { lr })
  const step = compile((src: Tensor, lengths: Tensor, tgt: Tensor, labels: Tensor) => {
    optimizer.zeroGrad()
    const logits = model.forward(src, lengths, tgt).flatten(0, 1)
    const loss = crossEntropy(logits, labels.flatten(), { ignoreIndex: PADDING })
    loss.backward()
    clipGradNorm(parameters, 1)
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
    sum += await step(src, lengthsOf(sequences), tgt, labels).item()
    if (i % every === 0) {
      curve.push({ step: i, loss: round(sum / every) })
      console.log(`step ${i}: loss ${curve.at(-1)?.loss}, ${seconds()}`)
      sum = 0
    }
  }

  model.eval()
  const asked = [...tests.values()]
  const answered = noGrad(() => {
    let at = model.encode(rows(asked.map(words), LONGEST), lengthsOf(asked))
    let word = tensor(new Int32Array(TESTS).fill(BEGIN), { shape: [TESTS, 1] })
    const written: Tensor[] = []
    for (let i = 0; i <= LONGEST; i++) {
      const [logits, next] = model.decode(word, at)
      word = logits.argmax(2)
      written.push(word)
      at = next
    }
    return concat(written, 1)
  })
  const found = await answered.data()
  let digits = 0
  let right = 0
  let exact = 0
  asked.forEach((asking, i) => {
    const answer = [...words(asking.toReversed()), END]
    const same = answer.filter((expected, at) => found[i * (LONGEST + 1) + at] === expected).length
    digits += answer.length
    right += same
    if (same === answer.length) exact++
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
