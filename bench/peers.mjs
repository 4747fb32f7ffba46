// The peers, each measured in a process of its own: what it can run, what it needs, and how it is called.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { names } from './data.mjs'
import { here, root } from './machine.mjs'

const PYTHON = process.env.BENCH_PYTHON ?? '/usr/bin/python3'
/** The peer's program; it belongs to the project, not to this repository. */
const SCRIPT = process.env.BENCH_PYTORCH ?? join(root, '../shared/bench/pytorch.py')
const ONNX = join(here, '.cache/onnx')
/** Seconds one measurement may take. */
const PATIENCE = 600

/** The JSON line a command prints last; throws with the last line of its errors. */
export function line(command, args, environment = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    timeout: PATIENCE * 1000,
    env: { ...process.env, ...environment },
  })
  if (status === 0) return JSON.parse(stdout.trim().split('\n').at(-1))
  const told = stderr.trim().split('\n')
  const reason = told.find((text) => /Error/.test(text)) ?? told.at(-1)
  throw new Error(error?.code === 'ETIMEDOUT' ? `took more than ${PATIENCE} s` : reason)
}

const node = (file, ...args) => line(process.execPath, [join(here, file), ...args])

/** Our own measurement, with an empty cache for compiled C; then one of a first step alone, with what that left. */
export function burnish(workload, { threads, loop = 'compiled', tier }) {
  const cache = mkdtempSync(join(tmpdir(), 'burnish-bench-'))
  const run = (...more) =>
    line(
      process.execPath,
      [join(here, 'measure.mjs'), workload, String(threads), loop, tier, ...more],
      { XDG_CACHE_HOME: cache },
    )
  try {
    const measured = run()
    const { first_step_ms: warm_first_step_ms } = run('first')
    return { ...measured, warm_first_step_ms }
  } finally {
    rmSync(cache, { recursive: true })
  }
}

function needsTorch() {
  if (!existsSync(SCRIPT)) return `${SCRIPT} is missing; BENCH_PYTORCH names another place`
  try {
    execFileSync(PYTHON, ['-c', 'import torch, torchvision'], { stdio: 'ignore' })
  } catch {
    return `${PYTHON} cannot import torch: apt-get install python3-torch python3-torchvision libopenblas0-pthread`
  }
}

const needsPackage = (name) => () =>
  existsSync(join(here, 'peers/node_modules', name))
    ? undefined
    : `${name} is not installed: npm --prefix bench/peers ci`

function needsOnnx() {
  const missing = needsPackage('onnxruntime-node')()
  if (missing !== undefined || names.every((name) => existsSync(join(ONNX, `${name}.onnx`))))
    return missing
  const torch = needsTorch()
  return torch && `the ONNX files are written by torch, and ${torch}`
}

function exported(workload) {
  if (existsSync(join(ONNX, `${workload}.onnx`))) return ONNX
  execFileSync(PYTHON, [join(here, 'peers/export.py'), SCRIPT, ONNX, workload], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return ONNX
}

const lenets = (workload) => workload.startsWith('lenet')
const images = (workload) => !['textcnn', 'gpt'].includes(workload)
const all = () => true

/**
 * `missing` says what to install; `runs` which workloads; `once`: so slow that one round is enough. Of peers with one
 * thread alone, `single`, runs with more threads make no sense.
 */
export const peers = {
  pytorch: {
    missing: needsTorch,
    runs: all,
    measure: (workload, { threads }) =>
      line(PYTHON, [SCRIPT, workload, '--threads', String(threads)]),
  },
  onnx: {
    missing: needsOnnx,
    runs: all,
    measure: (workload, { threads }) =>
      node('peers/onnx.mjs', workload, String(threads), exported(workload)),
  },
  'tfjs-cpu': {
    missing: needsPackage('@tensorflow/tfjs'),
    runs: lenets,
    once: true,
    single: true,
    measure: (workload) => node('peers/tfjs.mjs', workload, 'cpu', '1'),
  },
  'tfjs-wasm': {
    missing: needsPackage('@tensorflow/tfjs-backend-wasm'),
    runs: images,
    measure: (workload, { threads }) => node('peers/tfjs.mjs', workload, 'wasm', String(threads)),
  },
  jax: {
    missing: needsPackage('@jax-js/jax'),
    runs: lenets,
    once: true,
    single: true,
    measure: (workload) => node('peers/jax.mjs', workload),
  },
  wasm: {
    missing: () => undefined,
    runs: all,
    measure: (workload, options) => burnish(workload, { ...options, tier: 'wasm' }),
  },
  imperative: {
    missing: () => undefined,
    runs: all,
    measure: (workload, options) => burnish(workload, { ...options, loop: 'imperative' }),
  },
}

const others = ['pytorch', 'onnx', 'tfjs-cpu', 'tfjs-wasm', 'jax']

/** The peers that a word of --against means; undefined: none of that name. */
export function named(word) {
  if (word === 'all') return others
  if (word === 'tfjs') return ['tfjs-cpu', 'tfjs-wasm']
  return Object.hasOwn(peers, word) ? [word] : undefined
}

export { PYTHON }
