// Gradients of networks' operators as they are read from ONNX: along a random direction of all float inputs and
// weights, against central differences.
import { beforeAll, describe, expect, it } from 'vitest'
import { grad, Parameter, type Tensor, tensor } from '../src/index.js'
import { loadOnnxBytes } from '../src/io/onnx/load.js'
import { setDevice } from '../src/tensor/devices.js'
import { cases } from './onnx-in.cases.js'
import { tensorOfInput } from './onnx-in.compare.js'
import { modelOfCase, type OperatorCase } from './onnx-in.inputs.js'
import { uniform } from './support.js'

beforeAll(() => setDevice('reference'))

/** Smooth where the cases are, or at least linear. */
const smooth = new Set(
  'Add Sub Mul Div Pow Sum Mean Exp Log Sqrt Reciprocal Erf Sin Cos Tan Tanh Sigmoid Softplus Mish Gelu Softmax LogSoftmax Conv ConvTranspose AveragePool LpPool GlobalAveragePool Gemm MatMul Einsum BatchNormalization InstanceNormalization LayerNormalization GroupNormalization LRN LpNormalization MeanVarianceNormalization ReduceSum ReduceMean ReduceProd ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp CumSum Reshape Flatten Transpose Concat Split Slice Pad Expand Tile Gather GatherElements GatherND ScatterElements ScatterND Where Trilu DepthToSpace SpaceToDepth Resize Upsample GridSample LSTM GRU RNN'.split(
    ' ',
  ),
)

const STEP = 2 ** -7

async function check(given: OperatorCase): Promise<void> {
  const model = loadOnnxBytes(modelOfCase(given), 'case')
  const inputs: { [name: string]: Tensor } = {}
  const variables: Parameter[] = [...model.parameters()]
  given.inputs.forEach((input, i) => {
    if (input === undefined || input.constant) return
    const value = tensorOfInput(input)
    if (input.dtype !== 'float') {
      inputs[`x${i}`] = value
      return
    }
    const variable = new Parameter(value)
    inputs[`x${i}`] = variable
    variables.push(variable)
  })
  const seeds = new Map<string, Tensor>()
  const loss = () => {
    let sum: Tensor | undefined
    for (const [name, y] of Object.entries(model.run(inputs))) {
      if (y.dtype !== 'float32') continue
      const seed = seeds.get(name) ?? tensor(uniform(`seed ${name}`, y.shape), { shape: y.shape })
      seeds.set(name, seed)
      const part = y.mul(seed).sum()
      sum = sum === undefined ? part : sum.add(part)
    }
    if (sum === undefined) throw new Error('no float output')
    return sum
  }
  const start = await Promise.all(variables.map((variable) => variable.data()))
  const directions = variables.map(({ shape }, i) => uniform(`direction ${i}`, shape))
  const gradients = await Promise.all(grad(loss(), variables).map((g) => g.data()))
  let slope = 0
  let size = 0
  gradients.forEach((g, i) => {
    g.forEach((value, k) => {
      slope += value * directions[i][k]
      size += Math.abs(value * directions[i][k])
    })
  })
  const at = async (step: number) => {
    variables.forEach((variable, i) => {
      variable.set(Float32Array.from(start[i], (x, k) => x + step * directions[i][k]))
    })
    return loss().item()
  }
  const measured = ((await at(STEP)) - (await at(-STEP))) / (2 * STEP)
  expect(Math.abs(measured - slope)).toBeLessThan(0.01 * size + 1e-3)
  expect(size).toBeGreaterThan(0)
}

describe('gradients', () => {
  const tested = cases
    .map((given, i) => [`${i} ${given.op} ${JSON.stringify(given.attributes)}`, given] as const)
    .filter(
      ([, { op, inputs }]) =>
        smooth.has(op) && inputs.some((input) => input?.dtype === 'float' && !input.constant),
    )
    .filter(([, { op, attributes }]) => op !== 'Resize' || attributes.mode !== undefined)
  it.each(tested)('%s', (_, given) => check(given))
})
