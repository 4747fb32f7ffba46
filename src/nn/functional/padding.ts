// Padding of the last dimensions in every mode, with PyTorch's order of widths.
import { fail } from '../../base/errors.js'
import { type Shape, showShape } from '../../base/shape.js'
import type { Node } from '../../graph/node.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { type OwnPadding, padAlong } from '../nodes/padding.js'

/** What padding is filled with: a constant, the mirrored inside, the edge, the other end. */
export type PaddingMode = 'constant' | OwnPadding

/** Axis `axis` of x padded, after a check that there are values enough. */
export function padChecked(
  name: string,
  x: Node,
  axis: number,
  low: number,
  high: number,
  mode: OwnPadding,
): Node {
  const n = x.shape[axis]
  const most = mode === 'reflect' ? n - 1 : mode === 'circular' ? n : n > 0 ? Infinity : 0
  if (low > most || high > most)
    fail(
      `${name}: ${mode} padding of ${low} and ${high} along dimension ${axis} of ${showShape(x.shape)} needs ${mode === 'reflect' ? 'more than that many' : 'at least that many'} elements: there are ${n}; use at most ${most}`,
    )
  return padAlong(x, axis, low, high, mode)
}

/**
 * Pads the last dimensions: pairs (low, high) from the last dimension backwards. `constant` fills with `value`,
 * `reflect` mirrors without the edge, `replicate` repeats the edge, `circular` wraps round.
 * After torch.nn.functional.pad.
 * @throws BurnishError when a mirror or a wrap would need more elements than there are.
 */
export function pad(
  input: Tensor,
  widths: Shape,
  { mode = 'constant', value = 0 }: { readonly mode?: PaddingMode; readonly value?: number } = {},
): Tensor {
  if (mode === 'constant') return input.pad(widths, value)
  const rank = input.shape.length
  if (
    widths.length % 2 !== 0 ||
    widths.length > 2 * rank ||
    !widths.every((n) => Number.isInteger(n) && n >= 0)
  )
    fail(
      `pad ${showShape(input.shape)} by ${showShape(widths)}: give a whole number from 0 for the low and the high side of up to ${rank} dimensions, from the last`,
    )
  let node = input.node
  for (let i = 0; i < widths.length; i += 2)
    node = padChecked('pad', node, rank - 1 - i / 2, widths[i], widths[i + 1], mode)
  return fromNode(node, input)
}
