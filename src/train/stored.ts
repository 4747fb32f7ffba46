// The files of a checkpoint: their names, what checkpoint.json holds, and the checks when they are read. What a
// checkpoint is, and how it is saved, stands in checkpoint.ts.
import { BurnishError, fail } from '../base/errors.js'
import { digestOf } from '../io/bytes.js'
import { type FileSystem, joinPath } from './files.js'
import { type Json, jsonText, parsedJson } from './json.js'

const FORMAT = 'burnish checkpoint'
const VERSION = 1
export const CHECKPOINTS = 'checkpoints'
export const INDEX = 'checkpoint.json'
const NAME = /^(\d{5,})-epoch-(\d+)-step-(\d+)$/
export const WRITING = '.writing-'
export const REMOVING = '.removing-'

/** The content of checkpoint.json that its own hash covers. */
export interface State {
  readonly step: number
  readonly epoch: number
  readonly tier: string
  readonly generator: { readonly seed: number; readonly counter: number }
  readonly optimizer: Json
  readonly scheduler: Json
  readonly loader: Json
  readonly score: Json
  readonly best: Json
  readonly extra: Json
  readonly files: { readonly [name: string]: { readonly bytes: number; readonly sha256: string } }
}

export const sha256 = (bytes: Uint8Array): Promise<string> => digestOf('sha256', bytes)

/** checkpoint.json: its own hash is over the text of `state`, on the line before. */
export async function indexText(state: State): Promise<string> {
  const text = jsonText(state as unknown as Json)
  const hash = await sha256(new TextEncoder().encode(text))
  return `{"format": "${FORMAT}", "version": ${VERSION}, "state":\n${text},\n"sha256": "${hash}"}\n`
}

export const numberOf = (name: string): number => Number(NAME.exec(name)?.[1])

/** The names of whole checkpoints, oldest first. */
export async function list(files: FileSystem, folder: string): Promise<string[]> {
  const names = (await files.list(joinPath(folder, CHECKPOINTS))) ?? []
  return names.filter((name) => NAME.test(name)).sort((a, b) => numberOf(a) - numberOf(b))
}

/** Removes what a save or a removal that did not end left behind. */
export async function clear(files: FileSystem, root: string): Promise<void> {
  for (const name of (await files.list(root)) ?? [])
    if (name.startsWith(WRITING) || name.startsWith(REMOVING))
      await files.remove(joinPath(root, name))
}

/** checkpoint.json, checked. */
export async function readIndex(files: FileSystem, path: string): Promise<State> {
  const where = joinPath(path, INDEX)
  const bytes = await files.read(where)
  if (bytes === undefined)
    throw new BurnishError(
      (await files.list(path)) === undefined
        ? `${path}: there is no such folder; a checkpoint is a folder like RUN/${CHECKPOINTS}/00001-epoch-1-step-100`
        : `${path}: holds no ${INDEX}: it is not a checkpoint, or not a whole one`,
    )
  const text = new TextDecoder().decode(bytes)
  const head = /^\{"format": "([^"]*)", "version": (\d+), "state":\n/.exec(text)
  if (head === null || head[1] !== FORMAT)
    throw fail(
      `${where}: does not begin like a checkpoint of Burnish: it is damaged or another file`,
    )
  if (Number(head[2]) !== VERSION)
    fail(
      `${where}: is of format version ${head[2]}, this Burnish reads version ${VERSION}: ${Number(head[2]) > VERSION ? 'use a newer Burnish' : 'use the Burnish that wrote it'}`,
    )
  const tail = /,\n"sha256": "([0-9a-f]{64})"\}\n$/.exec(text)
  const state = text.slice(head[0].length, tail === null ? undefined : tail.index)
  if (tail === null) fail(`${where}: its end is missing: the file is truncated`)
  if (tail[1] !== (await sha256(new TextEncoder().encode(state))))
    fail(`${where}: its content does not fit its checksum: the file is damaged`)
  return parsedJson(state) as unknown as State
}

export async function readWhole(
  files: FileSystem,
  path: string,
): Promise<{ state: State; contents: ReadonlyMap<string, Uint8Array> }> {
  const state = await readIndex(files, path)
  const contents = new Map<string, Uint8Array>()
  for (const [name, { bytes: size, sha256: hash }] of Object.entries(state.files)) {
    const where = joinPath(path, name)
    const bytes = await files.read(where)
    if (bytes === undefined) throw fail(`${where}: is missing; the checkpoint is not whole`)
    if (bytes.length !== size)
      fail(
        `${where}: has ${bytes.length} bytes, the checkpoint was written with ${size}: the file is ${bytes.length < size ? 'truncated' : 'another one'}`,
      )
    if ((await sha256(bytes)) !== hash)
      fail(`${where}: its content does not fit its checksum: the file is damaged`)
    contents.set(name, bytes)
  }
  return { state, contents }
}
