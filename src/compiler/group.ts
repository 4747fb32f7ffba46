// Groups: what one kernel computes, before it is lowered; and the loops over a domain of elements.
import type { Node, NodeOf } from '../graph/node.js'
import { axisIndex, createSpace, type Space, variableOf } from './access.js'
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
export type Group = RowGroup | ContractGroup | ScatterGroup | PartGroup | CopyGroup | GuardGroup

export function reaches(from: Group, to: Group): boolean {
  const seen = new Set<Group>()
  const stack = [from]
  for (let group = stack.pop(); group; group = stack.pop()) {
    if (group === to) return true
    if (seen.has(group)) continue
    seen.add(group)
    stack.push(...group.needs)
  }
  return false
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
