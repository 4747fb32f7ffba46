// Parameter: a tensor that keeps its data between submissions, and whose versions the steps make.
import { isFloat, type TypedArray } from '../base/dtype.js'
import { fail } from '../base/errors.js'
import { sameShape, showShape } from '../base/shape.js'
import { detach, type Node } from '../graph/node.js'
import { assign, ownValue } from './assign.js'
import { context } from './context.js'
import { type HostData, tensor } from './create.js'
import { showCell } from './show.js'
import { resetGradient } from './submit.js'
import { Tensor } from './tensor.js'
import { Cell } from './value.js'

export interface ParameterOptions {
  /** `parameter` (default) has a gradient; `state` is set in forward passes, such as running statistics. */
  readonly role?: 'parameter' | 'state'
  /** Whether backward() and optimizers see it; default: role is `parameter`. */
  readonly trainable?: boolean
  /** The dtype it has in files, when another than in memory: `num_batches_tracked` is int64. */
  readonly fileDtype?: string
  /** Whether a model's stateDict() has it; default true. */
  readonly persistent?: boolean
}

/** A trainable tensor, or (role `state`) one that forward passes set. Made from data, or from a tensor's values. */
export class Parameter extends Tensor {
  readonly cell: Cell
  readonly fileDtype: string | undefined
  readonly persistent: boolean

  constructor(data: Tensor | HostData, options: ParameterOptions = {}) {
    const source = data instanceof Tensor ? data : tensor(data)
    super(source.shape, source.dtype, undefined)
    const { role = 'parameter', trainable = role === 'parameter' } = options
    if (trainable && !isFloat(source.dtype))
      fail(`Parameter: ${source.dtype} values have no gradient; use { trainable: false }`)
    this.cell = new Cell(ownValue(source), role, trainable)
    this.fileDtype = options.fileDtype
    this.persistent = options.persistent ?? true
  }

  override get ownCell(): Cell {
    return this.cell
  }

  get role(): 'parameter' | 'state' {
    return this.cell.role
  }

  get trainable(): boolean {
    return this.cell.trainable
  }
  set trainable(value: boolean) {
    this.cell.trainable = value
  }

  /** The name errors use, such as `conv1.weight`. */
  get name(): string {
    return this.cell.name
  }
  set name(value: string) {
    this.cell.name = value
  }

  /** The sum of the gradients since it was last cleared; undefined: none. */
  get grad(): Tensor | undefined {
    const { trace } = context
    return trace === undefined ? this.cell.gradient : trace.gradient(this.cell)
  }
  set grad(gradient: Tensor | undefined) {
    const { trace } = context
    if (trace !== undefined) trace.setGradient(this.cell, gradient)
    else if (gradient === undefined) resetGradient(this.cell)
    else {
      this.cell.gradient = gradient
      context.gradients.add(this.cell)
    }
  }

  override get node(): Node {
    const { trace } = context
    const { cell } = this
    const node = trace === undefined ? (cell.pending ?? cell.current) : trace.read(cell)
    return this.serial < context.constantsBefore ? detach(node) : node
  }

  override dropDefinition(): void {}

  override toString(): string {
    return showCell(this.cell)
  }

  /**
   * Replaces the value; graphs that read the old one are stale from now on. On role `state` it is pending until the
   * next submission, and happens exactly once (rule 9).
   */
  set(value: Tensor | TypedArray | readonly number[] | number): void {
    const next =
      value instanceof Tensor ? value : tensor(value, { dtype: this.dtype, shape: this.shape })
    if (!sameShape(next.shape, this.shape))
      fail(
        `set: the value has shape ${showShape(next.shape)}, the parameter${this.name ? ` ${this.name}` : ''} ${showShape(this.shape)}`,
      )
    if (next.dtype !== this.dtype)
      fail(`set: the value is ${next.dtype}, the parameter ${this.dtype}`)
    assign(this.cell, next)
  }
}
