// Reductions, positions of extremes, running sums and order.
import type { Tensor } from '../../../tensor/tensor.js'
import { cumulative } from '../../graph/along.js'
import type { Call, Operator } from '../../graph/call.js'
import type { Table } from './table.js'

type Reduce = (x: Tensor, dims: readonly number[], keep: { readonly keepdim: boolean }) => Tensor

/** Axes are an input since opset 13 for ReduceSum, since 18 for the others. */
function reduction(reduce: Reduce, since = 18): Operator {
  return {
    run: (call) => {
      const x = call.tensor(0)
      const given =
        call.version < since
          ? call.list('axes')
          : call.has(1)
            ? call.numbers(1, 'the axes')
            : undefined
      const keepdim = call.flag('keepdims', true)
      const none = given === undefined || given.length === 0
      // Nothing is summed then, but squares, absolute values and logarithms are taken: as of one element each.
      if (none && call.flag('noop_with_empty_axes', false))
        return reduce(x.unsqueeze(-1), [x.shape.length], { keepdim: false })
      const rank = x.shape.length
      const axes = none ? x.shape.map((_, i) => i) : given.map((axis) => call.axis(axis, rank))
      return reduce(x, axes, { keepdim })
    },
  }
}

const extreme =
  (sign: 1 | -1) =>
  (call: Call): Tensor => {
    const x = call.tensor(0)
    const axis = call.axis(call.int('axis', 0), x.shape.length)
    const signed = sign === 1 ? x : x.neg()
    const options = { keepdim: call.flag('keepdims', true) }
    if (!call.flag('select_last_index', false)) return signed.argmax(axis, options)
    const first = signed.flip(axis).argmax(axis, options)
    return first.neg().add(x.shape[axis] - 1)
  }

function topK(call: Call): Tensor[] {
  const x = call.tensor(0)
  const k = call.version < 10 ? call.int('k', 1) : call.number(1, 'k')
  const axis = call.axis(call.int('axis', -1), x.shape.length)
  const { values, indices } = x.topk(k, axis, { largest: call.flag('largest', true) })
  return [values, indices]
}

export const reductions: Table = {
  ReduceSum: reduction((x, dims, keep) => x.sum(dims, keep), 13),
  ReduceMean: reduction((x, dims, keep) => x.mean(dims, keep)),
  ReduceMax: reduction((x, dims, keep) => x.amax(dims, keep)),
  ReduceMin: reduction((x, dims, keep) => x.amin(dims, keep)),
  ReduceProd: reduction((x, dims, keep) => x.prod(dims, keep)),
  ReduceL1: reduction((x, dims, keep) => x.abs().sum(dims, keep)),
  ReduceL2: reduction((x, dims, keep) => x.norm(2, dims, keep)),
  ReduceSumSquare: reduction((x, dims, keep) => x.square().sum(dims, keep)),
  ReduceLogSum: reduction((x, dims, keep) => x.sum(dims, keep).log()),
  ReduceLogSumExp: reduction((x, dims, keep) => x.logsumexp(dims, keep)),
  ArgMax: { run: extreme(1) },
  ArgMin: { run: extreme(-1) },
  CumSum: { run: (call) => cumulative(call, 'cumsum') },
  TopK: { run: topK },
}
