// CTC against the sum over all alignments, written out; forms of targets, reductions, impossible targets.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as F from '../src/nn/functional.js'
import { CTCLoss } from '../src/nn/layers/loss.js'
import { grad } from '../src/tensor/backward.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { seeded } from './random-graph.js'

beforeAll(() => setDevice('cpu', { threads: 2 }))
afterAll(closeDevices)

const [T, C] = [5, 3]
const next = seeded(11)
const scores = Float32Array.from({ length: T * C }, () => next() * 4 - 2)

/** −log of the sum over all C^T paths that collapse to the target. */
function written(logits: Float32Array, steps: number, target: readonly number[]): number {
  const logs = Array.from({ length: steps }, (_, t) => {
    const row = [...logits.slice(t * C, t * C + C)]
    const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0))
    return row.map((x) => x - total)
  })
  let sum = 0
  for (let code = 0; code < C ** steps; code++) {
    const path = logs.map((_, t) => Math.floor(code / C ** t) % C)
    const short = path.filter((c, t) => c !== 0 && c !== path[t - 1])
    if (short.join() === target.join()) sum += Math.exp(path.reduce((s, c, t) => s + logs[t][c], 0))
  }
  return -Math.log(sum)
}

const logProbs = () => F.logSoftmax(tensor(scores, { shape: [T, 1, C] }), 2)
const int = (values: readonly number[] | readonly (readonly number[])[]) =>
  tensor(values, { dtype: 'int32' })

describe('ctcLoss', () => {
  const targets: readonly (readonly number[])[] = [[1], [1, 2], [1, 1], [2, 1, 2], [2, 2, 1], []]
  it.each(targets.map((t) => [t]))('of %j is the sum over its alignments', async (target) => {
    for (const steps of [T, 4]) {
      const padded = [[...target, 0, 0, 0].slice(0, 3)]
      const loss = F.ctcLoss(logProbs(), int(padded), [steps], [target.length], {
        reduction: 'sum',
      })
      expect(await loss.item()).toBeCloseTo(written(scores, steps, target), 4)
    }
  })

  it('has the gradient of that sum', async () => {
    const x = tensor(scores, { shape: [T, 1, C] })
    const loss = F.ctcLoss(F.logSoftmax(x, 2), int([[1, 2]]), [4], [2], { reduction: 'sum' })
    const found = await grad(loss, [x])[0].data()
    for (let i = 0; i < T * C; i++) {
      const at = (h: number) => {
        const moved = scores.slice()
        moved[i] += h
        return written(moved, 4, [1, 2])
      }
      expect(found[i]).toBeCloseTo((at(0.01) - at(-0.01)) / 0.02, 3)
    }
  })

  it('takes targets one after the other, and classes behind a target’s end', async () => {
    const two = tensor(new Float32Array([...scores, ...scores]), { shape: [2, T, C] })
    const probs = F.logSoftmax(two.permute(1, 0, 2), 2)
    const joined = F.ctcLoss(probs, int([1, 2, 2]), [T, T], [2, 1], { reduction: 'none' })
    const padded = F.ctcLoss(
      probs,
      int([
        [1, 2],
        [2, -1],
      ]),
      [T, T],
      int([2, 1]),
      { reduction: 'none' },
    )
    const expected = [written(scores, T, [1, 2]), written(scores, T, [2])]
    for (const found of [await joined.data(), await padded.data()])
      expected.forEach((value, i) => {
        expect(found[i]).toBeCloseTo(value, 4)
      })
    const mean = await F.ctcLoss(probs, int([1, 2, 2]), [T, T], [2, 1]).item()
    expect(mean).toBeCloseTo((expected[0] / 2 + expected[1]) / 2, 4)
  })

  it('is infinite where nothing fits, or 0', async () => {
    const args = [int([[1, 1, 1]]), [4], [3]] as const
    expect(await F.ctcLoss(logProbs(), ...args).item()).toBe(Number.POSITIVE_INFINITY)
    const x = tensor(scores, { shape: [T, 1, C] })
    const loss = new CTCLoss({ zeroInfinity: true }).forward(F.logSoftmax(x, 2), ...args)
    const [gradient] = grad(loss, [x])
    expect(await loss.item()).toBe(0)
    expect([...(await gradient.data())]).toEqual(new Array(T * C).fill(0))
  })

  it('takes computed input lengths for the end they pass, and refuses such target lengths in the run', async () => {
    const loss = (steps: number, length: number) =>
      F.ctcLoss(logProbs(), int([[1, 2]]), int([steps]).mul(1), int([length]).mul(1)).item()
    expect(await loss(T + 4, 2)).toBe(await loss(T, 2))
    expect(await loss(-2, 2)).toBe(await loss(0, 2))
    await expect(loss(T, 3)).rejects.toThrow(/ctcLoss: gather: index \d+ is out of range/)
    await expect(loss(T, -1)).rejects.toThrow(/ctcLoss: gather: index -2 is out of range/)
  })

  it('says what is wrong', () => {
    expect(() => F.ctcLoss(logProbs(), int([[1]]), [6], [1])).toThrow(/inputLengths has 6.*0 to 5/)
    expect(() => F.ctcLoss(logProbs(), int([[1]]), int([6]), [1])).toThrow(
      /inputLengths has 6.*0 to 5/,
    )
    expect(() => F.ctcLoss(logProbs(), int([[1]]), [5], int([-1]))).toThrow(
      /targetLengths has -1.*0 to 1/,
    )
    expect(() => F.ctcLoss(logProbs(), int([[1]]), [5], [1], { blank: 3 })).toThrow(/blank is 3/)
    expect(() => F.ctcLoss(logProbs(), int([1, 2]), [5], [1])).toThrow(/2 labels/)
  })
})
