// Another head, other input channels, and the values of a checkpoint that fit: what makes a trained network one for
// another task.
import { fail } from '../base/errors.js'
import { Conv1d, Conv2d, Conv3d } from '../nn/layers/convolution.js'
import { Linear } from '../nn/layers/linear.js'
import type { HostValues, LoadReport } from '../nn/load.js'
import type { AnyModule } from '../nn/module.js'
import { zeros } from '../tensor/create.js'
import { Parameter } from '../tensor/parameter.js'
import { concat, type Tensor } from '../tensor/tensor.js'
import { globToRegExp, matches } from './select.js'

export type Conv = Conv1d | Conv2d | Conv3d

export const isConv = (module: AnyModule): module is Conv =>
  module instanceof Conv1d || module instanceof Conv2d || module instanceof Conv3d

/** What a new head is for. */
export interface HeadOptions {
  /** The path of the layer to replace, where it is not the last one: `classifier.6`. */
  readonly path?: string
  /**
   * How often each class occurs. The bias begins as the logarithms of these shares, so that the untrained head predicts
   * no rare class as often as a common one.
   */
  readonly prior?: readonly number[]
}

/** The layer that makes the result, and its path. */
export interface Head {
  readonly path: string
  readonly module: Linear | Conv
  /** The number of its outputs. */
  readonly outputs: number
}

const outputsOf = (module: Linear | Conv) =>
  module instanceof Linear ? module.outFeatures : module.outChannels

/**
 * The last linear layer or convolution of a model, which makes its result.
 * @throws BurnishError when there is none, or `path` names another kind of layer.
 */
export function headOf(model: AnyModule, path?: string): Head {
  const heads = model
    .namedModules()
    .filter((entry): entry is [string, Linear | Conv] => isHead(entry[1]))
  const found = path === undefined ? heads.at(-1) : heads.find(([name]) => name === path)
  if (found === undefined)
    throw fail(
      path === undefined
        ? `headOf: ${model.constructor.name} has no Linear and no convolution`
        : `headOf: ${path} is no Linear and no convolution of ${model.constructor.name}; the last is ${heads.at(-1)?.[0] ?? 'none'}`,
    )
  return { path: found[0], module: found[1], outputs: outputsOf(found[1]) }
}

const isHead = (module: AnyModule): module is Linear | Conv =>
  module instanceof Linear || isConv(module)

/**
 * Puts a new last layer into a model, with `classes` outputs and values of its own from the seed; auxiliary heads
 * (GoogLeNet, Inception) get new ones too. Returns the paths of what was replaced.
 *
 * @throws BurnishError when there is no layer to replace, or `prior` has another number of classes or a share of 0.
 */
export function replaceHead(
  model: AnyModule,
  classes: number,
  { path, prior }: HeadOptions = {},
): readonly string[] {
  if (!Number.isInteger(classes) || classes < 1)
    fail(`replaceHead: ${classes} classes, but there must be a whole number from 1`)
  if (prior !== undefined && (prior.length !== classes || prior.some((share) => !(share > 0))))
    fail(
      `replaceHead: prior is ${prior.join(', ')}, but must have a share above 0 for each of ${classes} classes`,
    )
  const head = headOf(model, path)
  const auxiliary = model
    .namedModules()
    .filter(
      (entry): entry is [string, Linear | Conv] =>
        /(^|\.)aux/i.test(entry[0]) && isHead(entry[1]) && outputsOf(entry[1]) === head.outputs,
    )
  const replaced = [...auxiliary.map(([name]) => name), head.path]
  for (const name of replaced) {
    const old = headOf(model, name).module
    const fresh = freshHead(old, classes)
    if (prior !== undefined && fresh.bias !== undefined) {
      const all = prior.reduce((sum, share) => sum + share, 0)
      fresh.bias.set(Float32Array.from(prior, (share) => Math.log(share / all)))
    }
    model.setSubmodule(name, fresh)
  }
  return replaced
}

function freshHead(old: Linear | Conv, classes: number): Linear | Conv {
  const bias = old.bias !== undefined
  if (old instanceof Linear) return new Linear(old.inFeatures, classes, { bias })
  const Kind = old.constructor as new (...given: ConstructorParameters<typeof Conv2d>) => Conv
  return new Kind(old.inChannels, classes, old.kernelSize, { ...old.options, bias })
}

/**
 * Lets a model take pictures (or sounds) with another number of channels and keeps what its first convolution knows:
 * for one channel its kernels are summed over the channels they had, for two the first two count 1.5 times, and
 * channels beyond those begin at 0. After fastai's `_load_pretrained_weights`. Returns the convolution's path.
 *
 * @throws BurnishError when the first convolution is grouped, or there is none.
 */
export function adaptInput(model: AnyModule, channels: number): string {
  if (!Number.isInteger(channels) || channels < 1)
    fail(`adaptInput: ${channels} channels, but there must be a whole number from 1`)
  const found = model.namedModules().find(([, module]) => isConv(module))
  if (found === undefined) throw fail(`adaptInput: ${model.constructor.name} has no convolution`)
  const [path, old] = found as readonly [string, Conv]
  if ((old.options.groups ?? 1) !== 1)
    fail(`adaptInput: ${path} has ${old.options.groups} groups: its channels cannot be changed`)
  if (old.inChannels === channels) return path
  const Kind = old.constructor as new (...given: ConstructorParameters<typeof Conv2d>) => Conv
  const bias = old.bias !== undefined
  const fresh = new Kind(channels, old.outChannels, old.kernelSize, { ...old.options, bias })
  fresh.weight = new Parameter(adapted(old.weight, channels).detach())
  if (old.bias) fresh.bias = old.bias
  fresh.weight.trainable = old.weight.trainable
  fresh.staysInEval = old.staysInEval
  model.setSubmodule(path, fresh)
  return path
}

/** [out, in, …] → [out, channels, …] */
function adapted(weight: Tensor, channels: number): Tensor {
  const had = weight.shape[1]
  if (channels === 1) return weight.sum(1, { keepdim: true })
  if (channels < had) return weight.slice(0, channels, { dim: 1 }).mul(had / channels)
  const rest = [...weight.shape]
  rest[1] = channels - had
  return concat([weight, zeros(rest)], 1)
}

/**
 * Loads the values of a checkpoint into a model for another task. `except` lists globs of what may differ, such as the
 * head: what does not fit there keeps the model's values. All else must fit, or nothing is loaded; the report says what
 * matched, what is missing or unexpected, and what has another shape.
 *
 *     const report = loadPartial(model, checkpoint, ['fc'])
 *
 * @throws BurnishError listing everything outside `except` that does not fit.
 */
export function loadPartial(
  model: AnyModule,
  values: { readonly [name: string]: Tensor | HostValues },
  except: readonly string[] = [],
): LoadReport {
  const globs = except.map(globToRegExp)
  return model.loadStateDict(values, {
    except: (name) => globs.some((glob) => matches(glob, name)),
  })
}
