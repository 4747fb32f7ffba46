// The backward kernel of attention, by item and by block of queries: scores again, P = exp(scores − log Σ exp),
// dP = G·Vᵀ, dS = P∘(dP − Σ G∘seen), and from these all gradients. Those of keys and values add up in scratch over the
// blocks, in order, so bits do not depend on threads.
import { invariant } from '../base/errors.js'
import type { Node } from '../graph/node.js'
import { storedIndex } from './attention.js'
import type { Blocks } from './attention-block.js'
import { copyRows, copyTurned, panels, turnedPanels } from './attention-panels.js'
import { addAffine, call, load, num, ofVariable, scaleAffine } from './build.js'
import type { Variable } from './kernel.js'
import { panelOf, roundUp } from './products.js'

export function backwardItem(blocks: Blocks, overBlocks: () => void): void {
  const { at, sizes } = blocks
  const { key, value } = blocks.parts
  const keys = blocks.wanted('key')
  const values = blocks.wanted('value')
  const queries = blocks.wanted('query')
  copyTurned(blocks, key, 'keys', at.feature, sizes.features)
  if (keys || queries) copyTurned(blocks, value, 'values', at.column, sizes.width)
  if (queries) copyRows(blocks, key, 'key rows', at.feature, sizes.features)
  if (keys) clear(blocks, 'of keys', sizes.features)
  if (values) clear(blocks, 'of values', sizes.width)
  overBlocks()
  if (keys) copyOut(blocks, keys, 'of keys', at.feature, sizes.features)
  if (values) copyOut(blocks, values, 'of values', at.column, sizes.width)
}

export function backwardBlock(blocks: Blocks): void {
  const { b, at, sizes } = blocks
  const { logSum } = blocks.parts
  invariant(logSum !== undefined, () => 'a gradient without the logarithm of the sums')
  const { lanes } = b.options
  const [features, width] = [roundUp(sizes.features, lanes), roundUp(sizes.width, lanes)]
  const keys = blocks.wanted('key')
  const values = blocks.wanted('value')
  const queries = blocks.wanted('query')
  const slopes = keys || queries
  blocks.copyQueries()
  copyIncoming(blocks, width)
  blocks.scores()
  const slopeBuffer = slopes ? blocks.scratch('slopes', blocks.tall(blocks.rows) * blocks.pitch) : 0
  const incoming = blocks.scratch('incoming', blocks.tall(blocks.rows) * width)
  if (slopes)
    blocks.multiply({
      rows: blocks.rowsHere(),
      columns: sizes.keys,
      until: blocks.until(),
      sum: sizes.width,
      a: { buffer: incoming, row: width, k: 1 },
      b: turnedPanels(blocks, 'values', sizes.width),
      c: { buffer: slopeBuffer, row: blocks.pitch },
      add: false,
    })
  const sums = blocks.scratch('sums', blocks.rows)
  blocks.eachQuery((row) => {
    const log = b.here(b.read(logSum, [...at.batch, ofVariable(at.query)]))
    const sum = b.here(load('float32', sums, row))
    blocks.eachScore(row, (score) => {
      const weight = blocks.exp(call('sub', score, log))
      if (slopes) {
        const from = blocks.dropped(blocks.loadScore(slopeBuffer, row))
        const slope = call('mul', weight, call('sub', from, sum))
        const scale = num('f32', blocks.first.attention.scale)
        b.emitStore(slopeBuffer, blocks.scoreAt(row), 1, b.here(call('mul', slope, scale)))
      }
      if (values) b.emitStore(blocks.scoreBuffer(), blocks.scoreAt(row), 1, blocks.dropped(weight))
    })
  })
  /** Into the rows of keys or values: a sum over the block's queries. */
  const overQueries = (a: number, from: number, pitch: number, to: string, columns: number) => {
    blocks.multiply({
      rows: blocks.keysHere(),
      columns,
      sum: blocks.rowsHere(),
      a: { buffer: a, row: 1, k: blocks.pitch },
      b: { buffer: from, k: pitch, panel: panelOf(blocks.context.machine) },
      c: { buffer: sumBuffer(blocks, to, columns), row: pitch },
      add: true,
    })
  }
  if (values) overQueries(blocks.scoreBuffer(), incoming, width, 'of values', sizes.width)
  if (keys) overQueries(slopeBuffer, blocks.queryBuffer(), features, 'of keys', sizes.features)
  if (!queries) return
  const out = blocks.scratch('of queries', blocks.tall(blocks.rows) * features)
  blocks.multiply({
    rows: blocks.rowsHere(),
    columns: sizes.features,
    sum: blocks.keysHere(),
    a: { buffer: slopeBuffer, row: blocks.pitch, k: 1 },
    b: panels(blocks, 'key rows', sizes.features),
    c: { buffer: out, row: features },
    add: false,
  })
  const to = blocks.operands.write(queries)
  blocks.eachQuery((row) => {
    const index = storedIndex([...at.batch, ofVariable(at.query), ofVariable(at.feature)])
    blocks.along(at.feature, sizes.features, () => {
      const value = blocks.loadAt(
        out,
        addAffine(scaleAffine(row, features), ofVariable(at.feature)),
      )
      b.store(queries, to, index, value)
    })
  })
}

/** G of the block, and Σ G∘seen of each row. */
function copyIncoming(blocks: Blocks, width: number): void {
  const { b, at, sizes } = blocks
  const { G, seen } = blocks.parts
  invariant(G !== undefined && seen !== undefined, () => 'a gradient without what comes in')
  const to = blocks.scratch('incoming', blocks.tall(blocks.rows) * width)
  const sums = blocks.scratch('sums', blocks.rows)
  const index = storedIndex([...at.batch, ofVariable(at.query), ofVariable(at.column)])
  blocks.eachQuery((row) => {
    const total = blocks.running('add', 0)
    blocks.along(at.column, sizes.width, () => {
      const g = b.read(G, index)
      b.emitStore(to, addAffine(scaleAffine(row, width), ofVariable(at.column)), 1, g)
      total.take(b.here(call('mul', g, b.read(seen, index))))
    })
    b.emitStore(sums, row, 1, total.value())
  })
}

function sumBuffer(blocks: Blocks, name: string, columns: number): number {
  return blocks.scratch(
    name,
    blocks.tall(blocks.sizes.keys) * roundUp(columns, blocks.b.options.lanes),
  )
}

function clear(blocks: Blocks, name: string, columns: number): void {
  const { b } = blocks
  const { lanes } = b.options
  const size = blocks.tall(blocks.sizes.keys) * roundUp(columns, lanes)
  const buffer = sumBuffer(blocks, name, columns)
  const place = b.space.names.variable('place')
  b.space.extents.set(place.id, size)
  b.lane = place
  b.loop(place, 0, size, lanes, () => b.emitStore(buffer, ofVariable(place), 1, num('f32', 0)))
  b.lane = undefined
}

function copyOut(
  blocks: Blocks,
  node: Node,
  name: string,
  feature: Variable,
  columns: number,
): void {
  const { b, at, sizes } = blocks
  const pitch = roundUp(columns, b.options.lanes)
  const from = sumBuffer(blocks, name, columns)
  const to = blocks.operands.write(node)
  const index = storedIndex([...at.batch, ofVariable(at.key), ofVariable(feature)])
  b.loop(at.key, 0, sizes.keys, 1, () => {
    blocks.along(feature, columns, () => {
      const value = blocks.loadAt(from, addAffine(ofVariable(at.key, pitch), ofVariable(feature)))
      b.store(node, to, index, value)
    })
  })
}
