// The Transformer of 2017, small, learns to write sequences of digits backwards: the simplest thing that needs attention
// to far places, and positions. `npm run experiment -- transformer-reverse [--steps 1500]`
//
// Sequences are random, five to ten digits long. It is tested, by greedy decoding, on 1,000 that it has never seen: an
// answer counts only when it is right from the first digit to the last.
import { compile, type Tensor } from 'burnish'
import { greedyDecode, Seq2SeqTransformer } from 'burnish/models'
import { crossEntropy } from 'burnish/nn'
import { Adam } from 'burnish/optim'
import { BEGIN, END, PADDING, reversal, WORDS } from './reversal.js'
import { countOf, experiment } from './support.js'

const [SHORTEST, LONGEST] = [5, 10]

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
  const task = reversal(settings.seed, SHORTEST, LONGEST)
  const model = new Seq2SeqTransformer({
    srcVocabSize: WORDS,
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
  const curve = await task.learn(steps, batchSize, ({ src, tgt, labels }, rate) => {
    optimizer.lr = lr * rate
    return step(src, tgt, labels).item()
  })
  const found = await greedyDecode(model, task.asked.src, {
    startToken: BEGIN,
    stopToken: END,
    maxLength: LONGEST + 1,
  })
  return {
    parameters: countOf(parameters),
    sequencesSeen: steps * batchSize,
    ...task.score(found),
    curve,
  }
})
