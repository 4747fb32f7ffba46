// `burnish info`: what this machine offers: versions, processor, memory, and what the cpu device makes of them.
// What one is asked for in a report of a fault.
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch, cpus, freemem, platform, release, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { defaultThreads } from '../devices/registry.js'
import { hasRelaxedSimd, hasSimd } from '../targets/wasm/features.js'
import { datasets } from './datasets.js'
import { table } from './inspect.js'
import { models } from './models.js'
import { size } from './values.js'

export interface Info {
  readonly burnish: string
  readonly node: string
  readonly v8: string
  readonly system: string
  readonly processor: string
  readonly threads: number
  readonly memory: { readonly total: number; readonly free: number }
  readonly simd: boolean
  readonly relaxed_simd: boolean
  readonly shared_memory: boolean
  /** Its first line about itself; null where there is none. */
  readonly c_compiler: string | null
  /** The package that calls what the compiler made. */
  readonly koffi: string | null
  /** What `--tier auto` can use. */
  readonly tiers: readonly string[]
  readonly models: readonly string[]
  readonly datasets: { readonly [name: string]: string }
}

async function compiler(): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)('cc', ['--version'])
    return stdout.split('\n')[0].trim()
  } catch {
    return null // none is found: that is the answer
  }
}

/** The version of an installed package: of the package.json above its entry, which it need not export. */
function versionOf(name: string): string | null {
  try {
    let folder = dirname(createRequire(import.meta.url).resolve(name))
    for (; folder !== dirname(folder); folder = dirname(folder)) {
      const file = join(folder, 'package.json')
      if (!existsSync(file)) continue
      const found: unknown = JSON.parse(readFileSync(file, 'utf8'))
      if (typeof found === 'object' && found !== null && 'name' in found && found.name === name)
        return 'version' in found ? String(found.version) : null
    }
    return null
  } catch {
    return null // not installed
  }
}

/** A shared memory as the workers need it. */
function canShareMemory(): boolean {
  try {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
    return memory.buffer instanceof SharedArrayBuffer
  } catch {
    return false
  }
}

export async function infoOf(burnish: string): Promise<Info> {
  const cc = await compiler()
  const koffi = versionOf('koffi')
  return {
    burnish,
    node: process.version,
    v8: process.versions.v8,
    system: `${platform()} ${release()} ${arch()}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    threads: defaultThreads(),
    memory: { total: totalmem(), free: freemem() },
    simd: hasSimd(),
    relaxed_simd: hasRelaxedSimd(),
    shared_memory: canShareMemory(),
    c_compiler: cc,
    koffi,
    tiers: ['wasm', ...(cc !== null && koffi !== null ? ['native'] : [])],
    models: Object.keys(models),
    datasets: Object.fromEntries(Object.values(datasets).map(({ name, about }) => [name, about])),
  }
}

export async function info(version: string, options: { readonly json: boolean }): Promise<void> {
  const facts = await infoOf(version)
  if (options.json) {
    process.stdout.write(`${JSON.stringify(facts)}\n`)
    return
  }
  const yes = (value: boolean) => (value ? 'yes' : 'no')
  const missing = [
    ...(facts.c_compiler === null ? ['a C compiler, cc'] : []),
    ...(facts.koffi === null ? ['the package koffi'] : []),
  ]
  const rows = [
    ['burnish', facts.burnish],
    ['node', `${facts.node}, V8 ${facts.v8}`],
    ['system', facts.system],
    [
      'processor',
      `${facts.processor}, ${facts.threads} thread${facts.threads === 1 ? '' : 's'} by default`,
    ],
    ['memory', `${size(facts.memory.total)}, ${size(facts.memory.free)} free`],
    [
      'WebAssembly',
      `SIMD ${yes(facts.simd)}, relaxed SIMD ${yes(facts.relaxed_simd)}, shared memory ${yes(facts.shared_memory)}`,
    ],
    ['C compiler', facts.c_compiler ?? 'none found'],
    ['koffi', facts.koffi ?? 'not installed'],
    [
      'tiers',
      `${facts.tiers.join(', ')}${missing.length > 0 ? ` (native needs ${missing.join(' and ')})` : ''}`,
    ],
    ['models', facts.models.join(', ')],
    ...Object.entries(facts.datasets).map(([name, about], i) => [
      i === 0 ? 'data' : '',
      `${name}: ${about}`,
    ]),
  ]
  process.stdout.write(`${table(rows, 2)}\n`)
}
