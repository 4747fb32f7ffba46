// Ten thousand damaged ONNX files: each is refused with a BurnishError or read, and then traced, or refused at that.
import { describe, it } from 'vitest'
import { fail } from '../src/base/errors.js'
import { sizeOf } from '../src/base/shape.js'
import { zeros } from '../src/index.js'
import { loadOnnxBytes } from '../src/io/onnx/load.js'
import { fuzz } from './fuzz.js'
import { cases } from './onnx-in.cases.js'
import { modelOfCase } from './onnx-in.inputs.js'
import { goldenBytes } from './support.js'

/** Reads a file, and builds the graph of its outputs for zeros of the sizes it declares. */
function readAndTrace(bytes: Uint8Array): readonly string[] {
  const model = loadOnnxBytes(bytes, 'fuzz')
  const inputs = model.inputs.map(({ name, shape = [], dtype = 'float32' }) => {
    const sizes = shape.map((size) => (typeof size === 'number' ? size : 1))
    if (!sizes.every((n) => n >= 0) || sizeOf(sizes) > 1e5) fail('more than a test would give')
    return [
      name,
      zeros(sizes, {
        dtype: dtype === 'int32' || dtype === 'bool' || dtype === 'uint8' ? dtype : 'float32',
      }),
    ] as const
  })
  return Object.keys(model.run(Object.fromEntries(inputs)))
}

describe('damaged files', () => {
  const golden = goldenBytes('bnnet.onnx')
  it('of single operators', async () => {
    await fuzz('onnx operators', cases.map(modelOfCase), readAndTrace, { count: 8000 })
  })
  it.skipIf(golden === undefined)('of a network', async () => {
    if (golden !== undefined) await fuzz('onnx network', [golden], readAndTrace, { count: 2000 })
  })
})
