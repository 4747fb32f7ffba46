// What every experiment shares: settings from flags, a device, a seed, and experiments/results/NAME.json, from which
// the tables of the documentation are made.
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { closeDevices, manualSeed, setDevice } from 'burnish'

/** The compiled experiment lies in build/experiments, its source in experiments: both two steps from the root. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** What a run is made of; each is a flag: `batchSize: 64` is `--batch-size 64`. */
export type Settings = { readonly seed: number } & { readonly [name: string]: number | string }

/** What an experiment found: numbers by name, for tables; lists for curves; text for samples. */
export interface Figures {
  readonly [name: string]: Figure
}
type Figure = number | string | boolean | null | readonly Figure[] | Figures

/** experiments/results/NAME.json. */
export interface Result {
  readonly name: string
  /** What was learned, in a sentence. */
  readonly title: string
  readonly command: string
  readonly seed: number
  readonly settings: Settings
  /** Of the repository; ends with `+` where files were changed since. */
  readonly commit: string
  readonly date: string
  /** By the clock, from the start of the device; and of processors, over all threads. */
  readonly minutes: number
  readonly processorMinutes: number
  readonly device: { readonly name: string; readonly tier: string; readonly threads: number }
  readonly machine: {
    readonly processor: string
    readonly cores: number
    readonly memoryGiB: number
    readonly node: string
    readonly system: string
  }
  readonly figures: Figures
}

const flagOf = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/**
 * Runs an experiment and writes what it found. Flags: each of the settings; `--device`, `--tier`, `--threads`; `--out FILE`.
 * Without `--out` the results are written only where all settings have their defaults, so that a short trial leaves the
 * kept results alone.
 *
 *     await experiment('char-gpt', 'A character GPT …', { seed: 1, steps: 2000 }, async ({ seed, steps }) => {
 *       …
 *       return { bitsPerCharacter }
 *     })
 */
export async function experiment<S extends Settings>(
  name: string,
  title: string,
  defaults: S,
  run: (
    settings: { readonly [K in keyof S]: S[K] extends number ? number : string },
  ) => Promise<Figures>,
): Promise<void> {
  const names = Object.keys(defaults)
  const { values } = parseArgs({
    options: Object.fromEntries(
      [...names.map(flagOf), 'device', 'tier', 'threads', 'out'].map(
        (flag) => [flag, { type: 'string' }] as const,
      ),
    ),
  })
  const text = (flag: string): string | undefined => {
    const value = values[flag]
    return typeof value === 'string' ? value : undefined
  }
  const settings = Object.fromEntries(
    names.map((key) => [key, settingOf(flagOf(key), text(flagOf(key)), defaults[key])]),
  )
  const changed = names.some((key) => settings[key] !== defaults[key])
  const tier = text('tier') ?? 'auto'
  if (tier !== 'auto' && tier !== 'wasm' && tier !== 'native')
    throw new Error(`--tier ${tier}: auto, wasm or native`)
  const threads = text('threads')
  const began = performance.now()
  const device = await setDevice(text('device') ?? 'cpu', {
    tier,
    decideWithin: 3000,
    ...(threads === undefined ? {} : { threads: settingOf('threads', threads, 1) as number }),
  })
  manualSeed(Number(settings.seed))
  const figures = await run(settings as { [K in keyof S]: S[K] extends number ? number : string })
  const { user, system } = process.cpuUsage()
  const result: Result = {
    name,
    title,
    command: ['npm run experiment --', name, ...process.argv.slice(2)].join(' '),
    seed: Number(settings.seed),
    settings: settings as Settings,
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
    minutes: round((performance.now() - began) / 60_000),
    processorMinutes: round((user + system) / 60e6),
    device: {
      name: device.name,
      tier: device.tier ?? device.machine.name,
      threads: device.threads,
    },
    machine: machine(),
    figures,
  }
  await closeDevices()
  console.log(JSON.stringify(result, null, 2))
  const out =
    text('out') ?? (changed ? undefined : join(root, 'experiments/results', `${name}.json`))
  if (out === undefined) {
    console.log('not written: settings differ from their defaults; use --out FILE')
    return
  }
  mkdirSync(dirname(out), { recursive: true })
  writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`)
  console.log(`written: ${out}`)
}

function settingOf(
  flag: string,
  given: string | undefined,
  usual: number | string,
): number | string {
  if (given === undefined) return usual
  if (typeof usual === 'string') return given
  const value = Number(given)
  if (given.trim() === '' || !Number.isFinite(value))
    throw new Error(`--${flag} ${given}: a number is expected`)
  return value
}

/** Four digits: the figures of a run differ in the fifth from one machine to the next anyway. */
export function round(value: number, digits = 4): number {
  return Number(value.toPrecision(digits))
}

/** Numbers in 0 … 1, the same for the same seed (mulberry32). */
export function stream(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Whole numbers from 0 to below a limit, from a seed. */
export function below(seed: number): (limit: number) => number {
  let state = seed * 0x9e3779b1
  return (limit) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) | 0
    const mixed = Math.imul(state ^ (state >>> 13), 0x297a2d39)
    return ((mixed ^ (mixed >>> 16)) >>> 0) % limit
  }
}

/** How many numbers there are in parameters. */
export function countOf(parameters: readonly { readonly shape: readonly number[] }[]): number {
  return parameters.reduce((sum, { shape }) => sum + shape.reduce((n, size) => n * size, 1), 0)
}

/** Seconds since the start, for lines that tell how far a run is. */
export function seconds(): string {
  return `${(performance.now() / 1000).toFixed(0)} s`
}

function commit(): string {
  const git = (...args: readonly string[]) =>
    execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    const changes = git('status', '--porcelain', '--', 'src', 'experiments/*.ts')
    return `${git('rev-parse', '--short', 'HEAD').trim()}${changes === '' ? '' : '+'}`
  } catch {
    return 'unknown' // a copy without its history
  }
}

function machine(): Result['machine'] {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: round(totalmem() / 2 ** 30, 3),
    node: process.version,
    system: `${process.platform} ${process.arch}`,
  }
}
