// The hub, as a server of the test's own plays it: revisions, hashes, large files on another server, tokens, offline.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { tensor } from '../src/index.js'
import { openRepository } from '../src/io/index.js'
import { GPT2, huggingFaceFiles, loadHuggingFace } from '../src/models/index.js'

const COMMIT = 'a'.repeat(40)
const folder = mkdtempSync(join(tmpdir(), 'burnish-hub-'))
const hash = (algorithm: string, bytes: Uint8Array) =>
  createHash(algorithm).update(bytes).digest('hex')
const blobName = (bytes: Uint8Array) =>
  hash('sha1', Buffer.concat([Buffer.from(`blob ${bytes.length}\0`), bytes]))

let files = new Map<string, Uint8Array>()
let hub: Server
let store: Server
let asked: IncomingMessage[] = []
let down = false
/** Whether the list of files has hashes, and whether a token is wanted. */
let [hashes, guarded] = [true, false]
let damaged: string | undefined
let cache = ''

const isLarge = (name: string) => name.endsWith('.safetensors')
const address = (server: Server) => {
  const at = server.address()
  if (at === null || typeof at === 'string') throw new Error('no port')
  return `http://127.0.0.1:${at.port}`
}
const content = (name: string) => {
  const bytes = files.get(name) ?? new Uint8Array()
  return name === damaged ? bytes.map((x) => x ^ 1) : bytes
}

beforeAll(async () => {
  store = createServer((request, response) => {
    asked.push(request)
    response.end(content(request.url?.slice(1) ?? ''))
  }).listen(0, '127.0.0.1')
  hub = createServer((request, response) => {
    asked.push(request)
    if (down) return response.destroy()
    if (guarded && request.headers.authorization !== 'Bearer secret')
      return response.writeHead(401).end()
    const url = new URL(request.url ?? '', 'http://x')
    const listing = /^\/api\/models\/org\/tiny\/revision\/(main|a{40})$/.exec(url.pathname)
    if (listing) {
      const siblings = [...files].map(([rfilename, bytes]) => ({
        rfilename,
        ...(hashes && {
          size: bytes.length,
          ...(isLarge(rfilename)
            ? { blobId: 'b'.repeat(40), lfs: { sha256: hash('sha256', bytes), size: bytes.length } }
            : { blobId: blobName(bytes) }),
        }),
      }))
      siblings.push({ rfilename: '../../evil' })
      return response.end(JSON.stringify({ id: 'org/tiny', sha: COMMIT, siblings }))
    }
    const name = url.pathname.replace(`/org/tiny/resolve/${COMMIT}/`, '')
    const bytes = files.get(name)
    if (bytes === undefined) return response.writeHead(404).end()
    if (!isLarge(name))
      return response.writeHead(200, { etag: `"${blobName(bytes)}"` }).end(content(name))
    return response
      .writeHead(302, {
        location: `${address(store)}/${name}`,
        'x-linked-etag': `"${hash('sha256', bytes)}"`,
        'x-repo-commit': COMMIT,
      })
      .end()
  }).listen(0, '127.0.0.1')
  await Promise.all([once(hub, 'listening'), once(store, 'listening')])
  const model = new GPT2({ vocabSize: 11, nPositions: 8, nEmbd: 8, nHead: 2, nLayer: 1 })
  files = new Map(await huggingFaceFiles(model))
  process.env.HF_ENDPOINT = address(hub)
})
beforeEach(() => {
  cache = mkdtempSync(join(folder, 'cache-'))
  asked = []
})
afterEach(() => {
  ;[hashes, guarded, down, damaged] = [true, false, false, undefined]
  delete process.env.HF_TOKEN
})
afterAll(() => {
  delete process.env.HF_ENDPOINT
  for (const each of [hub, store]) {
    each.closeAllConnections()
    each.close()
  }
  rmSync(folder, { recursive: true })
})

test('a model from the hub, with progress; then from the cache; then offline', async () => {
  const seen = new Map<string, number>()
  const onProgress = ({ file, bytes }: { file: string; bytes: number }) =>
    void seen.set(file, bytes)
  const first = await loadHuggingFace('org/tiny', { cache, onProgress })
  expect(first.repository).toMatchObject({ kind: 'hub', commit: COMMIT })
  expect(seen.get('model.safetensors')).toBe(files.get('model.safetensors')?.length)
  if (!(first.model instanceof GPT2)) throw new Error('no GPT2')
  const ids = tensor(Int32Array.of(1, 2, 3), { shape: [1, 3] })
  const want = await first.model.forward(ids).data()
  expect(want.length).toBe(33)
  asked = []
  const second = await loadHuggingFace(`${address(hub)}/org/tiny/tree/main`, { cache })
  expect(asked.map(({ url }) => url)).toEqual(['/api/models/org/tiny/revision/main?blobs=true'])
  expect(second.report.notes).toEqual([])
  down = true
  const third = await loadHuggingFace('org/tiny', { cache, offline: true })
  expect(await (third.model as GPT2).forward(ids).data()).toEqual(want)
})

test('when the hub cannot be reached the report says that the cache may be old', async () => {
  await loadHuggingFace('org/tiny', { cache })
  down = true
  const { report } = await loadHuggingFace('org/tiny', { cache })
  expect(report.notes[0]).toMatch(/could not be reached: org\/tiny is what the cache has/)
}, 30_000)

test('hashes of the list, or of the answer to HEAD, are held to the content', async () => {
  for (const listed of [true, false])
    for (const name of ['config.json', 'model.safetensors']) {
      ;[hashes, damaged, cache] = [listed, name, mkdtempSync(join(folder, 'cache-'))]
      const wrong = isLarge(name) ? 'its SHA-256 is' : 'its Git blob name is'
      await expect(loadHuggingFace('org/tiny', { cache })).rejects.toThrow(wrong)
    }
  ;[hashes, damaged] = [false, undefined]
  await loadHuggingFace('org/tiny', { cache })
  expect(asked.some(({ method }) => method === 'HEAD')).toBe(true)
})

test('tokens: named when missing, sent to the hub alone', async () => {
  guarded = true
  await expect(loadHuggingFace('org/tiny', { cache })).rejects.toThrow(/HF_TOKEN must hold a token/)
  process.env.HF_TOKEN = 'secret'
  await loadHuggingFace('org/tiny', { cache })
  const elsewhere = asked.filter(({ headers }) => headers.host === new URL(address(store)).host)
  expect(elsewhere.length).toBe(1)
  expect(elsewhere[0].headers.authorization).toBe(undefined)
})

test('revisions, names, and paths that are none', async () => {
  const pinned = await openRepository('org/tiny', { cache, revision: COMMIT })
  expect(pinned.name).toBe('org/tiny (aaaaaaa)')
  expect(pinned.names.some((name) => name.includes('..'))).toBe(false)
  await expect(pinned.bytes('absent.json')).rejects.toThrow(
    'has no absent.json; it has config.json',
  )
  for (const [where, revision, message] of [
    ['org/none', undefined, 'there is no such repository or revision "main", or it is private'],
    ['org/none', undefined, '(there is no folder org/none)'],
    ['org/tiny', 'dev', 'there is no such repository or revision "dev"'],
    ['org/tiny', '../main', 'is no revision'],
    ['./nowhere', undefined, 'is neither a folder nor the name of a repository'],
    ['a/b/c', undefined, 'is neither a folder nor the name of a repository'],
    ['https://example.org/a/b', undefined, 'not the address of a model at'],
  ] as const)
    await expect(openRepository(where, { cache, revision })).rejects.toThrow(message)
})
