// Lowers a contraction with the maps that follow it: register tiles of accumulators, vectors along one output
// axis, splats of the operand that lacks it, summed loops clipped to where both operands exist.
//
// After ../shared measurements of micro-kernels (docs/architecture.md, "contractions"): 2 splats × 4 vectors, or
// 4 × 2, keep WebAssembly's 16 registers busy without spilling; loops over the sum are never unrolled.
import { sizeOf } from '../base/shape.js'
import type { Node } from '../graph/node.js'
import { linear, rangeOf } from './access.js'
import {
  addAffine,
  affineKey,
  bound,
  call,
  coefficientOf,
  constant,
  load,
  localOf,
  num,
  ofVariable,
  set,
  splat,
  substitute,
} from './build.js'
import { Builder, clip, NeedsScalar } from './builder.js'
import { type ContractDomain, contractDomain, type Operand } from './contraction.js'
import type { ContractGroup } from './fuse.js'
import type { Affine, Bound, Expr, Inside, Local, Variable } from './kernel.js'
import { copyItem } from './local.js'
import { finishKernel, type LowerContext, type Lowered, Operands } from './lower.js'

/** Accumulators that fit the registers beside the operands. */
const ACCUMULATORS = 8
/** First-level caches that a tile's panel must fill before sums are cut into blocks. */
const HOIST_FROM = 1.5

/** How one output axis is walked: `trips` turns of `step` from `start`, each at `offsets`. */
interface Segment {
  readonly start: number
  readonly trips: number
  readonly step: number
  readonly offsets: readonly number[]
  readonly lanes: number
}

interface Axis {
  readonly variable: Variable
  readonly extent: number
}

interface TilePlan {
  readonly lane: Axis | undefined
  readonly rows: Axis | undefined
  readonly columns: Axis | undefined
  readonly laneSegments: readonly Segment[]
  readonly rowSegments: readonly Segment[]
  readonly columnSegments: readonly Segment[]
  readonly loops: readonly Axis[]
  /** Summed axes outside of the output's loops: sums are accumulated in memory. */
  readonly hoisted: readonly Axis[]
  readonly summed: readonly Axis[]
}

export function lowerContract(group: ContractGroup, context: LowerContext): Lowered {
  const domain = contractDomain(
    group.chain,
    (base) => group.locals.has(base) || context.inMemory(base),
  )
  try {
    return build(group, context, domain, planTiles(group, context, domain, true))
  } catch (error) {
    if (!(error instanceof NeedsScalar)) throw error
    return build(group, context, domain, planTiles(group, context, domain, false))
  }
}

const conditionsOf = (operand: Operand) => ('inside' in operand ? operand.inside : [])
const addressOf = (operand: Operand): Affine => ('at' in operand ? operand.at : constant(0))

function planTiles(
  group: ContractGroup,
  context: LowerContext,
  domain: ContractDomain,
  vectors: boolean,
): TilePlan {
  const { space, a, b } = domain
  const end = group.members[0].node
  const axisOf = (variable: Variable): Axis => ({
    variable,
    extent: space.extents.get(variable.id) ?? 1,
  })
  const outer = domain.outer.map(axisOf)
  const summed = domain.summed.map(axisOf)
  const conditions = [...conditionsOf(a), ...conditionsOf(b)]
  const free = (axis: Axis) => conditions.every((c) => coefficientOf(c.affine, axis.variable) === 0)
  const inA = (axis: Axis) => coefficientOf(addressOf(a), axis.variable)
  const inB = (axis: Axis) => coefficientOf(addressOf(b), axis.variable)
  const inEnd = (axis: Axis) => coefficientOf(linear(domain.endIndex, end.shape), axis.variable)

  // The item whose copy is in scratch is a loop of its own.
  const item = group.locals.size > 0 ? domain.outer[0] : undefined
  const width = vectors ? context.machine.lanes : 1
  const lane = vectors
    ? chooseLane(
        outer.filter((axis) => axis.variable !== item),
        width,
        free,
        inA,
        inB,
        inEnd,
      )
    : undefined
  const others = outer.filter((axis) => axis !== lane && axis.variable !== item && free(axis))
  const onlyA = others.filter((axis) => inA(axis) !== 0 && inB(axis) === 0)
  const onlyB = others.filter((axis) => inB(axis) !== 0 && inA(axis) === 0)
  const largest = (list: readonly Axis[]) =>
    list.reduce<Axis | undefined>(
      (best, axis) => (best && best.extent >= axis.extent ? best : axis),
      undefined,
    )

  let rows: Axis | undefined
  let columns: Axis | undefined
  let vectorsAcross = 1
  let rowTile = 1
  let columnTile = 1
  const inBoth = lane && inA(lane) !== 0 && inB(lane) !== 0
  if (lane && !inBoth) {
    vectorsAcross = Math.min(context.machine.tile.vectors, Math.ceil(lane.extent / width))
    rows = largest(inA(lane) !== 0 ? onlyB : onlyA)
    rowTile = rows ? divisorNear(rows.extent, Math.floor(ACCUMULATORS / vectorsAcross)) : 1
  } else {
    rows = largest(onlyA)
    columns = largest(onlyB)
    const most = rows && columns ? [4, 2] : [6, 6]
    rowTile = rows ? divisorNear(rows.extent, most[0]) : 1
    columnTile = columns ? divisorNear(columns.extent, most[1]) : 1
  }
  const loops = outer.filter((axis) => axis !== lane && axis !== rows && axis !== columns)
  const hoisted = group.chain.length === 1 ? hoist(summed, width * vectorsAcross, context) : []
  return {
    lane,
    rows,
    columns,
    laneSegments: lane ? laneSegments(lane.extent, width, vectorsAcross, hoisted.length === 0) : [],
    rowSegments: rows ? tileSegments(rows.extent, rowTile) : [],
    columnSegments: columns ? tileSegments(columns.extent, columnTile) : [],
    loops,
    hoisted,
    summed: summed.slice(hoisted.length),
  }
}

/**
 * The leading summed axes that go outside of the output's loops, so that the panel one tile reads stays in the
 * first-level cache and serves all tiles; partial sums then pass through memory, once a block.
 */
function hoist(
  summed: readonly Axis[],
  panelWidth: number,
  context: LowerContext,
): readonly Axis[] {
  const panel = (axes: readonly Axis[]) =>
    axes.reduce((n, axis) => n * axis.extent, 1) * panelWidth * 4
  if (panel(summed) <= HOIST_FROM * context.machine.firstLevelCache) return []
  let count = 0
  while (count < summed.length - 1 && panel(summed.slice(count)) > context.machine.firstLevelCache)
    count++
  return summed.slice(0, count)
}

/** The output axis for vectors: contiguous in the result and in one operand or both, and never clipped. */
function chooseLane(
  outer: readonly Axis[],
  width: number,
  free: (axis: Axis) => boolean,
  inA: (axis: Axis) => number,
  inB: (axis: Axis) => number,
  inEnd: (axis: Axis) => number,
): Axis | undefined {
  const unit = (c: number) => (c === 1 ? 2 : c === 0 ? 1 : 0)
  let best: Axis | undefined
  let bestScore = 0
  for (const axis of outer) {
    if (axis.extent < width || !free(axis)) continue
    if (inA(axis) === 0 && inB(axis) === 0) continue
    const score = unit(inA(axis)) + unit(inB(axis)) + (inEnd(axis) === 1 ? 2 : 0)
    if (score >= bestScore) {
      best = axis
      bestScore = score
    }
  }
  return best
}

/** The largest divisor from `most` down to half of it, else `most` itself (with a rest). */
function divisorNear(extent: number, most: number): number {
  if (extent <= most) return extent
  for (let t = most; t > most / 2; t--) if (extent % t === 0) return t
  return most
}

function tileSegments(extent: number, tile: number): Segment[] {
  const trips = Math.floor(extent / tile)
  const offsets = (n: number) => Array.from({ length: n }, (_, i) => i)
  const rest = extent - trips * tile
  const out: Segment[] = [{ start: 0, trips, step: tile, offsets: offsets(tile), lanes: 1 }]
  if (rest > 0)
    out.push({ start: trips * tile, trips: 1, step: rest, offsets: offsets(rest), lanes: 1 })
  return out
}

/**
 * Vectors along an axis. What is left over is computed by a vector that overlaps the one before it, or, where
 * results are accumulated in memory, by scalars.
 */
function laneSegments(extent: number, width: number, vectors: number, overlap: boolean): Segment[] {
  const step = width * vectors
  const trips = Math.floor(extent / step)
  const out: Segment[] = []
  const offsets = (n: number) => Array.from({ length: n }, (_, i) => i * width)
  if (trips > 0) out.push({ start: 0, trips, step, offsets: offsets(vectors), lanes: width })
  const start = trips * step
  const rest = extent - start
  if (rest === 0) return out
  const whole = Math.floor(rest / width)
  const left = rest % width
  const list = offsets(whole)
  if (left > 0 && overlap) list.push(rest - width)
  if (list.length > 0) out.push({ start, trips: 1, step: rest, offsets: list, lanes: width })
  if (left > 0 && !overlap)
    out.push({
      start: start + whole * width,
      trips: 1,
      step: left,
      offsets: Array.from({ length: left }, (_, i) => i),
      lanes: 1,
    })
  return out
}

/** One accumulator of a tile: what to add to the tiled variables. */
interface Place {
  readonly row: number
  readonly column: number
  readonly lane: number
}

class TileBuilder {
  readonly group: ContractGroup
  readonly context: LowerContext
  readonly domain: ContractDomain
  readonly plan: TilePlan
  readonly operands: Operands
  readonly b: Builder
  private readonly end: Node

  constructor(group: ContractGroup, context: LowerContext, domain: ContractDomain, plan: TilePlan) {
    this.group = group
    this.context = context
    this.domain = domain
    this.plan = plan
    this.operands = new Operands(context)
    this.end = group.members[0].node
    this.b = new Builder({
      space: domain.space,
      bufferOf: (base) => this.operands.of(base),
      lanes: context.machine.lanes,
      reportCode: context.reportCode,
    })
  }

  /** Loops of one segment; `body` gets what the axis's variable stands for there. */
  walk(
    axis: Axis | undefined,
    segment: Segment | undefined,
    body: (at: Affine | undefined) => void,
  ): void {
    if (!axis || !segment) return body(undefined)
    const { b } = this
    if (segment.trips === 1) return body(constant(segment.start))
    const turn = this.domain.space.names.variable(`${axis.variable.name}t`)
    this.domain.space.extents.set(turn.id, segment.trips)
    b.loop(turn, 0, segment.trips, 1, () => body(ofVariable(turn, segment.step, segment.start)))
  }

  /** Vectors keep the axis's own variable, in steps: the builder sees by it what varies along the lanes. */
  walkLanes(segment: Segment | undefined, body: () => void): void {
    const axis = this.plan.lane
    if (!axis || !segment) return body()
    const { space } = this.domain
    const last = segment.start + (segment.trips - 1) * segment.step
    space.extents.set(axis.variable.id, last + 1)
    if (segment.lanes > 1) this.b.lane = axis.variable
    this.b.loop(axis.variable, segment.start, last + 1, segment.step, body)
    this.b.lane = undefined
    space.extents.set(axis.variable.id, axis.extent)
  }

  tile(
    rowAt: Affine | undefined,
    columnAt: Affine | undefined,
    rows: readonly number[],
    columns: readonly number[],
    lanes: readonly number[],
  ): void {
    const { b, plan, domain } = this
    const width = b.lanes
    const places: Place[] = []
    for (const row of rows)
      for (const column of columns) for (const lane of lanes) places.push({ row, column, lane })
    const at = (affine: Affine, place: Place): Affine => {
      let out = affine
      if (plan.rows && rowAt)
        out = substitute(out, plan.rows.variable, addAffine(rowAt, constant(place.row)))
      if (plan.columns && columnAt)
        out = substitute(out, plan.columns.variable, addAffine(columnAt, constant(place.column)))
      if (plan.lane)
        out = substitute(out, plan.lane.variable, ofVariable(plan.lane.variable, 1, place.lane))
      return out
    }
    const accumulators = places.map(() => b.local('f32', width))
    const zeros = () => {
      for (const acc of accumulators) b.emit(set(acc, num('f32', 0, width)))
    }
    const endAt = (place: Place) => domain.endIndex.map((affine) => at(affine, place))
    if (plan.hoisted.length > 0) {
      const out = this.operands.write(this.end)
      const first = plan.hoisted.map((axis) => ({ affine: ofVariable(axis.variable), extent: 1 }))
      b.when(first, zeros, () => {
        places.forEach((place, i) => {
          const address = linear(endAt(place), this.end.shape)
          const stride = b.lane ? coefficientOf(address, b.lane) : 1
          b.emit(set(accumulators[i], load('float32', out, address, { lanes: width, stride })))
        })
      })
      this.operands.buffers[out].read = true
    } else zeros()
    this.sum(places, accumulators, at, width)
    places.forEach((place, i) => {
      const index = domain.index.map((affine) => at(affine, place))
      const end = endAt(place)
      const core = this.group.core
      b.bind(core, index, localOf(accumulators[i]))
      const value = this.end === core ? localOf(accumulators[i]) : b.evaluate(this.end, end)
      b.store(this.end, this.operands.write(this.end), end, value)
    })
    b.unbind(this.group.core)
  }

  /** The loops of the sum, clipped, and the multiply-adds. */
  private sum(
    places: readonly Place[],
    accumulators: readonly Local[],
    at: (affine: Affine, place: Place) => Affine,
    width: number,
  ): void {
    const { b, plan, domain } = this
    const conditions = [...conditionsOf(domain.a), ...conditionsOf(domain.b)]
    const first = places[0]
    const clipped = new Map<number, Inside[]>()
    const outside: Inside[] = []
    for (const condition of conditions) {
      const turn = [...plan.summed]
        .reverse()
        .find((axis) => coefficientOf(condition.affine, axis.variable) !== 0)
      // Tiled variables are free of conditions, so any place stands for all.
      const held = { affine: at(condition.affine, first), extent: condition.extent }
      if (!turn) {
        if (!alwaysHolds(held, domain)) outside.push(held)
      } else {
        const list = clipped.get(turn.variable.id)
        if (list) list.push(held)
        else clipped.set(turn.variable.id, [held])
      }
    }
    const nest = (k: number): void => {
      if (k === plan.summed.length) return this.multiply(places, accumulators, at, width)
      const { variable, extent } = plan.summed[k]
      const from: Bound[number][] = []
      const to: Bound[number][] = []
      for (const condition of clipped.get(variable.id) ?? []) {
        const limits = clip(condition, variable)
        from.push(...limits.from)
        to.push(...limits.to)
      }
      b.loop(variable, bound('from', 0, ...from), bound('to', extent, ...to), 1, () => nest(k + 1))
    }
    if (outside.length > 0) b.when(outside, () => nest(0))
    else nest(0)
  }

  bufferOf(base: Node): number | undefined {
    if (!this.group.locals.has(base)) return this.operands.of(base)
    return this.operands.scratch(base, sizeOf(base.shape.slice(1)))
  }

  /** The address in the item's own copy, for an operand that has one. */
  private own(operand: Extract<Operand, { at: Affine }>): Affine {
    if (!this.group.locals.has(operand.base)) return operand.at
    const [item] = this.domain.outer
    return substitute(operand.at, item, constant(0))
  }

  private multiply(
    places: readonly Place[],
    accumulators: readonly Local[],
    at: (affine: Affine, place: Place) => Affine,
    width: number,
  ): void {
    const { b, domain } = this
    const loaded = new Map<string, Expr>()
    const fetch = (operand: Operand, name: string, place: Place): Expr => {
      if ('value' in operand) return num('f32', operand.value, width)
      const address = at(this.own(operand), place)
      const key = `${name}${affineKey(address)}`
      const known = loaded.get(key)
      if (known) return known
      const buffer = this.bufferOf(operand.base)
      if (buffer === undefined)
        throw new Error('internal: an operand of a contraction is not in memory')
      const stride = b.lane ? coefficientOf(address, b.lane) : 1
      const local = b.local('f32', width)
      b.emit(set(local, load('float32', buffer, address, { lanes: width, stride })))
      const value = localOf(local)
      loaded.set(key, value)
      return value
    }
    places.forEach((place, i) => {
      const x = fetch(domain.a, 'a', place)
      const y = fetch(domain.b, 'b', place)
      const acc = localOf(accumulators[i])
      const one = (e: Expr) => e.op === 'number' && e.value === 1
      const sum = one(y)
        ? call('add', acc, x)
        : one(x)
          ? call('add', acc, y)
          : call('fma', x, y, acc)
      b.emit(set(accumulators[i], splat(sum, width)))
    })
  }
}

/** The share of a condition's variables' values for which it holds. */
function shareInside(condition: Inside, domain: ContractDomain): number {
  let counts = new Map([[condition.affine.offset, 1]])
  for (const [variable, coefficient] of condition.affine.terms) {
    const extent = domain.space.extents.get(variable.id) ?? 1
    const next = new Map<number, number>()
    for (const [value, count] of counts)
      for (let i = 0; i < extent; i++) {
        const at = value + coefficient * i
        next.set(at, (next.get(at) ?? 0) + count)
      }
    counts = next
  }
  let inside = 0
  let all = 0
  for (const [value, count] of counts) {
    all += count
    if (value >= 0 && value < condition.extent) inside += count
  }
  return inside / all
}

function alwaysHolds(condition: Inside, domain: ContractDomain): boolean {
  const [least, most] = rangeOf(condition.affine, domain.space)
  return least >= 0 && most < condition.extent
}

function build(
  group: ContractGroup,
  context: LowerContext,
  domain: ContractDomain,
  plan: TilePlan,
): Lowered {
  const t = new TileBuilder(group, context, domain, plan)
  const { b } = t
  const loops = [...plan.loops]
  const split = group.locals.size > 0 ? byItem(loops, domain) : chooseParallel(loops, plan, domain)
  b.outermost(split.variable)

  // Lanes outside of rows: the operand that has the lanes is read once for all rows, from the first-level cache.
  const rowsThen = (
    columnAt: Affine | undefined,
    column: Segment | undefined,
    lane: Segment | undefined,
  ) => {
    const body = (rowAt: Affine | undefined, row: Segment | undefined) =>
      t.tile(rowAt, columnAt, row?.offsets ?? [0], column?.offsets ?? [0], lane?.offsets ?? [0])
    if (split.blocks) return split.blocks(b, body)
    const segments = plan.rows ? plan.rowSegments : [undefined]
    for (const segment of segments) t.walk(plan.rows, segment, (rowAt) => body(rowAt, segment))
  }
  const columnsThen = (lane: Segment | undefined) => {
    const segments = plan.columns ? plan.columnSegments : [undefined]
    for (const segment of segments)
      t.walk(plan.columns, segment, (columnAt) => rowsThen(columnAt, segment, lane))
  }
  // A loop that the operand with the lanes does not depend on goes inside: its panel is read once for all turns.
  const carriers = [domain.a, domain.b].filter(
    (operand) => plan.lane && coefficientOf(addressOf(operand), plan.lane.variable) !== 0,
  )
  const inside = plan.lane
    ? split.before.filter((axis) =>
        carriers.every((operand) => coefficientOf(addressOf(operand), axis.variable) === 0),
      )
    : []
  const outside = split.before.filter((axis) => !inside.includes(axis))
  const lanesThen = () => {
    const segments = plan.lane ? plan.laneSegments : [undefined]
    for (const segment of segments)
      t.walkLanes(segment, () => nest(inside, 0, () => columnsThen(segment)))
  }
  const hoistedThen = () => {
    const nestHoisted = (k: number): void => {
      if (k === plan.hoisted.length) return nest(outside, 0, lanesThen)
      const { variable, extent } = plan.hoisted[k]
      b.loop(variable, 0, extent, 1, () => nestHoisted(k + 1))
    }
    nestHoisted(0)
  }
  const nest = (loops: readonly Axis[], k: number, then: () => void): void => {
    if (k === loops.length) return then()
    const { variable, extent } = loops[k]
    b.loop(variable, 0, extent, 1, () => nest(loops, k + 1, then))
  }
  const [item] = domain.outer
  for (const copy of group.locals) {
    const buffer = t.bufferOf(copy)
    if (buffer !== undefined) copyItem(b, copy, ofVariable(item), buffer)
  }
  hoistedThen()
  const products = group.core.spec.extents.reduce((product, n) => product * n, 1)
  const conditions = [...conditionsOf(domain.a), ...conditionsOf(domain.b)]
  const flops = Math.round(conditions.reduce((f, c) => f * shareInside(c, domain), 2 * products))
  return finishKernel(
    context,
    t.operands,
    { variable: split.variable, extent: split.extent },
    b.statements,
    group.chain.filter((node) => node.kind !== 'view'),
    flops,
  )
}

interface Split {
  readonly variable: Variable
  readonly extent: number
  /** The loops left, outermost first. */
  readonly before: readonly Axis[]
  /** Where the tile's rows are what is split: runs the rows of one block. */
  readonly blocks?: (b: Builder, body: (rowAt: Affine, row: Segment) => void) => void
}

/** Threads share out the first axis: each item's copy is made once. */
function byItem(loops: readonly Axis[], domain: ContractDomain): Split {
  const [item] = domain.outer
  return {
    variable: item,
    extent: domain.space.extents.get(item.id) ?? 1,
    before: loops.filter((axis) => axis.variable !== item),
  }
}

/** What the threads share out: an untiled output axis, or blocks of row tiles. */
function chooseParallel(loops: readonly Axis[], plan: TilePlan, domain: ContractDomain): Split {
  const { names, extents } = domain.space
  const tiles = plan.rows ? plan.rowSegments[0].trips : 1
  const best = loops.reduce<Axis | undefined>(
    (found, axis) => (found && found.extent >= Math.min(4, axis.extent) ? found : axis),
    undefined,
  )
  if (best && (best.extent >= 4 || best.extent >= tiles))
    return {
      variable: best.variable,
      extent: best.extent,
      before: loops.filter((axis) => axis !== best),
    }
  if (!plan.rows || tiles < 2)
    return best
      ? {
          variable: best.variable,
          extent: best.extent,
          before: loops.filter((axis) => axis !== best),
        }
      : { variable: names.variable('once'), extent: 1, before: loops }
  const count = largestDivisor(tiles, plan.hoisted.length > 0 ? 8 : 16)
  const turns = tiles / count
  const variable = names.variable('block')
  extents.set(variable.id, count)
  const [main, rest] = plan.rowSegments
  return {
    variable,
    extent: count,
    before: loops,
    blocks: (b, body) => {
      const first = ofVariable(variable, turns * main.step)
      if (turns === 1) body(first, main)
      else {
        const turn = names.variable('tile')
        extents.set(turn.id, turns)
        b.loop(turn, 0, turns, 1, () => body(addAffine(first, ofVariable(turn, main.step)), main))
      }
      if (rest)
        b.when([{ affine: ofVariable(variable, 1, 1 - count), extent: 1 }], () =>
          body(constant(rest.start), rest),
        )
    },
  }
}

function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, most); d > 3; d--) if (n % d === 0) return d
  return n
}
