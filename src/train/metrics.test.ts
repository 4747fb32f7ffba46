// Means over samples, not over batches.
import { expect, test } from 'vitest'
import { Means } from './metrics.js'

test('a short last batch counts for what it holds', () => {
  const means = new Means()
  means.add({ loss: 64, accuracy: 64 }, 64)
  means.add({ loss: 128, accuracy: 0 }, 32)
  expect(means.values).toEqual({ loss: 2, accuracy: 2 / 3 })
  expect(means.samples).toBe(96)
})
