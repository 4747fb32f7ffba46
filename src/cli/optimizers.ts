// The optimizers the command line knows.

import { Adam, AdamW, Lion, type Optimizer, RMSprop, SGD } from '../optim/index.js'
import type { Parameter } from '../tensor/parameter.js'

export const optimizerNames = ['sgd', 'adam', 'adamw', 'rmsprop', 'lion'] as const
export type OptimizerName = (typeof optimizerNames)[number]

interface Settings {
  readonly lr: number
  readonly momentum: number
  readonly weightDecay: number
}

/** `momentum` is that of SGD and RMSprop alone. */
export const optimizers: {
  readonly [N in OptimizerName]: (parameters: readonly Parameter[], settings: Settings) => Optimizer
} = {
  sgd: (parameters, settings) => new SGD(parameters, settings),
  adam: (parameters, { lr, weightDecay }) => new Adam(parameters, { lr, weightDecay }),
  adamw: (parameters, { lr, weightDecay }) => new AdamW(parameters, { lr, weightDecay }),
  rmsprop: (parameters, settings) => new RMSprop(parameters, settings),
  lion: (parameters, { lr, weightDecay }) => new Lion(parameters, { lr, weightDecay }),
}
