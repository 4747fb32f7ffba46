import { expect, test } from 'vitest'
import * as b from './build.js'
import { checkInPlace, readsBeforeWrites } from './in-place.js'
import type { Affine, Kernel, Statement, Variable } from './kernel.js'
import type { Program } from './program.js'

const names = b.createNames()
const turns = names.variable('p')
const i = names.variable('i')
const j = names.variable('j')
const at = (...terms: [Variable, number][]): Affine =>
  b.sumAffine(...terms.map(([v, c]) => b.ofVariable(v, c)))
const load = (index: Affine, lanes = 1) =>
  ({ op: 'load', type: 'f32', lanes, buffer: 0, index, stride: 1 }) as const
/** Reads at `from` into a register. */
const read = (from: Affine, lanes = 1): Statement => ({
  op: 'set',
  local: names.local('f32', lanes),
  value: load(from, lanes),
})
/** Writes what is read at `from`. */
const copy = (from: Affine, to: Affine, lanes = 1): Statement => ({
  op: 'store',
  buffer: 0,
  index: to,
  stride: 1,
  value: load(from, lanes),
})
const write = (to: Affine): Statement => ({
  op: 'store',
  buffer: 0,
  index: to,
  stride: 1,
  value: { op: 'number', type: 'f32', lanes: 1, value: 0 },
})
const least = (...of: Affine[]) => of.map((affine) => ({ affine, divide: 1 }))
const loop = (
  variable: Variable,
  from: readonly Affine[],
  to: readonly Affine[],
  body: readonly Statement[],
  step = 1,
): Statement => ({ op: 'loop', variable, from: least(...from), to: least(...to), step, body })
const upTo = (variable: Variable, n: number, body: readonly Statement[], step = 1) =>
  loop(variable, [b.constant(0)], [b.constant(n)], body, step)
const kernel = (extent: number, ...body: readonly Statement[]): Kernel => ({
  name: 'test',
  buffers: [{ name: 'x', dtype: 'float32', access: 'update' }],
  parallel: { variable: turns, extent },
  body,
})
const fine = (k: Kernel) => readsBeforeWrites(k, new Set([0]))

/** Chunks of 1024 of n elements, vectors of four and what is left over. */
const chunked = (n: number, from: (v: Variable) => Affine, to: (v: Variable) => Affine) => {
  const even = n - (n % 4)
  const start = at([turns, 1024])
  const end = b.shiftAffine(start, 1024)
  return kernel(
    Math.ceil(n / 1024),
    loop(i, [start], [b.constant(even), end], [copy(from(i), to(i), 4)], 4),
    loop(i, [b.constant(even), start], [b.constant(n), end], [copy(from(i), to(i))]),
  )
}

test('each element read and then written where it stands', () => {
  expect(fine(chunked(150, b.ofVariable, b.ofVariable))).toBe(true)
  expect(fine(chunked(5003, b.ofVariable, b.ofVariable))).toBe(true)
  const rows = at([turns, 12], [i, 4], [j, 1])
  expect(fine(kernel(5, upTo(i, 3, [upTo(j, 4, [copy(rows, rows)])])))).toBe(true)
  // Two vectors a turn, both read before either is written.
  const next = b.shiftAffine(at([i, 1]), 4)
  const pair = [copy(at([i, 1]), at([i, 1]), 4), copy(next, next, 4)]
  expect(fine(kernel(1, upTo(i, 64, pair, 8)))).toBe(true)
})

test('a row read whole before it is written, by its own turn', () => {
  const row = (v: Variable) => at([turns, 10], [v, 1])
  const sum = upTo(i, 10, [read(row(i))])
  expect(fine(kernel(7, sum, upTo(i, 10, [write(row(i))])))).toBe(true)
  expect(fine(kernel(7, upTo(i, 10, [write(row(i))]), sum))).toBe(false)
  // One element too many: the next row's first.
  expect(fine(kernel(7, upTo(i, 11, [read(row(i))]), upTo(i, 10, [write(row(i))])))).toBe(false)
  expect(fine(kernel(1, upTo(i, 11, [read(row(i))]), upTo(i, 10, [write(row(i))])))).toBe(true)
})

test('reads from another place than the write', () => {
  const shifted = (v: Variable) => b.ofVariable(v, 1, 1)
  expect(fine(chunked(150, shifted, b.ofVariable))).toBe(false)
  expect(fine(chunked(150, b.ofVariable, shifted))).toBe(false)
  expect(fine(kernel(4, upTo(i, 4, [copy(at([turns, 4], [i, 1]), at([turns, 1], [i, 4]))])))).toBe(
    false,
  )
  const backwards = b.addAffine(b.constant(49), at([i, 1]), -1)
  expect(fine(kernel(1, upTo(i, 50, [copy(backwards, at([i, 1]))])))).toBe(false)
  // Halves that do not meet.
  expect(fine(kernel(1, upTo(i, 25, [copy(b.ofVariable(i, 1, 25), at([i, 1]))])))).toBe(true)
  expect(fine(kernel(1, upTo(i, 26, [copy(b.ofVariable(i, 1, 25), at([i, 1]))])))).toBe(false)
})

test('an element that several turns read', () => {
  expect(fine(kernel(3, upTo(i, 8, [copy(at([i, 1]), at([i, 1]))])))).toBe(false)
  expect(fine(kernel(1, upTo(i, 8, [copy(at([i, 1]), at([i, 1]))])))).toBe(true)
  expect(fine(kernel(3, upTo(i, 8, [read(b.constant(0)), write(at([turns, 8], [i, 1]))])))).toBe(
    false,
  )
  // Strips that overlap by one.
  const start = at([turns, 8])
  const strips = loop(i, [start], [b.shiftAffine(start, 9)], [copy(at([i, 1]), at([i, 1]))])
  expect(fine(kernel(3, strips))).toBe(false)
})

test('an address that depends on data', () => {
  const dynamic = { ...load(b.zero), dynamic: b.num('i32', 3) }
  const body: Statement[] = [{ op: 'set', local: names.local('f32', 1), value: dynamic }]
  expect(fine(kernel(1, ...body, write(b.zero)))).toBe(false)
})

test('between steps only a barrier orders', () => {
  const own = kernel(1, upTo(i, 8, [copy(at([i, 1]), at([i, 1]))]))
  const reader: Kernel = {
    ...kernel(1, upTo(i, 8, [read(at([i, 1]))])),
    buffers: [{ name: 'x', dtype: 'float32', access: 'read' }],
  }
  const step = (index: number) => ({
    kernel: index,
    slots: [{ space: 'argument', index: 0 } as const],
    label: '',
    what: 'step',
    flops: 0,
    bytes: 0,
    parallel: false,
  })
  const program = (...regions: number[][]): Program => ({
    machine: {
      name: 'none',
      lanes: 4,
      tile: { splats: 1, vectors: 1 },
      fma: false,
      firstLevelCache: 0,
      secondLevelCache: 0,
    },
    arguments: [{ role: 'update', dtype: 'float32', shape: [8], bytes: 32 }],
    kernels: [own, reader],
    regions: regions.map((steps) => ({ steps: steps.map(step), commit: true })),
    arenaBytes: 0,
    scratchBytes: 0,
    reports: [],
  })
  const all = () => new Set([0])
  expect(() => checkInPlace(program([1], [0]), all)).not.toThrow()
  expect(() => checkInPlace(program([0, 1]), all)).toThrow('while another step replaces it')
  expect(() => checkInPlace(program([0], [1]), all)).toThrow('after the region that replaces it')
  // Who reads the new value reads it after the barrier, and may.
  expect(() => checkInPlace(program([0], [1]), (r) => new Set(r === 0 ? [0] : []))).not.toThrow()
})
