// A loader's workers in Node. Chosen by the condition of `#loader` in package.json.
import { Worker } from 'node:worker_threads'
import type { Answer, BatchRequest } from './workers.js'

/** What a worker is started with. */
export interface Start {
  readonly url: string
  readonly options: unknown
}

export interface Port {
  post(request: BatchRequest): void
  /** Whether it keeps the process alive. */
  ref(): void
  unref(): void
  terminate(): Promise<unknown>
}

interface Events {
  message(answer: Answer): void
  death(reason: string): void
}

export const hasLoaderWorkers = true

export function spawnLoader(start: Start, events: Events): Port {
  const worker = new Worker(new URL('./worker.node.js', import.meta.url), {
    workerData: start,
    execArgv: [],
  })
  worker.on('message', events.message)
  worker.on('error', (error) => events.death(error.message))
  worker.on('exit', (code) => events.death(`exit code ${code}`))
  worker.unref()
  return {
    post: (request) => worker.postMessage(request),
    ref: () => worker.ref(),
    unref: () => worker.unref(),
    terminate: () => worker.terminate(),
  }
}
