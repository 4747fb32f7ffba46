// Linear maps, embeddings, attention, dropout, interpolation and cumulative sums, with PyTorch's arguments.
import { fail } from '../../base/errors.js'
import { axisOf, broadcastShapes, showShape, sizeOf } from '../../base/shape.js'
import { linearSpec, makeContract, plain } from '../../graph/contract.js'
import {
  contract,
  expand,
  iota,
  map,
  type Node,
  permute,
  reduce,
  reshape,
  view,
} from '../../graph/node.js'
import { matmul } from '../../tensor/matmul.js'
import { rand } from '../../tensor/random.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { embed } from '../nodes/embedding.js'
import { add, atLeast, atMost, le, lt, mul, positions, sub, where } from '../nodes/math.js'
import { softmax } from '../nodes/softmax.js'
import { floatNode, indexNode, perDimension } from './checks.js'

/**
 * input [.., I] · weightᵀ + bias: weight [O, I], bias [O] → [.., O].
 * @throws BurnishError when the input's last dimension is not I.
 */
export function linear(input: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const x = floatNode(input, 'linear')
  const w = floatNode(weight, 'linear', 'weight')
  if (w.shape.length !== 2)
    fail(`linear: the weight ${showShape(w.shape)} must be [outFeatures, inFeatures]`)
  const [outputs, inputs] = w.shape
  const last = x.shape.at(-1)
  if (last !== inputs)
    fail(
      `linear: the input ${showShape(x.shape)} has rows of ${last ?? 'nothing'}, but the weight ${showShape(w.shape)} takes ${inputs}: use inFeatures ${last ?? 1}, or reshape the input`,
    )
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== outputs))
    fail(`linear: the bias has shape ${showShape(bias.shape)}, but must be [${outputs}]`)
  const lead = x.shape.slice(0, -1)
  const rows = reshape(x, [sizeOf(lead), inputs])
  let y: Node = contract(linearSpec([rows.shape[0]], outputs, inputs), rows, w)
  if (bias) y = add(y, floatNode(bias, 'linear', 'bias'))
  return fromNode(reshape(y, [...lead, outputs]), input, weight, bias)
}

/**
 * Rows of `weight` [rows, D] at the indices: input int32 [..] → [.., D]; the row `paddingIdx` gets no gradient.
 * A run with an index outside of 0 … rows−1 rejects with the index.
 */
export function embedding(
  input: Tensor,
  weight: Tensor,
  { paddingIdx }: { readonly paddingIdx?: number } = {},
): Tensor {
  const table = floatNode(weight, 'embedding', 'weight')
  if (table.shape.length !== 2)
    fail(`embedding: the weight ${showShape(table.shape)} must be [numEmbeddings, embeddingDim]`)
  const [rows] = table.shape
  const padding = paddingIdx !== undefined && paddingIdx < 0 ? paddingIdx + rows : paddingIdx
  if (padding !== undefined && (padding < 0 || padding >= rows))
    fail(`embedding: paddingIdx ${paddingIdx} is not one of the ${rows} rows`)
  return fromNode(embed(table, indexNode(input, 'embedding', 'input'), padding), input, weight)
}

export interface AttentionOptions {
  /** bool: true where a query may see a key; float: added to the scores. Broadcasts to [.., L, S]. */
  readonly attnMask?: Tensor
  /** Each query sees the keys up to its own position. */
  readonly isCausal?: boolean
  readonly dropoutP?: number
  /** Default 1/√E. */
  readonly scale?: number
}

/**
 * softmax(query·keyᵀ·scale + mask)·value: query [.., L, E], key [.., S, E], value [.., S, V] → [.., L, V].
 * After torch.nn.functional.scaled_dot_product_attention (Vaswani et al. 2017).
 */
export function scaledDotProductAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: AttentionOptions = {},
): Tensor {
  const name = 'scaledDotProductAttention'
  const q = floatNode(query, name, 'query')
  const k = floatNode(key, name, 'key')
  const v = floatNode(value, name, 'value')
  const rank = k.shape.length
  if (q.shape.length < 2 || rank < 2 || v.shape.length < 2)
    fail(`${name}: query, key and value are [.., length, features]`)
  const width = q.shape.at(-1) ?? 1
  if (width !== k.shape.at(-1) || k.shape.at(-2) !== v.shape.at(-2))
    fail(
      `${name}: query ${showShape(q.shape)}, key ${showShape(k.shape)}, value ${showShape(v.shape)}: query and key must have equal features, key and value equal length`,
    )
  const turned = permute(
    k,
    k.shape.map((_, i) => (i < rank - 2 ? i : i === rank - 2 ? rank - 1 : rank - 2)),
  )
  let scores = mul(matmul(q, turned), options.scale ?? 1 / Math.sqrt(width)) // [.., L, S]
  const { attnMask, isCausal = false, dropoutP = 0 } = options
  const last = scores.shape.length - 1
  if (isCausal) {
    const row = positions(scores.shape[last - 1], last - 1, last + 1)
    const column = positions(scores.shape[last], last, last + 1)
    scores = where(le(column, row), scores, -Infinity)
  }
  if (attnMask) {
    broadcastShapes(scores.shape, attnMask.shape, `${name}: attnMask`)
    scores =
      attnMask.dtype === 'bool'
        ? where(attnMask.node, scores, -Infinity)
        : add(scores, floatNode(attnMask, name, 'attnMask'))
  }
  let weights = fromNode(softmax(scores, last), query, key)
  if (dropoutP > 0) weights = dropout(weights, { p: dropoutP })
  return fromNode(matmul(weights.node, v), weights, value)
}

/** In training, zeroes each element with probability p and scales the others by 1/(1 − p). */
export function dropout(
  input: Tensor,
  { p = 0.5, training = true }: { readonly p?: number; readonly training?: boolean } = {},
): Tensor {
  if (!(p >= 0 && p <= 1)) fail(`dropout: p is ${p}, but must be a probability`)
  const x = floatNode(input, 'dropout')
  if (!training || p === 0) return input
  if (p === 1) return input.mul(0)
  const keep = lt(rand(x.shape).node, 1 - p)
  return fromNode(where(keep, mul(x, 1 / (1 - p)), 0), input)
}

export interface InterpolateOptions {
  /** The result's spatial size; or give scaleFactor. */
  readonly size?: number | readonly number[]
  readonly scaleFactor?: number | readonly number[]
  /** Default `nearest`. */
  readonly mode?: 'nearest' | 'linear' | 'bilinear' | 'trilinear'
  /** Whether corners of input and result coincide. */
  readonly alignCorners?: boolean
}

const LINEAR = ['', 'linear', 'bilinear', 'trilinear']

/**
 * Resizes the spatial dimensions of input [N, C, d…]. Each linear one is a product with the matrix of a hat
 * function, max(0, 1 − |position − i|), so its gradient is the same product turned round.
 * After torch.nn.functional.interpolate.
 */
export function interpolate(input: Tensor, options: InterpolateOptions): Tensor {
  const name = 'interpolate'
  const x = floatNode(input, name)
  const rank = x.shape.length - 2
  const { size, scaleFactor, mode = 'nearest', alignCorners = false } = options
  if (rank < 1 || rank > 3)
    fail(
      `${name}: the input ${showShape(x.shape)} must be [N, C, …] with 1 to 3 spatial dimensions`,
    )
  if (mode !== 'nearest' && mode !== LINEAR[rank])
    fail(`${name}: mode ${mode} does not fit ${showShape(x.shape)}; use nearest or ${LINEAR[rank]}`)
  if ((size === undefined) === (scaleFactor === undefined))
    fail(`${name}: give either size or scaleFactor`)
  const spatial = x.shape.slice(2)
  const factors =
    typeof scaleFactor === 'number' ? spatial.map(() => scaleFactor) : (scaleFactor ?? [])
  const output = perDimension(
    size ?? spatial.map((n, d) => Math.floor(n * factors[d])),
    rank,
    1,
    `${name}: size`,
  )
  let node: Node = x
  for (let d = 0; d < rank; d++) {
    const ratio = size === undefined ? 1 / factors[d] : spatial[d] / output[d]
    if (mode === 'nearest') node = nearest(node, 2 + d, output[d], ratio)
    else if (output[d] !== spatial[d] || alignCorners === false)
      node = hat(
        node,
        2 + d,
        output[d],
        alignCorners ? cornerRatio(spatial[d], output[d]) : ratio,
        {
          centred: !alignCorners,
        },
      )
  }
  return fromNode(node, input)
}

const cornerRatio = (from: number, to: number) => (to > 1 ? (from - 1) / (to - 1) : 0)

/** Position i reads ⌊i·ratio⌋. */
function nearest(x: Node, axis: number, count: number, ratio: number): Node {
  const size = x.shape[axis]
  const times = count / size
  if (Number.isInteger(times) && ratio === 1 / times) {
    const wide = reshape(x, [...x.shape.slice(0, axis + 1), 1, ...x.shape.slice(axis + 1)])
    const repeated = expand(
      wide,
      wide.shape.map((n, i) => (i === axis + 1 ? times : n)),
    )
    return reshape(
      repeated,
      x.shape.map((n, i) => (i === axis ? count : n)),
    )
  }
  // A product with the matrix that has a 1 where ⌊i·ratio⌋ = j.
  const at = map('floor', mul(map('toFloat32', iota([count, 1], 0)), ratio))
  const column = map('toFloat32', iota([1, size], 1))
  const matrix = where(map('eq', ...wideTo([atMost(at, size - 1), column], [count, size])), 1, 0)
  return alongAxis(x, axis, matrix)
}

function wideTo(nodes: readonly [Node, Node], shape: readonly number[]): readonly [Node, Node] {
  return [expand(nodes[0], shape), expand(nodes[1], shape)]
}

/** Linear interpolation along one axis; `centred`: elements are areas, whose centres are at i + ½. */
function hat(
  x: Node,
  axis: number,
  count: number,
  ratio: number,
  { centred }: { readonly centred: boolean },
): Node {
  const size = x.shape[axis]
  const row = map('toFloat32', iota([count, 1], 0))
  const raw = centred ? sub(mul(add(row, 0.5), ratio), 0.5) : mul(row, ratio)
  const at = atMost(atLeast(raw, 0), size - 1)
  const distance = map('abs', sub(at, map('toFloat32', iota([1, size], 1))))
  return alongAxis(x, axis, atLeast(sub(1, distance), 0))
}

/** Σ_j x[.., j, ..]·matrix[i, j] along one axis. */
function alongAxis(x: Node, axis: number, matrix: Node): Node {
  const rank = x.shape.length
  const [count, size] = matrix.shape
  const spec = makeContract({
    extents: [...x.shape.map((n, i) => (i === axis ? count : n)), size],
    rank,
    a: x.shape.map((_, i) => plain(i === axis ? rank : i)),
    b: [plain(axis), plain(rank)],
  })
  return contract(spec, x, matrix)
}

/** Running sums along `dim`: each element the sum of those up to it. */
export function cumsum(input: Tensor, dim: number): Tensor {
  const x = input.dtype === 'float32' || input.dtype === 'int32' ? input.node : input.int().node
  if (x.shape.length === 0) return input
  const axis = axisOf(dim, x.shape.length, 'cumsum')
  const size = x.shape[axis]
  if (size === 0) return input
  const upTo = view(
    {
      type: 'window',
      axis,
      count: size,
      size,
      stride: 1,
      dilation: 1,
      padding: size - 1,
      value: 0,
    },
    x,
  )
  return fromNode(reduce('sum', [x.shape.length], upTo), input)
}

/** int32 [..] → [.., numClasses], 1 at each label. */
export function oneHot(labels: Tensor, numClasses: number): Tensor {
  const index = indexNode(labels, 'oneHot', 'labels')
  const rank = index.shape.length
  const wide = reshape(index, [...index.shape, 1])
  const here = positions(numClasses, rank, rank + 1)
  const same = map('eq', ...wideTo([wide, here], [...index.shape, numClasses]))
  return fromNode(map('toInt32', same), labels)
}
