// Convolutions, pooling, products and normalisations.
import * as F from '../../../nn/functional.js'
import { Parameter } from '../../../tensor/parameter.js'
import { einsum } from '../../../tensor/products.js'
import { type Tensor, where } from '../../../tensor/tensor.js'
import type { Call, Operator } from '../../graph/call.js'
import type { Table } from './table.js'

export interface Window {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  readonly low: readonly number[]
  readonly high: readonly number[]
}

/** Kernel, strides and padding of a node, auto_pad resolved for the input's size. */
export function windowOf(call: Call, x: Tensor, kernel: readonly number[]): Window {
  const rank = x.shape.length - 2
  if (rank < 1 || rank > 3)
    call.fail(`the input has ${x.shape.length} dimensions; 3 to 5 are supported`)
  const strides = call.list('strides') ?? kernel.map(() => 1)
  const dilations = call.list('dilations') ?? kernel.map(() => 1)
  const pads = call.list('pads') ?? [...kernel, ...kernel].map(() => 0)
  if (kernel.length !== rank || strides.length !== rank || dilations.length !== rank)
    call.fail(`kernel, strides and dilations must have ${rank} numbers`)
  if (pads.length !== 2 * rank)
    call.fail(`pads must have ${2 * rank} numbers, but has ${pads.length}`)
  let [low, high] = [pads.slice(0, rank), pads.slice(rank)]
  const auto = call.text('auto_pad', 'NOTSET')
  if (auto === 'VALID') [low, high] = [kernel.map(() => 0), kernel.map(() => 0)]
  else if (auto === 'SAME_UPPER' || auto === 'SAME_LOWER') {
    const all = kernel.map((k, d) => {
      const n = x.shape[d + 2]
      const out = Math.ceil(n / strides[d])
      return Math.max((out - 1) * strides[d] + (k - 1) * dilations[d] + 1 - n, 0)
    })
    const less = all.map((n) => Math.floor(n / 2))
    const more = all.map((n, d) => n - less[d])
    ;[low, high] = auto === 'SAME_UPPER' ? [less, more] : [more, less]
  } else if (auto !== 'NOTSET') call.fail(`auto_pad ${auto} is not known`)
  return { kernel, strides, dilations, low, high }
}

const equal = (a: readonly number[], b: readonly number[]) => a.every((n, i) => n === b[i])

/** The spatial dimensions padded, or with negative widths cut. */
function padded(x: Tensor, low: readonly number[], high: readonly number[], value: number): Tensor {
  if (low.every((n) => n === 0) && high.every((n) => n === 0)) return x
  const widths = low.flatMap((n, d) => [n, high[d]].reverse()).reverse()
  let y = x
  widths.forEach((n, i) => {
    const dim = x.shape.length - 1 - Math.floor(i / 2)
    if (n < 0) y = i % 2 === 0 ? y.slice(-n, undefined, { dim }) : y.slice(0, n, { dim })
  })
  return y.pad(
    widths.map((n) => Math.max(n, 0)),
    value,
  )
}

const convolutions = [F.conv1d, F.conv2d, F.conv3d] as const
const transposed = [F.convTranspose1d, F.convTranspose2d, F.convTranspose3d] as const

function conv(call: Call): Tensor {
  const [x, w] = [call.tensor(0), call.tensor(1)]
  const window = windowOf(call, x, w.shape.slice(2))
  const { strides, dilations, low, high } = window
  const same = equal(low, high) && low.every((n) => n >= 0)
  return convolutions[x.shape.length - 3](same ? x : padded(x, low, high, 0), w, call.optional(2), {
    stride: strides,
    dilation: dilations,
    padding: same ? low : 0,
    groups: call.int('group', 1),
  })
}

/** The whole result without padding, cut to size: so any pads, output_padding and output_shape are one thing. */
function convTranspose(call: Call): Tensor {
  const [x, w] = [call.tensor(0), call.tensor(1)]
  const rank = x.shape.length - 2
  const kernel = w.shape.slice(2)
  const { strides, dilations, low, high } = windowOf(call, x, kernel)
  const extra = call.list('output_padding') ?? kernel.map(() => 0)
  const whole = kernel.map((k, d) => (x.shape[d + 2] - 1) * strides[d] + (k - 1) * dilations[d] + 1)
  const auto = call.text('auto_pad', 'NOTSET')
  const given = call.list('output_shape')?.slice(-rank)
  const size =
    given ??
    (auto.startsWith('SAME')
      ? kernel.map((_, d) => x.shape[d + 2] * strides[d])
      : whole.map((n, d) => n + extra[d] - low[d] - high[d]))
  let y = transposed[rank - 1](x, w, undefined, {
    stride: strides,
    dilation: dilations,
    groups: call.int('group', 1),
  })
  kernel.forEach((_, d) => {
    const total = whole[d] + extra[d] - size[d]
    const half = Math.floor(total / 2)
    const start =
      given !== undefined || auto.startsWith('SAME')
        ? auto === 'SAME_UPPER'
          ? half
          : total - half
        : low[d]
    const dim = d + 2
    if (start < 0) call.fail(`its result is smaller than the output_shape ${size}`)
    const more = start + size[d] - whole[d]
    if (more > 0) {
      const widths = new Array<number>(2 * (rank - d)).fill(0)
      widths[2 * (rank - d) - 1] = more
      y = y.pad(widths)
    }
    y = y.slice(start, start + size[d], { dim })
  })
  const bias = call.optional(2)
  return bias ? y.add(bias.reshape(bias.shape[0], ...kernel.map(() => 1))) : y
}

const spatial = (x: Tensor) => x.shape.map((_, i) => i).slice(2)
const globally = (run: (x: Tensor, dims: readonly number[], call: Call) => Tensor): Operator => ({
  run: (call) => {
    const x = call.tensor(0)
    return run(x, spatial(x), call)
  },
})

function gemm(call: Call): Tensor {
  const [a, b] = [call.tensor(0), call.tensor(1)]
  const [alpha, beta] = [call.float('alpha', 1), call.float('beta', 1)]
  const x = call.flag('transA', false) ? a.transpose(0, 1) : a
  const c = call.optional(2)
  const plain = alpha === 1 && (c === undefined || beta === 1)
  if (
    plain &&
    call.flag('transB', false) &&
    (c === undefined || c.shape.length === 1) &&
    c?.shape[0] !== 1
  )
    return F.linear(x, b, c)
  const y = x.matmul(call.flag('transB', false) ? b.transpose(0, 1) : b)
  const scaled = alpha === 1 ? y : y.mul(alpha)
  if (c === undefined) return scaled
  return scaled.add(beta === 1 ? c : c.mul(beta))
}

/** In files exported for training further outputs are the statistics: here they are kept by the module. */
function batchNormalization(call: Call): Tensor[] {
  const statistics = [call.tensor(3), call.tensor(4)]
  return [normalized(call), ...statistics, ...statistics].slice(0, call.node.outputs.length)
}

function normalized(call: Call): Tensor {
  const x = call.tensor(0)
  const [mean, variance] = [call.tensor(3), call.tensor(4)]
  const [weight, bias] = [call.tensor(1), call.tensor(2)]
  const eps = call.float('epsilon', 1e-5)
  if (mean instanceof Parameter && variance instanceof Parameter)
    return F.batchNorm(x, mean, variance, {
      weight,
      bias,
      eps,
      training: call.training,
      momentum: 1 - call.float('momentum', 0.9),
    })
  const wide = (t: Tensor) => t.reshape(t.shape[0], ...spatial(x).map(() => 1))
  const scale = wide(weight.div(variance.add(eps).sqrt()))
  return x.sub(wide(mean)).mul(scale).add(wide(bias))
}

function layerNormalization(call: Call): Tensor {
  if (call.node.outputs.slice(1).some((name) => name !== ''))
    call.fail('mean and deviation as outputs are not supported')
  const x = call.tensor(0)
  const axis = call.axis(call.int('axis', -1), x.shape.length)
  const y = F.layerNorm(x, x.shape.slice(axis), { eps: call.float('epsilon', 1e-5) })
  const scaled = y.mul(call.tensor(1))
  const bias = call.optional(2)
  return bias ? scaled.add(bias) : scaled
}

function groupNormalization(call: Call): Tensor {
  const x = call.tensor(0)
  const groups = call.int('num_groups', 1)
  const y = F.groupNorm(x, groups, { eps: call.float('epsilon', 1e-5) })
  // Until opset 21 one scale a group.
  const wide = (t: Tensor) => {
    const each = t.shape[0] === groups ? t.repeatInterleave(x.shape[1] / groups, 0) : t
    return each.reshape(x.shape[1], ...spatial(x).map(() => 1))
  }
  return y.mul(wide(call.tensor(1))).add(wide(call.tensor(2)))
}

export const neural: Table = {
  Conv: { run: conv, weights: [1, 2] },
  ConvTranspose: { run: convTranspose, weights: [1, 2] },
  GlobalAveragePool: globally((x, dims) => x.mean(dims, { keepdim: true })),
  GlobalMaxPool: globally((x, dims) => x.amax(dims, { keepdim: true })),
  GlobalLpPool: globally((x, dims, call) => x.norm(call.int('p', 2), dims, { keepdim: true })),
  Gemm: { run: gemm, weights: [0, 1, 2] },
  MatMul: { run: (call) => call.tensor(0).matmul(call.tensor(1)), weights: [0, 1] },
  Einsum: {
    run: (call) => einsum(call.text('equation', '').replaceAll(' ', ''), ...call.tensors()),
    weights: [0, 1, 2],
  },
  BatchNormalization: {
    run: batchNormalization,
    weights: [1, 2],
    state: [3, 4],
  },
  InstanceNormalization: {
    run: (call) =>
      F.instanceNorm(call.tensor(0), {
        weight: call.tensor(1),
        bias: call.tensor(2),
        eps: call.float('epsilon', 1e-5),
      }),
    weights: [1, 2],
  },
  LayerNormalization: { run: layerNormalization, weights: [1, 2] },
  GroupNormalization: { run: groupNormalization, weights: [1, 2] },
  LRN: {
    run: (call) => {
      const size = call.int('size', 1)
      // Of an even size the odd channel is the one after, in PyTorch the one before.
      const turned = (x: Tensor) => (size % 2 === 0 ? x.flip(1) : x)
      const y = F.localResponseNorm(turned(call.tensor(0)), size, {
        alpha: call.float('alpha', 1e-4),
        beta: call.float('beta', 0.75),
        k: call.float('bias', 1),
      })
      return turned(y)
    },
  },
  LpNormalization: {
    run: (call) => {
      const x = call.tensor(0)
      const norm = x.norm(call.int('p', 2), call.int('axis', -1), { keepdim: true })
      return x.div(where(norm.eq(0), 1, norm))
    },
  },
  MeanVarianceNormalization: {
    run: (call) => {
      const x = call.tensor(0)
      const axes = call.list('axes') ?? [0, 2, 3]
      const centred = x.sub(x.mean(axes, { keepdim: true }))
      return centred.div(centred.square().mean(axes, { keepdim: true }).sqrt().add(1e-9))
    },
  },
}
