// What a Tensor is before it has operations: a lazy handle over a node of the graph. `definition` is how it is
// computed, `value` its data once computed.
// Users' compilers must know Symbol.dispose, whatever their `lib` says:
/// <reference lib="esnext.disposable" preserve="true" />
import type { DType } from '../base/dtype.js'
import type { Shape } from '../base/shape.js'
import { detach as detachNode, input, type Node } from '../graph/node.js'
import { context } from './context.js'
import { show } from './show.js'
import { type Cell, Value } from './value.js'

export class Handle {
  readonly shape: Shape
  readonly dtype: DType
  /** How it is computed; undefined once dropped, when only `value` is left. */
  definition: Node | undefined
  /** Its data, once computed. */
  value: Value | undefined
  /** The input node over `value`, for graphs built after the definition was dropped. */
  protected leaf: Node | undefined
  /** About how many nodes are behind it: see history.ts. */
  history = 1
  readonly serial: number
  /** The data it is a slice of, so that reading it reads storage and compiles nothing (rule 16). */
  sliceOf: Value | undefined
  /** Set when `backward()` was called, then by whom its graph was freed: a second backward is an error. */
  backwardBy: string | undefined

  constructor(shape: Shape, dtype: DType, definition: Node | undefined, value?: Value) {
    this.shape = shape
    this.dtype = dtype
    this.definition = definition
    this.value = value
    this.serial = context.serial++
  }

  /** What a Parameter is a handle of. */
  get ownCell(): Cell | undefined {
    return undefined
  }

  /** The node a graph built now reads. */
  get node(): Node {
    const node = this.definition ?? this.valueNode()
    return this.serial < context.constantsBefore ? detachNode(node) : node
  }

  /** The value as a leaf of a graph. */
  protected valueNode(): Node {
    if (this.leaf === undefined) {
      this.value ??= new Value(this.shape, this.dtype)
      this.leaf = input(this.value, this.shape, this.dtype)
    }
    return this.leaf
  }

  /** Forgets how it was computed: only the value is left. */
  dropDefinition(): void {
    if (this.value === undefined) return
    this.definition = undefined
    this.history = 1
  }

  /** Frees its device storage now, if it has any; reading it later is an error. */
  [Symbol.dispose](): void {
    if (this.value === undefined) return
    this.value.disposed = true
    this.value.host = undefined
    this.value.release()
  }

  toString(): string {
    return show(this)
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }
}
