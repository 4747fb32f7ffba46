// Recurrent layers: a scan whose step is that of nn's LSTM, GRU or RNN becomes ONNX's operator.
//
// Whether it is one is not read off the step's nodes: the step of each kind is built once more, simplified as the
// model's graph was, and compared by structure. Gates have another order in ONNX, so weights are written reordered.

import { linearSpec } from '../../graph/contract.js'
import { evaluate } from '../../graph/interpret.js'
import { type Loop, scanNode } from '../../graph/loop.js'
import { input, type Node, type NodeOf, topological } from '../../graph/node.js'
import { simplify } from '../../graph/simplify.js'
import { gatesOf, overSequence, type RecurrentMode, stepOf } from '../../nn/nodes/recurrent.js'
import type { Attribute, Value } from './export-model.js'
import type { Translation } from './export-nodes.js'
import { filled, reshape } from './export-ops.js'
import type { Left } from './export-scan.js'

interface Form {
  readonly mode: RecurrentMode
  readonly nonlinearity: 'tanh' | 'relu'
  /** A bias of its own for the state's part of the gates. */
  readonly biasHh: boolean
}

const forms: readonly Form[] = [
  { mode: 'LSTM', nonlinearity: 'tanh', biasHh: false },
  { mode: 'GRU', nonlinearity: 'tanh', biasHh: true },
  { mode: 'GRU', nonlinearity: 'tanh', biasHh: false },
  { mode: 'RNN', nonlinearity: 'tanh', biasHh: false },
  { mode: 'RNN', nonlinearity: 'relu', biasHh: false },
]

/** PyTorch's gates in ONNX's order: i o f c of i f g o, z r h of r z n. */
const gateOrder: { readonly [M in RecurrentMode]: readonly number[] } = {
  LSTM: [0, 3, 1, 2],
  GRU: [1, 0, 2],
  RNN: [0],
}

/** What the operator leaves, or undefined where the scan is none of these. */
export function recurrent(scan: NodeOf<'scan'>, t: Translation): Left | undefined {
  const { loop } = scan
  if (loop.slices.length !== 1 || loop.ys.length > 0 || loop.keep[1]) return undefined
  for (const form of forms) {
    const weights = weightsOf(scan, form)
    if (weights) return written(scan, form, weights, t)
  }
  return undefined
}

interface Weights {
  readonly hh: Node
  readonly biasHh?: Node
}

/** The weights the scan's steps read, when its step has this form. */
function weightsOf(
  scan: NodeOf<'scan'>,
  { mode, nonlinearity, biasHh }: Form,
): Weights | undefined {
  const { loop } = scan
  const [h] = loop.carries
  const gates = gatesOf[mode]
  if (loop.carries.length !== (mode === 'LSTM' ? 2 : 1) || h.shape.length !== 2) return undefined
  const [batch, hidden] = h.shape
  const rows = gates * hidden
  if (loop.slices[0].shape[1] !== rows || loop.wholes.length !== (biasHh ? 2 : 1)) return undefined
  const float = (shape: readonly number[]) => input({}, shape, 'float32')
  const hh = float([rows, hidden])
  const bias = float([rows])
  const made = overSequence(
    stepOf(mode, nonlinearity),
    { hh, ...(biasHh ? { biasHh: bias } : {}) },
    {
      x: float([loop.length, batch, rows]),
      state: loop.carries.map(() => float([batch, hidden])),
      reverse: loop.reverse,
    },
  )
  const simple = simplify({ outputs: [made.output, ...made.last], updates: [] })
  const own = topological(simple.outputs).find((node) => node.kind === 'scan')
  if (own?.kind !== 'scan' || structure(own) !== structure(scan)) return undefined
  const given = (node: Node) => scan.args[own.args.indexOf(node)]
  return { hh: given(hh), ...(biasHh ? { biasHh: given(bias) } : {}) }
}

/** A hash of the steps, whatever of them is kept. */
function structure({ loop, args }: NodeOf<'scan'>): number {
  const bare: Loop = { ...loop, keep: loop.keep.map(() => false), ys: [] }
  return scanNode(bare, args).hash
}

interface Projection {
  readonly x: Node
  readonly ih: Node
  readonly bias: Node | undefined
}

const unviewed = (node: Node): Node => (node.kind === 'view' ? unviewed(node.args[0]) : node)

/** The linear layer that gave the gates' part of the input. */
function projectionOf(stacked: Node, rows: number): Projection | undefined {
  let node = stacked
  while (node.kind === 'view' && node.op.type === 'reshape') node = node.args[0]
  const sum = node.kind === 'map' && node.fn === 'add' ? node.args : [node, undefined]
  const [product, added] = sum
  if (product?.kind !== 'contract') return undefined
  const [x, ih] = product.args
  const bias = added && unviewed(added)
  const linear = ih.shape.length === 2 && x.shape.length === 2 && ih.shape[0] === rows
  if (!linear || product.spec.hash !== linearSpec([x.shape[0]], rows, ih.shape[1]).hash)
    return undefined
  return bias === undefined || bias.shape.join() === `${rows}` ? { x, ih, bias } : undefined
}

function written(
  scan: NodeOf<'scan'>,
  form: Form,
  weights: Weights,
  t: Translation,
): Left | undefined {
  const { loop, args } = scan
  const { mode, nonlinearity } = form
  const b = t.builder
  const [batch, hidden] = loop.carries[0].shape
  const order = gateOrder[mode]
  const rows = order.length * hidden
  const projection = projectionOf(args[loop.carries.length], rows)
  if (!projection) return undefined
  const { x, ih } = projection
  const inputs = ih.shape[1]
  const numbers = [ih, weights.hh, projection.bias, weights.biasHh].map((node) =>
    node === undefined ? new Float64Array(rows) : numbersOf(node, t),
  )
  const [w, r, wb, rb] = numbers
  if (!w || !r || !wb || !rb) return undefined
  const sorted = (data: Float64Array): Float32Array => {
    const size = data.length / order.length
    return Float32Array.from(
      order.flatMap((gate) => [...data.subarray(gate * size, (gate + 1) * size)]),
    )
  }
  b.label = scan.label
  const leaf = (name: string, shape: readonly number[], data: Float32Array): Value => ({
    dtype: 'float32',
    shape,
    depth: 0,
    origin: { kind: 'leaf', leaf: { name, dtype: 'float32', shape, data } },
  })
  const prefix = nameOf(ih, t)
  const biased = projection.bias !== undefined || weights.biasHh !== undefined
  const both = new Float32Array([...sorted(wb), ...sorted(rb)])
  const first = args.slice(0, loop.carries.length)
  const zero = first.every((node) => node.kind === 'const' && node.value === 0)
  const states = zero
    ? []
    : [
        undefined,
        ...first.map((node) => reshape(b, filled(b, t.find(node), node.shape), [1, ...node.shape])),
      ]
  const length = loop.length
  const attributes: { [name: string]: Attribute } = {
    hidden_size: hidden,
    direction: loop.reverse ? 'reverse' : 'forward',
    ...(mode === 'GRU' ? { linear_before_reset: 1 } : {}),
    ...(mode === 'RNN' ? { activations: [nonlinearity === 'tanh' ? 'Tanh' : 'Relu'] } : {}),
  }
  const state = { dtype: 'float32', shape: [1, batch, hidden] } as const
  const results = [{ dtype: 'float32', shape: [length, 1, batch, hidden] } as const, state, state]
  const values = b.several(
    mode,
    [
      reshape(b, filled(b, t.find(x), x.shape), [length, batch, inputs]),
      leaf(`${prefix}_gates`, [1, rows, inputs], sorted(w)),
      leaf(`${nameOf(weights.hh, t)}_gates`, [1, rows, hidden], sorted(r)),
      ...(biased || states.length > 0
        ? [leaf(`${prefix.replace('weight', 'bias')}_gates`, [1, 2 * rows], both)]
        : []),
      ...states,
    ],
    results.slice(0, mode === 'LSTM' ? 3 : 2),
    attributes,
  )
  const [y, ...last] = values
  return {
    last: last.map((value) => reshape(b, value, [batch, hidden])),
    after: [reshape(b, y, [length, batch, hidden]), undefined],
    stacks: [],
  }
}

/** The numbers of a node over the model's own tensors; undefined where it reads anything else. */
function numbersOf(node: Node, t: Translation): Float64Array | undefined {
  const data = new Map<Node, Float64Array>()
  for (const leaf of topological([node])) {
    if (leaf.kind !== 'input') continue
    const { origin } = t.find(leaf)
    if (origin.kind === 'constant') data.set(leaf, origin.data)
    else if (origin.kind === 'leaf') data.set(leaf, Float64Array.from(origin.leaf.data))
    else return undefined
  }
  return evaluate([node], (leaf) => data.get(leaf) ?? new Float64Array(0))[0]
}

function nameOf(node: Node, t: Translation): string {
  const { origin } = t.find(node)
  return origin.kind === 'leaf' && origin.leaf.name !== '' ? origin.leaf.name : 'weight'
}
