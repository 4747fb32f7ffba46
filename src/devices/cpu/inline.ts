// A worker that is none: it serves on the thread that spawned it, for pages that cannot share memory.
import { tasks } from '#spawn'
import type { Spawn, ToWorker } from './messages.js'
import { serve } from './serve.js'

export const spawnInline: Spawn = (events) => {
  let receive: (message: ToWorker) => void = () => {}
  let ended = false
  const later = tasks()
  serve({
    post: (message) => {
      if (!ended) events.message(message)
    },
    listen: (handler) => {
      receive = handler
    },
  })
  return {
    // Runs begin after the caller's synchronous code, as with a worker, and each in a task of its own: a page
    // that trains draws and answers between them.
    post: (message) => {
      later(() => {
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
