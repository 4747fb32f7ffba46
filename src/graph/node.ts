// The graph, level 1: WHAT is computed. One closed union of pure nodes; constructors infer shapes.
//
// Nodes are immutable but for two scratch fields that walks use instead of a Map (`mark`, `slot`).
// Constructors trust their callers: shapes are checked for users in `tensor/`, and here by `invariant`.
// After tinygrad's UOps and jax-js's primitives. What a `scan` is and how one is built: scan.ts.
import type { DType } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import { type Shape, sameShape, showShape, sizeOf } from '../base/shape.js'
import type { Contract } from './contract.js'
import type { Loop } from './loop.js'
import { type ScalarFn, scalarRules } from './scalar.js'
import { type ViewOp, viewShape } from './view.js'

export interface Base {
  readonly shape: Shape
  readonly dtype: DType
  readonly args: readonly Node[]
  /** Hash of everything about the node but its arguments; for an input: of shape and dtype only. */
  readonly hash: number
  /** The path of the module that built it, such as `conv1`; '' outside of modules. */
  readonly label: string
  /** Scratch of the walk in progress: which walk was here last, and what it wrote. */
  mark: number
  slot: number
}

/** A leaf bound when the program runs. `source` says by identity what to bind (see tensor/). */
export interface InputNode extends Base {
  readonly kind: 'input'
  readonly source: object
}
/** The same value everywhere. */
export interface ConstNode extends Base {
  readonly kind: 'const'
  readonly value: number
}
/** int32: each element's position along `axis`. */
export interface IotaNode extends Base {
  readonly kind: 'iota'
  readonly axis: number
}
/** One scalar function at each position; all arguments have the node's shape. */
export interface MapNode extends Base {
  readonly kind: 'map'
  readonly fn: ScalarFn
}
export interface ViewNode extends Base {
  readonly kind: 'view'
  readonly op: ViewOp
}
export type ReduceFn = 'sum' | 'max' | 'prod' | 'argmax'
/** Removes `axes` (ascending). `argmax` gives int32: the first position of the maximum, row-major over `axes`. */
export interface ReduceNode extends Base {
  readonly kind: 'reduce'
  readonly fn: ReduceFn
  readonly axes: readonly number[]
}
/** A sum of products with affine indices: see contract.ts. float32. args: a, b. */
export interface ContractNode extends Base {
  readonly kind: 'contract'
  readonly spec: Contract
}
export interface ConcatNode extends Base {
  readonly kind: 'concat'
  readonly axis: number
}
/** out[i…] = table[i… with i[axis] replaced by index[i…]]; args: table, index (int32, the output's shape). */
export interface GatherNode extends Base {
  readonly kind: 'gather'
  readonly axis: number
}
/**
 * Zeros of the source's shape with `size` along `axis`, plus source[i…] at i… with i[axis] replaced by index[i…]; args:
 * index, source.
 */
export interface ScatterAddNode extends Base {
  readonly kind: 'scatterAdd'
  readonly axis: number
}
/** The value, with no gradient. */
export interface DetachNode extends Base {
  readonly kind: 'detach'
}
/** The value of its first argument, to be read only when the second has been computed: see `after`. */
export interface AfterNode extends Base {
  readonly kind: 'after'
}
/** A named expression over its arguments, with its definition, and perhaps a better gradient than the definition's. */
export interface CompositeNode extends Base {
  readonly kind: 'composite'
  readonly name: string
  /** What tells it apart from others of its name, as text: axes, sizes. */
  readonly attributes: string
  /** The definition in other nodes over `args`. */
  readonly expand: () => Node
  /** Gradient for each argument (undefined: none) given that of the result; absent: differentiate `expand()`. */
  readonly gradient?: (self: Node, G: Node) => readonly (Node | undefined)[]
  /**
   * The same over other arguments, with nothing left of those it was made with: a composite that lasts until it is
   * compiled.
   */
  readonly over?: (args: readonly Node[]) => CompositeNode
}

/**
 * A body computed `loop.length` times, each step from the carries of the one before. It has no value of its own (shape
 * []); its results are `result` nodes. args: the first carries, the arguments read in slices, those read whole.
 */
export interface ScanNode extends Base {
  readonly kind: 'scan'
  readonly loop: Loop
}
/** One result of the scan that is its argument: see `resultOf` in loop.ts. */
export interface ResultNode extends Base {
  readonly kind: 'result'
  readonly index: number
}

export type Node =
  | InputNode
  | ConstNode
  | IotaNode
  | MapNode
  | ViewNode
  | ReduceNode
  | ContractNode
  | ConcatNode
  | GatherNode
  | ScatterAddNode
  | DetachNode
  | AfterNode
  | CompositeNode
  | ScanNode
  | ResultNode
export type Kind = Node['kind']
export type NodeOf<K extends Kind> = Extract<Node, { kind: K }>

/** What one submission computes. */
export interface Graph {
  readonly outputs: readonly Node[]
  /** Each target input's storage takes the value, after everything else was read. */
  readonly updates: readonly { readonly target: InputNode; readonly value: Node }[]
  /** A bool scalar; where it is false at run time, no update is applied and the run reports it. */
  readonly guard?: Node
}

/** The label given to nodes built now; `tensor/context.ts` sets it as modules are entered and left. */
export const building = { label: '' }

const AGAIN = ' (again)'

/** A node of a forward pass that is computed a second time: its label says so. */
export function again(node: Node): Node {
  return { ...node, label: `${node.label}${AGAIN}`, mark: 0, slot: 0 }
}

export function isAgain(node: Node): boolean {
  return node.label.endsWith(AGAIN)
}

const walks = { count: 0 }
/** A fresh number for `mark`. */
export function nextMark(): number {
  return ++walks.count
}

// ---- hashing: 32-bit mixing of small integers ----

export function mix(hash: number, value: number): number {
  const h = Math.imul(hash ^ value, 0x9e3779b1)
  return (h ^ (h >>> 15)) | 0
}

const scratchFloat = new Float64Array(1)
const scratchWords = new Int32Array(scratchFloat.buffer)
export function mixNumber(hash: number, value: number): number {
  if ((value | 0) === value && value !== 0) return mix(hash, value)
  scratchFloat[0] = value
  return mix(mix(hash, scratchWords[0]), scratchWords[1])
}

export function mixText(hash: number, text: string): number {
  let h = hash
  for (let i = 0; i < text.length; i++) h = mix(h, text.charCodeAt(i))
  return h
}

const seeds = new Map<string, number>()
/** The hash of a name, remembered: names are few. */
function seedOf(name: string): number {
  let seed = seeds.get(name)
  if (seed === undefined) {
    seed = mixText(0x811c9dc5 | 0, name)
    seeds.set(name, seed)
  }
  return seed
}

function start(kind: string, dtype: DType, shape: Shape): number {
  let h = mix(seedOf(kind), seedOf(dtype))
  for (let i = 0; i < shape.length; i++) h = mix(h, shape[i])
  return mix(h, shape.length)
}

const NONE: readonly Node[] = []

// ---- constructors ----

export function input(source: object, shape: Shape, dtype: DType): InputNode {
  const hash = start('input', dtype, shape)
  return {
    kind: 'input',
    shape,
    dtype,
    args: NONE,
    hash,
    label: building.label,
    mark: 0,
    slot: 0,
    source,
  }
}

export function constant(value: number, dtype: DType = 'float32', shape: Shape = []): ConstNode {
  const hash = mixNumber(start('const', dtype, shape), value)
  return {
    kind: 'const',
    shape,
    dtype,
    args: NONE,
    hash,
    label: building.label,
    mark: 0,
    slot: 0,
    value,
  }
}

export function iota(shape: Shape, axis: number): IotaNode {
  const hash = mix(start('iota', 'int32', shape), axis)
  return {
    kind: 'iota',
    shape,
    dtype: 'int32',
    args: NONE,
    hash,
    label: building.label,
    mark: 0,
    slot: 0,
    axis,
  }
}

export function map(fn: ScalarFn, ...args: readonly Node[]): MapNode {
  const rule = scalarRules[fn]
  const last = args[args.length - 1]
  invariant(
    args.length === rule.arity,
    () => `map ${fn} takes ${rule.arity} arguments, not ${args.length}`,
  )
  for (let i = 0; i < args.length - 1; i++)
    invariant(
      sameShape(args[i].shape, last.shape),
      () => `map ${fn}: ${showShape(args[i].shape)} and ${showShape(last.shape)}`,
    )
  if (rule.arity === 2 || fn === 'where')
    invariant(
      args[args.length - 2].dtype === last.dtype,
      () => `map ${fn}: ${args[args.length - 2].dtype} and ${last.dtype}`,
    )
  const dtype = rule.result === 'same' ? last.dtype : rule.result
  const hash = mix(start('map', dtype, last.shape), seedOf(fn))
  return {
    kind: 'map',
    shape: last.shape,
    dtype,
    args,
    hash,
    label: building.label,
    mark: 0,
    slot: 0,
    fn,
  }
}

export function view(op: ViewOp, x: Node): ViewNode {
  const shape = viewShape(op, x.shape)
  let hash = mix(start('view', x.dtype, shape), seedOf(op.type))
  switch (op.type) {
    case 'permute':
      for (const axis of op.axes) hash = mix(hash, axis)
      break
    case 'slice':
      for (const n of op.starts) hash = mix(hash, n)
      for (const n of op.steps) hash = mix(hash, n)
      break
    case 'pad':
      for (const n of op.low) hash = mix(hash, n)
      for (const n of op.high) hash = mix(hash, n)
      hash = mixNumber(hash, op.value)
      break
    case 'window':
      for (const n of [op.axis, op.count, op.size, op.stride, op.dilation, op.padding])
        hash = mix(hash, n)
      hash = mixNumber(hash, op.value)
      break
  }
  return {
    kind: 'view',
    shape,
    dtype: x.dtype,
    args: [x],
    hash,
    label: building.label,
    mark: 0,
    slot: 0,
    op,
  }
}

export function reshape(x: Node, shape: Shape): Node {
  return sameShape(shape, x.shape) ? x : view({ type: 'reshape', shape }, x)
}

export function permute(x: Node, axes: readonly number[]): Node {
  return axes.every((axis, i) => axis === i) ? x : view({ type: 'permute', axes }, x)
}

/** Repeats axes of size 1; the rank stays. */
export function expand(x: Node, shape: Shape): Node {
  return sameShape(shape, x.shape) ? x : view({ type: 'expand', shape }, x)
}

/** NumPy broadcasting: new axes in front, then expand. */
export function broadcastTo(x: Node, shape: Shape): Node {
  if (sameShape(shape, x.shape)) return x
  const lead = shape.length - x.shape.length
  const wide = lead > 0 ? reshape(x, [...new Array<number>(lead).fill(1), ...x.shape]) : x
  return expand(wide, shape)
}

export function reduce(fn: ReduceFn, axes: readonly number[], x: Node): Node {
  if (axes.length === 0 && fn !== 'argmax') return x
  const shape = x.shape.filter((_, i) => !axes.includes(i))
  const dtype = fn === 'argmax' ? 'int32' : x.dtype
  let hash = mix(start('reduce', dtype, shape), seedOf(fn))
  for (const axis of axes) hash = mix(hash, axis)
  return {
    kind: 'reduce',
    shape,
    dtype,
    args: [x],
    hash,
    label: building.label,
    mark: 0,
    slot: 0,
    fn,
    axes,
  }
}

export function contract(spec: Contract, a: Node, b: Node): ContractNode {
  invariant(
    a.shape.length === spec.a.length,
    () => `contract: a has ${a.shape.length} dimensions, its index ${spec.a.length}`,
  )
  invariant(
    b.shape.length === spec.b.length,
    () => `contract: b has ${b.shape.length} dimensions, its index ${spec.b.length}`,
  )
  invariant(
    a.dtype === 'float32' && b.dtype === 'float32',
    () => `contract of ${a.dtype} and ${b.dtype}`,
  )
  const shape = spec.extents.slice(0, spec.rank)
  const hash = mix(start('contract', 'float32', shape), spec.hash)
  return {
    kind: 'contract',
    shape,
    dtype: 'float32',
    args: [a, b],
    hash,
    label: building.label,
    mark: 0,
    slot: 0,
    spec,
  }
}

export function concat(axis: number, args: readonly Node[]): Node {
  if (args.length === 1) return args[0]
  const first = args[0]
  let total = 0
  for (const arg of args) total += arg.shape[axis]
  const shape = first.shape.map((n, i) => (i === axis ? total : n))
  for (const arg of args)
    invariant(
      arg.dtype === first.dtype &&
        arg.shape.length === first.shape.length &&
        arg.shape.every((n, i) => i === axis || n === first.shape[i]),
      () => `concat of ${args.map((a) => showShape(a.shape)).join(' ')} along ${axis}`,
    )
  const hash = mix(start('concat', first.dtype, shape), axis)
  return {
    kind: 'concat',
    shape,
    dtype: first.dtype,
    args,
    hash,
    label: building.label,
    mark: 0,
    slot: 0,
    axis,
  }
}

export function gather(axis: number, table: Node, index: Node): GatherNode {
  invariant(index.dtype === 'int32', () => `gather: the index is ${index.dtype}`)
  invariant(
    table.shape.length === index.shape.length &&
      table.shape.every((n, i) => i === axis || n === index.shape[i]),
    () => `gather along ${axis}: table ${showShape(table.shape)}, index ${showShape(index.shape)}`,
  )
  const hash = mix(start('gather', table.dtype, index.shape), axis)
  return {
    kind: 'gather',
    shape: index.shape,
    dtype: table.dtype,
    args: [table, index],
    hash,
    label: building.label,
    mark: 0,
    slot: 0,
    axis,
  }
}

export function scatterAdd(axis: number, size: number, index: Node, source: Node): ScatterAddNode {
  invariant(index.dtype === 'int32', () => `scatterAdd: the index is ${index.dtype}`)
  invariant(
    sameShape(index.shape, source.shape),
    () => `scatterAdd: index ${showShape(index.shape)}, source ${showShape(source.shape)}`,
  )
  const shape = source.shape.map((n, i) => (i === axis ? size : n))
  const hash = mix(start('scatterAdd', source.dtype, shape), axis)
  return {
    kind: 'scatterAdd',
    shape,
    dtype: source.dtype,
    args: [index, source],
    hash,
    label: building.label,
    mark: 0,
    slot: 0,
    axis,
  }
}

export function detach(x: Node): DetachNode {
  return {
    kind: 'detach',
    shape: x.shape,
    dtype: x.dtype,
    args: [x],
    hash: start('detach', x.dtype, x.shape),
    label: building.label,
    mark: 0,
    slot: 0,
  }
}

/**
 * The value, for whoever is to be computed only when `cause` has been. Nothing merges it with the value, so what is
 * computed from it is computed again, however often it was before. It settles on what lies in memory: views are taken
 * over it, and what costs nothing (constants, positions) or waits for nothing needs none.
 */
export function after(value: Node, cause: Node): Node {
  if (value.kind === 'const' || value.kind === 'iota') return value
  if (value.kind === 'view') return withArgs(value, [after(value.args[0], cause)])
  const origin = causeOf(cause)
  if (origin === undefined) return value
  return {
    kind: 'after',
    shape: value.shape,
    dtype: value.dtype,
    args: [value, origin],
    hash: start('after', value.dtype, value.shape),
    label: building.label,
    mark: 0,
    slot: 0,
  }
}

/** What is computed for the node's sake below its views; undefined: nothing. */
function causeOf(node: Node): Node | undefined {
  let at = node
  while (at.kind === 'view' || at.kind === 'after') at = at.args[0]
  return at.kind === 'const' || at.kind === 'iota' || at.kind === 'input' ? undefined : at
}

/** An `after` that stands where it should: on no view, waiting for no view. */
export function isSettled(node: AfterNode): boolean {
  const [value, cause] = node.args
  return !['const', 'iota', 'view'].includes(value.kind) && causeOf(cause) === cause
}

/** `attributes` is hashed: it must tell apart any two composites of one name whose definitions differ. */
export function composite(
  name: string,
  attributes: string,
  args: readonly Node[],
  result: { readonly shape: Shape; readonly dtype: DType },
  rules: Pick<CompositeNode, 'expand' | 'gradient' | 'over'>,
): CompositeNode {
  const hash = mixText(
    mix(start('composite', result.dtype, result.shape), seedOf(name)),
    attributes,
  )
  return {
    kind: 'composite',
    shape: result.shape,
    dtype: result.dtype,
    args,
    hash,
    label: building.label,
    mark: 0,
    slot: 0,
    name,
    attributes,
    ...rules,
  }
}

/** The same node over other arguments of the same shapes. */
export function withArgs(node: Node, args: readonly Node[]): Node {
  if (args.every((arg, i) => arg === node.args[i])) return node
  if (node.kind === 'after') return inPlaceOf(node, () => after(args[0], args[1]))
  if (node.kind === 'composite') {
    const { over } = node
    return over ? inPlaceOf(node, () => over(args)) : compositeOver(node, args)
  }
  return { ...node, args, mark: 0, slot: 0 }
}

/** The definition and the gradient of a composite are built over the arguments it was made with: here over others. */
function compositeOver(node: CompositeNode, args: readonly Node[]): CompositeNode {
  const over = (roots: readonly (Node | undefined)[], given: readonly Node[]) => {
    const done = new Map<Node, Node>(node.args.map((arg, i) => [arg, args[i]]))
    const find = (inner: Node): Node => done.get(inner) ?? inner
    const present = roots.filter((root) => root !== undefined)
    for (const inner of topological(present, [...node.args, ...args, ...given]))
      done.set(inner, withArgs(inner, inner.args.map(find)))
    return roots.map((root) => root && find(root))
  }
  const { gradient } = node
  return {
    ...node,
    args,
    expand: () => over([node.expand()], [])[0] as Node,
    ...(gradient ? { gradient: (self, G) => over(gradient(self, G), [self, G]) } : {}),
    mark: 0,
    slot: 0,
  }
}

/**
 * Every node reachable from `roots`, arguments before users; `leaves` and what only they need are left out.
 * No recursion: graphs can be deep.
 */
export function topological(roots: readonly Node[], leaves: readonly Node[] = NONE): Node[] {
  const done = nextMark()
  for (const leaf of leaves) leaf.mark = done
  const order: Node[] = []
  const stack: Node[] = []
  const next: number[] = []
  for (const root of roots) {
    if (root.mark === done) continue
    root.mark = done
    stack.push(root)
    next.push(0)
    while (stack.length > 0) {
      const node = stack[stack.length - 1]
      const i = next[next.length - 1]
      if (i < node.args.length) {
        next[next.length - 1] = i + 1
        const arg = node.args[i]
        if (arg.mark !== done) {
          arg.mark = done
          stack.push(arg)
          next.push(0)
        }
      } else {
        order.push(node)
        stack.pop()
        next.pop()
      }
    }
  }
  return order
}

export function rootsOf(graph: Graph): Node[] {
  const roots = [...graph.outputs]
  for (const update of graph.updates) roots.push(update.value)
  if (graph.guard) roots.push(graph.guard)
  return roots
}

/** Number of elements. */
export function elements(node: Node): number {
  return sizeOf(node.shape)
}

export function nodeKindIs<K extends Kind>(node: Node, kind: K): node is NodeOf<K> {
  return node.kind === kind
}

/** Builds nodes in place of `node`: they carry its label. */
export function inPlaceOf<T>(node: Node, build: () => T): T {
  const before = building.label
  building.label = node.label
  try {
    return build()
  } finally {
    building.label = before
  }
}
