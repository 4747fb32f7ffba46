// burnish/optim: optimizers, limits on gradients, learning-rate schedules.
export {
  Adam,
  Adamax,
  type AdamOptions,
  AdamW,
  type DecoupledOptions,
  Lion,
  type LionOptions,
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
export { type AverageOptions, ExponentialMovingAverage } from './average.js'
export { clipGradNorm, clipGradValue } from './clip.js'
export { LBFGS, type LBFGSOptions } from './lbfgs.js'
export { OneCycleLR, type OneCycleOptions } from './onecycle.js'
export { type Given, type Group, type GroupOptions, Optimizer } from './optimizer.js'
export { type PlateauOptions, type PlateauState, ReduceLROnPlateau } from './plateau.js'
export type { BaseOptions, DecayOptions } from './rule.js'
export {
  ConstantLR,
  CosineAnnealingLR,
  CosineAnnealingWarmRestarts,
  cosineWithWarmup,
  ExponentialLR,
  LambdaLR,
  LinearLR,
  LRScheduler,
  linearWithWarmup,
  MultiStepLR,
  PolynomialLR,
  type Scheduled,
  type SchedulerState,
  SequentialLR,
  StepLR,
} from './schedules.js'
export { SGD, type SGDOptions } from './sgd.js'
export type { LoadableState, OptimizerState, OptimizerValues } from './state.js'
