// How a contraction is tiled: which axis the vectors run along, which axes make the rows and columns of a
// register tile, and which summed loops go outside.
//
// The sizes come from measurements of micro-kernels: 2 splats × 4 vectors, or 4 × 2, keep WebAssembly's 16
// registers busy without spilling; the machine description says which.
import { linear } from './access.js'
import { addAffine, coefficientOf, constant, ofVariable, substitute } from './build.js'
import type { ContractDomain, Operand } from './contraction.js'
import type { ContractGroup } from './group.js'
import type { Affine, Variable } from './kernel.js'
import type { LowerContext } from './lower.js'

/** First-level caches that a tile's panel must fill before sums are cut into blocks. */
const HOIST_FROM = 1.5
/** Tiles that must share a panel for its copy to pay. */
const PANEL_USES = 8
/** Elements from one row of a panel to the next from which it is copied. */
const FAR_APART = 128
/** Bytes of the largest panel. */
const MOST_PANEL = 128 * 1024
/** Rows of a large operand read side by side where nothing else would use them again. */
const STREAMS = 16
/** A sum is not cut in shorter blocks than this: each passes the partial sums through memory once. */
const LEAST_BLOCK = 64

/** How one output axis is walked: `trips` turns of `step` from `start`, each at `offsets`. */
export interface Segment {
  readonly start: number
  readonly trips: number
  readonly step: number
  readonly offsets: readonly number[]
  readonly lanes: number
}

export interface Axis {
  readonly variable: Variable
  readonly extent: number
}

export interface TilePlan {
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
  /** The operand whose panel, one tile's share of lanes over the inner sum, is copied into scratch first. */
  readonly panel: 'a' | 'b' | undefined
  /** Summed axes cut in two: what stands for the variable. */
  readonly cuts: readonly { readonly variable: Variable; readonly whole: Affine }[]
}

export const addressOf = (operand: Operand): Affine => ('at' in operand ? operand.at : constant(0))

export function planTiles(
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
  const conditions = [...a.inside, ...b.inside]
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
  let rows: Axis | undefined
  let columns: Axis | undefined
  let vectorsAcross = 1
  let rowTile = 1
  let columnTile = 1
  const accumulators = context.machine.tile.splats * context.machine.tile.vectors
  const inBoth = lane && inA(lane) !== 0 && inB(lane) !== 0
  const taps = inBoth
    ? tapsOf(
        outer.filter((axis) => axis !== lane && axis.variable !== item),
        inA,
        inB,
        accumulators,
      )
    : undefined
  if (taps) {
    ;[rows, columns] = taps
    rowTile = rows.extent
    columnTile = columns.extent
    const most = Math.floor((accumulators + 2) / (rowTile * columnTile))
    vectorsAcross = Math.max(1, Math.min(most, Math.floor((lane?.extent ?? 1) / width)))
  } else if (lane && !inBoth) {
    vectorsAcross = Math.min(context.machine.tile.vectors, Math.ceil(lane.extent / width))
    rows = largest(inA(lane) !== 0 ? onlyB : onlyA)
    rowTile = rows ? divisorNear(rows.extent, Math.floor(accumulators / vectorsAcross)) : 1
  } else {
    ;({ rows, rowTile, columns, columnTile } = squareTile(onlyA, onlyB, accumulators, inB))
  }
  const loops = outer.filter((axis) => axis !== lane && axis !== rows && axis !== columns)
  // Rows of the operand with the lanes that no cache holds, and that lie too far apart to be fetched ahead.
  const isFar = (lane: Axis, axis: Axis) =>
    lane.extent * axis.extent * 4 > context.machine.secondLevelCache &&
    Math.max(Math.abs(inA(axis)), Math.abs(inB(axis))) >= FAR_APART
  // Partial sums wait in the result's own memory, so it must hold them as they are.
  const canHoist = end.dtype === 'float32' && !group.commit
  const alone = lane && !inBoth && loops.length === 0 && (rows?.extent ?? 1) <= rowTile
  const streams = alone && summed.length === 1 && free(summed[0]) && isFar(lane, summed[0])
  const sums = canHoist
    ? streams
      ? cutAt(summed, 0, largestDivisor(summed[0].extent, STREAMS), domain)
      : hoist(summed, width * vectorsAcross, context, domain, free)
    : { hoisted: [], summed, cuts: [] }
  return {
    lane,
    rows,
    columns,
    laneSegments: lane
      ? laneSegments(lane.extent, width, vectorsAcross, sums.hoisted.length === 0)
      : [],
    rowSegments: rows ? tileSegments(rows.extent, rowTile) : [],
    columnSegments: columns ? tileSegments(columns.extent, columnTile) : [],
    loops,
    ...sums,
    panel: choosePanel(domain, lane, rows, rowTile, sums, width * vectorsAcross),
  }
}

/** Accumulators beyond those of a tile that taps may have: nothing is loaded again for them. */
const MORE_TAPS = 9

/**
 * The taps of a depthwise convolution's weights, whose sums all run at once: the only axes of one operand alone. Where
 * a tap reads outside of the image depends on the position, so it is decided there.
 */
function tapsOf(
  outer: readonly Axis[],
  inA: (axis: Axis) => number,
  inB: (axis: Axis) => number,
  accumulators: number,
): readonly [Axis, Axis] | undefined {
  const apart = outer.filter((axis) => (inA(axis) === 0) !== (inB(axis) === 0))
  if (apart.length !== 2) return undefined
  const [i, j] = apart
  if ((inA(i) === 0) !== (inA(j) === 0)) return undefined
  return i.extent * j.extent <= accumulators + MORE_TAPS ? [i, j] : undefined
}

interface Square {
  readonly rows: Axis | undefined
  readonly rowTile: number
  readonly columns: Axis | undefined
  readonly columnTile: number
}

/**
 * Both operands are loaded as vectors, so the tile is near a square; with one operand alone, shorter. The longer axis
 * gives the rows, which threads share out; a short one is covered whole, so that the long operand is read once.
 */
function squareTile(
  onlyA: readonly Axis[],
  onlyB: readonly Axis[],
  accumulators: number,
  inB: (axis: Axis) => number,
): Square {
  const a = largest(onlyA)
  const most = Math.floor(((a ? 1.25 : 3) * accumulators) / 4)
  const b = closest(onlyB, most, inB)
  const short = a && b && Math.min(a.extent, b.extent)
  if (a && b && short && 2 * short <= accumulators) {
    const [columns, rows] = a.extent <= b.extent ? [a, largest(onlyB) ?? b] : [b, a]
    const rowTile = divisorNear(rows.extent, Math.floor(accumulators / columns.extent))
    return { rows, rowTile, columns, columnTile: columns.extent }
  }
  return {
    rows: a,
    rowTile: a ? divisorNear(a.extent, b ? 4 : Math.floor((accumulators * 3) / 4)) : 1,
    columns: b,
    columnTile: b ? divisorNear(b.extent, most) : 1,
  }
}

const largest = (list: readonly Axis[]) =>
  list.reduce<Axis | undefined>(
    (best, axis) => (best && best.extent >= axis.extent ? best : axis),
    undefined,
  )

/**
 * A panel whose rows lie far apart thrashes a cache of few ways, and takes a page a row: where enough tiles use
 * it, it is copied side by side.
 */
function choosePanel(
  domain: ContractDomain,
  lane: Axis | undefined,
  rows: Axis | undefined,
  rowTile: number,
  { summed, cuts }: Pick<TilePlan, 'summed' | 'cuts'>,
  panelWidth: number,
): 'a' | 'b' | undefined {
  if (!lane || !rows || rows.extent < PANEL_USES * rowTile) return undefined
  const carriers = (['a', 'b'] as const).filter(
    (name) => coefficientOf(addressOf(domain[name]), lane.variable) !== 0,
  )
  if (carriers.length !== 1) return undefined
  const [name] = carriers
  const operand = domain[name]
  if (operand.inside.length > 0) return undefined
  const last = summed.at(-1)
  if (!last) return undefined
  const address = cuts.reduce(
    (at, cut) => substitute(at, cut.variable, cut.whole),
    addressOf(operand),
  )
  const apart = Math.abs(coefficientOf(address, last.variable))
  const strided = Math.abs(coefficientOf(addressOf(operand), lane.variable)) > 1
  const size = summed.reduce((n, axis) => n * axis.extent, 1) * panelWidth * 4
  if (size > MOST_PANEL || last.extent < 8) return undefined
  return apart >= FAR_APART || strided ? name : undefined
}

/**
 * The leading summed axes that go outside of the output's loops, so that the panel one tile reads stays in the
 * first-level cache and serves all tiles; partial sums then pass through memory, once a block. The axis at the border
 * is cut in two, so that a block is as long as the cache allows.
 */
function hoist(
  summed: readonly Axis[],
  panelWidth: number,
  context: LowerContext,
  domain: ContractDomain,
  free: (axis: Axis) => boolean,
): Pick<TilePlan, 'hoisted' | 'summed' | 'cuts'> {
  const cache = context.machine.firstLevelCache
  const length = (axes: readonly Axis[]) => axes.reduce((n, axis) => n * axis.extent, 1)
  const panel = (axes: readonly Axis[]) => length(axes) * panelWidth * 4
  const whole = { hoisted: [], summed, cuts: [] }
  if (panel(summed) <= HOIST_FROM * cache) return whole
  let count = 0
  while (count < summed.length && panel(summed.slice(count)) > cache) count++
  const border = summed[count - 1]
  const rest = summed.slice(count)
  const block = free(border)
    ? largestDivisor(border.extent, Math.floor(cache / panel(rest)))
    : border.extent
  const cut = block < border.extent && panel(rest) * block <= cache
  if ((cut ? block : 1) * length(rest) < LEAST_BLOCK) {
    // Blocks would be short: a longer sum over a panel in the next cache is better.
    let from = summed.length - 1
    while (from > 0 && length(summed.slice(from)) < LEAST_BLOCK) from--
    return { hoisted: summed.slice(0, from), summed: summed.slice(from), cuts: [] }
  }
  if (!cut) return { hoisted: summed.slice(0, count), summed: rest, cuts: [] }
  return cutAt(summed, count - 1, block, domain)
}

/** The axis at `k` cut in blocks: what is before it, and its blocks, go outside. */
function cutAt(
  summed: readonly Axis[],
  k: number,
  block: number,
  { space: { names, extents } }: ContractDomain,
): Pick<TilePlan, 'hoisted' | 'summed' | 'cuts'> {
  const { variable, extent } = summed[k]
  if (block === extent) return { hoisted: summed.slice(0, k), summed: summed.slice(k), cuts: [] }
  const part = (name: string, length: number): Axis => {
    const piece = names.variable(`${variable.name}${name}`)
    extents.set(piece.id, length)
    return { variable: piece, extent: length }
  }
  const outer = part('h', extent / block)
  const inner = part('l', block)
  const whole = addAffine(ofVariable(outer.variable, block), ofVariable(inner.variable))
  return {
    hoisted: [...summed.slice(0, k), outer],
    summed: [inner, ...summed.slice(k + 1)],
    cuts: [{ variable, whole }],
  }
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

/** The axis for a tile's columns: one that a tile of at most `most` divides, in large steps, its elements near. */
function closest(
  list: readonly Axis[],
  most: number,
  strideOf: (axis: Axis) => number,
): Axis | undefined {
  const rank = (axis: Axis) => {
    const tile = divisorNear(axis.extent, most)
    const whole = axis.extent % tile === 0
    return [whole ? 1 : 0, tile, -Math.abs(strideOf(axis))] as const
  }
  return [...list].sort((x, y) => {
    const [p, q] = [rank(y), rank(x)]
    return p[0] - q[0] || p[1] - q[1] || p[2] - q[2]
  })[0]
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

/** The largest divisor up to `most`, but `n` where all of them are below 4. */
export function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, most); d > 3; d--) if (n % d === 0) return d
  return n
}
