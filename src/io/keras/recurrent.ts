// Keras's recurrent layers and their wrappers: one step of each cell, in Keras's order of gates, and a scan over them.
//
// The input's part of every gate is computed for all steps at once. Outputs stand in the order they were computed in,
// as Keras has it: a layer that goes backwards gives the last step's first. A masked step leaves the state as it is.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { dropout } from '../../nn/functional/dropout.js'
import { ones, zeros } from '../../tensor/create.js'
import { scan } from '../../tensor/scan.js'
import { concat, type Tensor, where } from '../../tensor/tensor.js'
import { type Fields, isObject } from '../tfjs/plain.js'
import { type Activation, activationOf } from './activation.js'
import { kernelSlots, shaped } from './core.js'
import type { Call, KerasLayer, LayerKind, Made, Slot } from './layer.js'

/** One step: the input's part of the gates [N, gates·units], and the state → the next state; its first is the output. */
type Step = (x: Tensor, state: readonly Tensor[]) => Tensor[]

interface Cell {
  readonly slots: readonly Slot[]
  /** Units of each state. */
  readonly states: readonly number[]
  /** The input's part: [.., F] → [.., gates·units]. */
  input(x: Tensor, call: Call): Tensor
  /** `drop` is what the state goes through before the recurrent product. */
  step(call: Call, drop: (h: Tensor) => Tensor): Step
}

/** Slots of a cell with so many gates; GRU with `reset_after` has two biases. */
function slotsOf(config: Fields, gates: number): Slot[] {
  const units = config.count('units', 1)
  const width = gates * units
  const twice = gates === 3 && config.flag('reset_after', false)
  const slots = kernelSlots(config, 'kernel', 'recurrent_kernel')
  return shaped(slots, {
    kernel: [-1, width],
    recurrent_kernel: [units, width],
    bias: twice ? [2, width] : [width],
  }).map((slot) => ({ ...slot, at: 'cell' }))
}

const project = (x: Tensor, { weight, find }: Call): Tensor => {
  const y = x.matmul(weight('kernel'))
  const bias = find('bias')
  return bias ? y.add(bias) : y
}

/** Gate k of z [N, gates·units]. */
const gate = (z: Tensor, k: number, units: number) =>
  z.slice(k * units, (k + 1) * units, { dim: -1 })

type CellKind = (config: Fields, keras: 2 | 3) => Cell

const simple: CellKind = (config, keras) => {
  const activation = activationOf(config, 'activation', keras, 'tanh')
  return {
    slots: slotsOf(config, 1),
    states: [config.count('units', 1)],
    input: project,
    step:
      ({ weight }, drop) =>
      (x, [h]) => [activation(x.add(drop(h).matmul(weight('recurrent_kernel'))))],
  }
}

const lstm: CellKind = (config, keras) => {
  const units = config.count('units', 1)
  const [activation, inner] = gateActivations(config, keras)
  return {
    slots: slotsOf(config, 4),
    states: [units, units],
    input: project,
    step:
      ({ weight }, drop) =>
      (x, [h, c]) => {
        const z = x.add(drop(h).matmul(weight('recurrent_kernel')))
        const forgotten = inner(gate(z, 1, units)).mul(c)
        const next = forgotten.add(inner(gate(z, 0, units)).mul(activation(gate(z, 2, units))))
        return [inner(gate(z, 3, units)).mul(activation(next)), next]
      },
  }
}

const gru: CellKind = (config, keras) => {
  const units = config.count('units', 1)
  const [activation, inner] = gateActivations(config, keras)
  // TensorFlow.js knows reset_after = false alone, and does not write it.
  const after = config.flag('reset_after', false)
  return {
    slots: slotsOf(config, 3),
    states: [units],
    input(x, call) {
      const y = x.matmul(call.weight('kernel'))
      const bias = call.find('bias')
      if (bias === undefined) return y
      return y.add(after ? bias.slice(0, 1).squeeze(0) : bias)
    },
    step:
      (call, drop) =>
      (x, [h]) => {
        const kernel = call.weight('recurrent_kernel')
        const bias = call.find('bias')
        const both = kernel.slice(0, 2 * units, { dim: 1 })
        const last = kernel.slice(2 * units, 3 * units, { dim: 1 })
        const next = (z: Tensor, candidate: Tensor) =>
          z.mul(h).add(
            z
              .neg()
              .add(1)
              .mul(activation(gate(x, 2, units).add(candidate))),
          )
        if (!after) {
          const y = drop(h).matmul(both)
          const z = inner(gate(x, 0, units).add(gate(y, 0, units)))
          const r = inner(gate(x, 1, units).add(gate(y, 1, units)))
          return [next(z, r.mul(drop(h)).matmul(last))]
        }
        const product = drop(h).matmul(kernel)
        const y = bias ? product.add(bias.slice(1, 2).squeeze(0)) : product
        const z = inner(gate(x, 0, units).add(gate(y, 0, units)))
        const r = inner(gate(x, 1, units).add(gate(y, 1, units)))
        return [next(z, r.mul(gate(y, 2, units)))]
      },
  }
}

function gateActivations(config: Fields, keras: 2 | 3): [Activation, Activation] {
  return [
    activationOf(config, 'activation', keras, 'tanh'),
    activationOf(config, 'recurrent_activation', keras, 'sigmoid'),
  ]
}

const cells: { readonly [name: string]: CellKind } = {
  SimpleRNNCell: simple,
  LSTMCell: lstm,
  GRUCell: gru,
}

function recurrent(config: Fields, cell: Cell): Made {
  const sequences = config.flag('return_sequences', false)
  const withState = config.flag('return_state', false)
  const backwards = config.flag('go_backwards', false)
  const zeroMasked = config.flag('zero_output_for_mask', false)
  const rate = config.number('dropout', 0)
  const stateRate = config.number('recurrent_dropout', 0)
  if (config.flag('stateful', false))
    fail(`${config.where}: stateful layers, which keep their state between batches, are not read`)
  if (config.flag('time_major', false))
    fail(`${config.where}: time_major, inputs [T, N, features], is not read`)
  const initial = (call: Call, batch: number): Tensor[] => {
    const [, ...given] = call.inputs
    if (given.length === 0) return cell.states.map((units) => zeros([batch, units]))
    if (given.length !== cell.states.length)
      fail(
        `${config.where}: there are ${given.length} initial states, it has ${cell.states.length}`,
      )
    return given
  }
  return {
    slots: cell.slots,
    run(call) {
      const [x] = call.inputs
      if (x.shape.length !== 3)
        fail(`${config.where}: the input ${showShape(x.shape)} must be [N, T, features]`)
      const [batch, , features] = x.shape
      // One mask for all steps (Gal and Ghahramani 2016); Keras draws one for each gate where it runs in parts.
      const kept = (p: number, shape: readonly number[]) =>
        call.training && p > 0 ? dropout(ones(shape), { p }) : undefined
      const [inputMask, stateMask] = [
        kept(rate, [batch, 1, features]),
        kept(stateRate, [batch, cell.states[0]]),
      ]
      const step = cell.step(call, (h) => (stateMask ? h.mul(stateMask) : h))
      const given = inputMask ? x.float().mul(inputMask) : x.float()
      const gates = cell.input(given, call).transpose(0, 1) // [T, N, gates·units]
      const { mask } = call
      const init = initial(call, batch)
      const [last, outputs] =
        mask === undefined
          ? scan(
              (state: readonly Tensor[], now: Tensor) => {
                const next = step(now, state)
                return [next, next[0]] as const
              },
              init,
              gates,
              { reverse: backwards },
            )
          : scan(
              (state: readonly Tensor[], [now, counts]: readonly Tensor[]) => {
                const held = step(now, state).map((next, k) => where(counts, next, state[k]))
                const [h] = held
                return [held, zeroMasked ? where(counts, h, h.mul(0)) : h] as const
              },
              init,
              [gates, mask.transpose(0, 1).unsqueeze(-1)],
              { reverse: backwards },
            )
      const whole = outputs.transpose(0, 1) // [N, T, units]
      const output = sequences ? (backwards ? whole.flip(1) : whole) : last[0]
      return withState ? [output, ...last] : output
    },
    mask: (call) => (sequences ? (backwards ? call.mask?.flip(1) : call.mask) : undefined),
  }
}

export const SimpleRNN: LayerKind = (config, { keras }) => recurrent(config, simple(config, keras))
export const LSTM: LayerKind = (config, { keras }) => recurrent(config, lstm(config, keras))
export const GRU: LayerKind = (config, { keras }) => recurrent(config, gru(config, keras))

/** A cell in a layer of its own. */
export const RNN: LayerKind = (config, { keras }) => {
  if (!isObject(config.get('cell')))
    fail(`${config.where}: several cells on each other are not read`)
  const cell = config.object('cell')
  const name = cell.string('class_name')
  if (!Object.hasOwn(cells, name))
    throw fail(
      `${config.where}: the cell ${name} is not read; ${Object.keys(cells).join(', ')} are`,
    )
  return recurrent(config, cells[name](cell.object('config'), keras))
}

/** Both directions of a recurrent layer; the results are merged, the backward one put in order first. */
export const Bidirectional: LayerKind = (config, making) => {
  const layer = config.object('layer')
  const inner = layer.object('config')
  const name = inner.string('name', 'layer')
  const sequences = inner.flag('return_sequences', false)
  const withState = inner.flag('return_state', false)
  const mode =
    config.has('merge_mode') || !config.keys().includes('merge_mode')
      ? config.string('merge_mode', 'concat')
      : 'none'
  const made = (changes: { readonly [key: string]: string | boolean }, of = layer) =>
    making.child(of.with({ config: { ...of.object('config').raw(), ...changes } }))
  // Keras zeroes the outputs of masked steps here.
  const zero = { zero_output_for_mask: sequences || withState }
  const forward = made({ ...zero, name: `forward_${name}` })
  const backward = config.has('backward_layer')
    ? made({ ...zero, name: `backward_${name}` }, config.object('backward_layer'))
    : made({
        ...zero,
        name: `backward_${name}`,
        go_backwards: !inner.flag('go_backwards', false),
      })
  const merges: { readonly [mode: string]: (a: Tensor, b: Tensor) => Tensor | Tensor[] } = {
    concat: (a, b) => concat([a, b], -1),
    sum: (a, b) => a.add(b),
    mul: (a, b) => a.mul(b),
    ave: (a, b) => a.add(b).div(2),
    none: (a, b) => [a, b],
  }
  if (!Object.hasOwn(merges, mode))
    throw fail(
      `${config.where}: merge_mode is ${mode}, but must be ${Object.keys(merges).join(', ')}`,
    )
  return {
    children: new Map([
      ['forward_layer', forward],
      ['backward_layer', backward],
    ]),
    run(call) {
      const [x, ...states] = call.inputs
      const half = states.length / 2
      const there = forward.call([x, ...states.slice(0, half)], call.mask).tensors
      const back = backward.call([x, ...states.slice(half)], call.mask).tensors
      const merged = merges[mode](there[0], sequences ? back[0].flip(1) : back[0])
      if (!withState) return merged
      return [...(Array.isArray(merged) ? merged : [merged]), ...there.slice(1), ...back.slice(1)]
    },
    keepsMask: sequences,
  }
}

/** A layer or model applied to every step of [N, T, …]. */
export const TimeDistributed: LayerKind = (config, making) => {
  const layer: KerasLayer = making.child(config.object('layer'))
  return {
    children: new Map([['layer', layer]]),
    keepsMask: true,
    run(call) {
      const [x] = call.inputs
      if (x.shape.length < 3)
        fail(`${config.where}: the input ${showShape(x.shape)} must be [N, T, features…]`)
      const [batch, steps, ...rest] = x.shape
      const flat = layer.call([x.reshape(batch * steps, ...rest)], undefined).tensors
      const [y] = flat
      return y.reshape(batch, steps, ...y.shape.slice(1))
    },
  }
}
