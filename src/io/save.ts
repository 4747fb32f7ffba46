// Writing state dicts to files, by the extension: written beside the place and renamed, so that a file under its name is
// always whole. Node only; `encodeState`, `writePytorch` and `writeNpz` give bytes anywhere.
import { fail } from '../base/errors.js'
import type { Parameter } from '../tensor/parameter.js'
import { writeNpy } from './npy.js'
import { pytorchParts } from './pytorch-write.js'
import { safetensorsParts } from './safetensors.js'
import { shardSafetensors } from './shards.js'
import { storedState, withoutTwins } from './state.js'
import type { StoredTensor } from './values.js'
import { writeFiles } from './write.js'
import { zipParts } from './zip-write.js'

/** How `saveState` and `saveTensors` write. */
export interface SaveOptions {
  /** safetensors only: at most so many bytes of data a file; more go to several, with an index beside them. */
  readonly shardBytes?: number
}

/** The extensions that are written. */
const SAVED = ['.safetensors', '.pt', '.pth', '.bin', '.npz'] as const

/**
 * A model's state to a file: `.safetensors`, PyTorch's `.pt`, `.pth` or `.bin`, or `.npz`. The values are those at the
 * time of the call. A parameter with two names stays one in PyTorch's files and in safetensors. A process that is killed
 * meanwhile leaves files called `.writing-…` beside it, which may be deleted.
 *
 *     await saveState('lenet.pt', model.stateDict())
 *
 * @throws BurnishError for another extension, and when the file cannot be written; an older one is whole then.
 */
export async function saveState(
  path: string,
  state: { readonly [name: string]: Parameter },
  options: SaveOptions = {},
): Promise<void> {
  extensionOf(path)
  await saveTensors(path, await storedState(state), new Map([['format', 'pt']]), options)
}

/** Tensors as files have them, to a file: see `saveState`. Returns the paths written. */
export async function saveTensors(
  path: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
  options: SaveOptions = {},
): Promise<readonly string[]> {
  const extension = extensionOf(path)
  if (extension === '.npz') {
    const entries = [...tensors].map(([name, tensor]): [string, Uint8Array] => [
      `${name}.npy`,
      writeNpy(tensor, `${path}: ${name}`),
    ])
    return writeFiles(path, [[path, zipParts(entries)]])
  }
  if (extension !== '.safetensors') {
    const name = path.replace(/^.*[/\\]/, '').slice(0, -extension.length)
    // PyTorch calls the folder in the archive as the file.
    return writeFiles(path, [
      [path, pytorchParts(tensors, name.replace(/[^\w.-]/g, '_') || 'archive')],
    ])
  }
  const [own, names] = withoutTwins(tensors, metadata)
  if (options.shardBytes === undefined)
    return writeFiles(path, [[path, safetensorsParts(own, names)]])
  const stem = path.slice(0, -extension.length)
  const at = stem.search(/[^/\\]*$/)
  const files = shardSafetensors(tensors, options.shardBytes, stem.slice(at), metadata)
  return writeFiles(
    path,
    [...files].map(([name, parts]) => [stem.slice(0, at) + name, parts]),
  )
}

function extensionOf(path: string): (typeof SAVED)[number] {
  const extension = SAVED.find((one) => path.endsWith(one))
  return (
    extension ??
    fail(`${path}: files are written as ${SAVED.join(', ')}; the extension tells which is meant`)
  )
}
