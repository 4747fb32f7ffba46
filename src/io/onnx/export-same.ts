// Whether a forward is at the example's own batch what it is for two others: a forward may ask for the size of its
// batch and do something else for small ones, and a graph for any batch would have only one of the branches.
//
// The graphs are walked as the forward built them, before anything is simplified. Every number in them (extents, axes,
// constants, steps) must lie on the line through those of the two other batches.
import type { Node } from '../../graph/node.js'
import type { ViewOp } from '../../graph/view.js'
import { Scalar, Value } from '../../tensor/value.js'
import { sameNumbers } from './export-model.js'
import { leafKey, type Traced } from './export-trace.js'

class Differs extends Error {}

type Three = readonly [one: Node, two: Node, own: Node]

/** What the forward does otherwise at its own batch; undefined: nothing. `sizes` are the batches of the traces. */
export function differsAtOwn(
  traces: readonly [Traced, Traced, Traced],
  sizes: readonly [number, number, number],
): string | undefined {
  try {
    new Walk(traces, sizes).run()
    return undefined
  } catch (error) {
    if (error instanceof Differs) return error.message
    throw error
  }
}

class Walk {
  readonly #traces: readonly [Traced, Traced, Traced]
  readonly #sizes: readonly [number, number, number]
  readonly #seen = new Map<Node, Set<Node>>()
  readonly #waiting: Three[] = []
  /** Placeholders of inputs and of bodies, numbered. */
  readonly #places = new Map<Node, string>()

  constructor(traces: readonly [Traced, Traced, Traced], sizes: readonly [number, number, number]) {
    this.#traces = traces
    this.#sizes = sizes
  }

  run(): void {
    const [one, two, own] = this.#traces
    for (const { inputs } of this.#traces)
      inputs.forEach(({ node }, i) => {
        this.#places.set(node, `input ${i}`)
      })
    const same =
      one.built.length === own.built.length &&
      one.outputs.every(({ name }, i) => name === own.outputs[i].name)
    if (!same) throw this.#differs('the forward gives other results')
    one.built.forEach((node, i) => {
      const what = `the shape of ${one.outputs[i].name}`
      this.#numbers(node.shape, two.built[i].shape, own.built[i].shape, what)
      this.#push([node, two.built[i], own.built[i]])
    })
    for (let three = this.#waiting.pop(); three; three = this.#waiting.pop()) this.#compare(three)
  }

  #push(given: Three): void {
    // Movements of axes of one element have many forms; a batch of one has them where others have none.
    const [one, two, own] = this.#sizes[2] === 1 ? (given.map(computed) as unknown as Three) : given
    const seen = this.#seen.get(one) ?? new Set()
    if (seen.has(own)) return
    this.#seen.set(one, seen.add(own))
    this.#waiting.push([one, two, own])
  }

  #compare([one, two, own]: Three): void {
    const where = own.label === '' ? own.kind : `${own.label} (${own.kind})`
    if (one.kind !== own.kind || one.label !== own.label || one.args.length !== own.args.length)
      throw this.#differs(`there is ${where} instead of ${one.label} (${one.kind})`)
    if (one.dtype !== own.dtype) throw this.#differs(`${where} is ${own.dtype}`)
    // The traces of the two others have been compared with each other.
    if (two.kind !== one.kind || two.args.length !== one.args.length) return
    this.#numbers(one.shape, two.shape, own.shape, `the shape of ${where}`)
    this.#detail(one, two, own, where)
    one.args.forEach((arg, i) => {
      this.#push([arg, two.args[i], own.args[i]])
    })
  }

  #detail(one: Node, two: Node, own: Node, where: string): void {
    if (one.kind === 'scan' && two.kind === 'scan' && own.kind === 'scan') {
      const loops = [one.loop, two.loop, own.loop] as const
      for (const { carries, slices, wholes } of loops)
        for (const [i, node] of [...carries, ...slices, ...wholes].entries())
          this.#places.set(node, `bound ${i}`)
      const [a, b, c] = loops.map(({ next, ys }) => [...next, ...ys])
      if (a.length !== c.length) throw this.#differs(`${where} has other results`)
      a.forEach((node, i) => {
        this.#push([node, b[i], c[i]])
      })
    }
    if (one.kind === 'input' && own.kind === 'input') {
      if (!this.#sameLeaf(one, own)) throw this.#differs(`${where} reads something else`)
      if (two.kind !== 'input') return
      const [p, q, r] = [one, two, own].map(({ source }) =>
        source instanceof Scalar ? [source.read()] : [],
      )
      this.#numbers(p, q, r, where)
      return
    }
    const [a, b, c] = [detail(one), detail(two), detail(own)]
    const words = (text: string) => text.replace(NUMBER, '#')
    if (words(a) !== words(c)) throw this.#differs(`${where} is ${c} instead of ${a}`)
    const numbers = (text: string) => (text.match(NUMBER) ?? []).map(Number)
    this.#numbers(numbers(a), numbers(b), numbers(c), where)
  }

  #sameLeaf(one: Node, own: Node): boolean {
    const place = this.#places.get(one)
    if (place !== undefined || this.#places.has(own)) return place === this.#places.get(own)
    if (one.kind !== 'input' || own.kind !== 'input') return false
    if (one.source instanceof Scalar) return own.source instanceof Scalar
    const [a, b] = [leafKey(one), leafKey(own)]
    if (a === b) return true
    // Tables that the forward makes anew; those that grow with the batch are told by their shapes.
    if (!(a instanceof Value && b instanceof Value)) return false
    const [x, y] = [a.host, b.host]
    if (x === undefined || y === undefined || x.length !== y.length) return true
    return sameNumbers(x, y)
  }

  #numbers(
    one: readonly number[],
    two: readonly number[],
    own: readonly number[],
    what: string,
  ): void {
    const [p, q, r] = this.#sizes
    const fits =
      one.length === own.length &&
      one.every((n, i) => {
        const step = (two[i] - n) / (q - p)
        return Object.is(n, own[i]) || Math.abs(n + step * (r - p) - own[i]) <= 1e-9
      })
    if (!fits)
      throw this.#differs(`${what} has the numbers [${own}], not those of other batches, [${one}]`)
  }

  #differs(what: string): Differs {
    return new Differs(`for the example's batch, ${this.#sizes[2]}, the forward differs: ${what}`)
  }
}

const NUMBER = /-?\d+(\.\d+)?(e[-+]?\d+)?/g

/** The node whose elements a movement moves. */
function computed(node: Node): Node {
  let at = node
  while (at.kind === 'view') at = at.args[0]
  return at
}

/** What a node is besides its arguments and its shape, as text. */
function detail(node: Node): string {
  switch (node.kind) {
    case 'const':
      return `value ${node.value}`
    case 'iota':
    case 'concat':
    case 'gather':
    case 'scatterAdd':
      return `axis ${node.axis}`
    case 'map':
      return node.fn
    case 'view':
      return viewDetail(node.op)
    case 'reduce':
      return `${node.fn} over ${node.axes}`
    case 'composite':
      return `${node.name} ${node.attributes}`
    case 'contract': {
      const { extents, rank, a, b } = node.spec
      return JSON.stringify({ extents, rank, a, b })
    }
    case 'scan':
      return `${node.loop.length} steps ${node.loop.reverse ? 'down' : 'up'}`
    case 'result':
      return `result ${node.index}`
    default:
      return ''
  }
}

function viewDetail(op: ViewOp): string {
  return JSON.stringify(op, (_, value) => (value === -Infinity ? 'lowest' : value))
}
