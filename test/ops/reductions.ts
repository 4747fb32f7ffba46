// Reductions, running results and order.
import { bools, type Case, exact, exactInts, floats, ints } from './case.js'

const dims: readonly (readonly [
  string,
  number | readonly number[] | undefined,
  readonly number[],
])[] = [
  ['all', undefined, []],
  ['of dim 0', 0, [3, 4]],
  ['of dim -1', -1, [2, 3]],
  ['of dims 0 and 2', [0, 2], [3]],
]
const names = ['sum', 'mean', 'prod', 'amax', 'amin', 'var', 'std', 'logsumexp'] as const

const overDims: readonly Case[] = names.flatMap((op) =>
  dims.map(
    ([name, dim, shape]): Case => ({
      op,
      name,
      inputs: [floats([2, 3, 4], 0.5, 1.5)],
      run: (x) => x[op](dim),
      shape,
    }),
  ),
)
const kept: readonly Case[] = names.map((op) => ({
  op,
  name: 'keepdim',
  inputs: [floats([2, 3], 0.5, 1.5)],
  run: (x) => x[op](1, { keepdim: true }),
  shape: [2, 1],
}))

const m = [3, 1, 2, 9, 7, 8]
const matrix = exact(m, [2, 3])
const single: readonly Case[] = [
  { op: 'sum', name: 'by hand', inputs: [matrix], run: (x) => x.sum(1), gives: [6, 24] },
  {
    op: 'sum',
    name: 'of bools is int32',
    inputs: [exact([1, 0, 1], [3], 'bool')],
    run: (x) => x.sum(),
    gives: [2],
    dtype: 'int32',
  },
  { op: 'sum', name: 'of nothing', inputs: [floats([0, 2])], run: (x) => x.sum(0), gives: [0, 0] },
  {
    op: 'sum',
    name: 'wraps',
    inputs: [exactInts([2 ** 31 - 1, 1])],
    run: (x) => x.sum(),
    gives: [-(2 ** 31)],
  },
  { op: 'sum', name: 'long', inputs: [floats([5000], 0, 1)], run: (x) => x.sum(), shape: [] },
  {
    op: 'nansum',
    name: 'leaves NaN out',
    inputs: [exact([1, NaN, 2])],
    run: (x) => x.nansum(),
    gives: [3],
    rough: 'a value that is no number',
  },
  { op: 'mean', name: 'by hand', inputs: [matrix], run: (x) => x.mean(), gives: [5] },
  { op: 'prod', name: 'with a zero', inputs: [exact([2, 0, 3])], run: (x) => x.prod(), gives: [0] },
  {
    op: 'prod',
    name: 'with two zeros',
    inputs: [exact([0, 0, 3])],
    run: (x) => x.prod(),
    gives: [0],
  },
  {
    op: 'prod',
    name: 'of int32',
    inputs: [exactInts([2, 3, -4])],
    run: (x) => x.prod(),
    gives: [-24],
  },
  {
    op: 'var',
    name: 'by hand',
    inputs: [exact([1, 2, 3, 4])],
    run: (x) => x.var(),
    gives: [5 / 3],
  },
  {
    op: 'var',
    name: 'correction 0',
    inputs: [exact([1, 2, 3, 4])],
    run: (x) => x.var(undefined, { correction: 0 }),
    gives: [1.25],
  },
  {
    op: 'varMean',
    name: 'both',
    inputs: [exact([1, 2, 3, 4])],
    run: (x) => {
      const { var: v, mean } = x.varMean()
      return [v, mean]
    },
    gives: [5 / 3],
  },
  {
    op: 'amax',
    name: 'ties share',
    inputs: [exact([5, 5, 1])],
    run: (x) => x.amax(),
    gives: [5],
    rough: 'a tie',
  },
  {
    op: 'max',
    name: 'along',
    inputs: [matrix],
    run: (x) => {
      const r = x.max(1)
      return [r.values, r.indices]
    },
    gives: [3, 9],
  },
  {
    op: 'min',
    name: 'along',
    inputs: [matrix],
    run: (x) => {
      const r = x.min(1, { keepdim: true })
      return [r.values, r.indices]
    },
    gives: [1, 7],
    shape: [2, 1],
  },
  {
    op: 'argmax',
    name: 'all',
    inputs: [matrix],
    run: (x) => x.argmax(),
    gives: [3],
    dtype: 'int32',
  },
  {
    op: 'argmax',
    name: 'first of ties',
    inputs: [exact([1, 4, 4, 2], [2, 2])],
    run: (x) => x.argmax(0),
    gives: [1, 0],
  },
  {
    op: 'argmin',
    name: 'along',
    inputs: [matrix],
    run: (x) => x.argmin(-1, { keepdim: true }),
    gives: [1, 1],
    shape: [2, 1],
  },
  {
    op: 'logsumexp',
    name: 'large values',
    inputs: [exact([1000, 1000])],
    run: (x) => x.logsumexp(),
    gives: [1000 + Math.LN2],
    rough: 'too large for differences',
  },
  {
    op: 'logsumexp',
    name: 'minus infinity',
    inputs: [exact([-Infinity, -Infinity])],
    run: (x) => x.logsumexp(),
    gives: [-Infinity],
    rough: 'infinite',
  },
  ...[1, 2, 3, 0.5].map((p): Case => {
    const x = floats([3, 4], 0.5, 2)
    return {
      op: 'norm',
      name: `p = ${p}`,
      inputs: [x],
      run: (t) => t.norm(p),
      gives: [x.data.reduce((s, v) => s + Math.abs(v) ** p, 0) ** (1 / p)],
    }
  }),
  {
    op: 'norm',
    name: 'p = Infinity',
    inputs: [exact([-3, 2])],
    run: (x) => x.norm(Infinity),
    gives: [3],
  },
  {
    op: 'norm',
    name: 'p = 0',
    inputs: [exact([-3, 0, 2])],
    run: (x) => x.norm(0),
    gives: [2],
    rough: 'a count',
  },
  {
    op: 'norm',
    name: 'of zeros, and its gradient',
    inputs: [exact([0, 0])],
    run: (x) => x.norm(),
    gives: [0],
    rough: 'a kink',
  },
  {
    op: 'norm',
    name: 'along',
    inputs: [exact([3, 4, 6, 8], [2, 2])],
    run: (x) => x.norm(2, 1),
    gives: [5, 10],
  },
  {
    op: 'dist',
    name: 'p = 2',
    inputs: [exact([1, 2]), exact([4, 6])],
    run: (x, y) => x.dist(y),
    gives: [5],
  },
  {
    op: 'any',
    name: 'along',
    inputs: [exact([0, 0, 0, 2], [2, 2])],
    run: (x) => x.any(1),
    gives: [0, 1],
    dtype: 'bool',
  },
  { op: 'any', name: 'of nothing', inputs: [bools([0])], run: (x) => x.any(), gives: [0] },
  {
    op: 'all',
    name: 'along',
    inputs: [exact([1, 0, 3, 2], [2, 2])],
    run: (x) => x.all(1),
    gives: [0, 1],
    dtype: 'bool',
  },
  { op: 'all', name: 'of nothing', inputs: [bools([0])], run: (x) => x.all(), gives: [1] },
  {
    op: 'countNonzero',
    name: 'along',
    inputs: [exact([1, 0, 3, NaN], [2, 2])],
    run: (x) => x.countNonzero(1),
    gives: [1, 2],
  },
  {
    op: 'cumsum',
    name: 'by hand',
    inputs: [matrix],
    run: (x) => x.cumsum(1),
    gives: [3, 4, 6, 9, 16, 24],
  },
  {
    op: 'cumsum',
    name: 'dim 0 of three',
    inputs: [floats([5, 2, 3])],
    run: (x) => x.cumsum(0),
    shape: [5, 2, 3],
  },
  {
    op: 'cumsum',
    name: 'of int32',
    inputs: [exactInts([1, 2, 3, 4, 5])],
    run: (x) => x.cumsum(0),
    gives: [1, 3, 6, 10, 15],
    dtype: 'int32',
  },
  {
    op: 'cumsum',
    name: 'long',
    inputs: [floats([1000], 0, 1)],
    run: (x) => x.cumsum(0),
    shape: [1000],
  },
  {
    op: 'cumprod',
    name: 'with zeros',
    inputs: [exact([2, 3, 0, 4])],
    run: (x) => x.cumprod(0),
    gives: [2, 6, 0, 0],
  },
  {
    op: 'cumprod',
    name: 'along',
    inputs: [floats([3, 4], 0.5, 1.5)],
    run: (x) => x.cumprod(-1),
    shape: [3, 4],
  },
  {
    op: 'cummax',
    name: 'by hand',
    inputs: [exact([1, 3, 2, 5, 4])],
    run: (x) => {
      const r = x.cummax(0)
      return [r.values, r.indices]
    },
    gives: [1, 3, 3, 5, 5],
  },
  {
    op: 'cummin',
    name: 'by hand',
    inputs: [exact([3, 1, 2, 0, 4])],
    run: (x) => {
      const r = x.cummin(0)
      return [r.values, r.indices]
    },
    gives: [3, 1, 1, 0, 0],
  },
  {
    op: 'sort',
    name: 'ascending',
    inputs: [matrix],
    run: (x) => {
      const r = x.sort()
      return [r.values, r.indices]
    },
    gives: [1, 2, 3, 7, 8, 9],
  },
  {
    op: 'sort',
    name: 'descending along 0',
    inputs: [matrix],
    run: (x) => {
      const r = x.sort(0, { descending: true })
      return [r.indices, r.values]
    },
    gives: [1, 1, 1, 0, 0, 0],
  },
  {
    op: 'sort',
    name: 'NaN last',
    inputs: [exact([NaN, 2, Infinity, -Infinity])],
    run: (x) => x.sort().values,
    gives: [-Infinity, 2, Infinity, NaN],
    rough: 'values that are no numbers',
  },
  {
    op: 'argsort',
    name: 'stable',
    inputs: [exact([2, 1, 2, 1, 2])],
    run: (x) => x.argsort(),
    gives: [1, 3, 0, 2, 4],
    dtype: 'int32',
  },
  {
    op: 'argsort',
    name: 'stable, descending',
    inputs: [exact([2, 1, 2, 1, 2])],
    run: (x) => x.argsort(-1, { descending: true }),
    gives: [0, 2, 4, 1, 3],
  },
  {
    op: 'argsort',
    name: 'of int32',
    inputs: [exactInts([5, -7, 0])],
    run: (x) => x.argsort(),
    gives: [1, 2, 0],
  },
  {
    op: 'argsort',
    name: 'one',
    inputs: [floats([3, 1])],
    run: (x) => x.argsort(),
    gives: [0, 0, 0],
  },
  ...[false, true].map((descending): Case => {
    // Above 2048 the network sorts; values repeat, so that stability shows.
    const x = ints([1, 2100], 0, 40)
    const order = x.data.map((_, i) => i)
    order.sort((a, b) => (descending ? x.data[b] - x.data[a] : x.data[a] - x.data[b]) || a - b)
    return {
      op: 'argsort',
      name: `long${descending ? ', descending' : ''}`,
      inputs: [x],
      run: (t) => t.argsort(-1, { descending }),
      gives: order,
    }
  }),
  {
    op: 'topk',
    name: 'largest',
    inputs: [matrix],
    run: (x) => {
      const r = x.topk(2)
      return [r.values, r.indices]
    },
    gives: [3, 2, 9, 8],
  },
  {
    op: 'topk',
    name: 'least along 0',
    inputs: [matrix],
    run: (x) => x.topk(1, 0, { largest: false }).values,
    gives: [3, 1, 2],
    shape: [1, 3],
  },
  {
    op: 'kthvalue',
    name: 'second',
    inputs: [matrix],
    run: (x) => {
      const r = x.kthvalue(2)
      return [r.values, r.indices]
    },
    gives: [2, 8],
  },
  {
    op: 'median',
    name: 'even',
    inputs: [exact([4, 1, 3, 2])],
    run: (x) => {
      const r = x.median()
      return [r.values, r.indices]
    },
    gives: [2],
  },
  {
    op: 'median',
    name: 'along, kept',
    inputs: [matrix],
    run: (x) => x.median(1, { keepdim: true }).values,
    gives: [2, 8],
    shape: [2, 1],
  },
  {
    op: 'quantile',
    name: 'between',
    inputs: [exact([4, 1, 3, 2])],
    run: (x) => x.quantile(0.4),
    gives: [2.2],
  },
  {
    op: 'quantile',
    name: 'ends',
    inputs: [matrix],
    run: (x) => [x.quantile(1, 1), x.quantile(0, 0, { keepdim: true })],
    gives: [3, 9],
  },
]

export const reductions: readonly Case[] = [...overDims, ...kept, ...single]
