// ONNX's messages (onnx.proto, Apache-2.0), as far as models of networks use them: types, tables, and reading and
// writing a model. Training information and annotations are skipped.
import { decodeMessage, encodeMessage, type MessageTable, message } from './codec.js'

export interface StringStringEntry {
  readonly key?: string
  readonly value?: string
}

/** Elements of tensors, by ONNX's numbers. */
export const TensorType = {
  FLOAT: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  STRING: 8,
  BOOL: 9,
  FLOAT16: 10,
  DOUBLE: 11,
  UINT32: 12,
  UINT64: 13,
  COMPLEX64: 14,
  COMPLEX128: 15,
  BFLOAT16: 16,
  FLOAT8E4M3FN: 17,
  FLOAT8E4M3FNUZ: 18,
  FLOAT8E5M2: 19,
  FLOAT8E5M2FNUZ: 20,
  UINT4: 21,
  INT4: 22,
} as const

export interface Tensor {
  readonly dims?: readonly number[]
  readonly dataType?: number
  readonly floatData?: ArrayLike<number>
  readonly int32Data?: readonly number[]
  readonly int64Data?: readonly number[]
  readonly name?: string
  readonly rawData?: Uint8Array
  readonly doubleData?: readonly number[]
  readonly uint64Data?: readonly number[]
  readonly externalData?: readonly StringStringEntry[]
  /** 1: in externalData. */
  readonly dataLocation?: number
}

/** Kinds of attributes, by ONNX's numbers. */
export const AttributeType = {
  FLOAT: 1,
  INT: 2,
  STRING: 3,
  TENSOR: 4,
  GRAPH: 5,
  FLOATS: 6,
  INTS: 7,
  STRINGS: 8,
  TENSORS: 9,
  GRAPHS: 10,
  SPARSE_TENSOR: 11,
  SPARSE_TENSORS: 12,
  TYPE_PROTO: 13,
  TYPE_PROTOS: 14,
} as const

export interface Attribute {
  readonly name?: string
  readonly f?: number
  /** A bigint may be written; what is read is a number, rounded beyond 2⁵³. */
  readonly i?: number | bigint
  readonly s?: Uint8Array
  readonly t?: Tensor
  readonly g?: Graph
  readonly floats?: ArrayLike<number>
  readonly ints?: readonly (number | bigint)[]
  readonly strings?: readonly Uint8Array[]
  readonly type?: number
  /** Inside of a function: the attribute of the calling node it stands for. */
  readonly refAttrName?: string
}

export interface Node {
  readonly input?: readonly string[]
  readonly output?: readonly string[]
  readonly name?: string
  readonly opType?: string
  readonly attribute?: readonly Attribute[]
  readonly domain?: string
  readonly overload?: string
}

export interface Dimension {
  readonly dimValue?: number
  readonly dimParam?: string
}

export interface Shape {
  readonly dim?: readonly Dimension[]
}

export interface TypeTensor {
  readonly elemType?: number
  readonly shape?: Shape
}

export interface Type {
  readonly tensorType?: TypeTensor
  /** Only whether they are there. */
  readonly sequenceType?: object
  readonly mapType?: object
  readonly optionalType?: object
}

export interface ValueInfo {
  readonly name?: string
  readonly type?: Type
}

export interface Graph {
  readonly node?: readonly Node[]
  readonly name?: string
  readonly initializer?: readonly Tensor[]
  readonly docString?: string
  readonly input?: readonly ValueInfo[]
  readonly output?: readonly ValueInfo[]
  readonly valueInfo?: readonly ValueInfo[]
  /** Only whether there are any. */
  readonly sparseInitializer?: readonly object[]
}

export interface OperatorSetId {
  readonly domain?: string
  readonly version?: number
}

export interface Function {
  readonly name?: string
  readonly input?: readonly string[]
  readonly output?: readonly string[]
  readonly attribute?: readonly string[]
  readonly node?: readonly Node[]
  readonly opsetImport?: readonly OperatorSetId[]
  readonly domain?: string
  readonly attributeProto?: readonly Attribute[]
  readonly overload?: string
}

export interface Model {
  readonly irVersion?: number
  readonly producerName?: string
  readonly producerVersion?: string
  readonly domain?: string
  readonly modelVersion?: number
  readonly docString?: string
  readonly graph?: Graph
  readonly opsetImport?: readonly OperatorSetId[]
  readonly metadataProps?: readonly StringStringEntry[]
  readonly functions?: readonly Function[]
}

// ---- tables ----

const ENTRY = message('StringStringEntry', {
  1: { key: 'key', kind: 'text' },
  2: { key: 'value', kind: 'text' },
})

const TENSOR = message('Tensor', {
  1: { key: 'dims', kind: 'int', list: true },
  2: { key: 'dataType', kind: 'int' },
  4: { key: 'floatData', kind: 'float', list: true, packed: true },
  5: { key: 'int32Data', kind: 'int', list: true, packed: true },
  7: { key: 'int64Data', kind: 'int', list: true, packed: true },
  8: { key: 'name', kind: 'text' },
  9: { key: 'rawData', kind: 'bytes' },
  10: { key: 'doubleData', kind: 'double', list: true, packed: true },
  11: { key: 'uint64Data', kind: 'uint', list: true, packed: true },
  13: { key: 'externalData', kind: () => ENTRY, list: true },
  14: { key: 'dataLocation', kind: 'int' },
})

const SPARSE_TENSOR = message('SparseTensor', {})

const ATTRIBUTE = message('Attribute', {
  1: { key: 'name', kind: 'text' },
  2: { key: 'f', kind: 'float' },
  3: { key: 'i', kind: 'int' },
  4: { key: 's', kind: 'bytes' },
  5: { key: 't', kind: () => TENSOR },
  6: { key: 'g', kind: (): MessageTable => GRAPH },
  7: { key: 'floats', kind: 'float', list: true },
  8: { key: 'ints', kind: 'int', list: true },
  9: { key: 'strings', kind: 'bytes', list: true },
  20: { key: 'type', kind: 'int' },
  21: { key: 'refAttrName', kind: 'text' },
})

const NODE = message('Node', {
  1: { key: 'input', kind: 'text', list: true },
  2: { key: 'output', kind: 'text', list: true },
  3: { key: 'name', kind: 'text' },
  4: { key: 'opType', kind: 'text' },
  5: { key: 'attribute', kind: () => ATTRIBUTE, list: true },
  7: { key: 'domain', kind: 'text' },
  8: { key: 'overload', kind: 'text' },
})

const DIMENSION = message('Dimension', {
  1: { key: 'dimValue', kind: 'int' },
  2: { key: 'dimParam', kind: 'text' },
})
const SHAPE = message('Shape', { 1: { key: 'dim', kind: () => DIMENSION, list: true } })
const TYPE_TENSOR = message('TypeTensor', {
  1: { key: 'elemType', kind: 'int' },
  2: { key: 'shape', kind: () => SHAPE },
})
const OTHER_TYPE = message('Type', {})
const TYPE = message('Type', {
  1: { key: 'tensorType', kind: () => TYPE_TENSOR },
  4: { key: 'sequenceType', kind: () => OTHER_TYPE },
  5: { key: 'mapType', kind: () => OTHER_TYPE },
  9: { key: 'optionalType', kind: () => OTHER_TYPE },
})
const VALUE_INFO = message('ValueInfo', {
  1: { key: 'name', kind: 'text' },
  2: { key: 'type', kind: () => TYPE },
})

const GRAPH = message('Graph', {
  1: { key: 'node', kind: () => NODE, list: true },
  2: { key: 'name', kind: 'text' },
  5: { key: 'initializer', kind: () => TENSOR, list: true },
  10: { key: 'docString', kind: 'text' },
  11: { key: 'input', kind: () => VALUE_INFO, list: true },
  12: { key: 'output', kind: () => VALUE_INFO, list: true },
  13: { key: 'valueInfo', kind: () => VALUE_INFO, list: true },
  15: { key: 'sparseInitializer', kind: () => SPARSE_TENSOR, list: true },
})

const OPERATOR_SET = message('OperatorSetId', {
  1: { key: 'domain', kind: 'text' },
  2: { key: 'version', kind: 'int' },
})

const FUNCTION = message('Function', {
  1: { key: 'name', kind: 'text' },
  4: { key: 'input', kind: 'text', list: true },
  5: { key: 'output', kind: 'text', list: true },
  6: { key: 'attribute', kind: 'text', list: true },
  7: { key: 'node', kind: () => NODE, list: true },
  9: { key: 'opsetImport', kind: () => OPERATOR_SET, list: true },
  10: { key: 'domain', kind: 'text' },
  11: { key: 'attributeProto', kind: () => ATTRIBUTE, list: true },
  13: { key: 'overload', kind: 'text' },
})

const MODEL = message('Model', {
  1: { key: 'irVersion', kind: 'int' },
  2: { key: 'producerName', kind: 'text' },
  3: { key: 'producerVersion', kind: 'text' },
  4: { key: 'domain', kind: 'text' },
  5: { key: 'modelVersion', kind: 'int' },
  6: { key: 'docString', kind: 'text' },
  7: { key: 'graph', kind: () => GRAPH },
  8: { key: 'opsetImport', kind: () => OPERATOR_SET, list: true },
  14: { key: 'metadataProps', kind: () => ENTRY, list: true },
  25: { key: 'functions', kind: () => FUNCTION, list: true },
})

/** @throws BurnishError naming `where` and the message that cannot be read. */
export function decodeModel(bytes: Uint8Array, where: string): Model {
  return decodeMessage(bytes, MODEL, where) as Model
}

export function encodeModel(model: Model): Uint8Array {
  return encodeMessage(model, MODEL)
}
