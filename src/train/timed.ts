// The steps of a program and where their times lie among the stamps of a profiled run (see RunReport).
import type { Program, RunReport, Step } from '../compiler/program.js'

/** Timed runs of one program. */
export interface Runs {
  readonly program: Program
  readonly reports: readonly RunReport[]
}

/** A step of a program with its place among the times of a thread. */
export interface Timed {
  readonly step: Step
  readonly layer: string
  /** The index of the time it ended at; it began at the one before. */
  readonly end: number
  /** Which threads do it. */
  readonly on: (thread: number, threads: number) => boolean
}

const LOSS = 'loss'
const OPTIMIZER = 'optimizer'

/** The steps of a program in order; and where the barriers' times lie. */
export function timedSteps({ regions }: Program): {
  readonly steps: readonly Timed[]
  readonly barriers: readonly number[]
} {
  const steps: Timed[] = []
  const barriers: number[] = []
  let at = 0
  for (const region of regions) {
    region.steps.forEach((step, i) => {
      at++
      // Small steps of a region go to the threads by turns: see targets/wasm/driver.ts.
      const on = (thread: number, threads: number) => step.parallel || i % threads === thread
      const layer = step.label || (region.commit ? OPTIMIZER : LOSS)
      steps.push({ step, layer, end: at, on })
    })
    barriers.push(++at)
  }
  return { steps, barriers }
}
