// Where a TensorFlow.js model's files come from: a folder, a server, or bytes and a function that gives shards by name.
// Paths of shards are relative to model.json, and never leave its folder.
//
// Some packages carry models as JavaScript modules (`module.exports = …`): a literal of the topology, and shards as base64
// strings. They are read by their text alone; nothing of them is run.
import { fail } from '../../base/errors.js'
import { inPage, isWeb, readAddress } from '../source.js'
import { readLiteral } from './literal.js'
import { isObject, type Plain, readPlain } from './plain.js'
import { checkedPath } from './weights.js'

/** How to get at a model's files. */
export interface TfjsFiles {
  /** What the model is called in errors. */
  readonly where: string
  model(): Promise<Plain>
  shard(path: string): Promise<Uint8Array>
}

/** Gives the bytes of a shard by the path that the manifest has, which never leaves the model's folder. */
export type ShardReader = (path: string) => Uint8Array | Promise<Uint8Array>

/** The text of a JavaScript module with one export. */
const MODULE = /\bexports\s*=\s*/g

const text = (bytes: Uint8Array, where: string): string => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return fail(`${where}: is not UTF-8, so no model.json`)
  }
}

/** The value a module exports: the last `exports = …` whose value is a literal. */
function exported(source: string, where: string): Plain {
  for (const { index, 0: match } of source.matchAll(MODULE)) {
    const next = source[index + match.length]
    if (next === '{' || next === '"' || next === "'") {
      // `{exports: {}}` of the module's loader is no model.
      const value = readLiteral(source, index + match.length, where)
      if (typeof value === 'string' || (isObject(value) && Object.keys(value).length > 0))
        return value
    }
  }
  return fail(`${where}: is neither JSON nor a JavaScript module that exports a literal`)
}

function modelOf(
  bytes: Uint8Array,
  where: string,
): { readonly value: Plain; readonly module: boolean } {
  const source = text(bytes, where)
  const module = !/^[\s\ufeff]*[[{]/.test(source)
  return { value: module ? exported(source, where) : readPlain(source, where), module }
}

function shardOf(bytes: Uint8Array, where: string): Uint8Array {
  const value = exported(text(bytes, where), where)
  if (typeof value !== 'string') return fail(`${where}: exports no string`)
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(value))
    return fail(`${where}: exports a string that is not base64`)
  const binary = atob(value)
  const result = new Uint8Array(binary.length)
  for (let i = 0; i < binary.length; i++) result[i] = binary.charCodeAt(i)
  return result
}

/** The files of a model whose model.json is at a path, a URL, or is given as bytes. */
export function openFiles(
  source: string | URL | Uint8Array,
  shard: ShardReader | undefined,
): TfjsFiles {
  if (source instanceof Uint8Array) {
    const where = 'model.json'
    return {
      where,
      model: async () => modelOf(source, where).value,
      shard: async (path) => {
        if (shard === undefined)
          throw fail(
            `${where}: its weights lie in ${path}; give { shard: (path) => bytes }, or the model's path instead of its bytes`,
          )
        return checkedBytes(await shard(path), path)
      },
    }
  }
  const address = source instanceof URL ? source.href : source
  const where = address.split(/[?#]/)[0].split('/').slice(-2).join('/')
  let suffix = ''
  return {
    where,
    async model() {
      const { value, module } = modelOf(await readAddress(address), where)
      // model.min.js stands beside group1-shard1of1.min.js.
      suffix = module ? (/(\.min)?\.[cm]?js$/.exec(address)?.[0] ?? '') : ''
      return value
    },
    async shard(path) {
      if (shard !== undefined) return checkedBytes(await shard(path), path)
      const file = beside(address, path + suffix)
      await checkLink(address, file)
      const bytes = await readAddress(file)
      return suffix === '' ? bytes : shardOf(bytes, path + suffix)
    },
  }
}

function checkedBytes(bytes: Uint8Array, path: string): Uint8Array {
  return bytes instanceof Uint8Array
    ? bytes
    : fail(`the shard ${path}: shard() must give its bytes`)
}

/** The address of a file beside another one. */
function beside(address: string, path: string): string {
  checkedPath(path, address)
  if (URL.canParse(address) && /^(https?|file):/.test(address)) {
    const url = new URL(encodeURI(path), address)
    url.search = new URL(address).search
    return url.href
  }
  const slash = Math.max(address.lastIndexOf('/'), address.lastIndexOf('\\'))
  return address.slice(0, slash + 1) + path
}

/**
 * Files on disk: that `file` is no link out of the folder of `address`.
 * @throws BurnishError where it is.
 */
async function checkLink(address: string, file: string): Promise<void> {
  if (isWeb(address) || inPage()) return
  const { realpath } = await import('node:fs/promises')
  const { dirname, sep } = await import('node:path')
  const { fileURLToPath } = await import('node:url')
  const pathOf = (given: string) => (given.startsWith('file:') ? fileURLToPath(given) : given)
  // What is not there is told when it is read.
  const real = await realpath(pathOf(file)).catch(() => undefined)
  const folder = await realpath(dirname(pathOf(address))).catch(() => undefined)
  if (real === undefined || folder === undefined) return
  if (!real.startsWith(folder.endsWith(sep) ? folder : folder + sep))
    fail(`${address}: ${file} is a link out of the model's folder`)
}
