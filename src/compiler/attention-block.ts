// A block of queries of attention, as both its kernels have it: its scores against all keys in the thread's scratch,
// scaled and masked where they are read, and the loops over queries, keys and features.
import { invariant } from '../base/errors.js'
import {
  type AttentionNode,
  type AttentionParts,
  type AttentionRole,
  attentionParts,
} from '../graph/attention.js'
import type { Node } from '../graph/node.js'
import { baseOf } from './access.js'
import { type AttentionDomain, attentionDomain, type Sizes, sizesOf } from './attention.js'
import { turnedPanels } from './attention-panels.js'
import {
  across,
  addAffine,
  bound,
  call,
  coefficientOf,
  constant,
  index as indexExpr,
  load,
  localOf,
  num,
  ofVariable,
  scaleAffine,
  set,
  shiftAffine,
  splat,
} from './build.js'
import type { Builder } from './builder.js'
import type { Affine, Bound, Expr, Local, Variable } from './kernel.js'
import { builderFor, type LowerContext, Operands } from './lower.js'
import { multiply, type Product, panelOf, roundUp } from './products.js'
import { applyScalar } from './scalar.js'

/** Queries of a block: fewer where a block need not see the keys after it. */
const ROWS = 64
const CAUSAL_ROWS = 32

/** What a kernel is made of that goes from block to block. */
export class Blocks {
  readonly nodes: readonly AttentionNode[]
  readonly first: AttentionNode
  readonly context: LowerContext
  private readonly vectors: boolean
  readonly operands: Operands
  readonly b: Builder
  readonly at: AttentionDomain
  readonly sizes: Sizes
  readonly parts: AttentionParts
  /** Queries of a block, and where the block at hand begins. */
  readonly rows: number
  start: Affine = constant(0)
  /** Elements from one row of scores to the next: not a power of two, whose rows would share cache sets. */
  readonly pitch: number

  constructor(nodes: readonly AttentionNode[], context: LowerContext, vectors: boolean) {
    const [first] = nodes
    invariant(first !== undefined, () => 'attention of nothing')
    this.nodes = nodes
    this.first = first
    this.context = context
    this.vectors = vectors
    this.operands = new Operands(context)
    this.at = attentionDomain(first, (node) => context.inMemory(baseOf(node)))
    this.sizes = sizesOf(first)
    this.parts = attentionParts(first)
    const { lanes, tile, secondLevelCache } = context.machine
    this.b = builderFor(this.at.domain.space, this.operands, context)
    const { queries, keys } = this.sizes
    this.pitch = roundUp(keys, panelOf(context.machine)) + lanes
    let unit = lanes
    while (unit % tile.splats !== 0) unit += lanes
    const most = first.attention.causal ? CAUSAL_ROWS : ROWS
    let rows = Math.min(roundUp(queries, unit), Math.max(unit, most - (most % unit)))
    while (rows > unit && rows * this.pitch * 4 > secondLevelCache / 4) rows -= unit
    this.rows = rows
  }

  // ---- scores ----

  scoreBuffer(): number {
    return this.scratch('scores', this.tall(this.rows) * this.pitch)
  }

  scoreAt(row: Affine): Affine {
    return addAffine(scaleAffine(row, this.pitch), ofVariable(this.at.key))
  }

  /** Queries against all keys that some query of the block sees. */
  scores(): void {
    const { features, keys } = this.sizes
    const row = roundUp(features, this.b.options.lanes)
    this.multiply({
      rows: this.rowsHere(),
      columns: keys,
      until: this.until(),
      sum: features,
      a: { buffer: this.queryBuffer(), row, k: 1 },
      b: turnedPanels(this, 'keys', features),
      c: { buffer: this.scoreBuffer(), row: this.pitch },
      add: false,
    })
  }

  loadAt(buffer: number, at: Affine): Expr {
    const { b } = this
    const { lane, lanes } = b
    const stride = lane ? coefficientOf(at, lane) : 1
    return b.here(load('float32', buffer, at, { lanes, stride }))
  }

  loadScore(buffer: number, row: Affine): Expr {
    return this.loadAt(buffer, this.scoreAt(row))
  }

  /** Scaled and masked. */
  private scoreHere(row: Affine, masked: boolean): Expr {
    const { b, at } = this
    const { scale } = this.first.attention
    let score = this.loadScore(this.scoreBuffer(), row)
    if (scale !== 1) score = b.here(call('mul', score, num('f32', scale)))
    const hidden = num('f32', -Infinity, b.lanes)
    if (masked) {
      const position = indexExpr(ofVariable(at.key), b.lanes)
      const earlier = call('le', position, indexExpr(ofVariable(at.query)))
      score = b.here(call('select', splat(earlier, b.lanes), score, hidden))
    }
    for (const mask of this.parts.masks) {
      const value = splat(this.readScore(mask), b.lanes)
      const masked =
        mask.dtype === 'bool' ? call('select', value, score, hidden) : call('add', score, value)
      score = b.here(masked)
    }
    return score
  }

  private readScore(node: Node): Expr {
    const { at } = this
    return this.b.read(node, [...at.batch, ofVariable(at.query), ofVariable(at.key)])
  }

  /** What is left of a value at a score when some are dropped. */
  dropped(value: Expr): Expr {
    const { b } = this
    const { kept } = this.first.attention
    const { keep } = this.parts
    if (kept === undefined || keep === undefined) return value
    const more = call('mul', value, num('f32', kept, b.lanes))
    return b.here(
      call('select', splat(this.readScore(keep), b.lanes), more, num('f32', 0, b.lanes)),
    )
  }

  exp(value: Expr): Expr {
    return applyScalar('exp', ['float32'], [value], (part) => this.b.here(part))
  }

  queryBuffer(): number {
    const row = roundUp(this.sizes.features, this.b.options.lanes)
    return this.scratch('queries', this.tall(this.rows) * row)
  }

  copyQueries(): void {
    const { b, at, sizes } = this
    const pitch = roundUp(sizes.features, b.options.lanes)
    const to = this.queryBuffer()
    const index = [...at.batch, ofVariable(at.query), ofVariable(at.feature)]
    this.eachQuery((row) => {
      this.along(at.feature, sizes.features, () => {
        const place = addAffine(scaleAffine(row, pitch), ofVariable(at.feature))
        b.emitStore(to, place, 1, b.read(this.parts.query, index))
      })
    })
  }

  // ---- loops ----

  eachQuery(body: (row: Affine) => void): void {
    const { query } = this.at
    const to = bound('to', this.sizes.queries, shiftAffine(this.start, this.rows))
    const row = addAffine(ofVariable(query), this.start, -1)
    this.b.loop(query, bound('from', this.start), to, 1, () => body(row))
  }

  eachKey(body: () => void): void {
    this.along(this.at.key, this.sizes.keys, body, constant(0), this.until())
  }

  /** Scores scaled and masked. Keys before the block are seen by all of its queries. */
  eachScore(row: Affine, body: (score: Expr) => void): void {
    const { key } = this.at
    const { keys } = this.sizes
    const { causal } = this.first.attention
    const end = causal ? this.start : undefined
    this.along(key, keys, () => body(this.scoreHere(row, false)), constant(0), end)
    if (causal)
      this.along(key, keys, () => body(this.scoreHere(row, true)), this.start, this.until())
  }

  /** Vectors along the variable, and a scalar rest. */
  along(
    variable: Variable,
    extent: number,
    body: () => void,
    from: Affine = constant(0),
    to?: Affine,
  ): void {
    const { b } = this
    const { lanes } = b.options
    const ends = to ? [to] : []
    const whole = this.vectors ? extent - (extent % lanes) : 0
    if (whole > 0) {
      b.lane = variable
      b.loop(variable, bound('from', from), bound('to', whole, ...ends), lanes, body)
      b.lane = undefined
    }
    if (whole === extent) return
    b.loop(variable, bound('from', whole, from), bound('to', extent, ...ends), 1, body)
  }

  /** The first key that no query of the block sees, where that is known. */
  until(): Affine | undefined {
    return this.first.attention.causal ? shiftAffine(this.start, this.rows) : undefined
  }

  keysHere(): Bound {
    const until = this.until()
    return bound('to', this.sizes.keys, ...(until ? [until] : []))
  }

  rowsHere(): Bound {
    const left = addAffine(constant(this.sizes.queries), this.start, -1)
    return this.sizes.queries % this.rows === 0
      ? bound('to', this.rows)
      : bound('to', this.rows, left)
  }

  /** Registers that take values along the loop at hand, in vectors and scalars. */
  running(fn: 'add' | 'max', first: number): { take(value: Expr): void; value(): Expr } {
    const { b, vectors } = this
    const { lanes } = b.options
    const vector: Local | undefined = vectors ? b.local('f32', lanes) : undefined
    const scalar = b.local('f32', 1)
    if (vector) b.emit(set(vector, num('f32', first, lanes)))
    b.emit(set(scalar, num('f32', first)))
    return {
      take: (value) => {
        const into = b.lane && vector ? vector : scalar
        const wide = splat(value, into.lanes)
        const now = localOf(into)
        // A score that is no number need not be the greatest: its exponential is none either.
        const next =
          fn === 'max' ? call('select', call('lt', now, wide), wide, now) : call(fn, now, wide)
        b.emit(set(into, next))
      },
      value: () => {
        if (!vector) return localOf(scalar)
        return b.here(call(fn, b.here(across(fn, localOf(vector))), localOf(scalar)))
      },
    }
  }

  // ---- what else is needed ----

  multiply(product: Product): void {
    multiply(this.b, this.context.machine, product)
  }

  /** Rows with those that the last tile hangs over. */
  tall(rows: number): number {
    return roundUp(rows, this.context.machine.tile.splats)
  }

  scratch(name: string, elements: number): number {
    return this.operands.scratch(this.first, elements, name)
  }

  wanted(role: AttentionRole): AttentionNode | undefined {
    return this.nodes.find(({ attention }) => attention.role === role)
  }
}
