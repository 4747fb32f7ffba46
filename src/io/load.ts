// Files of tensors whatever their format, which their content tells: `openTensors` reads the header and then tensors one by
// one, `loadState` all of them for `loadStateDict`. Formats: safetensors, its shards (`*.index.json`), PyTorch's
// checkpoints, .npz and .npy, Keras's .h5 and .keras, the weights beside a TensorFlow.js model.json.
import { addressed } from '#folder'
import { fail } from '../base/errors.js'
import type { Shape } from '../base/shape.js'
import { readNpy } from './npy.js'
import { openPytorch, PytorchTensor, type PytorchValue } from './pytorch.js'
import { openSafetensors } from './safetensors.js'
import { readShardIndex } from './shards.js'
import {
  aheadSource,
  blobSource,
  bytesSource,
  fileSource,
  httpSource,
  type Source,
} from './source.js'
import { type StateDictOptions, stateDictOf } from './state-dict.js'
import { decode, encode, type FileDType, type HostTensor, type StoredTensor } from './values.js'
import { openZip, type ZipSourceEntry } from './zip.js'

/** A file: its path (in Node), its address, its bytes, a Blob or File, or something that reads it in pieces. */
export type FileInput = string | URL | Uint8Array | ArrayBuffer | Blob | Source

/** What a file tells of a tensor before it is read. */
export interface TensorEntry {
  readonly dtype: FileDType
  readonly shape: Shape
  /** Another name of the same tensor, which stands before it. */
  readonly same?: string
}

/** A file of named tensors. Close it when done. */
export interface TensorFile {
  /** `safetensors`, `pytorch`, … */
  readonly format: string
  readonly tensors: ReadonlyMap<string, TensorEntry>
  readonly metadata: ReadonlyMap<string, string>
  /** All that a checkpoint of PyTorch holds, the state dict with it. */
  readonly value?: PytorchValue
  /** @throws BurnishError when there is none of that name. */
  read(name: string): Promise<StoredTensor>
  close(): Promise<void>
}

/** What `loadState` and `openTensors` may be told. */
export interface LoadStateOptions extends StateDictOptions {
  /** All tensors of a PyTorch checkpoint, by their paths as `model.conv.weight`, instead of its state dict. */
  readonly all?: boolean
  /** For addresses: further headers of the requests. */
  readonly headers?: { readonly [name: string]: string }
}

/** Within: all tensors will be read, one after the other. */
const WHOLE = Symbol('whole')

interface Opening extends LoadStateOptions {
  readonly [WHOLE]?: boolean
}

const NO_METADATA: ReadonlyMap<string, string> = new Map()
/** Enough of a file to tell its format. */
const HEAD = 64
const LONGEST_INDEX = 64 * 2 ** 20
const MOST_PATHS = 1_000_000
/** What a folder of a model may hold, the first that is there counts. */
const IN_FOLDERS = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
]

/**
 * The values of a file by name, for `loadStateDict`. Floats are read as float32, integers as int32. Of a PyTorch
 * checkpoint that holds more, the state dict is found: see `stateDictOf`. A tensor with two names is one object.
 *
 *     model.loadStateDict(await loadState('resnet18.pth'))
 *
 * @throws BurnishError when the file is absent, damaged, of a format that holds no tensors, or holds no state dict.
 */
export async function loadState(
  input: FileInput,
  options: LoadStateOptions = {},
): Promise<{ readonly [name: string]: HostTensor }> {
  const opening: Opening = { ...options, [WHOLE]: true }
  const file = await openTensors(input, opening)
  try {
    const values: { [name: string]: HostTensor } = Object.create(null)
    for (const [name, { same }] of file.tensors)
      values[name] =
        same === undefined ? decode(await file.read(name), name, { copy: false }) : values[same]
    return values
  } finally {
    await file.close()
  }
}

/**
 * The tensors of a file, by its content; only headers are read before `read()`.
 * @throws BurnishError as `loadState`.
 */
export async function openTensors(
  input: FileInput,
  options: LoadStateOptions = {},
): Promise<TensorFile> {
  // What is inside, such as shards, is opened under the names it has.
  const { strip = '', ...inside } = options
  const source = await sourceOf(input, inside)
  try {
    return stripped(await openSource(source, input, inside), strip, source.name)
  } catch (error) {
    await source.close()
    throw error
  }
}

/**
 * The same file, a prefix taken off every name that has it.
 * @throws BurnishError when two tensors would have one name.
 */
export function stripped(file: TensorFile, strip: string, where: string): TensorFile {
  if (strip === '') return file
  const short = (name: string) => (name.startsWith(strip) ? name.slice(strip.length) : name)
  const tensors = new Map<string, TensorEntry>()
  const whole = new Map<string, string>()
  for (const [name, entry] of file.tensors) {
    const own = short(name)
    if (tensors.has(own))
      fail(`${where}: without ${JSON.stringify(strip)} two tensors are called ${own}`)
    const { same } = entry
    tensors.set(own, same === undefined ? entry : { ...entry, same: short(same) })
    whole.set(own, name)
  }
  return { ...file, tensors, read: (name) => file.read(whole.get(name) ?? name) }
}

async function sourceOf(input: FileInput, options: Opening): Promise<Source> {
  if (input instanceof Uint8Array) return bytesSource(input)
  if (input instanceof ArrayBuffer) return bytesSource(new Uint8Array(input))
  if (input instanceof Blob) return blobSource(input)
  if (typeof input === 'object' && !(input instanceof URL)) return input
  const address = addressed(input)
  if (/^(blob|data):/.test(address)) return blobSource(await (await fetch(address)).blob())
  if (/^https?:/.test(address)) {
    const { headers } = options
    const source = await httpSource(address, headers === undefined ? {} : { headers })
    return options[WHOLE] ? aheadSource(source) : source
  }
  return fileSource(await pathOf(input))
}

async function pathOf(input: string | URL): Promise<string> {
  const isAddress = input instanceof URL || input.startsWith('file:')
  const path = isAddress ? (await import('node:url')).fileURLToPath(input) : input
  const { stat } = await import('node:fs/promises')
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true
  if (!isFolder) return path
  const { join } = await import('node:path')
  for (const name of IN_FOLDERS)
    if (await stat(join(path, name)).catch(() => undefined)) return join(path, name)
  return fail(`${path}: a folder with none of ${IN_FOLDERS.join(', ')}; name a file in it`)
}

async function openSource(source: Source, input: FileInput, options: Opening): Promise<TensorFile> {
  const head = await source.read(0, Math.min(HEAD, source.size))
  const begins = (...start: readonly number[]) => start.every((byte, i) => head[i] === byte)
  // The length of a safetensors header may begin as any other format does.
  if (head[8] === 0x7b && head.subarray(4, 8).every((byte) => byte === 0))
    return safetensorsFile(source)
  if (begins(0x93, 0x4e, 0x55)) return npyFile(source)
  if (begins(0x89, 0x48, 0x44, 0x46)) return kerasFile(source)
  if (begins(0x50, 0x4b)) {
    const entries = await openZip(source)
    const names = [...entries.keys()]
    if (entries.has('model.weights.h5')) return kerasFile(source)
    if (!names.some((name) => name.endsWith('data.pkl')) && names.every((n) => n.endsWith('.npy')))
      return npzFile(source, entries)
    return pytorchFile(source, options)
  }
  if (begins(0x80)) return pytorchFile(source, options)
  if (/^\s*\{/.test(new TextDecoder('latin1').decode(head)))
    return shardedFile(source, input, options)
  // A ModelProto begins with its ir_version, and what follows it is another field.
  if (begins(0x08) && head[1] < 32 && [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42].includes(head[2]))
    fail(
      `${source.name}: is an ONNX model, a graph with its weights: read it with loadOnnx, or write its tensors to a file with burnish convert`,
    )
  return fail(
    `${source.name}: is of none of the formats that hold tensors: safetensors, PyTorch (.pt, .pth), .npz, .npy, Keras (.h5, .keras), or an index of shards`,
  )
}

async function npyFile(source: Source): Promise<TensorFile> {
  const tensor = readNpy(await source.read(0, source.size), source.name)
  return {
    format: 'npy',
    tensors: new Map([['', tensor]]),
    metadata: NO_METADATA,
    read: async (name) => (name === '' ? tensor : absent(source, name)),
    close: () => source.close(),
  }
}

/** Whole files: `.h5` and `.keras`. */
async function kerasFile(source: Source): Promise<TensorFile> {
  const { weightsIn } = await import('./keras/load.js')
  const weights = weightsIn(await source.read(0, source.size), source.name)
  return decodedFile(weights, 'keras', source)
}

/** A file whose tensors were read already. */
function decodedFile(
  values: ReadonlyMap<string, HostTensor>,
  format: string,
  source: Source,
): TensorFile {
  const tensors = new Map([...values].map(([name, value]) => [name, encode(value)]))
  const read = async (name: string) => tensors.get(name) ?? absent(source, name)
  return { format, tensors, metadata: NO_METADATA, read, close: () => source.close() }
}

function absent(source: Source, name: string): never {
  return fail(`${source.name}: has no tensor ${JSON.stringify(name)}`)
}

/** Arrays say their shape inside their entries, so all are read. */
async function npzFile(
  source: Source,
  entries: ReadonlyMap<string, ZipSourceEntry>,
): Promise<TensorFile> {
  const tensors = new Map<string, StoredTensor>()
  for (const [entry, { read }] of entries) {
    const name = entry.slice(0, -'.npy'.length)
    tensors.set(name, readNpy(await read(), `${source.name}: ${name}`))
  }
  return {
    format: 'npz',
    tensors,
    metadata: NO_METADATA,
    read: async (name) => tensors.get(name) ?? absent(source, name),
    close: () => source.close(),
  }
}

async function safetensorsFile(source: Source): Promise<TensorFile> {
  const file = await openSafetensors(source)
  const tensors = new Map<string, TensorEntry>(file.entries)
  // A shared tensor's other names stand in the metadata.
  const metadata = new Map<string, string>()
  for (const [key, value] of file.metadata) {
    const entry = file.entries.get(value)
    if (entry !== undefined && !file.entries.has(key)) tensors.set(key, { ...entry, same: value })
    else metadata.set(key, value)
  }
  const read = (name: string) => file.read(tensors.get(name)?.same ?? name)
  return { format: 'safetensors', tensors, metadata, read, close: file.close }
}

async function pytorchFile(source: Source, options: LoadStateOptions): Promise<TensorFile> {
  const file = await openPytorch(source)
  const state = options.all
    ? byPath(file.value, source.name)
    : stateDictOf(file.value, options, source.name)
  const tensors = new Map<string, TensorEntry>()
  const first = new Map<string, string>()
  for (const [name, tensor] of state) {
    const { dtype, shape, identity } = tensor
    const same = first.get(identity)
    if (same === undefined) first.set(identity, name)
    tensors.set(name, same === undefined ? { dtype, shape } : { dtype, shape, same })
  }
  return {
    format: file.format,
    tensors,
    metadata: NO_METADATA,
    value: file.value,
    async read(name) {
      const tensor = state.get(name)
      return tensor === undefined ? absent(source, name) : file.read(tensor)
    },
    close: file.close,
  }
}

/** Every tensor of a value, by the keys on the way to it. */
function byPath(value: PytorchValue, where: string): ReadonlyMap<string, PytorchTensor> {
  const found = new Map<string, PytorchTensor>()
  const visit = (part: PytorchValue, path: string): void => {
    if (found.size > MOST_PATHS)
      fail(`${where}: more than ${MOST_PATHS} paths lead to tensors, as in a bomb`)
    if (part instanceof PytorchTensor) found.set(found.has(path) ? `${path}'` : path, part)
    else if (part instanceof Map)
      for (const [key, item] of part) visit(item, path === '' ? String(key) : `${path}.${key}`)
    else if (Array.isArray(part))
      part.forEach((item: PytorchValue, i) => {
        visit(item, path === '' ? String(i) : `${path}.${i}`)
      })
  }
  visit(value, '')
  return found
}

/** Files beside the index, each opened once. */
async function shardedFile(
  source: Source,
  input: FileInput,
  options: Opening,
): Promise<TensorFile> {
  if (source.size > LONGEST_INDEX)
    fail(`${source.name}: an index of ${source.size} bytes, at most ${LONGEST_INDEX} are read`)
  const text = new TextDecoder().decode(await source.read(0, source.size))
  if (text.includes('"weightsManifest"') && (typeof input === 'string' || input instanceof URL)) {
    const { readTfjsWeights } = await import('./tfjs/load.js')
    return decodedFile(await readTfjsWeights(input), 'tfjs', source)
  }
  const index = readShardIndex(text, source.name)
  if (typeof input !== 'string' && !(input instanceof URL))
    fail(
      `${source.name}: is an index of other files; give its path or address, beside which they are`,
    )
  const address = /^https?:/.test(String(input)) ? String(input) : source.name
  const shards = new Map<string, TensorFile>()
  const close = async () => {
    for (const shard of shards.values()) await shard.close()
    await source.close()
  }
  const tensors = new Map<string, TensorEntry>()
  try {
    for (const name of new Set(index.values())) {
      if (name.endsWith('.json'))
        fail(`${source.name}: names another index, ${name}, as a file of tensors`)
      shards.set(
        name,
        await openTensors(address.replace(/[^/\\]*$/, encodedFor(address, name)), options),
      )
    }
    for (const [tensor, name] of index) {
      const entry = shards.get(name)?.tensors.get(tensor)
      if (entry === undefined)
        throw fail(`${source.name}: tensor ${JSON.stringify(tensor)} is not in ${name}, as it says`)
      tensors.set(tensor, { dtype: entry.dtype, shape: entry.shape })
    }
  } catch (error) {
    await close()
    throw error
  }
  const read = async (tensor: string) => {
    const shard = shards.get(index.get(tensor) ?? '')
    return shard === undefined ? absent(source, tensor) : shard.read(tensor)
  }
  const format = `${[...shards.values()][0].format}, ${shards.size} files`
  return { format, tensors, metadata: NO_METADATA, read, close }
}

const encodedFor = (address: string, name: string) =>
  /^https?:/.test(address) ? encodeURIComponent(name) : name
