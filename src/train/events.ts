// What a training run tells while it goes on, and the callbacks that listen.
import type { Module } from '../nn/module.js'
import type { Optimizer } from '../optim/optimizer.js'
import type { Parameter } from '../tensor/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Json } from './json.js'
import type { Values } from './metrics.js'
import type { Profile } from './profile.js'

export interface StepEvent {
  /** From 1. */
  readonly epoch: number
  readonly epochs: number
  /** Steps of this epoch done, and in it. */
  readonly step: number
  readonly steps: number
  /** The rate this step was made with: that of the optimizer's first group. */
  readonly lr: number
  /** Loss and metrics, means over the epoch so far. */
  readonly means: Values
  readonly samplesPerSecond: number
  readonly secondsLeft: number
}

export interface EpochEvent {
  /** From 1. */
  readonly epoch: number
  readonly train: Values
  /** Empty without validation batches. */
  readonly validation: Values
  /** Of the training steps alone. */
  readonly seconds: number
  readonly samplesPerSecond: number
}

export interface History {
  readonly epochs: readonly EpochEvent[]
  /** With `profile`: what the timed steps cost. */
  readonly profile?: Profile
}

/** A run as callbacks see it. */
export interface Run {
  readonly model: Module
  readonly optimizer: Optimizer
  readonly epochs: number
  /** The epochs that are done: at the start of a resumed run, those before. */
  readonly history: readonly EpochEvent[]
  readonly resumed: boolean
  /** Ends the run after this epoch. */
  stop(): void
}

/**
 * What listens to a run; every part is optional, and awaited. One with a state of its own, which a resumed run must
 * have back, gives it in `stateDict`: plain JSON, and tensors by name.
 */
export interface Callback {
  onStart?(run: Run): void | Promise<void>
  onStep?(event: StepEvent, run: Run): void | Promise<void>
  /** With `profile`: once, after the timed steps. */
  onProfile?(profile: Profile, run: Run): void | Promise<void>
  onEpochEnd?(event: EpochEvent, run: Run): void | Promise<void>
  /** After the last epoch, also one that `stop` made the last; not when the run fails or is aborted. */
  onEnd?(run: Run): void | Promise<void>
  stateDict?(): CallbackState
  loadStateDict?(state: LoadedCallbackState): void
}

export interface CallbackState {
  readonly values: Json
  readonly tensors?: { readonly [name: string]: Parameter }
}

export interface LoadedCallbackState {
  readonly values: Json
  readonly tensors: { readonly [name: string]: Tensor }
}

/** Which measurement decides: early stopping, the best checkpoint, a plateau. */
export interface Monitor {
  /** `loss` (default) or a metric's name: of the validation where there is one, else of the training. */
  readonly name?: string
  /** By default `lower` for names with `loss` or `error` in them, else `higher`. */
  readonly better?: 'lower' | 'higher'
}

/** The measurement of an epoch that `monitor` names; undefined where there is none. */
export function measurementOf(
  event: EpochEvent,
  { name = 'loss', better = /loss|error/i.test(name) ? 'lower' : 'higher' }: Monitor,
): { name: string; value: number; better: 'lower' | 'higher' } | undefined {
  const [from, values] =
    name in event.validation ? ['validation', event.validation] : ['train', event.train]
  return name in values ? { name: `${from} ${name}`, value: values[name], better } : undefined
}
