// Groups and step counts, and checkpoints of optimizers with their schedules.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as optim from '../src/optim/index.js'
import { compile } from '../src/tensor/compile.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { Parameter } from '../src/tensor/parameter.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { fresh, lossOf, makers, SHAPE, targets } from './optim-cases.js'

beforeAll(async () => {
  await setDevice('cpu', { threads: 1 })
})
afterAll(closeDevices)

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
