// The WebAssembly printer: every module validates, and computes the bits that the JavaScript printer computes.
import { describe, expect, test } from 'vitest'
import { cases, gathering } from '../../../test/machine-cases.js'
import { firstDifference, matmulKernel } from '../../../test/programs.js'
import { runWasm } from '../../../test/run-wasm.js'
import { runJs } from '../js.js'
import { planAddresses } from './addresses.js'
import { emitWasm } from './emit.js'
import { hasRelaxedSimd } from './features.js'

const variants = [
  { shared: false, relaxed: false },
  { shared: true, relaxed: false },
  { shared: true, relaxed: hasRelaxedSimd() },
]

describe('wasm and js give the same bits', () => {
  test.each(cases)('$name', ({ program, args }) => {
    const copies = () => args.map((bytes) => bytes.slice())
    const expected = copies()
    const status = runJs(program, expected)
    const changed = firstDifference(expected, args) >= 0
    expect(changed, 'the program does something').toBe(status.code === 0)
    for (const options of variants) {
      expect(WebAssembly.validate(emitWasm(program, options).bytes)).toBe(true)
      if (options.relaxed) continue
      const got = copies()
      expect(runWasm(program, got, options)).toEqual(status)
      expect(firstDifference(got, expected)).toBe(-1)
    }
  })
})

test('a matrix product is the matrix product', () => {
  const found = cases.find(({ name }) => name.startsWith('matmul'))
  if (found === undefined) throw new Error('no matmul case')
  const args = found.args.map((bytes) => bytes.slice())
  runWasm(found.program, args)
  const [a, b, out] = args.map((bytes) => new Float32Array(bytes.buffer))
  const [m, n, k] = [6, 32, 37]
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0
      for (let c = 0; c < k; c++) sum += a[i * k + c] * b[c * n + j]
      expect(out[i * n + j]).toBeCloseTo(sum, 5)
    }
})

test('the first report wins and stops what commits', () => {
  const { program, args } = gathering(true)
  const copies = args.map((bytes) => bytes.slice())
  expect(runWasm(program, copies)).toEqual({ code: 1, value: 9 })
  expect(copies[2]).toEqual(args[2])
})

test('the inner loop of a product has one pointer for each operand', () => {
  const scopes = planAddresses(matmulKernel(8, 32, 16))
  const shown = scopes.map(({ variable, pointers }) => ({
    loop: variable?.name ?? 'function',
    pointers: pointers.map((p) => `${p.buffer} += ${p.coefficient}`),
  }))
  expect(shown).toMatchInlineSnapshot(`
    [
      {
        "loop": "function",
        "pointers": [
          "1 += 0",
          "0 += 0",
          "2 += 0",
        ],
      },
      {
        "loop": "i",
        "pointers": [
          "0 += 128",
          "2 += 256",
        ],
      },
      {
        "loop": "j",
        "pointers": [
          "2 += 4",
          "1 += 4",
        ],
      },
      {
        "loop": "k",
        "pointers": [
          "0 += 4",
          "1 += 128",
        ],
      },
    ]
  `)
})

test('kernels of one text are one function', () => {
  const { program } = cases[3]
  const twice = {
    ...program,
    kernels: [program.kernels[0], { ...program.kernels[0], name: 'copy' }],
  }
  const options = { shared: false, relaxed: false }
  expect(emitWasm(twice, options).bytes.length).toBe(emitWasm(program, options).bytes.length)
})

test('fma is one relaxed instruction where the engine has it', () => {
  const found = cases.find(({ name }) => name.startsWith('matmul'))
  if (found === undefined) throw new Error('no matmul case')
  const count = (relaxed: boolean) => {
    const { bytes } = emitWasm(found.program, { shared: false, relaxed })
    return bytes.filter((byte, i) => byte === 0xfd && bytes[i + 1] === 0x85 && bytes[i + 2] === 2)
      .length
  }
  expect([count(false), count(true)]).toEqual([0, 8])
})
