// Gradient checkpointing: the same bits in less memory, in the imperative and in the compiled loop.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createNull } from '../src/devices/null.js'
import type { Tensor } from '../src/index.js'
import * as B from '../src/index.js'
import * as nn from '../src/nn/index.js'
import { AdamW, SGD } from '../src/optim/index.js'

class Dense extends nn.Module {
  fc1 = new nn.Linear(32, 64)
  bn = new nn.BatchNorm1d(64)
  drop = new nn.Dropout(0.4)
  fc2 = new nn.Linear(64, 32)
  forward(x: Tensor): Tensor {
    const h = nn.gelu(this.bn.forward(this.fc1.forward(x)))
    return x.add(this.fc2.forward(this.drop.forward(h)))
  }
}

class Conv extends nn.Module {
  conv1 = new nn.Conv2d(8, 8, 3, { padding: 1, bias: false })
  bn1 = new nn.BatchNorm2d(8)
  conv2 = new nn.Conv2d(8, 8, 3, { padding: 1, bias: false })
  bn2 = new nn.BatchNorm2d(8)
  forward(x: Tensor): Tensor {
    const h = nn.relu(this.bn1.forward(this.conv1.forward(x)))
    return nn.relu(this.bn2.forward(this.conv2.forward(h)).add(x))
  }
}

class Attention extends nn.Module {
  norm = new nn.LayerNorm(16)
  qkv = new nn.Linear(16, 48)
  out = new nn.Linear(16, 16)
  drop = new nn.Dropout(0.2)
  forward(x: Tensor): Tensor {
    const y = this.qkv.forward(this.norm.forward(x)) // [B, T, 48]
    const part = (i: number) => y.slice(16 * i, 16 * (i + 1), { dim: 2 })
    const seen = nn.scaledDotProductAttention(part(0), part(1), part(2), { isCausal: true })
    return x.add(this.drop.forward(this.out.forward(seen)))
  }
}

type Block = nn.Module<Tensor>
const kinds: {
  readonly [name: string]: {
    readonly make: () => Block
    readonly shape: readonly number[]
    readonly optimizer: (ps: B.Parameter[]) => { zeroGrad(): void; step(): Promise<void> }
  }
} = {
  dense: {
    make: () => new Dense(),
    shape: [16, 32],
    optimizer: (ps) => new AdamW(ps, { lr: 1e-2 }),
  },
  conv: {
    make: () => new Conv(),
    shape: [4, 8, 12, 12],
    optimizer: (ps) => new SGD(ps, { lr: 0.05, momentum: 0.9, weightDecay: 1e-3 }),
  },
  'batch lanes': {
    make: () => new Conv(),
    shape: [32, 8, 6, 6],
    optimizer: (ps) => new SGD(ps, { lr: 0.05 }),
  },
  attention: {
    make: () => new Attention(),
    shape: [2, 8, 16],
    optimizer: (ps) => new AdamW(ps, { lr: 1e-2 }),
  },
}

class Chain extends nn.Module {
  blocks: Block[]
  constructor(blocks: Block[]) {
    super()
    this.blocks = blocks
  }
  forward(x: Tensor): Tensor {
    return this.blocks.reduce((h, block) => block.forward(h), x)
  }
}

const DEPTH = 3

/** Losses of some steps, and the state afterwards. */
async function train(kind: string, checkpointed: boolean, compiled: boolean) {
  const { make, shape, optimizer: optimizerFor } = kinds[kind]
  B.manualSeed(5)
  const blocks = Array.from({ length: DEPTH }, make)
  const model = new Chain(checkpointed ? blocks.map((block) => nn.checkpoint(block)) : blocks)
  const optimizer = optimizerFor(model.parameters())
  const x = B.randn(shape)
  const y = B.randn(shape)
  await Promise.all([x.data(), y.data()])
  const body = (x: Tensor, y: Tensor) => {
    optimizer.zeroGrad()
    const loss = nn.mseLoss(model.forward(x), y)
    loss.backward()
    const done = optimizer.step()
    return { loss, done }
  }
  const step = B.compile((x: Tensor, y: Tensor) => ({ loss: body(x, y).loss }))
  const losses: number[] = []
  for (let i = 0; i < 4; i++) {
    if (compiled) losses.push(await step(x, y).loss.item())
    else {
      const { loss, done } = body(x, y)
      await done
      losses.push(await loss.item())
    }
  }
  const state = Object.entries(model.stateDict())
  const values = await Promise.all(state.map(([, t]) => t.data()))
  return { losses, state: state.map(([name], i) => [name, [...values[i]]] as const) }
}

beforeEach(() => B.setDevice('cpu', { tier: 'wasm' }))
afterEach(() => B.setDevice('cpu'))

describe('checkpoint(module)', () => {
  for (const kind of Object.keys(kinds))
    it(`gives the same bits: ${kind}`, async () => {
      const kept = await train(kind, false, true)
      expect(kept.losses[3]).not.toBe(kept.losses[0])
      for (const compiled of [true, false]) expect(await train(kind, true, compiled)).toEqual(kept)
    })
})

/** The program of a training step of so many blocks, compiled and not run. */
async function planned(blocks: Block[], shape: readonly number[]) {
  const device = createNull()
  B.setDevice(device)
  const model = new Chain(blocks)
  const optimizer = new SGD(model.parameters(), { lr: 0.1 })
  const step = B.compile((x: Tensor) => {
    optimizer.zeroGrad()
    const loss = model.forward(x).square().mean()
    loss.backward()
    optimizer.step()
    return { loss }
  })
  await step(B.zeros(shape)).loss.item()
  const program = device.programs.find(({ arguments: args }) =>
    args.some(({ role }) => role === 'update'),
  )
  return program ?? expect.fail('no program updates anything')
}

describe('memory', () => {
  it('is that of one block, and of the values between blocks', async () => {
    const shape = [4, 8, 16, 16]
    const make = () => new Conv()
    const bytes = async (count: number, marked: boolean) => {
      const blocks = Array.from({ length: count }, make)
      const { arenaBytes } = await planned(
        marked ? blocks.map((b) => nn.checkpoint(b)) : blocks,
        shape,
      )
      return arenaBytes
    }
    const item = 4 * 4 * 8 * 16 * 16
    const kept = (await bytes(12, false)) - (await bytes(6, false))
    const again = (await bytes(12, true)) - (await bytes(6, true))
    // Kept: the convolutions' results, and what the rectifiers and norms need; again: a block's input.
    expect(kept).toBeGreaterThan(6 * 4 * item)
    expect(again).toBeLessThan(6 * 1.5 * item)
    expect(await bytes(12, true)).toBeLessThan(0.5 * (await bytes(12, false)))
  })

  it('is computed again in the backward pass, last block first', async () => {
    const program = await planned(
      [nn.checkpoint(new Conv()), nn.checkpoint(new Conv())],
      [4, 8, 16, 16],
    )
    const labels = program.regions.map(({ steps }) => steps.map(({ label }) => label).join(' '))
    const where = (text: string) => labels.flatMap((label, i) => (label.includes(text) ? [i] : []))
    const first = where('blocks.0.conv2 (again)')
    const second = where('blocks.1.conv2 (again)')
    const forward = where('blocks.1.conv2').filter((i) => !second.includes(i))
    expect(Math.min(...second)).toBeGreaterThan(Math.min(...forward))
    expect(Math.max(...first)).toBeGreaterThan(Math.max(...second))
  })
})

describe('checkpoint(fn, ...inputs)', () => {
  it('takes and gives several tensors, nested too, and gives the same gradients', async () => {
    for (const device of ['cpu', 'reference']) {
      B.setDevice(device)
      const w = new B.Parameter(B.tensor([0.5, -1.5]))
      const gradients = async (marked: boolean) => {
        const a = new B.Parameter(B.tensor([1, 2]))
        const b = new B.Parameter(B.tensor([3, -1]))
        const inner = (x: Tensor) => x.mul(w).tanh()
        const fn = (pair: readonly Tensor[]) => {
          const [p, q] = pair
          const h = marked ? nn.checkpoint(inner, p) : inner(p)
          return { sum: h.add(q.exp()), more: [h.mul(q)], count: p.gt(0).int() }
        }
        const { sum, more, count } = marked ? nn.checkpoint(fn, [a, b]) : fn([a, b])
        w.grad = undefined
        sum.mul(more[0]).sum().backward()
        const read = [a.grad, b.grad, w.grad, count].map((t) => t?.data())
        return (await Promise.all(read)).map((values) => [...(values ?? [])])
      }
      const plain = await gradients(false)
      expect(plain.every((values) => values.length === 2)).toBe(true)
      expect(await gradients(true)).toEqual(plain)
    }
  })

  it('can be differentiated twice', async () => {
    const third = async (marked: boolean) => {
      const x = B.tensor([0.3, 0.7])
      const fn = (y: Tensor) => y.mul(y).mul(y).sin()
      const y = marked ? nn.checkpoint(fn, x) : fn(x)
      const [first] = B.grad(y.sum(), [x])
      const [second] = B.grad(first.square().sum(), [x])
      return [...(await second.data())]
    }
    expect(await third(true)).toEqual(await third(false))
  })

  it('does nothing in noGrad, and gives what fn gives when that is an input', async () => {
    const x = B.tensor([1, 2])
    expect([...(await B.noGrad(() => nn.checkpoint((y: Tensor) => y.mul(2), x)).data())]).toEqual([
      2, 4,
    ])
    expect([...(await nn.checkpoint((y: Tensor) => y, x).data())]).toEqual([1, 2])
  })
})

describe('a program', () => {
  it('of a function is another one for another inside', async () => {
    const device = createNull()
    B.setDevice(device)
    const run = async (fn: (x: Tensor) => Tensor) =>
      nn
        .checkpoint(fn, B.ones([4]))
        .sum()
        .item()
    await run((x) => x.sin())
    await run((x) => x.cos())
    await run((x) => x.cos())
    expect(device.programs).toHaveLength(2)
  })
})
