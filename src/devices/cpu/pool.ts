// The workers: N threads are N workers, all on one memory and with the same modules loaded. After a trap or the death
// of a worker the pool replaces them all and loads the modules again.
import type { FromWorker, Spawn, ToWorker, WorkerHandle } from './messages.js'

export interface PoolEvents {
  done(run: number, milliseconds: number): void
  /** A worker trapped in this run, or died (run unknown). The pool is new when this is called. */
  failed(failure: {
    readonly run?: number
    readonly thread: number
    readonly message: string
  }): void
}

export interface Pool {
  load(program: number, module: WebAssembly.Module): void
  unload(program: number): void
  run(message: Extract<ToWorker, { kind: 'run' }>): void
  /** Whether the process stays alive for the workers. */
  hold(held: boolean): void
  close(): Promise<void>
}

const MOST_DEATHS = 3

export function createPool(
  spawn: Spawn,
  memory: WebAssembly.Memory,
  threads: number,
  events: PoolEvents,
): Pool {
  const modules = new Map<number, WebAssembly.Module>()
  let workers: readonly WorkerHandle[] = []
  let held = false
  // Events of replaced workers are dropped.
  let generation = 0
  // Deaths since a worker last spoke: workers that cannot start are not replaced for ever.
  let deaths = 0
  let given: string | undefined

  const send = (message: ToWorker) => {
    for (const worker of workers) worker.post(message)
  }

  const begin = () => {
    const own = ++generation
    const fail = (failure: Parameters<PoolEvents['failed']>[0]) => {
      if (own !== generation) return
      const replacing = ++generation
      const old = workers
      workers = []
      // Not before the last of them has stopped writing to the memory.
      void Promise.all(old.map((worker) => worker.terminate())).then(() => {
        if (replacing !== generation) return
        if (deaths < MOST_DEATHS) begin()
        else given = failure.message
        events.failed(failure)
      })
    }
    workers = Array.from({ length: threads }, (_, thread) =>
      spawn({
        message: (message: FromWorker) => {
          if (own !== generation) return
          deaths = 0
          if (message.kind === 'done') events.done(message.run, message.milliseconds)
          else fail(message)
        },
        death: (reason) => {
          if (own !== generation) return
          deaths++
          fail({ thread, message: reason })
        },
      }),
    )
    workers.forEach((worker, thread) => {
      worker.post({ kind: 'begin', memory, thread, threads, origin: performance.timeOrigin })
      for (const [program, module] of modules) worker.post({ kind: 'load', program, module })
      if (held) worker.ref()
    })
  }
  begin()

  return {
    load(program, module) {
      modules.set(program, module)
      send({ kind: 'load', program, module })
    },
    unload(program) {
      modules.delete(program)
      send({ kind: 'unload', program })
    },
    run(message) {
      if (given === undefined) send(message)
      else {
        const failure = { thread: 0, message: `workers do not start: ${given}` }
        queueMicrotask(() => events.failed(failure))
      }
    },
    hold(value) {
      if (value === held) return
      held = value
      for (const worker of workers) {
        if (held) worker.ref()
        else worker.unref()
      }
    },
    async close() {
      generation++
      const all = workers
      workers = []
      modules.clear()
      await Promise.all(all.map((worker) => worker.terminate()))
    },
  }
}
