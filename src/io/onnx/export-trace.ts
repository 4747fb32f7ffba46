// What a model computes, as a graph for export: its forward traced in evaluation mode over inputs of given shapes, with
// numbers as constants, and composites that ONNX lacks expanded.
import type { DType } from '../../base/dtype.js'
import { fail } from '../../base/errors.js'
import type { Shape } from '../../base/shape.js'
import {
  building,
  constant,
  detach,
  type InputNode,
  input,
  type Node,
  topological,
  withArgs,
} from '../../graph/node.js'
import { simplify } from '../../graph/simplify.js'
import { type AnyModule, Module } from '../../nn/module.js'
import { context, type Trace } from '../../tensor/context.js'
import { fromNode, Tensor } from '../../tensor/tensor.js'
import { type Cell, cellOf, RandomKey, Scalar, StepValue, Value } from '../../tensor/value.js'
import { hasOperator } from './export-composites.js'
import type { Leaf } from './export-model.js'

/** A module, or a function of tensors. */
export type Exportable = AnyModule | ((...inputs: never[]) => unknown)

/** A tensor, or tensors by name in one object. */
export type ExampleInput = Tensor | { readonly [name: string]: Tensor | undefined }

export interface NamedTensor {
  readonly name: string
  readonly shape: Shape
  readonly dtype: DType
}

export interface Traced {
  readonly inputs: readonly { readonly name: string; readonly node: InputNode }[]
  readonly outputs: readonly { readonly name: string; readonly node: Node }[]
  /** The nodes of the outputs as the forward built them. */
  readonly built: readonly Node[]
}

/** Parameters read as whatever their value is; nothing that the forward sets outlives the trace. */
class Recorder implements Trace {
  draws = 0
  readonly #values = new Map<Cell, Node>()

  read(cell: Cell): Node {
    return this.#values.get(cell) ?? cell.live
  }
  write(cell: Cell, value: Node): void {
    this.#values.set(cell, detach(value))
  }
  written(): Iterable<readonly [Cell, Node]> {
    return this.#values
  }
  watch(): void {}
  gradient(): undefined {
    return undefined
  }
  setGradient(): void {}
  stepped(): void {}
}

/** The example's tensors with their names, in order. */
export function namedInputs(
  example: readonly ExampleInput[],
  names: readonly string[] | undefined,
): NamedTensor[] {
  const found: NamedTensor[] = []
  const add = (name: string, { shape, dtype }: Tensor) => found.push({ name, shape, dtype })
  example.forEach((item, i) => {
    if (item instanceof Tensor) add(example.length === 1 ? 'input' : `input_${i}`, item)
    else for (const [name, tensor] of Object.entries(item)) if (tensor) add(name, tensor)
  })
  if (found.length === 0) fail('exportOnnx: give an example of the input, a tensor or more')
  if (names === undefined) return found
  if (names.length !== found.length)
    fail(`exportOnnx: inputNames has ${names.length} names, the example ${found.length} tensors`)
  return found.map((tensor, i) => ({ ...tensor, name: names[i] }))
}

/** The model's graph for inputs of these shapes. */
export function traceModel(
  model: Exportable,
  example: readonly ExampleInput[],
  inputs: readonly NamedTensor[],
  outputNames: readonly string[] | undefined,
): Traced {
  const nodes = inputs.map(({ shape, dtype }) => input({}, shape, dtype))
  let next = 0
  const given = example.map((item) => {
    if (item instanceof Tensor) return fromNode(nodes[next++])
    const entries = Object.entries(item).filter(([, tensor]) => tensor !== undefined)
    return Object.fromEntries(entries.map(([name]) => [name, fromNode(nodes[next++])]))
  })
  const result = recorded(model, given)
  const outputs = namedOutputs(result)
  if (outputs.length === 0) fail('exportOnnx: the forward returns no tensor')
  if (outputNames && outputNames.length !== outputs.length)
    fail(
      `exportOnnx: outputNames has ${outputNames.length} names, the forward ${outputs.length} results`,
    )
  const built = outputs.map(({ tensor }) => tensor.node)
  const roots = prepared(built)
  return {
    inputs: nodes.map((node, i) => ({ name: inputs[i].name, node })),
    outputs: outputs.map(({ name }, i) => ({ name: outputNames?.[i] ?? name, node: roots[i] })),
    built,
  }
}

function recorded(model: Exportable, given: readonly unknown[]): unknown {
  const training = model instanceof Module ? model.modules().filter((m) => m.training) : []
  const { label } = building
  const { depth, trace } = context
  const recorder = new Recorder()
  if (model instanceof Module) model.eval()
  context.trace = recorder
  try {
    const call = (model instanceof Module ? model.forward : model) as (
      ...given: unknown[]
    ) => unknown
    const result = call.apply(model, [...given])
    for (const [cell] of recorder.written())
      fail(
        `exportOnnx: the forward sets ${cell.name || 'a parameter'}, and an ONNX graph has no state: export what does not, such as a forward without a cache`,
      )
    return result
  } finally {
    context.trace = trace
    context.modules.length = depth
    building.label = label
    for (const module of training) module.training = true
  }
}

function namedOutputs(result: unknown): { name: string; tensor: Tensor }[] {
  if (result instanceof Tensor) return [{ name: 'output', tensor: result }]
  const found: { name: string; tensor: Tensor }[] = []
  const visit = (value: unknown, path: string) => {
    if (value instanceof Tensor) found.push({ name: path, tensor: value })
    else if (Array.isArray(value))
      for (const [i, item] of value.entries()) visit(item, `${path}_${i}`)
    else if (typeof value === 'object' && value !== null)
      for (const [key, item] of Object.entries(value))
        visit(item, path === 'output' ? key : `${path}_${key}`)
  }
  visit(result, 'output')
  return found
}

/** Numbers as constants, composites that ONNX lacks expanded, and the rest simplified. */
function prepared(roots: readonly Node[]): readonly Node[] {
  const simpler = (nodes: readonly Node[]) =>
    simplify({ outputs: withNumbers(nodes), updates: [] }, hasOperator).outputs
  // Once more, for definitions of composites may hold numbers of their own.
  return simpler(simpler(roots))
}

function withNumbers(roots: readonly Node[]): Node[] {
  const done = new Map<Node, Node>()
  const find = (node: Node): Node => done.get(node) ?? node
  for (const node of topological(roots))
    done.set(node, node.kind === 'input' ? withNumber(node) : withArgs(node, node.args.map(find)))
  return roots.map(find)
}

function withNumber(node: InputNode): Node {
  const { source } = node
  if (source instanceof RandomKey)
    fail(
      `exportOnnx: ${node.label ? `${node.label}: ` : ''}the forward draws random numbers, which an ONNX graph cannot repeat; draw them outside and pass them in`,
    )
  return source instanceof Scalar ? constant(source.read(), node.dtype, node.shape) : node
}

/** Tensors of the model by the nodes that read them. */
export type Leaves = Map<object, Leaf>

/** Reads the data of all leaves of a trace that are not known yet. */
export async function readLeaves(
  traced: Traced,
  leaves: Leaves,
  names: ReadonlyMap<Cell, string>,
): Promise<void> {
  const inputs = new Set<Node>(traced.inputs.map(({ node }) => node))
  for (const node of leavesOf(traced.outputs.map(({ node }) => node))) {
    const key = leafKey(node)
    if (inputs.has(node) || key === undefined || leaves.has(key)) continue
    const cell = cellOf(node)
    const value = cell?.value ?? key
    if (!(value instanceof Value)) continue
    const { shape, dtype } = node
    const data =
      value.host && !dtype.includes('float16')
        ? value.host
        : await new Tensor(shape, dtype, undefined, value).data()
    const name = cell ? (names.get(cell) ?? cell.name) : ''
    leaves.set(key, { name, shape, dtype, data })
  }
}

/** The inputs of a graph, those of scans' bodies too. */
function leavesOf(roots: readonly Node[]): InputNode[] {
  const order = topological(roots)
  return order.flatMap((node) => {
    if (node.kind === 'input') return [node]
    return node.kind === 'scan' ? leavesOf([...node.loop.next, ...node.loop.ys]) : []
  })
}

/** By what a leaf is known from trace to trace; undefined: a placeholder. */
export function leafKey(node: InputNode): object | undefined {
  const { source } = node
  if (source instanceof StepValue) return undefined
  return cellOf(node) ?? (source instanceof Value ? source : undefined)
}
