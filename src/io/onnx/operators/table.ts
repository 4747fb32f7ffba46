// What the files of operators share: the type of a table, and element types as ONNX numbers them.
import type { DType } from '../../../base/dtype.js'
import type { Call } from '../../graph/call.js'
import { hostDType } from '../../values.js'
import { fileType, typeName } from '../tensors.js'

export type { Operators as Table } from '../../graph/call.js'

/** The type in memory for one of ONNX's: floats of any width are float32, integers int32. */
export function dtypeOf(call: Call, type: number): DType {
  const file = fileType(type)
  return file === undefined ? call.fail(`${typeName(type)} is not supported`) : hostDType(file)
}
