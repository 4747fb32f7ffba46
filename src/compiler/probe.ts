// Two programs that show what a machine can do: multiply-adds of registers with operands in the first-level cache, in the
// tile that contractions use, and a stream through memory. What kernels reach is told as a share of these ceilings.
import { invariant } from '../base/errors.js'
import * as b from './build.js'
import type { Kernel, Statement } from './kernel.js'
import type { Machine, Program } from './program.js'

/** A program and what one run of it does. */
export interface Probe {
  readonly program: Program
  /** Floating-point operations, or bytes read and written. */
  readonly work: number
}

/** Summed positions of the multiply-add probe: its panels take a few kB. */
const DEPTH = 64
/** Times each tile goes through its panels. */
const TURNS = 2000
/** Numbers in a tile, at most. A program's arguments are as large on any machine: a device may plan it again. */
const MOST_TILE = 1024
/** Vectors of one turn of the stream's loop. */
const UNROLLED = 1 // measured: 31 GB/s in C, where 4 give 27 and 8 give 24

/** Tiles of multiply-adds, one for each thread at a time: acc[m][n] += splat(s[k, m])·v[k, n]. */
export function multiplyProbe(machine: Machine, threads: number): Probe {
  const { lanes, tile } = machine
  const names = b.createNames()
  const [t, turn, k] = ['t', 'turn', 'k'].map((name) => names.variable(name))
  const rows = Array.from({ length: tile.splats }, (_, m) => m)
  const columns = Array.from({ length: tile.vectors }, (_, n) => n)
  const accumulators = rows.map(() => columns.map(() => names.local('f32', lanes)))
  const splats = rows.map(() => names.local('f32', lanes))
  const vectors = columns.map(() => names.local('f32', lanes))
  const all = (make: (m: number, n: number) => Statement) =>
    rows.flatMap((m) => columns.map((n) => make(m, n)))
  const width = tile.vectors * lanes
  const splatAt = (m: number) => b.ofVariable(k, tile.splats, m)
  const vectorAt = (n: number) => b.ofVariable(k, width, n * lanes)
  const size = tile.splats * width
  const body = [
    ...all((m, n) => b.set(accumulators[m][n], b.num('f32', 0, lanes))),
    b.loop(turn, 0, TURNS, [
      b.loop(k, 0, DEPTH, [
        ...columns.map((n) => b.set(vectors[n], b.load('float32', 1, vectorAt(n), { lanes }))),
        ...rows.map((m) =>
          b.set(splats[m], b.load('float32', 0, splatAt(m), { lanes, stride: 0 })),
        ),
        ...all((m, n) =>
          b.set(
            accumulators[m][n],
            b.call('fma', ...[splats[m], vectors[n], accumulators[m][n]].map(b.localOf)),
          ),
        ),
      ]),
    ]),
    ...all((m, n) =>
      b.store(2, b.ofVariable(t, size, m * width + n * lanes), b.localOf(accumulators[m][n])),
    ),
  ]
  const kernel: Kernel = {
    name: 'multiply-adds',
    buffers: [
      { name: 'splats', dtype: 'float32', access: 'read' },
      { name: 'vectors', dtype: 'float32', access: 'read' },
      { name: 'out', dtype: 'float32', access: 'write' },
    ],
    parallel: { variable: t, extent: threads },
    body,
  }
  invariant(size <= MOST_TILE, () => `a tile of ${size} accumulated numbers`)
  const sizes = [DEPTH * MOST_TILE, DEPTH * MOST_TILE, threads * MOST_TILE]
  return { program: programOf(machine, kernel, sizes), work: 2 * threads * TURNS * DEPTH * size }
}

/** out = 2·x over `bytes` of each, much more than the caches hold. */
export function streamProbe(machine: Machine, bytes: number): Probe {
  const { lanes } = machine
  const names = b.createNames()
  const i = names.variable('i')
  const block = UNROLLED * lanes
  const blocks = Math.floor(bytes / 4 / block)
  const values = Array.from({ length: UNROLLED }, () => names.local('f32', lanes))
  const at = (n: number) => b.ofVariable(i, block, n * lanes)
  const two = b.num('f32', 2, lanes)
  const kernel: Kernel = {
    name: 'stream',
    buffers: [
      { name: 'x', dtype: 'float32', access: 'read' },
      { name: 'out', dtype: 'float32', access: 'write' },
    ],
    parallel: { variable: i, extent: blocks },
    body: [
      ...values.map((v, n) => b.set(v, b.load('float32', 0, at(n), { lanes }))),
      ...values.map((v, n) => b.store(1, at(n), b.call('mul', b.localOf(v), two))),
    ],
  }
  const length = Math.floor(bytes / 4)
  return { program: programOf(machine, kernel, [length, length]), work: 8 * blocks * block }
}

/** The last of the arguments is written. */
function programOf(machine: Machine, kernel: Kernel, sizes: readonly number[]): Program {
  return {
    machine,
    arguments: sizes.map((length, i) => ({
      role: i === sizes.length - 1 ? 'out' : 'in',
      dtype: 'float32',
      shape: [length],
      bytes: 4 * length,
    })),
    kernels: [kernel],
    regions: [
      {
        steps: [
          {
            kernel: 0,
            slots: sizes.map((_, index) => ({ space: 'argument', index })),
            label: '',
            what: kernel.name,
            flops: 0,
            bytes: 0,
            parallel: true,
          },
        ],
        commit: false,
      },
    ],
    arenaBytes: 0,
    scratchBytes: 0,
    reports: [],
  }
}
