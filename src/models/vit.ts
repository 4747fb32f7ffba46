// Vision Transformer (Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", figure 1 and table 1). After
// torchvision's vit_b_16 and its siblings, with norms before the branches.
import { fail } from '../base/errors.js'
import { showShape } from '../base/shape.js'
import {
  Conv2d,
  Dropout,
  GELU,
  init,
  LayerNorm,
  Linear,
  Module,
  MultiheadAttention,
  Sequential,
} from '../nn/index.js'
import { zeros } from '../tensor/create.js'
import { Parameter } from '../tensor/parameter.js'
import { concat, type Tensor } from '../tensor/tensor.js'
import { type ModelOptions, zeroBias } from './variants.js'

const EPS = 1e-6 // torchvision's

/** Sizes of a vision transformer (table 1). */
export interface ViTSizes {
  /** Side of the square image, and of a patch. */
  readonly imageSize: number
  readonly patchSize: number
  readonly layers: number
  readonly heads: number
  /** Features of a token, and inside of the perceptrons. */
  readonly hidden: number
  readonly mlp: number
  readonly dropout?: number
  /** Dropout between a perceptron's layers. Default: dropout. */
  readonly innerDropout?: number
  /** Dropout of attention weights. Default 0. */
  readonly attentionDropout?: number
  readonly layerNormEps?: number
  /** Of the perceptrons. Default gelu. */
  readonly activation?: (x: Tensor) => Tensor
}

/** A function as a layer. */
class Activation extends Module {
  readonly #of: (x: Tensor) => Tensor

  constructor(of: (x: Tensor) => Tensor) {
    super()
    this.#of = of
  }

  forward(x: Tensor): Tensor {
    return this.#of(x)
  }
}

/** Attention and a perceptron, each normalised before and added to what it saw (equations 2 and 3). */
class EncoderBlock extends Module {
  ln_1: LayerNorm
  self_attention: MultiheadAttention
  dropout: Dropout
  ln_2: LayerNorm
  mlp: Sequential

  constructor(sizes: ViTSizes) {
    super()
    const { hidden, heads, mlp, dropout = 0, innerDropout = dropout, activation } = sizes
    const { layerNormEps: eps = EPS, attentionDropout = 0 } = sizes
    this.ln_1 = new LayerNorm(hidden, { eps })
    const options = { batchFirst: true, dropout: attentionDropout }
    this.self_attention = new MultiheadAttention(hidden, heads, options)
    this.dropout = new Dropout(dropout)
    this.ln_2 = new LayerNorm(hidden, { eps })
    const [up, down] = [new Linear(hidden, mlp), new Linear(mlp, hidden)]
    const between = activation ? new Activation(activation) : new GELU()
    const after = new Dropout(dropout)
    this.mlp = new Sequential(up, between, new Dropout(innerDropout), down, after)
    for (const linear of [up, down]) {
      init.xavierUniform(linear.weight)
      if (linear.bias) init.normal(linear.bias, 0, 1e-6)
    }
  }

  forward(tokens: Tensor): Tensor {
    const [seen] = this.self_attention.forward(this.ln_1.forward(tokens))
    const x = tokens.add(this.dropout.forward(seen)) // [N, L, hidden]
    return x.add(this.mlp.forward(this.ln_2.forward(x)))
  }
}

/** Adds what each position means, and runs the blocks (equations 1 to 4). */
class Encoder extends Module {
  pos_embedding: Parameter // [1, L, hidden]
  dropout: Dropout
  layers: Sequential
  ln: LayerNorm

  constructor(length: number, sizes: ViTSizes) {
    super()
    this.pos_embedding = new Parameter(zeros([1, length, sizes.hidden]))
    init.normal(this.pos_embedding, 0, 0.02)
    this.dropout = new Dropout(sizes.dropout ?? 0)
    const blocks = Array.from(
      { length: sizes.layers },
      (_, i) => [`encoder_layer_${i}`, new EncoderBlock(sizes)] as const,
    )
    this.layers = new Sequential(Object.fromEntries(blocks))
    this.ln = new LayerNorm(sizes.hidden, { eps: sizes.layerNormEps ?? EPS })
  }

  forward(tokens: Tensor): Tensor {
    const x = this.dropout.forward(tokens.add(this.pos_embedding))
    return this.ln.forward(this.layers.forward(x))
  }
}

/** Patches become tokens, behind one for the whole; then the encoder. */
abstract class Tokens<Output> extends Module<Output> {
  readonly sizes: Readonly<ViTSizes>
  class_token: Parameter // [1, 1, hidden]
  conv_proj: Conv2d
  encoder: Encoder

  constructor(sizes: ViTSizes, inChannels: number) {
    super()
    const { imageSize, patchSize, hidden } = sizes
    if (imageSize % patchSize !== 0)
      fail(`VisionTransformer: patches of ${patchSize} do not divide an image of ${imageSize}`)
    this.sizes = sizes
    this.class_token = new Parameter(zeros([1, 1, hidden]))
    this.conv_proj = new Conv2d(inChannels, hidden, patchSize, { stride: patchSize })
    const std = Math.sqrt(1 / init.fans(this.conv_proj.weight.shape).fanIn)
    init.truncNormal(this.conv_proj.weight, { std })
    zeroBias(this.conv_proj)
    this.encoder = new Encoder((imageSize / patchSize) ** 2 + 1, sizes)
  }

  /** [N, C, size, size] → [N, L, hidden]. */
  protected encode(images: Tensor): Tensor {
    const size = this.sizes.imageSize
    if (images.shape[2] !== size || images.shape[3] !== size)
      fail(`VisionTransformer: the images ${showShape(images.shape)} must be ${size}×${size}`)
    const patches = this.conv_proj.forward(images).flatten(2).transpose(1, 2) // [N, L − 1, hidden]
    const [n, , hidden] = patches.shape
    const tokens = concat([this.class_token.expand(n, 1, hidden), patches], 1) // [N, L, hidden]
    return this.encoder.forward(tokens)
  }
}

/** Images [N, 3, 224, 224] → logits [N, 1000]. */
export class VisionTransformer extends Tokens<Tensor> {
  heads: Sequential

  constructor(sizes: ViTSizes, { numClasses = 1000, inChannels = 3 }: ModelOptions = {}) {
    super(sizes, inChannels)
    const head = new Linear(sizes.hidden, numClasses)
    init.zeros(head.weight)
    zeroBias(head)
    this.heads = new Sequential({ head })
  }

  forward(images: Tensor): Tensor {
    return this.heads.forward(this.encode(images).slice(0, 1, { dim: 1 }).squeeze(1))
  }
}

/** What a vision transformer without head gives: of each token [N, L, hidden], and of the whole [N, hidden]. */
export interface ViTOutput {
  readonly lastHiddenState: Tensor
  readonly poolerOutput: Tensor | undefined
}

/** Images → features: of every token, and with a pooler, of the whole. Hugging Face's ViTModel. */
export class ViTFeatures extends Tokens<ViTOutput> {
  pooler: Linear | undefined

  constructor(
    sizes: ViTSizes,
    options: { readonly inChannels?: number; readonly pooler?: boolean } = {},
  ) {
    super(sizes, options.inChannels ?? 3)
    const { hidden } = sizes
    this.pooler = (options.pooler ?? true) ? new Linear(hidden, hidden) : undefined
  }

  forward(images: Tensor): ViTOutput {
    const lastHiddenState = this.encode(images)
    const first = lastHiddenState.slice(0, 1, { dim: 1 }).squeeze(1)
    return { lastHiddenState, poolerOutput: this.pooler?.forward(first).tanh() }
  }
}

const base = { imageSize: 224, layers: 12, heads: 12, hidden: 768, mlp: 3072 }
const large = { imageSize: 224, layers: 24, heads: 16, hidden: 1024, mlp: 4096 }
const huge = { imageSize: 224, layers: 32, heads: 16, hidden: 1280, mlp: 5120 }

export const vits = {
  vit_b_16: (options?: ModelOptions) => new VisionTransformer({ ...base, patchSize: 16 }, options),
  vit_b_32: (options?: ModelOptions) => new VisionTransformer({ ...base, patchSize: 32 }, options),
  vit_l_16: (options?: ModelOptions) => new VisionTransformer({ ...large, patchSize: 16 }, options),
  vit_l_32: (options?: ModelOptions) => new VisionTransformer({ ...large, patchSize: 32 }, options),
  vit_h_14: (options?: ModelOptions) => new VisionTransformer({ ...huge, patchSize: 14 }, options),
}
