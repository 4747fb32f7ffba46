// PyTorch's values and gradients for single operations, on every device; and 200 steps of LeNet.
// The interpreter evaluates the graph directly; the devices go the whole way from Tensor to storage and back.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import type { Tensor } from '../src/tensor/tensor.js'
import { build, interpreted } from './golden-operations.js'
import { hasNative, ownCache } from './run-native.js'
import { difference, type GoldenCase, golden } from './support.js'

const GROUPS = ['conv', 'pool', 'activation', 'norm', 'linear', 'loss', 'transformer']

interface Begun {
  readonly tensors: readonly Tensor[]
  readonly values: Promise<ArrayLike<number>[]>
}

/** PyTorch's own rounding where values of size 1 cancel: an allowance of a few float32 roundings of 1. */
const CANCELLING: { readonly [name: string]: number } = { softmax_large: 2 ** -22 }

/** Milliseconds in which a group's programs are compiled, also on a busy machine. */
const COMPILING = 240_000

interface Runner {
  readonly name: string
  /** Makes ready; absent: nothing to do. */
  readonly start?: () => Promise<unknown>
  readonly read: (tensors: readonly Tensor[]) => Promise<ArrayLike<number>[]>
  /** All cases of a group are begun before the first is looked at: one program, and compilers side by side. */
  readonly ahead?: boolean
  readonly skip?: boolean
}

/** The whole way: one submission for everything read. */
const onDevice = (name: string, threads: number): Runner => ({
  name: `${name}, ${threads} thread${threads > 1 ? 's' : ''}`,
  start: () => setDevice(name, { threads }),
  read: (tensors) => Promise.all(tensors.map((t) => t.data())),
})

ownCache()
const native = await hasNative()

const runners: readonly Runner[] = [
  { name: 'the interpreter', read: interpreted },
  onDevice('reference', 1),
  onDevice('cpu', 1),
  onDevice('cpu', 2),
  {
    name: 'cpu, two threads, native',
    start: () => setDevice('cpu', { threads: 2, tier: 'native' }),
    read: (tensors) => Promise.all(tensors.map((t) => t.data())),
    ahead: true,
    skip: !native,
  },
]

afterAll(closeDevices)

for (const group of GROUPS) {
  const cases = golden(group)
  for (const { name: runner, start, read, ahead, skip } of runners)
    describe.skipIf(cases.length === 0 || skip)(`${group} on ${runner}`, () => {
      const begun = new Map<GoldenCase, Begun>()
      const begin = (golden: GoldenCase): Begun => {
        const { outputs, grads } = build(golden)
        const tensors = [...outputs, ...grads]
        return { tensors, values: read(tensors) }
      }
      beforeAll(async () => {
        await start?.()
        if (!ahead) return
        for (const one of cases) begun.set(one, begin(one))
        await Promise.allSettled([...begun.values()].map(({ values }) => values))
      }, COMPILING)
      it.each(cases.map((c) => [c.name, c] as const))('%s', async (name, golden) => {
        const { tensors, values: coming } = begun.get(golden) ?? begin(golden)
        const values = await coming
        const expected = [...golden.outputs, ...golden.grads.values()]
        const names = [...golden.outputs.map((_, i) => `output ${i}`), ...golden.grads.keys()]
        expect(tensors.map((t) => t.shape)).toEqual(expected.map((t) => t.shape))
        expected.forEach(({ data }, i) => {
          expect(difference(values[i], data, 1e-4, CANCELLING[name]), names[i]).toBeUndefined()
        })
      })
    })
}
