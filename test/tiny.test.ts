// A tour of Burnish in a hundred lines: tensors, gradients, a model, both training loops. Read it first.
import { afterAll, expect, it } from 'vitest'
import {
  closeDevices,
  compile,
  grad,
  manualSeed,
  Parameter,
  randn,
  step,
  type Tensor,
  tensor,
  where,
} from '../src/index.js'
import * as nn from '../src/nn/index.js'
import { SGD } from '../src/optim/index.js'

afterAll(closeDevices)

it('tensors are lazy: they compute when they are read', async () => {
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]) // [2, 3] float32
  const y = x.mul(2).sum(1) // [2]
  expect(y.shape).toEqual([2])
  expect(await y.data()).toEqual(Float32Array.of(12, 30))
  expect(await x.mean().item()).toBe(3.5)
  // NumPy's broadcasting, PyTorch's names.
  const z = where(x.gt(2), x, 0).matmul(tensor([[1], [1], [1]])) // [2, 1]
  expect(await z.squeeze(1).data()).toEqual(Float32Array.of(3, 15))
  expect(await x.argmax(1).data()).toEqual(Int32Array.of(2, 2))
})

it('gradients are tensors, and have gradients themselves', async () => {
  const x = tensor([1, 2, 3])
  const [first] = grad(x.pow(3).sum(), [x])
  const [second] = grad(first.sum(), [x])
  expect(await first.data()).toEqual(Float32Array.of(3, 12, 27))
  expect(await second.data()).toEqual(Float32Array.of(6, 12, 18))
})

it('a parameter keeps its data; step replaces it', async () => {
  const w = new Parameter(tensor([5]))
  for (let i = 0; i < 50; i++) {
    w.grad = undefined
    w.sub(2).square().sum().backward()
    const gradient = w.grad as Tensor | undefined
    if (gradient) await step([[w, w.sub(gradient.mul(0.2))]])
  }
  expect(await w.item()).toBeCloseTo(2, 4)
})

/** Two layers that learn whether two numbers have the same sign. */
class Signs extends nn.Module {
  readonly hidden = new nn.Linear(2, 16)
  readonly out = new nn.Linear(16, 2)
  forward(x: Tensor): Tensor {
    return this.out.forward(nn.relu(this.hidden.forward(x))) // [N, 2]
  }
}

function example(size: number): { points: Tensor; labels: Tensor } {
  const points = randn([size, 2])
  const labels = points.prod(1).gt(0).int() // [N]
  return { points, labels }
}

it('a training loop looks as it does in PyTorch', async () => {
  manualSeed(0)
  const model = new Signs()
  const optimizer = new SGD(model.parameters(), { lr: 0.5, momentum: 0.9 })
  let loss = 0
  for (let i = 0; i < 200; i++) {
    const { points, labels } = example(64)
    optimizer.zeroGrad()
    const cost = nn.crossEntropy(model.forward(points), labels)
    cost.backward()
    await optimizer.step() // one program: loss, gradients, updates
    loss = await cost.item()
  }
  expect(loss).toBeLessThan(0.2)

  model.eval()
  const { points, labels } = example(1000)
  const correct = model.forward(points).argmax(1).eq(labels).sum()
  expect((await correct.item()) / 1000).toBeGreaterThan(0.9)
})

it('compile makes one call of it; the numbers are the same', async () => {
  const run = async (wrap: (body: () => Tensor) => () => Tensor) => {
    manualSeed(0)
    const model = new Signs()
    const optimizer = new SGD(model.parameters(), { lr: 0.5, momentum: 0.9 })
    const body = wrap(() => {
      const { points, labels } = example(64)
      optimizer.zeroGrad()
      const loss = nn.crossEntropy(model.forward(points), labels)
      loss.backward()
      optimizer.step()
      return loss
    })
    const losses: number[] = []
    for (let i = 0; i < 20; i++) losses.push(await body().item())
    return losses
  }
  const imperative = await run((body) => body)
  const compiled = await run(compile)
  expect(compiled).toEqual(imperative)
  expect(compiled[19]).toBeLessThan(compiled[0])
})

it('an error says where, which rule, both values, and the fix', () => {
  expect(() => new Signs().forward(randn([4, 3]))).toThrow(/hidden.*3.*2/)
})
