// What training offers for fine-tuning: the learning-rate finder and gradual unfreezing.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { DataLoader, hostArray, TensorDataset } from '../data/index.js'
import { freeze, parameterGroups, unfreeze } from '../finetune/index.js'
import * as nn from '../nn/index.js'
import { AdamW } from '../optim/index.js'
import { closeDevices, setDevice } from '../tensor/devices.js'
import { manualSeed } from '../tensor/random.js'
import { fit } from './fit.js'
import { findLearningRate, valley } from './lr-finder.js'
import { gradualUnfreezing } from './unfreezing.js'

beforeAll(async () => {
  await setDevice('cpu', { threads: 1 })
})
afterAll(closeDevices)

const points = Float32Array.from({ length: 128 }, (_, i) => Math.sin(i * i))
const data = () =>
  new DataLoader(
    new TensorDataset(
      hostArray(points, [64, 2]),
      hostArray(
        Int32Array.from({ length: 64 }, (_, i) => Number(points[2 * i] > points[2 * i + 1])),
      ),
    ),
    { batchSize: 16, shuffle: true, seed: 1 },
  )

function made() {
  manualSeed(3)
  const model = new nn.Sequential(
    new nn.Linear(2, 16),
    new nn.BatchNorm1d(16),
    new nn.ReLU(),
    new nn.Dropout(0.3),
    new nn.Linear(16, 2),
  )
  freeze(model)
  unfreeze(model, '4')
  return { model, optimizer: new AdamW(parameterGroups(model, { lr: 0.02, layerDecay: 0.5 })) }
}

const bytes = async (model: nn.Module) =>
  Object.fromEntries(
    await Promise.all(
      Object.entries(model.stateDict()).map(async ([name, p]) => [name, [...(await p.data())]]),
    ),
  )

it('finds a rate, and leaves everything as it was', async () => {
  const { model, optimizer } = made()
  unfreeze(model)
  await fit(model, data(), { epochs: 1, optimizer })
  const before = await bytes(model)
  const rates = optimizer.groups.map((group) => group.options.lr)
  const curve = await findLearningRate(model, data(), { optimizer })
  expect(await bytes(model)).toEqual(before)
  expect(optimizer.groups.map((group) => group.options.lr)).toEqual(rates)
  expect(curve.rates[0]).toBe(1e-7)
  expect(curve.rates.length).toBe(curve.losses.length)
  expect(curve.suggestion).toBeGreaterThan(1e-5)
  expect(curve.suggestion).toBeLessThan(1)
  // As if it had not been there: the same steps follow.
  await fit(model, data(), { epochs: 1, optimizer })
  const plain = made()
  unfreeze(plain.model)
  await fit(plain.model, data(), { epochs: 1, optimizer: plain.optimizer })
  await fit(plain.model, data(), { epochs: 1, optimizer: plain.optimizer })
  expect(await bytes(model)).toEqual(await bytes(plain.model))
})

it('a loader without batches is an error, not a search without end', async () => {
  const { model, optimizer } = made()
  const images = new TensorDataset(hostArray(points, [64, 2]), hostArray(new Int32Array(64)))
  const none = new DataLoader(images, { batchSize: 65, dropLast: true })
  await expect(findLearningRate(model, none, { optimizer })).rejects.toThrow(/there are no batches/)
})

it('suggests a rate within the longest fall', () => {
  const rates = Array.from({ length: 100 }, (_, i) => 10 ** (-7 + (8 * i) / 99))
  const losses = rates.map((_, i) => (i < 30 ? 2 : i < 80 ? 2 - (i - 30) / 40 : 1 + (i - 80) / 5))
  const found = rates.indexOf(valley(rates, losses))
  expect(found).toBeGreaterThan(40)
  expect(found).toBeLessThan(70)
})

it('unfreezes epoch by epoch, and resumes in between to the same bits', async () => {
  const stages = [
    { epoch: 2, unfreeze: '1' },
    { epoch: 3, unfreeze: '**' },
  ]
  const folder = await mkdtemp(join(tmpdir(), 'burnish-unfreezing-'))
  try {
    const counts: number[] = []
    const watch = {
      onEpochEnd: (_: unknown, { model }: { readonly model: nn.Module }) => {
        counts.push(model.parameters().filter((p) => p.trainable).length)
      },
    }
    const whole = made()
    await fit(whole.model, data(), {
      epochs: 4,
      optimizer: whole.optimizer,
      callbacks: [watch, gradualUnfreezing(stages)],
    })
    expect(counts).toEqual([2, 4, 6, 6])
    for (const until of [1, 2, 3]) {
      const run = join(folder, `${until}`)
      const options = { checkpoint: { folder: run }, epochs: 4 }
      const first = made()
      const killed = new AbortController()
      await expect(
        fit(first.model, data(), {
          ...options,
          signal: killed.signal,
          optimizer: first.optimizer,
          callbacks: [
            gradualUnfreezing(stages),
            { onEpochEnd: ({ epoch }) => (epoch === until ? killed.abort('killed') : undefined) },
          ],
        }),
      ).rejects.toBe('killed')
      const second = made()
      await fit(second.model, data(), {
        ...options,
        resume: true,
        optimizer: second.optimizer,
        callbacks: [gradualUnfreezing(stages)],
      })
      expect(await bytes(second.model)).toEqual(await bytes(whole.model))
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})
