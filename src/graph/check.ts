// Structural verification of a graph: shapes, dtypes, attributes, contractions, no cycles. It infers every
// node's shape again and independently of the constructors where that is cheap. For tests and passes.
import { isFloat } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import { type Shape, sameShape, showShape, sizeOf } from '../base/shape.js'
import { type Contract, type Index, showIndex } from './contract.js'
import { checkLoop, resultCount, resultType } from './loop.js'
import { type Graph, isSettled, type Kind, type Node, type NodeOf, rootsOf } from './node.js'
import { printNode } from './print.js'
import { type ScalarFn, scalarRules } from './scalar.js'
import { viewShape } from './view.js'

/** @throws `internal: …` naming the first node that is wrong. */
export function checkGraph(graph: Graph): void {
  checkNodes([...rootsOf(graph), ...graph.updates.map((update) => update.target)])
  const targets = new Set<object>()
  for (const { target, value } of graph.updates) {
    invariant(target.kind === 'input', () => `update of a ${target.kind}, not an input`)
    invariant(
      sameShape(target.shape, value.shape) && target.dtype === value.dtype,
      () =>
        `update of ${target.dtype} ${showShape(target.shape)} by ${value.dtype} ${showShape(value.shape)}`,
    )
    invariant(!targets.has(target.source), () => `two updates of one input ${target.label}`)
    targets.add(target.source)
  }
  const { guard } = graph
  if (guard)
    invariant(
      guard.dtype === 'bool' && guard.shape.length === 0,
      () => `the guard is ${guard.dtype} ${showShape(guard.shape)}, not a bool scalar`,
    )
}

/** @throws `internal: …` naming the first node that is wrong, or a cycle. */
export function checkNodes(roots: readonly Node[]): void {
  const state = new Map<Node, 'open' | 'done'>()
  const stack: Node[] = [...roots].reverse()
  while (stack.length > 0) {
    const node = stack[stack.length - 1]
    if (state.get(node) === 'done') {
      stack.pop()
    } else if (state.get(node) === 'open') {
      checkNode(node)
      state.set(node, 'done')
      stack.pop()
    } else {
      state.set(node, 'open')
      for (const arg of node.args) {
        invariant(state.get(arg) !== 'open', () => `a cycle through ${text(arg)}`)
        if (!state.has(arg)) stack.push(arg)
      }
    }
  }
}

function text(node: Node): string {
  return printNode(node, (arg) => `${arg.dtype} ${showShape(arg.shape)}`)
}

function checkNode(node: Node): void {
  invariant(Number.isInteger(node.hash), () => `no hash: ${text(node)}`)
  invariant(
    node.shape.every((n) => Number.isInteger(n) && n >= 0),
    () => `a size is not a natural number: ${text(node)}`,
  )
  const rule = rules[node.kind] as (node: Node, ok: Assert) => void
  rule(node, (ok, what) => invariant(ok, () => `${what}: ${text(node)}`))
}

type Assert = (ok: boolean, what: string) => void

const rules: { readonly [K in Kind]: (node: NodeOf<K>, ok: Assert) => void } = {
  input: (node, ok) => ok(node.args.length === 0, 'an input has no arguments'),
  const: (node, ok) => {
    ok(node.args.length === 0, 'a constant has no arguments')
    if (!isFloat(node.dtype)) ok(Number.isInteger(node.value), 'an integer constant')
  },
  iota: (node, ok) => {
    ok(node.args.length === 0 && node.dtype === 'int32', 'an iota is int32')
    ok(isAxis(node.axis, node.shape), 'axis')
  },
  map: (node, ok) => {
    const rule = scalarRules[node.fn]
    ok(node.args.length === rule.arity, `${rule.arity} arguments`)
    ok(
      node.args.every((arg) => sameShape(arg.shape, node.shape)),
      'every argument has the shape of the node',
    )
    const last = node.args[node.args.length - 1]
    ok(node.dtype === (rule.result === 'same' ? last.dtype : rule.result), 'dtype')
    const family = operandTypes[node.fn]
    if (family) ok(family.includes(last.dtype), `${node.fn} takes ${family.join(' or ')}`)
    if (node.fn === 'where') ok(node.args[0].dtype === 'bool', 'a where chooses by a bool')
    if (rule.arity > 1)
      ok(node.args[node.args.length - 2].dtype === last.dtype, 'operands of one dtype')
  },
  view: (node, ok) => {
    const x = node.args[0]
    ok(node.args.length === 1 && node.dtype === x.dtype, 'a view keeps the dtype')
    ok(sameShape(viewShape(node.op, x.shape), node.shape), 'shape')
    const { op } = node
    if (op.type === 'permute')
      ok(
        [...op.axes].sort((p, q) => p - q).every((axis, i) => axis === i),
        'a permutation',
      )
    if (op.type === 'pad')
      ok(
        [...op.low, ...op.high].every((n) => n >= 0),
        'padding is never negative',
      )
    if (op.type === 'window') ok(isAxis(op.axis, x.shape), 'axis')
  },
  reduce: (node, ok) => {
    const x = node.args[0]
    ok(node.args.length === 1, 'one argument')
    ok(node.dtype === (node.fn === 'argmax' ? 'int32' : x.dtype), 'dtype')
    ok(
      node.axes.every((axis, i) => isAxis(axis, x.shape) && (i === 0 || axis > node.axes[i - 1])),
      'ascending axes',
    )
    ok(
      sameShape(
        node.shape,
        x.shape.filter((_, i) => !node.axes.includes(i)),
      ),
      'shape',
    )
  },
  contract: (node, ok) => {
    ok(node.args.length === 2 && node.dtype === 'float32', 'two float32 operands')
    ok(sameShape(node.shape, node.spec.extents.slice(0, node.spec.rank)), 'shape')
    checkContract(node.spec, node.args[0].shape, node.args[1].shape)
  },
  concat: (node, ok) => {
    ok(isAxis(node.axis, node.shape), 'axis')
    let total = 0
    for (const arg of node.args) {
      total += arg.shape[node.axis]
      ok(
        arg.dtype === node.dtype &&
          arg.shape.length === node.shape.length &&
          arg.shape.every((n, i) => i === node.axis || n === node.shape[i]),
        'parts that fit',
      )
    }
    ok(total === node.shape[node.axis], 'sizes that add up')
  },
  gather: (node, ok) => {
    const [table, index] = node.args
    ok(index.dtype === 'int32' && sameShape(index.shape, node.shape), 'an int32 index')
    ok(table.dtype === node.dtype && isAxis(node.axis, table.shape), 'a table of the dtype')
    ok(sameButFor(node.axis, table.shape, node.shape), 'shape')
  },
  scatterAdd: (node, ok) => {
    const [index, source] = node.args
    ok(index.dtype === 'int32' && sameShape(index.shape, source.shape), 'an int32 index')
    ok(source.dtype === node.dtype && isAxis(node.axis, node.shape), 'a source of the dtype')
    ok(sameButFor(node.axis, source.shape, node.shape), 'shape')
  },
  detach: (node, ok) => ok(sameAsArgument(node), 'a detach changes nothing'),
  after: (node, ok) => ok(sameAsArgument(node) && isSettled(node), 'an after changes nothing'),
  composite: (node, ok) => {
    const definition = node.expand()
    ok(
      sameShape(definition.shape, node.shape) && definition.dtype === node.dtype,
      `the definition is ${definition.dtype} ${showShape(definition.shape)}`,
    )
  },
  scan: (node, ok) => {
    ok(node.shape.length === 0 && node.dtype === 'float32', 'a scan has no value of its own')
    checkLoop(node.loop, node.args)
    checkNodes([...node.loop.next, ...node.loop.ys])
  },
  result: (node, ok) => {
    const [scan] = node.args
    ok(scan.kind === 'scan', 'a result of a scan')
    if (scan.kind !== 'scan') return
    ok(node.index >= 0 && node.index < resultCount(scan.loop), 'which result')
    const { shape, dtype } = resultType(scan.loop, node.index)
    ok(sameShape(shape, node.shape) && dtype === node.dtype, 'shape')
  },
}

/** The dtypes a function's operands may have; all where not listed. */
const FLOAT = ['float32'] as const
const INT = ['int32'] as const
const BOOL = ['bool'] as const
const operandTypes: { readonly [F in ScalarFn]?: readonly string[] } = {
  exp: FLOAT,
  log: FLOAT,
  sqrt: FLOAT,
  sin: FLOAT,
  cos: FLOAT,
  tanh: FLOAT,
  sigmoid: FLOAT,
  erf: FLOAT,
  relu: FLOAT,
  floor: FLOAT,
  ceil: FLOAT,
  round: FLOAT,
  isFinite: FLOAT,
  and: BOOL,
  or: BOOL,
  not: BOOL,
  bitAnd: INT,
  bitOr: INT,
  bitXor: INT,
  shl: INT,
  shr: INT,
}

function isAxis(axis: number, shape: Shape): boolean {
  return Number.isInteger(axis) && axis >= 0 && axis < shape.length
}

function sameButFor(axis: number, a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => i === axis || n === b[i])
}

function sameAsArgument(node: Node): boolean {
  return sameShape(node.shape, node.args[0].shape) && node.dtype === node.args[0].dtype
}

/** @throws when an index names no axis, is not in normal form, or an axis reads nothing. */
export function checkContract(spec: Contract, aShape: Shape, bShape: Shape): void {
  const { extents, rank } = spec
  invariant(rank >= 0 && rank <= extents.length, () => `contract: rank ${rank}`)
  invariant(Number.isFinite(sizeOf(extents)), () => 'contract: extents')
  checkIndices(spec, 'a', spec.a, aShape)
  checkIndices(spec, 'b', spec.b, bShape)
}

function checkIndices(spec: Contract, name: string, indices: readonly Index[], shape: Shape): void {
  invariant(
    indices.length === shape.length,
    () => `contract: ${name} has ${shape.length} dimensions and ${indices.length} indices`,
  )
  for (const index of indices) {
    let before = -1
    for (const [axis, coefficient] of index.terms) {
      invariant(
        axis > before && axis < spec.extents.length && Number.isInteger(coefficient),
        () => `contract: index ${showIndex(index)} of ${name}`,
      )
      invariant(coefficient !== 0, () => `contract: a zero coefficient in ${name}`)
      before = axis
    }
    invariant(
      Number.isInteger(index.offset) && Number.isInteger(index.divide) && index.divide > 0,
      () => `contract: index ${showIndex(index)} of ${name}`,
    )
  }
}
