// Pooling over windows of the last dimensions of x [n, c, h…]: maximum and average, plain and adaptive.
//
// A window view adds a tap axis for each spatial axis; merged into one last axis they are what is reduced.
// The gradient moves values back from the windows. Where windows do not overlap that is a permutation;
// elsewhere a contraction over the taps, since each element lies in several windows.
import type { Shape } from '../../base/shape.js'
import { affine, makeContract, plain } from '../../graph/contract.js'
import {
  broadcastTo,
  composite,
  concat,
  constant,
  contract,
  expand,
  map,
  type Node,
  permute,
  reduce,
  reshape,
  view,
} from '../../graph/node.js'
import { add, along, div, eq, mean, mul, positions, sub, where } from './math.js'

/** One entry for each spatial dimension. */
export interface Windows {
  readonly kernel: readonly number[]
  readonly stride: readonly number[]
  readonly padding: readonly number[]
  readonly dilation: readonly number[]
  /** Windows along each dimension. */
  readonly output: readonly number[]
}

/** [n, c, h…] → [n, c, y…, taps], row-major over the taps; `value` outside of x. */
export function windowed(x: Node, w: Windows, value: number): Node {
  const lead = x.shape.length - w.kernel.length
  let node = x
  for (let d = 0; d < w.kernel.length; d++)
    node = view(
      {
        type: 'window',
        axis: lead + d,
        count: w.output[d],
        size: w.kernel[d],
        stride: w.stride[d],
        dilation: w.dilation[d],
        padding: w.padding[d],
        value,
      },
      node,
    )
  return reshape(node, [...x.shape.slice(0, lead), ...w.output, taps(w)])
}

const taps = (w: Windows) => w.kernel.reduce((product, k) => product * k, 1)

/** No element lies in two windows, and none in the padding. */
function apart(w: Windows): boolean {
  return w.kernel.every(
    (k, d) => w.stride[d] >= k && w.padding[d] === 0 && (w.dilation[d] === 1 || k === 1),
  )
}

/**
 * The adjoint of `windowed`: what each element of x [n, c, h…] receives from the windows it lies in; `shape` is x's.
 * `perTap` is [n, c, y…, taps]; or [n, c, y…] where every tap receives the same.
 */
export function gathered(perTap: Node, shape: Shape, w: Windows): Node {
  const rank = w.kernel.length
  const lead = shape.length - rank
  const same = perTap.shape.length === shape.length
  if (apart(w)) return laid(same ? spread(perTap, w) : perTap, shape, w)
  const axes = shape.length
  const back = w.kernel.map((_, d) =>
    affine(
      [
        [lead + d, 1],
        [axes + d, -w.dilation[d]],
      ],
      w.padding[d],
      w.stride[d],
    ),
  )
  const spec = makeContract({
    extents: [...shape, ...w.kernel],
    rank: axes,
    a: [
      ...Array.from({ length: lead }, (_, i) => plain(i)),
      ...back,
      ...(same ? [] : w.kernel.map((_, d) => plain(axes + d))),
    ],
    b: [],
  })
  // The taps stay axes of their own, so that the contraction has a gradient itself.
  const split = same ? perTap : reshape(perTap, [...perTap.shape.slice(0, -1), ...w.kernel])
  return contract(spec, split, constant(1))
}

function spread(perWindow: Node, w: Windows): Node {
  const shape = perWindow.shape
  return expand(reshape(perWindow, [...shape, 1]), [...shape, taps(w)])
}

/** Windows side by side: [n, c, y, x, ky·kx] → [n, c, y, ky, x, kx] → [n, c, h, w]. */
function laid(perTap: Node, shape: Shape, w: Windows): Node {
  const rank = w.kernel.length
  const lead = shape.length - rank
  const head = shape.slice(0, lead)
  let node = reshape(perTap, [...head, ...w.output, ...w.kernel])
  const order = Array.from({ length: lead }, (_, i) => i)
  for (let d = 0; d < rank; d++) order.push(lead + d, lead + rank + d)
  node = permute(node, order)
  node = fitted(
    node,
    node.shape.map((n, i) =>
      i >= lead && (i - lead) % 2 === 1 ? w.stride[(i - lead - 1) / 2] : n,
    ),
  )
  node = reshape(node, [...head, ...w.output.map((count, d) => count * w.stride[d])])
  return fitted(node, shape)
}

/** Cut or filled with zeros at the end of each axis. */
function fitted(x: Node, shape: readonly number[]): Node {
  const cut = x.shape.map((n, i) => Math.min(n, shape[i]))
  const zero = cut.map(() => 0)
  let node = x
  if (cut.some((n, i) => n < x.shape[i]))
    node = view({ type: 'slice', starts: zero, steps: cut.map(() => 1), shape: cut }, node)
  if (cut.some((n, i) => n < shape[i]))
    node = view({ type: 'pad', low: zero, high: shape.map((n, i) => n - cut[i]), value: 0 }, node)
  return node
}

const describe = (w: Windows) => `${w.kernel}/${w.stride}/${w.padding}/${w.dilation}/${w.output}`

/** The largest of each window; the gradient goes to the first of equal ones, in row-major order. */
export function maxPool(x: Node, w: Windows): Node {
  const shape = [...x.shape.slice(0, x.shape.length - w.kernel.length), ...w.output]
  const all = () => windowed(x, w, -Infinity)
  return composite(
    'maxPool',
    describe(w),
    [x],
    { shape, dtype: x.dtype },
    {
      expand: () => reduce('max', [shape.length], all()),
      gradient: (_, G) => {
        const first = reduce('argmax', [shape.length], all())
        const chosen = eq(
          reshape(first, [...shape, 1]),
          positions(taps(w), shape.length, shape.length + 1),
        )
        return [gathered(where(chosen, reshape(G, [...shape, 1]), 0), x.shape, w)]
      },
    },
  )
}

/**
 * Where the largest of each window lies: int32 [n, c, y…], row-major over the spatial axes of x. Windows begin
 * inside of x, so that padding never wins.
 */
export function largestPositions(x: Node, w: Windows): Node {
  const rank = w.kernel.length
  const lead = x.shape.length - rank
  const first = reduce('argmax', [x.shape.length], windowed(x, w, -Infinity))
  const tap = map('toFloat32', first)
  let position: Node | undefined
  let inner = 1
  let elements = 1
  for (let d = rank - 1; d >= 0; d--) {
    // Numbers of taps are small enough for floats.
    const digit = floorDiv(tap, inner)
    const along = sub(digit, mul(floorDiv(digit, w.kernel[d]), w.kernel[d]))
    const start = sub(
      mul(positions(w.output[d], lead + d, x.shape.length), w.stride[d]),
      w.padding[d],
    )
    const at = add(start, mul(map('toInt32', along), w.dilation[d]))
    const term = mul(at, elements)
    position = position ? add(position, term) : term
    inner *= w.kernel[d]
    elements *= x.shape[lead + d]
  }
  return position ?? first
}

const floorDiv = (x: Node, n: number): Node => map('floor', div(x, n))

/** The sum of each window times `scale` (broadcasting to [n, c, y…]). */
export function averagePool(x: Node, w: Windows, divisor: Node | number): Node {
  const shape = [...x.shape.slice(0, x.shape.length - w.kernel.length), ...w.output]
  const total = composite(
    'sumPool',
    describe(w),
    [x],
    { shape, dtype: x.dtype },
    {
      expand: () => reduce('sum', [shape.length], windowed(x, w, 0)),
      gradient: (_, G) => [gathered(G, x.shape, w)],
    },
  )
  return div(total, divisor)
}

/**
 * How many elements each window averages over: those within the input, or with `withPadding` within the
 * input and its padding. A number where all windows are alike.
 */
export function windowCounts(
  input: readonly number[],
  w: Windows,
  withPadding: boolean,
): Node | number {
  const rank = input.length
  let product: Node | number = 1
  for (let d = 0; d < rank; d++) {
    const padding = withPadding ? 0 : w.padding[d]
    const length = withPadding ? input[d] + 2 * w.padding[d] : input[d]
    const inside = (y: number) => {
      const from = y * w.stride[d] - padding
      return Math.min(from + w.kernel[d], length) - Math.max(from, 0)
    }
    const counts = Array.from({ length: w.output[d] }, (_, y) => inside(y))
    const alike = counts.every((count) => count === counts[0])
    const ones = constant(1, 'float32', [length])
    const one: Windows = {
      kernel: [w.kernel[d]],
      stride: [w.stride[d]],
      padding: [padding],
      dilation: [1],
      output: [w.output[d]],
    }
    const factor: Node | number = alike
      ? counts[0]
      : along(reduce('sum', [1], windowed(ones, one, 0)), 2 + d, rank + 2)
    product =
      typeof product === 'number' && typeof factor === 'number'
        ? product * factor
        : mul(product, factor)
  }
  return product
}

/** The largest along one axis, kept with size 1; the gradient goes to the first of equal ones. */
export function firstLargest(x: Node, axis: number): Node {
  const shape = x.shape.map((n, i) => (i === axis ? 1 : n))
  return composite(
    'firstLargest',
    `${axis}`,
    [x],
    { shape, dtype: x.dtype },
    {
      expand: () => reshape(reduce('max', [axis], x), shape),
      gradient: (_, G) => {
        const first = reshape(reduce('argmax', [axis], x), shape)
        const chosen = eq(first, positions(x.shape[axis], axis, shape.length))
        return [where(chosen, broadcastTo(G, x.shape), 0)]
      },
    },
  )
}

/**
 * Adaptive pooling to `output` windows along one axis: window i reaches from ⌊i·size/output⌋ to
 * ⌈(i+1)·size/output⌉. Used where these are not all alike; dimensions are pooled one after the other,
 * the last first, so that the first maximum in row-major order wins.
 */
export function adaptiveAlong(x: Node, axis: number, output: number, fn: 'max' | 'mean'): Node {
  const size = x.shape[axis]
  const parts = Array.from({ length: output }, (_, i) => {
    const from = Math.floor((i * size) / output)
    const to = Math.ceil(((i + 1) * size) / output)
    const part = view(
      {
        type: 'slice',
        starts: x.shape.map((_, j) => (j === axis ? from : 0)),
        steps: x.shape.map(() => 1),
        shape: x.shape.map((n, j) => (j === axis ? to - from : n)),
      },
      x,
    )
    return fn === 'max' ? firstLargest(part, axis) : mean(part, [axis])
  })
  return concat(axis, parts)
}
