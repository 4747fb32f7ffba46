// fit and evaluate on a problem a line solves: history, weights, schedule, abort, guard.
import { beforeEach, describe, expect, test } from 'vitest'
import { DataLoader, hostArray, TensorDataset } from '../data/index.js'
import { Linear } from '../nn/index.js'
import { LinearLR, SGD } from '../optim/index.js'
import { setDevice } from '../tensor/devices.js'
import { manualSeed } from '../tensor/random.js'
import { evaluate } from './evaluate.js'
import type { EpochEvent, StepEvent } from './events.js'
import { fit } from './fit.js'

/** Class 1 where the first feature is above the second. */
function points(count: number, spoil: (features: Float32Array) => void = () => {}) {
  const features = Float32Array.from({ length: count * 2 }, (_, i) => Math.sin(i * i))
  const classes = Int32Array.from({ length: count }, (_, i) =>
    features[2 * i] > features[2 * i + 1] ? 1 : 0,
  )
  spoil(features)
  return new TensorDataset(hostArray(features, [count, 2]), hostArray(classes))
}
const none = { metrics: {} }

beforeEach(async () => {
  await setDevice('reference')
  manualSeed(3)
})

describe('fit', () => {
  test('learns, and tells steps and epochs as they were', async () => {
    const model = new Linear(2, 2)
    const optimizer = new SGD(model.parameters(), { lr: 1, momentum: 0.9 })
    const steps: StepEvent[] = []
    const epochs: EpochEvent[] = []
    const { epochs: history } = await fit(model, new DataLoader(points(40), { batchSize: 16 }), {
      epochs: 8,
      optimizer,
      validate: new DataLoader(points(24), { batchSize: 10 }),
      scheduler: new LinearLR(optimizer, { startFactor: 1, endFactor: 0.01, totalIters: 24 }),
      callbacks: [
        {
          onStep: (event) => {
            steps.push(event)
          },
          onEpochEnd: (event) => {
            epochs.push(event)
          },
        },
      ],
    })
    expect(history).toEqual(epochs)
    expect(steps.map(({ epoch, step }) => [epoch, step]).slice(0, 4)).toEqual([
      [1, 1],
      [1, 2],
      [1, 3],
      [2, 1],
    ])
    expect(history.map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(history[7].validation.accuracy).toBeGreaterThan(0.9)
    expect(history[7].train.loss).toBeLessThan(history[0].train.loss)
    expect(optimizer.lr).toBeCloseTo(1 - (0.99 * 23) / 24)
    expect(model.training).toBe(true)
  })

  test('an epoch weighs batches by their samples', async () => {
    const model = new Linear(2, 2)
    const optimizer = new SGD(model.parameters(), { lr: 1e-12 })
    const { epochs } = await fit(model, new DataLoader(points(20), { batchSize: 16 }), {
      epochs: 1,
      optimizer,
    })
    const whole = await evaluate(model, new DataLoader(points(20), { batchSize: 20 }))
    expect(epochs[0].train.loss).toBeCloseTo(whole.loss, 5)
    expect(epochs[0].train.accuracy).toBeCloseTo(whole.accuracy, 6)
  })

  test('an abort ends it between steps, with whole weights', async () => {
    const model = new Linear(2, 2)
    const controller = new AbortController()
    let steps = 0
    const run = fit(model, new DataLoader(points(40), { batchSize: 4 }), {
      epochs: 3,
      optimizer: new SGD(model.parameters(), { lr: 0.1 }),
      signal: controller.signal,
      callbacks: [
        {
          onStep: () => {
            if (++steps === 3) controller.abort(new Error('enough'))
          },
        },
      ],
    })
    await expect(run).rejects.toThrow('enough')
    expect(steps).toBe(3)
    expect((await model.weight.data()).every(Number.isFinite)).toBe(true)
  })

  test('a loss that is not finite stops it and leaves the weights before that step', async () => {
    const model = new Linear(2, 2)
    const spoilt = points(12, (features) => {
      features[16] = Number.NaN
    })
    let before: number[] = []
    const run = fit(model, new DataLoader(spoilt, { batchSize: 4 }), {
      epochs: 1,
      optimizer: new SGD(model.parameters(), { lr: 0.5 }),
      callbacks: [
        {
          onStep: async ({ step }) => {
            if (step === 2) before = Array.from(await model.weight.data())
          },
        },
      ],
    })
    await expect(run).rejects.toThrow(/^fit, epoch 1, step 3: the loss is not finite/)
    expect(Array.from(await model.weight.data())).toEqual(before)
  })

  test('refuses what cannot run', async () => {
    const model = new Linear(2, 2)
    const optimizer = new SGD(model.parameters(), { lr: 0.1 })
    const few = new DataLoader(points(3), { batchSize: 4, dropLast: true })
    await expect(fit(model, few, { epochs: 1, optimizer, ...none })).rejects.toThrow(/no batches/)
    const some = new DataLoader(points(8), { batchSize: 4 })
    await expect(fit(model, some, { epochs: 0, optimizer, ...none })).rejects.toThrow(
      /epochs 0 is not/,
    )
  })
})

test('evaluate is in evaluation mode and restores the mode', async () => {
  const modes: boolean[] = []
  class Watched extends Linear {
    override forward(x: Parameters<Linear['forward']>[0]) {
      modes.push(this.training)
      return super.forward(x)
    }
  }
  const model = new Watched(2, 2)
  await evaluate(model, new DataLoader(points(8), { batchSize: 8 }))
  expect(modes).toEqual([false])
  expect(model.training).toBe(true)
})
