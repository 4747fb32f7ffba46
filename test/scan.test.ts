// The function scan on tensors: against loops, with gradients, in compiled functions and under grad of grad.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BatchNorm1d, Linear } from '../src/nn/index.js'
import { SGD } from '../src/optim/index.js'
import { grad } from '../src/tensor/backward.js'
import { compile } from '../src/tensor/compile.js'
import { arange, ones, tensor, zeros } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { Parameter } from '../src/tensor/parameter.js'
import { scan } from '../src/tensor/scan.js'
import type { Tensor } from '../src/tensor/tensor.js'

beforeAll(() => setDevice('cpu', { threads: 2 }))
afterAll(closeDevices)

const numbers = async (t: Tensor) => [...(await t.data())]

describe('scan', () => {
  it('carries sums, forwards and back', async () => {
    const x = tensor([
      [1, 2],
      [3, 4],
      [5, 6],
    ])
    const step = (sum: Tensor, row: Tensor) => {
      const next = sum.add(row)
      return [next, next.mul(10)] as const
    }
    const [sum, sums] = scan(step, zeros([2]), x)
    expect(await numbers(sum)).toEqual([9, 12])
    expect(await numbers(sums)).toEqual([10, 20, 40, 60, 90, 120])
    const [, back] = scan(step, zeros([2]), x, { reverse: true })
    expect(await numbers(back)).toEqual([90, 120, 80, 100, 50, 60])
  })

  it('takes lists, integers and bools', async () => {
    const [[count, last], [halves, evens]] = scan(
      ([n, before]: readonly [Tensor, Tensor], [x, k]: readonly [Tensor, Tensor]) =>
        [
          [n.add(1), x],
          [x.add(before).div(2), k.fmod(2).eq(0)],
        ] as const,
      [tensor(0, { dtype: 'int32' }), tensor(8)] as const,
      [tensor([4, 2, 6]), arange(3)] as const,
    )
    expect(count.dtype).toBe('int32')
    expect([await count.item(), await last.item()]).toEqual([3, 6])
    expect(await numbers(halves)).toEqual([6, 3, 4])
    expect(await numbers(evens)).toEqual([1, 0, 1])
  })

  it('has first and second derivatives: (1 + r)^5', async () => {
    const r = tensor(0.1)
    const [worth] = scan(
      (worth: Tensor, _x: Tensor) => [worth.mul(r.add(1)), worth] as const,
      tensor(1),
      zeros([5]),
    )
    const [first] = grad(worth, [r])
    const [second] = grad(first, [r])
    expect(await worth.item()).toBeCloseTo(1.1 ** 5, 5)
    expect(await first.item()).toBeCloseTo(5 * 1.1 ** 4, 4)
    expect(await second.item()).toBeCloseTo(20 * 1.1 ** 3, 3)
  })

  it('has the gradients of views and constants that a step reads', async () => {
    const x = tensor([
      [1, 2],
      [3, 4],
    ])
    const made = [
      () => tensor([1, 2, 3, 4]).reshape(2, 2),
      () => tensor([1, 3, 2, 4]).reshape(2, 2).transpose(0, 1),
      () => tensor([9, 9, 1, 2, 3, 4]).reshape(3, 2).slice(1),
    ]
    for (const device of ['reference', 'cpu'] as const) {
      await setDevice(device, device === 'cpu' ? { threads: 2 } : {})
      for (const make of made) {
        const w = make()
        const step = (more: boolean) => (h: Tensor, row: Tensor) => {
          const next = h.matmul(w).add(row)
          return [more ? next.add(w.sum(0)) : next, row] as const
        }
        const [plain] = scan(step(false), ones([1, 2]), x)
        expect(await numbers(grad(plain.sum(), [w])[0])).toEqual([8, 12, 11, 15])
        const [more] = scan(step(true), ones([1, 2]), x)
        expect(await numbers(grad(more.sum(), [w])[0])).toEqual([16, 24, 21, 29])
      }
      const one = ones([1]).expand(2)
      const [h] = scan(
        (h: Tensor, row: Tensor) => [h.mul(one).add(row), row] as const,
        ones([2]),
        x,
      )
      expect(await numbers(grad(h.sum(), [one])[0])).toEqual([3, 4])
    }
  })

  it('has the gradient of a carry that waits a step, constant and with a history', async () => {
    const x = tensor([
      [2, 3],
      [4, 5],
    ])
    for (const device of ['reference', 'cpu'] as const) {
      await setDevice(device, device === 'cpu' ? { threads: 2 } : {})
      const [[a]] = scan(
        ([a, b]: readonly [Tensor, Tensor], row: Tensor) => [[b, a.mul(row)], b] as const,
        [ones([2]), ones([2])] as const,
        x,
      )
      expect(await numbers(grad(a.sum(), [x])[0])).toEqual([1, 1, 0, 0])
    }
  })

  it('trains what a step reads, in a compiled function', async () => {
    const rate = new Parameter(tensor(0.5))
    const optimizer = new SGD([rate], { lr: 0.02 })
    const x = ones([8])
    // The series decays at 0.8 a step.
    const target = tensor(Float32Array.from({ length: 8 }, (_, i) => 0.8 ** (i + 1)))
    const train = compile((xs: Tensor, wanted: Tensor) => {
      optimizer.zeroGrad()
      const [, ys] = scan(
        (level: Tensor, _x: Tensor) => {
          const next = level.mul(rate)
          return [next, next] as const
        },
        tensor(1),
        xs,
      )
      const loss = ys.sub(wanted).square().sum()
      loss.backward()
      optimizer.step()
      return loss
    })
    for (let i = 0; i < 60; i++) await train(x, target).item()
    expect(await rate.item()).toBeCloseTo(0.8, 3)
  })

  it('says what does not fit', async () => {
    const x = zeros([3, 2])
    expect(() => scan((c: Tensor, row: Tensor) => [c.add(row), row], zeros([]), x)).toThrow(
      /carry 0 is float32 \[\], but step returns float32 \[2\]/,
    )
    expect(() => scan((c: Tensor, [a]: readonly Tensor[]) => [c, a], x, [x, zeros([4])])).toThrow(
      /3 and 4 positions/,
    )
    const norm = new BatchNorm1d(2)
    expect(() =>
      scan((c: Tensor, rows: Tensor) => [c, norm.forward(rows)], zeros([]), zeros([3, 4, 2])),
    ).toThrow(/step changes state/)
    let leaked: Tensor | undefined
    scan(
      (c: Tensor, row: Tensor) => {
        leaked = row.add(1)
        return [c, row]
      },
      zeros([2]),
      x,
    )
    await expect(leaked?.data()).rejects.toThrow(/a tensor of one step was read/)
  })

  it('leaves nothing of its steps to the next step of an optimizer', async () => {
    const layer = new Linear(2, 2)
    const [, ys] = scan(
      (c: Tensor, row: Tensor) => {
        const next = layer.forward(row.add(c).unsqueeze(0)).squeeze(0).tanh()
        return [next, next] as const
      },
      zeros([2]),
      ones([4, 2]),
    )
    const optimizer = new SGD(layer.parameters(), { lr: 0.1 })
    const loss = ys.square().sum()
    const before = await loss.item()
    loss.backward()
    await optimizer.step()
    expect(before).toBeGreaterThan(0)
    expect((await numbers(layer.weight)).every(Number.isFinite)).toBe(true)
  })
})
