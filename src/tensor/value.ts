// What an InputNode of a tensor's graph can stand for: data at rest, a parameter's version, a number, a
// random key. The program's argument is filled from it when a graph is submitted.
import { allocate, type DType, isFloat, storedNumber, type TypedArray } from '../base/dtype.js'
import { type Shape, sizeOf } from '../base/shape.js'
import type { Device, Storage } from '../compiler/program.js'
import { type InputNode, input, type Node, topological } from '../graph/node.js'
import type { Tensor } from './tensor.js'

/** Device storage with its users counted, so that it is freed only after the last queued run that touches it. */
export class Held {
  readonly device: Device
  readonly storage: Storage
  #uses = 0
  #released = false
  #weight = 0

  constructor(device: Device, storage: Storage) {
    this.device = device
    this.storage = storage
  }

  get released(): boolean {
    return this.#released
  }

  retain(): void {
    this.#uses++
  }

  /** One queued run is done with it. */
  drop(): void {
    this.#uses--
    this.#freeIfUnused()
  }

  /** Its owner is done with it. */
  release(): void {
    if (this.#released) return
    this.#released = true
    results.bytes -= this.#weight
    this.#freeIfUnused()
  }

  /** Counts it among the results until it is released. */
  weigh(bytes: number): void {
    if (this.#released) return
    this.#weight = bytes
    results.bytes += bytes
  }

  #freeIfUnused(): void {
    if (this.#released && this.#uses === 0) this.device.free(this.storage)
  }
}

/** Storage held by results, which only the collector or `using` gives back. */
export const results = { bytes: 0 }

const owners = new FinalizationRegistry<Held>((held) => held.release())

/** Data at rest: on the host, on a device, or on its way from a queued run. */
export class Value {
  readonly shape: Shape
  readonly dtype: DType
  #host: TypedArray | undefined
  #fill: number | undefined
  #held: Held | undefined
  #registered = false
  ballast: ArrayBuffer | undefined
  /** Settles when the run that computes it is done; undefined: done. Rejects with the run's error. */
  ready: Promise<void> | undefined
  error: Error | undefined
  /** Someone asked for it: an error has reached them. */
  observed = false
  disposed = false

  constructor(shape: Shape, dtype: DType, host?: TypedArray) {
    this.shape = shape
    this.dtype = dtype
    this.#host = host
  }

  /** The same number everywhere, without an array of it until someone reads it. */
  static filled(shape: Shape, dtype: DType, fill: number): Value {
    const value = new Value(shape, dtype)
    value.#fill = fill
    return value
  }

  /** Data in host memory, which nobody writes to: values may share it. */
  get host(): TypedArray | undefined {
    if (this.#host === undefined && this.#fill !== undefined) {
      const data = allocate(this.dtype, sizeOf(this.shape))
      this.#host = data.fill(storedNumber(this.dtype, this.#fill))
    }
    return this.#host
  }
  set host(host: TypedArray | undefined) {
    this.#host = host
    this.#fill = undefined
  }

  /** The number it is filled with, where there is no array of it. */
  get fill(): number | undefined {
    return this.#host === undefined ? this.#fill : undefined
  }

  get held(): Held | undefined {
    return this.#held
  }

  /** Where a queued run writes it: until `hold` says that it stays, or `release`. */
  expect(held: Held): void {
    this.#held = held
  }

  /** Device storage it owns: freed when the value is collected or disposed of. */
  hold(held: Held): void {
    this.#held = held
    this.#registered = true
    owners.register(this, held, this)
  }

  /**
   * A result stays on the device. The collector does not see device memory, so the handle carries a buffer of the
   * same size that nobody touches (and so takes no memory): see Note: ballast in submission.ts.
   */
  settle(bytes: number): void {
    this.ballast = new ArrayBuffer(bytes)
    this.#held?.weigh(bytes)
  }

  /** Gives the device storage up, after the data came to the host or at disposal. */
  release(): void {
    if (this.#held === undefined) return
    if (this.#registered) owners.unregister(this)
    this.#registered = false
    this.#held.release()
    this.#held = undefined
    this.ballast = undefined
  }
}

/** A JavaScript number that met a tensor: an argument of the program, read when it is submitted. */
export class Scalar {
  readonly read: () => number
  constructor(read: () => number) {
    this.read = read
  }
}

/** One word of a random key: absolute, or in a trace the draw counted from the call's beginning. */
export class RandomKey {
  readonly seed: number | undefined
  readonly draw: number
  readonly word: 0 | 1
  constructor(seed: number | undefined, draw: number, word: 0 | 1) {
    this.seed = seed
    this.draw = draw
    this.word = word
  }
}

/** A tensor argument of a compiled function. */
export class Placeholder {
  readonly index: number
  constructor(index: number) {
    this.index = index
  }
}

/** A value inside of a scan: it differs from step to step. */
export class StepValue {}

/** One version of a parameter: what a graph built now reads. */
export class Version {
  readonly cell: Cell
  /** Who replaced it, such as `step()`; undefined while it is the parameter's current value. */
  replacedBy: string | undefined
  constructor(cell: Cell) {
    this.cell = cell
  }
}

/** What a Parameter is a handle of: its value now, its version, its gradient. */
export class Cell {
  readonly shape: Shape
  readonly dtype: DType
  readonly role: 'parameter' | 'state'
  trainable: boolean
  name = ''
  value: Value
  /** The input a graph built now reads: a new one for every version. */
  current: InputNode
  /** The input a traced graph reads: whatever the value is when the program runs. */
  readonly live: InputNode
  /** A state's next value, not yet submitted: see SEMANTICS rule 9. */
  pending: Node | undefined
  gradient: Tensor | undefined
  /** Sum of the gradients of the micro-batches submitted so far: see SEMANTICS rule 7. */
  accumulator: Cell | undefined

  constructor(value: Value, role: 'parameter' | 'state', trainable: boolean) {
    this.shape = value.shape
    this.dtype = value.dtype
    this.role = role
    this.trainable = trainable
    this.value = value
    this.current = input(new Version(this), value.shape, value.dtype)
    this.live = input(this, value.shape, value.dtype)
  }

  /** The next version; graphs that read the last one are stale from now on. */
  advance(by: string): void {
    const version = this.current.source
    if (version instanceof Version) version.replacedBy = by
    this.current = input(new Version(this), this.shape, this.dtype)
  }
}

/**
 * Whether gradients can flow from a node to a trainable parameter: over float nodes, not through detach. Leaves its
 * answer for every node in `slot`.
 */
export function reachesTrainable(root: Node): boolean {
  for (const node of topological([root])) {
    let reaches = false
    if (isFloat(node.dtype) && node.kind !== 'detach') {
      reaches = cellOf(node)?.trainable ?? false
      for (let i = 0; i < node.args.length && !reaches; i++) reaches = node.args[i].slot === 1
    }
    node.slot = reaches ? 1 : 0
  }
  return root.slot === 1
}

/** The parameter an input node reads, if it reads one. */
export function cellOf(node: Node): Cell | undefined {
  if (node.kind !== 'input') return undefined
  const source = node.source
  return source instanceof Version ? source.cell : source instanceof Cell ? source : undefined
}
