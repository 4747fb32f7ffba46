// Chooses for each contraction the output axis its vectors run along, and makes that axis contiguous: an
// operand that is not is copied once, with the axis last (and padded where the index leaves it); a result
// that is not is permuted afterwards. The choice is by estimated time.
import { type Contract, type Index, makeContract } from '../graph/contract.js'
import {
  contract,
  inPlaceOf,
  type Node,
  type NodeOf,
  permute,
  reduce,
  rootsOf,
  topological,
  view,
  withArgs,
} from '../graph/node.js'
import { baseOf, Unfoldable } from './access.js'
import { coefficientOf } from './build.js'
import type { Prepared } from './compile.js'
import { type ContractDomain, contractDomain, type Operand } from './contraction.js'
import type { Machine } from './program.js'
import { type Fixed, turnsServed } from './repeat.js'
import { isWinograd } from './winograd.js'

/** Nanoseconds to copy an element into another order, and for one multiply-add of a vector of one lane. */
const COPY = 1.2
const MULTIPLY = 0.2
/** Nanoseconds to read a byte from memory, and from a last-level cache, mostly while others are computed with. */
const STREAM = 0.07
const LAST_LEVEL = 0.02
/** How many second-level caches a last-level cache holds. */
const LEVELS_APART = 16
/** Turns of a sum along the lanes for which it pays, and nanoseconds to write, read and add one of its lanes. */
const LEAST_SUM = 8
const LANE_SUM = 0.5
/** How much slower a multiply-add is in scalar code. */
const SCALAR = 8

type Name = 'a' | 'b'
const names: readonly Name[] = ['a', 'b']

export function packOperands(prepared: Prepared, machine: Machine): Prepared {
  const { graph, forced, fixed } = prepared
  const done = new Map<Node, Node>()
  const copies = new Set(forced)
  const known = new Map<string, Node>()
  const ids = new Map<Node, number>()
  const idOf = (node: Node) => {
    const id = ids.get(node) ?? ids.size
    ids.set(node, id)
    return id
  }
  const of = (node: Node) => done.get(node) ?? node
  const copy = (node: Node, plan: OperandPlan): Node => {
    const key = `${idOf(node)} ${plan.axes} ${plan.low} ${plan.high}`
    const before = known.get(key)
    if (before) return before
    const padded = [...plan.low, ...plan.high].some((n) => n > 0)
    const wide = padded
      ? view({ type: 'pad', low: plan.low, high: plan.high, value: 0 }, node)
      : node
    const moved = permute(wide, plan.axes)
    // Where the base is no view, it is a node in memory in its own order already.
    const base = baseOf(moved)
    if (base.kind === 'view') copies.add(base)
    known.set(key, moved)
    return moved
  }
  for (const node of topological(rootsOf(graph))) {
    const same = withArgs(node, node.args.map(of))
    if (same !== node && forced.has(node)) copies.add(same)
    done.set(
      node,
      same.kind === 'contract' && !isWinograd(same.spec)
        ? inPlaceOf(node, () => pack(same, machine, copies, copy, fixed))
        : same,
    )
  }
  return {
    ...prepared,
    graph: {
      outputs: graph.outputs.map(of),
      updates: graph.updates.map(({ target, value }) => ({ target, value: of(value) })),
      guard: graph.guard && of(graph.guard),
    },
    forced: copies,
  }
}

/** How an operand is copied: padding by dimension, then its dimensions in this order. */
interface OperandPlan {
  readonly low: readonly number[]
  readonly high: readonly number[]
  readonly axes: readonly number[]
}

interface LanePlan {
  readonly axis: number
  readonly cost: number
  readonly copies: { readonly a?: OperandPlan; readonly b?: OperandPlan }
}

function pack(
  node: NodeOf<'contract'>,
  machine: Machine,
  forced: ReadonlySet<Node>,
  copy: (node: Node, plan: OperandPlan) => Node,
  fixed: Fixed | undefined,
): Node {
  const { spec } = node
  let domain: ContractDomain
  try {
    domain = contractDomain([node], (base) => base.kind !== 'view' || forced.has(base))
  } catch (error) {
    // An operand that must be computed first: fusion sees to it; its order is then its own.
    if (error instanceof Unfoldable) return node
    throw error
  }
  const work = spec.extents.reduce((n, extent) => n * extent, 1)
  let best: LanePlan | undefined
  for (let axis = 0; axis < spec.rank; axis++) {
    const plan = planLane(node, domain, axis, work, machine, fixed)
    if (plan && (best === undefined || plan.cost < best.cost)) best = plan
  }
  const along = planSums(node, domain, work, machine, forced)
  if (along && (!best || along.cost < best.cost)) {
    if (along.copied) copy(along.copied, inOrder(along.copied))
    return sumAlong(node, along.axis, machine.lanes)
  }
  if (!best || best.cost >= ((work * MULTIPLY) / machine.lanes) * SCALAR) return node
  const operands = names.map((name, i) => {
    const plan = best.copies[name]
    return plan ? copy(node.args[i], plan) : node.args[i]
  })
  const indices = names.map((name) => {
    const plan = best.copies[name]
    if (!plan) return spec[name]
    const shifted = spec[name].map(
      (index, d): Index => ({ ...index, offset: index.offset + plan.low[d] }),
    )
    return plan.axes.map((d) => shifted[d])
  })
  const order = lastOf(spec.rank, best.axis)
  const moved = reordered(spec, order, indices[0], indices[1])
  const result = contract(moved, operands[0], operands[1])
  const back = order.map((_, i) => order.indexOf(i))
  return permute(result, back)
}

// Note: sums along the lanes. Where both operands are contiguous along a summed axis only (a linear layer over
// few rows, a dot product), that axis gives the lanes: they become a last axis of the result, which is summed
// afterwards. Nothing is copied, at the price of two vector loads a product.

interface SumPlan {
  readonly axis: number
  readonly cost: number
  /** The operand that is copied in its own order first. */
  readonly copied?: Node
}

/** The best sum along the lanes, perhaps with one operand put in order first: where the other is long, that pays. */
function planSums(
  node: NodeOf<'contract'>,
  domain: ContractDomain,
  work: number,
  machine: Machine,
  forced: ReadonlySet<Node>,
): SumPlan | undefined {
  let best: SumPlan | undefined = planSum(node, domain, work, machine)
  if (best) return best
  for (const operand of node.args) {
    const base = baseOf(operand)
    if (base.kind !== 'view' || forced.has(base)) continue
    const ordered = contractDomain(
      [node],
      (other) => other === base || other.kind !== 'view' || forced.has(other),
    )
    const plan = planSum(node, ordered, work, machine)
    if (!plan) continue
    const cost = plan.cost + COPY * operand.shape.reduce((n, length) => n * length, 1)
    if (!best || cost < best.cost) best = { axis: plan.axis, cost, copied: operand }
  }
  return best
}

function inOrder(node: Node): OperandPlan {
  const none = node.shape.map(() => 0)
  return { low: none, high: none, axes: node.shape.map((_, i) => i) }
}

/** The summed axis that lies side by side in both operands, and the time to sum along it. */
function planSum(
  node: NodeOf<'contract'>,
  domain: ContractDomain,
  work: number,
  machine: Machine,
): { readonly axis: number; readonly cost: number } | undefined {
  const { spec } = node
  const { a, b } = domain
  if (!('at' in a) || !('at' in b)) return undefined
  for (let axis = spec.rank; axis < spec.extents.length; axis++) {
    const extent = spec.extents[axis]
    if (extent % machine.lanes !== 0 || extent < LEAST_SUM * machine.lanes) continue
    const variable = domain.summed.find((v) => v.name === `k${axis}`)
    if (!variable || coefficientOf(a.at, variable) !== 1 || coefficientOf(b.at, variable) !== 1)
      continue
    const held = [...a.inside, ...b.inside]
    if (held.some((c) => coefficientOf(c.affine, variable) !== 0)) continue
    const results = spec.extents.slice(0, spec.rank).reduce((n, size) => n * size, 1)
    const rows = Math.min(freeRows(a, domain, variable), freeRows(b, domain, variable))
    const time = (work * MULTIPLY * (rows > 1 ? 1.3 : 2)) / machine.lanes
    return { axis, cost: time + results * machine.lanes * LANE_SUM }
  }
  return undefined
}

function sumAlong(node: NodeOf<'contract'>, axis: number, lanes: number): Node {
  const { spec } = node
  const { rank } = spec
  const place = (x: number) => (x < rank ? x : x + 1)
  const move = (index: Index): Index => ({
    ...index,
    terms: index.terms
      .flatMap(([x, c]): (readonly [number, number])[] =>
        x === axis
          ? [
              [rank, c],
              [place(x), c * lanes],
            ]
          : [[place(x), c]],
      )
      .sort((x, y) => x[0] - y[0]),
  })
  const extents = spec.extents.map((n, x) => (x === axis ? n / lanes : n))
  const wide = makeContract({
    extents: [...extents.slice(0, rank), lanes, ...extents.slice(rank)],
    rank: rank + 1,
    a: spec.a.map(move),
    b: spec.b.map(move),
  })
  return reduce('sum', [rank], contract(wide, node.args[0], node.args[1]))
}

/** 0 … rank−1 with `axis` moved to the end. */
function lastOf(rank: number, axis: number): number[] {
  return [...Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis), axis]
}

/** The spec with its output axes in another order. */
function reordered(
  spec: Contract,
  order: readonly number[],
  a: readonly Index[],
  b: readonly Index[],
): Contract {
  const to = new Map(order.map((axis, i) => [axis, i]))
  const move = (index: Index): Index => ({
    ...index,
    terms: index.terms
      .map(([axis, c]) => [to.get(axis) ?? axis, c] as const)
      .sort((x, y) => x[0] - y[0]),
  })
  return makeContract({
    extents: spec.extents.map((_, i) => spec.extents[i < spec.rank ? order[i] : i]),
    rank: spec.rank,
    a: a.map(move),
    b: b.map(move),
  })
}

function planLane(
  node: NodeOf<'contract'>,
  domain: ContractDomain,
  axis: number,
  work: number,
  machine: Machine,
  fixed: Fixed | undefined,
): LanePlan | undefined {
  const { spec } = node
  const extent = spec.extents[axis]
  if (extent < machine.lanes) return undefined
  const at = domain.index[axis]
  // The fastest of the variables the axis was split into is the one vectors can follow.
  const last = at.terms.reduce<(typeof at.terms)[number] | undefined>(
    (least, term) => (least && Math.abs(least[1]) <= Math.abs(term[1]) ? least : term),
    undefined,
  )
  if (!last) return undefined
  const [variable] = last
  const whole = at.terms.length === 1
  const copies: { a?: OperandPlan; b?: OperandPlan } = {}
  let cost = 0
  let carried = 0
  let rows = 1
  for (const [i, name] of names.entries()) {
    const operand = domain[name]
    if (!('at' in operand)) continue
    const occurs = spec[name].flatMap((index, d) =>
      index.terms.some(([x]) => x === axis) ? [d] : [],
    )
    if (occurs.length === 0) {
      rows = Math.max(rows, freeRows(operand, domain, variable))
      cost += streamed(node, i, spec[name], machine)
      continue
    }
    carried++
    const stride = coefficientOf(operand.at, variable)
    const guarded = operand.inside.some((c) => coefficientOf(c.affine, variable) !== 0)
    if (whole && stride === 1 && !guarded) continue
    const plan = planCopy(node, name, i, axis, occurs)
    if (!plan) return undefined
    copies[name] = plan
    const shape = node.args[i].shape
    const size = shape.reduce((n, length, d) => n * (length + plan.low[d] + plan.high[d]), 1)
    cost += (COPY * size) / turnsServed(node.args[i], fixed)
  }
  if (carried === 0) return undefined
  if (axis !== spec.rank - 1)
    cost += COPY * spec.extents.slice(0, spec.rank).reduce((a, b) => a * b, 1)
  const step = machine.lanes * machine.tile.vectors
  const filled = extent / (Math.ceil(extent / machine.lanes) * machine.lanes)
  const wide = extent >= step ? 1 : 0.6 + (0.4 * extent) / step
  const tiled = rows > 1 || carried === 2 ? 1 : 0.5
  cost += (work * MULTIPLY) / (machine.lanes * filled * wide * tiled)
  return { axis, cost, copies }
}

/** Time to read the operand without lanes again for every position it does not depend on, where no near cache holds it. */
function streamed(
  node: NodeOf<'contract'>,
  i: number,
  indices: readonly Index[],
  machine: Machine,
): number {
  const bytes = 4 * node.args[i].shape.reduce((n, size) => n * size, 1)
  if (bytes <= machine.secondLevelCache) return 0
  const { spec } = node
  const again = spec.extents
    .slice(0, spec.rank)
    .filter((_, axis) => !indices.some((index) => index.terms.some(([x]) => x === axis)))
    .reduce((n, extent) => n * extent, 1)
  const each = bytes > LEVELS_APART * machine.secondLevelCache ? STREAM : LAST_LEVEL
  return (bytes * each * again) / (machine.lanes * machine.tile.vectors)
}

/** The longest axis, free of conditions, that only this operand has: the tile's rows. */
function freeRows(operand: Operand, domain: ContractDomain, lane: { readonly id: number }): number {
  if (!('at' in operand)) return 1
  return domain.outer.reduce((most, variable) => {
    if (variable.id === lane.id || coefficientOf(operand.at, variable) === 0) return most
    return Math.max(most, domain.space.extents.get(variable.id) ?? 1)
  }, 1)
}

/** The operand with the axis's dimension last, padded by what the index leaves it by. */
function planCopy(
  node: NodeOf<'contract'>,
  name: Name,
  i: number,
  axis: number,
  occurs: readonly number[],
): OperandPlan | undefined {
  if (occurs.length !== 1) return undefined
  const { spec } = node
  const [d] = occurs
  const index = spec[name][d]
  if (index.divide !== 1 || index.terms.find(([x]) => x === axis)?.[1] !== 1) return undefined
  const { shape } = node.args[i]
  let least = index.offset
  let most = index.offset
  for (const [x, c] of index.terms) {
    if (c < 0) least += c * (spec.extents[x] - 1)
    else most += c * (spec.extents[x] - 1)
  }
  const pad = (n: number) => shape.map((_, k) => (k === d ? Math.max(0, n) : 0))
  return { low: pad(-least), high: pad(most - (shape[d] - 1)), axes: lastOf(shape.length, d) }
}
