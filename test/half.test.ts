// float16 and bfloat16 as types of storage, on every device: the compiled conversions bit for bit, and parameters
// that train although they are stored so.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DType, storedNumber } from '../src/base/dtype.js'
import { float16Value } from '../src/base/half.js'
import { closeDevices, compile, Parameter, setDevice, tensor } from '../src/index.js'
import { decodeState, encodeState } from '../src/io/index.js'
import { linear, mseLoss } from '../src/nn/index.js'
import { SGD } from '../src/optim/index.js'

const HALVES = ['float16', 'bfloat16'] as const satisfies readonly DType[]

/** Every float16, its neighbours' middles, and float32s of every size. */
function samples(): Float32Array {
  const list: number[] = []
  for (let bits = 0; bits < 0x7c00; bits++) {
    const [low, high] = [float16Value(bits), float16Value(bits + 1)]
    list.push(low, -(low + high) / 2, low + (high - low) * 0.7)
  }
  for (let power = -149; power < 128; power++)
    for (const x of [1, 1.5, 1.00390625, 1.99999]) list.push(x * 2 ** power, -x * 2 ** power)
  return Float32Array.from([...list, 0, -0, Infinity, -Infinity, 65504, 65519.99, 65520])
}

describe.each([
  ['reference', {}],
  ['cpu', { threads: 1 }],
  ['cpu', { threads: 2 }],
])('on the device %s %o', (device, options) => {
  beforeAll(async () => {
    await setDevice(device, options)
  })
  afterAll(closeDevices)

  it.each(HALVES)('%s: 95,000 numbers are rounded as IEEE says', async (dtype) => {
    const x = samples()
    const given = await tensor(x).to(dtype).data()
    const wanted = await tensor(x, { dtype }).data()
    const wrong = x.filter((_, i) => !Object.is(given[i], wanted[i]))
    expect(wrong.length, `first: ${wrong[0]}`).toBe(0)
    // In registers too: a sum of halves is rounded once, to a half.
    const sums = await tensor(x).to(dtype).add(tensor(x).to(dtype)).data()
    const odd = sums.findIndex((sum, i) => {
      const bits = storedNumber(dtype, Math.fround(wanted[i] * 2))
      return storedNumber(dtype, sum) !== bits
    })
    expect(odd).toBe(-1)
    expect(await tensor([Number.NaN]).to(dtype).data()).toEqual(Float32Array.of(Number.NaN))
  })

  it.each(HALVES)('%s: a parameter trains, in both loops alike', async (dtype) => {
    const x = tensor([
      [1, 2],
      [3, -1],
    ])
    const y = tensor([[1], [2]])
    const train = async (compiled: boolean) => {
      const w = new Parameter(tensor([[0.5, -0.25]], { dtype }))
      expect(w.dtype).toBe(dtype)
      const optimizer = new SGD([w], { lr: 0.05, momentum: 0.9 })
      const body = () => {
        optimizer.zeroGrad()
        const loss = mseLoss(linear(x, w), y)
        loss.backward()
        return { loss, done: optimizer.step() }
      }
      const step = compile(() => ({ loss: body().loss }))
      const losses: number[] = []
      for (let i = 0; i < 20; i++) {
        if (compiled) losses.push(await step().loss.item())
        else {
          const { loss, done } = body()
          await done
          losses.push(await loss.item())
        }
      }
      return { losses, weights: await w.data(), w }
    }
    const imperative = await train(false)
    expect(imperative.losses[19]).toBeLessThan(imperative.losses[0] / 4)
    for (const value of imperative.weights) expect(Math.abs(value)).toBeGreaterThan(0)
    const { losses, weights, w } = await train(true)
    expect(losses).toEqual(imperative.losses)
    expect(weights).toEqual(imperative.weights)
    // And is saved as it is stored.
    const bytes = await encodeState({ w })
    expect(Buffer.from(bytes).toString('latin1')).toContain(
      dtype === 'float16' ? '"F16"' : '"BF16"',
    )
    expect(decodeState(bytes).w.data).toEqual(weights)
  })
})
