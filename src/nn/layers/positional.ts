// Where a position is, told to attention, which does not see it by itself: sine waves and learned tables that are added
// to the features, rotations of queries and keys, and slopes added to the scores.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { adopt, arange } from '../../tensor/create.js'
import { Parameter } from '../../tensor/parameter.js'
import { concat, stack, type Tensor } from '../../tensor/tensor.js'
import { normalValues } from '../init.js'
import { Module } from '../module.js'
import { Dropout } from './dropout.js'
import { positive } from './linear.js'

/** Wave lengths reach from 2π to this many times 2π (Vaswani et al. 2017, section 3.5). */
const BASE = 10_000

/**
 * float [length, dModel]: sin(p / base^(2i/dModel)) in the even columns, the cosine in the odd ones (Vaswani et al.
 * 2017, section 3.5).
 */
export function sinusoidalPositions(length: number, dModel: number): Tensor {
  const values = new Float32Array(length * dModel)
  for (let p = 0; p < length; p++)
    for (let i = 0; i < dModel; i++) {
      const angle = p / BASE ** ((i - (i % 2)) / dModel)
      values[p * dModel + i] = i % 2 === 0 ? Math.sin(angle) : Math.cos(angle)
    }
  return adopt(values, [length, dModel], 'float32')
}

/** Options of positions that are added. */
export interface PositionalOptions {
  /** The longest sequence. Default 5000 of sine waves. */
  readonly maxLen?: number
  /** Of the sum. Default 0. */
  readonly dropout?: number
  /** Inputs are [N, length, E]; by default [length, N, E]. */
  readonly batchFirst?: boolean
}

/** The table's rows for the positions of x, shaped to be added to it. */
function rowsFor(x: Tensor, table: Tensor, batchFirst: boolean, where: string): Tensor {
  const [maxLen, dModel] = table.shape
  const length = x.shape[batchFirst ? 1 : 0]
  if (x.shape.length !== 3 || x.shape[2] !== dModel)
    fail(
      `${where}: the input ${showShape(x.shape)} must be [${batchFirst ? 'N, length' : 'length, N'}, ${dModel}]`,
    )
  if (length > maxLen)
    fail(`${where}: ${length} positions, but the table has ${maxLen}; use a larger maxLen`)
  return table.slice(0, length).unsqueeze(batchFirst ? 0 : 1)
}

/** Adds sine waves of each position: [length, N, dModel] → the same. It has no parameters. */
export class SinusoidalEncoding extends Module {
  dropout: Dropout
  readonly #table: Parameter
  readonly #batchFirst: boolean

  constructor(dModel: number, options: PositionalOptions = {}) {
    super()
    const { maxLen = 5000, dropout = 0, batchFirst = false } = options
    positive(dModel, 'SinusoidalEncoding: dModel')
    this.#table = new Parameter(sinusoidalPositions(maxLen, dModel), { role: 'state' })
    this.dropout = new Dropout(dropout)
    this.#batchFirst = batchFirst
  }

  forward(x: Tensor): Tensor {
    const rows = rowsFor(x, this.#table, this.#batchFirst, 'SinusoidalEncoding')
    return this.dropout.forward(x.add(rows))
  }
}

/** Adds a learned row for each position: [length, N, dModel] → the same. Rows begin normally distributed, deviation 0.02. */
export class LearnedEncoding extends Module {
  weight: Parameter // [maxLen, dModel]
  dropout: Dropout
  readonly #batchFirst: boolean

  constructor(maxLen: number, dModel: number, options: Omit<PositionalOptions, 'maxLen'> = {}) {
    super()
    positive(maxLen, 'LearnedEncoding: maxLen')
    positive(dModel, 'LearnedEncoding: dModel')
    this.weight = new Parameter(normalValues([maxLen, dModel], 0, 0.02))
    this.dropout = new Dropout(options.dropout ?? 0)
    this.#batchFirst = options.batchFirst ?? false
  }

  forward(x: Tensor): Tensor {
    const rows = rowsFor(x, this.weight, this.#batchFirst, 'LearnedEncoding')
    return this.dropout.forward(x.add(rows))
  }
}

/** How queries and keys are turned. */
export interface RotaryOptions {
  /** Default 10,000. */
  readonly base?: number
  /** int32 or float [length]: default 0, 1, 2, … */
  readonly positions?: Tensor
  /** Neighbouring features form the pairs that are turned, as in the paper; by default i and i + E/2 do, as in GPT-NeoX. */
  readonly interleaved?: boolean
}

/**
 * Turns pairs of features of queries or keys [.., length, E] by angles p / base^(2i/E) that grow with their position p,
 * so that scores depend on distances only (Su et al. 2021, "RoFormer").
 */
export function rotaryEmbedding(x: Tensor, options: RotaryOptions = {}): Tensor {
  const { base = BASE, interleaved = false } = options
  const [length, size] = [x.shape.at(-2), x.shape.at(-1)]
  if (length === undefined || size === undefined || size % 2 !== 0)
    throw fail(`rotaryEmbedding of ${showShape(x.shape)}: [.., length, E] with even E is expected`)
  const half = size / 2
  const positions = (options.positions ?? arange(length)).float()
  if (positions.shape.length !== 1 || positions.shape[0] !== length)
    fail(`rotaryEmbedding: positions ${showShape(positions.shape)} must be [${length}]`)
  const rates = Float32Array.from({ length: half }, (_, i) => base ** (-i / half))
  const angles = positions.unsqueeze(1).mul(adopt(rates, [1, half], 'float32')) // [length, E / 2]
  const [cos, sin] = [angles.cos(), angles.sin()]
  const pairs = interleaved ? x.unflatten(-1, [half, 2]) : x.unflatten(-1, [2, half])
  const [a, b] = pairs.unbind(interleaved ? -1 : -2) // [.., length, E / 2]
  const turned = [a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))]
  return interleaved ? stack(turned, -1).flatten(-2) : concat(turned, -1)
}

/**
 * float [heads, L, S] to be added to scores: minus the distance of query and key, times a slope for each head, so that near
 * keys count more (Press et al. 2021, "ALiBi"). Queries are the last L of the S positions.
 */
export function alibiBias(heads: number, queries: number, keys = queries): Tensor {
  positive(heads, 'alibiBias: heads')
  const power = 2 ** Math.floor(Math.log2(heads))
  const slopes = Float32Array.from({ length: heads }, (_, h) =>
    h < power ? 2 ** ((-8 * (h + 1)) / power) : 2 ** ((-4 * (2 * (h - power) + 1)) / power),
  )
  const query = arange(keys - queries, keys)
    .float()
    .reshape(1, queries, 1)
  const key = arange(keys).float().reshape(1, 1, keys)
  return query
    .sub(key)
    .abs()
    .mul(adopt(slopes, [heads, 1, 1], 'float32'))
    .neg()
}
