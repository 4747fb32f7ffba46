// Whole networks exported to ONNX against ONNX Runtime, with batches other than the example's.
import { describe, expect, it } from 'vitest'
import * as models from '../src/models/index.js'
import { compareExport, filledModel, operators, values } from './onnx-out.js'
import { onnxruntime } from './peers.js'

const ort = onnxruntime()

describe.skipIf(ort === undefined)('networks exported to ONNX', () => {
  it('LeNet', async () => {
    if (!ort) return
    const model = filledModel(new models.LeNet())
    const { graph } = await compareExport(ort, model, [
      [values('x', [1, 1, 28, 28])],
      [values('y', [3, 1, 28, 28])],
    ])
    console.log(
      operators(graph),
      graph.node?.map((n) => `${n.name} ${n.opType} ${n.input}`).join('\n'),
    )
  })
})
