// Values known while a graph is read or traced: shapes, axes, indices, ε. They are numbers in float64 (an int64 as a
// file has it may be larger than our integers: the end of a slice often is), and what is computed of them is computed
// at once, so that Shape → Gather → Concat → Reshape costs nothing at run time.
//
// An operator may know how to do that (`host`); any other is run on tensors, and its graph evaluated by the
// reference interpreter.
import type { DType } from '../../base/dtype.js'
import { isFloat, numbersOf } from '../../base/dtype.js'
import { fail } from '../../base/errors.js'
import { type Shape, sizeOf } from '../../base/shape.js'
import { evaluate } from '../../graph/interpret.js'
import { constant, type Node, topological } from '../../graph/node.js'
import { adopt, tensor } from '../../tensor/create.js'
import { fromNode, Tensor } from '../../tensor/tensor.js'
import { Value as Data, Scalar } from '../../tensor/value.js'
import { decode, type HostTensor, hostDType, type StoredTensor } from '../values.js'

export interface HostValue {
  readonly dtype: DType
  readonly shape: Shape
  /** Row-major; bools are 0 and 1. */
  readonly data: Float64Array
  /** Of a sequence, which only lives while a graph is traced: its values. Then there are no numbers. */
  readonly items?: readonly Value[]
}

export function sequence(items: readonly Value[]): HostValue {
  return { dtype: 'int32', shape: [0], data: new Float64Array(0), items }
}

/** What flows along the edges of a graph. */
export type Value = Tensor | HostValue

/** More elements than these are left to the device. */
export const MOST_KNOWN = 1 << 16
/** Nor is anything computed at once that needs more on the way. */
const MOST_COMPUTED = 1 << 22

export function hostValue(dtype: DType, shape: Shape, data: Iterable<number>): HostValue {
  return { dtype, shape, data: Float64Array.from(data) }
}

export function isKnown(value: Value | undefined): value is HostValue {
  return value !== undefined && !(value instanceof Tensor)
}

/** The numbers of a constant, int64 not limited to int32. */
export function knownConstant(value: StoredTensor | HostTensor, where: string): HostValue {
  if ('data' in value)
    return {
      dtype: isFloat(value.dtype) ? 'float32' : value.dtype,
      shape: value.shape,
      data: Float64Array.from(numbersOf(value.dtype, value.data)),
    }
  const { dtype, shape, bytes } = value
  if (dtype !== 'I64' && dtype !== 'U64' && dtype !== 'U32' && dtype !== 'F64') {
    const decoded = decode(value, where)
    return { dtype: decoded.dtype, shape, data: Float64Array.from(decoded.data) }
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const data = Float64Array.from({ length: sizeOf(shape) }, (_, i) => {
    if (dtype === 'F64') return view.getFloat64(8 * i, true)
    if (dtype === 'U32') return view.getUint32(4 * i, true)
    return Number(dtype === 'I64' ? view.getBigInt64(8 * i, true) : view.getBigUint64(8 * i, true))
  })
  return { dtype: hostDType(dtype), shape, data }
}

const LEAST = -(2 ** 31)
const MOST = 2 ** 31 - 1
const made = new WeakMap<HostValue, Tensor>()

/** From here on a whole number only says "to the end", and becomes int32's last one. */
const ENDLESS = 2 ** 62

/** @throws BurnishError for a whole number that int32 cannot hold, and means itself. */
function inInt32(x: number): number {
  if (x >= LEAST && x <= MOST) return x
  if (Math.abs(x) < ENDLESS) fail(`the integer ${x} does not fit int32, the integer type in memory`)
  return x < 0 ? LEAST : MOST
}

/** A tensor of known numbers. */
export function freshTensor({ dtype, shape, data, items }: HostValue): Tensor {
  if (items !== undefined)
    throw fail('a sequence is no tensor; only operators on sequences can take it')
  const number = (x: number) => (dtype === 'int32' ? inInt32(x) : x)
  const [first] = data
  // One number, or the same everywhere, is part of the program.
  if (data.length > 0 && data.every((x) => Object.is(x, first)))
    return fromNode(
      constant(dtype === 'float32' ? Math.fround(first) : number(first), dtype, shape),
    )
  return tensor(data.map(number), { dtype, shape })
}

/** A value as a tensor: of the same known value always the same one, so that it is stored once. */
export function tensorOf(value: Value): Tensor {
  if (value instanceof Tensor) return value
  let kept = made.get(value)
  if (kept === undefined) {
    kept = freshTensor(value)
    made.set(value, kept)
  }
  return kept
}

/** A tensor of a constant's values: what a parameter is made of. */
export function tensorOfConstant(value: StoredTensor | HostTensor, where: string): Tensor {
  const { dtype, shape, data } = 'bytes' in value ? decode(value, where) : value
  return adopt(data.slice(), shape, dtype)
}

/** The numbers behind a graph of known inputs; undefined where it is random, too large, or reads anything else. */
export function known(results: readonly Tensor[], most = MOST_KNOWN): HostValue[] | undefined {
  if (results.reduce((sum, { shape }) => sum + sizeOf(shape), 0) > most) return undefined
  const nodes = results.map(({ node }) => node)
  const sources = new Map<Node, Data | Scalar>()
  for (const node of topological(nodes)) {
    if (sizeOf(node.shape) > MOST_COMPUTED) return undefined
    if (node.kind !== 'input') continue
    const { source } = node
    if (source instanceof Scalar || (source instanceof Data && source.host !== undefined))
      sources.set(node, source)
    else return undefined
  }
  const values = evaluate(nodes, (node) => {
    const source = sources.get(node)
    if (source instanceof Scalar) return Float32Array.of(source.read())
    return source?.host ?? new Float32Array(0)
  })
  return results.map(({ dtype, shape }, i) => ({
    dtype,
    shape,
    data: Float64Array.from(values[i]),
  }))
}
