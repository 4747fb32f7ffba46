// The weights of a Hugging Face folder, whatever files they are in: model.safetensors, several of them behind an index,
// or PyTorch's pytorch_model.bin likewise. Tensors are read one at a time, when they are asked for.
import { fail } from '../base/errors.js'
import { type Shape, sizeOf } from '../base/shape.js'
import { joined } from '../io/bytes.js'
import type { Repository } from '../io/hub.js'
import { openPytorch, PytorchTensor } from '../io/pytorch.js'
import { openSafetensors } from '../io/safetensors.js'
import type { StoredTensor } from '../io/values.js'
import { Fields } from './huggingface-config.js'

/** A tensor that is not read yet. */
export interface Weight {
  readonly shape: Shape
  read(): Promise<StoredTensor>
}

export interface Weights {
  /** The files they are in. */
  readonly files: readonly string[]
  readonly tensors: ReadonlyMap<string, Weight>
  close(): Promise<void>
}

interface Part {
  readonly tensors: ReadonlyMap<string, Weight>
  close(): Promise<void>
}

/** @throws BurnishError when there are none, or an index names files or tensors that are not there. */
export async function openWeights(repository: Repository): Promise<Weights> {
  for (const [whole, open] of [
    ['model.safetensors', safetensorsPart],
    ['pytorch_model.bin', pytorchPart],
  ] as const) {
    if (repository.has(whole)) {
      const part = await open(repository, whole)
      return { files: [whole], ...part }
    }
    const index = `${whole}.index.json`
    if (repository.has(index)) return sharded(repository, index, open)
  }
  throw fail(
    `${repository.name}: no weights: it must have model.safetensors or pytorch_model.bin; it has ${repository.names.slice(0, 20).join(', ')}`,
  )
}

async function safetensorsPart(repository: Repository, name: string): Promise<Part> {
  const file = await openSafetensors(await repository.open(name))
  const entries = [...file.entries].map(
    ([key, { shape }]) => [key, { shape, read: () => file.read(key) }] as const,
  )
  return { tensors: new Map(entries), close: () => file.close() }
}

async function pytorchPart(repository: Repository, name: string): Promise<Part> {
  const file = await openPytorch(await repository.open(name))
  if (!(file.value instanceof Map))
    throw fail(`${repository.name}: ${name} is no state dict, names with tensors`)
  const tensors = new Map<string, Weight>()
  for (const [key, value] of file.value)
    if (typeof key === 'string' && value instanceof PytorchTensor)
      tensors.set(key, { shape: value.shape, read: () => file.read(value) })
  return { tensors, close: () => file.close() }
}

async function sharded(
  repository: Repository,
  index: string,
  open: (repository: Repository, name: string) => Promise<Part>,
): Promise<Weights> {
  const where = `${repository.name}: ${index}`
  const map = Fields.parse(await repository.bytes(index), where).get('weight_map')
  if (typeof map !== 'object' || map === null) throw fail(`${where}: no weight_map`)
  const places = new Map<string, string>()
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== 'string' || /[/\\]/.test(file) || !repository.has(file))
      throw fail(`${where}: ${name} is in ${JSON.stringify(file)}, which is not there`)
    places.set(name, file)
  }
  const files = [...new Set(places.values())]
  const parts = new Map<string, Part>()
  const close = async () => {
    for (const part of parts.values()) await part.close()
  }
  try {
    for (const file of files) parts.set(file, await open(repository, file))
    const tensors = new Map<string, Weight>()
    for (const [name, file] of places) {
      const weight = parts.get(file)?.tensors.get(name)
      if (weight === undefined) throw fail(`${where}: ${file} has no ${name}`)
      tensors.set(name, weight)
    }
    return { files, tensors, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Tensors of one type, one below the other along their first axis. */
export function stacked(parts: readonly StoredTensor[], where: string): StoredTensor {
  const [first, ...others] = parts
  if (others.length === 0) return first
  const { dtype, shape } = first
  const rest = sizeOf(shape.slice(1))
  for (const part of others)
    if (part.dtype !== dtype || sizeOf(part.shape.slice(1)) !== rest)
      fail(`${where}: its parts have different types or shapes`)
  const bytes = joined(parts.map((part) => part.bytes))
  const rows = parts.reduce((sum, part) => sum + part.shape[0], 0)
  return { dtype, shape: [rows, ...shape.slice(1)], bytes }
}
