// From the graph's nodes to ONNX: one rule a kind.
import { sizeOf } from '../../base/shape.js'
import * as graph from '../../graph/node.js'
import { type InputNode, type Kind, type Node, type NodeOf, topological } from '../../graph/node.js'
import { composed } from './export-composites.js'
import { contracted } from './export-contract.js'
import { mapped } from './export-map.js'
import { Builder, type ElementType, type Value } from './export-model.js'
import { cast, filled, filledAlong, gather, reshape, transpose } from './export-ops.js'
import { resultValue } from './export-scan.js'
import { repeated, viewed } from './export-views.js'

type Rule<K extends Kind> = (node: NodeOf<K>, args: readonly Value[], t: Translation) => Value

/** The nodes of a graph, or of a loop's body, as values of an ONNX graph. */
export class Translation {
  readonly builder: Builder
  readonly #values = new Map<Node, Value>()
  readonly #leaf: (node: InputNode, b: Builder) => Value
  readonly #outer: Translation | undefined

  constructor(builder: Builder, leaf: (node: InputNode, b: Builder) => Value, outer?: Translation) {
    this.builder = builder
    this.#leaf = leaf
    this.#outer = outer
  }

  known(node: Node): Value | undefined {
    return this.#values.get(node) ?? this.#outer?.known(node)
  }

  find = (node: Node): Value =>
    this.known(node) ?? this.builder.refuse(`internal: ${node.kind} has no value`)

  set(node: Node, value: Value): void {
    this.#values.set(node, value)
  }

  /** The values of the roots; of some axes they may have one element that repeats. */
  run(roots: readonly Node[]): Value[] {
    for (const node of topological(roots)) {
      if (this.known(node) !== undefined || node.kind === 'scan') continue
      this.builder.label = node.label
      const rule = rules[node.kind] as (node: Node, args: readonly Value[], t: Translation) => Value
      const args = node.kind === 'result' ? [] : node.args.map(this.find)
      this.set(node, rule(node, args, this))
    }
    return roots.map(this.find)
  }

  /** A translation of a loop's body, where `leaf` is not asked again. */
  inner(): Translation {
    return new Translation(new Builder(this.builder.batches, this.builder), this.#leaf, this)
  }

  leaf(node: InputNode): Value {
    return this.#leaf(node, this.builder)
  }
}

const once = (node: Node) => node.shape.map(() => 1)

const rules: { readonly [K in Kind]: Rule<K> } = {
  input: (node, _, t) => t.leaf(node),
  const: (node, _, { builder }) => builder.constant([node.value], node.dtype, once(node)),
  iota: (node, _, { builder }) => {
    const n = node.shape[node.axis]
    const shape = node.shape.map((_, i) => (i === node.axis ? n : 1))
    return builder.constant(Array(n).keys(), 'int32', shape, 'positions')
  },
  map: (node, args, { builder }) => mapped(builder, node.fn, args, node.dtype),
  view: (node, [x], t) =>
    rows(t.builder, node, t.find) ??
    repeated(t.builder, node, t.find) ??
    viewed(t.builder, node, x),
  reduce: (node, [x], { builder }) => reduced(builder, node, x),
  contract: (node, [a, w], { builder }) => contracted(builder, node, a, w),
  concat: (node, args, { builder }) => joined(builder, node, args),
  gather: (node, [table, index], { builder }) => taken(builder, node, table, index),
  scatterAdd: (node, [index, source], { builder }) => scattered(builder, node, index, source),
  detach: (_, [x]) => x,
  after: (_, [x]) => x,
  composite: (node, args, { builder }) => composed(builder, node, args),
  scan: (_, __, { builder }) => builder.refuse('internal: a scan has no value of its own'),
  result: (node, _, t) => resultValue(node, t),
}

/** Rows of a table at indices of any shape, which `embed` in nn/nodes/embedding.ts flattens. */
function rows(b: Builder, node: NodeOf<'view'>, find: (node: Node) => Value): Value | undefined {
  const picked = node.args[0]
  if (node.op.type !== 'reshape' || picked.kind !== 'gather' || picked.axis !== 0) return undefined
  const [table, places] = picked.args
  if (table.shape.length !== 2 || node.shape.at(-1) !== table.shape[1]) return undefined
  const index = find(places)
  const given = find(table)
  if (
    index.shape[1] !== 1 ||
    index.shape[0] !== places.shape[0] ||
    given.shape[1] !== table.shape[1]
  )
    return undefined
  const lead = node.shape.slice(0, -1)
  return gather(b, filled(b, given, table.shape), reshape(b, index, lead), 0)
}

function reduced(b: Builder, node: NodeOf<'reduce'>, given: Value): Value {
  const { fn, axes } = node
  const full = node.args[0].shape
  const dtype = node.args[0].dtype
  const x = fn === 'max' ? given : filledAlong(b, given, full, axes)
  const shape = x.shape.filter((_, i) => !axes.includes(i))
  if (x.shape.every((n, i) => n === full[i])) {
    const folded = b.folded([x], ([source]) => graph.reduce(fn, axes, source))
    if (folded) return folded
  }
  if (dtype === 'bool' || dtype === 'uint8' || dtype === 'float16' || dtype === 'bfloat16') {
    const wide: ElementType = dtype === 'bool' || dtype === 'uint8' ? 'int32' : 'float32'
    return cast(b, reducedBy(b, fn, axes, cast(b, x, wide), shape, wide), node.dtype)
  }
  return reducedBy(b, fn, axes, x, shape, dtype)
}

function reducedBy(
  b: Builder,
  fn: graph.ReduceFn,
  axes: readonly number[],
  x: Value,
  shape: readonly number[],
  dtype: ElementType,
): Value {
  const result = { dtype, shape }
  if (fn === 'sum') return b.node('ReduceSum', [x, b.indices(axes)], result, { keepdims: 0 })
  if (fn !== 'argmax')
    return b.node(fn === 'max' ? 'ReduceMax' : 'ReduceProd', [x], result, { axes, keepdims: 0 })
  const kept = x.shape.map((_, i) => i).filter((i) => !axes.includes(i))
  const last =
    axes.length === 1
      ? x
      : reshape(b, transpose(b, x, [...kept, ...axes]), [
          ...shape,
          sizeOf(axes.map((axis) => x.shape[axis])),
        ])
  const axis = axes.length === 1 ? axes[0] : shape.length
  const place = b.node('ArgMax', [last], { dtype: 'int64', shape }, { axis, keepdims: 0 })
  return cast(b, place, 'int32')
}

function joined(b: Builder, node: NodeOf<'concat'>, args: readonly Value[]): Value {
  const shape = node.shape.map((n, i) =>
    i !== node.axis && args.every((arg) => arg.shape[i] === 1) ? 1 : n,
  )
  const parts = args.map((arg, k) =>
    filled(
      b,
      arg,
      shape.map((n, i) => (i === node.axis ? node.args[k].shape[i] : n)),
    ),
  )
  const folded = b.folded(parts, (nodes) => graph.concat(node.axis, nodes))
  return folded ?? b.node('Concat', parts, { dtype: node.dtype, shape }, { axis: node.axis })
}

function taken(b: Builder, node: NodeOf<'gather'>, given: Value, index: Value): Value {
  const { axis } = node
  const full = node.args[0].shape
  const table = filledAlong(b, given, full, [axis])
  const folded = b.folded([filled(b, table, full), filled(b, index, node.shape)], ([t, i]) =>
    graph.gather(axis, t, i),
  )
  if (folded) return folded
  // One list of places for all.
  if (index.shape.every((n, i) => n === 1 || i === axis))
    return gather(b, table, reshape(b, index, [index.shape[axis]]), axis)
  const inputs = [filled(b, table, full), filled(b, index, node.shape)]
  return b.node('GatherElements', inputs, { dtype: node.dtype, shape: node.shape }, { axis })
}

function scattered(b: Builder, node: NodeOf<'scatterAdd'>, index: Value, source: Value): Value {
  const { axis, dtype, shape } = node
  const wide: ElementType =
    dtype === 'float32' || dtype === 'int32'
      ? dtype
      : dtype === 'float16' || dtype === 'bfloat16'
        ? 'float32'
        : 'int32'
  const zeros = filled(b, b.constant([0], wide, once(node)), shape)
  const [places, values] = [index, cast(b, source, wide)].map((value) =>
    filled(b, value, node.args[0].shape),
  )
  const attributes = { axis, reduction: 'add' }
  const sum = b.node('ScatterElements', [zeros, places, values], { dtype: wide, shape }, attributes)
  return cast(b, sum, dtype)
}
