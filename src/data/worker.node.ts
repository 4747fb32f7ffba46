// What runs in a loader's worker: the data set of the user's module, and batches of it on demand.
import { parentPort, workerData } from 'node:worker_threads'
import { fail } from '../base/errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { type HostArray, isHostArray } from './array.js'
import { collateHost, toHost } from './convert.js'
import { type Dataset, itemRandom } from './dataset.js'
import type { Start } from './team.node.js'
import type { Answer, BatchRequest } from './workers.js'

type Collate = (
  items: unknown[],
) => readonly (Tensor | HostArray)[] | Promise<readonly (Tensor | HostArray)[]>

const { url, options } = workerData as Start
const answer = (message: Answer, moved: ArrayBuffer[] = []) =>
  parentPort?.postMessage(message, moved)
const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

async function open(): Promise<{ dataset: Dataset<unknown>; collate: Collate | undefined }> {
  const module = (await import(url)) as { readonly default?: unknown; readonly collate?: Collate }
  const make = module.default
  if (typeof make !== 'function')
    throw fail(`${url} has no default export that is a function which makes the data set`)
  const dataset: unknown = await make(options)
  if (typeof dataset !== 'object' || dataset === null || !('length' in dataset))
    throw fail(`${url}: its default export gave no data set: it has no length`)
  return { dataset: dataset as Dataset<unknown>, collate: module.collate }
}

const opened = open()

/** Memory that nothing else shares, so that it can be moved: small typed arrays of Node lie in a pool. */
function own(array: HostArray): HostArray {
  const { data } = array
  const whole = isHostArray(array) && data.byteLength === data.buffer.byteLength
  return whole && data.buffer instanceof ArrayBuffer ? array : { ...array, data: data.slice() }
}

async function columnsOf({ indices, seed, epoch }: BatchRequest): Promise<readonly HostArray[]> {
  const { dataset, collate } = await opened
  if (collate === undefined && dataset.batch !== undefined) return dataset.batch(indices)
  const items = await Promise.all(
    Array.from(indices, (index) => dataset.get(index, itemRandom(seed, epoch, index))),
  )
  if (collate === undefined) return collateHost(items)
  return Promise.all((await collate(items)).map(toHost))
}

parentPort?.on('message', async (request: BatchRequest) => {
  try {
    const columns = (await columnsOf(request)).map(own)
    const moved = new Set(columns.map(({ data }) => data.buffer as ArrayBuffer))
    answer({ kind: 'batch', id: request.id, columns }, [...moved])
  } catch (error) {
    answer({ kind: 'error', id: request.id, message: textOf(error) })
  }
})

opened.then(
  ({ dataset }) => answer({ kind: 'length', length: dataset.length }),
  (error: unknown) => answer({ kind: 'error', id: undefined, message: `${url}: ${textOf(error)}` }),
)
