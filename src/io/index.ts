// burnish/io: bytes ↔ named tensors.

export { type Downloaded, type DownloadOptions, download, type Progress } from './download.js'
export { GraphModule, type Named } from './graph/module.js'
export { type Files, type HubOptions, openRepository, type Repository } from './hub.js'
export { type Json, parseJson } from './json.js'
export { type KerasOptions, loadKeras, loadKerasWeights, readKerasWeights } from './keras/load.js'
export { KerasModel } from './keras/model.js'
export {
  type FileInput,
  type LoadStateOptions,
  loadState,
  openTensors,
  type TensorEntry,
  type TensorFile,
} from './load.js'
export { readNpy, readNpz, writeNpy, writeNpz } from './npy.js'
export {
  type ExampleInput,
  type Exportable,
  type ExportOptions,
  exportOnnx,
} from './onnx/export.js'
export { loadOnnx, type OnnxOptions } from './onnx/load.js'
export {
  openPytorch,
  type PytorchFile,
  PytorchStorage,
  PytorchTensor,
  type PytorchValue,
  readPytorch,
} from './pytorch.js'
export { type PytorchWritable, writePytorch } from './pytorch-write.js'
export {
  openSafetensors,
  readSafetensors,
  type Safetensors,
  type SafetensorsEntry,
  type SafetensorsFile,
  writeSafetensors,
} from './safetensors.js'
export { type SaveOptions, saveState, saveTensors } from './save.js'
export { readShardIndex, type ShardedFiles, type ShardIndex, shardSafetensors } from './shards.js'
export {
  blobSource,
  bytesSource,
  fileSource,
  type HttpOptions,
  httpSource,
  type Source,
} from './source.js'
export { decodeState, encodeState, storedState } from './state.js'
export { type StateDictOptions, stateDictOf, valueAt } from './state-dict.js'
export { loadTfjs, readTfjsWeights, type TfjsOptions } from './tfjs/load.js'
export type { ShardReader } from './tfjs/source.js'
export {
  decode,
  encode,
  type FileDType,
  fileItemSize,
  type HostTensor,
  type StoredTensor,
} from './values.js'
