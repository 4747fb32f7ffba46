// Which nodes are computed into memory, and which of those share a kernel.
//
// Roots are what must exist outside of a register: contractions, reductions, scattered and joined tensors,
// results, and element-wise values that would cost more to compute again than to keep. Everything else is
// computed where it is read. Groups are loop nests: a contraction with the maps that follow it, or rows:
// members over one domain whose reductions share their kept axes, in stages (softmax is max, then sum, then
// the quotient). A member may join a group when every element it reads of it is its own row's or position's.
import { invariant } from '../base/errors.js'
import { sameShape, sizeOf } from '../base/shape.js'
import { type AttentionNode, isAttention } from '../graph/attention.js'
import { resultCount, resultOf } from '../graph/loop.js'
import { isAgain, type Node, type NodeOf, rootsOf, topological } from '../graph/node.js'
import { accessesOf, awaited, baseOf, sameIndex, Unfoldable } from './access.js'
import { attentionDomain, belongTogether } from './attention.js'
import { contractDomain } from './contraction.js'
import {
  type AttentionGroup,
  type ContractGroup,
  type CopyGroup,
  createDomain,
  type Domain,
  type Group,
  type GuardGroup,
  keptIndex,
  type LoopGroup,
  type Member,
  type PartGroup,
  Precedence,
  type RowGroup,
  type ScatterGroup,
  settle,
  settleWith,
} from './group.js'
import type { Affine } from './kernel.js'
import { copyFolds, isLocalCopy } from './local.js'
import { placeResults } from './placing.js'
import { type FuseInput, findRoots, isLeaf } from './roots.js'
import { isWinograd } from './winograd.js'
import { foldsInTiles } from './winograd-tiles.js'

export interface Fused {
  readonly groups: readonly Group[]
  readonly roots: ReadonlySet<Node>
  /** Base node → argument whose storage it is computed into. */
  readonly placed: ReadonlyMap<Node, number>
}

export function fuse(input: FuseInput): Fused {
  const extra = new Set<Node>()
  for (;;) {
    try {
      return attempt(input, extra)
    } catch (error) {
      if (!(error instanceof Unfoldable)) throw error
      const operand = baseOf(error.operand)
      invariant(!extra.has(operand), () => `a reshape of ${operand.kind} does not fold`)
      extra.add(operand)
    }
  }
}

function attempt(input: FuseInput, extra: ReadonlySet<Node>): Fused {
  const { graph } = input
  const order = topological(rootsOf(graph))
  const roots = findRoots(input, order, extra)
  return new Grouping(input, order, roots).run()
}

/** How many of the last groups are looked at for a shared input. */
const RECENT = 64
/** Tensors one kernel may touch: each is a parameter of its function, and engines allow a thousand. */
const MOST_TENSORS = 400

class Grouping {
  private readonly input: FuseInput
  private readonly order: readonly Node[]
  private readonly roots: Set<Node>
  private readonly groups: Group[] = []
  private readonly precedence = new Precedence()
  private readonly groupOf = new Map<Node, Group>()
  private readonly users = new Map<Node, Node[]>()
  private readonly placed: ReadonlyMap<Node, number>
  /** Last map of a contraction's chain (or the contraction itself) → the contraction. */
  private readonly cores = new Map<Node, readonly Node[]>()
  /** Nodes of all chains: each belongs to one. */
  private readonly chained = new Set<Node>()
  private readonly parts = new Map<Node, Group[]>()
  private readonly updateValues: ReadonlySet<Node>
  /** Packed copies that their only contraction makes for itself. */
  private readonly locals = new Set<Node>()

  constructor(input: FuseInput, order: readonly Node[], roots: Set<Node>) {
    this.input = input
    this.order = order
    this.roots = roots
    for (const node of order)
      for (const arg of node.args) {
        const list = this.users.get(arg)
        if (list) list.push(node)
        else this.users.set(arg, [node])
      }
    const { placed, updateValues } = placeResults(input, roots, this.users, this.inMemory)
    this.placed = placed
    this.updateValues = updateValues
  }

  run(): Fused {
    this.followContractions()
    for (const node of this.order) {
      const chain = this.cores.get(node)
      if (chain) {
        this.addContract(chain)
        continue
      }
      if (node.kind === 'scan') this.addLoop(node)
      if (!this.roots.has(node)) continue
      if (isAttention(node)) this.addAttention(node)
      else if (node.kind === 'scatterAdd') this.addScatter(node)
      else if (node.kind === 'concat') this.addConcat(node)
      else if (!this.groupOf.has(node)) this.addRow(node)
    }
    this.copyResults()
    if (this.input.graph.guard) this.addGuard(this.input.graph.guard)
    return { groups: this.groups, roots: this.roots, placed: this.placed }
  }

  private readonly inMemory = (node: Node): boolean => {
    const base = baseOf(node)
    return isLeaf(base) || this.roots.has(base)
  }

  private add<G extends Group>(group: G, nodes: readonly Node[]): G {
    this.groups.push(group)
    for (const node of nodes) this.groupOf.set(node, group)
    return group
  }

  private needOf(node: Node): Group | undefined {
    return this.groupOf.get(baseOf(node))
  }

  private followContractions(): void {
    for (const node of this.order) {
      if (node.kind !== 'contract') continue
      this.takeLocals(node)
      const chain = this.foldable(this.chainOf(node))
      const end = chain[chain.length - 1]
      this.cores.set(end, chain)
      for (const link of chain) this.chained.add(link)
      if (end !== node) this.roots.delete(node)
      this.roots.add(end)
    }
    // What does not fold is found here, before any group relies on it.
    for (const chain of this.cores.values()) contractDomain(chain, this.inMemoryOrLocal)
  }

  private takeLocals(core: NodeOf<'contract'>): void {
    for (const operand of [0, 1] as const) {
      const copy = core.args[operand]
      if (isWinograd(core.spec)) continue
      if (!this.input.forced.has(copy) || this.placed.has(copy)) continue
      if (!isLocalCopy(copy, core, operand, this.users.get(copy) ?? [])) continue
      if (!copyFolds(copy, this.inMemory)) continue
      this.locals.add(copy)
      this.roots.delete(copy)
    }
  }

  private readonly inMemoryOrLocal = (base: Node): boolean =>
    this.locals.has(base) || this.inMemory(base)

  /** The chain, or the contraction alone where a reshape in the chain does not fold. */
  private foldable(chain: readonly Node[]): readonly Node[] {
    const [core] = chain
    if (core.kind === 'contract' && isWinograd(core.spec)) {
      if (core.spec.winograd.role !== 'product') return [core]
      const view = chain.findIndex((node) => node.kind === 'view')
      const maps = view < 0 ? chain : chain.slice(0, view)
      const domain = contractDomain(maps, this.inMemoryOrLocal)
      return foldsInTiles(maps, core.spec, domain, this.inMemory) ? maps : [core]
    }
    if (!chain.some((node) => node.kind === 'view')) return chain
    try {
      contractDomain(chain, this.inMemoryOrLocal)
      return chain
    } catch (error) {
      if (error instanceof Unfoldable && chain.includes(error.operand)) return chain.slice(0, 1)
      throw error
    }
  }

  /** Comes at the place of the chain's last map, when all that its maps read has a group. */
  private addContract(chain: readonly Node[]): void {
    const core = chain[0]
    const end = chain[chain.length - 1]
    invariant(core.kind === 'contract', () => 'a chain begins with its contraction')
    const members: Member[] = [{ node: end, level: 'full', stage: 0 }]
    const group: ContractGroup = {
      kind: 'contract',
      id: this.groups.length,
      members,
      needs: new Set(),
      commit: this.updateValues.has(end),
      core,
      chain,
      locals: new Set(core.args.filter((arg) => this.locals.has(arg))),
    }
    this.add(group, [end])
    const visit = (node: Node, seen: Set<Node>) => {
      for (const arg of node.args) {
        if (seen.has(arg) || arg === core) continue
        seen.add(arg)
        if (this.inMemory(arg)) this.link(group, arg)
        else visit(arg, seen)
      }
    }
    visit(core, new Set())
    if (end !== core) visit(end, new Set())
  }

  /** The contraction and the maps (with reshapes between) that follow it one by one, each its predecessor's only use. */
  private chainOf(core: Node): Node[] {
    const chain = [core]
    for (;;) {
      const end = chain[chain.length - 1]
      if (end !== core && (this.roots.has(end) || this.updateValues.has(end))) return chain
      if (this.placed.has(baseOf(end))) return chain
      const between: Node[] = []
      let user = this.onlyUser(end)
      while (user?.kind === 'view' && user.op.type === 'reshape' && !this.roots.has(user)) {
        between.push(user)
        user = this.onlyUser(user)
      }
      if (user?.kind !== 'map' || this.updateValues.has(user) || this.chained.has(user))
        return chain
      if (user.args.length > 1 && this.dependsTwice(user, end)) return chain
      chain.push(...between, user)
    }
  }

  private onlyUser(node: Node): Node | undefined {
    const list = this.users.get(node) ?? []
    return list.length === 1 ? list[0] : undefined
  }

  /** More than one argument of `user` leads to `node`. */
  private dependsTwice(user: Node, node: Node): boolean {
    let through = 0
    for (const arg of user.args) if (baseOf(arg) === baseOf(node)) through++
    return through !== 1
  }

  private addScatter(node: NodeOf<'scatterAdd'>): void {
    const group: ScatterGroup = {
      kind: 'scatter',
      id: this.groups.length,
      members: [{ node, level: 'full', stage: 0 }],
      needs: new Set(),
      commit: this.updateValues.has(node),
      node,
    }
    this.add(group, [node])
    // Its loops are fixed, so no axis is split: what does not fold is computed first.
    const { space, index } = createDomain(node.args[1].shape, [])
    for (const arg of node.args)
      if (this.inMemory(arg)) this.link(group, arg)
      else
        for (const access of accessesOf(arg, index, space, this.inMemory))
          this.link(group, access.node)
  }

  private accessesIncluding(node: Node, domain: Domain) {
    if (this.inMemory(node)) return [{ node, index: domain.index, inside: [] }]
    return settle(node, domain, this.inMemory)
  }

  private link(group: Group, node: Node): void {
    for (const need of this.needsOf(node)) if (need !== group) this.precedence.need(group, need)
  }

  /** The groups that must have run before the node is read. */
  private needsOf(node: Node): Group[] {
    return awaited(node).flatMap((base) => {
      const parts = this.parts.get(base)
      if (parts) return parts
      const need = this.groupOf.get(base)
      return need ? [need] : []
    })
  }

  private addConcat(node: NodeOf<'concat'>): void {
    let offset = 0
    node.args.forEach((operand, part) => {
      const domain = createDomain(operand.shape, [])
      const group: PartGroup = {
        kind: 'part',
        id: this.groups.length,
        members: part === 0 ? [{ node, level: 'full', stage: 0 }] : [],
        needs: new Set(),
        commit: this.updateValues.has(node),
        node,
        part,
        offset,
        domain,
      }
      for (const access of this.accessesIncluding(operand, domain)) this.link(group, access.node)
      this.add(group, [node])
      const list = this.parts.get(node)
      if (list) list.push(group)
      else this.parts.set(node, [group])
      offset += operand.shape[node.axis]
    })
  }

  private addAttention(node: AttentionNode): void {
    const member: Member = { node, level: 'full', stage: 0 }
    const beside = this.groups.find(
      (group) => group.kind === 'attention' && belongTogether(group.nodes[0], node),
    )
    if (beside?.kind === 'attention') {
      beside.nodes.push(node)
      beside.members.push(member)
      this.groupOf.set(node, beside)
      return
    }
    const group: AttentionGroup = {
      kind: 'attention',
      id: this.groups.length,
      members: [member],
      needs: new Set(),
      commit: false,
      nodes: [node],
    }
    for (const access of attentionDomain(node, this.inMemory).accesses)
      this.link(group, access.node)
    this.add(group, [node])
  }

  private addLoop(node: NodeOf<'scan'>): void {
    const read = new Map<number, Node>()
    for (const user of this.users.get(node) ?? [])
      if (user.kind === 'result') read.set(user.index, user)
    const results = Array.from(
      { length: resultCount(node.loop) },
      (_, i) => read.get(i) ?? resultOf(node, i),
    )
    const firsts = node.loop.carries.map((_, k): CopyGroup => {
      const domain = createDomain(node.args[k].shape, [])
      return {
        kind: 'copy',
        id: this.groups.length,
        members: [],
        needs: new Set(),
        commit: false,
        node: node.args[k],
        argument: k,
        domain,
      }
    })
    const group: LoopGroup = {
      kind: 'loop',
      id: this.groups.length,
      members: results.map((result) => ({ node: result, level: 'full', stage: 0 })),
      needs: new Set(),
      commit: false,
      node,
      results,
      firsts,
    }
    for (const first of firsts)
      for (const access of this.accessesIncluding(first.node, first.domain))
        this.link(group, access.node)
    for (const arg of node.args.slice(firsts.length)) this.link(group, arg)
    this.add(group, results)
  }

  private copyResults(): void {
    const { graph } = this.input
    const copy = (node: Node, argument: number, commit: boolean) => {
      const domain = createDomain(node.shape, [])
      const group: CopyGroup = {
        kind: 'copy',
        id: this.groups.length,
        members: [],
        needs: new Set(),
        commit,
        node,
        argument,
        domain,
      }
      for (const access of this.accessesIncluding(node, domain)) this.link(group, access.node)
      this.groups.push(group)
    }
    graph.outputs.forEach((node, k) => {
      const argument = this.input.outputArgument(k)
      if (this.placed.get(baseOf(node)) !== argument) copy(node, argument, false)
    })
    for (const { target, value } of graph.updates) {
      const argument = this.input.argumentOf(target)
      if (this.placed.get(baseOf(value)) !== argument) copy(value, argument, true)
    }
  }

  private addGuard(node: Node): void {
    const group: GuardGroup = {
      kind: 'guard',
      id: this.groups.length,
      members: [],
      needs: new Set(),
      commit: false,
      node,
    }
    const domain = createDomain(node.shape, [])
    for (const access of this.accessesIncluding(node, domain)) this.link(group, access.node)
    this.groups.push(group)
  }

  // ---- rows ----

  private addRow(node: Node): void {
    const isReduce = node.kind === 'reduce'
    const shape = isReduce ? node.args[0].shape : node.shape
    const reduced = isReduce ? node.axes : []
    const commit = this.updateValues.has(node)
    const domain = createDomain(shape, reduced)
    const accesses = this.rowAccesses(node, domain)
    const bases = accesses.map((access) => baseOf(access.node))
    for (const group of this.candidates(accesses)) {
      if (group.kind !== 'rows' || group.commit !== commit) continue
      // What shares nothing has no reason to share a kernel.
      if (bases.some((base) => group.touched.has(base)) && this.join(group, node)) return
    }
    const group: RowGroup = {
      kind: 'rows',
      id: this.groups.length,
      members: [{ node, level: isReduce ? 'row' : 'full', stage: 0 }],
      needs: new Set(),
      commit,
      shape,
      reduced,
      domain,
      touched: new Set([node, ...bases]),
    }
    for (const access of accesses) this.link(group, access.node)
    this.add(group, [node])
  }

  /** Groups worth trying to join: those whose results are read, newest first, then the newest of all. */
  private candidates(accesses: readonly { readonly node: Node }[]): Group[] {
    const producers = new Set<Group>()
    for (const { node } of accesses) {
      const group = this.needOf(node)
      if (group) producers.add(group)
    }
    const recent = this.groups.slice(-RECENT).filter((group) => !producers.has(group))
    return [...[...producers].sort((a, b) => b.id - a.id), ...recent.reverse()]
  }

  private rowAccesses(node: Node, domain: Domain) {
    if (node.kind !== 'reduce') return settle(node, domain, this.inMemory)
    return this.accessesIncluding(node.args[0], domain)
  }

  /** Adds `node` to the group when its domain and all it reads of the group allow. */
  private join(group: RowGroup, node: Node): boolean {
    // What is computed again is computed as before, by kernels of its own: so sums come out in the same order.
    if (isAgain(node) !== isAgain(group.members[0].node)) return false
    const kept = group.shape.filter((_, i) => !group.reduced.includes(i))
    let level: 'full' | 'row'
    if (node.kind === 'reduce') {
      if (group.reduced.length === 0 || !sameShape(node.args[0].shape, group.shape)) return false
      if (node.axes.length !== group.reduced.length) return false
      if (!node.axes.every((axis, i) => axis === group.reduced[i])) return false
      level = 'row'
    } else if (sameShape(node.shape, group.shape)) level = 'full'
    else if (group.reduced.length > 0 && sameShape(node.shape, kept)) level = 'row'
    else return false

    const domain: Domain = { ...group.domain }
    const members = new Set(group.members.map((m) => m.node))
    const inMemory = (n: Node) => members.has(n) || (this.inMemory(n) && !members.has(baseOf(n)))
    const source = node.kind === 'reduce' ? node.args[0] : node
    const at = (d: Domain) =>
      level === 'row' && node.kind !== 'reduce' ? keptIndex(group, d) : d.index
    let accesses: ReturnType<typeof accessesOf>
    try {
      accesses = settleWith(domain, () =>
        node.kind === 'reduce' && inMemory(source)
          ? [{ node: source, index: at(domain), inside: [] }]
          : accessesOf(source, at(domain), domain.space, inMemory),
      )
    } catch (error) {
      if (error instanceof Unfoldable) return false
      throw error
    }
    let stage = 0
    let shares = false
    const needs = new Set<Group>()
    for (const access of accesses) {
      const member = group.members.find((m) => m.node === access.node)
      if (!member) {
        for (const need of this.needsOf(access.node)) {
          if (need === group) return false
          needs.add(need)
        }
        continue
      }
      if (access.dynamic) return false
      const expected = member.level === 'row' ? keptIndex(group, domain) : domain.index
      if (!sameIndex(access.index, expected)) return false
      if (member.level === 'full' && level === 'row' && node.kind !== 'reduce') return false
      if (access.inside.length > 0) return false
      shares = true
      const isRow = member.level === 'row' && !(level === 'row' && node.kind !== 'reduce')
      stage = Math.max(stage, member.stage + (isRow ? 1 : 0))
    }
    if (!shares && !this.sharesInput(group, accesses, domain)) return false
    const touched = new Set(group.touched)
    for (const access of accesses) touched.add(baseOf(access.node))
    touched.add(node)
    if (touched.size > MOST_TENSORS) return false
    for (const base of touched) group.touched.add(base)
    for (const need of needs) if (this.precedence.reaches(need, group)) return false
    group.members.push({ node, level, stage })
    group.domain = domain
    for (const need of needs) this.precedence.need(group, need)
    this.groupOf.set(node, group)
    return true
  }

  /** Both read a large tensor at the same position: one pass serves both. */
  private sharesInput(
    group: RowGroup,
    accesses: readonly { readonly node: Node; readonly index: readonly Affine[] }[],
    domain: Domain,
  ): boolean {
    const size = sizeOf(group.shape)
    if (size < 64) return false
    const big = accesses.filter((a) => sizeOf(a.node.shape) * 4 >= size)
    if (big.length === 0) return false
    const others = group.members.flatMap((m) => {
      try {
        const source = m.node.kind === 'reduce' ? m.node.args[0] : m.node
        if (m.level === 'row' && m.node.kind !== 'reduce') return []
        return this.inMemory(source) && m.node.kind === 'reduce'
          ? [{ node: source, index: domain.index }]
          : accessesOf(source, domain.index, domain.space, this.inMemory)
      } catch (error) {
        if (error instanceof Unfoldable) return []
        throw error
      }
    })
    return big.some((a) => others.some((o) => o.node === a.node && sameIndex(o.index, a.index)))
  }
}
