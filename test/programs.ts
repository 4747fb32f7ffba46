// Programs written by hand, for the tests of printers and devices: each with its arguments as bytes and, where
// short, the expected result computed plainly.
import { type DType, itemSize } from '../src/base/dtype.js'
import * as b from '../src/compiler/build.js'
import type { Expr, Kernel, KernelBuffer, Local, Statement } from '../src/compiler/kernel.js'
import type { Argument, Machine, Program, Role, Step } from '../src/compiler/program.js'

export const machine: Machine = {
  name: 'test',
  lanes: 4,
  tile: { splats: 2, vectors: 4 },
  fma: false,
  firstLevelCache: 32768,
  secondLevelCache: 1 << 20,
}

export interface Case {
  readonly name: string
  readonly program: Program
  /** The arguments' content before the run. */
  readonly args: readonly Uint8Array[]
}

export function bytesOf(array: Float32Array | Int32Array | Uint8Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

/** Deterministic values in [-1, 1). */
export function noise(length: number, seed = 1): Float32Array {
  let state = seed * 2654435761
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    return state / 2147483648
  })
}

export function argument(role: Role, dtype: DType, length: number): Argument {
  return { role, dtype, shape: [length], bytes: length * itemSize[dtype] }
}

export function buffer(name: string, dtype: DType, access: KernelBuffer['access']): KernelBuffer {
  return { name, dtype, access }
}

export function step(kernel: number, slots: Step['slots'], parallel = true): Step {
  return { kernel, slots, label: 'layer', what: 'test', flops: 0, bytes: 0, parallel }
}

/** Every argument of a kernel, in order. */
export function allArguments(kernel: Kernel): Step['slots'] {
  return kernel.buffers.map((_, index) => ({ space: 'argument', index }))
}

export function programOf(kernel: Kernel, args: readonly Argument[], parallel = true): Program {
  return {
    machine,
    arguments: args,
    kernels: [kernel],
    regions: [{ steps: [step(0, allArguments(kernel), parallel)], commit: false }],
    arenaBytes: 0,
    scratchBytes: 0,
    reports: [],
  }
}

/** out[m, n] = Σ a[m, k]·b[k, n] with tiles of 2 rows and 4 vectors; m even, n a multiple of 16. */
export function matmulKernel(m: number, n: number, k: number): Kernel {
  const names = b.createNames()
  const [i, j, c] = ['i', 'j', 'k'].map((name) => names.variable(name))
  const rows = [0, 1]
  const columns = [0, 1, 2, 3]
  const accumulators = rows.map(() => columns.map(() => names.local('f32', 4)))
  const splats = rows.map(() => names.local('f32', 4))
  const vectors = columns.map(() => names.local('f32', 4))
  const all = (make: (r: number, q: number) => Statement) =>
    rows.flatMap((r) => columns.map((q) => make(r, q)))
  const out = (r: number, q: number) =>
    b.addAffine(b.ofVariable(i, 2 * n, r * n + 4 * q), b.ofVariable(j))
  const body: Statement[] = [
    b.loop(
      j,
      0,
      n,
      [
        ...all((r, q) => b.set(accumulators[r][q], b.num('f32', 0, 4))),
        b.loop(c, 0, k, [
          ...rows.map((r) =>
            b.set(
              splats[r],
              b.load('float32', 0, b.addAffine(b.ofVariable(i, 2 * k, r * k), b.ofVariable(c)), {
                lanes: 4,
                stride: 0,
              }),
            ),
          ),
          ...columns.map((q) =>
            b.set(
              vectors[q],
              b.load('float32', 1, b.addAffine(b.ofVariable(c, n, 4 * q), b.ofVariable(j)), {
                lanes: 4,
              }),
            ),
          ),
          ...all((r, q) =>
            b.set(
              accumulators[r][q],
              b.call('fma', ...[splats[r], vectors[q], accumulators[r][q]].map(b.localOf)),
            ),
          ),
        ]),
        ...all((r, q) => b.store(2, out(r, q), b.localOf(accumulators[r][q]))),
      ],
      16,
    ),
  ]
  return {
    name: 'matmul',
    buffers: [
      buffer('a', 'float32', 'read'),
      buffer('b', 'float32', 'read'),
      buffer('out', 'float32', 'write'),
    ],
    parallel: { variable: i, extent: m / 2 },
    body,
  }
}

export function matmulCase(m: number, n: number, k: number): Case {
  return {
    name: `matmul ${m}x${k} by ${k}x${n}`,
    program: programOf(matmulKernel(m, n, k), [
      argument('in', 'float32', m * k),
      argument('in', 'float32', k * n),
      argument('out', 'float32', m * n),
    ]),
    args: [bytesOf(noise(m * k)), bytesOf(noise(k * n, 2)), bytesOf(new Float32Array(m * n))],
  }
}

/** out = f(x) over `length` elements: a vector loop in blocks and a scalar tail. */
export function elementwise(
  length: number,
  dtypes: readonly DType[],
  compute: (args: readonly Expr[], set: (value: Expr) => Expr) => Expr,
  result: DType = 'float32',
): Kernel {
  const names = b.createNames()
  const block = names.variable('block')
  const i = names.variable('i')
  const tail = names.variable('tail')
  const size = 64
  const at = b.addAffine(b.ofVariable(block, size), b.ofVariable(i))
  const part = (lanes: number, place: typeof at): Statement[] => {
    const lines: Statement[] = []
    const keep = (value: Expr) => {
      const local: Local = names.local(value.type, value.lanes)
      lines.push(b.set(local, value))
      return b.localOf(local)
    }
    const args = dtypes.map((dtype, n) => keep(b.load(dtype, n, place, { lanes })))
    const value = compute(args, keep)
    return [...lines, b.store(dtypes.length, place, value)]
  }
  const rest = b.addAffine(b.constant(length), b.ofVariable(block, size), -1)
  const whole = b.addAffine(b.constant(length - 3), b.ofVariable(block, size), -1)
  const scalar = b.addAffine(b.ofVariable(block, size), b.ofVariable(tail))
  return {
    name: 'elementwise',
    buffers: [
      ...dtypes.map((dtype, n) => buffer(`x${n}`, dtype, 'read')),
      buffer('out', result, 'write'),
    ],
    parallel: { variable: block, extent: Math.ceil(length / size) },
    body: [
      b.loop(i, 0, b.bound('to', size, whole), part(4, at), 4),
      b.loop(
        tail,
        b.bound('from', tailStart(length, size, block)),
        b.bound('to', size, rest),
        part(1, scalar),
      ),
    ],
  }
}

/** In the last block the tail begins at its last multiple of 4; in the others at their end. */
function tailStart(length: number, size: number, block: Parameters<typeof b.ofVariable>[0]) {
  const last = Math.floor(length / size)
  const start = Math.floor((length % size) / 4) * 4
  // (last − block)·size + start is start in the last block and at least `size` in all others.
  return b.addAffine(b.constant(last * size + start), b.ofVariable(block, size), -1)
}

/** The first argument whose bytes differ, or −1: quicker than comparing arrays element by element. */
export function firstDifference(got: readonly Uint8Array[], want: readonly Uint8Array[]): number {
  return want.findIndex((bytes, i) => Buffer.compare(bytes, got[i]) !== 0)
}
