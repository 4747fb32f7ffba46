// Lowers a contraction with the maps that follow it: register tiles of accumulators, vectors along one output
// axis, splats of the operand that lacks it, summed loops clipped to where both operands exist.
import { sizeOf } from '../base/shape.js'
import type { Node } from '../graph/node.js'
import { alwaysHolds, distinct, linear } from './access.js'
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
  shiftAffine,
  splat,
  substitute,
} from './build.js'
import { type Builder, clip, NeedsScalar } from './builder.js'
import { type ContractDomain, contractDomain, type Operand } from './contraction.js'
import type { ContractGroup } from './group.js'
import type { Affine, Bound, Expr, Inside, Local } from './kernel.js'
import { copyItem } from './local.js'
import { builderFor, finishKernel, type LowerContext, type Lowered, Operands } from './lower.js'
import { type Axis, addressOf, planTiles, type Segment, type TilePlan } from './tile-plan.js'
import { byItem, chooseParallel, type Split } from './tile-split.js'

export function lowerContract(group: ContractGroup, context: LowerContext): Lowered {
  // Building changes the extents of a domain's axes as it walks them, so each attempt has its own.
  const attempt = (vectors: boolean) => {
    const domain = contractDomain(
      group.chain,
      (base) => group.locals.has(base) || context.inMemory(base),
    )
    return build(group, context, domain, planTiles(group, context, domain, vectors), vectors)
  }
  try {
    return attempt(true)
  } catch (error) {
    if (!(error instanceof NeedsScalar)) throw error
    return attempt(false)
  }
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
  /** The lanes' offsets in the segment at hand. */
  private offsets: readonly number[] = []

  constructor(group: ContractGroup, context: LowerContext, domain: ContractDomain, plan: TilePlan) {
    this.group = group
    this.context = context
    this.domain = domain
    this.plan = plan
    this.operands = new Operands(context)
    this.end = group.members[0].node
    this.b = builderFor(domain.space, this.operands, context)
  }

  /** Loops of one segment; `body` gets what the axis's variable stands for there. */
  walk(
    axis: Axis | undefined,
    segment: Segment | undefined,
    body: (at: Affine | undefined) => void,
  ): void {
    if (!axis || !segment) {
      body(undefined)
      return
    }
    const { b } = this
    if (segment.trips === 1) {
      body(constant(segment.start))
      return
    }
    const turn = this.domain.space.names.variable(`${axis.variable.name}t`)
    this.domain.space.extents.set(turn.id, segment.trips)
    b.loop(turn, 0, segment.trips, 1, () => body(ofVariable(turn, segment.step, segment.start)))
  }

  /** Vectors keep the axis's own variable, in steps: the builder sees by it what varies along the lanes. */
  walkLanes(segment: Segment | undefined, split: Split, body: () => void): void {
    const axis = this.plan.lane
    if (!axis || !segment) {
      body()
      return
    }
    const { space } = this.domain
    const last = segment.start + (segment.trips - 1) * segment.step
    const walk = (from: Bound | number, to: Bound | number) => {
      // Positions, which a vector has more of than its first.
      space.extents.set(axis.variable.id, last + segment.lanes)
      if (segment.lanes > 1) this.b.lane = axis.variable
      this.b.loop(axis.variable, from, to, segment.step, body)
      this.b.lane = undefined
      space.extents.set(axis.variable.id, axis.extent)
    }
    if (split.lanes === undefined) walk(segment.start, last + 1)
    else if (segment === this.plan.laneSegments[0]) {
      const from = ofVariable(split.variable, split.lanes, segment.start)
      walk(bound('from', from), bound('to', shiftAffine(from, split.lanes)))
    } else
      this.b.when([{ affine: ofVariable(split.variable, 1, 1 - split.extent), extent: 1 }], () =>
        walk(segment.start, last + 1),
      )
  }

  /** The panel's copy for one segment of lanes: [summed…, vector, lane]. */
  copyPanel(segment: Segment | undefined): void {
    const { b, plan, domain } = this
    if (!plan.panel || !segment) return
    this.offsets = segment.offsets
    const operand = domain[plan.panel]
    if (!('at' in operand)) return
    const address = plan.cuts.reduce(
      (at, cut) => substitute(at, cut.variable, cut.whole),
      this.own(operand),
    )
    const from = this.bufferOf(operand.base)
    if (from === undefined) return
    const nest = (k: number): void => {
      if (k < plan.summed.length) {
        const { variable, extent } = plan.summed[k]
        b.loop(variable, 0, extent, 1, () => nest(k + 1))
        return
      }
      for (const lane of segment.offsets) {
        const at = plan.lane
          ? substitute(address, plan.lane.variable, ofVariable(plan.lane.variable, 1, lane))
          : address
        const stride = b.lane ? coefficientOf(at, b.lane) : 1
        const value = b.place(load('float32', from, at, { lanes: b.lanes, stride }))
        b.emitStore(this.panelBuffer(operand.base), this.panelAt(lane), 1, value)
      }
    }
    nest(0)
  }

  /** Where the panel holds what belongs to this offset of the lanes. */
  private panelAt(lane: number): Affine {
    const { plan, b } = this
    const width = this.offsets.length * b.lanes
    let at = constant(this.offsets.indexOf(lane) * b.lanes)
    let stride = width
    for (const axis of [...plan.summed].reverse()) {
      at = addAffine(at, ofVariable(axis.variable, stride))
      stride *= axis.extent
    }
    return at
  }

  private panelBuffer(base: Node): number {
    const { plan, context } = this
    const rows = plan.summed.reduce((n, axis) => n * axis.extent, 1)
    const { lanes, tile } = context.machine
    return this.operands.scratch(base, rows * lanes * tile.vectors, 'panel')
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
      for (const cut of plan.cuts) out = substitute(out, cut.variable, cut.whole)
      return out
    }
    const accumulators = places.map(() => b.local('f32', width))
    const zeros = () => {
      for (const acc of accumulators) b.emit(set(acc, num('f32', 0, width)))
    }
    const endAt = (place: Place) => domain.endIndex.map((affine) => at(affine, place))
    zeros()
    this.sum(places, accumulators, at, width)
    const out = this.operands.write(this.end)
    if (plan.hoisted.length > 0) this.addPartials(places, accumulators, endAt, out)
    const { core } = this.group
    const partial = () => {
      places.forEach((place, i) => {
        b.store(this.end, out, endAt(place), localOf(accumulators[i]))
      })
    }
    if (this.end === core) {
      partial()
      return
    }
    const finish = () => {
      places.forEach((place, i) => {
        const index = domain.index.map((affine) => at(affine, place))
        b.bind(core, index, localOf(accumulators[i]))
        b.store(this.end, out, endAt(place), b.evaluate(this.end, endAt(place)))
      })
      b.unbind(core)
    }
    if (plan.hoisted.length === 0) {
      finish()
      return
    }
    const last = plan.hoisted.map((axis) => ({
      affine: ofVariable(axis.variable, 1, 1 - axis.extent),
      extent: 1,
    }))
    b.when(last, finish, partial)
  }

  /**
   * What earlier blocks of the sum left in memory is added to this one's: a sum of sums, whose error grows with the
   * block and with the number of blocks, not with their product.
   */
  private addPartials(
    places: readonly Place[],
    accumulators: readonly Local[],
    endAt: (place: Place) => readonly Affine[],
    out: number,
  ): void {
    const { b, plan } = this
    const first = plan.hoisted.map((axis) => ({ affine: ofVariable(axis.variable), extent: 1 }))
    const add = () => {
      places.forEach((place, i) => {
        const address = linear(endAt(place), this.end.shape)
        const stride = b.lane ? coefficientOf(address, b.lane) : 1
        const before = load('float32', out, address, { lanes: b.lanes, stride })
        b.emit(set(accumulators[i], call('add', localOf(accumulators[i]), before)))
      })
    }
    b.when(first, () => {}, add)
    this.operands.buffers[out].read = true
  }

  /** The loops of the sum, clipped, and the multiply-adds. */
  private sum(
    places: readonly Place[],
    accumulators: readonly Local[],
    at: (affine: Affine, place: Place) => Affine,
    width: number,
  ): void {
    const { b, plan, domain } = this
    const tiled = [plan.rows, plan.columns].filter((axis) => axis !== undefined)
    const ofTile = (condition: Inside) =>
      tiled.some((axis) => coefficientOf(condition.affine, axis.variable) !== 0)
    const all = [...domain.a.inside, ...domain.b.inside]
    const conditions = all.filter((condition) => !ofTile(condition))
    const ofPlaces = all.filter(ofTile)
    const first = places[0]
    const clipped = new Map<number, Inside[]>()
    const outside: Inside[] = []
    for (const condition of conditions) {
      const turn = [...plan.summed]
        .reverse()
        .find((axis) => coefficientOf(condition.affine, axis.variable) !== 0)
      // No tiled variable is in these conditions, so any place stands for all.
      const held = { affine: at(condition.affine, first), extent: condition.extent }
      if (!turn) {
        if (!alwaysHolds(held, domain.space)) outside.push(held)
      } else {
        const list = clipped.get(turn.variable.id)
        if (list) list.push(held)
        else clipped.set(turn.variable.id, [held])
      }
    }
    const nest = (k: number): void => {
      if (k === plan.summed.length) {
        this.multiplyInside(ofPlaces, places, accumulators, at, width)
        return
      }
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

  /** The multiply-adds, of those places that are inside. */
  private multiplyInside(
    conditions: readonly Inside[],
    places: readonly Place[],
    accumulators: readonly Local[],
    at: (affine: Affine, place: Place) => Affine,
    width: number,
  ): void {
    const { b, domain } = this
    const held = (place: Place) =>
      conditions
        .map(({ affine, extent }): Inside => ({ affine: at(affine, place), extent }))
        .filter((condition) => !alwaysHolds(condition, domain.space))
    const every = distinct(places.flatMap(held))
    const whole = () => this.multiply(places, accumulators, at, width)
    if (every.length === 0) {
      whole()
      return
    }
    b.when(every, whole, () => {
      places.forEach((place, i) => {
        const one = () => this.multiply([place], [accumulators[i]], at, width)
        const own = held(place)
        if (own.length > 0) b.when(own, one)
        else one()
      })
    })
  }

  private multiply(
    places: readonly Place[],
    accumulators: readonly Local[],
    at: (affine: Affine, place: Place) => Affine,
    width: number,
  ): void {
    const { b, domain, plan } = this
    const loaded = new Map<string, Expr>()
    const fetch = (operand: Operand, name: 'a' | 'b', place: Place): Expr => {
      if ('value' in operand) return num('f32', operand.value, width)
      const packed = plan.panel === name
      const address = packed ? this.panelAt(place.lane) : at(this.own(operand), place)
      const key = `${name}${affineKey(address)}`
      const known = loaded.get(key)
      if (known) return known
      const buffer = packed ? this.panelBuffer(operand.base) : this.bufferOf(operand.base)
      if (buffer === undefined)
        throw new Error('internal: an operand of a contraction is not in memory')
      const stride = b.lane && !packed ? coefficientOf(address, b.lane) : 1
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

function build(
  group: ContractGroup,
  context: LowerContext,
  domain: ContractDomain,
  plan: TilePlan,
  vectors: boolean,
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
    if (split.blocks) {
      split.blocks(b, body)
      return
    }
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
      t.walkLanes(segment, split, () => {
        t.copyPanel(segment)
        nest(inside, 0, () => columnsThen(segment))
      })
  }
  const hoistedThen = () => {
    const nestHoisted = (k: number): void => {
      if (k === plan.hoisted.length) {
        nest(outside, 0, lanesThen)
        return
      }
      const { variable, extent } = plan.hoisted[k]
      b.loop(variable, 0, extent, 1, () => nestHoisted(k + 1))
    }
    nestHoisted(0)
  }
  const nest = (loops: readonly Axis[], k: number, then: () => void): void => {
    if (k === loops.length) {
      then()
      return
    }
    const { variable, extent } = loops[k]
    b.loop(variable, 0, extent, 1, () => nest(loops, k + 1, then))
  }
  const [item] = domain.outer
  for (const copy of group.locals) {
    const buffer = t.bufferOf(copy)
    if (buffer !== undefined) copyItem(b, copy, ofVariable(item), buffer, vectors)
  }
  hoistedThen()
  const products = group.core.spec.extents.reduce((product, n) => product * n, 1)
  const conditions = [...domain.a.inside, ...domain.b.inside]
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
