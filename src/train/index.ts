export { type EarlyStoppingOptions, earlyStopping, historyLog } from './callbacks.js'
export { type CeilingOptions, type Ceilings, measureCeilings } from './ceilings.js'
export {
  bestCheckpoint,
  type Checkpoint,
  type CheckpointOptions,
  latestCheckpoint,
  loadCheckpoint,
  type Progress,
  type Resumable,
  type Score,
  saveCheckpoint,
  type Trained,
} from './checkpoint.js'
export {
  type CalibrationBin,
  type ClassFigures,
  type ClassificationReport,
  classificationReport,
  type ReportOptions,
} from './classification.js'
export { type Batches, type EvaluateOptions, evaluate, evaluator, type Loss } from './evaluate.js'
export type {
  Callback,
  CallbackState,
  EpochEvent,
  History,
  LoadedCallbackState,
  Monitor,
  Run,
  StepEvent,
} from './events.js'
export type { FileSystem, OpenFile } from './files.js'
export {
  type CheckpointPlan,
  type FitOptions,
  fit,
  type ProfilePlan,
  type TrainingBatches,
} from './fit.js'
export { findLearningRate, type LrCurve, type LrFinderOptions } from './lr-finder.js'
export { accuracy, type Metric, meanOf, topK, type Values } from './metrics.js'
export { type Confusion, confusion, predict } from './predict.js'
export {
  type Cost,
  type KernelCost,
  type LayerCost,
  type Profile,
  profileOf,
  shareOfCeiling,
  type Watch,
  watchRuns,
} from './profile.js'
export type { Runs } from './timed.js'
export type { Trace, TraceEvent } from './trace.js'
export { gradualUnfreezing, type UnfreezingStage } from './unfreezing.js'
