// Encoder and decoder layers, stacks of them, and the whole Transformer, with the parameters, names and defaults of
// torch.nn.Transformer (Vaswani et al. 2017). A stack is given a function that makes a layer, where PyTorch copies one.
import { full } from '../../tensor/create.js'
import type { Tensor } from '../../tensor/tensor.js'
import { ModuleList } from '../containers.js'
import { type ActivationName, activationOf } from '../functional/activation-names.js'
import * as init from '../init.js'
import { Module } from '../module.js'
import { MultiheadAttention } from './attention.js'
import { Dropout } from './dropout.js'
import { Linear, positive } from './linear.js'
import { LayerNorm } from './normalization.js'

/** Options of a layer of the encoder or decoder; the words are PyTorch's. */
export interface TransformerLayerOptions {
  /** Features inside of the perceptron. Default 2048. */
  readonly dimFeedforward?: number
  /** Default 0.1: of attention weights, inside of the perceptron, and of what each branch adds. */
  readonly dropout?: number
  /** Default relu. */
  readonly activation?: ActivationName | ((x: Tensor) => Tensor)
  readonly layerNormEps?: number
  /** Inputs are [N, length, E]; by default [length, N, E]. */
  readonly batchFirst?: boolean
  /** Branches are normalised before they are computed, not after they were added. Default false. */
  readonly normFirst?: boolean
  readonly bias?: boolean
}

/** What the encoder's positions may not see. Masks as in MultiheadAttention: true in a bool mask hides. */
export interface EncoderMasks {
  /** [S, S], or [N·heads, S, S]. */
  readonly srcMask?: Tensor
  /** [N, S] */
  readonly srcKeyPaddingMask?: Tensor
  readonly isCausal?: boolean
}

/** What the decoder's positions may not see, in the target and in the encoder's memory. */
export interface DecoderMasks {
  /** [T, T], or [N·heads, T, T]. */
  readonly tgtMask?: Tensor
  /** [T, S], or [N·heads, T, S]. */
  readonly memoryMask?: Tensor
  /** [N, T] */
  readonly tgtKeyPaddingMask?: Tensor
  /** [N, S] */
  readonly memoryKeyPaddingMask?: Tensor
  readonly tgtIsCausal?: boolean
  readonly memoryIsCausal?: boolean
}

/** Masks of a whole Transformer. */
export interface TransformerMasks extends DecoderMasks {
  readonly srcMask?: Tensor
  readonly srcKeyPaddingMask?: Tensor
  readonly srcIsCausal?: boolean
}

/**
 * Self-attention and a perceptron, each added to what it saw: [S, N, dModel] → the same. After
 * torch.nn.TransformerEncoderLayer.
 */
export class TransformerEncoderLayer extends Module {
  selfAttn: MultiheadAttention
  linear1: Linear
  dropout: Dropout
  linear2: Linear
  norm1: LayerNorm
  norm2: LayerNorm
  dropout1: Dropout
  dropout2: Dropout
  readonly normFirst: boolean
  readonly #activation: (x: Tensor) => Tensor

  constructor(dModel: number, nhead: number, options: TransformerLayerOptions = {}) {
    super()
    const { dimFeedforward = 2048, dropout = 0.1, layerNormEps = 1e-5 } = options
    const { batchFirst = false, normFirst = false, bias = true, activation = 'relu' } = options
    this.selfAttn = new MultiheadAttention(dModel, nhead, { dropout, batchFirst, bias })
    this.linear1 = new Linear(dModel, dimFeedforward, { bias })
    this.dropout = new Dropout(dropout)
    this.linear2 = new Linear(dimFeedforward, dModel, { bias })
    this.norm1 = new LayerNorm(dModel, { eps: layerNormEps, bias })
    this.norm2 = new LayerNorm(dModel, { eps: layerNormEps, bias })
    this.dropout1 = new Dropout(dropout)
    this.dropout2 = new Dropout(dropout)
    this.normFirst = normFirst
    this.#activation = activationOf(activation, 'TransformerEncoderLayer: activation')
  }

  forward(src: Tensor, masks: EncoderMasks = {}): Tensor {
    const { norm1, norm2 } = this
    if (this.normFirst) {
      const x = src.add(this.#attention(norm1.forward(src), masks))
      return x.add(this.#feedforward(norm2.forward(x)))
    }
    const x = norm1.forward(src.add(this.#attention(src, masks)))
    return norm2.forward(x.add(this.#feedforward(x)))
  }

  #attention(x: Tensor, { srcMask, srcKeyPaddingMask, isCausal }: EncoderMasks): Tensor {
    const [seen] = this.selfAttn.forward(x, x, x, {
      attnMask: srcMask,
      keyPaddingMask: srcKeyPaddingMask,
      isCausal,
    })
    return this.dropout1.forward(seen)
  }

  #feedforward(x: Tensor): Tensor {
    const inner = this.dropout.forward(this.#activation(this.linear1.forward(x)))
    return this.dropout2.forward(this.linear2.forward(inner))
  }
}

/**
 * Self-attention, attention to the encoder's memory, and a perceptron: target [T, N, dModel] and memory [S, N, dModel]
 * → [T, N, dModel]. After torch.nn.TransformerDecoderLayer.
 */
export class TransformerDecoderLayer extends Module {
  selfAttn: MultiheadAttention
  multiheadAttn: MultiheadAttention
  linear1: Linear
  dropout: Dropout
  linear2: Linear
  norm1: LayerNorm
  norm2: LayerNorm
  norm3: LayerNorm
  dropout1: Dropout
  dropout2: Dropout
  dropout3: Dropout
  readonly normFirst: boolean
  readonly #activation: (x: Tensor) => Tensor

  constructor(dModel: number, nhead: number, options: TransformerLayerOptions = {}) {
    super()
    const { dimFeedforward = 2048, dropout = 0.1, layerNormEps = 1e-5 } = options
    const { batchFirst = false, normFirst = false, bias = true, activation = 'relu' } = options
    this.selfAttn = new MultiheadAttention(dModel, nhead, { dropout, batchFirst, bias })
    this.multiheadAttn = new MultiheadAttention(dModel, nhead, { dropout, batchFirst, bias })
    this.linear1 = new Linear(dModel, dimFeedforward, { bias })
    this.dropout = new Dropout(dropout)
    this.linear2 = new Linear(dimFeedforward, dModel, { bias })
    this.norm1 = new LayerNorm(dModel, { eps: layerNormEps, bias })
    this.norm2 = new LayerNorm(dModel, { eps: layerNormEps, bias })
    this.norm3 = new LayerNorm(dModel, { eps: layerNormEps, bias })
    this.dropout1 = new Dropout(dropout)
    this.dropout2 = new Dropout(dropout)
    this.dropout3 = new Dropout(dropout)
    this.normFirst = normFirst
    this.#activation = activationOf(activation, 'TransformerDecoderLayer: activation')
  }

  forward(tgt: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    const { norm1, norm2, norm3 } = this
    if (this.normFirst) {
      const x = tgt.add(this.#attention(norm1.forward(tgt), masks))
      const y = x.add(this.#lookUp(norm2.forward(x), memory, masks))
      return y.add(this.#feedforward(norm3.forward(y)))
    }
    const x = norm1.forward(tgt.add(this.#attention(tgt, masks)))
    const y = norm2.forward(x.add(this.#lookUp(x, memory, masks)))
    return norm3.forward(y.add(this.#feedforward(y)))
  }

  #attention(x: Tensor, { tgtMask, tgtKeyPaddingMask, tgtIsCausal }: DecoderMasks): Tensor {
    const [seen] = this.selfAttn.forward(x, x, x, {
      attnMask: tgtMask,
      keyPaddingMask: tgtKeyPaddingMask,
      isCausal: tgtIsCausal,
    })
    return this.dropout1.forward(seen)
  }

  #lookUp(x: Tensor, memory: Tensor, masks: DecoderMasks): Tensor {
    const [seen] = this.multiheadAttn.forward(x, memory, memory, {
      attnMask: masks.memoryMask,
      keyPaddingMask: masks.memoryKeyPaddingMask,
      isCausal: masks.memoryIsCausal,
    })
    return this.dropout2.forward(seen)
  }

  #feedforward(x: Tensor): Tensor {
    const inner = this.dropout.forward(this.#activation(this.linear1.forward(x)))
    return this.dropout3.forward(this.linear2.forward(inner))
  }
}

const made = <Layer>(layer: () => Layer, count: number, where: string): Layer[] =>
  Array.from({ length: positive(count, `${where}: numLayers`) }, layer)

/**
 * Layers one after the other, then `norm` where there is one; the masks go to every layer.
 *
 *     new nn.TransformerEncoder(() => new nn.TransformerEncoderLayer(512, 8, { batchFirst: true }), 6)
 */
export class TransformerEncoder extends Module {
  layers: ModuleList<TransformerEncoderLayer>
  norm: Module | undefined

  constructor(
    layer: () => TransformerEncoderLayer,
    numLayers: number,
    { norm }: { readonly norm?: Module } = {},
  ) {
    super()
    this.layers = new ModuleList(made(layer, numLayers, 'TransformerEncoder'))
    this.norm = norm
  }

  forward(src: Tensor, masks: EncoderMasks = {}): Tensor {
    let x = src
    for (const layer of this.layers) x = layer.forward(x, masks)
    return this.norm ? this.norm.forward(x) : x
  }
}

/** Layers one after the other, then `norm` where there is one; each looks at the same memory. */
export class TransformerDecoder extends Module {
  layers: ModuleList<TransformerDecoderLayer>
  norm: Module | undefined

  constructor(
    layer: () => TransformerDecoderLayer,
    numLayers: number,
    { norm }: { readonly norm?: Module } = {},
  ) {
    super()
    this.layers = new ModuleList(made(layer, numLayers, 'TransformerDecoder'))
    this.norm = norm
  }

  forward(tgt: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    let x = tgt
    for (const layer of this.layers) x = layer.forward(x, memory, masks)
    return this.norm ? this.norm.forward(x) : x
  }
}

/** Options of a whole Transformer. */
export interface TransformerOptions extends TransformerLayerOptions {
  /** Features of a position. Default 512. */
  readonly dModel?: number
  /** Default 8. */
  readonly nhead?: number
  /** Default 6. */
  readonly numEncoderLayers?: number
  readonly numDecoderLayers?: number
}

/**
 * Encoder and decoder, each with a norm at its end: source [S, N, dModel] and target [T, N, dModel] → [T, N, dModel];
 * embeddings and the last linear layer are the model's. Weights begin Glorot uniform. After torch.nn.Transformer.
 */
export class Transformer extends Module {
  encoder: TransformerEncoder
  decoder: TransformerDecoder

  constructor(options: TransformerOptions = {}) {
    super()
    const { dModel = 512, nhead = 8, numEncoderLayers = 6, numDecoderLayers = 6 } = options
    const norm = () =>
      new LayerNorm(dModel, { eps: options.layerNormEps ?? 1e-5, bias: options.bias ?? true })
    this.encoder = new TransformerEncoder(
      () => new TransformerEncoderLayer(dModel, nhead, options),
      numEncoderLayers,
      { norm: norm() },
    )
    this.decoder = new TransformerDecoder(
      () => new TransformerDecoderLayer(dModel, nhead, options),
      numDecoderLayers,
      { norm: norm() },
    )
    for (const parameter of this.parameters())
      if (parameter.shape.length > 1) init.xavierUniform(parameter)
  }

  forward(src: Tensor, tgt: Tensor, masks: TransformerMasks = {}): Tensor {
    const { srcMask, srcKeyPaddingMask, srcIsCausal: isCausal, ...target } = masks
    const memory = this.encoder.forward(src, { srcMask, srcKeyPaddingMask, isCausal })
    return this.decoder.forward(tgt, memory, target)
  }

  /** float [size, size]: −Infinity above the diagonal, else 0: a mask that hides what comes later. */
  static generateSquareSubsequentMask(size: number): Tensor {
    return full([size, size], -Infinity).triu(1)
  }
}
