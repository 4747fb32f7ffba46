// What a worker does: it keeps the instances of the loaded modules and runs them when told. Thread 0 answers.
// A trap sets the run's abort word, so that the other threads leave their barrier, and is told to main.
import { control } from '../../targets/wasm/control.js'
import type { Port, ToWorker } from './messages.js'

type Run = (
  thread: number,
  threads: number,
  args: number,
  arena: number,
  scratch: number,
  block: number,
) => number

export function serve(port: Port): void {
  const programs = new Map<number, Run>()
  let memory: WebAssembly.Memory | undefined
  let thread = 0
  let threads = 1
  /** From this thread's clock to main's, in milliseconds. */
  let shift = 0
  // After a trap nothing runs here: main replaces this worker.
  let broken = false

  const load = (module: WebAssembly.Module): Run => {
    const env = { memory, now: () => performance.now() + shift }
    const { run } = new WebAssembly.Instance(module, { env } as WebAssembly.Imports).exports
    return run as Run
  }

  const abort = (block: number) => {
    if (memory === undefined) return
    const words = new Int32Array(memory.buffer)
    Atomics.store(words, (block + control.abort) >> 2, 1)
    if (threads > 1) Atomics.notify(words, (block + control.generation) >> 2)
  }

  const run = (message: Extract<ToWorker, { kind: 'run' }>) => {
    const started = performance.now()
    try {
      const program = programs.get(message.program)
      if (program === undefined) throw new Error(`internal: program ${message.program} not loaded`)
      const { args, arena, scratch, control: block } = message
      const aborted = program(thread, threads, args, arena, scratch, block)
      if (thread === 0 && aborted === 0) {
        const milliseconds = performance.now() - started
        port.post({ kind: 'done', run: message.run, milliseconds })
      }
    } catch (error) {
      broken = true
      abort(message.control)
      const text = error instanceof Error ? error.message : String(error)
      port.post({ kind: 'failed', run: message.run, thread, message: text })
    }
  }

  port.listen((message) => {
    if (broken) return
    switch (message.kind) {
      case 'begin':
        memory = message.memory
        thread = message.thread
        threads = message.threads
        shift = performance.timeOrigin - message.origin
        return
      case 'load':
        programs.set(message.program, load(message.module))
        return
      case 'unload':
        programs.delete(message.program)
        return
      case 'run':
        run(message)
    }
  })
}
