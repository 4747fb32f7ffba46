// burnish/nn: the functions, named as in torch.nn.functional.
export {
  celu,
  elu,
  gelu,
  glu,
  gumbelSoftmax,
  hardshrink,
  hardsigmoid,
  hardswish,
  hardtanh,
  leakyRelu,
  logSigmoid,
  logSoftmax,
  mish,
  prelu,
  type RReLUOptions,
  relu,
  relu6,
  rrelu,
  selu,
  sigmoid,
  silu,
  softmax,
  softmin,
  softplus,
  softshrink,
  softsign,
  tanhshrink,
  threshold,
} from './functional/activation.js'
export type { ActivationName } from './functional/activation-names.js'
export { type AttentionOptions, scaledDotProductAttention } from './functional/attention.js'
export {
  type ConvOptions,
  type ConvTransposeOptions,
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
} from './functional/convolution.js'
export { type CTCOptions, ctcLoss, type Lengths } from './functional/ctc.js'
export {
  cosineSimilarity,
  normalize,
  type PairwiseDistanceOptions,
  pairwiseDistance,
} from './functional/distance.js'
export * from './functional/dropout.js'
export { type FocalOptions, sigmoidFocalLoss } from './functional/focal.js'
export * from './functional/fold.js'
export * from './functional/linear.js'
export * from './functional/loss.js'
export * from './functional/margin.js'
export * from './functional/normalization.js'
export {
  type PaddingMode,
  pad,
} from './functional/padding.js'
export {
  type AvgPoolOptions,
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveAvgPool3d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  adaptiveMaxPool3d,
  avgPool1d,
  avgPool2d,
  avgPool3d,
  lpPool1d,
  lpPool2d,
  type MaxPoolOptions,
  maxPool1d,
  maxPool1dWithIndices,
  maxPool2d,
  maxPool2dWithIndices,
  maxPool3d,
  maxPool3dWithIndices,
  maxUnpool1d,
  maxUnpool2d,
  maxUnpool3d,
  type Pooled,
  type Unpooling,
} from './functional/pooling.js'
export * from './functional/resize.js'
