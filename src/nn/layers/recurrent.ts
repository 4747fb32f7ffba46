// Recurrent layers and single cells, with the parameters, options and results of torch.nn.RNN, LSTM and GRU.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { broadcastTo, concat, iota, map, type Node, reshape } from '../../graph/node.js'
import { tensor } from '../../tensor/create.js'
import { Parameter } from '../../tensor/parameter.js'
import { fromNode, concat as joined, type Tensor } from '../../tensor/tensor.js'
import { floatNode, indexNode, knownIntegers } from '../functional/checks.js'
import { dropout } from '../functional/dropout.js'
import { linear } from '../functional/linear.js'
import { layerValues } from '../init.js'
import { Module } from '../module.js'
import {
  gatesOf,
  layerOf,
  overSequence,
  type RecurrentMode,
  type RecurrentStep,
  type RecurrentWeights,
  stepOf,
  zeroState,
} from '../nodes/recurrent.js'
import { positive } from './linear.js'

/** Options of recurrent layers; the words and defaults are PyTorch's. */
export interface RecurrentOptions {
  /** Layers on top of each other. Default 1. */
  readonly numLayers?: number
  /** Default true. */
  readonly bias?: boolean
  /** Inputs and outputs are [N, T, features]; by default [T, N, features]. States are [layers, N, features] always. */
  readonly batchFirst?: boolean
  /** In training, the probability of dropping each output of every layer but the last. Default 0. */
  readonly dropout?: number
  /** A second layer goes from the end to the beginning; its outputs stand behind the first's. Default false. */
  readonly bidirectional?: boolean
}

/** Options of RNN. */
export interface RNNOptions extends RecurrentOptions {
  /** Default tanh. */
  readonly nonlinearity?: 'tanh' | 'relu'
}

/** Options of LSTM. */
export interface LSTMOptions extends RecurrentOptions {
  /** Features of h, where it is projected from hiddenSize features; default 0: it is not. */
  readonly projSize?: number
}

/** What a call of a recurrent layer may be told. */
export interface SequenceOptions {
  /**
   * The true length of each sequence of the batch, [N]: positions from there on are not read, their outputs are 0, and
   * the last state is that after the sequence's own last position. What PyTorch's packed sequences are for.
   *
   * A list, and a tensor made of host data or read before, must hold numbers from 1 to T. Nobody looks at those of
   * other tensors: a length above T counts as T; below 1 the outputs are 0, and the last state is the first.
   */
  readonly lengths?: Tensor | readonly number[]
}

interface RecurrentShape {
  readonly mode: RecurrentMode
  readonly nonlinearity: 'tanh' | 'relu'
  readonly projSize: number
}

/** Weights in PyTorch's order, under PyTorch's names: `weight_ih_l0`, `weight_hh_l0_reverse`. */
abstract class Recurrent<State> extends Module<readonly [output: Tensor, state: State]> {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly numLayers: number
  readonly bias: boolean
  readonly batchFirst: boolean
  readonly dropout: number
  readonly bidirectional: boolean
  /** The parameters by their names in the state dict. */
  readonly weights: { readonly [name: string]: Parameter }
  protected readonly projSize: number
  readonly #step: RecurrentStep
  readonly #mode: RecurrentMode

  constructor(
    inputSize: number,
    hiddenSize: number,
    options: RecurrentOptions,
    { mode, nonlinearity, projSize }: RecurrentShape,
  ) {
    super()
    const { numLayers = 1, bias = true, batchFirst = false, bidirectional = false } = options
    const { dropout: p = 0 } = options
    this.inputSize = positive(inputSize, `${mode}: inputSize`)
    this.hiddenSize = positive(hiddenSize, `${mode}: hiddenSize`)
    this.numLayers = positive(numLayers, `${mode}: numLayers`)
    if (!(p >= 0 && p <= 1)) fail(`${mode}: dropout is ${p}, but must be a probability`)
    if (p > 0 && numLayers === 1)
      fail(`${mode}: dropout ${p} is applied between layers, but there is one: use numLayers 2`)
    if (!Number.isInteger(projSize) || projSize < 0 || projSize >= hiddenSize)
      fail(
        `${mode}: projSize is ${projSize}, but must be a whole number from 0, less than hiddenSize ${hiddenSize}`,
      )
    this.bias = bias
    this.batchFirst = batchFirst
    this.dropout = p
    this.bidirectional = bidirectional
    this.projSize = projSize
    this.#mode = mode
    this.#step = stepOf(mode, nonlinearity)
    this.weights = Object.fromEntries(this.#made())
  }

  #made(): [string, Parameter][] {
    const { hiddenSize, projSize, bias } = this
    const rows = gatesOf[this.#mode] * hiddenSize
    const out = projSize || hiddenSize
    const made = (name: string, shape: readonly number[]): [string, Parameter] => [
      name,
      new Parameter(layerValues(shape, hiddenSize)),
    ]
    return this.#suffixes().flatMap(([suffix, layer]) => {
      const features = layer === 0 ? this.inputSize : out * this.#directions
      return [
        made(`weight_ih_${suffix}`, [rows, features]),
        made(`weight_hh_${suffix}`, [rows, out]),
        ...(bias ? [made(`bias_ih_${suffix}`, [rows]), made(`bias_hh_${suffix}`, [rows])] : []),
        ...(projSize > 0 ? [made(`weight_hr_${suffix}`, [projSize, hiddenSize])] : []),
      ]
    })
  }

  get #directions(): number {
    return this.bidirectional ? 2 : 1
  }

  #suffixes(): (readonly [suffix: string, layer: number])[] {
    return Array.from({ length: this.numLayers }, (_, layer) =>
      ['', '_reverse'].slice(0, this.#directions).map((end) => [`l${layer}${end}`, layer] as const),
    ).flat()
  }

  protected override entries(): (readonly [name: string, value: unknown])[] {
    return Object.entries(this.weights)
  }

  /** Runs all layers; `states` are [layers·directions, N, features] each, or undefined for zeros. */
  protected run(
    input: Tensor,
    states: readonly (Tensor | undefined)[],
    { lengths }: SequenceOptions,
  ): { readonly output: Tensor; readonly states: readonly Tensor[] } {
    const name = this.#mode
    const rank = input.shape.length
    if (rank !== 2 && rank !== 3)
      fail(
        `${name}: the input ${showShape(input.shape)} must be ${this.batchFirst ? '[N, T, features]' : '[T, N, features]'}, or [T, features]`,
      )
    if (input.shape[rank - 1] !== this.inputSize)
      fail(
        `${name}: the input ${showShape(input.shape)} has ${input.shape[rank - 1]} features, but inputSize is ${this.inputSize}`,
      )
    floatNode(input, name)
    const batched = rank === 3
    let x = batched ? (this.batchFirst ? input.permute(1, 0, 2) : input) : input.unsqueeze(1)
    const [T, N] = x.shape
    if (T === 0) fail(`${name}: a sequence of no positions; there must be at least 1`)
    const first = this.#firstStates(states, N, batched)
    const mask = lengths === undefined ? undefined : maskOf(name, lengths, T, N)
    const last: Node[][] = first.map(() => [])
    const suffixes = this.#suffixes()
    for (let layer = 0; layer < this.numLayers; layer++) {
      const outputs: Tensor[] = []
      for (let direction = 0; direction < this.#directions; direction++) {
        const at = layer * this.#directions + direction
        const [suffix] = suffixes[at]
        const done = overSequence(this.#step, this.#weightsOf(suffix), {
          x: this.#projected(x, suffix).node,
          state: first.map((state) => layerOf(state, at)),
          reverse: direction === 1,
          ...(mask ? { mask } : {}),
        })
        outputs.push(fromNode(done.output, input))
        done.last.forEach((node, k) => {
          last[k].push(reshape(node, [1, ...node.shape]))
        })
      }
      x = outputs.length === 1 ? outputs[0] : joined(outputs, 2)
      if (this.dropout > 0 && this.training && layer < this.numLayers - 1)
        x = dropout(x, { p: this.dropout })
    }
    const output = batched ? (this.batchFirst ? x.permute(1, 0, 2) : x) : x.squeeze(1)
    return {
      output,
      states: last.map((list) => {
        const all = fromNode(concat(0, list), input)
        return batched ? all : all.squeeze(1)
      }),
    }
  }

  /** What the input gives to the gates, and the biases that may be added here. */
  #projected(x: Tensor, suffix: string): Tensor {
    const { weights } = this
    const ih = weights[`bias_ih_${suffix}`]
    if (!this.bias) return linear(x, weights[`weight_ih_${suffix}`])
    const bias = this.#mode === 'GRU' ? ih : ih.add(weights[`bias_hh_${suffix}`])
    return linear(x, weights[`weight_ih_${suffix}`], bias)
  }

  #weightsOf(suffix: string): RecurrentWeights {
    const node = (kind: string) => {
      const parameter = this.weights[`${kind}_${suffix}`]
      return floatNode(parameter, this.#mode, kind)
    }
    return {
      hh: node('weight_hh'),
      ...(this.#mode === 'GRU' && this.bias ? { biasHh: node('bias_hh') } : {}),
      ...(this.projSize > 0 ? { hr: node('weight_hr') } : {}),
    }
  }

  #firstStates(states: readonly (Tensor | undefined)[], N: number, batched: boolean): Node[] {
    const count = this.numLayers * this.#directions
    return states.map((state, k) => {
      const features = k === 0 && this.projSize > 0 ? this.projSize : this.hiddenSize
      if (state === undefined) {
        const zeros = zeroState(count * N, features)
        return reshape(zeros, [count, N, features])
      }
      const expected = batched ? [count, N, features] : [count, features]
      if (showShape(state.shape) !== showShape(expected))
        fail(
          `${this.#mode}: the first ${k === 0 ? 'h' : 'c'} is ${showShape(state.shape)}, but must be ${showShape(expected)}`,
        )
      return reshape(floatNode(state, this.#mode, k === 0 ? 'h' : 'c'), [count, N, features])
    })
  }
}

/** bool [T, N]: position < length. */
function maskOf(name: string, lengths: Tensor | readonly number[], T: number, N: number): Node {
  for (const n of knownIntegers(lengths))
    if (!Number.isInteger(n) || n < 1 || n > T)
      fail(`${name}: a length is ${n}, but must be a whole number from 1 to ${T}`)
  const given = 'node' in lengths ? lengths : tensor(lengths, { dtype: 'int32' })
  if (given.shape.length !== 1 || given.shape[0] !== N)
    fail(`${name}: lengths are ${showShape(given.shape)}, but the batch has ${N}: give [${N}]`)
  const ends = broadcastTo(indexNode(given, name, 'lengths'), [T, N])
  return map('lt', iota([T, N], 0), ends)
}

/**
 * Elman's network: h′ = tanh(x·w_ihᵀ + b_ih + h·w_hhᵀ + b_hh), or relu.
 *
 * forward(input [T, N, inputSize], h?) → [output [T, N, hiddenSize], h [layers, N, hiddenSize]].
 */
export class RNN extends Recurrent<Tensor> {
  readonly nonlinearity: 'tanh' | 'relu'

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    const { nonlinearity = 'tanh' } = options
    super(inputSize, hiddenSize, options, { mode: 'RNN', nonlinearity, projSize: 0 })
    this.nonlinearity = nonlinearity
  }

  forward(input: Tensor, h?: Tensor, options: SequenceOptions = {}): readonly [Tensor, Tensor] {
    const { output, states } = this.run(input, [h], options)
    return [output, states[0]]
  }
}

/**
 * Gated recurrent units (Cho et al. 2014), in PyTorch's form: n = tanh(w_in·x + b_in + r·(w_hn·h + b_hn)).
 *
 * forward(input [T, N, inputSize], h?) → [output [T, N, hiddenSize], h [layers, N, hiddenSize]].
 */
export class GRU extends Recurrent<Tensor> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super(inputSize, hiddenSize, options, { mode: 'GRU', nonlinearity: 'tanh', projSize: 0 })
  }

  forward(input: Tensor, h?: Tensor, options: SequenceOptions = {}): readonly [Tensor, Tensor] {
    const { output, states } = this.run(input, [h], options)
    return [output, states[0]]
  }
}

/**
 * Long short-term memory (Hochreiter and Schmidhuber 1997), with forget gates.
 *
 * forward(input [T, N, inputSize], [h, c]?) → [output [T, N, hiddenSize], [h, c]], h and c [layers, N, hiddenSize];
 * with projSize, output and h have so many features.
 */
export class LSTM extends Recurrent<readonly [h: Tensor, c: Tensor]> {
  constructor(inputSize: number, hiddenSize: number, options: LSTMOptions = {}) {
    const { projSize = 0 } = options
    super(inputSize, hiddenSize, options, { mode: 'LSTM', nonlinearity: 'tanh', projSize })
  }

  forward(
    input: Tensor,
    state?: readonly [h: Tensor, c: Tensor],
    options: SequenceOptions = {},
  ): readonly [Tensor, readonly [h: Tensor, c: Tensor]] {
    const { output, states } = this.run(input, [state?.[0], state?.[1]], options)
    return [output, [states[0], states[1]]]
  }
}

/** Options of single cells. */
export interface CellOptions {
  /** Default true. */
  readonly bias?: boolean
}

abstract class Cell<State> extends Module<State> {
  readonly inputSize: number
  readonly hiddenSize: number
  weightIh: Parameter // [gates·hiddenSize, inputSize]
  weightHh: Parameter // [gates·hiddenSize, hiddenSize]
  biasIh: Parameter | undefined
  biasHh: Parameter | undefined
  readonly #mode: RecurrentMode
  readonly #step: RecurrentStep

  constructor(
    inputSize: number,
    hiddenSize: number,
    { bias = true }: CellOptions,
    mode: RecurrentMode,
    nonlinearity: 'tanh' | 'relu' = 'tanh',
  ) {
    super()
    this.inputSize = positive(inputSize, `${mode}Cell: inputSize`)
    this.hiddenSize = positive(hiddenSize, `${mode}Cell: hiddenSize`)
    this.#mode = mode
    this.#step = stepOf(mode, nonlinearity)
    const rows = gatesOf[mode] * hiddenSize
    const made = (...shape: number[]) => new Parameter(layerValues(shape, hiddenSize))
    this.weightIh = made(rows, inputSize)
    this.weightHh = made(rows, hiddenSize)
    this.biasIh = bias ? made(rows) : undefined
    this.biasHh = bias ? made(rows) : undefined
  }

  /** One step from input [N, inputSize] and states [N, hiddenSize], or all without N. */
  protected step(input: Tensor, states: readonly (Tensor | undefined)[]): Tensor[] {
    const name = `${this.#mode}Cell`
    const batched = input.shape.length === 2
    if (!batched && input.shape.length !== 1)
      fail(`${name}: the input ${showShape(input.shape)} must be [N, features] or [features]`)
    if (input.shape[input.shape.length - 1] !== this.inputSize)
      fail(
        `${name}: the input ${showShape(input.shape)} must have ${this.inputSize} features, its inputSize`,
      )
    const x = batched ? input : input.unsqueeze(0)
    const N = x.shape[0]
    const expected = batched ? [N, this.hiddenSize] : [this.hiddenSize]
    const first = states.map((state) => {
      if (state === undefined) return zeroState(N, this.hiddenSize)
      if (showShape(state.shape) !== showShape(expected))
        fail(`${name}: a state is ${showShape(state.shape)}, but must be ${showShape(expected)}`)
      return reshape(floatNode(state, name, 'state'), [N, this.hiddenSize])
    })
    const { biasIh, biasHh } = this
    const gru = this.#mode === 'GRU'
    const bias = biasIh && biasHh && !gru ? biasIh.add(biasHh) : biasIh
    const projected = linear(x, this.weightIh, bias).node
    const next = this.#step(projected, first, {
      hh: floatNode(this.weightHh, name, 'weight_hh'),
      ...(gru && biasHh ? { biasHh: floatNode(biasHh, name, 'bias_hh') } : {}),
    })
    return next.map((node) => fromNode(reshape(node, expected), input))
  }
}

/** One step of RNN: forward(input [N, inputSize], h?) → h [N, hiddenSize]. */
export class RNNCell extends Cell<Tensor> {
  constructor(
    inputSize: number,
    hiddenSize: number,
    options: CellOptions & { readonly nonlinearity?: 'tanh' | 'relu' } = {},
  ) {
    super(inputSize, hiddenSize, options, 'RNN', options.nonlinearity)
  }

  forward(input: Tensor, h?: Tensor): Tensor {
    return this.step(input, [h])[0]
  }
}

/** One step of GRU: forward(input [N, inputSize], h?) → h [N, hiddenSize]. */
export class GRUCell extends Cell<Tensor> {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super(inputSize, hiddenSize, options, 'GRU')
  }

  forward(input: Tensor, h?: Tensor): Tensor {
    return this.step(input, [h])[0]
  }
}

/** One step of LSTM: forward(input [N, inputSize], [h, c]?) → [h, c], [N, hiddenSize] each. */
export class LSTMCell extends Cell<readonly [h: Tensor, c: Tensor]> {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super(inputSize, hiddenSize, options, 'LSTM')
  }

  forward(input: Tensor, state?: readonly [h: Tensor, c: Tensor]): readonly [h: Tensor, c: Tensor] {
    const [h, c] = this.step(input, [state?.[0], state?.[1]])
    return [h, c]
  }
}
