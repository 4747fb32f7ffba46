// The interpreter against plain loops and hand-computed values: what each kind means, and what is reported.
import { describe, expect, it } from 'vitest'
import type { TypedArray } from '../base/dtype.js'
import { convSpec } from './contract.js'
import { evaluate, interpret } from './interpret.js'
import {
  concat,
  constant,
  contract,
  gather,
  type InputNode,
  input,
  iota,
  map,
  type Node,
  permute,
  reduce,
  reshape,
  scatterAdd,
  view,
} from './node.js'
import { reportingNodes } from './reports.js'

const values = new Map<InputNode, TypedArray>()
function floats(shape: readonly number[], ...data: number[]): InputNode {
  const node = input({}, shape, 'float32')
  values.set(node, Float32Array.from(data))
  return node
}
function ints(shape: readonly number[], ...data: number[]): InputNode {
  const node = input({}, shape, 'int32')
  values.set(node, Int32Array.from(data))
  return node
}
const bind = (node: InputNode): TypedArray => values.get(node) ?? new Float32Array(0)
const run = (node: Node): number[] => [...evaluate([node], bind)[0]]

const x = floats([2, 3], 1, 2, 3, 4, 5, 6)

describe('evaluate', () => {
  it('views', () => {
    expect(run(permute(x, [1, 0]))).toEqual([1, 4, 2, 5, 3, 6])
    const op = { type: 'slice', starts: [1, 2], steps: [-1, -2], shape: [2, 2] } as const
    expect(run(view(op, x))).toEqual([6, 4, 3, 1])
    const pad = { type: 'pad', low: [0, 1], high: [1, 0], value: 9 } as const
    expect(run(view(pad, x))).toEqual([9, 1, 2, 3, 9, 4, 5, 6, 9, 9, 9, 9])
    const window = {
      type: 'window',
      axis: 1,
      count: 2,
      size: 2,
      stride: 2,
      dilation: 2,
      padding: 1,
      value: -1,
    } as const
    // Row 1 2 3: positions −1 and 1, then 1 and 3.
    expect(run(view(window, x))).toEqual([-1, 2, 2, -1, -1, 5, 5, -1])
  })

  it('iota, concat, reductions', () => {
    expect(run(iota([2, 3], 0))).toEqual([0, 0, 0, 1, 1, 1])
    expect(run(iota([2, 3], 1))).toEqual([0, 1, 2, 0, 1, 2])
    expect(run(concat(1, [x, floats([2, 1], 7, 8)]))).toEqual([1, 2, 3, 7, 4, 5, 6, 8])
    expect(run(reduce('sum', [0], x))).toEqual([5, 7, 9])
    expect(run(reduce('prod', [1], x))).toEqual([6, 120])
    expect(run(reduce('max', [0, 1], x))).toEqual([6])
    const ties = floats([2, 4], 1, 3, 3, 2, Number.NaN, 5, Number.NaN, 9)
    expect(run(reduce('argmax', [1], ties))).toEqual([1, 0])
    expect(run(reduce('max', [1], ties))).toEqual([3, Number.NaN])
    // Row-major over the reduced axes, whatever their place.
    const cube = floats([2, 2, 2], 0, 9, 5, 1, 7, 9, 5, 8)
    expect(run(reduce('argmax', [0, 2], cube))).toEqual([1, 3])
  })

  it('integers wrap, casts truncate and saturate, booleans are 0 and 1', () => {
    const big = ints([2], 2 ** 31 - 1, -(2 ** 31))
    const one = constant(1, 'int32', [2])
    expect(run(map('add', big, one))).toEqual([-(2 ** 31), -(2 ** 31) + 1])
    expect(run(map('mul', big, big))).toEqual([1, 0])
    expect(run(map('shr', big, one))).toEqual([2 ** 30 - 1, 2 ** 30])
    expect(run(reduce('sum', [0], ints([3], 2 ** 31 - 1, 1, 5)))).toEqual([-(2 ** 31) + 5])
    expect(run(map('mod', ints([2], -7, 7), constant(3, 'int32', [2])))).toEqual([2, 1])
    const wild = floats([4], -1.7, 1e20, Number.NaN, Number.NEGATIVE_INFINITY)
    expect(run(map('toInt32', wild))).toEqual([-1, 2 ** 31 - 1, 0, -(2 ** 31)])
    expect(run(map('toBool', ints([3], 0, 5, -1)))).toEqual([0, 1, 1])
    expect(run(map('toUint8', ints([2], 257, -1)))).toEqual([1, 255])
  })

  it('a convolution by plain loops', () => {
    const image = floats([1, 1, 3, 3], 1, 2, 3, 4, 5, 6, 7, 8, 9)
    const kernel = floats([1, 1, 2, 2], 1, 0, 0, -1)
    const spec = convSpec({
      batch: 1,
      groups: 1,
      inChannels: 1,
      outChannels: 1,
      kernel: [2, 2],
      stride: [2, 2],
      padding: [1, 1],
      dilation: [1, 1],
      output: [2, 2],
    })
    // Windows start at −1 and 1: x[y, x] − x[y+1, x+1].
    expect(run(contract(spec, image, kernel))).toEqual([-1, -3, -7, 5 - 9])
  })

  it('gather and scatterAdd along any axis', () => {
    const index = ints([2, 2], 2, 0, 1, 1)
    expect(run(gather(1, x, index))).toEqual([3, 1, 5, 5])
    expect(run(gather(0, x, ints([1, 3], 1, 0, 1)))).toEqual([4, 2, 6])
    expect(run(scatterAdd(1, 3, index, floats([2, 2], 1, 2, 3, 4)))).toEqual([2, 0, 1, 0, 7, 0])
  })
})

describe('interpret', () => {
  it('gives outputs and updates, reading the old value of a target', () => {
    const w = floats([2], 1, 2)
    const next = map('mul', w, constant(3, 'float32', [2]))
    const { outputs, updates, report } = interpret(
      { outputs: [w, next], updates: [{ target: w, value: next }] },
      bind,
    )
    expect(outputs.map((values) => [...values])).toEqual([
      [1, 2],
      [3, 6],
    ])
    expect([...updates[0]]).toEqual([3, 6])
    expect(report).toEqual({ code: 0, value: 0 })
  })

  it('reports the first index out of range by its node, reads position 0, and a false guard', () => {
    const good = gather(0, reshape(x, [6]), ints([1], 5))
    const bad = gather(0, reshape(x, [6]), ints([3], 1, 6, -1))
    const graph = { outputs: [good, bad], updates: [] }
    const { outputs, report } = interpret(graph, bind)
    expect([...outputs[1]]).toEqual([2, 1, 1])
    expect(report).toEqual({ code: 2, value: 6 })
    expect(reportingNodes(graph)[report.code - 1]).toBe(bad)
    const guard = map('isFinite', floats([], Number.NaN))
    const guarded = { outputs: [good], updates: [], guard }
    expect(interpret(guarded, bind).report).toEqual({ code: 2, value: 0 })
    expect(reportingNodes(guarded)[1]).toBe(guard)
  })
})
