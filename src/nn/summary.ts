// summary: what a model is made of, seen by sending shapes through it: nothing is computed.
//
// A forward in evaluation mode builds the graph; hooks see each layer's output; multiply-adds are those of the
// contractions its forward built. After torchinfo.
import { fail } from '../base/errors.js'
import { type Shape, showShape, sizeOf } from '../base/shape.js'
import type { Contract } from '../graph/contract.js'
import type { Node } from '../graph/node.js'
import { context } from '../tensor/context.js'
import { zeros } from '../tensor/create.js'
import type { Parameter } from '../tensor/parameter.js'
import { Tensor } from '../tensor/tensor.js'
import type { AnyModule } from './module.js'

/** One layer, in order of its first call. */
export interface LayerSummary {
  /** Its path; '' is the model itself. */
  readonly path: string
  readonly type: string
  /** Of its output; several where it gives several. */
  readonly outputs: readonly Shape[]
  /** Elements of its own parameters; shared ones count where they are met first. */
  readonly parameters: number
  readonly trainable: number
  /** Of its own forward; an element of a convolution counts each tap, padding too. */
  readonly multiplyAdds: number
  readonly calls: number
}

/** A model in numbers; its text is the table. */
export interface ModelSummary {
  readonly type: string
  readonly inputs: readonly Shape[]
  readonly layers: readonly LayerSummary[]
  readonly parameters: number
  readonly trainable: number
  readonly multiplyAdds: number
  /** Bytes in float32: of inputs, of layers' outputs and their gradients, of parameters and state. */
  readonly inputBytes: number
  readonly passBytes: number
  readonly parameterBytes: number
  /** The table. */
  toString(): string
}

/** A shape for one float32 input, or tensors (of any dtype) for one or more. */
export type SummaryInputs = Shape | readonly Tensor[]

interface Row {
  readonly path: string
  readonly module: AnyModule
  outputs: readonly Shape[]
  calls: number
}

const isShape = (inputs: SummaryInputs): inputs is Shape =>
  inputs.every((item) => typeof item === 'number')

/**
 * Layers, output shapes, parameters, multiply-adds and memory of a model for inputs of a shape (batch included):
 * `console.log(`${summary(model, [1, 1, 28, 28])}`)` prints the table.
 * @throws what the model's forward throws for that shape.
 */
export function summary(model: AnyModule, inputs: SummaryInputs): ModelSummary {
  if (inputs.length === 0) fail('summary: give an input shape with its batch, or tensors')
  const given = isShape(inputs) ? [zeros(inputs)] : inputs
  const { rows, adds } = watched(model, given)
  const seen = new Set<Parameter>()
  const layers = rows.map(({ path, module, outputs, calls }): LayerSummary => {
    const own = ownParameters(module).filter((p) => !seen.has(p) && p.role === 'parameter')
    for (const p of own) seen.add(p)
    return {
      path,
      type: module.constructor.name,
      outputs,
      parameters: total(own),
      trainable: total(own.filter((p) => p.trainable)),
      multiplyAdds: adds.get(path) ?? 0,
      calls,
    }
  })
  const parameters = model.parameters()
  const leaves = rows.filter(({ module }) => module.namedChildren().length === 0)
  const outputs = leaves.flatMap((row) => Array<readonly Shape[]>(row.calls).fill(row.outputs))
  const elements = outputs.flat().reduce((sum, shape) => sum + sizeOf(shape), 0)
  const result = {
    type: model.constructor.name,
    inputs: given.map((t) => t.shape),
    layers,
    parameters: total(parameters),
    trainable: total(parameters.filter((p) => p.trainable)),
    multiplyAdds: layers.reduce((sum, layer) => sum + layer.multiplyAdds, 0),
    inputBytes: 4 * given.reduce((sum, t) => sum + sizeOf(t.shape), 0),
    passBytes: 2 * 4 * elements,
    parameterBytes: 4 * (total(parameters) + total(model.buffers())),
  }
  return { ...result, toString: () => table(result) }
}

const total = (parameters: readonly Parameter[]) =>
  parameters.reduce((sum, p) => sum + sizeOf(p.shape), 0)

/** A module's own parameters, without its children's. */
function ownParameters(module: AnyModule): Parameter[] {
  const below = new Set(module.children().flatMap((child) => Object.values(child.stateDict())))
  return [...new Set(Object.values(module.stateDict()))].filter((p) => !below.has(p))
}

/** The calls of a forward with these inputs. Modes, random numbers and what waits for a step stay as they were. */
function watched(model: AnyModule, inputs: readonly Tensor[]) {
  const rows = new Map<AnyModule, Row>()
  const modules = model.namedModules()
  const modes = modules.map(([, module]) => module.training)
  const adds = new Map<string, number>()
  const seen = new Set<Node>()
  credit(
    inputs.map((t) => t.node),
    seen,
    new Map(),
  )
  const removals = modules.flatMap(([path, module]) => [
    module.registerForwardPreHook(() => {
      if (!rows.has(module)) rows.set(module, { path, module, outputs: [], calls: 0 })
    }),
    module.registerForwardHook((_, __, output) => {
      const row = rows.get(module)
      if (row === undefined) return
      const tensors = tensorsOf(output)
      row.outputs = tensors.map((t) => t.shape)
      row.calls++
      credit(
        tensors.map((t) => t.node),
        seen,
        adds,
      )
    }),
  ])
  const { forwards, lastModule } = context
  const { counter } = context.generator
  context.forwards = []
  model.eval()
  try {
    model.forward(...inputs)
  } finally {
    for (const remove of removals) remove()
    modules.forEach(([, module], i) => {
      module.training = modes[i]
    })
    context.forwards = forwards
    context.lastModule = lastModule
    context.generator.counter = counter
  }
  return { rows: [...rows.values()], adds }
}

function tensorsOf(output: unknown): Tensor[] {
  if (output instanceof Tensor) return [output]
  if (Array.isArray(output)) return output.flatMap(tensorsOf)
  if (typeof output === 'object' && output !== null)
    return Object.values(output).filter((item): item is Tensor => item instanceof Tensor)
  return []
}

/** Credits the multiply-adds of every contraction behind these nodes, once, to the path of the layer that built it. */
function credit(
  roots: readonly Node[],
  seen: Set<Node>,
  into: Map<string, number>,
  times = 1,
): void {
  const stack = [...roots]
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (seen.has(node)) continue
    seen.add(node)
    if (node.kind === 'contract')
      into.set(node.label, (into.get(node.label) ?? 0) + times * multiplyAdds(node.spec))
    if (node.kind === 'scan')
      credit([...node.loop.next, ...node.loop.ys], seen, into, times * node.loop.length)
    stack.push(...node.args)
  }
}

function multiplyAdds({ extents, a, b }: Contract): number {
  const skipped = [...a, ...b].reduce((product, index) => product * index.divide, 1)
  return Math.round(sizeOf(extents) / skipped)
}

function table(model: Omit<ModelSummary, 'toString'>): string {
  const number = (n: number) => n.toLocaleString('en-US')
  const header = ['layer', 'type', 'output', 'parameters', 'multiply-adds']
  const body = model.layers.map((layer) => {
    const depth = layer.path === '' ? 0 : layer.path.split('.').length
    const name = layer.path === '' ? model.type : layer.path
    const frozen = layer.parameters > layer.trainable ? ' frozen' : ''
    return [
      `${'  '.repeat(depth)}${name}`,
      `${layer.type}${layer.calls > 1 ? ` ×${layer.calls}` : ''}`,
      layer.outputs.map(showShape).join(' ') || '–',
      layer.parameters > 0 ? number(layer.parameters) + frozen : '–',
      layer.multiplyAdds > 0 ? number(layer.multiplyAdds) : '–',
    ]
  })
  const widths = header.map((title, i) =>
    Math.max(title.length, ...body.map((cells) => cells[i].length)),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i < 3 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd()
  const rule = '─'.repeat(line(header.map((_, i) => '─'.repeat(widths[i]))).length)
  const mega = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`
  return [
    line(header),
    rule,
    ...body.map(line),
    rule,
    `input ${model.inputs.map(showShape).join(' ')}`,
    `parameters ${number(model.parameters)}, trainable ${number(model.trainable)}; multiply-adds ${number(model.multiplyAdds)}`,
    `memory: input ${mega(model.inputBytes)}, forward and backward ${mega(model.passBytes)}, parameters ${mega(model.parameterBytes)}`,
  ].join('\n')
}
