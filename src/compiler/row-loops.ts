// The loops within a row of a group of rows (rows.ts): running registers of its reductions, and what each member does
// at each position. Long sums keep their digits.
import { invariant } from '../base/errors.js'
import type { Node } from '../graph/node.js'
import { linear } from './access.js'
import {
  across,
  addAffine,
  bound,
  call,
  constant,
  index as indexExpr,
  isConstant,
  localOf,
  num,
  ofVariable,
  set,
  splat,
  substitute,
  typeOfDType,
} from './build.js'
import type { Builder } from './builder.js'
import type { Member, RowGroup } from './group.js'
import type { Affine, Expr, Local, Variable } from './kernel.js'
import type { LowerContext, Operands } from './lower.js'
import type { Loop } from './merge.js'

/** Vector accumulators of a sum along a reduced axis. */
const TURNS = 4
export type LanePlace = 'outer' | 'inner' | 'none'

export interface RowPlan {
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

export function startAccumulator(
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
export function flush(accumulator: Accumulator, b: Builder): void {
  const { total, lost, vectors, scalar } = accumulator
  if (!total || !lost) return
  const added = b.here(call('sub', running(accumulator), localOf(lost)))
  const sum = b.here(call('add', localOf(total), added))
  b.emit(set(lost, call('sub', call('sub', sum, localOf(total)), added)))
  b.emit(set(total, sum))
  for (const local of vectors ?? [scalar]) b.emit(set(local, num(local.type, 0, local.lanes)))
}

export function finishAccumulator(accumulator: Accumulator, b: Builder): Expr {
  const { fn, vectors, scalar, position, total } = accumulator
  if (position) return localOf(position)
  flush(accumulator, b)
  const sum = total ? localOf(total) : b.here(running(accumulator))
  if (!vectors) return sum
  return b.here(call(fn, b.here(across(fn, sum)), localOf(scalar)))
}

export function inLoop(
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

export function innerLoops(
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
