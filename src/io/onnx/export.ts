// exportOnnx: a model's forward as an ONNX file, opset 17.
//
// The forward is traced in evaluation mode (export-trace.ts), its graph translated node by node (export-nodes.ts), for
// the example's batch, or for two others of which a graph for any batch is made (export-batch.ts); then it is named and
// written (export-finish.ts). After torch.onnx.export.
import { fail } from '../../base/errors.js'
import type { InputNode } from '../../graph/node.js'
import { Module } from '../../nn/module.js'
import { Parameter } from '../../tensor/parameter.js'
import type { Cell } from '../../tensor/value.js'
import { type BatchSource, forAnyBatch } from './export-batch.js'
import { neededNodes, type Port, parameterCount, writeModel } from './export-finish.js'
import { Builder, type OnnxNode, type Value } from './export-model.js'
import { Translation } from './export-nodes.js'
import { filled } from './export-ops.js'
import { differsAtOwn } from './export-same.js'
import {
  type ExampleInput,
  type Exportable,
  type Leaves,
  leafKey,
  type NamedTensor,
  namedInputs,
  readLeaves,
  type Traced,
  traceModel,
} from './export-trace.js'

export type { ExampleInput, Exportable } from './export-trace.js'

/** Options of exportOnnx. */
export interface ExportOptions {
  /** One for each tensor of the example. Default: the keys of objects, else `input`, or `input_0`, `input_1` …. */
  readonly inputNames?: readonly string[]
  /** One for each tensor of the result. Default: the keys of objects, else `output`, or `output_0` …. */
  readonly outputNames?: readonly string[]
  /**
   * Whether the batch may be of any size in the file. By default it may where the forward is the same for the example's
   * batch and two others, and `onFixedBatch` is told where it is not; with `true` that is an error. Where the example's
   * batch is 1, reshapes and other movements are not compared with those of the others, only what they lead to. A
   * forward that does something else for a batch that is none of the three is not found out.
   */
  readonly dynamicBatch?: boolean
  /** The dimension of the inputs that is the batch. Default 0. */
  readonly batchDim?: number
  /** Told why the batch is fixed; default: a warning on the console. */
  readonly onFixedBatch?: (reason: string) => void
  /** The graph's name. Default: the class of the model. */
  readonly name?: string
  /** Text for whoever opens the file. */
  readonly doc?: string
  readonly metadata?: { readonly [key: string]: string }
}

/**
 * Batch sizes that no layer has by accident: what grows from one to the other grows with the batch. One is odd and one
 * even, so that a forward which asks for that is not the same for both.
 */
const BATCHES = [61, 74] as const

interface Translated {
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly nodes: readonly OnnxNode[]
  readonly traced: Traced
}

/**
 * A model's forward, in evaluation mode, as the bytes of an ONNX file of opset 17. `example` is a tensor of the shape
 * and dtype that the model will get, a list of arguments, or an object of tensors as the one argument; their values do
 * not matter. Parameters and state keep their names of the state dict, nodes the paths of their modules.
 * @throws BurnishError naming the layer that ONNX has no operators for, and where the weights take more than 2 GB.
 *
 *     await writeFile('lenet.onnx', await exportOnnx(model, zeros([1, 1, 28, 28])))
 */
export async function exportOnnx(
  model: Exportable,
  example: ExampleInput | readonly ExampleInput[],
  options: ExportOptions = {},
): Promise<Uint8Array> {
  const given = isList(example) ? example : [example]
  const inputs = namedInputs(given, options.inputNames)
  const names = new Map<Cell, string>()
  const leaves: Leaves = new Map()
  const parameters = model instanceof Module ? Object.entries(model.stateDict()) : []
  for (const [name, parameter] of parameters)
    if (parameter instanceof Parameter && !names.has(parameter.cell))
      names.set(parameter.cell, name)
  // A read submits what waits, so that values are those of now.
  await parameters[0]?.[1].data()
  const translate = async (tensors: readonly NamedTensor[], batches: readonly number[]) => {
    const traced = traceModel(model, given, tensors, options.outputNames)
    await readLeaves(traced, leaves, names)
    return translated(traced, leaves, batches)
  }
  const trace = () => traceModel(model, given, inputs, options.outputNames)
  const { graph, reason } = await chosen(inputs, options, translate, trace)
  if (reason !== undefined) {
    if (options.dynamicBatch === true)
      fail(
        `exportOnnx: the batch cannot vary: ${reason}; leave dynamicBatch out, or set it to false`,
      )
    const tell =
      options.onFixedBatch ?? ((text: string) => console.warn(`burnish: exportOnnx: ${text}`))
    tell(`the batch is fixed to that of the example: ${reason}`)
  }
  const title = options.name ?? (model instanceof Module ? model.constructor.name : model.name)
  const count = parameterCount(graph.nodes).toLocaleString('en-US')
  return writeModel(
    {
      name: title || 'model',
      inputs: graph.inputs,
      outputs: graph.outputs,
      nodes: graph.nodes,
      doc: options.doc ?? `${title || 'A function'} exported by Burnish, ${count} parameters`,
      metadata: new Map(Object.entries(options.metadata ?? {})),
    },
    VERSION,
  )
}

const VERSION = '0.1.0'

const isList = (
  example: ExampleInput | readonly ExampleInput[],
): example is readonly ExampleInput[] => Array.isArray(example)

function translated(traced: Traced, leaves: Leaves, batches: readonly number[]): Translated {
  const builder = new Builder(batches)
  const inputs = new Map<InputNode, Value>()
  for (const { name, node } of traced.inputs)
    inputs.set(node, {
      dtype: node.dtype,
      shape: node.shape,
      depth: 0,
      origin: { kind: 'input', name },
    })
  const known = new Map<object, Value>()
  const leaf = (node: InputNode, b: Builder): Value => {
    const given = inputs.get(node)
    if (given) return given
    const key = leafKey(node)
    const before = key && known.get(key)
    if (before) return before
    const data = key && leaves.get(key)
    if (!key || !data) return b.refuse('reads a tensor that is no input and has no data')
    // Small tables of the model's are constants.
    const value: Value =
      data.name === '' && data.data.length <= 4096 && !b.isOfBatch(data.shape)
        ? b.constant(data.data, data.dtype, data.shape)
        : { dtype: data.dtype, shape: data.shape, depth: 0, origin: { kind: 'leaf', leaf: data } }
    known.set(key, value)
    return value
  }
  const translation = new Translation(builder, leaf)
  const roots = traced.outputs.map(({ node }) => node)
  const values = translation.run(roots)
  builder.label = ''
  const taken = new Set<Value>()
  const outputs = values.map((value, i) => {
    const whole = filled(builder, value, roots[i].shape)
    const own = whole.origin.kind === 'result' && !taken.has(whole)
    const out = own ? whole : builder.node('Identity', [whole], whole)
    taken.add(out)
    return out
  })
  const nodes = neededNodes(builder.nodes, outputs)
  return { inputs: [...inputs.values()], outputs, nodes, traced }
}

interface Chosen {
  readonly graph: {
    readonly inputs: readonly Port[]
    readonly outputs: readonly Port[]
    readonly nodes: readonly OnnxNode[]
  }
  /** Why the batch is fixed, where it should not be. */
  readonly reason?: string
}

/** The graph for any batch, or where that is not wanted or cannot be for the example's. */
async function chosen(
  inputs: readonly NamedTensor[],
  options: ExportOptions,
  translate: (tensors: readonly NamedTensor[], batches: readonly number[]) => Promise<Translated>,
  trace: () => Traced,
): Promise<Chosen> {
  const axis = options.batchDim ?? 0
  const fixed = async (reason?: string): Promise<Chosen> => {
    const { inputs: values, outputs, nodes, traced } = await translate(inputs, [])
    const ports = (names: readonly { readonly name: string }[], list: readonly Value[]): Port[] =>
      list.map((value, i) => ({ name: names[i].name, value, shape: value.shape }))
    return {
      graph: {
        inputs: ports(traced.inputs, values),
        outputs: ports(traced.outputs, outputs),
        nodes,
      },
      ...(reason === undefined ? {} : { reason }),
    }
  }
  if (options.dynamicBatch === false) return fixed()
  const size = inputs.find(({ shape }) => shape.length > axis)?.shape[axis]
  if (size === undefined) return fixed(`no input has a dimension ${axis}`)
  const varies = inputs.map(({ shape }) => shape.length > axis && shape[axis] === size)
  const at = (batch: number) =>
    inputs.map((tensor, i) =>
      varies[i]
        ? { ...tensor, shape: tensor.shape.map((n, d) => (d === axis ? batch : n)) }
        : tensor,
    )
  let one: Translated
  let two: Translated
  try {
    one = await translate(at(BATCHES[0]), BATCHES)
    two = await translate(at(BATCHES[1]), BATCHES)
  } catch (error) {
    return fixed(
      `for another batch the forward throws "${error instanceof Error ? error.message : error}"`,
    )
  }
  const own = differsAtOwn([one.traced, two.traced, trace()], [...BATCHES, size])
  if (own !== undefined) return fixed(own)
  const first = varies.indexOf(true)
  const source: BatchSource = { input: one.inputs[first], axis, sizes: BATCHES }
  const made = forAnyBatch(one, two, source)
  if ('reason' in made) return fixed(made.reason)
  const dimension = (n: number, m: number) =>
    n === m ? n : n === BATCHES[0] ? 'batch' : `${n / BATCHES[0]}*batch`
  const nodes = neededNodes(made.nodes, made.outputs)
  return {
    graph: {
      inputs: one.inputs.map((value, i) => ({
        name: inputs[i].name,
        value,
        shape: value.shape.map((n, d) => (varies[i] && d === axis ? 'batch' : n)),
      })),
      outputs: made.outputs.map((value, i) => ({
        name: one.traced.outputs[i].name,
        value,
        shape: value.shape.map((n, d) => dimension(n, two.outputs[i].shape[d])),
      })),
      nodes,
    },
  }
}
