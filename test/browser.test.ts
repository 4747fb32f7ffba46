// The page of examples/vite in headless Chromium: LeNet learns digits on workers and on the page's own thread, with
// the losses of Node, bit for bit (tier wasm-relaxed). And what a page is told that is not cross-origin isolated, or whose policy
// forbids WebAssembly.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Run } from '../examples/vite/main.js'
import { requireAll } from './support.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const pageFolder = join(root, 'build/vite')
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const STEPS = 5 * 16

const present = existsSync(CHROMIUM)
if (!present) {
  const reason = `tests in a browser skipped: ${CHROMIUM} is absent (Debian: apt-get install chromium)`
  if (requireAll) throw new Error(reason)
  console.warn(reason)
}

const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
}
const TYPES: { readonly [extension: string]: string } = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
}

/** Serves the built page, every answer with these headers. */
async function serve(headers: { readonly [name: string]: string }): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const path = join(pageFolder, pathname === '/' ? 'index.html' : pathname)
    if (!path.startsWith(pageFolder) || !existsSync(path)) {
      response.writeHead(404).end()
      return
    }
    const type = TYPES[extname(path)] ?? 'application/octet-stream'
    response.writeHead(200, { ...headers, 'Content-Type': type }).end(readFileSync(path))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

declare global {
  var drawn: Set<string> | undefined
}

interface Visit {
  readonly status: string
  readonly isolated: boolean
  readonly runs: readonly Run[]
  /** What the page wrote on the console, and its uncaught errors. */
  readonly printed: readonly string[]
  readonly errors: readonly string[]
  /** Workers it started. */
  readonly workers: number
  /** The status lines it drew while it trained. */
  readonly drawn: number
}

/** Opens the page and waits until it is done, or has failed. */
async function visit(
  browser: Browser,
  headers: { readonly [name: string]: string },
): Promise<Visit> {
  const server = await serve(headers)
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const page = await browser.newPage()
  const printed: string[] = []
  const errors: string[] = []
  let workers = 0
  page.on('worker', () => workers++)
  page.on('console', (message) => printed.push(message.text()))
  page.on('pageerror', (error) => errors.push(error.message))
  try {
    // Frames in which the page shows another step than in the frame before.
    await page.addInitScript(() => {
      const seen = new Set<string>()
      const look = () => {
        const text = document.getElementById('status')?.textContent ?? ''
        if (/step \d/.test(text)) seen.add(text)
        requestAnimationFrame(look)
      }
      requestAnimationFrame(look)
      globalThis.drawn = seen
    })
    await page.goto(`http://localhost:${port}/`)
    await page.waitForFunction(
      () => 'trained' in globalThis || document.body.classList.contains('failed'),
      undefined,
      { timeout: 60_000 },
    )
    const found = await page.evaluate(() => {
      return {
        status: document.getElementById('status')?.textContent ?? '',
        isolated: crossOriginIsolated,
        runs: globalThis.trained ?? [],
        drawn: globalThis.drawn?.size ?? 0,
      }
    })
    return { ...found, printed, errors, workers }
  } finally {
    await page.close()
    server.close()
  }
}

/** The same training in Node, on the tier of browsers: Node 20 has relaxed SIMD behind a flag. */
async function trainInNode(): Promise<{ machine: string; losses: readonly number[] }> {
  await build({
    configFile: false,
    logLevel: 'error',
    root,
    build: {
      ssr: 'examples/vite/train.ts',
      outDir: join(root, 'build/vite-node'),
      rolldownOptions: { external: /^burnish/ },
    },
  })
  const script = `
    import { readFileSync } from 'node:fs'
    import { setDevice } from 'burnish'
    import { digitsOf, train } from './build/vite-node/train.js'
    const read = (name) => new Uint8Array(readFileSync('build/vite/' + name))
    const { machine } = await setDevice('cpu', { threads: 2 })
    const losses = await train(digitsOf(read('images.idx'), read('labels.idx')))
    console.log(JSON.stringify({ machine: machine.name, losses }))`
  const flags =
    Number(process.versions.node.split('.')[0]) < 22 ? ['--experimental-wasm-relaxed-simd'] : []
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', script], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (part) => {
    text += part
  })
  await once(child, 'close')
  return JSON.parse(text)
}

describe.skipIf(!present)('the page of examples/vite', () => {
  let browser: Browser
  beforeAll(async () => {
    await build({ configFile: join(root, 'examples/vite/vite.config.ts'), logLevel: 'error' })
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS })
  })
  afterAll(() => browser?.close())

  let isolated: Visit
  test('cross-origin isolated: workers and one thread give the same losses', async () => {
    isolated = await visit(browser, ISOLATED)
    const { runs, errors, printed, status } = isolated
    expect({ errors, printed, isolated: isolated.isolated }).toEqual({
      errors: [],
      printed: [],
      isolated: true,
    })
    expect(runs.map(({ losses }) => losses.length)).toEqual([STEPS, STEPS])
    expect(runs[0].threads).toBeGreaterThan(1)
    expect(runs[1].threads).toBe(1)
    expect(isolated.workers).toBe(runs[0].threads)
    expect(runs[1].losses).toEqual(runs[0].losses)
    expect(status).toBe('Done: both runs gave the same 80 losses, bit for bit.')
    const last = runs[0].losses.slice(-16)
    expect(last.reduce((a, b) => a + b) / last.length).toBeLessThan(0.8)
    expect(isolated.drawn).toBeGreaterThan(10)
  })

  test('not isolated: one thread, one line that says so, the same losses, and the page draws meanwhile', async () => {
    const { runs, errors, printed, drawn, ...rest } = await visit(browser, {})
    expect(errors).toEqual([])
    expect(printed).toEqual([
      'burnish: this page is not cross-origin isolated: computing on one thread',
    ])
    expect(rest).toEqual({
      isolated: false,
      workers: 0,
      status:
        'Done, on one thread: without the headers COOP and COEP a page cannot share memory with workers.',
    })
    expect(runs).toHaveLength(1)
    expect(runs[0].losses).toEqual(isolated.runs[0].losses)
    expect(drawn).toBeGreaterThan(5)
  })

  test('Node gives the same losses', async () => {
    const { machine, losses } = await trainInNode()
    expect(machine).toBe('wasm-relaxed')
    expect(losses).toEqual(isolated.runs[0].losses)
  })

  test.each([
    ['isolated', ISOLATED],
    ['not isolated', {}],
  ])('a policy that forbids WebAssembly, %s: the sentence with the fix', async (_, headers) => {
    const policy = "script-src 'self'; object-src 'none'"
    const { status, runs, errors } = await visit(browser, {
      ...headers,
      'Content-Security-Policy': policy,
    })
    const sentence =
      "cpu: this page forbids WebAssembly: add 'wasm-unsafe-eval' to script-src of its Content-Security-Policy"
    expect({ status, runs, errors }).toEqual({ status: sentence, runs: [], errors: [sentence] })
  })

  test('a policy that allows WebAssembly alone is enough', async () => {
    const policy = "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'"
    const { errors, runs } = await visit(browser, {
      ...ISOLATED,
      'Content-Security-Policy': policy,
    })
    expect(errors).toEqual([])
    expect(runs).toHaveLength(2)
  })
})
