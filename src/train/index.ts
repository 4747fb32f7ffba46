export { type Batches, type EvaluateOptions, evaluate, evaluator, type Loss } from './evaluate.js'
export { type EpochEvent, type FitOptions, fit, type History, type StepEvent } from './fit.js'
export { accuracy, type Metric, type Values } from './metrics.js'
