// LeNet on MNIST, step for step as PyTorch trained it: 200 losses, then accuracy and loss on the test digits.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ImageDataset } from '../src/data/index.js'
import { mnist } from '../src/data/index.js'
import { LeNet } from '../src/models/lenet.js'
import { crossEntropy } from '../src/nn/index.js'
import { SGD } from '../src/optim/index.js'
import { compile } from '../src/tensor/compile.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { hasNative, ownCache } from './run-native.js'
import { difference, fill, goldenJson, requireAll } from './support.js'

const BATCH = 64
const TEST_BATCH = 500

interface Golden {
  readonly losses: readonly number[]
  readonly test_accuracy: number
  readonly test_loss: number
}
const golden = goldenJson<Golden>('lenet_mnist.json')

async function digits(train: boolean): Promise<ImageDataset | undefined> {
  try {
    return await mnist({ train })
  } catch (error) {
    if (requireAll) throw error
    console.warn(`LeNet's golden steps skipped: ${String(error)}`)
    return undefined
  }
}
const learn = await digits(true)
const check = await digits(false)

/** Digits start … start + count − 1 as [count, 1, 28, 28] in 0 … 1, and their labels. */
function batch(data: ImageDataset, start: number, count: number): readonly [Tensor, Tensor] {
  const bytes = data.images.data.subarray(start * 784, (start + count) * 784)
  const pixels = Float32Array.from(bytes, (byte) => byte / 255)
  const labels = data.labels.slice(start, start + count)
  return [tensor(pixels, { shape: [count, 1, 28, 28] }), tensor(labels)]
}

function filledLeNet(): LeNet {
  const model = new LeNet()
  model.loadStateDict(
    Object.fromEntries(
      Object.entries(model.stateDict()).map(([name, { shape }]) => [
        name,
        tensor(fill(name, shape), { shape }),
      ]),
    ),
  )
  return model
}

/** The losses of the first steps, imperative or compiled. */
async function train(model: LeNet, data: ImageDataset, steps: number, compiled: boolean) {
  const optimizer = new SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
  const body = (images: Tensor, labels: Tensor) => {
    optimizer.zeroGrad()
    const loss = crossEntropy(model.forward(images), labels)
    loss.backward()
    return { loss, done: optimizer.step() }
  }
  const step = compiled
    ? compile((images: Tensor, labels: Tensor) => ({ loss: body(images, labels).loss }))
    : async (images: Tensor, labels: Tensor) => {
        const { loss, done } = body(images, labels)
        await done
        return { loss }
      }
  const losses: number[] = []
  for (let i = 0; i < steps; i++) {
    const { loss } = await step(...batch(data, i * BATCH, BATCH))
    losses.push(await loss.item())
  }
  return losses
}

async function test(model: LeNet, data: ImageDataset) {
  model.eval()
  let correct = 0
  let loss = 0
  for (let start = 0; start < data.length; start += TEST_BATCH) {
    const [images, labels] = batch(data, start, TEST_BATCH)
    const logits = model.forward(images)
    const hits = logits.argmax(1).eq(labels).sum()
    const sum = crossEntropy(logits, labels, { reduction: 'sum' })
    const [a, b] = await Promise.all([hits.item(), sum.item()])
    correct += a
    loss += b
  }
  return { accuracy: correct / data.length, loss: loss / data.length }
}

interface Run {
  readonly device: string
  readonly threads: number
  readonly compiled: boolean
  readonly steps: number
  readonly tier?: 'native'
}
ownCache()
const native = await hasNative()
const runs: readonly Run[] = [
  { device: 'reference', threads: 1, compiled: false, steps: 2 },
  { device: 'cpu', threads: 1, compiled: false, steps: 200 },
  { device: 'cpu', threads: 1, compiled: true, steps: 200 },
  { device: 'cpu', threads: 2, compiled: true, steps: 200 },
  { device: 'cpu', threads: 1, compiled: true, steps: 200, tier: 'native' },
  { device: 'cpu', threads: 2, compiled: true, steps: 200, tier: 'native' },
]

for (const { device, threads, compiled, steps, tier } of runs)
  describe.skipIf(!golden || !learn || !check || (tier && !native))(
    `LeNet on ${device}, ${tier ? `${tier}, ` : ''}${threads} threads, ${compiled ? 'compiled' : 'imperative'}`,
    () => {
      beforeAll(async () => {
        await setDevice(device, { threads, tier })
      })
      afterAll(closeDevices)

      it(`${steps} steps`, async () => {
        if (!golden || !learn || !check) return
        const model = filledLeNet()
        const losses = await train(model, learn, steps, compiled)
        expect(difference(losses, golden.losses.slice(0, steps), 1e-3)).toBeUndefined()
        if (steps < golden.losses.length) return
        const { accuracy, loss } = await test(model, check)
        expect(Math.abs(accuracy - golden.test_accuracy)).toBeLessThanOrEqual(1e-3)
        // Late in the trajectory roundings grow: the scale is that of the trajectory, as for its losses.
        expect(Math.abs(loss - golden.test_loss)).toBeLessThanOrEqual(1e-3 * golden.losses[0])
      })
    },
  )
