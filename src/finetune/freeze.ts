// Freezing: parameters that are not trained, in modules that stay in evaluation mode.
//
// Frozen means: no gradient, no state in the optimizer, batch norm with its running statistics (which do not move),
// dropout off. Without the second half "frozen" layers drift: the running statistics of the new task replace those the
// weights were trained with. After Keras' `trainable = false`; fastai's `train_bn` is `trainNorm`.
import { sizeOf } from '../base/shape.js'
import * as norms from '../nn/layers/normalization.js'
import type { AnyModule } from '../nn/module.js'
import { ownParameters, type Selector, select } from './select.js'

/** How `freeze` treats normalisation. */
export interface FreezeOptions {
  /** Leaves normalisation layers trained and in training mode, as fastai does by default. Default false. */
  readonly trainNorm?: boolean
}

/** How many values of a model are trained. */
export interface Trained {
  readonly trainable: number
  readonly frozen: number
}

const NORMS = [
  norms.BatchNorm1d,
  norms.BatchNorm2d,
  norms.BatchNorm3d,
  norms.GroupNorm,
  norms.InstanceNorm1d,
  norms.InstanceNorm2d,
  norms.InstanceNorm3d,
  norms.LayerNorm,
  norms.RMSNorm,
] as const

/** Whether a module is one that normalises. */
export function isNorm(module: AnyModule): boolean {
  return NORMS.some((norm) => module instanceof norm)
}

// What parameters alone do not tell: modules without any that were frozen by name, and norms that were left out.
const named = new WeakSet<AnyModule>()
const exempt = new WeakSet<AnyModule>()

/**
 * Freezes what a selector means: by default everything. A module all of whose parameters are frozen goes into
 * evaluation mode with all it contains, and stays there until unfrozen. Returns how many values are trained now.
 *
 *     freeze(model)                          // everything …
 *     unfreeze(model, 'classifier')          // … but the head
 *     freeze(model, ['conv1', 'layer{1,2}'], { trainNorm: true })
 *
 * @throws BurnishError when a glob means nothing.
 */
export function freeze(
  model: AnyModule,
  selector: Selector = '**',
  { trainNorm = false }: FreezeOptions = {},
): Trained {
  const { parameters, modules } = select(model, selector, 'freeze')
  const left = new Set(
    trainNorm
      ? model
          .modules()
          .filter(isNorm)
          .flatMap((norm) => norm.parameters())
      : [],
  )
  for (const parameter of parameters.values()) parameter.trainable = left.has(parameter)
  const selected = new Set(parameters.values())
  for (const module of model.modules().filter(isNorm)) {
    if (trainNorm) exempt.add(module)
    else if (module.parameters().some((parameter) => selected.has(parameter))) exempt.delete(module)
  }
  settle(model)
  // What has parameters follows from them, and so does what is in it.
  for (const module of modules)
    if (module.parameters().length === 0 && !module.staysInEval) named.add(module)
  settle(model)
  return trained(model)
}

/**
 * Trains what a selector means again: by default everything. Modules with anything to train go back to the mode the
 * model is in. Optimizers may have had the parameters in their groups all along; those have no state yet.
 */
export function unfreeze(model: AnyModule, selector: Selector = '**'): Trained {
  const { parameters, modules } = select(model, selector, 'unfreeze')
  for (const parameter of parameters.values()) parameter.trainable = true
  for (const module of modules) named.delete(module)
  if (selector === '**') for (const module of model.modules()) named.delete(module)
  settle(model)
  return trained(model)
}

/** Values that are trained, and that are not. */
export function trained(model: AnyModule): Trained {
  let trainable = 0
  let frozen = 0
  for (const parameter of model.parameters()) {
    const size = sizeOf(parameter.shape)
    if (parameter.trainable) trainable += size
    else frozen += size
  }
  return { trainable, frozen }
}

/** Freezes each module all of whose parameters are frozen, or that was named, with all it contains. */
function settle(model: AnyModule): void {
  const visit = (module: AnyModule, above: boolean) => {
    const open = exempt.has(module)
    const counted = module.modules().filter((below) => !exempt.has(below))
    const parameters = open ? [] : counted.flatMap(ownParameters)
    const still = parameters.length > 0 && parameters.every((parameter) => !parameter.trainable)
    module.staysInEval = !open && (above || still || named.has(module))
    for (const child of module.children()) visit(child, module.staysInEval)
  }
  visit(model, false)
}
