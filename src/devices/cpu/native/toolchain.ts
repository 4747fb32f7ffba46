// The C compiler of this machine, what it makes of the processor, and the machine the graph compiler then plans for.
// One question to the compiler answers all: the macros it defines for `-march=native` name its version and every
// feature of the processor that it uses, so they are also part of the key of the cache.
import { readFileSync } from 'node:fs'
import type { Machine } from '../../../compiler/program.js'
import { command } from './command.js'

export interface Toolchain {
  readonly flags: readonly string[]
  /** Changes when compiler, flags or processor do. */
  readonly identity: string
  readonly machine: Machine
}

/**
 * Not -ffast-math, which also slows products down; no contraction but where the printed code asks for it, so that
 * a value does not depend on what stands beside it.
 */
const FLAGS = [
  '-O3',
  '-fPIC',
  '-fvisibility=hidden',
  '-fno-strict-aliasing',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-ffp-contract=off',
  '-Werror=implicit-function-declaration',
  '-Wno-psabi',
]

/**
 * Loops over guarded elements that lie apart, two a turn, are vectorised wrongly by GCC 12: it loads neighbours instead.
 * Without branches turned to masks it leaves them alone. (test/native-compiled.test.ts, windows.)
 */
const GCC = ['-fno-tree-loop-if-convert']

/** Tried in this order: clang on ARM knows only the second. */
const NATIVE = ['-march=native', '-mcpu=native']

/** Rejects with what is missing when there is no C compiler. */
export async function findToolchain(): Promise<Toolchain> {
  let last: unknown
  for (const native of NATIVE) {
    try {
      const macros = await command('cc', [native, '-dM', '-E', '-x', 'c', '/dev/null'])
      const flags = [native, ...FLAGS, ...(macros.includes('#define __clang__ ') ? [] : GCC)]
      return { flags, identity: [...flags, macros].join('\n'), machine: nativeMachine(macros) }
    } catch (error) {
      last = error
    }
  }
  throw last
}

/** The machine of a compiler's macros. */
export function nativeMachine(macros: string): Machine {
  const has = (name: string) => macros.includes(`#define ${name} `)
  const arm = has('__aarch64__')
  const wide = has('__AVX512F__') && has('__AVX512VL__') && has('__AVX512DQ__')
  return {
    name: 'native',
    lanes: wide ? 16 : has('__AVX2__') ? 8 : 4,
    // Accumulators, vectors and a splat fit 32 registers, or 16.
    tile: wide || arm ? { splats: 8, vectors: 2 } : { splats: 6, vectors: 2 },
    fma: has('__FMA__') || wide || arm,
    firstLevelCache: cacheSize(1) ?? 32 * 1024,
    secondLevelCache: cacheSize(2) ?? 1024 * 1024,
    winograd: true,
  }
}

/** Bytes of the first core's data cache, where Linux tells. */
function cacheSize(level: number): number | undefined {
  for (let i = 0; i < 4; i++) {
    const read = (name: string) =>
      readFileSync(`/sys/devices/system/cpu/cpu0/cache/index${i}/${name}`, 'utf8').trim()
    try {
      if (Number(read('level')) !== level || read('type') === 'Instruction') continue
      const [, count, unit] = /^(\d+)([KM]?)$/.exec(read('size')) ?? []
      return count ? Number(count) * (unit === 'M' ? 2 ** 20 : unit === 'K' ? 1024 : 1) : undefined
    } catch {
      return undefined // no such file: another system
    }
  }
  return undefined
}
