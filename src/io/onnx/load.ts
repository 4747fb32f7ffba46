// ONNX models as trainable modules: from bytes, a path or an address.
import { addressed } from '#folder'
import { BurnishError, fail } from '../../base/errors.js'
import type { Shape } from '../../base/shape.js'
import { GraphModule } from '../graph/module.js'
import { isWeb, readAddress } from '../source.js'
import { operators } from './operators/index.js'
import { readModel } from './read.js'
import { checkLocation, type ExternalData } from './tensors.js'
import { decodeModel, type Graph, type Model, type Tensor } from './wire.js'

export interface OnnxOptions {
  /** Files of weights beside the model, by the names it has for them, where it is given as bytes. */
  readonly external?: ReadonlyMap<string, Uint8Array>
  /** The outputs to compute, by the names of any values in the graph; default: its own. */
  readonly outputs?: readonly string[]
  /** Whether a float constant is trained; undefined leaves it to the rule (docs/onnx.md). */
  readonly parameters?: (name: string, shape: Shape) => boolean | undefined
}

/**
 * Reads an ONNX model (opset 7 to 21) as a Module: its weights are parameters under their names in the file, so that it
 * can be trained; `run({ name: x })` gives its outputs by name, `forward(x)` the only one. It is in evaluation mode.
 *
 *     const model = await loadOnnx('resnet18.onnx')
 *     const { logits } = model.run({ image }) // [N, 3, 224, 224] → [N, 1000]
 *
 * @throws BurnishError when the file is damaged, of another opset, reads outside of its folder, or naming every node
 * whose operator is not covered (docs/onnx.md).
 */
export async function loadOnnx(
  source: Uint8Array | ArrayBuffer | Blob | string | URL,
  options: OnnxOptions = {},
): Promise<GraphModule> {
  if (typeof source === 'object' && !(source instanceof URL)) {
    const external = inMemory(options.external, 'ONNX model')
    const whole = source instanceof Blob ? await source.arrayBuffer() : source
    const bytes = whole instanceof Uint8Array ? whole : new Uint8Array(whole)
    return loadOnnxBytes(bytes, 'ONNX model', options, external)
  }
  const address = addressed(source)
  if (isWeb(address)) {
    const model = decoded(await readAddress(address), address)
    const files = new Map<string, Uint8Array>()
    for (const location of locationsOf(model, address))
      files.set(location, await readAddress(besideOf(address, location)))
    return build(model, address, options, inMemory(files, address))
  }
  const { fileURLToPath } = await import('node:url')
  const path = address.startsWith('file:') ? fileURLToPath(address) : address
  return loadOnnxBytes(await readAddress(path), path, options, await filesBeside(path))
}

/** Bytes of files in the folder of a model, or below it; never by a link out of it. */
export async function filesBeside(path: string): Promise<ExternalData> {
  const fs = await import('node:fs')
  const { dirname, join, sep } = await import('node:path')
  return (location, offset, length) => {
    checkLocation(location, path)
    const folder = fs.realpathSync(dirname(path))
    const file = join(folder, location)
    if (!fs.existsSync(file)) throw fail(`${path}: its data are in ${location}, which is not there`)
    // A link may lead anywhere.
    const real = fs.realpathSync(file)
    if (!real.startsWith(folder.endsWith(sep) ? folder : folder + sep))
      fail(`${path}: ${location} is a link out of the model's folder`)
    const { size } = fs.statSync(real)
    const end = checkRange(path, location, offset, length, size)
    const part = new Uint8Array(end - offset)
    const handle = fs.openSync(real, 'r')
    try {
      let done = 0
      while (done < part.length) {
        const count = fs.readSync(handle, part, done, part.length - done, offset + done)
        if (count === 0) throw fail(`${path}: ${location} ended while it was read`)
        done += count
      }
    } finally {
      fs.closeSync(handle)
    }
    return part
  }
}

/** As loadOnnx, of bytes at hand and at once; `where` begins errors. */
export function loadOnnxBytes(
  bytes: Uint8Array,
  where: string,
  options: OnnxOptions = {},
  external?: ExternalData,
): GraphModule {
  return build(decoded(bytes, where), where, options, external)
}

/** What people take for ONNX, by the first bytes; none of these begins a message. */
const OTHERS: readonly (readonly [string, RegExp])[] = [
  ['a zip archive, as .pt, .npz and .keras are; loadState and loadKeras read those', /^PK/],
  ['a pickle, as PyTorch wrote before 1.6; loadState reads it', /^\x80/],
  ['an HDF5 file; loadKeras reads those of Keras', /^\x89HDF/],
  ['safetensors; loadState reads it', /^.{4}\0{4}\{/s],
  [
    'text: perhaps an error page, a pointer of Git LFS, or a model.json for loadTfjs',
    /^[{<v][\s\w"!]{3}/,
  ],
]

function decoded(bytes: Uint8Array, where: string): Model {
  const head = String.fromCharCode(...bytes.subarray(0, 16))
  const other = OTHERS.find(([, begins]) => begins.test(head))
  if (other) fail(`${where}: is no ONNX model but ${other[0]}`)
  return decodeModel(bytes, where)
}

function build(
  model: Model,
  where: string,
  { outputs, parameters }: OnnxOptions,
  external: ExternalData | undefined,
): GraphModule {
  const { graph, version } = readModel(model, where, external)
  try {
    return new GraphModule(graph, operators, {
      where,
      version,
      hint: 'docs/onnx.md lists what is supported',
      ...(outputs ? { outputs } : {}),
      ...(parameters ? { parameters } : {}),
    })
  } catch (error) {
    if (error instanceof BurnishError && !error.message.startsWith(where))
      error.message = `${where}: ${error.message}`
    throw error
  }
}

function checkRange(
  where: string,
  location: string,
  offset: number,
  length: number | undefined,
  size: number,
): number {
  const end = length === undefined ? size : offset + length
  if (offset > size || end > size)
    fail(`${where}: bytes ${offset} to ${end} of ${location} are wanted, but it has ${size}`)
  return end
}

function inMemory(
  files: ReadonlyMap<string, Uint8Array> | undefined,
  where: string,
): ExternalData | undefined {
  if (files === undefined) return undefined
  return (location, offset, length) => {
    const file = files.get(location)
    if (file === undefined)
      throw fail(`${where}: its data are in the file ${location}, which is not in { external }`)
    return file.subarray(offset, checkRange(where, location, offset, length, file.length))
  }
}

/** The files with data of a model, of its initializers and of its nodes' constants, inner graphs too. */
function locationsOf({ graph, functions = [] }: Model, where: string): Set<string> {
  const found = new Set<string>()
  const add = ({ dataLocation, externalData = [] }: Tensor) => {
    const location = externalData.find(({ key }) => key === 'location')?.value
    if (dataLocation !== 1 || location === undefined) return
    checkLocation(location, where)
    found.add(location)
  }
  const graphs: Pick<Graph, 'initializer' | 'node'>[] = [...functions, ...(graph ? [graph] : [])]
  for (let inner = graphs.pop(); inner !== undefined; inner = graphs.pop()) {
    inner.initializer?.forEach(add)
    for (const { attribute = [] } of inner.node ?? [])
      for (const { t, g } of attribute) {
        if (t) add(t)
        if (g) graphs.push(g)
      }
  }
  return found
}

/** The address of a file below a model's; what may mean something in an address (`%2e%2e`, `http:`) is only a name. */
function besideOf(address: string, location: string): string {
  const path = location.split(/[\\/]/).map(encodeURIComponent).join('/')
  return new URL(`./${path}`, address).href
}
