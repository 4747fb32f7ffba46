// Products of several tensors as functions: einsum, Kronecker and outer products, distances.
//
// einsum is a chain of contractions: labels that occur in one operand only are summed or taken as its diagonal
// first, then operands are contracted from left to right, each label summed as soon as no other needs it.
import { fail } from '../base/errors.js'
import { broadcastShapes, type Shape, showShape } from '../base/shape.js'
import { makeContract, plain } from '../graph/contract.js'
import * as graph from '../graph/node.js'
import { contract, type Node, reduce, reshape } from '../graph/node.js'
import { cast } from './arithmetic.js'
import { diagonal } from './rearrange.js'
import { fromNode, type Tensor } from './tensor.js'

/** A node with a name for each of its axes. */
interface Labelled {
  readonly node: Node
  readonly labels: readonly string[]
}

interface Equation {
  readonly inputs: readonly (readonly string[])[]
  readonly output: readonly string[]
}

const ELLIPSIS = '...'

/** `ij,jk->ik` with an axis name for each dimension; `...` becomes axes named from the right. */
function parse(equation: string, shapes: readonly Shape[]): Equation {
  const where = `einsum('${equation}')`
  const [left, right, ...more] = equation.replaceAll(' ', '').split('->')
  if (more.length > 0) fail(`${where}: -> occurs once at most`)
  const terms = left.split(',')
  if (terms.length !== shapes.length)
    fail(`${where}: ${terms.length} terms for ${shapes.length} tensors; give one for each`)
  const letters = (term: string): string[] => {
    const list = [...term.replace(ELLIPSIS, '.')]
    for (const letter of list)
      if (!/[a-zA-Z.]/.test(letter) || list.filter((l) => l === '.').length > 1)
        fail(`${where}: '${term}' consists of letters and at most one '...'`)
    return list
  }
  const spread = (list: readonly string[], count: number): string[] =>
    list.flatMap((letter) =>
      letter === '.' ? Array.from({ length: count }, (_, i) => `.${count - i}`) : [letter],
    )
  let widest = 0
  const inputs = terms.map((term, k) => {
    const list = letters(term)
    const named = list.filter((letter) => letter !== '.').length
    const rest = shapes[k].length - named
    if (rest < 0 || (rest > 0 && named === list.length))
      fail(`${where}: '${term}' names ${named} dimensions, tensor ${k} is ${showShape(shapes[k])}`)
    widest = Math.max(widest, rest)
    return spread(list, rest)
  })
  const all = inputs.flat()
  if (right === undefined) {
    const once = [...new Set(all)].filter(
      (l) => l.length === 1 && all.filter((x) => x === l).length === 1,
    )
    return { inputs, output: [...spread(['.'], widest), ...once.sort()] }
  }
  const output = spread(letters(right), widest)
  for (const label of output)
    if (!all.includes(label) || output.filter((l) => l === label).length > 1)
      fail(`${where}: '${label}' of the result must occur in a term, and once in the result`)
  return { inputs, output }
}

/** Repeated labels of one operand become its diagonal. */
function withoutRepeats({ node, labels }: Labelled): Labelled {
  const again = labels.findIndex((label, i) => labels.indexOf(label) !== i)
  if (again < 0) return { node, labels }
  const first = labels.indexOf(labels[again])
  const rest = labels.filter((_, i) => i !== first && i !== again)
  return withoutRepeats({ node: diagonal(node, 0, first, again), labels: [...rest, labels[again]] })
}

function summed({ node, labels }: Labelled, gone: (label: string) => boolean): Labelled {
  const axes = labels.flatMap((label, i) => (gone(label) ? [i] : []))
  return { node: reduce('sum', axes, node), labels: labels.filter((label) => !gone(label)) }
}

/** Sizes of 1 are dropped where the other operand has more: they broadcast. */
function narrowed({ node, labels }: Labelled, sizes: ReadonlyMap<string, number>): Labelled {
  const kept = labels.filter((label, i) => node.shape[i] === (sizes.get(label) ?? 1))
  const shape = kept.map((label) => sizes.get(label) ?? 1)
  return { node: reshape(node, shape), labels: kept }
}

function contracted(a: Labelled, b: Labelled, result: readonly string[]): Labelled {
  const shared = [...new Set([...a.labels, ...b.labels])]
  const out = result.filter((label) => shared.includes(label))
  const order = [...out, ...shared.filter((label) => !out.includes(label))]
  const size = (label: string) => {
    const i = a.labels.indexOf(label)
    return i >= 0 ? a.node.shape[i] : b.node.shape[b.labels.indexOf(label)]
  }
  const spec = makeContract({
    extents: order.map(size),
    rank: out.length,
    a: a.labels.map((label) => plain(order.indexOf(label))),
    b: b.labels.map((label) => plain(order.indexOf(label))),
  })
  return { node: contract(spec, a.node, b.node), labels: out }
}

/**
 * Sums of products by Einstein's convention, such as `einsum('bij,bjk->bik', a, b)`; `...` stands for dimensions that
 * broadcast. Computed in float32. Throws for an equation that does not fit the shapes. After `torch.einsum`.
 */
export function einsum(equation: string, ...operands: readonly Tensor[]): Tensor {
  const { inputs, output } = parse(
    equation,
    operands.map((t) => t.shape),
  )
  const sizes = new Map<string, number>()
  inputs.forEach((labels, k) => {
    labels.forEach((label, i) => {
      const size = operands[k].shape[i]
      const known = sizes.get(label) ?? 1
      const wide = label.length > 1 && (size === 1 || known === 1)
      if (sizes.has(label) && known !== size && !wide)
        fail(`einsum('${equation}'): '${label[0]}' is ${known} and ${size}; it has one size`)
      sizes.set(label, sizes.has(label) && known !== 1 ? known : size)
    })
  })
  let terms: Labelled[] = operands.map((t, k) => {
    const whole = withoutRepeats({ node: cast(t.node, 'float32'), labels: inputs[k] })
    const elsewhere = new Set([...output, ...inputs.filter((_, i) => i !== k).flat()])
    return summed(narrowed(whole, sizes), (label) => !elsewhere.has(label))
  })
  while (terms.length > 1) {
    const [a, b, ...rest] = terms
    const needed = new Set([...output, ...rest.flatMap((t) => t.labels)])
    const result = [...new Set([...a.labels, ...b.labels])].filter((label) => needed.has(label))
    // The last contraction gives the result's order.
    const order = rest.length === 0 ? output : result
    terms = [contracted(a, b, order), ...rest]
  }
  const last = summed(terms[0], (label) => !output.includes(label))
  const there = output.filter((label) => last.labels.includes(label))
  const ordered = graph.permute(
    last.node,
    there.map((label) => last.labels.indexOf(label)),
  )
  const shape = output.map((label) => sizes.get(label) ?? 1)
  const wide = reshape(
    ordered,
    output.map((label) => (there.includes(label) ? (sizes.get(label) ?? 1) : 1)),
  )
  return fromNode(graph.expand(wide, shape), ...operands)
}

/** Every product of an element of one vector with one of the other: [n], [m] → [n, m]. */
export function outer(a: Tensor, b: Tensor): Tensor {
  if (a.shape.length !== 1 || b.shape.length !== 1)
    fail(`outer of ${showShape(a.shape)} and ${showShape(b.shape)}: two vectors`)
  return a.unsqueeze(1).mul(b)
}

/** The Kronecker product: a block a[i…]·b for each element of a. */
export function kron(a: Tensor, b: Tensor): Tensor {
  const rank = Math.max(a.shape.length, b.shape.length)
  const full = (t: Tensor): Shape => [
    ...new Array<number>(rank - t.shape.length).fill(1),
    ...t.shape,
  ]
  const [m, n] = [full(a), full(b)]
  const blocks = a
    .reshape(...m.flatMap((size) => [size, 1]))
    .mul(b.reshape(...n.flatMap((size) => [1, size])))
  return blocks.reshape(...m.map((size, i) => size * n[i]))
}

/** Distances between rows: [.., n, d], [.., m, d] → [.., n, m]; the gradient at distance 0 is 0. */
export function cdist(a: Tensor, b: Tensor, p = 2): Tensor {
  const where = `cdist of ${showShape(a.shape)} and ${showShape(b.shape)}`
  if (a.shape.length < 2 || b.shape.length < 2 || a.shape.at(-1) !== b.shape.at(-1))
    fail(`${where}: two lists of points with as many coordinates, [.., n, d] and [.., m, d]`)
  broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), where)
  return a.unsqueeze(-2).sub(b.unsqueeze(-3)).norm(p, -1)
}

/** A sum over the last `dims` dimensions of a and the first of b, or over the pairs of dimensions given. */
export function tensordot(
  a: Tensor,
  b: Tensor,
  dims: number | readonly [readonly number[], readonly number[]] = 2,
): Tensor {
  const count = typeof dims === 'number' ? dims : dims[0].length
  const first =
    typeof dims === 'number' ? a.shape.map((_, i) => i).slice(a.shape.length - count) : dims[0]
  const second = typeof dims === 'number' ? b.shape.map((_, i) => i).slice(0, count) : dims[1]
  const name = (i: number) => String.fromCharCode(97 + i)
  const left = a.shape.map((_, i) => name(i))
  const right = b.shape.map((_, i) => name(a.shape.length + i))
  first.forEach((axis, k) => {
    right.splice(second[k], 1, left[axis])
  })
  const both = [...left, ...right]
  const out = both.filter((l) => both.filter((x) => x === l).length === 1)
  return einsum(`${left.join('')},${right.join('')}->${out.join('')}`, a, b)
}
