// Optimizers and schedules against PyTorch's trajectories: 20 steps on a small problem. PyTorch's are float64;
// ours round parameters and state to float32 after each step.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as optim from '../src/optim/index.js'
import { compile } from '../src/tensor/compile.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { Parameter } from '../src/tensor/parameter.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { difference, goldenJson, uniform } from './support.js'

interface Golden {
  readonly optimizers: readonly {
    readonly name: string
    readonly args: { readonly [name: string]: number | boolean }
    readonly params: readonly (readonly number[])[]
  }[]
  readonly schedules: readonly {
    readonly name: string
    readonly base_lr: number
    readonly lrs: readonly number[]
  }[]
}

const golden = goldenJson<Golden>('optim.json')
const STEPS = 20
const SHAPE = [4, 3]

const kinds = {
  SGD: optim.SGD,
  Adam: optim.Adam,
  AdamW: optim.AdamW,
  RMSprop: optim.RMSprop,
  Adagrad: optim.Adagrad,
  Adadelta: optim.Adadelta,
  Adamax: optim.Adamax,
  NAdam: optim.NAdam,
  RAdam: optim.RAdam,
}

const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
const made = (name: string) => tensor(uniform(name, SHAPE), { shape: SHAPE })

const parameterOf = () => new Parameter(made('opt/p'))
/** The problem's loss in step k. */
function lossOf(p: Parameter, k: number) {
  const scale = made('opt/s').mul(0.5).add(1)
  return p
    .sub(made(`opt/t${k % 5}`))
    .square()
    .mul(scale)
    .sum()
}

for (const device of ['reference', 'cpu'])
  describe.skipIf(!golden)(`optimizers on ${device}`, () => {
    beforeAll(() => setDevice(device).then(() => undefined))
    afterAll(closeDevices)

    it.each(
      (golden?.optimizers ?? []).map(
        (entry) => [`${entry.name} ${JSON.stringify(entry.args)}`, entry] as const,
      ),
    )('%s', async (_, { name, args, params }) => {
      const p = parameterOf()
      const options = Object.fromEntries(Object.entries(args).map(([key, v]) => [camel(key), v]))
      const optimizer = new kinds[name as keyof typeof kinds]([p], options)
      for (let k = 0; k < STEPS; k++) {
        optimizer.zeroGrad()
        lossOf(p, k).backward()
        await optimizer.step()
        expect(difference(await p.data(), params[k], 2e-5), `step ${k}`).toBeUndefined()
      }
    })

    it('clipGradNorm scales to the norm, and returns the norm before', async () => {
      const p = parameterOf()
      const optimizer = new optim.SGD([p], { lr: 1 })
      lossOf(p, 0).backward()
      const norm = optim.clipGradNorm([p], 0.5)
      const before = await p.data()
      await optimizer.step()
      const after = await p.data()
      const moved = Math.hypot(...after.map((value, i) => value - before[i]))
      expect(moved).toBeCloseTo(0.5, 4)
      expect(await norm.item()).toBeGreaterThan(0.5)
    })

    it.each(['SGD', 'Adam', 'NAdam'] as const)(
      '%s with a schedule: the compiled loop gives the bits of the imperative one',
      async (name) => {
        const run = async (compiled: boolean) => {
          const p = parameterOf()
          const settings = { lr: 0.1, weightDecay: 0.01 }
          const optimizer = new kinds[name]([p], settings)
          const schedule = new optim.StepLR(optimizer, 2, { gamma: 0.5 })
          const body = (target: Tensor) => {
            optimizer.zeroGrad()
            const loss = p.sub(target).square().sum()
            loss.backward()
            void optimizer.step()
            return { loss }
          }
          const step = compiled ? compile(body) : async (target: Tensor) => body(target)
          const seen: number[] = []
          for (let k = 0; k < 6; k++) {
            const { loss } = await step(made(`opt/t${k % 5}`))
            seen.push(await loss.item(), ...(await p.data()))
            schedule.step()
          }
          return seen
        }
        expect(await run(true)).toEqual(await run(false))
      },
    )

    it('a learning rate changed between steps counts', async () => {
      const p = parameterOf()
      const optimizer = new optim.SGD([p], { lr: 0.1 })
      const before = await p.data()
      optimizer.lr = 0
      lossOf(p, 0).backward()
      await optimizer.step()
      expect(await p.data()).toEqual(before)
    })
  })

describe('optimizers', () => {
  it('refuse what cannot be trained', () => {
    const p = parameterOf()
    expect(() => new optim.SGD([])).toThrow('SGD: there are no parameters to train')
    expect(() => new optim.SGD([p, p])).toThrow(/given twice/)
    expect(() => new optim.Adam([p], { betas: [1, 0.9] })).toThrow(/betas\[0\] is 1/)
    expect(() => new optim.SGD([p], { lr: -1 })).toThrow(/lr is -1/)
    expect(() => new optim.SGD([p], { nesterov: true })).toThrow(/nesterov needs/)
    expect(() => new optim.SGD([p]).step()).toThrow(/no parameter has a gradient/)
  })

  it('take groups with their own options', () => {
    const [a, b] = [parameterOf(), parameterOf()]
    const sgd = new optim.SGD([{ parameters: [a] }, { parameters: [b], lr: 0.5 }], { lr: 0.1 })
    expect(sgd.groups.map((group) => group.options.lr)).toEqual([0.1, 0.5])
  })
})

const schedules: { readonly [name: string]: (o: optim.Optimizer) => optim.LRScheduler } = {
  StepLR: (o) => new optim.StepLR(o, 5, { gamma: 0.5 }),
  MultiStepLR: (o) => new optim.MultiStepLR(o, [4, 9]),
  ExponentialLR: (o) => new optim.ExponentialLR(o, 0.9),
  CosineAnnealingLR: (o) => new optim.CosineAnnealingLR(o, 15, { etaMin: 0.01 }),
  CosineAnnealingWarmRestarts: (o) => new optim.CosineAnnealingWarmRestarts(o, 5, { tMult: 2 }),
  OneCycleLR: (o) => new optim.OneCycleLR(o, 0.5, { totalSteps: STEPS }),
  LinearLR: (o) => new optim.LinearLR(o, { startFactor: 0.1, totalIters: 8 }),
  PolynomialLR: (o) => new optim.PolynomialLR(o, { totalIters: 15, power: 2 }),
}

describe.skipIf(!golden)('schedules', () => {
  it.each(golden?.schedules ?? [])('$name', ({ name, base_lr, lrs }) => {
    const optimizer = new optim.SGD([parameterOf()], { lr: base_lr })
    const schedule = schedules[name](optimizer)
    const rates = lrs.map((_, k) => {
      if (k > 0) schedule.step()
      return optimizer.lr
    })
    expect(difference(rates, lrs, 1e-9)).toBeUndefined()
  })

  it.each(golden?.schedules ?? [])('$name goes on from its state', ({ name, base_lr, lrs }) => {
    const first = new optim.SGD([parameterOf()], { lr: base_lr })
    const begun = schedules[name](first)
    for (let k = 0; k < 6; k++) begun.step()
    const state = JSON.parse(JSON.stringify(begun.stateDict()))
    // As when a run is resumed: the optimizer is made with its first rate, then gets the one it had.
    const optimizer = new optim.SGD([parameterOf()], { lr: base_lr })
    const schedule = schedules[name](optimizer)
    optimizer.loadStateDict(first.stateDict())
    schedule.loadStateDict(state)
    expect(optimizer.lr).toBe(first.lr)
    for (let k = 7; k < lrs.length; k++) {
      begun.step()
      schedule.step()
      expect(optimizer.lr).toBe(first.lr)
    }
  })
})
