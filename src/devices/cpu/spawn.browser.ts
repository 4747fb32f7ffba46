// Workers of a browser. Chosen by the condition of `#spawn` in package.json.
import type { Spawn } from './messages.js'

export const spawn: Spawn = (events) => {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
  worker.addEventListener('message', (event) => events.message(event.data))
  worker.addEventListener('error', (event) =>
    events.death(event.message || 'a worker could not start'),
  )
  return {
    post: (message) => worker.postMessage(message),
    ref: () => {},
    unref: () => {},
    terminate: async () => worker.terminate(),
  }
}

export function hardwareThreads(): number {
  return navigator.hardwareConcurrency
}

/** Only cross-origin isolated pages share memory with workers. */
export const canShare: boolean = globalThis.crossOriginIsolated === true
