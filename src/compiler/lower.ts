// Groups → kernels of the loop IR. Rows are in rows.ts, contractions in tile.ts; here what they share, and
// the small ones: joining, scattering, copying into an argument, the guard.
import { type DType, isFloat, itemSize } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import type { Node, NodeOf } from '../graph/node.js'
import { accessesOf, axisIndex, baseOf, createSpace, linear, type Space } from './access.js'
import { lowerAttention } from './attention-kernel.js'
import { addAffine, call, constant, num, report, sameTerms, zero } from './build.js'
import { Builder, type BuilderOptions, NeedsScalar } from './builder.js'
import type { CopyGroup, Group, GuardGroup, LoopGroup, PartGroup, ScatterGroup } from './group.js'
import type { Affine, Expr, Kernel, KernelBuffer, Statement, Variable } from './kernel.js'
import { type Loop, mergeLoops } from './merge.js'
import type { Machine } from './program.js'
import { lowerRows, takeParallel } from './rows.js'
import { lowerContract } from './tile.js'
import { isWinograd } from './winograd.js'
import { lowerWinograd } from './winograd-kernel.js'

/** The turns of a repeat, by identity. */
export interface Turns {
  readonly count: number
}

/** Where a kernel's buffer lives, before memory is planned. In a repeat it may move: see Slot. */
export type Home = (
  | { readonly space: 'argument'; readonly index: number }
  | { readonly space: 'arena'; readonly base: Node }
  | { readonly space: 'scratch'; readonly bytes: number }
) & {
  readonly from?: number
  readonly moves?: readonly {
    readonly turns: Turns
    readonly by: number
    readonly alternates: boolean
  }[]
}

export interface LowerContext {
  readonly machine: Machine
  /** The base is an argument or is computed by some group. */
  readonly inMemory: (base: Node) => boolean
  /** The node needs memory: another group reads it, or it is a result. */
  readonly isStored: (base: Node) => boolean
  readonly homeOf: (base: Node) => Home
  /** Of what a copy writes. */
  readonly argumentHome: (index: number) => Home
  readonly reportCode: (node: NodeOf<'gather'> | NodeOf<'scatterAdd'>) => number
  readonly guardCode: (node: Node) => number
}

export interface Lowered {
  readonly kernel: Kernel
  readonly homes: readonly Home[]
  readonly flops: number
  readonly bytes: number
  readonly nodes: readonly Node[]
}

/** The buffers of one kernel, numbered as they are met. */
export class Operands {
  readonly buffers: {
    name: string
    dtype: DType
    read: boolean
    write: boolean
    elements: number
  }[] = []
  readonly homes: Home[] = []
  private readonly context: LowerContext
  private readonly known = new Map<string, number>()
  private readonly ids = new Map<Node, number>()

  constructor(context: LowerContext) {
    this.context = context
  }

  /** For reading; undefined when the node is not in memory. */
  of(base: Node): number | undefined {
    if (!this.context.inMemory(base) || !this.context.isStored(base)) return undefined
    const at = this.home(this.context.homeOf(base), base)
    this.buffers[at].read = true
    return at
  }

  write(node: Node): number {
    const base = baseOf(node)
    const at = this.home(this.context.homeOf(base), base)
    this.buffers[at].write = true
    return at
  }

  argument(index: number, node: Node): number {
    const home = this.context.argumentHome(index)
    // The node itself may lie elsewhere, where it is read.
    const still = home.space === 'argument' && !home.moves && !home.from
    const at = still ? this.home(home, node) : this.push(`to ${index}`, home, node, false, false)
    this.buffers[at].write = true
    return at
  }

  /** Room in the thread's scratch for `elements` of the node. */
  scratch(node: Node, elements: number, purpose = 'row'): number {
    const key = `${purpose} ${this.id(node)}`
    const known = this.known.get(key)
    if (known !== undefined) return known
    const bytes = Math.ceil((elements * 4) / 64) * 64
    return this.push(key, { space: 'scratch', bytes }, node, true, true)
  }

  private home(home: Home, node: Node): number {
    const lies = home.space === 'argument' ? `argument ${home.index}` : `node ${this.id(node)}`
    const key = home.moves || home.from ? `moving ${this.id(node)}` : lies
    return this.known.get(key) ?? this.push(key, home, node, false, false)
  }

  private id(node: Node): number {
    let id = this.ids.get(node)
    if (id === undefined) {
      id = this.ids.size
      this.ids.set(node, id)
    }
    return id
  }

  private push(key: string, home: Home, node: Node, read: boolean, write: boolean): number {
    const at = this.buffers.length
    const name =
      home.space === 'argument'
        ? `arg${home.index}`
        : home.space === 'scratch'
          ? `row${at}`
          : `t${at}`
    this.buffers.push({ name, dtype: node.dtype, read, write, elements: sizeOf(node.shape) })
    this.homes.push(home)
    this.known.set(key, at)
    return at
  }
}

/** A builder of a kernel over these operands. */
export function builderFor(
  space: Space,
  operands: Operands,
  { machine, reportCode }: LowerContext,
  more: Partial<BuilderOptions> = {},
): Builder {
  return new Builder({
    space,
    bufferOf: (base) => operands.of(base),
    lanes: machine.lanes,
    reportCode,
    ...more,
  })
}

export function finishKernel(
  context: LowerContext,
  operands: Operands,
  parallel: { readonly variable: Variable; readonly extent: number },
  body: readonly Statement[],
  nodes: readonly Node[],
  flops = countFlops(body, parallel.extent, context.machine.lanes),
): Lowered {
  const buffers: KernelBuffer[] = operands.buffers.map(({ name, dtype, read, write }) => ({
    name,
    dtype,
    access: read && write ? 'update' : write ? 'write' : 'read',
  }))
  let bytes = 0
  operands.buffers.forEach(({ elements, dtype, read, write }, i) => {
    if (operands.homes[i].space === 'scratch') return
    const size = elements * itemSize[dtype]
    bytes += (read ? size : 0) + (write ? size : 0)
  })
  const kernel: Kernel = { name: nameOf(nodes), buffers, parallel, body }
  return { kernel, homes: operands.homes, flops, bytes, nodes }
}

function nameOf(nodes: readonly Node[]): string {
  const words = nodes.map((n) =>
    n.kind === 'map' || n.kind === 'reduce' ? n.fn : n.kind === 'composite' ? n.name : n.kind,
  )
  return [...new Set(words)].join(' ')
}

/** Arithmetic on floats in the body, each statement as often as constant bounds say. */
export function countFlops(body: readonly Statement[], turns: number, lanes: number): number {
  const ofExpr = (e: Expr): number => {
    if (e.op === 'call') {
      const inner = e.args.reduce((sum, arg) => sum + ofExpr(arg), 0)
      const own = e.type === 'f32' && e.fn !== 'select' ? (e.fn === 'fma' ? 2 : 1) * e.lanes : 0
      return inner + own
    }
    if (e.op === 'across') return ofExpr(e.value) + lanes - 1
    return e.op === 'splat' || e.op === 'lane' ? ofExpr(e.value) : 0
  }
  const ofBody = (statements: readonly Statement[]): number =>
    statements.reduce((sum, s) => {
      if (s.op === 'set' || s.op === 'store') return sum + ofExpr(s.value)
      if (s.op === 'if') return sum + ofBody(s.body)
      if (s.op !== 'loop') return sum
      return sum + turnsOf(s) * ofBody(s.body)
    }, 0)
  return turns * ofBody(body)
}

/** Turns of a loop: exact for constant bounds and for a block between base and base + size, else the most. */
function turnsOf({ from, to, step }: Extract<Statement, { op: 'loop' }>): number {
  let length = Number.POSITIVE_INFINITY
  for (const end of to)
    for (const start of from) {
      const comparable =
        end.divide === 1 && start.divide === 1 && sameTerms(end.affine, start.affine)
      if (comparable) length = Math.min(length, end.affine.offset - start.affine.offset)
    }
  return Number.isFinite(length) ? Math.max(0, Math.ceil(length / step)) : 1
}

export function lower(group: Exclude<Group, LoopGroup>, context: LowerContext): Lowered {
  switch (group.kind) {
    case 'rows':
      return lowerRows(group, context)
    case 'contract':
      return isWinograd(group.core.spec)
        ? lowerWinograd(group, context)
        : lowerContract(group, context)
    case 'attention':
      return lowerAttention(group, context)
    case 'part':
    case 'copy':
      return lowerElementwise(group, context)
    case 'scatter':
      return lowerScatter(group, context)
    case 'guard':
      return lowerGuard(group, context)
  }
}

/** One operand of a concat to its place, or a node into an argument. */
function lowerElementwise(group: PartGroup | CopyGroup, context: LowerContext): Lowered {
  try {
    return buildElementwise(group, context, true)
  } catch (error) {
    if (!(error instanceof NeedsScalar)) throw error
    return buildElementwise(group, context, false)
  }
}

function buildElementwise(
  group: PartGroup | CopyGroup,
  context: LowerContext,
  vector: boolean,
): Lowered {
  const { domain } = group
  const { space } = domain
  const source = group.kind === 'part' ? group.node.args[group.part] : group.node
  const operands = new Operands(context)
  const target =
    group.kind === 'part'
      ? operands.write(group.node)
      : operands.argument(group.argument, group.node)
  const place =
    group.kind === 'part'
      ? domain.index.map((at, i) =>
          i === group.node.axis ? addAffine(at, constant(group.offset)) : at,
        )
      : domain.index
  const to = linear(place, group.node.shape)
  const inMemory = (node: Node) => context.inMemory(baseOf(node))
  const pinned = new Set<number>()
  const pin = (affine: Affine) => {
    for (const [variable] of affine.terms) pinned.add(variable.id)
  }
  const accesses = inMemory(source)
    ? [{ node: source, index: domain.index, inside: [] }]
    : accessesOf(source, domain.index, space, inMemory, pin)
  const addresses = [to, ...accesses.map((a) => linear(a.index, a.node.shape))]
  const extentOf = (v: Variable) => space.extents.get(v.id) ?? 1
  const { loops, merge } = mergeLoops(domain.outer, addresses, pinned, extentOf, space.names)
  const b = builderFor(space, operands, context, { merge })
  const body = () => {
    const at = merge(to)
    const stride = b.lane ? (at.terms.find(([v]) => v.id === b.lane?.id)?.[1] ?? 0) : 1
    b.emitStore(target, at, stride, b.asStored(source.dtype, b.read(source, domain.index)))
  }
  const parallel = elementwiseNest(b, [...loops], vector ? context.machine.lanes : 1, body)
  return finishKernel(context, operands, parallel, b.statements, [group.node])
}

/** Loops over `loops`, the last in vectors and a scalar rest; splits the first, or blocks of the only one. */
function elementwiseNest(
  b: Builder,
  loops: Loop[],
  lanes: number,
  body: () => void,
): { readonly variable: Variable; readonly extent: number } {
  const lane = loops.pop()
  const parallel = takeParallel(loops)
  const variable = parallel?.variable ?? b.space.names.variable('once')
  b.outermost(variable)
  const along = () => {
    if (!lane) {
      body()
      return
    }
    const whole = lanes > 1 ? lane.extent - (lane.extent % lanes) : 0
    if (whole > 0) {
      b.lane = lane.variable
      b.loop(lane.variable, 0, whole, lanes, body)
      b.lane = undefined
    }
    if (whole < lane.extent) b.loop(lane.variable, whole, lane.extent, 1, body)
  }
  const nest = (k: number): void => {
    if (k === loops.length) {
      along()
      return
    }
    b.loop(loops[k].variable, 0, loops[k].extent, 1, () => nest(k + 1))
  }
  nest(0)
  return { variable, extent: parallel?.extent ?? 1 }
}

/**
 * Zeros, then each source element added at its index, in the order of the source. Threads own different
 * positions of the other axes, so no two write the same place and the sums' order is fixed.
 */
function lowerScatter(group: ScatterGroup, context: LowerContext): Lowered {
  try {
    return buildScatter(group, context, true)
  } catch (error) {
    if (!(error instanceof NeedsScalar)) throw error
    return buildScatter(group, context, false)
  }
}

function buildScatter(group: ScatterGroup, context: LowerContext, vector: boolean): Lowered {
  const { node } = group
  const [indices, source] = node.args
  const space = createSpace()
  const count = source.shape[node.axis]
  const size = node.shape[node.axis]
  const others = node.shape.map((extent, i) =>
    i === node.axis ? zero : axisIndex(space, `i${i}`, extent),
  )
  const turn = axisIndex(space, 's', count)
  const from = others.map((at, i) => (i === node.axis ? turn : at))
  const row = axisIndex(space, 'z', size)
  const operands = new Operands(context)
  const b = builderFor(space, operands, context)
  const target = operands.write(node)
  operands.buffers[target].read = true
  const loops: Loop[] = others.flatMap((at) =>
    at.terms.map(([variable]) => ({ variable, extent: space.extents.get(variable.id) ?? 1 })),
  )
  const unit = node.shape.slice(node.axis + 1).reduce((a, c) => a * c, 1)
  const along = (at: Affine, extent: number, body: () => void) => {
    const variable = at.terms[0]?.[0]
    if (variable) b.loop(variable, 0, extent, 1, body)
    else body()
  }
  const type = isFloat(node.dtype) ? 'f32' : 'i32'
  const body = () => {
    along(row, size, () => {
      const at = linear(
        others.map((o, i) => (i === node.axis ? row : o)),
        node.shape,
      )
      const stride = b.lane ? (at.terms.find(([v]) => v.id === b.lane?.id)?.[1] ?? 0) : 1
      b.emitStore(target, at, stride, num(type, 0))
    })
    along(turn, count, () => {
      const picked = b.read(indices, from)
      if (picked.lanes > 1) throw new NeedsScalar()
      const safe = b.checked(picked, size, node)
      const wrong = b.place(call('ne', safe, picked))
      const dynamic = b.place(call('mul', safe, num('i32', unit)))
      const at = linear(others, node.shape)
      const value = b.read(source, from)
      const added = b.place(call('select', wrong, num(type, 0), value))
      b.accumulate(target, node.dtype, at, dynamic, added)
    })
  }
  const parallel = elementwiseNest(b, loops, vector ? context.machine.lanes : 1, body)
  return finishKernel(context, operands, parallel, b.statements, [node])
}

/** Reports when the guard is false. */
function lowerGuard(group: GuardGroup, context: LowerContext): Lowered {
  const space = createSpace()
  const operands = new Operands(context)
  const b = builderFor(space, operands, context)
  const variable = space.names.variable('once')
  b.outermost(variable)
  invariant(sizeOf(group.node.shape) === 1, () => 'a guard is a scalar')
  const ok = b.read(
    group.node,
    group.node.shape.map(() => zero),
  )
  b.emit(report(call('not', ok), context.guardCode(group.node), num('i32', 0)))
  return finishKernel(context, operands, { variable, extent: 1 }, b.statements, [group.node])
}
