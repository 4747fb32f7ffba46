// Windows as columns, and columns added up again: unfold and fold, each the other's adjoint.
import { fail } from '../../base/errors.js'
import { showShape, sizeOf } from '../../base/shape.js'
import { type Node, permute, reshape } from '../../graph/node.js'
import { fromNode, type Tensor } from '../../tensor/tensor.js'
import { gathered, type Windows, windowed } from '../nodes/pooling.js'
import { by, floatNode, perDimension } from './checks.js'

type Sizes = number | readonly number[]

/** Where windows lie; numbers count for both dimensions. */
export interface FoldOptions {
  readonly dilation?: Sizes
  /** Zeros on both sides. */
  readonly padding?: Sizes
  readonly stride?: Sizes
}

function windowsOf(
  name: string,
  spatial: readonly number[],
  kernelSize: Sizes,
  options: FoldOptions,
): Windows {
  const kernel = perDimension(kernelSize, 2, 1, `${name}: kernelSize`)
  const stride = perDimension(options.stride ?? 1, 2, 1, `${name}: stride`)
  const padding = perDimension(options.padding ?? 0, 2, 0, `${name}: padding`)
  const dilation = perDimension(options.dilation ?? 1, 2, 1, `${name}: dilation`)
  const output = spatial.map((n, d) => {
    const room = n + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1
    if (room < 0)
      fail(
        `${name}: a kernel of ${by(kernel)} with dilation ${by(dilation)} is larger than ${by(spatial)} with padding ${by(padding)}`,
      )
    return Math.floor(room / stride[d]) + 1
  })
  return { kernel, stride, padding, dilation, output }
}

/** [c, y…, k…] behind the batch → [c, k…, y…], or the other way with the counts swapped. */
function swapped(x: Node): Node {
  return permute(x, [0, 1, 4, 5, 2, 3])
}

/**
 * Windows of input [N, C, H, W] as columns: [N, C·KH·KW, L], L windows row by row. After
 * torch.nn.functional.unfold (im2col).
 */
export function unfold(input: Tensor, kernelSize: Sizes, options: FoldOptions = {}): Tensor {
  const x = floatNode(input, 'unfold')
  if (x.shape.length !== 4 && x.shape.length !== 3)
    fail(`unfold: the input ${showShape(x.shape)} must be [N, C, H, W] (or [C, H, W])`)
  const wide = x.shape.length === 3 ? reshape(x, [1, ...x.shape]) : x
  const [batch, channels, ...spatial] = wide.shape
  const w = windowsOf('unfold', spatial, kernelSize, options)
  const taps = windowed(wide, w, 0) // [N, C, y, x, KH·KW]
  const columns = swapped(reshape(taps, [batch, channels, ...w.output, ...w.kernel]))
  const shape = [channels * sizeOf(w.kernel), sizeOf(w.output)]
  return fromNode(reshape(columns, x.shape.length === 3 ? shape : [batch, ...shape]), input)
}

/**
 * Columns [N, C·KH·KW, L] added up where their windows lie in an image [N, C, …outputSize]. After
 * torch.nn.functional.fold (col2im).
 */
export function fold(
  input: Tensor,
  outputSize: Sizes,
  kernelSize: Sizes,
  options: FoldOptions = {},
): Tensor {
  const x = floatNode(input, 'fold')
  if (x.shape.length !== 3 && x.shape.length !== 2)
    fail(`fold: the input ${showShape(x.shape)} must be [N, C·kernel, L] (or [C·kernel, L])`)
  const [batch, rows, count] = x.shape.length === 2 ? [1, ...x.shape] : x.shape
  const spatial = perDimension(outputSize, 2, 1, 'fold: outputSize')
  const w = windowsOf('fold', spatial, kernelSize, options)
  const taps = sizeOf(w.kernel)
  if (rows % taps !== 0 || count !== sizeOf(w.output))
    fail(
      `fold: the input ${showShape(x.shape)} must have a multiple of ${taps} rows and ${sizeOf(w.output)} columns, one for each window of ${by(w.kernel)} in ${by(spatial)}`,
    )
  const channels = rows / taps
  const columns = swapped(reshape(x, [batch, channels, ...w.kernel, ...w.output]))
  const perTap = reshape(columns, [batch, channels, ...w.output, taps])
  const image = gathered(perTap, [batch, channels, ...spatial], w)
  return fromNode(x.shape.length === 2 ? reshape(image, image.shape.slice(1)) : image, input)
}
