// Copies that a contraction makes for itself: where an operand's packed copy serves one contraction only, and
// has the batch as its first axis, each thread copies one item at a time into its scratch, and no kernel goes
// before. (Padding one image into scratch, not the whole batch into memory: it stays in the cache.)
import { invariant } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { isPlain } from '../graph/contract.js'
import type { Node, NodeOf } from '../graph/node.js'
import { accessesOf, axisIndex, createSpace, linear, Unfoldable } from './access.js'
import { coefficientOf, num, shiftAffine, zero } from './build.js'
import type { Builder } from './builder.js'
import type { Affine } from './kernel.js'

/** An item larger than this would push the rest out of the second-level cache. */
const MOST_BYTES = 256 * 1024

/** The copy is of one item a turn of the contraction's first axis, and only this contraction reads it. */
export function isLocalCopy(
  copy: Node,
  core: NodeOf<'contract'>,
  operand: 0 | 1,
  users: readonly Node[],
): boolean {
  if (users.length !== 1 || users[0] !== core || core.args[operand] !== copy) return false
  const { spec } = core
  const first = spec[operand === 0 ? 'a' : 'b'][0]
  if (first === undefined || !isPlain(first) || first.terms[0][0] !== 0 || spec.rank < 2)
    return false
  if (spec.extents[0] < 2 || sizeOf(copy.shape.slice(1)) * 4 > MOST_BYTES) return false
  const { axes, low, high } = partsOf(copy)
  return axes[0] === 0 && low[0] === 0 && high[0] === 0
}

interface Parts {
  /** What is copied. */
  readonly source: Node
  readonly low: readonly number[]
  readonly high: readonly number[]
  /** Dimension k of the copy is dimension axes[k] of the padded source. */
  readonly axes: readonly number[]
}

function partsOf(copy: Node): Parts {
  let node = copy
  let axes: readonly number[] = node.shape.map((_, i) => i)
  if (node.kind === 'view' && node.op.type === 'permute') {
    axes = node.op.axes
    node = node.args[0]
  }
  const none = node.shape.map(() => 0)
  if (node.kind !== 'view' || node.op.type !== 'pad' || node.op.value !== 0)
    return { source: node, low: none, high: none, axes }
  return { source: node.args[0], low: node.op.low, high: node.op.high, axes }
}

/** Every view behind the copy folds at a plain index of its source, so that loops and vectors over it do. */
export function copyFolds(copy: Node, inMemory: (node: Node) => boolean): boolean {
  const { source } = partsOf(copy)
  if (inMemory(source)) return true
  const space = createSpace()
  const index = source.shape.map((n, d) => axisIndex(space, `c${d}`, n))
  try {
    return accessesOf(source, index, space, inMemory).every(
      (access) => access.dynamic !== true && access.inside.length === 0,
    )
  } catch (error) {
    if (error instanceof Unfoldable) return false
    throw error
  }
}

/**
 * Fills `buffer` with the item of the copy at `item`: zeros where it is padded, then the source's elements, in
 * vectors unless those were found not to do.
 */
export function copyItem(
  b: Builder,
  copy: Node,
  item: Affine,
  buffer: number,
  vectors: boolean,
): void {
  const { source, low, high, axes } = partsOf(copy)
  const shape = copy.shape.slice(1)
  const size = sizeOf(shape)
  const lanes = b.options.lanes
  if ([...low, ...high].some((n) => n > 0)) {
    const all = axisIndex(b.space, 'fill', size)
    const [term] = all.terms
    invariant(term !== undefined, () => 'a padded copy of one element')
    const whole = size - (size % lanes)
    const fill = () => b.emitStore(buffer, all, 1, num('f32', 0))
    if (whole > 0) {
      b.lane = term[0]
      b.loop(term[0], 0, whole, lanes, fill)
      b.lane = undefined
    }
    if (whole < size) b.loop(term[0], whole, size, 1, fill)
  }
  const from = source.shape.map((n, d) => (d === 0 ? item : axisIndex(b.space, `c${d}`, n)))
  const wide = from.map((at, d) => (d === 0 ? zero : shiftAffine(at, low[d])))
  const to = linear(
    axes.slice(1).map((axis) => wide[axis]),
    shape,
  )
  const loops = from.slice(1).flatMap((at) => at.terms.map(([variable]) => variable))
  const body = () => {
    const stride = b.lane ? coefficientOf(to, b.lane) : 1
    b.emitStore(buffer, to, stride, b.read(source, from))
  }
  const nest = (k: number): void => {
    if (k === loops.length) {
      body()
      return
    }
    const extent = b.space.extents.get(loops[k].id) ?? 1
    if (k < loops.length - 1) {
      b.loop(loops[k], 0, extent, 1, () => nest(k + 1))
      return
    }
    const whole = vectors ? extent - (extent % lanes) : 0
    if (whole > 0) {
      b.lane = loops[k]
      b.loop(loops[k], 0, whole, lanes, body)
      b.lane = undefined
    }
    if (whole < extent) b.loop(loops[k], whole, extent, 1, body)
  }
  nest(0)
}
