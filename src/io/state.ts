// A model's state as a safetensors file, and back.
//
// A parameter with two names is written once; the other name stands in the metadata beside the one that is
// stored, as Hugging Face's `save_model` does. int32 values with an int64 file dtype are written as I64.
import type { Parameter } from '../tensor/parameter.js'
import { readSafetensors, writeSafetensors } from './safetensors.js'
import { decode, encode, type HostTensor, type StoredTensor } from './values.js'

/** The file of a state dict; waits for the values, all asked for before it returns. */
export async function encodeState(state: {
  readonly [name: string]: Parameter
}): Promise<Uint8Array> {
  return writeSafetensors(...withoutTwins(await storedState(state), new Map([['format', 'pt']])))
}

/**
 * A state dict as files have it, for `writePytorch` and `writeNpz`; waits for the values, all asked for before it returns.
 * A parameter with two names is one object.
 */
export async function storedState(state: {
  readonly [name: string]: Parameter
}): Promise<ReadonlyMap<string, StoredTensor>> {
  const stored = new Map<Parameter, Promise<StoredTensor>>()
  for (const parameter of Object.values(state))
    if (!stored.has(parameter)) stored.set(parameter, storedOf(parameter))
  const named = Object.entries(state).map(
    async ([name, parameter]) =>
      [name, await (stored.get(parameter) ?? storedOf(parameter))] as const,
  )
  return new Map(await Promise.all(named))
}

async function storedOf(parameter: Parameter): Promise<StoredTensor> {
  const { dtype, shape, fileDtype } = parameter
  const host = { dtype, shape, data: await parameter.data() }
  return fileDtype === 'I64' ? encode(host, 'I64') : encode(host)
}

/** A tensor with two names once, and metadata with the other name, as Hugging Face's `save_model` writes them. */
export function withoutTwins(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: ReadonlyMap<string, string>,
): readonly [ReadonlyMap<string, StoredTensor>, ReadonlyMap<string, string>] {
  const first = new Map<StoredTensor, string>()
  const names = new Map(metadata)
  for (const [name, tensor] of tensors) {
    const other = first.get(tensor)
    if (other === undefined) first.set(tensor, name)
    else names.set(name, other)
  }
  return [new Map([...first].map(([tensor, name]) => [name, tensor])), names]
}

/**
 * The values of a safetensors file by name, for `loadStateDict`; a shared parameter appears under both names.
 * @throws BurnishError naming `where` when the file is not whole and well formed.
 */
export function decodeState(
  bytes: Uint8Array,
  where = 'safetensors',
): { readonly [name: string]: HostTensor } {
  const { tensors, metadata } = readSafetensors(bytes, where)
  const values: { [name: string]: HostTensor } = Object.create(null)
  for (const [name, stored] of tensors) values[name] = decode(stored, `${where}: ${name}`)
  for (const [alias, name] of metadata)
    if (!tensors.has(alias) && tensors.has(name)) values[alias] = values[name]
  return values
}
