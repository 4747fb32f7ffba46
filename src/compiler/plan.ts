// A prepared graph → its kernels in regions: groups by what they need, a scan as a repeat of its body's regions.
//
// Note: carries. A carry whose history is a result is that history: a step reads one position of it and writes the next,
// and nothing is ever copied. Of the others two values are kept, which the steps write in turn; the last step writes the
// first of the two.
import { itemSize } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import { bodyOf } from '../graph/loop.js'
import { type InputNode, type Node, rootsOf, topological } from '../graph/node.js'
import { baseOf } from './access.js'
import type { Prepared } from './compile.js'
import { type Fused, fuse } from './fuse.js'
import { alternates, type Group, type LoopGroup } from './group.js'
import { type Home, type LowerContext, type Lowered, lower, type Turns } from './lower.js'
import type { Machine, Report } from './program.js'

export interface PlannedStep {
  readonly lowered: Lowered
  /** Arguments of the program that it computes from. */
  readonly reads: ReadonlySet<number>
}
export interface PlannedRegion {
  readonly steps: PlannedStep[]
  readonly commit: boolean
}
/** Regions `first` up to but without `end`, in turns. */
export interface PlannedRepeat {
  readonly turns: Turns
  readonly first: number
  readonly end: number
}
export interface Plan {
  readonly regions: readonly PlannedRegion[]
  /** Outer ones before those within them. */
  readonly repeats: readonly PlannedRepeat[]
  /** In how many repeats an intermediate is made anew. */
  readonly depths: ReadonlyMap<Node, number>
  readonly reports: readonly Report[]
}

export function planProgram(
  prepared: Prepared,
  inputs: readonly InputNode[],
  machine: Machine,
): Plan {
  const argumentOf = new Map<Node, number>()
  inputs.forEach((node, i) => {
    argumentOf.set(node, i)
  })
  const argument = (node: Node): number => {
    const index = argumentOf.get(node)
    invariant(index !== undefined, () => 'an input without an argument')
    return index
  }
  const reports: Report[] = []
  const codes = new Map<Node, number>()
  const code = (node: Node, report: Report): number => {
    const known = codes.get(node)
    if (known !== undefined) return known
    reports.push(report)
    codes.set(node, reports.length)
    return reports.length
  }
  const shared: Shared = { machine, depths: new Map(), code }
  const whole = planGraph(prepared, shared, {
    depth: 0,
    argumentOf: argument,
    outputArgument: (k) => inputs.length + k,
    inputHome: (node) => ({ space: 'argument', index: argument(node) }),
    argumentHome: (index) => ({ space: 'argument', index }),
    readsOf: (node) => [argument(node)],
  })
  return { ...whole, depths: shared.depths, reports }
}

interface Shared {
  readonly machine: Machine
  readonly depths: Map<Node, number>
  readonly code: (node: Node, report: Report) => number
}

/** Where a graph's inputs and outputs lie: for a body, in what surrounds it. */
interface Around {
  readonly depth: number
  readonly argumentOf: (input: Node) => number
  readonly outputArgument: (k: number) => number
  readonly inputHome: (input: Node) => Home
  readonly argumentHome: (index: number) => Home
  /** Arguments of the program behind an input. */
  readonly readsOf: (input: Node) => readonly number[]
}

interface Regions {
  readonly regions: PlannedRegion[]
  readonly repeats: PlannedRepeat[]
}

function planGraph({ graph, forced }: Prepared, shared: Shared, around: Around): Regions {
  const own = topological(rootsOf(graph)).filter((node) => forced.has(node))
  const fused = fuse({
    graph,
    forced: new Set(own),
    argumentOf: around.argumentOf,
    outputArgument: around.outputArgument,
  })
  const stored = storedNodes(fused)
  const owner = ownersOf(fused)
  const context: LowerContext = {
    machine: shared.machine,
    inMemory: (base) => base.kind === 'input' || fused.roots.has(base),
    isStored: (base) => base.kind === 'input' || stored.has(base),
    homeOf: (base) => {
      if (base.kind === 'input') return around.inputHome(base)
      const index = fused.placed.get(base)
      if (index !== undefined) return around.argumentHome(index)
      shared.depths.set(base, around.depth)
      return { space: 'arena', base }
    },
    argumentHome: around.argumentHome,
    reportCode: (node) =>
      shared.code(node, {
        kind: 'index',
        label: node.label,
        what: node.kind,
        size: node.kind === 'gather' ? node.args[0].shape[node.axis] : node.shape[node.axis],
      }),
    guardCode: (node) =>
      shared.code(node, { kind: 'guard', label: node.label, what: 'guard', size: 0 }),
  }
  const readsOf = (group: Group): Set<number> => {
    const reads = new Set<number>()
    for (const base of readFromMemory(group, fused, owner))
      if (base.kind === 'input') for (const index of around.readsOf(base)) reads.add(index)
    return reads
  }
  const out: Regions = { regions: [], repeats: [] }
  for (const groups of schedule(fused.groups)) {
    const steps: PlannedStep[] = []
    const loops: LoopGroup[] = []
    for (const group of groups)
      if (group.kind !== 'loop')
        steps.push({ lowered: lower(group, context), reads: readsOf(group) })
      else {
        loops.push(group)
        for (const first of group.firsts) {
          const home = firstHome(group, first.argument, context)
          const lowered = lower(first, { ...context, argumentHome: () => home })
          steps.push({ lowered, reads: readsOf(first) })
        }
      }
    if (steps.length > 0) out.regions.push({ steps, commit: groups[0].commit })
    for (const together of besideEachOther(loops)) {
      const turns: Turns = { count: together[0].node.loop.length }
      const bodies = together.map((group) => {
        const args = group.node.args.map(baseOf)
        const reads = args.map((base) => (base.kind === 'input' ? around.readsOf(base) : []))
        const body = { graph: bodyOf(group.node.loop), forced }
        return planGraph(body, shared, insideOf(group, turns, context, reads, around.depth + 1))
      })
      append(out, turns, bodies)
    }
  }
  return out
}

/** Loops of as many steps take their steps together, where none of them has loops within. */
function besideEachOther(loops: readonly LoopGroup[]): LoopGroup[][] {
  const nested = (group: LoopGroup) =>
    topological(rootsOf(bodyOf(group.node.loop))).some((node) => node.kind === 'scan')
  const out: LoopGroup[][] = []
  const open = new Map<number, LoopGroup[]>()
  for (const group of loops) {
    const { length } = group.node.loop
    const list = nested(group) ? undefined : open.get(length)
    if (list) list.push(group)
    else {
      const fresh = [group]
      out.push(fresh)
      if (!nested(group)) open.set(length, fresh)
    }
  }
  return out
}

/** Adds a repeat of the bodies' regions, the first of all together, then the second. */
function append(out: Regions, turns: Turns, bodies: readonly Regions[]): void {
  const first = out.regions.length
  const length = bodies.reduce((most, { regions }) => Math.max(most, regions.length), 0)
  if (length === 0) return
  for (let r = 0; r < length; r++)
    out.regions.push({
      steps: bodies.flatMap(({ regions }) => regions[r]?.steps ?? []),
      commit: false,
    })
  out.repeats.push({ turns, first, end: first + length })
  for (const { repeats } of bodies)
    for (const inner of repeats)
      out.repeats.push({ ...inner, first: first + inner.first, end: first + inner.end })
}

function bytesOf(node: Node): number {
  return sizeOf(node.shape) * itemSize[node.dtype]
}

function moved(home: Home, from: number, turns?: Turns, by = 0, alternating = false): Home {
  const place = { ...home, from: (home.from ?? 0) + from }
  if (!turns || by === 0) return place
  const move = { turns, by, alternates: alternating }
  return { ...place, moves: [...(home.moves ?? []), move] }
}

/** Where the first value of carry k is put. */
function firstHome({ node, results }: LoopGroup, k: number, context: LowerContext): Home {
  const { length, reverse, carries } = node.loop
  const bytes = bytesOf(carries[k])
  const home = context.homeOf(results[k])
  if (alternates(results[k])) return moved(home, (length % 2) * bytes)
  return moved(home, reverse ? length * bytes : 0)
}

function insideOf(
  { node, results }: LoopGroup,
  turns: Turns,
  context: LowerContext,
  reads: readonly (readonly number[])[],
  depth: number,
): Around {
  const { length, reverse, carries, slices, wholes, ys } = node.loop
  const homes = new Map<Node, Home>()
  const behind = new Map<Node, readonly number[]>()
  const targets: Home[] = []
  /** One position a turn, of those that begin `ahead` positions in. */
  const along = (home: Home, bytes: number, ahead = 0): Home =>
    reverse
      ? moved(home, (length - 1 + ahead) * bytes, turns, -bytes)
      : moved(home, ahead * bytes, turns, bytes)
  carries.forEach((carry, k) => {
    const bytes = bytesOf(carry)
    const home = context.homeOf(results[k])
    if (alternates(results[k])) {
      const [even, odd] = [
        moved(home, 0, turns, bytes, true),
        moved(home, bytes, turns, -bytes, true),
      ]
      homes.set(carry, length % 2 === 1 ? odd : even)
      targets.push(length % 2 === 1 ? even : odd)
    } else {
      homes.set(carry, along(home, bytes, reverse ? 1 : 0))
      targets.push(along(home, bytes, reverse ? 0 : 1))
    }
  })
  slices.forEach((slice, i) => {
    const base = baseOf(node.args[carries.length + i])
    homes.set(slice, along(context.homeOf(base), bytesOf(slice)))
    behind.set(slice, reads[carries.length + i])
  })
  wholes.forEach((whole, i) => {
    const at = carries.length + slices.length + i
    homes.set(whole, context.homeOf(baseOf(node.args[at])))
    behind.set(whole, reads[at])
  })
  ys.forEach((y, j) => {
    targets.push(along(context.homeOf(results[carries.length + j]), bytesOf(y)))
  })
  return {
    depth,
    argumentOf: () => -1,
    outputArgument: (k) => k,
    inputHome: (input) => {
      const home = homes.get(input)
      invariant(home !== undefined, () => 'a body reads what is not given to it')
      return home
    },
    argumentHome: (index) => targets[index],
    readsOf: (input) => behind.get(input) ?? [],
  }
}

/** Bases that need memory: results, and what a group other than their own reads. */
function storedNodes(fused: Fused): Set<Node> {
  const stored = new Set<Node>(fused.placed.keys())
  const owner = ownersOf(fused)
  for (const group of fused.groups) {
    for (const base of readFromMemory(group, fused, owner))
      if (base.kind !== 'input') stored.add(base)
    if (group.kind === 'part' || group.kind === 'scatter') stored.add(group.node)
    if (group.kind === 'contract') stored.add(group.members[0].node)
    if (group.kind === 'loop' || group.kind === 'attention')
      for (const { node } of group.members) stored.add(node)
  }
  return stored
}

/** The group that computes each root. */
function ownersOf(fused: Fused): Map<Node, Group> {
  const owner = new Map<Node, Group>()
  for (const group of fused.groups) for (const { node } of group.members) owner.set(node, group)
  return owner
}

/** Inputs, and roots of other groups, that the group computes from. */
function readFromMemory(
  group: Group,
  fused: Fused,
  owner: ReadonlyMap<Node, Group>,
): ReadonlySet<Node> {
  const found = new Set<Node>()
  const seen = new Set<Node>()
  const visit = (node: Node) => {
    if (seen.has(node)) return
    seen.add(node)
    const base = baseOf(node)
    if (base.kind === 'input' || (fused.roots.has(base) && owner.get(base) !== group)) {
      found.add(base)
      return
    }
    for (const arg of base.args) visit(arg)
  }
  if (group.kind === 'copy' || group.kind === 'guard') visit(group.node)
  else for (const node of computedBy(group)) for (const arg of node.args) visit(arg)
  return found
}

function computedBy(group: Group): readonly Node[] {
  switch (group.kind) {
    case 'rows':
      return group.members.map((m) => m.node)
    case 'contract':
      return group.chain
    case 'attention':
      return group.nodes
    case 'part':
    case 'scatter':
    case 'loop':
      return [group.node]
    case 'copy':
    case 'guard':
      return []
  }
}

/**
 * Moves groups to the region before that of their first user, where that keeps less in memory: a result that is used
 * much later need not wait there, if what it is made of is there then anyway.
 */
function sink(groups: readonly Group[], levels: Map<Group, number>): void {
  const users = new Map<Group, Group[]>()
  for (const group of groups)
    for (const need of group.needs) {
      const list = users.get(need)
      if (list) list.push(group)
      else users.set(need, [group])
    }
  const bytes = ({ members }: Group) =>
    members.reduce((n, { node }) => n + sizeOf(node.shape) * itemSize[node.dtype], 0)
  const levelOf = (group: Group) => levels.get(group) ?? 0
  const others = groups.filter((g) => !g.commit && (g.kind === 'rows' || g.kind === 'contract'))
  for (const group of others.sort((a, b) => levelOf(b) - levelOf(a))) {
    const list = users.get(group)
    if (!list || list.some((user) => user.commit)) continue
    const latest = Math.min(...list.map(levelOf)) - 1
    if (latest <= levelOf(group)) continue
    const kept = [...group.needs].filter(
      (need) => !users.get(need)?.some((user) => user.commit || levelOf(user) > latest),
    )
    if (kept.reduce((n, need) => n + bytes(need), 0) <= bytes(group)) levels.set(group, latest)
  }
}

/** A group's region: after all it needs; commits after everything else. */
function schedule(groups: readonly Group[]): Group[][] {
  const levels = new Map<Group, number>()
  const level = (group: Group): number => {
    const known = levels.get(group)
    if (known !== undefined) return known
    let at = 0
    for (const need of group.needs)
      if (need.commit === group.commit) at = Math.max(at, level(need) + 1)
      else invariant(group.commit, () => 'a commit is needed before the commits')
    levels.set(group, at)
    return at
  }
  for (const group of groups) level(group)
  sink(groups, levels)
  const gather = (list: readonly Group[]): Group[][] => {
    const out: Group[][] = []
    for (const group of list) {
      const at = level(group)
      while (out.length <= at) out.push([])
      out[at].push(group)
    }
    return out
  }
  return [
    ...gather(groups.filter((g) => !g.commit)),
    ...gather(groups.filter((g) => g.commit)),
  ].filter((list) => list.length > 0)
}
