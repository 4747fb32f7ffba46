// Options that change without recompilation, and rules beyond the golden trajectories: in plain numbers, Lion, L-BFGS.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as optim from '../src/optim/index.js'
import { compile } from '../src/tensor/compile.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, currentRunner, setDevice } from '../src/tensor/devices.js'
import { Parameter } from '../src/tensor/parameter.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { fresh, lossOf, made, makers, targets } from './optim-cases.js'

beforeAll(async () => {
  await setDevice('cpu', { threads: 1 })
})
afterAll(closeDevices)

describe('options are arguments of the program', () => {
  const changes: { readonly [name: string]: object } = {
    SGD: { lr: 0.01, momentum: 0.8, dampening: 0.2, weightDecay: 0.3 },
    Adam: { lr: 0.01, betas: [0.8, 0.99], eps: 1e-3, weightDecay: 0.3 },
    AdamW: { lr: 0.01, betas: [0.8, 0.99], eps: 1e-3, weightDecay: 0.3 },
    RMSprop: { lr: 0.02, alpha: 0.9, eps: 1e-3, momentum: 0.4, weightDecay: 0.3 },
    Adagrad: { lr: 0.02, lrDecay: 0.3, eps: 1e-3 },
    Adadelta: { lr: 0.5, rho: 0.8, eps: 1e-3, weightDecay: 0.3 },
    Adamax: { lr: 0.01, betas: [0.8, 0.99], eps: 1e-3 },
    NAdam: { lr: 0.01, betas: [0.8, 0.99], eps: 1e-3, weightDecay: 0.3, momentumDecay: 0.01 },
    RAdam: { lr: 0.01, betas: [0.8, 0.99], eps: 1e-3, weightDecay: 0.3 },
    Lion: { lr: 0.02, betas: [0.8, 0.9], weightDecay: 0.3 },
  }

  it.each(Object.keys(makers))('%s compiles nothing when they change', async (name) => {
    const run = async (change: boolean) => {
      const p = fresh('state/p')
      const optimizer = makers[name]([p])
      const values: Float32Array[] = []
      let programs = 0
      for (let k = 0; k < 6; k++) {
        if (k === 3) {
          programs = currentRunner().compiled
          if (change) Object.assign(optimizer.groups[0].options, changes[name])
        }
        optimizer.zeroGrad()
        lossOf(p, k).backward()
        await optimizer.step()
        values.push((await p.data()) as Float32Array)
      }
      expect(currentRunner().compiled - programs).toBe(0)
      return values
    }
    const [plain, changed] = [await run(false), await run(true)]
    expect(changed[2]).toEqual(plain[2])
    expect(changed[3]).not.toEqual(plain[3])
  })

  it('a compiled step sees them, and is recorded again when a number ceases to be 0', async () => {
    const p = fresh('state/p')
    const optimizer = new optim.SGD([p], { lr: 0.1 })
    const step = compile((target: Tensor) => {
      optimizer.zeroGrad()
      const loss = p.sub(target).square().sum()
      loss.backward()
      void optimizer.step()
      return { loss }
    })
    const expected = [...(await p.data())]
    const buffer = expected.map(() => 0)
    const settings = [
      { lr: 0.1, momentum: 0 },
      { lr: 0.2, momentum: 0 },
      { lr: 0.1, momentum: 0.5 },
      { lr: 0.1, momentum: 0.9 },
    ]
    for (const setting of settings) {
      Object.assign(optimizer.groups[0].options, setting)
      await step(targets[0]).loss.item()
      const t = await targets[0].data()
      expected.forEach((x, i) => {
        buffer[i] = setting.momentum * buffer[i] + 2 * (x - t[i])
        if (setting.momentum === 0) expected[i] -= setting.lr * 2 * (x - t[i])
        else expected[i] -= setting.lr * buffer[i]
      })
      if (setting.momentum === 0) buffer.fill(0)
      const values = await p.data()
      expected.forEach((x, i) => {
        expect(values[i]).toBeCloseTo(x, 5)
      })
    }
  })
})

it('Lion takes steps of equal size in the direction of the mean', async () => {
  const p = new Parameter([1, -2, 3])
  const lion = new optim.Lion([p], { lr: 0.1, weightDecay: 0.5 })
  const expected = [1, -2, 3]
  const mean = [0, 0, 0]
  for (const g of [
    [0.3, -5, 0],
    [-0.1, 2, 1],
    [-0.5, 60, -1e-4],
  ]) {
    lion.zeroGrad()
    p.grad = tensor(g)
    await lion.step()
    g.forEach((value, i) => {
      const direction = Math.sign(0.9 * mean[i] + 0.1 * value)
      expected[i] = expected[i] * (1 - 0.1 * 0.5) - 0.1 * direction
      mean[i] = 0.99 * mean[i] + 0.01 * value
    })
    const values = await p.data()
    expected.forEach((x, i) => {
      expect(values[i]).toBeCloseTo(x, 5)
    })
  }
})

describe('LBFGS', () => {
  /** Rosenbrock's valley: least at (1, 1). */
  const valley = (p: Parameter) => {
    const [x, y] = [p.slice(0, 1), p.slice(1, 2)]
    return x.neg().add(1).square().add(y.sub(x.square()).square().mul(100)).sum()
  }
  const run = async (options: optim.LBFGSOptions, steps: number) => {
    const p = new Parameter([-1.2, 1])
    const optimizer = new optim.LBFGS([p], options)
    let evaluations = 0
    const losses: number[] = []
    for (let k = 0; k < steps; k++)
      losses.push(
        await optimizer.step(() => {
          evaluations++
          optimizer.zeroGrad()
          const loss = valley(p)
          loss.backward()
          return loss
        }),
      )
    return { values: await p.data(), losses, evaluations }
  }

  it('finds the end of a curved valley with the strong Wolfe conditions', async () => {
    const { values, losses, evaluations } = await run({ lineSearch: 'strongWolfe' }, 4)
    expect(losses[0]).toBeCloseTo(24.2, 4)
    for (let k = 1; k < losses.length; k++) expect(losses[k]).toBeLessThanOrEqual(losses[k - 1])
    expect(values[0]).toBeCloseTo(1, 3)
    expect(values[1]).toBeCloseTo(1, 3)
    expect(evaluations).toBeLessThan(100)
  })

  it('solves a quadratic in a few directions without a line search', async () => {
    const p = fresh('state/p')
    const scales = made('state/s').mul(0.5).add(1)
    const optimizer = new optim.LBFGS([p], { maxIter: 40 })
    const closure = () => {
      optimizer.zeroGrad()
      const loss = p.sub(targets[0]).square().mul(scales).sum()
      loss.backward()
      return loss
    }
    await optimizer.step(closure)
    expect(await closure().item()).toBeLessThan(1e-8)
    expect(() => new optim.LBFGS([])).toThrow(/no parameters/)
  })

  it('stops at once where the gradient is 0', async () => {
    const p = new Parameter([1, 1])
    const optimizer = new optim.LBFGS([p])
    let evaluations = 0
    await optimizer.step(() => {
      evaluations++
      const loss = valley(p)
      loss.backward()
      return loss
    })
    expect(evaluations).toBe(1)
  })
})

describe('options beyond the golden trajectories', () => {
  it.each(Object.keys(makers))('%s: maximize climbs as the negative descends', async (name) => {
    const run = async (maximize: boolean) => {
      const p = fresh('state/p')
      const optimizer = makers[name]([p])
      const [{ options }] = optimizer.groups
      ;(options as unknown as { maximize: boolean }).maximize = maximize
      for (let k = 0; k < 4; k++) {
        optimizer.zeroGrad()
        const loss = lossOf(p, k)
        ;(maximize ? loss.neg() : loss).backward()
        await optimizer.step()
      }
      return p.data()
    }
    expect(await run(true)).toEqual(await run(false))
  })

  type Rule = (g: number, x: number, s: number[], count: number) => number
  /** Rules in plain numbers: the next value of x for the gradient g, with state s kept from step to step. */
  const rules: [string, (p: Parameter) => optim.Optimizer, Rule][] = [
    [
      'RMSprop, plain',
      (p) => new optim.RMSprop([p], { lr: 0.02, alpha: 0.8, weightDecay: 0.1 }),
      (gradient, x, s) => {
        const g = gradient + 0.1 * x
        s[0] = 0.8 * (s[0] ?? 0) + 0.2 * g * g
        return x - (0.02 * g) / (Math.sqrt(s[0]) + 1e-8)
      },
    ],
    [
      'Adagrad, its rate decaying',
      (p) => new optim.Adagrad([p], { lr: 0.2, lrDecay: 0.5, initialAccumulatorValue: 2 }),
      (g, x, s, count) => {
        s[0] = (s[0] ?? 2) + g * g
        return x - (0.2 / (1 + (count - 1) * 0.5)) * (g / (Math.sqrt(s[0]) + 1e-10))
      },
    ],
    [
      'Adadelta',
      (p) => new optim.Adadelta([p], { rho: 0.7, weightDecay: 0.1, eps: 1e-3 }),
      (gradient, x, s) => {
        const g = gradient + 0.1 * x
        s[0] = 0.7 * (s[0] ?? 0) + 0.3 * g * g
        const delta = (Math.sqrt((s[1] ?? 0) + 1e-3) / Math.sqrt(s[0] + 1e-3)) * g
        s[1] = 0.7 * (s[1] ?? 0) + 0.3 * delta * delta
        return x - delta
      },
    ],
    [
      'Adamax, with other betas',
      (p) => new optim.Adamax([p], { lr: 0.1, betas: [0.5, 0.8], weightDecay: 0.1 }),
      (gradient, x, s, count) => {
        const g = gradient + 0.1 * x
        s[0] = 0.5 * (s[0] ?? 0) + 0.5 * g
        s[1] = Math.max(0.8 * (s[1] ?? 0), Math.abs(g) + 1e-8)
        return x - (0.1 / (1 - 0.5 ** count)) * (s[0] / s[1])
      },
    ],
    [
      'Adam without a mean, beta 0',
      (p) => new optim.Adam([p], { lr: 0.1, betas: [0, 0.9] }),
      (g, x, s, count) => {
        s[0] = 0.9 * (s[0] ?? 0) + 0.1 * g * g
        return x - (0.1 * g) / (Math.sqrt(s[0] / (1 - 0.9 ** count)) + 1e-8)
      },
    ],
    [
      'SGD, momentum with dampening and decay',
      (p) => new optim.SGD([p], { lr: 0.05, momentum: 0.8, dampening: 0.5, weightDecay: 0.2 }),
      (gradient, x, s) => {
        const g = gradient + 0.2 * x
        s[0] = s[0] === undefined ? g : 0.8 * s[0] + 0.5 * g
        return x - 0.05 * s[0]
      },
    ],
  ]
  it.each(rules)('%s', async (_, make, rule) => {
    const start = [1, -2, 0.5]
    const p = new Parameter(start)
    const optimizer = make(p)
    const expected = [...start]
    const state = start.map((): number[] => [])
    for (let count = 1; count <= 5; count++) {
      const goals = [count % 2, 0.3, -1]
      optimizer.zeroGrad()
      p.sub(tensor(goals)).square().sum().backward()
      await optimizer.step()
      expected.forEach((x, i) => {
        expected[i] = rule(2 * (x - goals[i]), x, state[i], count)
      })
      const values = await p.data()
      expected.forEach((x, i) => {
        expect(values[i], `step ${count}, value ${i}`).toBeCloseTo(x, 4)
      })
    }
  })

  it.each([
    ['NAdam', optim.NAdam],
    ['RAdam', optim.RAdam],
  ] as const)('%s with decoupled decay shrinks the parameter first', async (_, Kind) => {
    const step = async (weightDecay: number) => {
      const p = fresh('state/p')
      const optimizer = new Kind([p], { lr: 0.1, weightDecay, decoupledWeightDecay: true })
      lossOf(p, 0).backward()
      await optimizer.step()
      return p.data()
    }
    const [plain, shrunk, start] = [await step(0), await step(0.5), await fresh('state/p').data()]
    plain.forEach((x, i) => {
      expect(shrunk[i]).toBeCloseTo(x - 0.1 * 0.5 * start[i], 6)
    })
  })
})
