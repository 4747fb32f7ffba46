// A model's messages as a plain graph: names checked, attributes typed, constants gathered, functions of the model put
// in the place of their calls.
import { fail } from '../../base/errors.js'
import type { Attribute, PlainGraph, PlainInput, PlainNode } from '../graph/plain.js'
import { encode, hostDType, type StoredTensor } from '../values.js'
import { inlined } from './functions.js'
import { type ExternalData, fileType, int64s, storedOf, typeName } from './tensors.js'
import type { Graph, Model, Node, ValueInfo, Attribute as WireAttribute } from './wire.js'

/** Versions of the operators that are read: before 7 broadcasting was another, after 21 the table was written. */
export const OLDEST = 7
export const NEWEST = 21

export interface Read {
  readonly graph: PlainGraph
  /** The version of ONNX's own operators. */
  readonly version: number
}

/** An operator's name: that of ONNX's own plain, others behind their domain, `com.microsoft.Gelu`. */
function operatorName({ domain = '', opType = '' }: Node): string {
  return domain === '' || domain === 'ai.onnx' ? opType : `${domain}.${opType}`
}

/** @throws BurnishError when the model is not whole, of another version, or has what no graph here can have. */
export function readModel(model: Model, where: string, external?: ExternalData): Read {
  const { graph, opsetImport = [] } = model
  if (graph === undefined) throw fail(`${where}: there is no graph in it; is it an ONNX model?`)
  const own = opsetImport.find(({ domain = '' }) => domain === '' || domain === 'ai.onnx')
  const version = own?.version
  if (version === undefined)
    throw fail(`${where}: it does not say the version of its operators (opset_import)`)
  if (!(version >= OLDEST && version <= NEWEST))
    fail(
      `${where}: its operators are of opset ${version}, but ${OLDEST} to ${NEWEST} are read; convert it with onnx.version_converter`,
    )
  const whole = inlined(graph, model.functions ?? [], where)
  return { graph: graphOf(whole, where, external), version }
}

const MOST_DEPTH = 16

function graphOf(
  graph: Graph,
  where: string,
  external: ExternalData | undefined,
  depth = 0,
): PlainGraph {
  if (depth > MOST_DEPTH) fail(`${where}: graphs are nested more than ${MOST_DEPTH} deep`)
  if ((graph.sparseInitializer ?? []).length > 0)
    fail(`${where}: sparse tensors are not supported; save it with dense ones`)
  const constants = new Map<string, StoredTensor>()
  const add = (name: string, tensor: StoredTensor) => {
    if (constants.has(name)) fail(`${where}: two constants are called ${name}`)
    constants.set(name, tensor)
  }
  for (const tensor of graph.initializer ?? []) {
    const name = tensor.name ?? ''
    if (name === '') fail(`${where}: an initializer has no name`)
    add(name, storedOf(tensor, `${where}: ${name}`, external))
  }
  const types = typesOf(graph)
  const nodes: PlainNode[] = []
  for (const node of graph.node ?? []) {
    const plain = quantised(nodeOf(node, where, external, depth), types)
    const constant = plain.op === 'Constant' ? constantOf(plain, where) : undefined
    if (constant === undefined) nodes.push(plain)
    else add(plain.outputs[0], constant)
  }
  const inputs = (graph.input ?? []).filter(({ name = '' }) => !constants.has(name))
  return {
    name: graph.name ?? '',
    inputs: inputs.map((info) => inputOf(info, where)),
    outputs: (graph.output ?? []).map(({ name = '' }) => name),
    constants,
    nodes,
  }
}

/** The element types that the file tells of values. */
function typesOf(graph: Graph): ReadonlyMap<string, number> {
  const types = new Map<string, number>()
  for (const { name = '', type } of [...(graph.valueInfo ?? []), ...(graph.input ?? [])])
    types.set(name, type?.tensorType?.elemType ?? 0)
  for (const { name = '', dataType = 0 } of graph.initializer ?? []) types.set(name, dataType)
  for (const { opType, output = [], attribute = [] } of graph.node ?? []) {
    const value = opType === 'Constant' ? attribute.find(({ name }) => name === 'value') : undefined
    if (value?.t) types.set(output[0] ?? '', value.t.dataType ?? 0)
  }
  return types
}

/** With the type of its zero point, which several types of ONNX have one of ours for, as `output_dtype`. */
function quantised(node: PlainNode, types: ReadonlyMap<string, number>): PlainNode {
  if (node.op !== 'QuantizeLinear') return node
  const type = types.get(node.inputs[2] ?? '') ?? 0
  if (type === 0) return node
  return { ...node, attributes: new Map(node.attributes).set('output_dtype', type) }
}

function inputOf({ name = '', type }: ValueInfo, where: string): PlainInput {
  if (name === '') fail(`${where}: an input has no name`)
  if (type?.sequenceType ?? type?.mapType ?? type?.optionalType)
    fail(
      `${where}: the input ${name} is no tensor; sequences, maps and optionals are not supported`,
    )
  const tensor = type?.tensorType
  if (tensor === undefined) return { name }
  const elements = tensor.elemType ?? 0
  const file = fileType(elements)
  if (elements !== 0 && file === undefined)
    fail(`${where}: the input ${name} is of ${typeName(elements)}, which is not supported`)
  const shape = tensor.shape?.dim?.map(
    // Some writers have −1 for any size.
    ({ dimValue, dimParam }) =>
      dimValue === -1 ? undefined : (dimValue ?? (dimParam === '' ? undefined : dimParam)),
  )
  return {
    name,
    ...(file === undefined ? {} : { dtype: hostDType(file) }),
    ...(tensor.shape === undefined ? {} : { shape: shape ?? [] }),
  }
}

function nodeOf(
  node: Node,
  where: string,
  external: ExternalData | undefined,
  depth: number,
): PlainNode {
  const op = operatorName(node)
  const name = node.name ?? ''
  const place = `${where}: ${op} ${name || (node.output ?? []).join(', ')}`
  const attributes = new Map<string, Attribute>()
  for (const attribute of node.attribute ?? []) {
    const key = attribute.name ?? ''
    if (attributes.has(key)) fail(`${place}: the attribute ${key} is there twice`)
    const value = attributeOf(attribute, place, external, depth)
    if (value !== undefined) attributes.set(key, value)
  }
  return { op, name, inputs: node.input ?? [], outputs: node.output ?? [], attributes }
}

const KINDS = ['', 'f', 'i', 's', 't', 'g', 'floats', 'ints', 'strings'] as const

function attributeOf(
  given: WireAttribute,
  place: string,
  external: ExternalData | undefined,
  depth: number,
): Attribute | undefined {
  const where = `${place}: ${given.name ?? ''}`
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
  // Files of old versions do not say the type: then it is the field that is there.
  const kind = KINDS[given.type ?? 0] || KINDS.find((key) => key && given[key] !== undefined)
  switch (kind) {
    case 'f':
      return given.f ?? 0
    case 'i':
      return Number(given.i ?? 0)
    case 's':
      return text(given.s ?? new Uint8Array())
    case 't':
      return storedOf(given.t ?? {}, where, external)
    case 'g':
      return graphOf(given.g ?? {}, where, external, depth + 1)
    case 'floats':
      return Array.from(given.floats ?? [])
    case 'ints':
      return (given.ints ?? []).map(Number)
    case 'strings':
      return (given.strings ?? []).map(text)
  }
  if (given.type === undefined) return undefined
  throw fail(`${where}: attributes of type ${given.type} are not supported`)
}

/** The tensor a Constant node gives, in any of its attributes. */
function constantOf({ attributes, name, outputs }: PlainNode, where: string): StoredTensor {
  const floats = (data: readonly number[], shape: readonly number[]): StoredTensor =>
    encode({ dtype: 'float32', shape, data: Float32Array.from(data) })
  const integers = (data: readonly number[], shape: readonly number[]): StoredTensor => ({
    dtype: 'I64',
    shape,
    bytes: new Uint8Array(int64s(data).buffer),
  })
  const isNumber = (x: unknown): x is number => typeof x === 'number'
  for (const [key, value] of attributes) {
    if (key === 'value' && typeof value === 'object' && 'bytes' in value) return value
    if (key === 'value_float' && isNumber(value)) return floats([value], [])
    if (key === 'value_int' && isNumber(value)) return integers([value], [])
    if (!Array.isArray(value) || !value.every(isNumber)) continue
    if (key === 'value_floats') return floats(value, [value.length])
    if (key === 'value_ints') return integers(value, [value.length])
  }
  throw fail(
    `${where}: Constant ${name || outputs.join(', ')} has ${[...attributes.keys()].join(', ') || 'no value'}; tensors, floats and integers are read`,
  )
}
