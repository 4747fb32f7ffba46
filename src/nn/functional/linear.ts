// Linear and bilinear maps, embeddings and one-hot rows, with PyTorch's arguments.
import { fail } from '../../base/errors.js'
import { sameShape, showShape, sizeOf } from '../../base/shape.js'
import { linearSpec } from '../../graph/contract.js'
import { contract, expand, map, type Node, permute, reduce, reshape } from '../../graph/node.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { embed } from '../nodes/embedding.js'
import { add, mul, positions } from '../nodes/math.js'
import { floatNode, indexNode } from './checks.js'

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

/** int32 [..] → [.., numClasses], 1 at each label. */
export function oneHot(labels: Tensor, numClasses: number): Tensor {
  const index = indexNode(labels, 'oneHot', 'labels')
  const rank = index.shape.length
  const wide = reshape(index, [...index.shape, 1])
  const here = positions(numClasses, rank, rank + 1)
  const same = map('eq', ...wideTo([wide, here], [...index.shape, numClasses]))
  return fromNode(map('toInt32', same), labels)
}

function wideTo(nodes: readonly [Node, Node], shape: readonly number[]): readonly [Node, Node] {
  return [expand(nodes[0], shape), expand(nodes[1], shape)]
}

/** Σ x1[.., i]·weight[o, i, j]·x2[.., j] + bias[o]: x1 [.., I], x2 [.., J] → [.., O]. */
export function bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const [a, b] = [floatNode(x1, 'bilinear', 'x1'), floatNode(x2, 'bilinear', 'x2')]
  const w = floatNode(weight, 'bilinear', 'weight')
  const lead = a.shape.slice(0, -1)
  const [i, j] = [a.shape.at(-1), b.shape.at(-1)]
  if (
    w.shape.length !== 3 ||
    i !== w.shape[1] ||
    j !== w.shape[2] ||
    !sameShape(lead, b.shape.slice(0, -1))
  )
    fail(
      `bilinear: x1 ${showShape(a.shape)} and x2 ${showShape(b.shape)} do not fit the weight ${showShape(w.shape)}, which is [out, in1, in2]`,
    )
  const [outputs] = w.shape
  if (bias && !sameShape(bias.shape, [outputs]))
    fail(`bilinear: the bias has shape ${showShape(bias.shape)}, but must be [${outputs}]`)
  const rows = sizeOf(lead)
  // First over i, which gives [rows, O, J]; then over j with x2.
  const table = reshape(permute(w, [0, 2, 1]), [outputs * j, i])
  const half = contract(linearSpec([rows], outputs * j, i), reshape(a, [rows, i]), table)
  const product = mul(reshape(half, [rows, outputs, j]), reshape(b, [rows, 1, j]))
  let y: Node = reduce('sum', [2], product)
  if (bias) y = add(y, floatNode(bias, 'bilinear', 'bias'))
  return fromNode(reshape(y, [...lead, outputs]), x1, x2, weight, bias)
}
