// Files of strangers, made by damaging good ones: `fuzz` hands thousands of mutations of a format's files to its reader.
// Each must end in a BurnishError or in a result (which `check` may hold to more), within 2 s and 512 MB.
//
// Every mutation is made from (seed, number) alone, so a failure's text is enough to make it again:
// `fuzz(…, { seed, only: 1234 })`. BURNISH_FUZZ_SEED sets the seed of all suites, BURNISH_FUZZ_COUNT how many.
// A thread watches: a reader that never returns ends the whole process, after saying which mutation it was.
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { BurnishError } from '../src/base/errors.js'
import { fmix32 } from './support.js'

export interface FuzzOptions<Result> {
  /** How many mutations, over all good files; 10,000 by default. */
  readonly count?: number
  readonly seed?: number
  /** Only this mutation, to look at a failure. */
  readonly only?: number
  /** Throws when a result is not one the format can have: sizes that do not fit, … */
  readonly check?: (result: Awaited<Result>, bytes: Uint8Array) => unknown
}

export interface FuzzReport {
  /** Ended in a BurnishError. */
  readonly refused: number
  /** Ended in a result. */
  readonly read: number
  /** Milliseconds of the slowest. */
  readonly slowest: number
}

const SLOWEST_MS = 2000
const MOST_BYTES = 512 * 2 ** 20
/** No answer for so long is a hang whatever else the machine does. */
const HANG_MS = 30_000
const DEFAULT_COUNT = 10_000

/** A counter-based generator: the n-th number of a mutation depends on nothing else. */
function random(seed: number, mutation: number): (below: number) => number {
  const start = fmix32(fmix32(seed) ^ Math.imul(mutation + 1, 0x9e3779b1))
  let at = 0
  return (below) => {
    at = (at + 0x6d2b79f5) | 0
    return Math.floor((fmix32((start + at) | 0) / 2 ** 32) * below)
  }
}

type Random = (below: number) => number

/** Half of the places lie near the start or the end, where headers and directories are. */
function place(draw: Random, length: number): number {
  const near = Math.min(length, 8 << draw(7))
  const from = draw(4)
  if (from === 0) return draw(near)
  return from === 1 ? length - 1 - draw(near) : draw(length)
}

const BOUNDARIES: readonly bigint[] = [0, 7, 8, 15, 16, 31, 32, 53, 63, 64].flatMap((bits) => [
  (1n << BigInt(bits)) - 1n,
  1n << BigInt(bits),
  -(1n << BigInt(bits)),
])
const NUMERALS = [
  '0',
  '-1',
  '1e9',
  '0.5',
  '2147483648',
  '4294967296',
  '9007199254740993',
  '1'.repeat(40),
]

const mutations: readonly ((bytes: Uint8Array, draw: Random, other: Uint8Array) => Uint8Array)[] = [
  function flip(bytes, draw) {
    const at = place(draw, bytes.length)
    return replaced(bytes, at, 1, Uint8Array.of(bytes[at] ^ (1 << draw(8))))
  },
  function set(bytes, draw) {
    return replaced(bytes, place(draw, bytes.length), 1, Uint8Array.of(draw(256)))
  },
  function boundary(bytes, draw) {
    const size = 1 << draw(4)
    const word = new DataView(new ArrayBuffer(8))
    const little = draw(4) > 0
    word.setBigUint64(0, BigInt.asUintN(64, BOUNDARIES[draw(BOUNDARIES.length)]), little)
    const value = new Uint8Array(word.buffer, little ? 0 : 8 - size, size)
    return replaced(bytes, place(draw, bytes.length), size, value)
  },
  function nudge(bytes, draw) {
    const at = place(draw, bytes.length)
    return replaced(bytes, at, 1, Uint8Array.of(bytes[at] + draw(9) - 4))
  },
  function numeral(bytes, draw) {
    const isDigit = (byte: number) => byte >= 48 && byte <= 57
    let at = place(draw, bytes.length)
    for (let steps = 0; steps < 4096 && !isDigit(bytes[at]); steps++) at = (at + 1) % bytes.length
    let end = at
    while (end < bytes.length && isDigit(bytes[end])) end++
    return replaced(bytes, at, end - at, text(NUMERALS[draw(NUMERALS.length)]))
  },
  function insert(bytes, draw) {
    return replaced(
      bytes,
      place(draw, bytes.length),
      0,
      Uint8Array.from({ length: 1 + draw(16) }, () => draw(256)),
    )
  },
  function remove(bytes, draw) {
    return replaced(bytes, place(draw, bytes.length), 1 + draw(16))
  },
  function repeat(bytes, draw) {
    const at = place(draw, bytes.length)
    const piece = bytes.subarray(at, at + 1 + draw(64))
    return replaced(bytes, place(draw, bytes.length), draw(2) * piece.length, piece)
  },
  function truncate(bytes, draw) {
    return bytes.slice(0, draw(3) === 0 ? draw(bytes.length + 1) : place(draw, bytes.length))
  },
  function splice(bytes, draw, other) {
    const at = place(draw, bytes.length)
    const from = draw(3) === 0 ? place(draw, other.length) : Math.min(at, other.length)
    const length =
      draw(2) === 0 ? other.length - from : Math.min(other.length - from, 1 + draw(256))
    return replaced(
      bytes,
      at,
      draw(2) === 0 ? length : bytes.length - at,
      other.subarray(from, from + length),
    )
  },
]

const NOTHING = new Uint8Array()
const text = (characters: string) => Uint8Array.from(characters, (c) => c.charCodeAt(0))

function replaced(
  bytes: Uint8Array,
  at: number,
  length: number,
  by: Uint8Array = NOTHING,
): Uint8Array {
  const end = Math.min(bytes.length, at + length)
  const result = new Uint8Array(at + by.length + bytes.length - end)
  result.set(bytes.subarray(0, at))
  result.set(by, at)
  result.set(bytes.subarray(end), at + by.length)
  return result
}

/** The mutation of a number: one to four changes of one of the good files. */
function mutate(good: readonly Uint8Array[], seed: number, mutation: number): Uint8Array {
  const draw = random(seed, mutation)
  let bytes = good[mutation % good.length]
  const changes = draw(2) === 0 ? 1 : 1 + draw(4)
  for (let i = 0; i < changes && bytes.length > 0; i++)
    bytes = mutations[draw(mutations.length)](bytes, draw, good[draw(good.length)])
  return bytes === good[mutation % good.length] ? bytes.slice() : bytes
}

/** Ends the process when the number in `state` stays the same for too long. */
function watch(describe: string): { readonly state: Int32Array; stop(): Promise<number> } {
  const state = new Int32Array(new SharedArrayBuffer(8))
  const code = `
    const { workerData: { state, describe, limit } } = require('node:worker_threads')
    let [seen, since] = [-1, Date.now()]
    while (Atomics.wait(state, 1, 0, 500) === 'timed-out') {
      const now = Atomics.load(state, 0)
      if (now !== seen) [seen, since] = [now, Date.now()]
      else if (Date.now() - since > limit) {
        require('node:fs').writeSync(2, describe + ', only: ' + now + ' } did not return within ' + limit + ' ms\\n')
        process.kill(process.pid, 'SIGKILL')
      }
    }`
  const worker = new Worker(code, { eval: true, workerData: { state, describe, limit: HANG_MS } })
  return {
    state,
    stop() {
      Atomics.store(state, 1, 1)
      Atomics.notify(state, 1)
      return worker.terminate()
    },
  }
}

/** Bytes of the heap and of array buffers, garbage too. Quick; what was freed may stay counted for a while. */
function roughMemory(): number {
  const { used_heap_size, external_memory } = getHeapStatistics()
  return used_heap_size + external_memory
}

/** The same, exactly. */
function memory(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const megabytes = (bytes: number) => Math.round(bytes / 2 ** 20)

/** A full collection, so that what one read takes can be told from what others left behind. */
function collect(): void {
  setFlagsFromString('--expose-gc')
  const gc: unknown = runInNewContext('gc')
  if (typeof gc !== 'function') throw new Error('this engine has no gc()')
  gc()
  gc()
}

/**
 * Reads mutations of good files and throws at the first that ends in another error than a BurnishError, in a result
 * that `check` throws for, or takes more than 2 s or 512 MB. The good files must be readable. Prints one line.
 */
export async function fuzz<Result>(
  name: string,
  good: readonly Uint8Array[],
  read: (bytes: Uint8Array) => Result,
  options: FuzzOptions<Result> = {},
): Promise<FuzzReport> {
  const count = options.count ?? Number(process.env.BURNISH_FUZZ_COUNT ?? DEFAULT_COUNT)
  const seed = options.seed ?? Number(process.env.BURNISH_FUZZ_SEED ?? 1)
  const described = `fuzz ${name}: { seed: ${seed}`
  for (const bytes of good) {
    const result = await read(bytes.slice())
    await options.check?.(result, bytes)
  }
  const watchdog = watch(described)
  let [refused, done, slowest] = [0, 0, 0]
  /** Whether it was refused. */
  const attempt = async (bytes: Uint8Array): Promise<boolean> => {
    let result: Awaited<Result>
    try {
      result = await read(bytes)
    } catch (error) {
      if (error instanceof BurnishError) return true
      throw error
    }
    await options.check?.(result, bytes)
    return false
  }
  try {
    const first = options.only ?? 0
    const end = options.only === undefined ? count : options.only + 1
    collect()
    const atFirst = memory()
    for (let mutation = first; mutation < end; mutation++) {
      Atomics.store(watchdog.state, 0, mutation)
      const bytes = mutate(good, seed, mutation)
      const here = () => `${described}, only: ${mutation} } (${bytes.length} bytes)`
      const began = performance.now()
      try {
        if (await attempt(bytes.slice())) refused++
        else done++
      } catch (error) {
        throw new Error(`${here()}: ${error instanceof Error ? error.stack : String(error)}`, {
          cause: error,
        })
      }
      let took = performance.now() - began
      // Other programs take time too: what is slow must be slow twice.
      if (took > SLOWEST_MS) {
        const again = performance.now()
        await attempt(bytes.slice())
        took = Math.min(took, performance.now() - again)
        if (took > SLOWEST_MS) throw new Error(`${here()}: took ${Math.round(took)} ms`)
      }
      slowest = Math.max(slowest, took)
      // Garbage of earlier reads counts too: what is large must be large twice.
      if (roughMemory() - atFirst > MOST_BYTES) {
        collect()
        const before = memory()
        await attempt(bytes.slice())
        const grown = memory() - before
        if (grown > MOST_BYTES) throw new Error(`${here()}: took ${megabytes(grown)} MB`)
      }
    }
    collect()
    const kept = memory() - atFirst
    if (kept > MOST_BYTES) throw new Error(`${described} }: ${megabytes(kept)} MB were never freed`)
  } finally {
    await watchdog.stop()
  }
  console.log(
    `fuzz ${name}: seed ${seed}, ${refused + done} mutations, ${refused} refused, ${done} read, slowest ${slowest.toFixed(1)} ms`,
  )
  return { refused, read: done, slowest }
}
