// Strength reduction: every access with an affine index becomes a byte pointer that its loop increments,
// and a constant offset. Accesses of one buffer with one coefficient vector share a pointer.
//
// A pointer lives in the scope of the deepest loop its index depends on. Its value there is
// buffer + Σ coefficient·variable + shift; at loop entry it comes from a pointer of an outer scope that has the
// other terms, and each turn adds coefficient·step. `shift` is the least offset of the accesses it serves, so the
// constant offsets of loads and stores, which are unsigned, are ≥ 0. A pointer may lie before its buffer when
// accesses are guarded one by one; it then stays above address 0 because offsets are below RESERVED and
// nothing is stored below RESERVED.

import { itemSize } from '../../base/dtype.js'
import { invariant } from '../../base/errors.js'
import { coefficientOf } from '../../compiler/build.js'
import type { Affine, Expr, Kernel, Statement, Variable } from '../../compiler/kernel.js'

/** Bytes at the start of memory that hold no storage; constant offsets stay below it. */
export const RESERVED = 1 << 20

export interface Pointer {
  readonly buffer: number
  /** Bytes added to the affine value. */
  readonly shift: number
  /** Bytes for each unit of the scope's variable; 0 at the root. */
  readonly coefficient: number
  /** Where it starts from; a root pointer starts from the buffer's parameter. */
  readonly from: Pointer | undefined
}

interface Group {
  readonly buffer: number
  readonly terms: Affine
  readonly offsets: Set<number>
  pointers: Pointer[]
}

/** The pointers of one loop (or of the function, which has no variable), in the order they are made. */
export interface Scope {
  readonly variable: Variable | undefined
  readonly parent: Scope | undefined
  readonly groups: Map<string, Group>
  pointers: readonly Pointer[]
}

export interface Access {
  readonly buffer: number
  readonly index: Affine
  readonly lanes: number
  readonly stride: number
}

function keyOf(buffer: number, { terms }: Affine): string {
  let key = String(buffer)
  for (const [variable, coefficient] of terms) key += `+${coefficient}*${variable.id}`
  return key
}

function groupIn(scope: Scope, buffer: number, terms: Affine): Group {
  const key = keyOf(buffer, terms)
  let group = scope.groups.get(key)
  if (group === undefined) {
    group = { buffer, terms, offsets: new Set(), pointers: [] }
    scope.groups.set(key, group)
  }
  return group
}

/** The deepest scope whose variable occurs in `terms`. */
function home(scope: Scope, terms: Affine): Scope {
  let at = scope
  while (at.variable !== undefined && coefficientOf(terms, at.variable) === 0) {
    invariant(at.parent !== undefined, () => `no outer scope of ${at.variable?.name}`)
    at = at.parent
  }
  return at
}

/** Byte offset of each memory access: lane by lane where the stride is neither 0 nor 1. */
export function laneOffsets(access: Access, size: number): number[] {
  const { offset } = access.index
  if (access.lanes === 1 || access.stride === 0 || access.stride === 1) return [offset * size]
  const offsets: number[] = []
  for (let lane = 0; lane < access.lanes; lane++)
    offsets.push((offset + lane * access.stride) * size)
  return offsets
}

/** The scopes of a kernel in the order a walk enters its loops; the first is the function's. */
export function planAddresses(kernel: Kernel): readonly Scope[] {
  const scopes: Scope[] = []
  const enter = (variable: Variable | undefined, parent: Scope | undefined): Scope => {
    const scope: Scope = { variable, parent, groups: new Map(), pointers: [] }
    scopes.push(scope)
    return scope
  }
  const record = (scope: Scope, access: Access) => {
    const group = groupIn(home(scope, access.index), access.buffer, access.index)
    const size = itemSize[kernel.buffers[access.buffer].dtype]
    for (const offset of laneOffsets(access, size)) group.offsets.add(offset)
  }
  const visit = (scope: Scope, expr: Expr): void => {
    if (expr.op === 'load') {
      record(scope, expr)
      if (expr.dynamic !== undefined) visit(scope, expr.dynamic)
    } else if (expr.op === 'call') for (const arg of expr.args) visit(scope, arg)
    else if (expr.op === 'splat' || expr.op === 'across' || expr.op === 'lane')
      visit(scope, expr.value)
  }
  const walk = (scope: Scope, body: readonly Statement[]): void => {
    for (const statement of body) {
      if (statement.op === 'loop') walk(enter(statement.variable, scope), statement.body)
      else if (statement.op === 'set') visit(scope, statement.value)
      else if (statement.op === 'store') {
        record(scope, { ...statement, lanes: statement.value.lanes })
        if (statement.dynamic !== undefined) visit(scope, statement.dynamic)
        visit(scope, statement.value)
      } else if (statement.op === 'if') {
        walk(scope, statement.body)
        walk(scope, statement.otherwise)
      } else {
        visit(scope, statement.when)
        visit(scope, statement.value)
      }
    }
  }
  const root = enter(undefined, undefined)
  walk(enter(kernel.parallel.variable, root), kernel.body)

  // Inner scopes first: they need a pointer with the rest of their terms further out.
  for (const scope of scopes.toReversed())
    for (const group of scope.groups.values()) if (scope.variable !== undefined) outer(scope, group)
  for (const scope of scopes) {
    for (const group of scope.groups.values()) group.pointers = cluster(scope, group, kernel)
    scope.pointers = [...scope.groups.values()].flatMap((group) => group.pointers)
  }
  return scopes
}

function outer(scope: Scope, group: Group): Group {
  const { variable, parent } = scope
  invariant(variable !== undefined && parent !== undefined, () => 'the root has no outer scope')
  const rest = { terms: group.terms.terms.filter(([v]) => v.id !== variable.id), offset: 0 }
  return groupIn(home(parent, rest), group.buffer, rest)
}

function cluster(scope: Scope, group: Group, kernel: Kernel): Pointer[] {
  const { variable } = scope
  const offsets = [...group.offsets].sort((a, b) => a - b)
  if (offsets.length === 0) offsets.push(0)
  const starts: number[] = []
  for (const offset of offsets) {
    const last = starts.at(-1)
    if (last !== undefined && offset - last < RESERVED) continue
    // At the root the parameter itself serves what it can reach.
    starts.push(variable === undefined && offset >= 0 && offset < RESERVED ? 0 : offset)
  }
  if (variable === undefined)
    return starts.map((shift) => ({ buffer: group.buffer, shift, coefficient: 0, from: undefined }))
  const from = outer(scope, group).pointers[0]
  const size = itemSize[kernel.buffers[group.buffer].dtype]
  const coefficient = coefficientOf(group.terms, variable) * size
  return starts.map((shift) => ({ buffer: group.buffer, shift, coefficient, from }))
}

export interface Address {
  readonly pointer: Pointer
  /** Constant offset in bytes, 0 ≤ offset < RESERVED. */
  readonly offset: number
}

/** Where `offset` (bytes, from laneOffsets) of an access inside `scope` is found. */
export function addressOf(scope: Scope, access: Access, offset: number): Address {
  const group = home(scope, access.index).groups.get(keyOf(access.buffer, access.index))
  const pointer = group?.pointers.findLast((p) => p.shift <= offset)
  invariant(pointer !== undefined, () => `an access to buffer ${access.buffer} without a pointer`)
  return { pointer, offset: offset - pointer.shift }
}
