// Composites that are one ONNX operator; all others are expanded before.
import { sizeOf } from '../../base/shape.js'
import type { CompositeNode } from '../../graph/node.js'
import { endPadding } from './export-contract.js'
import type { Builder, Value } from './export-model.js'
import { cast, elementwise, filled, filledAlong, gather } from './export-ops.js'

interface Rule {
  /** Whether ONNX has this one; default: yes, of float32. */
  readonly fits?: (node: CompositeNode) => boolean
  readonly write: (b: Builder, node: CompositeNode, args: readonly Value[]) => Value
}

/** Composites that `simplify` leaves for `composed`. */
export function hasOperator(node: CompositeNode): boolean {
  const rule = Object.hasOwn(rules, node.name) ? rules[node.name] : undefined
  return rule !== undefined && (rule.fits?.(node) ?? node.dtype === 'float32')
}

export function composed(b: Builder, node: CompositeNode, args: readonly Value[]): Value {
  return rules[node.name].write(b, node, args)
}

// ---- pools ----

interface Pool {
  readonly kernel: readonly number[]
  readonly stride: readonly number[]
  readonly low: readonly number[]
  readonly high: readonly number[]
  readonly dilation: readonly number[]
  readonly output: readonly number[]
}

/** The windows of a pool, as `describe` in nn/nodes/pooling.ts writes them. */
function poolOf(node: CompositeNode): Pool {
  const [kernel, stride, low, dilation, output] = node.attributes
    .split('/')
    .map((list) => list.split(',').map(Number))
  const input = node.args[0].shape.slice(-kernel.length)
  const high = kernel.map((k, d) =>
    endPadding(input[d], output[d], k, stride[d], dilation[d], low[d]),
  )
  return { kernel, stride, low, high, dilation, output }
}

function isPool(node: CompositeNode): boolean {
  const { kernel, low, high } = poolOf(node)
  const [x] = node.args
  const inside = kernel.every((k, d) => low[d] < k && high[d] < k)
  return (
    x.dtype === 'float32' && x.shape.length === kernel.length + 2 && kernel.length <= 3 && inside
  )
}

const poolAttributes = ({ kernel, stride, low, high }: Pool) => ({
  kernel_shape: kernel,
  strides: stride,
  pads: [...low, ...high],
})

// ---- the table ----

const unary = (op: string): Rule => ({
  write: (b, _, [x]) => elementwise(b, op, [x], 'float32'),
})

const alongAxis = (op: string): Rule => ({
  write: (b, node, [x]) => {
    const axis = Number(node.attributes)
    const given = filledAlong(b, x, node.shape, [axis])
    return b.node(op, [given], { dtype: 'float32', shape: given.shape }, { axis })
  },
})

function normalizing(node: CompositeNode): {
  readonly axes: readonly number[]
  readonly eps: number
} {
  const [axes, eps] = node.attributes.split('/')
  return { axes: axes.split(',').map(Number), eps: Number(eps) }
}

const rules: { readonly [name: string]: Rule } = {
  maxPool: {
    fits: isPool,
    write: (b, node, [x]) => {
      const pool = poolOf(node)
      const given = filled(b, x, node.args[0].shape)
      return b.node('MaxPool', [given], resultOf(node), {
        ...poolAttributes(pool),
        dilations: pool.dilation,
      })
    },
  },
  // The sum is the average times the size; the division that follows takes it back (export-join.ts).
  sumPool: {
    fits: (node) => isPool(node) && poolOf(node).dilation.every((n) => n === 1),
    write: (b, node, [x]) => {
      const pool = poolOf(node)
      const given = filled(b, x, node.args[0].shape)
      const everything = pool.kernel.every(
        (k, d) => k === given.shape[2 + d] && pool.low[d] === 0 && pool.output[d] === 1,
      )
      const average = everything
        ? b.node('GlobalAveragePool', [given], resultOf(node))
        : b.node('AveragePool', [given], resultOf(node), {
            ...poolAttributes(pool),
            count_include_pad: 1,
          })
      const size = b.constant(
        [sizeOf(pool.kernel)],
        'float32',
        node.shape.map(() => 1),
      )
      return elementwise(b, 'Mul', [average, size], 'float32')
    },
  },
  softmax: alongAxis('Softmax'),
  logSoftmax: alongAxis('LogSoftmax'),
  normalize: {
    fits: (node) => {
      const { axes } = normalizing(node)
      const rank = node.shape.length
      return (
        node.dtype === 'float32' &&
        axes.length > 0 &&
        axes.every((axis, i) => axis === rank - axes.length + i)
      )
    },
    write: (b, node, [x]) => {
      const { axes, eps } = normalizing(node)
      const given = filled(b, x, node.shape)
      const epsilon = { float: eps }
      const channels = [node.shape[1]]
      const result = resultOf(node)
      const all = (value: number, shape: readonly number[]) =>
        b.constant(new Array<number>(sizeOf(shape)).fill(value), 'float32', shape)
      // Of both the one whose scale is small: what follows may turn it into the other (export-join.ts).
      if (axes[0] === 2 && !b.isOfBatch(channels))
        return b.node(
          'InstanceNormalization',
          [given, all(1, channels), all(0, channels)],
          result,
          { epsilon },
        )
      const inner = axes.map((axis) => node.shape[axis])
      return b.node('LayerNormalization', [given, all(1, inner)], result, {
        axis: -axes.length,
        epsilon,
      })
    },
  },
  softplus: unary('Softplus'),
  firstLargest: {
    write: (b, node, [x]) => {
      const axis = Number(node.attributes)
      const shape = x.shape.map((n, i) => (i === axis ? 1 : n))
      return b.node('ReduceMax', [x], { dtype: 'float32', shape }, { axes: [axis], keepdims: 1 })
    },
  },
  embedding: {
    fits: () => true,
    write: (b, _, [table, index]) => gather(b, table, index, 0),
  },
  argsort: {
    fits: (node) => ['float32', 'int32'].includes(node.args[0].dtype),
    write: (b, node, [x]) => {
      const [axis, descending] = node.attributes.split(' ')
      const at = Number(axis)
      const given = filledAlong(b, x, node.shape, [at])
      const results = [
        { dtype: given.dtype, shape: given.shape },
        { dtype: 'int64', shape: given.shape } as const,
      ]
      const attributes = { axis: at, largest: descending === 'true' ? 1 : 0, sorted: 1 }
      const [, order] = b.several('TopK', [given, b.sizes([node.shape[at]])], results, attributes)
      return cast(b, order, 'int32')
    },
  },
  tan: unary('Tan'),
  asin: unary('Asin'),
  acos: unary('Acos'),
  atan: unary('Atan'),
  sinh: unary('Sinh'),
  cosh: unary('Cosh'),
  asinh: unary('Asinh'),
  acosh: unary('Acosh'),
  atanh: unary('Atanh'),
}

function resultOf(node: CompositeNode) {
  return { dtype: node.dtype, shape: node.shape }
}
