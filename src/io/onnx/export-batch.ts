// A graph for any batch size, from the graphs for two: where they differ in nothing but sizes that grow with the
// batch, those sizes are computed when the graph runs. Sizes in other proportions, or anything else that differs, are
// told as the reason why the batch is fixed.
import { type Body, type OnnxNode, sameNumbers, type Value } from './export-model.js'

export interface Batched {
  readonly nodes: readonly OnnxNode[]
  readonly outputs: readonly Value[]
}

/** How the two graphs differ, or the first with sizes of the batch computed. */
export type Generalised = Batched | { readonly reason: string }

class Differs extends Error {}

export interface BatchSource {
  readonly input: Value
  readonly axis: number
  readonly sizes: readonly [number, number]
}

/** The first graph for any batch; its values are changed. */
export function forAnyBatch(one: Batched, two: Batched, source: BatchSource): Generalised {
  try {
    return new Generaliser(source).run(one, two)
  } catch (error) {
    if (error instanceof Differs) return { reason: error.message }
    throw error
  }
}

class Generaliser {
  readonly #source: BatchSource
  readonly #twins = new Map<Value, Value>()
  readonly #made: OnnxNode[] = []
  readonly #computed = new Map<Value, Value>()
  readonly #multiples = new Map<number, Value>()

  constructor(source: BatchSource) {
    this.#source = source
  }

  run(one: Batched, two: Batched): Batched {
    const nodes = this.#pairs(one.nodes, two.nodes)
    one.outputs.forEach((value, i) => {
      this.#input(value, two.outputs[i], undefined)
    })
    return { nodes: [...this.#made, ...nodes], outputs: one.outputs }
  }

  #pairs(one: readonly OnnxNode[], two: readonly OnnxNode[]): OnnxNode[] {
    if (one.length !== two.length)
      throw new Differs(`the graphs of two batch sizes have ${one.length} and ${two.length} nodes`)
    return one.map((node, i) => this.#pair(node, two[i]))
  }

  #pair(node: OnnxNode, other: OnnxNode): OnnxNode {
    const where = node.label === '' ? node.op : `${node.label} (${node.op})`
    if (node.op !== other.op || node.inputs.length !== other.inputs.length)
      throw new Differs(`${where} is ${other.op} for another batch`)
    if (JSON.stringify(node.attributes) !== JSON.stringify(other.attributes))
      throw new Differs(`${where} has other attributes for another batch`)
    const inputs = node.inputs.map((value, i) => {
      const twin = other.inputs[i]
      if (value === undefined || twin === undefined) {
        if (value !== twin) throw new Differs(`${where} has other inputs for another batch`)
        return undefined
      }
      return this.#input(value, twin, node, where)
    })
    const body = node.body && other.body ? this.#body(node.body, other.body) : undefined
    node.outputs.forEach((value, i) => {
      this.#twins.set(value, other.outputs[i])
    })
    // Results stay the same objects, so the node is changed in place.
    Object.assign(node, { inputs, ...(body ? { body } : {}) })
    return node
  }

  #body(one: Body, two: Body): Body {
    one.inputs.forEach((value, i) => {
      this.#twins.set(value, two.inputs[i])
    })
    const nodes = this.#pairs(one.nodes, two.nodes)
    one.outputs.forEach((value, i) => {
      this.#input(value, two.outputs[i], undefined)
    })
    return { ...one, nodes }
  }

  #input(value: Value, twin: Value, node: OnnxNode | undefined, where = 'an output'): Value {
    const { origin } = value
    if (origin.kind !== twin.origin.kind)
      throw new Differs(`${where} reads something else for another batch`)
    if (origin.kind === 'leaf' && twin.origin.kind === 'leaf') {
      const equal =
        origin.leaf === twin.origin.leaf || sameNumbers(origin.leaf.data, twin.origin.leaf.data)
      if (!equal) throw new Differs(`${where} reads data that depend on the batch`)
      return value
    }
    if (origin.kind === 'constant' && twin.origin.kind === 'constant')
      return this.#constant(value, origin.data, twin.origin.data, node, where)
    if (origin.kind === 'input' && twin.origin.kind === 'input') {
      if (origin.name !== twin.origin.name) throw new Differs(`${where} reads another input`)
      return value
    }
    if (this.#twins.get(value) !== twin)
      throw new Differs(`${where} reads another value for another batch`)
    return value
  }

  #constant(
    value: Value,
    one: Float64Array,
    two: Float64Array,
    node: OnnxNode | undefined,
    where: string,
  ): Value {
    if (sameNumbers(one, two)) return value
    const known = this.#computed.get(value)
    if (known) return known
    const role = value.origin.kind === 'constant' ? value.origin.role : 'plain'
    if (role === 'positions') {
      const made = this.#positions(value, this.#multiple(one.length, two.length, where))
      this.#computed.set(value, made)
      return made
    }
    if (role !== 'sizes' || one.length !== two.length)
      throw new Differs(`${where} has constants that depend on the batch`)
    const changing = [...one.keys()].filter((i) => one[i] !== two[i])
    if (node?.op === 'Reshape' && changing.length === 1 && !one.includes(0)) {
      this.#multiple(one[changing[0]], two[changing[0]], where)
      return constantOf(one.map((n, i) => (i === changing[0] ? -1 : n)))
    }
    const parts = [...one].map((n, i) =>
      n === two[i] ? constantOf(Float64Array.of(n)) : this.#times(this.#multiple(n, two[i], where)),
    )
    const made =
      parts.length === 1 ? parts[0] : this.#node('Concat', parts, [parts.length], { axis: 0 })
    this.#computed.set(value, made)
    return made
  }

  /** k where the numbers are k times the batch sizes. */
  #multiple(one: number, two: number, where: string): number {
    const [a, b] = this.#source.sizes
    if (one / a !== two / b || !Number.isInteger(one / a))
      throw new Differs(
        `${where} has a size, ${one} and ${two}, that is no multiple of the batch, ${a} and ${b}`,
      )
    return one / a
  }

  /** int64 [1]: k times the batch. */
  #times(k: number): Value {
    const known = this.#multiples.get(k)
    if (known) return known
    const { input, axis } = this.#source
    const made: Value =
      k === 1
        ? this.#node('Shape', [input], [1], { start: axis, end: axis + 1 })
        : this.#node('Mul', [this.#times(1), constantOf(Float64Array.of(k))], [1], {})
    this.#multiples.set(k, made)
    return made
  }

  /** 0 … k·batch − 1 along one axis. */
  #positions(value: Value, k: number): Value {
    const one = (n: number): Value => ({ ...constantOf(Float64Array.of(n)), shape: [] })
    const limit = this.#node('Squeeze', [this.#times(k)], [], {})
    const range = this.#node('Range', [one(0), limit, one(1)], [value.shape.length], {})
    const small = this.#node('Cast', [range], range.shape, { to: 6 }, 'int32')
    const shape = constantOf(Float64Array.from(value.shape, (n) => (n === 1 ? 1 : -1)))
    return this.#node('Reshape', [small, shape], value.shape, {}, 'int32')
  }

  #node(
    op: string,
    inputs: readonly Value[],
    shape: readonly number[],
    attributes: OnnxNode['attributes'],
    dtype: Value['dtype'] = 'int64',
  ): Value {
    const outputs: Value[] = []
    const node: OnnxNode = { op, label: 'batch', inputs, outputs, attributes }
    const made: Value = { dtype, shape, depth: 0, origin: { kind: 'result', node } }
    outputs.push(made)
    this.#made.push(node)
    return made
  }
}

function constantOf(data: Float64Array): Value {
  return {
    dtype: 'int64',
    shape: [data.length],
    depth: 0,
    origin: { kind: 'constant', data, role: 'plain' },
  }
}
