// Rule 19 of the semantics: an AbortSignal in fit, evaluate and loaders acts between steps. The weights are whole, the
// checkpoint that fit saves then resumes to the bits of a run that was never stopped; a process that ends at once, on a
// second Ctrl-C, leaves the last checkpoint whole.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { DataLoader, hostArray, TensorDataset } from '../src/data/index.js'
import { encodeState } from '../src/io/state.js'
import { Linear } from '../src/nn/index.js'
import { Adam } from '../src/optim/index.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { manualSeed } from '../src/tensor/random.js'
import { latestCheckpoint, loadCheckpoint } from '../src/train/checkpoint.js'
import { confusion, evaluate, type FitOptions, fit, predict } from '../src/train/index.js'

const COUNT = 30
const data = new TensorDataset(
  hostArray(
    Float32Array.from({ length: COUNT * 3 }, (_, i) => Math.sin(i * i)),
    [COUNT, 3],
  ),
  hostArray(Int32Array.from({ length: COUNT }, (_, i) => i % 2)),
)
let root = ''
let runs = 0
const fresh = () => join(root, String(++runs))
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'burnish-abort-'))
})
afterAll(async () => {
  await closeDevices()
  await rm(root, { recursive: true })
})
beforeEach(async () => {
  await setDevice('cpu', { tier: 'wasm', threads: 1 })
})

function make() {
  manualSeed(5)
  const model = new Linear(3, 2)
  const optimizer = new Adam(model.parameters(), { lr: 0.05 })
  const loader = new DataLoader(data, { batchSize: 4, shuffle: true })
  return { model, optimizer, loader }
}

async function train(options: Partial<FitOptions>) {
  const { model, optimizer, loader } = make()
  const error: unknown = await fit(model, loader, { epochs: 3, optimizer, ...options }).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  return { error, model, bytes: await encodeState(model.stateDict()) }
}

/** Aborts in the moment that `onStep` of this step is told, or so many milliseconds later. */
function aborting(at: number, later?: number) {
  const controller = new AbortController()
  const reason = new Error('Ctrl-C')
  const seen = { steps: 0 }
  const onStep = () => {
    if (++seen.steps !== at) return
    if (later === undefined) controller.abort(reason)
    else setTimeout(() => controller.abort(reason), later)
  }
  return { signal: controller.signal, reason, seen, callbacks: [{ onStep }] }
}

test('fit ends between two steps, with a checkpoint that resumes to the same bits', async () => {
  const whole = await train({})
  for (const at of [1, 8, 9]) {
    const folder = fresh()
    const { signal, reason, seen, callbacks } = aborting(at)
    const { error } = await train({ signal, callbacks, checkpoint: { folder } })
    expect([error, seen.steps]).toEqual([reason, at])
    const { step } = await loadCheckpoint((await latestCheckpoint(folder)) ?? '', make())
    expect(step).toBe(at)
    const resumed = await train({ resume: true, checkpoint: { folder } })
    expect(resumed.error).toBeUndefined()
    expect(resumed.bytes).toEqual(whole.bytes)
  }
})

test('at any moment: in a step, while batches are made, while it is evaluated', async () => {
  const whole = await train({ accumulate: 2, validate: new DataLoader(data, { batchSize: 3 }) })
  for (const later of [0, 1, 2, 4]) {
    const folder = fresh()
    const { signal, reason, callbacks } = aborting(3, later)
    const validate = new DataLoader(data, { batchSize: 3, signal })
    const options = { accumulate: 2, validate, checkpoint: { folder } }
    const first = await train({ ...options, signal, callbacks })
    if (first.error !== undefined) expect(first.error).toBe(reason)
    const resumed = await train({
      ...options,
      validate: new DataLoader(data, { batchSize: 3 }),
      resume: true,
    })
    expect(resumed.error).toBeUndefined()
    expect(resumed.bytes).toEqual(whole.bytes)
  }
})

test('a signal that was aborted before starts nothing', async () => {
  const { model, optimizer, loader } = make()
  const before = await encodeState(model.stateDict())
  const signal = AbortSignal.abort(new Error('too late'))
  await expect(fit(model, loader, { epochs: 1, optimizer, signal })).rejects.toThrow('too late')
  expect(await encodeState(model.stateDict())).toEqual(before)
  for (const run of [evaluate, predict, confusion])
    await expect(run(model, loader, { signal })).rejects.toThrow('too late')
  const stopped = new DataLoader(data, { signal })
  await expect(stopped[Symbol.asyncIterator]().next()).rejects.toThrow('too late')
})

test('evaluate ends between two batches and gives the mode back', async () => {
  const { model } = make()
  const controller = new AbortController()
  const forward = vi.fn()
  model.registerForwardHook(forward)
  const stops = new DataLoader(data, {
    batchSize: 5,
    collate: (items) => {
      controller.abort(new Error('enough'))
      return items[0].map((t) => t.unsqueeze(0))
    },
  })
  await expect(evaluate(model, stops, { signal: controller.signal })).rejects.toThrow('enough')
  expect([forward.mock.calls.length, model.training]).toEqual([0, true])
})

test('a process that ends at once leaves the last checkpoint whole', async () => {
  const folder = fresh()
  const script = fileURLToPath(new URL('./killed-run.mjs', import.meta.url))
  const child = spawn(process.execPath, [script, folder, 'compiled'])
  let steps = 0
  child.stdout.on('data', (chunk) => {
    steps += String(chunk).split('\n').length - 1
    // Nothing handles SIGINT here: the process ends where it is.
    if (steps >= 5) child.kill('SIGINT')
  })
  const signal = await new Promise((resolve) => child.on('exit', (_, by) => resolve(by)))
  expect(signal).toBe('SIGINT')
  const path = await latestCheckpoint(folder)
  expect(path).toMatch(/step-\d+$/)
})
