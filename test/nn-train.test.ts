// A network of many kinds of layers, trained with everything that surrounds a step: the compiled loop gives the bits
// of the imperative one, for one thread and two, and a run that is saved and loaded goes on to the same bits.
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import * as nn from '../src/nn/index.js'
import * as optim from '../src/optim/index.js'
import { compile } from '../src/tensor/compile.js'
import { context } from '../src/tensor/context.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { manualSeed } from '../src/tensor/random.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { uniform } from './support.js'

class Net extends nn.Module {
  stem = new nn.Sequential({
    conv: new nn.Conv2d(2, 6, 3, { padding: 1, paddingMode: 'reflect', bias: false }),
    norm: new nn.BatchNorm2d(6, { momentum: null }),
    act: new nn.Mish(),
    drop: new nn.Dropout2d(0.2),
  })
  down = new nn.Conv2d(6, 8, 3, { stride: 2, groups: 2 })
  group = new nn.GroupNorm(2, 8)
  up = new nn.Upsample({ scaleFactor: 1.5, mode: 'bilinear' })
  instance = new nn.InstanceNorm2d(8, { affine: true, trackRunningStats: true })
  gate = new nn.PReLU({ numParameters: 8 })
  noise = new nn.RReLU()
  rms = new nn.RMSNorm(8)
  heads = new nn.ModuleDict({ q: new nn.Linear(8, 8), k: new nn.Linear(8, 8) })
  drop = new nn.Dropout(0.1)
  out = new nn.Linear(8, 3)

  forward(x: Tensor): Tensor {
    let y = this.group.forward(this.down.forward(this.stem.forward(x)))
    y = this.noise.forward(this.gate.forward(this.instance.forward(this.up.forward(y))))
    y = this.rms.forward(nn.maxPool2d(y, 2, { ceilMode: true }).flatten(2).transpose(1, 2))
    const [q, k] = ['q', 'k'].map((name) => this.heads.get(name).forward(y))
    y = nn.scaledDotProductAttention(q, k, y, { dropoutP: this.training ? 0.1 : 0 })
    return this.out.forward(this.drop.forward(y.mean(1)))
  }
}

const STEPS = 6
const SHAPE = [4, 2, 9, 9]
const batches = Array.from({ length: STEPS }, (_, i) => ({
  x: tensor(uniform(`train/x${i}`, SHAPE), { shape: SHAPE }),
  y: tensor(Int32Array.of(i % 3, 1, 2, 0)),
}))

function made() {
  const net = new Net()
  const slow = [...net.stem.parameters()]
  const rest = net.parameters().filter((p) => !slow.includes(p))
  const optimizer = new optim.AdamW(
    [
      { parameters: slow, lr: 1e-3 },
      { parameters: rest, weightDecay: 0 },
    ],
    { lr: 1e-2, amsgrad: true },
  )
  const schedule = new optim.OneCycleLR(optimizer, 0.05, { totalSteps: STEPS })
  const ema = new optim.ExponentialMovingAverage(net.parameters(), { decay: 0.9, warmup: true })
  const body = (x: Tensor, y: Tensor) => {
    optimizer.zeroGrad()
    const loss = nn.crossEntropy(net.forward(x), y, { labelSmoothing: 0.1 })
    loss.backward()
    const norm = optim.clipGradNorm(net.parameters(), 0.7)
    void optimizer.step({ guard: loss })
    ema.update()
    return { loss, norm }
  }
  return { net, optimizer, schedule, ema, body }
}

type Run = ReturnType<typeof made>

async function train(run: Run, from: number, to: number, compiled: boolean): Promise<number[]> {
  const seen: number[] = []
  const step = compiled ? compile(run.body) : run.body
  for (let i = from; i < to; i++) {
    const { loss, norm } = step(batches[i].x, batches[i].y)
    seen.push(await loss.item(), await norm.item())
    run.schedule.step()
  }
  return seen
}

async function everything({ net, optimizer, ema }: Run): Promise<{ [name: string]: number[] }> {
  const named = [
    ...Object.entries(net.stateDict()),
    ...Object.entries(optimizer.stateDict().tensors),
    ...Object.entries(ema.stateDict()).map(([name, p]) => [`ema.${name}`, p] as const),
  ]
  const values = await Promise.all(named.map(([, p]) => p.data()))
  return Object.fromEntries(named.map(([name], i) => [name, [...values[i]]]))
}

const host = async (state: { readonly [name: string]: Tensor }) =>
  Object.fromEntries(
    await Promise.all(
      Object.entries(state).map(async ([name, t]) => [
        name,
        { shape: t.shape, dtype: t.dtype, data: await t.data() },
      ]),
    ),
  )

afterEach(closeDevices)
afterAll(closeDevices)

describe('the same bits', () => {
  it('imperative and compiled, with one thread and two', async () => {
    const results: unknown[] = []
    for (const [threads, compiled] of [
      [1, false],
      [1, true],
      [2, true],
    ] as const) {
      await setDevice('cpu', { threads })
      manualSeed(21)
      const run = made()
      const losses = await train(run, 0, STEPS, compiled)
      expect(losses.every(Number.isFinite)).toBe(true)
      results.push({ losses, state: await everything(run) })
      await closeDevices()
    }
    expect(results[1]).toEqual(results[0])
    expect(results[2]).toEqual(results[0])
  })

  it.each([false, true])('saved after three steps and loaded, compiled %s', async (compiled) => {
    await setDevice('cpu', { threads: 1 })
    manualSeed(22)
    const whole = made()
    await train(whole, 0, 3, compiled)
    const saved = {
      model: await host(whole.net.stateDict()),
      tensors: await host(whole.optimizer.stateDict().tensors),
      ema: await host(whole.ema.stateDict()),
      text: JSON.stringify({
        optimizer: whole.optimizer.stateDict().values,
        schedule: whole.schedule.stateDict(),
        counter: context.generator.counter,
      }),
    }
    const losses = await train(whole, 3, STEPS, compiled)
    const expected = await everything(whole)

    manualSeed(99)
    const resumed = made()
    const { optimizer, schedule, counter } = JSON.parse(saved.text)
    expect(resumed.net.loadStateDict(saved.model).missing).toEqual([])
    resumed.optimizer.loadStateDict({ tensors: saved.tensors, values: optimizer })
    resumed.schedule.loadStateDict(schedule)
    resumed.ema.loadStateDict(saved.ema)
    manualSeed(22)
    context.generator.counter = counter
    expect(await train(resumed, 3, STEPS, compiled)).toEqual(losses)
    expect(await everything(resumed)).toEqual(expected)
  })
})
