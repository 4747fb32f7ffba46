// An ONNX graph in memory while it is exported: values that know where they come from, and nodes in order.
//
// A value's shape may have 1 where the graph's node repeats one element: ONNX broadcasts, so what only repeats is not
// written out before someone needs it (see `filled` in export-ops.ts). Names are given at the end.
import { type DType, isFloat } from '../../base/dtype.js'
import { fail } from '../../base/errors.js'
import { type Shape, sizeOf } from '../../base/shape.js'
import { evaluate } from '../../graph/interpret.js'
import { type InputNode, input, type Node } from '../../graph/node.js'
import type { HostTensor } from '../values.js'

export type ElementType = DType | 'int64'

/** A number is an INT, a list of them INTS. */
export type Attribute =
  | number
  | string
  | { readonly float: number }
  | readonly number[]
  | readonly string[]

export interface OnnxNode {
  readonly op: string
  /** The path of the module it comes from. */
  readonly label: string
  readonly inputs: readonly (Value | undefined)[]
  readonly outputs: readonly Value[]
  readonly attributes: { readonly [name: string]: Attribute }
  /** Of a Scan: what a step computes. */
  readonly body?: Body
}

export interface Body {
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly nodes: OnnxNode[]
}

/** A tensor of the model: a parameter, state, or data it holds. */
export interface Leaf extends HostTensor {
  /** Its name in the state dict; '' where it has none. */
  readonly name: string
}

export type Origin =
  | { readonly kind: 'input'; readonly name: string }
  /** Given to a body in each step. */
  | { readonly kind: 'bound' }
  | { readonly kind: 'leaf'; readonly leaf: Leaf }
  /** `sizes` are int64 that may depend on the batch, `positions` count from 0. */
  | {
      readonly kind: 'constant'
      readonly data: Float64Array
      readonly role: 'plain' | 'sizes' | 'positions'
    }
  | { readonly kind: 'result'; readonly node: OnnxNode }

export interface Value {
  readonly dtype: ElementType
  readonly shape: Shape
  /** How many bodies it is in. */
  readonly depth: number
  readonly origin: Origin
}

export interface Result {
  readonly dtype: ElementType
  readonly shape: Shape
}

/** Larger results are left to whoever runs the graph. */
const MOST_FOLDED = 1 << 16

/** Writes nodes into the graph, or into the body of a loop of it. */
export class Builder {
  readonly nodes: OnnxNode[] = []
  readonly depth: number
  /** The path of the module whose nodes are written. */
  label = ''
  /** Extents that stand for the batch: nothing of such a size is computed beforehand. */
  readonly batches: readonly number[]
  readonly #outer: Builder | undefined
  readonly #constants: Map<string, Value>

  constructor(batches: readonly number[], outer?: Builder) {
    this.batches = batches
    this.#outer = outer
    this.depth = outer === undefined ? 0 : outer.depth + 1
    this.#constants = outer === undefined ? new Map() : outer.#constants
    this.label = outer?.label ?? ''
  }

  /** A node with its results. What reads nothing of a body is written outside of it. */
  several(
    op: string,
    inputs: readonly (Value | undefined)[],
    results: readonly Result[],
    attributes: { readonly [name: string]: Attribute } = {},
    body?: Body,
  ): readonly Value[] {
    const deepest = Math.max(
      0,
      ...inputs.map((value) => value?.depth ?? 0),
      ...(body ? [this.depth] : []),
    )
    if (this.#outer !== undefined && deepest < this.depth) {
      const { label } = this.#outer
      this.#outer.label = this.label
      const values = this.#outer.several(op, inputs, results, attributes, body)
      this.#outer.label = label
      return values
    }
    const outputs: Value[] = []
    const node: OnnxNode = {
      op,
      label: this.label,
      inputs,
      outputs,
      attributes,
      ...(body ? { body } : {}),
    }
    for (const { dtype, shape } of results)
      outputs.push({ dtype, shape, depth: this.depth, origin: { kind: 'result', node } })
    this.nodes.push(node)
    return outputs
  }

  node(
    op: string,
    inputs: readonly (Value | undefined)[],
    result: Result,
    attributes: { readonly [name: string]: Attribute } = {},
  ): Value {
    return this.several(op, inputs, [result], attributes)[0]
  }

  constant(
    data: Iterable<number>,
    dtype: ElementType,
    shape: Shape,
    role: 'plain' | 'sizes' | 'positions' = 'plain',
  ): Value {
    const values = Float64Array.from(data)
    const key = `${role} ${dtype} ${shape} ${values.length > 64 ? hashOf(values) : values}`
    const known = this.#constants.get(key)
    if (known && sameNumbers(dataOf(known) ?? [], values)) return known
    const made: Value = {
      dtype,
      shape,
      depth: 0,
      origin: { kind: 'constant', data: values, role },
    }
    this.#constants.set(key, made)
    return made
  }

  scalar(value: number, dtype: ElementType): Value {
    return this.constant([value], dtype, [])
  }

  /** int64 numbers of a shape: the batch may be in them. */
  sizes(numbers: readonly number[]): Value {
    return this.constant(numbers, 'int64', [numbers.length], 'sizes')
  }

  /** int64 numbers that have nothing to do with a batch. */
  indices(numbers: readonly number[], shape: Shape = [numbers.length]): Value {
    return this.constant(numbers, 'int64', shape)
  }

  /** What the node over constants gives, computed now; undefined of what is no constant, or of a batch's size. */
  folded(values: readonly Value[], build: (nodes: readonly Node[]) => Node): Value | undefined {
    const data = new Map<InputNode, Float64Array>()
    const nodes: Node[] = []
    for (const value of values) {
      const numbers = dataOf(value)
      if (numbers === undefined || value.dtype === 'int64' || this.isOfBatch(value.shape))
        return undefined
      const node = input({}, value.shape, value.dtype)
      data.set(node, numbers)
      nodes.push(node)
    }
    const result = build(nodes)
    if (sizeOf(result.shape) > MOST_FOLDED || this.isOfBatch(result.shape)) return undefined
    const [found] = evaluate([result], (node) => data.get(node) ?? new Float64Array(0))
    if (isFloat(result.dtype))
      found.forEach((x, i) => {
        found[i] = Math.fround(x)
      })
    return this.constant(found, result.dtype, result.shape)
  }

  isOfBatch(shape: Shape): boolean {
    return shape.some((n) => n > 0 && this.batches.some((batch) => n % batch === 0))
  }

  refuse(what: string): never {
    const where = this.label === '' ? '' : `${this.label}: `
    throw fail(`exportOnnx: ${where}${what}`)
  }
}

function hashOf(values: Float64Array): number {
  let hash = values.length
  for (const word of new Int32Array(values.buffer)) hash = (Math.imul(hash, 31) + word) | 0
  return hash
}

/** As many numbers, each the same: −0 is not 0, NaN is NaN. */
export function sameNumbers(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false
  return true
}

/** A constant's numbers. */
export function dataOf(value: Value | undefined): Float64Array | undefined {
  return value?.origin.kind === 'constant' ? value.origin.data : undefined
}

/** The number that a constant of one element is. */
export function numberOf(value: Value | undefined): number | undefined {
  const data = dataOf(value)
  return data?.length === 1 ? data[0] : undefined
}

/** The node that made the value, when it is one of these operators. */
export function madeBy(value: Value | undefined, ...ops: readonly string[]): OnnxNode | undefined {
  if (value?.origin.kind !== 'result') return undefined
  const { node } = value.origin
  return ops.includes(node.op) ? node : undefined
}
