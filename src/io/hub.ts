// Repositories of models as Hugging Face lays them out: a folder, files at hand, or a repository of the hub (or of a server
// that answers as it does, HF_ENDPOINT). Of the hub the revision is resolved to a commit once, so that all files belong
// together, and each file is checked against the hub's own hash: SHA-256 of large files, the Git blob name of small ones.
// After the HTTP interface that huggingface_hub uses; leaves out data sets, spaces and uploading.
import { variable } from '#download'
import { folderAt } from '#folder'
import { BurnishError, fail } from '../base/errors.js'
import { type DownloadOptions, download, headOf, type Progress } from './download.js'
import { blobSource, bytesSource, fileSource, readWhole, type Source } from './source.js'

export interface HubOptions {
  /** A branch, tag or commit of the hub's repository. Default `main`; a commit makes it always the same. */
  readonly revision?: string
  /** Another server than HF_ENDPOINT says, or Hugging Face's; a page has no environment to say so. */
  readonly endpoint?: string
  /** Default: HF_TOKEN. */
  readonly token?: string
  /** As in DownloadOptions. */
  readonly cache?: string
  readonly offline?: boolean
  readonly signal?: AbortSignal
  /** Called as files arrive, with the name of each. */
  readonly onProgress?: (progress: Progress & { readonly file: string }) => void
}

/** Files by name, as a page's user may give them. */
export type Files = { readonly [name: string]: Uint8Array | Blob }

/** Where a model's files are. */
export interface Repository {
  /** As errors call it: the folder, or `org/name` with its revision. */
  readonly name: string
  readonly kind: 'folder' | 'hub' | 'files'
  /** Of a repository of the hub: 40 hexadecimal digits. */
  readonly commit: string | undefined
  readonly names: readonly string[]
  /** What the user should know, such as that the hub could not be reached. */
  readonly notes: readonly string[]
  has(name: string): boolean
  /** The bytes of a file. */
  bytes(name: string): Promise<Uint8Array>
  /** A file to read in pieces; close it when done. */
  open(name: string): Promise<Source>
}

const ENDPOINT = 'https://huggingface.co'
const ID = /^(?:[\w-][\w.-]{0,95}\/)?[\w-][\w.-]{0,95}$/
const REVISION = /^[\w][\w./-]{0,254}$/
const COMMIT = /^[0-9a-f]{40}$/
const SHA256 = /^[0-9a-f]{64}$/

/** The server of the hub: HF_ENDPOINT, else Hugging Face's. */
function endpointOf({ endpoint }: HubOptions): string {
  return (endpoint ?? variable('HF_ENDPOINT') ?? ENDPOINT).replace(/\/+$/, '')
}

/**
 * The files of a model: of a folder, of a repository of the hub (`org/name`, or its URL), or as given.
 * @throws BurnishError when it is none of these, or the hub lacks the repository or the revision.
 */
export async function openRepository(
  where: string | Files | Repository,
  options: HubOptions = {},
): Promise<Repository> {
  if (isRepository(where)) return where
  if (typeof where !== 'string') return given(where)
  const url = hubUrl(where, endpointOf(options))
  if (url === undefined) {
    const folder = await folderAt(where)
    if (folder)
      return readable({
        name: where,
        kind: 'folder',
        commit: undefined,
        names: folder.names,
        notes: [],
        open: (name) => folder.open(name),
      })
  }
  const id = url?.id ?? where
  if (!ID.test(id) || id.includes('..') || id.includes('--'))
    throw fail(
      `${JSON.stringify(where)} is neither a folder nor the name of a repository (org/name); if it is a folder, it does not exist`,
    )
  try {
    const revision = options.revision ?? url?.revision ?? 'main'
    return await hubRepository(id, { ...options, revision })
  } catch (error) {
    if (url === undefined && error instanceof BurnishError)
      error.message += ` (there is no folder ${where})`
    throw error
  }
}

/** Whether it is an opened repository, not files by name: those have no methods. */
function isRepository(where: string | Files | Repository): where is Repository {
  return typeof where === 'object' && 'bytes' in where && typeof where.bytes === 'function'
}

/** `https://huggingface.co/org/name/tree/main` → its parts. */
function hubUrl(
  text: string,
  endpoint: string,
): { readonly id: string; readonly revision?: string } | undefined {
  if (!/^https?:/i.test(text)) return undefined
  const [at, base] = [URL.canParse(text) ? new URL(text) : undefined, new URL(endpoint)]
  const path = at?.pathname.slice(base.pathname.replace(/\/$/, '').length + 1).replace(/\/$/, '')
  const parts = path?.split('/') ?? []
  const tree = parts.indexOf('tree')
  const id = parts.slice(0, tree < 0 ? parts.length : tree)
  if (at?.origin !== base.origin || id.length > 2 || id.length === 0)
    throw fail(
      `${text}: not the address of a model at ${endpoint}, such as ${endpoint}/org/name; for another server set HF_ENDPOINT`,
    )
  const revision = tree < 0 ? undefined : parts.slice(tree + 1).join('/')
  return { id: id.join('/'), revision: revision || undefined }
}

function readable(parts: Omit<Repository, 'has' | 'bytes'>): Repository {
  const has = (name: string) => parts.names.includes(name)
  const open = async (name: string) => {
    if (!has(name))
      fail(
        `${parts.name} has no ${name}; it has ${parts.names.slice(0, 20).join(', ') || 'no files'}`,
      )
    return parts.open(name)
  }
  return {
    ...parts,
    has,
    open,
    bytes: async (name) => readWhole(await open(name)),
  }
}

function given(files: Files): Repository {
  return readable({
    name: 'the files given',
    kind: 'files',
    commit: undefined,
    names: Object.keys(files),
    notes: [],
    open: async (name) => {
      const file = files[name]
      return file instanceof Uint8Array ? bytesSource(file, name) : blobSource(file, name)
    },
  })
}

// ---- the hub ----

/** What the hub says of a file; a server in its place may leave out hashes. */
interface HubFile {
  readonly size?: number
  readonly sha256?: string
  readonly gitSha1?: string
}

async function hubRepository(
  id: string,
  options: HubOptions & { readonly revision: string },
): Promise<Repository> {
  const { revision, onProgress, endpoint: _, token: given, ...rest } = options
  if (!REVISION.test(revision) || revision.includes('..'))
    fail(`${id}: ${JSON.stringify(revision)} is no revision: give a branch, a tag or a commit`)
  const base = endpointOf(options)
  const token = { variable: 'HF_TOKEN', value: given ?? variable('HF_TOKEN') }
  const plain: DownloadOptions = { ...rest, token }
  const said = `${id} at ${base}`
  const listing = await download(
    `${base}/api/models/${id}/revision/${encodeURIComponent(revision)}?blobs=true`,
    plain,
  ).catch((error: unknown) => unknownRepository(said, revision, error))
  const { commit, files } = readListing(await listing.bytes(), said)
  if (COMMIT.test(revision) && commit !== revision)
    fail(`${said}: asked for the commit ${revision}, it answers with ${commit}`)
  const notes = listing.stale
    ? [`${base} could not be reached: ${id} is what the cache has, and may have changed`]
    : []
  return readable({
    name: `${id} (${revision === commit ? '' : `${revision}, `}${commit.slice(0, 7)})`,
    kind: 'hub',
    commit,
    names: [...files.keys()],
    notes,
    async open(name) {
      const url = `${base}/${id}/resolve/${commit}/${name.split('/').map(encodeURIComponent).join('/')}`
      const known = files.get(name) ?? {}
      const hashed = known.sha256 !== undefined || known.gitSha1 !== undefined
      const { path, bytes } = await download(url, {
        ...plain,
        ...known,
        ...(!hashed && !rest.offline && (await headOfFile(url, plain))),
        onProgress: onProgress && ((progress) => onProgress({ ...progress, file: name })),
      })
      return path === undefined ? bytesSource(await bytes(), name) : fileSource(path)
    },
  })
}

/** A 404 (or 401, as the hub answers where nobody may know) says that there is no such repository. */
function unknownRepository(said: string, revision: string, error: unknown): never {
  if (!(error instanceof BurnishError)) throw error
  const missing = / (401|404), /.exec(error.message)
  if (!missing) throw error
  return fail(
    `${said}: there is no such repository or revision ${JSON.stringify(revision)}, or it is private${missing[1] === '401' ? ': HF_TOKEN must hold a token that may read it' : ''} (${error.message})`,
  )
}

function readListing(bytes: Uint8Array, said: string) {
  const wrong = (what: string): never =>
    fail(`${said}: the server answers otherwise than the hub does: ${what}; check HF_ENDPOINT`)
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return wrong('its list of files is not JSON')
  }
  const commit = field(parsed, 'sha')
  if (typeof commit !== 'string' || !COMMIT.test(commit)) return wrong('no commit')
  const siblings = field(parsed, 'siblings')
  if (!Array.isArray(siblings)) return wrong('no list of files')
  const files = new Map<string, HubFile>()
  for (const sibling of siblings as readonly unknown[]) {
    const name = field(sibling, 'rfilename')
    if (typeof name !== 'string') return wrong('a file without a name')
    if (isPlainPath(name)) files.set(name, hubFile(sibling))
  }
  return { commit, files }
}

function hubFile(sibling: unknown): HubFile {
  const [size, blob, large] = [
    field(sibling, 'size'),
    field(sibling, 'blobId'),
    field(sibling, 'lfs'),
  ]
  const sha256 = field(large, 'sha256')
  return {
    size: typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : undefined,
    sha256: typeof sha256 === 'string' && SHA256.test(sha256) ? sha256 : undefined,
    // The blob of a large file is its pointer, not its content.
    gitSha1:
      typeof blob === 'string' && COMMIT.test(blob) && typeof large !== 'object' ? blob : undefined,
  }
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined
}

/** A path below a folder, without tricks. */
function isPlainPath(name: string): boolean {
  return !/[\\\0]/.test(name) && name.split('/').every((part) => !['', '.', '..'].includes(part))
}

/** The hash as the hub's answer to HEAD has it: `X-Linked-Etag` of large files, `ETag` of small ones. */
async function headOfFile(url: string, options: DownloadOptions): Promise<HubFile> {
  const headers = await headOf(url, options)
  const tag = (key: string) => headers.get(key)?.replace(/^(W\/)?"(.*)"$/, '$2')
  const linked = tag('x-linked-etag') ?? tag('etag') ?? ''
  return {
    sha256: SHA256.test(linked) ? linked : undefined,
    gitSha1: COMMIT.test(linked) ? linked : undefined,
  }
}
