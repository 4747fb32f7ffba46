// Gradual unfreezing: a callback of fit that trains more layers from an epoch on (Howard and Ruder 2018, ULMFiT).
import { fail } from '../base/errors.js'
import { type Selector, unfreeze } from '../finetune/index.js'
import type { Callback, Run } from './events.js'

/** What is trained from the beginning of an epoch on. */
export interface UnfreezingStage {
  /** From 1. */
  readonly epoch: number
  readonly unfreeze: Selector
}

/**
 * Unfreezes parts of the model at the beginning of epochs. The optimizer has all parameters in its groups from the
 * start (`parameterGroups` gives them so): what is frozen has no state there, and moments of the others stay. Which
 * parts are trained follows from the epoch alone, so a resumed run needs nothing more.
 *
 *     freeze(model); unfreeze(model, 'fc')
 *     await fit(model, loader, { epochs: 5, optimizer, callbacks: [
 *       gradualUnfreezing([{ epoch: 2, unfreeze: 'layer4' }, { epoch: 4, unfreeze: '**' }]),
 *     ] })
 */
export function gradualUnfreezing(stages: readonly UnfreezingStage[]): Callback {
  for (const { epoch } of stages)
    if (!Number.isInteger(epoch) || epoch < 1)
      fail(`gradualUnfreezing: epoch ${epoch} is not a whole number of 1 or more`)
  const begin = (epoch: number, { model }: Run) => {
    for (const stage of stages) if (stage.epoch <= epoch) unfreeze(model, stage.unfreeze)
  }
  return {
    onStart: (run) => begin(run.history.length + 1, run),
    onEpochEnd: ({ epoch }, run) => begin(epoch + 1, run),
  }
}
