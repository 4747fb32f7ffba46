// Where and with what something was measured: what every results file says.
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, platform, release } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const here = dirname(fileURLToPath(import.meta.url))
export const root = dirname(here)

function output(command, args) {
  try {
    const stdio = ['ignore', 'pipe', 'ignore']
    return execFileSync(command, args, { cwd: root, encoding: 'utf8', stdio }).trim()
  } catch {
    return undefined
  }
}

export function circumstances() {
  const changed = output('git', ['status', '--porcelain', '-uno', 'src'])
  return {
    date: new Date().toISOString(),
    commit: `${output('git', ['rev-parse', 'HEAD']) ?? 'unknown'}${changed === '' ? '' : ' with changes'}`,
    node: process.version,
    compiler: output('cc', ['--version'])?.split('\n')[0] ?? null,
    machine: `${cpus()[0].model.trim()}, ${cpus().length} CPUs, ${platform()} ${release()}`,
  }
}

/** Writes bench/results/NAME.json, and gives its path. BENCH_RESULTS names another folder. */
export function writeResults(name, results) {
  const folder = process.env.BENCH_RESULTS ?? join(here, 'results')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${name}.json`)
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`)
  return file
}

export function stop(message) {
  console.error(message)
  process.exit(1)
}
