// LSTM, GRU and RNN in all directions, through the recurrence of nn: ONNX's gates are brought into PyTorch's order.
import { linear, sigmoid } from '../../../nn/functional.js'
import { overSequence, type RecurrentStep, stepOf } from '../../../nn/nodes/recurrent.js'
import { arange, zeros } from '../../../tensor/create.js'
import { concat, fromNode, stack, type Tensor } from '../../../tensor/tensor.js'
import type { Call } from '../../graph/call.js'
import type { PlainNode } from '../../graph/plain.js'
import type { Table } from './table.js'

type Mode = 'LSTM' | 'GRU' | 'RNN'

/** For each of PyTorch's gates the place of ONNX's: i o f c, z r h. */
const orders = { LSTM: [0, 2, 3, 1], GRU: [1, 0, 2], RNN: [0] } as const

/** GRU with the reset before the product: n = tanh(x + (r·h)·Rᵀ + b). */
const resetFirst: RecurrentStep = (gates, [state], { hh, biasHh }) => {
  const [x, h, weight] = [fromNode(gates), fromNode(state), fromNode(hh)]
  const hidden = h.shape[1]
  const bias = biasHh && fromNode(biasHh)
  const gate = (t: Tensor, k: number, dim: number) => t.slice(k * hidden, (k + 1) * hidden, { dim })
  const both = linear(h, weight.slice(0, 2 * hidden), bias?.slice(0, 2 * hidden))
  const [r, z] = [0, 1].map((k) => sigmoid(gate(x, k, 1).add(gate(both, k, 1))))
  const product = linear(r.mul(h), gate(weight, 2, 0), bias && gate(bias, 2, 0))
  const n = gate(x, 2, 1).add(product).tanh()
  return [z.neg().add(1).mul(n).add(z.mul(h)).node]
}

function run(call: Call): (Tensor | undefined)[] {
  const mode = call.node.op as Mode
  const x = call.tensor(0) // [T, N, I]
  const [W, R] = [call.tensor(1), call.tensor(2)] // [D, gates·H, ·]
  const [T, N] = x.shape
  const [D] = W.shape
  const H = R.shape[2]
  const order = orders[mode]
  const direction = call.text('direction', 'forward')
  const sorted = (t: Tensor) =>
    order.length === 1
      ? t
      : concat(
          order.map((k) => t.slice(k * H, (k + 1) * H)),
          0,
        )
  const part = (t: Tensor, d: number) => t.slice(d, d + 1).squeeze(0)
  const before = mode === 'GRU' && !call.flag('linear_before_reset', false)
  const activation = activationOf(call.node)
  const step = before ? resetFirst : stepOf(mode, activation)
  const mask = maskOf(call, T, N)
  const outputs: Tensor[] = []
  const last: Tensor[][] = [[], []]
  for (let d = 0; d < D; d++) {
    const [w, r] = [sorted(part(W, d)), sorted(part(R, d))]
    const bias = call.optional(3)
    const width = order.length * H
    const wb = bias && sorted(part(bias, d).slice(0, width))
    const rb = bias && sorted(part(bias, d).slice(width, 2 * width))
    const gru = mode === 'GRU'
    const gates = linear(x, w, wb && rb && !gru ? wb.add(rb) : wb)
    const first = [5, 6].slice(0, mode === 'LSTM' ? 2 : 1).map((i) => {
      const given = call.optional(i)
      return (given ? part(given, d) : zeros([N, H])).node
    })
    const done = overSequence(
      step,
      { hh: r.node, ...(gru && rb ? { biasHh: rb.node } : {}) },
      {
        x: gates.node,
        state: first,
        reverse: direction === 'reverse' || d === 1,
        ...(mask ? { mask: mask.node } : {}),
      },
    )
    outputs.push(fromNode(done.output, x))
    done.last.forEach((node, k) => {
      last[k].push(fromNode(node, x))
    })
  }
  const ends = last.filter((list) => list.length > 0).map((list) => stack(list, 0))
  return [stack(outputs, 1), ends[0], ends[1]]
}

/** bool [T, N], or undefined where all sequences are whole. */
function maskOf(call: Call, T: number, N: number): Tensor | undefined {
  if (call.known(4)?.data.every((n) => n === T)) return undefined
  const lengths = call.optional(4)
  return lengths && arange(T).reshape(T, 1).lt(lengths.reshape(1, N))
}

const usual: { readonly [M in Mode]: readonly string[] } = {
  LSTM: ['sigmoid', 'tanh', 'tanh'],
  GRU: ['sigmoid', 'tanh'],
  RNN: ['tanh'],
}

function names(node: PlainNode): readonly string[] {
  const given = node.attributes.get('activations')
  return Array.isArray(given) ? given.map((name) => String(name).toLowerCase()) : []
}

function activationOf(node: PlainNode): 'tanh' | 'relu' {
  return names(node)[0] === 'relu' ? 'relu' : 'tanh'
}

function refuse(node: PlainNode): string | undefined {
  const { attributes, inputs, op } = node
  if (attributes.get('layout')) return 'with layout 1 is not supported'
  if (attributes.has('clip')) return 'with clip is not supported'
  if (attributes.get('input_forget')) return 'with input_forget is not supported'
  if (inputs[7]) return 'with peepholes is not supported'
  const expected = usual[op as Mode]
  const given = names(node)
  const fits = given.every(
    (name, i) => name === expected[i % expected.length] || (op === 'RNN' && name === 'relu'),
  )
  if (!fits || (op === 'RNN' && new Set(given).size > 1))
    return `with the activations ${given.join(', ')} is not supported`
  return undefined
}

const recurrence = { run, refuse, weights: [1, 2, 3] }
export const recurrent: Table = { LSTM: recurrence, GRU: recurrence, RNN: recurrence }
