// Weighted picks along one axis: out[.., i, ..] = Σ_t x[.., index[i][t], ..]·weight[i][t], a few terms a position.
//
// What interpolation is, with one term for nearest, two for linear, four for cubic. The tables are made on the host,
// so that every device picks alike. The gradient is of the same form, with the tables turned round: each element
// lists the positions that picked it. So nothing is scattered, and gradients of any order cost no more.
import { composite, expand, gather, type Node, reshape, view } from '../../graph/node.js'
import { tensor } from '../../tensor/create.js'
import { add, mul } from './math.js'

/** What position i takes: elements and their weights. */
export type Picks = readonly (readonly (readonly [element: number, weight: number])[])[]

interface Table {
  /** int32 [count, terms] and float32 [count, terms]; unused terms have weight 0. */
  readonly index: Node
  /** undefined: all weights are 1, and there is one term. */
  readonly weight: Node | undefined
}

function tableOf(picks: Picks): Table {
  const count = picks.length
  const terms = Math.max(1, ...picks.map((list) => list.length))
  const index = new Int32Array(count * terms)
  const weight = new Float32Array(count * terms)
  picks.forEach((list, i) => {
    list.forEach(([element, w], t) => {
      index[i * terms + t] = element
      weight[i * terms + t] = w
    })
  })
  const shape = [count, terms]
  const plain = terms === 1 && weight.every((w) => w === 1)
  return {
    index: tensor(index, { shape }).node,
    weight: plain ? undefined : tensor(weight, { shape }).node,
  }
}

/** For each of `size` elements the positions that pick it. */
function turned(picks: Picks, size: number): Picks {
  const result: (readonly [number, number])[][] = Array.from({ length: size }, () => [])
  picks.forEach((list, i) => {
    for (const [element, w] of list) {
      const same = result[element].findIndex(([position]) => position === i)
      if (same < 0) result[element].push([i, w])
      else result[element][same] = [i, result[element][same][1] + w]
    }
  })
  return result
}

/** Column t of a table [count, terms], laid along `axis` of `shape`. */
function column(table: Node, t: number, axis: number, shape: readonly number[]): Node {
  const [count] = table.shape
  const one = view({ type: 'slice', starts: [0, t], steps: [1, 1], shape: [count, 1] }, table)
  const laid = reshape(
    one,
    shape.map((_, i) => (i === axis ? count : 1)),
  )
  return expand(laid, shape)
}

function summed(x: Node, axis: number, { index, weight }: Table): Node {
  const [count, terms] = index.shape
  const shape = x.shape.map((n, i) => (i === axis ? count : n))
  let result: Node | undefined
  for (let t = 0; t < terms; t++) {
    const picked = gather(axis, x, column(index, t, axis, shape))
    const term = weight ? mul(picked, column(weight, t, axis, shape)) : picked
    result = result ? add(result, term) : term
  }
  return result ?? x
}

/** The picks along `axis`. */
export function resample(x: Node, axis: number, picks: Picks): Node {
  return built(x, axis, picks, x.shape[axis])
}

function built(x: Node, axis: number, picks: Picks, size: number): Node {
  const table = tableOf(picks)
  const { index, weight } = table
  const shape = x.shape.map((n, i) => (i === axis ? picks.length : n))
  const args = weight ? [x, index, weight] : [x, index]
  return composite(
    'resample',
    `${axis}/${index.shape[1]}/${weight !== undefined}`,
    args,
    { shape, dtype: x.dtype },
    {
      expand: () => summed(x, axis, table),
      gradient: (_, G) => [built(G, axis, turned(picks, size), picks.length)],
    },
  )
}
