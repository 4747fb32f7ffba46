// The queue of a cpu device: runs and reads happen in the order they were asked for. Runs are posted to the workers
// ahead of time, so that one follows the other without waiting for main; a read waits until all before it are done.
//
// Each run has a block of its own: control words, table of arguments, times. A thread may still be leaving the last
// barrier when main hears that the run is done, so a block is freed when the next run is done, not before.
import { BurnishError, invariant, OutOfMemoryError } from '../../base/errors.js'
import type { Program, RunReport } from '../../compiler/program.js'
import { control, controlBytes, stampCount, stepWord } from '../../targets/wasm/control.js'
import { scratchStride } from '../../targets/wasm/driver.js'
import type { CpuMemory } from './memory.js'
import type { Pool } from './pool.js'
import { letFinalizersRun, MOST_RELIEFS } from './relief.js'

/** Runs posted and not yet done. More would gain nothing and lose more when one fails. */
const MOST_POSTED = 8

/** Who computes: workers, or native threads. */
export type Tier = 'wasm' | 'native'

/** Where a run's words and spaces lie. */
export interface Place {
  readonly run: number
  /** Addresses: the table of arguments, the arena, all threads' scratch, the control block. */
  readonly args: number
  readonly arena: number
  readonly scratch: number
  readonly control: number
}

export interface Loaded {
  readonly tier: Tier
  readonly program: Program
  /** Steps of all regions in order: what a step word means. */
  readonly steps: readonly Program['regions'][number]['steps'][number][]
  post(place: Place): void
}

interface RunJob {
  readonly kind: 'run'
  /** What runs, asked when its turn comes; undefined: not ready, `pump` will be called. */
  readonly choose: () => Loaded | undefined
  readonly args: readonly number[]
  readonly profile: boolean
  readonly resolve: (report: RunReport) => void
  readonly reject: (error: Error) => void
}

interface ReadJob {
  readonly kind: 'read'
  readonly address: number | undefined
  readonly act: () => void
  readonly reject: (error: Error) => void
}

interface Posted {
  readonly job: RunJob
  readonly loaded: Loaded
  readonly run: number
  readonly block: number
  readonly times: number
}

interface Later {
  readonly after: number
  readonly act: () => void
  readonly address: number | undefined
}

export interface Queue {
  readonly idle: boolean
  run(choose: RunJob['choose'], args: readonly number[], profile: boolean): Promise<RunReport>
  /** Goes on when what a run waited for is ready. */
  pump(): void
  /** Calls `act` when everything queued so far is done. */
  after<T>(act: () => T, address?: number): Promise<T>
  /**
   * Does it now when idle, else when everything queued so far is done, failed or not. When memory is short, also
   * before, if nothing queued touches the address.
   */
  finally(act: () => void, address?: number): void
  done(run: number, milliseconds: number): void
  failed(failure: {
    readonly run?: number
    readonly thread: number
    readonly message: string
  }): void
  close(): void
}

export function createQueue(
  memory: CpuMemory,
  threads: number,
  pool: () => Pick<Pool, 'hold'> | undefined,
): Queue {
  const waiting: (RunJob | ReadJob)[] = []
  const posted: Posted[] = []
  let later: Later[] = []
  /** Waiting for finalizers, so many times for the first waiting job. */
  let stalled = false
  let reliefs = 0
  let runs = 0
  /** Jobs asked for and finished so far; jobs finish in order. */
  let asked = 0
  let finished = 0
  const lingering = new Map<Tier, number>()
  let closed = false
  const arena = { address: 0, bytes: 0 }
  const scratch = { address: 0, bytes: 0 }

  const ensure = (space: { address: number; bytes: number }, bytes: number, owner: string) => {
    if (space.bytes >= bytes) return
    if (space.bytes > 0) memory.free(space.address)
    space.bytes = 0
    const address = memory.alloc(bytes, owner)
    if (address === undefined) throw memory.exhausted(bytes)
    space.address = address
    space.bytes = bytes
  }

  const finish = () => {
    finished++
    if (later.length === 0) return
    const due = later.filter((entry) => entry.after <= finished)
    later = later.filter((entry) => entry.after > finished)
    for (const { act } of due) act()
  }

  const post = (job: RunJob, loaded: Loaded) => {
    const { program } = loaded
    const words = controlBytes(threads)
    const table = Math.ceil(job.args.length / 2) * 8
    const times = job.profile ? 8 * stampCount(program) * threads : 0
    const block = memory.alloc(words + table + times, 'control')
    if (block === undefined) throw memory.exhausted(words + table + times)
    const view = memory.words(block, (words + table + times) / 4)
    view.fill(0)
    for (let i = 0; i < job.args.length; i++) view[words / 4 + i] = job.args[i]
    const run = ++runs
    if (job.profile) view[control.profile / 4] = block + words + table
    posted.push({ job, loaded, run, block, times: block + words + table })
    loaded.post({
      run,
      args: block + words,
      arena: arena.address,
      scratch: scratch.address,
      control: block,
    })
  }

  const touches = (job: RunJob | ReadJob, address: number) =>
    job.kind === 'run' ? job.args.includes(address) : job.address === address

  const relieve = async () => {
    stalled = true
    reliefs++
    await letFinalizersRun()
    const queued = [...posted.map(({ job }) => job), ...waiting]
    const due = later.filter(
      ({ address }) => address !== undefined && !queued.some((job) => touches(job, address)),
    )
    later = later.filter((entry) => !due.includes(entry))
    for (const { act } of due) act()
    stalled = false
    pump()
  }

  const chosen = (job: RunJob): Loaded | Error | undefined => {
    try {
      return job.choose()
    } catch (error) {
      return errorOf(error)
    }
  }

  const pump = () => {
    if (closed) {
      const error = new BurnishError('cpu: the device was closed')
      for (const { job } of posted.splice(0)) job.reject(error)
      for (const job of waiting.splice(0)) job.reject(error)
      return
    }
    while (!stalled && waiting.length > 0 && posted.length < MOST_POSTED) {
      const job = waiting[0]
      const busy = posted.length > 0
      if (job.kind === 'read') {
        if (busy) break
        waiting.shift()
        job.act()
        finish()
        continue
      }
      const loaded = chosen(job)
      if (loaded instanceof Error) {
        waiting.shift()
        job.reject(loaded)
        finish()
        continue
      }
      // One after the other also where workers and native threads take turns.
      if (loaded === undefined || (busy && posted[0].loaded.tier !== loaded.tier)) break
      const { program } = loaded
      const scratchBytes = scratchStride(program) * threads
      // The arena and the scratch grow only while nothing runs in them.
      if (busy && (program.arenaBytes > arena.bytes || scratchBytes > scratch.bytes)) break
      waiting.shift()
      try {
        ensure(arena, program.arenaBytes, 'arena of intermediate results')
        ensure(scratch, scratchBytes, 'scratch of the threads')
        post(job, loaded)
        reliefs = 0
      } catch (error) {
        if (error instanceof OutOfMemoryError && reliefs < MOST_RELIEFS) {
          waiting.unshift(job)
          void relieve()
          break
        }
        reliefs = 0
        job.reject(errorOf(error))
        finish()
      }
    }
    pool()?.hold(posted.length > 0)
  }

  const linger = (tier: Tier, block: number) => {
    const last = lingering.get(tier)
    if (last !== undefined) memory.free(last)
    lingering.set(tier, block)
  }

  const describe = (failure: Parameters<Queue['failed']>[0], at: Posted): string => {
    const number = memory.words(at.block + stepWord(failure.thread), 1)[0]
    const { steps, program } = at.loaded
    const step = steps[number]
    if (step === undefined) return `internal: a worker failed: ${failure.message}`
    const kernel = program.kernels[step.kernel].name
    return `internal: ${step.label}: kernel ${kernel} (${step.what}), thread ${failure.thread}: ${failure.message}`
  }

  return {
    get idle() {
      return posted.length === 0 && waiting.length === 0
    },
    pump,
    run(choose, args, profile) {
      asked++
      return new Promise((resolve, reject) => {
        waiting.push({ kind: 'run', choose, args, profile, resolve, reject })
        pump()
      })
    },
    after(act, address) {
      asked++
      return new Promise((resolve, reject) => {
        waiting.push({ kind: 'read', address, act: () => resolve(act()), reject })
        pump()
      })
    },
    finally(act, address) {
      if (finished === asked) act()
      else later.push({ after: asked, act, address })
    },
    done(run, milliseconds) {
      const entry = posted.shift()
      invariant(entry?.run === run, () => `run ${run} is done out of order`)
      const { job, block, loaded } = entry
      const view = memory.words(block, controlBytes(threads) / 4)
      const { program } = loaded
      const report = {
        code: view[control.code / 4],
        value: view[control.value / 4],
        milliseconds,
        program,
      }
      const count = stampCount(program)
      const stamps = job.profile
        ? Array.from({ length: threads }, (_, t) =>
            rising(memory.doubles(entry.times + 8 * count * t, count)),
          )
        : undefined
      linger(loaded.tier, block)
      finish()
      pump()
      job.resolve(
        stamps === undefined
          ? report
          : { ...report, stamps, regions: regionTimes(program, stamps[0]) },
      )
    },
    failed(failure) {
      // Workers that die while native threads compute lose nothing.
      if (posted[0]?.loaded.tier === 'native') return
      // The pool has been replaced: no worker touches the old blocks any more.
      const at = posted.find((entry) => entry.run === failure.run) ?? posted[0]
      const text = at === undefined ? undefined : describe(failure, at)
      const lost = posted.splice(0)
      const dropped = waiting.splice(0)
      for (const { block } of lost) memory.free(block)
      const last = lingering.get('wasm')
      if (last !== undefined) memory.free(last)
      lingering.delete('wasm')
      for (const entry of lost)
        entry.job.reject(new Error(entry === at ? text : `an earlier run failed: ${text}`))
      for (const job of dropped) job.reject(new Error(`an earlier run failed: ${text}`))
      for (let i = lost.length + dropped.length; i > 0; i--) finish()
      pool()?.hold(false)
    },
    close() {
      closed = true
      pump()
    },
  }
}

/**
 * A thread's times. Those that are missing are the time before: of a commit that was skipped, and of the last barrier, which
 * a thread may still be leaving.
 */
function rising(stamps: Float64Array): Float64Array {
  let last = 0
  return stamps.map((time) => {
    last = Math.max(last, time)
    return last
  })
}

/** Milliseconds of each region on one thread, its wait at the barrier included. */
function regionTimes({ regions }: Program, stamps: ArrayLike<number>): number[] {
  let at = 0
  return regions.map(({ steps }) => {
    const from = stamps[at]
    at += steps.length + 1
    return stamps[at] - from
  })
}

function errorOf(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
