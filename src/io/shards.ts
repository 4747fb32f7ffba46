// Tensors over several files: an index, `*.index.json`, says which file each is in, after Hugging Face's format. The names of
// files are those of a stranger: only plain names beside the index are followed.
import { fail } from '../base/errors.js'
import { safetensorsParts } from './safetensors.js'
import type { StoredTensor } from './values.js'

/** The file of each tensor. */
export type ShardIndex = ReadonlyMap<string, string>

const PLAIN_NAME = /^[\w][\w. -]{0,254}$/

/**
 * The index in a JSON text: tensor → name of the file beside it.
 * @throws BurnishError when it is of another form, or names a file elsewhere.
 */
export function readShardIndex(text: string, where: string): ShardIndex {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (error) {
    return fail(`${where}: is no JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  const map =
    typeof content === 'object' && content !== null && Object.hasOwn(content, 'weight_map')
      ? Object.getOwnPropertyDescriptor(content, 'weight_map')?.value
      : undefined
  if (typeof map !== 'object' || map === null || Array.isArray(map))
    throw fail(`${where}: has no weight_map from tensors to files: it is no index of shards`)
  const index = new Map<string, string>()
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== 'string' || !PLAIN_NAME.test(file) || file.includes('..'))
      throw fail(
        `${where}: tensor ${JSON.stringify(tensor)} is said to be in ${JSON.stringify(file)}; only plain names of files beside the index are followed`,
      )
    index.set(tensor, file)
  }
  if (index.size === 0) fail(`${where}: its weight_map is empty`)
  return index
}

/** Files to be written: each in parts, one after the other. */
export type ShardedFiles = ReadonlyMap<string, readonly Uint8Array[]>

/**
 * Tensors as safetensors files of at most `most` bytes of data each, and the index, as Hugging Face's `save_pretrained`
 * writes them: `NAME-00001-of-00003.safetensors`, `NAME.safetensors.index.json`. A tensor beyond `most` has its own file.
 * Where one file is enough it is `NAME.safetensors`, without an index.
 */
export function shardSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  most: number,
  name = 'model',
  metadata: ReadonlyMap<string, string> = new Map(),
): ShardedFiles {
  if (!(most > 0)) fail(`shardSafetensors: at most ${most} bytes a file; give a number above 0`)
  const shards: Map<string, StoredTensor>[] = []
  let [filled, total] = [Number.POSITIVE_INFINITY, 0]
  for (const [tensor, stored] of tensors) {
    const { length } = stored.bytes
    total += length
    if (filled + length > most) {
      shards.push(new Map())
      filled = 0
    }
    shards.at(-1)?.set(tensor, stored)
    filled += length
  }
  const only = shards[0] ?? new Map<string, StoredTensor>()
  if (shards.length <= 1)
    return new Map([[`${name}.safetensors`, safetensorsParts(only, metadata)]])
  const number = (n: number) => String(n).padStart(5, '0')
  const files = new Map<string, readonly Uint8Array[]>()
  const index: [string, string][] = []
  shards.forEach((shard, i) => {
    const file = `${name}-${number(i + 1)}-of-${number(shards.length)}.safetensors`
    files.set(file, safetensorsParts(shard, metadata))
    for (const tensor of shard.keys()) index.push([tensor, file])
  })
  const weightMap = Object.fromEntries(index.sort(([a], [b]) => (a < b ? -1 : 1)))
  const text = JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap }, null, 2)
  files.set(`${name}.safetensors.index.json`, [new TextEncoder().encode(`${text}\n`)])
  return files
}
