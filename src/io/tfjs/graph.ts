// A TensorFlow graph, as model.json has it, into the plain graph that becomes a module. After TensorFlow's GraphDef
// written as JSON: integers may be strings, strings are base64, types are names or numbers.
import { fail } from '../../base/errors.js'
import { GraphModule } from '../graph/module.js'
import {
  type Attribute,
  ordered,
  type PlainGraph,
  type PlainInput,
  type PlainNode,
} from '../graph/plain.js'
import type { HostTensor } from '../values.js'
import { operatorTable } from './operators/table.js'
import { type Fields, fieldsOf, isObject, type Plain, type PlainObject, shown } from './plain.js'

/** TensorFlow's types, by the numbers of its enumeration too. */
const types: { readonly [type: string]: string } = {
  DT_FLOAT: 'float32',
  DT_DOUBLE: 'float32',
  DT_HALF: 'float32',
  DT_BFLOAT16: 'float32',
  DT_INT32: 'int32',
  DT_INT64: 'int32',
  DT_INT16: 'int32',
  DT_INT8: 'int32',
  DT_UINT8: 'uint8',
  DT_BOOL: 'bool',
  DT_STRING: 'string',
  1: 'float32',
  2: 'float32',
  3: 'int32',
  4: 'uint8',
  5: 'int32',
  6: 'int32',
  7: 'string',
  9: 'int32',
  10: 'bool',
  14: 'float32',
  19: 'float32',
}

/** Types no operator here computes with keep their names: the nodes that need them are refused by name. */
function typeName(value: Plain): string {
  const key = String(value)
  return Object.hasOwn(types, key) ? types[key] : key
}

function integer(value: Plain, where: string): number {
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !Number.isInteger(number))
    throw fail(`${where}: ${shown(value)} is no whole number`)
  return number
}

function decodeText(value: Plain, where: string): string {
  if (typeof value === 'string') {
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(value)) return value
    try {
      return atob(value)
    } catch {
      return value
    }
  }
  // Bytes written as a list of numbers.
  if (Array.isArray(value) && value.every((c) => typeof c === 'number'))
    return String.fromCharCode(...value.slice(0, 4096))
  throw fail(`${where}: ${shown(value)} is no string`)
}

/** An attribute's value; undefined where it is of a kind no operator asks for. */
function attribute(value: PlainObject, where: string): Attribute | undefined {
  const get = (key: string) => (Object.hasOwn(value, key) ? value[key] : undefined)
  const i = get('i')
  if (i !== undefined) return integer(i, where)
  const f = get('f')
  if (f !== undefined) {
    const number = typeof f === 'string' ? Number(f) : f
    return typeof number === 'number' ? number : fail(`${where}: ${shown(f)} is no number`)
  }
  const b = get('b')
  if (b !== undefined) return b === true
  const s = get('s')
  if (s !== undefined) return decodeText(s, where)
  const type = get('type')
  if (type !== undefined) return typeName(type)
  const list = get('list')
  if (isObject(list)) return attributeList(list, where)
  const shape = get('shape')
  if (isObject(shape)) return sizesOf(shape, where)?.map((n) => n ?? -1)
  return undefined
}

function attributeList(list: PlainObject, where: string): Attribute | undefined {
  const items = (key: string): readonly Plain[] | undefined => {
    const value = Object.hasOwn(list, key) ? list[key] : undefined
    return Array.isArray(value) && value.length > 0 ? value : undefined
  }
  const numbers = items('i')
  if (numbers) return numbers.map((n) => integer(n, where))
  const floats = items('f')
  if (floats) return floats.map(Number)
  const texts = items('s')
  if (texts) return texts.map((text) => decodeText(text, where))
  return []
}

/** `{ dim: [{ size }] }`; sizes below 0 are unknown, and so is a shape of unknown rank. */
function sizesOf(shape: PlainObject, where: string): (number | undefined)[] | undefined {
  if (Object.hasOwn(shape, 'unknownRank') && shape.unknownRank === true) return undefined
  const dims = Object.hasOwn(shape, 'dim') ? shape.dim : []
  if (!Array.isArray(dims)) return undefined
  return dims.map((dim) => {
    const size = integer(fieldsOf(dim, where).get('size') ?? -1, where)
    return size < 0 ? undefined : size
  })
}

/** `^name` only orders; `name:0` is `name`. */
const valueName = (input: string) => input.replace(/:0$/, '')

interface Read {
  readonly graph: PlainGraph
  /** Inputs whose numbers decide about shapes. */
  readonly known: readonly string[]
}

/** The plain graph of `modelTopology`, with the weights as constants. */
function readGraph(model: Fields, weights: ReadonlyMap<string, HostTensor>, where: string): Read {
  const topology = model.object('modelTopology')
  const nodes: PlainNode[] = []
  const inputs: PlainInput[] = []
  const constants = new Map<string, HostTensor>()
  const read = new Set<string>()
  const names = new Set<string>()
  for (const [k, item] of topology.list('node').entries()) {
    const fields = fieldsOf(item, `${where}: node[${k}]`)
    const [name, op] = [fields.string('name'), fields.string('op')]
    const here = `${where}: ${op} ${name}`
    if (names.has(name)) fail(`${where}: two nodes are called ${name}`)
    names.add(name)
    const given = fields.has('input') ? fields.strings('input') : []
    const data = given.filter((input) => !input.startsWith('^')).map(valueName)
    for (const input of data) read.add(input.replace(/:\d+$/, ''))
    const attr = fields.get('attr')
    const attributes = new Map<string, Attribute>()
    if (isObject(attr))
      for (const [key, value] of Object.entries(attr)) {
        // A constant's numbers lie in the weights.
        if (!isObject(value) || (op === 'Const' && key === 'value')) continue
        const found = attribute(value, `${here}: ${key}`)
        if (found !== undefined) attributes.set(key, found)
      }
    if (op === 'Const') {
      const tensor = weights.get(name)
      if (tensor === undefined) throw fail(`${here}: the weights do not have it`)
      constants.set(name, tensor)
    } else if (op === 'Placeholder') {
      const shape = isObject(attr) && isObject(attr.shape ?? null) ? attr.shape : undefined
      const sizes = isObject(shape) && isObject(shape.shape ?? null) ? shape.shape : undefined
      const dtype = attributes.get('dtype')
      inputs.push({
        name,
        dtype: typeof dtype === 'string' ? dtype : undefined,
        shape: isObject(sizes) && Object.hasOwn(sizes, 'dim') ? sizesOf(sizes, here) : undefined,
      })
    } else {
      const count = resultsOf(op, attributes)
      const outputs = Array.from({ length: count }, (_, i) => (i === 0 ? name : `${name}:${i}`))
      nodes.push({ op, name, inputs: data, outputs, attributes })
    }
  }
  const outputs =
    outputsOf(model) ??
    nodes.filter(({ name, op }) => !read.has(name) && op !== 'NoOp').map(({ name }) => name)
  if (outputs.length === 0) fail(`${where}: the graph has no outputs`)
  const graph = { name: where, inputs, outputs, constants, nodes }
  return { graph, known: decisive(graph) }
}

/** How many results a node has. */
function resultsOf(op: string, attributes: ReadonlyMap<string, Attribute>): number {
  const number = (key: string) => {
    const value = attributes.get(key)
    return typeof value === 'number' && value >= 1 && value <= 4096 ? value : 1
  }
  if (op === 'Split' || op === 'SplitV') return number('num_split')
  if (op === 'Unpack') return number('num')
  if (op === 'TopKV2' || op === 'Switch') return 2
  return 1
}

/** The outputs of the signature, by the names of their values. */
function outputsOf(model: Fields): string[] | undefined {
  const signature = model.has('signature')
    ? model.object('signature')
    : model.has('userDefinedMetadata') && model.object('userDefinedMetadata').has('signature')
      ? model.object('userDefinedMetadata').object('signature')
      : undefined
  if (signature === undefined || !signature.has('outputs')) return undefined
  const outputs = signature.object('outputs')
  const names = outputs.keys().map((key) => valueName(outputs.object(key).string('name', key)))
  return names.length === 0 ? undefined : names
}

/** The inputs that something reads whose shape depends on numbers. */
function decisive(graph: PlainGraph): string[] {
  const sources = new Map<string, ReadonlySet<string>>(
    graph.inputs.map(({ name }) => [name, new Set([name])]),
  )
  const found = new Set<string>()
  for (const node of ordered(graph, graph.outputs).nodes) {
    const from = new Set(node.inputs.flatMap((name) => [...(sources.get(name) ?? [])]))
    if (node.op === 'Where') for (const name of from) found.add(name)
    for (const name of node.outputs) sources.set(name, from)
  }
  return [...found]
}

/** The module of a graph model. */
export function loadGraph(
  model: Fields,
  weights: ReadonlyMap<string, HostTensor>,
  options: {
    readonly where: string
    readonly outputs?: readonly string[]
    readonly anySize?: boolean
  },
): GraphModule {
  const { where, outputs, anySize = false } = options
  const { graph, known } = readGraph(model, weights, where)
  const inputs = graph.inputs.map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape: anySize ? shape?.map(() => undefined) : shape,
  }))
  return new GraphModule({ ...graph, inputs }, operatorTable, {
    where,
    version: 0,
    ...(outputs ? { outputs: outputs.map(valueName) } : {}),
    known,
    hint: 'docs/tensorflow.md lists the operators that are',
  })
}
