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

const EPS = 1e-6

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
}

/** Attention and a perceptron, each normalised before and added to what it saw (equations 2 and 3). */
class EncoderBlock extends Module {
  ln_1: LayerNorm
  self_attention: MultiheadAttention
  dropout: Dropout
  ln_2: LayerNorm
  mlp: Sequential

  constructor({ hidden, heads, mlp, dropout = 0 }: ViTSizes) {
    super()
    this.ln_1 = new LayerNorm(hidden, { eps: EPS })
    this.self_attention = new MultiheadAttention(hidden, heads, { batchFirst: true })
    this.dropout = new Dropout(dropout)
    this.ln_2 = new LayerNorm(hidden, { eps: EPS })
    const [up, down] = [new Linear(hidden, mlp), new Linear(mlp, hidden)]
    this.mlp = new Sequential(up, new GELU(), new Dropout(dropout), down, new Dropout(dropout))
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
    this.ln = new LayerNorm(sizes.hidden, { eps: EPS })
  }

  forward(tokens: Tensor): Tensor {
    const x = this.dropout.forward(tokens.add(this.pos_embedding))
    return this.ln.forward(this.layers.forward(x))
  }
}

/** Images [N, 3, 224, 224] → logits [N, 1000]. */
export class VisionTransformer extends Module {
  readonly imageSize: number
  class_token: Parameter // [1, 1, hidden]
  conv_proj: Conv2d
  encoder: Encoder
  heads: Sequential

  constructor(sizes: ViTSizes, { numClasses = 1000, inChannels = 3 }: ModelOptions = {}) {
    super()
    const { imageSize, patchSize, hidden } = sizes
    if (imageSize % patchSize !== 0)
      fail(`VisionTransformer: patches of ${patchSize} do not divide an image of ${imageSize}`)
    this.imageSize = imageSize
    this.class_token = new Parameter(zeros([1, 1, hidden]))
    this.conv_proj = new Conv2d(inChannels, hidden, patchSize, { stride: patchSize })
    const std = Math.sqrt(1 / init.fans(this.conv_proj.weight.shape).fanIn)
    init.truncNormal(this.conv_proj.weight, { std })
    zeroBias(this.conv_proj)
    this.encoder = new Encoder((imageSize / patchSize) ** 2 + 1, sizes)
    const head = new Linear(hidden, numClasses)
    init.zeros(head.weight)
    zeroBias(head)
    this.heads = new Sequential({ head })
  }

  forward(images: Tensor): Tensor {
    const size = this.imageSize
    if (images.shape[2] !== size || images.shape[3] !== size)
      fail(`VisionTransformer: the images ${showShape(images.shape)} must be ${size}×${size}`)
    const patches = this.conv_proj.forward(images).flatten(2).transpose(1, 2) // [N, L − 1, hidden]
    const [n, , hidden] = patches.shape
    const tokens = concat([this.class_token.expand(n, 1, hidden), patches], 1) // [N, L, hidden]
    const x = this.encoder.forward(tokens)
    return this.heads.forward(x.slice(0, 1, { dim: 1 }).squeeze(1))
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
