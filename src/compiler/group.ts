// Groups: what one kernel computes, before it is lowered; and the loops over a domain of elements.
import type { AttentionNode } from '../graph/attention.js'
import type { Node, NodeOf } from '../graph/node.js'
import { accessesOf, axisIndex, createSpace, type Space, Unfoldable, variableOf } from './access.js'
import { addAffine, coefficientOf, ofVariable, substitute } from './build.js'
import type { Affine, Variable } from './kernel.js'

export interface Domain {
  readonly space: Space
  /** The index of each axis of the full shape. */
  index: readonly Affine[]
  outer: readonly Variable[]
  inner: readonly Variable[]
}

/** Where in a row's stages a member is computed; `row` members have one value a row. */
export interface Member {
  readonly node: Node
  readonly level: 'full' | 'row'
  readonly stage: number
}

interface GroupBase {
  readonly id: number
  /** Nodes this group computes (bases), in order. */
  readonly members: Member[]
  /** Groups whose results it reads. */
  readonly needs: Set<Group>
  /** It computes new values of updated arguments only. */
  readonly commit: boolean
}
export interface RowGroup extends GroupBase {
  readonly kind: 'rows'
  readonly shape: readonly number[]
  reduced: readonly number[]
  domain: Domain
  /** Bases its members read or are: as many buffers as the kernel has at most. */
  readonly touched: Set<Node>
}
export interface ContractGroup extends GroupBase {
  readonly kind: 'contract'
  readonly core: NodeOf<'contract'>
  /** From the contraction to the member, each the next one's operand: maps and reshapes. */
  readonly chain: readonly Node[]
  /** Operands it copies into scratch itself, an item at a time (local.ts). */
  readonly locals: ReadonlySet<Node>
}
export interface ScatterGroup extends GroupBase {
  readonly kind: 'scatter'
  readonly node: NodeOf<'scatterAdd'>
}
/** Writes operand `part` of a concat into its place. */
export interface PartGroup extends GroupBase {
  readonly kind: 'part'
  readonly node: NodeOf<'concat'>
  readonly part: number
  readonly offset: number
  domain: Domain
}
/** Copies a node in memory, or computes it, into an argument. */
export interface CopyGroup extends GroupBase {
  readonly kind: 'copy'
  readonly node: Node
  readonly argument: number
  domain: Domain
}
/** Reports when the guard is false. */
export interface GuardGroup extends GroupBase {
  readonly kind: 'guard'
  readonly node: Node
}
/** Attention, or its gradients: what is computed from the same arguments. */
export interface AttentionGroup extends GroupBase {
  readonly kind: 'attention'
  readonly nodes: AttentionNode[]
}
/** Runs a scan: its first carries are copied, then its body's own groups run once a step. */
export interface LoopGroup extends GroupBase {
  readonly kind: 'loop'
  readonly node: NodeOf<'scan'>
  /** A node for each result, read or not. */
  readonly results: readonly Node[]
  /** Copies of the first carries; `argument` is the carry's number. */
  readonly firsts: readonly CopyGroup[]
}
export type Group =
  | RowGroup
  | ContractGroup
  | ScatterGroup
  | PartGroup
  | CopyGroup
  | GuardGroup
  | AttentionGroup
  | LoopGroup

/** The last value of a carry: it has room for two, which the steps write in turn. */
export function alternates(node: Node): boolean {
  const scan = node.args[0]
  return node.kind === 'result' && scan.kind === 'scan' && scan.loop.keep[node.index] === false
}

/** Groups looked at before one is taken to need another: so deciding costs the same in a network of any depth. */
const MOST_LOOKED_AT = 256

/** Who needs whom. A group's level is above those of all that it needs, so a search need not go below its aim. */
export class Precedence {
  /** Groups looked at so far: what tests of linear time count. */
  looks = 0
  private readonly levels = new Map<Group, number>()
  private readonly users = new Map<Group, Group[]>()

  /** Notes that `group` reads results of `other`. */
  need(group: Group, other: Group): void {
    if (group.needs.has(other)) return
    group.needs.add(other)
    const list = this.users.get(other)
    if (list) list.push(group)
    else this.users.set(other, [group])
    this.raise(group, this.level(other) + 1)
  }

  /**
   * Whether `from` needs `to`, at any remove. Searched from both ends at once, for most often one of them is new and has
   * few neighbours. Where it takes long all the same, true: then nothing is fused.
   */
  reaches(from: Group, to: Group): boolean {
    // No value of a step is computed from what only its commit writes.
    if (to.commit && !from.commit) return false
    const least = this.level(to)
    const most = this.level(from)
    const below = new Set<Group>()
    const above = new Set<Group>()
    const down = [from]
    const up = [to]
    while (below.size + above.size < MOST_LOOKED_AT) {
      const needed = down.pop()
      if (needed === undefined) return false
      if (above.has(needed) || needed === to) return true
      if (!below.has(needed) && this.level(needed) > least) {
        this.looks++
        below.add(needed)
        for (const need of needed.needs) down.push(need)
      }
      const user = up.pop()
      if (user === undefined) return false
      if (below.has(user)) return true
      if (!above.has(user) && this.level(user) < most) {
        this.looks++
        above.add(user)
        for (const next of this.users.get(user) ?? []) up.push(next)
      }
    }
    return true
  }

  private level(group: Group): number {
    return this.levels.get(group) ?? 0
  }

  private raise(group: Group, level: number): void {
    const stack: [Group, number][] = [[group, level]]
    for (let top = stack.pop(); top; top = stack.pop()) {
      const [at, least] = top
      if (this.level(at) >= least) continue
      this.looks++
      this.levels.set(at, least)
      for (const user of this.users.get(at) ?? []) stack.push([user, least + 1])
    }
  }
}

/** The row's index: that of the axes not reduced. */
export function keptIndex(group: Pick<RowGroup, 'reduced'>, domain: Domain): Affine[] {
  return domain.index.filter((_, i) => !group.reduced.includes(i))
}

export function createDomain(shape: readonly number[], reduced: readonly number[]): Domain {
  const space = createSpace()
  const index = shape.map((extent, i) => axisIndex(space, `i${i}`, extent))
  const outer: Variable[] = []
  const inner: Variable[] = []
  index.forEach((at, i) => {
    for (const [variable] of at.terms) (reduced.includes(i) ? inner : outer).push(variable)
  })
  return { space, index, outer, inner }
}

/** variable = by·high + low, in the domain's index and loops. False when it is not the domain's. */
export function splitDomain(domain: Domain, variable: Variable, by: number): boolean {
  const list = domain.outer.includes(variable) ? 'outer' : 'inner'
  if (!domain[list].includes(variable)) return false
  const extent = domain.space.extents.get(variable.id) ?? 1
  const high = variableOf(domain.space, `${variable.name}a`, extent / by)
  const low = variableOf(domain.space, `${variable.name}b`, by)
  const whole = addAffine(ofVariable(high, by), ofVariable(low))
  domain.index = domain.index.map((at) =>
    coefficientOf(at, variable) === 0 ? at : substitute(at, variable, whole),
  )
  domain[list] = domain[list].flatMap((v) => (v === variable ? [high, low] : [v]))
  return true
}

/** Runs what folds views over the domain, splitting its variables until every view folds. */
export function settleWith<T>(domain: Domain, run: () => T): T {
  for (;;) {
    try {
      return run()
    } catch (error) {
      if (!(error instanceof Unfoldable) || error.split === undefined) throw error
      if (!splitDomain(domain, error.split.variable, error.split.by))
        throw new Unfoldable(error.operand)
    }
  }
}

/** Accesses of a root over a domain. */
export function settle(root: Node, domain: Domain, inMemory: (node: Node) => boolean) {
  return settleWith(domain, () => accessesOf(root, domain.index, domain.space, inMemory))
}
