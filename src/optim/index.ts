// burnish/optim: optimizers, limits on gradients, learning-rate schedules.
export {
  Adam,
  Adamax,
  type AdamOptions,
  AdamW,
  type MomentOptions,
  NAdam,
  type NAdamOptions,
  RAdam,
} from './adam.js'
export {
  Adadelta,
  type AdadeltaOptions,
  Adagrad,
  type AdagradOptions,
  RMSprop,
  type RMSpropOptions,
} from './adaptive.js'
export { clipGradNorm, clipGradValue } from './clip.js'
export { type BaseOptions, type Group, type GroupOptions, Optimizer } from './optimizer.js'
export * from './schedules.js'
export { SGD, type SGDOptions } from './sgd.js'
