// The JavaScript printer's text, for two small kernels.
import { expect, test } from 'vitest'
import { buffer, elementwise } from '../../test/programs.js'
import * as b from '../compiler/build.js'
import { kernelSource } from './js.js'

test('an elementwise kernel', () => {
  const kernel = elementwise(10, ['float32'], ([x]) =>
    b.call('max', b.call('mul', x, b.num('f32', 0.5)), b.num('f32', 0)),
  )
  expect(kernelSource(kernel)).toMatchInlineSnapshot(`
    "function kernel_elementwise(begin, end, [x0_b0, out_b1], report) {
      let v0_0, v0_1, v0_2, v0_3, v1
      for (let block_0 = begin; block_0 < end; block_0++) {
        for (let i_1 = 0, i_1_end = Math.min(64, -64 * block_0 + 7); i_1 < i_1_end; i_1 += 4) {
          ;[v0_0, v0_1, v0_2, v0_3] = [x0_b0[64 * block_0 + i_1], x0_b0[64 * block_0 + i_1 + 1], x0_b0[64 * block_0 + i_1 + 2], x0_b0[64 * block_0 + i_1 + 3]]
          out_b1[64 * block_0 + i_1] = (fround(v0_0 * 0.5) < 0 ? 0 : fround(v0_0 * 0.5))
          out_b1[64 * block_0 + i_1 + 1] = (fround(v0_1 * 0.5) < 0 ? 0 : fround(v0_1 * 0.5))
          out_b1[64 * block_0 + i_1 + 2] = (fround(v0_2 * 0.5) < 0 ? 0 : fround(v0_2 * 0.5))
          out_b1[64 * block_0 + i_1 + 3] = (fround(v0_3 * 0.5) < 0 ? 0 : fround(v0_3 * 0.5))
        }
        for (let tail_2 = -64 * block_0 + 8, tail_2_end = Math.min(64, -64 * block_0 + 10); tail_2 < tail_2_end; tail_2++) {
          v1 = x0_b0[64 * block_0 + tail_2]
          out_b1[64 * block_0 + tail_2] = (fround(v1 * 0.5) < 0 ? 0 : fround(v1 * 0.5))
        }
      }
    }"
  `)
})

test('conditions, reports and horizontal sums', () => {
  const names = b.createNames()
  const i = names.variable('i')
  const v = names.local('f32', 4)
  const kernel = {
    name: 'checked sum',
    buffers: [buffer('x', 'float32', 'read'), buffer('y', 'float32', 'write')],
    parallel: { variable: i, extent: 3 },
    body: [
      b.set(v, b.load('float32', 0, b.ofVariable(i, 4), { lanes: 4 })),
      b.when(
        [b.inside(b.ofVariable(i, 1, -1), 2)],
        [b.store(1, b.ofVariable(i), b.across('add', b.localOf(v)))],
      ),
      b.report(
        b.call('eq', b.laneOf(b.localOf(v), 2), b.num('f32', 0)),
        1,
        b.index(b.ofVariable(i)),
      ),
    ],
  } as const
  expect(kernelSource(kernel)).toMatchInlineSnapshot(`
    "function kernel_checked_sum(begin, end, [x_b0, y_b1], report) {
      let v0_0, v0_1, v0_2, v0_3
      for (let i_0 = begin; i_0 < end; i_0++) {
        ;[v0_0, v0_1, v0_2, v0_3] = [x_b0[4 * i_0], x_b0[4 * i_0 + 1], x_b0[4 * i_0 + 2], x_b0[4 * i_0 + 3]]
        if (i_0 - 1 >= 0 && i_0 - 1 < 2) {
          y_b1[i_0] = fround(fround(v0_0 + v0_2) + fround(v0_1 + v0_3))
        }
        if ((v0_2 === 0 ? 1 : 0)) report(1, (i_0 | 0))
      }
    }"
  `)
})
