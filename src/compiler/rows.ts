// Lowers a group of rows: loops over the kept axes, and in each row stages of inner loops that compute the
// reductions, each from what the stages before it left in registers or scratch. Element-wise kernels are
// rows without inner axes. Vectors run along the last kept or the last reduced axis, whichever is contiguous
// in more of the tensors touched.
import { invariant } from '../base/errors.js'
import type { Node } from '../graph/node.js'
import { accessesOf, baseOf, linear } from './access.js'
import {
  across,
  addAffine,
  bound,
  call,
  coefficientOf,
  constant,
  index as indexExpr,
  isConstant,
  localOf,
  num,
  ofVariable,
  scaleAffine,
  set,
  splat,
  substitute,
  typeOfDType,
} from './build.js'
import { Builder, NeedsScalar } from './builder.js'
import { keptIndex, type Member, type RowGroup } from './group.js'
import type { Affine, Expr, Local, Variable } from './kernel.js'
import { finishKernel, type LowerContext, type Lowered, Operands } from './lower.js'
import { type Loop, mergeLoops } from './merge.js'

const UNROLL = 16
const CHUNK = 1024
/**
 * Elements along the lanes at a time where a tensor strides along them: each is on a cache line of its own, which the
 * loops inside use up before it is lost.
 */
const STRIDED = 64
/** Vector accumulators of a sum along a reduced axis. */
const TURNS = 4

type LanePlace = 'outer' | 'inner' | 'none'

export function lowerRows(group: RowGroup, context: LowerContext): Lowered {
  const plan = planRows(group, context)
  try {
    return buildRows(group, context, plan, plan.lanes)
  } catch (error) {
    if (!(error instanceof NeedsScalar)) throw error
    return buildRows(group, context, plan, 'none')
  }
}

interface RowPlan {
  readonly outer: readonly Loop[]
  readonly inner: readonly Loop[]
  readonly merge: (address: Affine) => Affine
  readonly lanes: LanePlace
  readonly unrolled: boolean
  /** Some tensor is not contiguous along the lanes. */
  readonly strided: boolean
  /** Full members kept in scratch between stages. */
  readonly kept: ReadonlySet<Node>
}

function planRows(group: RowGroup, context: LowerContext): RowPlan {
  const { domain } = group
  const { space } = domain
  const members = new Set(group.members.map((m) => m.node))
  const addresses: Affine[] = []
  const pinned = new Set<number>()
  const pin = (affine: Affine) => {
    for (const [variable] of affine.terms) pinned.add(variable.id)
  }
  const inMemory = (node: Node) => members.has(node) || context.inMemory(baseOf(node))
  for (const { node, level } of group.members) {
    const source = node.kind === 'reduce' ? node.args[0] : node
    const at = level === 'row' && node.kind !== 'reduce' ? keptIndex(group, domain) : domain.index
    const accesses =
      node.kind === 'reduce' && inMemory(source)
        ? [{ node: source, index: at, inside: [] }]
        : accessesOf(source, at, space, inMemory, pin)
    for (const access of accesses)
      if (!members.has(access.node) || context.isStored(access.node))
        addresses.push(linear(access.index, access.node.shape))
    const own = level === 'row' ? keptIndex(group, domain) : domain.index
    if (context.isStored(node)) addresses.push(linear(own, node.shape))
    if (node.kind === 'reduce' && node.fn === 'argmax')
      for (const axis of group.reduced) pin(domain.index[axis])
  }
  const lastStage = Math.max(...group.members.map((m) => m.stage))
  const kept = new Set(
    group.members
      .filter((m) => m.level === 'full' && m.stage < lastStage && !context.isStored(m.node))
      .map((m) => m.node),
  )
  if (kept.size > 0) addresses.push(rowAddress(group))
  const innerSize = group.reduced.reduce((size, axis) => size * group.shape[axis], 1)
  const unrolled = innerSize <= UNROLL && innerSize > 1 && kept.size === 0
  const extentOf = (v: Variable) => space.extents.get(v.id) ?? 1
  const outer = mergeLoops(domain.outer, addresses, pinned, extentOf, space.names)
  const inner = unrolled
    ? {
        loops: domain.inner.map((variable) => ({ variable, extent: extentOf(variable) })),
        merge: same,
      }
    : mergeLoops(domain.inner, addresses, pinned, extentOf, space.names)
  const merge = (address: Affine) => inner.merge(outer.merge(address))
  const merged = addresses.map(merge)
  const hasArgmax = group.members.some((m) => m.node.kind === 'reduce' && m.node.fn === 'argmax')
  const score = (loop: Loop | undefined) => {
    if (!loop || loop.extent < context.machine.lanes) return -1
    let total = 0
    for (const address of merged) {
      const c = coefficientOf(address, loop.variable)
      total += c === 1 ? 1 : c === 0 ? 0.1 : -0.5
    }
    return total
  }
  const outerScore = score(outer.loops.at(-1))
  const innerScore = unrolled || hasArgmax ? -1 : score(inner.loops.at(-1))
  const lanes: LanePlace =
    Math.max(outerScore, innerScore) < 0 ? 'none' : innerScore > outerScore ? 'inner' : 'outer'
  const last = outer.loops.at(-1)
  const strided =
    lanes === 'outer' &&
    last !== undefined &&
    merged.some((address) => Math.abs(coefficientOf(address, last.variable)) > 1)
  return { outer: outer.loops, inner: inner.loops, merge, lanes, unrolled, strided, kept }
}

const same = (address: Affine) => address

/** Position in a row of the reduced axes. */
function rowAddress(group: RowGroup): Affine {
  return linear(
    group.reduced.map((axis) => group.domain.index[axis]),
    group.reduced.map((axis) => group.shape[axis]),
  )
}

function buildRows(
  group: RowGroup,
  context: LowerContext,
  plan: RowPlan,
  lanes: LanePlace,
): Lowered {
  const { domain } = group
  const { space } = domain
  const width = context.machine.lanes
  const operands = new Operands(context)
  const scratchUnit = lanes === 'outer' ? width : 1
  const rowSize = group.reduced.reduce((size, axis) => size * group.shape[axis], 1)
  const scratchAt = (index: readonly Affine[]) => {
    const at = builder.merged(
      linear(
        group.reduced.map((axis) => index[axis]),
        group.reduced.map((axis) => group.shape[axis]),
      ),
    )
    return scaleAffine(at, scratchUnit)
  }
  const builder: Builder = new Builder({
    space,
    bufferOf: (base) => operands.of(base),
    scratchOf: (node, index) =>
      plan.kept.has(node)
        ? { buffer: operands.scratch(node, rowSize * scratchUnit), at: scratchAt(index) }
        : undefined,
    lanes: width,
    reportCode: context.reportCode,
    merge: plan.merge,
  })

  const outerLoops = [...plan.outer]
  const lane =
    lanes === 'outer' ? outerLoops.pop() : lanes === 'inner' ? plan.inner.at(-1) : undefined
  // The lanes' loop is cut in blocks where threads have nothing else to share out, and where it strides.
  const along = lanes === 'outer' ? lane : undefined
  const size = plan.strided ? STRIDED : rowSize > 1 ? width * Math.ceil(64 / rowSize) : CHUNK
  const blocks = along ? Math.ceil(along.extent / size) : 1
  const cut = plan.strided && blocks > 1
  const parallel = cut && blocks >= 4 ? undefined : takeParallel(outerLoops)
  const block = parallel ? (cut ? space.names.variable('block') : undefined) : undefined
  const variable = parallel?.variable ?? space.names.variable('chunk')
  const extent = parallel?.extent ?? blocks
  builder.outermost(variable)
  const blockVariable = block ?? (parallel ? undefined : variable)

  const row = () => buildRow(group, context, plan, builder, operands, lanes, lane)
  const rowsAlongLane = (loop: Loop) => {
    const whole = loop.extent - (loop.extent % width)
    const base = blockVariable ? ofVariable(blockVariable, size) : constant(0)
    const end = blockVariable ? [addAffine(base, constant(size))] : []
    if (whole > 0) {
      builder.lane = loop.variable
      builder.loop(loop.variable, bound('from', base), bound('to', whole, ...end), width, row)
      builder.lane = undefined
    }
    if (whole < loop.extent)
      builder.loop(
        loop.variable,
        bound('from', whole, base),
        bound('to', loop.extent, ...end),
        1,
        row,
      )
  }
  const nest = (k: number): void => {
    if (k < outerLoops.length) {
      const loop = outerLoops[k]
      builder.loop(loop.variable, 0, loop.extent, 1, () => nest(k + 1))
    } else if (along) rowsAlongLane(along)
    else row()
  }
  if (block) builder.loop(block, 0, blocks, 1, () => nest(0))
  else nest(0)
  return finishKernel(
    context,
    operands,
    { variable, extent },
    builder.statements,
    group.members.map((m) => m.node),
  )
}

/** The loop split among threads: the first with enough turns, else the longest. */
export function takeParallel(loops: Loop[]): Loop | undefined {
  if (loops.length === 0) return undefined
  let best = loops.findIndex((loop) => loop.extent >= 4)
  if (best < 0) {
    best = 0
    loops.forEach((loop, i) => {
      if (loop.extent > loops[best].extent) best = i
    })
  }
  return loops.splice(best, 1)[0]
}

interface Accumulator {
  readonly node: Extract<Node, { kind: 'reduce' }>
  readonly fn: 'add' | 'max' | 'mul'
  /** Along a reduced axis: vectors taken in turn, so that one addition need not wait for the last. */
  readonly vectors?: readonly Local[]
  readonly scalar: Local
  /** See Note: long sums. What was flushed so far, and what its last addition lost. */
  readonly total?: Local
  readonly lost?: Local
  /** Of argmax: where the best was. */
  readonly position?: Local
}

// Note: long sums. A float32 sum of a million equal numbers in one register is off by 1e-3. A long sum is flushed
// every FLUSH turns or so into a total that carries the rounding error of its additions along (Kahan, 1965): the
// error is that of a flush's own turns. The order is fixed, so the bits do not depend on threads.
const FLUSH = 128

const COMBINE = { sum: 'add', max: 'max', prod: 'mul', argmax: 'max' } as const

function identityOf(fn: 'add' | 'max' | 'mul', type: Local['type']): number {
  if (fn === 'add') return 0
  if (fn === 'mul') return 1
  return type === 'f32' ? -Infinity : -(2 ** 31)
}

function buildRow(
  group: RowGroup,
  context: LowerContext,
  plan: RowPlan,
  b: Builder,
  operands: Operands,
  lanes: LanePlace,
  lane: Loop | undefined,
): void {
  const { domain } = group
  const kept = keptIndex(group, domain)
  const last = Math.max(...group.members.map((m) => m.stage))
  for (let stage = 0; stage <= last; stage++) {
    const now = group.members.filter((m) => m.stage === stage)
    const looped = now.filter((m) => m.level === 'full' || m.node.kind === 'reduce')
    const accumulators = now.flatMap((m) => startAccumulator(m, b, lanes, plan))
    const body = (index: readonly Affine[]) => {
      for (const member of looped)
        inLoop(member, index, accumulators, group, context, plan, b, operands)
      for (const member of looped) if (member.level === 'full') b.unbind(member.node)
    }
    const long = accumulators.some((accumulator) => accumulator.total)
    const flushAll = () => {
      for (const accumulator of accumulators) flush(accumulator, b)
    }
    if (looped.length > 0)
      innerLoops(
        plan,
        b,
        lanes,
        lane,
        domain.index,
        domain.inner,
        body,
        long ? flushAll : undefined,
      )
    for (const accumulator of accumulators) {
      const value = finishAccumulator(accumulator, b)
      b.bind(accumulator.node, kept, value)
      if (context.isStored(accumulator.node))
        b.store(accumulator.node, operands.write(accumulator.node), kept, value)
    }
    for (const member of now) {
      if (member.level !== 'row' || member.node.kind === 'reduce') continue
      const value = b.evaluate(member.node, kept)
      b.bind(member.node, kept, value)
      if (context.isStored(member.node))
        b.store(member.node, operands.write(member.node), kept, value)
    }
  }
  for (const member of group.members) b.unbind(member.node)
}

function startAccumulator(
  member: Member,
  b: Builder,
  lanes: LanePlace,
  plan: RowPlan,
): Accumulator[] {
  const { node } = member
  if (node.kind !== 'reduce') return []
  const fn = COMBINE[node.fn]
  const type = typeOfDType(node.args[0].dtype)
  const identity = identityOf(fn, type)
  const scalar = b.local(type, b.lanes)
  b.emit(set(scalar, num(type, identity, b.lanes)))
  if (node.fn === 'argmax') {
    const position = b.local('i32', b.lanes)
    b.emit(set(position, num('i32', 0, b.lanes)))
    return [{ node, fn, scalar, position }]
  }
  const long = fn === 'add' && type === 'f32' && turnsOf(plan, b, lanes, 0) > 2 * FLUSH
  const kept = (width: number) => {
    if (!long) return {}
    const pair = { total: b.local(type, width), lost: b.local(type, width) }
    for (const local of [pair.total, pair.lost]) b.emit(set(local, num(type, 0, width)))
    return pair
  }
  if (lanes !== 'inner') return [{ node, fn, scalar, ...kept(b.lanes) }]
  const vectors = Array.from({ length: TURNS }, () => b.local(type, b.options.lanes))
  for (const vector of vectors) b.emit(set(vector, num(type, identity, b.options.lanes)))
  return [{ node, fn, scalar, vectors, ...kept(b.options.lanes) }]
}

/** Turns of the inner loops from the k-th inwards; a turn adds once to each running register. */
function turnsOf(plan: RowPlan, b: Builder, lanes: LanePlace, k: number): number {
  const turns = plan.inner.slice(k).reduce((n, loop) => n * loop.extent, 1)
  return lanes === 'inner' ? turns / (b.options.lanes * TURNS) : turns
}

/** The running registers as one: the vectors added in pairs. */
function running({ fn, vectors, scalar }: Accumulator): Expr {
  if (!vectors) return localOf(scalar)
  const [first, second, third, fourth] = vectors.map(localOf)
  return call(fn, call(fn, first, second), call(fn, third, fourth))
}

/** Adds what runs to the total, with what the last such addition lost, and begins anew. */
function flush(accumulator: Accumulator, b: Builder): void {
  const { total, lost, vectors, scalar } = accumulator
  if (!total || !lost) return
  const added = b.here(call('sub', running(accumulator), localOf(lost)))
  const sum = b.here(call('add', localOf(total), added))
  b.emit(set(lost, call('sub', call('sub', sum, localOf(total)), added)))
  b.emit(set(total, sum))
  for (const local of vectors ?? [scalar]) b.emit(set(local, num(local.type, 0, local.lanes)))
}

function finishAccumulator(accumulator: Accumulator, b: Builder): Expr {
  const { fn, vectors, scalar, position, total } = accumulator
  if (position) return localOf(position)
  flush(accumulator, b)
  const sum = total ? localOf(total) : b.here(running(accumulator))
  if (!vectors) return sum
  return b.here(call(fn, b.here(across(fn, sum)), localOf(scalar)))
}

function inLoop(
  member: Member,
  index: readonly Affine[],
  accumulators: readonly Accumulator[],
  group: RowGroup,
  context: LowerContext,
  plan: RowPlan,
  b: Builder,
  operands: Operands,
): void {
  const { node } = member
  if (node.kind !== 'reduce') {
    const value = b.evaluate(node, index)
    b.bind(node, index, value)
    if (context.isStored(node)) b.store(node, operands.write(node), index, value)
    else if (plan.kept.has(node)) {
      const at = b.options.scratchOf?.(node, index)
      invariant(at !== undefined, () => 'a kept row has scratch')
      b.emitStore(at.buffer, at.at, 1, b.asStored(node.dtype, value))
    }
    return
  }
  const accumulator = accumulators.find((a) => a.node === node)
  invariant(accumulator !== undefined, () => 'a reduction without an accumulator')
  const { fn, vectors, scalar, position } = accumulator
  const value = b.read(node.args[0], index)
  if (position) {
    const at = linear(
      group.reduced.map((axis) => index[axis]),
      group.reduced.map((axis) => group.shape[axis]),
    )
    const where = isConstant(at) ? num('i32', at.offset) : indexExpr(at)
    const best = localOf(scalar)
    const greater = call('lt', best, value)
    const better =
      value.type === 'f32'
        ? call('or', greater, call('and', call('ne', value, value), call('eq', best, best)))
        : greater
    const take = b.here(splat(better, scalar.lanes))
    b.emit(set(position, call('select', take, splat(where, scalar.lanes), localOf(position))))
    b.emit(set(scalar, call('select', take, splat(value, scalar.lanes), best)))
    return
  }
  const into = vectors && b.lane ? vectors[b.shift / b.options.lanes] : scalar
  b.emit(set(into, call(fn, localOf(into), splat(value, into.lanes))))
}

function innerLoops(
  plan: RowPlan,
  b: Builder,
  lanes: LanePlace,
  lane: Loop | undefined,
  index: readonly Affine[],
  inner: readonly Variable[],
  body: (index: readonly Affine[]) => void,
  flushAll: (() => void) | undefined,
): void {
  if (plan.unrolled) {
    const unroll = (k: number, at: readonly Affine[]): void => {
      if (k === inner.length) {
        body(at)
        return
      }
      const { extent } = plan.inner[k]
      for (let i = 0; i < extent; i++)
        unroll(
          k + 1,
          at.map((affine) => substitute(affine, inner[k], constant(i))),
        )
    }
    unroll(0, index)
    return
  }
  const width = b.options.lanes
  // See Note: long sums. The innermost loop that takes FLUSH turns with those in it is where to flush.
  let level = plan.inner.length - 1
  while (level > 0 && turnsOf(plan, b, lanes, level) < FLUSH) level--
  /** A loop from 0 to `end` by `step`; at the level, in blocks with a flush after each. */
  const walk = (k: number, end: number, step: number, body: () => void): void => {
    const { variable } = plan.inner[k]
    if (!flushAll || k !== level) {
      b.loop(variable, 0, end, step, body)
      return
    }
    const inside = turnsOf(plan, b, lanes, k) / (plan.inner[k].extent / step)
    const size = step * Math.max(1, Math.ceil(FLUSH / Math.max(1, inside)))
    if (end <= 2 * size) {
      b.loop(variable, 0, end, step, body)
      flushAll()
      return
    }
    const block = b.space.names.variable('block')
    b.loop(block, 0, Math.ceil(end / size), 1, () => {
      const from = ofVariable(block, size)
      b.loop(
        variable,
        bound('from', from),
        bound('to', end, addAffine(from, constant(size))),
        step,
        body,
      )
      flushAll()
    })
  }
  const nest = (k: number): void => {
    if (k === plan.inner.length) {
      body(index)
      return
    }
    const loop = plan.inner[k]
    if (lanes !== 'inner' || loop !== lane) {
      walk(k, loop.extent, 1, () => nest(k + 1))
      return
    }
    const whole = loop.extent - (loop.extent % width)
    const turns = whole - (whole % (width * TURNS))
    b.lane = loop.variable
    if (turns > 0)
      walk(k, turns, width * TURNS, () => {
        for (let turn = 0; turn < TURNS; turn++) {
          b.shift = turn * width
          body(index)
        }
        b.shift = 0
      })
    if (turns < whole) b.loop(loop.variable, turns, whole, width, () => body(index))
    b.lane = undefined
    if (whole < loop.extent) b.loop(loop.variable, whole, loop.extent, 1, () => body(index))
  }
  nest(0)
}
