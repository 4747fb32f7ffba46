// Builds the body of one kernel: nested scopes of statements, each value in a local at the outermost scope
// where its variables exist (so nothing is computed in a loop that does not depend on it), loads and guards
// for nodes in memory, scalar functions for the rest.
import { type DType, isHalf } from '../base/dtype.js'
import { invariant } from '../base/errors.js'
import type { Node, NodeOf } from '../graph/node.js'
import { type Access, baseOf, conditions, linear, type Space, throughView } from './access.js'
import {
  affineKey,
  bound,
  call,
  coefficientOf,
  index as indexExpr,
  load,
  localOf,
  loop,
  num,
  report,
  scaleAffine,
  set,
  shiftAffine,
  splat,
  store,
  typeOfDType,
  when,
  zero,
} from './build.js'
import { narrow, widen } from './half.js'
import type { Affine, Bound, Expr, Inside, Local, Statement, Type, Variable } from './kernel.js'
import { applyScalar } from './scalar.js'

/** The index varies along the vector in a way that only scalar code can follow; build again without lanes. */
export class NeedsScalar extends Error {}

interface Scope {
  readonly statements: Statement[]
  readonly memo: Map<string, Expr>
  /** Values may not be moved out of it. */
  readonly guarded: boolean
}

export interface BuilderOptions {
  readonly space: Space
  /** Kernel buffer of a node in memory (its base), or undefined when the node is computed here. */
  readonly bufferOf: (base: Node) => number | undefined
  readonly lanes: number
  /** Registers a report and returns its code. */
  readonly reportCode: (node: NodeOf<'gather'> | NodeOf<'scatterAdd'>) => number
  /** Where a node of this kernel is kept for a later stage of the same row, in merged variables. */
  readonly scratchOf?: (
    node: Node,
    index: readonly Affine[],
  ) => { readonly buffer: number; readonly at: Affine } | undefined
  /** Merged variables: rewrites a linear address. */
  readonly merge?: (address: Affine) => Affine
}

export class Builder {
  readonly space: Space
  readonly options: BuilderOptions
  /** The variable that runs along the lanes, in vector code. */
  lane: Variable | undefined
  /** Added to the lane's variable: the same code for a vector further on. */
  shift = 0
  /** Values are bound at the present shift only: those of other vectors are kept beside them. */
  abreast = false
  private readonly scopes: Scope[] = [{ statements: [], memo: new Map(), guarded: false }]
  private readonly depths = new Map<number, number>()
  private readonly localDepths = new Map<number, number>()
  private readonly ids = new Map<Node, number>()
  private readonly bindings = new Map<
    Node,
    {
      readonly index: readonly Affine[]
      readonly shift: number | undefined
      readonly value: Expr
    }[]
  >()

  constructor(options: BuilderOptions) {
    this.options = options
    this.space = options.space
  }

  get lanes(): number {
    return this.lane === undefined ? 1 : this.options.lanes
  }

  get statements(): readonly Statement[] {
    invariant(this.scopes.length === 1, () => 'a scope was left open')
    return this.scopes[0].statements
  }

  emit(statement: Statement): void {
    this.scopes[this.scopes.length - 1].statements.push(statement)
  }

  loop(
    variable: Variable,
    from: Bound | number,
    to: Bound | number,
    step: number,
    body: () => void,
  ): void {
    this.depths.set(variable.id, this.scopes.length)
    const statements = this.inScope(false, body)
    this.depths.delete(variable.id)
    this.emit(loop(variable, from, to, statements, step))
  }

  /** Declares the kernel's parallel variable, which is available everywhere. */
  outermost(variable: Variable): void {
    this.depths.set(variable.id, 0)
  }

  when(inside: readonly Inside[], body: () => void, otherwise: () => void = () => {}): void {
    const conditions = inside.map((i) => ({ affine: this.merged(i.affine), extent: i.extent }))
    const yes = this.inScope(true, body)
    const no = this.inScope(true, otherwise)
    this.emit(when(conditions, yes, no))
  }

  private inScope(guarded: boolean, body: () => void): Statement[] {
    const scope: Scope = { statements: [], memo: new Map(), guarded }
    this.scopes.push(scope)
    body()
    this.scopes.pop()
    return scope.statements
  }

  /** The value of `node` at exactly this index is already here. */
  bind(node: Node, index: readonly Affine[], value: Expr): void {
    const binding = { index, shift: this.abreast ? this.shift : undefined, value }
    const list = this.bindings.get(node)
    if (list) list.push(binding)
    else this.bindings.set(node, [binding])
  }

  unbind(node: Node): void {
    this.bindings.delete(node)
  }

  /** A fresh register that the caller assigns. */
  local(type: Type, lanes: number): Local {
    const local = this.space.names.local(type, lanes)
    this.localDepths.set(local.id, this.scopes.length - 1)
    return local
  }

  /** Puts a value in a local at the outermost scope where it can be computed. */
  place(value: Expr): Expr {
    if (value.op === 'number' || value.op === 'local') return value
    const depth = Math.max(this.depthOf(value), this.guardDepth())
    const local = this.space.names.local(value.type, value.lanes)
    this.localDepths.set(local.id, depth)
    this.scopes[depth].statements.push(set(local, value))
    return localOf(local)
  }

  /** Puts a value in a local here and now: what registers that change hold at this point. */
  here(value: Expr): Expr {
    const local = this.local(value.type, value.lanes)
    this.emit(set(local, value))
    return localOf(local)
  }

  private guardDepth(): number {
    for (let depth = this.scopes.length - 1; depth > 0; depth--)
      if (this.scopes[depth].guarded) return depth
    return 0
  }

  private affineDepth(affine: Affine): number {
    let depth = 0
    for (const [variable] of affine.terms) {
      const at = this.depths.get(variable.id)
      invariant(at !== undefined, () => `variable ${variable.name} is used outside of its loop`)
      depth = Math.max(depth, at)
    }
    return depth
  }

  private depthOf(value: Expr): number {
    switch (value.op) {
      case 'number':
        return 0
      case 'local':
        return this.localDepths.get(value.local.id) ?? 0
      case 'index':
        return this.affineDepth(value.value)
      case 'load':
        return Math.max(
          this.affineDepth(value.index),
          value.dynamic ? this.depthOf(value.dynamic) : 0,
          value.lanes > 1 && value.stride !== 0 && this.lane
            ? (this.depths.get(this.lane.id) ?? 0)
            : 0,
        )
      case 'call':
        return value.args.reduce((depth, arg) => Math.max(depth, this.depthOf(arg)), 0)
      default:
        return this.depthOf(value.value)
    }
  }

  merged(affine: Affine): Affine {
    const merged = this.options.merge ? this.options.merge(affine) : affine
    if (this.shift === 0 || !this.lane) return merged
    return shiftAffine(merged, this.shift * coefficientOf(merged, this.lane))
  }

  /** The linear address in merged variables, and its step along the lanes. */
  address(index: readonly Affine[], node: Node): { readonly at: Affine; readonly stride: number } {
    const at = this.merged(linear(index, node.shape))
    return { at, stride: this.lane ? coefficientOf(at, this.lane) : 1 }
  }

  /** The value of `node` at `index`: a scalar, or a vector where it varies along the lanes. */
  read(node: Node, index: readonly Affine[]): Expr {
    const bound = this.bindings.get(node)
    if (bound) {
      const found = bound.find(
        (b) => (b.shift === undefined || b.shift === this.shift) && sameKeys(b.index, index),
      )
      if (found) return found.value
    }
    const key = this.keyOf(node, index)
    for (let depth = this.scopes.length - 1; depth >= 0; depth--) {
      const known = this.scopes[depth].memo.get(key)
      if (known) return known
    }
    const value = this.compute(node, index)
    const depth = Math.max(this.depthOf(value), this.guardDepth())
    this.scopes[depth].memo.set(key, value)
    return value
  }

  private keyOf(node: Node, index: readonly Affine[]): string {
    let id = this.ids.get(node)
    if (id === undefined) {
      id = this.ids.size
      this.ids.set(node, id)
    }
    return `${id}:${this.lane ? this.shift : 's'}:${index.map(affineKey).join(',')}`
  }

  private compute(node: Node, index: readonly Affine[]): Expr {
    const scratch = this.options.scratchOf?.(node, index)
    if (scratch) return this.loadAt(node.dtype, scratch.buffer, scratch.at, this.lane ? 1 : 0)
    const buffer = this.options.bufferOf(baseOf(node))
    if (buffer !== undefined && node.kind !== 'const') return this.load(node, buffer, index)
    return this.evaluate(node, index)
  }

  /** The value computed from the node's arguments, whether or not it is held in memory. */
  evaluate(node: Node, index: readonly Affine[]): Expr {
    switch (node.kind) {
      case 'const':
        return num(typeOfDType(node.dtype), node.value)
      case 'iota': {
        const at = this.merged(index[node.axis])
        const step = this.lane ? coefficientOf(at, this.lane) : 0
        return this.place(indexExpr(at, step === 0 ? 1 : this.lanes, step))
      }
      case 'map': {
        const args = node.args.map((arg) => this.read(arg, index))
        return applyScalar(
          node.fn,
          node.args.map((arg) => arg.dtype),
          args,
          (value) => this.place(value),
        )
      }
      case 'view': {
        const through = throughView(node, node.op, index, this.space)
        if (through.inside.length === 0) return this.read(node.args[0], through.index)
        return this.guarded(node.args[0], through.index, through.inside, through.fill)
      }
      case 'gather':
        return this.gather(node, index)
      case 'detach':
        return this.read(node.args[0], index)
      default:
        invariant(false, () => `${node.kind} is read before it is computed`)
    }
  }

  private load(node: Node, buffer: number, index: readonly Affine[]): Expr {
    const { at } = this.address(index, node)
    return this.loadAt(node.dtype, buffer, at, this.lane ? coefficientOf(at, this.lane) : 0)
  }

  private loadAt(dtype: DType, buffer: number, at: Affine, stride: number): Expr {
    const lanes = this.lane && stride !== 0 ? this.lanes : 1
    return this.loaded(dtype, load(dtype, buffer, at, { lanes, stride: lanes === 1 ? 1 : stride }))
  }

  private guarded(
    node: Node,
    index: readonly Affine[],
    inside: readonly Inside[],
    fill: number,
  ): Expr {
    if (this.lane)
      for (const { affine } of inside)
        if (coefficientOf(this.merged(affine), this.lane) !== 0) throw new NeedsScalar()
    const type = typeOfDType(node.dtype)
    const outer = this.local(type, this.lanes)
    this.when(
      inside,
      () => this.emit(set(outer, splat(this.read(node, index), this.lanes))),
      () => this.emit(set(outer, num(type, fill, this.lanes))),
    )
    return localOf(outer)
  }

  private gather(node: NodeOf<'gather'>, index: readonly Affine[]): Expr {
    const [table, indices] = node.args
    const size = table.shape[node.axis]
    const picked = this.read(indices, index)
    if (picked.lanes > 1) throw new NeedsScalar()
    const safe = this.checked(picked, size, node)
    const buffer = this.options.bufferOf(baseOf(table))
    invariant(buffer !== undefined, () => 'gather from a table that is not in memory')
    const rest = index.map((at, i) => (i === node.axis ? zero : at))
    const { at, stride } = this.address(rest, table)
    const lanes = this.lane && stride !== 0 ? this.lanes : 1
    const unit = table.shape.slice(node.axis + 1).reduce((a, b) => a * b, 1)
    const dynamic = this.place(call('mul', safe, num('i32', unit)))
    return this.loaded(
      table.dtype,
      load(table.dtype, buffer, at, { lanes, stride: lanes === 1 ? 1 : stride, dynamic }),
    )
  }

  private loaded(dtype: DType, value: Expr): Expr {
    return this.place(isHalf(dtype) ? widen(dtype, value, (part) => this.place(part)) : value)
  }

  /** The index itself, or 0 after a report when it is out of range. */
  checked(picked: Expr, size: number, node: NodeOf<'gather'> | NodeOf<'scatterAdd'>): Expr {
    const low = call('lt', picked, num('i32', 0))
    const high = call('le', num('i32', size), picked)
    const wrong = this.place(call('or', low, high))
    const depth = Math.max(this.depthOf(wrong), this.guardDepth())
    this.scopes[depth].statements.push(report(wrong, this.options.reportCode(node), picked))
    return this.place(call('select', wrong, num('i32', 0), picked))
  }

  /** Writes to a buffer that holds `node`, at its index. */
  store(node: Node, buffer: number, index: readonly Affine[], value: Expr, shift?: Affine): void {
    const { at, stride } = this.address(index, node)
    const to = shift ? { terms: at.terms, offset: at.offset + shift.offset } : at
    this.emitStore(buffer, to, stride, this.asStored(node.dtype, value))
  }

  /** What a store of a dtype writes: of a half its bits. */
  asStored(dtype: DType, value: Expr): Expr {
    return isHalf(dtype) ? narrow(dtype, value, (part) => this.place(part)) : value
  }

  /** buffer[at + dynamic] += value. */
  accumulate(buffer: number, dtype: DType, at: Affine, dynamic: Expr, value: Expr): void {
    const stride = this.lane ? coefficientOf(at, this.lane) : 0
    const lanes = stride === 0 ? 1 : this.lanes
    const old = load(dtype, buffer, at, { lanes, stride: lanes === 1 ? 1 : stride, dynamic })
    const sum = call('add', old, value)
    this.emit(store(buffer, at, sum, { stride: lanes === 1 ? 1 : stride, dynamic }))
  }

  emitStore(buffer: number, at: Affine, stride: number, value: Expr): void {
    if (this.lane && stride !== 0)
      this.emit(store(buffer, at, splat(value, this.lanes), { stride }))
    else this.emit(store(buffer, at, value.lanes > 1 ? fail(value) : value))
  }
}

function fail(value: Expr): never {
  throw new Error(`internal: a vector of ${value.lanes} lanes has no place to go`)
}

function sameKeys(a: readonly Affine[], b: readonly Affine[]): boolean {
  return a.length === b.length && a.every((x, i) => affineKey(x) === affineKey(b[i]))
}

/** Clips a loop so that a condition holds: its `from` and `to` parts for variable with coefficient ≠ 0. */
export function clip(
  condition: Inside,
  variable: Variable,
): { readonly from: Bound; readonly to: Bound } {
  const c = coefficientOf(condition.affine, variable)
  const rest: Affine = {
    terms: condition.affine.terms.filter(([v]) => v.id !== variable.id),
    offset: condition.affine.offset,
  }
  const minus = scaleAffine(rest, -1)
  const last = { terms: minus.terms, offset: minus.offset + condition.extent - 1 }
  // c > 0: −rest ≤ c·v ≤ extent−1−rest.   c < 0: rest−extent+1 ≤ |c|·v ≤ rest.
  const low = c > 0 ? minus : scaleAffine(last, -1)
  const high = c > 0 ? last : rest
  const by = Math.abs(c)
  return {
    from: bound('from', { affine: { terms: low.terms, offset: low.offset + by - 1 }, divide: by }),
    to: bound('to', { affine: { terms: high.terms, offset: high.offset + by }, divide: by }),
  }
}

/** Pure views between `node` and memory, with the conditions they add; undefined when values are computed on the way. */
export function viewAccess(
  node: Node,
  index: readonly Affine[],
  space: Space,
  inMemory: (base: Node) => boolean,
): Access | undefined {
  let at = node
  let where = index
  let held: readonly Inside[] = conditions(index, node.shape, space)
  while (!inMemory(baseOf(at))) {
    if (at.kind !== 'view') return undefined
    const through = throughView(at, at.op, where, space)
    if (through.inside.length > 0 && through.fill !== 0) return undefined
    held = [...held, ...through.inside]
    where = through.index
    at = at.args[0]
  }
  return { node: at, index: where, inside: held }
}
