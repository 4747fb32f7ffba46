// The end of an export: only what outputs need, each value a name, and the messages of the file.
import { fail } from '../../base/errors.js'
import { type Shape, sizeOf } from '../../base/shape.js'
import { encode, type StoredTensor } from '../values.js'
import type { Attribute, Body, ElementType, OnnxNode, Value } from './export-model.js'
import { elementCode } from './export-ops.js'
import * as wire from './wire.js'

/** A dimension in the file: a number, or the name of one that varies. */
export type Dimension = number | string

export interface Port {
  readonly name: string
  readonly value: Value
  readonly shape: readonly Dimension[]
}

export interface Finished {
  readonly name: string
  readonly inputs: readonly Port[]
  readonly outputs: readonly Port[]
  readonly nodes: readonly OnnxNode[]
  readonly doc: string
  readonly metadata: ReadonlyMap<string, string>
}

/** The nodes that outputs need, in order; in bodies too. */
export function neededNodes(nodes: readonly OnnxNode[], outputs: readonly Value[]): OnnxNode[] {
  const needed = new Set<OnnxNode>()
  const stack = [...outputs]
  for (let value = stack.pop(); value !== undefined; value = stack.pop()) {
    if (value.origin.kind !== 'result' || needed.has(value.origin.node)) continue
    const { node } = value.origin
    needed.add(node)
    for (const input of node.inputs) if (input) stack.push(input)
    if (node.body) stack.push(...node.body.outputs)
  }
  const kept = (list: readonly OnnxNode[]): OnnxNode[] => list.filter((node) => needed.has(node))
  for (const node of nodes)
    if (node.body && needed.has(node)) {
      const inside = kept(node.body.nodes)
      node.body.nodes.splice(0, node.body.nodes.length, ...inside)
    }
  return kept(nodes)
}

/** A protocol buffer holds 2 GB. */
const MOST_BYTES = 2 ** 31 - 2 ** 20
const OPSET = 17
const IR_VERSION = 8 // of ONNX 1.12, the first with opset 17

export function writeModel(graph: Finished, version: string): Uint8Array {
  const names = new Names(graph)
  const initializers: wire.Tensor[] = []
  const written = new Set<Value>()
  let bytes = 0
  const leave = (value: Value | undefined) => {
    if (!value || written.has(value)) return
    const { origin } = value
    if (origin.kind !== 'leaf' && origin.kind !== 'constant') return
    written.add(value)
    const stored = origin.kind === 'leaf' ? encode(origin.leaf) : storedConstant(value, origin.data)
    bytes += stored.bytes.byteLength
    if (bytes > MOST_BYTES)
      fail(
        `exportOnnx: the weights take more than 2 GB, which one ONNX file cannot hold; export in half precision (parameters of float16 take half), or the model in parts`,
      )
    initializers.push({
      name: names.of(value),
      dims: value.shape,
      dataType: elementCode[value.dtype],
      rawData: stored.bytes,
    })
  }
  const visit = (nodes: readonly OnnxNode[]) => {
    for (const node of nodes) {
      for (const input of node.inputs) leave(input)
      if (node.body) visit(node.body.nodes)
    }
  }
  visit(graph.nodes)
  const model: wire.Model = {
    irVersion: IR_VERSION,
    producerName: 'burnish',
    producerVersion: version,
    docString: graph.doc,
    opsetImport: [{ domain: '', version: OPSET }],
    metadataProps: [...graph.metadata].map(([key, value]) => ({ key, value })),
    graph: {
      name: graph.name,
      node: graph.nodes.map((node) => nodeMessage(node, names)),
      initializer: initializers,
      input: graph.inputs.map((port) => info(port.name, port.value.dtype, port.shape)),
      output: graph.outputs.map((port) => info(port.name, port.value.dtype, port.shape)),
    },
  }
  return wire.encodeModel(model)
}

function storedConstant(value: Value, data: Float64Array): StoredTensor {
  const { dtype, shape } = value
  if (dtype === 'int64')
    return { dtype: 'I64', shape, bytes: new Uint8Array(BigInt64Array.from(data, BigInt).buffer) }
  const typed =
    dtype === 'int32'
      ? Int32Array.from(data)
      : dtype === 'bool' || dtype === 'uint8'
        ? Uint8Array.from(data)
        : Float32Array.from(data)
  return encode({ dtype, shape, data: typed })
}

const info = (name: string, dtype: ElementType, shape: readonly Dimension[]): wire.ValueInfo => ({
  name,
  type: {
    tensorType: {
      elemType: elementCode[dtype],
      shape: { dim: shape.map((n) => (typeof n === 'number' ? { dimValue: n } : { dimParam: n })) },
    },
  },
})

const text = (value: string) => new TextEncoder().encode(value)

function nodeMessage(node: OnnxNode, names: Names): wire.Node {
  const attribute = Object.entries(node.attributes).map(([name, value]) =>
    attributeMessage(name, value),
  )
  if (node.body)
    attribute.push({
      name: 'body',
      type: wire.AttributeType.GRAPH,
      g: bodyMessage(node.body, names),
    })
  return {
    opType: node.op,
    name: names.ofNode(node),
    input: node.inputs.map((value) => (value ? names.of(value) : '')),
    output: node.outputs.map((value) => names.of(value)),
    attribute,
  }
}

function attributeMessage(name: string, value: Attribute): wire.Attribute {
  if (typeof value === 'number') return { name, type: wire.AttributeType.INT, i: value }
  if (typeof value === 'string') return { name, type: wire.AttributeType.STRING, s: text(value) }
  if (isTexts(value)) return { name, type: wire.AttributeType.STRINGS, strings: value.map(text) }
  if ('float' in value) return { name, type: wire.AttributeType.FLOAT, f: value.float }
  return { name, type: wire.AttributeType.INTS, ints: value }
}

function isTexts(value: Attribute): value is readonly string[] {
  return Array.isArray(value) && typeof value[0] === 'string'
}

function bodyMessage(body: Body, names: Names): wire.Graph {
  const port = (value: Value) =>
    info(
      names.of(value),
      value.dtype,
      value.shape.map((_, i) => `${names.of(value)}_${i}`),
    )
  return {
    name: 'body',
    node: body.nodes.map((node) => nodeMessage(node, names)),
    input: body.inputs.map(port),
    output: body.outputs.map(port),
  }
}

function heldAs({ origin }: Value): string {
  if (origin.kind !== 'constant') return 'data'
  return origin.role === 'plain' ? 'constant' : origin.role
}

/** A name for each node and value: the module's path, with the operator where the module has several. */
class Names {
  readonly #values = new Map<Value, string>()
  readonly #nodes = new Map<OnnxNode, string>()
  readonly #used = new Set<string>()

  constructor(graph: Finished) {
    for (const port of [...graph.inputs, ...graph.outputs]) {
      if (this.#used.has(port.name))
        fail(
          `exportOnnx: two inputs or outputs are called ${port.name}; give inputNames and outputNames`,
        )
      this.#used.add(port.name)
      this.#values.set(port.value, port.name)
    }
    const all = everyNode(graph.nodes)
    for (const node of all)
      for (const value of node.inputs)
        if (value?.origin.kind === 'leaf' && value.origin.leaf.name !== '')
          this.#name(value, value.origin.leaf.name)
    const counts = new Map<string, number>()
    for (const { label } of all) counts.set(label, (counts.get(label) ?? 0) + 1)
    for (const node of all) {
      const path = node.label.replace(' (again)', '')
      const short = path !== '' && counts.get(node.label) === 1
      const name = this.#fresh(
        short ? path : path === '' ? node.op : `${path}/${node.op}`,
        this.#taken,
      )
      this.#nodes.set(node, name)
      node.outputs.forEach((value, i) => {
        this.#name(value, i === 0 ? `${name}_output` : `${name}_output_${i}`)
      })
      node.body?.inputs.forEach((value, i) => {
        this.#name(value, `${name}_step_${i}`)
      })
      for (const value of node.inputs)
        if (value?.origin.kind === 'constant' || value?.origin.kind === 'leaf')
          this.#name(value, path === '' ? heldAs(value) : `${path}/${heldAs(value)}`)
    }
  }

  readonly #taken = new Set<string>()

  #name(value: Value, name: string): void {
    if (!this.#values.has(value)) this.#values.set(value, this.#fresh(name, this.#used))
  }

  #fresh(name: string, used: Set<string>): string {
    let found = name
    for (let i = 1; used.has(found); i++) found = `${name}_${i}`
    used.add(found)
    return found
  }

  of(value: Value): string {
    return this.#values.get(value) ?? fail('internal: exportOnnx: a value without a name')
  }

  ofNode(node: OnnxNode): string {
    return this.#nodes.get(node) ?? node.op
  }
}

function everyNode(nodes: readonly OnnxNode[]): OnnxNode[] {
  return nodes.flatMap((node) => [node, ...(node.body ? everyNode(node.body.nodes) : [])])
}

/** Elements, for documentation. */
export function parameterCount(nodes: readonly OnnxNode[]): number {
  const seen = new Set<unknown>()
  let count = 0
  for (const node of everyNode(nodes))
    for (const value of node.inputs)
      if (value?.origin.kind === 'leaf' && !seen.has(value.origin.leaf)) {
        seen.add(value.origin.leaf)
        count += sizeOf(value.shape as Shape)
      }
  return count
}
