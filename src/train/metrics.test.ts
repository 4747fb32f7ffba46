// Metrics are means over samples, whatever the sizes of the batches; outputs and confusion over whole sets.
import { beforeEach, describe, expect, test } from 'vitest'
import { DataLoader, hostArray, TensorDataset } from '../data/index.js'
import { l1Loss } from '../nn/functional.js'
import { Dropout, Module } from '../nn/index.js'
import { tensor } from '../tensor/create.js'
import { setDevice } from '../tensor/devices.js'
import type { Tensor } from '../tensor/tensor.js'
import { evaluate } from './evaluate.js'
import { accuracy, Means, meanOf, topK } from './metrics.js'
import { confusion, predict } from './predict.js'

beforeEach(async () => {
  await setDevice('reference')
})

test('a mean over samples is not the mean of batch means', () => {
  const means = new Means()
  means.add({ loss: 4 * 1, accuracy: 4 }, 4)
  means.add({ loss: 1 * 6, accuracy: 0 }, 1)
  expect(means.values).toEqual({ loss: 2, accuracy: 4 / 5 })
  expect(means.samples).toBe(5)
  const going = new Means({ sums: means.sums, samples: means.samples })
  going.add({ loss: 2, accuracy: 1 }, 1)
  expect(going.values).toEqual({ loss: 2, accuracy: 5 / 6 })
})

/** Says of x what x says. */
class Same extends Module {
  forward(x: Tensor): Tensor {
    return x
  }
}
const logits = [
  [1, 5, 3, 0],
  [9, 1, 2, 3],
  [0, 0, 7, 6],
  [4, 3, 2, 1],
  [2, 2, 2, 2],
]
const targets = [2, 0, 3, 3, 1]
const set = new TensorDataset(
  hostArray(Float32Array.from(logits.flat()), [5, 4]),
  hostArray(Int32Array.from(targets)),
)
const batches = () => new DataLoader(set, { batchSize: 2 })

test('accuracy, top k, means of losses', async () => {
  const values = await evaluate(new Same(), batches(), {
    metrics: {
      accuracy,
      top2: topK(2),
      top4: topK(4),
      twice: meanOf((output) => output.mean().mul(2)),
    },
  })
  expect(values.accuracy).toBe(1 / 5)
  // Equal logits count for the target.
  expect(values.top2).toBe(4 / 5)
  expect(values.top4).toBe(1)
  expect(values.twice).toBeCloseTo((2 * logits.flat().reduce((a, b) => a + b)) / 20, 6)
  const mae = await evaluate(
    new Same(),
    new DataLoader(new TensorDataset(tensor([[1], [2], [6]]), tensor([[0], [0], [0]])), {
      batchSize: 2,
    }),
    { loss: l1Loss, metrics: { mae: meanOf(l1Loss) } },
  )
  expect(mae).toEqual({ loss: 3, mae: 3 })
  expect(() => topK(0)).toThrow(/whole number from 1/)
})

describe('over a whole set', () => {
  test('predict: all outputs in order, the mode restored', async () => {
    const model = new Same()
    const all = await predict(model, batches())
    expect([all.shape, Array.from(await all.data())]).toEqual([[5, 4], logits.flat()])
    expect(model.training).toBe(true)
    const none = new DataLoader(set, { batchSize: 9, dropLast: true })
    await expect(predict(model, none)).rejects.toThrow(/no batches/)
  })

  test('what was frozen stays so', async () => {
    class Frozen extends Same {
      frozen = new Dropout(0.5)
      free = new Dropout(0.5)
    }
    const model = new Frozen()
    model.frozen.eval()
    await predict(model, batches())
    await evaluate(model, batches())
    expect([model.training, model.frozen.training, model.free.training]).toEqual([
      true,
      false,
      true,
    ])
  })

  test('confusion: target by row, said by column', async () => {
    const result = await confusion(new Same(), batches())
    expect(result.counts).toEqual([
      [1, 0, 0, 0],
      [1, 0, 0, 0],
      [0, 1, 0, 0],
      [1, 0, 1, 0],
    ])
    expect(result.accuracy).toBe(1 / 5)
    expect(result.recall).toEqual([1, 0, 0, 0])
    expect(result.precision).toEqual([1 / 3, 0, 0, Number.NaN])
    const wrong = new TensorDataset(
      hostArray(new Float32Array(4), [1, 4]),
      hostArray(Int32Array.of(4)),
    )
    await expect(confusion(new Same(), new DataLoader(wrong))).rejects.toThrow(
      /target 4 is not in 0 … 3/,
    )
  })
})
