// Builds a case's graph over tensors of host data: its results, and the gradients of Σ results·seeds for every
// float input. One graph serves the interpreter, compiled programs and every device.
import { gradients } from '../../src/autograd/grad.js'
import { allocate, isFloat, isHalf, storedNumber, type TypedArray } from '../../src/base/dtype.js'
import { sizeOf } from '../../src/base/shape.js'
import {
  constant,
  type Graph,
  type InputNode,
  map,
  type Node,
  reduce,
} from '../../src/graph/node.js'
import { adopt } from '../../src/tensor/create.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { Scalar, Value } from '../../src/tensor/value.js'
import { uniform } from '../support.js'
import type { Case, Input } from './case.js'

export interface Built {
  /** The results, then the gradients there are. */
  readonly graph: Graph
  readonly inputs: readonly Node[]
  readonly results: readonly Node[]
  /** For each input its gradient, where there is one. */
  readonly gradients: readonly (Node | undefined)[]
  /** Σ results·seeds, what is differentiated; undefined: nothing to differentiate. */
  readonly total: Node | undefined
}

/** Σ of every float result times fixed numbers. */
function totalOf(results: readonly Node[]): Node | undefined {
  const parts = results
    .filter((node) => isFloat(node.dtype))
    .map((node, i) => {
      const seed = adopt(uniform(`seed ${i}`, node.shape), node.shape, 'float32').node
      const wide = isHalf(node.dtype) ? map('toFloat32', node) : node
      return reduce('sum', [...node.shape.keys()], map('mul', wide, seed))
    })
  return parts.length === 0 ? undefined : parts.reduce((a, b) => map('add', a, b))
}

function tensorOf({ dtype, data, shape }: Input): Tensor {
  const array = allocate(dtype, sizeOf(shape))
  for (let i = 0; i < data.length; i++) array[i] = storedNumber(dtype, data[i])
  return adopt(array, shape, dtype)
}

/** What an input of a built graph holds. */
export function bind({ source, dtype }: InputNode): TypedArray {
  if (source instanceof Value && source.host !== undefined) return source.host
  if (!(source instanceof Scalar)) throw new Error('an input that is neither data nor a number')
  const array = allocate(dtype, 1)
  array[0] = source.read()
  return array
}

export function build(line: Case): Built {
  const tensors = line.inputs.map(tensorOf)
  const given = line.run(...tensors)
  const results = (given instanceof Tensor ? [given] : given).map((t) => t.node)
  const inputs = tensors.map((t) => t.node)
  const total = totalOf(results)
  const floats = inputs.filter((node) => isFloat(node.dtype))
  const found = total === undefined ? [] : gradients(total, floats, constant(1))
  const all = inputs.map((node) => (isFloat(node.dtype) ? found[floats.indexOf(node)] : undefined))
  const wanted = all.filter((node): node is Node => node !== undefined)
  const graph = { outputs: [...results, ...wanted], updates: [] }
  return { graph, inputs, results, gradients: all, total }
}
