// Writes what READMEs and pages of docs/ show of real runs and of tables in src/, between their markers:
// `node scripts/docs.mjs [--check] [--run]`.
//
// - speed: a table of bench/results/*-pytorch.json, which `npm run bench -- WORKLOAD --against pytorch` writes.
// - the tables of docs/performance.md, from all of bench/results: see performance.mjs.
// - networks: the networks of docs/pretrained.md, from the table in src/models.
// - kernel: what BURNISH_DEBUG=kernels prints for scripts/shown-kernel.mjs, compiled now.
// - export, operators: the parts of docs/onnx.md, of what exportOnnx writes and loadOnnx knows: see onnx.mjs.
// - run: the last output of `npm start`, kept in docs/run.txt; --run runs it again first (half a minute).
//
// --check writes nothing, and fails where a page shows something else than the kept results.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { families } from '../dist/io/onnx/operators/index.js'
import { list } from '../dist/models/index.js'
import { EXPORT, operatorTables } from './onnx.mjs'
import { performanceParts, row, table } from './performance.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { values: options } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    run: { type: 'boolean', default: false },
  },
})
const RUN = join(root, 'docs/run.txt')
const RESULTS = join(root, 'bench/results')
const READMES = [
  {
    file: 'README.md',
    heading: ['workload', 'threads', 'computed in', 'Burnish', 'PyTorch', 'times as fast'],
    words: { wasm: 'WebAssembly', native: 'C', auto: 'C' },
    none: 'Not measured yet: `npm run bench -- lenet64 --threads 1 --against pytorch`.',
    source: ({ pytorch_version, node, machine, date, commit }) =>
      `Milliseconds a training step (fresh batch in, loss out), medians of interleaved rounds, against PyTorch ${pytorch_version ?? ''} on the same machine: ${machine}, Node ${node}, ${date.slice(0, 10)}, commit ${commit.slice(0, 7)}.`,
  },
  {
    file: 'README.zh-CN.md',
    heading: ['任务', '线程', '计算方式', 'Burnish', 'PyTorch', '快多少倍'],
    words: { wasm: 'WebAssembly', native: 'C', auto: 'C' },
    none: '尚未测量：`npm run bench -- lenet64 --threads 1 --against pytorch`。',
    source: ({ pytorch_version, node, machine, date, commit }) =>
      `每个训练步的毫秒数（送入新的一批数据，读回损失），与 PyTorch ${pytorch_version ?? ''} 在同一台机器上交替测量取中位数：${machine}，Node ${node}，${date.slice(0, 10)}，提交 ${commit.slice(0, 7)}。`,
  },
]

function command(args, environment = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1', ...environment },
  })
  if (status !== 0) throw new Error(`node ${args.join(' ')} failed:\n${stderr}`)
  return { stdout, stderr }
}

const fenced = (text) => `\`\`\`text\n${text.trimEnd()}\n\`\`\``

/** The kept run. */
function shownRun() {
  if (!existsSync(RUN)) return undefined
  return fenced(`$ npm start\n${readFileSync(RUN, 'utf8')}`)
}

function speed({ heading, words, none, source }) {
  const files = existsSync(RESULTS)
    ? readdirSync(RESULTS).filter((name) => name.endsWith('-pytorch.json'))
    : []
  const results = files.map((name) => JSON.parse(readFileSync(join(RESULTS, name), 'utf8')))
  if (results.length === 0) return none
  results.sort(
    (a, b) =>
      a.workload.localeCompare(b.workload, 'en', { numeric: true }) ||
      a.threads - b.threads ||
      String(a.tier).localeCompare(String(b.tier)),
  )
  const milliseconds = (value) => `${value.train_ms.median.toFixed(2)} ms`
  const rows = results.map((result) => [
    result.workload,
    result.threads,
    words[result.tier ?? 'wasm'],
    milliseconds(result.burnish),
    milliseconds(result.pytorch),
    result.ratio.train_ms.toFixed(2),
  ])
  const newest = results.reduce((a, b) => (a.date > b.date ? a : b))
  return `${table(heading, rows, 3)}\n\n${source(newest)}`
}

/** What `npm run bench` has left, weights apart. */
function measured() {
  if (!existsSync(RESULTS)) return []
  return readdirSync(RESULTS)
    .filter((name) => name.endsWith('.json') && name !== 'weight.json')
    .sort()
    .map((name) => JSON.parse(readFileSync(join(RESULTS, name), 'utf8')))
}

if (options.run) {
  const { stdout } = command(['dist/cli/main.js', 'train', 'lenet', '--data', 'mnist'], {
    COLUMNS: '90',
  })
  writeFileSync(RUN, shortened(stdout))
}

/** The first band of mistakes alone, and lines without spaces at their ends. */
function shortened(text) {
  const lines = text.trimEnd().split('\n')
  const heading = lines.findIndex((line) => line.includes('most confident of'))
  const step = lines.findIndex((line) => line.startsWith('step: '))
  const band = lines.findIndex((line, i) => i > heading && line.includes('read as'))
  const shown = [...lines.slice(0, band + 1), '…', ...lines.slice(step)]
  return `${shown.map((line) => line.trimEnd()).join('\n')}\n`
}

/** The networks with trained weights. */
function networks() {
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`
  const heading = ['name', 'what for', 'input', 'features', 'parameters', 'package, licence']
  const rows = list({ pretrained: true }).map((one) => [
    `\`${one.name}\``,
    `${one.about} (${one.paper})`,
    one.preprocessing.about,
    one.features,
    one.parameters.toLocaleString('en-US'),
    `${one.package.name}@${one.package.version}, ${one.license}; ${one.source}. ${megabytes(one.package.size)} are fetched, ${megabytes(one.bytes)} kept`,
  ])
  const line = heading.map((_, i) => (i === 3 || i === 4 ? '---:' : '---'))
  return [row(heading), row(line), ...rows.map(row)].join('\n')
}

const kernel = fenced(command(['scripts/shown-kernel.mjs'], { BURNISH_DEBUG: 'kernels' }).stderr)
const stale = []
const pages = [
  ...READMES.map((readme) => ({
    name: readme.file,
    parts: { run: shownRun(), kernel, speed: speed(readme) },
  })),
  { name: 'docs/performance.md', parts: performanceParts(measured()) },
  { name: 'docs/onnx.md', parts: { export: EXPORT, operators: operatorTables(families) } },
  { name: 'docs/pretrained.md', parts: { networks: networks() } },
]
for (const { name: page, parts } of pages) {
  const file = join(root, page)
  const before = readFileSync(file, 'utf8')
  const after = before.replace(
    /(<!-- begin:(\w+) -->\n)([\s\S]*?)(<!-- end:\2 -->)/g,
    (_, begin, name, old, end) =>
      `${begin}${parts[name] === undefined ? old : `${parts[name]}\n`}${end}`,
  )
  if (after === before) continue
  stale.push(page)
  if (!options.check) writeFileSync(file, after)
}
if (options.check && stale.length > 0) {
  console.error(`${stale.join(', ')}: not what was measured and printed; run \`npm run docs\``)
  process.exit(1)
}
console.log(stale.length === 0 ? 'all as it should be' : `written: ${stale.join(', ')}`)
