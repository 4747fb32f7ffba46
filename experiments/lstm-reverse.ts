// An encoder and a decoder, one LSTM each (Sutskever et al. 2014), learn to write sequences of digits backwards: all that
// the decoder sees of a sequence is the encoder's last state. `npm run experiment -- lstm-reverse [--steps 2500]`
//
// Sequences are random, four to eight digits long. It is tested, by greedy decoding, on 1,000 that it has never seen: an
// answer counts only when it is right from the first digit to the last.
import { compile, concat, noGrad, type Tensor, tensor } from 'burnish'
import { crossEntropy, Embedding, Linear, LSTM, Module } from 'burnish/nn'
import { Adam, clipGradNorm } from 'burnish/optim'
import { BEGIN, END, PADDING, reversal, WORDS } from './reversal.js'
import { countOf, experiment } from './support.js'

const [SHORTEST, LONGEST] = [4, 8]

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
  const task = reversal(settings.seed, SHORTEST, LONGEST)
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
  const curve = await task.learn(steps, batchSize, ({ src, lengths, tgt, labels }, rate) => {
    optimizer.lr = lr * rate
    return step(src, lengths, tgt, labels).item()
  })

  model.eval()
  const { src, lengths } = task.asked
  const [tests] = src.shape
  const answered = noGrad(() => {
    let at = model.encode(src, lengths)
    let word = tensor(new Int32Array(tests).fill(BEGIN), { shape: [tests, 1] })
    const written: Tensor[] = []
    for (let i = 0; i <= LONGEST; i++) {
      const [logits, next] = model.decode(word, at)
      word = logits.argmax(2)
      written.push(word)
      at = next
    }
    return concat(written, 1)
  })
  const words = Array.from(await answered.data())
  const found = Array.from({ length: tests }, (_, i) => {
    const answer = words.slice(i * (LONGEST + 1), (i + 1) * (LONGEST + 1))
    const end = answer.indexOf(END)
    return end < 0 ? answer : answer.slice(0, end)
  })
  return {
    parameters: countOf(parameters),
    sequencesSeen: steps * batchSize,
    ...task.score(found),
    curve,
  }
})
