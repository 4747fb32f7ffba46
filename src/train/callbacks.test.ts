// Callbacks: order, stopping, early stopping with the best weights, logs; and fit's accumulation, clipping, schedules.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { DataLoader, hostArray, TensorDataset } from '../data/index.js'
import { Linear } from '../nn/index.js'
import { ExponentialMovingAverage, ReduceLROnPlateau, SGD, StepLR } from '../optim/index.js'
import { setDevice } from '../tensor/devices.js'
import { manualSeed } from '../tensor/random.js'
import { earlyStopping, historyLog } from './callbacks.js'
import type { Callback } from './events.js'
import { type FitOptions, fit } from './fit.js'

const COUNT = 22
const data = new TensorDataset(
  hostArray(
    Float32Array.from({ length: COUNT * 2 }, (_, i) => Math.sin(i * i)),
    [COUNT, 2],
  ),
  hostArray(Int32Array.from({ length: COUNT }, (_, i) => i % 2)),
)
let root = ''
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'burnish-callbacks-'))
})
afterAll(() => rm(root, { recursive: true }))
beforeEach(async () => {
  await setDevice('reference')
})

function make(lr = 0.1) {
  manualSeed(3)
  const model = new Linear(2, 2)
  return { model, optimizer: new SGD(model.parameters(), { lr, momentum: 0.9 }) }
}
async function run(batchSize: number, options: Partial<FitOptions> = {}, lr = 0.1) {
  const { model, optimizer } = make(lr)
  const history = await fit(model, new DataLoader(data, { batchSize }), {
    epochs: 2,
    optimizer,
    ...options,
  })
  return { model, optimizer, history: history.epochs, weight: [...(await model.weight.data())] }
}

test('in order, each awaited; stop ends after the epoch', async () => {
  const told: string[] = []
  const say = (name: string): Callback => {
    const slow = async (text: string) => {
      await Promise.resolve()
      told.push(`${name} ${text}`)
    }
    return {
      onStart: ({ epochs, resumed }) => slow(`start ${epochs} ${resumed}`),
      onStep: ({ epoch, step, steps, lr }) => slow(`step ${epoch} ${step}/${steps} ${lr}`),
      onEpochEnd: ({ epoch }, { history, stop }) => {
        stop()
        return slow(`epoch ${epoch} of ${history.length}`)
      },
      onEnd: () => slow('end'),
    }
  }
  await run(11, { callbacks: [say('a'), say('b')] })
  const both = (text: string) => [`a ${text}`, `b ${text}`]
  expect(told).toEqual(
    ['start 2 false', 'step 1 1/2 0.1', 'step 1 2/2 0.1', 'epoch 1 of 1', 'end'].flatMap(both),
  )
})

describe('early stopping', () => {
  /** Validation whose loss is as told: a model that is as bad as its epoch says. */
  const worse: Callback = {
    onEpochEnd: ({ epoch }, { model, optimizer }) => {
      if (epoch === 2) for (const p of model.parameters()) p.set(p.mul(-50).add(3))
      if (epoch === 2) optimizer.lr = 0
    },
  }

  test('ends after patience, with the weights of the best epoch', async () => {
    const best: number[] = []
    const { history, weight } = await run(11, {
      epochs: 20,
      validate: new DataLoader(data, { batchSize: 5 }),
      callbacks: [
        {
          onEpochEnd: async ({ epoch }, { model }) => {
            if (epoch === 2) best.push(...(await (model as Linear).weight.data()))
          },
        },
        earlyStopping({ patience: 2 }),
        worse,
      ],
    })
    const losses = history.map(({ validation }) => validation.loss)
    expect(losses).toHaveLength(5)
    expect(losses[1]).toBeLessThan(losses[0])
    expect(losses[2]).toBeGreaterThan(losses[1])
    expect(weight).toEqual(best)
  })

  test('follows a metric upwards, and refuses one that is not there', async () => {
    const { history } = await run(11, {
      epochs: 20,
      callbacks: [earlyStopping({ name: 'accuracy', patience: 0, minDelta: 1 })],
    })
    expect(history).toHaveLength(2)
    await expect(run(11, { callbacks: [earlyStopping({ name: 'f1' })] })).rejects.toThrow(
      /f1 is none of the metrics/,
    )
  })
})

describe('historyLog', () => {
  test('CSV and JSON lines, whole after every epoch; never over an older one', async () => {
    const [csv, jsonl] = [join(root, 'a/log.csv'), join(root, 'log.jsonl')]
    const { history } = await run(11, {
      validate: new DataLoader(data, { batchSize: 5 }),
      callbacks: [historyLog(csv), historyLog(jsonl)],
    })
    const table = (await readFile(csv, 'utf8')).trimEnd().split('\n')
    expect(table).toHaveLength(3)
    expect(table[0]).toBe(
      'epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,seconds',
    )
    expect(Number(table[2].split(',')[3])).toBe(history[1].validation.loss)
    const lines = (await readFile(jsonl, 'utf8')).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).train_loss)).toEqual(
      history.map(({ train }) => train.loss),
    )
    await expect(run(11, { callbacks: [historyLog(csv)] })).rejects.toThrow(/is there already/)
    expect(() => historyLog('log.txt')).toThrow(/neither in .csv nor in .jsonl/)
  })
})

describe('accumulation', () => {
  // 22 samples: batches of 4 end in a batch of 2; steps of 3 batches are steps over 12 and 10 samples.
  test.each([{ compile: true }, { compile: false }])('equals one large batch (%j)', async (how) => {
    for (const options of [{}, { clip: { norm: 0.1 } }, { clip: { value: 0.05 } }]) {
      const large = await run(12, { ...how, ...options })
      const small = await run(4, { ...how, ...options, accumulate: 3 })
      small.weight.forEach((value, i) => {
        expect(value).toBeCloseTo(large.weight[i], 5)
      })
      expect(small.history[1].train.loss).toBeCloseTo(large.history[1].train.loss, 5)
      expect(small.history[1].train.accuracy).toBe(large.history[1].train.accuracy)
    }
  })

  test('clipping does something', async () => {
    const [free, clipped] = [await run(12), await run(12, { clip: { norm: 0.1 } })]
    expect(clipped.weight).not.toEqual(free.weight)
  })

  test('compiled and imperative give the same bits', async () => {
    await setDevice('cpu', { tier: 'wasm', threads: 1 })
    const warn = vi.spyOn(console, 'warn')
    for (const accumulate of [1, 3]) {
      const compiled = await run(4, { accumulate, epochs: 10 })
      expect((await run(4, { accumulate, epochs: 10, compile: false })).weight).toEqual(
        compiled.weight,
      )
    }
    expect(warn).not.toHaveBeenCalled() // it would say that a step is traced again and again
    warn.mockRestore()
  })

  test('a batch whose loss is not finite changes nothing', async () => {
    const spoilt = new TensorDataset(
      hostArray(
        Float32Array.from({ length: 16 }, (_, i) => (i === 9 ? Number.NaN : i / 9)),
        [8, 2],
      ),
      hostArray(new Int32Array(8)),
    )
    const { model, optimizer } = make()
    const before = [...(await model.weight.data())]
    await expect(
      fit(model, new DataLoader(spoilt, { batchSize: 2 }), { epochs: 1, optimizer, accumulate: 4 }),
    ).rejects.toThrow(/fit, epoch 1, step 1: the loss is not finite: NaN in batch 3 of 4/)
    expect([...(await model.weight.data())]).toEqual(before)
  })
})

test('schedules by epoch, by measurement; averaged weights', async () => {
  const { model, optimizer } = make()
  const loader = new DataLoader(data, { batchSize: 11 })
  const rates: number[] = []
  const average = new ExponentialMovingAverage(model.parameters(), { decay: 0.5 })
  await fit(model, loader, {
    epochs: 3,
    optimizer,
    average,
    scheduler: new StepLR(optimizer, 1, { gamma: 0.5 }),
    scheduleEvery: 'epoch',
    callbacks: [
      {
        onStep: ({ lr }) => {
          rates.push(lr)
        },
      },
    ],
  })
  expect(rates).toEqual([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
  const own = [...(await model.weight.data())]
  const averaged = await average.averaged(async () => [...(await model.weight.data())])
  expect(averaged).not.toEqual(own)
  averaged.forEach((value, i) => {
    expect(Math.abs(value - own[i])).toBeLessThan(0.2)
  })

  const plateau = make()
  await fit(plateau.model, loader, {
    epochs: 4,
    optimizer: plateau.optimizer,
    scheduler: new ReduceLROnPlateau(plateau.optimizer, { patience: 0, threshold: 1e9 }),
  })
  expect(plateau.optimizer.lr).toBeCloseTo(0.1 * 0.1 ** 3, 9)
  const other = make()
  const scheduler = new ReduceLROnPlateau(other.optimizer)
  await expect(
    fit(other.model, loader, {
      epochs: 1,
      optimizer: other.optimizer,
      scheduler,
      monitor: { name: 'x' },
    }),
  ).rejects.toThrow(/monitor x is none of the metrics/)
})
