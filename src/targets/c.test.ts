// The C printer: without fused multiply-adds a program compiled from C gives the bits of the JavaScript printer, on one
// thread and on two; and some of its text.
import { describe, expect, test } from 'vitest'
import { cases, chain, gathering } from '../../test/machine-cases.js'
import { firstDifference, matmulKernel } from '../../test/programs.js'
import { nativeRunners } from '../../test/run-native.js'
import { kernelText } from './c/body.js'
import { cSource, emitC } from './c.js'
import { runJs } from './js.js'

const runners = await nativeRunners()
const present = runners.length > 0

describe.skipIf(!present)('C and js give the same bits', () => {
  test.each(cases)('$name', async ({ program, args }) => {
    const copies = () => args.map((bytes) => bytes.slice())
    const expected = copies()
    const status = runJs(program, expected)
    for (const runner of runners) {
      const got = copies()
      const { code, value } = await runner.run(program, got)
      expect({ code, value }).toEqual(status)
      expect(firstDifference(got, expected)).toBe(-1)
    }
  })
})

test.skipIf(!present)('the first report wins and stops what commits', async () => {
  const { program, args } = gathering(true)
  for (const runner of runners) {
    const copies = args.map((bytes) => bytes.slice())
    const { code, value } = await runner.run(program, copies)
    expect({ code, value }).toEqual({ code: 1, value: 9 })
    expect(copies[2]).toEqual(args[2])
  }
})

test('a kernel is a function of plain loops', () => {
  expect(kernelText(chain(1, 5).program.kernels[0])).toMatchInlineSnapshot(`
    "(N begin, N end, const float *b0, float *b1, i32 *status) {
      for (N v0 = begin; v0 < end; v0++) {
        *(b1 + v0) = (((*(b0 + v0)) + (*(b0 - 1 * v0 + 4))) * 0.5009765625f);
      }
    }"
  `)
  const lines = kernelText(matmulKernel(2, 16, 8)).split('\n')
  const inner = lines.findIndex((line) => line.includes('N v2'))
  expect(lines.slice(inner, inner + 10).join('\n')).toMatchInlineSnapshot(`
    "      for (N v2 = 0, e2 = 8; v2 < e2; v2 += 1) {
            l8 = broadcast_float32(b0 + 16 * v0 + v2);
            l9 = broadcast_float32(b0 + 16 * v0 + v2 + 8);
            l10 = load_float32(b1 + v1 + 16 * v2);
            l11 = load_float32(b1 + v1 + 16 * v2 + 4);
            l12 = load_float32(b1 + v1 + 16 * v2 + 8);
            l13 = load_float32(b1 + v1 + 16 * v2 + 12);
            l0 = fma_F(l8, l10, l0);
            l1 = fma_F(l8, l11, l1);
            l2 = fma_F(l8, l12, l2);"
  `)
})

test('kernels of one text are one function, whatever they are called', () => {
  const { program } = cases[3]
  const [kernel] = program.kernels
  const twice = { ...program, kernels: [kernel, { ...kernel, name: 'copy' }] }
  expect(emitC(twice).kernels).toEqual(emitC(program).kernels)
  expect(cSource(emitC(program))).toContain(`void k0_${kernel.name}(`)
})
