// The native pool of a device, as its queue sees it: runs are submitted at once and end in order.
import { invariant } from '../../../base/errors.js'
import type { Address, Runtime } from './library.js'

export interface NativeRun {
  readonly run: number
  /** The program's `burnish_run`. */
  readonly entry: Address
  readonly args: number
  readonly arena: number
  readonly scratch: number
  readonly control: number
}

export interface NativePool {
  run(job: NativeRun): void
  /** Calls `act` when no thread is in the code of what was submitted so far and is done. */
  leave(): void
  close(): Promise<void>
}

/**
 * Throws when the threads cannot be made. `memory` must be shared: it stays where it is when it grows, up to `reserved`
 * bytes.
 */
export function createNativePool(
  runtime: Runtime,
  memory: WebAssembly.Memory,
  reserved: number,
  threads: number,
  events: { done(run: number, milliseconds: number): void },
): NativePool {
  const bytes = new Uint8Array(memory.buffer)
  const pool = runtime.open(runtime.address(bytes), bytes.length, reserved, threads)
  if (Number(pool) === 0) throw new Error(`${threads} threads cannot be made`)
  /** Submitted and not known to be done, oldest first. */
  const posted: number[] = []
  let finished = 0
  let waiting: Promise<void> | undefined
  let closed = false
  // Threads must be out of the memory before the process takes it down.
  const end = () => runtime.end(pool)
  process.on('exit', end)

  const wait = async (): Promise<void> => {
    while (posted.length > 0 && !closed) {
      const now = await runtime.wait(pool, finished)
      while (finished !== now && !closed) {
        finished = (finished + 1) >>> 0
        const run = posted.shift()
        if (run !== undefined) events.done(run, runtime.time(pool, finished))
      }
    }
    waiting = undefined
  }

  return {
    run(job) {
      invariant(!closed, () => 'a run on a closed pool')
      posted.push(job.run)
      runtime.submit(pool, job.entry, job.args, job.arena, job.scratch, job.control)
      waiting ??= wait()
    },
    leave() {
      if (!closed) runtime.leave(pool, finished)
    },
    async close() {
      if (closed) return
      closed = true
      process.off('exit', end)
      runtime.end(pool)
      await waiting
      runtime.free(pool)
    },
  }
}
