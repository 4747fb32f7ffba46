// What surrounds the rules: options that change without recompilation, counts a parameter, groups, checkpoints of
// optimizers and schedules, clipping, averaged weights, schedules of schedules.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as optim from '../src/optim/index.js'
import { compile } from '../src/tensor/compile.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, currentRunner, setDevice } from '../src/tensor/devices.js'
import { Parameter } from '../src/tensor/parameter.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { uniform } from './support.js'

const SHAPE = [4, 3]
const made = (name: string) => tensor(uniform(name, SHAPE), { shape: SHAPE })
const targets = Array.from({ length: 5 }, (_, k) => made(`state/t${k}`))
const fresh = (name: string) => new Parameter(made(name))
const lossOf = (p: Parameter, k: number) =>
  p
    .sub(targets[k % 5])
    .square()
    .sum()

const makers: { readonly [name: string]: (p: readonly Parameter[]) => optim.Optimizer } = {
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

describe('groups and counts', () => {
  it('each parameter counts its own steps', async () => {
    // b has no gradient in step 1: Adam's corrections for it must lag one behind, as if alone.
    const together = [fresh('state/a'), fresh('state/b')]
    const both = new optim.Adam(together, { lr: 0.1 })
    const alone = [fresh('state/a'), fresh('state/b')]
    const each = alone.map((p) => new optim.Adam([p], { lr: 0.1 }))
    for (const [k, used] of [[0, 1], [0], [0, 1], [1], [0, 1]].entries()) {
      both.zeroGrad()
      used
        .map((i) => lossOf(together[i], k))
        .reduce((x, y) => x.add(y))
        .backward()
      await both.step()
      for (const i of used) {
        each[i].zeroGrad()
        lossOf(alone[i], k).backward()
        await each[i].step()
      }
      for (const i of [0, 1]) expect(await together[i].data()).toEqual(await alone[i].data())
    }
  })

  it('two compiled steps over different parameters of one optimizer count rightly', async () => {
    const run = async (compiled: boolean) => {
      const [a, b] = [fresh('state/a'), fresh('state/b')]
      const optimizer = new optim.Adam([a, b], { lr: 0.1 })
      const make = (parameters: readonly Parameter[]) => {
        const body = (t: Tensor) => {
          optimizer.zeroGrad()
          const loss = parameters.map((p) => p.sub(t).square().sum()).reduce((x, y) => x.add(y))
          loss.backward()
          void optimizer.step()
          return { loss }
        }
        return compiled ? compile(body) : body
      }
      const [both, first] = [make([a, b]), make([a])]
      for (const step of [both, both, first, first, first, both, first, both])
        await step(targets[0]).loss.item()
      return [await a.data(), await b.data()]
    }
    expect(await run(true)).toEqual(await run(false))
  })

  it('groups can be added, and have their own options', async () => {
    const [a, b] = [fresh('state/a'), fresh('state/b')]
    const optimizer = new optim.SGD([a], { lr: 0.1 })
    optimizer.addGroup({ parameters: [b], lr: 0 })
    expect(() => optimizer.addGroup({ parameters: [a] })).toThrow(/given twice/)
    expect(() => optimizer.addGroup({ parameters: [fresh('x')], momentum: -1 })).toThrow(
      /momentum is -1/,
    )
    const before = [await a.data(), await b.data()]
    lossOf(a, 0).add(lossOf(b, 0)).backward()
    await optimizer.step()
    expect(await a.data()).not.toEqual(before[0])
    expect(await b.data()).toEqual(before[1])
    optimizer.lr = 0.5
    expect(optimizer.groups.map((group) => group.options.lr)).toEqual([0.5, 0.5])
  })
})

describe('checkpoints', () => {
  it.each(Object.keys(makers))('%s goes on to the same bits', async (name) => {
    const names = ['state/a', 'state/b']
    const steps = async (
      p: readonly Parameter[],
      optimizer: optim.Optimizer,
      schedule: optim.LRScheduler,
      from: number,
      to: number,
    ) => {
      for (let k = from; k < to; k++) {
        optimizer.zeroGrad()
        // The second parameter begins later, and so counts less.
        const loss = k < 1 ? lossOf(p[0], k) : lossOf(p[0], k).add(lossOf(p[1], k))
        loss.backward()
        await optimizer.step()
        schedule.step()
      }
    }
    const make = (p: readonly Parameter[]) => {
      const optimizer = makers[name](p)
      return { optimizer, schedule: new optim.CosineAnnealingLR(optimizer, 7) }
    }
    const whole = names.map(fresh)
    const one = make(whole)
    await steps(whole, one.optimizer, one.schedule, 0, 3)
    const { tensors, values } = one.optimizer.stateDict()
    // As through a file: host values and text.
    const stored = Object.fromEntries(
      await Promise.all(
        Object.entries(tensors).map(async ([key, t]) => [
          key,
          { shape: t.shape, dtype: t.dtype, data: await t.data() },
        ]),
      ),
    )
    const text = JSON.stringify({ values, schedule: one.schedule.stateDict() })
    const resumed = await Promise.all(
      whole.map(async (p) => new Parameter(tensor(await p.data(), { shape: SHAPE }))),
    )
    await steps(whole, one.optimizer, one.schedule, 3, 7)

    const two = make(resumed)
    const parsed = JSON.parse(text)
    two.optimizer.loadStateDict({ tensors: stored, values: parsed.values })
    two.schedule.loadStateDict(parsed.schedule)
    await steps(resumed, two.optimizer, two.schedule, 3, 7)
    for (const i of [0, 1]) expect(await resumed[i].data()).toEqual(await whole[i].data())
    expect(two.optimizer.lr).toBe(one.optimizer.lr)
  })

  it('a compiled step goes on from a state loaded into its optimizer', async () => {
    const p = fresh('state/p')
    const optimizer = new optim.Adam([p], { lr: 0.1 })
    const step = compile((t: Tensor) => {
      optimizer.zeroGrad()
      const loss = p.sub(t).square().sum()
      loss.backward()
      void optimizer.step()
      return { loss }
    })
    await step(targets[0]).loss.item()
    const start = await p.data()
    const { tensors, values } = optimizer.stateDict()
    const stored = Object.fromEntries(
      await Promise.all(
        Object.entries(tensors).map(async ([key, t]) => [
          key,
          { shape: t.shape, dtype: t.dtype, data: await t.data() },
        ]),
      ),
    )
    await step(targets[1]).loss.item()
    const first = await p.data()
    p.set(start)
    optimizer.loadStateDict({ tensors: stored, values })
    await step(targets[1]).loss.item()
    expect(await p.data()).toEqual(first)
  })

  it('states that do not belong are refused', () => {
    const [p, q] = [fresh('state/p'), fresh('state/q')]
    const adam = new optim.Adam([p])
    const { values } = adam.stateDict()
    const load = (state: optim.LoadableState) => () => adam.loadStateDict(state)
    expect(() => new optim.SGD([p]).loadStateDict({ tensors: {}, values })).toThrow(
      'SGD.loadStateDict: the state is that of Adam',
    )
    expect(() => new optim.Adam([p, q]).loadStateDict({ tensors: {}, values })).toThrow(
      /groups of 1 parameters, the optimizer of 2/,
    )
    expect(load({ tensors: { '0.expAvg': tensor([1, 2]) }, values })).toThrow(
      /0\.expAvg is \[2\], the parameter \[4, 3\]/,
    )
    expect(load({ tensors: { '7.expAvg': tensor([1, 2]) }, values })).toThrow(/belongs to none/)
    expect(load({ tensors: {}, values: { ...values, counts: [0] } })).toThrow(/count\.0 is missing/)
  })
})

describe('clipping', () => {
  const gradients = [
    [3, -4, 0],
    [12, 0, -1],
  ]
  const prepared = () => {
    const parameters = gradients.map((values) => new Parameter(values.map(() => 0)))
    parameters.forEach((p, i) => {
      p.grad = tensor(gradients[i])
    })
    return parameters
  }
  it.each([
    [2, Math.sqrt(170)],
    [1, 20],
    [Number.POSITIVE_INFINITY, 12],
    [3, (27 + 64 + 1728 + 1) ** (1 / 3)],
  ])('by the norm of order %d', async (normType, norm) => {
    const parameters = prepared()
    const before = optim.clipGradNorm(parameters, 2, { normType })
    expect(await before.item()).toBeCloseTo(norm, 3)
    const clipped = await Promise.all(parameters.map((p) => p.grad?.data()))
    clipped.forEach((values, i) => {
      gradients[i].forEach((g, j) => {
        expect(values?.[j]).toBeCloseTo((g * 2) / norm, 4)
      })
    })
  })

  it('leaves small gradients alone, and clips by value', async () => {
    const parameters = prepared()
    optim.clipGradNorm(parameters, 100)
    optim.clipGradValue(parameters, 3.5)
    expect([...((await parameters[0].grad?.data()) ?? [])]).toEqual([3, -3.5, 0])
    expect([...((await parameters[1].grad?.data()) ?? [])]).toEqual([3.5, 0, -1])
    expect(() => optim.clipGradNorm(parameters, -1)).toThrow(/maxNorm is -1/)
    expect(() => optim.clipGradNorm(parameters, 1, { normType: 0 })).toThrow(/normType is 0/)
  })

  it('a bound that changes compiles nothing', async () => {
    const p = fresh('state/p')
    const optimizer = new optim.SGD([p], { lr: 0.1 })
    const run = async (bound: number) => {
      optimizer.zeroGrad()
      lossOf(p, 0).backward()
      optim.clipGradNorm([p], bound)
      await optimizer.step()
    }
    await run(0.5)
    const programs = currentRunner().compiled
    for (const bound of [1, 0.25, 0]) await run(bound)
    expect(currentRunner().compiled).toBe(programs)
  })
})

describe('averaged weights', () => {
  const train = async (compiled: boolean, warmup: boolean) => {
    const p = fresh('state/p')
    const optimizer = new optim.SGD([p], { lr: 0.1 })
    const ema = new optim.ExponentialMovingAverage([p], { decay: 0.9, warmup })
    const expected = [...(await p.data())]
    const body = (t: Tensor) => {
      optimizer.zeroGrad()
      const loss = p.sub(t).square().sum()
      loss.backward()
      void optimizer.step()
      ema.update()
      return { loss }
    }
    const step = compiled ? compile(body) : body
    for (let k = 0; k < 4; k++) {
      await step(targets[k]).loss.item()
      const now = await p.data()
      const decay = warmup ? Math.min(0.9, (2 + k) / (11 + k)) : 0.9
      expected.forEach((x, i) => {
        expected[i] = x * decay + now[i] * (1 - decay)
      })
    }
    return { p, ema, expected }
  }

  it.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])('compiled %s, warm-up %s', async (compiled, warmup) => {
    const { p, ema, expected } = await train(compiled, warmup)
    const own = await p.data()
    const values = await ema.averaged(() => p.data())
    expected.forEach((x, i) => {
      expect(values[i]).toBeCloseTo(x, 5)
    })
    expect(values).not.toEqual(own)
    expect(await p.data()).toEqual(own)
    expect(() => ema.restore()).toThrow(/apply\(\) comes first/)
  })

  it('adds no program to a loop', async () => {
    const p = fresh('state/p')
    const optimizer = new optim.SGD([p], { lr: 0.1 })
    const ema = new optim.ExponentialMovingAverage([p])
    const runs: number[] = []
    for (let k = 0; k < 5; k++) {
      const before = currentRunner().compiled
      optimizer.zeroGrad()
      lossOf(p, k).backward()
      await optimizer.step()
      ema.update()
      runs.push(currentRunner().compiled - before)
    }
    // The first step has no average yet, the second has it; then all are the same.
    expect(runs.slice(2)).toEqual([0, 0, 0])
  })

  it('is saved, and puts parameters back after an error', async () => {
    const { p, ema } = await train(false, true)
    const own = await p.data()
    await expect(
      ema.averaged(() => {
        throw new Error('no')
      }),
    ).rejects.toThrow('no')
    expect(await p.data()).toEqual(own)
    const state = ema.stateDict()
    expect(Object.keys(state)).toEqual(['0', 'count'])
    const other = new optim.ExponentialMovingAverage([p], { warmup: true })
    other.loadStateDict(state)
    expect(await other.stateDict()['0'].data()).toEqual(await state['0'].data())
    expect(() => other.loadStateDict({ 0: state['0'] })).toThrow(/missing are count/)
  })
})

describe('schedules', () => {
  const sgd = (lr = 1) => new optim.SGD([fresh('state/p')], { lr })
  const rates = (
    optimizer: optim.Optimizer,
    schedule: optim.LRScheduler,
    count: number,
  ): number[] =>
    Array.from({ length: count }, (_, k) => {
      if (k > 0) schedule.step()
      return optimizer.lr
    })
  const close = (actual: readonly number[], expected: readonly number[]) => {
    expect(actual.length).toBe(expected.length)
    expected.forEach((x, i) => {
      expect(actual[i], `step ${i}`).toBeCloseTo(x, 12)
    })
  }

  it('one after the other: warm-up, then decay from the first rate', () => {
    const o = sgd(2)
    const warm = new optim.LinearLR(o, { startFactor: 0.25, totalIters: 3 })
    const decay = new optim.StepLR(o, 2, { gamma: 0.5 })
    const schedule = new optim.SequentialLR(o, [warm, decay], [3])
    close(rates(o, schedule, 8), [0.5, 1, 1.5, 2, 2, 1, 1, 0.5])
    const state = JSON.parse(JSON.stringify(schedule.stateDict()))
    const p = sgd(2)
    const again = new optim.SequentialLR(
      p,
      [new optim.LinearLR(p, { startFactor: 0.25, totalIters: 3 }), new optim.StepLR(p, 2)],
      [3],
    )
    again.loadStateDict(state)
    expect(again.count).toBe(7)
    expect(() => new optim.SequentialLR(o, [warm, decay], [])).toThrow(/need 1 milestones, not 0/)
    expect(() => new optim.SequentialLR(p, [warm, decay], [3])).toThrow(/its own optimizer/)
  })

  it('a schedule made after another begins from the rate before it, or from one set by hand', () => {
    const o = sgd(1)
    new optim.LinearLR(o, { startFactor: 0.1 })
    expect(o.lr).toBeCloseTo(0.1)
    new optim.ConstantLR(o, { factor: 0.5, totalIters: 2 })
    expect(o.lr).toBe(0.5)
    o.lr = 3
    new optim.ConstantLR(o, { factor: 0.5, totalIters: 2 })
    expect(o.lr).toBe(1.5)
  })

  it('LambdaLR with one factor a group, and with warm-up', () => {
    const o = new optim.SGD([{ parameters: [fresh('a')] }, { parameters: [fresh('b')], lr: 2 }], {
      lr: 1,
    })
    const schedule = new optim.LambdaLR(o, [(k) => 1 / (k + 1), (k) => 0.5 ** k])
    schedule.step()
    expect(o.groups.map((group) => group.options.lr)).toEqual([0.5, 1])
    expect(() => new optim.LambdaLR(o, [() => 1])).toThrow(/1 factors for 2 groups/)
    const p = sgd(1)
    close(rates(p, optim.linearWithWarmup(p, 2, 6), 7), [0, 0.5, 1, 0.75, 0.5, 0.25, 0])
    const q = sgd(1)
    close(rates(q, optim.cosineWithWarmup(q, 1, 5), 6), [
      0,
      1,
      (1 + Math.SQRT1_2) / 2,
      0.5,
      (1 - Math.SQRT1_2) / 2,
      0,
    ])
  })

  it('OneCycleLR: three phases, lines, momentum the other way, and its end', () => {
    const o = new optim.AdamW([fresh('a')], { lr: 1, betas: [0.9, 0.99] })
    const options = { totalSteps: 10, pctStart: 0.4, threePhase: true } as const
    const schedule = new optim.OneCycleLR(o, 1, {
      ...options,
      annealStrategy: 'linear',
      divFactor: 10,
      finalDivFactor: 100,
    })
    const seen = Array.from({ length: 10 }, (_, k) => {
      if (k > 0) schedule.step()
      return [o.lr, ...o.groups[0].options.betas]
    })
    // Up in steps 0 … 3, down in 3 … 6, away in 6 … 9.
    close(
      seen.map(([lr]) => lr),
      [0.1, 0.4, 0.7, 1, 0.7, 0.4, 0.1, 0.067, 0.034, 0.001],
    )
    close(
      seen.map(([, beta]) => beta),
      [
        0.95,
        0.95 - 0.1 / 3,
        0.95 - 0.2 / 3,
        0.85,
        0.85 + 0.1 / 3,
        0.95 - 0.1 / 3,
        0.95,
        0.95,
        0.95,
        0.95,
      ],
    )
    expect(seen.every(([, , beta2]) => beta2 === 0.99)).toBe(true)
    schedule.step()
    expect(() => schedule.step()).toThrow(/step 11 of a cycle of 10/)
    const rms = new optim.Adagrad([fresh('a')])
    expect(() => new optim.OneCycleLR(rms, 1, { totalSteps: 3 })).toThrow(/cycleMomentum: false/)
  })

  it('ReduceLROnPlateau waits, reduces, cools down, and is saved', () => {
    const o = sgd(1)
    const make = () =>
      new optim.ReduceLROnPlateau(o, { patience: 1, factor: 0.5, cooldown: 1, minLr: 0.2 })
    let schedule = make()
    const seen: number[] = []
    for (const [k, loss] of [5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 3].entries()) {
      if (k === 5) {
        const state = JSON.parse(JSON.stringify(schedule.stateDict()))
        schedule = make()
        schedule.loadStateDict(state)
      }
      schedule.step(loss)
      seen.push(o.lr)
    }
    expect(seen).toEqual([1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2])
    const max = new optim.ReduceLROnPlateau(sgd(1), { mode: 'max', patience: 0 })
    max.step(0.5)
    max.step(0.6)
    expect(max.optimizer.groups[0].options.lr).toBe(1)
    max.step(0.6)
    expect(max.optimizer.groups[0].options.lr).toBeCloseTo(0.1)
  })

  it('states of another kind are refused', () => {
    const o = sgd()
    const state = new optim.StepLR(o, 2).stateDict()
    expect(() => new optim.ExponentialLR(o, 0.9).loadStateDict(state)).toThrow(
      'ExponentialLR.loadStateDict: the state is that of StepLR',
    )
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
