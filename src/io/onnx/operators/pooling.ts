// Pools over windows, with any pads, dilations and rounding of their count.
import { sizeOf } from '../../../base/shape.js'
import {
  maxPool as largest,
  largestPositions,
  averagePool as summed,
  type Windows,
} from '../../../nn/nodes/pooling.js'
import { tensor } from '../../../tensor/create.js'
import { fromNode, type Tensor } from '../../../tensor/tensor.js'
import type { Call } from '../../graph/call.js'
import { windowOf } from './neural.js'
import type { Table } from './table.js'

interface Pool {
  readonly x: Tensor
  /** Padding before; what windows reach past the end is as padding too. */
  readonly windows: Windows
  /** Padding behind, as the node says. */
  readonly high: readonly number[]
}

/** A node's windows and how many there are: with ceil_mode the last may reach past the padding. */
function poolOf(call: Call): Pool {
  const x = call.tensor(0)
  const given = call.list('kernel_shape') ?? call.fail('kernel_shape is missing')
  const { kernel, strides, dilations, low, high } = windowOf(call, x, given)
  if ([...low, ...high].some((n) => n < 0)) call.fail(`pads are below 0: ${[...low, ...high]}`)
  const ceil = call.flag('ceil_mode', false)
  const output = kernel.map((k, d) => {
    const n = x.shape[d + 2]
    const room = n + low[d] + high[d] - (k - 1) * dilations[d] - 1
    if (room < 0)
      call.fail(
        `a window of ${(k - 1) * dilations[d] + 1} is larger than dimension ${d + 2} of [${x.shape}] with its pads`,
      )
    if (!ceil) return Math.floor(room / strides[d]) + 1
    const count = Math.ceil(room / strides[d]) + 1
    // The last window begins inside the input or the padding before it.
    return (count - 1) * strides[d] >= n + low[d] ? count - 1 : count
  })
  return {
    x: x.dtype === 'float32' ? x : x.float(),
    windows: { kernel, stride: strides, padding: low, dilation: dilations, output },
    high,
  }
}

/** The largest of each window, and where in the whole flattened input it lies. */
function maxPool(call: Call): readonly (Tensor | undefined)[] {
  const { x, windows } = poolOf(call)
  const { dtype } = call.tensor(0)
  const y = fromNode(largest(x.node, windows), x)
  const values = dtype === 'float32' ? y : y.to(dtype)
  if (!call.node.outputs[1]) return [values]
  const [n, c, ...sizes] = x.shape
  if (call.int('storage_order', 0) !== 0) call.fail('indices in storage_order 1 are not supported')
  const at = fromNode(largestPositions(x.node, windows), x)
  const planes = Array.from({ length: n * c }, (_, i) => i * sizeOf(sizes))
  const start = tensor(Int32Array.from(planes), { shape: [n, c, ...sizes.map(() => 1)] })
  return [values, at.add(start)]
}

/** How many elements of each window count: those in the input or, asked for, its padding. */
function counts({ x, windows, high }: Pool, include: boolean): readonly number[] {
  const { kernel, stride, padding, dilation, output } = windows
  return output.reduce<readonly number[]>(
    (product, count, d) => {
      const own = Array.from({ length: count }, (_, y) => {
        const start = y * stride[d] - padding[d]
        const [from, to] = include ? [-padding[d], x.shape[d + 2] + high[d]] : [0, x.shape[d + 2]]
        return Array.from({ length: kernel[d] }, (_, k) => start + k * dilation[d]).filter(
          (at) => at >= from && at < to,
        ).length
      })
      return product.flatMap((n) => own.map((m) => n * m))
    },
    [1],
  )
}

function averagePool(call: Call): Tensor {
  const pool = poolOf(call)
  const { x, windows } = pool
  const each = counts(pool, call.flag('count_include_pad', false))
  const alike = each.every((n) => n === each[0])
  const divisor = alike
    ? each[0]
    : tensor(
        Float32Array.from(each, (n) => Math.max(n, 1)),
        { shape: windows.output },
      )
  if (typeof divisor === 'number') return fromNode(summed(x.node, windows, divisor), x)
  return fromNode(summed(x.node, windows, 1), x).div(divisor)
}

/** The p-norm of each window. */
function lpPool(call: Call): Tensor {
  const { x, windows } = poolOf(call)
  const p = call.int('p', 2)
  const powers = p === 2 ? x.square() : x.abs().pow(p)
  return fromNode(summed(powers.node, windows, 1), x).pow(1 / p)
}

export const pooling: Table = {
  AveragePool: { run: averagePool },
  LpPool: { run: lpPool },
  MaxPool: { run: maxPool },
}
