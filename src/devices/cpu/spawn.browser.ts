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

/** What calls each function in a task of its own, in order. The page draws and answers between them. */
export function tasks(): (act: () => void) => void {
  const { port1, port2 } = new MessageChannel() // timers would wait 4 ms
  const waiting: (() => void)[] = []
  port1.addEventListener('message', () => waiting.shift()?.())
  port1.start()
  return (act) => {
    waiting.push(act)
    port2.postMessage(undefined)
  }
}

/** Only cross-origin isolated pages share memory with workers. */
export const canShare: boolean = globalThis.crossOriginIsolated === true

/** Browsers have no C tier. */
export const nativeTier = undefined
