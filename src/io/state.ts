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
  const metadata = new Map([['format', 'pt']])
  const first = new Map<Parameter, string>()
  for (const [name, parameter] of Object.entries(state)) {
    const other = first.get(parameter)
    if (other === undefined) first.set(parameter, name)
    else metadata.set(name, other)
  }
  const stored = [...first].map(async ([parameter, name]): Promise<[string, StoredTensor]> => {
    const { dtype, shape, fileDtype } = parameter
    const host = { dtype, shape, data: await parameter.data() }
    return [name, fileDtype === 'I64' ? encode(host, 'I64') : encode(host)]
  })
  return writeSafetensors(new Map(await Promise.all(stored)), metadata)
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
