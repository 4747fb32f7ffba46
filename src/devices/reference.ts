// The device `reference`: interprets graphs in float64, one at a time in the order queued. Storage is plain
// bytes of each dtype, so float32 results are rounded when they are written. It defines what other devices
// must give; nothing about it is fast.
import { type DType, isHalf, storedNumber, type TypedArray, typedView } from '../base/dtype.js'
import { fail, invariant } from '../base/errors.js'
import { sizeOf } from '../base/shape.js'
import type {
  Argument,
  BoundGraph,
  DeviceOf,
  Executable,
  Machine,
  RunReport,
  Storage,
} from '../compiler/program.js'
import { interpret } from '../graph/interpret.js'
import type { InputNode } from '../graph/node.js'
import { expandComposites } from '../graph/simplify.js'

class ReferenceStorage implements Storage {
  readonly device: ReferenceDevice
  readonly bytes: number
  /** Undefined once freed. */
  content: Uint8Array | undefined

  constructor(device: ReferenceDevice, bytes: number) {
    this.device = device
    this.bytes = bytes
    this.content = new Uint8Array(bytes)
  }
}

const MACHINE: Machine = {
  name: 'reference',
  lanes: 1,
  tile: { splats: 1, vectors: 1 },
  fma: false,
  firstLevelCache: 32 * 1024,
  secondLevelCache: 1024 * 1024,
}

class ReferenceDevice implements DeviceOf<'graph', BoundGraph> {
  readonly name = 'reference'
  readonly accepts = 'graph'
  readonly machine = MACHINE
  readonly threads = 1
  private queue: Promise<unknown> = Promise.resolve()

  alloc(bytes: number): Storage {
    return new ReferenceStorage(this, bytes)
  }

  free(storage: Storage): void {
    own(storage).content = undefined
  }

  write(storage: Storage, bytes: Uint8Array, offset = 0): void {
    contentOf(storage).set(bytes, offset)
  }

  read(storage: Storage): Promise<Uint8Array> {
    return this.enqueue(() => contentOf(storage).slice())
  }

  peek(storage: Storage): Uint8Array {
    return contentOf(storage)
  }

  load(code: BoundGraph): Executable {
    const graph = expandComposites(code.graph)
    const expected = code.inputs.length + graph.outputs.length
    invariant(
      code.arguments.length === expected,
      () => `${code.arguments.length} arguments for ${expected} inputs and outputs`,
    )
    return {
      run: (args) => {
        // The views keep the memory, so that storage may be freed as soon as the run is queued.
        const views = code.arguments.map((argument, i) => elementsOf(argument, args[i]))
        return this.enqueue(() => run({ ...code, graph }, views))
      },
      dispose: () => {},
    }
  }

  async close(): Promise<void> {
    await this.queue
  }

  /** Work in order; one failure does not stop what comes after it. */
  private enqueue<Result>(work: () => Result): Promise<Result> {
    const result = this.queue.then(work)
    this.queue = result.catch(() => {})
    return result
  }
}

function own(storage: Storage): ReferenceStorage {
  if (!(storage instanceof ReferenceStorage))
    return fail(`reference: the storage belongs to ${storage.device.name}`)
  return storage
}

function contentOf(storage: Storage): Uint8Array {
  const { content } = own(storage)
  if (content === undefined) return fail('reference: the storage was freed')
  return content
}

function elementsOf(argument: Argument, storage: Storage): TypedArray {
  const { buffer, byteOffset } = contentOf(storage)
  return typedView(argument.dtype, buffer, byteOffset, sizeOf(argument.shape))
}

function run(code: BoundGraph, views: readonly TypedArray[]): RunReport {
  const { graph, inputs } = code
  const begin = performance.now()
  const places = new Map<InputNode, number>(inputs.map((node, i) => [node, i]))
  const viewOf = (node: InputNode): TypedArray => {
    const place = places.get(node)
    invariant(place !== undefined, () => 'reference: an input without an argument')
    return views[place]
  }
  const { outputs, updates, report } = interpret(graph, viewOf)
  outputs.forEach((values, i) => {
    store(values, views[inputs.length + i], graph.outputs[i].dtype)
  })
  if (report.code === 0)
    updates.forEach((values, i) => {
      store(values, viewOf(graph.updates[i].target), graph.updates[i].target.dtype)
    })
  return { ...report, milliseconds: performance.now() - begin }
}

/** float64 rounded to the storage's dtype. */
function store(values: Float64Array, target: TypedArray, dtype: DType): void {
  if (isHalf(dtype))
    values.forEach((value, i) => {
      target[i] = storedNumber(dtype, value)
    })
  else target.set(values)
}

/** A fresh device; nothing is shared between two. */
export function createReference(): ReferenceDevice {
  return new ReferenceDevice()
}
