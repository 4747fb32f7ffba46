// The C tier of a cpu device, put together: compiler, cache, koffi and the pool of threads on the device's memory.
import type { Machine, Program } from '../../../compiler/program.js'
import { emitC } from '../../../targets/c.js'
import { build, filesOf, keyOf } from './build.js'
import { type Cache, openCache } from './cache.js'
import { type Address, type Library, openLibrary } from './library.js'
import { createNativePool, type NativePool } from './pool.js'
import { runtimeSource } from './runtime.js'
import { findToolchain, type Toolchain } from './toolchain.js'

/** A program loaded in this process. */
export interface NativeProgram {
  readonly entry: Address
  unload(): void
}

export interface Native {
  readonly machine: Machine
  readonly pool: NativePool
  /** From the cache alone; undefined where it is not there. */
  find(program: Program): Promise<NativeProgram | undefined>
  /** From the cache, or compiled. Rejects when the compiler fails. */
  load(program: Program): Promise<NativeProgram>
}

export interface NativeOptions {
  readonly memory: WebAssembly.Memory
  readonly threads: number
  readonly done: (run: number, milliseconds: number) => void
}

/** What programs are made with: everything but threads. */
export interface Workshop {
  readonly toolchain: Toolchain
  readonly cache: Cache
  readonly library: Library
}

/** Rejects with a sentence of what is missing: compiler, koffi, or a folder for the cache. */
export async function openWorkshop(): Promise<Workshop> {
  const [toolchain, library, cache] = await Promise.all([
    findToolchain(),
    openLibrary(),
    openCache(),
  ])
  return { toolchain, cache, library }
}

/** Rejects with a sentence when anything is missing or the compiler does not work. */
export async function openNative(options: NativeOptions): Promise<Native> {
  const { toolchain, cache, library } = await openWorkshop()
  const { memory, threads, done } = options
  const key = keyOf(toolchain, runtimeSource)
  const path = (await cache.find(key)) ?? (await build(toolchain, cache, key, [runtimeSource]))
  const pool = createNativePool(library.runtime(path), memory, threads, { done })
  const open = (at: string): NativeProgram => {
    const { run, unload } = library.program(at)
    return {
      entry: run,
      unload() {
        pool.leave()
        unload()
      },
    }
  }
  const prepare = (program: Program) => {
    const files = filesOf(emitC(program))
    return { files, key: keyOf(toolchain, files.join('\0')) }
  }
  return {
    machine: toolchain.machine,
    pool,
    async find(program) {
      const found = await cache.find(prepare(program).key)
      return found === undefined ? undefined : open(found)
    },
    async load(program) {
      const { files, key: name } = prepare(program)
      return open((await cache.find(name)) ?? (await build(toolchain, cache, name, files)))
    },
  }
}
