// The entry of a worker thread in Node.
import { parentPort } from 'node:worker_threads'
import { serve } from './serve.js'

if (parentPort === null) throw new Error('internal: worker.node.js is not a program')
const port = parentPort
serve({
  post: (message) => port.postMessage(message),
  listen: (receive) => port.on('message', receive),
})
