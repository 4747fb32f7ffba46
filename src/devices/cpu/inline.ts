// A worker that is none: it serves on the thread that spawned it, for pages that cannot share memory.
import type { Spawn, ToWorker } from './messages.js'
import { serve } from './serve.js'

export const spawnInline: Spawn = (events) => {
  let receive: (message: ToWorker) => void = () => {}
  let ended = false
  serve({
    post: (message) => {
      if (!ended) events.message(message)
    },
    listen: (handler) => {
      receive = handler
    },
  })
  return {
    // Runs begin after the caller's synchronous code, as with a worker.
    post: (message) => {
      queueMicrotask(() => {
        if (!ended) receive(message)
      })
    },
    ref: () => {},
    unref: () => {},
    terminate: async () => {
      ended = true
    },
  }
}
