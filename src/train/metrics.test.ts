// Means over samples, not over batches; schedules over a run.
import { expect, test } from 'vitest'
import { Means } from './metrics.js'
import { constant, linear, oneCycle } from './schedule.js'

test('a short last batch counts for what it holds', () => {
  const means = new Means()
  means.add({ loss: 64, accuracy: 64 }, 64)
  means.add({ loss: 128, accuracy: 0 }, 32)
  expect(means.values).toEqual({ loss: 2, accuracy: 2 / 3 })
  expect(means.samples).toBe(96)
})

test('schedules', () => {
  expect([0, 0.5].map(constant)).toEqual([1, 1])
  expect([0, 0.25, 1].map(linear)).toEqual([1, 0.75, 0])
  const cycle = oneCycle({ warmup: 0.2, start: 0.1, end: 0 })
  expect(cycle(0)).toBeCloseTo(0.1)
  expect(cycle(0.1)).toBeCloseTo(0.55)
  expect(cycle(0.2)).toBeCloseTo(1)
  expect(cycle(0.6)).toBeCloseTo(0.5)
  expect(cycle(1)).toBeCloseTo(0)
})
