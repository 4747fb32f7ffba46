export type { HostArray } from './array.js'
export { hostArray } from './array.js'
export {
  type Classes,
  type CsvOptions,
  CsvTable,
  type CsvType,
  parseCsv,
  readCsv,
} from './csv.js'
export type { Dataset } from './dataset.js'
export {
  ConcatDataset,
  filterItems,
  ImageDataset,
  mapItems,
  randomSplit,
  Subset,
  TensorDataset,
} from './dataset.js'
export { ImageFolder, type ImageFolderOptions, imageFolder } from './folder.js'
export { readIdx } from './idx.js'
export { decodeImage, type ImageOptions, readImage, resizeImage } from './image.js'
export type { LoaderOptions, LoaderState } from './loader.js'
export { DataLoader } from './loader.js'
export type { MnistOptions } from './mnist.js'
export { fashionMnist, mnist } from './mnist.js'
export {
  type BatchSampler,
  RandomSampler,
  type RandomSamplerOptions,
  type Sampler,
  SequentialSampler,
  WeightedRandomSampler,
} from './sampler.js'
export type { WorkerModule } from './workers.js'
