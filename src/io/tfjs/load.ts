// TensorFlow.js models: layers models become Keras layers, graph models TensorFlow operators, both trainable.
import { fail } from '../../base/errors.js'
import { joined } from '../bytes.js'
import type { GraphModule } from '../graph/module.js'
import { buildModel, freezeAsWritten, type KerasModel } from '../keras/model.js'
import { assignNamed } from '../keras/weights.js'
import type { HostTensor } from '../values.js'
import { loadGraph } from './graph.js'
import { type Fields, fieldsOf, isObject } from './plain.js'
import { openFiles, type ShardReader, type TfjsFiles } from './source.js'
import { decodeGroup, readManifest } from './weights.js'

export interface TfjsOptions {
  /** Gives shards by their paths in the manifest; default: the files beside model.json. */
  readonly shard?: ShardReader
  /** The outputs to compute, by the names of any layers or nodes; default: the model's own. */
  readonly outputs?: readonly string[]
  /** Takes inputs of other sizes than the file says, as networks of convolutions can. Default false. */
  readonly anySize?: boolean
}

/**
 * Reads a TensorFlow.js model: `source` is the path or URL of its model.json, or that file's bytes with `shard` to give
 * the weights. A layers model gives a KerasModel, a graph model a GraphModule; both have `run({ name: x })` and
 * `forward(x)`, take and give tensors as TensorFlow does, images as [N, H, W, C], and are in evaluation mode. Weights
 * quantised to uint8, uint16 or float16 become float32.
 *
 *     const model = await loadTfjs('https://example.org/mobilenet/model.json')
 *     const logits = model.forward(images) // [N, 224, 224, 3] → [N, 1000]
 *
 * @throws BurnishError when a file is missing, damaged or leaves the folder, and naming every layer or node that is not
 * covered (docs/tensorflow.md).
 */
export async function loadTfjs(
  source: string | URL | Uint8Array,
  options: TfjsOptions = {},
): Promise<KerasModel | GraphModule> {
  const files = openFiles(source, options.shard)
  const { where } = files
  const model = fieldsOf(await files.model(), where)
  const topology = model.get('modelTopology')
  if (!isObject(topology))
    fail(`${where}: has no modelTopology; is it the model.json of a TensorFlow.js model?`)
  const fields = model.object('modelTopology')
  const format = model.string('format', fields.has('node') ? 'graph-model' : 'layers-model')
  if (format === 'graph-model')
    return loadGraph(model, await readWeights(model, files), { where, ...options })
  if (format !== 'layers-model')
    fail(`${where}: the format is ${format}; layers-model and graph-model are read`)
  return layersModel(fields, () => readWeights(model, files), where, options)
}

/**
 * The weights of a TensorFlow.js model by their names, quantised ones as float32, without the model.
 * @throws BurnishError as loadTfjs.
 */
export async function readTfjsWeights(
  source: string | URL | Uint8Array,
  options: Pick<TfjsOptions, 'shard'> = {},
): Promise<ReadonlyMap<string, HostTensor>> {
  const files = openFiles(source, options.shard)
  return readWeights(fieldsOf(await files.model(), files.where), files)
}

async function layersModel(
  fields: Fields,
  weights: () => Promise<ReadonlyMap<string, HostTensor>>,
  where: string,
  options: TfjsOptions,
): Promise<KerasModel> {
  const config = fields.has('model_config') ? fields.object('model_config') : fields
  const keras = fields.get('keras_version')
  // Before the weights are fetched, so that a model that cannot be read costs nothing.
  const model = buildModel(config.at(where), kerasVersion(keras), options)
  assignNamed(model, await weights(), where)
  freezeAsWritten(model)
  return model.eval()
}

/** Which meaning words have: `tfjs-layers 4.22.0` and `2.10.0` are Keras 2. */
export function kerasVersion(text: unknown): 2 | 3 {
  return typeof text === 'string' && /^3\./.test(text) ? 3 : 2
}

async function readWeights(
  model: Fields,
  files: TfjsFiles,
): Promise<ReadonlyMap<string, HostTensor>> {
  const groups = readManifest(model.get('weightsManifest') ?? [], files.where)
  const tensors = new Map<string, HostTensor>()
  for (const { paths, weights } of groups) {
    const shards = await Promise.all(paths.map((path) => files.shard(path)))
    const whole = shards.length === 1 ? shards[0] : joined(shards)
    for (const [name, tensor] of decodeGroup(weights, whole, files.where)) tensors.set(name, tensor)
  }
  return tensors
}
