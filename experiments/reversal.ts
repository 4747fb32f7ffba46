// Sequences of random digits, to be written backwards: the task that the recurrent network and the Transformer learn.
// Batches never contain one of the sequences held back for the test.
import { type Tensor, tensor } from 'burnish'
import { below, round, seconds } from './support.js'

/** Words: padding, begin, end, and ten digits. */
export const [PADDING, BEGIN, END, FIRST_DIGIT] = [0, 1, 2, 3]
export const WORDS = FIRST_DIGIT + 10
const TESTS = 1000

type Digits = readonly number[]

export interface ReversalBatch {
  /** [N, longest] words, padded. */
  readonly src: Tensor
  /** How long each is: [N]. */
  readonly lengths: Tensor
  /** [N, longest + 1]: what the decoder has written before each word, and the word it should write. */
  readonly tgt: Tensor
  readonly labels: Tensor
}

export interface Reversal {
  /** The sequences held back, [tests, longest], and their lengths. */
  readonly asked: Pick<ReversalBatch, 'src' | 'lengths'>
  /** Steps on fresh batches, with a learning rate that rises for 100 and falls along a cosine. Returns the loss's course. */
  learn(
    steps: number,
    batchSize: number,
    step: (batch: ReversalBatch, rate: number) => Promise<number>,
  ): Promise<readonly { readonly step: number; readonly loss: number }[]>
  /** How many answers, words before the end, are right as a whole, and how many digits. */
  score(answers: readonly (readonly number[])[]): {
    readonly exact: number
    readonly digits: number
    readonly tests: number
  }
}

/** Sequences of `shortest` to `longest` digits, from a seed. */
export function reversal(seed: number, shortest: number, longest: number): Reversal {
  const random = below(seed)
  const sequence = () =>
    Array.from({ length: shortest + random(longest - shortest + 1) }, () => random(10))
  const tests = new Map<string, Digits>()
  while (tests.size < TESTS) {
    const digits = sequence()
    tests.set(digits.join(''), digits)
  }
  const fresh = (): Digits => {
    const digits = sequence()
    return tests.has(digits.join('')) ? fresh() : digits
  }
  const words = (digits: Digits) => digits.map((digit) => digit + FIRST_DIGIT)
  const answerTo = (digits: Digits) => words(digits.toReversed())
  const rows = (sequences: readonly (readonly number[])[], length: number) => {
    const all = new Int32Array(sequences.length * length).fill(PADDING)
    sequences.forEach((row, i) => {
      all.set(row, i * length)
    })
    return tensor(all, { shape: [sequences.length, length] })
  }
  const question = (sequences: readonly Digits[]) => ({
    src: rows(sequences.map(words), longest),
    lengths: tensor(Int32Array.from(sequences, ({ length }) => length)),
  })
  const held = [...tests.values()]
  return {
    asked: question(held),
    async learn(steps, batchSize, step) {
      const curve: { readonly step: number; readonly loss: number }[] = []
      const every = Math.ceil(steps / 10)
      let sum = 0
      for (let i = 1; i <= steps; i++) {
        const sequences = Array.from({ length: batchSize }, fresh)
        const answers = sequences.map(answerTo)
        const begun = answers.map((answer) => [BEGIN, ...answer])
        const ended = answers.map((answer) => [...answer, END])
        const batch = {
          ...question(sequences),
          tgt: rows(begun, longest + 1),
          labels: rows(ended, longest + 1),
        }
        const rate = Math.min(1, i / 100) * 0.5 * (1 + Math.cos((Math.PI * i) / (steps + 1)))
        sum += await step(batch, rate)
        if (i % every === 0) {
          const loss = round(sum / every)
          curve.push({ step: i, loss })
          console.log(`step ${i}: loss ${loss}, ${seconds()}`)
          sum = 0
        }
      }
      return curve
    },
    score(answers) {
      let exact = 0
      let right = 0
      let digits = 0
      held.forEach((asking, i) => {
        const wanted = answerTo(asking)
        const same = wanted.filter((word, at) => answers[i][at] === word).length
        digits += wanted.length
        right += same
        if (same === wanted.length && answers[i].length === wanted.length) exact++
      })
      console.log(`${exact} of ${held.length} exact`)
      return {
        exact: round(exact / held.length),
        digits: round(right / digits),
        tests: held.length,
      }
    },
  }
}
