// That the benchmarks run and say what they should: one workload in short, what they count, and the page made of results.
// Measures dist/: build first.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'burnish-bench-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

function node(...args: string[]) {
  const env = { ...process.env, BENCH_SECONDS: '0.02', BENCH_RESULTS: folder }
  return spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', env })
}

/** The module's exports, as what the test says they are. */
const load = <T>(file: string): Promise<T> => import(join(root, file))

test('a measurement has its figures, and rounds against a peer leave a results file', () => {
  const { stdout, stderr, status } = node(
    ...['bench/run.mjs', 'lenet64', '--against', 'imperative', '--rounds', '2', '--json'],
  )
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  // The order turns round.
  expect(lines.slice(0, 4).map(({ loop }) => loop)).toEqual([
    undefined,
    'imperative',
    'imperative',
    undefined,
  ])
  for (const figure of ['train_ms', 'infer_ms', 'first_step_ms', 'peak_rss_mb'])
    expect(lines[0][figure]).toBeGreaterThan(0)
  const kept = JSON.parse(readFileSync(join(folder, 'lenet64-1t-imperative.json'), 'utf8'))
  expect(kept).toEqual(lines[4])
  expect(kept).toMatchObject({ workload: 'lenet64', threads: 1, tier: 'wasm', rounds: 2 })
  expect(kept.rows.burnish).toHaveLength(2)
  expect(kept.ratio.train_ms).toBeCloseTo(
    kept.imperative.train_ms.median / kept.burnish.train_ms.median,
    2,
  )
  expect(kept.machine).toMatch(/CPUs/)
}, 60_000)

test('what it does not know it refuses', () => {
  expect(node('bench/run.mjs', 'lenet').stderr).toMatch(/^no workload lenet; there are: lenet64/)
  expect(node('bench/run.mjs', '--against', 'caffe').stderr).toMatch(/^--against caffe: pytorch, /)
})

// Of vgg11_64, whose 128 million take long to make, each measurement holds it.
test("every workload's model has as many parameters as the peer's", () => {
  const { stdout, stderr } = node(
    '--input-type=module',
    '-e',
    `import { names } from './bench/data.mjs'
     import { workload } from './bench/workloads.mjs'
     const count = (model) =>
       model.parameters().reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)
     const made = names.filter((name) => name !== 'vgg11_64').map((name) => [name, workload(name)])
     console.log(JSON.stringify(made.map(([name, { model, parameters }]) => [name, count(model), parameters])))
     process.exit(0)`,
  )
  expect(stderr).toBe('')
  const rows: [string, number, number][] = JSON.parse(stdout)
  expect(rows.map(([name]) => name)).toHaveLength(7)
  for (const [name, count, parameters] of rows) expect([name, count]).toEqual([name, parameters])
}, 60_000)

test('summaries, ratios and medians of sweeps', async () => {
  type Figures = { readonly [name: string]: { readonly median: number } }
  const { summarise, ratios } = await load<{
    summarise(rows: readonly object[]): Figures
    ratios(a: Figures, b: Figures): object
  }>('bench/against.mjs')
  const ours = summarise([{ train_ms: 1 }, { train_ms: 4 }, { train_ms: 2 }])
  expect(ours).toEqual({ train_ms: { median: 2, least: 1, most: 4 } })
  const theirs = summarise([{ train_ms: 3, infer_ms: 1 }])
  expect(ratios(ours, theirs)).toEqual({ train_ms: 1.5 })
  const { medians } = await load<{ medians(values: readonly unknown[]): unknown }>(
    'bench/sweep.mjs',
  )
  const rounds = [3, 1, 2].map((ms) => ({ tier: 'wasm', rows: [{ case: 'a', ms }] }))
  expect(medians(rounds)).toEqual({ tier: 'wasm', rows: [{ case: 'a', ms: 2 }] })
})

test('the sweep of convolutions is a ResNet-50', async () => {
  const { convolutions } = await load<{
    convolutions: readonly { readonly name: string; readonly flops: number }[]
  }>('bench/cases.mjs')
  expect(new Set(convolutions.map(({ name }) => name)).size).toBe(23)
  expect(convolutions[0].flops).toBe(2 * 8 * 64 * 112 * 112 * 3 * 49)
})

test('the page of results: rows in order, ratios, machine and versions; and what is not measured', async () => {
  const { performanceParts } = await load<{
    performanceParts(results: readonly object[]): { readonly [part: string]: string }
  }>('scripts/performance.mjs')
  const figure = (median: number) => ({ median, least: median, most: 2 * median })
  const side = (ms: number) => ({
    ...{ train_ms: figure(ms), infer_ms: figure(ms / 2) },
    ...{ first_step_ms: figure(500), peak_rss_mb: figure(90) },
  })
  const result = (workload: string, threads: number, ours: number, theirs: number) => ({
    ...{ workload, threads, tier: 'native', rounds: 3, burnish: side(ours), pytorch: side(theirs) },
    ratio: { train_ms: theirs / ours, infer_ms: theirs / ours },
    ...{ date: '2026-01-02T03:04:05Z', commit: 'abcdef0123', node: 'v20.0.0' },
    ...{ compiler: 'cc 12', machine: 'Machine, 2 CPUs', pytorch_version: '1.13' },
  })
  const parts = performanceParts([
    result('gpt', 1, 100, 150),
    result('lenet64', 2, 1, 3),
    result('lenet64', 1, 2, 4),
  ])
  expect(parts.training.split('\n').slice(2)).toEqual([
    '| lenet64 | C | 2.00 (2.00–4.00) | 4.00 (4.00–8.00) | 2.00 |',
    '| gpt | C | 100.0 (100.0–200.0) | 150.0 (150.0–300.0) | 1.50 |',
  ])
  expect(parts.threads.split('\n').at(-1)).toBe(
    '| lenet64 | C | 1.00 (1.00–2.00) | 3.00 (3.00–6.00) | 3.00 | 2.00 | 1.33 |',
  )
  expect(parts.source).toContain('- machine: Machine, 2 CPUs\n- Burnish: commit abcdef0; Node v20')
  expect(parts.source).toContain('- PyTorch: 1.13')
  expect(parts.gemm).toBe('Not measured yet: `npm run bench -- gemm`.')
  const page = readFileSync(join(root, 'docs/performance.md'), 'utf8')
  for (const part of Object.keys(parts)) expect(page).toContain(`<!-- begin:${part} -->`)
})

test('burnish profile: figures as JSON, and a trace in a file', () => {
  const trace = join(folder, 'trace.json')
  const { stdout, stderr, status } = node(
    ...['dist/cli/main.js', 'profile', 'lenet', '--tier', 'wasm', '--threads', '2'],
    ...['--steps', '3', '--json', '--trace', trace],
  )
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const profile = JSON.parse(stdout)
  expect(profile).toMatchObject({ model: 'lenet', kind: 'training', runs: 3, threads: 2 })
  expect(profile.input).toEqual([8, 1, 28, 28])
  expect(profile.ceilings.gigaflops).toBeGreaterThan(1)
  const layers = profile.layers.map(({ layer }: { readonly layer: string }) => layer)
  for (const layer of ['conv1', 'conv2', 'fc1', 'crossEntropy']) expect(layers).toContain(layer)
  const { traceEvents } = JSON.parse(readFileSync(trace, 'utf8'))
  const rows = new Set(traceEvents.map(({ tid }: { readonly tid: number }) => tid))
  expect(rows).toEqual(new Set([0, 1, 2]))
}, 60_000)
