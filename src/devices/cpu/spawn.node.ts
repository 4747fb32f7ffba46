// Workers of Node. Chosen by the condition of `#spawn` in package.json.
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Spawn } from './messages.js'

export const spawn: Spawn = (events) => {
  // Without the process's own flags: `node --input-type=module -e …` is not for workers.
  const worker = new Worker(new URL('./worker.node.js', import.meta.url), { execArgv: [] })
  let ended = false
  worker.on('message', events.message)
  worker.on('error', (error) => {
    if (ended) return
    ended = true
    events.death(error.message)
  })
  worker.on('exit', (code) => {
    if (ended) return
    ended = true
    events.death(`the worker exited with code ${code}`)
  })
  worker.unref()
  return {
    post: (message) => worker.postMessage(message),
    ref: () => worker.ref(),
    unref: () => worker.unref(),
    async terminate() {
      ended = true
      await worker.terminate()
    },
  }
}

export function hardwareThreads(): number {
  return availableParallelism()
}

/** What calls each function in a task of its own, in order. */
export function tasks(): (act: () => void) => void {
  return setImmediate
}

/** Whether memory can be shared with workers. */
export const canShare = true

/** The parts of the C tier. */
export const nativeTier: (() => Promise<typeof import('./native/native.js')>) | undefined = () =>
  import('./native/native.js')
