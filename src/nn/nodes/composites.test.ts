// Composites against their definitions: the gradient each brings must be that of `expand()`, to second order.
// Inputs have no ties, where pools choose the first and their definition shares.
import { expect, it } from 'vitest'
import { gradients } from '../../autograd/grad.js'
import { type Shape, sizeOf } from '../../base/shape.js'
import { evaluate } from '../../graph/interpret.js'
import { type InputNode, input, map, type Node, reduce } from '../../graph/node.js'
import { embed } from './embedding.js'
import { crossEntropyRows, nllRows, softCrossEntropyRows } from './loss.js'
import { batchNormalize, channelMoments, moments, normalize } from './normalization.js'
import { averagePool, firstLargest, maxPool, type Windows } from './pooling.js'
import { logSoftmax, softmax } from './softmax.js'

/** Distinct numbers in about −1 … 1, shuffled by a fixed stride. */
function values(shape: Shape, seed: number): Float32Array {
  const size = sizeOf(shape)
  const stride = 7919
  return Float32Array.from({ length: size }, (_, i) => {
    const k = (i * stride + seed * 31) % size
    return (2 * (k + 0.5)) / size - 1 + 0.01 * Math.sin(i + seed)
  })
}

const data = new Map<InputNode, Float32Array | Int32Array>()
function given(shape: Shape, seed: number): InputNode {
  const node = input({}, shape, 'float32')
  data.set(node, values(shape, seed))
  return node
}
function labelled(...labels: readonly number[]): InputNode {
  const node = input({}, [labels.length], 'int32')
  data.set(node, Int32Array.from(labels))
  return node
}

const total = (x: Node): Node =>
  reduce(
    'sum',
    x.shape.map((_, i) => i),
    x,
  )

/** Value, gradients of Σ r·node, and the gradients of a weighted sum of those. */
function derivatives(node: Node, of: readonly Node[], r: Node): Node[] {
  const first = gradients(total(map('mul', node, r)), of)
  const roots = [node]
  let mixed: Node | undefined
  first.forEach((g, i) => {
    if (!g) throw new Error(`no gradient for argument ${i}`)
    const part = total(map('mul', g, given(g.shape, 11 + i)))
    mixed = mixed ? map('add', mixed, part) : part
    roots.push(g)
  })
  if (mixed)
    for (const g of gradients(mixed, [...of, r])) if (g && sizeOf(g.shape) > 0) roots.push(g)
  return roots
}

const pool = (fields: Partial<Windows>): Windows => ({
  kernel: [2, 2],
  stride: [2, 2],
  padding: [0, 0],
  dilation: [1, 1],
  output: [3, 2],
  ...fields,
})
const overlapping = pool({ kernel: [3, 2], stride: [2, 1], padding: [1, 0], output: [3, 4] })
const dilated = pool({ stride: [1, 1], dilation: [2, 1], output: [4, 4] })
const apart = pool({ kernel: [2, 1], stride: [3, 2], output: [2, 3] })
/** Rounded up: the last window reaches outside. */
const outside = pool({ kernel: [4, 2], stride: [4, 2], output: [2, 3] })

const x = given([2, 2, 6, 5], 1)
const rows = given([4, 5], 2)
const soft = given([4, 5], 3)
const weight = given([5], 4)
const labels = labelled(1, 4, -100, 0)
const classes = { labels, weight: undefined, ignoreIndex: -100 }
const channels = [given([2], 5), given([2], 6)] as const

const cases: [string, () => Node, readonly Node[]][] = [
  ['softmax', () => softmax(rows, 1), [rows]],
  ['softmax along the first axis', () => softmax(rows, 0), [rows]],
  ['logSoftmax', () => logSoftmax(rows, 1), [rows]],
  ['normalize', () => normalize(x, [2, 3], 1e-3), [x]],
  [
    'batchNorm',
    () => batchNormalize(x, channels[0], channels[1], 1e-3, moments(x, [0, 2, 3])),
    [x, ...channels],
  ],
  ['maxPool', () => maxPool(x, pool({})), [x]],
  ['maxPool, overlapping', () => maxPool(x, overlapping), [x]],
  ['maxPool, dilated', () => maxPool(x, dilated), [x]],
  ['maxPool, apart', () => maxPool(x, apart), [x]],
  ['maxPool, reaching outside', () => maxPool(x, outside), [x]],
  ['averagePool', () => averagePool(x, pool({}), 4), [x]],
  ['averagePool, overlapping', () => averagePool(x, overlapping, 6), [x]],
  ['averagePool, apart', () => averagePool(x, apart, 2), [x]],
  ['averagePool, reaching outside', () => averagePool(x, outside, 8), [x]],
  ['firstLargest', () => firstLargest(x, 2), [x]],
  ['crossEntropy', () => crossEntropyRows(rows, classes, 1, 0), [rows]],
  ['crossEntropy, weighted', () => crossEntropyRows(rows, { ...classes, weight }, 1, 0), [rows]],
  ['crossEntropy, smooth', () => crossEntropyRows(rows, { ...classes, weight }, 1, 0.2), [rows]],
  ['softCrossEntropy', () => softCrossEntropyRows(rows, soft, 1, weight, 0.2), [rows, soft]],
  ['nllLoss', () => nllRows(rows, { ...classes, weight }, 1), [rows]],
]

it.each(cases)('%s', (_, build, of) => {
  const node = build()
  const r = given(node.shape, 7)
  const definition = withoutGradient(node)
  const read = (n: InputNode) => {
    const value = data.get(n)
    if (!value) throw new Error('unbound')
    return value
  }
  const own = evaluate(derivatives(node, of, r), read)
  const expected = evaluate(derivatives(definition, of, r), read)
  expect(own.length).toBe(expected.length)
  own.forEach((values, i) => {
    const scale = Math.max(1e-3, ...expected[i].map(Math.abs))
    values.forEach((value, j) => {
      expect(Math.abs(value - expected[i][j]) / scale, `result ${i}, value ${j}`).toBeLessThan(1e-9)
    })
  })
})

/** The composite at the root, or below one map, without its own gradient. */
function withoutGradient(node: Node): Node {
  if (node.kind === 'composite') return node.expand()
  const args = node.args.map((arg) => (arg.kind === 'composite' ? arg.expand() : arg))
  return { ...node, args, mark: 0, slot: 0 }
}

it('embedding adds up rows, and gives the padding row nothing', () => {
  const table = given([3, 2], 8)
  const index = labelled(2, 0, 2, 1)
  const out = embed(table, index, 0)
  const r = given([4, 2], 9)
  const [g] = gradients(total(map('mul', out, r)), [table])
  if (!g) throw new Error('no gradient')
  const [values] = evaluate([g], (n) => data.get(n) ?? new Float32Array(0))
  const w = data.get(r) ?? []
  const expected = [0, 0, w[6], w[7], w[0] + w[4], w[1] + w[5]]
  values.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i], 6)
  })
})

it('finds the moments of channels far from 0, block by block', () => {
  const shape = [3, 2, 40, 32]
  const image = input({}, shape, 'float32')
  // 2,000 and more from 0, at a distance of 1: float32 squares would leave nothing of the variance.
  const pixels = Float32Array.from({ length: 3 * 2 * 1280 }, (_, i) => 2000 + (i % 2) + (i % 7) / 8)
  const of = (parts: { readonly mean: Node; readonly variance: Node }) =>
    evaluate([parts.mean, parts.variance], () => pixels)
  const [mean, variance] = of(channelMoments(image))
  const [wanted, spread] = of(moments(image, [0, 2, 3]))
  for (let c = 0; c < 2; c++) {
    expect(mean[c]).toBeCloseTo(wanted[c], 9)
    expect(variance[c]).toBeCloseTo(spread[c], 9)
  }
})
