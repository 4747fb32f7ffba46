// Workers of a loader: threads that make batches while the program does something else. Each imports a module of the
// user's and asks its default export for the data set; what comes back are host arrays, moved, not copied.
//
// Limits: Node only (a page makes its batches itself); every worker holds its own copy of the data set, so that one
// which is all in memory is better without workers; items that are tensors must have been made from host data.
import { hasLoaderWorkers, type Port, spawnLoader } from '#loader'
import { BurnishError, fail } from '../base/errors.js'
import type { HostArray } from './array.js'

/**
 * A module for workers, `new URL('./digits.js', import.meta.url)`, or with options that can be cloned. Its default export
 * makes the data set: `export default async (options) => new Digits(options.folder)`. It may export `collate` too.
 */
export type WorkerModule = URL | { readonly url: URL; readonly options: unknown }

/** What a worker is asked for. */
export interface BatchRequest {
  readonly id: number
  readonly indices: Int32Array
  readonly seed: number
  readonly epoch: number
}

/** What it answers; `length` comes once, first. */
export type Answer =
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'batch'; readonly id: number; readonly columns: readonly HostArray[] }
  | { readonly kind: 'error'; readonly id: number | undefined; readonly message: string }

export interface Team {
  batch(indices: Int32Array, seed: number, epoch: number): Promise<readonly HostArray[]>
  close(): Promise<void>
}

interface Waiting {
  resolve(columns: readonly HostArray[]): void
  reject(error: Error): void
}

interface Member {
  readonly port: Port
  readonly waiting: Map<number, Waiting>
  error: Error | undefined
}

/** Starts `workers` threads over `module`, whose data set must have `items` items. */
export function openTeam(workers: number, module: WorkerModule, items: number): Team {
  if (!hasLoaderWorkers)
    fail(
      'DataLoader: workers are threads of Node; a page makes its batches itself: leave `workers` out',
    )
  const { url, options } = module instanceof URL ? { url: module, options: undefined } : module
  const members = Array.from({ length: workers }, () => openMember(url, options, items))
  let ids = 0
  return {
    batch(indices, seed, epoch) {
      const member = members.reduce((a, b) => (b.waiting.size < a.waiting.size ? b : a))
      if (member.error !== undefined) return Promise.reject(member.error)
      const id = ++ids
      return new Promise((resolve, reject) => {
        member.waiting.set(id, { resolve, reject })
        member.port.ref()
        member.port.post({ id, indices: indices.slice(), seed, epoch })
      })
    },
    async close() {
      await Promise.all(
        members.map(async (member) => {
          give(member, new BurnishError('DataLoader: it was closed'))
          await member.port.terminate()
        }),
      )
    },
  }
}

/** All that wait for a member fail with `error`, now and later. */
function give(member: Member, error: Error): void {
  member.error ??= error
  for (const { reject } of member.waiting.values()) reject(member.error)
  member.waiting.clear()
}

function openMember(url: URL, options: unknown, items: number): Member {
  const waiting = new Map<number, Waiting>()
  const take = (answer: Answer): void => {
    if (answer.kind === 'length') {
      if (answer.length !== items)
        give(
          member,
          new BurnishError(
            `DataLoader: ${url.href} makes a data set of ${answer.length} items, the loader's own has ${items}; they must be the same`,
          ),
        )
    } else if (answer.id === undefined) give(member, failed(answer))
    else {
      const wanted = waiting.get(answer.id)
      waiting.delete(answer.id)
      if (answer.kind === 'batch') wanted?.resolve(answer.columns)
      else wanted?.reject(failed(answer))
    }
    if (waiting.size === 0) member.port.unref()
  }
  const failed = (answer: Answer) =>
    new BurnishError(`DataLoader: a worker: ${answer.kind === 'error' ? answer.message : ''}`)
  const port = spawnLoader(
    { url: url.href, options },
    {
      message: take,
      death: (reason) =>
        give(member, new BurnishError(`DataLoader: a worker of ${url.href} ended: ${reason}`)),
    },
  )
  const member: Member = { port, waiting, error: undefined }
  return member
}
