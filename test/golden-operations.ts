// PyTorch's operations by name, over our functions: what the golden cases run, and the suites of derivatives.
import type { TypedArray } from '../src/base/dtype.js'
import { evaluate } from '../src/graph/interpret.js'
import type { InputNode } from '../src/graph/node.js'
import * as F from '../src/nn/functional.js'
import { MultiheadAttention } from '../src/nn/layers/attention.js'
import { GRU, LSTM, RNN } from '../src/nn/layers/recurrent.js'
import { TransformerDecoderLayer, TransformerEncoderLayer } from '../src/nn/layers/transformer.js'
import type { AnyModule } from '../src/nn/module.js'
import { grad } from '../src/tensor/backward.js'
import { tensor } from '../src/tensor/create.js'
import { Parameter } from '../src/tensor/parameter.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { Scalar, Value, Version } from '../src/tensor/value.js'
import { fill, type GoldenArgument, type GoldenCase } from './support.js'

type Operation = (
  x: (name: string) => Tensor,
  args: { readonly [name: string]: GoldenArgument },
  has: (name: string) => boolean,
) => Tensor | readonly Tensor[]

const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())

/** PyTorch's keyword arguments as our options. */
function options<T>(args: { readonly [name: string]: GoldenArgument }): T {
  return Object.fromEntries(Object.entries(args).map(([key, value]) => [camel(key), value])) as T
}

const convolution =
  (fn: typeof F.conv2d | typeof F.convTranspose2d): Operation =>
  (x, args, has) =>
    fn(x('input'), x('weight'), has('bias') ? x('bias') : undefined, options(args))

const pool =
  (fn: typeof F.maxPool2d | typeof F.avgPool2d): Operation =>
  (x, { kernel_size, ...args }) =>
    fn(x('input'), kernel_size as number, options(args))

const adaptive =
  (fn: typeof F.adaptiveAvgPool2d): Operation =>
  (x, args) =>
    fn(x('input'), args.output_size as number)

const unary =
  (fn: (input: Tensor) => Tensor): Operation =>
  (x) =>
    fn(x('input'))

const pair =
  (fn: (input: Tensor, target: Tensor, options?: object) => Tensor): Operation =>
  (x, args) =>
    fn(x('input'), x('target'), options(args))

/** Made-up weights, by the names and shapes PyTorch's layer has; nothing is dropped. */
function filled<M extends AnyModule>(layer: M, shapes: unknown): M {
  const state = layer.eval().stateDict()
  const own = Object.fromEntries(Object.entries(state).map(([name, { shape }]) => [name, shape]))
  if (JSON.stringify(own) !== JSON.stringify(shapes))
    throw new Error(`the layer has ${JSON.stringify(own)}, PyTorch's ${JSON.stringify(shapes)}`)
  for (const [name, parameter] of Object.entries(state)) parameter.set(fill(name, parameter.shape))
  return layer
}

/** The output alone: the cases have no more. */
const recurrent = ([output]: readonly [Tensor, unknown]) => output

const list = (value: GoldenArgument) => Float32Array.from(value as readonly number[])

export const operations: { readonly [op: string]: Operation } = {
  conv1d: convolution(F.conv1d),
  conv2d: convolution(F.conv2d),
  conv3d: convolution(F.conv3d),
  conv_transpose1d: convolution(F.convTranspose1d),
  conv_transpose2d: convolution(F.convTranspose2d),
  max_pool1d: pool(F.maxPool1d),
  max_pool2d: pool(F.maxPool2d),
  avg_pool1d: pool(F.avgPool1d),
  avg_pool2d: pool(F.avgPool2d),
  adaptive_avg_pool2d: adaptive(F.adaptiveAvgPool2d),
  adaptive_max_pool2d: adaptive(F.adaptiveMaxPool2d),
  relu: unary(F.relu),
  sigmoid: unary(F.sigmoid),
  gelu: (x, args) => F.gelu(x('input'), options(args)),
  silu: unary(F.silu),
  softplus: unary(F.softplus),
  elu: unary(F.elu),
  leaky_relu: unary(F.leakyRelu),
  hardswish: unary(F.hardswish),
  hardsigmoid: unary(F.hardsigmoid),
  mish: unary(F.mish),
  relu6: unary(F.relu6),
  selu: unary(F.selu),
  softsign: unary(F.softsign),
  logsigmoid: unary(F.logSigmoid),
  tanh: unary((input) => input.tanh()),
  exp: unary((input) => input.exp()),
  sin: unary((input) => input.sin()),
  cos: unary((input) => input.cos()),
  erf: unary((input) => input.erf()),
  abs: unary((input) => input.abs()),
  square: unary((input) => input.square()),
  log: unary((input) => input.log()),
  sqrt: unary((input) => input.sqrt()),
  rsqrt: unary((input) => input.rsqrt()),
  reciprocal: unary((input) => input.reciprocal()),
  prelu: (x) => F.prelu(x('input'), x('weight')),
  softmax: (x, { dim }) => F.softmax(x('input'), dim as number),
  log_softmax: (x, { dim }) => F.logSoftmax(x('input'), dim as number),
  batch_norm: (x, { running_mean, running_var, ...args }) => {
    const mean = new Parameter(list(running_mean), { role: 'state' })
    const variance = new Parameter(list(running_var), { role: 'state' })
    const y = F.batchNorm(x('input'), mean, variance, {
      weight: x('weight'),
      bias: x('bias'),
      ...options<F.BatchNormOptions>(args),
    })
    return [y, mean, variance]
  },
  layer_norm: (x, { normalized_shape, eps }) =>
    F.layerNorm(x('input'), normalized_shape as readonly number[], {
      weight: x('weight'),
      bias: x('bias'),
      eps: eps as number,
    }),
  group_norm: (x, { num_groups, eps }) =>
    F.groupNorm(x('input'), num_groups as number, {
      weight: x('weight'),
      bias: x('bias'),
      eps: eps as number,
    }),
  instance_norm: (x, args) => F.instanceNorm(x('input'), options(args)),
  local_response_norm: (x, { size, ...args }) =>
    F.localResponseNorm(x('input'), size as number, options(args)),
  matmul: (x) => x('a').matmul(x('b')),
  linear: (x) => F.linear(x('input'), x('weight'), x('bias')),
  embedding: (x, args) => F.embedding(x('input'), x('weight'), options(args)),
  scaled_dot_product_attention: (x, { causal }) =>
    F.scaledDotProductAttention(x('q'), x('k'), x('v'), { isCausal: causal as boolean }),
  gather: (x, { dim }) => x('input').gather(dim as number, x('index')),
  index_select: (x, { dim }) => x('input').indexSelect(dim as number, x('index')),
  cumsum: (x, { dim }) => x('input').cumsum(dim as number),
  var: (x, { dim, unbiased }) => x('input').var(dim as number, { correction: unbiased ? 1 : 0 }),
  interpolate: (x, args) => F.interpolate(x('input'), options(args)),
  cross_entropy: (x, { weight, target, ...args }) =>
    F.crossEntropy(x('input'), x('target'), {
      ...(weight ? { weight: tensor(list(weight)) } : {}),
      ...options<F.CrossEntropyOptions>(args),
    }),
  nll_loss: (x) => F.nllLoss(F.logSoftmax(x('input'), 1), x('target')),
  mse_loss: pair(F.mseLoss),
  l1_loss: pair(F.l1Loss),
  smooth_l1_loss: pair(F.smoothL1Loss),
  huber_loss: pair(F.huberLoss),
  binary_cross_entropy_with_logits: pair(F.binaryCrossEntropyWithLogits),
  kl_div: (x, { reduction }) =>
    F.klDiv(F.logSoftmax(x('input'), -1), F.softmax(x('target'), -1), {
      reduction: reduction as 'batchmean',
    }),
  cosine_similarity: (x) => F.cosineSimilarity(x('a'), x('b')),
  MultiheadAttention: (x, { num_heads, state_dict }) => {
    const made = new MultiheadAttention(x('q').shape[2], num_heads as number, { batchFirst: true })
    return filled(made, state_dict).forward(x('q'), x('k'), x('v'))
  },
  ctc_loss: (x, { targets, input_lengths, target_lengths, blank, reduction }) =>
    F.ctcLoss(
      F.logSoftmax(x('input'), 2),
      tensor(targets as readonly number[], { dtype: 'int32' }),
      input_lengths as readonly number[],
      target_lengths as readonly number[],
      options({ blank, reduction }),
    ),
  lstm: (x, { state_dict }) => {
    const given = { numLayers: 2, bidirectional: true, batchFirst: true }
    return recurrent(filled(new LSTM(5, 7, given), state_dict).forward(x('input')))
  },
  gru: (x, { state_dict }) =>
    recurrent(
      filled(new GRU(5, 7, { numLayers: 2, batchFirst: true }), state_dict).forward(x('input')),
    ),
  rnn: (x, { state_dict }) =>
    recurrent(filled(new RNN(5, 7, { batchFirst: true }), state_dict).forward(x('input'))),
  TransformerEncoderLayer: (x, { nhead, state_dict, ...args }) => {
    const given = { ...options<object>(args), batchFirst: true }
    const made = new TransformerEncoderLayer(x('src').shape[2], nhead as number, given)
    return filled(made, state_dict).forward(x('src'))
  },
  TransformerDecoderLayer: (x, { nhead, state_dict, ...args }) => {
    const given = { ...options<object>(args), batchFirst: true }
    const made = new TransformerDecoderLayer(x('tgt').shape[2], nhead as number, given)
    return filled(made, state_dict).forward(x('tgt'), x('memory'), { tgtIsCausal: true })
  },
}

/** The inputs of a case as tensors. */
export function inputsOf({ inputs }: GoldenCase): Map<string, Tensor> {
  return new Map(
    [...inputs].map(([name, { data, shape, dtype }]) => [name, tensor(data, { shape, dtype })]),
  )
}

/** The results of a case for these inputs. */
export function outputsOf({ op, args }: GoldenCase, inputs: ReadonlyMap<string, Tensor>): Tensor[] {
  const { note: _, ...rest } = args
  const result = operations[op](
    (name) => inputOf(inputs, name),
    rest,
    (name) => inputs.has(name),
  )
  return Array.isArray(result) ? (result as Tensor[]) : [result as Tensor]
}

export function inputOf(inputs: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const found = inputs.get(name)
  if (!found) throw new Error(`no input ${name}`)
  return found
}

export interface Computed {
  readonly outputs: readonly Tensor[]
  readonly grads: readonly Tensor[]
}

/** The results of a case, and the gradients of Σ outputs[0]·seed. */
export function build(golden: GoldenCase): Computed {
  const { seed, grads } = golden
  const tensors = inputsOf(golden)
  const outputs = outputsOf(golden, tensors)
  const scalar = outputs[0].mul(tensor(seed.data, { shape: seed.shape })).sum()
  return {
    outputs,
    grads: grad(
      scalar,
      [...grads.keys()].map((name) => inputOf(tensors, name)),
    ),
  }
}

/** What an input node is bound to where everything lies on the host. */
export function hostValue({ source }: InputNode): TypedArray {
  if (source instanceof Scalar) return Float32Array.of(source.read())
  const value = source instanceof Version ? source.cell.value : source
  if (value instanceof Value && value.host) return value.host
  throw new Error('an input without host data')
}

/** The graph in float64, with nothing between. */
export async function interpreted(tensors: readonly Tensor[]): Promise<ArrayLike<number>[]> {
  return evaluate(
    tensors.map((t) => t.node),
    hostValue,
  )
}
