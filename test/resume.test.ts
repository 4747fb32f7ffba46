// A run that is interrupted and resumed is the same, bit for bit, as one that is not: on the WebAssembly tier, compiled
// and imperative, between and inside of epochs, with dropout, batch norm, momentum, a schedule, averaged weights,
// accumulation, a shuffled loader and early stopping. Saved with `fit`, and by hand in one's own loop.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DataLoader, hostArray, TensorDataset } from '../src/data/index.js'
import { encodeState } from '../src/io/state.js'
import { crossEntropy, relu } from '../src/nn/functional.js'
import * as nn from '../src/nn/index.js'
import {
  AdamW,
  ExponentialMovingAverage,
  OneCycleLR,
  ReduceLROnPlateau,
  SGD,
} from '../src/optim/index.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { manualSeed } from '../src/tensor/random.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { earlyStopping } from '../src/train/callbacks.js'
import { latestCheckpoint, loadCheckpoint, saveCheckpoint } from '../src/train/checkpoint.js'
import { type FitOptions, fit } from '../src/train/index.js'

class Net extends nn.Module {
  fc1 = new nn.Linear(6, 12)
  bn = new nn.BatchNorm1d(12)
  drop = new nn.Dropout(0.3)
  fc2 = new nn.Linear(12, 3)
  forward(x: Tensor): Tensor {
    return this.fc2.forward(this.drop.forward(relu(this.bn.forward(this.fc1.forward(x)))))
  }
}

const COUNT = 52
const data = () =>
  new TensorDataset(
    hostArray(
      Float32Array.from({ length: COUNT * 6 }, (_, i) => Math.sin(i * i)),
      [COUNT, 6],
    ),
    hostArray(Int32Array.from({ length: COUNT }, (_, i) => (i * i) % 3)),
  )

/** Everything of a run, made the same way each time. */
function make(seed: number, kind: 'sgd' | 'adamw') {
  manualSeed(seed)
  const model = new Net()
  const optimizer =
    kind === 'sgd'
      ? new SGD(model.parameters(), { lr: 0.1, momentum: 0.9 })
      : new AdamW(model.parameters(), { lr: 0.01 })
  const average = new ExponentialMovingAverage(model.parameters(), { decay: 0.9, warmup: true })
  const loader = new DataLoader(data(), { batchSize: 8, shuffle: true })
  const scheduler =
    kind === 'sgd'
      ? new OneCycleLR(optimizer, 0.2, { totalSteps: 40, cycleMomentum: false })
      : new ReduceLROnPlateau(optimizer, { patience: 0 })
  return { model, optimizer, average, loader, scheduler }
}

let root = ''
let runs = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'burnish-resume-'))
})
afterAll(async () => {
  await closeDevices()
  await rm(root, { recursive: true })
})
beforeEach(async () => {
  await setDevice('cpu', { tier: 'wasm', threads: 2 })
})
const folder = () => join(root, String(++runs))

const EPOCHS = 3

interface Variant extends Partial<FitOptions> {
  readonly kind: 'sgd' | 'adamw'
}

/** Runs until step `stopAt` of all, or to the end; the state afterwards as bytes, and the losses. */
async function go(out: string, variant: Variant, stopAt: number, resume: boolean) {
  const { kind, ...options } = variant
  // A resumed process begins from another seed: all that matters must come from the checkpoint.
  const { model, loader, ...trained } = make(resume ? 99 : 1, kind)
  const controller = new AbortController()
  let steps = 0
  const run = fit(model, loader, {
    epochs: EPOCHS,
    ...trained,
    validate: new DataLoader(data(), { batchSize: 20 }),
    checkpoint: { folder: out, everySteps: 2, keep: 2 },
    resume,
    signal: controller.signal,
    ...options,
    callbacks: [
      earlyStopping({ patience: 10 }),
      {
        onStep: () => {
          if (++steps === stopAt) controller.abort(new Error('stop'))
        },
      },
    ],
  })
  const history = await run.catch((error: unknown) => {
    if (error instanceof Error && error.message === 'stop') return undefined
    throw error
  })
  if (history === undefined) return undefined
  return {
    model: await encodeState(model.stateDict()),
    optimizer: await encodeState(trained.optimizer.stateDict().tensors),
    average: await encodeState(trained.average.stateDict()),
    values: trained.optimizer.stateDict().values,
    losses: history.epochs.map(({ epoch, train, validation }) => ({ epoch, train, validation })),
  }
}

const variants: { readonly [name: string]: Variant } = {
  'SGD, one cycle, compiled': { kind: 'sgd' },
  'AdamW, plateau, compiled': { kind: 'adamw' },
  'AdamW, imperative': { kind: 'adamw', compile: false },
  'SGD, accumulated and clipped': { kind: 'sgd', accumulate: 3, clip: { norm: 0.5 } },
}

describe.each(Object.entries(variants))('fit on cpu wasm: %s', (_, variant) => {
  // 7 batches an epoch: inside of the first, at its end, inside of the second, one after the other.
  test.each([[[1]], [[3]], [[7]], [[10]], [[2, 3, 1]]])('stopped after %j steps', async (stops) => {
    const whole = await go(folder(), variant, Infinity, false)
    const out = folder()
    let resume = false
    for (const stop of stops) {
      await go(out, variant, stop, resume)
      resume = true
    }
    const resumed = await go(out, variant, Infinity, true)
    expect(whole?.losses).toHaveLength(EPOCHS)
    expect(resumed).toEqual(whole)
  })
})

describe('a loop of one own', () => {
  async function loop(out: string | undefined, from: number, steps: number) {
    const { model, optimizer, loader, average } = make(from === 0 ? 1 : 99, 'adamw')
    const trained = { model, optimizer, loader, average }
    if (from > 0 && out !== undefined) {
      const path = await latestCheckpoint(out)
      const { step, extra } = await loadCheckpoint(path ?? '', trained)
      expect([step, extra]).toEqual([from, { note: 'mine' }])
    }
    let done = from
    while (done < steps)
      for await (const [x, y] of loader) {
        optimizer.zeroGrad()
        const loss = crossEntropy(model.forward(x), y)
        loss.backward()
        await optimizer.step()
        average.update()
        if (++done === steps) break
      }
    if (out !== undefined)
      await saveCheckpoint(out, trained, { step: done, epoch: 1, extra: { note: 'mine' } })
    return encodeState(model.stateDict())
  }

  test.each([4, 7, 9])('stopped after %i steps', async (stop) => {
    const whole = await loop(undefined, 0, 16)
    const out = folder()
    await loop(out, 0, stop)
    expect(await loop(out, stop, 16)).toEqual(whole)
  })
})

test('a run goes on with more epochs; a finished one has nothing left to do', async () => {
  const out = folder()
  const whole = await go(folder(), { kind: 'sgd', epochs: 4 }, Infinity, false)
  await go(out, { kind: 'sgd', epochs: 2 }, Infinity, false)
  const more = await go(out, { kind: 'sgd', epochs: 4 }, Infinity, true)
  expect(more).toEqual(whole)
  expect((await go(out, { kind: 'sgd', epochs: 4 }, Infinity, true))?.losses).toEqual(whole?.losses)
})
