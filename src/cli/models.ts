// The models the command line knows, each with the recipe it is trained by when no option says otherwise.
import { LeNet } from '../models/lenet.js'
import type { Module } from '../nn/module.js'
import type { OptimizerName } from './optimizers.js'

export interface Recipe {
  readonly epochs: number
  readonly batchSize: number
  readonly optimizer: OptimizerName
  readonly lr: number
  readonly momentum: number
  readonly weightDecay: number
  /** The part of the run in which the learning rate rises; then it falls to 0 along a cosine. */
  readonly warmup: number
  /** Pixels become (byte / 255 − mean) / std: MNIST's own mean and deviation. */
  readonly mean: number
  readonly std: number
}

export interface KnownModel {
  readonly name: string
  readonly about: string
  make(): Module
  /** Shape of one input, and the number of classes. */
  readonly input: readonly number[]
  readonly classes: number
  readonly recipe: Recipe
}

export const models: { readonly [name: string]: KnownModel } = {
  lenet: {
    name: 'LeNet',
    about: 'LeNet-5 with ReLU and max pooling, 28×28 grey images, 10 classes',
    make: () => new LeNet(),
    input: [1, 28, 28],
    classes: 10,
    // Chosen on 5,000 held-back training digits: scripts/search-recipe.mjs; results in scripts/search-recipe.json.
    recipe: {
      epochs: 6,
      batchSize: 64,
      optimizer: 'sgd',
      lr: 0.05,
      momentum: 0.9,
      weightDecay: 0,
      warmup: 0.2,
      mean: 0.1307,
      std: 0.3081,
    },
  },
}
