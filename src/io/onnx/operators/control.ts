// Control flow while tracing: a branch whose condition is known is taken; of one that data decide, both are computed
// and one chosen, where they have the same shapes. A loop whose count and condition are known is unrolled, any other
// refused when it is met. Sequences are lists while tracing. And quantised values, computed as floats.
import { isFloat } from '../../../base/dtype.js'
import { sameShape } from '../../../base/shape.js'
import { concat, stack, type Tensor, where } from '../../../tensor/tensor.js'
import type { Call } from '../../graph/call.js'
import { hostValue, isKnown, sequence, type Value } from '../../graph/host.js'
import { typeName } from '../tensors.js'
import { TensorType } from '../wire.js'
import type { Table } from './table.js'

function branch(call: Call): readonly Value[] {
  const condition = call.known(0)
  if (condition !== undefined)
    return call.body(condition.data[0] ? 'then_branch' : 'else_branch', [])
  const chosen = call.tensor(0).reshape()
  const [yes, no] = ['then_branch', 'else_branch'].map((name) => call.body(name, []))
  return yes.map((value, i) => {
    const [a, b] = [call.asTensor(value), call.asTensor(no[i])]
    if (!sameShape(a.shape, b.shape))
      call.fail(
        `its condition is computed from data, and its branches give [${a.shape}] and [${b.shape}]; only conditions that are known may decide about shapes`,
      )
    return where(chosen, a, b)
  })
}

const MOST_TURNS = 1024

function loop(call: Call): readonly Value[] {
  const count = call.has(0) ? call.known(0)?.data[0] : Infinity
  let condition: Value | undefined = call.has(1) ? call.value(1) : hostValue('bool', [], [1])
  let carried = call.inputs.slice(2).map((_, i) => call.value(i + 2))
  const collected: Tensor[][] = []
  if (count === undefined)
    call.fail(
      'its number of turns is computed from data; only loops whose count is known are supported',
    )
  for (let turn = 0; turn < count; turn++) {
    if (!isKnown(condition))
      call.fail('its condition is computed from data; only conditions that are known are supported')
    if (!condition.data[0]) break
    if (turn >= MOST_TURNS) call.fail(`it takes more than ${MOST_TURNS} turns`)
    const [next, ...results] = call.body('body', [
      hostValue('int32', [], [turn]),
      condition,
      ...carried,
    ])
    condition = next
    results.slice(carried.length).forEach((value, i) => {
      collected[i] = [...(collected[i] ?? []), call.asTensor(value)]
    })
    carried = results.slice(0, carried.length)
  }
  const wanted = call.node.outputs.length - carried.length
  if (collected.length < wanted) call.fail('it takes no turn, so that its outputs have no shape')
  return [...carried, ...collected.map((list) => stack(list, 0))]
}

/** A scale or zero point laid along its axis. */
function along(call: Call, i: number, x: Tensor): Tensor {
  const t = call.tensor(i)
  if (t.shape.length === 0 || (t.shape.length === 1 && t.shape[0] === 1)) return t.reshape()
  if (t.shape.length !== 1) call.fail('blocks are not supported')
  const axis = call.axis(call.int('axis', 1), x.shape.length)
  return t.reshape(...x.shape.map((_, d) => (d === axis ? t.shape[0] : 1)))
}

function dequantize(call: Call): Tensor {
  const x = call.tensor(0)
  const scale = along(call, 1, x)
  // Floats of 8 bits are floats.
  if (isFloat(x.dtype)) return (call.has(2) ? x.sub(along(call, 2, x).float()) : x).mul(scale)
  const centred = call.has(2) ? x.int().sub(along(call, 2, x).int()) : x.int()
  return centred.float().mul(scale)
}

/** What each type holds. */
const RANGES: ReadonlyMap<number, readonly [least: number, most: number]> = new Map([
  [TensorType.UINT8, [0, 255]],
  [TensorType.INT8, [-128, 127]],
  [TensorType.UINT16, [0, 65535]],
  [TensorType.INT16, [-32768, 32767]],
  [TensorType.UINT4, [0, 15]],
  [TensorType.INT4, [-8, 7]],
])

/** The type is that of the zero point, which read.ts has put into `output_dtype` where it is in the file. */
function quantize(call: Call): Tensor {
  const x = call.tensor(0)
  const zero = call.has(2) ? along(call, 2, x) : undefined
  const rounded = x.div(along(call, 1, x)).round()
  const placed = zero ? rounded.add(zero.float()) : rounded
  const otherwise = zero === undefined || zero.dtype === 'uint8' ? 'UINT8' : 'INT8'
  const type = call.int('output_dtype', 0) || TensorType[otherwise]
  const [least, most] = RANGES.get(type) ?? call.fail(`to ${typeName(type)} is not supported`)
  const limited = placed.clamp(least, most)
  const small = type === TensorType.UINT8 || type === TensorType.UINT4
  return where(limited.eq(limited), limited, 0).to(small ? 'uint8' : 'int32')
}

function itemsOf(call: Call, i: number): readonly Value[] {
  return call.known(i)?.items ?? call.fail(`its input ${i} is no sequence`)
}

/** A position in a sequence, negative from its end. */
function positionOf(call: Call, i: number, length: number): number {
  const at = call.number(i, 'the position')
  const from = at < 0 ? at + length : at
  if (!(from >= 0 && from <= length)) call.fail(`${at} is not a position of ${length} items`)
  return from
}

function inserted(call: Call): Value {
  const items = itemsOf(call, 0)
  const at = call.has(2) ? positionOf(call, 2, items.length) : items.length
  return sequence([...items.slice(0, at), call.value(1), ...items.slice(at)])
}

function joined(call: Call): Tensor {
  const items = itemsOf(call, 0).map((item) => call.asTensor(item))
  const axis = call.int('axis', 0)
  if (items.length === 0) call.fail('the sequence is empty')
  return call.flag('new_axis', false) ? stack(items, axis) : concat(items, axis)
}

const sequences: Table = {
  SequenceEmpty: { run: () => sequence([]) },
  SequenceConstruct: { run: (call) => sequence(call.inputs.map((_, i) => call.value(i))) },
  SequenceInsert: { run: inserted },
  SequenceAt: {
    run: (call) => {
      const items = itemsOf(call, 0)
      return items[positionOf(call, 1, items.length)] ?? call.fail('there is no such item')
    },
  },
  SequenceLength: { run: (call) => hostValue('int32', [], [itemsOf(call, 0).length]) },
  ConcatFromSequence: { run: joined },
}

export const control: Table = {
  If: { run: branch },
  Loop: { run: loop },
  ...sequences,
  DequantizeLinear: { run: dequantize, fold: true },
  QuantizeLinear: {
    run: quantize,
    refuse: ({ attributes }) => {
      const type = Number(attributes.get('output_dtype') ?? 0)
      return type === 0 || RANGES.has(type) ? undefined : `to ${typeName(type)} is not supported`
    },
  },
}
