// Which results are computed straight into their argument: outputs, and updates where that is safe.
//
// An update in place must not replace what something else still reads. Here nodes are reasoned about, before there are
// loops; in-place.ts proves it again from the loops.
import { sameShape } from '../base/shape.js'
import type { Node } from '../graph/node.js'
import { baseOf, sameIndex } from './access.js'
import { alternates, createDomain, settle } from './group.js'
import type { FuseInput } from './roots.js'

export interface Placed {
  /** Base node → argument whose storage it is computed into. */
  readonly placed: ReadonlyMap<Node, number>
  /** Values of updates that are computed when they are committed. */
  readonly updateValues: ReadonlySet<Node>
}

export function placeResults(
  input: FuseInput,
  roots: ReadonlySet<Node>,
  users: ReadonlyMap<Node, readonly Node[]>,
  inMemory: (node: Node) => boolean,
): Placed {
  return new Placing(input, roots, users, inMemory).run()
}

class Placing {
  readonly placed = new Map<Node, number>()
  readonly updateValues = new Set<Node>()
  private readonly input: FuseInput
  private readonly roots: ReadonlySet<Node>
  private readonly users: ReadonlyMap<Node, readonly Node[]>
  private readonly inMemory: (node: Node) => boolean
  /** What is computed before the commit, whatever is found later: see computeBefore. */
  private readonly before = new Set<Node>()

  constructor(
    input: FuseInput,
    roots: ReadonlySet<Node>,
    users: ReadonlyMap<Node, readonly Node[]>,
    inMemory: (node: Node) => boolean,
  ) {
    this.input = input
    this.roots = roots
    this.users = users
    this.inMemory = inMemory
  }

  /** Results computed straight into their argument: outputs first come, first served; updates where safe. */
  run(): Placing {
    const { graph } = this.input
    graph.outputs.forEach((node, k) => {
      const base = baseOf(node)
      if (this.roots.has(base) && !this.placed.has(base) && !alternates(base))
        this.placed.set(base, this.input.outputArgument(k))
    })
    const onlyCommits = this.onlyCommits()
    for (const { target, value } of graph.updates) {
      const base = baseOf(value)
      if (!this.roots.has(base) || this.placed.has(base)) continue
      if (base.kind === 'result' || base.kind === 'composite') continue
      if (!onlyCommits(base)) continue
      this.placed.set(base, this.input.argumentOf(target))
      this.updateValues.add(base)
    }
    this.dropUnsafe()
    return this
  }

  /** Every use of the value leads to updates only, so computing it may wait for the commit. */
  private onlyCommits(): (base: Node) => boolean {
    const values = new Set(this.input.graph.updates.map(({ value }) => baseOf(value)))
    const outputs = new Set(this.input.graph.outputs.map(baseOf))
    const known = new Map<Node, boolean>()
    const answer = (node: Node): boolean => {
      if (outputs.has(node) || node === this.input.graph.guard) return false
      const users = this.users.get(node) ?? []
      if (users.length === 0) return values.has(baseOf(node))
      return users.every(check)
    }
    const check = (node: Node): boolean => {
      let only = known.get(node)
      if (only === undefined) {
        only = answer(node)
        known.set(node, only)
      }
      return only
    }
    return check
  }

  /**
   * What is computed in the commit must not read an argument that the commit writes, in place or by a copy, but
   * for the value that is written there in place, element by element. Others are computed before, and copied.
   */
  private dropUnsafe(): void {
    for (const { target, value } of this.input.graph.updates) {
      const base = baseOf(value)
      for (const root of this.readersOf(target))
        if (root !== base && !this.readsBefore(root, base, target)) this.computeBefore(root)
      // A value that anything computed before the commit reads is computed before it too.
      if (this.readersOf(base).some((root) => !this.updateValues.has(root)))
        this.computeBefore(base)
      if (this.updateValues.has(base) && !this.readsOwnPosition(base, target))
        this.computeBefore(base)
    }
  }

  /**
   * An update's value that reads the argument element by element and that `base` is computed from: it is done
   * with each element before `base` writes it, in one loop or in an earlier region. (Weight decay reads the
   * parameter for the momentum's new value, from which the parameter's follows.)
   */
  private readsBefore(root: Node, base: Node, target: Node): boolean {
    if (!this.updateValues.has(root) || !sameShape(root.shape, target.shape)) return false
    const seen = new Set<Node>()
    const leadsTo = (node: Node): boolean => {
      if (node === root) return true
      if (seen.has(node)) return false
      seen.add(node)
      if (node !== base && this.roots.has(node) && !this.updateValues.has(node)) return false
      return node.args.some(leadsTo)
    }
    return leadsTo(base) && this.readsOwnPosition(root, target)
  }

  /** Takes a value, and the updates it is computed from, out of the commit. */
  private computeBefore(base: Node): void {
    if (!this.updateValues.has(base)) return
    const stack = [base]
    for (let node = stack.pop(); node; node = stack.pop()) {
      // What was reached before has had its updates taken out.
      if (this.before.has(node)) continue
      this.before.add(node)
      if (this.updateValues.delete(node)) this.placed.delete(node)
      for (const arg of node.args) stack.push(arg)
    }
  }

  private readersOf(target: Node): Node[] {
    const out = new Set<Node>()
    const seen = new Set<Node>()
    const visit = (node: Node) => {
      for (const user of this.users.get(node) ?? []) {
        if (seen.has(user)) continue
        seen.add(user)
        if (this.roots.has(user)) out.add(user)
        else visit(user)
      }
    }
    visit(target)
    return [...out]
  }

  private readsOwnPosition(base: Node, target: Node): boolean {
    if (base.kind !== 'map') return !this.readersOf(target).includes(base)
    const domain = createDomain(base.shape, [])
    const accesses = settle(base, domain, this.inMemory)
    return accesses
      .filter((access) => baseOf(access.node) === target)
      .every(
        (access) =>
          sameShape(access.node.shape, base.shape) && sameIndex(access.index, domain.index),
      )
  }
}
