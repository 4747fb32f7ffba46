// What a program's runs cost: time, speed and bytes of each kernel and each layer, and how long threads waited for each
// other. Made of the times that a device tells with each run.
import type { Program, RunReport } from '../compiler/program.js'
import { currentDevice } from '../tensor/devices.js'
import { observeRuns } from '../tensor/observe.js'
import { type Ceilings, measureCeilings } from './ceilings.js'
import { type Runs, timedSteps } from './timed.js'
import { type Trace, traceOf } from './trace.js'

export interface Cost {
  /** Floating-point operations, and bytes read and written once each. */
  readonly flops: number
  readonly bytes: number
  /** Median over the runs; of the thread that took longest. */
  readonly milliseconds: number
}

export interface KernelCost extends Cost {
  /** From 1, in the order they run. */
  readonly kernel: number
  /** The layers it belongs to, as paths; `optimizer` and `loss` where it belongs to none. */
  readonly layer: string
  /** What it computes: `contract relu [64, 6, 28, 28]`. */
  readonly what: string
  /** False: so small that one thread does it alone. */
  readonly parallel: boolean
}

export interface LayerCost extends Cost {
  readonly layer: string
  readonly kernels: number
}

export interface Profile {
  /** The name of the machine it was compiled for: wasm, wasm-relaxed or native. */
  readonly machine: string
  readonly threads: number
  /** Runs that were timed, and the milliseconds of one on the device, a median. */
  readonly runs: number
  readonly milliseconds: number
  /** Milliseconds of a run in which a thread waits for the others, a mean over threads. */
  readonly waiting: number
  readonly kernels: readonly KernelCost[]
  /** Costliest first. */
  readonly layers: readonly LayerCost[]
  /** What the machine can reach, where it was measured. */
  readonly ceilings?: Ceilings
  /** The last runs, kernel by kernel and thread by thread, for Perfetto or chrome://tracing. */
  readonly trace: Trace
}

/** The middle value; the mean of the two in the middle. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Reports without times are left out. Throws nothing: of no runs all times are NaN. */
export function profileOf({ program, reports }: Runs, ceilings?: Ceilings): Profile {
  const timed = reports.filter(({ stamps }) => stamps !== undefined)
  const stamps = timed.map((report) => report.stamps ?? [])
  const threads = stamps[0]?.length ?? 0
  const { steps, barriers } = timedSteps(program)
  const took = (times: ArrayLike<number>, end: number) => times[end] - times[end - 1]
  const longest = (run: readonly ArrayLike<number>[], end: number) =>
    Math.max(...run.map((times) => took(times, end)))
  const kernels = steps.map(
    ({ step, layer, end }, i): KernelCost => ({
      kernel: i + 1,
      layer,
      what: step.what,
      flops: step.flops,
      bytes: step.bytes,
      milliseconds: median(stamps.map((run) => longest(run, end))),
      parallel: step.parallel,
    }),
  )
  const waits = stamps.flatMap((run) =>
    run.map((times) => barriers.reduce((sum, end) => sum + took(times, end), 0)),
  )
  return {
    machine: program.machine.name,
    threads,
    runs: timed.length,
    milliseconds: median(timed.map((report) => report.milliseconds)),
    waiting: threads > 1 ? waits.reduce((sum, ms) => sum + ms, 0) / waits.length : 0,
    kernels,
    layers: layersOf(kernels),
    ...(ceilings === undefined ? {} : { ceilings }),
    trace: traceOf({ program, reports: timed }),
  }
}

function layersOf(kernels: readonly KernelCost[]): LayerCost[] {
  const layers = new Map<string, LayerCost>()
  for (const { layer, flops, bytes, milliseconds } of kernels) {
    const sum = layers.get(layer)
    layers.set(layer, {
      layer,
      kernels: (sum?.kernels ?? 0) + 1,
      flops: (sum?.flops ?? 0) + flops,
      bytes: (sum?.bytes ?? 0) + bytes,
      milliseconds: (sum?.milliseconds ?? 0) + milliseconds,
    })
  }
  return [...layers.values()].sort((a, b) => b.milliseconds - a.milliseconds)
}

/**
 * The share of the machine's ceilings a kernel reached: of its arithmetic or its memory, whichever is nearer to its limit.
 * Data that stays in a cache moves faster than memory, so it may be above 1.
 */
export function shareOfCeiling(
  { flops, bytes, milliseconds }: Cost,
  { gigaflops, gigabytes }: Ceilings,
): { readonly share: number; readonly limit: 'arithmetic' | 'memory' } {
  const arithmetic = flops / milliseconds / 1e6 / gigaflops
  const memory = bytes / milliseconds / 1e6 / gigabytes
  return arithmetic >= memory
    ? { share: arithmetic, limit: 'arithmetic' }
    : { share: memory, limit: 'memory' }
}

/** Runs kept of each program while watching. */
const KEPT_RUNS = 200

export interface Watch {
  /** Timed runs of each program so far, those with updates first, then by the time they took. */
  runs(): readonly Runs[]
  /** Ends it. */
  stop(): void
}

/** Times every run on the current device from now on. */
export function watchRuns(): Watch {
  const seen = new Map<Program, RunReport[]>()
  const stop = observeRuns((program, report) => {
    const reports = seen.get(program) ?? []
    seen.set(program, reports)
    reports.push(report)
    if (reports.length > KEPT_RUNS) reports.shift()
  })
  const updates = ({ program }: Runs) => program.arguments.some(({ role }) => role === 'update')
  const spent = ({ reports }: Runs) =>
    reports.reduce((sum, { milliseconds }) => sum + milliseconds, 0)
  return {
    runs: () =>
      [...seen]
        .map(([program, reports]) => ({ program, reports }))
        .sort((a, b) => Number(updates(b)) - Number(updates(a)) || spent(b) - spent(a)),
    stop,
  }
}

const TIMED_STEPS = 20
const STEPS_BEFORE = 5

/** Times some steps of a loop that tells after each one. */
export function profiler(plan: {
  readonly steps?: number
  readonly after?: number
  readonly ceilings?: boolean
}): {
  /** The result, once it is there. */
  readonly profile: Profile | undefined
  /** After each step; gives the result after the last of the timed ones. */
  stepped(): Promise<Profile | undefined>
  /** After the last step of a run: the result, unless it was given before or no step was timed. */
  end(): Promise<Profile | undefined>
  /** Ends it without a result. */
  stop(): void
} {
  const { steps = TIMED_STEPS, after = STEPS_BEFORE } = plan
  let done = 0
  let watch: Watch | undefined = after === 0 ? watchRuns() : undefined
  let profile: Profile | undefined
  const finish = async () => {
    if (watch === undefined) return undefined
    watch.stop()
    const [runs] = watch.runs()
    watch = undefined
    if (runs === undefined) return undefined
    const ceilings = plan.ceilings ? await measureCeilings(await currentDevice()) : undefined
    // A device that may choose has chosen for each program by itself.
    const same = ceilings?.machine === runs.program.machine.name
    profile = profileOf(runs, same ? ceilings : undefined)
    return profile
  }
  return {
    get profile() {
      return profile
    },
    async stepped() {
      done++
      if (done === after) watch = watchRuns()
      return done === after + steps ? finish() : undefined
    },
    end: finish,
    stop: () => watch?.stop(),
  }
}
