// What a training run can be told: one table from which come the flags of `burnish train`, the fields of a recipe
// file, their checks, and the recipe that a run leaves in its folder. A field and its flag have one name.
import { InvalidArgumentError } from 'commander'
import { type OptimizerName, optimizerNames } from './optimizers.js'
import { fraction, number, positive, whole } from './values.js'

/** Everything a run can be told; what is left out comes from the model's recipe and the data set. */
export interface Settings {
  readonly model?: string
  readonly data?: string
  readonly epochs?: number
  readonly batchSize?: number
  readonly optimizer?: OptimizerName
  readonly lr?: number
  readonly momentum?: number
  readonly weightDecay?: number
  readonly warmup?: number
  readonly mean?: number
  readonly std?: number
  readonly seed?: number
  readonly limit?: number
  readonly holdOut?: number
  readonly saveEvery?: number
  readonly keep?: number
  readonly device?: string
  readonly threads?: number
  readonly tier?: Tier
  readonly out?: string
}

export const tiers = ['wasm', 'native', 'auto'] as const
export type Tier = (typeof tiers)[number]

export interface Field {
  readonly key: keyof Settings
  /** As a flag without its dashes, and as a field of a recipe. */
  readonly name: string
  readonly placeholder: string
  readonly about: string
  readonly kind: 'number' | 'text'
  /** The allowed words, where there are few. */
  readonly choices?: readonly string[]
  /** The value of a text; throws InvalidArgumentError with the rule. */
  readonly read: (text: string) => number | string
}

const text = (value: string): string => {
  if (value.trim() === '') throw new InvalidArgumentError('It must not be empty.')
  return value
}

const of =
  (choices: readonly string[]) =>
  (value: string): string => {
    if (!choices.includes(value))
      throw new InvalidArgumentError(`Allowed choices are ${choices.join(', ')}.`)
    return value
  }

type Rest = Pick<Field, 'placeholder' | 'about'>
const asNumber = (key: keyof Settings, read: Field['read'], rest: Rest): Field => ({
  ...{ key, name: dashed(key), kind: 'number', read },
  ...rest,
})
const asText = (key: keyof Settings, rest: Rest): Field => ({
  ...{ key, name: dashed(key), kind: 'text', read: text },
  ...rest,
})
const asChoice = (key: keyof Settings, choices: readonly string[], rest: Rest): Field => ({
  ...{ key, name: dashed(key), kind: 'text', read: of(choices), choices },
  ...rest,
})

function dashed(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

const finite = number(() => true, 'a number')

/** Fields of every command that runs a program. */
export const machineFields: readonly Field[] = [
  asChoice('device', ['cpu', 'reference'], {
    placeholder: '<name>',
    about: 'where it runs: cpu (default), or reference, which is exact and slow',
  }),
  asNumber('threads', whole(1), {
    placeholder: '<n>',
    about: 'threads of the cpu device (default: one a core)',
  }),
  asChoice('tier', tiers, {
    placeholder: '<name>',
    about:
      'what computes: WebAssembly, C compiled for this machine, or auto (default): C where it is ready within 3 s',
  }),
]

/** Fields of a training run, in the order of the help. */
export const trainFields: readonly Field[] = [
  asText('data', {
    placeholder: '<name>',
    about: 'mnist, fashion-mnist, or a folder with MNIST-like IDX files',
  }),
  asNumber('epochs', whole(1), {
    placeholder: '<n>',
    about: "times through the training images (default: the model's recipe)",
  }),
  asNumber('batchSize', whole(1), { placeholder: '<n>', about: 'images a step' }),
  asChoice('optimizer', optimizerNames, {
    placeholder: '<name>',
    about: `how weights are updated: ${optimizerNames.join(', ')}`,
  }),
  asNumber('lr', positive, {
    placeholder: '<rate>',
    about: 'highest learning rate; it rises at first, then falls to 0',
  }),
  asNumber('momentum', fraction, { placeholder: '<m>', about: 'of sgd and rmsprop' }),
  asNumber('weightDecay', fraction, { placeholder: '<w>', about: 'pulls weights towards 0' }),
  asNumber('warmup', fraction, {
    placeholder: '<share>',
    about: 'the part of the run in which the learning rate rises',
  }),
  asNumber('mean', finite, {
    placeholder: '<m>',
    about: "pixels become (byte / 255 − mean) / std (default: the data set's own)",
  }),
  asNumber('std', positive, { placeholder: '<s>', about: 'see --mean' }),
  asNumber('seed', whole(0), {
    placeholder: '<n>',
    about: 'decides initial weights and the order of images (default: 0)',
  }),
  asNumber('limit', whole(1), {
    placeholder: '<n>',
    about: 'only the first n training and test images, for a quick look',
  }),
  asNumber('holdOut', whole(1), {
    placeholder: '<n>',
    about: 'test on n training images held back, instead of on the test set',
  }),
  asText('out', {
    placeholder: '<dir>',
    about: 'keep the run there: recipe, checkpoints, model; never over an older run',
  }),
  asNumber('saveEvery', whole(1), {
    placeholder: '<steps>',
    about: 'a checkpoint each so many steps too, not only at the end of an epoch',
  }),
  asNumber('keep', whole(1), {
    placeholder: '<k>',
    about: 'checkpoints kept beside the best one (default: 2)',
  }),
  ...machineFields,
]

/** Fields of a recipe file: the model, and everything that has a flag. */
export const recipeFields: readonly Field[] = [
  asText('model', { placeholder: '<model>', about: 'what is trained' }),
  ...trainFields,
]
