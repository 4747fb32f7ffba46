// Downloads against a server of the test's own, which cuts, lies, redirects and counts: see Server.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openPlace as openPageCache } from '../src/io/download.browser.js'
import { download, type Progress } from '../src/io/download.js'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

const BYTES = new Uint8Array(300_000).map((_, i) => (i * 31 + (i >> 8)) & 255)
const sha = (algorithm: string, bytes: Uint8Array) =>
  createHash(algorithm).update(bytes).digest('hex')
const sha256 = sha('sha256', BYTES)

const folder = mkdtempSync(join(tmpdir(), 'burnish-download-'))
let server: Server
let other: Server
let base = ''
let cache = ''
let handler: Handler = () => {}
let asked: IncomingMessage[] = []

/** Whether two contents are the same; faster than a comparison of 300,000 elements. */
const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0

const listen = async (serve: Handler) => {
  const made = createServer(serve).listen(0, '127.0.0.1')
  await once(made, 'listening')
  return made
}
const addressOf = (from: Server) => {
  const address = from.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `http://127.0.0.1:${address.port}`
}

beforeAll(async () => {
  server = await listen((request, response) => {
    asked.push(request)
    handler(request, response)
  })
  other = await listen((request, response) => {
    asked.push(request)
    plain()(request, response)
  })
  base = addressOf(server)
})
beforeEach(() => {
  cache = mkdtempSync(join(folder, 'cache-'))
  asked = []
})
afterAll(() => {
  for (const each of [server, other]) {
    each.closeAllConnections()
    each.close()
  }
  rmSync(folder, { recursive: true })
})

/** A server as it should be: lengths, ETags, ranges; `cut` ends the connection after so many bytes of the body. */
function plain(
  options: { readonly cut?: () => number | undefined; readonly etag?: () => string } = {},
  bytes = BYTES,
): Handler {
  return (request, response) => {
    const etag = options.etag?.() ?? '"one"'
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')
    const condition = request.headers['if-range']
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304, { etag }).end()
      return
    }
    const start = range && (condition === undefined || condition === etag) ? Number(range[1]) : 0
    if (start > 0 && start >= bytes.length) {
      response.writeHead(416).end()
      return
    }
    const body = bytes.subarray(start)
    response.writeHead(start > 0 ? 206 : 200, {
      etag,
      'content-length': body.length,
      ...(start > 0 && { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
    })
    const cut = options.cut?.()
    if (cut === undefined) response.end(body)
    else response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20))
  }
}

const get = (path = '/file.bin', options: Parameters<typeof download>[1] = {}) =>
  download(base + path, { cache, wait: 1, ...options })
const files = () =>
  existsSync(join(cache, 'downloads')) ? readdirSync(join(cache, 'downloads')).sort() : []
const leftovers = () => files().filter((name) => name.includes('~'))

test('a file, its progress, and the cache', async () => {
  handler = plain()
  const seen: Progress[] = []
  const first = await get('/file.bin', { sha256, onProgress: (progress) => seen.push(progress) })
  expect(same(await first.bytes(), BYTES)).toBe(true)
  expect(first).toMatchObject({ size: BYTES.length, cached: false, stale: false })
  expect(same(readFileSync(first.path ?? ''), BYTES)).toBe(true)
  expect(seen[0]).toEqual({ url: `${base}/file.bin`, bytes: 0, total: BYTES.length })
  expect(seen.at(-1)).toMatchObject({ bytes: BYTES.length, total: BYTES.length })
  expect(seen.every(({ bytes }, i) => i === 0 || bytes >= seen[i - 1].bytes)).toBe(true)
  expect(leftovers()).toEqual([])
  // With a hash nobody is asked again, under whatever URL.
  const second = await get('/elsewhere', { sha256, size: BYTES.length })
  expect(second).toMatchObject({ cached: true, path: first.path })
  expect(asked.length).toBe(1)
})

test('each kind of hash is checked', async () => {
  handler = plain()
  const blob = Buffer.concat([Buffer.from(`blob ${BYTES.length}\0`), BYTES])
  const integrity = `sha512-${createHash('sha512').update(BYTES).digest('base64')}`
  for (const wanted of [
    { sha512: sha('sha512', BYTES) },
    { sha512: integrity },
    { gitSha1: sha('sha1', blob) },
  ])
    expect((await get('/f', wanted)).size).toBe(BYTES.length)
  const zeros = (digits: number) => '0'.repeat(digits)
  for (const [wrong, word] of [
    [{ sha256: zeros(64) }, 'SHA-256'],
    [{ sha512: zeros(128) }, 'SHA-512'],
    [{ gitSha1: zeros(40) }, 'Git blob name'],
  ] as const)
    await expect(get('/f', wrong)).rejects.toThrow(`its ${word} is `)
  await expect(get('/f', { sha256: 'abc' })).rejects.toThrow('which has 64 hexadecimal digits')
  expect(leftovers()).toEqual([])
})

test('a wrong hash says both, and nothing is kept', async () => {
  handler = plain()
  const wrong = 'f'.repeat(64)
  await expect(get('/file.bin', { sha256: wrong })).rejects.toThrow(
    `download ${base}/file.bin: its SHA-256 is ${sha256}, not ${wrong}: it was changed`,
  )
  expect(files()).toEqual([])
})

test('a file damaged in the cache is fetched again', async () => {
  handler = plain()
  const { path = '' } = await get('/file.bin', { sha256 })
  writeFileSync(path, BYTES.toReversed())
  const again = await get('/file.bin', { sha256 })
  expect(again.cached).toBe(false)
  expect(same(await again.bytes(), BYTES)).toBe(true)
})

test('a cut connection is taken up where it stopped', async () => {
  let cuts = 3
  handler = plain({ cut: () => (cuts-- > 0 ? 70_000 : undefined) })
  const seen: number[] = []
  const { bytes } = await get('/f', { onProgress: (progress) => seen.push(progress.bytes) })
  expect(same(await bytes(), BYTES)).toBe(true)
  const ranges = asked.map(({ headers }) => headers.range)
  expect(ranges).toEqual([undefined, 'bytes=70000-', 'bytes=140000-', 'bytes=210000-'])
  expect(asked[1].headers['if-range']).toBe('"one"')
  expect(seen.every((count, i) => i === 0 || count >= seen[i - 1])).toBe(true)
})

test('attempts that bring nothing come to an end, and a later download goes on', async () => {
  let cut: number | undefined = 50_000
  handler = plain({
    cut: () => {
      const now = cut
      if (cut !== undefined) cut = 0
      return now
    },
  })
  await expect(get('/f', { retries: 2 })).rejects.toThrow(
    /the connection was cut after 50000 of 300000 bytes \(.*\); check the connection/,
  )
  expect(asked.length).toBe(3) // one that brought something, and two more
  expect(leftovers().length).toBe(2)
  cut = undefined
  expect(same(await (await get('/f')).bytes(), BYTES)).toBe(true)
  expect(asked.at(-1)?.headers.range).toBe('bytes=50000-')
  expect(leftovers()).toEqual([])
})

test('another version in the middle begins again', async () => {
  const next = BYTES.toReversed()
  let count = 0
  handler = (request, response) =>
    count++ === 0
      ? plain({ cut: () => 100_000 })(request, response)
      : plain({ etag: () => '"two"' }, next)(request, response)
  expect(same(await (await get()).bytes(), next)).toBe(true)
  expect(asked[1].headers).toMatchObject({ range: 'bytes=100000-', 'if-range': '"one"' })
})

test('a left part of another version does no harm where a hash says what is meant', async () => {
  let count = 0
  handler = (request, response) =>
    count++ === 0
      ? plain({ cut: () => 100_000 }, BYTES.toReversed())(request, response)
      : plain({ etag: () => '"one"' })(request, response)
  await expect(get('/f', { sha256, retries: 0 })).rejects.toThrow('the connection was cut')
  expect(same(await (await get('/f', { sha256 })).bytes(), BYTES)).toBe(true)
  expect(asked.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=100000-', undefined])
})

test('404, 401 and 403 say what to do; a token is named, never shown', async () => {
  handler = (_, response) => response.writeHead(404).end('no')
  await expect(get('/gone?token=secret')).rejects.toThrow(
    `download ${base}/gone: 404, there is no such file: check the name and the version`,
  )
  handler = (_, response) => response.writeHead(401).end('no')
  await expect(get()).rejects.toThrow('401, it wants authorization: give it in the headers')
  const token = (value?: string) => ({ token: { variable: 'HF_TOKEN', value } })
  await expect(get('/f', token())).rejects.toThrow('401, it wants a token: set HF_TOKEN to one')
  handler = (_, response) => response.writeHead(403).end('no')
  const refused = get('/f', token('hidden'))
  await expect(refused).rejects.toThrow('403, the token in HF_TOKEN may not read it')
  await expect(refused).rejects.not.toThrow('hidden')
  expect(asked.at(-1)?.headers.authorization).toBe('Bearer hidden')
  expect(asked.length).toBe(4) // none of these is tried twice
  expect(files()).toEqual([])
})

test('503 and 429 are tried again', async () => {
  let count = 0
  handler = (request, response) => {
    count++
    if (count < 3) response.writeHead(count === 1 ? 503 : 429, { 'retry-after': '0' }).end()
    else plain()(request, response)
  }
  expect((await get()).size).toBe(BYTES.length)
  handler = (_, response) => response.writeHead(500).end()
  await expect(get('/g', { retries: 1 })).rejects.toThrow('the server answered 500; try again')
})

test('redirects: authorization stays with its server', async () => {
  handler = (request, response) => {
    const to: { readonly [path: string]: string } = {
      '/a': '/b',
      '/b': `${addressOf(other)}/c`,
      '/loop': '/loop',
      '/file': 'file:///etc/hostname',
    }
    response.writeHead(302, { location: to[request.url ?? ''] }).end()
  }
  const options = {
    token: { variable: 'HF_TOKEN', value: 'hidden' },
    headers: { 'x-own': 'mine' },
  }
  expect((await get('/a', options)).size).toBe(BYTES.length)
  const sent = asked.map(({ url, headers }) => [url, headers.authorization, headers['x-own']])
  expect(sent).toEqual([
    ['/a', 'Bearer hidden', 'mine'],
    ['/b', 'Bearer hidden', 'mine'],
    ['/c', undefined, undefined],
  ])
  await expect(get('/loop')).rejects.toThrow('it redirects more than 10 times')
  await expect(get('/file')).rejects.toThrow('it redirects to file:')
})

test('lengths that lie', async () => {
  // Says more than it sends, and ends: each time, so it is given up.
  handler = (_, response) => {
    response.writeHead(200, { 'content-length': 2 * BYTES.length })
    response.write(BYTES, () => setTimeout(() => response.destroy(), 20))
  }
  await expect(get('/f', { retries: 1 })).rejects.toThrow(/cut after 300000 of 600000 bytes/)
  // Says less: the rest is not of this answer. The size or the hash tells.
  handler = (_, response) => {
    response.writeHead(200, { 'content-length': 1000, connection: 'close' }).flushHeaders()
    response.socket?.write(BYTES)
    setTimeout(() => response.destroy(), 20)
  }
  await expect(get('/g', { size: BYTES.length })).rejects.toThrow('it has 1000 bytes, not 300000')
  // Says nothing, and goes on.
  handler = (_, response) => response.writeHead(200).end(BYTES)
  await expect(get('/h', { size: 1000 })).rejects.toThrow('it goes on after its 1000 bytes')
  await expect(get('/i', { size: 2 * BYTES.length, retries: 0 })).rejects.toThrow(
    'it ended after 300000 of 600000 bytes',
  )
  expect((await get('/j')).size).toBe(BYTES.length)
  // Ranges that begin elsewhere.
  let count = 0
  handler = (request, response) => {
    if (count++ !== 1) plain({ cut: () => (count === 1 ? 1000 : undefined) })(request, response)
    else
      response
        .writeHead(206, { 'content-range': `bytes 7-${BYTES.length - 1}/${BYTES.length}` })
        .end(BYTES.subarray(7))
  }
  expect(same(await (await get('/k')).bytes(), BYTES)).toBe(true)
})

test('without a hash the server is asked for news; when it cannot be reached, what is there is stale', async () => {
  let [etag, bytes] = ['"one"', BYTES]
  handler = (request, response) => plain({ etag: () => etag }, bytes)(request, response)
  const url = `${base}/news`
  expect(await download(url, { cache })).toMatchObject({ cached: false })
  expect(await download(url, { cache })).toMatchObject({ cached: true, stale: false })
  expect(asked.at(-1)?.headers['if-none-match']).toBe('"one"')
  ;[etag, bytes] = ['"two"', BYTES.subarray(5)]
  const newer = await download(url, { cache })
  expect([newer.cached, same(await newer.bytes(), BYTES.subarray(5))]).toEqual([false, true])
  handler = (_, response) => response.destroy()
  const stale = await download(url, { cache, retries: 0 })
  expect([stale.cached, stale.stale, stale.size]).toEqual([true, true, BYTES.length - 5])
  expect(await download(url, { cache, offline: true })).toMatchObject({ cached: true })
  await expect(download(`${base}/never`, { cache, offline: true })).rejects.toThrow('offline no')
})

test('a server that is not there', async () => {
  const closed = await listen(() => {})
  const gone = addressOf(closed)
  closed.close()
  await expect(download(`${gone}/x`, { cache, retries: 0 })).rejects.toThrow(
    /the server cannot be reached \(.*ECONNREFUSED.*\); check the connection/,
  )
})

test('a server that says nothing more, and a caller who stops', async () => {
  handler = (_, response) => {
    response.writeHead(200, { 'content-length': BYTES.length })
    response.write(BYTES.subarray(0, 1000))
  }
  await expect(get('/f', { patience: 60, retries: 0 })).rejects.toThrow('nothing came for 0.06 s')
  const controller = new AbortController()
  const reason = new Error('enough')
  const onProgress = ({ bytes }: Progress) => {
    if (bytes > 0) controller.abort(reason)
  }
  await expect(get('/g', { signal: controller.signal, onProgress })).rejects.toBe(reason)
  await expect(get('/g', { signal: controller.signal })).rejects.toBe(reason)
})

test('a cache that cannot be written', async () => {
  handler = plain()
  const occupied = join(folder, 'occupied')
  writeFileSync(occupied, '')
  await expect(download(`${base}/f`, { cache: occupied })).rejects.toThrow(
    /the cache .*occupied.downloads cannot be used \(.*ENOTDIR.*\): set BURNISH_CACHE/,
  )
})

test('what is no URL', async () => {
  for (const url of ['', 'file:///etc/passwd', 'ftp://x/y', 'org/name'])
    await expect(download(url, { cache })).rejects.toThrow('is no URL that begins with https://')
})

const child = (url: string, options: object) =>
  spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { download } from ${JSON.stringify(new URL('../dist/io/index.js', import.meta.url).href)}
       const { size } = await download(${JSON.stringify(url)}, ${JSON.stringify({ cache, ...options })})
       console.log(size)`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )

test('killed in the middle, another process goes on', async () => {
  const arrived = new Promise<void>((resolve) => {
    handler = (_, response) => {
      response.writeHead(200, { etag: '"one"', 'content-length': BYTES.length })
      response.write(BYTES.subarray(0, 120_000))
      resolve()
    }
  })
  const first = child(`${base}/f`, { sha256 })
  await arrived
  const part = () => leftovers().find((name) => name.endsWith('.part'))
  for (let i = 0; i < 200; i++) {
    const name = part()
    if (name && readFileSync(join(cache, 'downloads', name)).length === 120_000) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  // Nobody takes what a living process writes.
  handler = plain()
  await get('/f', { sha256: sha256.toUpperCase() })
  expect(asked.at(-1)?.headers.range).toBe(undefined)
  rmSync(join(cache, 'downloads', `sha256-${sha256}`))
  first.kill('SIGKILL')
  await once(first, 'exit')
  expect(part()).toContain(`-${first.pid}.part`)
  expect(same(await (await get('/f', { sha256 })).bytes(), BYTES)).toBe(true)
  expect(asked.at(-1)?.headers.range).toBe('bytes=120000-')
  expect(leftovers()).toEqual([])
})

test('two processes and two downloads of one at once', async () => {
  handler = plain()
  const children = [child(`${base}/f`, { sha256 }), child(`${base}/f`, { sha256 })]
  const own = Promise.all([get('/f', { sha256 }), get('/f', { sha256 }), get('/f'), get('/f')])
  const codes = await Promise.all(children.map(async (each) => (await once(each, 'exit'))[0]))
  expect(codes).toEqual([0, 0])
  for (const each of await own) expect(same(await each.bytes(), BYTES)).toBe(true)
  expect(leftovers()).toEqual([])
})

test("a page's cache: kept whole, unfinished in memory", async () => {
  const stored = new Map<string, Response>()
  const fake = {
    open: async () => ({
      match: async (key: string) => stored.get(key)?.clone(),
      put: async (key: string, response: Response) => void stored.set(key, response),
      delete: async (key: string) => stored.delete(key),
    }),
  }
  Reflect.set(globalThis, 'caches', fake)
  try {
    const place = openPageCache('test', 'key')
    expect(await place.kept()).toBe(undefined)
    const unfinished = await place.begin()
    await unfinished.restart({ url: 'https://example.org/é' })
    await unfinished.append(BYTES.subarray(0, 10))
    await unfinished.append(BYTES.subarray(10))
    expect(unfinished.size).toBe(BYTES.length)
    expect(await unfinished.digest('sha256')).toBe(sha256)
    await unfinished.finish({ url: 'https://example.org/é', sha256 })
    const kept = await place.kept()
    expect(kept && same(await kept.bytes(), BYTES)).toBe(true)
    expect(kept?.note).toEqual({ url: 'https://example.org/é', sha256 })
    await kept?.remove()
    expect(await place.kept()).toBe(undefined)
  } finally {
    Reflect.deleteProperty(globalThis, 'caches')
  }
})
