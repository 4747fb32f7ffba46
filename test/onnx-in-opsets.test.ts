// ONNX models read: every case of every operator at each opset that changed the operator, and at the first and the last
// that are read, wherever onnxruntime accepts it there.
import { describe, expect, it } from 'vitest'
import { operators } from '../src/io/onnx/operators/index.js'
import { NEWEST, OLDEST } from '../src/io/onnx/read.js'
import { setDevice } from '../src/tensor/devices.js'
import { cases } from './onnx-in.cases.js'
import { compare, expectedOf, type Outputs } from './onnx-in.compare.js'
import type { OperatorCase } from './onnx-in.inputs.js'
import { opsets } from './onnx-in.opsets.js'
import { type Ort, onnxruntime } from './peers.js'

const ort = onnxruntime()

/** The opsets at which an operator is tried. */
function triedOf(op: string): readonly number[] {
  const since = opsets.get(op) ?? []
  const first = Math.max(OLDEST, since[0] ?? OLDEST)
  return [...new Set([first, ...since.filter((version) => version > first), NEWEST])]
}

/** Where there is nothing to compare: ONNX took Upsample away with opset 10. */
const EXCEPTIONS: { readonly [op: string]: readonly number[] } = { Upsample: [10, 21] }

async function accepted(runtime: Ort, given: OperatorCase): Promise<Outputs | undefined> {
  try {
    return await expectedOf(runtime, given)
  } catch {
    return undefined
  }
}

describe.skipIf(ort === undefined)('opsets, as onnxruntime computes them', async () => {
  if (ort === undefined) return
  await setDevice('reference')
  it.each([...new Set(cases.map(({ op }) => op))])('%s', async (op) => {
    const compared = new Set<number>()
    for (const given of cases.filter((one) => one.op === op)) {
      for (const opset of triedOf(op)) {
        const own = { ...given, opset }
        const expected = await accepted(ort, own)
        if (expected === undefined) continue
        await compare(own, expected)
        compared.add(opset)
      }
    }
    const missing = triedOf(op).filter((version) => !compared.has(version))
    expect(missing).toEqual(EXCEPTIONS[op] ?? [])
  })
})

it('the history of every operator is known', () => {
  const own = [...operators.keys()].filter((op) => !op.includes('.'))
  expect(own.filter((op) => !opsets.has(op))).toEqual([])
})
