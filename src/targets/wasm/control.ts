// The control block of a run: where the words that threads, main and kernels share lie, as byte offsets.
// Words written by different threads while others spin lie on cache lines of their own.
import type { Program } from '../../compiler/program.js'

/** Bytes of a cache line. */
const LINE = 64

export const control = {
  /** Threads that have arrived at the barrier. */
  arrived: 0,
  /** Grows by one when a barrier opens; threads spin and wait on it. */
  generation: LINE,
  /** Threads that sleep on `generation`. */
  sleepers: LINE + 4,
  /** Not 0: leave the barrier and the run. */
  abort: LINE + 8,
  /** `code` as it was when the last barrier opened: what all threads agree on. */
  agreed: LINE + 12,
  /** The status words that kernels report to. */
  code: 2 * LINE,
  value: 2 * LINE + 4,
  /** Where to store f64 times, `stampCount` of them a thread; 0 for none. */
  profile: 2 * LINE + 8,
  /** The number of the step each thread is in, one line a thread. */
  steps: 3 * LINE,
} as const

export function stepWord(thread: number): number {
  return control.steps + thread * LINE
}

/** Size of a control block in bytes. */
export function controlBytes(threads: number): number {
  return stepWord(threads)
}

/**
 * Times each thread of a profiled run stores, in milliseconds: one before the first region, then for each region one after
 * each of its steps, done by this thread or not, and one after its barrier.
 */
export function stampCount({ regions }: Pick<Program, 'regions'>): number {
  return regions.reduce((sum, { steps }) => sum + steps.length + 1, 1)
}
