// A small problem and every optimizer with options of its own, for the suites of `optim`.
import * as optim from '../src/optim/index.js'
import { tensor } from '../src/tensor/create.js'
import { Parameter } from '../src/tensor/parameter.js'
import { uniform } from './support.js'

export const SHAPE = [4, 3]
export const made = (name: string) => tensor(uniform(name, SHAPE), { shape: SHAPE })
export const targets = Array.from({ length: 5 }, (_, k) => made(`state/t${k}`))
export const fresh = (name: string) => new Parameter(made(name))
export const lossOf = (p: Parameter, k: number) =>
  p
    .sub(targets[k % 5])
    .square()
    .sum()

export const makers: { readonly [name: string]: (p: readonly Parameter[]) => optim.Optimizer } = {
  SGD: (p) => new optim.SGD(p, { lr: 0.05, momentum: 0.9, dampening: 0.1, weightDecay: 0.01 }),
  Adam: (p) => new optim.Adam(p, { lr: 0.05, weightDecay: 0.1, amsgrad: true }),
  AdamW: (p) => new optim.AdamW(p, { lr: 0.05, weightDecay: 0.1 }),
  RMSprop: (p) => new optim.RMSprop(p, { momentum: 0.5, centered: true, weightDecay: 0.1 }),
  Adagrad: (p) => new optim.Adagrad(p, { lr: 0.1, lrDecay: 0.1, initialAccumulatorValue: 0.5 }),
  Adadelta: (p) => new optim.Adadelta(p, { weightDecay: 0.1 }),
  Adamax: (p) => new optim.Adamax(p, { lr: 0.05 }),
  NAdam: (p) => new optim.NAdam(p, { lr: 0.05, weightDecay: 0.1, decoupledWeightDecay: true }),
  RAdam: (p) => new optim.RAdam(p, { lr: 0.05, weightDecay: 0.1 }),
  Lion: (p) => new optim.Lion(p, { lr: 0.01, weightDecay: 0.1 }),
}
