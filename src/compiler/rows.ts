// Lowers a group of rows: loops over the kept axes, and in each row stages of inner loops that compute the
// reductions, each from what the stages before it left in registers or scratch. Element-wise kernels are
// rows without inner axes. Vectors run along the last kept or the last reduced axis, whichever is contiguous
// in more of the tensors touched.
import type { Node } from '../graph/node.js'
import { accessesOf, baseOf, linear } from './access.js'
import { addAffine, bound, coefficientOf, constant, ofVariable, scaleAffine } from './build.js'
import { type Builder, NeedsScalar } from './builder.js'
import { keptIndex, type RowGroup } from './group.js'
import type { Affine, Variable } from './kernel.js'
import { builderFor, finishKernel, type LowerContext, type Lowered, Operands } from './lower.js'
import { type Loop, mergeLoops } from './merge.js'
import {
  finishAccumulator,
  flush,
  inLoop,
  innerLoops,
  type LanePlace,
  type RowPlan,
  startAccumulator,
} from './row-loops.js'

const UNROLL = 16
const CHUNK = 1024
/**
 * Elements along the lanes at a time where a tensor strides along them: each is on a cache line of its own, which the
 * loops inside use up before it is lost.
 */
const STRIDED = 64
/** Vectors of neighbouring rows reduced side by side, at most: each line of memory is then read once, and in order. */
const ABREAST = 9

export function lowerRows(group: RowGroup, context: LowerContext): Lowered {
  const plan = planRows(group, context)
  try {
    return buildRows(group, context, plan, plan.lanes)
  } catch (error) {
    if (!(error instanceof NeedsScalar)) throw error
    return buildRows(group, context, plan, 'none')
  }
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
  const builder: Builder = builderFor(space, operands, context, {
    scratchOf: (node, index) =>
      plan.kept.has(node)
        ? { buffer: operands.scratch(node, rowSize * scratchUnit), at: scratchAt(index) }
        : undefined,
    merge: plan.merge,
  })

  const outerLoops = [...plan.outer]
  const lane =
    lanes === 'outer' ? outerLoops.pop() : lanes === 'inner' ? plan.inner.at(-1) : undefined
  // The lanes' loop is cut in blocks where threads have nothing else to share out, and where it strides.
  const along = lanes === 'outer' ? lane : undefined
  const strides = along && plan.strided && along.extent > STRIDED
  const parallel = strides && along.extent > 3 * STRIDED ? undefined : takeParallel(outerLoops)
  const abreast =
    along && !plan.strided ? vectorsAbreast(group, context, plan, along, parallel !== undefined) : 1
  const size = plan.strided
    ? STRIDED
    : rowSize > 1
      ? width * abreast * Math.ceil(64 / (rowSize * abreast))
      : CHUNK
  const blocks = along ? Math.ceil(along.extent / size) : 1
  const cut = plan.strided && blocks > 1
  const block = parallel && cut ? space.names.variable('block') : undefined
  const variable = parallel?.variable ?? space.names.variable('chunk')
  const extent = parallel?.extent ?? blocks
  builder.outermost(variable)
  const blockVariable = block ?? (parallel ? undefined : variable)

  const row = (vectors = 1) =>
    buildRow(group, context, plan, builder, operands, lanes, lane, vectors)
  const rowsAlongLane = (loop: Loop) => {
    const whole = loop.extent - (loop.extent % width)
    const together = loop.extent - (loop.extent % (width * abreast))
    const base = blockVariable ? ofVariable(blockVariable, size) : constant(0)
    const end = blockVariable ? [addAffine(base, constant(size))] : []
    builder.lane = loop.variable
    if (together > 0) {
      const to = bound('to', together, ...end)
      builder.loop(loop.variable, bound('from', base), to, width * abreast, () => row(abreast))
    }
    if (together < whole) {
      const from = bound('from', together, base)
      builder.loop(loop.variable, from, bound('to', whole, ...end), width, row)
    }
    builder.lane = undefined
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

/** How many vectors of rows are reduced side by side: as many as registers hold, and leave work for the threads. */
function vectorsAbreast(
  group: RowGroup,
  context: LowerContext,
  plan: RowPlan,
  along: Loop,
  shared: boolean,
): number {
  if (plan.unrolled || plan.kept.size > 0 || plan.inner.length === 0) return 1
  const { lanes, tile } = context.machine
  const vectors = Math.floor(along.extent / lanes)
  const sums = new Map<number, number>()
  for (const { node, stage } of group.members)
    if (node.kind === 'reduce') sums.set(stage, (sums.get(stage) ?? 0) + 1)
  const running = Math.max(1, ...sums.values())
  const most = Math.min(ABREAST, Math.floor((tile.splats * tile.vectors + 2) / running))
  const room = shared ? most : Math.min(most, Math.floor(vectors / 4))
  for (let n = Math.min(room, vectors); 2 * n > room; n--) if (vectors % n === 0) return n
  return Math.max(1, Math.min(room, vectors))
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

function buildRow(
  group: RowGroup,
  context: LowerContext,
  plan: RowPlan,
  b: Builder,
  operands: Operands,
  lanes: LanePlace,
  lane: Loop | undefined,
  vectors: number,
): void {
  const { domain } = group
  const kept = keptIndex(group, domain)
  const last = Math.max(...group.members.map((m) => m.stage))
  const each = (body: (vector: number) => void) => {
    for (let vector = 0; vector < vectors; vector++) {
      if (vectors > 1) b.shift = vector * b.options.lanes
      body(vector)
    }
    if (vectors > 1) b.shift = 0
  }
  b.abreast = vectors > 1
  for (let stage = 0; stage <= last; stage++) {
    const now = group.members.filter((m) => m.stage === stage)
    const looped = now.filter((m) => m.level === 'full' || m.node.kind === 'reduce')
    const running = Array.from({ length: vectors }, () =>
      now.flatMap((m) => startAccumulator(m, b, lanes, plan)),
    )
    const body = (index: readonly Affine[]) => {
      each((vector) => {
        for (const member of looped)
          inLoop(member, index, running[vector], group, context, plan, b, operands)
      })
      for (const member of looped) if (member.level === 'full') b.unbind(member.node)
    }
    const accumulators = running.flat()
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
    each((vector) => {
      for (const accumulator of running[vector]) {
        const value = finishAccumulator(accumulator, b)
        b.bind(accumulator.node, kept, value)
        if (context.isStored(accumulator.node))
          b.store(accumulator.node, operands.write(accumulator.node), kept, value)
      }
    })
    for (const member of now) {
      if (member.level !== 'row' || member.node.kind === 'reduce') continue
      each(() => {
        const value = b.evaluate(member.node, kept)
        b.bind(member.node, kept, value)
        if (context.isStored(member.node))
          b.store(member.node, operands.write(member.node), kept, value)
      })
    }
  }
  for (const member of group.members) b.unbind(member.node)
  b.abreast = false
}
