// `npm run bench -- WORKLOAD [--threads N] [--tier wasm|native|auto] [--loop compiled|imperative] [--json]`: one
// measurement. `… --against pytorch|wasm|imperative [--rounds N]`: interleaved with the peer, medians and ratios, written to
// bench/results/. PyTorch runs by `/usr/bin/python3 ../shared/bench/pytorch.py` where torch can be imported.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { cpus, platform, release } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const WORKLOADS = ['lenet64', 'lenet512']
const PYTHON = '/usr/bin/python3'
const here = dirname(fileURLToPath(import.meta.url))
const root = dirname(here)
const peerScript = join(root, '../shared/bench/pytorch.py')

function stop(message) {
  console.error(message)
  process.exit(1)
}

let parsed
try {
  parsed = parseArgs({
    allowPositionals: true,
    options: {
      threads: { type: 'string', default: '1' },
      loop: { type: 'string', default: 'compiled' },
      tier: { type: 'string', default: 'wasm' },
      against: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      json: { type: 'boolean', default: false },
    },
  })
} catch (error) {
  stop(error.message)
}
const { values: options, positionals } = parsed
const [workload = 'lenet64'] = positionals
const threads = Number(options.threads)
const rounds = Number(options.rounds)
if (positionals.length > 1 || !WORKLOADS.includes(workload))
  stop(`no workload ${positionals.join(' ')}; there are: ${WORKLOADS.join(', ')}`)
if (!Number.isInteger(threads) || threads < 1)
  stop(`--threads ${options.threads}: a whole number of 1 or more`)
if (!Number.isInteger(rounds) || rounds < 1)
  stop(`--rounds ${options.rounds}: a whole number of 1 or more`)
if (!['compiled', 'imperative'].includes(options.loop))
  stop(`--loop ${options.loop}: compiled or imperative`)
if (!['wasm', 'native', 'auto'].includes(options.tier))
  stop(`--tier ${options.tier}: wasm, native or auto`)
if (!existsSync(join(root, 'dist/index.js'))) stop('dist/ is missing: run `npm run build` first')

function line(command, args) {
  const { status, stdout } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return status === 0 ? JSON.parse(stdout) : stop(`${[command, ...args].join(' ')} failed`)
}
const burnish = (loop, tier = options.tier) =>
  line(process.execPath, [join(here, 'measure.mjs'), workload, String(threads), loop, tier])
const peers = {
  pytorch: () => line(PYTHON, [peerScript, workload, '--threads', String(threads)]),
  imperative: () => burnish('imperative'),
  wasm: () => burnish('compiled', 'wasm'),
}

function print(result) {
  if (options.json) return console.log(JSON.stringify(result))
  const { peer, train_ms, infer_ms, first_step_ms, peak_rss_mb, loop = '', tier = '' } = result
  console.log(
    `${[peer, tier, loop, workload].filter((word) => word !== '').join(' ')}, ${threads} thread${threads > 1 ? 's' : ''}: train ${train_ms} ms, infer ${infer_ms} ms, first step after ${first_step_ms} ms, peak ${peak_rss_mb} MB`,
  )
}

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b)
  return sorted.length % 2
    ? sorted[sorted.length >> 1]
    : (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2
}
const summary = (results, field) => {
  const list = results.map((result) => result[field])
  return { median: median(list), least: Math.min(...list), most: Math.max(...list) }
}
const FIELDS = ['train_ms', 'infer_ms', 'first_step_ms', 'peak_rss_mb']
const summarise = (results) =>
  Object.fromEntries(FIELDS.map((field) => [field, summary(results, field)]))

function git(...args) {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

if (options.against === undefined) {
  print(burnish(options.loop))
} else {
  const peer = peers[options.against]
  if (peer === undefined) stop(`--against ${options.against}: pytorch, wasm or imperative`)
  if (options.against === 'pytorch') {
    if (!existsSync(peerScript)) stop(`${peerScript} is missing`)
    try {
      execFileSync(PYTHON, ['-c', 'import torch'], { stdio: 'ignore' })
    } catch {
      stop(
        `torch cannot be imported by ${PYTHON}: apt-get install python3-torch python3-torchvision`,
      )
    }
  }
  const ours = []
  const theirs = []
  for (let round = 0; round < rounds; round++) {
    // The order alternates, so that neither side always runs on the warmer machine.
    const pair = [() => ours.push(burnish('compiled')), () => theirs.push(peer())]
    for (const measure of round % 2 ? pair.reverse() : pair) measure()
    for (const result of [ours[round], theirs[round]]) print(result)
  }
  const [a, b] = [summarise(ours), summarise(theirs)]
  const results = {
    workload,
    threads,
    tier: options.tier,
    rounds,
    burnish: a,
    [options.against]: b,
    ratio: Object.fromEntries(
      FIELDS.map((field) => [field, Number((b[field].median / a[field].median).toFixed(3))]),
    ),
    date: new Date().toISOString(),
    commit:
      git('rev-parse', 'HEAD') +
      (git('status', '--porcelain', '-uno', 'src') === '' ? '' : ' with changes'),
    node: process.version,
    ...(theirs[0].version && { pytorch_version: theirs[0].version }),
    machine: `${cpus()[0].model.trim()}, ${cpus().length} CPUs, ${platform()} ${release()}`,
    rows: { burnish: ours, [options.against]: theirs },
  }
  const folder = join(here, 'results')
  mkdirSync(folder, { recursive: true })
  const file = join(
    folder,
    [workload, `${threads}t`, ...(options.tier === 'wasm' ? [] : [options.tier]), options.against]
      .join('-')
      .concat('.json'),
  )
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`)
  if (options.json) console.log(JSON.stringify(results))
  else
    console.log(
      `train ${a.train_ms.median} ms against ${b.train_ms.median} ms (${results.ratio.train_ms} times), infer ${a.infer_ms.median} ms against ${b.infer_ms.median} ms (${results.ratio.infer_ms} times), medians of ${rounds} rounds; in ${file}`,
    )
}
