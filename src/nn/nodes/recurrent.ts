// One step of each recurrent cell, and a layer of them over a sequence: a scan whose weights are the same in every step.
//
// The input's part of every gate is computed for all steps at once, before the scan, in one contraction; only what
// depends on the state is left for the steps. PyTorch's formulas and order of gates.
import { fail } from '../../base/errors.js'
import { linearSpec } from '../../graph/contract.js'
import { broadcastTo, constant, contract, map, type Node, reshape, view } from '../../graph/node.js'
import { placeholder, scan, slicePlaceholder } from '../../graph/scan.js'
import { add, mul, sub, where } from './math.js'

export type RecurrentMode = 'RNN' | 'LSTM' | 'GRU'

/** Gates side by side in a cell's weights. */
export const gatesOf: { readonly [M in RecurrentMode]: number } = { RNN: 1, LSTM: 4, GRU: 3 }

export interface RecurrentWeights {
  /** [gates·hidden, features of the state that is passed on] */
  readonly hh: Node
  /** [gates·hidden], of GRU only: those of the others are in the input's part. */
  readonly biasHh?: Node
  /** LSTM with projections: [projected, hidden]. */
  readonly hr?: Node
}

/** The next state from the input's part x of the gates, [N, gates·hidden], and the state: [h], or [h, c]. */
export type RecurrentStep = (x: Node, state: readonly Node[], weights: RecurrentWeights) => Node[]

/** x·wᵀ of [N, k] and [o, k]. */
function linear(x: Node, w: Node): Node {
  return contract(linearSpec([x.shape[0]], w.shape[0], w.shape[1]), x, w)
}

/** Gate k of [N, gates·hidden]. */
function gate(z: Node, k: number, hidden: number): Node {
  const shape = [z.shape[0], hidden]
  return view({ type: 'slice', starts: [0, k * hidden], steps: [1, 1], shape }, z)
}

const plain =
  (activation: 'tanh' | 'relu'): RecurrentStep =>
  (x, [h], { hh }) => [map(activation, add(x, linear(h, hh)))]

const lstm: RecurrentStep = (x, [h, c], { hh, hr }) => {
  const hidden = c.shape[1]
  const z = add(x, linear(h, hh))
  const [i, f, g, o] = [0, 1, 2, 3].map((k) =>
    map(k === 2 ? 'tanh' : 'sigmoid', gate(z, k, hidden)),
  )
  const cell = add(mul(f, c), mul(i, g))
  const out = mul(o, map('tanh', cell))
  return [hr ? linear(out, hr) : out, cell]
}

const gru: RecurrentStep = (x, [h], { hh, biasHh }) => {
  const hidden = h.shape[1]
  const product = linear(h, hh)
  const y = biasHh ? add(product, biasHh) : product
  const [r, z] = [0, 1].map((k) => map('sigmoid', add(gate(x, k, hidden), gate(y, k, hidden))))
  const n = map('tanh', add(gate(x, 2, hidden), mul(r, gate(y, 2, hidden))))
  return [add(mul(sub(1, z), n), mul(z, h))]
}

export function stepOf(mode: RecurrentMode, nonlinearity: 'tanh' | 'relu'): RecurrentStep {
  if (mode === 'RNN') {
    if (nonlinearity !== 'tanh' && nonlinearity !== 'relu')
      fail(`RNN: nonlinearity '${nonlinearity}' must be 'tanh' or 'relu'`)
    return plain(nonlinearity)
  }
  return mode === 'LSTM' ? lstm : gru
}

export interface Sequence {
  /** The input's part of the gates: [T, N, gates·hidden]. */
  readonly x: Node
  readonly state: readonly Node[]
  readonly reverse: boolean
  /** bool [T, N]: where a step belongs to its sequence; elsewhere the state stays and the output is 0. */
  readonly mask?: Node
}

/** [T, N, …] outputs in their positions, and the last state. */
export function overSequence(
  step: RecurrentStep,
  weights: RecurrentWeights,
  { x, state, reverse, mask }: Sequence,
): { readonly output: Node; readonly last: readonly Node[] } {
  const carries = state.map(placeholder)
  const slices = [slicePlaceholder(x), ...(mask ? [slicePlaceholder(mask)] : [])]
  const next = step(slices[0], carries, weights)
  const held = mask ? next.map((node, k) => where(wide(slices[1], node), node, carries[k])) : next
  const y = mask ? where(wide(slices[1], next[0]), next[0], 0) : held[0]
  const { last, ys } = scan(
    { length: x.shape[0], reverse, carries, slices, next: held, ys: [y] },
    state,
    [x, ...(mask ? [mask] : [])],
  )
  return { output: ys[0], last }
}

/** [N] repeated along the features. */
function wide(mask: Node, like: Node): Node {
  return broadcastTo(reshape(mask, [mask.shape[0], 1]), like.shape)
}

/** Layer k of [layers, N, features]. */
export function layerOf(states: Node, k: number): Node {
  const shape = [1, ...states.shape.slice(1)]
  const starts = states.shape.map((_, i) => (i === 0 ? k : 0))
  const part = view({ type: 'slice', starts, steps: states.shape.map(() => 1), shape }, states)
  return reshape(part, states.shape.slice(1))
}

export function zeroState(batch: number, features: number): Node {
  return constant(0, 'float32', [batch, features])
}
