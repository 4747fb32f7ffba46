// Checks a program against rules the passes before it must keep, by other means than theirs.
import { invariant } from '../base/errors.js'
import { checkInPlace, type OldReads } from './in-place.js'
import type { Expr, Kernel, Statement } from './kernel.js'
import type { Life, MemoryPlan } from './memory.js'
import type { Program } from './program.js'

export function checkProgram(
  program: Program,
  lives: readonly Life[],
  memory: MemoryPlan,
  oldReads: OldReads,
): void {
  checkMemory(lives, memory)
  checkInPlace(program, oldReads)
  for (const kernel of program.kernels) checkKernel(kernel)
  let committing = false
  for (const region of program.regions) {
    invariant(!committing || region.commit, () => 'a region follows the commits')
    committing = region.commit
    for (const step of region.steps) {
      const kernel = program.kernels[step.kernel]
      invariant(
        step.slots.length === kernel.buffers.length,
        () => `${step.what}: slots and buffers`,
      )
      step.slots.forEach((slot, i) => {
        if (slot.space !== 'argument') return
        const argument = program.arguments[slot.index]
        const writes = kernel.buffers[i].access !== 'read'
        invariant(!writes || argument.role !== 'in', () => `${step.what} writes an input`)
        invariant(
          !writes || argument.role !== 'update' || region.commit,
          () => `${step.what} updates before the commit`,
        )
      })
    }
  }
}

/** No two intermediates that live in one region share a byte. */
export function checkMemory(lives: readonly Life[], memory: MemoryPlan): void {
  const last = lives.reduce((most, life) => Math.max(most, life.last), 0)
  for (let region = 0; region <= last; region++) {
    const alive = lives
      .map((life, i) => ({ ...life, at: memory.offsets[i] }))
      .filter((life) => life.first <= region && region <= life.last)
      .sort((a, b) => a.at - b.at)
    for (let i = 1; i < alive.length; i++)
      invariant(
        alive[i - 1].at + alive[i - 1].bytes <= alive[i].at,
        () => `two intermediates overlap in region ${region}`,
      )
    for (const life of alive)
      invariant(life.at + life.bytes <= memory.bytes, () => 'the arena is too small')
  }
}

/** Locals are set before use, variables are used in their loops, buffers exist, lanes and types agree. */
export function checkKernel(kernel: Kernel): void {
  const where = (text: string) => () => `kernel ${kernel.name}: ${text}`
  const expr = (e: Expr, locals: ReadonlySet<number>, variables: ReadonlySet<number>): void => {
    const affine = (a: {
      readonly terms: readonly (readonly [{ readonly id: number; readonly name: string }, number])[]
    }) => {
      for (const [v] of a.terms)
        invariant(variables.has(v.id), where(`variable ${v.name} outside of its loop`))
    }
    switch (e.op) {
      case 'number':
        return
      case 'local':
        invariant(locals.has(e.local.id), where(`local ${e.local.id} is used before it is set`))
        invariant(
          e.lanes === e.local.lanes && e.type === e.local.type,
          where('a local of another type'),
        )
        return
      case 'index':
        affine(e.value)
        return
      case 'load':
        invariant(e.buffer < kernel.buffers.length, where('a buffer that is not there'))
        affine(e.index)
        if (e.dynamic) expr(e.dynamic, locals, variables)
        return
      case 'call':
        for (const arg of e.args) expr(arg, locals, variables)
        return
      default:
        expr(e.value, locals, variables)
    }
  }
  const body = (
    statements: readonly Statement[],
    outer: ReadonlySet<number>,
    variables: ReadonlySet<number>,
  ): Set<number> => {
    const locals = new Set(outer)
    const bounds = (s: Extract<Statement, { op: 'loop' }>) => {
      for (const q of [...s.from, ...s.to])
        for (const [v] of q.affine.terms)
          invariant(variables.has(v.id), where(`bound by ${v.name} outside of its loop`))
    }
    for (const s of statements)
      switch (s.op) {
        case 'loop':
          bounds(s)
          body(s.body, locals, new Set([...variables, s.variable.id]))
          break
        case 'set':
          expr(s.value, locals, variables)
          invariant(
            s.value.lanes === s.local.lanes && s.value.type === s.local.type,
            where('a set of another type'),
          )
          locals.add(s.local.id)
          break
        case 'store':
          invariant(
            kernel.buffers[s.buffer]?.access !== 'read',
            where('a store to what is only read'),
          )
          expr(s.value, locals, variables)
          for (const [v] of s.index.terms)
            invariant(variables.has(v.id), where(`store by ${v.name} outside of its loop`))
          if (s.dynamic) expr(s.dynamic, locals, variables)
          break
        case 'if': {
          for (const { affine } of s.when)
            for (const [v] of affine.terms)
              invariant(variables.has(v.id), where(`if by ${v.name} outside of its loop`))
          const yes = body(s.body, locals, variables)
          const no = body(s.otherwise, locals, variables)
          for (const id of yes) if (no.has(id)) locals.add(id)
          break
        }
        case 'report':
          expr(s.when, locals, variables)
          expr(s.value, locals, variables)
          break
      }
    return locals
  }
  body(kernel.body, new Set(), new Set([kernel.parallel.variable.id]))
}
