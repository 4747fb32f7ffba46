// The table of kernels and the figures of a step, from a made-up program and made-up times.
import { expect, test } from 'vitest'
import type { Program, Step } from '../compiler/program.js'
import { explainTable, kernelRows } from './explain.js'
import { figuresOf, type Recorded, trainingStep } from './recorder.js'

const step = (label: string, what: string, flops: number, parallel: boolean): Step => ({
  kernel: 0,
  slots: [],
  label,
  what,
  flops,
  bytes: 2048,
  parallel,
})
const program = (role: 'in' | 'update'): Program => ({
  machine: {
    name: 'made up',
    lanes: 4,
    tile: { splats: 2, vectors: 4 },
    fma: false,
    firstLevelCache: 1,
    secondLevelCache: 1,
  },
  arguments: [{ role, dtype: 'float32', shape: [1], bytes: 4 }],
  kernels: [],
  regions: [
    { steps: [step('conv1', 'contract [2]', 4e6, true)], commit: false },
    {
      steps: [step('conv1', 'sum [1]', 1e6, false), step('fc', 'sum [3]', 1e6, false)],
      commit: false,
    },
  ],
  arenaBytes: 0,
  scratchBytes: 0,
  reports: [],
})
const recorded = (role: 'in' | 'update', runs: number): Recorded => ({
  program: program(role),
  milliseconds: Array.from({ length: runs }, (_, i) => 1 + i),
  regions: Array.from({ length: runs }, () => [0.5, 0.25]),
})

test('figures: regions, the median run, operations over it', () => {
  expect(figuresOf(recorded('update', 3))).toEqual({
    kernels: 2,
    milliseconds: 2,
    gigaflops: 3,
    machine: 'made up',
  })
})

test('the training step is the program with updates that ran most', () => {
  const often = recorded('update', 3)
  expect(trainingStep([recorded('in', 9), recorded('update', 1), often])).toBe(often)
  expect(trainingStep([recorded('in', 9)])).toBe(undefined)
})

test('a row a region, with its layers, and the totals', () => {
  const rows = kernelRows(recorded('update', 3))
  expect(rows[1]).toMatchObject({ layer: 'conv1, fc', what: 'sum [1]; sum [3]', bytes: 4096 })
  expect(`\n${explainTable(rows, 80)}\n`).toMatchInlineSnapshot(`
    "
      #  layer     what                                      bytes      µs  GFLOP/s
      1  conv1     contract [2]                             2.0 kB     500      8.0
      2 ·conv1, fc sum [1]; sum [3]                         4.1 kB     250      8.0
         all       2 kernels, 6 MFLOP                       6.1 kB     750      8.0
    · runs on one thread
    "
  `)
})
