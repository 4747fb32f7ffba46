// Profiles: from made-up times, checked by hand; the trace against the Trace Event Format; and of a run of fit.
import { afterAll, expect, test } from 'vitest'
import type { Program, Step } from '../compiler/program.js'
import { DataLoader, hostArray, TensorDataset } from '../data/index.js'
import { Linear } from '../nn/index.js'
import { SGD } from '../optim/index.js'
import { closeDevices, currentDevice, setDevice } from '../tensor/devices.js'
import { measureCeilings } from './ceilings.js'
import { fit } from './fit.js'
import { type Profile, profileOf, shareOfCeiling } from './profile.js'
import type { Trace } from './trace.js'

afterAll(closeDevices)

const step = (label: string, flops: number, parallel: boolean): Step => ({
  kernel: 0,
  slots: [],
  label,
  what: 'contract [2]',
  flops,
  bytes: 1e6,
  parallel,
})
const program: Program = {
  machine: {
    name: 'made up',
    lanes: 4,
    tile: { splats: 2, vectors: 4 },
    fma: false,
    firstLevelCache: 1,
    secondLevelCache: 1,
  },
  arguments: [],
  kernels: [],
  regions: [
    { steps: [step('conv1', 4e6, true)], commit: false },
    { steps: [step('conv1', 1e6, false), step('', 0, false)], commit: false },
    { steps: [step('', 2e6, true)], commit: true },
  ],
  arenaBytes: 0,
  scratchBytes: 0,
  reports: [],
}
// Start; step, barrier; step, step, barrier; step, barrier.
const run = {
  code: 0,
  value: 0,
  milliseconds: 9,
  stamps: [
    [100, 102, 103, 105, 105, 105, 108, 109],
    [100, 103, 103, 103, 104, 105, 107, 109],
  ],
}

test('a kernel takes as long as its slowest thread; layers are sums; waits are means', () => {
  const profile = profileOf({ program, reports: [run, run, run] })
  expect(profile.kernels.map(({ milliseconds }) => milliseconds)).toEqual([3, 2, 1, 3])
  expect(profile.kernels.map(({ layer }) => layer)).toEqual(['conv1', 'conv1', 'loss', 'optimizer'])
  expect(profile.layers[0]).toEqual({
    layer: 'conv1',
    kernels: 2,
    flops: 5e6,
    bytes: 2e6,
    milliseconds: 5,
  })
  expect(profile).toMatchObject({ threads: 2, runs: 3, milliseconds: 9, machine: 'made up' })
  expect(profile.waiting).toBe((1 + 0 + 1 + (0 + 1 + 2)) / 2)
})

test('the nearer ceiling is the limit', () => {
  const ceilings = { gigaflops: 10, gigabytes: 1, threads: 1, machine: 'made up' }
  expect(shareOfCeiling({ flops: 5e6, bytes: 1e5, milliseconds: 1 }, ceilings)).toEqual({
    share: 0.5,
    limit: 'arithmetic',
  })
  expect(shareOfCeiling({ flops: 5e6, bytes: 9e5, milliseconds: 1 }, ceilings)).toEqual({
    share: 0.9,
    limit: 'memory',
  })
})

/** What Perfetto needs of an event: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU */
function expectTrace(trace: Trace): void {
  const { displayTimeUnit, traceEvents } = JSON.parse(JSON.stringify(trace))
  expect(displayTimeUnit).toBe('ms')
  const named = new Set<number>()
  for (const event of traceEvents) {
    expect(Number.isInteger(event.pid) && Number.isInteger(event.tid)).toBe(true)
    if (event.ph === 'M') {
      expect(['process_name', 'thread_name']).toContain(event.name)
      expect(typeof event.args.name).toBe('string')
      named.add(event.tid)
      continue
    }
    expect(event.ph).toBe('X')
    expect(event.name.length).toBeGreaterThan(0)
    expect(['run', 'kernel', 'wait']).toContain(event.cat)
    expect(event.ts).toBeGreaterThanOrEqual(0)
    expect(event.dur).toBeGreaterThanOrEqual(0)
    expect(named).toContain(event.tid)
  }
  // Kernels of a row never overlap.
  const ends = new Map<number, number>()
  for (const { ph, cat, tid, ts, dur } of traceEvents) {
    if (ph !== 'X' || cat !== 'kernel') continue
    expect(ts).toBeGreaterThanOrEqual((ends.get(tid) ?? 0) - 0.01)
    ends.set(tid, ts + dur)
  }
}

test('the trace: each kernel on the threads that ran it, and the waits', () => {
  const { trace } = profileOf({ program, reports: [run] })
  expectTrace(trace)
  const rows = trace.traceEvents.map((event) =>
    event.ph === 'M' ? event.args.name : `${event.tid} ${event.name} ${event.ts}+${event.dur}`,
  )
  expect(rows).toEqual([
    'burnish, made up',
    'runs',
    'thread 0',
    'thread 1',
    '0 run 1 0+9000',
    '1 conv1: contract [2] 0+2000',
    '1 conv1: contract [2] 3000+2000',
    '1 optimizer: contract [2] 5000+3000',
    '1 wait 2000+1000',
    '1 wait 8000+1000',
    '2 conv1: contract [2] 0+3000',
    '2 loss: contract [2] 3000+1000',
    '2 optimizer: contract [2] 5000+2000',
    '2 wait 4000+1000',
    '2 wait 7000+2000',
  ])
})

test('fit times some of its steps', async () => {
  await setDevice('cpu', { threads: 2 })
  const features = Float32Array.from({ length: 128 }, (_, i) => Math.sin(i))
  const classes = Int32Array.from({ length: 64 }, (_, i) => i % 3)
  const data = new TensorDataset(hostArray(features, [64, 2]), hostArray(classes))
  const loader = new DataLoader(data, { batchSize: 4 })
  const model = new Linear(2, 3)
  const told: Profile[] = []
  const { profile, epochs } = await fit(model, loader, {
    optimizer: new SGD(model.parameters(), { lr: 0.1 }),
    epochs: 2,
    profile: { steps: 4, after: 3, ceilings: true },
    callbacks: [{ onProfile: (profile) => void told.push(profile) }],
  })
  expect(epochs).toHaveLength(2)
  expect(told).toEqual([profile])
  expect(profile?.runs).toBe(4)
  expect(profile?.threads).toBe(2)
  expect(profile?.ceilings?.gigaflops).toBeGreaterThan(1)
  expect(profile?.kernels.length).toBeGreaterThan(1)
  for (const { milliseconds } of profile?.kernels ?? [])
    expect(milliseconds).toBeGreaterThanOrEqual(0)
  if (profile) expectTrace(profile.trace)
})

test('ceilings are those of the device; one that interprets graphs has none', async () => {
  await setDevice('reference')
  expect(await measureCeilings(await currentDevice())).toBe(undefined)
})
