// The package `burnish`: tensors, parameters, gradients, compile, and devices.
export type { DType, TypedArray } from './base/dtype.js'
export { BurnishError } from './base/errors.js'
export type { Shape } from './base/shape.js'
export { grad, noGrad } from './tensor/backward.js'
export { compile } from './tensor/compile.js'
export {
  arange,
  eye,
  full,
  type HostData,
  ones,
  scalar,
  type TensorOptions,
  tensor,
  zeros,
} from './tensor/create.js'
export {
  closeDevices,
  currentDevice,
  type DeviceOptions,
  setDevice,
  withDevice,
} from './tensor/devices.js'
export { Parameter, type ParameterOptions } from './tensor/parameter.js'
export { manualSeed, rand, randint, randn } from './tensor/random.js'
export { keep, type StepOptions, step } from './tensor/submit.js'
export { concat, type Operand, stack, Tensor, where } from './tensor/tensor.js'
