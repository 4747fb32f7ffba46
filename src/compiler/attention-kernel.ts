// Lowers attention by blocks of queries: each turn of the parallel loop is one item of the batch (a head), whose keys and
// values are copied side by side into the thread's scratch. For a block of queries the scores against all keys are
// there too, one softmax long, and nothing of their size is ever in memory. (After Dao 2023, "FlashAttention-2";
// with the whole range of keys at once, for it fits the second-level cache at the lengths we meet, and the softmax then
// needs no second scaling.)
//
// Forward: scores, their exponentials and sums, the mean of the values; log Σ exp is left for the gradient. Backward:
// scores again, P = exp(scores − log Σ exp), dP = G·Vᵀ, dS = P∘(dP − Σ G∘seen), and from these all gradients. Those of
// keys and values add up in scratch over the blocks, in order, so bits do not depend on threads.
import { invariant } from '../base/errors.js'
import { type AttentionNode, type AttentionParts, attentionParts } from '../graph/attention.js'
import type { Node } from '../graph/node.js'
import { baseOf } from './access.js'
import {
  type AttentionDomain,
  attentionDomain,
  isBackward,
  type Sizes,
  sizesOf,
  storedIndex,
} from './attention.js'
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
  quotient,
  scaleAffine,
  set,
  shiftAffine,
  splat,
} from './build.js'
import { Builder, NeedsScalar } from './builder.js'
import type { AttentionGroup } from './group.js'
import type { Affine, Bound, Expr, Local, Variable } from './kernel.js'
import { finishKernel, type LowerContext, type Lowered, Operands } from './lower.js'
import { multiply, type Product, panelOf } from './products.js'
import { applyScalar } from './scalar.js'

/** Queries of a block: fewer where a block need not see the keys after it. */
const ROWS = 64
const CAUSAL_ROWS = 32
/** Turns that threads should have to share out. */
const LEAST_TURNS = 16

export function lowerAttention(group: AttentionGroup, context: LowerContext): Lowered {
  try {
    return new Blocks(group.nodes, context, true).lower()
  } catch (error) {
    if (!(error instanceof NeedsScalar)) throw error
    return new Blocks(group.nodes, context, false).lower()
  }
}

const roundUp = (n: number, unit: number) => Math.ceil(n / unit) * unit

class Blocks {
  private readonly nodes: readonly AttentionNode[]
  private readonly first: AttentionNode
  private readonly context: LowerContext
  private readonly vectors: boolean
  private readonly operands: Operands
  private readonly b: Builder
  private readonly at: AttentionDomain
  private readonly sizes: Sizes
  private readonly parts: AttentionParts
  /** Queries of a block, and where the block at hand begins. */
  private readonly rows: number
  private start: Affine = constant(0)
  /** Elements from one row of scores to the next: not a power of two, whose rows would share cache sets. */
  private readonly pitch: number

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
    this.b = new Builder({
      space: this.at.domain.space,
      bufferOf: (base) => this.operands.of(base),
      lanes,
      reportCode: context.reportCode,
    })
    const { queries, keys } = this.sizes
    this.pitch = roundUp(keys, panelOf(context.machine)) + lanes
    let unit = lanes
    while (unit % tile.splats !== 0) unit += lanes
    const most = first.attention.causal ? CAUSAL_ROWS : ROWS
    let rows = Math.min(roundUp(queries, unit), Math.max(unit, most - (most % unit)))
    while (rows > unit && rows * this.pitch * 4 > secondLevelCache / 4) rows -= unit
    this.rows = rows
  }

  lower(): Lowered {
    const { b, at, sizes, first, context } = this
    const backward = isBackward(first)
    const { names, extents } = b.space
    const blocks = Math.ceil(sizes.queries / this.rows)
    const items = sizes.batch.reduce((n, extent) => n * extent, 1)
    // Gradients of keys and values add up over all blocks of an item.
    const wanted = backward || items >= LEAST_TURNS ? 1 : Math.ceil(LEAST_TURNS / items)
    const each = Math.ceil(blocks / Math.min(wanted, blocks))
    const chunks = Math.ceil(blocks / each)
    const chunk = names.variable('chunk')
    extents.set(chunk.id, chunks)
    const loops = [...at.batch.flatMap(({ terms }) => terms.map(([v]) => v)), chunk]
    const turn = names.variable('turn')
    b.outermost(turn)
    const block = names.variable('block')
    const overBlocks = () => {
      const from = ofVariable(chunk, each)
      const to = bound('to', blocks, shiftAffine(from, each))
      b.loop(block, bound('from', from), to, 1, () => {
        this.start = ofVariable(block, this.rows)
        if (backward) this.backwardBlock()
        else this.forwardBlock()
      })
    }
    const item = () => {
      if (backward) this.backwardItem(overBlocks)
      else this.forwardItem(overBlocks)
    }
    // The turn taken apart: the last variable is the fastest.
    const nest = (k: number, rest: Affine): void => {
      if (k === loops.length) {
        item()
        return
      }
      const stride = loops.slice(k + 1).reduce((n, v) => n * (extents.get(v.id) ?? 1), 1)
      const from = bound('from', quotient(rest, stride))
      const to = bound('to', quotient(shiftAffine(rest, stride), stride))
      b.loop(loops[k], from, to, 1, () => {
        nest(k + 1, addAffine(rest, ofVariable(loops[k], stride), -1))
      })
    }
    nest(0, ofVariable(turn))
    const split = { variable: turn, extent: items * chunks }
    return finishKernel(context, this.operands, split, b.statements, this.nodes, this.flops(items))
  }

  private flops(items: number): number {
    const { queries, keys, features, width } = this.sizes
    let pairs = queries * keys
    if (this.first.attention.causal) {
      pairs = 0
      for (let q = 0; q < queries; q++) pairs += Math.min(keys, q + 1)
    }
    const products = isBackward(this.first) ? 3 * features + 2 * width : features + width
    return 2 * items * pairs * products
  }

  // ---- forward ----

  private forwardItem(blocks: () => void): void {
    const { key, value } = this.parts
    this.copyTurned(key, 'keys', this.at.feature, this.sizes.features)
    this.copyRows(value, 'values', this.at.column, this.sizes.width)
    blocks()
  }

  private forwardBlock(): void {
    const { b, at, sizes } = this
    this.copyQueries()
    this.scores()
    const sums = this.scratch('sums', this.rows)
    const seen = this.wanted('seen')
    const logSum = this.wanted('logSum')
    const tops = this.scratch('tops', this.rows)
    this.eachQuery((row) => {
      const top = this.running('max', -Infinity)
      this.eachScore(row, (score) => {
        b.emitStore(this.scoreBuffer(), this.scoreAt(row), 1, score)
        top.take(score)
      })
      b.emitStore(tops, row, 1, top.value())
    })
    this.eachQuery((row) => {
      const top = b.here(load('float32', tops, row))
      const total = this.running('add', 0)
      this.eachKey(() => {
        const e = this.exp(call('sub', this.loadScore(this.scoreBuffer(), row), top))
        total.take(e)
        b.emitStore(this.scoreBuffer(), this.scoreAt(row), 1, this.dropped(e))
      })
      b.emitStore(sums, row, 1, total.value())
    })
    // Several queries at a time: a logarithm takes long.
    const row = addAffine(ofVariable(at.query), this.start, -1)
    const end = shiftAffine(this.start, this.rows)
    const finish = () => {
      const sum = this.loadAt(sums, row)
      if (logSum) {
        const log = applyScalar('log', ['float32'], [sum], (value) => b.here(value))
        const value = b.here(call('add', this.loadAt(tops, row), log))
        const index = [...at.batch, ofVariable(at.query)]
        b.store(logSum, this.operands.write(logSum), index, value)
      }
      b.emitStore(sums, row, 1, b.here(call('div', num('f32', 1, b.lanes), sum)))
    }
    this.along(at.query, sizes.queries, finish, this.start, end)
    if (!seen) return
    const width = roundUp(sizes.width, b.options.lanes)
    const means = this.scratch('means', this.tall(this.rows) * width)
    this.multiply({
      rows: this.rowsHere(),
      columns: sizes.width,
      sum: this.keysHere(),
      a: { buffer: this.scoreBuffer(), row: this.pitch, k: 1 },
      b: this.panels('values', sizes.width),
      c: { buffer: means, row: width },
      add: false,
    })
    const to = this.operands.write(seen)
    this.eachQuery((row) => {
      const share = b.here(load('float32', sums, row))
      const index = storedIndex([...at.batch, ofVariable(at.query), ofVariable(at.column)])
      this.along(at.column, sizes.width, () => {
        const mean = this.loadAt(means, addAffine(scaleAffine(row, width), ofVariable(at.column)))
        b.store(seen, to, index, b.here(call('mul', mean, share)))
      })
    })
  }

  // ---- backward ----

  private backwardItem(blocks: () => void): void {
    const { at, sizes } = this
    const { key, value } = this.parts
    const keys = this.wanted('key')
    const values = this.wanted('value')
    const queries = this.wanted('query')
    this.copyTurned(key, 'keys', at.feature, sizes.features)
    if (keys || queries) this.copyTurned(value, 'values', at.column, sizes.width)
    if (queries) this.copyRows(key, 'key rows', at.feature, sizes.features)
    if (keys) this.clear('of keys', sizes.features)
    if (values) this.clear('of values', sizes.width)
    blocks()
    if (keys) this.copyOut(keys, 'of keys', at.feature, sizes.features)
    if (values) this.copyOut(values, 'of values', at.column, sizes.width)
  }

  private backwardBlock(): void {
    const { b, at, sizes } = this
    const { logSum } = this.parts
    invariant(logSum !== undefined, () => 'a gradient without the logarithm of the sums')
    const { lanes } = b.options
    const [features, width] = [roundUp(sizes.features, lanes), roundUp(sizes.width, lanes)]
    const keys = this.wanted('key')
    const values = this.wanted('value')
    const queries = this.wanted('query')
    const slopes = keys || queries
    this.copyQueries()
    this.copyIncoming(width)
    this.scores()
    const slopeBuffer = slopes ? this.scratch('slopes', this.tall(this.rows) * this.pitch) : 0
    const incoming = this.scratch('incoming', this.tall(this.rows) * width)
    if (slopes)
      this.multiply({
        rows: this.rowsHere(),
        columns: sizes.keys,
        until: this.until(),
        sum: sizes.width,
        a: { buffer: incoming, row: width, k: 1 },
        b: this.turnedPanels('values', sizes.width),
        c: { buffer: slopeBuffer, row: this.pitch },
        add: false,
      })
    const sums = this.scratch('sums', this.rows)
    this.eachQuery((row) => {
      const log = b.here(b.read(logSum, [...at.batch, ofVariable(at.query)]))
      const sum = b.here(load('float32', sums, row))
      this.eachScore(row, (score) => {
        const weight = this.exp(call('sub', score, log))
        if (slopes) {
          const from = this.dropped(this.loadScore(slopeBuffer, row))
          const slope = call('mul', weight, call('sub', from, sum))
          const scale = num('f32', this.first.attention.scale)
          b.emitStore(slopeBuffer, this.scoreAt(row), 1, b.here(call('mul', slope, scale)))
        }
        if (values) b.emitStore(this.scoreBuffer(), this.scoreAt(row), 1, this.dropped(weight))
      })
    })
    /** Into the rows of keys or values: a sum over the block's queries. */
    const overQueries = (a: number, from: number, pitch: number, to: string, columns: number) => {
      this.multiply({
        rows: this.keysHere(),
        columns,
        sum: this.rowsHere(),
        a: { buffer: a, row: 1, k: this.pitch },
        b: { buffer: from, k: pitch, panel: panelOf(this.context.machine) },
        c: { buffer: this.sumBuffer(to, columns), row: pitch },
        add: true,
      })
    }
    if (values) overQueries(this.scoreBuffer(), incoming, width, 'of values', sizes.width)
    if (keys) overQueries(slopeBuffer, this.queryBuffer(), features, 'of keys', sizes.features)
    if (!queries) return
    const out = this.scratch('of queries', this.tall(this.rows) * features)
    this.multiply({
      rows: this.rowsHere(),
      columns: sizes.features,
      sum: this.keysHere(),
      a: { buffer: slopeBuffer, row: this.pitch, k: 1 },
      b: this.panels('key rows', sizes.features),
      c: { buffer: out, row: features },
      add: false,
    })
    const to = this.operands.write(queries)
    this.eachQuery((row) => {
      const index = storedIndex([...at.batch, ofVariable(at.query), ofVariable(at.feature)])
      this.along(at.feature, sizes.features, () => {
        const value = this.loadAt(
          out,
          addAffine(scaleAffine(row, features), ofVariable(at.feature)),
        )
        b.store(queries, to, index, value)
      })
    })
  }

  /** G of the block, and Σ G∘seen of each row. */
  private copyIncoming(width: number): void {
    const { b, at, sizes } = this
    const { G, seen } = this.parts
    invariant(G !== undefined && seen !== undefined, () => 'a gradient without what comes in')
    const to = this.scratch('incoming', this.tall(this.rows) * width)
    const sums = this.scratch('sums', this.rows)
    const index = storedIndex([...at.batch, ofVariable(at.query), ofVariable(at.column)])
    this.eachQuery((row) => {
      const total = this.running('add', 0)
      this.along(at.column, sizes.width, () => {
        const g = b.read(G, index)
        b.emitStore(to, addAffine(scaleAffine(row, width), ofVariable(at.column)), 1, g)
        total.take(b.here(call('mul', g, b.read(seen, index))))
      })
      b.emitStore(sums, row, 1, total.value())
    })
  }

  private sumBuffer(name: string, columns: number): number {
    return this.scratch(name, this.tall(this.sizes.keys) * roundUp(columns, this.b.options.lanes))
  }

  private clear(name: string, columns: number): void {
    const { b } = this
    const { lanes } = b.options
    const size = this.tall(this.sizes.keys) * roundUp(columns, lanes)
    const buffer = this.sumBuffer(name, columns)
    const place = b.space.names.variable('place')
    b.space.extents.set(place.id, size)
    b.lane = place
    b.loop(place, 0, size, lanes, () => b.emitStore(buffer, ofVariable(place), 1, num('f32', 0)))
    b.lane = undefined
  }

  private copyOut(node: Node, name: string, feature: Variable, columns: number): void {
    const { b, at, sizes } = this
    const pitch = roundUp(columns, b.options.lanes)
    const from = this.sumBuffer(name, columns)
    const to = this.operands.write(node)
    const index = storedIndex([...at.batch, ofVariable(at.key), ofVariable(feature)])
    b.loop(at.key, 0, sizes.keys, 1, () => {
      this.along(feature, columns, () => {
        const value = this.loadAt(from, addAffine(ofVariable(at.key, pitch), ofVariable(feature)))
        b.store(node, to, index, value)
      })
    })
  }

  // ---- scores ----

  private scoreBuffer(): number {
    return this.scratch('scores', this.tall(this.rows) * this.pitch)
  }

  private scoreAt(row: Affine): Affine {
    return addAffine(scaleAffine(row, this.pitch), ofVariable(this.at.key))
  }

  /** Queries against all keys that some query of the block sees. */
  private scores(): void {
    const { features, keys } = this.sizes
    const row = roundUp(features, this.b.options.lanes)
    this.multiply({
      rows: this.rowsHere(),
      columns: keys,
      until: this.until(),
      sum: features,
      a: { buffer: this.queryBuffer(), row, k: 1 },
      b: this.turnedPanels('keys', features),
      c: { buffer: this.scoreBuffer(), row: this.pitch },
      add: false,
    })
  }

  private loadAt(buffer: number, at: Affine): Expr {
    const { b } = this
    const { lane, lanes } = b
    const stride = lane ? coefficientOf(at, lane) : 1
    return b.here(load('float32', buffer, at, { lanes, stride }))
  }

  private loadScore(buffer: number, row: Affine): Expr {
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
  private dropped(value: Expr): Expr {
    const { b } = this
    const { kept } = this.first.attention
    const { keep } = this.parts
    if (kept === undefined || keep === undefined) return value
    const more = call('mul', value, num('f32', kept, b.lanes))
    return b.here(
      call('select', splat(this.readScore(keep), b.lanes), more, num('f32', 0, b.lanes)),
    )
  }

  private exp(value: Expr): Expr {
    return applyScalar('exp', ['float32'], [value], (part) => this.b.here(part))
  }

  // ---- copies ----

  private queryBuffer(): number {
    const row = roundUp(this.sizes.features, this.b.options.lanes)
    return this.scratch('queries', this.tall(this.rows) * row)
  }

  private copyQueries(): void {
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

  private turnedPanels(name: string, columns: number): Product['b'] {
    const width = panelOf(this.context.machine)
    const size = roundUp(this.sizes.keys, width) * columns
    return { buffer: this.scratch(name, size), k: width, panel: columns * width }
  }

  /** [panel of keys, feature, key in the panel]. */
  private copyTurned(node: Node, name: string, feature: Variable, columns: number): void {
    const { b, at } = this
    const { keys } = this.sizes
    const width = panelOf(this.context.machine)
    const { buffer } = this.turnedPanels(name, columns)
    const { names, extents } = b.space
    const panel = names.variable('panel')
    const inside = names.variable('inside')
    extents.set(panel.id, Math.ceil(keys / width))
    extents.set(inside.id, width)
    const key = addAffine(ofVariable(panel, width), ofVariable(inside))
    const rest = addAffine(constant(keys), ofVariable(panel), -width)
    b.loop(panel, 0, Math.ceil(keys / width), 1, () => {
      b.loop(inside, 0, bound('to', width, rest), 1, () => {
        this.along(feature, columns, () => {
          const from = addAffine(ofVariable(panel, columns * width), ofVariable(inside))
          const place = addAffine(from, ofVariable(feature, width))
          b.emitStore(buffer, place, width, b.read(node, [...at.batch, key, ofVariable(feature)]))
        })
      })
    })
  }

  private panels(name: string, columns: number): Product['b'] {
    const width = panelOf(this.context.machine)
    const { keys } = this.sizes
    const buffer = this.scratch(name, roundUp(columns, width) * keys)
    return { buffer, k: width, panel: keys * width }
  }

  /** [panel of features, key, feature in the panel]. */
  private copyRows(node: Node, name: string, feature: Variable, columns: number): void {
    const { b, at } = this
    const { keys } = this.sizes
    const width = panelOf(this.context.machine)
    const { buffer } = this.panels(name, columns)
    const panel = b.space.names.variable('panel')
    b.space.extents.set(panel.id, Math.ceil(columns / width))
    b.loop(at.key, 0, keys, 1, () => {
      b.loop(panel, 0, Math.ceil(columns / width), 1, () => {
        const from = ofVariable(panel, width)
        const index = [...at.batch, ofVariable(at.key), ofVariable(feature)]
        const row = addAffine(ofVariable(panel, keys * width - width), ofVariable(at.key, width))
        this.along(
          feature,
          columns,
          () => {
            b.emitStore(buffer, addAffine(row, ofVariable(feature)), 1, b.read(node, index))
          },
          from,
          shiftAffine(from, width),
        )
      })
    })
  }

  // ---- loops ----

  private eachQuery(body: (row: Affine) => void): void {
    const { query } = this.at
    const to = bound('to', this.sizes.queries, shiftAffine(this.start, this.rows))
    const row = addAffine(ofVariable(query), this.start, -1)
    this.b.loop(query, bound('from', this.start), to, 1, () => body(row))
  }

  private eachKey(body: () => void): void {
    this.along(this.at.key, this.sizes.keys, body, constant(0), this.until())
  }

  /** Scores scaled and masked. Keys before the block are seen by all of its queries. */
  private eachScore(row: Affine, body: (score: Expr) => void): void {
    const { key } = this.at
    const { keys } = this.sizes
    const { causal } = this.first.attention
    const end = causal ? this.start : undefined
    this.along(key, keys, () => body(this.scoreHere(row, false)), constant(0), end)
    if (causal)
      this.along(key, keys, () => body(this.scoreHere(row, true)), this.start, this.until())
  }

  /** Vectors along the variable, and a scalar rest. */
  private along(
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
  private until(): Affine | undefined {
    return this.first.attention.causal ? shiftAffine(this.start, this.rows) : undefined
  }

  private keysHere(): Bound {
    const until = this.until()
    return bound('to', this.sizes.keys, ...(until ? [until] : []))
  }

  private rowsHere(): Bound {
    const left = addAffine(constant(this.sizes.queries), this.start, -1)
    return this.sizes.queries % this.rows === 0
      ? bound('to', this.rows)
      : bound('to', this.rows, left)
  }

  /** Registers that take values along the loop at hand, in vectors and scalars. */
  private running(fn: 'add' | 'max', first: number): { take(value: Expr): void; value(): Expr } {
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

  private multiply(product: Product): void {
    multiply(this.b, this.context.machine, product)
  }

  /** Rows with those that the last tile hangs over. */
  private tall(rows: number): number {
    return roundUp(rows, this.context.machine.tile.splats)
  }

  private scratch(name: string, elements: number): number {
    return this.operands.scratch(this.first, elements, name)
  }

  private wanted(role: AttentionNode['attention']['role']): AttentionNode | undefined {
    return this.nodes.find(({ attention }) => attention.role === role)
  }
}
