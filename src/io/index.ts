// burnish/io: bytes ↔ named tensors.

export { type Downloaded, type DownloadOptions, download, type Progress } from './download.js'
export { type Files, type HubOptions, openRepository, type Repository } from './hub.js'
export { type Json, parseJson } from './json.js'
export { loadKeras, loadKerasWeights } from './keras/load.js'
export { KerasModel } from './keras/model.js'
export { readNpy, readNpz, writeNpy, writeNpz } from './npy.js'
export {
  type ExampleInput,
  type Exportable,
  type ExportOptions,
  exportOnnx,
} from './onnx/export.js'
export { readSafetensors, type Safetensors, writeSafetensors } from './safetensors.js'
export { decodeState, encodeState } from './state.js'
export { loadTfjs, type TfjsOptions } from './tfjs/load.js'
export type { ShardReader } from './tfjs/source.js'
export {
  decode,
  encode,
  type FileDType,
  fileItemSize,
  type HostTensor,
  type StoredTensor,
} from './values.js'
