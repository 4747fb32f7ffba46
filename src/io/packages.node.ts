// npm packages as Node sees them: installed ones in the node_modules folders above the working folder, settings in
// .npmrc, archives read from the disk as they are unpacked. Chosen by the condition of `#packages` in package.json.
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { Downloaded } from './download.js'
import { readNpmrc, registryOf } from './npmrc.js'
import { plainBytes } from './source.js'

const isAbsent = (error: unknown) =>
  error instanceof Error &&
  'code' in error &&
  (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'EACCES')

async function ifThere<T>(act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act()
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

function* foldersUp(from = process.cwd()): Generator<string> {
  for (let at = resolve(from); ; at = dirname(at)) {
    yield at
    if (dirname(at) === at) return
  }
}

/** Environment variables that npm reads, in lower or upper case. */
function fromEnvironment(key: string): string | undefined {
  const name = `npm_config_${key}`
  return process.env[name] || process.env[name.toUpperCase()] || undefined
}

/** The registry of a package by the settings of this project, user and machine. */
export async function registryFor(name: string): Promise<string> {
  const environment = new Map<string, string>()
  const scope = name.startsWith('@') ? [`${name.split('/')[0]}:registry`] : []
  for (const key of [...scope, 'registry']) {
    const value = fromEnvironment(key)
    if (value !== undefined) environment.set(key, value)
  }
  let project: string | undefined
  for (const folder of foldersUp()) {
    const has = (file: string) => ifThere(() => stat(join(folder, file)))
    if ((await has('package.json')) ?? (await has('node_modules'))) {
      project = folder
      break
    }
  }
  const prefix = fromEnvironment('prefix') ?? dirname(dirname(process.execPath))
  const files = [
    join(project ?? process.cwd(), '.npmrc'),
    fromEnvironment('userconfig') ?? join(homedir(), '.npmrc'),
    fromEnvironment('globalconfig') ?? join(prefix, 'etc', 'npmrc'),
  ]
  const settings = [environment]
  for (const file of files) {
    const text = await ifThere(() => readFile(file, 'utf8'))
    if (text !== undefined)
      settings.push(new Map(readNpmrc(text, (variable) => process.env[variable])))
  }
  return registryOf(name, settings)
}

export interface Installed {
  readonly path: string
  bytes(): Promise<Uint8Array>
}

/** A file of an installed package: the nearest node_modules that has the package, from the working folder up. */
export async function installedFile(name: string, file: string): Promise<Installed | undefined> {
  for (const folder of foldersUp()) {
    const root = join(folder, 'node_modules', name)
    if (!(await ifThere(() => stat(join(root, 'package.json'))))) continue
    const path = join(root, file)
    if (!(await ifThere(() => stat(path)))) return undefined
    return { path, bytes: async () => plainBytes(await readFile(path)) }
  }
  return undefined
}

/** The content of a gzip file, piece by piece. */
export async function* unzipped({ path }: Downloaded): AsyncGenerator<Uint8Array> {
  if (path === undefined) throw new Error('internal: a download without a path in Node')
  // Errors of the file and of the compression both end up in the stream that is read.
  yield* pipeline(createReadStream(path), createGunzip(), () => {})
}
