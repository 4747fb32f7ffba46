// Experiments: the scripts run, shortly, and write what they promise; the kept results are of runs with default settings.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = mkdtempSync(join(tmpdir(), 'burnish-experiments-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const run = (...args: readonly string[]) =>
  spawnSync(process.execPath, ['scripts/experiment.mjs', ...args], { cwd: root, encoding: 'utf8' })
const read = (file: string) => readFileSync(file, 'utf8')
const parsed = (file: string) => JSON.parse(read(file))
const kept = readdirSync(join(root, 'experiments/results')).filter((name) => name.endsWith('.json'))
const scripts = readdirSync(join(root, 'experiments'))
  .filter((name) => name.endsWith('.ts'))
  .filter((name) => /^ *await experiment\(/m.test(read(join(root, 'experiments', name))))
  .map((name) => name.slice(0, -3))

/** What every table made from results needs. */
function check(result: { readonly [name: string]: unknown }, name: string): void {
  expect(Object.keys(result)).toEqual([
    'name',
    'title',
    'command',
    'seed',
    'settings',
    'commit',
    'date',
    'minutes',
    'processorMinutes',
    'device',
    'machine',
    'figures',
  ])
  expect(result.name).toBe(name)
  expect(result.command).toContain(`npm run experiment -- ${name}`)
  expect(result.seed).toBe((result.settings as { readonly seed: number }).seed)
  expect(result.minutes).toBeGreaterThan(0)
}

describe('kept results', () => {
  it.each(kept)('%s is of a script, and took at most 15 minutes of two cores', (file) => {
    const name = file.replace('.json', '')
    const result = parsed(join(root, 'experiments/results', file))
    check(result, name)
    expect(scripts).toContain(name)
    expect(result.processorMinutes).toBeLessThanOrEqual(30)
    expect(result.commit).toMatch(/^[0-9a-f]{7,}\+?$/)
  })
})

describe('scripts', () => {
  // resnet18-cifar needs ten thousand pictures that are not in the project.
  it('a short run of each that brings its data writes where it is told to', () => {
    for (const [name, ...flags] of [
      ['char-gpt', '--steps', '2', '--features', '16', '--length', '32'],
      ['transformer-reverse', '--steps', '2', '--d-model', '16', '--layers', '1'],
      ['yolo-mnist', '--steps', '2', '--canvases', '4', '--batch-size', '4'],
      ['lstm-reverse', '--steps', '2', '--features', '8', '--hidden', '16'],
    ]) {
      const out = join(folder, `${name}.json`)
      const { status, stderr } = run(name, ...flags, '--tier', 'wasm', '--out', out)
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
      const result = parsed(out)
      check(result, name)
      expect(result.settings.steps).toBe(2)
      expect(result.device).toMatchObject({ name: 'cpu', tier: 'wasm' })
      expect(Object.values(result.figures).every((figure) => figure !== null)).toBe(true)
    }
  })

  it('says what is wrong', () => {
    expect(run('no-such').stderr).toMatch(/no experiment named no-such; there are: char-gpt/)
    const short = run('char-gpt', '--text', join(root, 'LICENSE'), '--steps', '1')
    expect(short.stderr).toMatch(/the part of the text kept back has 1000 characters; .* at least/)
    const wrong = run('transformer-reverse', '--steps', 'many')
    expect(wrong.status).toBe(1)
    expect(wrong.stderr).toMatch(/--steps many: a number is expected/)
  })
})
