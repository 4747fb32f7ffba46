// The forward kernel of attention, by item and by block of queries: scores, their exponentials and sums, the mean of
// the values; log Σ exp is left for the gradient.
import { storedIndex } from './attention.js'
import type { Blocks } from './attention-block.js'
import { copyRows, copyTurned, panels } from './attention-panels.js'
import { addAffine, call, load, num, ofVariable, scaleAffine, shiftAffine } from './build.js'
import { roundUp } from './products.js'
import { applyScalar } from './scalar.js'

export function forwardItem(blocks: Blocks, overBlocks: () => void): void {
  const { key, value } = blocks.parts
  copyTurned(blocks, key, 'keys', blocks.at.feature, blocks.sizes.features)
  copyRows(blocks, value, 'values', blocks.at.column, blocks.sizes.width)
  overBlocks()
}

export function forwardBlock(blocks: Blocks): void {
  const { b, at, sizes } = blocks
  blocks.copyQueries()
  blocks.scores()
  const sums = blocks.scratch('sums', blocks.rows)
  const seen = blocks.wanted('seen')
  const logSum = blocks.wanted('logSum')
  const tops = blocks.scratch('tops', blocks.rows)
  blocks.eachQuery((row) => {
    const top = blocks.running('max', -Infinity)
    blocks.eachScore(row, (score) => {
      b.emitStore(blocks.scoreBuffer(), blocks.scoreAt(row), 1, score)
      top.take(score)
    })
    b.emitStore(tops, row, 1, top.value())
  })
  blocks.eachQuery((row) => {
    const top = b.here(load('float32', tops, row))
    const total = blocks.running('add', 0)
    blocks.eachKey(() => {
      const e = blocks.exp(call('sub', blocks.loadScore(blocks.scoreBuffer(), row), top))
      total.take(e)
      b.emitStore(blocks.scoreBuffer(), blocks.scoreAt(row), 1, blocks.dropped(e))
    })
    b.emitStore(sums, row, 1, total.value())
  })
  // Several queries at a time: a logarithm takes long.
  const row = addAffine(ofVariable(at.query), blocks.start, -1)
  const end = shiftAffine(blocks.start, blocks.rows)
  const finish = () => {
    const sum = blocks.loadAt(sums, row)
    if (logSum) {
      const log = applyScalar('log', ['float32'], [sum], (value) => b.here(value))
      const value = b.here(call('add', blocks.loadAt(tops, row), log))
      const index = [...at.batch, ofVariable(at.query)]
      b.store(logSum, blocks.operands.write(logSum), index, value)
    }
    b.emitStore(sums, row, 1, b.here(call('div', num('f32', 1, b.lanes), sum)))
  }
  blocks.along(at.query, sizes.queries, finish, blocks.start, end)
  if (!seen) return
  const width = roundUp(sizes.width, b.options.lanes)
  const means = blocks.scratch('means', blocks.tall(blocks.rows) * width)
  blocks.multiply({
    rows: blocks.rowsHere(),
    columns: sizes.width,
    sum: blocks.keysHere(),
    a: { buffer: blocks.scoreBuffer(), row: blocks.pitch, k: 1 },
    b: panels(blocks, 'values', sizes.width),
    c: { buffer: means, row: width },
    add: false,
  })
  const to = blocks.operands.write(seen)
  blocks.eachQuery((row) => {
    const share = b.here(load('float32', sums, row))
    const index = storedIndex([...at.batch, ofVariable(at.query), ofVariable(at.column)])
    blocks.along(at.column, sizes.width, () => {
      const mean = blocks.loadAt(means, addAffine(scaleAffine(row, width), ofVariable(at.column)))
      b.store(seen, to, index, b.here(call('mul', mean, share)))
    })
  })
}
