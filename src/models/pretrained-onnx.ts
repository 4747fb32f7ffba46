// The ONNX networks of the table of pretrained ones, as modules cut where their features are. They are plain: seven
// operators do, so a page that loads one does not load the table of all of ONNX. See io/onnx for any other model.
import { fail } from '../base/errors.js'
import type { Call, Operator, OperatorTable } from '../io/graph/call.js'
import { GraphModule } from '../io/graph/module.js'
import type { PlainGraph } from '../io/graph/plain.js'
import { readModel } from '../io/onnx/read.js'
import { decodeModel } from '../io/onnx/wire.js'
import { decode, type HostTensor } from '../io/values.js'
import { conv2d, leakyRelu, maxPool2d, relu } from '../nn/functional.js'

/** The two sizes of an attribute. */
const pair = (call: Call, name: string, otherwise: number): [number, number] => {
  const [a = otherwise, b = a] = call.list(name) ?? []
  return [a, b]
}

/** Padding that is the same at both ends, as all of these networks have it. */
function padding(call: Call): [number, number] {
  const [top = 0, left = 0, bottom = top, right = left] = call.list('pads') ?? []
  if (top !== bottom || left !== right) call.fail('its padding differs between two ends')
  return [top, left]
}

const operators: { readonly [name: string]: Operator } = {
  Conv: {
    run: (call) =>
      conv2d(call.tensor(0), call.tensor(1), call.optional(2), {
        stride: pair(call, 'strides', 1),
        dilation: pair(call, 'dilations', 1),
        padding: padding(call),
        groups: call.int('group', 1),
      }),
    weights: [1, 2],
  },
  MaxPool: {
    run: (call) =>
      maxPool2d(call.tensor(0), pair(call, 'kernel_shape', 1), {
        stride: pair(call, 'strides', 1),
        padding: padding(call),
      }),
  },
  Relu: { run: (call) => relu(call.tensor(0)) },
  LeakyRelu: {
    run: (call) => leakyRelu(call.tensor(0), { negativeSlope: call.float('alpha', 0.01) }),
  },
  Add: { run: (call) => call.tensor(0).add(call.tensor(1)) },
  Max: { run: (call) => call.tensor(0).maximum(call.tensor(1)) },
  Reshape: { run: (call) => call.tensor(0).reshape(...call.numbers(1, 'the shape')) },
}
const table: OperatorTable = new Map(Object.entries(operators))

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
  const module = new GraphModule(whole, table, {
    where,
    version,
    outputs: [output],
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
