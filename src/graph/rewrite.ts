// The rules of `simplify`: for one node over simplified arguments, a smaller node of the same value, or the
// node itself. Exact: no rule changes how anything that remains is rounded. A zero may lose its sign, and
// x·0 stays for floats (it is not 0 for Infinity and NaN).
import { type DType, isFloat, itemSize } from '../base/dtype.js'
import { type Shape, sameShape, sizeOf } from '../base/shape.js'
import { scalarValue } from './arithmetic.js'
import {
  after,
  concat,
  constant,
  expand,
  isSettled,
  type Kind,
  type MapNode,
  map,
  type Node,
  type NodeOf,
  permute,
  type ReduceNode,
  reduce,
  reshape,
  type ViewNode,
  view,
} from './node.js'
import type { ScalarFn } from './scalar.js'
import type { ViewOp } from './view.js'

type Rule<N> = (node: N) => Node

/** One step; `simplify` repeats it until the node stays. */
export function rewrite(node: Node): Node {
  const rule = rules[node.kind] as Rule<Node>
  return rule(node)
}

const same: Rule<Node> = (node) => node

const rules: { readonly [K in Kind]: Rule<NodeOf<K>> } = {
  input: same,
  const: same,
  iota: same,
  map: rewriteMap,
  view: rewriteView,
  reduce: rewriteReduce,
  contract: same,
  concat: rewriteConcat,
  gather: same,
  scatterAdd: (node) => (isConst(node.args[1], 0) ? constantLike(node, 0) : node),
  detach: (node) => node.args[0],
  after: (node) => (isSettled(node) ? node : after(node.args[0], node.args[1])),
  composite: same,
  scan: same,
  result: same,
}

function isConst(node: Node, value: number): boolean {
  return node.kind === 'const' && node.value === value
}

function constantLike(node: Node, value: number): Node {
  return constant(value, node.dtype, node.shape)
}

function isMap(node: Node, fn: ScalarFn): boolean {
  return node.kind === 'map' && node.fn === fn
}

// ---- element-wise ----

const COMMUTES: ReadonlySet<ScalarFn> = new Set<ScalarFn>([
  'add',
  'mul',
  'max',
  'min',
  'eq',
  'ne',
  'and',
  'or',
  'bitAnd',
  'bitOr',
  'bitXor',
])

function rewriteMap(node: MapNode): Node {
  const { args, fn } = node
  if (args.every((arg) => arg.kind === 'const')) return folded(node)
  const rule = mapRules[fn]
  if (rule) {
    const found = rule(args[0], args[1], args[2])
    if (found) return found
  }
  if (COMMUTES.has(fn) && args[0].kind === 'const') return map(fn, args[1], args[0])
  return node
}

function folded(node: MapNode): Node {
  const from = node.args[node.args.length - 1].dtype
  const value = scalarValue(node.fn, from, node.dtype)
  const [a, b, c] = node.args.map((arg) =>
    arg.kind === 'const' ? asStored(arg.value, arg.dtype) : 0,
  )
  return constantLike(node, asStored(value(a, b ?? 0, c ?? 0), node.dtype))
}

/** A float constant as a device holds it. */
function asStored(value: number, dtype: DType): number {
  return dtype === 'float32' ? Math.fround(value) : value
}

/** Whether 1/x is exact: x is a power of two, and the reciprocal a normal number. */
function hasExactReciprocal(x: number): boolean {
  const power = Math.log2(Math.abs(x))
  return Number.isInteger(power) && Math.abs(power) < 126 && 2 ** power === Math.abs(x)
}

const cast =
  (to: DType) =>
  (x: Node): Node | undefined => {
    if (x.dtype === to) return x
    // A half passes through float32 unchanged.
    if (isMap(x, 'toFloat32') && x.args[0].dtype === to && isFloat(to)) return x.args[0]
    // A small integer passes through int32 and float32 unchanged.
    const narrow = (dtype: DType) => dtype === 'bool' || dtype === 'uint8'
    const between = isMap(x, 'toFloat32') || isMap(x, 'toInt32')
    const wide = to === 'float32' || to === 'int32'
    if (!between || !wide || !narrow(x.args[0].dtype)) return undefined
    return map(to === 'float32' ? 'toFloat32' : 'toInt32', x.args[0])
  }

/** Same arguments, same value. */
const idempotent = (a: Node, b: Node): Node | undefined => (a === b ? a : undefined)

/** Constants stand on the right where the function commutes (see COMMUTES). */
const mapRules: {
  readonly [F in ScalarFn]?: (a: Node, b: Node, c: Node) => Node | undefined
} = {
  neg: (a) => {
    if (isMap(a, 'neg')) return a.args[0]
    if (isMap(a, 'sub')) return map('sub', a.args[1], a.args[0])
  },
  add: (a, b) => {
    if (isConst(b, 0)) return a
    if (isMap(b, 'neg')) return map('sub', a, b.args[0])
    if (isMap(a, 'neg')) return map('sub', b, a.args[0])
  },
  sub: (a, b) => {
    if (isConst(b, 0)) return a
    if (isMap(b, 'neg')) return map('add', a, b.args[0])
  },
  mul: (a, b) => {
    if (isConst(b, 1)) return a
    if (isConst(b, -1)) return map('neg', a)
    if (isConst(b, 0) && !isFloat(a.dtype)) return b
  },
  div: (a, b) => {
    if (isConst(b, 1)) return a
    if (b.kind === 'const' && b.dtype === 'float32' && hasExactReciprocal(b.value))
      return map('mul', a, constantLike(b, 1 / b.value))
  },
  pow: (a, b) => {
    if (isConst(b, 0)) return constantLike(a, 1)
    if (isConst(b, 1)) return a
    if (isConst(b, 2)) return map('mul', a, a) // rounded once, so no worse than any pow
  },
  max: idempotent,
  min: idempotent,
  relu: (a) => (isMap(a, 'relu') ? a : undefined),
  abs: (a) => (isMap(a, 'abs') ? a : undefined),
  and: (a, b) => (b.kind === 'const' ? (b.value ? a : b) : idempotent(a, b)),
  or: (a, b) => (b.kind === 'const' ? (b.value ? b : a) : idempotent(a, b)),
  not: (a) => {
    if (isMap(a, 'not')) return a.args[0]
    if (isMap(a, 'eq')) return map('ne', a.args[0], a.args[1])
    if (isMap(a, 'ne')) return map('eq', a.args[0], a.args[1])
  },
  where: (a, b, c) => {
    if (a.kind === 'const') return a.value ? b : c
    if (b === c) return b
    if (isMap(a, 'not')) return map('where', a.args[0], c, b)
  },
  toFloat32: cast('float32'),
  toFloat16: cast('float16'),
  toBfloat16: cast('bfloat16'),
  toInt32: cast('int32'),
  toUint8: cast('uint8'),
  toBool: cast('bool'),
}

// ---- views ----

function rewriteView(node: ViewNode): Node {
  const x = node.args[0]
  const { op } = node
  if (x.kind === 'const' && (!('value' in op) || Object.is(op.value, x.value)))
    return constantLike(node, x.value)
  if (isIdentity(op, x.shape)) return x
  return viewRule(op, x, node)
}

function isIdentity(op: ViewOp, shape: Shape): boolean {
  switch (op.type) {
    case 'reshape':
    case 'expand':
      return sameShape(op.shape, shape)
    case 'permute':
      return op.axes.every((axis, i) => axis === i)
    case 'slice':
      return sameShape(op.shape, shape) && op.steps.every((step, i) => step > 0 || shape[i] <= 1)
    case 'pad':
      return op.low.every((n) => n === 0) && op.high.every((n) => n === 0)
    case 'window':
      return false
  }
}

type OpOf<T extends ViewOp['type']> = Extract<ViewOp, { type: T }>

/** The operation of a view of one type, or undefined. */
function opOf<T extends ViewOp['type']>(node: Node, type: T): OpOf<T> | undefined {
  return node.kind === 'view' && node.op.type === type ? (node.op as OpOf<T>) : undefined
}

function viewRule(op: ViewOp, x: Node, node: ViewNode): Node {
  switch (op.type) {
    case 'reshape':
      return opOf(x, 'reshape') ? reshape(x.args[0], op.shape) : node
    case 'permute': {
      const inner = opOf(x, 'permute')
      if (inner)
        return permute(
          x.args[0],
          op.axes.map((axis) => inner.axes[axis]),
        )
      // Axes of size 1 may stand anywhere: only the others' order matters.
      const long = op.axes.filter((axis) => x.shape[axis] !== 1)
      return long.every((axis, i) => i === 0 || axis > long[i - 1]) ? reshape(x, node.shape) : node
    }
    case 'expand':
      return opOf(x, 'expand') ? expand(x.args[0], op.shape) : node
    case 'slice':
      return sliceRule(op, x) ?? node
    case 'pad': {
      const inner = opOf(x, 'pad')
      if (!inner || !Object.is(inner.value, op.value)) return node
      const low = op.low.map((n, i) => n + inner.low[i])
      const high = op.high.map((n, i) => n + inner.high[i])
      return view({ type: 'pad', low, high, value: op.value }, x.args[0])
    }
    case 'window':
      return node
  }
}

function sliceRule(op: OpOf<'slice'>, x: Node): Node | undefined {
  const { starts, steps, shape } = op
  if (sizeOf(shape) === 0) return undefined
  const inner = opOf(x, 'slice')
  if (inner) {
    const from = starts.map((start, i) => inner.starts[i] + start * inner.steps[i])
    const by = steps.map((step, i) => step * inner.steps[i])
    return view({ type: 'slice', starts: from, steps: by, shape }, x.args[0])
  }
  if (opOf(x, 'expand')) {
    const source = x.args[0]
    const once = (i: number) => source.shape[i] === 1
    const from = starts.map((start, i) => (once(i) ? 0 : start))
    const by = steps.map((step, i) => (once(i) ? 1 : step))
    const size = shape.map((n, i) => (once(i) ? 1 : n))
    return expand(view({ type: 'slice', starts: from, steps: by, shape: size }, source), shape)
  }
  const lowest = starts.map((start, i) => Math.min(start, start + (shape[i] - 1) * steps[i]))
  const highest = starts.map((start, i) => Math.max(start, start + (shape[i] - 1) * steps[i]))
  const around = opOf(x, 'pad')
  if (around) {
    const source = x.args[0]
    const inside = source.shape.every(
      (n, i) => lowest[i] >= around.low[i] && highest[i] < around.low[i] + n,
    )
    if (!inside) return undefined
    const from = starts.map((start, i) => start - around.low[i])
    return view({ type: 'slice', starts: from, steps, shape }, source)
  }
  if (x.kind === 'concat') {
    let begin = 0
    for (const part of x.args) {
      const end = begin + part.shape[x.axis]
      if (lowest[x.axis] >= begin && highest[x.axis] < end) {
        const from = starts.map((start, i) => (i === x.axis ? start - begin : start))
        return view({ type: 'slice', starts: from, steps, shape }, part)
      }
      begin = end
    }
  }
  return undefined
}

// ---- the rest ----

function rewriteReduce(node: ReduceNode): Node {
  const x = node.args[0]
  const { fn, axes } = node
  const long = axes.filter((axis) => x.shape[axis] !== 1)
  if (long.length < axes.length) {
    // Axes of size 1 only disappear.
    if (long.length === 0) return fn === 'argmax' ? constantLike(node, 0) : reshape(x, node.shape)
    const gone = (axis: number) => axes.includes(axis) && x.shape[axis] === 1
    const flat = reshape(
      x,
      x.shape.filter((_, i) => !gone(i)),
    )
    const before = (axis: number) => axes.filter((other) => other < axis && gone(other)).length
    return reduce(
      fn,
      long.map((axis) => axis - before(axis)),
      flat,
    )
  }
  if (x.kind === 'const') {
    const count = sizeOf(axes.map((axis) => x.shape[axis]))
    const total = x.value * count
    if (count > 0 && fn === 'max') return constantLike(node, x.value)
    if (count > 0 && fn === 'argmax') return constantLike(node, 0)
    if (fn === 'prod' && count > 0 && (x.value === 0 || x.value === 1))
      return constantLike(node, x.value)
    if (fn === 'sum' && Number.isInteger(x.value) && isSmall(total) && itemSize[node.dtype] === 4)
      return constantLike(node, total)
  }
  return node
}

const EXACT_INTEGERS = 2 ** 24 // every integer up to here is a float32
/** A total that every order of summation gives exactly. */
function isSmall(total: number): boolean {
  return Math.abs(total) <= EXACT_INTEGERS
}

function rewriteConcat(node: NodeOf<'concat'>): Node {
  const { axis, args } = node
  const parts = args.filter((arg) => arg.shape[axis] > 0)
  if (parts.length === 0) return args[0]
  const nested = (part: Node) => part.kind === 'concat' && part.axis === axis
  if (parts.length < args.length || parts.some(nested))
    return concat(
      axis,
      parts.flatMap((part) => (nested(part) ? part.args : [part])),
    )
  const first = parts[0]
  if (first.kind === 'const' && parts.every((part) => isConst(part, first.value)))
    return constantLike(node, first.value)
  return node
}
