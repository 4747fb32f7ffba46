// Random graphs for tests: simplified against plain, compiled against interpreted, gradients against numbers.
// Seeded; small; values stay moderate (no exp of large numbers, no division by small ones), so that a
// comparison may use one tolerance.
import type { TypedArray } from '../src/base/dtype.js'
import { sizeOf } from '../src/base/shape.js'
import { convSpec, linearSpec, matmulSpec } from '../src/graph/contract.js'
import {
  broadcastTo,
  composite,
  concat,
  constant,
  contract,
  detach,
  expand,
  type Graph,
  gather,
  type InputNode,
  input,
  iota,
  map,
  type Node,
  permute,
  reduce,
  reshape,
  scatterAdd,
  view,
} from '../src/graph/node.js'
import { placeholder, scan, slicePlaceholder } from '../src/graph/scan.js'

/** Numbers from 0 to 1, from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export interface RandomGraph {
  readonly graph: Graph
  readonly inputs: readonly InputNode[]
  /** Values for every input. */
  readonly bind: (node: InputNode) => TypedArray
}

export interface RandomOptions {
  /** Nodes to add beyond the inputs; 30 unless given. */
  readonly nodes?: number
  /** Only functions with a derivative everywhere (up to ties): for gradients. */
  readonly smooth?: boolean
  /** With recurrences. */
  readonly scans?: boolean
  /** With updates of some inputs. */
  readonly updates?: boolean
  /** The last axis of every input is so many times as long: for vectors of many lanes. */
  readonly wide?: number
}

/** A graph of `nodes` random operations over a few float inputs of up to three axes. */
export function randomGraph(seed: number, options: RandomOptions = {}): RandomGraph {
  const next = seeded(seed)
  const below = (n: number) => Math.floor(next() * n)
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]
  const wide = (shape: readonly number[]) =>
    shape.map((n, i) => (i === shape.length - 1 ? n * (options.wide ?? 1) : n))
  const shapes = [[], [3], [2, 3], [4, 3], [2, 3, 4], [1, 3], [2, 1, 4], [5]].map(wide)
  const inputs = Array.from({ length: 4 }, (_, i) =>
    input({ name: `x${i}` }, i === 0 ? wide([2, 3]) : pick(shapes), 'float32'),
  )
  const values = new Map<InputNode, TypedArray>()
  for (const node of inputs)
    values.set(
      node,
      Float32Array.from({ length: sizeOf(node.shape) }, () => next() * 4 - 2),
    )
  const pool: Node[] = [...inputs]
  const some = (): Node => pick(next() < 0.5 ? pool.slice(-5) : pool)
  const ranked = (rank: number): Node => {
    const x = some()
    const { length } = x.shape
    if (length >= rank) return x
    return reshape(x, [...new Array<number>(rank - length).fill(1), ...x.shape])
  }
  const constantOf = (x: Node): Node => constant(pick([0, 1, -1, 2, 0.5, 0.3]), 'float32', x.shape)
  /** Another node of the shape, or a constant, or a part of x broadcast again. */
  const partner = (x: Node): Node => {
    const kind = below(4)
    const alike = pool.filter((node) => node.shape.join() === x.shape.join())
    if (kind < 2) return pick(alike)
    if (kind === 2 || x.shape.length === 0) return constantOf(x)
    const axis = below(x.shape.length)
    const rest = reduce('max', [axis], x)
    return expand(
      reshape(
        rest,
        x.shape.map((n, i) => (i === axis ? 1 : n)),
      ),
      x.shape,
    )
  }
  const slice = (x: Node): Node => {
    const starts: number[] = []
    const steps: number[] = []
    const shape = x.shape.map((n) => {
      const size = 1 + below(n)
      const most = size === 1 ? 1 : Math.max(1, Math.floor((n - 1) / (size - 1)))
      const step = 1 + below(most)
      const first = below(n - (size - 1) * step)
      const back = next() < 0.25
      starts.push(back ? first + (size - 1) * step : first)
      steps.push(back ? -step : step)
      return size
    })
    return view({ type: 'slice', starts, steps, shape }, x)
  }
  const indexLike = (shape: readonly number[], size: number): Node => {
    const axis = below(shape.length)
    const place = map('add', iota(shape, axis), constant(below(5), 'int32', shape))
    return map('mod', place, constant(size, 'int32', shape))
  }
  const makers: (() => Node)[] = [
    () => map(pick(['tanh', 'sigmoid', 'sin', 'cos', 'neg', 'erf']), some()),
    () => map(pick(['relu', 'abs']), some()),
    () => {
      const x = some()
      return map(pick(['add', 'sub', 'mul']), x, partner(x))
    },
    () => {
      const x = some()
      return map(pick(['add', 'mul', 'max', 'min']), partner(x), x)
    },
    () => {
      const x = some()
      return map(
        'div',
        x,
        map('add', map('abs', partner(x)), constant(pick([1, 1, 3]), 'float32', x.shape)),
      )
    },
    () => {
      const x = some()
      return map('div', x, constant(pick([1, 2, 3, 0.25]), 'float32', x.shape))
    },
    () => {
      const x = some()
      return map('pow', x, constant(pick([1, 2, 3]), 'float32', x.shape))
    },
    () => {
      const x = some()
      return map('exp', map('neg', map('abs', x)))
    },
    () => {
      const x = some()
      const n = x.shape.length
      const order = x.shape.map((_, i) => i)
      for (let i = n - 1; i > 0; i--) {
        const j = below(i + 1)
        ;[order[i], order[j]] = [order[j], order[i]]
      }
      return permute(x, order)
    },
    () => {
      const x = some()
      return reshape(x, pick([[sizeOf(x.shape)], [...x.shape, 1], [1, ...x.shape]]))
    },
    () => {
      const x = some()
      return x.shape.length < 3 ? broadcastTo(x, [2, ...x.shape]) : x
    },
    () => {
      const x = some()
      return expand(
        x,
        x.shape.map((n) => (n === 1 ? 3 : n)),
      )
    },
    () => slice(ranked(1)),
    () => {
      const given = ranked(1)
      const x = next() < 0.3 ? constantOf(given) : given
      const low = x.shape.map(() => below(3))
      const high = x.shape.map(() => below(2))
      return view({ type: 'pad', low, high, value: pick([0, 0, 1]) }, x)
    },
    () => {
      const x = ranked(1)
      const axis = below(x.shape.length)
      const size = 1 + below(3)
      const [stride, dilation, padding] = [1 + below(3), 1 + below(2), below(2)]
      const count = Math.max(
        1,
        Math.floor((x.shape[axis] + 2 * padding - (size - 1) * dilation - 1) / stride) + 1,
      )
      return view({ type: 'window', axis, count, size, stride, dilation, padding, value: 0 }, x)
    },
    () => {
      const x = ranked(1)
      const axes = x.shape.map((_, i) => i).filter(() => next() < 0.6)
      return reduce(pick(['sum', 'sum', 'max', 'prod']), axes, x)
    },
    () => {
      const a = ranked(2)
      const [m, k] = a.shape.slice(-2)
      const batch = a.shape.slice(0, -2)
      const b = map(
        'tanh',
        permute(
          a,
          a.shape.map((_, i) => (i < batch.length ? i : a.shape.length - 1 - (i - batch.length))),
        ),
      )
      return contract(matmulSpec(batch, m, m, k), a, b)
    },
    () => {
      const x = ranked(2)
      const k = x.shape[x.shape.length - 1]
      const w = expand(reshape(reduce('sum', [1], inputs[0]), [2, 1]), [2, k])
      return contract(linearSpec(x.shape.slice(0, -1), 2, k), x, w)
    },
    () => {
      const flat = ranked(1)
      const n = sizeOf(flat.shape)
      const x = reshape(flat, [1, 1, n])
      const part = slice(inputs[0])
      const w = reshape(part, [1, 1, sizeOf(part.shape)])
      return contract(
        convSpec({
          batch: 1,
          groups: 1,
          inChannels: 1,
          outChannels: 1,
          kernel: [w.shape[2]],
          stride: [1],
          padding: [1],
          dilation: [1],
          output: [n],
        }),
        x,
        w,
      )
    },
    () => {
      const x = ranked(1)
      const axis = below(x.shape.length)
      return concat(axis, [x, pick([x, constantOf(x), map('neg', x)])])
    },
    () => {
      const x = ranked(1)
      const axis = below(x.shape.length)
      const shape = x.shape.map((n, i) => (i === axis ? 1 + below(4) : n))
      return gather(axis, x, indexLike(shape, x.shape[axis]))
    },
    () => {
      const x = ranked(1)
      const axis = below(x.shape.length)
      const size = 1 + below(4)
      return scatterAdd(axis, size, indexLike(x.shape, size), x)
    },
    () => {
      const x = some()
      return composite(
        'swish',
        '',
        [x],
        { shape: x.shape, dtype: 'float32' },
        { expand: () => map('mul', x, map('sigmoid', x)) },
      )
    },
  ]
  /** A recurrence along the first axis; `deep`: with one along the next axis within each step. */
  const recurrence = (x: Node, deep: boolean): Node[] => {
    const slice = slicePlaceholder(x)
    const first = pick([reduce('max', [0], x), constant(0.5, 'float32', slice.shape)])
    const [h, sum] = [placeholder(slice), placeholder(slice)]
    const alike = pool.filter((node) => node.shape.join() === first.shape.join())
    const gate = map('sigmoid', pick([...alike, first, constantOf(first)]))
    let z: Node = map('add', map('mul', h, gate), slice)
    const k = slice.shape[slice.shape.length - 1]
    if (slice.shape.length > 0 && k > 0 && next() < 0.5) {
      const w = expand(reshape(reduce('sum', [1], inputs[0]), [2, 1]), [2, k])
      const wide = contract(linearSpec(slice.shape.slice(0, -1), 2, k), z, map('tanh', w))
      const back = permute(w, [1, 0])
      z = contract(linearSpec(slice.shape.slice(0, -1), k, 2), wide, back)
    }
    if (deep && slice.shape.length > 0)
      z = map('add', z, pick(recurrence(slice, false).slice(1, 2)))
    const after = map('tanh', z)
    const made = scan(
      {
        length: x.shape[0],
        reverse: next() < 0.5,
        carries: [h, sum],
        slices: [slice],
        next: [after, map('add', map('mul', sum, constant(0.5, 'float32', sum.shape)), after)],
        ys: [map('mul', h, slice), after],
      },
      [first, constant(0, 'float32', slice.shape)],
      [x],
    )
    return [made.last[1], made.ys[1], made.ys[0], made.last[0]]
  }
  if (options.scans)
    makers.push(
      () => pick(recurrence(ranked(1), false)),
      () => pick(recurrence(ranked(1), next() < 0.3)),
      () => {
        const [last, all, , carry] = recurrence(ranked(1), false)
        return map('add', map('mul', last, carry), reduce('sum', [0], all))
      },
    )
  // Of inputs only: rounding elsewhere must not decide which way a comparison or a tie goes.
  const given = (): Node => pick(inputs)
  if (!options.smooth)
    makers.push(
      () => detach(some()),
      () => {
        const x = given()
        const y = pick([constantOf(x), map('neg', x), map('round', x)])
        const flag = map(pick(['lt', 'le', 'ne', 'eq']), x, y)
        return map('where', pick([flag, map('not', flag)]), partner(x), x)
      },
      () => {
        const x = given()
        const axes = x.shape.map((_, i) => i).filter(() => next() < 0.7)
        return axes.length > 0 ? map('toFloat32', reduce('argmax', axes, x)) : x
      },
      () => {
        const x = given()
        return map('toFloat32', map('lt', x, constant(0.3, 'float32', x.shape)))
      },
      () => map(pick(['round', 'floor', 'ceil', 'sign']), given()),
      () => map('toFloat32', map('toInt32', given())),
    )
  const most = options.nodes ?? 30
  while (pool.length < most + inputs.length) {
    const node = pick(makers)()
    if (sizeOf(node.shape) > 400 || sizeOf(node.shape) === 0 || node.shape.length > 5) continue
    // Squashed, so that products of products stay moderate.
    pool.push(next() < 0.3 ? map('tanh', node) : node)
  }
  const outputs = [pool[pool.length - 1], some(), some()]
  const updates = options.updates
    ? inputs.slice(0, 2).map((target) => {
        const alike = pool.filter((node) => node.shape.join() === target.shape.join())
        return { target, value: map('tanh', pick(alike)) }
      })
    : []
  const bind = (node: InputNode): TypedArray => values.get(node) ?? new Float32Array(0)
  return { graph: { outputs, updates }, inputs, bind }
}
