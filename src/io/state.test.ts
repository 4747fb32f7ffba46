// A model's state to bytes and back: shared parameters, counters, and a file PyTorch's weights came in.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { difference, goldenBytes, goldenJson } from '../../test/support.js'
import { mnist } from '../data/index.js'
import { LeNet } from '../models/lenet.js'
import * as nn from '../nn/index.js'
import { tensor } from '../tensor/create.js'
import { closeDevices, setDevice } from '../tensor/devices.js'
import type { Tensor } from '../tensor/tensor.js'
import { readSafetensors } from './safetensors.js'
import { decodeState, encodeState } from './state.js'

beforeAll(async () => {
  await setDevice('reference')
})
afterAll(closeDevices)

class Tied extends nn.Module {
  embed = new nn.Embedding(3, 2)
  bn = new nn.BatchNorm1d(2)
  head = new nn.Linear(2, 3, { bias: false })
  constructor() {
    super()
    this.head.weight = this.embed.weight
  }
  forward(x: Tensor): Tensor {
    return this.head.forward(this.bn.forward(this.embed.forward(x)))
  }
}

it('writes a shared parameter once and a counter as int64; loads either way', async () => {
  const model = new Tied()
  await model.forward(tensor(Int32Array.of(0, 1, 2))).data()
  const bytes = await encodeState(model.stateDict())
  const { tensors, metadata } = readSafetensors(bytes)
  expect([...tensors.keys()].sort()).toEqual([
    'bn.bias',
    'bn.num_batches_tracked',
    'bn.running_mean',
    'bn.running_var',
    'bn.weight',
    'embed.weight',
  ])
  expect(metadata.get('head.weight')).toBe('embed.weight')
  expect(tensors.get('bn.num_batches_tracked')?.dtype).toBe('I64')

  const other = new Tied()
  expect(other.loadStateDict(decodeState(bytes))).toMatchObject({
    missing: [],
    unexpected: [],
    mismatched: [],
  })
  expect(await encodeState(other.stateDict())).toEqual(bytes)
  const { 'head.weight': _, ...kept } = decodeState(bytes)
  expect(other.loadStateDict(kept).missing).toEqual([])
  expect(await other.bn.buffers()[2].item()).toBe(1)
})

const file = goldenBytes('lenet_200steps.safetensors')
const checkpoints = goldenJson<{ lenet_logits_test0_3: readonly (readonly number[])[] }>(
  'checkpoints.json',
)

it.skipIf(!file || !checkpoints)('loads the weights PyTorch trained', async () => {
  if (!file || !checkpoints) return
  const model = new LeNet().eval()
  model.loadStateDict(decodeState(file, 'lenet_200steps.safetensors'))
  const test = await mnist({ train: false })
  const pixels = Float32Array.from(test.images.data.subarray(0, 4 * 784), (byte) => byte / 255)
  const logits = await model.forward(tensor(pixels, { shape: [4, 1, 28, 28] })).data()
  expect(difference(logits, checkpoints.lenet_logits_test0_3.flat(), 1e-3)).toBeUndefined()
})
