// The cpu device: WebAssembly on workers over one memory. Main only allocates, copies and posts; N threads are N
// workers. A page that cannot share memory gets one thread, on main, and one line that says so.

import { canShare, hardwareThreads, nativeTier, spawn } from '#spawn'
import { BurnishError, invariant } from '../../base/errors.js'
import type { DeviceOf, Executable, Program, Storage } from '../../compiler/program.js'
import { emitWasm } from '../../targets/wasm/emit.js'
import { hasRelaxedSimd, hasSimd } from '../../targets/wasm/features.js'
import { spawnInline } from './inline.js'
import { cpuMachine, machineTier } from './machine.js'
import { createMemory } from './memory.js'
import type { Native, Workshop } from './native/native.js'
import { createPool, type Pool } from './pool.js'
import { createQueue, type Loaded } from './queue.js'
import { letFinalizersRun } from './relief.js'
import { createTiered, type Tiered } from './tiers.js'

export interface CpuOptions {
  /** Workers; as many as the machine has threads unless given. */
  readonly threads?: number
  /** Bytes the memory may grow to; 4 GB, or what the platform allows. */
  readonly maximumMemory?: number
  /** False: one thread on unshared memory, as in a page that is not cross-origin isolated. */
  readonly shared?: boolean
  /**
   * What computes: `wasm`; `native`, C compiled for this machine, for which runs wait; or `auto`, WebAssembly until the
   * C of a program that runs often is ready. Where C cannot be compiled and loaded, WebAssembly computes and one line
   * says why.
   */
  readonly tier?: 'auto' | 'wasm' | 'native'
  /**
   * With `auto`, milliseconds that the first run of a program waits for its C; it then stays with what it has, so that
   * all its runs round alike. 0: waits for nothing, and moves over later.
   */
  readonly decideWithin?: number
}

export interface CpuStorage extends Storage {
  readonly address: number
}

export interface CpuDevice extends DeviceOf<'program', Program> {
  readonly memory: WebAssembly.Memory
  alloc(bytes: number, owner?: string): CpuStorage
  relieve(): Promise<void>
}

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

/** A device planned for its tier: with `native` it knows the machine before it loads a program. */
export async function openCpu(options: CpuOptions = {}): Promise<CpuDevice> {
  if (options.tier !== 'native' || nativeTier === undefined) return createCpu(options)
  // The commands it runs do not keep the process alive; someone waits for this one.
  const hold = setInterval(() => {}, 1000)
  try {
    return createCpu(options, await (await nativeTier()).openWorkshop())
  } catch (error) {
    createNotice()(error)
    return createCpu({ ...options, tier: 'wasm' })
  } finally {
    clearInterval(hold)
  }
}

/** Says the first of a device's reasons: one line is enough. */
function createNotice(): (reason: unknown) => void {
  let said = false
  return (reason) => {
    if (said) return
    said = true
    const text = reason instanceof Error ? reason.message : String(reason)
    console.warn(`burnish: computing in WebAssembly, not in C: ${text}`)
  }
}

/** `workshop`: the parts of the C tier, already open. */
export function createCpu(options: CpuOptions = {}, workshop?: Workshop): CpuDevice {
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
  const sayWhy = createNotice()
  const tier = shared ? (options.tier ?? 'wasm') : 'wasm'
  if (tier !== options.tier && options.tier === 'native')
    sayWhy('native threads need shared memory')
  const wasmMachine = cpuMachine(relaxed)
  const queue = createQueue(memory, threads, () => pool)
  let pool: Pool | undefined
  const workers = () => {
    pool ??= createPool(shared ? spawn : spawnInline, memory.memory, threads, queue)
    return pool
  }
  // They start while the first program is compiled.
  if (tier !== 'native') workers()
  let native: Promise<Native | undefined> | undefined
  const openNative = () => {
    native ??= (async () => {
      try {
        if (nativeTier === undefined) throw new Error('there is no C in a browser')
        const { createNative, openWorkshop } = await nativeTier()
        const settings = {
          memory: memory.memory,
          reserved: memory.maximum,
          threads,
          done: queue.done,
        }
        return createNative(workshop ?? (await openWorkshop()), settings)
      } catch (error) {
        sayWhy(error)
        return undefined
      }
    })()
    return native
  }
  let programs = 0
  let closed = false
  /** The names of the machines that programs have run on. */
  const ran = new Set<string>()

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

  const loadWasm = (program: Program) => {
    const id = ++programs
    const { bytes } = emitWasm(program, { shared, relaxed })
    workers().load(id, compileModule(bytes))
    const steps = program.regions.flatMap((region) => region.steps)
    const post: Loaded['post'] = (place) => workers().run({ kind: 'run', program: id, ...place })
    return { tier: 'wasm' as const, program, steps, post, unload: () => workers().unload(id) }
  }
  const onlyWasm = (loaded: ReturnType<typeof loadWasm>): Tiered => ({
    choose: () => loaded,
    ran: () => {},
    dispose: () => queue.finally(loaded.unload),
  })
  const tiers = (prefer: 'auto' | 'native') => ({
    patience: prefer === 'native' ? Number.POSITIVE_INFINITY : (options.decideWithin ?? 0),
    queue,
    native: openNative,
    notice: sayWhy,
    loadWasm,
    wasmMachine,
    machine: device.machine,
  })

  const device: CpuDevice = {
    name: 'cpu',
    accepts: 'program',
    machine: tier === 'native' && workshop ? workshop.machine : wasmMachine,
    replans: tier !== 'wasm',
    get tier() {
      if (tier !== 'auto') return undefined
      return ran.size === 0 ? 'auto' : [...ran].sort().join(' and ')
    },
    threads,
    memory: memory.memory,
    alloc(bytes, owner = 'tensor') {
      const address = memory.alloc(bytes, owner)
      if (address === undefined) throw memory.exhausted(bytes)
      return storageAt(address, bytes)
    },
    async relieve() {
      await letFinalizersRun()
      // A run that fails tells whoever waits for it.
      if (!queue.idle) await queue.after(() => {}).catch(() => {})
    },
    free(storage) {
      if (closed) return
      const address = addressOf(storage)
      live.delete(storage)
      queue.finally(() => memory.free(address), address)
    },
    write(storage, bytes, offset = 0) {
      const end = offset + bytes.byteLength
      invariant(end <= storage.bytes, () => `${end} bytes written to ${storage.bytes}`)
      memory.bytes(addressOf(storage), end).set(bytes, offset)
    },
    read(storage) {
      const address = addressOf(storage)
      return queue.after(() => memory.bytes(address, storage.bytes).slice(), address)
    },
    peek(storage) {
      return memory.bytes(addressOf(storage), storage.bytes).slice()
    },
    load(program, replan): Executable {
      const tiered: Tiered =
        tier === 'wasm' ? onlyWasm(loadWasm(program)) : createTiered(tiers(tier), program, replan)
      const { settle } = tiered
      return {
        async run(args, settings) {
          invariant(
            args.length === program.arguments.length,
            () => `${args.length} storages for ${program.arguments.length} arguments`,
          )
          const addresses = args.map(addressOf)
          const choose = () => {
            const chosen = tiered.choose()
            if (chosen !== undefined) ran.add(machineTier(chosen.program.machine))
            return chosen
          }
          const report = await queue.run(choose, addresses, settings?.profile ?? false)
          tiered.ran(report.milliseconds)
          return report
        },
        ...(settle === undefined ? {} : { settle }),
        dispose: tiered.dispose,
      }
    },
    async close() {
      closed = true
      queue.close()
      await pool?.close()
      await (await native)?.pool.close()
    },
  }
  return device
}
