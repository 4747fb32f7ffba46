// The cpu device: WebAssembly on workers over one memory. Main only allocates, copies and posts; N threads are N
// workers. A page that cannot share memory gets one thread, on main, and one line that says so.

import { canShare, hardwareThreads, spawn } from '#spawn'
import { BurnishError, invariant } from '../../base/errors.js'
import type { DeviceOf, Executable, Program, Storage } from '../../compiler/program.js'
import { emitWasm } from '../../targets/wasm/emit.js'
import { hasRelaxedSimd, hasSimd } from '../../targets/wasm/features.js'
import { spawnInline } from './inline.js'
import { cpuMachine } from './machine.js'
import { createMemory } from './memory.js'
import { createPool, type Pool } from './pool.js'
import { createQueue, type Loaded } from './queue.js'

export interface CpuOptions {
  /** Workers; as many as the machine has threads unless given. */
  readonly threads?: number
  /** Bytes the memory may grow to; 4 GB, or what the platform allows. */
  readonly maximumMemory?: number
  /** False: one thread on unshared memory, as in a page that is not cross-origin isolated. */
  readonly shared?: boolean
}

export interface CpuStorage extends Storage {
  readonly address: number
}

export interface CpuDevice extends DeviceOf<'program', Program> {
  readonly memory: WebAssembly.Memory
  alloc(bytes: number, owner?: string): CpuStorage
  /** As `alloc`, but when memory is short it first lets finalizers and queued runs free some. */
  allocAsync(bytes: number, owner?: string): Promise<CpuStorage>
}

const macrotask = () => new Promise<void>((resolve) => setTimeout(resolve, 0))

function compileModule(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  try {
    return new WebAssembly.Module(bytes)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    if (!/Content.Security.Policy|unsafe-eval|\bCSP\b/i.test(text)) throw error
    throw new BurnishError(
      `cpu: this page forbids WebAssembly: add 'wasm-unsafe-eval' to script-src of its Content-Security-Policy`,
    )
  }
}

export function createCpu(options: CpuOptions = {}): CpuDevice {
  if (!hasSimd())
    throw new BurnishError(
      'cpu: this engine has no WebAssembly SIMD; use Node 20 or a browser of 2023',
    )
  const wanted = options.threads ?? hardwareThreads()
  if (!Number.isInteger(wanted) || wanted < 1)
    throw new BurnishError(`cpu: threads is ${wanted}; give a whole number of at least 1`)
  const shared = options.shared ?? canShare
  if (!shared && options.shared === undefined)
    console.warn('burnish: this page is not cross-origin isolated: computing on one thread')
  const threads = shared ? wanted : 1
  const relaxed = hasRelaxedSimd()
  const memory = createMemory(shared, options.maximumMemory)
  const queue = createQueue(memory, threads, () => pool)
  const pool: Pool = createPool(shared ? spawn : spawnInline, memory.memory, threads, queue)
  let programs = 0
  let closed = false

  const storageAt = (address: number, bytes: number): CpuStorage => {
    const storage: CpuStorage = { device, bytes, address }
    live.add(storage)
    return storage
  }
  const live = new WeakSet<Storage>()
  const addressOf = (storage: Storage): number => {
    invariant(live.has(storage), () => 'a storage of another device, or freed')
    return (storage as CpuStorage).address
  }

  const device: CpuDevice = {
    name: 'cpu',
    accepts: 'program',
    machine: cpuMachine(relaxed),
    threads,
    memory: memory.memory,
    alloc(bytes, owner = 'tensor') {
      const address = memory.alloc(bytes, owner)
      if (address === undefined) throw memory.exhausted(bytes)
      return storageAt(address, bytes)
    },
    async allocAsync(bytes, owner = 'tensor') {
      let address = memory.alloc(bytes, owner)
      for (let tries = 0; address === undefined && tries < 3; tries++) {
        await macrotask()
        if (!queue.idle) await queue.after(() => {})
        address = memory.alloc(bytes, owner)
      }
      if (address === undefined) throw memory.exhausted(bytes)
      return storageAt(address, bytes)
    },
    free(storage) {
      if (closed) return
      const address = addressOf(storage)
      live.delete(storage)
      queue.finally(() => memory.free(address))
    },
    write(storage, bytes) {
      invariant(bytes.byteLength <= storage.bytes, () => `${bytes.byteLength} bytes written`)
      memory.bytes(addressOf(storage), bytes.byteLength).set(bytes)
    },
    read(storage) {
      const address = addressOf(storage)
      return queue.after(() => memory.bytes(address, storage.bytes).slice())
    },
    peek(storage) {
      return memory.bytes(addressOf(storage), storage.bytes).slice()
    },
    load(program): Executable {
      const id = ++programs
      const { bytes } = emitWasm(program, { shared, relaxed })
      pool.load(id, compileModule(bytes))
      const steps = program.regions.flatMap((region) => region.steps)
      const loaded: Loaded = { id, program, steps }
      return {
        run(args, settings) {
          invariant(
            args.length === program.arguments.length,
            () => `${args.length} storages for ${program.arguments.length} arguments`,
          )
          return queue.run(loaded, args.map(addressOf), settings?.profile ?? false)
        },
        dispose() {
          queue.finally(() => pool.unload(id))
        },
      }
    },
    async close() {
      closed = true
      queue.close()
      await pool.close()
    },
  }
  return device
}
