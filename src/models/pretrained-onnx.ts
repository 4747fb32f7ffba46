// The ONNX networks of the table of pretrained ones, as modules cut where their features are.
import { fail } from '../base/errors.js'
import { GraphModule } from '../io/graph/module.js'
import type { PlainGraph } from '../io/graph/plain.js'
import { operators } from '../io/onnx/operators/index.js'
import { readModel } from '../io/onnx/read.js'
import { decodeModel } from '../io/onnx/wire.js'
import { decode, type HostTensor } from '../io/values.js'

export interface CutNetwork {
  readonly module: GraphModule
  /** A constant of the file, of the part that was cut off too. */
  constant(name: string): HostTensor
}

/** The network of a file up to one value; its input may have any size. */
export function cutNetwork(bytes: Uint8Array, where: string, output: string): CutNetwork {
  const { graph, version } = readModel(decodeModel(bytes, where), where)
  const inputs = graph.inputs.map(({ name, dtype }) => ({ name, dtype }))
  const whole: PlainGraph = { ...graph, inputs }
  const module = new GraphModule(whole, operators, {
    where,
    version,
    outputs: [output],
    // What an optimiser of graphs left, such as the floor under activations, is no weight.
    parameters: (name) => (name.startsWith('const_fold_opt') ? false : undefined),
    hint: 'another file than the pinned one?',
  })
  return { module, constant: (name) => constantOf(graph, name, where) }
}

/** A constant of a file, without making a network of it. */
export function constantsOf(bytes: Uint8Array, where: string): (name: string) => HostTensor {
  const { graph } = readModel(decodeModel(bytes, where), where)
  return (name) => constantOf(graph, name, where)
}

function constantOf({ constants }: PlainGraph, name: string, where: string): HostTensor {
  const found = constants.get(name) ?? fail(`${where}: there is no constant ${name}`)
  return 'data' in found ? found : decode(found, `${where}: ${name}`)
}
