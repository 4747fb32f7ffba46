// The C tier of a cpu device, put together: compiler, cache, koffi and the pool of threads on the device's memory.
import type { Machine, Program } from '../../../compiler/program.js'
import { emitC } from '../../../targets/c.js'
import { build, type Compile, createCompile, filesOf, keyOf } from './build.js'
import { type Cache, openCache } from './cache.js'
import { type Address, type Library, openLibrary, type Runtime } from './library.js'
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
  /** Bytes up to which the memory may grow. */
  readonly reserved: number
  readonly threads: number
  readonly done: (run: number, milliseconds: number) => void
}

/** What programs are made with: everything but memory and threads. */
export interface Workshop {
  readonly machine: Machine
  readonly toolchain: Toolchain
  readonly compile: Compile
  readonly cache: Cache
  readonly library: Library
  readonly runtime: Runtime
}

/** Rejects with a sentence of what is missing: compiler, koffi, or a folder for the cache. */
export async function openWorkshop(): Promise<Workshop> {
  const [toolchain, library, cache] = await Promise.all([
    findToolchain(),
    openLibrary(),
    openCache(),
  ])
  const key = keyOf(toolchain, [runtimeSource])
  const compile = createCompile(toolchain)
  const path = (await cache.find(key)) ?? (await build(compile, cache, key, [runtimeSource]))
  const runtime = library.runtime(path)
  return { machine: toolchain.machine, toolchain, compile, cache, library, runtime }
}

/** Throws when the threads cannot be made. */
export function createNative(workshop: Workshop, options: NativeOptions): Native {
  const { toolchain, compile, cache, library, runtime, machine } = workshop
  const { memory, reserved, threads, done } = options
  const pool = createNativePool(runtime, memory, reserved, threads, { done })
  const open = (path: string): NativeProgram => {
    const { run, unload } = library.program(path)
    return {
      entry: run,
      unload() {
        pool.leave()
        unload()
      },
    }
  }
  const printed = (program: Program) => {
    const files = filesOf(emitC(program))
    return { files, key: keyOf(toolchain, files) }
  }
  return {
    machine,
    pool,
    async find(program) {
      const path = await cache.find(printed(program).key)
      return path === undefined ? undefined : open(path)
    },
    async load(program) {
      const { files, key } = printed(program)
      return open((await cache.find(key)) ?? (await build(compile, cache, key, files)))
    },
  }
}
