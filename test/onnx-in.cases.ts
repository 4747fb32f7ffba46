// One operator a case, run here and by onnxruntime.
import type { OperatorCase } from './onnx-in.inputs.js'
import { networks } from './onnx-in.networks.js'
import { shapes } from './onnx-in.shapes.js'

export const cases: readonly OperatorCase[] = [...networks, ...shapes]
