// The classes of layers that can be read: docs/tensorflow.md is made from this table.
import type { Tensor } from '../../tensor/tensor.js'
import { activationLayers, PReLU } from './activation.js'
import { AdditiveAttention, Attention, MultiHeadAttention } from './attention.js'
import {
  Convolution,
  DepthwiseConvolution,
  GlobalPooling,
  Pooling,
  SeparableConvolution,
  TransposedConvolution,
} from './convolution.js'
import {
  Cropping,
  Dense,
  EinsumDense,
  Embedding,
  Flatten,
  Identity,
  Masking,
  Normalization,
  Permute,
  RepeatVector,
  Rescaling,
  Reshape,
  Resizing,
  UpSampling,
  ZeroPadding,
} from './core.js'
import type { LayerKind } from './layer.js'
import {
  AlphaDropout,
  Average,
  Concatenate,
  Dot,
  Dropout,
  GaussianDropout,
  GaussianNoise,
  Merge,
  SpatialDropout,
} from './merge.js'
import {
  BatchNormalization,
  GroupNormalization,
  LayerNormalization,
  RMSNormalization,
  UnitNormalization,
} from './normalization.js'
import { Bidirectional, GRU, LSTM, RNN, SimpleRNN, TimeDistributed } from './recurrent.js'

const inDimensions = (
  name: (rank: number) => string,
  kind: (rank: number) => LayerKind,
  ranks: readonly number[] = [1, 2, 3],
): { readonly [name: string]: LayerKind } =>
  Object.fromEntries(ranks.map((rank) => [name(rank), kind(rank)]))

const add = (a: Tensor, b: Tensor) => a.add(b)

/** By Keras's class names. */
export const layerTable: { readonly [className: string]: LayerKind } = {
  Dense,
  EinsumDense,
  Embedding,
  Masking,
  ...inDimensions((n) => `Conv${n}D`, Convolution),
  ...inDimensions((n) => `DepthwiseConv${n}D`, DepthwiseConvolution, [1, 2]),
  ...inDimensions((n) => `SeparableConv${n}D`, SeparableConvolution, [1, 2]),
  ...inDimensions((n) => `Conv${n}DTranspose`, TransposedConvolution),
  ...inDimensions(
    (n) => `MaxPooling${n}D`,
    (n) => Pooling('Max', n),
  ),
  ...inDimensions(
    (n) => `AveragePooling${n}D`,
    (n) => Pooling('Average', n),
  ),
  ...inDimensions(
    (n) => `GlobalMaxPooling${n}D`,
    (n) => GlobalPooling('Max', n),
  ),
  ...inDimensions(
    (n) => `GlobalAveragePooling${n}D`,
    (n) => GlobalPooling('Average', n),
  ),
  BatchNormalization,
  LayerNormalization,
  GroupNormalization,
  RMSNormalization,
  UnitNormalization,
  ...activationLayers,
  PReLU,
  Add: Merge('Add', add),
  Subtract: Merge('Subtract', (a, b) => a.sub(b), 2),
  Multiply: Merge('Multiply', (a, b) => a.mul(b)),
  Average,
  Maximum: Merge('Maximum', (a, b) => a.maximum(b)),
  Minimum: Merge('Minimum', (a, b) => a.minimum(b)),
  Concatenate,
  Dot,
  Flatten,
  Reshape,
  Permute,
  RepeatVector,
  ...inDimensions((n) => `ZeroPadding${n}D`, ZeroPadding),
  ...inDimensions((n) => `Cropping${n}D`, Cropping),
  ...inDimensions((n) => `UpSampling${n}D`, UpSampling),
  Resizing,
  Rescaling,
  Normalization,
  Dropout,
  ...inDimensions((n) => `SpatialDropout${n}D`, SpatialDropout),
  AlphaDropout,
  GaussianDropout,
  GaussianNoise,
  ActivityRegularization: Identity,
  Identity,
  SimpleRNN,
  LSTM,
  GRU,
  RNN,
  Bidirectional,
  TimeDistributed,
  MultiHeadAttention,
  Attention,
  AdditiveAttention,
}

/** What is refused with a reason of its own. */
export const refusedLayers: { readonly [className: string]: string } = {
  Lambda:
    'it holds code, which is never run; write the layer in TypeScript and load the weights by name',
  TFOpLambda: 'it stands for a TensorFlow function; save the model as a TensorFlow.js graph model',
  SlicingOpLambda: 'it stands for a slice; save the model as a TensorFlow.js graph model',
  ConvLSTM2D: 'convolutional recurrence is not covered',
  StringLookup: 'it computes with strings, which networks do outside',
  TextVectorization: 'it computes with strings, which networks do outside',
}
