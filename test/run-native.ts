// For tests: runs programs on the C tier, in a memory of its own; and says why it cannot where there is no compiler.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import type { Machine, Program } from '../src/compiler/program.js'
import { createNative, type Native, openWorkshop } from '../src/devices/cpu/native/native.js'
import { RESERVED } from '../src/targets/wasm/addresses.js'
import { control, controlBytes, stampCount } from '../src/targets/wasm/control.js'
import { scratchStride } from '../src/targets/wasm/driver.js'
import { requireAll } from './support.js'

/** A new folder, removed after the file's tests. */
function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'burnish-test-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Uses a cache of its own from here on. */
export function ownCache(): string {
  const folder = temporary()
  process.env.XDG_CACHE_HOME = folder
  return join(folder, 'burnish')
}

/** Whether the C tier works here; prints why it does not, or throws with BURNISH_REQUIRE=all. */
export async function hasNative(): Promise<boolean> {
  try {
    await openWorkshop()
    return true
  } catch (error) {
    const reason = `the C tier is skipped: ${error instanceof Error ? error.message : error}`
    if (requireAll) throw new Error(reason)
    console.warn(reason)
    return false
  }
}

/** As the C tier compiles for 16 lanes. */
export const nativeMachine: Machine = {
  name: 'c16',
  lanes: 16,
  tile: { splats: 8, vectors: 2 },
  fma: true,
  firstLevelCache: 32 * 1024,
  secondLevelCache: 1024 * 1024,
}

export interface Ran {
  readonly code: number
  readonly value: number
  readonly milliseconds: number
  /** Milliseconds of each region. */
  readonly regions: readonly number[]
}

export interface Runner {
  readonly native: Native
  /** As `runJs`: reads and writes `args` in place; `rounds` runs one after the other, the last one's figures. */
  run(program: Program, args: readonly Uint8Array[], rounds?: number): Promise<Ran>
  close(): Promise<void>
}

export async function nativeRunner(threads: number, megabytes = 64): Promise<Runner> {
  const pages = megabytes * 16
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  let done: (milliseconds: number) => void = () => {}
  const workshop = await openWorkshop()
  const native = createNative(workshop, {
    memory,
    reserved: pages * 65536,
    threads,
    done: (_, ms) => done(ms),
  })
  return {
    native,
    async run(program, args, rounds = 1) {
      let end = RESERVED
      const take = (bytes: number) => {
        const at = end
        end += Math.ceil(bytes / 64) * 64 + 64
        return at
      }
      const block = take(controlBytes(threads))
      const table = take(4 * args.length)
      const times = take(8 * stampCount(program) * threads)
      const arena = take(program.arenaBytes)
      const scratch = take(scratchStride(program) * threads)
      const places = args.map((bytes) => take(bytes.byteLength))
      if (end > memory.buffer.byteLength) throw new Error(`${end} bytes are needed`)
      const bytes = new Uint8Array(memory.buffer)
      // Garbage where nothing was written must not pass for zeros.
      bytes.fill(0x7f, arena, end)
      new Int32Array(memory.buffer, table, args.length).set(places)
      for (const [i, content] of args.entries()) bytes.set(content, places[i])
      const loaded = await native.load(program)
      let milliseconds = 0
      for (let i = 0; i < rounds; i++) {
        bytes.fill(0, block, block + controlBytes(threads))
        new Int32Array(memory.buffer)[(block + control.profile) / 4] = times
        milliseconds = await new Promise<number>((resolve) => {
          done = resolve
          const run = { run: 1, entry: loaded.entry, args: table, arena, scratch, control: block }
          native.pool.run(run)
        })
      }
      loaded.unload()
      for (const [i, content] of args.entries())
        content.set(bytes.subarray(places[i], places[i] + content.byteLength))
      const words = new Int32Array(memory.buffer, block, controlBytes(threads) / 4)
      const stamps = new Float64Array(memory.buffer, times, stampCount(program))
      let at = 0
      return {
        code: words[control.code / 4],
        value: words[control.value / 4],
        milliseconds,
        regions: program.regions.map(({ steps }) => {
          const from = stamps[at]
          at += steps.length + 1
          return stamps[at] - from
        }),
      }
    },
    close: () => native.pool.close(),
  }
}

/** One of one thread and one of two, with a cache of their own, closed after the file's tests; none without a compiler. */
export async function nativeRunners(): Promise<readonly Runner[]> {
  ownCache()
  if (!(await hasNative())) return []
  const runners = [await nativeRunner(1), await nativeRunner(2)]
  afterAll(async () => {
    for (const runner of runners) await runner.close()
  })
  return runners
}

/** What each leaves in the program's arguments, of which the first are given. */
export async function runEach(
  runners: readonly Runner[],
  program: Program,
  given: readonly Uint8Array[],
): Promise<Uint8Array[][]> {
  const runs: Uint8Array[][] = []
  for (const runner of runners) {
    const args = program.arguments.map(({ bytes }, i) => given[i]?.slice() ?? new Uint8Array(bytes))
    await runner.run(program, args)
    runs.push(args)
  }
  return runs
}
