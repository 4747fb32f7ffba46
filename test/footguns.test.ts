// The corners of a lazy framework, each numbered rule as a test: when things run, what a step returns,
// what is stale, what a compiled function sees. Run on every device of DEVICES.
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  arange,
  BurnishError,
  closeDevices,
  compile,
  concat,
  grad,
  keep,
  manualSeed,
  noGrad,
  ones,
  Parameter,
  rand,
  randn,
  scalar,
  setDevice,
  step,
  type Tensor,
  tensor,
  where,
  withDevice,
  zeros,
} from '../src/index.js'
import { context } from '../src/tensor/context.js'
import { currentRunner } from '../src/tensor/devices.js'
import { submitGradients } from '../src/tensor/submit.js'

const DEVICES = ['reference', 'cpu'] as const

/** A model of one weight matrix, as modules see the context: label, outermost result, state in training. */
class Model {
  readonly weight = new Parameter(
    tensor([
      [0.5, -0.25, 0.1],
      [0.2, 0.3, -0.4],
    ]),
  )
  readonly mean = new Parameter(zeros([2]), { role: 'state' })
  training = false
  constructor() {
    this.weight.name = 'fc.weight'
    this.mean.name = 'fc.mean'
  }
  forward(x: Tensor): Tensor {
    context.enter(this, 'fc')
    context.watch(() => this.training)
    try {
      const y = x.matmul(this.weight.transpose(0, 1)).tanh() // [N, 2]
      if (this.training) this.mean.set(this.mean.mul(0.5).add(y.detach().mean(0)))
      if (context.depth === 1) context.forwarded(y)
      return y
    } finally {
      context.leave()
    }
  }
  zeroGrad(): void {
    this.weight.grad = undefined
  }
  /** Gradient descent with a rate that is read at each submission. */
  update(rate = 0.1, options: { guard?: Tensor } = {}): Promise<void> {
    const { grad: gradient } = this.weight
    if (gradient === undefined) throw new Error('no gradient')
    return step([[this.weight, this.weight.sub(gradient.mul(rate))]], options)
  }
}

const batch = (seed = 0) =>
  tensor([
    [1, 2, 3],
    [seed, -1, 0.5],
    [0.25, 0.5, seed],
  ])
const lossOf = (y: Tensor) => y.square().mean()
const values = async (t: Tensor) => Array.from(await t.data())
const compiled = () => currentRunner().compiled

for (const device of DEVICES)
  describe(`on ${device}`, () => {
    beforeAll(async () => {
      await setDevice(device)
    })
    beforeEach(() => {
      manualSeed(1)
    })
    afterAll(async () => {
      context.forwards = []
      await closeDevices()
    })

    it('1. nothing runs until a submission, and a forgotten await changes no number', async () => {
      const count = compiled()
      const x = tensor([1, 2, 3]).mul(2).add(1)
      expect(compiled()).toBe(count)
      expect(String(x)).toContain('lazy')
      expect(await values(x)).toEqual([3, 5, 7])

      const run = async (wait: boolean) => {
        const model = new Model()
        for (let i = 0; i < 5; i++) {
          model.zeroGrad()
          lossOf(model.forward(batch(i))).backward()
          const done = model.update()
          if (wait) await done
        }
        return values(model.weight)
      }
      expect(await run(false)).toEqual(await run(true))
    })

    it('2. submissions run in order: an evaluation after a step needs no await', async () => {
      const p = new Parameter(tensor([1]))
      step([[p, p.add(1)]])
      const after = p.mul(10).item()
      step([[p, p.mul(5)]])
      expect(await after).toBe(20)
      expect(await p.item()).toBe(10)
    })

    it('3. a graph over replaced weights is an error, never a silent recomputation', async () => {
      const model = new Model()
      const unread = model.weight.sum()
      model.zeroGrad()
      lossOf(model.forward(batch())).backward()
      await model.update()
      await expect(unread.item()).rejects.toThrow(
        /computed with weights \(fc\.weight\) that step\(\) has replaced: read it before step\(\), or keep\(t\)/,
      )
      const p = new Parameter(tensor([1, 2]))
      const before = p.mul(2)
      p.set([3, 4])
      await expect(before.data()).rejects.toThrow(/set\(\) has replaced/)
      expect(await values(p)).toEqual([3, 4])
    })

    it('4. a step returns its losses, the results of outermost forwards, and what keep marked', async () => {
      const model = new Model()
      const y = model.forward(batch())
      const loss = lossOf(y)
      const kept = keep(y.sum())
      model.zeroGrad()
      loss.backward()
      const norm = keep((model.weight.grad as Tensor).square().sum().sqrt())
      await model.update()
      const count = compiled()
      expect(await loss.item()).toBeGreaterThan(0)
      expect(await kept.item()).toBeCloseTo(
        (await values(y)).reduce((a, b) => a + b),
        5,
      )
      expect(await norm.item()).toBeGreaterThan(0)
      expect(compiled()).toBe(count)
      // What is built on a result after the step reads its value.
      expect(await values(y.argmax(1).eq(tensor(Int32Array.of(0, 1, 1))))).toHaveLength(3)
    })

    it('5. a value keeps its definition while a trainable parameter is reachable, else drops it', async () => {
      const model = new Model()
      const y = model.forward(batch())
      const loss = lossOf(y)
      const first = await loss.item()
      model.zeroGrad()
      loss.backward() // after the read
      await model.update()
      expect(await loss.item()).toBe(first)
      expect((await values(y)).length).toBe(6)

      let total = zeros([])
      for (let i = 0; i < 3; i++) {
        total = total.add(tensor([i, i]).sum())
        await total.item()
        expect(total.definition).toBeUndefined()
      }
      expect(await total.item()).toBe(6)
      const accuracy = model.forward(batch()).argmax(1).eq(0).sum()
      await accuracy.item() // no gradient flows through argmax
      expect(accuracy.definition).toBeUndefined()
      model.zeroGrad()
      const again = lossOf(model.forward(batch()))
      again.backward()
      await model.update()
      expect(again.definition).toBeUndefined()
    })

    it('5. a gradient through a dropped definition is an error, not zero', async () => {
      const x = tensor([1, 2])
      const y = x.square().sum()
      expect(await values(grad(y, [x])[0])).toEqual([2, 4])
      await y.item()
      expect(() => grad(y.mul(2), [x])).toThrow(/call grad before reading/)
    })

    it('6. a step frees the graph of its losses: a second backward throws', async () => {
      const model = new Model()
      const loss = lossOf(model.forward(batch()))
      loss.backward()
      expect(() => loss.backward()).toThrow(/had its backward\(\)/)
      await model.update()
      expect(() => loss.backward()).toThrow(/step\(\) freed its graph; add the losses/)
      const other = lossOf(model.forward(batch()))
      const [g] = grad(other, [model.weight])
      expect(g.shape).toEqual([2, 3])
      expect(await values(g)).toHaveLength(6)
    })

    it('7. a second backward before a step submits the first; micro-batches run one cached program', async () => {
      const model = new Model()
      model.zeroGrad()
      const sums = [0, 1, 2, 3].map((i) => lossOf(model.forward(batch(i))))
      const [expected] = grad(
        sums.reduce((a, b) => a.add(b)),
        [model.weight],
      )
      const wanted = await values(expected)
      model.zeroGrad()
      const losses: Tensor[] = []
      const counts: number[] = []
      for (let i = 0; i < 4; i++) {
        const loss = lossOf(model.forward(batch(i)))
        losses.push(loss)
        loss.backward()
        counts.push(compiled())
      }
      expect(counts[1] - counts[0]).toBe(1)
      expect(counts[3] - counts[1]).toBe(0)
      const total = await values(model.weight.grad as Tensor)
      total.forEach((x, i) => {
        expect(x).toBeCloseTo(wanted[i], 5)
      })
      await model.update()
      expect(await losses[0].item()).toBeGreaterThan(0)
      expect(await losses[3].item()).toBeGreaterThan(0)
      // The next round begins from zero.
      model.zeroGrad()
      expect(model.weight.grad).toBeUndefined()
      lossOf(model.forward(batch(1))).backward()
      lossOf(model.forward(batch(1))).backward()
      const [one] = grad(lossOf(model.forward(batch(1))), [model.weight])
      const twice = await values(model.weight.grad as Tensor)
      ;(await values(one)).forEach((x, i) => {
        expect(twice[i]).toBeCloseTo(2 * x, 5)
      })
    })

    it('7. gradients can be replaced between backward and step, also accumulated ones', async () => {
      const model = new Model()
      model.zeroGrad()
      for (let i = 0; i < 3; i++) lossOf(model.forward(batch(i))).backward()
      const whole = await values(model.weight.grad as Tensor)
      model.weight.grad = (model.weight.grad as Tensor).mul(0.5) // as clipping does
      lossOf(model.forward(batch(3))).backward()
      const [last] = grad(lossOf(model.forward(batch(3))), [model.weight])
      const found = await values(model.weight.grad as Tensor)
      ;(await values(last)).forEach((x, i) => {
        expect(found[i]).toBeCloseTo(0.5 * whole[i] + x, 5)
      })
      await model.update()
      model.zeroGrad()
      // Gradients that are only read leave nothing behind.
      for (let i = 0; i < 3; i++) {
        model.zeroGrad()
        lossOf(model.forward(batch(i))).backward()
        await values(model.weight.grad as unknown as Tensor)
      }
      expect(context.losses.length).toBe(1)
      model.zeroGrad()
      expect(context.losses.length).toBe(0)
    })

    it('8. two optimizers: each step takes its own parameters; a loss from before the other’s step is stale', async () => {
      const generator = new Parameter(tensor([0.5]))
      const critic = new Parameter(tensor([2]))
      const fake = () => generator.mul(3)
      for (let i = 0; i < 3; i++) {
        critic.grad = undefined
        fake().detach().mul(critic).square().sum().backward()
        const g = critic.grad as unknown as Tensor
        step([[critic, critic.sub(g.mul(0.01))]])
        generator.grad = undefined
        fake().mul(critic).sum().backward()
        const h = generator.grad as unknown as Tensor
        step([[generator, generator.sub(h.mul(0.01))]])
      }
      expect(Number.isFinite(await generator.item())).toBe(true)
      const loss = fake().mul(critic).sum()
      critic.grad = undefined
      generator.grad = undefined
      loss.backward()
      step([[critic, critic.mul(0.5)]])
      const stale = generator.grad as unknown as Tensor
      expect(() => step([[generator, generator.sub(stale)]])).toThrow(/has replaced/)
      generator.grad = undefined
      critic.grad = undefined
    })

    it('7. a forgotten zeroGrad throws at backward, and disturbs no other model', async () => {
      const model = new Model()
      lossOf(model.forward(batch())).backward()
      await model.update()
      const before = await values(model.weight)
      for (let i = 0; i < 2; i++)
        expect(() => lossOf(model.forward(batch(i))).backward()).toThrow(
          /backward: the gradient of fc\.weight was computed with weights \(fc\.weight\) that step\(\) has replaced: call zeroGrad\(\)/,
        )
      const other = new Model()
      for (let i = 0; i < 2; i++) {
        other.zeroGrad()
        lossOf(other.forward(batch(i))).backward()
        await other.update()
      }
      expect(await values(compile((x: Tensor) => x.add(1))(tensor([1])))).toEqual([2])
      model.zeroGrad()
      lossOf(model.forward(batch())).backward()
      await model.update()
      expect(await values(model.weight)).not.toEqual(before)
      model.zeroGrad()
    })

    it('7. gradients, losses and forwards that became impossible stop no other model', async () => {
      const input = batch()
      const model = new Model()
      const left = new Model()
      lossOf(left.forward(batch())).backward()
      left.weight.set(tensor([1, 1, 1, 1, 1, 1], { shape: [2, 3] })) // its gradient is stale, and of no submission
      const disposed = new Model()
      lossOf(disposed.forward(input)).backward()
      input[Symbol.dispose]()
      for (let i = 0; i < 2; i++) {
        model.zeroGrad()
        const y = model.forward(batch(i))
        const loss = lossOf(y)
        loss.backward()
        await model.update()
        expect(Number.isFinite(await loss.item())).toBe(true)
        expect(await values(y)).toHaveLength(6)
      }
      expect(await values(compile((x: Tensor) => x.add(1))(tensor([1])))).toEqual([2])
      expect(() => left.update()).toThrow(/step: the gradient of fc\.weight.*set\(\) has replaced/)
      expect(() => disposed.update()).toThrow(/disposed of/)
      model.zeroGrad()
      left.zeroGrad()
      disposed.zeroGrad()
      expect(context.gradients.size + context.losses.length).toBe(0)
    })

    it('7. what another device left is not taken along', async () => {
      const before = currentRunner()
      const model = new Model()
      const y = model.forward(batch())
      const loss = lossOf(y)
      model.weight.set(zeros([2, 3]).add(0.25)) // its data is on this device
      const fresh = model.forward(batch())
      lossOf(fresh).backward()
      withDevice(device === 'cpu' ? 'reference' : 'null', () => {
        expect(context.forwards.length + context.losses.length + context.gradients.size).toBe(0)
      })
      expect(currentRunner()).toBe(before)
      expect(context.losses.length).toBe(1)
      await model.update()
      expect(await values(fresh)).toHaveLength(6)
      await expect(loss.item()).rejects.toThrow(/set\(\) has replaced/)
      model.zeroGrad()
    })

    it('4. a step does not compute the last evaluation again', async () => {
      const model = new Model()
      const train = async () => {
        model.zeroGrad()
        const loss = lossOf(model.forward(batch()))
        loss.backward()
        await model.update()
      }
      await train()
      const count = compiled()
      await train()
      expect(compiled()).toBe(count)
      for (const read of [lossOf, (y: Tensor) => y.argmax(1).sum()]) {
        await read(model.forward(concat([batch(), batch()]))).item()
        const evaluated = compiled()
        await train()
        expect(compiled()).toBe(evaluated)
      }
      // A read on the way to training is another matter: rule 5.
      const y = model.forward(batch(1))
      const loss = y.mean() // its gradient needs no value of y
      await loss.item()
      model.zeroGrad()
      loss.backward()
      await model.update()
      expect(await values(y)).toHaveLength(6)
    })

    it('8. one loss stepped by two optimizers: the error says what to do, and compile does it', async () => {
      const [a, b] = [new Parameter(tensor([2])), new Parameter(tensor([3]))]
      const descend = (p: Parameter) => step([[p, p.sub((p.grad as Tensor).mul(0.5))]])
      const body = () => {
        a.grad = undefined
        b.grad = undefined
        a.mul(b).sum().backward()
        descend(a)
        return descend(b)
      }
      expect(body).toThrow(/one optimizer with two groups, or compile\(\) both steps/)
      a.set([2])
      compile(() => {
        body()
      })()
      expect([await a.item(), await b.item()]).toEqual([0.5, 2])
      a.grad = undefined
      b.grad = undefined
    })

    it('11. scalar takes a number or a function, nothing else', async () => {
      expect(await scalar(3).add(1).item()).toBe(4)
      expect(await scalar(() => 5).item()).toBe(5)
      expect(() => scalar('1' as unknown as number)).toThrow(/scalar\(1\): a number, or a function/)
    })

    it('14. without zeroGrad a compiled step adds to the gradient, as PyTorch does', async () => {
      const p = new Parameter(tensor([1]))
      const f = compile(() => {
        p.square().sum().backward()
        step([[p, p.sub((p.grad as Tensor).mul(0.25))]])
      })
      f() // gradient 2: p = 0.5
      f() // 2 + 1: p = −0.25
      expect(await p.item()).toBe(-0.25)
      p.grad = undefined
    })

    it('8. two optimizers in one compiled function give the same numbers', async () => {
      const run = async (wrap: (f: (x: Tensor) => Tensor) => (x: Tensor) => Tensor) => {
        const generator = new Parameter(tensor([0.5, 0.1]))
        const critic = new Parameter(tensor([2, -1]))
        const descend = (p: Parameter) => step([[p, p.sub((p.grad as Tensor).mul(0.05))]])
        const body = wrap((x) => {
          critic.grad = undefined
          const fake = generator.mul(x).tanh() // not detached: the critic's loss reaches the generator
          fake.mul(critic).sub(1).square().sum().backward()
          descend(critic)
          generator.grad = undefined
          const loss = generator.mul(x).tanh().mul(critic).square().sum()
          loss.backward()
          descend(generator)
          return loss
        })
        const losses: number[] = []
        for (let i = 0; i < 4; i++) losses.push(await body(tensor([i, 1])).item())
        return [losses, await values(generator), await values(critic)]
      }
      const [imperative, compiledRun] = [await run((f) => f), await run(compile)]
      compiledRun.forEach((list, i) => {
        list.forEach((x, k) => {
          expect(x).toBeCloseTo(imperative[i][k], 5)
        })
      })
    })

    it('9. state set in a forward happens exactly once, with the next submission', async () => {
      const model = new Model()
      model.training = true
      const x = batch(1)
      const [a, b] = await values(model.forward(x).mean(0))
      const first = await values(model.mean)
      expect(first[0]).toBeCloseTo(a, 5)
      const loss = lossOf(model.forward(x))
      await loss.item() // submits the state
      const second = await values(model.mean)
      expect(second[1]).toBeCloseTo(0.5 * first[1] + b, 5)
      model.zeroGrad()
      loss.backward()
      await model.update() // computes the forward again, but not the state
      expect(await values(model.mean)).toEqual(second)
      model.training = false
      await model.forward(x).data()
      expect(await values(model.mean)).toEqual(second)
      // Two forwards before one submission: in order, both.
      model.training = true
      model.mean.set([0, 0])
      const ya = model.forward(x).mean(0)
      const yb = model.forward(x.mul(2)).mean(0)
      const [ma, mb] = [await values(ya), await values(yb)]
      const third = await values(model.mean)
      expect(third[0]).toBeCloseTo(0.5 * ma[0] + mb[0], 5)
    })

    it('10. random numbers: the same seed gives the same bits, imperative and compiled', async () => {
      const draw = () => concat([rand([4]), randn([4])])
      const imperative = [await values(draw()), await values(draw())]
      manualSeed(1)
      const f = compile(() => draw())
      expect([await values(f()), await values(f())]).toEqual(imperative)
      expect(imperative[0]).not.toEqual(imperative[1])
      manualSeed(2)
      expect(await values(f())).not.toEqual(imperative[0])
      const many = await values(rand([4096]))
      expect(Math.min(...many)).toBeGreaterThanOrEqual(0)
      expect(Math.max(...many)).toBeLessThan(1)
      expect(many.reduce((s, x) => s + x) / 4096).toBeCloseTo(0.5, 1)
      const normal = await values(randn([4096]))
      expect(normal.reduce((s, x) => s + x * x) / 4096).toBeCloseTo(1, 0)
      // A value is drawn once: reading twice, or before and after, gives the same numbers.
      const x = rand([3])
      const y = x.add(0)
      expect(await values(y)).toEqual(await values(x))
    })

    it('11. numbers are arguments: a schedule compiles nothing; a captured one is frozen in compile', async () => {
      const x = tensor([1, 2])
      expect(await values(x.mul(3))).toEqual([3, 6])
      const count = compiled()
      expect(await values(x.mul(4.5))).toEqual([4.5, 9])
      expect(compiled()).toBe(count)
      expect(await values(x.mul(1))).toEqual([1, 2])
      expect(compiled()).toBe(count + 1)
      let k = 2
      const frozen = compile((t: Tensor) => t.mul(k))
      const live = compile((t: Tensor) => t.mul(scalar(() => k)))
      const passed = compile((t: Tensor, n: number) => t.mul(n))
      const seen = async () => [
        await frozen(x).data(),
        await live(x).data(),
        await passed(x, k).data(),
      ]
      expect((await seen()).map((d) => d[0])).toEqual([2, 2, 2])
      const after = compiled()
      k = 7
      expect((await seen()).map((d) => d[0])).toEqual([2, 7, 7])
      expect(compiled()).toBe(after)
    })

    it('12. a history above 20,000 nodes is submitted by itself', async () => {
      let total = zeros([])
      const one = tensor(1)
      for (let i = 0; i < 25_000; i++) total = total.add(one)
      expect(total.history).toBeLessThan(20_001)
      expect(await total.item()).toBe(25_000)
    })

    it('13. control flow by values works, and throws with the fix while tracing', async () => {
      const x = tensor([1, 2])
      const branch = (await x.sum().item()) > 2 ? x.mul(2) : x
      expect(await values(branch)).toEqual([2, 4])
      const f = compile((t: Tensor) => {
        t.sum().item()
        return t
      })
      await expect(async () => f(x)).rejects.toThrow(/while tracing; return the tensor/)
      expect(await values(x.add(1))).toEqual([2, 3])
    })

    it('14. compile traces again for another shape, dtype, value, training or parameter', async () => {
      expect(() => compile(async (t: Tensor) => t)).toThrow(/synchronous/)
      const model = new Model()
      let traces = 0
      const f = compile((x: Tensor, mode: string) => {
        traces++
        return { y: model.forward(x), mode, all: [x.sum()] }
      })
      const x = batch()
      const { y, mode, all } = f(x, 'a')
      expect(mode).toBe('a')
      expect(await values(y)).toEqual(await values(model.forward(x)))
      expect(await all[0].item()).toBeCloseTo((await values(x)).reduce((a, b) => a + b))
      f(x.add(1), 'a')
      expect(traces).toBe(1)
      f(x, 'b')
      f(x.slice(0, 2), 'a')
      expect(traces).toBe(3)
      model.training = true
      f(x, 'a')
      expect(traces).toBe(4)
      model.weight.trainable = false
      f(x, 'a')
      expect(traces).toBe(5)
      model.weight.trainable = true
      f(x, 'a')
      expect(traces).toBe(5)
      const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
      const g = compile((t: Tensor, n: number) => t.mul(n))
      for (let i = 0; i < 12; i++) g(x, i + 2)
      expect(warn).toHaveBeenCalledTimes(1)
      expect(warn.mock.calls[0][0]).toMatch(/traced 8 times: argument 2 keeps changing/)
      warn.mockRestore()
    })

    it('14. the compiled loop and the imperative loop give the same numbers', async () => {
      const train = async (
        wrap: (f: (x: Tensor) => { loss: Tensor }) => (x: Tensor) => { loss: Tensor },
      ) => {
        manualSeed(3)
        const model = new Model()
        model.training = true
        const body = wrap((x) => {
          model.zeroGrad()
          const loss = lossOf(model.forward(x).add(rand([3, 2])))
          loss.backward()
          model.update()
          return { loss }
        })
        const losses: number[] = []
        for (let i = 0; i < 5; i++) losses.push(await body(batch(i)).loss.item())
        return [losses, await values(model.weight), await values(model.mean)]
      }
      expect(await train(compile)).toEqual(await train((f) => f))
    })

    it('14. gradients that a compiled function leaves are there for the next', async () => {
      const model = new Model()
      const backward = compile((x: Tensor) => {
        const loss = lossOf(model.forward(x))
        loss.backward()
        return loss
      })
      model.zeroGrad()
      for (let i = 0; i < 3; i++) backward(batch(i))
      const other = new Model()
      for (let i = 0; i < 3; i++) lossOf(other.forward(batch(i))).backward()
      const expected = await values(other.weight.grad as Tensor)
      const found = await values(model.weight.grad as Tensor)
      found.forEach((x, i) => {
        expect(x).toBeCloseTo(expected[i], 5)
      })
      await Promise.all([model.update(), other.update()])
      const [a, b] = [await values(model.weight), await values(other.weight)]
      a.forEach((x, i) => {
        expect(x).toBeCloseTo(b[i], 5)
      })
    })

    it('15. nothing is recorded before backward; noGrad makes constants', async () => {
      const model = new Model()
      const y = noGrad(() => model.forward(batch()))
      expect(() => lossOf(y).backward()).toThrow(/reaches no trainable parameter/)
      const z = lossOf(y.mul(model.weight.sum()))
      z.backward()
      expect(await values(model.weight.grad as Tensor)).toHaveLength(6)
    })

    it('16. the reads of one turn are one program; slices of evaluated tensors read storage', async () => {
      const x = tensor([1, 2, 3])
      const count = compiled()
      const [a, b] = await Promise.all([x.sum().item(), x.mul(x).sum().item()])
      expect([a, b]).toEqual([6, 14])
      expect(compiled()).toBe(count + 1)
      const big = arange(12).reshape(3, 4).mul(2)
      await big.data()
      const after = compiled()
      expect(await values(big.slice(1, 2).slice(1, 3, { dim: 1 }))).toEqual([10, 12])
      expect(await big.slice(2, 3).data()).toEqual(Int32Array.of(16, 18, 20, 22))
      expect(compiled()).toBe(after + 1) // the slice of a slice is computed
      expect(String(x)).toBe('Tensor [3] float32 [1, 2, 3]')
      expect(String(x.mul(2))).toBe('Tensor [3] float32 lazy')
      expect(String(new Model().weight)).toMatch(/^Parameter fc.weight \[2, 3\] float32 \[\[0.5/)
      const large = ones([2, 2 ** 15]).add(1)
      await large.slice(0, 1).data()
      expect(String(large)).toContain('lazy')
      await large.data()
      expect(String(large)).toMatch(/\[\[2, 2, 2, …, 2, 2, 2\], \[2/)
    })

    it('17. an index out of range rejects naming the value, and applies no update', async () => {
      const p = new Parameter(
        tensor([
          [1, 2],
          [3, 4],
          [5, 6],
        ]),
      )
      const rows = (...at: number[]) => p.indexSelect(0, tensor(Int32Array.from(at)))
      expect(await values(rows(2, 0))).toEqual([5, 6, 1, 2])
      await expect(rows(1, 7).data()).rejects.toThrow(/gather: index 7 is out of range 0 … 2/)
      rows(0, 3).sum().backward()
      const g = p.grad as Tensor
      await expect(step([[p, p.sub(g)]])).rejects.toThrow(/index 3 is out of range/)
      expect(await values(p)).toEqual([1, 2, 3, 4, 5, 6])
      p.grad = undefined
      const f = compile((at: Tensor) => p.indexSelect(0, at))
      await expect(f(tensor(Int32Array.of(-1))).data()).rejects.toThrow(/index -1 is out of range/)
    })

    it('18. a guarded step keeps the weights and names the first layer that is not finite', async () => {
      const model = new Model()
      const before = await values(model.weight)
      for (const x of [batch(), batch().mul(Number.POSITIVE_INFINITY).mul(0)]) {
        model.zeroGrad()
        const loss = lossOf(model.forward(x))
        loss.backward()
        const done = model.update(0.1, { guard: loss })
        if (x.history === 1) await done
        else {
          const after = await values(model.weight)
          await expect(done).rejects.toThrow(/the output \[3, 2\] of fc/)
          expect(await values(model.weight)).toEqual(after)
          expect(after.every(Number.isFinite)).toBe(true)
          expect(after).not.toEqual(before)
        }
      }
      model.zeroGrad()
      const body = compile((x: Tensor) => {
        model.zeroGrad()
        const loss = lossOf(model.forward(x))
        loss.backward()
        model.update(0.1, { guard: loss })
        return { loss }
      })
      const kept = await values(model.weight)
      const bad = tensor([[1, 2, Number.NaN]])
      await expect(body(bad).loss.item()).rejects.toThrow(/an input \[1, 3\]/)
      expect(await values(model.weight)).toEqual(kept)
    })

    it('20. an update reads the old values everywhere, whatever the order', async () => {
      const a = new Parameter(tensor([1, 2, 3]))
      const b = new Parameter(tensor([10, 20, 30]))
      await step([
        [a, b.flip(0)],
        [b, a.add(b)],
      ])
      expect(await values(a)).toEqual([30, 20, 10])
      expect(await values(b)).toEqual([11, 22, 33])
    })

    it('21. rows that are gathered twice get both gradients', async () => {
      const table = new Parameter(ones([3, 2]))
      table
        .indexSelect(0, tensor(Int32Array.of(2, 0, 2)))
        .mul(tensor([[1], [2], [3]]))
        .sum()
        .backward()
      expect(await values(table.grad as Tensor)).toEqual([2, 2, 0, 0, 4, 4])
    })

    it('22. two runs from one seed are bit for bit the same', async () => {
      const run = async () => {
        manualSeed(5)
        const model = new Model()
        for (let i = 0; i < 4; i++) {
          model.zeroGrad()
          lossOf(model.forward(rand([3, 3]))).backward()
          model.update()
        }
        return values(model.weight)
      }
      expect(await run()).toEqual(await run())
    })

    it('memory: in a loop that only awaits, no storage is held but parameters', async () => {
      const { device: target } = currentRunner()
      if (target === undefined) throw new Error('not started')
      const live = { count: 0 }
      const [counted, freed] = [countAlloc(target, live), countFree(target, live)]
      const alloc = vi.spyOn(target, 'alloc').mockImplementation(counted)
      const free = vi.spyOn(target, 'free').mockImplementation(freed)
      const model = new Model()
      model.training = true
      let settled = 0
      for (let i = 0; i < 300; i++) {
        model.zeroGrad()
        const y = model.forward(batch(i))
        const loss = lossOf(y)
        loss.backward()
        await model.update()
        await loss.item()
        await y.argmax(1).eq(1).sum().item()
        if (i === 10) settled = live.count
      }
      expect(live.count).toBe(settled)
      expect(settled).toBeLessThan(4)
      alloc.mockRestore()
      free.mockRestore()
    })

    it('memory: large results that nobody keeps are given back without using', async () => {
      const { device: target } = currentRunner()
      if (target === undefined) throw new Error('not started')
      const live = { count: 0 }
      const [counted, freed] = [countAlloc(target, live), countFree(target, live)]
      const alloc = vi.spyOn(target, 'alloc').mockImplementation(counted)
      const free = vi.spyOn(target, 'free').mockImplementation(freed)
      const f = compile(() => ({ big: zeros([2 ** 18]).add(0.5), small: ones([]) }))
      let most = 0
      for (let i = 0; i < 300; i++) {
        await f().small.item()
        most = Math.max(most, live.count)
      }
      expect(most).toBeLessThan(200) // of 1 MB each
      alloc.mockRestore()
      free.mockRestore()
    })

    it('memory: using frees the storage of a large tensor at once', async () => {
      const { device: target } = currentRunner()
      if (target === undefined) throw new Error('not started')
      const free = vi.spyOn(target, 'free')
      let leaked: Tensor
      {
        using big = rand([200, 200]).add(1)
        await big.data()
        leaked = big
        free.mockClear()
      }
      expect(free).toHaveBeenCalledTimes(1)
      await expect(leaked.data()).rejects.toThrow(/disposed/)
      expect(() => leaked.add(1).toString()).not.toThrow()
      await expect(leaked.add(1).data()).rejects.toThrow(/disposed/)
      free.mockRestore()
    })

    describe('numbers', () => {
      const gradientOf = async (x: number[], f: (t: Tensor) => Tensor) => {
        const t = tensor(x)
        return values(grad(f(t).sum(), [t])[0])
      }
      it('kinks', async () => {
        expect(await gradientOf([-1, 0, 2], (t) => t.abs())).toEqual([-1, 0, 1])
        expect(await gradientOf([1, 2, 3], (t) => t.maximum(tensor([2, 2, 2])))).toEqual([
          0, 0.5, 1,
        ])
        const nan = tensor([1, Number.NaN, 3])
        expect(await gradientOf([3, 1, 3], (t) => t.amax())).toEqual([0.5, 0, 0.5])
        expect(await gradientOf([3, 1, 3], (t) => t.max(0).values)).toEqual([1, 0, 0])
        expect(() => Reflect.apply(nan.max, nan, [])).toThrow('amax()')
        expect(await gradientOf([-2, -1, 0, 1, 2], (t) => t.clamp(-1, 1))).toEqual([0, 1, 1, 1, 0])
        expect(await nan.amax().item()).toBeNaN()
        expect(await nan.maximum(2).data()).toEqual(Float32Array.of(2, Number.NaN, 3))
        expect(await nan.clamp(0, 2).data()).toEqual(Float32Array.of(1, Number.NaN, 2))
      })
      it('creation', async () => {
        expect(tensor([1, 2]).dtype).toBe('float32')
        expect(tensor(Int32Array.of(1)).dtype).toBe('int32')
        expect(tensor(BigInt64Array.of(5n)).dtype).toBe('int32')
        expect(() => tensor(BigInt64Array.of(2n ** 40n))).toThrow(/out of range for int32/)
        expect(tensor(Uint8Array.of(1)).dtype).toBe('uint8')
        expect(tensor([[true, false]]).dtype).toBe('bool')
        expect(() => tensor([[1, 2], [3]])).toThrow(/all rows must have one shape/)
        const source = Float32Array.of(1, 2)
        const copy = tensor(source)
        source[0] = 9
        expect(await values(copy)).toEqual([1, 2])
      })
      it('integers', async () => {
        const big = tensor(Int32Array.of(2 ** 31 - 1))
        expect(await values(big.add(1))).toEqual([-(2 ** 31)])
        expect(await values(big.mul(big))).toEqual([1])
        expect(big.eq(3).dtype).toBe('bool')
        expect(tensor([true, true]).sum().dtype).toBe('int32')
        expect(await tensor([true, true]).sum().item()).toBe(2)
        expect(() => big.mean()).toThrow(/mean of int32/)
        expect(() => tensor([1, 2]).indexSelect(0, tensor([0]))).toThrow(/indices are int32/)
        expect(big.div(2).dtype).toBe('float32')
        expect(big.mul(0.5).dtype).toBe('float32')
        expect(await values(tensor(Int32Array.of(-7, 7)).remainder(3))).toEqual([2, 1])
      })
    })

    describe('errors say where, the rule, both values and the fix', () => {
      it.each<[string, () => unknown, RegExp]>([
        [
          'broadcast',
          () => zeros([2, 3]).add(zeros([4])),
          /add: shapes \[2, 3\] and \[4\].*3 and 4/,
        ],
        ['matmul', () => zeros([2, 3]).matmul(zeros([2, 3])), /inner dimensions 3 and 2/],
        [
          'reshape',
          () => zeros([64, 16, 4, 4]).reshape(-1, 400),
          /reshape \[64, 16, 4, 4\] to \[-1, 400\]: 16,384 values are not rows of 400; each of the 64 has 16·4·4 = 256/,
        ],
        ['axis', () => zeros([2]).sum(1), /axis 1 is out of range/],
        ['backward', () => zeros([2]).backward(), /not one value; reduce it/],
        ['where', () => where(zeros([2]).eq(0), zeros([3]), 1), /do not broadcast/],
        ['item', () => zeros([2]).item(), /has 2 values; use data\(\)/],
      ])('%s', async (_, run, message) => {
        const error = await Promise.resolve()
          .then(run)
          .then(
            () => undefined,
            (e: unknown) => e,
          )
        expect(error).toBeInstanceOf(BurnishError)
        expect(String(error)).toMatch(message)
      })
    })
    it('gradients left alone are not submitted twice', () => {
      expect(() => submitGradients()).not.toThrow()
    })
  })

it('after setDevice and closeDevices nothing of the old device waits for a step', async () => {
  const left = () => context.forwards.length + context.losses.length + context.gradients.size
  const old = new Model()
  const begin = async (name: 'reference' | 'cpu') => {
    await setDevice(name)
    old.weight.set(zeros([2, 3]).add(0.25)) // its data is on the device
    await old.weight.data()
    old.zeroGrad()
    lossOf(old.forward(batch())).backward()
    expect(left()).toBe(3)
  }
  const others = async () => {
    const model = new Model()
    model.training = true
    lossOf(model.forward(batch())).backward()
    await model.update()
    expect(await values(model.mean)).not.toEqual([0, 0])
  }
  await begin('reference')
  old.training = true
  old.forward(batch())
  await setDevice('cpu')
  expect(left()).toBe(0)
  expect(old.mean.cell.pending).toBeUndefined() // submitted on its device
  await others()
  await closeDevices()
  const next = new Model()
  await setDevice('cpu')
  next.weight.set(zeros([2, 3]).add(0.25))
  await next.weight.data()
  next.training = true
  lossOf(next.forward(batch())).backward()
  expect(context.states.size).toBe(1)
  await closeDevices()
  expect(context.states.size).toBe(0)
  expect(left()).toBe(0)
  await others()
  await closeDevices()
})

it('22. on the cpu: the same bits for one and two threads', async () => {
  const run = async (threads: number) => {
    await setDevice('cpu', { threads })
    manualSeed(7)
    const weight = new Parameter(rand([96, 128]).mul(0.1))
    const losses: number[] = []
    for (let i = 0; i < 3; i++) {
      weight.grad = undefined
      const loss = rand([256, 128]).matmul(weight.transpose(0, 1)).tanh().square().mean()
      loss.backward()
      step([[weight, weight.sub((weight.grad as unknown as Tensor).mul(2))]])
      losses.push(await loss.item())
    }
    return [losses, await values(weight)]
  }
  const one = await run(1)
  const two = await run(2)
  await closeDevices()
  expect(two).toEqual(one)
})

type Target = NonNullable<ReturnType<typeof currentRunner>['device']>
function countAlloc(target: Target, live: { count: number }): Target['alloc'] {
  const original = target.alloc.bind(target)
  return (bytes) => {
    live.count++
    return original(bytes)
  }
}
function countFree(target: Target, live: { count: number }): Target['free'] {
  const original = target.free.bind(target)
  return (storage) => {
    live.count--
    original(storage)
  }
}
