// The package `burnish`: tensors, parameters, gradients, compile, and devices.
export type { DType, TypedArray } from './base/dtype.js'
export { BurnishError } from './base/errors.js'
export type { Shape } from './base/shape.js'
export { grad, noGrad } from './tensor/backward.js'
export { compile } from './tensor/compile.js'
export { bincount, bucketize, histc, unique } from './tensor/counting.js'
export {
  arange,
  eye,
  full,
  fullLike,
  type HostData,
  linspace,
  logspace,
  meshgrid,
  ones,
  onesLike,
  scalar,
  type TensorOptions,
  tensor,
  zeros,
  zerosLike,
} from './tensor/create.js'
export {
  closeDevices,
  currentDevice,
  type DeviceOptions,
  setDevice,
  withDevice,
} from './tensor/devices.js'
export { Parameter, type ParameterOptions } from './tensor/parameter.js'
export { cdist, einsum, kron, outer, tensordot } from './tensor/products.js'
export {
  bernoulli,
  manualSeed,
  multinomial,
  rand,
  randint,
  randLike,
  randn,
  randnLike,
  randperm,
} from './tensor/random.js'
export { type Carry, type ScanOptions, scan } from './tensor/scan.js'
export { keep, type StepOptions, step } from './tensor/submit.js'
export { concat, type Index, type Operand, slice, stack, Tensor, where } from './tensor/tensor.js'
