// TensorFlow's convolutions, pools, products and normalisations, plain and fused.
import { batchNorm, localResponseNorm } from '../../../nn/functional/normalization.js'
import { Parameter } from '../../../tensor/parameter.js'
import { einsum } from '../../../tensor/products.js'
import type { Tensor } from '../../../tensor/tensor.js'
import type { Call, Operator, Operators } from '../../graph/call.js'
import {
  channelsFirst,
  channelsLast,
  convolve,
  convolveDepthwise,
  convolveTransposed,
  poolAverage,
  poolMax,
  type TfPadding,
  type Window,
} from '../../keras/space.js'
import { fusedActivation } from './elementwise.js'

/** How far running statistics move in training: Keras's default, for graphs do not keep it. */
const MOMENTUM = 0.01

function firstOf(call: Call): boolean {
  return /^NCD?H?W$/.test(call.text('data_format', 'NHWC'))
}

/** Does something with [N, C, d…], whatever order the operator has. */
function inSpace(call: Call, x: Tensor, work: (x: Tensor) => Tensor): Tensor {
  return firstOf(call) ? work(x) : channelsLast(work(channelsFirst(x.float())))
}

/** The entries of a list over all dimensions that are the spatial ones'. */
function spatial(call: Call, name: string, rank: number): readonly number[] {
  const list = call.list(name) ?? []
  if (list.length === 0) return new Array<number>(rank).fill(1)
  if (list.length !== rank + 2) call.fail(`${name} has ${list.length} numbers, not ${rank + 2}`)
  const others = firstOf(call) ? list.slice(0, 2) : [list[0], list[rank + 1]]
  if (others.some((n) => n !== 1))
    call.fail(`${name} [${list}] is not 1 for batch and channels, which is not supported`)
  return firstOf(call) ? list.slice(2) : list.slice(1, -1)
}

function paddingOf(call: Call, rank: number): TfPadding {
  const padding = call.text('padding', 'VALID')
  if (padding === 'SAME') return 'same'
  if (padding === 'VALID') return 'valid'
  const list = call.list('explicit_paddings') ?? []
  if (padding !== 'EXPLICIT' || list.length !== 2 * (rank + 2))
    call.fail(`padding ${padding} with [${list}] is not understood`)
  const first = firstOf(call) ? 2 : 1
  return Array.from({ length: rank }, (_, d) => [list[2 * (first + d)], list[2 * (first + d) + 1]])
}

function windowOf(call: Call, rank: number): Omit<Window, 'kernel'> {
  const stride = spatial(call, 'strides', rank)
  return { stride, dilation: spatial(call, 'dilations', rank), padding: paddingOf(call, rank) }
}

function rankOf(call: Call, x: Tensor, rank: number): void {
  if (x.shape.length !== rank + 2)
    call.fail(`its input has ${x.shape.length} dimensions, not ${rank + 2}`)
}

function conv(call: Call, rank: number, bias?: Tensor): Tensor {
  const [x, kernel] = [call.tensor(0), call.tensor(1)]
  rankOf(call, x, rank)
  const channels = x.shape[firstOf(call) ? 1 : rank + 1]
  const groups = channels / kernel.shape[rank]
  if (!Number.isInteger(groups))
    call.fail(`its input has ${channels} channels, its kernel takes ${kernel.shape[rank]}`)
  return inSpace(call, x, (y) => convolve(y, kernel, bias, windowOf(call, rank), groups))
}

function depthwise(call: Call, bias?: Tensor): Tensor {
  const [x, kernel] = [call.tensor(0), call.tensor(1)]
  rankOf(call, x, 2)
  return inSpace(call, x, (y) => convolveDepthwise(y, kernel, bias, windowOf(call, 2)))
}

function transposed(call: Call, rank: number): Tensor {
  const sizes = call.numbers(0, 'the size of its result')
  const [kernel, x] = [call.tensor(1), call.tensor(2)]
  rankOf(call, x, rank)
  const output = firstOf(call) ? sizes.slice(2) : sizes.slice(1, -1)
  return inSpace(call, x, (y) =>
    convolveTransposed(y, kernel, undefined, windowOf(call, rank), output),
  )
}

/** What is fused behind a product: a bias or a normalisation, then an activation. */
function fused(call: Call, product: (bias: Tensor | undefined) => Tensor): Tensor {
  const value = call.node.attributes.get('fused_ops')
  const steps: readonly unknown[] = Array.isArray(value) ? value : []
  const [first] = steps
  let rest = steps
  let y: Tensor
  let next = 2
  if (first === 'BiasAdd') {
    y = product(call.tensor(2))
    rest = steps.slice(1)
    next = 3
  } else if (first === 'FusedBatchNorm') {
    const [scale, offset, mean, variance] = [2, 3, 4, 5].map((i) => call.tensor(i))
    const root = variance.add(call.float('epsilon', 1e-4)).rsqrt().mul(scale)
    y = product(undefined).sub(mean).mul(root).add(offset)
    rest = steps.slice(1)
    next = 6
  } else y = product(undefined)
  for (const step of rest) y = fusedActivation(call, String(step), call.optional(next))(y)
  return y
}

function matmul(call: Call): Tensor {
  const flag = (...names: readonly string[]) => names.some((name) => call.flag(name, false))
  const [a, b] = [call.tensor(0), call.tensor(1)]
  const left = flag('transpose_a', 'adj_x') ? a.transpose(-2, -1) : a
  return left.matmul(flag('transpose_b', 'adj_y') ? b.transpose(-2, -1) : b)
}

function norm(call: Call): Tensor {
  const [x, weight, bias, mean, variance] = call.tensors()
  const first = firstOf(call)
  const input = first || x.shape.length < 3 ? x : channelsFirst(x)
  const back = (y: Tensor) => (first || x.shape.length < 3 ? y : channelsLast(y))
  const eps = call.float('epsilon', 1e-4)
  const tracked = mean instanceof Parameter && variance instanceof Parameter
  if (!call.training || !tracked) {
    if (call.flag('is_training', false) && !tracked)
      return back(batchNorm(input, undefined, undefined, { weight, bias, eps, training: true }))
    const along = (v: Tensor) => v.reshape(-1, ...input.shape.slice(2).map(() => 1))
    const scale = variance.add(eps).rsqrt().mul(weight)
    return back(input.sub(along(mean)).mul(along(scale)).add(along(bias)))
  }
  const options = { weight, bias, eps, training: true, momentum: MOMENTUM }
  return back(batchNorm(input, mean, variance, options))
}

const pool = (kind: typeof poolMax, rank: number): Operator => ({
  run(call) {
    const x = call.tensor(0)
    rankOf(call, x, rank)
    const kernel = spatial(call, 'ksize', rank)
    return inSpace(call, x, (y) => kind(y, { ...windowOf(call, rank), kernel }))
  },
})

const training = ({ attributes }: { readonly attributes: ReadonlyMap<string, unknown> }) =>
  attributes.get('is_training') === true ? 'in training mode is not covered' : undefined

const batchNormalization: Operator = { weights: [1, 2], state: [3, 4], refuse: training, run: norm }
const product: Operator = { weights: [0, 1], run: matmul }
const fusedConv: Operator = {
  weights: [1, 2, 3],
  run: (call) => fused(call, (bias) => conv(call, 2, bias)),
}
const depthwiseConv: Operator = { weights: [1], run: (call) => depthwise(call) }

export const neural: Operators = {
  Conv2D: { weights: [1], run: (call) => conv(call, 2) },
  Conv3D: { weights: [1], run: (call) => conv(call, 3) },
  _FusedConv2D: fusedConv,
  FusedConv2D: fusedConv,
  DepthwiseConv2dNative: depthwiseConv,
  DepthwiseConv2d: depthwiseConv,
  FusedDepthwiseConv2dNative: {
    weights: [1, 2, 3],
    run: (call) => fused(call, (bias) => depthwise(call, bias)),
  },
  Conv2DBackpropInput: { weights: [1], run: (call) => transposed(call, 2) },
  Conv3DBackpropInputV2: { weights: [1], run: (call) => transposed(call, 3) },
  MatMul: product,
  BatchMatMul: product,
  BatchMatMulV2: product,
  BatchMatMulV3: product,
  _FusedMatMul: {
    weights: [1, 2, 3],
    run: (call) =>
      fused(call, (bias) => (bias === undefined ? matmul(call) : matmul(call).add(bias))),
  },
  Einsum: {
    weights: [0, 1],
    run: (call) => einsum(call.text('equation', ''), ...call.tensors()),
  },
  FusedBatchNorm: batchNormalization,
  FusedBatchNormV2: batchNormalization,
  FusedBatchNormV3: batchNormalization,
  MaxPool: pool(poolMax, 2),
  MaxPool3D: pool(poolMax, 3),
  AvgPool: pool(poolAverage, 2),
  AvgPool3D: pool(poolAverage, 3),
  LRN: {
    run(call) {
      const size = 2 * call.int('depth_radius', 5) + 1
      const [k, beta] = [call.float('bias', 1), call.float('beta', 0.5)]
      const alpha = call.float('alpha', 1) * size
      return channelsLast(
        localResponseNorm(channelsFirst(call.tensor(0)), size, { alpha, beta, k }),
      )
    },
  },
}
