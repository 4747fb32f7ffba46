// Keras models: `.keras` archives (Keras 3, and 2.12 on), whole models in `.h5` (Keras 2 and 3), and files of weights
// alone. Topologies become modules by the table of layers; code inside (Lambda, pickles) is never run.
import { fail } from '../../base/errors.js'
import { Hdf5File, isHdf5 } from '../hdf5.js'
import { readAddress } from '../source.js'
import { kerasVersion } from '../tfjs/load.js'
import { fieldsOf, readPlain, readPlainBytes } from '../tfjs/plain.js'
import type { HostTensor } from '../values.js'
import { readZip } from '../zip.js'
import { KerasLayer } from './layer.js'
import { buildModel, freezeAsWritten, type KerasModel, modelOf, storedNames } from './model.js'
import { assignNamed, fill, type NamedTensor } from './weights.js'

/** What loadKeras may be told. */
export interface KerasOptions {
  /** The outputs to compute, by the names of any layers; default: the model's own. */
  readonly outputs?: readonly string[]
  /** Takes inputs of other sizes than the file says, as networks of convolutions can. Default false. */
  readonly anySize?: boolean
}

/**
 * Reads a Keras model: `source` is the path or URL of a `.keras` or `.h5` file, or its bytes. See KerasModel.
 *
 *     const model = await loadKeras('model.keras')
 *     const logits = model.forward(images) // [N, H, W, C] → [N, classes]
 *
 * @throws BurnishError naming every layer that is not covered (docs/tensorflow.md), and for files that are
 * damaged.
 */
export async function loadKeras(
  source: string | URL | Uint8Array,
  options: KerasOptions = {},
): Promise<KerasModel> {
  const { bytes, where } = await bytesOf(source)
  if (isHdf5(bytes)) return wholeModel(bytes, where, options)
  const { entries, entry } = archiveOf(bytes, where)
  const config = fieldsOf(
    readPlainBytes(entry('config.json'), `${where}: config.json`),
    `${where}: config.json`,
  )
  const metadata = entries.has('metadata.json')
    ? fieldsOf(readPlainBytes(entry('metadata.json'), `${where}: metadata.json`), where)
    : undefined
  const model = buildModel(config, kerasVersion(metadata?.get('keras_version')), options)
  if (!entries.has('model.weights.h5') && entries.has('model.weights.npz'))
    fail(`${where}: keeps its weights as .npz, which early versions did; save it again`)
  const weights = entry('model.weights.h5')
  assignTree(model, new Hdf5File(weights, `${where}: model.weights.h5`), '')
  freezeAsWritten(model)
  return model.eval()
}

/**
 * Sets the weights of a model from a file of weights: `.weights.h5` of Keras 3, or `.h5` of Keras 2, whose layers are
 * found by their names.
 * @throws BurnishError naming the layer whose weights are missing or do not fit; then some were set.
 */
export async function loadKerasWeights(
  model: KerasModel,
  source: string | URL | Uint8Array,
): Promise<void> {
  const { bytes, where } = await bytesOf(source)
  assignFile(model, new Hdf5File(bytes, where))
  freezeAsWritten(model)
}

/**
 * The tensors of a Keras file by their paths in it, `layers/dense/vars/0` or `model_weights/dense/dense/kernel:0`,
 * without the model: of `.h5` and `.weights.h5` files, and of `.keras` archives.
 * @throws BurnishError when it is damaged, or holds something else than numbers.
 */
export async function readKerasWeights(
  source: string | URL | Uint8Array,
): Promise<ReadonlyMap<string, HostTensor>> {
  const { bytes, where } = await bytesOf(source)
  return weightsIn(bytes, where)
}

/** The same of bytes, whose errors begin with `where`. */
export function weightsIn(bytes: Uint8Array, where: string): ReadonlyMap<string, HostTensor> {
  const whole = isHdf5(bytes) ? bytes : archiveOf(bytes, where).entry('model.weights.h5')
  const file = new Hdf5File(whole, where)
  return new Map(file.datasets().map((path) => [path, file.tensor(path)]))
}

/** The files in a `.keras` archive. */
function archiveOf(bytes: Uint8Array, where: string) {
  if (bytes[0] !== 0x50 || bytes[1] !== 0x4b)
    fail(`${where}: is neither a .keras archive nor an HDF5 file`)
  const entries = readZip(bytes, where)
  const entry = (name: string): Uint8Array =>
    (entries.get(name) ?? fail(`${where}: has no ${name}; is it a .keras archive?`)).read()
  return { entries, entry }
}

async function bytesOf(source: string | URL | Uint8Array) {
  if (source instanceof Uint8Array) return { bytes: source, where: 'keras' }
  const address = source instanceof URL ? source.href : source
  const where = address.split(/[?#]/)[0].split('/').at(-1) ?? address
  return { bytes: await readAddress(address), where }
}

function wholeModel(bytes: Uint8Array, where: string, options: KerasOptions): KerasModel {
  const file = new Hdf5File(bytes, where)
  const config = file.text('', 'model_config')
  if (config === undefined)
    throw fail(
      `${where}: has no model_config, so it holds weights alone: make the model first, then loadKerasWeights(model, file)`,
    )
  const fields = fieldsOf(readPlain(config, `${where}: model_config`), where)
  const model = buildModel(fields, kerasVersion(file.text('', 'keras_version')), options)
  assignFile(model, file)
  freezeAsWritten(model)
  return model.eval()
}

function assignFile(model: KerasModel, file: Hdf5File): void {
  if (file.hasGroup('model_weights')) assignGroups(model, file, 'model_weights')
  else if (file.names('', 'layer_names') !== undefined) assignGroups(model, file, '')
  else assignTree(model, file, '')
}

const join = (...parts: readonly string[]) => parts.filter((part) => part !== '').join('/')

/** Keras 2: a group for each layer, with its weights in order in an attribute. */
function assignGroups(model: KerasModel, file: Hdf5File, root: string): void {
  const { where } = file
  for (const [name, layer] of model.layers) {
    const path = join(root, name)
    const names = file.names(path, 'weight_names') ?? []
    const found = names.map((weight): NamedTensor => [weight, file.tensor(join(path, weight))])
    const inner = modelOf(layer)
    if (inner !== undefined) {
      const tensors = new Map<string, HostTensor>()
      for (const [weight, tensor] of found) {
        if (tensors.has(weight)) fail(`${where}: ${path} has two weights called ${weight}`)
        tensors.set(weight, tensor)
      }
      assignNamed(inner, tensors, where)
    } else if ('slots' in layer) fill({ layer: asLayer(layer), path: [name] }, found, where)
  }
}

function asLayer(layer: object): KerasLayer {
  return layer instanceof KerasLayer ? layer : fail('a layer was replaced; load weights before')
}

/** Keras 3: groups as the objects lie in each other; a layer's variables are numbered. */
function assignTree(model: KerasModel, file: Hdf5File, root: string): void {
  const container = ['layers', '_layer_checkpoint_dependencies'].find((name) =>
    file.hasGroup(join(root, name)),
  )
  for (const [name, layer] of storedNames(model)) {
    const path = join(root, container ?? 'layers', name)
    const inner = modelOf(layer)
    if (inner !== undefined) {
      assignTree(inner, file, path)
      continue
    }
    const counts = new Map<string, number>()
    for (const { layer: owner, slot, prefix } of layer.slots()) {
      const at = slot.at ?? ''
      // Attributes of older versions begin with an underscore.
      const group =
        [join(path, prefix, at), join(path, prefix, at === '' ? '' : `_${at}`)].find((candidate) =>
          file.hasGroup(join(candidate, 'vars')),
        ) ?? join(path, prefix, at)
      const index = counts.get(group) ?? 0
      counts.set(group, index + 1)
      const vars = join(group, 'vars')
      if (!file.keys(vars).includes(`${index}`)) {
        if (slot.optional === true) continue
        fail(
          `${file.where}: ${layer.className} ${layer.layerName} needs ${slot.name}, but there is no ${vars}/${index}`,
        )
      }
      owner.assign(slot, file.tensor(`${vars}/${index}`))
    }
  }
}
