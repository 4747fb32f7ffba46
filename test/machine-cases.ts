// One program for each thing a printer must do, run on every printer and device with equal results.
import { expect } from 'vitest'
import * as b from '../src/compiler/build.js'
import { elementary } from '../src/compiler/elementary.js'
import type { Kernel } from '../src/compiler/kernel.js'
import type { Program, RunReport } from '../src/compiler/program.js'
import {
  allArguments,
  argument,
  buffer,
  bytesOf,
  type Case,
  elementwise,
  machine,
  matmulCase,
  noise,
  programOf,
  step,
} from './programs.js'

const f32 = (value: number, lanes = 1) => b.num('f32', value, lanes)
const i32 = (value: number, lanes = 1) => b.num('i32', value, lanes)

function integers(length: number, scale = 1000): Int32Array {
  return Int32Array.from(noise(length, 3), (x) => Math.round(x * scale))
}

function mixed(length: number): Case {
  const kernel = elementwise(length, ['float32', 'uint8', 'bool'], ([x, y, z], keep) => {
    const wide = keep(b.call('toF32', y))
    const sum = b.call('add', b.call('mul', x, wide), b.call('toF32', z))
    const relu = b.call('max', sum, f32(0))
    const flag = b.call('or', b.call('lt', x, f32(0.25)), b.call('not', z))
    return b.call('select', flag, relu, elementary('tanh', [x], keep))
  })
  const bytes = Uint8Array.from(noise(length, 5), (x) => Math.abs(x) * 255)
  const flags = Uint8Array.from(noise(length, 6), (x) => (x > 0 ? 1 : 0))
  return {
    name: `elementwise of ${length}: float32, uint8, bool`,
    program: programOf(kernel, [
      argument('in', 'float32', length),
      argument('in', 'uint8', length),
      argument('in', 'bool', length),
      argument('out', 'float32', length),
    ]),
    args: [bytesOf(noise(length)), bytes, flags, new Uint8Array(4 * length)],
  }
}

function narrow(result: 'uint8' | 'bool', length: number): Case {
  const kernel = elementwise(
    length,
    ['float32'],
    ([x]) =>
      result === 'bool' ? b.call('lt', f32(0), x) : b.call('toI32', b.call('mul', x, f32(1000))),
    result,
  )
  return {
    name: `stores of ${result}`,
    program: programOf(kernel, [
      argument('in', 'float32', length),
      argument('out', result, length),
    ]),
    args: [bytesOf(noise(length)), new Uint8Array(length)],
  }
}

/** Every integer function, with divisors of 0 and −1 among the operands. */
function integerFunctions(length: number): Case {
  const kernel = elementwise(
    length,
    ['int32', 'int32'],
    ([x, y], keep) => {
      const parts = [
        b.call('div', x, y),
        b.call('rem', x, y),
        b.call('max', x, y),
        b.call('min', x, y),
        b.call('abs', y),
        b.call('neg', x),
        b.call('shl', x, i32(3)),
        b.call('shr', x, i32(5)),
        b.call('sar', x, i32(2)),
        b.call('xor', x, b.call('and', y, b.splat(i32(255), x.lanes))),
        b.call('select', b.call('le', x, y), x, b.call('mul', x, y)),
        b.call('toI32', b.call('eq', x, y)),
        b.call('toI32', b.call('mul', b.call('toF32', x), f32(1e7))),
        b.call('bitsToI32', b.call('nearest', b.call('div', b.call('toF32', x), f32(2)))),
      ].map(keep)
      return parts.reduce((sum, part, i) =>
        b.call('add', b.call('mul', sum, b.splat(i32(31 + i), x.lanes)), part),
      )
    },
    'int32',
  )
  const x = integers(length)
  const y = integers(length, 3)
  x[1] = -2147483648
  y[1] = -1
  x[length - 1] = -2147483648
  y[length - 1] = -1
  return {
    name: 'integer functions',
    program: programOf(kernel, [
      argument('in', 'int32', length),
      argument('in', 'int32', length),
      argument('out', 'int32', length),
    ]),
    args: [bytesOf(x), bytesOf(y), new Uint8Array(4 * length)],
  }
}

/** out[r] = Σ x[r, c] and its maximum, over vectors and a tail; c not a multiple of 4. */
function reduction(rows: number, columns: number): Case {
  const names = b.createNames()
  const [row, c, tail] = ['row', 'c', 'tail'].map((name) => names.variable(name))
  const sum = names.local('f32', 4)
  const most = names.local('f32', 4)
  const total = names.local('f32', 1)
  const top = names.local('f32', 1)
  const x = names.local('f32', 4)
  const y = names.local('f32', 1)
  const whole = Math.floor(columns / 4) * 4
  const at = (v: typeof c) => b.addAffine(b.ofVariable(row, columns), b.ofVariable(v))
  const kernel: Kernel = {
    name: 'reduce',
    buffers: [buffer('x', 'float32', 'read'), buffer('out', 'float32', 'write')],
    parallel: { variable: row, extent: rows },
    body: [
      b.set(sum, f32(0, 4)),
      b.set(most, f32(-Infinity, 4)),
      b.loop(
        c,
        0,
        whole,
        [
          b.set(x, b.load('float32', 0, at(c), { lanes: 4 })),
          b.set(sum, b.call('add', b.localOf(sum), b.localOf(x))),
          b.set(most, b.call('max', b.localOf(most), b.localOf(x))),
        ],
        4,
      ),
      b.set(total, b.across('add', b.localOf(sum))),
      b.set(top, b.across('max', b.localOf(most))),
      b.loop(tail, whole, columns, [
        b.set(y, b.load('float32', 0, at(tail))),
        b.set(total, b.call('add', b.localOf(total), b.localOf(y))),
        b.set(top, b.call('max', b.localOf(top), b.localOf(y))),
      ]),
      b.store(1, b.ofVariable(row, 2), b.localOf(total)),
      b.store(1, b.ofVariable(row, 2, 1), b.localOf(top)),
    ],
  }
  return {
    name: 'reduction with across',
    program: programOf(kernel, [
      argument('in', 'float32', rows * columns),
      argument('out', 'float32', 2 * rows),
    ]),
    args: [bytesOf(noise(rows * columns)), new Uint8Array(8 * rows)],
  }
}

/** Columns reversed and transposed with strided vectors, of float32 and of bool. */
function strided(): Case {
  const [rows, columns] = [6, 20]
  const names = b.createNames()
  const [row, c] = ['row', 'c'].map((name) => names.variable(name))
  const backwards = b.addAffine(b.ofVariable(row, columns, columns - 1), b.ofVariable(c), -1)
  const down = b.addAffine(b.ofVariable(c, rows), b.ofVariable(row))
  const kernel: Kernel = {
    name: 'strided',
    buffers: [
      buffer('x', 'float32', 'read'),
      buffer('flags', 'bool', 'read'),
      buffer('out', 'float32', 'write'),
      buffer('flipped', 'bool', 'write'),
    ],
    parallel: { variable: row, extent: rows },
    body: [
      b.loop(
        c,
        0,
        columns,
        [
          b.store(2, down, b.load('float32', 0, backwards, { lanes: 4, stride: -1 }), {
            stride: rows,
          }),
          b.store(3, down, b.load('bool', 1, backwards, { lanes: 4, stride: -1 }), {
            stride: rows,
          }),
        ],
        4,
      ),
    ],
  }
  const size = rows * columns
  return {
    name: 'strided vectors',
    program: programOf(kernel, [
      argument('in', 'float32', size),
      argument('in', 'bool', size),
      argument('out', 'float32', size),
      argument('out', 'bool', size),
    ]),
    args: [
      bytesOf(noise(size)),
      Uint8Array.from(noise(size, 9), (x) => (x > 0 ? 1 : 0)),
      new Uint8Array(4 * size),
      new Uint8Array(size),
    ],
  }
}

/** A transposed 1-d convolution: taps clipped by lists of bounds, among them floors of quotients by 3. */
function clipped(): Case {
  const [n, length, taps, stride, padding] = [5, 7, 5, 3, 2]
  const out = (length - 1) * stride - 2 * padding + taps
  const names = b.createNames()
  const [image, y, x] = ['image', 'y', 'x'].map((name) => names.variable(name))
  const sum = names.local('f32', 1)
  // tap = y + padding − stride·x lies in [0, taps): x from ceil((y + p − taps + 1)/s) to floor((y + p)/s) + 1.
  const place = b.addAffine(b.ofVariable(y, 1, padding), b.ofVariable(x, stride), -1)
  const kernel: Kernel = {
    name: 'transposed',
    buffers: [
      buffer('g', 'float32', 'read'),
      buffer('w', 'float32', 'read'),
      buffer('out', 'float32', 'write'),
    ],
    parallel: { variable: image, extent: n },
    body: [
      b.loop(y, 0, out, [
        b.set(sum, f32(0)),
        b.loop(
          x,
          b.bound('from', 0, b.quotientUp(b.ofVariable(y, 1, padding - taps + 1), stride)),
          b.bound('to', length, b.quotient(b.ofVariable(y, 1, padding + stride), stride)),
          [
            b.set(
              sum,
              b.call(
                'fma',
                b.load('float32', 0, b.addAffine(b.ofVariable(image, length), b.ofVariable(x))),
                b.load('float32', 1, place),
                b.localOf(sum),
              ),
            ),
          ],
        ),
        // Checked against a plain condition: the first output is doubled.
        b.when(
          [b.inside(b.ofVariable(y, -1), 1)],
          [b.set(sum, b.call('add', b.localOf(sum), b.localOf(sum)))],
          [b.set(sum, b.call('neg', b.localOf(sum)))],
        ),
        b.store(2, b.addAffine(b.ofVariable(image, out), b.ofVariable(y)), b.localOf(sum)),
      ]),
    ],
  }
  return {
    name: 'clipped loops',
    program: programOf(kernel, [
      argument('in', 'float32', n * length),
      argument('in', 'float32', taps),
      argument('out', 'float32', n * out),
    ]),
    args: [bytesOf(noise(n * length)), bytesOf(noise(taps, 4)), new Uint8Array(4 * n * out)],
  }
}

/** Gathers rows through the arena and adds them to a state in a commit region; index 9 of 8 is reported. */
export function gathering(bad: boolean): Case {
  const [rows, columns, picks] = [8, 12, 10]
  const gather = (() => {
    const names = b.createNames()
    const [pick, c] = ['pick', 'c'].map((name) => names.variable(name))
    const index = names.local('i32', 1)
    const outside = names.local('bool', 1)
    const value = b.localOf(index)
    const kernel: Kernel = {
      name: 'gather',
      buffers: [
        buffer('table', 'float32', 'read'),
        buffer('index', 'int32', 'read'),
        buffer('out', 'float32', 'write'),
      ],
      parallel: { variable: pick, extent: picks },
      body: [
        b.set(index, b.load('int32', 1, b.ofVariable(pick))),
        b.set(outside, b.call('or', b.call('lt', value, i32(0)), b.call('le', i32(rows), value))),
        b.report(b.localOf(outside), 1, value),
        b.set(index, b.call('select', b.localOf(outside), i32(0), value)),
        b.loop(
          c,
          0,
          columns,
          [
            b.store(
              2,
              b.addAffine(b.ofVariable(pick, columns), b.ofVariable(c)),
              b.load('float32', 0, b.ofVariable(c), {
                lanes: 4,
                dynamic: b.call('mul', value, i32(columns)),
              }),
            ),
          ],
          4,
        ),
      ],
    }
    return kernel
  })()
  const add = elementwise(picks * columns, ['float32', 'float32'], ([x, y], keep) =>
    b.call('add', x, elementary('exp', [y], keep)),
  )
  const index = Int32Array.from([3, 1, 7, 0, 2, 2, 5, bad ? 9 : 6, 4, 1])
  const size = picks * columns
  const program: Program = {
    machine,
    arguments: [
      argument('in', 'float32', rows * columns),
      argument('in', 'int32', picks),
      argument('update', 'float32', size),
    ],
    kernels: [gather, add],
    regions: [
      {
        steps: [
          step(0, [
            { space: 'argument', index: 0 },
            { space: 'argument', index: 1 },
            { space: 'arena', offset: 128 },
          ]),
        ],
        commit: false,
      },
      {
        steps: [
          step(
            1,
            [
              { space: 'argument', index: 2 },
              { space: 'arena', offset: 128 },
              { space: 'argument', index: 2 },
            ],
            false,
          ),
        ],
        commit: true,
      },
    ],
    arenaBytes: 128 + 4 * size,
    scratchBytes: 64,
    reports: [{ kind: 'index', label: 'embedding', what: 'gather', size: rows }],
  }
  return {
    name: `gather, ${bad ? 'index out of range' : 'commit'}`,
    program,
    args: [bytesOf(noise(rows * columns)), bytesOf(index), bytesOf(noise(size, 8))],
  }
}

/** Offsets further apart than one pointer reaches, and a constant offset below the buffer. */
function far(): Case {
  const length = 600_000
  const names = b.createNames()
  const i = names.variable('i')
  const c = names.variable('c')
  const at = (offset: number) => b.addAffine(b.ofVariable(i, 4, offset), b.ofVariable(c))
  const sum = [300_000, 599_900, 4].reduce(
    (total, offset) => b.call('add', total, b.load('float32', 0, at(offset))),
    b.load('float32', 0, at(0)),
  )
  const behind = b.load('float32', 0, b.constant(-5), { dynamic: b.index(b.ofVariable(i, 1, 7)) })
  const across = b.load('float32', 0, b.ofVariable(i), { lanes: 4, stride: 150_000 })
  const kernel: Kernel = {
    name: 'far',
    buffers: [buffer('x', 'float32', 'read'), buffer('out', 'float32', 'write')],
    parallel: { variable: i, extent: 16 },
    body: [
      b.loop(c, 0, 4, [b.store(1, at(0), b.call('sub', sum, behind))]),
      b.store(1, b.ofVariable(i, 1, 64), b.across('add', across)),
    ],
  }
  return {
    name: 'offsets far apart',
    program: programOf(kernel, [argument('in', 'float32', length), argument('out', 'float32', 80)]),
    args: [bytesOf(noise(length)), new Uint8Array(320)],
  }
}

/** 40 regions that each add 1 to a row after reading its neighbour: wrong without barriers. */
export function chain(regions: number, rows: number): Case {
  const names = b.createNames()
  const row = names.variable('row')
  const value = b.call(
    'add',
    b.load('float32', 0, b.ofVariable(row)),
    b.load('float32', 0, b.ofVariable(row, -1, rows - 1)),
  )
  const kernel: Kernel = {
    name: 'mirror',
    buffers: [buffer('x', 'float32', 'read'), buffer('out', 'float32', 'write')],
    parallel: { variable: row, extent: rows },
    body: [b.store(1, b.ofVariable(row), b.call('mul', value, f32(0.5009765625)))],
  }
  const half = 4 * rows
  const slots = allArguments(kernel)
  return {
    name: `${regions} regions`,
    program: {
      machine,
      arguments: [argument('in', 'float32', rows), argument('out', 'float32', rows)],
      kernels: [kernel],
      regions: Array.from({ length: regions }, (_, r) => ({
        steps: [
          step(0, [
            r === 0 ? slots[0] : { space: 'arena', offset: (r % 2) * half },
            r === regions - 1 ? slots[1] : { space: 'arena', offset: ((r + 1) % 2) * half },
          ]),
        ],
        commit: false,
      })),
      arenaBytes: 2 * half,
      scratchBytes: 0,
      reports: [],
    },
    args: [bytesOf(noise(rows)), new Uint8Array(4 * rows)],
  }
}

export const cases: readonly Case[] = [
  ...[1, 3, 4, 63, 64, 65, 127, 130, 500].map(mixed),
  narrow('uint8', 131),
  narrow('bool', 131),
  integerFunctions(203),
  matmulCase(6, 32, 37),
  reduction(9, 23),
  strided(),
  clipped(),
  far(),
  gathering(false),
  gathering(true),
  chain(40, 333),
]

/** A profiled run of regions of one step each: every thread's times rise on one clock, and the regions fill the run. */
export function expectTimes(report: RunReport, regions: number, threads: number): void {
  expect(report.regions).toHaveLength(regions)
  // At the start, then after the step and after the barrier of each region.
  const { stamps = [] } = report
  expect(stamps.map((times) => times.length)).toEqual(Array(threads).fill(2 * regions + 1))
  const ends = stamps.map((times) => times[2 * regions])
  stamps.forEach((times, thread) => {
    expect(times[0]).toBeGreaterThan(0)
    expect(ends[thread]).toBeGreaterThan(times[0])
    expect(Math.abs(ends[thread] - ends[0])).toBeLessThan(1000)
  })
  const sum = (report.regions ?? []).reduce((a, time) => a + time, 0)
  expect(sum).toBeCloseTo(ends[0] - stamps[0][0], 6)
  expect(sum).toBeGreaterThan(0)
  expect(sum).toBeLessThanOrEqual(report.milliseconds + 0.1)
}
