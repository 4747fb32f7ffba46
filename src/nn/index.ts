// burnish/nn: modules and functions, with PyTorch's names.
export * from './containers.js'
export * from './functional.js'
export * as init from './init.js'
export * from './layers/activation.js'
export * from './layers/convolution.js'
export * from './layers/dropout.js'
export * from './layers/linear.js'
export * from './layers/loss.js'
export * from './layers/normalization.js'
export * from './layers/padding.js'
export * from './layers/pooling.js'
export * from './layers/resize.js'
export {
  type AnyModule,
  type ForwardHook,
  type ForwardPreHook,
  type HostValues,
  type LoadReport,
  Module,
  type StateDict,
} from './module.js'
