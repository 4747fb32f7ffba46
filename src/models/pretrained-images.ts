// Pretrained networks for images, made from the files of their packages: a body that ends in maps of features, the mean
// of the maps, and a head. Images go in as PyTorch has them, [N, C, H, W]; bodies that want channels last get them so.
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import { readLiteral } from '../io/tfjs/literal.js'
import { loadTfjs } from '../io/tfjs/load.js'
import { isObject, type Plain, readPlainBytes } from '../io/tfjs/plain.js'
import type { HostTensor } from '../io/values.js'
import { Dropout, interpolate, Linear, Module, ReLU, Sequential } from '../nn/index.js'
import { tensor } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'
import { cutNetwork } from './pretrained-onnx.js'
import type { PretrainedFacts } from './pretrained-table.js'

/** The bytes of a package's files. */
export type FileBytes = (path: string) => Promise<Uint8Array>

export interface ImageParts {
  /** Images in the layout of `channelsLast` → maps of features in the same layout. */
  readonly body: Module<Tensor>
  readonly channelsLast: boolean
  /** Between the mean of the maps and the head. */
  readonly neck?: Sequential
  /** The original head: features → logits. */
  readonly head?: Module<Tensor>
  readonly labels: readonly string[]
}

/** A network for images whose weights are trained already. */
export class PretrainedImages extends Module {
  body: Module<Tensor>
  neck: Sequential | undefined
  head: Module<Tensor> | undefined
  readonly facts: PretrainedFacts
  /** Names of the classes of the original head, in its order; none behind a new head. */
  readonly labels: readonly string[]
  readonly #channelsLast: boolean

  constructor(
    facts: PretrainedFacts,
    { body, channelsLast, neck, head, labels }: ImageParts,
    numClasses: number | undefined,
  ) {
    super()
    this.facts = facts
    this.body = body
    this.neck = neck
    this.head = numClasses === undefined ? head : new Linear(facts.features, numClasses)
    this.labels = numClasses === undefined ? labels : []
    this.#channelsLast = channelsLast
    this.eval()
  }

  /** Images [N, C, H, W], as `preprocess` gives them → [N, features]. */
  features(images: Tensor): Tensor {
    const [channels] = this.facts.preprocessing.image?.shape ?? []
    if (images.shape.length !== 4 || images.shape[1] !== channels)
      fail(`the images ${showShape(images.shape)} must be [N, ${channels}, H, W]`)
    const x = this.#channelsLast ? images.permute(0, 2, 3, 1) : images
    const mean = this.body.forward(x).mean(this.#channelsLast ? [1, 2] : [2, 3])
    return this.neck ? this.neck.forward(mean) : mean
  }

  /** → [N, classes], logits; without a head [N, features]. */
  forward(images: Tensor): Tensor {
    const features = this.features(images)
    return this.head ? this.head.forward(features) : features
  }

  /**
   * Images [N, C, H, W] from 0 to 1, in red, green, blue, or of bytes from 0 to 255 → what the network takes: of its
   * size (or that given), resized without antialiasing, and in its range. `facts.preprocessing` says it in words.
   */
  preprocess(images: Tensor, { size }: { readonly size?: number } = {}): Tensor {
    const { image } = this.facts.preprocessing
    if (image === undefined) throw fail('internal: a network for images without their shape')
    const unit = images.dtype === 'uint8' ? images.to('float32').div(255) : images
    const wanted = size ?? image.shape[1]
    const same = unit.shape[2] === wanted && unit.shape[3] === wanted
    const sized = same
      ? unit
      : interpolate(unit, { size: [wanted, wanted], mode: 'bilinear', alignCorners: false })
    const [low, high] = image.range
    return high - low === 1 ? sized.add(low) : sized.mul(high - low).add(low)
  }
}

/** A linear layer of values from a file; `turned` where the file has [inputs, outputs]. */
export function linearOf(weight: HostTensor, bias: HostTensor, turned: boolean): Linear {
  const [rows, columns] = [weight.shape[0], weight.shape.slice(1).reduce((a, b) => a * b, 1)]
  const values = tensor(weight.data, { shape: [rows, columns] })
  const layer = turned ? new Linear(rows, columns) : new Linear(columns, rows)
  layer.loadStateDict({ weight: turned ? values.transpose(0, 1) : values, bias })
  return layer
}

export async function detypify(file: FileBytes): Promise<ImageParts> {
  const where = 'detypify-service/train/model.onnx'
  const { module, constant } = cutNetwork(await file('train/model.onnx'), where, 'relu_28')
  const of = (layer: string, bias: string) =>
    linearOf(
      constant(`model_opt._orig_mod.${layer}.weight`),
      constant(`model_opt._orig_mod.${layer}.${bias}`),
      false,
    )
  const symbols = readPlainBytes(await file('train/infer.json'), 'train/infer.json')
  const labels = Array.isArray(symbols)
    ? symbols.map((symbol: Plain) => (isObject(symbol) ? String(symbol.char) : ''))
    : []
  return {
    body: module,
    channelsLast: false,
    // A convolution of 1×1 over one pixel; the file goes a longer way.
    neck: new Sequential(of('conv_head', 'weight_bias'), new ReLU()),
    head: of('classifier', 'bias'),
    labels,
  }
}

const encoded = (value: Plain) => new TextEncoder().encode(JSON.stringify(value))

/** A copy of JSON in which `change` may put other values for keys. */
function changed(value: Plain, change: (key: string, value: Plain) => Plain): Plain {
  return JSON.parse(JSON.stringify(value), (key, inner: Plain) => change(key, inner))
}

export async function centernet(file: FileBytes): Promise<ImageParts> {
  const model = readPlainBytes(await file('models/centernet.json'), 'centernet.json')
  // The size is written down, but nothing before the cut depends on it.
  const free = changed(model, (_, value) => {
    if (!isObject(value) || value.op !== 'Placeholder' || !isObject(value.attr)) return value
    const { shape: _shape, ...attr } = value.attr
    return { ...value, attr }
  })
  const body = await loadTfjs(encoded(free), {
    shard: () => file('models/centernet.bin'),
    outputs: ['tower_0/MobilenetV3/expanded_conv_14/add'],
  })
  return { body, channelsLast: true, labels: [] }
}

const NSFW = 'dist/models/mobilenet_v2/'
/** The order of nsfwjs' nsfw_classes.js. */
const NSFW_LABELS = ['Drawing', 'Hentai', 'Neutral', 'Porn', 'Sexy']

/** The package has programs that each say one literal: they are read by their text, and never run. */
export async function nsfw(file: FileBytes): Promise<ImageParts> {
  const text = async (path: string) => new TextDecoder().decode(await file(NSFW + path))
  const source = await text('model.min.js')
  const begin = source.indexOf('{modelTopology:')
  if (begin < 0) fail(`${NSFW}model.min.js: there is no topology in it`)
  const model = readLiteral(source, begin, `${NSFW}model.min.js`)
  const shards = await text('group1-shard1of1.min.js')
  const base64 = /exports\s*=\s*"([A-Za-z0-9+/]+={0,2})"/.exec(shards)?.[1]
  if (base64 === undefined) throw fail(`${NSFW}group1-shard1of1.min.js: there are no weights in it`)
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  const shard = () => bytes
  const free = changed(model, (key, value) =>
    key === 'batch_input_shape' ? [null, null, null, 3] : value,
  )
  const body = await loadTfjs(encoded(upTo(free, 'out_relu')), { shard })
  // All that is there may be trained; the file kept a part as it was.
  body.apply((module) => {
    module.staysInEval = false
  })
  body.requiresGrad_()
  return { body, channelsLast: true, head: await nsfwHead(free, bytes), labels: NSFW_LABELS }
}

/** The model with another output, and no layers behind it. */
function upTo(model: Plain, last: string): Plain {
  return changed(model, (key, value) => {
    if (key === 'output_layers') return [[last, 0, 0]]
    if (key !== 'layers' || !Array.isArray(value)) return value
    const names = value.map((layer: Plain) => (isObject(layer) ? layer.name : ''))
    return value.slice(0, names.indexOf(last) + 1)
  })
}

async function nsfwHead(model: Plain, bytes: Uint8Array): Promise<Sequential> {
  const { decodeGroup, readManifest } = await import('../io/tfjs/weights.js')
  const manifest = isObject(model) ? model.weightsManifest : null
  const [{ weights }] = readManifest(manifest, 'nsfwjs')
  const values = new Map(decodeGroup(weights, bytes, 'nsfwjs'))
  const dense = (name: string) => {
    const [kernel, bias] = [values.get(`${name}/kernel`), values.get(`${name}/bias`)]
    if (!kernel || !bias) throw fail(`nsfwjs: the weights lack ${name}`)
    return linearOf(kernel, bias, true)
  }
  return new Sequential(
    dense('dense_1'),
    new ReLU(),
    new Dropout(0.5),
    dense('dense_2'),
    new ReLU(),
    new Dropout(0.25),
    dense('dense_3'), // its softmax is left out: what remains are logits
  )
}
