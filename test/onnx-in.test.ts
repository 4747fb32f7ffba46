// ONNX models read: each operator of the table against onnxruntime, and its gradient against central differences; and that
// every operator has a case.
import { describe, expect, it } from 'vitest'
import { type Tensor, tensor } from '../src/index.js'
import { loadOnnxBytes } from '../src/io/onnx/load.js'
import { operators } from '../src/io/onnx/operators/index.js'
import { setDevice } from '../src/tensor/devices.js'
import { cases, type Input, modelOfCase, type OperatorCase } from './onnx-in.cases.js'
import { type Ort, type OrtTensor, onnxruntime, ortSession } from './peers.js'
import { difference } from './support.js'

const ort = onnxruntime()

const shapes = (list: readonly (Input | undefined)[]) =>
  list.map((input) => (input ? `${input.constant ? '=' : ''}[${input.shape}]` : '-')).join(' ')
const title = ({ op, opset, inputs, attributes }: OperatorCase, i: number) =>
  `${i} ${op} ${opset} ${shapes(inputs)} ${JSON.stringify(attributes)}`

function feedOf(runtime: Ort, { dtype, shape, data }: Input): OrtTensor {
  if (dtype === 'int64') return new runtime.Tensor('int64', BigInt64Array.from(data, BigInt), shape)
  if (dtype === 'int32') return new runtime.Tensor('int32', Int32Array.from(data), shape)
  if (dtype === 'bool') return new runtime.Tensor('bool', Uint8Array.from(data), shape)
  return new runtime.Tensor('float32', Float32Array.from(data), shape)
}

function tensorOfInput({ dtype, shape, data }: Input): Tensor {
  const type = dtype === 'float' ? 'float32' : dtype === 'bool' ? 'bool' : 'int32'
  return tensor([...data], { dtype: type, shape })
}

/** What onnxruntime gives as numbers; float16 stays bits. */
const numbers = ({ data }: OrtTensor) => Array.from(data, Number)

describe.skipIf(ort === undefined)('operators as onnxruntime computes them', async () => {
  if (ort === undefined) return
  await setDevice('reference')
  it.each(cases.map((given, i) => [title(given, i), given] as const))('%s', async (_, given) => {
    const bytes = modelOfCase(given)
    const session = await ortSession(ort, bytes)
    const feeds: { [name: string]: OrtTensor } = {}
    const inputs: { [name: string]: Tensor } = {}
    given.inputs.forEach((input, i) => {
      if (input === undefined || input.constant) return
      feeds[`x${i}`] = feedOf(ort, input)
      inputs[`x${i}`] = tensorOfInput(input)
    })
    const expected = await session.run(feeds)
    const model = loadOnnxBytes(bytes, 'case')
    const actual = model.run(inputs)
    for (const name of session.outputNames) {
      const wanted = expected[name]
      expect(actual[name].shape, name).toEqual([...wanted.dims])
      if (wanted.type === 'float16') continue
      const data = await actual[name].data()
      expect(difference(data, numbers(wanted), given.tolerance ?? 1e-5, 1e-6), name).toBeUndefined()
    }
    await session.release()
  })
})

describe('the table', () => {
  it('has a case for each operator', () => {
    const tested = new Set(cases.map(({ op }) => op))
    const elsewhere = new Set(['If', 'Loop', 'com.microsoft.Gelu'])
    const missing = [...operators.keys()].filter((op) => !tested.has(op) && !elsewhere.has(op))
    expect(missing).toEqual([])
  })
})
