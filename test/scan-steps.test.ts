// Random steps against the same steps written out, on the reference device and compiled: what they read is reshaped, cut,
// turned, constant, or computed; they have composites, scans and recomputation within. Values, gradients, and of some the
// gradients of those.
import { afterAll, describe, expect, it } from 'vitest'
import { layerNorm, logSoftmax, sigmoid, softmax } from '../src/nn/functional.js'
import { grad } from '../src/tensor/backward.js'
import { ones, tensor, zeros } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { recompute } from '../src/tensor/recompute.js'
import { scan } from '../src/tensor/scan.js'
import { concat, stack, type Tensor } from '../src/tensor/tensor.js'
import { seeded } from './random-graph.js'

const SEEDS = 60
const TOLERANCE = 2e-3 // float32, second derivatives of some ten operations a step

type Two = readonly [Tensor, Tensor]
type Step = (carry: Two, x: Tensor) => readonly [carry: Two, y: Tensor]

const row = (x: Tensor, i: number): Tensor => x.slice(i, i + 1).reshape(...x.shape.slice(1))

/** The scan of `step` as a loop. */
function written(step: Step, init: Two, xs: Tensor, reverse: boolean): readonly [Two, Tensor] {
  const ys: Tensor[] = []
  let carry = init
  const places = Array.from({ length: xs.shape[0] }, (_, i) => i)
  for (const i of reverse ? places.reverse() : places) {
    const [next, y] = step(carry, row(xs, i))
    carry = next
    if (reverse) ys.unshift(y)
    else ys.push(y)
  }
  return [carry, stack(ys)]
}

const N = 2
const H = 3

function build(seed: number, loop: boolean): Tensor[] {
  const twice = seed % 3 === 0
  const next = seeded(seed)
  const below = (n: number) => Math.floor(next() * n)
  const pick = <T>(list: readonly (() => T)[]): T => list[below(list.length)]()
  const leaves: Tensor[] = []
  const leaf = (...shape: number[]): Tensor => {
    const count = shape.reduce((a, b) => a * b, 1)
    const made = tensor(Array.from({ length: count }, () => next() * 2 - 1)).reshape(...shape)
    leaves.push(made)
    return made
  }
  const run = (step: Step, init: Two, xs: Tensor, reverse: boolean) =>
    loop ? scan(step, init, xs, { reverse }) : written(step, init, xs, reverse)

  const captured = (a: number, b: number): Tensor => {
    const made = pick([
      () => leaf(a, b),
      () => leaf(a * b).reshape(a, b),
      () => leaf(b, a).transpose(0, 1),
      () => leaf(a + 1, b).slice(1, a + 1),
      () => leaf(1, b).expand(a, b),
      () => leaf(a, b).tanh(),
      () => ones([a, b]),
      () => ones([b]).expand(a, b),
      () => concat([leaf(1, b), zeros([a - 1, b])]),
    ])
    leaves.push(made)
    return made
  }
  const w = captured(H, H)
  const b = captured(N, H)
  const rows = pick([() => b, () => captured(N, H)])
  const table = captured(4, H)
  const places = tensor([3, 0, 3, 1, 2, 0], { dtype: 'int32' }).reshape(N, H)
  const xs = pick([
    () => leaf(1 + below(4), N, H),
    () => leaf(3, N * H).reshape(3, N, H),
    () => leaf(N, 3, H).permute(1, 0, 2),
    () => leaf(2, N, H).tanh(),
  ])
  const choices = Array.from({ length: 4 }, () => below(13))
  const [swaps, inner, place] = [next(), next() < 0.5, below(4)]
  // The gradient of a recomputation's gradient passes by views.
  const again: typeof recompute = twice ? (f) => f() : recompute
  const one = (choice: number, h: Tensor, x: Tensor): Tensor => {
    switch (choice) {
      case 0:
        return h.matmul(w).add(x)
      case 1:
        return softmax(h.matmul(w).add(x), -1)
      case 2:
        return layerNorm(h.add(b), H, { weight: row(w, 0), bias: row(rows, 1) })
      case 3:
        return logSoftmax(h.mul(rows), 0)
      case 4:
        return sigmoid(h.add(table.gather(0, places)))
      case 5:
        return h.mul(b.sum(0)).sub(x.mul(b))
      case 6:
        return again(() => softmax(h.matmul(w.transpose(0, 1)), 0).mul(x), [h, x, w])
      case 7: {
        const turn: Step = ([s, p], e) => [[s.mul(e).add(row(w, 1)).tanh(), p.add(s)], s]
        const [[s, p], all] = run(turn, [h.sum(0), row(w, 0)], x, inner)
        return all.add(s).add(p)
      }
      case 8:
        return h.add(concat([zeros([1, H]), ones([1, H])])).mul(rows)
      case 9:
        return h.matmul(w.transpose(0, 1)).mul(0.5).tanh()
      case 10:
        return h.pow(2).add(1).log().add(table.slice(1, 3))
      case 11:
        return ones([N, H]).mul(h).add(x.transpose(0, 1).reshape(N, H))
      default:
        return h.maximum(x.mul(rows))
    }
  }
  const step: Step = ([h, g], x) => {
    const made = choices.slice(0, 2 + (place % 2)).reduce((z, choice) => one(choice, z, x), h)
    const other = one(choices[3], g, x).tanh()
    const y = [made, h, other.transpose(0, 1), x.mul(g)][place]
    if (swaps < 0.3) return [[g, made.tanh()], y]
    if (swaps < 0.5) return [[made.tanh(), h], y]
    return [[made.tanh(), other.add(h.mul(0.3))], y]
  }
  const [[h, g], ys] = run(step, [captured(N, H), captured(N, H)], xs, next() < 0.5)
  const shares = [h, g, ys].filter(() => next() < 0.7)
  const sum = (list: readonly Tensor[]) => list.reduce((a, t) => a.add(t.sum()), tensor(0))
  const loss = sum((shares.length > 0 ? shares : [ys]).map((t) => (next() < 0.3 ? t : t.mul(t))))
  const gradientsOf = (of: Tensor) =>
    // Of what is read only. A zero for the others: grad refuses what the loss does not depend on.
    grad(sum([of, ...leaves.map((t) => t.mul(0))]), leaves)
  const first = gradientsOf(loss)
  const second = twice ? gradientsOf(sum(first.map((t) => t.mul(t)))) : []
  return [h, g, ys, loss, ...first, ...second]
}

afterAll(closeDevices)

describe('a scan of random steps', () => {
  const wanted: number[][][] = []
  const read = async (seed: number, loop: boolean) => {
    const tensors = build(seed, loop)
    return (await Promise.all(tensors.map((t) => t.data()))).map((data) => [...data])
  }
  const compare = async (loop: boolean) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const found = await read(seed, loop).catch((error: unknown) => {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.stack : error}`)
      })
      wanted[seed] ??= found
      found.forEach((list, i) => {
        const size = wanted[seed][i].reduce((most, value) => Math.max(most, Math.abs(value)), 1)
        list.forEach((value, k) => {
          const exact = wanted[seed][i][k]
          if (!(Math.abs(value - exact) <= TOLERANCE * size))
            expect.fail(`seed ${seed}, tensor ${i}[${k}]: ${value}, not ${exact}`)
        })
      })
    }
  }

  it('gives what the steps written out give, on the reference device', async () => {
    await setDevice('reference')
    await compare(false)
    await compare(true)
  })

  it('gives it compiled', async () => {
    await setDevice('cpu', { threads: 1 })
    await compare(true)
  })
})
