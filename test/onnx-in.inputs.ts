// What a case of an operator is, for test/onnx-in.test.ts: inputs, attributes and opset; and the model of it.
import {
  type Attribute,
  AttributeType,
  encodeModel,
  type Graph,
  type Node,
  type Tensor,
  TensorType,
  type ValueInfo,
} from '../src/io/onnx/wire.js'
import { uniform } from './support.js'

export type Given =
  | number
  | string
  | readonly number[]
  | { readonly floats: readonly number[] }
  | { readonly f: number }

export interface Input {
  readonly dtype: 'float' | 'int64' | 'int32' | 'bool' | 'uint8' | 'int8'
  readonly shape: readonly number[]
  readonly data: readonly number[]
  /** In the file, as an initializer. */
  readonly constant?: boolean
}

export interface OperatorCase {
  readonly op: string
  readonly opset: number
  readonly inputs: readonly (Input | undefined)[]
  readonly attributes: { readonly [name: string]: Given }
  readonly outputs: number
  readonly tolerance?: number
}

// ---- inputs ----

let count = 0
/** Floats in [−1, 1), or scaled to [low, high). */
export function floats(shape: readonly number[], low = -1, high = 1): Input {
  const data = [...uniform(`case${count++}`, shape)].map((u) =>
    Math.fround(low + ((u + 1) / 2) * (high - low)),
  )
  return { dtype: 'float', shape, data }
}
export const weights = (shape: readonly number[], low = -1, high = 1): Input => ({
  ...floats(shape, low, high),
  constant: true,
})
export const known = (
  data: readonly number[],
  shape: readonly number[] = [data.length],
): Input => ({
  dtype: 'int64',
  shape,
  data,
  constant: true,
})
export const ints = (data: readonly number[], shape: readonly number[] = [data.length]): Input => ({
  dtype: 'int64',
  shape,
  data,
})
export const values = (
  data: readonly number[],
  shape: readonly number[] = [data.length],
): Input => ({
  dtype: 'float',
  shape,
  data,
  constant: true,
})
export const bools = (shape: readonly number[]): Input => ({
  dtype: 'bool',
  shape,
  data: [...uniform(`case${count++}`, shape)].map((u) => Number(u > 0)),
})
export const bytes = (
  dtype: 'uint8' | 'int8',
  data: readonly number[],
  shape = [data.length],
): Input => ({
  dtype,
  shape,
  data,
  constant: true,
})

// ---- models ----

const types = {
  float: TensorType.FLOAT,
  int64: TensorType.INT64,
  int32: TensorType.INT32,
  bool: TensorType.BOOL,
  uint8: TensorType.UINT8,
  int8: TensorType.INT8,
} as const

export function attributeOf(name: string, given: Given): Attribute {
  if (typeof given === 'string')
    return { name, type: AttributeType.STRING, s: new TextEncoder().encode(given) }
  if (typeof given === 'number')
    return Number.isInteger(given)
      ? { name, type: AttributeType.INT, i: given }
      : { name, type: AttributeType.FLOAT, f: given }
  if ('f' in given) return { name, type: AttributeType.FLOAT, f: given.f }
  if ('floats' in given) return { name, type: AttributeType.FLOATS, floats: given.floats }
  return { name, type: AttributeType.INTS, ints: given }
}

export function tensorOf(name: string, { dtype, shape, data }: Input): Tensor {
  const base = { name, dims: shape, dataType: types[dtype] }
  if (dtype === 'float') {
    return { ...base, rawData: new Uint8Array(Float32Array.from(data).buffer) }
  }
  if (dtype === 'int64') return { ...base, int64Data: data }
  return { ...base, int32Data: data.map((x) => (dtype === 'int8' ? x & 255 : x)) }
}

export function infoOf(name: string, { dtype, shape }: Pick<Input, 'dtype' | 'shape'>): ValueInfo {
  const dim = shape.map((dimValue) => ({ dimValue }))
  return { name, type: { tensorType: { elemType: types[dtype], shape: { dim } } } }
}

/** A node, called after its operator and its first output. */
export const node = (
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attributes: OperatorCase['attributes'] = {},
): Node => ({
  opType,
  name: `${opType}_${output[0]}`,
  input,
  output,
  attribute: Object.entries(attributes).map(([name, given]) => attributeOf(name, given)),
})

export const graphAttribute = (name: string, g: Graph): Attribute => ({
  name,
  type: AttributeType.GRAPH,
  g,
})

/** The outputs are declared without a type: onnxruntime infers it. */
export function modelOf(graph: Graph, opset: number): Uint8Array {
  return encodeModel({
    irVersion: 8,
    opsetImport: [{ version: opset }],
    graph: { name: 'g', ...graph },
  })
}

export function modelOfCase({ op, opset, inputs, attributes, outputs }: OperatorCase): Uint8Array {
  const named = inputs.map((input, i) => [input ? `x${i}` : '', input] as const)
  const own: Node = {
    opType: op,
    name: 'node',
    input: named.map(([name]) => name),
    output: Array.from({ length: outputs }, (_, i) => `y${i}`),
    attribute: Object.entries(attributes).map(([name, given]) => attributeOf(name, given)),
  }
  const given = named.flatMap(([name, input]) =>
    input && !input.constant ? [infoOf(name, input)] : [],
  )
  const initializer = named.flatMap(([name, input]) =>
    input?.constant ? [tensorOf(name, input)] : [],
  )
  return modelOf(
    { node: [own], input: given, output: own.output?.map((name) => ({ name })), initializer },
    opset,
  )
}

// ---- cases ----

/** Adds cases to a list. */
export const adding =
  (list: OperatorCase[]) =>
  (
    op: string,
    inputs: readonly (Input | undefined)[],
    attributes: { readonly [name: string]: Given } = {},
    {
      opset = 17,
      outputs = 1,
      tolerance,
    }: { opset?: number; outputs?: number; tolerance?: number } = {},
  ): void => {
    list.push({ op, inputs, attributes, opset, outputs, ...(tolerance ? { tolerance } : {}) })
  }
