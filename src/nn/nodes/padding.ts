// Padding of a node's axis with values of its own: mirrored, repeated or wrapped. Concatenations of slices, so
// that gradients are slices and sums.
import { concat, expand, type Node, view } from '../../graph/node.js'

/** Padding with values of the tensor itself. */
export type OwnPadding = 'reflect' | 'replicate' | 'circular'

/** `low` and `high` elements more along `axis`; reflect needs fewer than there are, circular at most as many. */
export function padAlong(x: Node, axis: number, low: number, high: number, mode: OwnPadding): Node {
  const n = x.shape[axis]
  const sized = (count: number) => x.shape.map((size, i) => (i === axis ? count : size))
  const slice = (start: number, count: number, step = 1): Node =>
    view(
      {
        type: 'slice',
        starts: x.shape.map((_, i) => (i === axis ? start : 0)),
        steps: x.shape.map((_, i) => (i === axis ? step : 1)),
        shape: sized(count),
      },
      x,
    )
  const before: { readonly [M in OwnPadding]: () => Node } = {
    reflect: () => slice(low, low, -1),
    replicate: () => expand(slice(0, 1), sized(low)),
    circular: () => slice(n - low, low),
  }
  const after: { readonly [M in OwnPadding]: () => Node } = {
    reflect: () => slice(n - 2, high, -1),
    replicate: () => expand(slice(n - 1, 1), sized(high)),
    circular: () => slice(0, high),
  }
  const parts = [...(low > 0 ? [before[mode]()] : []), x, ...(high > 0 ? [after[mode]()] : [])]
  return concat(axis, parts)
}
