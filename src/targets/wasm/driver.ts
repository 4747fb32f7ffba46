// The function `run` of a module, which every thread calls: it walks the regions of the program, does its
// share of each step and meets the other threads at a barrier after each region.
//
// A step's elements are split in equal ranges over the threads; steps too small for that go to one thread, by
// turns. One thread needs no barrier.
import type { Program, Slot, Step } from '../../compiler/program.js'
import { beginning, ending } from '../repeats.js'
import { control, stampCount } from './control.js'
import { atomic, F64, FunctionBuilder, I32, op } from './encode.js'

// Note: patience. A thread that spins while the other waits for its CPU only delays it. So each instance keeps in
// global 0 how often it reads the generation before it sleeps: half as often after each sleep, twice as often after
// each barrier that opened in time. 30 tiny regions on two threads, median: both on one CPU 2.3 ms with a fixed
// 100,000 reads, 0.80 with 30,000, 0.27 with patience; on two CPUs 0.05 to 0.08 in all three.

/** The most reads before a sleep, about 50 µs. */
export const SPINS = 30_000
const FEWEST_SPINS = 2_000
/** A sleeper looks at the abort word at least this often, in nanoseconds. */
const NAP = 50_000_000

const EMPTY_BLOCK = 0x40

/** (control, threads) → 1 when the run is aborted, else 0. */
export function printBarrier(): Uint8Array {
  const [block, threads] = [0, 1]
  const f = new FunctionBuilder([I32, I32])
  const before = f.local(I32)
  const spins = f.local(I32)
  const patience = f.local(I32)
  const aborted = () => f.get(block).atomic(atomic.i32Load, control.abort)
  const same = () =>
    f.get(block).atomic(atomic.i32Load, control.generation).get(before).op(op.i32Eq)

  f.get(block).atomic(atomic.i32Load, control.generation).set(before)
  f.get(block).i32(1).atomic(atomic.i32Add, control.arrived)
  f.i32(1).op(op.i32Add).get(threads).op(op.i32Eq, op.if, EMPTY_BLOCK)
  f.get(block).i32(0).atomic(atomic.i32Store, control.arrived)
  f.get(block).get(block).atomic(atomic.i32Load, control.code)
  f.atomic(atomic.i32Store, control.agreed)
  f.get(block).get(before).i32(1).op(op.i32Add).atomic(atomic.i32Store, control.generation)
  f.get(block).atomic(atomic.i32Load, control.sleepers).op(op.if, EMPTY_BLOCK)
  f.get(block).get(threads).atomic(atomic.notify, control.generation).op(op.drop, op.end)
  aborted().op(op.return, op.end)

  const remember = () => f.op(op.globalSet, 0)
  f.op(op.globalGet, 0).set(patience)
  f.op(op.loop, EMPTY_BLOCK)
  same().op(op.i32Eqz, op.if, EMPTY_BLOCK)
  f.get(patience)
    .i32(1)
    .op(op.i32Shl)
    .i32(SPINS)
    .get(patience)
    .i32(SPINS / 2)
  f.op(op.i32LtU, op.select)
  remember()
  aborted().op(op.return, op.end)
  aborted().op(op.if, EMPTY_BLOCK).i32(1).op(op.return, op.end)
  f.get(spins)
    .i32(1)
    .op(op.i32Add)
    .tee(spins)
    .get(patience)
    .op(op.i32LtU)
    .branch(op.brIf, 0)
    .op(op.end)

  f.get(patience)
    .i32(1)
    .op(op.i32ShrU)
    .i32(FEWEST_SPINS)
    .get(patience)
    .i32(2 * FEWEST_SPINS)
  f.op(op.i32GtU, op.select)
  remember()
  f.op(op.loop, EMPTY_BLOCK)
  f.get(block).i32(1).atomic(atomic.i32Add, control.sleepers).op(op.drop)
  f.get(block).get(before).i64(NAP).atomic(atomic.wait32, control.generation).op(op.drop)
  f.get(block).i32(-1).atomic(atomic.i32Add, control.sleepers).op(op.drop)
  aborted().op(op.if, EMPTY_BLOCK).i32(1).op(op.return, op.end)
  same().branch(op.brIf, 0).op(op.end)
  f.i32(0)
  return f.finish()
}

export interface DriverParts {
  /** Function index of each of the program's kernels. */
  readonly kernels: readonly number[]
  readonly barrier: number
  readonly now: number
  readonly shared: boolean
}

/** Scratch of one thread: whole cache lines. */
export function scratchStride(program: Program): number {
  return Math.ceil(program.scratchBytes / 64) * 64
}

/** Extents up to here times a thread number fit 32 bits. */
const SMALL_EXTENT = 1 << 20

/** run(thread, threads, args, arena, scratch, control) → 1 when aborted, else 0. */
export function printRun(program: Program, parts: DriverParts): Uint8Array {
  const [thread, threads, args, arena, scratch, block] = [0, 1, 2, 3, 4, 5]
  const f = new FunctionBuilder([I32, I32, I32, I32, I32, I32])
  const own = f.local(I32)
  const step = f.local(I32)
  const profile = f.local(I32)
  const turns = (program.repeats ?? []).map(() => f.local(I32))

  f.get(scratch).get(thread).i32(scratchStride(program)).op(op.i32Mul, op.i32Add).set(own)
  f.get(block).get(thread).i32(64).op(op.i32Mul, op.i32Add).set(step)
  f.get(block).op(op.i32Load).memory(2, control.profile).tee(profile).op(op.if, EMPTY_BLOCK)
  f.get(profile)
    .get(thread)
    .i32(8 * stampCount(program))
    .op(op.i32Mul, op.i32Add)
    .set(profile)
  f.op(op.end)

  const slot = (s: Slot) => {
    if (s.space === 'argument')
      f.get(args)
        .op(op.i32Load)
        .memory(2, 4 * s.index)
    else {
      f.get(s.space === 'arena' ? arena : own)
      if (s.offset !== 0) f.i32(s.offset).op(op.i32Add)
    }
    if (s.from) f.i32(s.from).op(op.i32Add)
    for (const { repeat, by, alternates } of s.moves ?? []) {
      f.get(turns[repeat])
      if (alternates) f.i32(1).op(op.i32And)
      f.i32(by).op(op.i32Mul, op.i32Add)
    }
  }
  /** floor(extent·(thread + plus) / threads) */
  const share = (extent: number, plus: number) => {
    f.i32(extent)
    const wide = extent > SMALL_EXTENT
    if (wide) f.op(op.i64ExtendI32U)
    f.get(thread)
    if (plus > 0) f.i32(plus).op(op.i32Add)
    if (wide) {
      f.op(op.i64ExtendI32U, op.i64Mul).get(threads)
      f.op(op.i64ExtendI32U, op.i64DivU, op.i32WrapI64)
    } else f.op(op.i32Mul).get(threads).op(op.i32DivU)
  }
  const callKernel = (s: Step, number: number) => {
    f.get(step).i32(number).op(op.i32Store).memory(2, control.steps)
    const { extent } = program.kernels[s.kernel].parallel
    if (s.parallel) {
      share(extent, 0)
      share(extent, 1)
    } else f.i32(0).i32(extent)
    for (const part of s.slots) slot(part)
    f.get(block).call(parts.kernels[s.kernel])
  }
  let stamps = 0
  const stamp = () => {
    f.get(profile).op(op.if, EMPTY_BLOCK)
    f.get(profile)
      .call(parts.now)
      .op(op.f64Store)
      .memory(3, 8 * stamps++)
    f.op(op.end)
  }

  let number = 0
  stamp()
  program.regions.forEach((region, r) => {
    for (const { repeat } of beginning(program, r))
      f.i32(0).set(turns[repeat]).op(op.loop, EMPTY_BLOCK)
    if (region.commit) {
      f.get(threads).i32(1).op(op.i32Eq, op.if, I32)
      f.get(block).op(op.i32Load).memory(2, control.code).op(op.else)
      f.get(block).op(op.i32Load).memory(2, control.agreed).op(op.end)
      f.op(op.i32Eqz, op.if, EMPTY_BLOCK)
    }
    region.steps.forEach((s, i) => {
      if (s.parallel) callKernel(s, number)
      else {
        f.i32(i).get(threads).op(op.i32RemU).get(thread).op(op.i32Eq, op.if, EMPTY_BLOCK)
        callKernel(s, number)
        f.op(op.end)
      }
      number++
      stamp()
    })
    if (region.commit) f.op(op.end)
    if (parts.shared) {
      f.get(threads).i32(1).op(op.i32Ne, op.if, EMPTY_BLOCK)
      f.get(block).get(threads).call(parts.barrier)
      f.op(op.if, EMPTY_BLOCK).i32(1).op(op.return, op.end, op.end)
    }
    stamp()
    for (const { repeat, turns: count } of ending(program, r)) {
      f.get(turns[repeat]).i32(1).op(op.i32Add).tee(turns[repeat])
      f.i32(count).op(op.i32LtU).branch(op.brIf, 0).op(op.end)
    }
  })
  f.i32(0)
  return f.finish()
}

export const nowType = { parameters: [], results: [F64] } as const
