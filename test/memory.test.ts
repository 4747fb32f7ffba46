// When the cpu device's memory is short: finalizers get a turn before anything fails, the order of submissions stays,
// and what fails names the largest owners. 64 MB here, results of 4 MB.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import {
  closeDevices,
  compile,
  ones,
  Parameter,
  setDevice,
  type Tensor,
  zeros,
} from '../src/index.js'

const MB = 2 ** 20
const MEMORY = 64 * MB
/** A float32 result of 4 MB. */
const LARGE = MB

let reliefs: () => number
beforeEach(async () => {
  const device = await setDevice('cpu', { threads: 1, maximumMemory: MEMORY })
  const spy = vi.spyOn(device, 'relieve')
  reliefs = () => spy.mock.calls.length
})
afterEach(closeDevices)

const first = (t: Tensor) => t.slice(0, 1).item()

test('a loop whose results nobody keeps goes on for ever', async () => {
  const x = ones([LARGE])
  const both = compile((x: Tensor) => ({ y: x.mul(2), z: x.mul(3) }))
  for (let i = 0; i < 60; i++) {
    const { y, z } = both(x)
    expect(await first(y)).toBe(2)
    if (i % 10 === 0) expect(await first(z)).toBe(3)
  }
  expect(reliefs()).toBeGreaterThan(0)
})

test('submissions keep their order while memory is short', async () => {
  const p = new Parameter(zeros([LARGE]))
  const large = compile((k: Tensor) => k.expand(LARGE).add(1))
  const seen: Promise<number>[] = []
  const expected: number[] = []
  let value = 0
  for (let i = 0; i < 40; i++) {
    large(p.slice(0, 1)) // nobody keeps it
    p.set(p.mul(0.5).add(i))
    value = value * 0.5 + i
    seen.push(first(p.add(0)))
    expected.push(value)
    // Some turns of the loop end, so that garbage can be collected; most do not.
    if (i % 8 === 7) await seen[i]
  }
  const got = await Promise.all(seen)
  expect(got.map((v) => Math.round(v * 1000))).toEqual(expected.map((v) => Math.round(v * 1000)))
  expect(reliefs()).toBeGreaterThan(0)
})

test('an argument disposed of while its run is held back is still there', async () => {
  const results: Promise<number>[] = []
  const add = compile((x: Tensor) => x.add(1))
  const double = compile((x: Tensor) => x.mul(2))
  for (let i = 0; i < 40; i++) {
    // Both runs are submitted when x is disposed of, and few have begun.
    using x = add(ones([1]).mul(i).expand(LARGE))
    results.push(first(double(x)))
  }
  expect(await Promise.all(results)).toEqual(results.map((_, i) => 2 * (i + 1)))
})

test('what is kept fails with its owners, and all goes on when some is given back', async () => {
  const kept: Tensor[] = []
  const more = compile((x: Tensor) => x.expand(LARGE).add(1))
  const x = ones([1])
  const fill = async () => {
    for (let i = 0; i < 20; i++) {
      kept.push(more(x))
      await first(kept[kept.length - 1])
    }
  }
  await expect(fill()).rejects.toThrow(
    /^cpu: no room for 4\.0 MB: \d+ MB of 64 MB are in use; the largest: results \d+ MB in 1\d, /,
  )
  kept.pop() // the one that failed
  await expect(first(more(x))).rejects.toThrow('no room')
  for (const t of kept.splice(0, 4)) t[Symbol.dispose]()
  expect(await first(more(x))).toBe(2)
  expect(await first(kept[0])).toBe(2)
})
