// What the tests of loadOnnx share: one case of an operator, run by onnxruntime and here; and training.
import { expect } from 'vitest'
import type { DType } from '../src/base/dtype.js'
import { type Tensor, tensor } from '../src/index.js'
import { loadOnnxBytes } from '../src/io/onnx/load.js'
import { crossEntropy } from '../src/nn/functional.js'
import type { Module } from '../src/nn/module.js'
import { SGD } from '../src/optim/index.js'
import { type Input, modelOfCase, type OperatorCase } from './onnx-in.inputs.js'
import { type Ort, type OrtTensor, ortSession } from './peers.js'
import { difference, uniform } from './support.js'

/** An input as onnxruntime takes it. */
export function feedOf({ Tensor }: Ort, { dtype, shape, data }: Input): OrtTensor {
  switch (dtype) {
    case 'float':
      return new Tensor('float32', Float32Array.from(data), shape)
    case 'int64':
      return new Tensor('int64', BigInt64Array.from(data, BigInt), shape)
    case 'int32':
      return new Tensor('int32', Int32Array.from(data), shape)
    case 'int8':
      return new Tensor('int8', Int8Array.from(data), shape)
    default:
      return new Tensor(dtype, Uint8Array.from(data), shape)
  }
}

/** The type here of elements that onnxruntime calls so. */
const typeOf = (type: string): DType => {
  if (type.startsWith('float')) return 'float32'
  return type === 'bool' || type === 'uint8' ? type : 'int32'
}

/** An input as a tensor here. */
export function tensorOfInput({ dtype, shape, data }: Input): Tensor {
  return tensor([...data], { dtype: typeOf(dtype), shape })
}

/** What onnxruntime gives as numbers; float16 stays bits. */
export const numbers = ({ data }: OrtTensor) => Array.from(data, Number)

const dynamic = ({ inputs }: OperatorCase) =>
  inputs.flatMap((input, i) => (input && !input.constant ? [[`x${i}`, input] as const] : []))

export type Outputs = Awaited<ReturnType<Awaited<ReturnType<typeof ortSession>>['run']>>

/** What onnxruntime gives; it refuses a model that its opset does not allow. */
export async function expectedOf(ort: Ort, given: OperatorCase): Promise<Outputs> {
  const session = await ortSession(ort, modelOfCase(given))
  try {
    return await session.run(
      Object.fromEntries(dynamic(given).map(([name, input]) => [name, feedOf(ort, input)])),
    )
  } finally {
    await session.release()
  }
}

/** Runs it here. */
export async function compare(given: OperatorCase, expected: Outputs): Promise<void> {
  const model = loadOnnxBytes(modelOfCase(given), 'case')
  const actual = model.run(
    Object.fromEntries(dynamic(given).map(([name, input]) => [name, tensorOfInput(input)])),
  )
  for (const [name, wanted] of Object.entries(expected)) {
    const where = `${given.op} ${given.opset} ${name}`
    expect(actual[name].shape, where).toEqual([...wanted.dims])
    expect(actual[name].dtype, where).toBe(typeOf(wanted.type))
    if (wanted.type === 'float16') continue
    const data = await actual[name].data()
    const found = difference(data, numbers(wanted), given.tolerance ?? 1e-5, 1e-6)
    expect(found, where).toBeUndefined()
  }
}

/** The losses of ten steps on one batch: inputs of the name and shape, the classes in turn. */
export async function trained(
  model: Module<Tensor>,
  input: string,
  shape: number[],
  classes: number,
) {
  model.train()
  const optimizer = new SGD(model.parameters(), { lr: 0.05 })
  const x = tensor(uniform(input, shape), { shape })
  const labels = tensor(Int32Array.from({ length: shape[0] }, (_, i) => i % classes))
  const losses: number[] = []
  for (let i = 0; i < 10; i++) {
    const loss = crossEntropy(model.forward(x), labels)
    loss.backward()
    await optimizer.step()
    optimizer.zeroGrad()
    losses.push(await loss.item())
  }
  return losses
}
