// Proves that updates in place are safe: every read of the old value happens before the write that replaces it.
//
// placing.ts decides which values are written straight over what they replace; it reasons about nodes. This looks only at
// the loops that came out, and asks of each load of a replaced argument and each store to it: can they meet at one
// element, with the store first, or in iterations whose order nothing fixes? Between two regions there is a barrier;
// within one region nothing orders two steps, and within a step nothing orders two turns of the parallel loop.
//
// The same element means Σ coefficient·Δ + offset = 0, where Δ is by how much each loop variable (and the lane)
// differs between store and load. Taken from the largest coefficient down, what the smaller ones can still reach leaves
// a few values of each Δ, so all solutions are found by a short search.
import { invariant } from '../base/errors.js'
import type { Affine, Bound, Expr, Kernel, Statement } from './kernel.js'
import type { Program } from './program.js'

/** The arguments whose old value a step computes from: the graph says so. */
export type OldReads = (region: number, step: number) => ReadonlySet<number>

export function checkInPlace(program: Program, oldReads: OldReads): void {
  const written = new Set<number>()
  program.regions.forEach((region, r) => {
    const writers = new Map<number, Set<number>>()
    region.steps.forEach((step, s) => {
      step.slots.forEach((slot, b) => {
        if (slot.space !== 'argument' || program.arguments[slot.index].role !== 'update') return
        if (program.kernels[step.kernel].buffers[b].access === 'read') return
        const known = writers.get(slot.index)
        if (known) known.add(s)
        else writers.set(slot.index, new Set([s]))
      })
    })
    region.steps.forEach((step, s) => {
      for (const argument of oldReads(r, s)) {
        const where = (why: string) => () =>
          `region ${r}, ${step.what}: argument ${argument} is read ${why}`
        invariant(!written.has(argument), where('after the region that replaces it'))
        const own = writers.get(argument)
        if (own === undefined) continue
        invariant(own.size === 1 && own.has(s), where('while another step replaces it'))
        const buffers = new Set<number>()
        step.slots.forEach((slot, b) => {
          if (slot.space === 'argument' && slot.index === argument) buffers.add(b)
        })
        invariant(
          readsBeforeWrites(program.kernels[step.kernel], buffers),
          where('where its new value may already stand'),
        )
      }
    })
    for (const argument of writers.keys()) written.add(argument)
  })
}

/** What a loop variable can be: low, low + step, … up to high. */
interface Span {
  readonly low: number
  readonly high: number
  readonly step: number
}

interface Nest {
  readonly variable: number
  readonly span: Span
  /** Variables of outer loops of which this loop walks a strip of its own: its value tells theirs. */
  readonly tells: readonly number[]
}

interface Access {
  readonly index: Affine
  readonly stride: number
  readonly lanes: number
  readonly loops: readonly Nest[]
  /** Place in the text of the kernel. */
  readonly at: number
}

/** Whether each load of an element from these buffers, which are one memory, precedes every store to it. */
export function readsBeforeWrites(kernel: Kernel, buffers: ReadonlySet<number>): boolean {
  const found = accessesIn(kernel, buffers)
  if (found === undefined) return false
  return found.loads.every((load) => found.stores.every((store) => ordered(load, store)))
}

/** All loads and stores; undefined when an address depends on data. */
function accessesIn(
  kernel: Kernel,
  buffers: ReadonlySet<number>,
): { loads: Access[]; stores: Access[] } | undefined {
  const loads: Access[] = []
  const stores: Access[] = []
  let at = 0
  let dynamic = false
  const read = (e: Expr, loops: readonly Nest[]): void => {
    switch (e.op) {
      case 'number':
      case 'local':
      case 'index':
        return
      case 'load':
        if (e.dynamic) read(e.dynamic, loops)
        if (!buffers.has(e.buffer)) return
        dynamic ||= e.dynamic !== undefined
        loads.push({ index: e.index, stride: e.stride, lanes: e.lanes, loops, at: at++ })
        return
      case 'call':
        for (const arg of e.args) read(arg, loops)
        return
      default:
        read(e.value, loops)
    }
  }
  const walk = (statements: readonly Statement[], loops: readonly Nest[]): void => {
    for (const s of statements)
      switch (s.op) {
        case 'loop':
          walk(s.body, [...loops, nestOf(s, loops)])
          break
        case 'set':
          read(s.value, loops)
          break
        case 'store':
          read(s.value, loops)
          if (s.dynamic) read(s.dynamic, loops)
          if (!buffers.has(s.buffer)) break
          dynamic ||= s.dynamic !== undefined
          stores.push({
            index: s.index,
            stride: s.stride,
            lanes: s.value.lanes,
            loops,
            at: at++,
          })
          break
        case 'if':
          walk(s.body, loops)
          walk(s.otherwise, loops)
          break
        case 'report':
          read(s.when, loops)
          read(s.value, loops)
      }
  }
  const { variable, extent } = kernel.parallel
  walk(kernel.body, [
    { variable: variable.id, span: { low: 0, high: extent - 1, step: 1 }, tells: [] },
  ])
  return dynamic ? undefined : { loads, stores }
}

function nestOf(loop: Extract<Statement, { op: 'loop' }>, outer: readonly Nest[]): Nest {
  const spans = new Map(outer.map(({ variable, span }) => [variable, span]))
  const reach = (a: Affine, side: 'low' | 'high'): number =>
    a.terms.reduce((sum, [v, c]) => {
      const span = spans.get(v.id)
      invariant(span !== undefined, () => `a bound by ${v.name} outside of its loop`)
      return sum + c * (c > 0 === (side === 'low') ? span.low : span.high)
    }, a.offset)
  const least = (bound: Bound, side: 'low' | 'high') =>
    bound.map(({ affine, divide }) => Math.floor(reach(affine, side) / divide))
  const low = Math.max(...least(loop.from, 'low'))
  const end = Math.min(...least(loop.to, 'high')) - 1
  // All starts alike modulo the step: so are all values.
  const rest = ((loop.from[0].affine.offset % loop.step) + loop.step) % loop.step
  const aligned = loop.from.every(
    ({ affine, divide }) =>
      divide === 1 &&
      (((affine.offset - rest) % loop.step) + loop.step) % loop.step === 0 &&
      affine.terms.every(([, c]) => c % loop.step === 0),
  )
  const high = aligned ? low + Math.floor((end - low) / loop.step) * loop.step : end
  return {
    variable: loop.variable.id,
    span: { low, high, step: aligned ? loop.step : 1 },
    tells: stripsOf(loop),
  }
}

/** Where the loop runs from (at least) c·p + a to (at most) c·p + a + c, each value belongs to one p. */
function stripsOf({ from, to }: Extract<Statement, { op: 'loop' }>): number[] {
  const out: number[] = []
  for (const start of from) {
    if (start.divide !== 1 || start.affine.terms.length !== 1) continue
    const [[p, c]] = start.affine.terms
    const ends = to.some(
      ({ affine, divide }) =>
        divide === 1 &&
        affine.terms.length === 1 &&
        affine.terms[0][0].id === p.id &&
        affine.terms[0][1] === c &&
        affine.offset - start.affine.offset <= c,
    )
    if (c > 0 && ends) out.push(p.id)
  }
  return out
}

/** A number that the meeting of two accesses leaves open: coefficient·value, value in [low, high] by steps. */
interface Unknown extends Span {
  readonly coefficient: number
  /** The common loop whose Δ it is. */
  readonly loop?: number
}

/** Solutions looked at before the proof is given up. */
const PATIENCE = 10_000

function ordered(load: Access, store: Access): boolean {
  let common = 0
  while (common < load.loops.length && load.loops[common] === store.loops[common]) common++
  const unknowns: Unknown[] = []
  const shared = load.loops.slice(0, common)
  const coefficient = (a: Affine, id: number) => a.terms.find(([v]) => v.id === id)?.[1] ?? 0
  for (const { variable, span } of shared) {
    const c = coefficient(store.index, variable)
    // A variable that counts otherwise in the two: nothing is claimed.
    if (c !== coefficient(load.index, variable)) return false
    const most = span.high - span.low
    if (c !== 0)
      unknowns.push({ coefficient: c, low: -most, high: most, step: span.step, loop: variable })
  }
  for (const { variable, span } of store.loops.slice(common)) {
    const other = load.loops.slice(common).find((nest) => nest.variable === variable)
    const c = coefficient(store.index, variable)
    if (c === 0) continue
    if (other && coefficient(load.index, variable) === c)
      unknowns.push({
        coefficient: c,
        low: span.low - other.span.high,
        high: span.high - other.span.low,
        step: 1,
      })
    else unknowns.push({ coefficient: c, ...span })
  }
  for (const { variable, span } of load.loops.slice(common)) {
    const c = coefficient(load.index, variable)
    const twin = store.loops
      .slice(common)
      .some((nest) => nest.variable === variable && coefficient(store.index, variable) === c)
    if (c !== 0 && !twin) unknowns.push({ coefficient: -c, ...span })
  }
  const lanes = (a: Access, sign: number) => {
    if (a.lanes > 1 && a.stride !== 0)
      unknowns.push({ coefficient: sign * a.stride, low: 0, high: a.lanes - 1, step: 1 })
  }
  lanes(store, 1)
  lanes(load, -1)
  // In one turn of the common loops the text decides; in two, nothing does.
  const inOrder = load.at < store.at
  const fixed = new Set<number>()
  const safe = (same: ReadonlySet<number>): boolean =>
    inOrder &&
    shared.every(
      ({ variable, span }) =>
        span.high <= span.low ||
        same.has(variable) ||
        (coefficient(store.index, variable) === 0 &&
          shared.some((nest) => same.has(nest.variable) && nest.tells.includes(variable))),
    )
  unknowns.sort((x, y) => Math.abs(y.coefficient) * y.step - Math.abs(x.coefficient) * x.step)
  const restLow: number[] = [0]
  const restHigh: number[] = [0]
  for (let k = unknowns.length - 1; k >= 0; k--) {
    const { coefficient: c, low, high } = unknowns[k]
    restLow.unshift(restLow[0] + Math.min(c * low, c * high))
    restHigh.unshift(restHigh[0] + Math.max(c * low, c * high))
  }
  let patience = PATIENCE
  const search = (k: number, sum: number): boolean => {
    if (sum + restLow[k] > 0 || sum + restHigh[k] < 0) return true
    if (k === unknowns.length) return safe(fixed)
    if (patience-- <= 0) return false
    const { coefficient: c, low, high, step, loop } = unknowns[k]
    const one = (-sum - restHigh[k + 1]) / c
    const two = (-sum - restLow[k + 1]) / c
    // Values of a difference of two like variables are multiples of the step; of one variable, low plus multiples.
    const base = loop === undefined ? low : 0
    const first = Math.max(low, base + Math.ceil((Math.min(one, two) - base) / step) * step)
    for (let value = first; value <= Math.min(high, Math.max(one, two)); value += step) {
      if (loop !== undefined && value === 0) fixed.add(loop)
      const fine = search(k + 1, sum + c * value)
      if (loop !== undefined) fixed.delete(loop)
      if (!fine) return false
    }
    return true
  }
  return search(0, store.index.offset - load.index.offset)
}
