// The user's Tensor: a lazy handle over a node of the graph. Operations add nodes; nothing runs before a
// read, a step, or a call of a compiled function (see submit.ts). The operations themselves are functions
// over nodes in arithmetic.ts, movement.ts, reduction.ts and matmul.ts.
import type { DType, TypedArray } from '../base/dtype.js'
import type { Shape } from '../base/shape.js'
import { detach as detachNode, input, type Node } from '../graph/node.js'
import type { NodeOrNumber } from './arithmetic.js'
import * as arithmetic from './arithmetic.js'
import { backward } from './backward.js'
import { context } from './context.js'
import { readData } from './evaluate.js'
import { bound } from './history.js'
import { matmul } from './matmul.js'
import * as movement from './movement.js'
import type { Dims } from './reduction.js'
import * as reduction from './reduction.js'
import { show } from './show.js'
import { type Cell, Value } from './value.js'

export type Operand = Tensor | number

interface KeepDim {
  /** Keeps reduced dimensions with size 1. */
  readonly keepdim?: boolean
}

const nodeOf = (x: Operand): NodeOrNumber => (typeof x === 'number' ? x : x.node)

/**
 * A tensor of `shape` and `dtype`. Arithmetic broadcasts as in NumPy; numbers as operands are arguments of the
 * compiled program, so changing them compiles nothing.
 *
 * Use `tensor`, `zeros`, `randn` … to make one. `data()` and `item()` read it.
 */
export class Tensor {
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

  // ---- arithmetic ----

  add(other: Operand): Tensor {
    return derive(arithmetic.binary('add', this.node, nodeOf(other), 'add'), this, other)
  }
  sub(other: Operand): Tensor {
    return derive(arithmetic.binary('sub', this.node, nodeOf(other), 'sub'), this, other)
  }
  mul(other: Operand): Tensor {
    return derive(arithmetic.binary('mul', this.node, nodeOf(other), 'mul'), this, other)
  }
  /** Always float32: 1 / 2 is 0.5. */
  div(other: Operand): Tensor {
    return derive(arithmetic.divide(this.node, nodeOf(other)), this, other)
  }
  /** The remainder with the divisor's sign, as in Python. */
  mod(other: Operand): Tensor {
    return derive(arithmetic.binary('mod', this.node, nodeOf(other), 'mod'), this, other)
  }
  pow(exponent: Operand): Tensor {
    return derive(arithmetic.power(this.node, nodeOf(exponent)), this, exponent)
  }
  /** The greater of two; ties share the gradient half and half. */
  maximum(other: Operand): Tensor {
    return derive(arithmetic.binary('max', this.node, nodeOf(other), 'maximum'), this, other)
  }
  minimum(other: Operand): Tensor {
    return derive(arithmetic.binary('min', this.node, nodeOf(other), 'minimum'), this, other)
  }
  neg(): Tensor {
    return derive(arithmetic.numericFn('neg', this.node), this)
  }
  abs(): Tensor {
    return derive(arithmetic.numericFn('abs', this.node), this)
  }
  sign(): Tensor {
    return derive(arithmetic.numericFn('sign', this.node), this)
  }
  square(): Tensor {
    return this.pow(2)
  }
  /** Between the bounds, which are inclusive; the gradient at a bound is 1. */
  clamp(low?: Operand, high?: Operand): Tensor {
    const bounds = [low, high].map((x) => (x === undefined ? undefined : nodeOf(x)))
    return derive(arithmetic.clamp(this.node, bounds[0], bounds[1]), this, low, high)
  }

  // ---- functions of floats ----

  exp(): Tensor {
    return derive(arithmetic.floatFn('exp', this.node), this)
  }
  log(): Tensor {
    return derive(arithmetic.floatFn('log', this.node), this)
  }
  sqrt(): Tensor {
    return derive(arithmetic.floatFn('sqrt', this.node), this)
  }
  rsqrt(): Tensor {
    return derive(arithmetic.divide(1, arithmetic.floatFn('sqrt', this.node)), this)
  }
  reciprocal(): Tensor {
    return derive(arithmetic.divide(1, this.node), this)
  }
  sin(): Tensor {
    return derive(arithmetic.floatFn('sin', this.node), this)
  }
  cos(): Tensor {
    return derive(arithmetic.floatFn('cos', this.node), this)
  }
  tanh(): Tensor {
    return derive(arithmetic.floatFn('tanh', this.node), this)
  }
  erf(): Tensor {
    return derive(arithmetic.floatFn('erf', this.node), this)
  }
  floor(): Tensor {
    return derive(arithmetic.roundingFn('floor', this.node), this)
  }
  ceil(): Tensor {
    return derive(arithmetic.roundingFn('ceil', this.node), this)
  }
  /** Halves go to the even neighbour. */
  round(): Tensor {
    return derive(arithmetic.roundingFn('round', this.node), this)
  }
  isFinite(): Tensor {
    return derive(arithmetic.floatFn('isFinite', this.node), this)
  }

  // ---- comparisons and logic: bool ----

  eq(other: Operand): Tensor {
    return derive(arithmetic.binary('eq', this.node, nodeOf(other), 'eq'), this, other)
  }
  ne(other: Operand): Tensor {
    return derive(arithmetic.binary('ne', this.node, nodeOf(other), 'ne'), this, other)
  }
  lt(other: Operand): Tensor {
    return derive(arithmetic.binary('lt', this.node, nodeOf(other), 'lt'), this, other)
  }
  le(other: Operand): Tensor {
    return derive(arithmetic.binary('le', this.node, nodeOf(other), 'le'), this, other)
  }
  gt(other: Operand): Tensor {
    return derive(arithmetic.binary('lt', nodeOf(other), this.node, 'gt'), this, other)
  }
  ge(other: Operand): Tensor {
    return derive(arithmetic.binary('le', nodeOf(other), this.node, 'ge'), this, other)
  }
  logicalAnd(other: Tensor): Tensor {
    return derive(arithmetic.logical('and', this.node, other.node, 'logicalAnd'), this, other)
  }
  logicalOr(other: Tensor): Tensor {
    return derive(arithmetic.logical('or', this.node, other.node, 'logicalOr'), this, other)
  }
  logicalNot(): Tensor {
    return derive(arithmetic.not(this.node), this)
  }

  // ---- reductions: over one dimension, several, or all ----

  sum(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.sum(this.node, dims, keepdim), this)
  }
  /** float32 only: a mean of integers is an error. */
  mean(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.mean(this.node, dims, keepdim), this)
  }
  prod(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.prod(this.node, dims, keepdim), this)
  }
  /** The greatest; ties share the gradient equally. */
  amax(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.amax(this.node, dims, keepdim), this)
  }
  amin(dims?: Dims, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.amin(this.node, dims, keepdim), this)
  }
  /** The greatest along a dimension and its position; the gradient goes to the first of ties. */
  max(dim: number, { keepdim = false }: KeepDim = {}): { values: Tensor; indices: Tensor } {
    const { values, indices } = reduction.maxAlong(this.node, dim, keepdim)
    return { values: derive(values, this), indices: derive(indices, this) }
  }
  /** The least along a dimension and its position; the gradient goes to the first of ties. */
  min(dim: number, options: KeepDim = {}): { values: Tensor; indices: Tensor } {
    const { values, indices } = this.neg().max(dim, options)
    return { values: values.neg(), indices }
  }
  /** int32: the first position of the greatest. */
  argmax(dim?: number, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.argmax(this.node, dim, keepdim), this)
  }
  argmin(dim?: number, { keepdim = false }: KeepDim = {}): Tensor {
    return derive(reduction.argmin(this.node, dim, keepdim), this)
  }
  /** The sum of squared distances from the mean, divided by count − correction. */
  var(
    dims?: Dims,
    { keepdim = false, correction = 1 }: KeepDim & { correction?: number } = {},
  ): Tensor {
    return derive(reduction.variance(this.node, dims, keepdim, correction), this)
  }
  std(dims?: Dims, options: KeepDim & { correction?: number } = {}): Tensor {
    return this.var(dims, options).sqrt()
  }

  // ---- movement ----

  /** The same values in another shape; one size may be −1. */
  reshape(...shape: readonly number[]): Tensor {
    return derive(movement.reshape(this.node, shape), this)
  }
  permute(...dims: readonly number[]): Tensor {
    return derive(movement.permute(this.node, dims), this)
  }
  transpose(dim0: number, dim1: number): Tensor {
    return derive(movement.transpose(this.node, dim0, dim1), this)
  }
  flatten(start = 0, end = -1): Tensor {
    return derive(movement.flatten(this.node, start, end), this)
  }
  squeeze(dim?: number): Tensor {
    return derive(movement.squeeze(this.node, dim), this)
  }
  unsqueeze(dim: number): Tensor {
    return derive(movement.unsqueeze(this.node, dim), this)
  }
  /** Repeats dimensions of size 1; −1 keeps a size. */
  expand(...shape: readonly number[]): Tensor {
    return derive(movement.expand(this.node, shape), this)
  }
  /** Positions start … end−1 along `dim`; negative ones count from the end. */
  slice(
    start: number,
    end?: number,
    { dim = 0, step = 1 }: { dim?: number; step?: number } = {},
  ): Tensor {
    const result = derive(movement.slice(this.node, start, end, dim, step), this)
    if (this.value !== undefined) result.sliceOf = this.value
    return result
  }
  flip(...dims: readonly number[]): Tensor {
    return derive(movement.flip(this.node, dims), this)
  }
  /** `value` around it: pairs (low, high) from the last dimension backwards, as in PyTorch. */
  pad(widths: readonly number[], value = 0): Tensor {
    return derive(movement.pad(this.node, widths, value), this)
  }

  // ---- products and indexing ----

  /** [.., m, k] · [.., k, n] → [.., m, n] */
  matmul(other: Tensor): Tensor {
    return derive(matmul(this.node, other.node), this, other)
  }
  /** out[i…] = this[i… with i[dim] replaced by index[i…]] */
  gather(dim: number, index: Tensor): Tensor {
    return derive(movement.gather(this.node, dim, index.node), this, index)
  }
  indexSelect(dim: number, index: Tensor): Tensor {
    return derive(movement.indexSelect(this.node, dim, index.node), this, index)
  }

  // ---- dtype and history ----

  to(dtype: DType): Tensor {
    return dtype === this.dtype ? this : derive(arithmetic.cast(this.node, dtype), this)
  }
  float(): Tensor {
    return this.to('float32')
  }
  int(): Tensor {
    return this.to('int32')
  }
  bool(): Tensor {
    return this.to('bool')
  }
  /** The same values, with no gradient. */
  detach(): Tensor {
    return derive(detachNode(this.node), this)
  }

  // ---- reading and differentiating ----

  /** A copy of the values, row-major; rejects with the error of the run that computes them. */
  data(): Promise<TypedArray> {
    return readData(this, 'data()')
  }
  /** The only value of a tensor of one element; a bool is 0 or 1. */
  item(): Promise<number> {
    return readData(this, 'item()').then((data) => data[0])
  }
  /** Adds the gradient of this scalar to `grad` of every trainable parameter it was computed from. */
  backward(): void {
    backward(this)
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

/** A tensor over a node built elsewhere (functions in `nn` build composites). `from` are its operands. */
export function fromNode(node: Node, ...from: readonly (Operand | undefined)[]): Tensor {
  return derive(node, ...from)
}

function derive(node: Node, ...from: readonly (Operand | undefined)[]): Tensor {
  const result = new Tensor(node.shape, node.dtype, node)
  let history = 1
  for (const operand of from) if (operand instanceof Tensor) history += operand.history
  result.history = history
  return bound(result)
}

/** The x where the condition holds, else the y; broadcast. */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  const node = arithmetic.select(condition.node, nodeOf(x), nodeOf(y), 'where')
  return derive(node, condition, x, y)
}

/** Tensors one after the other along an existing dimension. */
export function concat(parts: readonly Tensor[], dim = 0): Tensor {
  const node = movement.concat(
    parts.map((part) => part.node),
    dim,
  )
  return derive(node, ...parts)
}

/** Tensors of one shape along a new dimension. */
export function stack(parts: readonly Tensor[], dim = 0): Tensor {
  const node = movement.stack(
    parts.map((part) => part.node),
    dim,
  )
  return derive(node, ...parts)
}
