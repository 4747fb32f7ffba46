// docs/tensorflow.md, from the tables of layers and operators and the cases that test them.
import { activations } from '../../src/io/keras/activation.js'
import { layerTable, refusedLayers } from '../../src/io/keras/table.js'
import { operatorGroups } from '../../src/io/tfjs/operators/table.js'
import { formulaLayers } from './formulas.cases.js'
import { layerCases } from './layers.cases.js'
import { operatorCases } from './operators.cases.js'

/** What is particular about a layer. */
const notes: { readonly [layer: string]: string } = {
  Activation: `${Object.keys(activations).join(', ')}; hard_sigmoid as the file's version of Keras has it`,
  BatchNormalization: 'running variance moves by the variance over the count, as in Keras 3',
  UpSampling2D:
    'bilinear between pixel centres, as TensorFlow 2; TensorFlow.js itself aligns differently',
  Resizing: 'nearest and bilinear, without cropping and antialiasing',
  Embedding: '`mask_zero` masks recurrent layers and averages behind it',
  Masking: 'masks recurrent layers and averages behind it',
  LSTM: 'not stateful',
  GRU: '`reset_after` both ways; not stateful',
  SimpleRNN: 'not stateful',
  RNN: 'of one SimpleRNNCell, LSTMCell or GRUCell',
  Bidirectional: 'merged by concat, sum, mul, ave, or not',
  TimeDistributed: 'of layers and models',
  MultiHeadAttention: 'over one dimension; attention masks and causal masks',
  Attention: 'score_mode dot',
  Normalization: 'with the mean and variance of the configuration or of the file',
  ReLU: 'max_value, negative_slope, threshold',
}

const operatorNotes: { readonly [op: string]: string } = {
  Where: 'of what is known before the graph runs: constants, shapes, and inputs made of numbers',
  FusedBatchNormV3: 'in training by the batch, running statistics move by 0.01',
  Conv2DBackpropInput: 'transposed convolution',
  Select: 'a vector chooses rows',
  _FusedConv2D:
    'with BiasAdd or FusedBatchNorm, and Relu, Relu6, Elu, LeakyRelu, Prelu, Sigmoid, Tanh',
}

const count = (names: readonly string[]): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

export function tensorflowPage(): string {
  const tested = count([...layerCases.map(({ layer }) => layer), ...formulaLayers])
  const operators = count(operatorCases.map(({ op }) => op))
  const total = operatorGroups.reduce((sum, [, group]) => sum + Object.keys(group).length, 0)
  const layers = Object.keys(layerTable)
  return [
    '# TensorFlow.js and Keras files',
    '',
    'Made from the tables in `src/io/keras/table.ts` and `src/io/tfjs/operators/` by `node scripts/operations.mjs`; a test',
    'fails when it is stale.',
    '',
    '```ts',
    "import { loadKeras, loadTfjs } from 'burnish/io'",
    '',
    "const model = await loadTfjs('mobilenet/model.json') // or a URL; or bytes with { shard: (path) => bytes }",
    "const other = await loadKeras('model.keras') // or .h5",
    'model.train()',
    '```',
    '',
    '- A **layers model** (and every Keras file) gives a `KerasModel`, a **graph model** a `GraphModule`. Both are trainable',
    '  modules, made in evaluation mode: `forward(x)`, or `run({ name: x })` for several inputs or outputs.',
    '- Tensors go in and come out as TensorFlow has them: images are `[N, H, W, C]`. Weights keep their names',
    '  (`conv2d.kernel`, in Keras’s layout) in `stateDict()`.',
    '- Weights of float32, float16, uint8 and uint16 (quantised) become float32; shards may cut anywhere, and never lie',
    '  outside of the folder.',
    '- What a Keras file says is not trainable is frozen, its normalisations and dropouts stay in evaluation mode.',
    '- A graph’s float constants are parameters where an operator takes them as weights; running statistics are state.',
    '- `.keras` archives (Keras 3, and 2.12 on), `.h5` of whole models (Keras 2 and 3), and files of weights alone:',
    "  `loadKerasWeights(model, file)`. HDF5 written with `libver='latest'` is not read.",
    '- Packages that carry a model as JavaScript modules (`model.min.js`, shards as base64) are read by their text; nothing',
    '  of them runs.',
    '',
    `## Keras layers (${layers.length})`,
    '',
    'Sequential and functional models: several inputs and outputs, shared layers, models inside of models. Others are',
    'refused, naming the layer.',
    '',
    '| layer | cases | |',
    '|---|---|---|',
    ...layers.map((name) => `| \`${name}\` | ${tested.get(name) ?? 0} | ${notes[name] ?? ''} |`),
    '',
    'Refused with a reason:',
    '',
    ...Object.entries(refusedLayers).map(([name, reason]) => `- \`${name}\`: ${reason}`),
    '',
    `## TensorFlow operators (${total})`,
    '',
    'Each against TensorFlow.js, or against its meaning where that cannot run it. Shapes, axes and sizes must be known',
    'before the graph runs: constants, or computed from shapes. Control flow (`Enter`, `Switch`, `Merge`, `While`, …),',
    'tables and strings are refused, naming every node.',
    ...operatorGroups.flatMap(([title, group]) => [
      '',
      `### ${title}`,
      '',
      '| operator | cases | |',
      '|---|---|---|',
      ...Object.keys(group).map(
        (op) => `| \`${op}\` | ${operators.get(op) ?? 0} | ${operatorNotes[op] ?? ''} |`,
      ),
    ]),
    '',
  ].join('\n')
}
