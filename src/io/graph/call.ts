// What an operator is: a rule from values to values, and which of its inputs are weights. And the call it sees: a node,
// its inputs, its attributes, with errors that name them.
import { fail } from '../../base/errors.js'
import { showShape } from '../../base/shape.js'
import { Tensor } from '../../tensor/tensor.js'
import type { HostTensor, StoredTensor } from '../values.js'
import { type HostValue, isKnown, type Value } from './host.js'
import { isTensorAttribute, type PlainNode } from './plain.js'

export type Results = Value | readonly (Value | undefined)[]

export interface Operator {
  /** Of the call's inputs; one value, or a list as long as the outputs asked for. */
  readonly run: (call: Call) => Results
  /** Computes at once what is known; undefined where `run` must do it. Called only when all inputs are known. */
  readonly host?: (call: Call) => HostValue | undefined
  /** Inputs that are weights: a float constant of at least one dimension there becomes a parameter. */
  readonly weights?: readonly number[]
  /** Inputs that are weights where the others depend on parameters: scales and biases written as arithmetic. */
  readonly operands?: readonly number[]
  /** Inputs that training updates, such as running statistics. */
  readonly state?: readonly number[]
  /** Inputs whose values pass through unchanged: where the result is a weight, they are. */
  readonly passes?: readonly number[]
  /** Computed when the graph is read, if all inputs are constants: quantised weights become floats. */
  readonly fold?: boolean
  /** Never computed beforehand, even of known inputs. */
  readonly random?: boolean
  /** What is wrong with a node, seen without its inputs; undefined: nothing. */
  readonly refuse?: (node: PlainNode, version: number) => string | undefined
}

/** Operators by name, as the files of a format list them. */
export type Operators = { readonly [op: string]: Operator }

export type OperatorTable = ReadonlyMap<string, Operator>

/** One run of one node. */
export class Call {
  readonly node: PlainNode
  readonly inputs: readonly (Value | undefined)[]
  /** The version of the operators: ONNX's opset. */
  readonly version: number
  readonly training: boolean
  /** Runs a graph inside of the node, by its attribute's name, on values for its inputs. */
  readonly body: (attribute: string, inputs: readonly Value[]) => readonly Value[]
  readonly #tensorOf: (value: HostValue) => Tensor

  constructor(
    node: PlainNode,
    inputs: readonly (Value | undefined)[],
    version: number,
    training: boolean,
    body: (attribute: string, inputs: readonly Value[]) => readonly Value[],
    tensorOf: (value: HostValue) => Tensor,
  ) {
    this.#tensorOf = tensorOf
    this.node = node
    this.inputs = inputs
    this.version = version
    this.training = training
    this.body = body
  }

  fail(message: string): never {
    fail(`${this.node.op}: ${message}`)
  }

  // ---- inputs ----

  asTensor(value: Value): Tensor {
    return value instanceof Tensor ? value : this.#tensorOf(value)
  }

  has(index: number): boolean {
    return this.inputs[index] !== undefined
  }

  value(index: number): Value {
    return this.inputs[index] ?? this.fail(`its input ${index} is missing`)
  }

  tensor(index: number): Tensor {
    return this.asTensor(this.value(index))
  }

  optional(index: number): Tensor | undefined {
    const value = this.inputs[index]
    return value === undefined ? undefined : this.asTensor(value)
  }

  /** All inputs as tensors. */
  tensors(): Tensor[] {
    return this.inputs.map((_, i) => this.tensor(i))
  }

  known(index: number): HostValue | undefined {
    const value = this.inputs[index]
    return isKnown(value) ? value : undefined
  }

  /** The numbers of an input that must be known before anything runs: a shape, axes, sizes. */
  numbers(index: number, what: string): readonly number[] {
    const value = this.value(index)
    if (!isKnown(value))
      this.fail(
        `${what} (${this.node.inputs[index]}) must be known before the graph runs, but is computed from data: ${showShape(value.shape)} ${value.dtype}`,
      )
    return [...value.data]
  }

  number(index: number, what: string): number {
    const numbers = this.numbers(index, what)
    if (numbers.length !== 1)
      this.fail(`${what} (${this.node.inputs[index]}) must be one number, but is ${numbers.length}`)
    return numbers[0]
  }

  // ---- attributes ----

  get(name: string): boolean {
    return this.node.attributes.has(name)
  }

  int(name: string, otherwise: number): number {
    const value = this.node.attributes.get(name) ?? otherwise
    if (typeof value === 'boolean') return Number(value)
    if (typeof value !== 'number' || !Number.isInteger(value))
      this.fail(`${name} must be a whole number`)
    return value
  }

  float(name: string, otherwise: number): number {
    const value = this.node.attributes.get(name) ?? otherwise
    return typeof value === 'number' ? value : this.fail(`${name} must be a number`)
  }

  flag(name: string, otherwise: boolean): boolean {
    return this.int(name, Number(otherwise)) !== 0
  }

  text(name: string, otherwise: string): string {
    const value = this.node.attributes.get(name) ?? otherwise
    return typeof value === 'string' ? value : this.fail(`${name} must be text`)
  }

  list(name: string): readonly number[] | undefined {
    const value = this.node.attributes.get(name)
    if (value === undefined) return undefined
    if (!isNumbers(value)) this.fail(`${name} must be a list of numbers`)
    return value
  }

  constant(name: string): StoredTensor | HostTensor | undefined {
    const value = this.node.attributes.get(name)
    if (value === undefined) return undefined
    return isTensorAttribute(value) ? value : this.fail(`${name} must be a tensor`)
  }

  /** Counts an axis from the front. */
  axis(axis: number, rank: number): number {
    const positive = axis < 0 ? axis + rank : axis
    if (!Number.isInteger(axis) || positive < 0 || positive >= rank)
      this.fail(`axis ${axis} is not one of ${rank} dimensions (−${rank} … ${rank - 1})`)
    return positive
  }
}

function isNumbers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'number')
}
