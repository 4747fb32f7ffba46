// What goes into the npm package, and what a browser loads: see scripts/weight.mjs. Measures dist/: build first.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

interface Weight {
  readonly packed: { readonly size: number; readonly files: readonly string[] }
  readonly bundles: readonly {
    readonly name: string
    readonly gzip: number
    readonly workers: number
    readonly builtins: boolean
  }[]
}

/**
 * Bytes in gzip, with the compiler, the cpu device and its worker. The nearest peer says 80 kB of its whole. It was
 * 100 kB before attention by blocks and gradients by Winograd's tiles, which every program loads with the compiler.
 */
const BUDGET = 110_000

const root = fileURLToPath(new URL('..', import.meta.url))
const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/weight.mjs', '--json'], {
  cwd: root,
  encoding: 'utf8',
})
if (status !== 0) throw new Error(stderr)
const { packed, bundles }: Weight = JSON.parse(stdout)

/** Every path that package.json promises. */
function promised(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value.replace('./', '')]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(promised) : []
}

describe('the npm package', () => {
  test('holds everything package.json names, and what that imports', () => {
    const { bin, exports, imports } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
    const named = [bin, exports, imports].flatMap(promised)
    expect(named.length).toBeGreaterThan(8)
    expect(named.filter((path) => !packed.files.includes(path))).toEqual([])
    const missing = packed.files
      .filter((path) => path.endsWith('.js'))
      .flatMap((path) => {
        const found = readFileSync(root + path, 'utf8').matchAll(
          /(?:\bfrom |^import |\bimport\(|new URL\()'(\.[^']+\.js)'/gm,
        )
        return [...found].map(([, to]) => new URL(to, `file:///${path}`).pathname.slice(1))
      })
      .filter((path) => !packed.files.includes(path))
    expect(missing).toEqual([])
  })

  test('holds nothing else', () => {
    const wanted = /^(dist\/.*\.(js|d\.ts)|README.*\.md|CHANGELOG\.md|LICENSE|package\.json)$/
    expect(packed.files.filter((path) => !wanted.test(path) || /\.test\./.test(path))).toEqual([])
    // Readers and writers of six families of files, with their types, are a quarter of it.
    expect(packed.size).toBeLessThan(1_000_000)
  })
})

describe('bundles for a browser', () => {
  test('no built-in module of Node gets there, and each has the worker', () => {
    expect(bundles.length).toBeGreaterThan(3)
    for (const { name, builtins, workers } of bundles)
      expect({ name, builtins, workers }).toEqual({ name, builtins: false, workers: 1 })
  })

  test("all of `import 'burnish'` stays within its budget", () => {
    expect(bundles.find(({ name }) => name === 'burnish')?.gzip).toBeLessThan(BUDGET)
  })
})
