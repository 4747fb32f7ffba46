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
  checkRepeats(program)
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

/** Repeats are apart or within each other, and places move in repeats around them only, within their memory. */
export function checkRepeats(program: Program): void {
  const { regions, repeats = [] } = program
  repeats.forEach(({ first, end, turns }, i) => {
    invariant(0 <= first && first < end && end <= regions.length, () => 'a repeat of no regions')
    invariant(Number.isInteger(turns) && turns > 0, () => `a repeat of ${turns} turns`)
    for (const other of repeats.slice(i + 1))
      invariant(
        other.first >= end || other.end <= first || (other.first >= first && other.end <= end),
        () => 'two repeats overlap, or an inner one comes first',
      )
    for (const region of regions.slice(first, end))
      invariant(!region.commit, () => 'a commit in a repeat')
  })
  regions.forEach(({ steps }, r) => {
    for (const { slots, what } of steps)
      for (const slot of slots) {
        let least = slot.from ?? 0
        let most = least
        for (const { repeat, by, alternates } of slot.moves ?? []) {
          const around = repeats[repeat]
          invariant(
            around !== undefined && around.first <= r && r < around.end,
            () => `${what} moves in a repeat that is not around it`,
          )
          const reach = by * (alternates ? Math.min(1, around.turns - 1) : around.turns - 1)
          if (reach < 0) least += reach
          else most += reach
        }
        const place = slot.space === 'argument' ? 0 : slot.offset
        const size =
          slot.space === 'argument'
            ? program.arguments[slot.index].bytes
            : slot.space === 'arena'
              ? program.arenaBytes
              : program.scratchBytes
        const ends = most === 0 || place + most < size
        invariant(place + least >= 0 && ends, () => `${what} leaves its memory in a repeat`)
      }
  })
}

/** No two intermediates that live in one region share a byte. */
export function checkMemory(lives: readonly Life[], memory: MemoryPlan): void {
  const begin: Placed[][] = []
  const end: Placed[][] = []
  lives.forEach(({ bytes, first, last }, i) => {
    const at = memory.offsets[i]
    invariant(at + bytes <= memory.bytes, () => 'the arena is too small')
    if (bytes === 0) return
    const placed = { at, bytes }
    const began = begin[first]
    if (began) began.push(placed)
    else begin[first] = [placed]
    const ended = end[last]
    if (ended) ended.push(placed)
    else end[last] = [placed]
  })
  // Those alive, by offset. None overlap, so a new one need only be held against its neighbours.
  const alive: Placed[] = []
  for (let region = 0; region < end.length; region++) {
    for (const placed of begin[region] ?? []) {
      const i = placeOf(alive, placed.at)
      const below = alive[i - 1]
      const above = alive[i]
      const apart =
        (below === undefined || below.at + below.bytes <= placed.at) &&
        (above === undefined || placed.at + placed.bytes <= above.at)
      invariant(apart, () => `two intermediates overlap in region ${region}`)
      alive.splice(i, 0, placed)
    }
    for (const placed of end[region] ?? []) alive.splice(placeOf(alive, placed.at), 1)
  }
}

interface Placed {
  readonly at: number
  readonly bytes: number
}

/** How many of a list ordered by offset lie below `at`. */
function placeOf(list: readonly Placed[], at: number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (list[middle].at < at) low = middle + 1
    else high = middle
  }
  return low
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
