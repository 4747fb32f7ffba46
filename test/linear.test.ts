// The passes are linear in the nodes: what is executed, counted by the engine (how often each block of code ran), for a
// training step of a network and of one four times as deep. No clock is read.
import { Session } from 'node:inspector/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createNull } from '../src/devices/null.js'
import type { Tensor } from '../src/index.js'
import * as B from '../src/index.js'
import * as nn from '../src/nn/index.js'
import { AdamW, clipGradNorm } from '../src/optim/index.js'

const TIMES = 4
/** Four times the nodes may take so many times the work in all; 16 would be quadratic. */
const MOST = 5
/** One function may grow faster where it does little: by insertion into a sorted list, say. */
const MOST_OF_ONE = 7
const SHARE = 0.02

/**
 * Places each intermediate among those alive at the same time, which all of a forward pass are: a pair is a step of a
 * nanosecond, 20 ms for EfficientNet-b7. It may be quadratic, and is left out of the sums.
 */
const PAIRS = 'compiler/memory planMemory'

const session = new Session()
beforeAll(async () => {
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
})
afterAll(() => {
  session.disconnect()
  B.setDevice('cpu')
})

/** How often code of each function of the library ran while `run` did. */
async function work(run: () => Promise<void>): Promise<Map<string, number>> {
  await session.post('Profiler.takePreciseCoverage') // begins anew
  await run()
  const { result } = await session.post('Profiler.takePreciseCoverage')
  const counts = new Map<string, number>()
  for (const { url, functions } of result) {
    const file = /\/src\/((?:graph|autograd|compiler|targets|tensor|optim)\/.*)\.ts/.exec(url)?.[1]
    if (file === undefined) continue
    for (const { functionName, ranges } of functions) {
      const name = `${file} ${functionName}`
      if (name === PAIRS) continue
      const total = ranges.reduce((sum, { count }) => sum + count, 0)
      counts.set(name, (counts.get(name) ?? 0) + total)
    }
  }
  return counts
}

class Block extends nn.Module {
  conv1 = new nn.Conv2d(8, 16, 1, { bias: false })
  bn1 = new nn.BatchNorm2d(16)
  conv2 = new nn.Conv2d(16, 16, 3, { padding: 1, groups: 16, bias: false })
  bn2 = new nn.BatchNorm2d(16)
  fc = new nn.Linear(16, 16)
  conv3 = new nn.Conv2d(16, 8, 1, { bias: false })
  bn3 = new nn.BatchNorm2d(8)
  forward(x: Tensor): Tensor {
    const h = nn.relu(this.bn1.forward(this.conv1.forward(x)))
    const y = nn.silu(this.bn2.forward(this.conv2.forward(h)))
    const gate = nn.sigmoid(this.fc.forward(y.mean([2, 3]))).reshape(x.shape[0], 16, 1, 1)
    return x.add(this.bn3.forward(this.conv3.forward(y.mul(gate))))
  }
}

/** Builds and compiles a training step of so many blocks; gives its program. */
async function compileStep(depth: number, checkpointed: boolean) {
  const device = createNull()
  B.setDevice(device)
  const blocks = Array.from({ length: depth }, () => new Block())
  if (checkpointed) for (const block of blocks) nn.checkpoint(block)
  const parameters = blocks.flatMap((block) => block.parameters())
  const optimizer = new AdamW(parameters, { lr: 1e-3 })
  const step = B.compile((x: Tensor) => {
    optimizer.zeroGrad()
    const loss = blocks
      .reduce((h, block) => block.forward(h), x)
      .square()
      .mean()
    loss.backward()
    clipGradNorm(parameters, 1)
    optimizer.step()
    return { loss }
  })
  await step(B.zeros([2, 8, 8, 8])).loss.item()
  return device.programs
}

async function expectLinear(run: (times: number) => Promise<unknown>): Promise<void> {
  await run(1) // what is made once, and kept
  const few = await work(async () => {
    await run(1)
  })
  const many = await work(async () => {
    await run(TIMES)
  })
  const sum = (counts: ReadonlyMap<string, number>) =>
    [...counts.values()].reduce((a, b) => a + b, 0)
  const total = sum(many)
  const grown = [...many].filter(
    ([name, count]) => count > SHARE * total && count > MOST_OF_ONE * (few.get(name) ?? 0),
  )
  expect(sum(few)).toBeGreaterThan(10_000)
  expect(grown.map(([name, count]) => `${name}: ${few.get(name) ?? 0} → ${count}`)).toEqual([])
  expect(total / sum(few)).toBeLessThan(MOST)
}

describe('compiling takes work in proportion to the nodes', () => {
  it('of a deep network with norms, gates, clipping and an optimizer', { timeout: 120_000 }, () =>
    expectLinear((times) => compileStep(8 * times, false)),
  )

  it('of one that is computed again', { timeout: 120_000 }, () =>
    expectLinear((times) => compileStep(4 * times, true)),
  )

  it('of a long chain over numbers', { timeout: 120_000 }, () =>
    expectLinear(async (times) => {
      B.setDevice(createNull())
      let x = B.ones([16])
      for (let i = 0; i < 4000 * times; i++) x = x.add(1.5)
      await x.data()
    }),
  )
})
