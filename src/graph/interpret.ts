// The reference: a graph evaluated in float64, node by node, every result materialised. It is the meaning of
// every kind, against which compiled programs are tested; plain loops, but fast enough to train LeNet.
// int32 wraps, float → int32 truncates and saturates (as WebAssembly does), booleans are 0 and 1.
import { isFloat, numbersOf, type TypedArray } from '../base/dtype.js'
import { sizeOf, stridesOf } from '../base/shape.js'
import { LOWEST_INT, scalarValue, settled } from './arithmetic.js'
import { resultCount, resultType } from './loop.js'
import { type Block, contractInto, copyBlock } from './loops.js'
import {
  type Graph,
  type InputNode,
  type Kind,
  type MapNode,
  type Node,
  type NodeOf,
  type ReduceNode,
  rootsOf,
  topological,
} from './node.js'
import { mayReport } from './reports.js'
import { expandComposites } from './simplify.js'
import type { ViewOp } from './view.js'

/** What went wrong in a run. Code 0: nothing; else `reportingNodes(graph)[code − 1]` reported `value`. */
export interface InterpretReport {
  readonly code: number
  readonly value: number
}

export interface Interpreted {
  readonly outputs: Float64Array[]
  /** The new value of each update's target; to be dropped when the report's code is not 0. */
  readonly updates: Float64Array[]
  readonly report: InterpretReport
}

type Bind = (input: InputNode) => TypedArray | Float64Array

/** Runs a graph; composites are expanded first. */
export function interpret(graph: Graph, bind: Bind): Interpreted {
  const expanded = expandComposites(graph)
  const run = new Run(bind)
  const values = run.evaluate(rootsOf(expanded))
  const outputs = values.slice(0, expanded.outputs.length)
  const updates = values.slice(outputs.length, outputs.length + expanded.updates.length)
  if (expanded.guard && run.report.code === 0 && values[values.length - 1][0] === 0)
    run.report = { code: run.reporting + 1, value: 0 }
  return { outputs, updates, report: run.report }
}

/** The values of some nodes; an index out of range reads position 0. */
export function evaluate(nodes: readonly Node[], bind: Bind): Float64Array[] {
  return interpret({ outputs: nodes, updates: [] }, bind).outputs
}

type Values = readonly Float64Array[]
type Rule<K extends Kind> = (node: NodeOf<K>, args: Values, run: Run) => Float64Array

/** One evaluation: values are dropped after their last reader. */
class Run {
  report: InterpretReport = { code: 0, value: 0 }
  /** Nodes that may report, seen so far: the code of the current one. */
  reporting = 0
  /** What the scans met so far have left, while anything reads it. */
  readonly left = new Map<Node, Float64Array[]>()
  readonly bind: Bind

  constructor(bind: Bind) {
    this.bind = bind
  }

  evaluate(roots: readonly Node[]): Float64Array[] {
    const order = topological(roots)
    const readers = new Map<Node, number>()
    for (const node of order)
      for (const arg of node.args) readers.set(arg, (readers.get(arg) ?? 0) + 1)
    for (const root of roots) readers.set(root, (readers.get(root) ?? 0) + 1)
    const values = new Map<Node, Float64Array>()
    const find = (node: Node): Float64Array => values.get(node) ?? new Float64Array(0)
    for (const node of order) {
      const args = node.args.map(find)
      if (mayReport(node)) this.reporting++
      const rule = rules[node.kind] as (node: Node, args: Values, run: Run) => Float64Array
      values.set(node, rule(node, args, this))
      for (const arg of node.args) {
        const left = (readers.get(arg) ?? 0) - 1
        readers.set(arg, left)
        if (left > 0) continue
        values.delete(arg)
        this.left.delete(arg)
      }
    }
    return roots.map(find)
  }

  /** The index, or 0 with a report when it is out of range. */
  checked(index: number, size: number): number {
    if (index >= 0 && index < size) return index
    if (this.report.code === 0) this.report = { code: this.reporting, value: index }
    return 0
  }
}

const rules: { readonly [K in Kind]: Rule<K> } = {
  input: (node, _args, run) => {
    const bound = run.bind(node)
    return Float64Array.from(bound instanceof Float64Array ? bound : numbersOf(node.dtype, bound))
  },
  const: (node) => new Float64Array(sizeOf(node.shape)).fill(node.value),
  iota: (node) => {
    const out = new Float64Array(sizeOf(node.shape))
    const stride = stridesOf(node.shape)[node.axis]
    const extent = node.shape[node.axis]
    for (let i = 0; i < out.length; i++) out[i] = Math.floor(i / stride) % extent
    return out
  },
  map: evaluateMap,
  view: (node, [x]) => evaluateView(node.op, x, node.args[0].shape, node.shape),
  reduce: evaluateReduce,
  contract: (node, [a, b]) => {
    const out = new Float64Array(sizeOf(node.shape))
    contractInto(out, node.spec, a, node.args[0].shape, b, node.args[1].shape)
    return out
  },
  concat: (node, args) => {
    const out = new Float64Array(sizeOf(node.shape))
    const strides = stridesOf(node.shape)
    let start = 0
    args.forEach((value, i) => {
      const { shape } = node.args[i]
      copyBlock(
        shape,
        { data: value, offset: 0, strides: stridesOf(shape) },
        {
          data: out,
          offset: start * strides[node.axis],
          strides,
        },
      )
      start += shape[node.axis]
    })
    return out
  },
  gather: (node, [table, index], run) => {
    const out = new Float64Array(index.length)
    const size = node.args[0].shape[node.axis]
    const { count, inner } = split(node.shape, node.axis)
    for (let i = 0; i < out.length; i++) {
      const outer = Math.floor(i / (count * inner))
      out[i] = table[(outer * size + run.checked(index[i], size)) * inner + (i % inner)]
    }
    return out
  },
  scatterAdd: (node, [index, source], run) => {
    const out = new Float64Array(sizeOf(node.shape))
    const size = node.shape[node.axis]
    const { count, inner } = split(node.args[1].shape, node.axis)
    for (let i = 0; i < source.length; i++) {
      const outer = Math.floor(i / (count * inner))
      out[(outer * size + run.checked(index[i], size)) * inner + (i % inner)] += source[i]
    }
    return settled(out, node.dtype)
  },
  detach: (_node, [x]) => x,
  after: (_node, [x]) => x,
  composite: (node) => {
    throw new Error(`internal: composite ${node.name} was not expanded`)
  },
  scan: (node, args, run) => {
    run.left.set(node, evaluateScan(node, args, run))
    return new Float64Array(1)
  },
  result: (node, _args, run) => run.left.get(node.args[0])?.[node.index] ?? new Float64Array(0),
}

/** Step by step; a history holds the first value at its end where steps go back. */
function evaluateScan(node: NodeOf<'scan'>, args: Values, run: Run): Float64Array[] {
  const { loop } = node
  const { carries, slices, wholes, length, reverse, keep } = loop
  const results = Array.from(
    { length: resultCount(loop) },
    (_, i) => new Float64Array(sizeOf(resultType(loop, i).shape)),
  )
  const put = (index: number, position: number, value: Float64Array) =>
    results[index].set(value, position * value.length)
  const bound = new Map<Node, Float64Array>()
  carries.forEach((carry, k) => {
    bound.set(carry, args[k])
    if (keep[k]) put(k, reverse ? length : 0, args[k])
  })
  wholes.forEach((whole, i) => {
    bound.set(whole, args[carries.length + slices.length + i])
  })
  const roots = [...loop.next, ...loop.ys]
  const first = run.reporting
  for (let step = 0; step < length; step++) {
    const position = reverse ? length - 1 - step : step
    slices.forEach((slice, i) => {
      const size = sizeOf(slice.shape)
      const whole = args[carries.length + i]
      bound.set(slice, whole.subarray(position * size, (position + 1) * size))
    })
    const inner = new Run((input) => bound.get(input) ?? new Float64Array(0))
    inner.reporting = first
    const values = inner.evaluate(roots)
    run.reporting = inner.reporting
    if (run.report.code === 0) run.report = inner.report
    carries.forEach((carry, k) => {
      bound.set(carry, values[k])
      if (keep[k]) put(k, reverse ? position : position + 1, values[k])
    })
    for (let i = carries.length; i < roots.length; i++) put(i, position, values[i])
  }
  carries.forEach((carry, k) => {
    if (!keep[k]) results[k].set(bound.get(carry) ?? [])
  })
  return results
}

/** The extent of an axis and the number of elements behind it. */
function split(shape: readonly number[], axis: number): { count: number; inner: number } {
  return { count: shape[axis], inner: sizeOf(shape.slice(axis + 1)) }
}

function evaluateMap(node: MapNode, args: Values): Float64Array {
  const { length } = args[0]
  const out = new Float64Array(length)
  const value = scalarValue(node.fn, node.args[node.args.length - 1].dtype, node.dtype)
  const [x, y, z] = args
  if (args.length === 1) for (let i = 0; i < length; i++) out[i] = value(x[i], 0, 0)
  else if (args.length === 2) for (let i = 0; i < length; i++) out[i] = value(x[i], y[i], 0)
  else for (let i = 0; i < length; i++) out[i] = value(x[i], y[i], z[i])
  return out
}

function evaluateReduce(node: ReduceNode, [x]: Values): Float64Array {
  const source = node.args[0]
  const out = new Float64Array(sizeOf(node.shape))
  const { fn, axes } = node
  // The reduced axes last, in order: every result is a run of `count` neighbours.
  const kept = source.shape.map((_, i) => i).filter((i) => !axes.includes(i))
  const order = [...kept, ...axes]
  const strides = stridesOf(source.shape)
  const sorted = order.every((axis, i) => axis === i)
    ? x
    : strided(
        { data: x, offset: 0, strides: order.map((axis) => strides[axis]) },
        order.map((axis) => source.shape[axis]),
      )
  const count = sizeOf(axes.map((axis) => source.shape[axis]))
  const wraps = source.dtype === 'int32'
  const lowest = wraps ? LOWEST_INT : isFloat(source.dtype) ? -Infinity : 0
  for (let o = 0; o < out.length; o++) {
    const begin = o * count
    const end = begin + count
    if (fn === 'sum') {
      let sum = 0
      for (let i = begin; i < end; i++) sum += sorted[i]
      out[o] = sum
    } else if (fn === 'prod') {
      let product = 1
      if (wraps) for (let i = begin; i < end; i++) product = Math.imul(product, sorted[i])
      else for (let i = begin; i < end; i++) product *= sorted[i]
      out[o] = product
    } else {
      let best = lowest
      let place = 0
      for (let i = begin; i < end; i++) {
        const value = sorted[i]
        if (value > best || (Number.isNaN(value) && !Number.isNaN(best))) {
          best = value
          place = i - begin
        }
      }
      out[o] = fn === 'max' ? best : place
    }
  }
  return settled(out, node.dtype)
}

function strided(from: Block, shape: readonly number[]): Float64Array {
  const out = new Float64Array(sizeOf(shape))
  copyBlock(shape, from, { data: out, offset: 0, strides: stridesOf(shape) })
  return out
}

function evaluateView(
  op: ViewOp,
  x: Float64Array,
  from: readonly number[],
  to: readonly number[],
): Float64Array {
  const strides = stridesOf(from)
  switch (op.type) {
    case 'reshape':
      return x
    case 'permute':
      return strided({ data: x, offset: 0, strides: op.axes.map((axis) => strides[axis]) }, to)
    case 'expand': {
      const repeated = strides.map((stride, i) => (from[i] === 1 ? 0 : stride))
      return strided({ data: x, offset: 0, strides: repeated }, to)
    }
    case 'slice': {
      const offset = op.starts.reduce((sum, start, i) => sum + start * strides[i], 0)
      return strided({ data: x, offset, strides: op.steps.map((step, i) => step * strides[i]) }, to)
    }
    case 'pad':
      return padded(x, from, op.low, to, op.value)
    case 'window': {
      const { axis } = op
      const reach = (op.count - 1) * op.stride + (op.size - 1) * op.dilation + 1
      const wide = from.map((n, i) => (i === axis ? Math.max(reach, n + op.padding) : n))
      const low = from.map((_, i) => (i === axis ? op.padding : 0))
      const data = padded(x, from, low, wide, op.value)
      const wideStrides = stridesOf(wide)
      const steps = wideStrides.map((stride, i) => (i === axis ? stride * op.stride : stride))
      return strided({ data, offset: 0, strides: [...steps, wideStrides[axis] * op.dilation] }, to)
    }
  }
}

function padded(
  x: Float64Array,
  from: readonly number[],
  low: readonly number[],
  to: readonly number[],
  value: number,
): Float64Array {
  const out = new Float64Array(sizeOf(to)).fill(value)
  const strides = stridesOf(to)
  const offset = low.reduce((sum, n, i) => sum + n * strides[i], 0)
  copyBlock(from, { data: x, offset: 0, strides: stridesOf(from) }, { data: out, offset, strides })
  return out
}
