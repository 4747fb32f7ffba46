// Prints a kernel as one WebAssembly function: (begin, end, buffer pointers…, control) → nothing.
// Loops test at the bottom; a guard stands in front of those that may be empty. Pointers come from addresses.ts.
import { invariant } from '../../base/errors.js'
import { constantBound } from '../../compiler/build.js'
import type { Bound, Inside, Kernel, Statement, Variable } from '../../compiler/kernel.js'
import { printStore } from './accesses.js'
import { type Pointer, planAddresses, type Scope } from './addresses.js'
import { control } from './control.js'
import { atomic, FunctionBuilder, I32, op, type ValueType } from './encode.js'
import { print } from './expressions.js'
import { printExtreme } from './functions.js'
import { type Printing, printAffine, printQuotient, wasmLocal } from './printing.js'

export interface BodyOptions {
  readonly shared: boolean
  readonly relaxed: boolean
}

export function kernelParameters(kernel: Kernel): ValueType[] {
  return Array<ValueType>(kernel.buffers.length + 3).fill(I32)
}

const BEGIN = 0
const END = 1
const FIRST_BUFFER = 2
const EMPTY_BLOCK = 0x40

/** A bound in the text of a loop: a constant or a local. */
type Limit = { readonly constant: number } | { readonly local: number }

export function printKernel(kernel: Kernel, options: BodyOptions): Uint8Array {
  const builder = new FunctionBuilder(kernelParameters(kernel))
  const scopes = planAddresses(kernel)
  const printing: Printing = {
    kernel,
    builder,
    ...options,
    control: FIRST_BUFFER + kernel.buffers.length,
    pointers: new Map(),
    variables: new Map(),
    locals: new Map(),
    scope: scopes[0],
  }
  for (const pointer of scopes[0].pointers) startRoot(printing, pointer)
  const walk: Walk = { printing, scopes, next: 1 }
  printLoop(walk, kernel.parallel.variable, { local: BEGIN }, { local: END }, 1, kernel.body)
  return builder.finish()
}

interface Walk {
  readonly printing: Printing
  readonly scopes: readonly Scope[]
  /** Scopes are numbered in the order loops are entered. */
  next: number
}

function startRoot(p: Printing, pointer: Pointer): void {
  const parameter = FIRST_BUFFER + pointer.buffer
  if (pointer.shift === 0) {
    p.pointers.set(pointer, parameter)
    return
  }
  const local = p.builder.local(I32)
  p.builder.get(parameter).i32(pointer.shift).op(op.i32Add).set(local)
  p.pointers.set(pointer, local)
}

/** The pointer's value at the first turn of its loop. */
function startPointer(p: Printing, pointer: Pointer, from: Limit): void {
  const { builder } = p
  const { from: outer, coefficient } = pointer
  const base = outer === undefined ? undefined : p.pointers.get(outer)
  invariant(outer !== undefined && base !== undefined, () => 'a pointer without an outer pointer')
  const local = builder.local(I32)
  let constant = pointer.shift - outer.shift
  builder.get(base)
  if ('constant' in from) constant += from.constant * coefficient
  else {
    builder.get(from.local)
    if (coefficient !== 1) builder.i32(coefficient).op(op.i32Mul)
    builder.op(op.i32Add)
  }
  if (constant !== 0) builder.i32(constant).op(op.i32Add)
  builder.set(local)
  p.pointers.set(pointer, local)
}

function push(builder: FunctionBuilder, limit: Limit): void {
  if ('constant' in limit) builder.i32(limit.constant)
  else builder.get(limit.local)
}

/** Evaluates a bound: the greatest of the list for `from`, the least for `to`. */
function printBound(p: Printing, bound: Bound, side: 'from' | 'to'): Limit {
  const constant = constantBound(bound, side)
  if (constant !== undefined) return { constant }
  bound.forEach((part, i) => {
    printQuotient(p, part)
    if (i > 0) printExtreme(p.builder, side === 'from' ? 'max' : 'min')
  })
  const local = p.builder.local(I32)
  p.builder.set(local)
  return { local }
}

function printLoop(
  walk: Walk,
  variable: Variable,
  from: Limit,
  to: Limit,
  step: number,
  body: readonly Statement[],
): void {
  const { printing: p } = walk
  const { builder } = p
  const outer = p.scope
  const scope = walk.scopes[walk.next++]
  invariant(scope.variable === variable, () => `the scope of ${variable.name} is out of order`)
  p.scope = scope
  const counter = builder.local(I32)
  p.variables.set(variable.id, counter)
  const known = 'constant' in from && 'constant' in to
  const trips = known ? Math.ceil((to.constant - from.constant) / step) : undefined
  push(builder, from)
  builder.set(counter)
  const guarded = trips === undefined || trips <= 0
  if (guarded) {
    builder.op(op.block, EMPTY_BLOCK).get(counter)
    push(builder, to)
    builder.op(op.i32GeS).branch(op.brIf, 0)
  }
  for (const pointer of scope.pointers) startPointer(p, pointer, from)
  if (trips === 1) printStatements(walk, body)
  else {
    builder.op(op.loop, EMPTY_BLOCK)
    printStatements(walk, body)
    for (const pointer of scope.pointers) {
      const local = p.pointers.get(pointer)
      invariant(local !== undefined, () => 'a pointer without a local')
      builder
        .get(local)
        .i32(pointer.coefficient * step)
        .op(op.i32Add)
        .set(local)
    }
    builder.get(counter).i32(step).op(op.i32Add).tee(counter)
    push(builder, to)
    builder.op(op.i32LtS).branch(op.brIf, 0).op(op.end)
  }
  if (guarded) builder.op(op.end)
  p.scope = outer
}

function printStatements(walk: Walk, body: readonly Statement[]): void {
  for (const statement of body) printStatement(walk, statement)
}

function printStatement(walk: Walk, statement: Statement): void {
  const { printing: p } = walk
  const { builder } = p
  switch (statement.op) {
    case 'loop': {
      const from = printBound(p, statement.from, 'from')
      const to = printBound(p, statement.to, 'to')
      printLoop(walk, statement.variable, from, to, statement.step, statement.body)
      return
    }
    case 'set':
      print(p, statement.value)
      builder.set(wasmLocal(p, statement.local))
      return
    case 'store':
      printStore(p, statement)
      return
    case 'if':
      printConditions(p, statement.when)
      builder.op(op.if, EMPTY_BLOCK)
      printStatements(walk, statement.body)
      if (statement.otherwise.length > 0) {
        builder.op(op.else)
        printStatements(walk, statement.otherwise)
      }
      builder.op(op.end)
      return
    case 'report':
      printReport(p, statement)
  }
}

/** 0 ≤ affine < extent as one unsigned comparison, all of them. */
function printConditions(p: Printing, conditions: readonly Inside[]): void {
  if (conditions.length === 0) p.builder.i32(1)
  conditions.forEach(({ affine, extent }, i) => {
    printAffine(p, affine)
    p.builder.i32(Math.max(0, extent)).op(op.i32LtU)
    if (i > 0) p.builder.op(op.i32And)
  })
}

/** The first report of a run wins. */
function printReport(p: Printing, statement: Extract<Statement, { op: 'report' }>): void {
  const { builder } = p
  print(p, statement.when)
  builder.op(op.if, EMPTY_BLOCK)
  builder.get(p.control)
  if (p.shared) {
    builder.i32(0).i32(statement.code).atomic(atomic.i32CompareExchange, control.code)
  } else builder.op(op.i32Load).memory(2, control.code)
  builder.op(op.i32Eqz, op.if, EMPTY_BLOCK)
  if (!p.shared) builder.get(p.control).i32(statement.code).op(op.i32Store).memory(2, control.code)
  builder.get(p.control)
  print(p, statement.value)
  builder.op(op.i32Store).memory(2, control.value)
  builder.op(op.end, op.end)
}
