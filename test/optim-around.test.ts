// What surrounds the rules: clipping, averaged weights, schedules of schedules.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as optim from '../src/optim/index.js'
import { compile } from '../src/tensor/compile.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, currentRunner, setDevice } from '../src/tensor/devices.js'
import { Parameter } from '../src/tensor/parameter.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { fresh, lossOf, targets } from './optim-cases.js'

beforeAll(async () => {
  await setDevice('cpu', { threads: 1 })
})
afterAll(closeDevices)

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
