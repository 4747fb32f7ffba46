// The C printer: without fused multiply-adds a program compiled from C gives the bits of the JavaScript printer, on one
// thread and on two; and some of its text.
import { afterAll, describe, expect, test } from 'vitest'
import { cases, gathering } from '../../test/machine-cases.js'
import { firstDifference } from '../../test/programs.js'
import { hasNative, nativeRunner, ownCache, type Runner } from '../../test/run-native.js'
import { runJs } from './js.js'

ownCache()
const present = await hasNative()
const runners: Runner[] = present ? [await nativeRunner(1), await nativeRunner(2)] : []
afterAll(async () => {
  for (const runner of runners) await runner.close()
})

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
