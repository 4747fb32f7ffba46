// The models the command line knows, each with the recipe it is trained by when nothing says otherwise.
import { LeNet } from '../models/lenet.js'
import type { Module } from '../nn/module.js'
import type { OptimizerName } from './optimizers.js'

/** How a model is trained; pixels are scaled by the data set's own mean and deviation unless given. */
export interface Recipe {
  readonly epochs: number
  readonly batchSize: number
  readonly optimizer: OptimizerName
  readonly lr: number
  readonly momentum: number
  readonly weightDecay: number
  /** The part of the run in which the learning rate rises; then it falls to 0 along a cosine. */
  readonly warmup: number
}

export interface KnownModel {
  /** As one writes it on the command line, and as it is called in print. */
  readonly key: string
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
    key: 'lenet',
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
    },
  },
}
